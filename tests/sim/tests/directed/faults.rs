//! Faults: demand pages, the agent's own handler, the supervisor's judgement, exits and panics.

use aios_abi::call::AgentOp;
use aios_abi::limits::{PAGE_SIZE, USER_BASE, USER_END};
use aios_abi::message::{Fault, FaultCause, Received, RecvInfo};
use aios_abi::rights::Rights;
use aios_abi::{AgentId, Call, Error};
use aios_core::agent::State;
use aios_core::core::Exception;
use aios_core::machine::Memory;
use aios_sim::World;

use crate::support::*;

fn raise(world: &mut World, peer: Peer, cause: FaultCause, address: u64) {
    world.switch_to(peer.slot);
    world.core.fault(&mut world.sim, Exception { cause, syndrome: 0x9200_0007, address }, world.now);
    world.settle();
}

/// Init waits for the next fault, with room for a text.
fn supervisor_waits(world: &mut World) -> u64 {
    let init = world.init;
    let buffer = world.memory(init, &[0; 4096]);
    world.begin(init, Call::IpcRecv, &[(10, room(4096)), (11, buffer), (12, FOREVER)]);
    buffer
}

fn told(world: &World) -> (Fault, RecvInfo, u64) {
    let x = world.finished(world.init).expect("a fault");
    assert_eq!(x[9], AgentId::KERNEL.0, "faults come from the kernel");
    (Fault::decode(x[..8].try_into().expect("eight words")), RecvInfo::decode(x[10]), x[12])
}

fn judge(world: &mut World, message: u64, verdict: u64, pc: u64) -> Result<(), Error> {
    world.call(world.init, Call::FaultReply, &[(9, message), (0, verdict), (1, pc)]).map(drop)
}

#[test]
fn a_fault_says_everything_and_changes_nothing() {
    let mut world = World::new(3000);
    let peer = spawn(&mut world);
    supervisor_waits(&mut world);
    let registers = &mut world.core.agents[peer.slot].registers;
    registers.x = std::array::from_fn(|i| 0x100 + i as u64);
    (registers.pc, registers.sp, registers.pstate) = (USER_BASE + 64, 0x7000_0000, 0x6000_0000);
    let before = registers.clone();
    raise(&mut world, peer, FaultCause::DataPermission, 0x1234);
    let (fault, head, message) = told(&world);
    let expected = Fault {
        agent: peer.id.0,
        cause: FaultCause::DataPermission as u16,
        syndrome: 0x9200_0007,
        address: 0x1234,
        pc: before.pc,
        sp: before.sp,
        lr: before.x[30],
        pstate: before.pstate,
    };
    assert_eq!((fault, head.kind, head.length), (expected, Received::Fault, 64));
    assert_eq!(state(&world, peer), State::Faulted(world.core.agents[world.init].id));
    assert_eq!(world.core.agents[peer.slot].registers, before);
    assert_eq!(judge(&mut world, message, 1, 1), Err(Error::BadAddress));
    assert_eq!(judge(&mut world, message, 1, USER_END), Err(Error::BadAddress));
    assert_eq!(judge(&mut world, message, 3, 0), Err(Error::BadArgument));
    assert_eq!(judge(&mut world, message ^ 1, 0, 0), Err(Error::NoSuchMessage));
    judge(&mut world, message, 1, USER_BASE + 128).expect("goes on");
    assert_eq!(state(&world, peer), State::Ready);
    assert_eq!(world.core.agents[peer.slot].registers.pc, USER_BASE + 128);
    assert_eq!(judge(&mut world, message, 0, 0), Err(Error::NoSuchMessage), "a fault is judged once");
}

#[test]
fn a_fault_waits_for_a_busy_supervisor_and_only_the_supervisor_judges() {
    let mut world = World::new(3000);
    let (peer, other) = (spawn(&mut world), spawn(&mut world));
    raise(&mut world, peer, FaultCause::Undefined, 0);
    assert!(matches!(state(&world, peer), State::Faulting(_)));
    supervisor_waits(&mut world);
    let (fault, _, message) = told(&world);
    assert_eq!(fault.agent, peer.id.0);
    assert_eq!(world.call(other.slot, Call::FaultReply, &[(9, message), (0, 0)]), Err(Error::NoSuchMessage));
    judge(&mut world, message, 2, 0).expect("killed");
    assert!(world.core.agents.get(peer.slot).is_none());
}

#[test]
fn faults_go_where_supervise_says_with_its_badge_and_without_a_supervisor_end_the_agent() {
    let mut world = World::new(3000);
    let init = world.init;
    let (peer, supervisor) = (spawn(&mut world), spawn(&mut world));
    let handle = give(&mut world, supervisor, peer.handle, Rights::CONTROL.0 as u64);
    let service = mint(&mut world, supervisor.slot, 4711, Rights::NONE);
    control(&mut world, supervisor.slot, handle, AgentOp::Supervise, service).expect("registered");
    listen(&mut world, supervisor);
    raise(&mut world, peer, FaultCause::Alignment, 3);
    let x = world.finished(supervisor.slot).expect("a fault");
    assert_eq!((kind(&x), x[11]), (Received::Fault, 4711));
    world.call(supervisor.slot, Call::FaultReply, &[(9, x[12]), (0, 0)]).expect("resumed");
    control(&mut world, init, peer.handle, AgentOp::Supervise, 0).expect("nobody");
    raise(&mut world, peer, FaultCause::Alignment, 3);
    world.clear();
    assert!(world.core.agents.get(peer.slot).is_none(), "nobody judges: that is the end");
}

#[test]
fn demand_pages_come_by_touch_and_a_pool_that_cannot_pay_is_a_fault_of_its_own() {
    let mut world = World::new(3000);
    let init = world.init;
    let (handle, id) = world.spawn(init, 30, 1);
    let peer = Peer { slot: id.slot(), id, handle };
    let base = world.call(peer.slot, Call::AgentMemAlloc, &[(0, 1 << 20), (1, 1)]).expect("a region")[0];
    let page = PAGE_SIZE as u64;
    assert!(world.core.agents[peer.slot].space.translate(&world.sim, base).is_none());
    supervisor_waits(&mut world);
    let mut came = 0;
    while state(&world, peer) == State::Ready {
        raise(&mut world, peer, FaultCause::DataUnmapped, base + came * page + 5);
        came += 1;
    }
    let (fault, _, message) = told(&world);
    assert_eq!(fault.cause, FaultCause::OutOfMemory as u16);
    assert_eq!(world.core.agents[peer.slot].pools[0].left(), 0);
    assert!(came > 10);
    // The supervisor resumes it; it gives memory back, and the same touch succeeds.
    judge(&mut world, message, 0, 0).expect("resumed");
    world.call(peer.slot, Call::AgentMemFree, &[(0, base)]).expect("freed");
    let base = world.call(peer.slot, Call::AgentMemAlloc, &[(0, 1 << 20), (1, 1)]).expect("a region")[0];
    raise(&mut world, peer, FaultCause::DataUnmapped, base);
    assert_eq!(state(&world, peer), State::Ready);
    let leaf = world.core.agents[peer.slot].space.translate(&world.sim, base).expect("mapped");
    assert_eq!(world.sim.read(leaf.pa), 0, "and it is zero");
}

#[test]
fn what_looks_like_a_demand_page_and_is_none_is_a_fault() {
    let mut world = World::new(3000);
    let peer = spawn(&mut world);
    supervisor_waits(&mut world);
    raise(&mut world, peer, FaultCause::DataUnmapped, NOWHERE);
    let (fault, ..) = told(&world);
    assert_eq!((fault.cause, fault.address), (FaultCause::DataUnmapped as u16, NOWHERE));
}

/// Registers a handler for the first page of code, which saves at `save`.
fn handle(world: &mut World, peer: Peer, save: u64) {
    let args = [(0, USER_BASE + 0x800), (1, USER_BASE), (2, USER_BASE + 0x400), (3, 0x9000_0000), (4, save)];
    world.call(peer.slot, Call::FaultHandlerSet, &args).expect("registered");
}

#[test]
fn an_agent_handles_its_own_faults_and_goes_back_to_what_it_stored() {
    let mut world = World::new(3000);
    let peer = spawn(&mut world);
    let save = world.memory(peer.slot, &[0; 4096]) + 512;
    handle(&mut world, peer, save);
    let registers = &mut world.core.agents[peer.slot].registers;
    registers.x = std::array::from_fn(|i| 7000 + i as u64);
    (registers.pc, registers.sp, registers.pstate) = (USER_BASE + 0x100, 0x7000_0000, 0x8000_0000);
    let before = registers.clone();
    raise(&mut world, peer, FaultCause::Undefined, 0);
    let inside = &world.core.agents[peer.slot].registers;
    assert_eq!((inside.pc, inside.sp, inside.x), (USER_BASE + 0x800, 0x9000_0000, before.x));
    let stored = world.peek(peer.slot, save, 36 * 8);
    let word = |i: usize| u64::from_le_bytes(stored[i * 8..i * 8 + 8].try_into().expect("eight bytes"));
    assert_eq!((0..31).map(word).collect::<Vec<_>>(), before.x);
    assert_eq!([31, 32, 33, 34, 35].map(word), [before.sp, before.pc, before.pstate, 0x9200_0007, 0]);
    // It changes one register and skips the instruction; privileged bits of PSTATE are not its to set.
    let page = world.core.agents[peer.slot].space.translate(&world.sim, save).expect("mapped").pa + save % PAGE_SIZE as u64;
    world.sim.write(page + 5 * 8, 42);
    world.sim.write(page + 32 * 8, before.pc + 4);
    world.sim.write(page + 33 * 8, 0xffff_ffff_ffff_ffff);
    world.begin(peer.slot, Call::FaultReply, &[(9, 0)]);
    let after = &world.core.agents[peer.slot].registers;
    assert_eq!((after.x[5], after.x[8], after.pc, after.sp), (42, before.x[8], before.pc + 4, before.sp));
    assert_eq!(after.pstate, 0xf000_0000);
    assert_eq!(world.call(peer.slot, Call::FaultReply, &[(9, 0)]), Err(Error::WrongState), "it is not inside any more");
}

#[test]
fn what_a_handler_is_not_for_goes_to_the_supervisor() {
    type Setup = fn(&mut World, Peer, u64);
    let outside: Setup = |world, peer, save| {
        handle(world, peer, save);
        world.core.agents[peer.slot].registers.pc = USER_BASE + 0x400;
    };
    let unset: Setup = |world, peer, save| {
        handle(world, peer, save);
        world.call(peer.slot, Call::FaultHandlerSet, &[(0, 0)]).expect("off");
    };
    let no_memory: Setup = |world, peer, _| handle(world, peer, NOWHERE);
    let inside: Setup = |world, peer, save| {
        handle(world, peer, save);
        world.core.agents[peer.slot].registers.pc = USER_BASE + 0x100;
        raise(world, peer, FaultCause::Undefined, 0);
        world.core.agents[peer.slot].registers.pc = USER_BASE + 0x100;
    };
    for (setup, cause) in [
        (outside, FaultCause::Undefined),
        (unset, FaultCause::Undefined),
        (no_memory, FaultCause::Undefined),
        (inside, FaultCause::Undefined),
        (handle as Setup, FaultCause::Alignment),
        (handle as Setup, FaultCause::FetchPermission),
    ] {
        let mut world = World::new(3000);
        let peer = spawn(&mut world);
        let save = world.memory(peer.slot, &[0; 4096]);
        supervisor_waits(&mut world);
        world.core.agents[peer.slot].registers.pc = USER_BASE + 0x100;
        setup(&mut world, peer, save);
        raise(&mut world, peer, cause, 8);
        assert_eq!(told(&world).0.cause, cause as u16);
    }
}

#[test]
fn an_exit_tells_its_status_and_a_panic_its_text() {
    let mut world = World::new(3000);
    let peer = spawn(&mut world);
    let text: Vec<u8> = (0..600).map(|i| b'a' + (i % 26) as u8).collect();
    let place = world.memory(peer.slot, &text) + 3;
    let buffer = supervisor_waits(&mut world);
    world.begin(peer.slot, Call::Exit, &[(0, 17), (1, 0)]);
    let (fault, head, message) = told(&world);
    assert_eq!((fault.cause, fault.syndrome, head.length), (FaultCause::Exit as u16, 17, 64));
    judge(&mut world, message, 0, 0).expect("it may go on");
    for (wanted, room_for, expected) in [(40, 4096, 40), (600, 4096, 256), (100, 10, 10), (0, 4096, 0), (100, 0, 0)] {
        let init = world.init;
        world.begin(init, Call::IpcRecv, &[(10, room(room_for)), (11, buffer), (12, FOREVER)]);
        world.begin(peer.slot, Call::Exit, &[(0, 101), (1, 1), (2, place), (3, wanted)]);
        let (fault, head, message) = told(&world);
        assert_eq!((fault.cause, fault.syndrome, head.length), (FaultCause::Panic as u16, 101, 64 + expected));
        assert_eq!(world.peek(init, buffer, expected as usize), text[3..3 + expected as usize]);
        judge(&mut world, message, 0, 0).expect("it may go on");
    }
    let init = world.init;
    world.begin(init, Call::IpcRecv, &[(10, room(4096)), (11, buffer), (12, FOREVER)]);
    world.begin(peer.slot, Call::Exit, &[(0, 1), (1, 1), (2, NOWHERE), (3, 50)]);
    assert_eq!(told(&world).1.length, 64, "a text that isn't there is no text");
}

#[test]
fn a_faulted_server_answers_after_it_was_resumed_and_its_callers_hear_when_it_is_not() {
    for verdict in [0, 2] {
        let mut world = World::new(3000);
        let (server, client) = (spawn(&mut world), spawn(&mut world));
        let service = connect(&mut world, server, 1, client);
        listen(&mut world, server);
        call(&mut world, client, service, 1, FOREVER);
        raise(&mut world, server, FaultCause::Undefined, 0);
        supervisor_waits(&mut world);
        let (_, _, message) = told(&world);
        judge(&mut world, message, verdict, 0).expect("judged");
        if verdict == 2 {
            assert_eq!(world.finished(client.slot), Err(Error::PeerDied));
            continue;
        }
        let message = world.core.agents[client.slot].outgoing.message.0;
        reply(&mut world, server, message, 5).expect("replied");
        assert_eq!(world.finished(client.slot).expect("answered")[0], 5);
    }
}

#[test]
fn suspending_a_faulted_agent_changes_nothing_but_that_it_does_not_run() {
    let mut world = World::new(3000);
    let peer = spawn(&mut world);
    supervisor_waits(&mut world);
    raise(&mut world, peer, FaultCause::Undefined, 0);
    let (_, _, message) = told(&world);
    suspend(&mut world, peer);
    judge(&mut world, message, 0, 0).expect("resumed");
    assert!(!runs_within_a_second(&mut world, peer));
    resume(&mut world, peer);
    assert!(runs_within_a_second(&mut world, peer));
}
