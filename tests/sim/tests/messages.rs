//! Messages: every way that a call can go, through the shipped core.

use aios_abi::message::{Received, RecvInfo, SendInfo};
use aios_abi::rights::Rights;
use aios_abi::{AgentId, Call, Error};
use aios_core::agent::State;
use aios_sim::World;

const FOREVER: u64 = u64::MAX;

/// A world with a server and a client that holds a capability of it with badge 77.
fn pair() -> (World, u16, u16, u64) {
    let mut world = World::new(2000);
    let init = world.init;
    let (_, server) = world.spawn(init, 200, 1);
    let (handle, client) = world.spawn(init, 200, 1);
    let service = world.connect(server.slot(), 77, client, handle);
    (world, server.slot(), client.slot(), service)
}

fn info(length: u32) -> u64 {
    SendInfo { length, ..SendInfo::default() }.encode()
}

fn room(bytes: u32) -> u64 {
    SendInfo { room: bytes, ..SendInfo::default() }.encode()
}

#[test]
fn a_call_goes_to_a_server_that_waits_and_its_reply_comes_back() {
    let (mut world, server, client, service) = pair();
    world.begin(server, Call::IpcRecv, &[(10, 0), (12, FOREVER)]);
    assert_eq!(world.core.agents[server].state, State::Receiving);
    let payload: Vec<(usize, u64)> = (0..8).map(|i| (i, 0x1111 * (i as u64 + 1))).collect();
    let mut args = vec![(9, service), (10, info(64)), (12, FOREVER)];
    args.extend(&payload);
    world.begin(client, Call::IpcCall, &args);
    let got = world.finished(server).expect("received");
    let head = RecvInfo::decode(got[10]);
    assert_eq!((head.kind, head.length, got[11]), (Received::Call, 64, 77));
    assert_eq!(AgentId(got[9]).slot(), client);
    assert_eq!(&got[..8], payload.iter().map(|p| p.1).collect::<Vec<_>>());
    assert_eq!(world.core.agents[client].state, State::Awaiting(world.core.agents[server].id));
    // The server runs in the client's place: nobody had to be queued for it.
    assert_eq!(world.core.current(), server);
    world.begin(server, Call::IpcReplyRecv, &[(9, got[12]), (10, info(9)), (0, 5), (1, 0xffff_ffff), (12, FOREVER)]);
    let reply = world.finished(client).expect("answered");
    assert_eq!((reply[0], reply[1], reply[2]), (5, 0xff, 0), "nine bytes, and nothing of the server's registers beyond");
    assert_eq!(RecvInfo::decode(reply[10]).kind, Received::Reply);
    assert_eq!(world.core.current(), client);
    assert_eq!(world.core.agents[server].state, State::Receiving);
}

#[test]
fn calls_to_a_busy_server_wait_in_order_and_each_gets_its_own_reply() {
    let (mut world, server, client, service) = pair();
    let init = world.init;
    let (handle, other) = world.spawn(init, 100, 1);
    let second = world.connect(server, 78, other, handle);
    world.begin(client, Call::IpcCall, &[(9, service), (10, info(8)), (0, 1), (12, FOREVER)]);
    world.begin(other.slot(), Call::IpcCall, &[(9, second), (10, info(8)), (0, 2), (12, FOREVER)]);
    let first = world.call(server, Call::IpcRecv, &[(10, 0), (12, FOREVER)]).expect("first");
    assert_eq!((first[0], first[11]), (1, 77));
    let second = world.call(server, Call::IpcReplyRecv, &[(9, first[12]), (10, info(8)), (0, 11), (12, FOREVER)]).expect("second");
    assert_eq!((second[0], second[11]), (2, 78));
    assert_eq!(world.finished(client).expect("answered")[0], 11);
    world.call(server, Call::IpcReply, &[(9, second[12]), (10, info(8)), (0, 22)]).expect("replied");
    assert_eq!(world.finished(other.slot()).expect("answered")[0], 22);
    let again = world.call(server, Call::IpcReply, &[(9, second[12]), (10, info(8)), (0, 33)]);
    assert_eq!(again, Err(Error::NoSuchMessage), "a call is answered once");
}

#[test]
fn long_messages_are_copied_whole_both_ways() {
    let (mut world, server, client, service) = pair();
    let question: Vec<u8> = (0..20_000u32).map(|i| (i * 7) as u8).collect();
    let answer: Vec<u8> = (0..5_000u32).map(|i| (i * 3) as u8).collect();
    let from = world.memory(client, &question);
    let to = world.memory(server, &vec![0; 65_536]);
    let back = world.memory(server, &answer);
    world.begin(server, Call::IpcRecv, &[(10, room(65_536)), (11, to + 123), (12, FOREVER)]);
    let head = SendInfo { length: 20_000 - 7, room: 20_000, ..SendInfo::default() }.encode();
    world.begin(client, Call::IpcCall, &[(9, service), (10, head), (11, from + 7), (12, FOREVER)]);
    let got = world.finished(server).expect("received");
    assert_eq!(RecvInfo::decode(got[10]).length, 20_000 - 7);
    assert_eq!(world.peek(server, to + 123, 20_000 - 7), question[7..]);
    world.call(server, Call::IpcReply, &[(9, got[12]), (10, info(5_000)), (11, back)]).expect("replied");
    assert_eq!(world.peek(client, from + 7, 5_000), answer);
}

#[test]
fn a_message_that_is_too_long_or_badly_placed_is_an_error_for_whoever_is_to_blame() {
    let (mut world, server, client, service) = pair();
    let from = world.memory(client, &[1; 4096]);
    world.begin(server, Call::IpcRecv, &[(10, room(100)), (11, 0x10), (12, FOREVER)]);
    let call = |length, address| vec![(9, service), (10, info(length)), (11, address), (12, FOREVER)];
    assert_eq!(world.call(client, Call::IpcCall, &call(101, from)), Err(Error::MessageTooLong));
    assert_eq!(world.call(client, Call::IpcCall, &call(100, 0x10)), Err(Error::BadAddress));
    assert_eq!(world.core.agents[server].state, State::Receiving, "a failed call leaves the server alone");
    world.begin(client, Call::IpcCall, &call(100, from));
    assert_eq!(world.finished(server), Err(Error::BadAddress), "the server's buffer is its own trouble");
    assert!(world.waits(client), "and the call waits for a better receive");
}

#[test]
fn asynchronous_messages_wait_in_the_mailbox_until_it_is_full() {
    let (mut world, server, client, service) = pair();
    let mut sent = 0;
    let refused = loop {
        match world.call(client, Call::IpcSend, &[(9, service), (10, info(64)), (0, sent)]) {
            Ok(_) => sent += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, Error::QueueFull);
    assert_eq!(sent, 4096 / (6 * 8 + 64), "a page of records of 112 bytes");
    for i in 0..sent {
        let got = world.call(server, Call::IpcRecv, &[(10, 0), (12, FOREVER)]).expect("received");
        assert_eq!((got[0], RecvInfo::decode(got[10]).kind), (i, Received::Message));
    }
    assert_eq!(world.call(server, Call::IpcRecv, &[(10, 0), (12, 0)]), Err(Error::Timeout), "a poll that finds nothing");
}

#[test]
fn deadlines_end_waits_at_both_stages_of_a_call() {
    let (mut world, server, client, service) = pair();
    let soon = world.now + 5_000_000;
    world.begin(client, Call::IpcCall, &[(9, service), (10, info(0)), (12, soon)]);
    world.pass(10_000_000);
    assert_eq!(world.finished(client), Err(Error::Timeout));
    let soon = world.now + 50_000_000;
    world.begin(client, Call::IpcCall, &[(9, service), (10, info(0)), (12, soon)]);
    let got = world.call(server, Call::IpcRecv, &[(10, 0), (12, FOREVER)]).expect("received");
    world.pass(60_000_000);
    assert_eq!(world.finished(client), Err(Error::Timeout));
    let late = world.call(server, Call::IpcReply, &[(9, got[12]), (10, info(0))]);
    assert_eq!(late, Err(Error::NoSuchMessage));
}

#[test]
fn the_death_of_a_server_ends_calls_before_and_after_they_were_received() {
    let (mut world, server, client, service) = pair();
    let init = world.init;
    let (handle, other) = world.spawn(init, 100, 1);
    let second = world.connect(server, 78, other, handle);
    world.begin(client, Call::IpcCall, &[(9, service), (10, info(0)), (12, FOREVER)]);
    world.call(server, Call::IpcRecv, &[(10, 0), (12, FOREVER)]).expect("received");
    world.begin(other.slot(), Call::IpcCall, &[(9, second), (10, info(0)), (12, FOREVER)]);
    let server_capability = world.capability_of(init, server);
    world.call(init, Call::AgentControl, &[(9, server_capability), (0, 2)]).expect("killed");
    assert!(world.core.agents.get(server).is_none());
    assert_eq!(world.finished(client), Err(Error::PeerDied));
    assert_eq!(world.finished(other.slot()), Err(Error::PeerDied));
    let after = world.call(client, Call::IpcCall, &[(9, service), (10, info(0)), (12, FOREVER)]);
    assert_eq!(after, Err(Error::Revoked), "what a dead agent derived is void");
}

#[test]
fn a_restarted_server_keeps_its_id_and_its_callers_hear_of_it() {
    let (mut world, server, client, service) = pair();
    let init = world.init;
    let id = world.core.agents[server].id;
    world.begin(client, Call::IpcCall, &[(9, service), (10, info(0)), (12, FOREVER)]);
    world.call(server, Call::IpcRecv, &[(10, 0), (12, FOREVER)]).expect("received");
    let capability = world.capability_of(init, server);
    world.call(init, Call::AgentControl, &[(9, capability), (0, 5)]).expect("restarted");
    assert_eq!(world.finished(client), Err(Error::PeerRestarted));
    let agent = &world.core.agents[server];
    assert_eq!((agent.id, agent.state, agent.incarnation), (id, State::New, 2));
}

#[test]
fn notifications_wake_a_receiver_and_are_limited_to_what_the_capability_allows() {
    let mut world = World::new(1000);
    let init = world.init;
    let (handle, driver) = world.spawn(init, 100, 1);
    let me = world.own_slot(init, 1);
    let bits = world.call(init, Call::CapMint, &[(9, me), (0, 0b110), (1, u32::MAX as u64), (2, 0), (3, 1)]).expect("minted")[0];
    let given = world
        .call(init, Call::CapGrant, &[(9, handle), (0, bits), (1, Rights::SEND.0 as u64), (2, 0), (3, 0), (4, 0)])
        .expect("granted")[0];
    world.begin(init, Call::IpcRecv, &[(10, 0), (12, FOREVER)]);
    assert_eq!(world.call(driver.slot(), Call::Notify, &[(9, given), (0, 1)]), Err(Error::BadArgument));
    world.call(driver.slot(), Call::Notify, &[(9, given), (0, 0b011)]).expect("raised");
    let got = world.finished(init).expect("woken");
    assert_eq!((got[0], RecvInfo::decode(got[10]).kind), (0b010, Received::Notification));
}

#[test]
fn calls_in_a_circle_are_refused() {
    let (mut world, server, client, service) = pair();
    let init = world.init;
    let to_client = {
        let server_capability = world.capability_of(init, server);
        world.connect(client, 5, world.core.agents[server].id, server_capability)
    };
    world.begin(client, Call::IpcCall, &[(9, service), (10, info(0)), (12, FOREVER)]);
    world.call(server, Call::IpcRecv, &[(10, 0), (12, FOREVER)]).expect("received");
    assert_eq!(world.call(server, Call::IpcCall, &[(9, to_client), (10, info(0)), (12, FOREVER)]), Err(Error::Deadlock));
}

#[test]
fn capabilities_ride_only_to_receivers_that_take_them() {
    let (mut world, server, client, service) = pair();
    let pool = world.own_slot(client, 2);
    let frame = world.call(client, Call::FrameAlloc, &[(9, pool), (0, 1)]).expect("frame")[0];
    let one = SendInfo { caps: 1, length: 8, ..SendInfo::default() }.encode();
    let take = SendInfo { take_caps: 1, ..SendInfo::default() }.encode();
    world.begin(server, Call::IpcRecv, &[(10, 0), (12, FOREVER)]);
    assert_eq!(world.call(client, Call::IpcCall, &[(9, service), (10, one), (7, frame), (12, FOREVER)]), Err(Error::CapsRefused));
    world.begin(client, Call::IpcSend, &[(9, service), (10, info(0))]);
    world.begin(server, Call::IpcRecv, &[(10, take), (12, FOREVER)]);
    world.begin(client, Call::IpcCall, &[(9, service), (10, one), (7, frame), (0, 42), (12, FOREVER)]);
    let got = world.finished(server).expect("received");
    assert_eq!((got[0], RecvInfo::decode(got[10]).caps), (42, 1));
    let mapped = world.call(server, Call::PageMap, &[(9, got[7]), (0, 0), (1, 0x100_0000), (2, 3)]);
    assert!(mapped.is_ok(), "the server can map what it was given");
}

#[test]
fn interrupts_in_long_copies_cost_nothing_but_time() {
    for every in [1, 2, 3] {
        let (mut world, server, client, service) = pair();
        let question: Vec<u8> = (0..65_000u32).map(|i| (i * 11) as u8).collect();
        let from = world.memory(client, &question);
        let to = world.memory(server, &vec![0; 65_536]);
        let back = world.memory(server, &question);
        for waiting in [true, false] {
            world.sim.interrupt_every = every;
            let call = SendInfo { length: 64_990, room: 65_000, ..SendInfo::default() }.encode();
            let call = [(9, service), (10, call), (11, from + 3), (12, FOREVER)];
            if waiting {
                world.begin(server, Call::IpcRecv, &[(10, room(65_536)), (11, to + 1), (12, FOREVER)]);
                world.begin(client, Call::IpcCall, &call);
            } else {
                world.begin(client, Call::IpcCall, &call);
                world.begin(server, Call::IpcRecv, &[(10, room(65_536)), (11, to + 1), (12, FOREVER)]);
            }
            world.sim.interrupt_every = 0;
            let got = world.finished(server).expect("received");
            assert_eq!(world.peek(server, to + 1, 64_990), question[3..64_993], "every {every}");
            world.sim.interrupt_every = every;
            world.call(server, Call::IpcReply, &[(9, got[12]), (10, info(30_000)), (11, back + 9)]).expect("replied");
            world.sim.interrupt_every = 0;
            assert_eq!(world.peek(client, from + 3, 30_000), question[9..30_009]);
            // The question was overwritten by the answer: write it anew.
            for (i, chunk) in question.chunks(4096).enumerate() {
                let leaf = world.core.agents[client].space.translate(&world.sim, from + i as u64 * 4096).expect("mapped");
                aios_core::machine::Memory::write_bytes(&mut world.sim, leaf.pa, chunk);
            }
        }
    }
}
