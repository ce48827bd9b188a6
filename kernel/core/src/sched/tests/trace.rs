//! Whole runs: the same calls give the same decisions, extremes do no harm, and a decision among many costs what it costs among two.

use aios_abi::limits::EPOCH_NS;

use super::fair::fair;
use super::rng;
use super::world::{Habit, MS, Run, World, reservations};
use crate::sched::{EDF_SHARE, Params, Recorder};

fn mixture(seed: u64) -> (Vec<Run>, Recorder) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut world = World::new(&mut rng, 0);
    for params in reservations(&mut rng, 5, EDF_SHARE, 30 * MS) {
        world.add(params, Habit::Bursts { run_ns: 5 * MS, sleep_ns: 5 * MS });
    }
    for _ in 0..20 {
        world.add(fair(rng.u64(1..=1024)), Habit::Bursts { run_ns: 3 * MS, sleep_ns: 10 * MS });
    }
    for _ in 0..100 {
        world.run(world.now + rng.u64(..5 * MS), |_| {});
        let slot = rng.u16(1..=25);
        match rng.u8(..4) {
            0 => world.sched.debit(&mut world.table, slot, 100_000, world.now),
            1 if world.running != 0 => world.yield_now(),
            _ => drop(world.set(slot, if slot < 6 { fair(slot as u64) } else { fair(rng.u64(1..=1024)) })),
        }
    }
    (world.runs, world.sched)
}

#[test]
fn the_same_calls_give_the_same_decisions() {
    let seed = rng().u64(..);
    let (first, second) = (mixture(seed), mixture(seed));
    assert!(first.0.len() > 100);
    assert_eq!(first, second);
}

#[test]
fn the_largest_times_and_parameters_do_no_harm() {
    let mut rng = rng();
    let start = (1 << 62) - 30_000 * MS;
    let mut world = World::new(&mut rng, start);
    let longest = Params::edf(4_000_000_000, 10_000_000_000).expect("in range");
    let reserved = world.add(longest, Habit::Hog);
    let short = world.add(Params::edf(1, 250_000).expect("in range"), Habit::Hog);
    for weight in [1, 1, 1, 1024] {
        world.add(fair(weight), Habit::Hog);
    }
    world.run(start + 60_000 * MS, |_| {});
    assert_eq!(world.missed(), 0);
    assert_eq!(world.served_between(reserved, start, world.now), 24_000 * MS);
    assert_eq!(world.tasks[short as usize].served_ns, 240_000);
}

/// Centuries of running: virtual time ends, and nothing else does.
#[test]
fn virtual_time_ends_without_harm() {
    let mut rng = rng();
    let mut world = World::new(&mut rng, 0);
    let slots = [1, 1, 1024].map(|weight| world.add(fair(weight), Habit::Hog));
    for ns in [1 << 40, 1 << 58, 1 << 59, 1 << 62, u64::MAX] {
        for slot in slots {
            world.sched.debit(&mut world.table, slot, ns, world.now);
        }
        world.run(world.now + 10 * EPOCH_NS, |_| {});
        let sleeper = world.add(fair(1), Habit::Bursts { run_ns: MS, sleep_ns: MS });
        world.run(world.now + EPOCH_NS, |_| {});
        world.remove(sleeper);
    }
    assert_eq!(world.runs.iter().map(|run| run.end_ns - run.start_ns).sum::<u64>(), world.now, "the core is never idle");
    for slot in slots {
        world.remove(slot);
    }
    assert!(world.sched.clock.is_idle());
}

#[test]
fn the_largest_debts_do_no_harm() {
    let mut rng = rng();
    let mut world = World::new(&mut rng, 0);
    let slot = world.add(Params::edf(MS, 10 * MS).expect("in range"), Habit::Hog);
    world.add(fair(1), Habit::Hog);
    world.run(5 * MS, |_| {});
    for _ in 0..3 {
        world.sched.debit(&mut world.table, slot, u64::MAX, world.now);
        world.run(world.now + 100 * MS, |_| {});
    }
    assert_eq!(world.tasks[slot as usize].served_ns, MS);
    assert_eq!(world.missed(), 0);
}

/// Contexts that are looked at in a decision on average, after everybody had some turns.
fn cost(weights: &[u64], params: &[Params]) -> f64 {
    let mut world = World::new(&mut fastrand::Rng::with_seed(1), 0);
    for &weight in weights {
        world.add(fair(weight), Habit::Hog);
    }
    for &params in params {
        world.add(params, Habit::Hog);
    }
    world.decide();
    // Turns of various lengths; looking for the next event is the test's business, and costs no looks.
    let mut lengths = fastrand::Rng::with_seed(2);
    let (mut touched, mut most) = (0, 0);
    let count = weights.len() + params.len();
    let decisions = 20 * count.max(100);
    for decision in 0..2 * decisions {
        let until = world.until_ns().min(world.now + lengths.u64(1..500_000));
        world.table.touched.set(0);
        world.advance(until);
        world.sched.replenish(&mut world.table, world.now);
        let before = core::mem::take(&mut world.running);
        if before != 0 {
            world.sched.put_back(&mut world.table, before, world.now);
        }
        world.repick();
        if decision >= decisions {
            touched += world.table.touched.get();
            most = most.max(world.table.touched.get());
        }
    }
    let mean = touched as f64 / decisions as f64;
    println!("{count} contexts: {mean:.2} looks a decision, at most {most}");
    mean
}

#[test]
fn a_decision_among_thousands_costs_what_it_costs_among_two() {
    let mut rng = rng();
    let mut random = |count: usize| (0..count).map(|_| rng.u64(1..=1024)).collect::<Vec<_>>();
    let (equal, unequal) = (cost(&[64; 2], &[]), cost(&[64, 640], &[]));
    let equals = cost(&[64; 2_000], &[]);
    assert!(equals <= 1.3 * equal, "{equals:.2} looks among 2000 equals and {equal:.2} among two");
    let many = cost(&random(2_000), &[]);
    assert!(many <= 1.35 * unequal, "{many:.2} looks among 2000 with random weights and {unequal:.2} among two");
    // The worst case: whole crowds come first before they are eligible, and are passed over and called back. That is three places a turn instead of one.
    let crowds = cost(&[1, 16, 64, 1024].repeat(500), &[]);
    assert!(crowds <= 3.0 * unequal, "{crowds:.2} looks among crowds and {unequal:.2} among two");
}

#[test]
fn a_decision_among_many_reservations_costs_little_more() {
    let [two, many] = [2, 1_000].map(|count| cost(&[64; 2], &reservations(&mut fastrand::Rng::with_seed(7), count, EDF_SHARE, 1_000 * MS)));
    assert!(many <= 3.0 * two, "{many:.2} looks among 1000 and {two:.2} among two");
}
