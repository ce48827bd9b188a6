//! Capabilities that ride on messages: copied, moved, held in mailboxes, and what their way does to them.

use aios_abi::call::AgentOp;
use aios_abi::message::{RecvInfo, SendInfo};
use aios_abi::rights::Rights;
use aios_abi::{Call, Error};
use aios_sim::World;

use crate::support::*;

fn pair() -> (World, Peer, Peer, u64) {
    let mut world = World::new(6000);
    let (server, client) = (spawn(&mut world), spawn(&mut world));
    let service = connect(&mut world, server, 1, client);
    (world, server, client, service)
}

fn poll(world: &mut World, server: Peer) -> Result<[u64; 31], Error> {
    world.call(server.slot, Call::IpcRecv, &[(10, take(4)), (12, 0)])
}

#[test]
fn four_capabilities_come_in_order_with_the_payload_beside_them() {
    for through_mailbox in [false, true] {
        for moved in [false, true] {
            let (mut world, server, client, service) = pair();
            let frames: Vec<u64> = (1..=4).map(|pages| frame(&mut world, client.slot, pages)).collect();
            if through_mailbox {
                assert_eq!(poll(&mut world, server), Err(Error::Timeout));
            } else {
                world.begin(server.slot, Call::IpcRecv, &[(10, take(4)), (12, FOREVER)]);
            }
            let info = SendInfo { length: 48, caps: 4, move_caps: moved, ..SendInfo::default() }.encode();
            let mut args: Vec<(usize, u64)> = (0..6).map(|i| (i, 100 + i as u64)).collect();
            args.extend([(9, service), (10, info), (7, frames[0] | frames[1] << 32), (6, frames[2] | frames[3] << 32)]);
            world.call(client.slot, Call::IpcSend, &args).expect("sent");
            let got = if through_mailbox { poll(&mut world, server) } else { world.finished(server.slot) }.expect("received");
            assert_eq!((&got[..6], RecvInfo::decode(got[10]).caps), ([100, 101, 102, 103, 104, 105].as_slice(), 4));
            let handles = [got[7] & 0xffff_ffff, got[7] >> 32, got[6] & 0xffff_ffff, got[6] >> 32];
            for (i, handle) in handles.into_iter().enumerate() {
                let slot = world.core.agents[server.slot].slots.look((handle >> 16) as u16).expect("there");
                assert_eq!(slot.range().1, i as u64 + 1, "the order is kept");
                let theirs = status(&mut world, client.slot, frames[i]);
                assert_eq!(theirs, if moved { Err(Error::NoCapability) } else { Ok(()) });
            }
        }
    }
}

#[test]
fn a_moved_frame_leaves_its_mapping_behind_and_a_copied_one_keeps_it() {
    for moved in [false, true] {
        let (mut world, server, client, service) = pair();
        let own = frame(&mut world, client.slot, 2);
        world.call(client.slot, Call::PageMap, &[(9, own), (0, 0), (1, 0x800_0000), (2, 3)]).expect("mapped");
        world.begin(server.slot, Call::IpcRecv, &[(10, take(1)), (12, FOREVER)]);
        world.begin(client.slot, Call::IpcCall, &[(9, service), (10, carry(1, moved)), (7, own), (12, FOREVER)]);
        let got = world.finished(server.slot).expect("received");
        assert_eq!(world.core.agents[client.slot].space.translate(&world.sim, 0x800_0000).is_some(), !moved);
        world.call(server.slot, Call::PageMap, &[(9, got[7]), (0, 0), (1, 0x900_0000), (2, 3)]).expect("the receiver maps it");
    }
}

#[test]
fn capabilities_go_back_with_a_reply_if_the_caller_takes_them() {
    for takes in [1, 0] {
        let (mut world, server, client, service) = pair();
        let own = frame(&mut world, server.slot, 1);
        world.begin(client.slot, Call::IpcCall, &[(9, service), (10, take(takes)), (12, FOREVER)]);
        let (message, _) = receive(&mut world, server);
        let result = world.call(server.slot, Call::IpcReply, &[(9, message), (10, carry(1, true)), (7, own)]);
        assert!(result.is_ok(), "the server did its part");
        if takes == 1 {
            let got = world.finished(client.slot).expect("answered");
            assert_eq!(status(&mut world, client.slot, got[7]), Ok(()));
            assert_eq!(status(&mut world, server.slot, own), Err(Error::NoCapability));
        } else {
            assert_eq!(world.finished(client.slot), Err(Error::CapsRefused));
            assert_eq!(status(&mut world, server.slot, own), Ok(()), "what was refused stays");
        }
    }
}

#[test]
fn what_is_revoked_while_it_waits_comes_and_is_void() {
    let (mut world, server, client, service) = pair();
    let source = frame(&mut world, client.slot, 1);
    let child = derive(&mut world, client.slot, source, ALL).expect("derived");
    assert_eq!(poll(&mut world, server), Err(Error::Timeout));
    world.call(client.slot, Call::IpcSend, &[(9, service), (10, carry(1, false)), (7, child)]).expect("sent");
    world.call(client.slot, Call::CapRevoke, &[(9, source), (0, 0)]).expect("revoked");
    let got = poll(&mut world, server).expect("what was accepted is delivered");
    assert_eq!(status(&mut world, server.slot, got[7]), Err(Error::Revoked));
    // In a call that waits it is checked when it is received.
    let init = world.init;
    let whole = frame(&mut world, init, 1);
    let given = derive(&mut world, init, whole, ALL).expect("derived");
    let lent = give(&mut world, client, given, ALL);
    world.begin(client.slot, Call::IpcCall, &[(9, service), (10, carry(1, false)), (7, lent), (12, FOREVER)]);
    world.call(init, Call::CapRevoke, &[(9, whole), (0, 0)]).expect("revoked");
    assert_eq!(poll(&mut world, server), Err(Error::Timeout), "the call ended");
    assert_eq!(world.finished(client.slot), Err(Error::Revoked));
}

#[test]
fn a_frame_in_a_mailbox_outlives_its_senders_slot_and_goes_with_the_mailbox() {
    let (mut world, server, client, service) = pair();
    let used = |world: &World| world.core.agents[client.slot].pools[0].used;
    let before = used(&world);
    let own = frame(&mut world, client.slot, 4);
    let with_tables = used(&world) - 4;
    assert_eq!(poll(&mut world, server), Err(Error::Timeout));
    world.call(client.slot, Call::IpcSend, &[(9, service), (10, carry(1, true)), (7, own)]).expect("sent");
    assert_eq!(used(&world), with_tables + 4, "who made it pays on");
    kill(&mut world, server);
    assert_eq!(used(&world), with_tables, "nobody can have it any more");
    assert!(with_tables <= before + 2);
}

#[test]
fn a_restart_keeps_messages_with_their_capabilities() {
    let (mut world, server, client, service) = pair();
    let own = frame(&mut world, client.slot, 1);
    assert_eq!(poll(&mut world, server), Err(Error::Timeout));
    let info = SendInfo { length: 8, caps: 1, ..SendInfo::default() }.encode();
    world.call(client.slot, Call::IpcSend, &[(9, service), (10, info), (0, 77), (7, own)]).expect("sent");
    let init = world.init;
    control(&mut world, init, server.handle, AgentOp::Restart, 0).expect("restarted");
    control(&mut world, init, server.handle, AgentOp::Start, aios_abi::limits::USER_BASE).expect("started");
    let got = poll(&mut world, server).expect("the message is still there");
    assert_eq!(got[0], 77);
    assert_eq!(status(&mut world, server.slot, got[7]), Ok(()));
}

#[test]
fn a_message_that_the_receiver_does_not_take_stays_until_it_does() {
    let (mut world, server, client, service) = pair();
    let own = frame(&mut world, client.slot, 1);
    assert_eq!(poll(&mut world, server), Err(Error::Timeout));
    world.call(client.slot, Call::IpcSend, &[(9, service), (10, carry(1, false)), (7, own)]).expect("sent");
    assert_eq!(world.call(server.slot, Call::IpcRecv, &[(10, 0), (12, 0)]), Err(Error::CapsRefused));
    poll(&mut world, server).expect("and then it comes");
}

#[test]
fn handles_that_say_the_same_or_nothing_are_refused() {
    let (mut world, server, client, service) = pair();
    let own = frame(&mut world, client.slot, 1);
    let weak = derive(&mut world, client.slot, own, Rights::READ.0 as u64).expect("derived");
    world.begin(server.slot, Call::IpcRecv, &[(10, take(4)), (12, FOREVER)]);
    for (caps, x7, error) in [(2, own | own << 32, Error::BadArgument), (1, 0, Error::NoCapability), (1, weak, Error::MissingRight)] {
        let args = [(9, service), (10, carry(caps, true)), (7, x7), (12, FOREVER)];
        assert_eq!(world.call(client.slot, Call::IpcCall, &args), Err(error));
        assert_eq!(world.call(client.slot, Call::IpcSend, &args), Err(error));
    }
    assert_eq!(status(&mut world, client.slot, own), Ok(()));
}
