//! Every error that the contract names, provoked at least once.

use aios_abi::call::{AgentOp, CLASS_EDF, CLASS_FAIR, SLOT_FIRST, init};
use aios_abi::limits::{
    AGENT_MEM_BASE, AGENT_MEMORY, FRAME_PAGES, IRQS, MAILBOX_PAGES, PAGE_SIZE, PQC_OPERATIONS, REGIONS, USER_BASE, USER_END, WATCHERS,
};
use aios_abi::message::SendInfo;
use aios_abi::record::Table;
use aios_abi::rights::Rights;
use aios_abi::{ABI_VERSION, Call, Error};
use aios_core::agent::POOLS;
use aios_sim::World;

use crate::support::*;

const PAGE: u64 = PAGE_SIZE as u64;

/// A call that names a capability in one register, with arguments that are good otherwise.
struct Use {
    call: Call,
    register: usize,
    handle: u64,
    rights: Rights,
    /// Any kind will do.
    any: bool,
    args: Vec<(usize, u64)>,
}

/// Init's world: a peer, and one capability of every kind.
struct Stage {
    world: World,
    init: u16,
    peer: Peer,
    frame: u64,
    uses: Vec<Use>,
}

fn stage() -> Stage {
    let mut world = World::new(6000);
    let init = world.init;
    let peer = spawn(&mut world);
    let frame = frame(&mut world, init, 2);
    let service = mint(&mut world, init, 1, Rights::ALL);
    let own = world.own_slot(init, 1);
    let bits = world.call(init, Call::CapMint, &[(9, own), (0, 6), (1, ALL), (2, 0), (3, 1)]).expect("minted")[0];
    let buffer = world.memory(init, &[0; 8192]);
    let pool = world.own_slot(init, 2);
    let fixed = |index| world.own_slot(init, index);
    let (irqs, power, observe) = (fixed(init::SLOT_IRQS), fixed(init::SLOT_POWER), fixed(init::SLOT_OBSERVE));
    let (seed, console) = (fixed(init::SLOT_SEED), fixed(init::SLOT_CONSOLE));
    let mut uses = Vec::new();
    let mut add = |call, handle, rights, args: &[(usize, u64)]| {
        uses.push(Use { call, register: 9, handle, rights, any: false, args: args.to_vec() });
    };
    add(Call::IpcSend, service, Rights::SEND, &[(10, 0)]);
    add(Call::IpcCall, service, Rights::SEND, &[(10, 0), (12, FOREVER)]);
    add(Call::Notify, bits, Rights::SEND, &[(0, 2)]);
    add(Call::AgentSpawn, pool, Rights::SPEND, &[(0, 1), (1, 50), (10, ABI_VERSION as u64)]);
    for (op, rights, x1) in [
        (AgentOp::Kill, Rights::KILL, 0),
        (AgentOp::Suspend, Rights::SUSPEND, 0),
        (AgentOp::Resume, Rights::RESUME, 0),
        (AgentOp::Migrate, Rights::SCHEDULE, 0),
        (AgentOp::Start, Rights::CONTROL, USER_BASE),
        (AgentOp::Restart, Rights::CONTROL, 0),
        (AgentOp::Name, Rights::CONTROL, 0),
        (AgentOp::Supervise, Rights::CONTROL, 0),
    ] {
        add(Call::AgentControl, peer.handle, rights, &[(0, op as u64), (1, x1), (2, 0)]);
    }
    add(Call::SchedSet, peer.handle, Rights::SCHEDULE, &[(0, CLASS_FAIR), (1, 10), (2, 0)]);
    add(Call::FrameAlloc, pool, Rights::SPEND, &[(0, 1)]);
    add(Call::AgentPoolAlloc, pool, Rights::SPEND, &[(0, 1)]);
    add(Call::CapMint, own, Rights::MINT, &[(0, 1), (1, 0), (2, 0), (3, 0)]);
    add(Call::CapGrant, peer.handle, Rights::CONTROL, &[(0, frame), (1, 0), (2, 0), (3, 0), (4, 0)]);
    add(Call::IrqBind, irqs, Rights::BIND, &[(0, 33), (1, 1)]);
    add(Call::IrqAck, irqs, Rights::BIND, &[(0, 33)]);
    add(Call::ServiceRegister, service, Rights::NONE, &[(0, 1), (1, seed)]);
    add(Call::Inspect, observe, Rights::READ, &[(0, Table::Memory as u64), (1, 0), (10, 4096), (11, buffer)]);
    add(Call::PowerControl, power, Rights::WRITE, &[(0, 0)]);
    add(Call::SeedSet, seed, Rights::WRITE, &[]);
    add(Call::ConsoleWrite, console, Rights::WRITE, &[(10, 3)]);
    add(Call::TraceBind, observe, Rights::READ, &[(0, frame), (1, 0), (2, 1), (3, 0)]);
    let use_of =
        |call, register, handle, rights, any, args: &[(usize, u64)]| Use { call, register, handle, rights, any, args: args.to_vec() };
    uses.push(use_of(Call::PageMap, 9, frame, Rights::READ, false, &[(0, 0), (1, 0x800_0000), (2, 1)]));
    uses.push(use_of(Call::PageMap, 0, peer.handle, Rights::CONTROL, false, &[(9, frame), (1, 0x800_0000), (2, 1)]));
    uses.push(use_of(Call::ServiceRegister, 1, seed, Rights::WRITE, false, &[(9, service), (0, 1)]));
    uses.push(use_of(Call::CapDerive, 9, frame, Rights::DERIVE, true, &[(0, 0), (1, 0), (2, 0), (3, 0)]));
    uses.push(use_of(Call::CapGrant, 0, frame, Rights::GRANT, true, &[(9, peer.handle), (1, 0), (2, 0), (3, 0), (4, 0)]));
    uses.push(use_of(Call::CapRevoke, 9, frame, Rights::REVOKE, true, &[(0, 0)]));
    uses.push(use_of(Call::CapExport, 9, frame, Rights::GRANT, true, &[(0, peer.id.0), (1, 0), (2, 0), (11, buffer)]));
    uses.push(use_of(Call::CapCheck, 9, frame, Rights::WRITE, true, &[(0, Rights::WRITE.0 as u64)]));
    uses.push(use_of(Call::Watch, 9, peer.handle, Rights::WATCH, true, &[(0, 1)]));
    Stage { world, init, peer, frame, uses }
}

impl Stage {
    fn refused(&mut self, call: Call, args: &[(usize, u64)], error: Error) {
        let result = self.world.call(self.init, call, args);
        assert_eq!(result.map(drop), Err(error), "{call:?} {args:x?}");
    }

    fn with(&mut self, place: usize, handle: u64) -> (Call, Vec<(usize, u64)>) {
        let used = &self.uses[place];
        let mut args = used.args.clone();
        args.push((used.register, handle));
        (used.call, args)
    }

    fn own(&self, index: u16) -> u64 {
        self.world.own_slot(self.init, index)
    }
}

#[test]
fn a_call_without_the_capability_it_needs_is_refused_for_the_right_reason() {
    let mut stage = stage();
    for place in 0..stage.uses.len() {
        let Use { handle, rights, any, register, .. } = stage.uses[place];
        let named = register == 0 && stage.uses[place].call == Call::PageMap;
        for nothing in [if named { 7 } else { 0 }, handle + 1, 3000 << 16 | 1, 1 << 40 | handle, u64::MAX] {
            let (call, args) = stage.with(place, nothing);
            stage.refused(call, &args, Error::NoCapability);
        }
        let other =
            if stage.uses[place].handle == stage.own(init::SLOT_POWER) { stage.own(init::SLOT_SEED) } else { stage.own(init::SLOT_POWER) };
        if !any {
            let (call, args) = stage.with(place, other);
            stage.refused(call, &args, Error::WrongKind);
        }
        if handle == stage.own(1) || handle == stage.own(2) || register == 1 {
            continue;
        }
        // What is derived is narrower by one right, by time, and by what happens to its source.
        let (world, init) = (&mut stage.world, stage.init);
        let held = world.call(init, Call::CapCheck, &[(9, handle), (0, 0)]).expect("it is there")[1];
        let derive = |world: &mut World, source: u64, rights: u64, expiry: u64| {
            world.call(init, Call::CapDerive, &[(9, source), (0, rights), (1, expiry), (2, 0), (3, 0)]).expect("derived")[0]
        };
        let parent = derive(world, handle, held, 0);
        let child = derive(world, parent, held, 0);
        let expiry = world.now + 5_000_000;
        let timed = derive(world, handle, held, expiry);
        if rights != Rights::NONE {
            let weak = derive(world, handle, held & !(rights.0 as u64), 0);
            let (call, args) = stage.with(place, weak);
            stage.refused(call, &args, Error::MissingRight);
        }
        let (world, init) = (&mut stage.world, stage.init);
        world.call(init, Call::CapRevoke, &[(9, parent), (0, 0)]).expect("revoked");
        world.pass(expiry - world.now);
        for (gone, error) in [(child, Error::Revoked), (timed, Error::Expired)] {
            let (call, args) = stage.with(place, gone);
            stage.refused(call, &args, error);
        }
    }
}

#[test]
fn unknown_calls_are_refused() {
    let mut world = World::new(1000);
    let init = world.init;
    for number in [0, 11, 22, 101, 1 << 16 | 8, u64::MAX] {
        world.switch_to(init);
        world.core.agents[init].registers.x[8] = number;
        world.execute(init);
        assert_eq!(world.finished(init), Err(Error::UnknownCall));
    }
}

#[test]
fn errors_of_messages() {
    let mut stage = stage();
    let Stage { world, init, peer, .. } = &mut stage;
    let (init, peer) = (*init, *peer);
    let service = connect_to(world, peer);
    assert_eq!(world.call(peer.slot, Call::IpcRecv, &[(10, room(4096)), (12, 0)]), Err(Error::Timeout));
    let me = mint(world, init, 9, Rights::SEND);
    let mut refused =
        |args: &[(usize, u64)], call, error| assert_eq!(world.call(init, call, args).map(drop), Err(error), "{call:?} {args:x?}");
    for bad in [1 << 42, u64::MAX, 65_537, 5 << 17, 5 << 20, 57 | 1 << 17] {
        for call in [Call::IpcSend, Call::IpcCall, Call::IpcRecv, Call::IpcReply, Call::IpcReplyRecv] {
            refused(&[(9, service), (10, bad), (12, FOREVER)], call, Error::BadArgument);
        }
    }
    refused(&[(9, service), (10, 0), (12, 0)], Call::IpcCall, Error::Timeout);
    refused(&[(10, 0), (12, 0)], Call::IpcRecv, Error::Timeout);
    refused(&[(9, 0), (10, 0), (12, 0)], Call::IpcReplyRecv, Error::Timeout);
    refused(&[(9, me), (10, 0), (12, FOREVER)], Call::IpcCall, Error::Deadlock);
    for message in [0, 1, u64::MAX, 7 << 48 | 3] {
        refused(&[(9, message), (10, 0)], Call::IpcReply, Error::NoSuchMessage);
    }
    refused(&[(9, service), (10, length(100)), (11, NOWHERE)], Call::IpcSend, Error::BadAddress);
    refused(&[(9, service), (10, length(60_000)), (11, NOWHERE)], Call::IpcSend, Error::MessageTooLong);
    refused(&[(9, service), (10, carry(1, false)), (7, service)], Call::IpcSend, Error::CapsRefused);
    // The receiver takes capabilities, and little text.
    world.begin(peer.slot, Call::IpcRecv, &[(10, take(2) | room(100)), (11, NOWHERE), (12, FOREVER)]);
    let pool = world.own_slot(init, 2);
    let weak = derive(world, init, pool, 0).expect("derived");
    let mut refused =
        |args: &[(usize, u64)], call, error| assert_eq!(world.call(init, call, args).map(drop), Err(error), "{call:?} {args:x?}");
    refused(&[(9, service), (10, carry(1, false)), (7, 77)], Call::IpcSend, Error::NoCapability);
    refused(&[(9, service), (10, carry(1, false)), (7, weak)], Call::IpcSend, Error::MissingRight);
    refused(&[(9, service), (10, carry(2, false)), (7, pool | pool << 32)], Call::IpcSend, Error::BadArgument);
    refused(&[(9, service), (10, carry(3, false)), (7, pool | weak << 32), (6, 0), (12, FOREVER)], Call::IpcCall, Error::MissingRight);
    let args = [(9, service), (10, carry(3, false)), (7, pool | service << 32), (6, me), (12, FOREVER)];
    assert!(matches!(world.call(init, Call::IpcCall, &args), Err(Error::CapsRefused | Error::MissingRight)));
    let args = [(9, service), (10, length(101)), (11, NOWHERE), (12, FOREVER)];
    assert_eq!(world.call(init, Call::IpcCall, &args).map(drop), Err(Error::MessageTooLong));
    assert_eq!(world.core.agents[peer.slot].state, aios_core::agent::State::Receiving);
    kill(world, peer);
    let dead = [(9, service), (10, 0), (12, FOREVER)];
    assert_eq!(world.call(init, Call::IpcSend, &dead).map(drop), Err(Error::PeerDied));
    assert_eq!(world.call(init, Call::IpcCall, &dead).map(drop), Err(Error::PeerDied));
}

/// Init's own capability of a peer's mailbox, which outlives the peer.
fn connect_to(world: &mut World, peer: Peer) -> u64 {
    let rights = Rights::SEND.or(Rights::GRANT).0 as u64;
    world.call(world.init, Call::CapMint, &[(9, peer.handle), (0, 4), (1, rights), (2, 0), (3, 0)]).expect("minted")[0]
}

#[test]
fn errors_of_notifications() {
    let mut stage = stage();
    let Stage { world, init, peer, .. } = &mut stage;
    let mint = [(9, peer.handle), (0, 6), (1, ALL), (2, 0), (3, 1)];
    let bits = world.call(*init, Call::CapMint, &mint).expect("minted")[0];
    kill(world, *peer);
    stage.refused(Call::Notify, &[(9, bits), (0, 9)], Error::BadArgument);
    stage.refused(Call::Notify, &[(9, bits), (0, 2)], Error::PeerDied);
}

#[test]
fn errors_of_agents() {
    let mut stage = stage();
    let (peer, pool) = (stage.peer, stage.own(2));
    let spawn = |mailbox, quota, version| vec![(9, pool), (0, mailbox), (1, quota), (10, version)];
    let version = ABI_VERSION as u64;
    stage.refused(Call::AgentSpawn, &spawn(1, 50, version + 1), Error::WrongVersion);
    stage.refused(Call::AgentSpawn, &spawn(MAILBOX_PAGES as u64 + 1, 500, version), Error::BadArgument);
    stage.refused(Call::AgentSpawn, &spawn(5, 7 + 4, version), Error::BadArgument);
    stage.refused(Call::AgentSpawn, &spawn(1, 1 << 30, version), Error::NoMemory);
    stage.refused(Call::AgentSpawn, &spawn(1, u64::MAX, version), Error::NoMemory);
    let control = |op: u64, x1, x2| vec![(9, peer.handle), (0, op), (1, x1), (2, x2)];
    for op in [0, 9, u64::MAX] {
        stage.refused(Call::AgentControl, &control(op, 0, 0), Error::BadArgument);
    }
    stage.refused(Call::AgentControl, &control(AgentOp::Start as u64, USER_BASE, 0), Error::WrongState);
    stage.refused(Call::AgentControl, &control(AgentOp::Resume as u64, 0, 0), Error::WrongState);
    stage.refused(Call::AgentControl, &control(AgentOp::Migrate as u64, 1, 0), Error::NoSuchCore);
    stage.refused(Call::AgentControl, &control(AgentOp::Migrate as u64, u64::MAX, 0), Error::NoSuchCore);
    stage.refused(Call::AgentControl, &control(AgentOp::Supervise as u64, 77, 0), Error::NoCapability);
    let foreign = connect_to(&mut stage.world, peer);
    stage.refused(Call::AgentControl, &control(AgentOp::Supervise as u64, foreign, 0), Error::MissingRight);
    let fresh = stage.world.call(stage.init, Call::AgentSpawn, &spawn(0, 30, version)).expect("spawned")[0];
    for (entry, sp) in [(0, 0), (USER_BASE + 2, 0), (USER_END, 0), (USER_BASE, 8), (USER_BASE, USER_END + 16)] {
        let args = [(9, fresh), (0, AgentOp::Start as u64), (1, entry), (2, sp)];
        stage.refused(Call::AgentControl, &args, Error::BadAddress);
    }
    for (class, one, two) in [
        (2, 1, 1),
        (CLASS_FAIR, 0, 0),
        (CLASS_FAIR, 1025, 0),
        (CLASS_EDF, 0, 1_000_000),
        (CLASS_EDF, 249_999, 10_000_000),
        (CLASS_EDF, 2, 1),
        (CLASS_EDF, 1, 1),
    ] {
        stage.refused(Call::SchedSet, &[(9, peer.handle), (0, class), (1, one), (2, two)], Error::BadArgument);
    }
    stage
        .world
        .call(stage.init, Call::SchedSet, &[(9, peer.handle), (0, CLASS_EDF), (1, 250_000), (2, 10_000_000)])
        .expect("the smallest budget");
    let all = [(9, peer.handle), (0, CLASS_EDF), (1, 10_000_000), (2, 10_000_000)];
    stage.refused(Call::SchedSet, &all, Error::NotAdmitted);
    stage.refused(Call::Watch, &[(9, peer.handle), (0, 0)], Error::BadArgument);
    stage.refused(Call::Watch, &[(9, pool), (0, 1)], Error::WrongKind);
    kill(&mut stage.world, peer);
    for call in [Call::SchedSet, Call::Watch, Call::AgentControl] {
        stage.refused(call, &[(9, peer.handle), (0, 1), (1, 300_000), (2, 900_000)], Error::PeerDied);
    }
    let own = stage.own(1);
    stage.refused(Call::AgentControl, &[(9, own), (0, AgentOp::Restart as u64)], Error::MissingRight);
}

#[test]
fn an_agent_does_not_restart_itself_and_is_watched_by_so_many_only() {
    let mut stage = stage();
    let Stage { world, peer, .. } = &mut stage;
    let own = give(world, *peer, peer.handle, Rights::CONTROL.0 as u64);
    assert_eq!(control(world, peer.slot, own, AgentOp::Restart, 0), Err(Error::BadArgument));
    let watchers: Vec<Peer> = (0..=WATCHERS).map(|_| spawn(world)).collect();
    for (i, watcher) in watchers.iter().enumerate() {
        let handle = give(world, *watcher, peer.handle, Rights::WATCH.0 as u64);
        let result = world.call(watcher.slot, Call::Watch, &[(9, handle), (0, 1)]).map(drop);
        assert_eq!(result, if i < WATCHERS { Ok(()) } else { Err(Error::LimitReached) });
    }
}

#[test]
fn errors_of_faults() {
    let mut stage = stage();
    let good = [USER_BASE, 0, USER_END, 0x8000_0000, USER_BASE];
    for (place, value, error) in [
        (0, 4, Error::BadArgument),
        (0, USER_BASE + 1, Error::BadArgument),
        (0, USER_END, Error::BadArgument),
        (1, u64::MAX, Error::BadArgument),
        (3, 8, Error::BadArgument),
        (4, USER_BASE + 4, Error::BadAddress),
        (4, USER_BASE + PAGE - 35 * 8, Error::BadAddress),
        (4, 0, Error::BadAddress),
        (4, USER_END, Error::BadAddress),
    ] {
        let mut args: Vec<(usize, u64)> = good.into_iter().enumerate().collect();
        args[place].1 = value;
        stage.refused(Call::FaultHandlerSet, &args, error);
    }
    stage.refused(Call::FaultReply, &[(9, 0)], Error::WrongState);
    stage.refused(Call::FaultReply, &[(9, 5), (0, 0)], Error::NoSuchMessage);
    stage.refused(Call::Exit, &[(0, 0), (1, 2)], Error::BadArgument);
}

#[test]
fn errors_of_memory() {
    let mut stage = stage();
    let (init, pool, frame, peer) = (stage.init, stage.own(2), stage.frame, stage.peer);
    for pages in [0, FRAME_PAGES + 1, u64::MAX] {
        stage.refused(Call::FrameAlloc, &[(9, pool), (0, pages)], Error::BadArgument);
    }
    // Of another's pool nobody can spend.
    let theirs = {
        let own = stage.world.own_slot(peer.slot, 2);
        let service = mint(&mut stage.world, init, 3, Rights::SEND.or(Rights::GRANT));
        let service = give(&mut stage.world, peer, service, Rights::SEND.0 as u64);
        stage.world.begin(init, Call::IpcRecv, &[(10, take(1)), (12, FOREVER)]);
        stage.world.call(peer.slot, Call::IpcSend, &[(9, service), (10, carry(1, false)), (7, own)]).expect("sent");
        stage.world.finished(init).expect("received")[7]
    };
    stage.refused(Call::FrameAlloc, &[(9, theirs), (0, 1)], Error::MissingRight);
    stage.refused(Call::AgentPoolAlloc, &[(9, theirs), (0, 1)], Error::MissingRight);
    stage.refused(Call::AgentSpawn, &[(9, theirs), (0, 1), (1, 40), (10, ABI_VERSION as u64)], Error::MissingRight);
    stage.refused(Call::AgentPoolAlloc, &[(9, pool), (0, 0)], Error::BadArgument);
    stage.refused(Call::AgentPoolAlloc, &[(9, pool), (0, 1 << 40)], Error::NoMemory);
    let small = stage.world.call(init, Call::AgentPoolAlloc, &[(9, pool), (0, 3)]).expect("a pool")[0];
    stage.refused(Call::FrameAlloc, &[(9, small), (0, 4)], Error::NoMemory);
    stage.refused(Call::AgentPoolAlloc, &[(9, small), (0, 1)], Error::BadArgument);
    for _ in 2..POOLS {
        stage.world.call(init, Call::AgentPoolAlloc, &[(9, pool), (0, 1)]).expect("a pool");
    }
    stage.refused(Call::AgentPoolAlloc, &[(9, pool), (0, 1)], Error::LimitReached);
    let map = |handle, target, address, access| vec![(9, handle), (0, target), (1, address), (2, access)];
    let (good, other) = (0x800_0000, 0x900_0000);
    for address in [0, USER_BASE - PAGE, good + 1, USER_END - PAGE, USER_END, !(PAGE - 1), AGENT_MEM_BASE, AGENT_MEM_BASE - PAGE] {
        stage.refused(Call::PageMap, &map(frame, 0, address, 1), Error::BadAddress);
    }
    for access in [0, 8, 1 << 32, !7] {
        let result = stage.world.call(init, Call::PageMap, &map(frame, 0, good, access)).map(drop);
        assert_eq!(result, Err(Error::BadArgument), "{access:x}");
    }
    for access in [6, 7] {
        stage.refused(Call::PageMap, &map(frame, 0, good, access), Error::WritableCode);
    }
    let own = stage.own(1);
    stage.refused(Call::PageMap, &map(frame, own, good, 1), Error::MissingRight);
    stage.refused(Call::PageUnmap, &[(9, frame)], Error::NotMapped);
    stage.refused(Call::PageUnmap, &[(9, pool)], Error::WrongKind);
    stage.refused(Call::PageUnmap, &[(9, 0)], Error::NoCapability);
    stage.world.call(init, Call::PageMap, &map(frame, 0, good, 3)).expect("mapped");
    stage.refused(Call::PageMap, &map(frame, 0, other, 3), Error::Busy);
    let twin = derive(&mut stage.world, init, frame, ALL).expect("derived");
    stage.refused(Call::PageMap, &map(twin, 0, good + PAGE, 1), Error::AlreadyMapped);
    let devices = stage.own(init::SLOT_DEVICES);
    stage.refused(Call::PageMap, &map(devices, 0, other, 1), Error::BadArgument);
    let uart = stage.world.call(init, Call::CapDerive, &[(9, devices), (0, 3), (1, 0), (2, 9), (3, 1)]).expect("derived")[0];
    stage.refused(Call::PageMap, &map(uart, 0, other, 5), Error::MissingRight);
    stage.world.call(init, Call::PageMap, &map(uart, 0, other, 3)).expect("a device is mapped");
    let service = mint(&mut stage.world, init, 5, Rights::SEND);
    stage.refused(Call::IpcRecv, &[(10, room(4096)), (12, 0)], Error::Timeout);
    stage.refused(Call::IpcSend, &[(9, service), (10, length(100)), (11, other)], Error::BadAddress);
    for (bytes, demand, error) in [
        (0, 0, Error::BadArgument),
        (AGENT_MEMORY + 1, 1, Error::BadArgument),
        (1, 2, Error::BadArgument),
        (AGENT_MEMORY, 0, Error::NoMemory),
    ] {
        stage.refused(Call::AgentMemAlloc, &[(0, bytes), (1, demand)], error);
    }
    for address in [0, AGENT_MEM_BASE + PAGE, u64::MAX] {
        let result = stage.world.call(init, Call::AgentMemFree, &[(0, address)]).map(drop);
        assert!(result.is_err(), "{address:x}");
    }
    for _ in 1..REGIONS {
        stage.world.call(init, Call::AgentMemAlloc, &[(0, 1), (1, 1)]).expect("a region");
    }
    stage.refused(Call::AgentMemAlloc, &[(0, 1), (1, 1)], Error::LimitReached);
    kill(&mut stage.world, peer);
    stage.refused(Call::PageMap, &map(twin, peer.handle, good, 1), Error::PeerDied);
    // A dead agent's pool went with it.
    stage.refused(Call::FrameAlloc, &[(9, theirs), (0, 1)], Error::Revoked);
}

#[test]
fn device_memory_is_never_ram() {
    let mut stage = stage();
    let devices = stage.own(init::SLOT_DEVICES);
    let (_, pages) = stage.world.core.agents[stage.init].slots.look(init::SLOT_DEVICES).expect("there").range();
    let ram = stage.world.boot[0] >> 12;
    assert!(pages > ram, "the range of all devices goes over the memory");
    let args = [(9, devices), (0, 3), (1, 0), (2, ram), (3, 1)];
    let Ok(x) = stage.world.call(stage.init, Call::CapDerive, &args) else { return };
    let map = stage.world.call(stage.init, Call::PageMap, &[(9, x[0]), (0, 0), (1, 0x900_0000), (2, 3)]);
    assert!(map.is_err(), "memory is mapped as a device");
}

#[test]
fn errors_of_capabilities() {
    let mut stage = stage();
    let (init, own, frame, peer) = (stage.init, stage.own(1), stage.frame, stage.peer);
    let now = stage.world.now;
    for (place, value) in [(0, 0), (1, 1 << 32), (2, now), (3, 2)] {
        let mut args = vec![(9, own), (0, 5), (1, 0), (2, 0), (3, 1)];
        args[place + 1].1 = value;
        stage.refused(Call::CapMint, &args, Error::BadArgument);
    }
    let derive = |rights, expiry, first, count| vec![(9, frame), (0, rights), (1, expiry), (2, first), (3, count)];
    stage.refused(Call::CapDerive, &derive(1 << 32, 0, 0, 0), Error::BadArgument);
    stage.refused(Call::CapDerive, &derive(1, now, 0, 0), Error::BadArgument);
    stage.refused(Call::CapDerive, &derive(1, 0, 1, 0), Error::BadArgument);
    for (first, count) in [(0, 3), (2, 1), (u64::MAX, 1), (1, u64::MAX)] {
        stage.refused(Call::CapDerive, &derive(1, 0, first, count), Error::NotNarrower);
    }
    let observe = stage.own(init::SLOT_OBSERVE);
    stage.refused(Call::CapDerive, &[(9, observe), (0, ALL), (1, 0), (2, 0), (3, 0)], Error::NotNarrower);
    stage.refused(Call::CapDerive, &[(9, observe), (0, 1), (1, 0), (2, 0), (3, 1)], Error::WrongKind);
    let grant = |x0, rights, transfer, wanted| vec![(9, peer.handle), (0, x0), (1, rights), (2, 0), (3, transfer), (4, wanted)];
    stage.refused(Call::CapGrant, &grant(frame, 1, 3, 0), Error::BadArgument);
    stage.refused(Call::CapGrant, &grant(frame, 1, 0, 1 << 16), Error::BadArgument);
    stage.refused(Call::CapGrant, &grant(frame, 1, 0, 2), Error::Busy);
    stage.refused(Call::CapGrant, &grant(frame, 1 << 33, 0, 0), Error::BadArgument);
    stage.refused(Call::CapGrant, &grant(observe, ALL, 0, 0), Error::NotNarrower);
    stage.refused(Call::CapGrant, &grant(own, 0, 1, 0), Error::BadArgument);
    stage.world.call(init, Call::CapGrant, &grant(frame, 1, 0, SLOT_FIRST as u64)).expect("granted");
    stage.refused(Call::CapGrant, &grant(frame, 1, 0, SLOT_FIRST as u64), Error::Busy);
    stage.refused(Call::CapDrop, &[(9, own)], Error::BadArgument);
    stage.refused(Call::CapDrop, &[(9, 12345)], Error::NoCapability);
    stage.refused(Call::CapCheck, &[(9, frame), (0, 1 << 32)], Error::BadArgument);
    let buffer = stage.world.memory(init, &[0; 96]);
    let export = |address| vec![(9, frame), (0, peer.id.0), (1, 1), (2, 0), (11, address)];
    stage.refused(Call::CapExport, &export(buffer), Error::NotSeeded);
    stage.refused(Call::CapAdmit, &[(11, buffer)], Error::NotSeeded);
    let seed = stage.own(init::SLOT_SEED);
    stage.world.call(init, Call::SeedSet, &[(9, seed), (0, 1), (1, 2), (2, 3), (3, 4)]).expect("seeded");
    stage.refused(Call::SeedSet, &[(9, seed)], Error::Busy);
    stage.refused(Call::CapExport, &export(NOWHERE), Error::BadAddress);
    stage.refused(Call::CapExport, &export(USER_BASE), Error::BadAddress);
    stage.refused(Call::CapAdmit, &[(11, NOWHERE)], Error::BadAddress);
    stage.refused(Call::CapAdmit, &[(11, buffer)], Error::WrongVersion);
    stage.world.call(init, Call::CapExport, &export(buffer)).expect("exported");
    stage.refused(Call::CapAdmit, &[(11, buffer)], Error::WrongAgent);
    kill(&mut stage.world, peer);
    stage.refused(Call::CapGrant, &grant(frame, 1, 0, 0), Error::PeerDied);
}

#[test]
fn errors_of_interrupts_inspection_and_the_machine() {
    let mut stage = stage();
    let (init, irqs, observe) = (stage.init, stage.own(init::SLOT_IRQS), stage.own(init::SLOT_OBSERVE));
    let (power, console, peer) = (stage.own(init::SLOT_POWER), stage.own(init::SLOT_CONSOLE), stage.peer);
    for line in [IRQS as u64, u64::MAX] {
        stage.refused(Call::IrqBind, &[(9, irqs), (0, line), (1, 1)], Error::BadArgument);
        stage.refused(Call::IrqAck, &[(9, irqs), (0, line)], Error::BadArgument);
    }
    stage.refused(Call::IrqBind, &[(9, irqs), (0, 40), (1, 0)], Error::BadArgument);
    stage.refused(Call::IrqAck, &[(9, irqs), (0, 40)], Error::WrongState);
    let theirs = give(&mut stage.world, peer, irqs, Rights::BIND.0 as u64);
    stage.world.call(peer.slot, Call::IrqBind, &[(9, theirs), (0, 40), (1, 1)]).expect("bound");
    stage.refused(Call::IrqBind, &[(9, irqs), (0, 40), (1, 1)], Error::Busy);
    stage.refused(Call::IrqAck, &[(9, irqs), (0, 40)], Error::WrongState);
    let buffer = stage.world.memory(init, &[0; 4096]);
    let look = |table: u64, room: u64, address| vec![(9, observe), (0, table), (1, 0), (2, 0), (10, room), (11, address)];
    for table in [0, 6, u64::MAX] {
        stage.refused(Call::Inspect, &look(table, 4096, buffer), Error::BadArgument);
    }
    for table in [Table::Agents, Table::Memory, Table::Cores] {
        stage.refused(Call::Inspect, &look(table as u64, 8, buffer), Error::BadArgument);
        stage.refused(Call::Inspect, &look(table as u64, 4096, NOWHERE), Error::BadAddress);
    }
    stage.refused(Call::Inspect, &look(Table::Slots as u64, 4096, buffer), Error::PeerDied);
    stage.refused(Call::PowerControl, &[(9, power), (0, 2)], Error::BadArgument);
    stage.refused(Call::PowerControl, &[(9, power), (0, 1)], Error::Firmware);
    assert_eq!(stage.world.sim.powered_off, Some(true));
    stage.refused(Call::ConsoleWrite, &[(9, console), (10, 65)], Error::BadArgument);
    stage.world.call(init, Call::ConsoleWrite, &[(9, console), (10, 5), (0, u64::from_le_bytes(*b"hello..."))]).expect("written");
    assert_eq!(stage.world.sim.console, b"hello");
}

#[test]
fn errors_of_recordings() {
    let mut stage = stage();
    let (init, observe) = (stage.init, stage.own(init::SLOT_OBSERVE));
    let bind = |frame: u64, core: u64, bits: u64, mode: u64| vec![(9, observe), (0, frame), (1, core), (2, bits), (3, mode)];
    let frame = stage.frame;
    stage.refused(Call::TraceBind, &bind(0, 0, 0, 0), Error::WrongState);
    stage.refused(Call::TraceBind, &bind(frame, 0, 0, 2), Error::BadArgument);
    stage.refused(Call::TraceBind, &bind(0, 0, 1, 0), Error::BadArgument);
    for core in [1, 16, u64::MAX] {
        stage.refused(Call::TraceBind, &bind(frame, core, 0, 0), Error::NoSuchCore);
    }
    let narrow =
        stage.world.call(init, Call::CapDerive, &[(9, frame), (0, Rights::READ.0 as u64), (1, 0), (2, 0), (3, 0)]).expect("derived")[0];
    stage.refused(Call::TraceBind, &bind(narrow, 0, 0, 0), Error::MissingRight);
    stage.refused(Call::TraceBind, &bind(observe, 0, 0, 0), Error::WrongKind);
    stage.refused(Call::TraceBind, &bind(u64::MAX, 0, 0, 0), Error::NoCapability);
    stage.world.call(init, Call::TraceBind, &bind(frame, 0, 0, 1)).expect("recorded");
    stage.refused(Call::TraceBind, &bind(frame, 0, 0, 1), Error::Busy);
    stage.world.call(init, Call::TraceBind, &bind(0, 0, 0, 0)).expect("ended");
    stage.refused(Call::TraceBind, &bind(0, 0, 0, 0), Error::WrongState);
}

#[test]
fn errors_of_operations() {
    let mut stage = stage();
    let (init, seed, peer) = (stage.init, stage.own(init::SLOT_SEED), stage.peer);
    let service = mint(&mut stage.world, init, 1, Rights::SEND);
    let operation = |info: u64, deadline: u64| vec![(10, info), (12, deadline), (13, 1)];
    stage.refused(Call::PqcOperation, &operation(0, FOREVER), Error::NoServer);
    stage.refused(Call::ServiceRegister, &[(9, service), (0, 2), (1, seed)], Error::BadArgument);
    let foreign = connect_to(&mut stage.world, peer);
    stage.refused(Call::ServiceRegister, &[(9, foreign), (0, 1), (1, seed)], Error::MissingRight);
    let theirs = give(&mut stage.world, peer, seed, Rights::WRITE.0 as u64);
    let own = mint(&mut stage.world, peer.slot, 1, Rights::SEND);
    stage.world.call(peer.slot, Call::ServiceRegister, &[(9, own), (0, 1), (1, theirs)]).expect("registered");
    for info in
        [length(57), carry(2, false), take(1), room(8), SendInfo { notifications_only: true, ..SendInfo::default() }.encode(), 1 << 50]
    {
        stage.refused(Call::PqcOperation, &operation(info, FOREVER), Error::BadArgument);
    }
    stage.refused(Call::PqcOperation, &operation(0, 0), Error::Timeout);
    stage.refused(Call::PqcOperation, &operation(carry(1, false), FOREVER), Error::NoCapability);
    for handle in [0, 1, u64::MAX] {
        stage.refused(Call::PqcPoll, &[(9, handle)], Error::NoSuchOperation);
        stage.refused(Call::PqcCancel, &[(9, handle)], Error::NoSuchOperation);
    }
    for _ in 0..PQC_OPERATIONS {
        let handle = stage.world.call(init, Call::PqcOperation, &operation(length(8), FOREVER)).expect("begun")[0];
        stage.refused(Call::PqcPoll, &[(9, handle)], Error::Pending);
    }
    stage.refused(Call::PqcOperation, &operation(length(8), FOREVER), Error::LimitReached);
    kill(&mut stage.world, peer);
    stage.refused(Call::PqcOperation, &operation(length(8), FOREVER), Error::NoServer);
}
