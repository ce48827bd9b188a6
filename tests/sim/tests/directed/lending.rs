//! Who runs on whose time: lending along chains of calls, the end of a lent budget, and that nobody is forgotten when a chain breaks.

use aios_abi::call::{AgentOp, CLASS_EDF, CLASS_FAIR};
use aios_abi::{Call, Error};
use aios_core::agent::State;
use aios_sim::World;

use crate::support::*;

/// Client, middle and end of a chain of calls; the capabilities of client and middle.
fn chain(world: &mut World) -> (Peer, Peer, Peer, u64, u64) {
    let (end, middle, client) = (spawn(world), spawn(world), spawn(world));
    let to_end = connect(world, end, 2, middle);
    let to_middle = connect(world, middle, 1, client);
    (client, middle, end, to_middle, to_end)
}

fn edf(world: &mut World, peer: Peer, budget: u64, period: u64) {
    let args = [(9, peer.handle), (0, CLASS_EDF), (1, budget), (2, period)];
    world.call(world.init, Call::SchedSet, &args).expect("admitted");
}

fn cpu(world: &World, peer: Peer) -> u64 {
    world.core.agents[peer.slot].sc.cpu_ns()
}

#[test]
fn a_chain_of_calls_three_deep_runs_on_the_first_callers_time() {
    let mut world = World::new(3000);
    let (client, middle, end, to_middle, to_end) = chain(&mut world);
    listen(&mut world, middle);
    listen(&mut world, end);
    call(&mut world, client, to_middle, 1, FOREVER);
    assert_eq!(world.core.current(), middle.slot);
    call(&mut world, middle, to_end, 2, FOREVER);
    assert_eq!(world.core.current(), end.slot);
    let before = (cpu(&world, client), cpu(&world, middle), cpu(&world, end));
    world.now += 40_000;
    let message = world.finished(end.slot).expect("received")[12];
    answer(&mut world, end, message, 3);
    assert_eq!(world.core.current(), middle.slot, "the reply goes up one step, on the same time");
    let message = world.core.agents[client.slot].outgoing.message.0;
    answer(&mut world, middle, message, 4);
    assert_eq!(world.core.current(), client.slot);
    world.call(client.slot, Call::Yield, &[]).expect("yielded");
    let after = (cpu(&world, client), cpu(&world, middle), cpu(&world, end));
    assert!(after.0 >= before.0 + 40_000, "the client paid");
    assert_eq!((after.1, after.2), (before.1, before.2), "and nobody else");
}

#[test]
fn a_server_that_goes_on_after_a_reply_in_a_chain_is_not_forgotten() {
    let mut world = World::new(3000);
    let (client, middle, end, to_middle, to_end) = chain(&mut world);
    listen(&mut world, middle);
    listen(&mut world, end);
    call(&mut world, client, to_middle, 1, FOREVER);
    call(&mut world, middle, to_end, 2, FOREVER);
    let message = world.finished(end.slot).expect("received")[12];
    reply(&mut world, end, message, 3).expect("replied");
    assert_eq!(state(&world, end), State::Ready);
    assert!(runs_within_a_second(&mut world, end), "the end of the chain still runs");
}

#[test]
fn a_server_with_mail_goes_on_after_a_reply_in_a_chain() {
    let mut world = World::new(3000);
    let (client, middle, end, to_middle, to_end) = chain(&mut world);
    listen(&mut world, middle);
    listen(&mut world, end);
    call(&mut world, client, to_middle, 1, FOREVER);
    call(&mut world, middle, to_end, 2, FOREVER);
    let other = spawn(&mut world);
    let service = connect_waiting(&mut world, end, other);
    world.call(other.slot, Call::IpcSend, &[(9, service), (10, length(8)), (0, 9)]).expect("sent");
    let message = world.core.agents[middle.slot].outgoing.message.0;
    answer(&mut world, end, message, 3);
    assert_eq!(world.finished(end.slot).expect("mail")[0], 9);
    assert!(runs_within_a_second(&mut world, end));
    assert_eq!(world.finished(middle.slot).expect("answered")[0], 3);
}

/// A capability of a server that is busy, minted by init in its place.
fn connect_waiting(world: &mut World, server: Peer, client: Peer) -> u64 {
    let args = [(9, server.handle), (0, 8), (1, ALL), (2, 0), (3, 0)];
    let minted = world.call(world.init, Call::CapMint, &args).expect("minted")[0];
    give(world, client, minted, ALL)
}

#[test]
fn a_server_goes_on_when_its_caller_is_suspended() {
    let mut world = World::new(3000);
    let (client, middle, end, to_middle, to_end) = chain(&mut world);
    listen(&mut world, middle);
    listen(&mut world, end);
    call(&mut world, client, to_middle, 1, FOREVER);
    suspend(&mut world, client);
    assert!(runs_within_a_second(&mut world, middle), "the server of a suspended caller goes on");
    call(&mut world, middle, to_end, 2, FOREVER);
    suspend(&mut world, middle);
    assert!(runs_within_a_second(&mut world, end), "and so does that of a suspended server");
    resume(&mut world, middle);
    let message = world.core.agents[middle.slot].outgoing.message.0;
    answer(&mut world, end, message, 3);
    assert_eq!(world.finished(middle.slot).expect("answered")[0], 3);
    let message = world.core.agents[client.slot].outgoing.message.0;
    answer(&mut world, middle, message, 4);
    assert_eq!(state(&world, client), State::Ready);
    assert!(!runs_within_a_second(&mut world, client), "a suspended caller doesn't run");
    resume(&mut world, client);
    assert!(runs_within_a_second(&mut world, client));
    assert_eq!(world.finished(client.slot).expect("answered")[0], 4);
}

#[test]
fn a_server_goes_on_when_the_caller_that_would_pay_is_suspended() {
    let mut world = World::new(3000);
    let (server, first, second) = (spawn(&mut world), spawn(&mut world), spawn(&mut world));
    let (a, b) = (connect(&mut world, server, 1, first), connect(&mut world, server, 2, second));
    call(&mut world, first, a, 1, FOREVER);
    call(&mut world, second, b, 2, FOREVER);
    let (one, _) = receive(&mut world, server);
    receive(&mut world, server);
    suspend(&mut world, second);
    reply(&mut world, server, one, 0).expect("replied");
    assert!(runs_within_a_second(&mut world, server));
}

#[test]
fn an_urgent_caller_makes_its_server_run_in_its_place() {
    let mut world = World::new(3000);
    let (server, urgent, other) = (spawn(&mut world), spawn(&mut world), spawn(&mut world));
    let a = connect(&mut world, server, 1, urgent);
    let b = connect(&mut world, server, 2, other);
    // The server works for somebody in the fair class when the urgent call comes.
    call(&mut world, other, b, 1, FOREVER);
    let (first, _) = receive(&mut world, server);
    edf(&mut world, urgent, 5_000_000, 10_000_000);
    call(&mut world, urgent, a, 2, FOREVER);
    assert_eq!(state(&world, urgent), State::Calling(server.id));
    // Init and the server compete, and the server has the place of the urgent one.
    let before = cpu(&world, urgent);
    for _ in 0..4 {
        world.pass(1_000_000);
        assert_eq!(world.core.current(), server.slot, "nobody in the fair class runs before the server");
    }
    answer(&mut world, server, first, 1);
    let message = world.finished(server.slot).expect("the urgent call")[12];
    answer(&mut world, server, message, 2);
    assert_eq!(world.core.current(), urgent.slot);
    world.call(urgent.slot, Call::Yield, &[]).expect("yielded");
    assert!(cpu(&world, urgent) >= before + 4_000_000, "the urgent caller paid");
}

#[test]
fn when_a_lent_budget_ends_the_server_goes_on_and_the_client_is_debited() {
    let mut world = World::new(3000);
    let (server, client) = (spawn(&mut world), spawn(&mut world));
    let service = connect(&mut world, server, 1, client);
    listen(&mut world, server);
    edf(&mut world, client, 1_000_000, 100_000_000);
    call(&mut world, client, service, 1, FOREVER);
    let used = cpu(&world, server);
    // Within one period the client has 1 ms; the server's work takes 20 ms and goes on beside init's.
    let mut turns = 0;
    let start = world.now;
    while turns < 40 {
        world.pass(500_000);
        turns += (world.core.current() == server.slot) as u32;
        assert!(world.now < start + 95_000_000, "the server gets its own share after the client's budget");
    }
    assert!(cpu(&world, server) >= used + 10_000_000, "its own context paid after the lent one");
    let message = world.core.agents[client.slot].outgoing.message.0;
    reply(&mut world, server, message, 7).expect("replied");
    assert_eq!(state(&world, client), State::Ready);
    // The overdraft is many budgets: the client waits for as many periods.
    let replied = world.now;
    while world.core.current() != client.slot {
        world.pass(1_000_000);
        assert!(world.now < replied + 30_000_000_000, "the debt is bounded");
    }
    assert!(world.now - replied >= 1_000_000_000, "an overdraft of 10 budgets and more takes as many periods: {}", world.now - replied);
}

#[test]
fn timeouts_inside_a_chain_end_one_wait_and_leave_everybody_able_to_run() {
    let mut world = World::new(3000);
    let (client, middle, end, to_middle, to_end) = chain(&mut world);
    listen(&mut world, middle);
    listen(&mut world, end);
    let first = world.now + 20_000_000;
    call(&mut world, client, to_middle, 1, first);
    call(&mut world, middle, to_end, 2, first + 40_000_000);
    world.pass(30_000_000);
    assert_eq!(world.finished(client.slot), Err(Error::Timeout));
    assert_eq!(state(&world, middle), State::Awaiting(end.id));
    assert!(runs_within_a_second_or_done(&mut world, end, middle));
    world.pass(60_000_000);
    assert_eq!(world.finished(middle.slot), Err(Error::Timeout));
    for peer in [client, middle, end] {
        assert!(runs_within_a_second(&mut world, peer));
    }
}

fn runs_within_a_second_or_done(world: &mut World, wanted: Peer, waiting: Peer) -> bool {
    (0..30).any(|_| {
        world.pass(1_000_000);
        world.core.current() == wanted.slot || state(world, waiting) == State::Ready
    })
}

#[test]
fn the_death_of_the_middle_of_a_chain_ends_the_callers_wait_and_frees_the_end() {
    for restart in [false, true] {
        let mut world = World::new(3000);
        let (client, middle, end, to_middle, to_end) = chain(&mut world);
        listen(&mut world, middle);
        listen(&mut world, end);
        call(&mut world, client, to_middle, 1, FOREVER);
        call(&mut world, middle, to_end, 2, FOREVER);
        let message = world.core.agents[middle.slot].outgoing.message.0;
        let op = if restart { AgentOp::Restart } else { AgentOp::Kill };
        {
            let init = world.init;
            control(&mut world, init, middle.handle, op, 0)
        }
        .expect("done");
        let expected = if restart { Error::PeerRestarted } else { Error::PeerDied };
        assert_eq!(world.finished(client.slot), Err(expected));
        assert_eq!(state(&world, end), State::Ready);
        assert!(runs_within_a_second(&mut world, end));
        assert_eq!(reply(&mut world, end, message, 0), Err(Error::NoSuchMessage));
    }
}

#[test]
fn the_death_of_the_first_caller_frees_the_rest_of_the_chain() {
    let mut world = World::new(3000);
    let (client, middle, end, to_middle, to_end) = chain(&mut world);
    listen(&mut world, middle);
    listen(&mut world, end);
    call(&mut world, client, to_middle, 1, FOREVER);
    call(&mut world, middle, to_end, 2, FOREVER);
    kill(&mut world, client);
    assert!(runs_within_a_second(&mut world, end));
    let message = world.core.agents[middle.slot].outgoing.message.0;
    answer(&mut world, end, message, 3);
    assert_eq!(world.finished(middle.slot).expect("answered")[0], 3);
    assert!(runs_within_a_second(&mut world, middle));
}

#[test]
fn a_nested_reply_costs_the_middle_nothing() {
    let mut world = World::new(3000);
    let (client, middle, end, to_middle, to_end) = chain(&mut world);
    listen(&mut world, middle);
    listen(&mut world, end);
    call(&mut world, client, to_middle, 1, FOREVER);
    for _ in 0..20 {
        call(&mut world, middle, to_end, 2, FOREVER);
        let message = world.core.agents[middle.slot].outgoing.message.0;
        answer(&mut world, end, message, 3);
    }
    let used = cpu(&world, middle);
    for _ in 0..50 {
        world.pass(1_000_000);
    }
    assert_eq!(cpu(&world, middle), used, "while the client lends, the middle's own context doesn't compete beside it");
}

#[test]
fn scheduling_parameters_change_under_a_running_and_under_a_lent_context() {
    let mut world = World::new(3000);
    let (server, client) = (spawn(&mut world), spawn(&mut world));
    let service = connect(&mut world, server, 1, client);
    listen(&mut world, server);
    call(&mut world, client, service, 1, FOREVER);
    edf(&mut world, client, 2_000_000, 20_000_000);
    world.pass(3_000_000);
    let fair = [(9, client.handle), (0, CLASS_FAIR), (1, 1024), (2, 0)];
    world.call(world.init, Call::SchedSet, &fair).expect("back to fair");
    assert!(runs_within_a_second(&mut world, server));
    let message = world.core.agents[client.slot].outgoing.message.0;
    answer(&mut world, server, message, 3);
    assert!(runs_within_a_second(&mut world, client));
}

/// Agents each of which has a capability of the next and is called by the one before; init calls the first.
fn line_of_calls(world: &mut World, count: u64) -> Vec<Peer> {
    let mut line: Vec<Peer> = Vec::new();
    let mut services = Vec::new();
    for _ in 0..count {
        let (handle, id) = world.spawn(world.init, 60, 1);
        let peer = Peer { slot: id.slot(), id, handle };
        let init = world.init;
        let minted = world.call(init, Call::CapMint, &[(9, handle), (0, 1), (1, ALL), (2, 0), (3, 0)]).expect("minted")[0];
        services.push(match line.last() {
            None => minted,
            Some(&caller) => give(world, caller, minted, ALL),
        });
        line.push(peer);
        listen(world, peer);
    }
    world.begin(world.init, Call::IpcCall, &[(9, services[0]), (10, length(8)), (12, FOREVER)]);
    for (&caller, &service) in line.iter().zip(&services[1..]) {
        call(world, caller, service, 1, FOREVER);
    }
    line
}

#[test]
fn a_chain_of_hundreds_of_calls_is_lent_over_64_links_and_unwinds() {
    let mut world = World::new(40_000);
    world.checking = false;
    let line = line_of_calls(&mut world, 300);
    world.check();
    let end = line[299];
    assert_eq!(world.core.current(), end.slot, "somebody's time runs the end");
    let mut message = world.finished(end.slot).expect("received")[12];
    for (&server, &caller) in line.iter().rev().zip(line.iter().rev().skip(1)) {
        reply(&mut world, server, message, 2).expect("replied");
        world.check();
        world.finished(caller.slot).expect("answered");
        // What the caller was itself asked.
        let above = line.iter().position(|&peer| peer == caller).and_then(|at| at.checked_sub(1));
        let asker = above.map_or(world.init, |at| line[at].slot);
        message = world.core.agents[asker].outgoing.message.0;
    }
    reply(&mut world, line[0], message, 3).expect("replied");
    world.check();
    world.finished(world.init).expect("answered");
}

#[test]
fn nobody_calls_into_a_chain_that_is_too_long_to_follow() {
    let mut world = World::new(40_000);
    world.checking = false;
    let line = line_of_calls(&mut world, 100);
    let caller = *line.last().expect("many");
    let init = world.init;
    let own = world.own_slot(caller.slot, 1);
    let _ = own;
    for (at, expected) in [(0, Error::LimitReached), (30, Error::LimitReached), (40, Error::Deadlock), (98, Error::Deadlock)] {
        // The end of the chain has a capability of one in it.
        let minted = mint_by(&mut world, line[at], caller);
        let args = [(9, minted), (10, length(8)), (12, FOREVER)];
        assert_eq!(world.call(caller.slot, Call::IpcCall, &args).map(drop), Err(expected), "link {at}");
    }
    assert!(world.waits(init));
}

/// A capability of an agent for another, without asking anybody who waits.
fn mint_by(world: &mut World, of: Peer, holder: Peer) -> u64 {
    let mut slot = *world.core.agents[holder.slot].slots.look(1).expect("itself");
    slot.kind = aios_abi::rights::Kind::Service;
    slot.object = of.id.0;
    slot.rights = aios_abi::rights::Rights::ALL;
    aios_core::cap::refer(&world.sim, slot.node);
    let index = world.core.agents[holder.slot].slots.next_place();
    world.core.agents[holder.slot].slots.fill(index, slot).0 as u64
}

#[test]
fn a_fault_at_the_end_of_a_long_chain_reaches_a_supervisor_that_waits_at_its_other_end() {
    let mut world = World::new(40_000);
    world.checking = false;
    let line = line_of_calls(&mut world, 100);
    let end = line[99];
    world.switch_to(end.slot);
    let exception = aios_core::core::Exception { cause: aios_abi::message::FaultCause::DataPermission, syndrome: 0, address: 8 };
    world.core.fault(&mut world.sim, exception, world.now);
    world.settle();
    world.check();
    assert_eq!(world.finished(world.init), Err(Error::LimitReached), "it can't be said whether it waits for the one that faults");
    let init = world.init;
    let got = world.call(init, Call::IpcRecv, &[(10, 0), (12, FOREVER)]).expect("the fault");
    assert_eq!(kind(&got), aios_abi::message::Received::Fault);
    world.call(init, Call::FaultReply, &[(9, got[12]), (0, 2)]).expect("killed");
}
