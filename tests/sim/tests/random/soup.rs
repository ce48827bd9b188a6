//! All calls, made by many agents at random, with faults, interrupts, preemption, passing time and failing memory; after every event everything is
//! checked that can be: the kernel's own invariants, where every page is, that a refused call changed nothing, that nobody got a right that nobody
//! gave, and that every call had one reply or one error.

use std::collections::BTreeMap;

use aios_abi::call::init;
use aios_abi::id::MessageId;
use aios_abi::limits::USER_BASE;
use aios_abi::message::{FaultCause, Received, RecvInfo};
use aios_abi::rights::Rights;
use aios_abi::{AgentId, Call, Error};
use aios_core::agent::State;
use aios_core::core::{Exception, Next};
use aios_sim::World;

use crate::arguments::{Draw, Memory};
use crate::authority::{self, Held, Where};
use crate::observed::{differences, observe};
use crate::seeds;

/// How hostile a run is.
#[derive(Clone, Copy, Debug)]
struct Climate {
    /// Pages of memory.
    pages: u64,
    /// One allocation in so many fails although memory is there; 0: none.
    failures: u64,
    /// Interrupts in long work, in 256.
    interrupts: u8,
    /// Faults, in percent.
    faults: u32,
}

/// A call under way.
struct Issued {
    call: Option<Call>,
    /// The message of a call that waits.
    message: MessageId,
    /// A reply came: its first word, and who replied.
    reply: Option<AgentId>,
}

struct Program {
    id: AgentId,
    incarnation: u32,
    issued: Option<Issued>,
    memory: Memory,
}

struct Soup {
    world: World,
    rng: fastrand::Rng,
    climate: Climate,
    programs: BTreeMap<u16, Program>,
    tokens: Vec<Held>,
    /// In this step init gave away much at once.
    equipped: bool,
    /// Who makes which call in this step.
    actor: Option<(AgentId, Call)>,
    counts: BTreeMap<(&'static str, u64), u64>,
}

impl Soup {
    fn new(seed: u64, climate: Climate) -> Self {
        let mut world = World::new(climate.pages);
        world.checking = false;
        world.sim.interrupt_chance = climate.interrupts;
        world.sim.interrupt_seed.set(seed | 1 << 40);
        let rng = fastrand::Rng::with_seed(seed);
        let mut soup = Self {
            world,
            rng,
            climate,
            programs: BTreeMap::new(),
            tokens: Vec::new(),
            equipped: false,
            actor: None,
            counts: BTreeMap::new(),
        };
        let init = soup.world.init;
        soup.world.memory(init, &[1; 70_000]);
        for _ in 0..5 {
            soup.equip();
        }
        soup.tokens.clear();
        soup
    }

    /// Init spawns an agent and gives it a part of what there is.
    fn equip(&mut self) {
        let fail_at = self.world.sim.fail_at.take();
        let (init, quota) = (self.world.init, self.rng.u64(60..250));
        let mailbox = self.rng.u64(0..3);
        if self.world.core.agents[init].pools[0].left() > quota + 30 {
            let (handle, id) = self.world.spawn(init, quota, mailbox);
            let slot = id.slot();
            let bytes = vec![slot as u8; self.rng.usize(1..70_000)];
            self.world.begin(slot, Call::AgentMemAlloc, &[(0, bytes.len() as u64), (1, self.rng.u64(0..2))]);
            self.give(handle, init::SLOT_IRQS, Rights::BIND, (32, 6));
            for (index, rights) in [
                (init::SLOT_OBSERVE, Rights::READ),
                (init::SLOT_CONSOLE, Rights::WRITE),
                (init::SLOT_SEED, Rights::WRITE),
                (init::SLOT_POWER, Rights::NONE),
                (init::SLOT_BUNDLE, Rights::READ.or(Rights::EXECUTE)),
            ] {
                if self.rng.bool() {
                    self.give(handle, index, rights, (0, 0));
                }
            }
            let first = self.rng.u64(0..4);
            self.give(handle, init::SLOT_DEVICES, Rights::READ.or(Rights::WRITE), (first, 2));
            self.introduce(handle, slot);
        }
        self.world.sim.fail_at = fail_at;
    }

    fn give(&mut self, to: u64, index: u16, rights: Rights, part: (u64, u64)) {
        let (init, slot) = (self.world.init, self.world.own_slot(self.world.init, index));
        let rights = rights.or(Rights::GRANT).or(Rights::DERIVE).or(Rights::REVOKE).0 as u64;
        let derive = [(9, slot), (0, rights), (1, 0), (2, part.0), (3, part.1)];
        if let Ok(x) = self.world.call(init, Call::CapDerive, &derive) {
            let _ = self.world.call(init, Call::CapGrant, &[(9, to), (0, x[0]), (1, rights), (2, 0), (3, 1), (4, 0)]);
        }
    }

    /// A new agent and those that are there get services, notifications and capabilities of each other, with some rights.
    fn introduce(&mut self, handle: u64, slot: u16) {
        let init = self.world.init;
        let others: Vec<u16> = self.world.slots().filter(|&other| other != slot).collect();
        for other in others {
            let theirs = match other == init {
                true => self.world.own_slot(init, 1),
                false => match self.find(other) {
                    Some(handle) => handle,
                    None => continue,
                },
            };
            for (source, target) in [(theirs, handle), (handle, theirs)] {
                let random = self.rng.u32(..) as u64;
                for (call, args) in [
                    (Call::CapMint, vec![(9, source), (0, random), (1, 0x78 | random), (2, 0), (3, 0)]),
                    (Call::CapMint, vec![(9, source), (0, 0xff), (1, 0x78), (2, 0), (3, 1)]),
                    (Call::CapDerive, vec![(9, source), (0, 0x70 | random & 0x3f_0000 & !(1 << 16)), (1, 0), (2, 0), (3, 0)]),
                ] {
                    if self.rng.u32(0..10) < 3 {
                        continue;
                    }
                    let Ok(x) = self.world.call(init, call, &args) else { continue };
                    let rights = self.world.call(init, Call::CapCheck, &[(9, x[0]), (0, 0)]).map_or(0, |x| x[1]);
                    if other == init && target == theirs {
                        continue;
                    }
                    let grant = [(9, target), (0, x[0]), (1, rights), (2, 0), (3, self.rng.u64(0..3)), (4, 0)];
                    let _ = self.world.call(init, Call::CapGrant, &grant);
                }
            }
        }
    }

    /// Init's capability of an agent, with which it controls it.
    fn find(&self, target: u16) -> Option<u64> {
        let agents = &self.world.core.agents;
        let (id, table) = (agents[target].id, &agents[self.world.init].slots);
        (3..table.end()).find_map(|index| {
            let slot = table.look(index)?;
            let controls = slot.kind == aios_abi::rights::Kind::Agent && slot.agent() == id && slot.rights.contains(Rights::CONTROL);
            controls.then(|| aios_abi::SlotHandle::new(index, slot.generation).0 as u64)
        })
    }

    fn run(&mut self, steps: u32) {
        let mut before = self.list();
        for step in 0..steps {
            self.equipped = false;
            self.actor = None;
            self.step();
            if let Err(violation) = self.world.core.check(&self.world.sim) {
                panic!("after {:?}: {violation}", self.actor);
            }
            // Pages that are lost stay lost: they are found some steps later as well.
            if step % 16 == 0 {
                self.world.check();
            }
            let after = self.list();
            if !self.equipped {
                authority::check(&before, &after, self.actor);
            }
            before = after;
        }
    }

    fn list(&self) -> Vec<Held> {
        let mut all = authority::list(&self.world);
        all.extend(&self.tokens);
        all
    }

    /// One event.
    fn step(&mut self) {
        self.world.now += match self.rng.u32(0..40) {
            0 => self.rng.u64(0..20_000_000),
            _ => self.rng.u64(1..20_000),
        };
        let now = self.world.now;
        if self.climate.failures != 0 && self.rng.u64(0..self.climate.failures) == 0 {
            self.world.sim.fail_at = Some(self.world.sim.allocations + self.rng.u64(0..3));
        }
        if self.world.sim.timer <= now {
            self.world.core.tick(&mut self.world.sim, now);
        }
        if self.rng.u32(0..50) == 0 {
            let lines: Vec<u32> = self.world.sim.lines.iter().filter(|(_, on)| **on).map(|(&line, _)| line).collect();
            if !lines.is_empty() {
                let line = lines[self.rng.usize(0..lines.len())];
                self.world.core.interrupt(&mut self.world.sim, line, now);
            }
        }
        match self.world.core.next(&mut self.world.sim, now) {
            Next::Run(slot) if self.world.rewound(slot) => self.execute(slot),
            Next::Run(slot) => self.act(slot),
            Next::Idle => self.world.now = self.world.sim.timer.min(now + 50_000_000).max(now),
            Next::Interrupted => {}
            Next::Halt => panic!("init is gone"),
        }
        // Before anybody runs again, the kernel decides who, and sets its timer.
        let _ = self.world.core.next(&mut self.world.sim, self.world.now);
    }

    /// An agent runs: its call has ended, and it does something else.
    fn act(&mut self, slot: u16) {
        let (id, incarnation) = (self.world.core.agents[slot].id, self.world.core.agents[slot].incarnation);
        let known = self.programs.get(&slot).is_some_and(|program| program.id == id && program.incarnation == incarnation);
        if !known {
            self.programs.insert(slot, Program { id, incarnation, issued: None, memory: Memory::default() });
        }
        self.conclude(slot);
        if slot == self.world.init && self.world.slots().count() < 4 {
            self.equip();
            self.equipped = true;
            return;
        }
        if slot != self.world.init && self.rng.u32(0..100) < self.climate.faults {
            self.fault(slot);
            return;
        }
        let program = &self.programs[&slot];
        let (mut number, mut args) = Draw { rng: &mut self.rng, world: &self.world, slot, memory: &program.memory }.call();
        if slot == self.world.init {
            // Init keeps what it needs to make new agents.
            let dropped = args.iter().any(|&(register, value)| register == 9 && value >> 16 <= init::SLOT_DEVICE_TREE as u64);
            if number == Call::CapDrop as u64 && dropped {
                number = Call::Yield as u64;
            }
            let grants = number == Call::CapGrant as u64;
            for (register, value) in &mut args {
                match *register {
                    10 if number != Call::AgentSpawn as u64 => *value &= !(1 << 23),
                    3 if grants && *value == 1 => *value = 0,
                    _ => {}
                }
            }
        }
        self.issue(slot, number, &args);
    }

    fn fault(&mut self, slot: u16) {
        let causes =
            [FaultCause::DataUnmapped, FaultCause::DataUnmapped, FaultCause::Undefined, FaultCause::DataPermission, FaultCause::Alignment];
        let cause = causes[self.rng.usize(0..causes.len())];
        let regions = self.world.core.agents[slot].regions.as_slice().to_vec();
        let address = match self.rng.choice(regions.iter()) {
            Some(region) if self.rng.u32(0..4) != 0 => region.va + self.rng.u64(0..region.bytes()),
            _ => self.rng.u64(..),
        };
        let mapped = self.world.core.agents[slot].space.translate(&self.world.sim, address).is_some();
        let cause = if mapped && cause == FaultCause::DataUnmapped { FaultCause::Undefined } else { cause };
        self.world.core.fault(&mut self.world.sim, Exception { cause, syndrome: 7, address }, self.world.now);
    }

    /// What the agent learns from the end of its call.
    fn conclude(&mut self, slot: u16) {
        let x = self.world.core.agents[slot].registers.x;
        let Some(program) = self.programs.get_mut(&slot) else { return };
        let Some(issued) = program.issued.take() else { return };
        let Some(call) = issued.call else {
            assert_eq!(x[8], Error::UnknownCall.code() as u64, "agent {slot}, {:?}", self.world.core.agents[slot].registers);
            return;
        };
        let done = x[8] == 0;
        assert!(done || Error::from_code(x[8] as u16).is_some_and(|error| error.code() as u64 == x[8]), "{call:?} ended with {:#x}", x[8]);
        *self.counts.entry((call.name(), x[8])).or_default() += 1;
        if call == Call::IpcCall && !issued.message.eq(&MessageId::NONE) {
            assert_eq!(done, issued.reply.is_some(), "a call ends with its reply or with an error: {x:x?}");
            if let Some(replier) = issued.reply {
                assert_eq!((AgentId(x[9]), RecvInfo::decode(x[10]).kind), (replier, Received::Reply));
            }
        }
        if !done {
            return;
        }
        let memory = &mut program.memory;
        match call {
            Call::IpcRecv | Call::IpcReplyRecv | Call::IpcCall => {
                let head = RecvInfo::decode(x[10]);
                if matches!(head.kind, Received::Call | Received::Fault) {
                    memory.messages.push(x[12]);
                }
                let handles = [x[7] & 0xffff_ffff, x[7] >> 32, x[6] & 0xffff_ffff, x[6] >> 32];
                memory.handles.extend(&handles[..head.caps as usize]);
            }
            Call::AgentSpawn | Call::FrameAlloc | Call::CapMint | Call::CapDerive | Call::AgentPoolAlloc | Call::CapAdmit => {
                memory.handles.push(x[0])
            }
            Call::PqcOperation => memory.operations.push(x[0]),
            Call::CapExport => memory.tokens.push(x[11]),
            _ => {}
        }
    }

    fn issue(&mut self, slot: u16, number: u64, args: &[(usize, u64)]) {
        let agent = &mut self.world.core.agents[slot];
        for &(register, value) in args {
            agent.registers.x[register] = value;
        }
        agent.registers.x[8] = number;
        // The program counter never leaves the code.
        agent.registers.pc = USER_BASE + 0x200;
        self.execute(slot);
    }

    /// The call instruction: the first time, or again because the kernel set the agent back to it.
    fn execute(&mut self, slot: u16) {
        let agent = &self.world.core.agents[slot];
        let (id, x, pc, handling) = (agent.id, agent.registers.x, agent.registers.pc, agent.handler.active);
        let call = Call::from_number(x[8]);
        self.actor = call.map(|call| (id, call));
        let replies = matches!(call, Some(Call::IpcReply | Call::IpcReplyRecv)).then(|| self.awaiting(id, MessageId(x[9]))).flatten();
        let exported = (call == Some(Call::CapExport)).then(|| self.exported(slot, &x)).flatten();
        let before = observe(&self.world, slot);
        let queued = self.queue_of(slot);
        self.world.execute(slot);
        self.world.sim.fail_at = None;
        let Some(agent) = self.world.core.agents.get(slot).filter(|agent| agent.id == id) else { return };
        if handling && call == Some(Call::FaultReply) && !agent.handler.active {
            // All registers are those that were stored, the status too.
            return;
        }
        let message = if matches!(agent.state, State::Calling(_) | State::Awaiting(_)) { agent.outgoing.message } else { MessageId::NONE };
        let again = agent.registers.pc == pc;
        let refused = !again && agent.state == State::Ready && agent.work.is_none() && agent.registers.x[8] != 0;
        let ends = matches!(call, Some(Call::Exit | Call::Yield));
        if refused && !ends {
            self.judge_refusal(slot, call, &before, &queued, replies);
        }
        if let Some(token) = exported.filter(|_| self.world.core.agents[slot].registers.x[8] == 0) {
            self.tokens.push(token);
        }
        if let Some(program) = self.programs.get_mut(&slot) {
            program.issued = Some(Issued { call, message, reply: None });
        }
        if let Some(caller) = replies {
            self.replied(slot, caller, MessageId(x[9]));
        }
    }

    /// Who waits for the reply to this message from this agent.
    fn awaiting(&self, server: AgentId, message: MessageId) -> Option<u16> {
        let caller = self.world.core.agents.get(message.sender_slot())?;
        (caller.state == State::Awaiting(server) && caller.outgoing.message == message).then_some(message.sender_slot())
    }

    fn replied(&mut self, server: u16, caller: u16, message: MessageId) {
        let server_id = self.world.core.agents[server].id;
        if self.awaiting(server_id, message).is_some() {
            return;
        }
        let done = self.world.core.agents[caller].registers.x[8] == 0;
        if let Some(issued) = self.programs.get_mut(&caller).and_then(|program| program.issued.as_mut()).filter(|_| done) {
            assert_eq!(issued.message, message, "a reply for another call");
            assert!(issued.reply.replace(server_id).is_none(), "two replies to one call");
        }
    }

    fn queue_of(&self, slot: u16) -> Vec<u16> {
        let (mut members, mut at) = (Vec::new(), self.world.core.agents[slot].queue.head);
        while at != 0 {
            members.push(at);
            at = self.world.core.agents[at].links.next;
        }
        members
    }

    /// A refused call left everything as it was, but for: the caller's status; callers that a receive refused, and links beside them; the caller that a
    /// reply reached before the receive failed; a receiver whose own buffer was bad; an operation that ended with the error that is asked for; an agent that was half made (the reaper has it).
    fn judge_refusal(&self, slot: u16, call: Option<Call>, before: &BTreeMap<u16, [u64; 12]>, queued: &[u16], replied: Option<u16>) {
        let after = observe(&self.world, slot);
        let receives = matches!(call, Some(Call::IpcRecv | Call::IpcReplyRecv));
        // Whose call or operation the reply was for.
        let answered = MessageId(self.world.core.agents[slot].registers.x[9]).sender_slot();
        let excused = |agent: u16, part: &str| {
            let failed = self.world.core.agents.get(agent).is_some_and(|agent| agent.state == State::Ready && agent.registers.x[8] != 0);
            let sends = matches!(call, Some(Call::IpcSend | Call::IpcCall | Call::PqcOperation));
            let received = queued.contains(&agent) || answered == agent || part == "lists";
            let replied_before = replied.is_some() && agent == slot && part == "slots";
            (receives && (received || replied_before))
                || (sends && agent != slot && failed && matches!(part, "state" | "registers" | "timers"))
                || (call == Some(Call::PqcPoll) && agent == slot && part == "operations")
                || (call == Some(Call::AgentSpawn) && agent == slot && part == "family")
        };
        let found = differences(before, &after, excused);
        let error = self.world.core.agents[slot].registers.x[8];
        assert!(found.is_empty(), "{call:?} of agent {slot} was refused ({error}) and changed {found:?}");
    }

    /// The capability that a token will stand for.
    fn exported(&self, slot: u16, x: &[u64; 31]) -> Option<Held> {
        let handle = aios_abi::SlotHandle(x[9] as u32);
        let mut held = *self.world.core.agents[slot].slots.look(handle.index())?;
        held.rights = Rights(x[1] as u32);
        if x[2] != 0 {
            held.expiry = x[2];
        }
        Some(Held { place: Where::Token(AgentId(x[0])), slot: held, valid: true })
    }

    /// Init ends everybody whom it can end; the books are right at every step.
    fn end(mut self) {
        let init = self.world.init;
        self.world.sim.fail_at = None;
        self.world.sim.interrupt_chance = 0;
        self.world.checking = true;
        self.wait_for_init();
        loop {
            self.world.settle();
            let killable = self.world.slots().filter(|&slot| slot != init).find_map(|slot| self.killer(slot));
            let Some(handle) = killable else { break };
            self.world.call(init, Call::AgentControl, &[(9, handle), (0, 2)]).expect("killed");
        }
        // Who is left can't be ended by init any more; what belongs to init's children that are gone is back.
        let agents = &self.world.core.agents;
        let promised: u64 =
            self.world.slots().filter(|&slot| agents[slot].parent == agents[init].id).map(|slot| agents[slot].pools[0].quota).sum();
        assert!(agents[init].pools.iter().map(|pool| pool.used).sum::<u64>() >= promised);
        self.world.check();
    }

    fn wait_for_init(&mut self) {
        for _ in 0..1000 {
            if self.world.core.agents[self.world.init].state == State::Ready {
                return;
            }
            self.world.pass(10_000_000);
        }
        panic!("init waits for ever");
    }

    fn killer(&self, target: u16) -> Option<u64> {
        let agents = &self.world.core.agents;
        let (id, table) = (agents.get(target)?.id, &agents[self.world.init].slots);
        (3..table.end()).find_map(|index| {
            let slot = table.look(index)?;
            let kills = slot.kind == aios_abi::rights::Kind::Agent && slot.agent() == id && slot.rights.contains(Rights::KILL);
            let valid = aios_core::cap::is_valid(&self.world.sim, slot.node, slot.root.index()) && slot.expiry == 0;
            (kills && valid).then(|| aios_abi::SlotHandle::new(index, slot.generation).0 as u64)
        })
    }
}

fn climates(seed: u64) -> Climate {
    let mild = Climate { pages: 4000, failures: 0, interrupts: 0, faults: 1 };
    match seed % 4 {
        0 => mild,
        1 => Climate { interrupts: 60, faults: 3, ..mild },
        2 => Climate { failures: 12, interrupts: 20, ..mild },
        _ => Climate { pages: 420, failures: 40, interrupts: 120, faults: 6 },
    }
}

#[test]
fn whatever_agents_do_every_invariant_holds() {
    seeds::each(24, |seed| {
        let mut soup = Soup::new(seed, climates(seed));
        soup.run(1500);
        soup.end();
    });
}

#[test]
fn random_calls_reach_every_call_with_and_without_success() {
    let mut counts: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    for seed in 1000..1016 {
        let mut soup = Soup::new(seed, climates(0));
        soup.run(2000);
        for (key, count) in soup.counts {
            *counts.entry(key).or_default() += count;
        }
    }
    let seen = |call: &Call, good: bool| counts.keys().any(|&(name, status)| name == call.name() && (status == 0) == good);
    let missing: Vec<_> =
        Call::ALL.iter().flat_map(|call| [(call, true), (call, false)]).filter(|(call, good)| !seen(call, *good)).collect();
    // These never fail; these never come back.
    let never = [(Call::Yield, false), (Call::TimerSet, false), (Call::TimeNow, false), (Call::Exit, true), (Call::PowerControl, true)];
    assert!(missing.iter().all(|&(&call, good)| never.contains(&(call, good))), "{missing:?} of {counts:?}");
}
