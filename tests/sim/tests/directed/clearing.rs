//! Clearing away what ended: whose time it takes, and that nobody waits for it who has better to do.

use aios_abi::Call;
use aios_abi::call::{AgentOp, CLASS_EDF};
use aios_abi::message::FaultCause;
use aios_abi::rights::Rights;
use aios_core::core::{Exception, Next};
use aios_sim::World;

use crate::support::*;

const MS: u64 = 1_000_000;
/// What one step of the kernel's long work is taken to cost, ns.
const STEP_NS: u64 = 20_000;

/// An agent with 2,000 pages of memory and 1,000 slots and derivations.
fn large(world: &mut World) -> Peer {
    let (handle, id) = world.spawn(world.init, 3000, 1);
    let peer = Peer { slot: id.slot(), id, handle };
    world.call(peer.slot, Call::AgentMemAlloc, &[(0, 2000 << 12), (1, 0)]).expect("memory");
    let own = world.own_slot(peer.slot, 1);
    for badge in 0..1000 {
        world.call(peer.slot, Call::CapMint, &[(9, own), (0, badge), (1, ALL), (2, 0), (3, 0)]).expect("minted");
    }
    peer
}

fn spin(world: &mut World) -> Peer {
    let peer = spawn(world);
    world.switch_to(peer.slot);
    peer
}

/// Lets the machine run with a clock that goes on in the kernel too: every step of long work costs time, agents use all that they get. Until a time, or
/// until nothing is being cleared away; answers how long the longest stay in the kernel was, in steps.
fn run(world: &mut World, until: u64) -> u64 {
    world.sim.interrupt_every = 1;
    let (mut steps, mut longest) = (0, 0);
    while world.now < until && world.slots().any(|slot| world.core.agents[slot].reap.phase != 0) {
        if world.sim.timer <= world.now {
            world.core.tick(&mut world.sim, world.now);
        }
        match world.core.next(&mut world.sim, world.now) {
            Next::Interrupted => {
                steps += 1;
                world.now += STEP_NS;
            }
            Next::Run(_) => {
                longest = steps.max(longest);
                steps = 0;
                world.now = world.sim.timer.clamp(world.now + 1000, world.now + 10 * MS);
            }
            Next::Idle => world.now = world.sim.timer.clamp(world.now + 1000, world.now + 10 * MS),
            Next::Halt => panic!("init is gone"),
        }
    }
    world.sim.interrupt_every = 0;
    longest
}

#[test]
fn deadlines_are_met_while_a_large_agent_is_cleared_away() {
    for killed in [false, true] {
        let mut world = World::new(12_000);
        world.checking = false;
        let (victim, urgent, fair) = (large(&mut world), spin(&mut world), spin(&mut world));
        let init = world.init;
        world.call(init, Call::SchedSet, &[(9, urgent.handle), (0, CLASS_EDF), (1, MS), (2, 5 * MS)]).expect("admitted");
        if killed {
            world.switch_to(init);
            let x = &mut world.core.agents[init].registers.x;
            (x[8], x[9], x[0]) = (Call::AgentControl as u64, victim.handle, AgentOp::Kill as u64);
            world.execute(init);
        } else {
            control(&mut world, init, victim.handle, AgentOp::Supervise, 0).expect("nobody judges");
            world.switch_to(victim.slot);
            world.core.fault(&mut world.sim, Exception { cause: FaultCause::Alignment, syndrome: 0, address: 0 }, world.now);
        }
        let begun = world.now;
        let before = [urgent, fair].map(|peer| world.core.agents[peer.slot].sc.cpu_ns());
        run(&mut world, begun + 2_000 * MS);
        let took = world.now - begun;
        assert!(world.core.agents.get(victim.slot).is_none(), "it is cleared away");
        assert!(took > 15 * MS, "that took a while: {took}");
        assert_eq!(world.core.agents[urgent.slot].sc.missed(), 0, "no deadline was missed");
        let [urgent_ns, fair_ns] = [urgent, fair].map(|peer| world.core.agents[peer.slot].sc.cpu_ns());
        assert!(urgent_ns - before[0] >= took / 5 - 2 * MS, "the reservation was kept: {} of {took}", urgent_ns - before[0]);
        assert!(fair_ns - before[1] >= took / 5, "equals had their turns: {} of {took}", fair_ns - before[1]);
        world.check();
    }
}

#[test]
fn what_a_killed_agent_had_is_there_when_the_call_returns() {
    let mut world = World::new(9000);
    world.checking = false;
    let (victim, _fair) = (large(&mut world), spin(&mut world));
    let init = world.init;
    let left = world.core.agents[init].pools[0].left();
    kill(&mut world, victim);
    assert!(world.core.agents[init].pools[0].left() >= left + 3000, "the whole quota");
    assert!(world.core.agents[init].work.is_none());
}

#[test]
fn a_killer_that_dies_in_the_middle_leaves_nothing_half_cleared() {
    let mut world = World::new(12_000);
    world.checking = false;
    let (victim, killer) = (large(&mut world), spin(&mut world));
    let handle = give(&mut world, killer, victim.handle, Rights::KILL.0 as u64);
    world.switch_to(killer.slot);
    let x = &mut world.core.agents[killer.slot].registers.x;
    (x[8], x[9], x[0]) = (Call::AgentControl as u64, handle, AgentOp::Kill as u64);
    world.execute(killer.slot);
    let soon = world.now + 2 * MS;
    run(&mut world, soon);
    assert!(world.core.agents.get(victim.slot).is_some(), "in the middle");
    kill(&mut world, killer);
    world.clear();
    assert!([victim, killer].iter().all(|peer| world.core.agents.get(peer.slot).is_none()));
    world.check();
}

#[test]
fn mappings_are_searched_for_once_however_much_a_dead_agent_derived() {
    let mut world = World::new(12_000);
    world.checking = false;
    let (maker, holder) = (spawn(&mut world), spawn(&mut world));
    let reach = give(&mut world, maker, holder.handle, Rights::CONTROL.0 as u64);
    let one = frame(&mut world, maker.slot, 1);
    for number in 0..100 {
        let args = [(9, reach), (0, one), (1, ALL), (2, 0), (3, 2), (4, 0)];
        let given = world.call(maker.slot, Call::CapGrant, &args).expect("granted")[0];
        world.call(holder.slot, Call::PageMap, &[(9, given), (0, 0), (1, 0x100_0000 + number * 4096), (2, 3)]).expect("mapped");
    }
    let init = world.init;
    control(&mut world, init, maker.handle, AgentOp::Supervise, 0).expect("nobody judges");
    world.switch_to(maker.slot);
    world.core.fault(&mut world.sim, Exception { cause: FaultCause::Alignment, syndrome: 0, address: 0 }, world.now);
    world.sim.interrupt_every = 1;
    let mut steps = 0;
    while world.core.agents.get(maker.slot).is_some() {
        world.now += STEP_NS;
        if world.sim.timer <= world.now {
            world.core.tick(&mut world.sim, world.now);
        }
        steps += u64::from(world.core.next(&mut world.sim, world.now) == Next::Interrupted);
    }
    world.sim.interrupt_every = 0;
    assert!(steps < 600, "{steps} steps for 100 derivations");
    let space = &world.core.agents[holder.slot].space;
    assert!((0..100).all(|number| space.translate(&world.sim, 0x100_0000 + number * 4096).is_none()), "nothing is mapped any more");
    world.check();
}
