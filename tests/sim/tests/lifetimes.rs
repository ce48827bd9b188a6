//! What has ended stays ended: ids of nodes, revocations, tokens, interrupt bindings, mappings, pools.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use aios_abi::call::{AgentOp, TOKEN_SIZE, init};
use aios_abi::limits::{NODE_PAGES, NODES_PER_PAGE, TIMED_MAPPINGS};
use aios_abi::rights::Rights;
use aios_abi::{AgentId, Call, Error, SlotHandle};
use aios_core::cap::{GENERATIONS, Slot};
use aios_core::machine::Machine;
use aios_sim::{Cluster, World};

const ALL: u64 = u32::MAX as u64;

fn frame(world: &mut World, agent: u16) -> u64 {
    let pool = world.own_slot(agent, 2);
    world.call(agent, Call::FrameAlloc, &[(9, pool), (0, 1)]).expect("a frame")[0]
}

fn derive(world: &mut World, agent: u16, slot: u64) -> Result<u64, Error> {
    world.call(agent, Call::CapDerive, &[(9, slot), (0, ALL), (1, 0), (2, 0), (3, 0)]).map(|x| x[0])
}

fn discard(world: &mut World, agent: u16, slot: u64) {
    world.call(agent, Call::CapDrop, &[(9, slot)]).expect("dropped");
}

fn check(world: &mut World, agent: u16, slot: u64) -> Result<(), Error> {
    world.call(agent, Call::CapCheck, &[(9, slot), (0, 0)]).map(drop)
}

fn slot(world: &World, agent: u16, handle: u64) -> Slot {
    *world.core.agents[agent].slots.look(SlotHandle(handle as u32).index()).expect("it is there")
}

fn export(world: &mut World, from: u16, slot: u64, to: AgentId, rights: u64) -> Result<Vec<u8>, Error> {
    let buffer = world.memory(from, &[0; TOKEN_SIZE]);
    world.call(from, Call::CapExport, &[(9, slot), (0, to.0), (1, rights), (2, 0), (11, buffer)])?;
    Ok(world.peek(from, buffer, TOKEN_SIZE))
}

fn admit(world: &mut World, agent: u16, token: &[u8]) -> Result<u64, Error> {
    let buffer = world.memory(agent, token);
    world.call(agent, Call::CapAdmit, &[(11, buffer)]).map(|x| x[0])
}

/// A machine that has been busy for so long that a count of 32 bits is where it was: a token of what is gone names nothing.
#[test]
fn a_token_does_not_come_back_with_the_counts() {
    let mut world = World::new(2000);
    let init = world.init;
    world.core.set_key([7; 32]).expect("seeded");
    let id = world.core.agents[init].id;
    let frame = frame(&mut world, init);
    let before = world.sim.stamps;
    let first = derive(&mut world, init, frame).expect("derived");
    let token = export(&mut world, init, first, id, Rights::READ.0 as u64).expect("exported");
    discard(&mut world, init, first);
    assert_eq!(admit(&mut world, init, &token), Err(Error::Revoked));
    world.sim.stamps = before + (1 << 32);
    derive(&mut world, init, frame).expect("derived");
    assert_eq!(admit(&mut world, init, &token), Err(Error::Revoked));
}

/// Places whose generations are used up are not used again, nor are the numbers of pages of such places.
#[test]
fn no_id_names_two_nodes() {
    let mut world = World::new(4000);
    let init = world.init;
    world.sim.spent_before = GENERATIONS - 6;
    let (handle, agent) = world.spawn(init, 1000, 1);
    let mut seen = BTreeSet::new();
    let note = |world: &World, agent: AgentId, handle: u64, seen: &mut BTreeSet<u64>| {
        let node = slot(world, agent.slot(), handle).node;
        assert!(seen.insert(node.word()), "{node:?} was another's");
        node.index() as usize / NODES_PER_PAGE
    };
    let source = frame(&mut world, agent.slot());
    note(&world, agent, source, &mut seen);
    let mut pages = BTreeSet::new();
    for _ in 0..400 {
        let made = derive(&mut world, agent.slot(), source).expect("derived");
        pages.insert(note(&world, agent, made, &mut seen));
        discard(&mut world, agent.slot(), made);
    }
    assert!(pages.len() >= 3, "each place serves three times: {pages:?}");
    world.call(init, Call::AgentControl, &[(9, handle), (0, AgentOp::Kill as u64)]).expect("killed");
    world.settle();
    // The numbers of those pages are lost, but for the last.
    let (_, other) = world.spawn(init, 1000, 1);
    let source = frame(&mut world, other.slot());
    for _ in 0..400 {
        let made = derive(&mut world, other.slot(), source).expect("derived");
        note(&world, other, made, &mut seen);
        discard(&mut world, other.slot(), made);
    }
}

/// Agents come and go, and with them the pages of their nodes: ids go on.
#[test]
fn ids_go_on_when_pages_of_nodes_come_back() {
    let mut world = World::new(4000);
    let init = world.init;
    let mut seen = BTreeSet::new();
    for _ in 0..5 {
        let (handle, agent) = world.spawn(init, 300, 1);
        for _ in 0..20 {
            let made = frame(&mut world, agent.slot());
            let node = slot(&world, agent.slot(), made).node;
            assert!(seen.insert(node.word()), "{node:?} was another's");
            discard(&mut world, agent.slot(), made);
        }
        world.call(init, Call::AgentControl, &[(9, handle), (0, AgentOp::Kill as u64)]).expect("killed");
        world.settle();
    }
}

/// The last revocation that can be counted is for ever, and nothing is derived after it that could not be revoked.
#[test]
fn a_used_up_epoch_undoes_no_revocation() {
    let mut world = World::new(2000);
    let init = world.init;
    let frame = frame(&mut world, init);
    let source = derive(&mut world, init, frame).expect("derived");
    let early = derive(&mut world, init, source).expect("derived in the first epoch");
    let node = slot(&world, init, source).node.index();
    let revoke = |world: &mut World| world.call(init, Call::CapRevoke, &[(9, source), (0, 0)]).map(drop);
    revoke(&mut world).expect("revoked");
    world.sim.node(node).expect("there").epoch.store(u32::MAX - 1, Ordering::Relaxed);
    let late = derive(&mut world, init, source).expect("derived in the last epoch but one");
    for _ in 0..3 {
        revoke(&mut world).expect("revoked");
        assert_eq!(check(&mut world, init, early), Err(Error::Revoked));
        assert_eq!(check(&mut world, init, late), Err(Error::Revoked));
        assert_eq!(derive(&mut world, init, source), Err(Error::LimitReached));
        assert_eq!(check(&mut world, init, source), Ok(()), "the node itself stays");
    }
}

/// With all nodes in use, finding the one that was given back takes no search through all.
#[test]
fn a_free_place_is_found_without_a_search() {
    let mut world = World::new(20_000);
    world.checking = false;
    let init = world.init;
    let (_, agent) = world.spawn(init, 10_000, 1);
    let slot = agent.slot();
    let source = frame(&mut world, slot);
    let mut held = Vec::new();
    let end = loop {
        match derive(&mut world, slot, source) {
            Ok(made) => held.push(made),
            Err(error) => break error,
        }
    };
    assert_eq!(end, Error::LimitReached);
    // Two places are the agent's own capabilities', one is the frame's.
    assert_eq!(held.len(), NODE_PAGES * (NODES_PER_PAGE - 1) - 3);
    for place in [0, held.len() / 2, held.len() - 1, 5] {
        discard(&mut world, slot, held[place]);
        let before = world.sim.lookups.get();
        held[place] = derive(&mut world, slot, source).expect("there is one");
        let lookups = world.sim.lookups.get() - before;
        assert!(lookups <= NODE_PAGES as u64 + 20, "{lookups} look-ups");
    }
    world.check();
}

/// Admitting a token derives: who may only pass copies on makes no tokens.
#[test]
fn a_token_takes_the_right_to_derive() {
    let mut world = World::new(3000);
    let init = world.init;
    world.core.set_key([7; 32]).expect("seeded");
    let (handle, holder) = world.spawn(init, 300, 1);
    let (_, friend) = world.spawn(init, 300, 1);
    let frame = frame(&mut world, init);
    let mut give = |rights: Rights| {
        let given = world.call(init, Call::CapGrant, &[(9, handle), (0, frame), (1, rights.0 as u64), (2, 0), (3, 0), (4, 0)]);
        let given = given.expect("granted")[0];
        export(&mut world, holder.slot(), given, friend, Rights::READ.0 as u64)
    };
    assert_eq!(give(Rights::READ.or(Rights::GRANT)), Err(Error::MissingRight));
    assert_eq!(give(Rights::READ.or(Rights::DERIVE)), Err(Error::MissingRight));
    let token = give(Rights::READ.or(Rights::GRANT).or(Rights::DERIVE)).expect("exported");
    let admitted = admit(&mut world, friend.slot(), &token).expect("admitted");
    assert_eq!(check(&mut world, friend.slot(), admitted), Ok(()));
    world.call(init, Call::CapRevoke, &[(9, frame), (0, 0)]).expect("revoked");
    assert_eq!(check(&mut world, friend.slot(), admitted), Err(Error::Revoked));
}

/// What a token shows depends on its own node only: not on what the rest of the machine did meanwhile.
#[test]
fn a_token_shows_nothing_of_others() {
    let words = |others: u64| {
        let mut world = World::new(3000);
        let init = world.init;
        world.core.set_key([7; 32]).expect("seeded");
        let id = world.core.agents[init].id;
        let frame = frame(&mut world, init);
        world.sim.stamps += others;
        let made = derive(&mut world, init, frame).expect("derived");
        let token = export(&mut world, init, made, id, ALL).expect("exported");
        token[..64].chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight"))).collect::<Vec<_>>()
    };
    let (quiet, busy) = (words(0), words(1000));
    assert_eq!(quiet[..7], busy[..7]);
    assert_ne!(quiet[7], busy[7], "ids differ");
    assert!(quiet[7].abs_diff(busy[7]) > 1 << 32, "and show no order: {:#x}, {:#x}", quiet[7], busy[7]);
}

/// Init, a driver with capabilities for two lines that were derived one by one, and another that could have them too. All have notification bits 1.
struct Lines {
    world: World,
    handles: [u64; 2],
    agents: [AgentId; 2],
    /// Init's, from which the drivers' are derived.
    source: u64,
}

const LINE: u32 = 41;
const OVER_LINES: u64 = Rights::BIND.0 as u64 | Rights::GRANT.0 as u64 | Rights::DERIVE.0 as u64 | Rights::REVOKE.0 as u64;

impl Lines {
    fn new() -> Self {
        let mut world = World::new(4000);
        let init = world.init;
        let lines = world.own_slot(init, init::SLOT_IRQS);
        let source =
            world.call(init, Call::CapDerive, &[(9, lines), (0, OVER_LINES), (1, 0), (2, LINE as u64), (3, 1)]).expect("derived")[0];
        let made = [0; 2].map(|_| world.spawn(init, 300, 1));
        Self { world, handles: made.map(|made| made.0), agents: made.map(|made| made.1), source }
    }

    /// Derives a capability for a driver.
    fn give(&mut self, to: usize, expiry: u64) -> u64 {
        let args = [(9, self.handles[to]), (0, self.source), (1, OVER_LINES), (2, expiry), (3, 2), (4, 0)];
        self.world.call(self.world.init, Call::CapGrant, &args).expect("granted")[0]
    }

    fn bind(&mut self, who: usize, slot: u64) -> Result<(), Error> {
        self.world.call(self.agents[who].slot(), Call::IrqBind, &[(9, slot), (0, 0), (1, 1)]).map(drop)
    }

    fn is_on(&self) -> bool {
        self.world.sim.lines.get(&LINE).is_some_and(|&on| on)
    }

    /// The line fires; whether the driver hears of it.
    fn fire(&mut self, who: usize) -> bool {
        self.world.core.interrupt(&mut self.world.sim, LINE, self.world.now);
        self.world.settle();
        let bits = &mut self.world.core.agents[self.agents[who].slot()].notifications;
        std::mem::take(bits) != 0
    }
}

/// A capability that leaves its place takes its interrupt lines along at once.
#[test]
fn a_line_goes_off_with_the_capability_that_it_was_bound_through() {
    for moved in [false, true] {
        let mut lines = Lines::new();
        let (first, second) = (lines.give(0, 0), lines.give(0, 0));
        lines.bind(0, first).expect("bound");
        assert!(lines.is_on());
        let driver = lines.agents[0].slot();
        discard(&mut lines.world, driver, second);
        assert!(lines.is_on() && lines.fire(0), "another capability for the line is nothing to it");
        lines.world.call(driver, Call::IrqAck, &[(9, first), (0, 0)]).expect("acknowledged");
        if moved {
            let init = lines.world.init;
            let reach = [(9, lines.handles[0]), (0, lines.handles[1]), (1, Rights::CONTROL.0 as u64), (2, 0), (3, 0), (4, 0)];
            let reach = lines.world.call(init, Call::CapGrant, &reach).expect("granted")[0];
            let args = [(9, reach), (0, first), (1, OVER_LINES), (2, 0), (3, 1), (4, 0)];
            lines.world.call(driver, Call::CapGrant, &args).expect("moved");
        } else {
            discard(&mut lines.world, driver, first);
        }
        assert!(!lines.is_on());
        assert!(!lines.fire(0));
        let other = lines.give(1, 0);
        lines.bind(1, other).expect("the line is free");
        assert!(lines.fire(1) && !lines.fire(0));
    }
}

/// A capability that is revoked or expires rings no more, even if the line was enabled before.
#[test]
fn a_line_ends_with_the_validity_of_its_capability() {
    for expires in [false, true] {
        for next in ["fires", "acknowledged", "bound"] {
            let mut lines = Lines::new();
            let end = if expires { lines.world.now + 10_000_000 } else { 0 };
            let first = lines.give(0, end);
            lines.bind(0, first).expect("bound");
            assert!(lines.fire(0));
            let driver = lines.agents[0].slot();
            lines.world.call(driver, Call::IrqAck, &[(9, first), (0, 0)]).expect("acknowledged");
            let init = lines.world.init;
            match expires {
                true => lines.world.now = end,
                false => lines.world.call(init, Call::CapRevoke, &[(9, lines.source), (0, 0)]).map(drop).expect("revoked"),
            }
            match next {
                "fires" => assert!(!lines.fire(0)),
                // Another capability for the same line does not help.
                "acknowledged" => {
                    let second = lines.give(0, 0);
                    assert_eq!(lines.world.call(driver, Call::IrqAck, &[(9, second), (0, 0)]).map(drop), Err(Error::WrongState));
                }
                _ => {
                    let other = lines.give(1, 0);
                    lines.bind(1, other).expect("the line is free");
                    assert!(lines.fire(1) && !lines.fire(0));
                }
            }
            assert!(!lines.is_on());
        }
    }
}

const ADDRESS: u64 = 0x100_0000;
const PAGE: u64 = 4096;

fn is_mapped(world: &World, agent: u16, address: u64) -> bool {
    world.core.agents[agent].space.translate(&world.sim, address).is_some()
}

fn map(world: &mut World, agent: u16, slot: u64, into: u64, address: u64) -> Result<(), Error> {
    world.call(agent, Call::PageMap, &[(9, slot), (0, into), (1, address), (2, 3)]).map(drop)
}

fn until(world: &mut World, agent: u16, slot: u64, expiry: u64) -> u64 {
    world.call(agent, Call::CapDerive, &[(9, slot), (0, ALL), (1, expiry), (2, 0), (3, 0)]).expect("derived")[0]
}

/// What is mapped through capabilities that expire goes when they do, each at its time, with interrupts in between; nothing else does.
#[test]
fn mappings_end_with_the_time_of_their_capability() {
    for interrupts in 0..3 {
        let mut world = World::new(4000);
        let init = world.init;
        let (handle, agent) = world.spawn(init, 300, 1);
        let frame = frame(&mut world, init);
        let end = world.now + 50_000_000;
        let at = |i: u64| ADDRESS + i * PAGE;
        for i in 0..6 {
            let made = until(&mut world, init, frame, end + i / 3 * 10_000_000);
            map(&mut world, init, made, 0, at(i)).expect("mapped");
            map(&mut world, init, made, handle, at(i)).expect("mapped into the other");
        }
        map(&mut world, init, frame, 0, at(9)).expect("mapped");
        // The one who has them waits for something else all the time.
        world.begin(agent.slot(), Call::IpcRecv, &[(10, 0), (12, u64::MAX)]);
        world.sim.interrupt_every = interrupts;
        world.pass(end - world.now - 1);
        assert!((0..6).all(|i| is_mapped(&world, init, at(i)) && is_mapped(&world, agent.slot(), at(i))));
        world.pass(1);
        assert!((0..3).all(|i| !is_mapped(&world, init, at(i)) && !is_mapped(&world, agent.slot(), at(i))));
        assert!((3..6).all(|i| is_mapped(&world, init, at(i)) && is_mapped(&world, agent.slot(), at(i))));
        world.pass(10_000_000);
        assert!((0..6).all(|i| !is_mapped(&world, init, at(i)) && !is_mapped(&world, agent.slot(), at(i))));
        assert!(is_mapped(&world, init, at(9)), "this one has no end");
        world.sim.interrupt_every = 0;
        world.check();
    }
}

/// An agent has so many mappings with an end as its list has places; each that goes leaves room for another.
#[test]
fn mappings_that_end_are_few() {
    let mut world = World::new(4000);
    let init = world.init;
    let frame = frame(&mut world, init);
    let end = world.now + 1_000_000_000;
    let made: Vec<u64> = (0..=TIMED_MAPPINGS as u64).map(|i| until(&mut world, init, frame, end + i)).collect();
    let at = |i: usize| ADDRESS + i as u64 * PAGE;
    for (i, &slot) in made[..TIMED_MAPPINGS].iter().enumerate() {
        map(&mut world, init, slot, 0, at(i)).expect("mapped");
    }
    assert_eq!(map(&mut world, init, made[TIMED_MAPPINGS], 0, at(TIMED_MAPPINGS)), Err(Error::LimitReached));
    world.call(init, Call::PageUnmap, &[(9, made[3])]).expect("unmapped");
    map(&mut world, init, made[TIMED_MAPPINGS], 0, at(TIMED_MAPPINGS)).expect("there is room");
    discard(&mut world, init, made[0]);
    map(&mut world, init, made[3], 0, at(3)).expect("there is room");
    world.pass(2_000_000_000);
    assert!((0..=TIMED_MAPPINGS).all(|i| !is_mapped(&world, init, at(i))));
}

/// The holder lives on another core than the owner, and moves on before the time is over, or while it is.
#[test]
fn mappings_end_on_whatever_core_their_holder_is() {
    for late in [false, true] {
        let mut cluster = Cluster::new(3, 4000);
        let init = cluster.init;
        let (_, owner) = cluster.spawn_on(init, 200, 1, 1);
        let (holder_handle, holder) = cluster.spawn_on(init, 200, 1, 2);
        let reach = cluster.capability_of(init, owner);
        let args = [(9, reach), (0, holder_handle), (1, Rights::CONTROL.0 as u64), (2, 0), (3, 0), (4, 0)];
        let reach = cluster.call(init, Call::CapGrant, &args).expect("granted")[0];
        let pool = cluster.own_slot(owner.slot(), 2);
        let frame = cluster.call(owner.slot(), Call::FrameAlloc, &[(9, pool), (0, 1)]).expect("a frame")[0];
        let end = cluster.now + 1_000_000_000;
        let made = cluster.call(owner.slot(), Call::CapDerive, &[(9, frame), (0, ALL), (1, end), (2, 0), (3, 0)]).expect("derived")[0];
        cluster.call(owner.slot(), Call::PageMap, &[(9, made), (0, reach), (1, ADDRESS), (2, 3)]).expect("mapped");
        let mapped = |cluster: &Cluster| {
            let agent = cluster.agent(holder.slot()).expect("there");
            agent.space.translate(&cluster.sim, ADDRESS).is_some()
        };
        assert!(mapped(&cluster));
        if late {
            // Its core hears of the time only after it has left.
            cluster.now = end;
        }
        cluster.migrate(init, holder_handle, 0).expect("it moves");
        assert!(mapped(&cluster) || late);
        let rest = (end + 1_000_000).saturating_sub(cluster.now);
        cluster.pass(rest);
        assert!(!mapped(&cluster));
        cluster.call(owner.slot(), Call::CapDrop, &[(9, made)]).expect("dropped");
    }
}

fn child_pool(world: &mut World, agent: u16, pages: u64) -> Result<u64, Error> {
    let pool = world.own_slot(agent, 2);
    world.call(agent, Call::AgentPoolAlloc, &[(9, pool), (0, pages)]).map(|x| x[0])
}

/// A child pool's quota goes back when the last capability to it is gone and the last of what it paid for; then its place is free for another.
#[test]
fn a_child_pool_goes_back_with_the_last_capability_to_it() {
    let mut world = World::new(6000);
    let init = world.init;
    let (handle, agent) = world.spawn(init, 3000, 1);
    let me = agent.slot();
    let (_, friend) = world.spawn(init, 300, 1);
    let promised = |world: &World| world.core.agents[me].pools[1..].iter().map(|pool| pool.quota).sum::<u64>();
    for _ in 0..40 {
        let pool = child_pool(&mut world, me, 100).expect("there is room again");
        assert_eq!(promised(&world), 100);
        discard(&mut world, me, pool);
        assert_eq!(promised(&world), 0);
    }
    // Copies and derivations hold it, even revoked ones, on whoever's table.
    let pool = child_pool(&mut world, me, 100).expect("made");
    let reach = world.capability_of(init, friend.slot());
    let reach = [(9, handle), (0, reach), (1, Rights::CONTROL.0 as u64), (2, 0), (3, 0), (4, 0)];
    let reach = world.call(init, Call::CapGrant, &reach).expect("granted")[0];
    let rights = slot(&world, me, pool).rights.0 as u64;
    let given = world.call(me, Call::CapGrant, &[(9, reach), (0, pool), (1, rights), (2, 0), (3, 2), (4, 0)]).expect("granted")[0];
    discard(&mut world, me, pool);
    assert_eq!(promised(&world), 100);
    discard(&mut world, friend.slot(), given);
    assert_eq!(promised(&world), 0);
    // What it pays for holds it: a frame, and an agent.
    let pool = child_pool(&mut world, me, 200).expect("made");
    let frame = world.call(me, Call::FrameAlloc, &[(9, pool), (0, 4)]).expect("a frame")[0];
    let spawn = [(9, pool), (0, 0), (1, 60), (10, aios_abi::ABI_VERSION as u64)];
    let child = world.call(me, Call::AgentSpawn, &spawn).expect("spawned")[0];
    discard(&mut world, me, pool);
    assert_eq!(promised(&world), 200);
    world.call(me, Call::AgentControl, &[(9, child), (0, AgentOp::Kill as u64)]).expect("killed");
    world.settle();
    assert_eq!(promised(&world), 200);
    discard(&mut world, me, frame);
    assert_eq!(promised(&world), 0);
    // A revocation makes them useless; dropped, they go back too.
    let pool = child_pool(&mut world, me, 100).expect("made");
    let own = world.own_slot(me, 2);
    world.call(me, Call::CapRevoke, &[(9, own), (0, 0)]).expect("revoked");
    assert_eq!(world.call(me, Call::FrameAlloc, &[(9, pool), (0, 1)]), Err(Error::Revoked));
    discard(&mut world, me, pool);
    assert_eq!(promised(&world), 0);
}

/// The last copy is on another core; and one that is let go while its maker starts anew is nothing to the pools of the next incarnation.
#[test]
fn a_child_pool_goes_back_from_another_core() {
    for restart in [false, true] {
        let mut cluster = Cluster::new(2, 6000);
        let init = cluster.init;
        let (handle, maker) = cluster.spawn_on(init, 1000, 1, 0);
        let (friend_handle, friend) = cluster.spawn_on(init, 300, 1, 1);
        let args = [(9, handle), (0, friend_handle), (1, Rights::CONTROL.0 as u64), (2, 0), (3, 0), (4, 0)];
        let reach = cluster.call(init, Call::CapGrant, &args).expect("granted")[0];
        let make = |cluster: &mut Cluster| {
            let own = cluster.own_slot(maker.slot(), 2);
            cluster.call(maker.slot(), Call::AgentPoolAlloc, &[(9, own), (0, 100)]).expect("made")[0]
        };
        let used = |cluster: &Cluster| cluster.agent(maker.slot()).expect("there").pools[0].used;
        let pool = make(&mut cluster);
        let before = used(&cluster) - 100;
        let args = [(9, reach), (0, pool), (1, Rights::GRANT.0 as u64), (2, 0), (3, 1), (4, 0)];
        let given = cluster.call(maker.slot(), Call::CapGrant, &args).expect("moved")[0];
        let promised =
            |cluster: &Cluster| cluster.agent(maker.slot()).expect("there").pools[1..].iter().map(|pool| pool.quota).sum::<u64>();
        assert_eq!(promised(&cluster), 100);
        if restart {
            cluster.call(init, Call::AgentControl, &[(9, handle), (0, AgentOp::Restart as u64)]).expect("restarted");
            let start = [(9, handle), (0, 1), (1, 0x40_0000), (2, 0x8000_0000), (3, 0), (4, 0), (5, 0), (6, 0)];
            cluster.call(init, Call::AgentControl, &start).expect("started");
            make(&mut cluster);
        }
        cluster.call(friend.slot(), Call::CapDrop, &[(9, given)]).expect("dropped");
        cluster.settle();
        assert_eq!(promised(&cluster), if restart { 100 } else { 0 });
        assert_eq!(used(&cluster), before + if restart { 100 } else { 0 });
    }
}
