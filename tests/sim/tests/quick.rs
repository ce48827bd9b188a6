//! Quick calls do what the general way does: the same random calls on two machines, one of which tries quick ones.

use aios_abi::limits::AGENTS;
use aios_abi::message::SendInfo;
use aios_abi::rights::Rights;
use aios_abi::{AgentId, Call};
use aios_core::core::{Next, Quick};
use aios_sim::World;

const FOREVER: u64 = u64::MAX;

struct Pair {
    quick: World,
    general: World,
    /// Of each agent: its handles of services, notifications, and its own id.
    handles: Vec<(u16, Vec<u64>)>,
    random: fastrand::Rng,
}

/// Init and five agents, each with capabilities of all others: of services with badges, and to raise bits; some derived, some with an expiry.
fn prepare(seed: u64) -> Pair {
    let make = |quick: bool| {
        let mut world = World::new(4000);
        world.checking = false;
        world.sim.quick = quick;
        let init = world.init;
        let made: Vec<_> = (0..5).map(|_| world.spawn(init, 200, 1)).collect();
        let ids: Vec<AgentId> = made.iter().map(|&(_, id)| id).collect();
        let (mut handles, mut inits) = (Vec::new(), Vec::new());
        for (target, _) in &made {
            let mut own = Vec::new();
            for (i, &(source, _)) in made.iter().enumerate() {
                for (kind, word, expiry) in [(0, 7 + i as u64, 0), (1, 0xff, 0), (0, 70 + i as u64, 3_000_000)] {
                    let rights = Rights::SEND.or(Rights::GRANT).or(Rights::DERIVE).0 as u64;
                    let minted =
                        world.call(init, Call::CapMint, &[(9, source), (0, word), (1, rights), (2, expiry), (3, kind)]).expect("minted")[0];
                    inits.push(minted);
                    let grant = [(9, *target), (0, minted), (1, rights), (2, 0), (3, 2), (4, 0)];
                    own.push(world.call(init, Call::CapGrant, &grant).expect("granted")[0]);
                }
            }
            handles.push(own);
        }
        handles.push(inits);
        (world, ids, handles)
    };
    let ((quick, ids, handles), (general, ..)) = (make(true), make(false));
    let slots = ids.iter().map(|id| id.slot()).chain([quick.init]);
    let handles = slots.zip(handles).collect();
    Pair { quick, general, handles, random: fastrand::Rng::with_seed(seed) }
}

impl Pair {
    /// The same step on both machines: the running agent makes a call, or time passes.
    fn step(&mut self) {
        let (a, b) = (self.quick.settle(), self.general.settle());
        assert_eq!(a, b, "the same agent runs");
        self.compare();
        let Some(slot) = a else {
            return self.pass();
        };
        if self.random.u8(..16) == 0 {
            return self.pass();
        }
        let call = self.call_of(slot);
        for world in [&mut self.quick, &mut self.general] {
            world.now += 150;
            let x = &mut world.core.agents.get_mut(slot).expect("it runs").registers.x;
            for &(register, value) in &call {
                x[register] = value;
            }
        }
        self.quick.execute(slot);
        self.general.execute(slot);
        self.compare();
    }

    fn pass(&mut self) {
        let ns = *self.random.choice(&[1_000, 50_000, 400_000]).expect("one of them");
        self.quick.pass(ns);
        self.general.pass(ns);
        self.compare();
    }

    fn call_of(&mut self, slot: u16) -> Vec<(usize, u64)> {
        let random = &mut self.random;
        let own = self.handles.iter().find(|(agent, _)| *agent == slot).map(|(_, own)| own.clone()).unwrap_or_default();
        let handle = if own.is_empty() || random.u8(..20) == 0 { random.u64(..1 << 33) } else { own[random.usize(..own.len())] };
        let length = *random.choice(&[0, 8, 13, 64, 64, 64, 72]).expect("one of them");
        let room = *random.choice(&[0, 0, 128, 65_536]).expect("one of them");
        let mut info = SendInfo { length, room, take_caps: random.u8(..5), ..SendInfo::default() }.encode();
        if random.u8(..30) == 0 {
            info ^= 1 << random.u32(..64);
        }
        let deadline = *random.choice(&[FOREVER, FOREVER, FOREVER, FOREVER, self.quick.now + 90_000, 0]).expect("one of them");
        let agents = &self.quick.core.agents;
        let message = match agents[slot].open {
            // Whoever it received last or first waits for the reply.
            open if open.head != 0 && random.u8(..8) != 0 => {
                agents[*random.choice(&[open.head, open.tail]).expect("one of them")].outgoing.message.0
            }
            _ => *random.choice(&[0, agents[slot].registers.x[12]]).expect("one of them"),
        };
        let calls = [Call::IpcCall, Call::IpcCall, Call::IpcReplyRecv, Call::IpcReplyRecv, Call::IpcReplyRecv, Call::IpcRecv, Call::Notify];
        let rare = [Call::CapCheck, Call::Yield, Call::TimeNow, Call::TimerSet, Call::IpcSend, Call::IpcReply];
        let forth = [Call::Notify, Call::Notify, Call::CapCheck, Call::Yield, Call::TimeNow];
        // Init never waits, so that somebody always goes on.
        let call = if slot == self.quick.init {
            *random.choice(&forth).expect("one")
        } else if random.u8(..4) == 0 {
            *random.choice(&rare).expect("one")
        } else {
            *random.choice(&calls).expect("one")
        };
        let x9 = match call {
            Call::IpcReplyRecv | Call::IpcReply => message,
            _ => handle,
        };
        let mut registers = vec![(8, call as u64), (9, x9), (10, info), (12, deadline), (11, 0x7000_0000)];
        registers.extend((0..8).map(|i| (i, random.u64(..))));
        match call {
            Call::TimerSet => registers.push((0, self.quick.now + 20_000)),
            Call::CapCheck => registers.push((0, Rights::SEND.0 as u64)),
            _ => {}
        }
        registers
    }

    fn compare(&self) {
        let (a, b) = (&self.quick.core, &self.general.core);
        assert_eq!(a.counters, b.counters);
        for slot in 1..AGENTS as u16 {
            let (Some(a), Some(b)) = (a.agents.get(slot), b.agents.get(slot)) else { continue };
            assert_eq!(a.registers, b.registers, "registers of agent {slot}");
            let facts = |agent: &aios_core::agent::Agent<aios_sim::Sim>| {
                let lists = (agent.queue, agent.open, agent.links, agent.outgoing, agent.debit);
                (agent.state, agent.notifications, lists, agent.takes_caps, agent.takes_bytes, agent.counters, agent.sc.clone())
            };
            assert_eq!(facts(a), facts(b), "agent {slot}");
        }
    }
}

#[test]
fn quick_calls_do_what_the_general_way_does() {
    let seed = std::env::var("AIOS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("AIOS_SEED={seed}");
    for round in 0..20 {
        let mut pair = prepare(seed.wrapping_add(round));
        for _ in 0..2000 {
            pair.step();
        }
        pair.quick.check();
        pair.general.check();
        let quick = [Call::IpcCall, Call::IpcReplyRecv, Call::Notify, Call::CapCheck, Call::Yield, Call::TimeNow, Call::TimerSet];
        for call in quick {
            assert!(pair.quick.sim.quick_calls.contains_key(&(call as u64)), "{call:?} was never quick");
        }
    }
}

/// The usual exchange is quick on both ways, whatever the length in registers.
#[test]
fn a_call_and_its_reply_are_quick() {
    let mut world = World::new(3000);
    let init = world.init;
    let (handle, server) = world.spawn(init, 200, 1);
    let service = world.call(init, Call::CapMint, &[(9, handle), (0, 9), (1, Rights::SEND.0 as u64), (2, 0), (3, 0)]).expect("minted")[0];
    let receive = SendInfo { ..SendInfo::default() }.encode();
    world.begin(server.slot(), Call::IpcRecv, &[(10, receive), (12, FOREVER)]);
    for length in [0, 8, 64] {
        world.switch_to(init);
        let word = SendInfo { length, ..SendInfo::default() }.encode();
        let now = world.now;
        let x = &mut world.core.agents[init].registers.x;
        (x[8], x[9], x[10], x[12]) = (Call::IpcCall as u64, service, word, FOREVER);
        x[..8].fill(0x1111);
        assert_eq!(world.core.quick(&mut world.sim, now), Quick::Run(server.slot()));
        assert_eq!(world.core.next(&mut world.sim, now), Next::Run(server.slot()));
        let x = &mut world.core.agents[server.slot()].registers.x;
        let words = usize::try_from(length / 8).expect("few");
        assert!(x[..words].iter().all(|&word| word == 0x1111) && x[words..8].iter().all(|&word| word == 0), "{x:x?}");
        (x[8], x[9], x[10], x[12]) = (Call::IpcReplyRecv as u64, x[12], word, FOREVER);
        assert_eq!(world.core.quick(&mut world.sim, now), Quick::Run(init));
        assert_eq!(world.core.next(&mut world.sim, now), Next::Run(init));
        world.check();
    }
}
