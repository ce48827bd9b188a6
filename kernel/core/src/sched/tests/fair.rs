//! The fair class: shares, lag, waits, sleepers.

use aios_abi::limits::{EPOCH_NS, SLICE_MIN_NS};

use super::rng;
use super::world::{Habit, MS, World, reservations};
use crate::sched::{EDF_SHARE, Params, Scheduler};

pub(super) fn fair(weight: u64) -> Params {
    Params::fair(weight).expect("a weight")
}

/// Longest turn of a context beside all of them.
fn slice(weight: u64, total: u64) -> u64 {
    (EPOCH_NS * weight / total).max(SLICE_MIN_NS)
}

/// What rounding the keys in the queue adds to a lag.
const ROUNDING_NS: i64 = (SLICE_MIN_NS / 32) as i64 + 1;

/// Hogs of these weights: the lag stays within a slice, and after 100 epochs each has its share.
fn check_share(world: &mut World, weights: &[u64]) {
    let slots: Vec<u16> = weights.iter().map(|&weight| world.add(fair(weight), Habit::Hog)).collect();
    let total: u64 = weights.iter().sum();
    let longest = weights.iter().map(|&weight| slice(weight, total)).max().unwrap_or(0) as i64;
    let lag = |world: &World, slot: u16, weight: u64| {
        let due = world.left_to_fair_ns as u128 * weight as u128 / total as u128;
        due as i64 - world.tasks[slot as usize].served_ns as i64
    };
    while world.left_to_fair_ns < 100 * EPOCH_NS {
        world.run(world.now + EPOCH_NS, |world| {
            for (&slot, &weight) in slots.iter().zip(weights) {
                let (lag, own) = (lag(world, slot, weight), slice(weight, total) as i64);
                assert!(lag >= -own - ROUNDING_NS, "weight {weight} of {total} had {} ns too much; a slice is {own}", -lag);
                assert!(lag <= longest + ROUNDING_NS, "weight {weight} of {total} is owed {lag} ns; the longest slice is {longest}");
            }
        });
    }
    for (&slot, &weight) in slots.iter().zip(weights) {
        // In percent of the time: a slice is at most an epoch, and there were a hundred.
        let lag = lag(world, slot, weight).unsigned_abs();
        assert!(lag <= world.left_to_fair_ns / 100, "weight {weight} of {total} is {lag} ns from its share");
    }
}

#[test]
fn hogs_get_their_shares_and_are_never_a_slice_from_them() {
    let mut rng = rng();
    for round in 0..40 {
        let count = rng.usize(1..=60);
        let weights: Vec<u64> = (0..count).map(|_| if round % 2 == 0 { 1 << rng.u32(0..=10) } else { rng.u64(1..=1024) }).collect();
        let start = rng.u64(..1 << 40);
        check_share(&mut World::new(&mut rng, start), &weights);
    }
}

#[test]
fn one_heavy_context_shares_with_a_thousand_light_ones() {
    let mut rng = rng();
    let mut weights = vec![1; 1_000];
    weights.push(1024);
    check_share(&mut World::new(&mut rng, 0), &weights);
}

#[test]
fn shares_are_kept_beside_edf_contexts() {
    let mut rng = rng();
    for _ in 0..5 {
        let mut world = World::new(&mut rng, 5);
        for params in reservations(&mut rng, 6, EDF_SHARE, 20 * MS) {
            world.add(params, Habit::Hog);
        }
        let weights: Vec<u64> = (0..rng.usize(2..20)).map(|_| rng.u64(1..=1024)).collect();
        check_share(&mut world, &weights);
    }
}

#[test]
fn sleeping_earns_nothing() {
    let mut rng = rng();
    for _ in 0..40 {
        let mut world = World::new(&mut rng, 0);
        let weight = rng.u64(1..=1024);
        let hog = world.add(fair(weight), Habit::Hog);
        for _ in 0..rng.usize(1..12) {
            let (run_ns, sleep_ns) = (1 << rng.u32(8..25), 1 << rng.u32(8..27));
            world.add(fair(weight), Habit::Bursts { run_ns, sleep_ns });
        }
        world.run(200 * EPOCH_NS, |world| {
            let share = world.tasks[hog as usize].served_ns;
            for (slot, task) in world.tasks.iter().enumerate().skip(2) {
                let beyond = task.served_ns.saturating_sub(share);
                assert!(beyond <= EPOCH_NS, "context {slot} sleeps, and has {beyond} ns more than the one that doesn't");
            }
        });
    }
}

/// Asserts that no fair context waited longer than `bound` says for its weight, in time that EDF leaves; answers how near one came to it.
fn check_waits(world: &World, bound: impl Fn(u64) -> u64) -> f64 {
    let utilisation = world.sched.admitted();
    let budgets: u64 = world.table.contexts.iter().filter(|sc| sc.class() == 1).map(|sc| sc.weight_or_budget()).sum();
    let mut nearest: f64 = 0.0;
    for (slot, task) in world.tasks.iter().enumerate().skip(1) {
        let sc = &world.table.contexts[slot];
        if sc.class() == 1 {
            continue;
        }
        let (weight, bound) = (sc.weight_or_budget(), bound(sc.weight_or_budget()));
        // EDF leaves `(1 - u) t - 2 × budgets` of any time `t`.
        let stretched = (bound + 2 * budgets) as u128 * 65_536 / (65_536 - utilisation) as u128;
        // Those that still wait count too.
        let waits = task.wants && world.running != slot as u16;
        let so_far = if waits { (world.now - task.waits_since.0, world.left_to_fair_ns - task.waits_since.1) } else { (0, 0) };
        let (real, left) = (task.longest_wait.0.max(so_far.0), task.longest_wait.1.max(so_far.1));
        nearest = nearest.max(left as f64 / bound as f64).max(real as f64 / stretched as f64);
        assert!(left <= bound, "weight {weight} waited {left} ns of the fair class's time; the bound is {bound}");
        assert!(real as u128 <= stretched, "weight {weight} waited {real} ns; the bound is {stretched}");
    }
    nearest
}

/// EDF contexts, hogs or not, often as many as are admitted.
fn reserve(world: &mut World, rng: &mut fastrand::Rng) {
    let share = if rng.bool() { EDF_SHARE } else { rng.u64(1_000..EDF_SHARE) };
    let count = rng.usize(1..8);
    for params in reservations(rng, count, share, 30 * MS) {
        world.add(params, if rng.bool() { Habit::Hog } else { Habit::Bursts { run_ns: 10 * MS, sleep_ns: 5 * MS } });
    }
}

fn some_weight(rng: &mut fastrand::Rng) -> u64 {
    if rng.bool() { 1 << rng.u32(0..=10) } else { rng.u64(1..=1024) }
}

#[test]
fn hogs_do_not_starve_beside_edf_contexts_that_take_nine_tenths() {
    let mut rng = rng();
    let mut nearest: f64 = 0.0;
    for _ in 0..60 {
        let start = rng.u64(..1 << 50);
        let mut world = World::new(&mut rng, start);
        reserve(&mut world, &mut rng);
        let weights: Vec<u64> = (0..rng.usize(2..50)).map(|_| some_weight(&mut rng)).collect();
        for &weight in &weights {
            world.add(fair(weight), Habit::Hog);
        }
        world.run(start + 3_000 * MS, |_| {});
        let total: u64 = weights.iter().sum();
        nearest = nearest.max(check_waits(&world, |weight| 2 * EPOCH_NS.max(SLICE_MIN_NS * total / weight) + EPOCH_NS));
        assert_eq!(world.missed(), 0);
    }
    println!("nearest to a bound: {nearest:.2}");
}

#[test]
fn nobody_starves_where_others_come_and_go() {
    let mut rng = rng();
    let mut nearest: f64 = 0.0;
    for _ in 0..60 {
        let mut world = World::new(&mut rng, 0);
        reserve(&mut world, &mut rng);
        let weights: Vec<u64> = (0..rng.usize(2..50)).map(|_| some_weight(&mut rng)).collect();
        for &weight in &weights {
            let (run_ns, sleep_ns) = (1 << rng.u32(10..25), 1 << rng.u32(10..25));
            world.add(fair(weight), if rng.bool() { Habit::Hog } else { Habit::Bursts { run_ns, sleep_ns } });
        }
        world.run(3_000 * MS, |_| {});
        let (total, count) = (weights.iter().sum::<u64>(), weights.len() as u64);
        let turn = world.longest_turn_ns;
        assert!(turn <= EPOCH_NS);
        nearest = nearest.max(check_waits(&world, |weight| (turn + SLICE_MIN_NS) * total / weight + 2 * count * turn));
        assert_eq!(world.missed(), 0);
    }
    println!("nearest to a bound: {nearest:.2}");
}

/// Equal hogs take turns: an epoch, or the shortest slice of everybody.
#[test]
fn equals_wait_for_one_turn_of_each_other() {
    let mut rng = rng();
    for count in [2, 7, 40, 41, 300] {
        let mut world = World::new(&mut rng, 0);
        for _ in 0..count {
            world.add(fair(64), Habit::Hog);
        }
        world.run(300 * EPOCH_NS, |_| {});
        let bound = EPOCH_NS.max(count * SLICE_MIN_NS);
        for task in &world.tasks[1..] {
            assert!(task.longest_wait.0 <= bound, "waited {} ns among {count}", task.longest_wait.0);
        }
    }
}

#[test]
fn those_who_wake_do_not_starve_those_who_stay() {
    let mut rng = rng();
    let mut world = World::new(&mut rng, 0);
    // A light hog beside many heavy contexts that come and go: there is always one that has just woken.
    let hog = world.add(fair(4), Habit::Hog);
    for _ in 0..30 {
        world.add(fair(1024), Habit::Bursts { run_ns: 400_000, sleep_ns: 8 * MS });
    }
    world.run(10_000 * MS, |_| {});
    let (got, due) = (world.tasks[hog as usize].served_ns, world.now * 4 / (4 + 30 * 1024));
    assert!(got >= due, "{got} of {due}");
}

#[test]
fn who_wakes_runs_before_a_hog_that_had_its_share() {
    let mut rng = rng();
    let mut world = World::new(&mut rng, 0);
    let hog = world.add(fair(64), Habit::Hog);
    let sleeper = world.add(fair(64), Habit::Idle);
    world.run(3 * MS, |_| {});
    assert_eq!(world.running, hog);
    world.wake(sleeper);
    world.decide();
    assert_eq!(world.running, sleeper, "it need not wait for the end of the hog's turn");
}

#[test]
fn who_comes_after_somebody_left_starts_with_those_who_are_there() {
    let mut rng = rng();
    let mut world = World::new(&mut rng, 0);
    let (hog, leaver) = (world.add(fair(64), Habit::Hog), world.add(fair(64), Habit::Hog));
    world.run(4 * MS, |_| {});
    assert_eq!(world.running, hog);
    world.stop(leaver);
    let newcomer = world.add(fair(64), Habit::Hog);
    let vtime = |slot: u16| world.table.contexts[slot as usize].vtime;
    assert_eq!(vtime(newcomer), vtime(hog));
}

#[test]
fn who_yields_goes_behind_its_equals() {
    let mut rng = rng();
    let mut world = World::new(&mut rng, 0);
    let slots: Vec<u16> = (0..3).map(|_| world.add(fair(64), Habit::Hog)).collect();
    world.decide();
    let mut order = Vec::new();
    for _ in 0..9 {
        order.push(world.running);
        world.advance(world.now + 1_000);
        world.yield_now();
        world.decide();
    }
    assert_eq!(order, [&slots[..], &slots[..], &slots[..]].concat());
}

#[test]
fn who_yields_lets_others_run_whatever_its_weight() {
    let mut rng = rng();
    let mut world = World::new(&mut rng, 0);
    let (heavy, light) = (world.add(fair(1024), Habit::Hog), world.add(fair(1), Habit::Hog));
    world.decide();
    assert_eq!(world.running, heavy);
    world.advance(1_000);
    world.yield_now();
    world.decide();
    assert_eq!(world.running, light);
}

#[test]
fn many_short_turns_cost_what_one_long_turn_costs() {
    let mut rng = rng();
    let mut world = World::new(&mut rng, 0);
    let slots = [world.add(fair(1_000), Habit::Idle), world.add(fair(1_000), Habit::Idle)];
    world.sched.debit(&mut world.table, slots[0], 5_000, 0);
    for _ in 0..1_000 {
        world.sched.debit(&mut world.table, slots[1], 5, 0);
    }
    let vtime = |slot: u16| world.table.contexts[slot as usize].vtime;
    assert_eq!(vtime(slots[0]), vtime(slots[1]));
}

#[test]
fn who_yields_alone_goes_on() {
    let mut rng = rng();
    let mut world = World::new(&mut rng, 0);
    let slot = world.add(fair(1), Habit::Hog);
    for _ in 0..1_000 {
        world.decide();
        assert_eq!(world.running, slot);
        world.advance(world.now + 10);
        world.yield_now();
    }
}

/// Time used on behalf of a context that waits or sleeps is taken from its share.
#[test]
fn debits_are_paid_from_the_share() {
    let mut rng = rng();
    for _ in 0..20 {
        let mut world = World::new(&mut rng, 0);
        let slots: Vec<u16> = (0..rng.usize(2..10)).map(|_| world.add(fair(100), Habit::Hog)).collect();
        let debtor = slots[rng.usize(..slots.len())];
        let mut debt = 0;
        for _ in 0..50 {
            world.run(world.now + rng.u64(1..5 * MS), |_| {});
            let ns = rng.u64(1..300_000);
            world.sched.debit(&mut world.table, debtor, ns, world.now);
            debt += ns;
        }
        world.run(world.now + 2_000 * MS, |_| {});
        let got = |slot: u16| world.tasks[slot as usize].served_ns + if slot == debtor { debt } else { 0 };
        for &slot in &slots {
            assert!(got(slot).abs_diff(got(slots[0])) <= 2 * EPOCH_NS / slots.len() as u64, "{} and {}", got(slot), got(slots[0]));
        }
        for slot in slots {
            world.remove(slot);
        }
        assert!(world.sched.clock.is_idle());
    }
}

#[test]
fn a_new_weight_counts_from_then_on_and_forgives_nothing() {
    let mut rng = rng();
    let mut world = World::new(&mut rng, 0);
    let (changed, other) = (world.add(fair(512), Habit::Hog), world.add(fair(512), Habit::Hog));
    // The same weight again, only while it has had more than the other one; then only while it has had less.
    for running in [changed, other] {
        for _ in 0..200 {
            world.run(world.now + rng.u64(1..3 * MS), |_| {});
            if world.running == running {
                world.set(changed, fair(512)).expect("fair is always admitted");
            }
        }
        let (got, due) = (world.tasks[changed as usize].served_ns, world.tasks[other as usize].served_ns);
        assert!(got.abs_diff(due) <= EPOCH_NS, "{got} and {due}: setting the same weight again changes nothing");
    }
    world.set(changed, fair(128)).expect("fair is always admitted");
    let start = world.now;
    world.run(start + 100 * EPOCH_NS, |_| {});
    let got = world.served_between(changed, start, world.now);
    assert!(got.abs_diff(20 * EPOCH_NS) <= EPOCH_NS, "{got} is not a fifth");
}

#[test]
fn a_context_from_another_core_starts_like_one_that_wakes() {
    let mut rng = rng();
    // Virtual time is far ahead on one of the cores, and the context comes from the other one.
    for (here_ns, there_ns) in [(1_000 * MS, MS), (MS, 1_000 * MS)] {
        let (mut here, mut there) = (World::new(&mut rng, 0), World::new(&mut rng, 0));
        let (resident, traveller) = (here.add(fair(64), Habit::Hog), there.add(fair(64), Habit::Hog));
        here.run(here_ns, |_| {});
        there.run(there_ns, |_| {});
        there.stop(traveller);
        let guest = here.add(fair(64), Habit::Idle);
        here.table.contexts[guest as usize] = there.table.contexts[traveller as usize].clone();
        here.sched.move_in(&mut here.table, guest);
        here.wake(guest);
        let start = here.now;
        here.run(start + 100 * EPOCH_NS, |_| {});
        let (got, other) = (here.served_between(guest, start, here.now), here.served_between(resident, start, here.now));
        assert!(got.abs_diff(other) <= EPOCH_NS, "{got} and {other}");
    }
}

#[test]
fn an_empty_scheduler_picks_nobody() {
    let mut rng = rng();
    let mut world = World::new(&mut rng, 7);
    let mut sched = Scheduler::EMPTY;
    assert_eq!(sched.pick(&mut world.table, 7), None);
    assert_eq!(sched.next_replenish(), u64::MAX);
    assert_eq!((sched.epochs(0), sched.epochs(EPOCH_NS - 1), sched.epochs(EPOCH_NS)), (1, 1, 2));
}
