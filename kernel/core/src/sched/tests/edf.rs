//! The EDF class: budgets, deadlines, admission.

use super::fair::fair;
use super::rng;
use super::world::{Habit, MS, World, reservations};
use crate::sched::{EDF_SHARE, NotAdmitted, Params, Scheduler};

fn edf(budget_ns: u64, period_ns: u64) -> Params {
    Params::edf(budget_ns, period_ns).expect("a budget in a period")
}

/// Fair contexts of all kinds.
fn crowd(world: &mut World, rng: &mut fastrand::Rng) {
    for _ in 0..rng.usize(0..20) {
        let (run_ns, sleep_ns) = (1 << rng.u32(8..24), 1 << rng.u32(8..24));
        let habit = if rng.bool() { Habit::Hog } else { Habit::Bursts { run_ns, sleep_ns } };
        world.add(fair(rng.u64(1..=1024)), habit);
    }
}

/// How much of a core random reservations together take: often all that can be had.
fn some_share(rng: &mut fastrand::Rng) -> u64 {
    if rng.bool() { EDF_SHARE } else { rng.u64(500..EDF_SHARE) }
}

#[test]
fn hogs_get_their_whole_budget_in_every_period_and_no_more() {
    let mut rng = rng();
    for _ in 0..60 {
        let start = rng.u64(..1 << 40);
        let mut world = World::new(&mut rng, start);
        crowd(&mut world, &mut rng);
        let mut admitted = Vec::new();
        let count = rng.usize(1..12);
        let longest = [MS, 10 * MS, 300 * MS][rng.usize(..3)];
        let share = some_share(&mut rng);
        for params in reservations(&mut rng, count, share, longest) {
            // They come at any time.
            world.run(world.now + rng.u64(..3 * MS), |_| {});
            admitted.push((world.add(params, Habit::Hog), world.now, params));
        }
        world.run(world.now + 600 * MS, |_| {});
        assert_eq!(world.missed(), 0);
        for (slot, start, params) in admitted {
            let Params::Edf { budget_ns, period_ns } = params else { continue };
            let mut last = start;
            while last + period_ns <= world.now {
                let got = world.served_between(slot, last, last + period_ns);
                assert_eq!(got, budget_ns, "context {slot} in the period of {period_ns} ns from {last} on");
                // Looking at every short period takes long.
                last += period_ns * (1 + longest / period_ns / 20);
            }
        }
    }
}

/// `World` checks that each job is done before the next one is released.
#[test]
fn jobs_are_done_before_their_period_ends() {
    let mut rng = rng();
    for _ in 0..60 {
        let mut world = World::new(&mut rng, 1_000);
        crowd(&mut world, &mut rng);
        let count = rng.usize(1..12);
        let share = some_share(&mut rng);
        for params in reservations(&mut rng, count, share, 40 * MS) {
            let Params::Edf { budget_ns, period_ns } = params else { continue };
            world.run(world.now + rng.u64(..3 * MS), |_| {});
            let habit = match rng.u8(..3) {
                0 => Habit::Hog,
                1 => Habit::Bursts { run_ns: 2 * budget_ns, sleep_ns: period_ns },
                // Now and then a release is late, never early.
                _ => Habit::Jobs { work_ns: budget_ns, every_ns: period_ns + [0, 1, period_ns / 3][rng.usize(..3)] },
            };
            world.add(params, habit);
        }
        world.run(world.now + 1_000 * MS, |_| {});
        assert_eq!(world.missed(), 0);
    }
}

/// Waking with budget at the end of a period doesn't take the time that was promised to others.
#[test]
fn sleeping_takes_nothing_from_others() {
    let mut rng = rng();
    for _ in 0..40 {
        let mut world = World::new(&mut rng, 0);
        let period = 10 * MS;
        let hog = world.add(edf(4_400_000, period), Habit::Hog);
        world.add(edf(4_500_000, period), Habit::Bursts { run_ns: rng.u64(1..6 * MS), sleep_ns: rng.u64(1..20 * MS) });
        world.run(2_000 * MS, |_| {});
        assert_eq!(world.missed(), 0);
        for index in 0..200 {
            assert_eq!(world.served_between(hog, index * period, (index + 1) * period), 4_400_000);
        }
    }
}

#[test]
fn a_budget_bounds_what_is_used_in_any_time() {
    let mut rng = rng();
    for _ in 0..30 {
        let mut world = World::new(&mut rng, 0);
        let period_ns = rng.u64(MS..20 * MS);
        let budget_ns = rng.u64(1..period_ns * 8 / 10);
        let habit = Habit::Bursts { run_ns: rng.u64(1..2 * budget_ns + 1), sleep_ns: rng.u64(1..period_ns) };
        let slot = world.add(edf(budget_ns, period_ns), habit);
        crowd(&mut world, &mut rng);
        world.run(500 * MS, |_| {});
        for _ in 0..500 {
            let start = rng.u64(..400 * MS);
            let length = rng.u64(1..100 * MS);
            let most = (length as u128 * budget_ns as u128).div_ceil(period_ns as u128) as u64 + 2 * budget_ns;
            assert!(world.served_between(slot, start, start + length) <= most);
        }
    }
}

#[test]
fn overdrafts_are_taken_from_the_following_periods() {
    let mut rng = rng();
    for _ in 0..60 {
        let mut world = World::new(&mut rng, 0);
        crowd(&mut world, &mut rng);
        let period_ns = rng.u64(MS..10 * MS);
        let budget_ns = rng.u64(1_000..period_ns * 8 / 10);
        // Another one with shorter periods: debits hit the debtor while it runs, waits for its turn, and waits for its period.
        world.add(edf(250_000 / 20, 250_000), Habit::Hog);
        let start = world.now;
        let slot = world.add(edf(budget_ns, period_ns), Habit::Hog);
        let mut debts = 0;
        for _ in 0..20 {
            world.run(world.now + rng.u64(1..3 * period_ns), |_| {});
            let ns = rng.u64(1..2 * budget_ns);
            world.sched.debit(&mut world.table, slot, ns, world.now);
            debts += ns;
        }
        // A debit may take budget that would have lapsed at the period's end, but not more of it than there is; the rest is paid back.
        let periods = (world.now - start) / period_ns + 1 + debts / budget_ns + 2;
        world.run(start + periods * period_ns, |_| {});
        assert_eq!(world.tasks[slot as usize].served_ns, periods * budget_ns - debts);
        assert_eq!(world.missed(), 0);
        let last = world.now;
        world.run(last + period_ns, |_| {});
        assert_eq!(world.served_between(slot, last, last + period_ns), budget_ns, "the debt is paid");
    }
}

#[test]
fn debts_are_paid_by_every_period_that_passed_unseen() {
    let mut rng = rng();
    for (periods, served) in [(1, 0), (2, 0), (3, MS), (4, 2 * MS), (9, 2 * MS)] {
        let mut world = World::new(&mut rng, 0);
        let slot = world.add(edf(2 * MS, 10 * MS), Habit::Hog);
        world.run(MS, |_| {});
        // Its turn ends at its end all the same; then it has had 7 ms of 2.
        world.sched.debit(&mut world.table, slot, 5 * MS, world.now);
        world.run(5 * MS, |_| {});
        // The core does something else for so long.
        world.advance(10 * periods * MS);
        let start = world.now;
        world.run(start + 10 * MS, |_| {});
        assert_eq!(world.served_between(slot, start, world.now), served, "after {periods} periods");
        assert_eq!(world.missed(), 0);
    }
}

#[test]
fn a_debt_is_not_forgotten_by_sleeping_but_by_the_time_that_it_takes() {
    let mut rng = rng();
    for (periods, left) in [(0, 0), (1, MS), (2, 2 * MS), (5, 2 * MS)] {
        let mut world = World::new(&mut rng, 0);
        let slot = world.add(edf(2 * MS, 10 * MS), Habit::Idle);
        world.wake(slot);
        world.run(MS, |_| {});
        // One millisecond was used, and four are debited: three too many.
        world.sched.debit(&mut world.table, slot, 4 * MS, world.now);
        world.stop(slot);
        world.run(10 * MS + periods * 10 * MS, |_| {});
        world.wake(slot);
        let start = world.now;
        world.run(start + 10 * MS, |_| {});
        assert_eq!(world.served_between(slot, start, world.now), left, "after {periods} periods of sleep");
    }
}

#[test]
fn deadlines_are_missed_only_when_they_are() {
    let mut rng = rng();
    let mut world = World::new(&mut rng, 0);
    let slot = world.add(edf(5 * MS, 10 * MS), Habit::Hog);
    let missed = |world: &World| world.table.contexts[slot as usize].missed();
    world.run(100 * MS, |_| {});
    assert_eq!(missed(&world), 0, "it gets its budget");
    // Somebody else uses the core, as if interrupts took all of it: too long for one deadline, then for that of this period and the next two.
    for (stolen, expected) in [(6, 1), (26, 4)] {
        let waiting = core::mem::take(&mut world.running);
        world.sched.put_back(&mut world.table, waiting, world.now);
        world.advance(world.now + stolen * MS);
        world.replenish();
        // It wants its budget from then on again, and gets it.
        world.run(world.now.next_multiple_of(10 * MS) + 50 * MS, |_| {});
        assert_eq!(missed(&world), expected);
    }
    // Who sleeps while its period ends wanted nothing.
    world.stop(slot);
    world.run(world.now + 55 * MS, |_| {});
    let before = missed(&world);
    world.wake(slot);
    world.run(world.now + 50 * MS, |_| {});
    assert_eq!(missed(&world), before);
}

#[test]
fn what_is_admitted_is_what_there_is() {
    let mut rng = rng();
    for _ in 0..30 {
        let mut world = World::new(&mut rng, 0);
        let mut slots: Vec<u16> = (0..12).map(|_| world.add(fair(64), Habit::Bursts { run_ns: 2 * MS, sleep_ns: 2 * MS })).collect();
        for _ in 0..200 {
            world.run(world.now + rng.u64(..2 * MS), |_| {});
            let at = rng.usize(..slots.len());
            let slot = slots[at];
            let before = world.table.contexts[slot as usize].clone();
            let params = if rng.bool() {
                let period_ns = rng.u64(250_000..20 * MS);
                edf(rng.u64(1..=period_ns / 3), period_ns)
            } else {
                fair(rng.u64(1..=1024))
            };
            match rng.u8(..8) {
                0 => {
                    world.remove(slot);
                    slots.swap_remove(at);
                    slots.push(world.add(fair(1024), Habit::Hog));
                }
                _ => {
                    let sum = admitted(&world) - before.params.utilisation() + params.utilisation();
                    let expected = if sum <= EDF_SHARE || params.utilisation() == 0 { Ok(()) } else { Err(NotAdmitted) };
                    assert_eq!(world.set(slot, params), expected);
                    if expected.is_err() {
                        assert_eq!(world.table.contexts[slot as usize], before, "nothing changes");
                    }
                }
            }
            assert_eq!(world.sched.admitted(), admitted(&world));
            assert!(world.sched.admitted() <= EDF_SHARE);
            let wants = |slot: &&u16| world.tasks[**slot as usize].wants && !world.is_edf(**slot);
            let weight: u64 = slots.iter().filter(wants).map(|&slot| world.table.contexts[slot as usize].weight_or_budget()).sum();
            assert_eq!(world.sched.clock.weight(), weight);
        }
        for slot in slots {
            world.remove(slot);
        }
        assert_eq!(world.sched.admitted(), 0);
        assert!(world.sched.clock.is_idle());
        assert_eq!(world.sched.pick(&mut world.table, world.now), None);
        assert_eq!(world.sched.next_replenish(), u64::MAX);
    }
}

fn admitted(world: &World) -> u64 {
    world.table.contexts.iter().map(|sc| sc.params.utilisation()).sum()
}

/// Contexts that come, use their budget and go don't take what was promised to the one that stays.
#[test]
fn coming_and_going_takes_nothing_from_others() {
    let mut rng = rng();
    for round in 0..40 {
        let mut world = World::new(&mut rng, 0);
        let patient = world.add(edf(8_900_000, 20 * MS), Habit::Hog);
        let mut guests: Vec<u16> = (0..3).map(|_| world.add(fair(64), Habit::Hog)).collect();
        while world.now < 1_000 * MS {
            let at = rng.usize(..guests.len());
            let period_ns = if round < 20 { 10 * MS } else { rng.u64(MS..12 * MS) };
            let budget_ns = period_ns * if round < 20 { 45 } else { rng.u64(1..=45) } / 100;
            // Refused if two of them together ask for too much.
            let _ = world.set(guests[at], edf(budget_ns, period_ns));
            world.run(world.now + if rng.bool() { budget_ns } else { rng.u64(1..6 * MS) }, |_| {});
            match rng.u8(..3) {
                0 => {
                    world.remove(guests[at]);
                    guests[at] = world.add(fair(64), Habit::Hog);
                }
                1 => world.set(guests[at], fair(64)).expect("fair is always admitted"),
                _ => {}
            }
        }
        assert_eq!(world.missed(), 0);
        for index in 0..world.now / (20 * MS) {
            assert_eq!(world.served_between(patient, index * 20 * MS, (index + 1) * 20 * MS), 8_900_000);
        }
    }
}

#[test]
fn a_reservation_that_is_left_unused_is_free_at_once() {
    let mut rng = rng();
    let mut world = World::new(&mut rng, 0);
    let (old, new) = (world.add(edf(8 * MS, 10 * MS), Habit::Idle), world.add(fair(64), Habit::Hog));
    world.run(5 * MS, |_| {});
    world.remove(old);
    world.set(new, edf(8 * MS, 10 * MS)).expect("there is room");
    let start = world.now;
    world.run(start + 10 * MS, |_| {});
    assert_eq!(world.served_between(new, start, start + 8 * MS), 8 * MS);
}

#[test]
fn a_reservation_that_was_used_is_free_when_its_period_ends() {
    let mut rng = rng();
    let mut world = World::new(&mut rng, 0);
    let old = world.add(edf(8 * MS, 10 * MS), Habit::Hog);
    let slots = [world.add(fair(64), Habit::Hog), world.add(fair(64), Habit::Hog)];
    world.run(4 * MS, |_| {});
    world.remove(old);
    world.set(slots[0], edf(7 * MS, 10 * MS)).expect("there is room");
    world.run(34 * MS, |_| {});
    assert_eq!(world.served_between(slots[0], 4 * MS, 10 * MS), 0, "the first period waits");
    assert_eq!(world.served_between(slots[0], 10 * MS, 30 * MS), 14 * MS);
    world.set(slots[1], edf(MS, 10 * MS)).expect("there is room");
    world.run(44 * MS, |_| {});
    assert_eq!(world.served_between(slots[1], 34 * MS, 44 * MS), MS, "the first period begins at once");
}

#[test]
fn parameters_out_of_range_are_refused() {
    for weight in [0, 1025, u64::MAX] {
        assert_eq!(Params::fair(weight), None);
    }
    for (budget_ns, period_ns) in [(0, MS), (MS + 1, MS), (1, 249_999), (1, 10_000_000_001), (u64::MAX, u64::MAX)] {
        assert_eq!(Params::edf(budget_ns, period_ns), None);
    }
    assert!(Params::edf(250_000, 250_000).is_some() && Params::edf(1, 10_000_000_000).is_some());
    assert!(Params::fair(1).is_some() && Params::fair(1024).is_some());
    let mut rng = rng();
    let mut world = World::new(&mut rng, 0);
    let slot = world.add(fair(1), Habit::Idle);
    assert_eq!(world.set(slot, edf(10 * MS, 10 * MS)), Err(NotAdmitted), "the fair class keeps a tenth");
    assert_eq!(*world.sched, Scheduler::EMPTY);
}
