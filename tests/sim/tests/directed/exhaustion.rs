//! Memory that is not there: every allocation of a long history fails once, and nothing is lost or left behind.

use aios_abi::call::{AgentOp, init};
use aios_abi::limits::USER_BASE;
use aios_abi::message::{FaultCause, SendInfo};
use aios_abi::rights::{Kind, Rights};
use aios_abi::{ABI_VERSION, AgentId, Call, SlotHandle};
use aios_core::agent::State;
use aios_core::core::Exception;
use aios_sim::World;

use crate::support::*;

/// Makes a call if the agent is there and can; what comes of it doesn't matter here.
fn attempt(world: &mut World, slot: u16, call: Call, args: &[(usize, u64)]) -> [u64; 31] {
    let ready = world.core.agents.get(slot).is_some_and(|agent| agent.state == State::Ready && !agent.suspended);
    if !ready {
        assert!(world.sim.fail_at.is_some(), "agent {slot} can't make {call:?}");
        return [0; 31];
    }
    world.begin(slot, call, args);
    match world.core.agents.get(slot) {
        Some(agent) if agent.state == State::Ready && agent.registers.x[8] == 0 => agent.registers.x,
        Some(agent) if agent.state == State::Ready && world.sim.fail_at.is_none() && call != Call::IpcRecv => {
            panic!("{call:?}: {}", agent.registers.x[8])
        }
        _ => [0; 31],
    }
}

/// A history that goes through everything that takes memory.
fn history(world: &mut World) {
    let init = world.init;
    let fixed = |world: &World, index| world.own_slot(init, index);
    let pool = fixed(world, 2);
    let mut made = Vec::new();
    for _ in 0..3 {
        let x = attempt(world, init, Call::AgentSpawn, &[(9, pool), (0, 2), (1, 120), (10, ABI_VERSION as u64)]);
        attempt(world, init, Call::AgentControl, &[(9, x[0]), (0, AgentOp::Start as u64), (1, USER_BASE), (2, 0x8000_0000)]);
        made.push((x[0], AgentId(x[1]).slot()));
    }
    let [(server_handle, server), (client_handle, client), (_, third)] = made[..] else { return };
    let minted = attempt(world, init, Call::CapMint, &[(9, server_handle), (0, 5), (1, ALL), (2, 0), (3, 0)])[0];
    let service = attempt(world, init, Call::CapGrant, &[(9, client_handle), (0, minted), (1, ALL), (2, 0), (3, 2), (4, 0)])[0];
    let frame = attempt(world, init, Call::FrameAlloc, &[(9, pool), (0, 3)])[0];
    attempt(world, init, Call::PageMap, &[(9, frame), (0, 0), (1, 0x4000_0000), (2, 3)]);
    attempt(world, init, Call::PageMap, &[(9, frame), (0, server_handle), (1, 0x5000_0000), (2, 3)]);
    let child = attempt(world, init, Call::AgentPoolAlloc, &[(9, pool), (0, 40)])[0];
    attempt(world, init, Call::FrameAlloc, &[(9, child), (0, 5)]);
    attempt(world, init, Call::AgentSpawn, &[(9, child), (0, 0), (1, 20), (10, ABI_VERSION as u64)]);
    for slot in [server, client] {
        attempt(world, slot, Call::AgentMemAlloc, &[(0, 40_000), (1, 0)]);
    }
    let base =
        |world: &World, slot: u16| world.core.agents.get(slot).and_then(|agent| agent.regions.as_slice().first().map(|region| region.va));
    let demand = attempt(world, client, Call::AgentMemAlloc, &[(0, 80_000), (1, 1)])[0];
    if demand != 0 {
        world.switch_to(client);
        let touch = Exception { cause: FaultCause::DataUnmapped, syndrome: 0, address: demand + 5000 };
        world.core.fault(&mut world.sim, touch, world.now);
        world.settle();
    }
    let info = SendInfo { length: 20_000, room: 30_000, take_caps: 4, ..SendInfo::default() }.encode();
    let target = base(world, server).unwrap_or(0);
    attempt(world, server, Call::IpcRecv, &[(10, info & !0x1_ffff), (11, target), (12, FOREVER)]);
    attempt(world, client, Call::IpcCall, &[(9, service), (10, info), (11, demand), (12, world.now + 50_000_000)]);
    let own = attempt(world, server, Call::FrameAlloc, &[(9, world.core.agents.get(server).map_or(0, |_| 0x2_0001)), (0, 2)])[0];
    let message = world.core.agents.get(client).map_or(0, |agent| agent.outgoing.message.0);
    attempt(world, server, Call::IpcReply, &[(9, message), (10, carry(1, true)), (7, own)]);
    world.pass(60_000_000);
    let given: Vec<u64> =
        (0..4).map(|_| attempt(world, client, Call::CapDerive, &[(9, service), (0, ALL), (1, 0), (2, 0), (3, 0)])[0]).collect();
    attempt(world, server, Call::IpcRecv, &[(10, take(4)), (12, 0)]);
    let both = [(9, service), (10, carry(4, true)), (7, given[0] | given[1] << 32), (6, given[2] | given[3] << 32)];
    attempt(world, client, Call::IpcSend, &both);
    attempt(world, server, Call::IpcRecv, &[(10, take(4)), (12, 0)]);
    let buffer = base(world, client).unwrap_or(0);
    let _ = world.core.set_key([1; 32]);
    let to = world.core.agents.get(client).map_or(0, |agent| agent.id.0);
    attempt(world, client, Call::CapExport, &[(9, service), (0, to), (1, 8), (2, 0), (11, buffer)]);
    attempt(world, client, Call::CapAdmit, &[(11, buffer)]);
    let seed = fixed(world, init::SLOT_SEED);
    let seed =
        attempt(world, init, Call::CapGrant, &[(9, server_handle), (0, seed), (1, Rights::WRITE.0 as u64), (2, 0), (3, 0), (4, 0)])[0];
    let own = attempt(world, server, Call::CapMint, &[(9, 0x1_0001), (0, 1), (1, ALL), (2, 0), (3, 0)])[0];
    attempt(world, server, Call::ServiceRegister, &[(9, own), (0, 1), (1, seed)]);
    attempt(world, client, Call::PqcOperation, &[(10, length(16)), (12, FOREVER), (13, 1)]);
    attempt(world, init, Call::CapRevoke, &[(9, frame), (0, 0)]);
    attempt(world, init, Call::AgentControl, &[(9, server_handle), (0, AgentOp::Restart as u64)]);
    attempt(world, client, Call::AgentMemFree, &[(0, buffer)]);
    attempt(world, third, Call::Exit, &[(0, 1), (1, 0)]);
}

/// The history with one failure, or none; how many allocations there were, and how many pages init keeps when everything is gone.
fn survive(fail: Option<u64>) -> (u64, u64) {
    let mut world = World::new(2000);
    let (init, first) = (world.init, world.sim.allocations);
    world.sim.fail_at = fail.map(|number| first + number);
    history(&mut world);
    let allocations = world.sim.allocations - first;
    world.sim.fail_at = None;
    world.check();
    // Everybody goes, and everything that init made.
    let table = &world.core.agents[init].slots;
    let held: Vec<u64> = (11..table.end())
        .filter_map(|index| Some((index, table.look(index).filter(|slot| slot.kind != Kind::Empty)?.generation)))
        .map(|(index, generation)| SlotHandle::new(index, generation).0 as u64)
        .collect();
    for &handle in &held {
        let _ = world.call(init, Call::AgentControl, &[(9, handle), (0, AgentOp::Kill as u64)]);
    }
    for &handle in &held {
        world.call(init, Call::CapDrop, &[(9, handle)]).expect("dropped");
    }
    assert_eq!(world.slots().collect::<Vec<_>>(), [init]);
    let pools = world.core.agents[init].pools;
    assert!(pools[1..].iter().all(|pool| pool.used == 0));
    (allocations, pools[0].used - pools[1..].iter().map(|pool| pool.quota).sum::<u64>())
}

#[test]
fn whichever_allocation_fails_everything_holds_and_everything_comes_back() {
    let (allocations, kept) = survive(None);
    assert!(allocations > 70, "{allocations} allocations");
    for failing in 0..allocations {
        let (_, left) = survive(Some(failing));
        // Tables of slots, nodes and pages that init grew stay with it.
        assert!(left <= kept, "allocation {failing}: {left} pages instead of {kept}");
    }
}

#[test]
fn a_machine_without_memory_refuses_and_recovers() {
    let mut world = World::new(1500);
    let peer = spawn(&mut world);
    // The promises are kept by the pools; a machine that breaks its own is still no reason to fall over.
    world.sim.left = 0;
    for call in [Call::AgentSpawn, Call::FrameAlloc, Call::AgentMemAlloc] {
        let pool = world.own_slot(peer.slot, 2);
        let args = [(9, pool), (0, 1), (1, if call == Call::AgentSpawn { 30 } else { 0 }), (10, ABI_VERSION as u64)];
        assert!(world.call(peer.slot, call, &args).is_err());
    }
    world.sim.left = 500;
    frame(&mut world, peer.slot, 1);
    kill(&mut world, peer);
}

#[test]
fn thousands_of_lives_leave_nothing_behind() {
    let mut world = World::new(3000);
    let init = world.init;
    world.checking = false;
    let mut used = None;
    for round in 0..2000u64 {
        let (handle, id) = world.spawn(init, 60, 1);
        let slot = id.slot();
        match round % 5 {
            0 => drop(world.memory(slot, &[1; 9000])),
            1 => {
                let own = frame(&mut world, slot, 4);
                world.call(slot, Call::PageMap, &[(9, own), (0, 0), (1, 0x800_0000), (2, 3)]).expect("mapped");
            }
            2 => {
                let pool = world.own_slot(slot, 2);
                let child = world.call(slot, Call::AgentSpawn, &[(9, pool), (0, 0), (1, 20), (10, ABI_VERSION as u64)]).expect("spawned");
                assert_ne!(child[1], 0);
            }
            3 => world.call(slot, Call::AgentMemAlloc, &[(0, 1 << 20), (1, 1)]).map(drop).expect("a region"),
            _ => drop(mint(&mut world, slot, 1, Rights::ALL)),
        }
        let op = if round % 7 == 0 { AgentOp::Restart } else { AgentOp::Kill };
        control(&mut world, init, handle, op, 0).expect("done");
        if op == AgentOp::Restart {
            control(&mut world, init, handle, AgentOp::Kill, 0).expect("killed");
        }
        world.call(init, Call::CapDrop, &[(9, handle)]).expect("dropped");
        if round % 100 == 99 {
            world.check();
            let now = (world.sim.used(), world.core.agents[init].pools[0].used);
            assert_eq!(now, *used.get_or_insert(now), "after {round} rounds");
        }
    }
}
