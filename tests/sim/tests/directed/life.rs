//! Births and deaths: what a kill, a restart or a failed spawn leaves behind, and what must not outlive whom.

use aios_abi::call::{AgentOp, SLOT_ANY};
use aios_abi::message::FaultCause;
use aios_abi::rights::Rights;
use aios_abi::{ABI_VERSION, AgentId, Call, Error};
use aios_core::agent::State;
use aios_core::core::Exception;
use aios_sim::World;

use crate::support::*;

fn fault(world: &mut World, slot: u16) {
    world.switch_to(slot);
    world.core.fault(&mut world.sim, Exception { cause: FaultCause::Alignment, syndrome: 5, address: 6 }, world.now);
    world.settle();
}

/// `supervisor` gets init's capability of `peer` and has its faults.
fn supervise(world: &mut World, supervisor: Peer, peer: Peer) {
    let handle = give(world, supervisor, peer.handle, (Rights::CONTROL.0 | Rights::GRANT.0) as u64);
    let service = mint(world, supervisor.slot, 7, Rights::SEND);
    control(world, supervisor.slot, handle, AgentOp::Supervise, service).expect("registered");
}

#[test]
fn a_family_whose_members_all_wait_for_a_dying_supervisor_is_cleared_away_in_order() {
    // Supervisor, an agent, and that agent's child: both have faulted when the supervisor dies. The child's quota is a part of its parent's.
    for child_first in [false, true] {
        let mut world = World::new(4000);
        let supervisor = spawn(&mut world);
        let parent = spawn(&mut world);
        let (handle, id) = world.spawn(parent.slot, 100, 1);
        let child = Peer { slot: id.slot(), id, handle };
        supervise(&mut world, supervisor, parent);
        // The parent gives the child's capability to init, which passes it on.
        let own = connect_to_init(&mut world, parent);
        let init = world.init;
        world.begin(init, Call::IpcRecv, &[(10, take(1)), (12, FOREVER)]);
        world.call(parent.slot, Call::IpcSend, &[(9, own), (10, carry(1, false)), (7, child.handle)]).expect("sent");
        let handle = world.finished(init).expect("received")[7];
        supervise(&mut world, supervisor, Peer { handle, ..child });
        let order = if child_first { [child, parent] } else { [parent, child] };
        order.into_iter().for_each(|peer| fault(&mut world, peer.slot));
        kill(&mut world, supervisor);
        world.clear();
        assert_eq!(world.slots().collect::<Vec<_>>(), [world.init], "all are gone");
    }
}

fn connect_to_init(world: &mut World, peer: Peer) -> u64 {
    let init = world.init;
    world.connect(init, 0, peer.id, peer.handle)
}

#[test]
fn an_agent_that_supervises_itself_ends_at_its_first_fault() {
    let mut world = World::new(3000);
    let (peer, other) = (spawn(&mut world), spawn(&mut world));
    let service = connect(&mut world, peer, 1, other);
    supervise(&mut world, peer, peer);
    fault(&mut world, peer.slot);
    // Whatever became of it: others still can call, and get an end of it.
    let soon = world.now + 1_000_000_000;
    call(&mut world, other, service, 1, soon);
    world.pass(2_000_000_000);
    assert!(world.finished(other.slot).is_err());
    assert!(world.core.agents.get(peer.slot).is_none(), "nobody could ever judge that fault");
}

#[test]
fn agents_that_supervise_each_other_do_not_stop_the_kernel() {
    let mut world = World::new(3000);
    let (a, b, other) = (spawn(&mut world), spawn(&mut world), spawn(&mut world));
    let service = connect(&mut world, a, 1, other);
    supervise(&mut world, a, b);
    supervise(&mut world, b, a);
    fault(&mut world, a.slot);
    fault(&mut world, b.slot);
    call(&mut world, other, service, 1, FOREVER);
    world.clear();
    assert!(matches!(world.finished(other.slot), Err(Error::PeerDied | Error::Revoked)));
}

#[test]
fn a_supervisor_that_calls_the_agent_which_faults_gets_an_error_and_then_the_fault() {
    let mut world = World::new(3000);
    let (supervisor, server, other) = (spawn(&mut world), spawn(&mut world), spawn(&mut world));
    supervise(&mut world, supervisor, server);
    let service = connect(&mut world, server, 1, supervisor);
    let third = connect(&mut world, server, 2, other);
    listen(&mut world, server);
    call(&mut world, supervisor, service, 1, FOREVER);
    fault(&mut world, server.slot);
    call(&mut world, other, third, 1, FOREVER);
    assert_eq!(world.finished(supervisor.slot), Err(Error::Deadlock), "it would wait for itself");
    let got = world.call(supervisor.slot, Call::IpcRecv, &[(10, 0), (12, FOREVER)]).expect("the fault");
    assert_eq!(AgentId(got[0]), server.id);
    world.call(supervisor.slot, Call::FaultReply, &[(9, got[12]), (0, 2)]).expect("killed");
    assert_eq!(world.finished(other.slot), Err(Error::PeerDied));
}

#[test]
fn what_a_dead_agent_derived_is_unmapped_everywhere() {
    let mut world = World::new(3000);
    let init = world.init;
    let (middle, user) = (spawn(&mut world), spawn(&mut world));
    let whole = frame(&mut world, init, 2);
    let held = give(&mut world, middle, whole, ALL);
    // The middle one derives, and the derived one comes to the user through init.
    let derived = derive(&mut world, middle.slot, held, ALL).expect("derived");
    let own = connect_to_init(&mut world, middle);
    world.begin(init, Call::IpcRecv, &[(10, take(1)), (12, FOREVER)]);
    world.call(middle.slot, Call::IpcSend, &[(9, own), (10, carry(1, true)), (7, derived)]).expect("sent");
    let got = world.finished(init).expect("received")[7];
    let mine = give(&mut world, user, got, ALL);
    world.call(user.slot, Call::PageMap, &[(9, mine), (0, 0), (1, 0x300_0000), (2, 3)]).expect("mapped");
    kill(&mut world, middle);
    assert_eq!(status(&mut world, user.slot, mine), Err(Error::Revoked));
    assert!(world.core.agents[user.slot].space.translate(&world.sim, 0x300_0000).is_none(), "void capabilities map nothing");
}

#[test]
fn a_revocation_is_completed_even_if_the_revoker_dies_in_the_middle() {
    for restart in [false, true] {
        let mut world = World::new(6000);
        let init = world.init;
        let (revoker, user) = (spawn(&mut world), spawn(&mut world));
        let source = frame(&mut world, init, 1);
        let held = give(&mut world, revoker, source, ALL);
        let child = derive(&mut world, init, source, ALL).expect("derived");
        let mine = give(&mut world, user, child, ALL);
        world.call(user.slot, Call::PageMap, &[(9, mine), (0, 0), (1, 0x300_0000), (2, 3)]).expect("mapped");
        // The revoker has more slots than one step looks at; the interrupt after the first step kills it.
        for _ in 0..80 {
            derive(&mut world, init, source, ALL).expect("derived");
        }
        world.switch_to(revoker.slot);
        world.checking = false;
        world.sim.interrupt_every = 1;
        let x = &mut world.core.agents[revoker.slot].registers.x;
        (x[8], x[9], x[0]) = (Call::CapRevoke as u64, held, 0);
        world.execute(revoker.slot);
        let _ = world.core.next(&mut world.sim, world.now);
        world.sim.interrupt_every = 0;
        assert!(world.core.agents[revoker.slot].work.is_some(), "in the middle of it");
        suspend_at_once(&mut world, revoker);
        let op = if restart { AgentOp::Restart } else { AgentOp::Kill };
        control(&mut world, init, revoker.handle, op, 0).expect("done");
        world.checking = true;
        world.settle();
        assert!(world.core.agents[user.slot].space.translate(&world.sim, 0x300_0000).is_none(), "the mapping is gone");
    }
}

/// What another core would do: the agent stops before its next step.
fn suspend_at_once(world: &mut World, peer: Peer) {
    world.core.agents[peer.slot].suspended = true;
    world.pass(20_000_000);
}

#[test]
fn a_dead_server_leaves_no_timer_of_a_dead_client_behind() {
    // A client of two servers and one of these have faulted to one supervisor, whose death ends both at once.
    let mut world = World::new(4000);
    let init = world.init;
    let (supervisor, client) = (spawn(&mut world), spawn(&mut world));
    let (first, second) = (spawn(&mut world), spawn(&mut world));
    for peer in [client, first] {
        supervise(&mut world, supervisor, peer);
    }
    let seed = world.own_slot(init, aios_abi::call::init::SLOT_SEED);
    for server in [first, second] {
        let seed = give(&mut world, server, seed, Rights::WRITE.0 as u64);
        let service = mint(&mut world, server.slot, 1, Rights::SEND);
        world.call(server.slot, Call::ServiceRegister, &[(9, service), (0, 1), (1, seed)]).expect("registered");
        let deadline = world.now + 50_000_000_000;
        world.call(client.slot, Call::PqcOperation, &[(10, length(8)), (12, deadline), (13, 1)]).expect("begun");
    }
    for peer in [client, first] {
        fault(&mut world, peer.slot);
    }
    kill(&mut world, supervisor);
    world.pass(100_000_000_000);
    assert_eq!(world.slots().collect::<Vec<_>>(), [init, second.slot]);
}

#[test]
fn watchers_that_are_gone_leave_room_for_others() {
    let mut world = World::new(6000);
    let watched = spawn(&mut world);
    for round in 0..20 {
        let watcher = spawn(&mut world);
        let handle = give(&mut world, watcher, watched.handle, Rights::WATCH.0 as u64);
        world.call(watcher.slot, Call::Watch, &[(9, handle), (0, 1)]).unwrap_or_else(|error| panic!("watcher {round}: {error}"));
        kill(&mut world, watcher);
    }
}

#[test]
fn the_capability_to_oneself_stays() {
    let mut world = World::new(3000);
    let (peer, other) = (spawn(&mut world), spawn(&mut world));
    let service = connect(&mut world, other, 1, peer);
    let own = world.own_slot(peer.slot, 1);
    assert_eq!(world.call(peer.slot, Call::CapDrop, &[(9, own)]), Err(Error::BadArgument));
    world.begin(other.slot, Call::IpcRecv, &[(10, take(4)), (12, FOREVER)]);
    let send = [(9, service), (10, carry(1, true)), (7, own)];
    assert_eq!(world.call(peer.slot, Call::IpcSend, &send), Err(Error::BadArgument));
    let handle = give(&mut world, peer, other.handle, Rights::CONTROL.0 as u64);
    let grant = [(9, handle), (0, own), (1, 0), (2, 0), (3, 1), (4, 0)];
    assert_eq!(world.call(peer.slot, Call::CapGrant, &grant), Err(Error::BadArgument));
    assert_eq!(status(&mut world, peer.slot, own), Ok(()));
}

#[test]
fn nodes_that_come_back_are_used_again_before_a_page_is_added() {
    let mut world = World::new(6000);
    let peer = spawn(&mut world);
    let source = frame(&mut world, peer.slot, 1);
    let pages = |world: &World| world.core.agents[peer.slot].node_pages.iter().filter(|&&page| page != 0).count();
    let mut held = std::collections::VecDeque::new();
    for _ in 0..130 {
        held.push_back(derive(&mut world, peer.slot, source, 1).expect("derived"));
    }
    let before = pages(&world);
    for _ in 0..700 {
        let oldest = held.pop_front().expect("many");
        world.call(peer.slot, Call::CapDrop, &[(9, oldest)]).expect("dropped");
        held.push_back(derive(&mut world, peer.slot, source, 1).expect("derived"));
    }
    assert_eq!(pages(&world), before, "as many nodes as before are in use");
}

#[test]
fn a_table_has_places_that_a_giver_names_and_places_that_the_kernel_chooses() {
    let mut world = World::new(9000);
    let init = world.init;
    let (handle, id) = world.spawn(init, 2000, 1);
    let source = frame(&mut world, init, 1);
    let at = |world: &mut World, index: u64| {
        world.call(init, Call::CapGrant, &[(9, handle), (0, source), (1, 1), (2, 0), (3, 0), (4, index)]).map(|x| x[0])
    };
    world.checking = false;
    for named in [3, 15, 7] {
        assert_eq!(at(&mut world, named).map(|handle| handle >> 16), Ok(named));
        assert_eq!(at(&mut world, named), Err(Error::Busy));
    }
    for index in [SLOT_ANY as u64, 4095, 4096, 65_535, 65_536] {
        assert_eq!(at(&mut world, index), Err(Error::BadArgument), "{index}");
    }
    let mut count = 0;
    let error = loop {
        match at(&mut world, 0) {
            Ok(handle) => assert!(handle >> 16 >= SLOT_ANY as u64),
            Err(error) => break error,
        }
        count += 1;
    };
    assert_eq!((count, error), (4096 - SLOT_ANY, Error::NoSlots));
    world.check();
    assert_eq!(world.core.agents[id.slot()].slots.used, count + 2 + 3);
}

#[test]
fn a_message_with_four_capabilities_fits_into_any_four_free_places() {
    let mut world = World::new(9000);
    let init = world.init;
    let peer = {
        let (handle, id) = world.spawn(init, 3000, 2);
        Peer { slot: id.slot(), id, handle }
    };
    let service = mint_for_init(&mut world, peer);
    let source = frame(&mut world, init, 1);
    world.checking = false;
    let mut given = Vec::new();
    while let Ok(x) = world.call(init, Call::CapGrant, &[(9, peer.handle), (0, source), (1, 1), (2, 0), (3, 0), (4, 0)]) {
        given.push(x[0]);
    }
    let used = world.core.agents[peer.slot].slots.used;
    for handle in given.iter().step_by(1000).take(4) {
        world.call(peer.slot, Call::CapDrop, &[(9, *handle)]).expect("dropped");
    }
    let four: Vec<u64> = (0..4).map(|_| derive(&mut world, init, source, ALL).expect("derived")).collect();
    world.begin(peer.slot, Call::IpcRecv, &[(10, take(4)), (12, FOREVER)]);
    let args = [(9, service), (10, carry(4, false)), (7, four[0] | four[1] << 32), (6, four[2] | four[3] << 32)];
    world.call(init, Call::IpcSend, &args).expect("all four places are found");
    assert_eq!(world.core.agents[peer.slot].slots.used, used);
    world.check();
}

fn mint_for_init(world: &mut World, peer: Peer) -> u64 {
    let init = world.init;
    world.call(init, Call::CapMint, &[(9, peer.handle), (0, 3), (1, ALL), (2, 0), (3, 0)]).expect("minted")[0]
}

#[test]
fn a_call_that_fails_changes_its_status_only() {
    let mut world = World::new(3000);
    let init = world.init;
    let (handle, id) = world.spawn(init, 40, 1);
    let peer = Peer { slot: id.slot(), id, handle };
    // There is quota for the pages, but not for the page tables beside them.
    let left = world.core.agents[peer.slot].pools[0].left();
    world.begin(peer.slot, Call::AgentMemAlloc, &[(0, left << 12), (1, 0)]);
    assert_eq!(world.finished(peer.slot), Err(Error::NoMemory));
    assert_eq!(world.core.agents[peer.slot].registers.x[0], left << 12, "x0 is what the caller put there");
    assert_eq!(world.core.agents[peer.slot].pools[0].left(), left);
}

#[test]
fn a_token_ends_with_the_revocation_of_what_it_was_made_from() {
    let mut world = World::new(3000);
    let init = world.init;
    let peer = spawn(&mut world);
    world.core.set_key([3; 32]).expect("seeded");
    let source = frame(&mut world, init, 1);
    let buffer = world.memory(init, &[0; 96]);
    world.call(init, Call::CapExport, &[(9, source), (0, peer.id.0), (1, 1), (2, 0), (11, buffer)]).expect("exported");
    let token = world.peek(init, buffer, 96);
    world.call(init, Call::CapRevoke, &[(9, source), (0, 0)]).expect("revoked");
    let place = world.memory(peer.slot, &token);
    assert_eq!(world.call(peer.slot, Call::CapAdmit, &[(11, place)]), Err(Error::Revoked), "as if it had been derived");
    world.call(init, Call::CapExport, &[(9, source), (0, peer.id.0), (1, 1), (2, 0), (11, buffer)]).expect("a new one");
    let token = world.peek(init, buffer, 96);
    let place = world.memory(peer.slot, &token);
    world.call(peer.slot, Call::CapAdmit, &[(11, place)]).expect("is good");
}

#[test]
fn lines_are_off_when_nobody_is_bound_to_them() {
    let mut world = World::new(3000);
    let init = world.init;
    let lines = world.own_slot(init, aios_abi::call::init::SLOT_IRQS);
    for op in [AgentOp::Restart, AgentOp::Kill] {
        let peer = spawn(&mut world);
        let own = give(&mut world, peer, lines, Rights::BIND.0 as u64);
        world.call(peer.slot, Call::IrqBind, &[(9, own), (0, 40), (1, 2)]).expect("bound");
        assert!(world.sim.lines[&40]);
        control(&mut world, init, peer.handle, op, 0).expect("done");
        assert!(!world.sim.lines[&40], "{op:?}");
    }
}

#[test]
fn a_failed_spawn_leaves_nothing_behind_whichever_allocation_fails() {
    let mut world = World::new(3000);
    let init = world.init;
    let pool = world.own_slot(init, 2);
    let spawn = [(9, pool), (0, 3), (1, 60), (10, ABI_VERSION as u64)];
    let (mut failures, mut used) = (0, None);
    loop {
        world.sim.fail_at = Some(world.sim.allocations + failures);
        let result = world.call(init, Call::AgentSpawn, &spawn);
        world.sim.fail_at = None;
        match result {
            Ok(made) => {
                assert_eq!(world.core.agents[AgentId(made[1]).slot()].state, State::New);
                break;
            }
            Err(error) => assert_eq!(error, Error::NoMemory),
        }
        failures += 1;
        assert_eq!(world.slots().count(), 1);
        let now = (world.sim.used(), world.core.agents[init].pools[0].used);
        assert_eq!(now, *used.get_or_insert(now));
    }
    assert!(failures >= 9, "{failures} allocations");
}

#[test]
fn a_tick_serves_a_bounded_number_of_timers_and_the_rest_follows_before_anybody_runs() {
    let mut world = World::new(40_000);
    world.checking = false;
    let at = 50_000_000_000;
    let sleepers: Vec<_> = (0..300)
        .map(|_| {
            let (handle, id) = world.spawn(world.init, 40, 0);
            let sleeper = Peer { slot: id.slot(), id, handle };
            world.begin(sleeper.slot, Call::IpcRecv, &[(10, 0), (12, at)]);
            sleeper
        })
        .collect();
    let asleep = |world: &World| sleepers.iter().filter(|&&sleeper| state(world, sleeper) == State::Receiving).count();
    let init = world.init;
    world.begin(init, Call::IpcRecv, &[(10, 0), (12, FOREVER)]);
    world.now = at;
    let mut left = 300;
    while left != 0 {
        assert!(world.sim.timer <= world.now, "the timer goes off at once while {left} sleep");
        world.core.tick(&mut world.sim, world.now);
        let now = asleep(&world);
        assert!(now < left && left - now <= 64, "{} timers in one tick", left - now);
        left = now;
        let _ = world.core.next(&mut world.sim, world.now);
    }
    world.check();
}
