//! Recordings of the scheduler: random load on two cores is replayed with the same outcomes; a recording ends with whatever allowed it, before memory is
//! used again; and nothing that its owner writes into the frame matters to the kernel.

use std::collections::BTreeMap;

use aios_abi::call::{AgentOp, init};
use aios_abi::limits::{PAGE_SIZE, SLICE_MIN_NS};
use aios_abi::message::SendInfo;
use aios_abi::rights::Rights;
use aios_abi::trace::{EVENT_SIZE, Event, HEADER_SIZE, Header, MAGIC, MODE_ONCE, MODE_RING, Op};
use aios_abi::{AgentId, Call, Error};
use aios_core::agent::State;
use aios_core::machine::Memory;
use aios_sim::Cluster;
use aios_trace::replay;
use fastrand::Rng;

const ALL: u64 = u32::MAX as u64;
const MS: u64 = 1_000_000;

/// A random generator whose seed is shown when the test fails.
fn rng() -> Rng {
    let seed = std::env::var("AIOS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("AIOS_SEED={seed}");
    Rng::with_seed(seed)
}

/// A frame of an agent: its handle and physical address.
fn frame(cluster: &mut Cluster, owner: u16, pages: u64) -> (u64, u64) {
    let pool = cluster.own_slot(owner, 2);
    let x = cluster.call(owner, Call::FrameAlloc, &[(9, pool), (0, pages)]).expect("a frame");
    (x[0], x[1])
}

fn bind(cluster: &mut Cluster, who: u16, observe: u64, frame: u64, core: u64, mode: u64) -> Result<(), Error> {
    cluster.call(who, Call::TraceBind, &[(9, observe), (0, frame), (1, core), (2, 0), (3, mode)]).map(drop)
}

fn give(cluster: &mut Cluster, to: AgentId, slot: u64, rights: Rights, transfer: u64) -> u64 {
    let init = cluster.init;
    let target = cluster.capability_of(init, to);
    cluster.call(init, Call::CapGrant, &[(9, target), (0, slot), (1, rights.0 as u64), (2, 0), (3, transfer), (4, 0)]).expect("granted")[0]
}

fn kill(cluster: &mut Cluster, agent: AgentId) {
    let (init, handle) = (cluster.init, cluster.capability_of(cluster.init, agent));
    cluster.call(init, Call::AgentControl, &[(9, handle), (0, AgentOp::Kill as u64)]).expect("killed");
    cluster.settle();
}

fn header(cluster: &Cluster, physical: u64) -> Header {
    Header::from_words(std::array::from_fn(|i| cluster.sim.read(physical + i as u64 * 8)))
}

/// The events of a frame that was filled once.
fn events(cluster: &Cluster, physical: u64) -> Vec<Event> {
    let head = header(cluster, physical).head;
    let word = |number: u64, i: usize| cluster.sim.read(physical + HEADER_SIZE as u64 + number * EVENT_SIZE as u64 + i as u64 * 8);
    (0..head).map(|number| Event::from_words(std::array::from_fn(|i| word(number, i))).expect("an event")).collect()
}

/// Agents on two cores, some with reservations, that do random things.
struct Load {
    cluster: Cluster,
    agents: Vec<(u64, AgentId)>,
    services: BTreeMap<(u64, u64), u64>,
}

impl Load {
    fn new(rng: &mut Rng) -> Self {
        let cluster = Cluster::new(2, 20_000);
        let mut load = Self { cluster, agents: Vec::new(), services: BTreeMap::new() };
        for _ in 0..8 {
            load.spawn(rng);
        }
        load
    }

    fn spawn(&mut self, rng: &mut Rng) {
        let init = self.cluster.init;
        let (handle, id) = self.cluster.spawn_on(init, 100, 1, rng.u16(0..2));
        let (class, first, second) =
            if rng.u8(0..3) == 0 { (1, rng.u64(1..4) * SLICE_MIN_NS, rng.u64(10..30) * MS) } else { (0, rng.u64(1..=1024), 0) };
        let _ = self.cluster.call(init, Call::SchedSet, &[(9, handle), (0, class), (1, first), (2, second)]);
        self.agents.push((handle, id));
    }

    /// Whoever runs on each core does something; then time passes.
    fn step(&mut self, rng: &mut Rng) {
        let init = self.cluster.init;
        for core in 0..2 {
            let (_, Some(slot)) = self.cluster.turn(core) else { continue };
            if slot == init {
                continue;
            }
            let id = self.cluster.agent(slot).expect("it runs").id;
            let (now, info) = (self.cluster.now, SendInfo { length: 8, ..SendInfo::default() }.encode());
            let to = self.agents[rng.usize(..self.agents.len())].1;
            let service = self.services.get(&(to.0, id.0)).copied().unwrap_or(u64::MAX);
            let deadline = now + rng.u64(..20 * MS);
            let (call, args): (Call, Vec<(usize, u64)>) = match rng.u8(0..6) {
                0 => (Call::Yield, vec![]),
                1 => (Call::IpcRecv, vec![(10, 0), (12, deadline)]),
                2 => (Call::IpcCall, vec![(9, service), (10, info), (12, deadline)]),
                3 => (Call::TimerSet, vec![(0, deadline), (1, 1)]),
                4 => (Call::IpcSend, vec![(9, service), (10, info)]),
                _ => continue,
            };
            self.cluster.sim.core = core;
            let agent = self.cluster.cores[core as usize].agents.get_mut(slot).expect("it runs");
            agent.registers.x[8] = call as u64;
            args.into_iter().for_each(|(register, value)| agent.registers.x[register] = value);
            agent.registers.pc += 4;
            self.cluster.cores[core as usize].syscall(&mut self.cluster.sim, now);
        }
        self.cluster.pass(rng.u64(..2 * MS));
        match rng.u8(0..40) {
            0 => self.spawn(rng),
            1 if self.agents.len() > 4 => {
                let (_, id) = self.agents.swap_remove(rng.usize(..self.agents.len()));
                kill(&mut self.cluster, id);
            }
            2 | 3 => {
                let (handle, id) = self.agents[rng.usize(..self.agents.len())];
                let there = self.cluster.agent(id.slot()).is_some_and(|agent| agent.state != State::Dying);
                assert!(there, "nobody dies by himself");
                let _ = self.cluster.migrate(init, handle, rng.u16(0..2));
            }
            4 => {
                let (handle, _) = self.agents[rng.usize(..self.agents.len())];
                let _ = self.cluster.call(init, Call::SchedSet, &[(9, handle), (0, 0), (1, rng.u64(1..=1024)), (2, 0)]);
            }
            5 => {
                let (from, to) = (self.agents[rng.usize(..self.agents.len())].1, self.agents[rng.usize(..self.agents.len())].1);
                if from != to && !self.services.contains_key(&(to.0, from.0)) {
                    let service = self.cluster.connect(to, 5, from);
                    self.services.insert((to.0, from.0), service);
                }
            }
            _ => {}
        }
    }
}

#[test]
fn a_random_load_on_two_cores_is_replayed_with_the_same_outcomes() {
    let mut rng = rng();
    let rounds = std::env::var("AIOS_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    for _ in 0..6 * rounds {
        let mut load = Load::new(&mut rng);
        (0..100).for_each(|_| load.step(&mut rng));
        let init = load.cluster.init;
        let observe = load.cluster.own_slot(init, init::SLOT_OBSERVE);
        let frames = [0, 1].map(|core| {
            let (handle, physical) = frame(&mut load.cluster, init, 32);
            bind(&mut load.cluster, init, observe, handle, core, MODE_ONCE).expect("recorded");
            physical
        });
        for _ in 0..400 {
            load.step(&mut rng);
        }
        for (core, physical) in (0..).zip(frames) {
            bind(&mut load.cluster, init, observe, 0, core, 0).expect("ended");
            let header = header(&load.cluster, physical);
            assert_eq!((header.magic, header.core, header.bound), (MAGIC, core, 0));
            let events = events(&load.cluster, physical);
            let report = replay(&events);
            assert_eq!(report.trouble, None, "core {core}");
            assert_eq!((report.lost, report.states), (0, 1));
            assert!(report.decisions > 100 && report.compared > 300 && report.contexts.len() > 2, "{report:?}");
            // One that is changed is found.
            let picks: Vec<usize> = (0..events.len()).filter(|&at| events[at].op == Op::Pick && events[at].flag == 1).collect();
            let at = picks[rng.usize(..picks.len())];
            let mut changed = events;
            changed[at].a += 1;
            assert_eq!(replay(&changed).trouble.map(|trouble| trouble.0), Some(at));
        }
    }
}

/// Init; an owner of a frame on core 1, a recorder on core 2 to which it is derived. They record core `core`. The handle of the frame is the owner's.
struct Stage {
    cluster: Cluster,
    owner: AgentId,
    recorder: AgentId,
    frame: u64,
    physical: u64,
    /// Init's capability that the recorder's observe capability is derived from.
    source: u64,
}

fn stage(core: u64) -> Stage {
    let mut cluster = Cluster::new(4, 4000);
    let init = cluster.init;
    let (_, owner) = cluster.spawn_on(init, 200, 1, 1);
    let (_, recorder) = cluster.spawn_on(init, 200, 1, 2);
    let source = cluster.own_slot(init, init::SLOT_OBSERVE);
    let observe = give(&mut cluster, recorder, source, Rights::READ, 2);
    let (frame, physical) = frame(&mut cluster, owner.slot(), 1);
    // The owner reaches the recorder through a capability that init lends it.
    let reach = cluster.capability_of(init, recorder);
    let reach = give(&mut cluster, owner, reach, Rights::CONTROL, 0);
    let given = cluster
        .call(owner.slot(), Call::CapGrant, &[(9, reach), (0, frame), (1, ALL), (2, 0), (3, 2), (4, 0)])
        .expect("the recorder gets it")[0];
    bind(&mut cluster, recorder.slot(), observe, given, core, MODE_RING).expect("recorded");
    Stage { cluster, owner, recorder, frame, physical, source }
}

/// The core writes no more into the frame, and records for whoever comes next.
fn assert_ended(stage: &mut Stage, core: u64) {
    let cluster = &mut stage.cluster;
    cluster.settle();
    let pages = || (stage.physical..stage.physical + PAGE_SIZE as u64).step_by(8);
    let there = cluster.sim.allocated().any(|page| page == stage.physical);
    let before: Vec<u64> = if there { pages().map(|at| cluster.sim.read(at)).collect() } else { Vec::new() };
    let init = cluster.init;
    let (other, _) = frame(cluster, init, 1);
    bind(cluster, init, stage.source, other, core, MODE_RING).expect("nobody else records");
    cluster.pass(50 * MS);
    if there {
        assert!(pages().map(|at| cluster.sim.read(at)).eq(before), "nothing was written");
    }
    bind(cluster, init, stage.source, 0, core, 0).expect("ended");
}

/// Each core is recorded in turn: the binder's, the owner's, init's, and one with nobody.
fn on_each_core(end: impl Fn(&mut Stage)) {
    for core in 0..4 {
        let mut stage = stage(core);
        let init = stage.cluster.init;
        let (busy, _) = frame(&mut stage.cluster, init, 1);
        let source = stage.source;
        assert_eq!(bind(&mut stage.cluster, init, source, busy, core, 0), Err(Error::Busy));
        assert_eq!(bind(&mut stage.cluster, init, source, 0, core, 0), Err(Error::Busy));
        end(&mut stage);
        assert_ended(&mut stage, core);
    }
}

#[test]
fn a_recording_ends_with_a_revocation_of_its_frame() {
    on_each_core(|stage| {
        let (owner, frame) = (stage.owner.slot(), stage.frame);
        stage.cluster.call(owner, Call::CapRevoke, &[(9, frame), (0, 1)]).expect("revoked");
    });
}

#[test]
fn a_recording_ends_with_the_owner_of_its_frame() {
    on_each_core(|stage| {
        kill(&mut stage.cluster, stage.owner);
        assert!(!stage.cluster.sim.allocated().any(|page| page == stage.physical), "its memory is free");
    });
}

#[test]
fn a_recording_ends_with_whoever_asked_for_it() {
    on_each_core(|stage| kill(&mut stage.cluster, stage.recorder));
    on_each_core(|stage| {
        let (init, handle) = (stage.cluster.init, stage.cluster.capability_of(stage.cluster.init, stage.recorder));
        stage.cluster.call(init, Call::AgentControl, &[(9, handle), (0, AgentOp::Restart as u64)]).expect("restarted");
    });
}

#[test]
fn a_recording_ends_with_the_right_to_observe() {
    on_each_core(|stage| {
        let (init, source) = (stage.cluster.init, stage.source);
        stage.cluster.call(init, Call::CapRevoke, &[(9, source), (0, 0)]).expect("revoked");
        // A core looks before it writes: this one has to have something to write.
        for core in 0..4 {
            stage.cluster.sim.core = core;
            let now = stage.cluster.now;
            stage.cluster.cores[core as usize].tick(&mut stage.cluster.sim, now);
        }
    });
}

#[test]
fn a_recording_ends_when_its_frame_expires() {
    let mut cluster = Cluster::new(2, 4000);
    let init = cluster.init;
    let observe = cluster.own_slot(init, init::SLOT_OBSERVE);
    let (whole, physical) = frame(&mut cluster, init, 1);
    let expiry = cluster.now + 5 * MS;
    let brief = cluster.call(init, Call::CapDerive, &[(9, whole), (0, ALL), (1, expiry), (2, 0), (3, 0)]).expect("derived")[0];
    bind(&mut cluster, init, observe, brief, 1, MODE_RING).expect("recorded");
    assert_eq!(bind(&mut cluster, init, observe, whole, 1, MODE_RING), Err(Error::Busy));
    cluster.pass(6 * MS);
    let before = header(&cluster, physical).head;
    bind(&mut cluster, init, observe, whole, 1, MODE_RING).expect("the other is over");
    assert_ne!(header(&cluster, physical).since_ns, 0);
    assert!(header(&cluster, physical).head <= before + 4, "it begins anew");
}

/// A recording in itself keeps the frame: whoever drops the capability gives no memory back that is still written.
#[test]
fn a_recording_keeps_its_frame() {
    let mut cluster = Cluster::new(2, 4000);
    let init = cluster.init;
    let observe = cluster.own_slot(init, init::SLOT_OBSERVE);
    let (handle, physical) = frame(&mut cluster, init, 1);
    bind(&mut cluster, init, observe, handle, 1, MODE_RING).expect("recorded");
    cluster.call(init, Call::CapDrop, &[(9, handle)]).expect("dropped");
    assert!(cluster.sim.allocated().any(|page| page == physical));
    bind(&mut cluster, init, observe, 0, 1, 0).expect("ended");
    assert!(!cluster.sim.allocated().any(|page| page == physical));
}

/// The owner writes over header and events as it likes: the kernel goes on as if nothing was there.
#[test]
fn what_is_written_into_the_frame_is_nothing_to_the_kernel() {
    let mut rng = rng();
    let mut load = Load::new(&mut rng);
    let init = load.cluster.init;
    let observe = load.cluster.own_slot(init, init::SLOT_OBSERVE);
    let (handle, physical) = frame(&mut load.cluster, init, 1);
    bind(&mut load.cluster, init, observe, handle, 0, MODE_RING).expect("recorded");
    for _ in 0..400 {
        for _ in 0..rng.u32(..20) {
            let word = if rng.bool() { rng.u64(..8) } else { rng.u64(..PAGE_SIZE as u64 / 8) };
            load.cluster.sim.write(physical + word * 8, rng.u64(..) >> rng.u32(..64));
        }
        load.step(&mut rng);
    }
    load.cluster.pass(20 * MS);
    bind(&mut load.cluster, init, observe, 0, 0, 0).expect("ended");
    let last = header(&load.cluster, physical);
    assert_eq!((last.magic, last.core, last.capacity, last.bound), (MAGIC, 0, 126, 0));
    assert!(last.head > 1000, "{last:?}");
}

/// A frame that is filled once is filled once; bits are raised at its half and at its end; and more agents than can be told of are refused.
#[test]
fn a_full_frame_is_left_alone() {
    let mut rng = rng();
    let mut load = Load::new(&mut rng);
    let init = load.cluster.init;
    let observe = load.cluster.own_slot(init, init::SLOT_OBSERVE);
    let (handle, physical) = frame(&mut load.cluster, init, 1);
    load.cluster.call(init, Call::TraceBind, &[(9, observe), (0, handle), (1, 1), (2, 1 << 40), (3, MODE_ONCE)]).expect("recorded");
    for _ in 0..300 {
        load.step(&mut rng);
    }
    assert_eq!(header(&load.cluster, physical).head, 126);
    let x = load.cluster.call(init, Call::IpcRecv, &[(10, SendInfo { notifications_only: true, ..SendInfo::default() }.encode()), (12, 0)]);
    assert_eq!(x.expect("bits")[0], 1 << 40);
    assert_eq!(replay(&events(&load.cluster, physical)).trouble, None);
    bind(&mut load.cluster, init, observe, 0, 1, 0).expect("ended");
}

#[test]
fn observing_takes_the_capability() {
    let mut cluster = Cluster::new(2, 4000);
    let init = cluster.init;
    let (_, agent) = cluster.spawn_on(init, 200, 1, 1);
    let (own, _) = frame(&mut cluster, agent.slot(), 1);
    let me = cluster.own_slot(agent.slot(), 1);
    assert_eq!(bind(&mut cluster, agent.slot(), me, own, 0, 0), Err(Error::WrongKind));
    let source = cluster.own_slot(init, init::SLOT_OBSERVE);
    let weak =
        cluster.call(init, Call::CapDerive, &[(9, source), (0, Rights::GRANT.0 as u64), (1, 0), (2, 0), (3, 0)]).expect("derived")[0];
    let target = cluster.capability_of(init, agent);
    let weak = cluster
        .call(init, Call::CapGrant, &[(9, target), (0, weak), (1, Rights::GRANT.0 as u64), (2, 0), (3, 0), (4, 0)])
        .expect("granted")[0];
    assert_eq!(bind(&mut cluster, agent.slot(), weak, own, 0, 0), Err(Error::MissingRight));
}
