//! Attacks: packets that overtake each other, agents that end or move at the worst moment, capabilities that outlive what they came from.

use std::collections::VecDeque;

use aios_abi::call::AgentOp;
use aios_abi::limits::SLICE_MIN_NS;
use aios_abi::message::SendInfo;
use aios_abi::rights::Rights;
use aios_abi::{AgentId, Call, Error};
use aios_core::agent::Agent;
use aios_core::core::{Packet, RING, Request};
use aios_core::machine::Lane;
use aios_sim::{Args, Cluster, Sim, World};

const FOREVER: u64 = u64::MAX;
const ALL: u64 = u32::MAX as u64;
const ADDRESS: u64 = 0x100_0000;

/// Makes a call of an agent that is alone on its core, and lets nobody else do anything.
fn quietly(cluster: &mut Cluster, slot: u16, call: Call, args: Args<'_>) {
    cluster.call(slot, Call::TimeNow, &[]).expect("it runs");
    let home = cluster.home(slot);
    assert_eq!(cluster.cores[home as usize].current(), slot);
    cluster.sim.core = home;
    let agent = cluster.cores[home as usize].agents.get_mut(slot).expect("it is there");
    agent.registers.x[8] = call as u64;
    for &(register, value) in args {
        agent.registers.x[register] = value;
    }
    agent.registers.pc += 4;
    cluster.cores[home as usize].syscall(&mut cluster.sim, cluster.now);
}

/// Takes what is on its way from one core to another out of the ring.
fn hold(cluster: &mut Cluster, from: u16, to: u16) -> VecDeque<Packet> {
    let held = cluster.sim.rings.remove(&(to, from, Lane::Request as u8)).unwrap_or_default();
    assert!(!held.is_empty(), "something is on its way");
    held
}

/// Puts it back, in front of what came later, and lets it arrive.
fn release(cluster: &mut Cluster, from: u16, to: u16, mut held: VecDeque<Packet>) {
    let ring = cluster.sim.rings.entry((to, from, Lane::Request as u8)).or_default();
    held.append(ring);
    *ring = held;
    cluster.settle();
}

/// Takes an agent that is on its way from one core to another out of its place.
fn hold_agent(cluster: &mut Cluster, from: u16, to: u16) -> Box<Agent<Sim>> {
    cluster.sim.movers.remove(&(to, from)).expect("an agent is on its way")
}

/// Puts it back, and lets it arrive.
fn release_agent(cluster: &mut Cluster, from: u16, to: u16, agent: Box<Agent<Sim>>) {
    cluster.sim.movers.insert((to, from), agent);
    cluster.settle();
}

fn give(cluster: &mut Cluster, to: AgentId, slot: u64, rights: u64, transfer: u64) -> u64 {
    let init = cluster.init;
    let target = cluster.capability_of(init, to);
    cluster.call(init, Call::CapGrant, &[(9, target), (0, slot), (1, rights), (2, 0), (3, transfer), (4, 0)]).expect("granted")[0]
}

fn frame(cluster: &mut Cluster, owner: u16) -> u64 {
    let pool = cluster.own_slot(owner, 2);
    cluster.call(owner, Call::FrameAlloc, &[(9, pool), (0, 1)]).expect("a frame")[0]
}

fn kill(cluster: &mut Cluster, agent: AgentId) {
    let init = cluster.init;
    let handle = cluster.capability_of(init, agent);
    cluster.call(init, Call::AgentControl, &[(9, handle), (0, AgentOp::Kill as u64)]).expect("killed");
}

/// Nothing that an agent has mapped is memory that was given back.
fn maps_only_what_is_there(cluster: &Cluster, agent: AgentId, address: u64) -> bool {
    let leaf = cluster.agent(agent.slot()).expect("there").space.translate(&cluster.sim, address);
    leaf.is_none_or(|leaf| cluster.sim.allocated().any(|page| page == leaf.pa))
}

/// An owner on core 1, whose frame a giver on core 2 holds; and a target on core 3 that the giver may map into.
fn owner_giver_target() -> (Cluster, AgentId, AgentId, AgentId, u64, u64) {
    let mut cluster = Cluster::new(4, 4000);
    let init = cluster.init;
    let (_, owner) = cluster.spawn_on(init, 200, 1, 1);
    let (_, giver) = cluster.spawn_on(init, 200, 1, 2);
    let (_, target) = cluster.spawn_on(init, 200, 1, 3);
    let frame = frame(&mut cluster, owner.slot());
    // The owner reaches the giver through a capability that init lends it.
    let handle = cluster.capability_of(init, giver);
    let reach = give(&mut cluster, owner, handle, ALL & cluster_rights(), 0);
    let given = cluster
        .call(owner.slot(), Call::CapGrant, &[(9, reach), (0, frame), (1, ALL), (2, 0), (3, 2), (4, 0)])
        .expect("the giver gets the frame")[0];
    let handle = cluster.capability_of(init, target);
    let into = give(&mut cluster, giver, handle, Rights::CONTROL.0 as u64, 0);
    (cluster, owner, giver, target, given, into)
}

fn cluster_rights() -> u64 {
    Rights::CONTROL.or(Rights::GRANT).0 as u64
}

/// The owner of a frame ends while a mapping of it is on its way between two other cores: nobody may see the memory's next user.
#[test]
fn a_mapping_on_its_way_does_not_outlive_the_frame() {
    let (mut cluster, owner, giver, target, given, into) = owner_giver_target();
    quietly(&mut cluster, giver.slot(), Call::PageMap, &[(9, given), (0, into), (1, ADDRESS), (2, 3)]);
    let held = hold(&mut cluster, 2, 3);
    kill(&mut cluster, owner);
    assert!(cluster.agent(owner.slot()).is_none());
    release(&mut cluster, 2, 3, held);
    assert_eq!(cluster.finished(giver.slot()), Err(Error::Revoked));
    assert!(maps_only_what_is_there(&cluster, target, ADDRESS));
    let space = &cluster.agent(target.slot()).expect("there").space;
    assert!(space.translate(&cluster.sim, ADDRESS).is_none());
}

/// A revocation that was reported as complete leaves no mapping to come.
#[test]
fn a_mapping_on_its_way_is_revoked() {
    let (mut cluster, owner, giver, target, given, into) = owner_giver_target();
    quietly(&mut cluster, giver.slot(), Call::PageMap, &[(9, given), (0, into), (1, ADDRESS), (2, 3)]);
    let held = hold(&mut cluster, 2, 3);
    let table = &cluster.agent(owner.slot()).expect("there").slots;
    let source =
        (0..table.end()).find(|&i| table.look(i).is_some_and(|slot| slot.kind == aios_abi::rights::Kind::Frame)).expect("the frame");
    let source = cluster.own_slot(owner.slot(), source);
    cluster.call(owner.slot(), Call::CapRevoke, &[(9, source), (0, 0)]).expect("revoked");
    release(&mut cluster, 2, 3, held);
    assert_eq!(cluster.finished(giver.slot()), Err(Error::Revoked));
    let space = &cluster.agent(target.slot()).expect("there").space;
    assert!(space.translate(&cluster.sim, ADDRESS).is_none());
}

/// An agent that moves while the mappings of a dead owner's frame are removed, core by core, keeps none.
#[test]
fn a_move_does_not_carry_mappings_past_a_death() {
    let (mut cluster, owner, giver, _, given, _) = owner_giver_target();
    let init = cluster.init;
    cluster.call(giver.slot(), Call::PageMap, &[(9, given), (0, 0), (1, ADDRESS), (2, 3)]).expect("mapped");
    let handle = cluster.capability_of(init, giver);
    // Init asks core 2; the agent is on its way from there to core 3.
    quietly(&mut cluster, init, Call::AgentControl, &[(9, handle), (0, AgentOp::Migrate as u64), (1, 3)]);
    cluster.turn(2);
    let mover = hold_agent(&mut cluster, 2, 3);
    cluster.settle();
    let target = cluster.capability_of(init, owner);
    cluster.begin(init, Call::AgentControl, &[(9, target), (0, AgentOp::Kill as u64)]);
    for _ in 0..100 {
        cluster.pass(1_000);
    }
    release_agent(&mut cluster, 2, 3, mover);
    assert!(maps_only_what_is_there(&cluster, giver, ADDRESS));
    assert!(cluster.agent(giver.slot()).expect("there").space.translate(&cluster.sim, ADDRESS).is_none());
    assert!(cluster.agent(owner.slot()).is_none(), "the owner is gone");
}

/// The same for a revocation.
#[test]
fn a_move_does_not_carry_mappings_past_a_revocation() {
    let (mut cluster, owner, giver, _, given, _) = owner_giver_target();
    let init = cluster.init;
    cluster.call(giver.slot(), Call::PageMap, &[(9, given), (0, 0), (1, ADDRESS), (2, 3)]).expect("mapped");
    let handle = cluster.capability_of(init, giver);
    quietly(&mut cluster, init, Call::AgentControl, &[(9, handle), (0, AgentOp::Migrate as u64), (1, 3)]);
    cluster.turn(2);
    let mover = hold_agent(&mut cluster, 2, 3);
    let table = &cluster.agent(owner.slot()).expect("there").slots;
    let source =
        (0..table.end()).find(|&i| table.look(i).is_some_and(|slot| slot.kind == aios_abi::rights::Kind::Frame)).expect("the frame");
    let source = cluster.own_slot(owner.slot(), source);
    cluster.call(owner.slot(), Call::CapRevoke, &[(9, source), (0, 0)]).expect("revoked");
    release_agent(&mut cluster, 2, 3, mover);
    assert!(cluster.agent(giver.slot()).expect("there").space.translate(&cluster.sim, ADDRESS).is_none());
}

/// What is minted ends with the capability that it was minted from.
#[test]
fn minting_does_not_outlive_the_source() {
    let mut world = World::new(2000);
    let (handle, id) = world.spawn(world.init, 300, 2);
    let init = world.init;
    let soon = world.now + 1_000_000;
    let rights = Rights::MINT.or(Rights::DERIVE).0 as u64;
    let source = world.call(init, Call::CapDerive, &[(9, handle), (0, rights), (1, soon), (2, 0), (3, 0)]).expect("derived")[0];
    let later = world.call(init, Call::CapMint, &[(9, source), (0, 1), (1, ALL), (2, soon + 1), (3, 0)]);
    assert_eq!(later, Err(Error::NotNarrower));
    let minted = world.call(init, Call::CapMint, &[(9, source), (0, 1), (1, ALL), (2, 0), (3, 0)]).expect("minted")[0];
    world.pass(2_000_000);
    assert_eq!(world.call(init, Call::CapCheck, &[(9, minted), (0, 0)]).map(drop), Err(Error::Expired));
    let _ = id;
}

/// Ids of messages don't repeat when an agent changes its core: a late reply finds no other call.
#[test]
fn a_late_reply_finds_no_later_call_from_another_core() {
    let mut cluster = Cluster::new(3, 4000);
    let init = cluster.init;
    let (_, server) = cluster.spawn_on(init, 200, 1, 0);
    let (handle, client) = cluster.spawn_on(init, 200, 1, 1);
    let service = cluster.connect(server, 1, client);
    let word = SendInfo { length: 8, ..SendInfo::default() }.encode();
    let mut seen = Vec::new();
    for core in [1, 2, 1, 2] {
        cluster.migrate(init, handle, core).expect("moved");
        let deadline = cluster.now + 50_000;
        cluster.begin(client.slot(), Call::IpcCall, &[(9, service), (10, word), (0, 7), (12, deadline)]);
        let got = cluster.call(server.slot(), Call::IpcRecv, &[(10, 0), (12, FOREVER)]).expect("received");
        assert!(!seen.contains(&got[12]), "message {:#x} comes twice", got[12]);
        seen.push(got[12]);
        cluster.pass(100_000);
    }
}

/// A frame's owner lets it go, and then the agent through whose derivation another has it mapped dies: the last reference must not go before the mapping.
#[test]
fn a_dying_deriver_takes_mappings_along_before_the_frame() {
    let mut world = World::new(3000);
    let init = world.init;
    let (middle_handle, middle) = world.spawn(init, 300, 2);
    let (holder_handle, holder) = world.spawn(init, 300, 2);
    let pool = world.own_slot(init, 2);
    let frame = world.call(init, Call::FrameAlloc, &[(9, pool), (0, 1)]).expect("a frame")[0];
    let give = |world: &mut World, who: u16, to: u64, slot: u64, transfer: u64| {
        world.call(who, Call::CapGrant, &[(9, to), (0, slot), (1, ALL), (2, 0), (3, transfer), (4, 0)]).expect("granted")[0]
    };
    let reach = world
        .call(init, Call::CapGrant, &[(9, middle_handle), (0, holder_handle), (1, Rights::CONTROL.0 as u64), (2, 0), (3, 0), (4, 0)])
        .expect("granted")[0];
    let copy = give(&mut world, init, middle_handle, frame, 0);
    // Derived by the one in the middle, whose node it is.
    let given = give(&mut world, middle.slot(), reach, copy, 2);
    world.call(holder.slot(), Call::PageMap, &[(9, given), (0, 0), (1, ADDRESS), (2, 3)]).expect("mapped");
    world.call(init, Call::CapDrop, &[(9, frame)]).expect("dropped");
    world.call(init, Call::AgentControl, &[(9, middle_handle), (0, AgentOp::Kill as u64)]).expect("killed");
    world.settle();
    world.check();
    let leaf = world.core.agents[holder.slot()].space.translate(&world.sim, ADDRESS);
    assert!(leaf.is_none(), "{leaf:?} is memory of somebody else by now");
}

/// A parent ends while its child is on its way between two other cores: the child ends too, and all quotas come back.
#[test]
fn a_child_on_its_way_ends_with_its_parent() {
    let mut cluster = Cluster::new(4, 6000);
    let init = cluster.init;
    let (_, parent) = cluster.spawn_on(init, 1000, 1, 1);
    let (handle, child) = cluster.spawn_on(parent.slot(), 200, 1, 2);
    quietly(&mut cluster, parent.slot(), Call::AgentControl, &[(9, handle), (0, AgentOp::Migrate as u64), (1, 3)]);
    cluster.turn(2);
    let mover = hold_agent(&mut cluster, 2, 3);
    cluster.settle();
    kill(&mut cluster, parent);
    release_agent(&mut cluster, 2, 3, mover);
    assert!(cluster.agent(child.slot()).is_none(), "the child is gone");
    assert!(cluster.agent(parent.slot()).is_none(), "the parent is gone");
}

/// An operation ends when its server dies, even if the server moved to another core.
#[test]
fn an_operation_ends_with_a_server_that_moved() {
    let mut cluster = Cluster::new(2, 4000);
    let init = cluster.init;
    let (handle, server) = cluster.spawn_on(init, 300, 2, 0);
    let (_, client) = cluster.spawn_on(init, 300, 1, 0);
    let own = cluster.own_slot(server.slot(), 1);
    let service = cluster.call(server.slot(), Call::CapMint, &[(9, own), (0, 1), (1, ALL), (2, 0), (3, 0)]).expect("minted")[0];
    let seed = cluster.own_slot(init, aios_abi::call::init::SLOT_SEED);
    let right = Rights::WRITE.0 as u64;
    let seed = give(&mut cluster, server, seed, right, 0);
    cluster.call(server.slot(), Call::ServiceRegister, &[(9, service), (0, 1), (1, seed)]).expect("registered");
    cluster.migrate(init, handle, 1).expect("moved");
    let info = SendInfo { length: 8, ..SendInfo::default() }.encode();
    let operation = cluster.call(client.slot(), Call::PqcOperation, &[(10, info), (0, 1), (12, FOREVER), (13, 1)]).expect("begun")[0];
    kill(&mut cluster, server);
    let end = cluster.call(client.slot(), Call::PqcPoll, &[(9, operation)]);
    assert_eq!(end.map(drop), Err(Error::PeerDied));
}

/// An operation that finds the server's mailbox full on another core is asked for again, and takes one place in all.
#[test]
fn an_operation_that_is_asked_for_again_takes_one_place() {
    let mut cluster = Cluster::new(2, 4000);
    let init = cluster.init;
    let (_, server) = cluster.spawn_on(init, 300, 1, 1);
    let (_, client) = cluster.spawn_on(init, 300, 1, 0);
    let (_, sender) = cluster.spawn_on(init, 300, 1, 0);
    let own = cluster.own_slot(server.slot(), 1);
    let service = cluster.call(server.slot(), Call::CapMint, &[(9, own), (0, 1), (1, ALL), (2, 0), (3, 0)]).expect("minted")[0];
    let seed = cluster.own_slot(init, aios_abi::call::init::SLOT_SEED);
    let seed = give(&mut cluster, server, seed, Rights::WRITE.0 as u64, 0);
    cluster.call(server.slot(), Call::ServiceRegister, &[(9, service), (0, 1), (1, seed)]).expect("registered");
    let way = cluster.connect(server, 2, sender);
    let info = SendInfo { length: 8, ..SendInfo::default() }.encode();
    while cluster.call(sender.slot(), Call::IpcSend, &[(9, way), (10, info)]).is_ok() {}
    let ask: Args<'_> = &[(10, info), (0, 7), (12, FOREVER), (13, 1)];
    for _ in 0..20 {
        assert!(cluster.attempt(client.slot(), Call::PqcOperation, ask), "there is no room");
    }
    let open = |cluster: &Cluster| {
        let operations = &cluster.agent(client.slot()).expect("there").operations;
        operations.iter().filter(|operation| operation.handle != 0).count()
    };
    assert_eq!(open(&cluster), 0);
    cluster.call(server.slot(), Call::IpcRecv, &[(10, 0), (12, FOREVER)]).expect("a message");
    cluster.call(client.slot(), Call::PqcOperation, ask).expect("begun");
    assert_eq!(open(&cluster), 1);
}

/// A server is known on every core as soon as it is registered, the last one counts everywhere, and one that is gone is known nowhere.
#[test]
fn a_registered_server_is_known_on_every_core() {
    let mut cluster = Cluster::new(3, 4000);
    let init = cluster.init;
    let (_, first) = cluster.spawn_on(init, 300, 2, 1);
    let (_, second) = cluster.spawn_on(init, 300, 2, 2);
    let clients = [0, 1, 2].map(|core| cluster.spawn_on(init, 300, 1, core).1);
    let register = |cluster: &mut Cluster, server: AgentId, badge: u64| {
        let own = cluster.own_slot(server.slot(), 1);
        let service = cluster.call(server.slot(), Call::CapMint, &[(9, own), (0, badge), (1, ALL), (2, 0), (3, 0)]).expect("minted")[0];
        let seed = cluster.own_slot(init, aios_abi::call::init::SLOT_SEED);
        let seed = give(cluster, server, seed, Rights::WRITE.0 as u64, 0);
        cluster.call(server.slot(), Call::ServiceRegister, &[(9, service), (0, 1), (1, seed)]).expect("registered");
        cluster.settle();
    };
    let info = SendInfo { length: 8, ..SendInfo::default() }.encode();
    let ask = |cluster: &mut Cluster, client: AgentId| {
        cluster.call(client.slot(), Call::PqcOperation, &[(10, info), (0, 7), (12, FOREVER), (13, 1)]).map(|x| x[0])
    };
    assert_eq!(ask(&mut cluster, clients[0]), Err(Error::NoServer));
    for (server, badge) in [(first, 11), (second, 22)] {
        register(&mut cluster, server, badge);
        for client in clients {
            let operation = ask(&mut cluster, client).expect("begun");
            let got = cluster.call(server.slot(), Call::IpcRecv, &[(10, 0), (12, FOREVER)]).expect("the operation");
            assert_eq!((got[9], got[11], got[0]), (client.0, badge, 7));
            cluster.call(server.slot(), Call::IpcReply, &[(9, got[12]), (10, info), (0, 8)]).expect("answered");
            assert_eq!(cluster.call(client.slot(), Call::PqcPoll, &[(9, operation)]).expect("the result")[0], 8);
        }
    }
    kill(&mut cluster, second);
    for client in clients {
        assert_eq!(ask(&mut cluster, client), Err(Error::NoServer));
    }
}

/// What other cores have for an agent that is on its way follows it: bits, pages, calls.
#[test]
fn what_is_for_an_agent_on_its_way_follows_it() {
    let mut cluster = Cluster::new(3, 4000);
    let init = cluster.init;
    let (handle, mover) = cluster.spawn_on(init, 300, 1, 0);
    let (watched_handle, _) = cluster.spawn_on(init, 200, 1, 0);
    let (_, caller) = cluster.spawn_on(init, 200, 1, 2);
    let watch = give(&mut cluster, mover, watched_handle, Rights::WATCH.0 as u64, 0);
    let service = cluster.connect(mover, 5, caller);
    cluster.call(mover.slot(), Call::Watch, &[(9, watch), (0, 4)]).expect("watched");
    let (_, child) = cluster.spawn_on(mover.slot(), 50, 0, 2);
    let child_handle = cluster.capability_of(mover.slot(), child);
    let end = give_from(&mut cluster, mover, caller, child_handle, Rights::KILL.0 as u64);
    let used = |cluster: &Cluster| cluster.agent(mover.slot()).map(|agent| agent.pools[0].used);
    let before = used(&cluster).expect("it is there");
    // Core 0 sends the agent to core 1, which has not taken it yet.
    quietly(&mut cluster, init, Call::AgentControl, &[(9, handle), (0, AgentOp::Migrate as u64), (1, 1)]);
    assert!(cluster.sim.movers.contains_key(&(1, 0)), "it is on its way");
    let word = SendInfo { length: 8, ..SendInfo::default() }.encode();
    // Its child is killed on core 2, what it watches on core 0, and it is called.
    quietly(&mut cluster, caller.slot(), Call::AgentControl, &[(9, end), (0, AgentOp::Kill as u64)]);
    cluster.turn(2);
    quietly(&mut cluster, init, Call::AgentControl, &[(9, watched_handle), (0, AgentOp::Kill as u64)]);
    cluster.turn(0);
    cluster.settle();
    assert_eq!(cluster.home(mover.slot()), 1);
    let after = used(&cluster).expect("it is there");
    assert_eq!(before - after, 50, "the child's quota came back");
    assert_eq!(cluster.agent(mover.slot()).map(|agent| (agent.children, agent.notifications)), Some((0, 4)));
    cluster.begin(caller.slot(), Call::IpcCall, &[(9, service), (10, word), (0, 7), (12, FOREVER)]);
    // It reads the bits first, then the call.
    let bits = cluster.call(mover.slot(), Call::IpcRecv, &[(10, 0), (12, FOREVER)]).expect("bits");
    assert_eq!(bits[0], 4);
    let got = cluster.call(mover.slot(), Call::IpcRecv, &[(10, 0), (12, FOREVER)]).expect("the call");
    assert_eq!((got[0], got[9], got[11]), (7, caller.0, 5));
}

/// Has an agent give another one a capability, through one that init lends it.
fn give_from(cluster: &mut Cluster, from: AgentId, to: AgentId, slot: u64, rights: u64) -> u64 {
    let init = cluster.init;
    let handle = cluster.capability_of(init, to);
    let reach = give(cluster, from, handle, Rights::CONTROL.0 as u64, 0);
    cluster.call(from.slot(), Call::CapGrant, &[(9, reach), (0, slot), (1, rights), (2, 0), (3, 0), (4, 0)]).expect("granted")[0]
}

/// A call to an agent that is on its way waits until it has arrived; one to an agent that ended on its way hears of it.
#[test]
fn a_call_to_an_agent_on_its_way_waits() {
    let mut cluster = Cluster::new(3, 4000);
    let init = cluster.init;
    let (handle, mover) = cluster.spawn_on(init, 300, 1, 1);
    let clients = [0, 1, 2].map(|core| cluster.spawn_on(init, 200, 1, core).1);
    let services = clients.map(|client| cluster.connect(mover, client.0, client));
    let word = SendInfo { length: 8, ..SendInfo::default() }.encode();
    for client in clients {
        cluster.call(client.slot(), Call::TimeNow, &[]).expect("it runs");
    }
    quietly(&mut cluster, init, Call::AgentControl, &[(9, handle), (0, AgentOp::Migrate as u64), (1, 2)]);
    cluster.turn(1);
    assert!(cluster.sim.movers.contains_key(&(2, 1)), "it is on its way");
    for (client, service) in clients.into_iter().zip(services) {
        cluster.begin(client.slot(), Call::IpcCall, &[(9, service), (10, word), (0, client.0), (12, FOREVER)]);
    }
    for _ in clients {
        let got = cluster.call(mover.slot(), Call::IpcRecv, &[(10, 0), (12, FOREVER)]).expect("a call");
        assert_eq!((got[0], got[9]), (got[9], got[11]));
        cluster.call(mover.slot(), Call::IpcReply, &[(9, got[12]), (10, word), (0, 1)]).expect("answered");
    }
    for client in clients {
        assert_eq!(cluster.finished(client.slot()).map(|x| x[0]), Ok(1));
    }
}

/// However much other cores send, a core's own agents have their turn in between, and nobody of them pays for it.
#[test]
fn other_cores_cannot_keep_a_core_from_its_agents() {
    let mut cluster = Cluster::new(4, 2000);
    let init = cluster.init;
    cluster.call(init, Call::TimeNow, &[]).expect("it runs");
    let from = cluster.agent(init).expect("init").id;
    for core in 1..4 {
        let ring = cluster.sim.rings.entry((0, core, Lane::Request as u8)).or_default();
        ring.extend((0..RING).map(|_| Packet::Request { core, from, request: Request::Pass }));
    }
    let waiting = |cluster: &Cluster| (1..4).map(|core| cluster.sim.rings[&(0, core, Lane::Request as u8)].len()).sum::<usize>();
    let mut turns = 0;
    while waiting(&cluster) != 0 {
        let before = waiting(&cluster);
        let (_, running) = cluster.turn(0);
        assert_eq!(running, Some(init), "the agent runs before the rest is taken");
        assert!(before - waiting(&cluster) <= RING, "one turn took {} requests", before - waiting(&cluster));
        if waiting(&cluster) != 0 {
            assert!(cluster.sim.timers[0] <= cluster.now + SLICE_MIN_NS, "the rest is taken soon");
        }
        turns += 1;
    }
    assert!(turns >= 3, "{turns} turns");
    let spent = cluster.agent(init).expect("init").sc.cpu_ns();
    cluster.now += 1_000_000;
    cluster.cores[0].absolve(cluster.now);
    assert_eq!(cluster.agent(init).expect("init").sc.cpu_ns(), spent);
    assert_eq!(cluster.cores[0].counters.kernel_ns, 1_000_000);
}

/// Long work for other cores takes turns with a core's own agents too.
#[test]
fn searches_for_other_cores_leave_time_for_agents() {
    let mut cluster = Cluster::new(3, 2000);
    let init = cluster.init;
    cluster.call(init, Call::TimeNow, &[]).expect("it runs");
    let from = cluster.agent(init).expect("init").id;
    for core in 1..3 {
        let ring = cluster.sim.rings.entry((0, core, Lane::Request as u8)).or_default();
        let request = Request::Depart { id: AgentId::new(999, 1), error: Error::PeerDied };
        ring.extend((0..8).map(|_| Packet::Request { core, from, request }));
    }
    let answers =
        |cluster: &Cluster| (1..3).filter_map(|core| cluster.sim.rings.get(&(core, 0, Lane::Answer as u8))).map(|r| r.len()).sum::<usize>();
    let mut turns = 0;
    while answers(&cluster) < 16 {
        // Whatever is to be done, the agent runs after a bounded number of steps, and the rest follows in time.
        let mut steps = 0;
        while cluster.turn(0).1.is_none() {
            steps += 1;
            assert!(steps < 8, "the agent doesn't run");
        }
        let soon = cluster.sim.timers[0] <= cluster.now + SLICE_MIN_NS;
        assert!(soon || answers(&cluster) == 16, "the rest follows soon");
        cluster.now += SLICE_MIN_NS;
        turns += 1;
        assert!(turns < 200, "the searches don't come to an end");
    }
    assert!(turns > 16, "{turns} turns");
    for _ in 0..3 {
        cluster.now = cluster.now.max(cluster.sim.timers[0]);
        cluster.cores[0].tick(&mut cluster.sim, cluster.now);
        cluster.turn(0);
        assert!(cluster.sim.timers[0] > cluster.now, "the timer goes off for ever");
    }
}

/// Long work for other cores that is over with the last step of its turn leaves the core's timer to others: none goes off again and again.
#[test]
fn the_timer_rests_after_long_work_for_other_cores() {
    let mut cluster = Cluster::new(2, 4000);
    let init = cluster.init;
    let (_, sleeper) = cluster.spawn_on(init, 300, 1, 1);
    let (_, victim) = cluster.spawn_on(init, 300, 1, 0);
    kill(&mut cluster, victim);
    cluster.settle();
    let deadline = cluster.now + 10 * SLICE_MIN_NS;
    cluster.begin(sleeper.slot(), Call::IpcRecv, &[(10, 0), (12, deadline)]);
    assert_eq!(cluster.sim.timers[1], deadline);
    cluster.pass(20 * SLICE_MIN_NS);
    assert_eq!(cluster.finished(sleeper.slot()).map(drop), Err(Error::Timeout));
}
