//! Long messages: across pages, with faults in the middle, in the mailbox, interrupted at every page.

use aios_abi::message::{RecvInfo, SendInfo};
use aios_abi::{Call, Error};
use aios_core::agent::State;
use aios_sim::World;

use crate::support::*;

fn pattern(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed).wrapping_add((i >> 8) as u8)).collect()
}

struct Pair {
    world: World,
    server: Peer,
    client: Peer,
    service: u64,
}

fn pair() -> Pair {
    let mut world = World::new(6000);
    let (handle, id) = world.spawn(world.init, 600, 17);
    let server = Peer { slot: id.slot(), id, handle };
    let client = spawn(&mut world);
    let service = connect(&mut world, server, 1, client);
    Pair { world, server, client, service }
}

fn demand(world: &mut World, peer: Peer, pages: u64) -> u64 {
    world.call(peer.slot, Call::AgentMemAlloc, &[(0, pages << 12), (1, 1)]).expect("a region")[0]
}

const MAX: u32 = 65_536;

#[test]
fn the_longest_message_goes_both_ways_over_demand_pages_at_any_alignment() {
    for (from_offset, to_offset) in [(0, 0), (1, 4095), (4095, 1), (2048, 7)] {
        for interrupts in [0, 1, 3] {
            let Pair { mut world, server, client, service } = pair();
            let bytes = pattern(MAX as usize, 5);
            let mut image = vec![0; from_offset];
            image.extend(&bytes);
            let source = world.memory(client.slot, &image) + from_offset as u64;
            let target = demand(&mut world, server, 18) + to_offset;
            world.begin(server.slot, Call::IpcRecv, &[(10, room(MAX)), (11, target), (12, FOREVER)]);
            world.sim.interrupt_every = interrupts;
            let info = SendInfo { length: MAX, room: MAX, ..SendInfo::default() }.encode();
            world.begin(client.slot, Call::IpcCall, &[(9, service), (10, info), (11, source), (12, FOREVER)]);
            let got = world.finished(server.slot).expect("received");
            assert_eq!(RecvInfo::decode(got[10]).length, MAX);
            assert_eq!(world.peek(server.slot, target, MAX as usize), bytes);
            world.begin(server.slot, Call::IpcReplyRecv, &[(9, got[12]), (10, info), (11, target), (12, FOREVER)]);
            world.sim.interrupt_every = 0;
            assert_eq!(RecvInfo::decode(world.finished(client.slot).expect("answered")[10]).length, MAX);
            assert_eq!(world.peek(client.slot, source, MAX as usize), bytes);
        }
    }
}

#[test]
fn a_call_that_waits_is_copied_when_it_is_received() {
    for interrupts in [0, 1] {
        let Pair { mut world, server, client, service } = pair();
        let bytes = pattern(50_000, 9);
        let source = world.memory(client.slot, &bytes);
        let target = demand(&mut world, server, 16);
        world.begin(client.slot, Call::IpcCall, &[(9, service), (10, length(50_000)), (11, source), (12, FOREVER)]);
        world.sim.interrupt_every = interrupts;
        world.begin(server.slot, Call::IpcRecv, &[(10, room(MAX)), (11, target), (12, FOREVER)]);
        world.sim.interrupt_every = 0;
        world.finished(server.slot).expect("received");
        assert_eq!(world.peek(server.slot, target, 50_000), bytes);
    }
}

#[test]
fn long_messages_wrap_around_in_the_mailbox() {
    let Pair { mut world, server, client, service } = pair();
    let target = demand(&mut world, server, 17);
    let source = world.memory(client.slot, &pattern(65_536, 1));
    let lengths = [60_001, 3000, 65, 20_000, 64, 40_000, 65_000, 4096, 9];
    assert_eq!(world.call(server.slot, Call::IpcRecv, &[(10, room(MAX)), (12, 0)]), Err(Error::Timeout), "says how much it takes");
    let mut waiting = std::collections::VecDeque::new();
    for round in 0..60 {
        let wanted = lengths[round % lengths.len()];
        let offset = round as u64 * 8;
        let args = [(9, service), (10, length(wanted.min(65_000))), (11, source + offset % 500), (0, round as u64)];
        match world.call(client.slot, Call::IpcSend, &args) {
            Ok(_) => waiting.push_back((wanted.min(65_000), offset % 500, round as u64)),
            Err(error) => assert_eq!(error, Error::QueueFull),
        }
        if waiting.len() > 2 || round % 3 == 0 {
            let Some((sent, offset, word)) = waiting.pop_front() else { continue };
            let got = world.call(server.slot, Call::IpcRecv, &[(10, room(MAX)), (11, target + 3), (12, 0)]).expect("a message");
            assert_eq!(RecvInfo::decode(got[10]).length, sent);
            if sent > 64 {
                assert_eq!(world.peek(server.slot, target + 3, sent as usize), world.peek(client.slot, source + offset, sent as usize));
            } else if sent >= 8 {
                assert_eq!(got[0], word);
            }
        }
    }
}

#[test]
fn a_hole_in_the_senders_memory_is_the_senders_error_and_the_server_goes_on_waiting() {
    let Pair { mut world, server, client, service } = pair();
    let source = world.memory(client.slot, &pattern(8192, 2));
    let target = demand(&mut world, server, 16);
    world.begin(server.slot, Call::IpcRecv, &[(10, room(MAX)), (11, target), (12, FOREVER)]);
    for call in [Call::IpcCall, Call::IpcSend] {
        let args = [(9, service), (10, length(20_000)), (11, source), (12, FOREVER)];
        assert_eq!(world.call(client.slot, call, &args), Err(Error::BadAddress));
        assert_eq!(state(&world, server), State::Receiving);
    }
    // And when the call waited first, the receiver doesn't notice.
    world.call(client.slot, Call::IpcSend, &[(9, service), (10, length(8)), (0, 1)]).expect("sent");
    world.finished(server.slot).expect("received");
    world.begin(client.slot, Call::IpcCall, &[(9, service), (10, length(20_000)), (11, source), (12, FOREVER)]);
    world.begin(server.slot, Call::IpcRecv, &[(10, room(MAX)), (11, target), (12, FOREVER)]);
    assert_eq!(world.finished(client.slot), Err(Error::BadAddress));
    assert_eq!(state(&world, server), State::Receiving);
}

#[test]
fn a_hole_in_the_receivers_memory_is_the_receivers_error_and_the_message_waits() {
    let Pair { mut world, server, client, service } = pair();
    let source = world.memory(client.slot, &pattern(20_000, 3));
    let small = world.memory(server.slot, &[0; 8192]);
    let good = demand(&mut world, server, 8);
    for by_call in [true, false] {
        world.begin(server.slot, Call::IpcRecv, &[(10, room(MAX)), (11, small), (12, FOREVER)]);
        let call = if by_call { Call::IpcCall } else { Call::IpcSend };
        world.begin(client.slot, call, &[(9, service), (10, length(20_000)), (11, source), (12, FOREVER)]);
        assert_eq!(world.finished(server.slot), Err(Error::BadAddress));
        let again = world.call(server.slot, Call::IpcRecv, &[(10, room(MAX)), (11, small), (12, FOREVER)]);
        assert_eq!(again, Err(Error::BadAddress), "it is still there");
        let got = world.call(server.slot, Call::IpcRecv, &[(10, room(MAX)), (11, good), (12, FOREVER)]).expect("received");
        assert_eq!(world.peek(server.slot, good, 20_000), pattern(20_000, 3));
        if by_call {
            reply(&mut world, server, got[12], 1).expect("replied");
        }
    }
}

#[test]
fn memory_that_cannot_be_paid_is_out_of_memory_for_the_side_that_it_belongs_to() {
    let mut world = World::new(6000);
    let server = spawn(&mut world);
    let (handle, id) = world.spawn(world.init, 20, 1);
    let poor = Peer { slot: id.slot(), id, handle };
    let service = connect(&mut world, server, 1, poor);
    let source = demand(&mut world, poor, 16);
    let target = demand(&mut world, server, 16);
    world.begin(server.slot, Call::IpcRecv, &[(10, room(MAX)), (11, target), (12, FOREVER)]);
    let call = world.call(poor.slot, Call::IpcCall, &[(9, service), (10, length(MAX)), (11, source), (12, FOREVER)]);
    assert!(matches!(call, Err(Error::NoMemory)), "{call:?}");
    assert_eq!(state(&world, server), State::Receiving);
    assert_eq!(world.core.agents[poor.slot].pools[0].left(), 0, "it paid as far as it could");
}

#[test]
fn a_reply_that_does_not_fit_is_the_callers_error() {
    let Pair { mut world, server, client, service } = pair();
    let answer = world.memory(server.slot, &pattern(10_000, 4));
    let small = world.memory(client.slot, &[0; 4096]);
    for (room_for, buffer, error) in
        [(9999, small, Error::MessageTooLong), (MAX, small, Error::BadAddress), (MAX, NOWHERE, Error::BadAddress)]
    {
        let info = SendInfo { length: 8, room: room_for, ..SendInfo::default() }.encode();
        world.begin(client.slot, Call::IpcCall, &[(9, service), (10, info), (11, buffer), (12, FOREVER)]);
        let (message, _) = receive(&mut world, server);
        world.call(server.slot, Call::IpcReply, &[(9, message), (10, length(10_000)), (11, answer)]).expect("the server did its part");
        assert_eq!(world.finished(client.slot), Err(error));
    }
    let info = SendInfo { length: 8, room: MAX, ..SendInfo::default() }.encode();
    world.begin(client.slot, Call::IpcCall, &[(9, service), (10, info), (11, small), (12, FOREVER)]);
    let (message, _) = receive(&mut world, server);
    let bad = world.call(server.slot, Call::IpcReply, &[(9, message), (10, length(10_000)), (11, NOWHERE)]);
    assert_eq!(bad, Err(Error::BadAddress), "the server's own buffer");
    assert!(world.waits(client.slot), "and the caller waits on");
    reply(&mut world, server, message, 3).expect("replied");
}

#[test]
fn an_interrupted_copy_starts_anew_when_something_else_came_between() {
    let Pair { mut world, server, client, service } = pair();
    let bytes = pattern(60_000, 6);
    let source = world.memory(client.slot, &bytes);
    let target = demand(&mut world, server, 16);
    world.begin(server.slot, Call::IpcRecv, &[(10, room(MAX)), (11, target), (12, FOREVER)]);
    // The client's call is interrupted after its first page; meanwhile init notifies the server, which receives anew elsewhere.
    world.switch_to(client.slot);
    world.sim.interrupt_every = 1;
    let x = &mut world.core.agents[client.slot].registers.x;
    (x[8], x[9], x[10], x[11], x[12]) = (Call::IpcCall as u64, service, length(60_000), source, FOREVER);
    world.execute(client.slot);
    world.sim.interrupt_every = 0;
    assert_eq!(state(&world, client), State::Ready, "in the middle");
    assert_eq!(state(&world, server), State::Receiving);
    world.core.agents[client.slot].suspended = true;
    world.pass(30_000_000);
    let init = world.init;
    let minted = world.call(init, Call::CapMint, &[(9, server.handle), (0, 1), (1, ALL), (2, 0), (3, 1)]).expect("minted")[0];
    world.call(init, Call::Notify, &[(9, minted), (0, 1)]).expect("raised");
    let elsewhere = demand(&mut world, server, 16);
    world.begin(server.slot, Call::IpcRecv, &[(10, room(MAX)), (11, elsewhere), (12, FOREVER)]);
    resume(&mut world, client);
    for _ in 0..200 {
        world.pass(1_000_000);
    }
    world.finished(server.slot).expect("received");
    assert_eq!(world.peek(server.slot, elsewhere, 60_000), bytes);
}
