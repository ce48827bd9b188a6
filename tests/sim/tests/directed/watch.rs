//! Being told: deaths, last uses, timers, interrupts.

use aios_abi::call::{AgentOp, init};
use aios_abi::message::Received;
use aios_abi::rights::Rights;
use aios_abi::{Call, Error};
use aios_sim::World;

use crate::support::*;

fn bits(world: &mut World, peer: Peer) -> u64 {
    world.call(peer.slot, Call::IpcRecv, &[(10, 0), (12, 0)]).map_or(0, |x| if kind(&x) == Received::Notification { x[0] } else { 0 })
}

#[test]
fn the_death_of_an_agent_is_told_to_all_who_watch_and_to_nobody_else() {
    let mut world = World::new(4000);
    let (watched, first, second, third) = (spawn(&mut world), spawn(&mut world), spawn(&mut world), spawn(&mut world));
    for (peer, bit) in [(first, 1), (second, 2)] {
        let handle = give(&mut world, peer, watched.handle, Rights::WATCH.0 as u64);
        world.call(peer.slot, Call::Watch, &[(9, handle), (0, 64)]).expect("watching");
        world.call(peer.slot, Call::Watch, &[(9, handle), (0, bit)]).expect("the last word counts");
    }
    let init = world.init;
    control(&mut world, init, watched.handle, AgentOp::Restart, 0).expect("restarted");
    assert_eq!([first, second, third].map(|peer| bits(&mut world, peer)), [0, 0, 0], "a restart is no death");
    kill(&mut world, watched);
    assert_eq!([first, second, third].map(|peer| bits(&mut world, peer)), [1, 2, 0]);
}

#[test]
fn the_last_use_of_a_badge_is_told_when_nobody_holds_it_any_more() {
    let mut world = World::new(4000);
    let (server, client, other) = (spawn(&mut world), spawn(&mut world), spawn(&mut world));
    let service = mint(&mut world, server.slot, 7, Rights::ALL);
    world.call(server.slot, Call::Watch, &[(9, service), (0, 4)]).expect("watching");
    // The server gives it away by message, and the client derives and gives on.
    let init = world.init;
    let to_init = world.connect(init, 0, server.id, server.handle);
    world.begin(init, Call::IpcRecv, &[(10, take(1)), (12, FOREVER)]);
    world.call(server.slot, Call::IpcSend, &[(9, to_init), (10, carry(1, true)), (7, service)]).expect("sent");
    let got = world.finished(init).expect("received")[7];
    assert_eq!(bits(&mut world, server), 0, "init has it");
    let theirs = give(&mut world, client, got, ALL);
    world.call(init, Call::CapDrop, &[(9, got)]).expect("dropped");
    let deeper = derive(&mut world, client.slot, theirs, ALL).expect("derived");
    world.call(client.slot, Call::CapDrop, &[(9, theirs)]).expect("dropped");
    assert_eq!(bits(&mut world, server), 0, "what was derived from it keeps it in use");
    let to_other = {
        let own = mint(&mut world, other.slot, 1, Rights::ALL);
        let to_init = world.connect(init, 0, other.id, other.handle);
        world.begin(init, Call::IpcRecv, &[(10, take(1)), (12, FOREVER)]);
        world.call(other.slot, Call::IpcSend, &[(9, to_init), (10, carry(1, true)), (7, own)]).expect("sent");
        let got = world.finished(init).expect("received")[7];
        give(&mut world, client, got, Rights::SEND.0 as u64)
    };
    assert_eq!(world.call(other.slot, Call::IpcRecv, &[(10, take(1)), (12, 0)]), Err(Error::Timeout));
    world.call(client.slot, Call::IpcSend, &[(9, to_other), (10, carry(1, true)), (7, deeper)]).expect("sent");
    assert_eq!(bits(&mut world, server), 0, "it waits in a mailbox");
    kill(&mut world, other);
    assert_eq!(bits(&mut world, server), 4, "and went with it");
}

#[test]
fn only_who_minted_a_badge_watches_it() {
    let mut world = World::new(4000);
    let (server, client) = (spawn(&mut world), spawn(&mut world));
    let service = connect(&mut world, server, 1, client);
    let result = world.call(client.slot, Call::Watch, &[(9, service), (0, 1)]).map(drop);
    assert!(matches!(result, Err(Error::WrongKind | Error::MissingRight)), "{result:?}");
}

#[test]
fn a_timer_raises_its_bits_at_its_time_and_not_before() {
    let mut world = World::new(2000);
    let peer = spawn(&mut world);
    let at = world.now + 10_000_000;
    world.call(peer.slot, Call::TimerSet, &[(0, at), (1, 8)]).expect("set");
    listen(&mut world, peer);
    let rest = at - world.now;
    world.pass(rest - 1);
    assert!(world.waits(peer.slot));
    world.pass(1);
    assert_eq!(world.finished(peer.slot).expect("woken")[0], 8);
    for off in [(0, u64::MAX), (0, 0)] {
        let at = world.now + 10_000_000;
        world.call(peer.slot, Call::TimerSet, &[(0, at), (1, 8)]).expect("set");
        world.call(peer.slot, Call::TimerSet, &[off, (1, 16)]).expect("set again");
        world.pass(50_000_000);
        assert_eq!(bits(&mut world, peer), if off.1 == 0 { 16 } else { 0 });
    }
}

#[test]
fn an_interrupt_is_told_once_until_it_is_acknowledged() {
    let mut world = World::new(3000);
    let driver = spawn(&mut world);
    let lines = world.own_slot(world.init, init::SLOT_IRQS);
    let part = world
        .call(world.init, Call::CapDerive, &[(9, lines), (0, Rights::BIND.or(Rights::GRANT).0 as u64), (1, 0), (2, 40), (3, 2)])
        .expect("derived")[0];
    let own = give(&mut world, driver, part, Rights::BIND.0 as u64);
    assert_eq!(world.call(driver.slot, Call::IrqBind, &[(9, own), (0, 2), (1, 1)]), Err(Error::BadArgument), "line 42 is not its");
    world.call(driver.slot, Call::IrqBind, &[(9, own), (0, 1), (1, 0x20)]).expect("bound");
    assert_eq!(world.sim.lines.get(&41), Some(&true));
    listen(&mut world, driver);
    world.core.interrupt(&mut world.sim, 41, world.now);
    world.settle();
    assert_eq!(world.finished(driver.slot).expect("woken")[0], 0x20);
    assert_eq!(world.sim.lines.get(&41), Some(&false), "masked until it is acknowledged");
    world.call(driver.slot, Call::IrqAck, &[(9, own), (0, 1)]).expect("acknowledged");
    assert_eq!(world.sim.lines.get(&41), Some(&true));
    world.core.interrupt(&mut world.sim, 41, world.now);
    kill(&mut world, driver);
    assert_eq!(world.sim.lines.get(&41), Some(&false));
    let next = spawn(&mut world);
    let own = give(&mut world, next, part, Rights::BIND.0 as u64);
    world.call(next.slot, Call::IrqBind, &[(9, own), (0, 1), (1, 1)]).expect("the line is free again");
    for stray in [7, 1023, 1024, u32::MAX] {
        world.core.interrupt(&mut world.sim, stray, world.now);
        world.settle();
    }
}

#[test]
fn notifications_add_up_and_come_before_messages() {
    let mut world = World::new(3000);
    let (server, client) = (spawn(&mut world), spawn(&mut world));
    let service = connect(&mut world, server, 1, client);
    let minted = world.call(world.init, Call::CapMint, &[(9, server.handle), (0, 0xff), (1, ALL), (2, 0), (3, 1)]).expect("minted")[0];
    let notify = give(&mut world, client, minted, Rights::SEND.0 as u64);
    world.call(client.slot, Call::IpcSend, &[(9, service), (10, length(8)), (0, 5)]).expect("sent");
    for bit in [1, 4, 4] {
        world.call(client.slot, Call::Notify, &[(9, notify), (0, bit)]).expect("raised");
    }
    let got = world.call(server.slot, Call::IpcRecv, &[(10, 0), (12, FOREVER)]).expect("something");
    assert_eq!((kind(&got), got[0], got[9], got[11], got[12]), (Received::Notification, 5, 0, 0, 0));
    let got = world.call(server.slot, Call::IpcRecv, &[(10, 0), (12, FOREVER)]).expect("something");
    assert_eq!((kind(&got), got[0]), (Received::Message, 5));
    // One that takes notifications only leaves messages where they are.
    world.call(client.slot, Call::IpcSend, &[(9, service), (10, length(8)), (0, 6)]).expect("sent");
    world.begin(server.slot, Call::IpcRecv, &[(10, 1 << 41), (12, FOREVER)]);
    assert!(world.waits(server.slot));
    world.call(client.slot, Call::Notify, &[(9, notify), (0, 2)]).expect("raised");
    assert_eq!(world.finished(server.slot).expect("woken")[0], 2);
}
