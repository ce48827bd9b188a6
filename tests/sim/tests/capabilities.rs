//! Capabilities: what can be derived, what a revocation reaches, what a death leaves behind.

use aios_abi::call::TOKEN_SIZE;
use aios_abi::message::SendInfo;
use aios_abi::rights::Rights;
use aios_abi::{Call, Error};
use aios_sim::World;

const FOREVER: u64 = u64::MAX;
const ALL: u64 = u32::MAX as u64;

fn derive(world: &mut World, agent: u16, slot: u64, rights: u64, expiry: u64) -> Result<u64, Error> {
    world.call(agent, Call::CapDerive, &[(9, slot), (0, rights), (1, expiry), (2, 0), (3, 0)]).map(|x| x[0])
}

fn check(world: &mut World, agent: u16, slot: u64) -> Result<u64, Error> {
    world.call(agent, Call::CapCheck, &[(9, slot), (0, 0)]).map(|x| x[1])
}

#[test]
fn derivation_only_narrows() {
    let mut world = World::new(1000);
    let init = world.init;
    let pool = world.own_slot(init, 2);
    let frame = world.call(init, Call::FrameAlloc, &[(9, pool), (0, 4)]).expect("frame")[0];
    let read = derive(&mut world, init, frame, Rights::READ.or(Rights::DERIVE).0 as u64, 0).expect("narrower");
    assert_eq!(derive(&mut world, init, read, Rights::WRITE.0 as u64, 0), Err(Error::NotNarrower));
    let timed = derive(&mut world, init, read, Rights::READ.or(Rights::DERIVE).0 as u64, 1_000_000_000).expect("earlier");
    assert_eq!(derive(&mut world, init, timed, Rights::READ.0 as u64, 2_000_000_000), Err(Error::NotNarrower));
    let part = world.call(init, Call::CapDerive, &[(9, frame), (0, ALL), (1, 0), (2, 1), (3, 2)]).expect("part")[0];
    let beyond = world.call(init, Call::CapDerive, &[(9, part), (0, ALL), (1, 0), (2, 1), (3, 2)]);
    assert_eq!(beyond, Err(Error::NotNarrower));
    let mut at = frame;
    for _ in 0..16 {
        at = derive(&mut world, init, at, ALL, 0).expect("sixteen deep");
    }
    assert_eq!(derive(&mut world, init, at, ALL, 0), Err(Error::TooDeep));
}

#[test]
fn a_capability_ends_at_its_expiry() {
    let mut world = World::new(1000);
    let init = world.init;
    let pool = world.own_slot(init, 2);
    let frame = world.call(init, Call::FrameAlloc, &[(9, pool), (0, 1)]).expect("frame")[0];
    let end = world.now + 1_000_000;
    let timed = derive(&mut world, init, frame, ALL, end).expect("derived");
    assert!(check(&mut world, init, timed).is_ok());
    world.now = end;
    assert_eq!(check(&mut world, init, timed), Err(Error::Expired));
}

#[test]
fn revocation_reaches_every_descendant_and_its_mappings_and_nothing_else() {
    let mut world = World::new(2000);
    let init = world.init;
    let pool = world.own_slot(init, 2);
    let frame = world.call(init, Call::FrameAlloc, &[(9, pool), (0, 1)]).expect("frame")[0];
    let (handle, agent) = world.spawn(init, 100, 1);
    let child = derive(&mut world, init, frame, ALL, 0).expect("derived");
    let sibling = derive(&mut world, init, frame, ALL, 0).expect("derived");
    let given = world.call(init, Call::CapGrant, &[(9, handle), (0, child), (1, ALL), (2, 0), (3, 2), (4, 0)]).expect("granted")[0];
    let deeper = derive(&mut world, agent.slot(), given, ALL, 0).expect("derived");
    world.call(agent.slot(), Call::PageMap, &[(9, deeper), (0, 0), (1, 0x100_0000), (2, 3)]).expect("mapped");
    assert!(world.core.agents[agent.slot()].space.translate(&world.sim, 0x100_0000).is_some());
    world.call(init, Call::CapRevoke, &[(9, child), (0, 0)]).expect("revoked");
    assert!(world.core.agents[agent.slot()].space.translate(&world.sim, 0x100_0000).is_none(), "the mapping is gone");
    assert_eq!(check(&mut world, agent.slot(), given), Err(Error::Revoked));
    assert_eq!(check(&mut world, agent.slot(), deeper), Err(Error::Revoked));
    assert!(check(&mut world, init, child).is_ok(), "what was revoked from stays");
    assert!(check(&mut world, init, sibling).is_ok());
    let again = derive(&mut world, init, child, ALL, 0).expect("new ones can be derived");
    assert!(check(&mut world, init, again).is_ok());
}

#[test]
fn a_handle_never_names_the_successor_of_what_it_named() {
    let mut world = World::new(1000);
    let init = world.init;
    let pool = world.own_slot(init, 2);
    let first = world.call(init, Call::FrameAlloc, &[(9, pool), (0, 1)]).expect("frame")[0];
    world.call(init, Call::CapDrop, &[(9, first)]).expect("dropped");
    let second = world.call(init, Call::FrameAlloc, &[(9, pool), (0, 1)]).expect("frame")[0];
    assert_eq!(first >> 16, second >> 16, "the same place");
    assert_eq!(check(&mut world, init, first), Err(Error::NoCapability));
    assert!(check(&mut world, init, second).is_ok());
}

#[test]
fn everything_comes_back_after_a_kill() {
    let mut world = World::new(3000);
    let init = world.init;
    let (before, kept) = (world.sim.used(), world.core.agents[init].pools[0].used);
    for round in 0..5 {
        let (handle, agent) = world.spawn(init, 500, 2);
        let slot = agent.slot();
        world.memory(slot, &[9; 50_000]);
        let pool = world.own_slot(slot, 2);
        let frame = world.call(slot, Call::FrameAlloc, &[(9, pool), (0, 8)]).expect("frame")[0];
        world.call(slot, Call::PageMap, &[(9, frame), (0, 0), (1, 0x200_0000), (2, 3)]).expect("mapped");
        let (_, grandchild) = world.spawn(slot, 100, 1);
        world.memory(grandchild.slot(), &[1; 9_000]);
        world.sim.interrupt_every = round;
        world.call(init, Call::AgentControl, &[(9, handle), (0, 2)]).expect("killed");
        world.sim.interrupt_every = 0;
        world.settle();
        assert!(world.core.agents.get(slot).is_none() && world.core.agents.get(grandchild.slot()).is_none());
        world.call(init, Call::CapDrop, &[(9, handle)]).expect("dropped");
    }
    // Init keeps the pages of its slot and node tables; nothing else is left.
    assert!(world.sim.used() <= before + 2, "{} pages before, {} after", before, world.sim.used());
    assert!(world.core.agents[init].pools[0].used <= kept + 2);
}

#[test]
fn a_frame_goes_from_every_space_when_its_owner_dies() {
    let mut world = World::new(3000);
    let init = world.init;
    let (owner_handle, owner) = world.spawn(init, 200, 1);
    let (user_handle, user) = world.spawn(init, 200, 1);
    let service = world.connect(user.slot(), 1, owner, owner_handle);
    let _ = user_handle;
    let pool = world.own_slot(owner.slot(), 2);
    let frame = world.call(owner.slot(), Call::FrameAlloc, &[(9, pool), (0, 2)]).expect("frame")[0];
    let take = SendInfo { take_caps: 1, ..SendInfo::default() }.encode();
    world.begin(user.slot(), Call::IpcRecv, &[(10, take), (12, FOREVER)]);
    let one = SendInfo { caps: 1, ..SendInfo::default() }.encode();
    world.call(owner.slot(), Call::IpcSend, &[(9, service), (10, one), (7, frame)]).expect("sent");
    let got = world.finished(user.slot()).expect("received")[7];
    world.call(user.slot(), Call::PageMap, &[(9, got), (0, 0), (1, 0x300_0000), (2, 3)]).expect("mapped");
    world.call(init, Call::AgentControl, &[(9, owner_handle), (0, 2)]).expect("killed");
    assert!(world.core.agents[user.slot()].space.translate(&world.sim, 0x300_0000).is_none());
    assert_eq!(check(&mut world, user.slot(), got), Err(Error::Revoked));
}

#[test]
fn tokens_are_admitted_by_their_agent_only_and_die_with_their_source() {
    let mut world = World::new(2000);
    let init = world.init;
    let (_, agent) = world.spawn(init, 200, 1);
    let slot = agent.slot();
    let pool = world.own_slot(init, 2);
    let frame = world.call(init, Call::FrameAlloc, &[(9, pool), (0, 1)]).expect("frame")[0];
    let source = derive(&mut world, init, frame, ALL, 0).expect("derived");
    let buffer = world.memory(init, &[0; TOKEN_SIZE]);
    let rights = Rights::READ.0 as u64;
    let export = |agent: u64| vec![(9, source), (0, agent), (1, rights), (2, 0), (11, buffer)];
    assert_eq!(world.call(init, Call::CapExport, &export(agent.0)), Err(Error::NotSeeded));
    world.core.set_key([7; 32]).expect("seeded");
    world.call(init, Call::CapExport, &export(agent.0)).expect("exported");
    let token = world.peek(init, buffer, TOKEN_SIZE);
    for bit in [0, 70, 200, 500, 767] {
        let mut forged = token.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        let place = world.memory(slot, &forged);
        let refused = world.call(slot, Call::CapAdmit, &[(11, place)]);
        assert!(matches!(refused, Err(Error::Forged | Error::WrongVersion)), "bit {bit}: {refused:?}");
        world.call(slot, Call::AgentMemFree, &[(0, place)]).expect("freed");
    }
    assert_eq!(world.call(init, Call::CapAdmit, &[(11, buffer)]), Err(Error::WrongAgent));
    let place = world.memory(slot, &token);
    let admitted = world.call(slot, Call::CapAdmit, &[(11, place)]).expect("admitted")[0];
    assert_eq!(check(&mut world, slot, admitted), Ok(rights));
    world.call(init, Call::CapRevoke, &[(9, source), (0, 0)]).expect("revoked");
    assert_eq!(check(&mut world, slot, admitted), Err(Error::Revoked));
}
