//! Operations that a registered server does while the caller goes on: each ends exactly once.

use aios_abi::call::{AgentOp, init};
use aios_abi::message::{Received, RecvInfo};
use aios_abi::rights::Rights;
use aios_abi::{Call, Error};
use aios_sim::World;

use crate::support::*;

const DONE: u64 = 0x10;

fn register(world: &mut World, server: Peer) {
    let seed = world.own_slot(world.init, init::SLOT_SEED);
    let seed = give(world, server, seed, Rights::WRITE.0 as u64);
    let service = mint(world, server.slot, 99, Rights::SEND);
    world.call(server.slot, Call::ServiceRegister, &[(9, service), (0, 1), (1, seed)]).expect("registered");
}

/// A registered server, a client, and an operation under way with this deadline.
fn begun(deadline: u64) -> (World, Peer, Peer, u64) {
    let mut world = World::new(4000);
    let (server, client) = (spawn(&mut world), spawn(&mut world));
    register(&mut world, server);
    let handle = begin(&mut world, client, 5, deadline);
    (world, server, client, handle)
}

fn begin(world: &mut World, client: Peer, word: u64, deadline: u64) -> u64 {
    world.call(client.slot, Call::PqcOperation, &[(10, length(56)), (0, word), (6, 66), (12, deadline), (13, DONE)]).expect("begun")[0]
}

fn poll(world: &mut World, client: Peer, handle: u64) -> Result<[u64; 31], Error> {
    world.call(client.slot, Call::PqcPoll, &[(9, handle)])
}

fn notified(world: &mut World, client: Peer) -> Option<u64> {
    world.call(client.slot, Call::IpcRecv, &[(10, 0), (12, 0)]).ok().map(|x| x[0])
}

#[test]
fn a_server_answers_and_the_result_is_there_once() {
    let (mut world, server, client, handle) = begun(FOREVER);
    assert_eq!(poll(&mut world, client, handle), Err(Error::Pending));
    let got = world.call(server.slot, Call::IpcRecv, &[(10, 0), (12, FOREVER)]).expect("the operation");
    assert_eq!((kind(&got), got[0], got[6], got[11]), (Received::Call, 5, 66, 99));
    assert_eq!(got[9], client.id.0, "it comes from who asked");
    let too_long = world.call(server.slot, Call::IpcReply, &[(9, got[12]), (10, length(57))]);
    assert_eq!(too_long, Err(Error::MessageTooLong));
    let pool = world.own_slot(server.slot, 2);
    assert_eq!(world.call(server.slot, Call::IpcReply, &[(9, got[12]), (10, carry(1, false)), (7, pool)]), Err(Error::CapsRefused));
    world.call(server.slot, Call::IpcReply, &[(9, got[12]), (10, length(17)), (0, 1), (1, 2), (2, 0xabcd)]).expect("answered");
    assert_eq!(reply(&mut world, server, got[12], 7), Err(Error::NoSuchMessage), "an answer is given once");
    assert_eq!(notified(&mut world, client), Some(DONE));
    let result = poll(&mut world, client, handle).expect("the result");
    assert_eq!(result[..7], [1, 2, 0xcd, 0, 0, 0, 0], "seventeen bytes");
    assert_eq!(RecvInfo::decode(result[10]).length, 17);
    assert_eq!(poll(&mut world, client, handle), Err(Error::NoSuchOperation));
}

#[test]
fn a_server_that_waits_is_woken_and_answers_in_one_call() {
    let mut world = World::new(4000);
    let (server, client) = (spawn(&mut world), spawn(&mut world));
    register(&mut world, server);
    listen(&mut world, server);
    let first = begin(&mut world, client, 1, FOREVER);
    let got = world.result(server.slot).expect("woken");
    answer(&mut world, server, got[12], 11);
    assert_eq!(poll(&mut world, client, first).expect("done")[0], 11);
    let second = begin(&mut world, client, 2, FOREVER);
    let got = world.result(server.slot).expect("woken again");
    assert_eq!(got[0], 2);
    reply(&mut world, server, got[12], 22).expect("answered");
    assert_eq!(poll(&mut world, client, second).expect("done")[0], 22);
}

#[test]
fn a_capability_goes_to_the_server_with_an_operation() {
    let mut world = World::new(4000);
    let (server, client) = (spawn(&mut world), spawn(&mut world));
    register(&mut world, server);
    let own = frame(&mut world, client.slot, 1);
    let with = |moved| [(10, carry(1, moved)), (7, own), (12, FOREVER), (13, 0)];
    assert_eq!(world.call(client.slot, Call::PqcOperation, &with(false)), Err(Error::CapsRefused));
    world.begin(server.slot, Call::IpcRecv, &[(10, take(1)), (12, FOREVER)]);
    world.call(client.slot, Call::PqcOperation, &with(true)).expect("begun");
    let got = world.result(server.slot).expect("received");
    assert_eq!(status(&mut world, server.slot, got[7]), Ok(()));
    assert_eq!(status(&mut world, client.slot, own), Err(Error::NoCapability), "it moved");
}

#[test]
fn the_death_or_restart_of_a_server_ends_operations_received_or_not() {
    for (op, error) in [(AgentOp::Kill, Error::PeerDied), (AgentOp::Restart, Error::PeerRestarted)] {
        let (mut world, server, client, first) = begun(FOREVER);
        receive(&mut world, server);
        let second = begin(&mut world, client, 6, FOREVER);
        let init = world.init;
        control(&mut world, init, server.handle, op, 0).expect("done");
        assert_eq!(notified(&mut world, client), Some(DONE));
        for handle in [first, second] {
            assert_eq!(poll(&mut world, client, handle), Err(error));
            assert_eq!(poll(&mut world, client, handle), Err(Error::NoSuchOperation));
        }
        let after = world.call(client.slot, Call::PqcOperation, &[(10, length(8)), (12, FOREVER), (13, 0)]).map(drop);
        assert_eq!(after, if op == AgentOp::Kill { Err(Error::NoServer) } else { Ok(()) }, "a restarted server stays registered");
    }
}

#[test]
fn a_server_that_never_answers_is_given_up_at_the_deadline() {
    let (mut world, server, client, handle) = begun(5_000_000_000);
    let later = begin(&mut world, client, 6, 9_000_000_000);
    let (message, _) = receive(&mut world, server);
    world.begin(client.slot, Call::IpcRecv, &[(10, 0), (12, FOREVER)]);
    world.pass(5_000_000_000);
    assert_eq!(world.finished(client.slot).expect("notified")[0], DONE);
    assert_eq!(poll(&mut world, client, handle), Err(Error::Timeout));
    assert_eq!(poll(&mut world, client, later), Err(Error::Pending));
    assert_eq!(reply(&mut world, server, message, 1), Err(Error::NoSuchMessage));
    world.pass(5_000_000_000);
    assert_eq!(poll(&mut world, client, later), Err(Error::Timeout));
}

#[test]
fn a_cancelled_operation_is_gone_for_both_sides() {
    let (mut world, server, client, handle) = begun(5_000_000_000);
    world.call(client.slot, Call::PqcCancel, &[(9, handle)]).expect("cancelled");
    assert_eq!(poll(&mut world, client, handle), Err(Error::NoSuchOperation));
    assert_eq!(world.call(client.slot, Call::PqcCancel, &[(9, handle)]), Err(Error::NoSuchOperation));
    let (message, word) = receive(&mut world, server);
    assert_eq!(word, 5, "the message was sent all the same");
    assert_eq!(reply(&mut world, server, message, 1), Err(Error::NoSuchMessage));
    assert_eq!(notified(&mut world, client), None);
    world.pass(9_000_000_000);
    assert_eq!(notified(&mut world, client), None);
}

#[test]
fn the_death_or_restart_of_a_client_frees_its_operations() {
    for op in [AgentOp::Kill, AgentOp::Restart] {
        let (mut world, server, client, _) = begun(5_000_000_000);
        let init = world.init;
        control(&mut world, init, client.handle, op, 0).expect("done");
        let (message, _) = receive(&mut world, server);
        assert_eq!(reply(&mut world, server, message, 1), Err(Error::NoSuchMessage));
        world.pass(9_000_000_000);
    }
}

#[test]
fn a_new_server_takes_over_and_the_old_one_finishes_what_it_has() {
    let (mut world, old, client, first) = begun(FOREVER);
    let new = spawn(&mut world);
    register(&mut world, new);
    let second = begin(&mut world, client, 8, FOREVER);
    let (message, _) = receive(&mut world, new);
    assert_eq!(reply(&mut world, old, message, 1), Err(Error::NoSuchMessage), "only who was asked answers");
    reply(&mut world, new, message, 2).expect("answered");
    let (message, _) = receive(&mut world, old);
    reply(&mut world, old, message, 1).expect("answered");
    assert_eq!(poll(&mut world, client, first).expect("done")[0], 1);
    assert_eq!(poll(&mut world, client, second).expect("done")[0], 2);
}

#[test]
fn a_full_mailbox_refuses_an_operation_and_nothing_is_left_of_it() {
    let mut world = World::new(12_000);
    let server = spawn(&mut world);
    register(&mut world, server);
    let mut refused = 0;
    for _ in 0..25 {
        let client = spawn(&mut world);
        for _ in 0..4 {
            let result = world.call(client.slot, Call::PqcOperation, &[(10, length(56)), (12, FOREVER), (13, 0)]);
            refused += (result == Err(Error::QueueFull)) as u32;
            let open = world.core.agents[client.slot].operations.iter().filter(|operation| operation.handle != 0).count();
            assert!(result.is_ok() || open < 4);
        }
    }
    assert_eq!(100 - refused, 2 * 4096 / ((6 + 7) * 8), "two pages of records of thirteen words");
}
