//! What was recorded is done again with the same outcome, whenever recording began; what was changed is found; and nothing that a recording can say does harm.

use std::cell::Cell;

use aios_abi::limits::AGENTS;
use aios_abi::trace::{Event, Op};
use fastrand::Rng;

use super::fair::fair;
use super::rng;
use super::world::{Habit, MS, Table, World, reservations};
use crate::sched::{EDF_SHARE, Replay, Sc, Step, Trouble};

/// Places for every context of a recording.
fn table() -> Table {
    Table { contexts: vec![Sc::EMPTY; AGENTS], touched: Cell::new(0) }
}

/// Does a recording again; answers how many decisions and other operations were compared, or the first event that differs.
fn replay(events: &[Event]) -> Result<(u64, u64), (usize, Trouble)> {
    let (mut contexts, mut replay) = (table(), Replay::EMPTY);
    let (mut decided, mut same) = (0, 0);
    for (at, event) in events.iter().enumerate() {
        match replay.feed(&mut contexts, event).map_err(|trouble| (at, trouble))? {
            Step::Decided => decided += 1,
            Step::Same => same += 1,
            Step::Told | Step::Lost(_) => {}
        }
    }
    Ok((decided, same))
}

/// A world of both classes in the middle of its life.
fn busy(rng: &mut Rng) -> World {
    let mut world = World::new(rng, rng.clone().u64(..1 << 40));
    let reserved = rng.usize(1..6);
    for params in reservations(rng, reserved, EDF_SHARE / 2, 30 * MS) {
        world.add(params, Habit::Bursts { run_ns: 5 * MS, sleep_ns: 5 * MS });
    }
    for _ in 0..rng.u64(1..30) {
        let habit = if rng.bool() { Habit::Hog } else { Habit::Bursts { run_ns: 3 * MS, sleep_ns: 10 * MS } };
        world.add(fair(rng.u64(1..=1024)), habit);
    }
    live(&mut world, rng, 50, &mut Vec::new());
    world
}

/// Lets a world live, with everything that can be done to a scheduler; takes the events out as the core would.
fn live(world: &mut World, rng: &mut Rng, rounds: u64, events: &mut Vec<Event>) {
    for _ in 0..rounds {
        world.run(world.now + rng.u64(..2 * MS), |_| {});
        let (slot, bits) = (rng.u16(1..world.tasks.len() as u16), rng.u32(..30));
        match rng.u8(..8) {
            0 => world.sched.debit(&mut world.table, slot, rng.u64(..1 << bits), world.now),
            1 if world.running != 0 => world.yield_now(),
            2 if world.is_edf(slot) => drop(world.set(slot, reservations(rng, 1, rng.clone().u64(300..EDF_SHARE), 20 * MS)[0])),
            3 => drop(world.set(slot, fair(rng.u64(1..=1024)))),
            4 => drop(world.add(fair(rng.u64(1..=1024)), Habit::Bursts { run_ns: MS, sleep_ns: MS })),
            5 if !world.tasks[slot as usize].wants => world.sched.move_in(&mut world.table, slot),
            6 if slot != world.running => {
                world.remove(slot);
                // It may come again, as another.
                world.tasks[slot as usize].served_ns = 0;
            }
            _ => {}
        }
        world.sched.drain(|event| events.push(event));
    }
}

fn begin(world: &mut World, events: &mut Vec<Event>) {
    world.sched.drain(|event| events.push(event));
    world.sched.begin(&mut world.table, 3, world.running, world.now, |event| events.push(event));
}

#[test]
fn what_was_recorded_is_done_again() {
    let mut rng = rng();
    for _ in 0..20 {
        let (mut world, mut events) = (busy(&mut rng), Vec::new());
        begin(&mut world, &mut events);
        live(&mut world, &mut rng, 100, &mut events);
        assert_eq!(world.sched.lost(), 0);
        let (decided, same) = replay(&events).unwrap_or_else(|(at, trouble)| panic!("event {at}, {:?}: {trouble:?}", events[at]));
        assert!(decided > 50 && same > 100, "{decided} decisions and {same} other operations");
    }
}

/// The same life, recorded and not: who records changes nothing.
#[test]
fn recording_changes_nothing() {
    let mut rng = rng();
    for _ in 0..5 {
        let seed = rng.u64(..);
        let runs = [false, true].map(|recorded| {
            let mut rng = Rng::with_seed(seed);
            let mut world = busy(&mut rng);
            for _ in 0..4 {
                if recorded {
                    begin(&mut world, &mut Vec::new());
                }
                live(&mut world, &mut rng, 30, &mut Vec::new());
                world.sched.end();
            }
            world.runs
        });
        assert_eq!(runs[0], runs[1]);
    }
}

/// An event with another outcome. What went into an operation may be changed without harm if that changes nothing.
fn other_outcome(rng: &mut Rng, event: &Event) -> Event {
    let (bit, flag) = (1 << rng.u32(..64), event.flag ^ 1 << rng.u32(..8));
    match (event.op, rng.u8(..3)) {
        (Op::Run, _) => Event { slot: event.slot ^ 1 << rng.u32(..12), ..*event },
        (Op::Pick, 0) => Event { slot: event.slot ^ 1 << rng.u32(..12), ..*event },
        (Op::Pick | Op::Replenish | Op::Remove, _) => Event { a: event.a ^ bit, ..*event },
        (Op::Set, _) => Event { flag: event.flag ^ 2, ..*event },
        (Op::Preempts, _) | (_, 0) => Event { flag, ..*event },
        (Op::Charge | Op::Debit, _) | (_, 1) => Event { b: event.b ^ bit, ..*event },
        _ => Event { a: event.a ^ bit, ..*event },
    }
}

#[test]
fn whatever_is_changed_is_found() {
    let mut rng = rng();
    let (mut world, mut events) = (busy(&mut rng), Vec::new());
    begin(&mut world, &mut events);
    live(&mut world, &mut rng, 60, &mut events);
    for (at, event) in events.iter().enumerate().filter(|(_, event)| event.op as u8 >= Op::Enqueue as u8) {
        let mut changed = events[..=at].to_vec();
        changed[at] = other_outcome(&mut rng, event);
        let found = replay(&changed);
        assert!(matches!(found, Err((place, _)) if place == at), "{:?} instead of {event:?}: {found:?}", changed[at]);
    }
    let mut gap = events.clone();
    gap.remove(rng.usize(1..gap.len() - 1));
    assert!(matches!(replay(&gap), Err((_, Trouble::Gap(_)))));
}

/// Operations that find no room are counted, and what comes after the next state is compared again.
#[test]
fn a_loss_is_told() {
    let mut rng = rng();
    let (mut world, mut events) = (busy(&mut rng), Vec::new());
    begin(&mut world, &mut events);
    world.run(world.now + 1_000 * MS, |_| {});
    let lost = world.sched.lost();
    assert!(lost > 0, "the buffer is small");
    begin(&mut world, &mut events);
    live(&mut world, &mut rng, 50, &mut events);
    assert!(events.iter().any(|event| event.op == Op::Lost && event.a == lost));
    assert!(replay(&events).expect("the same outcome").0 > 50);
}

/// Any words at all, and good recordings with a bad word: the replay says what is wrong, or agrees.
#[test]
fn no_recording_does_harm() {
    let mut rng = rng();
    let (mut world, mut events) = (busy(&mut rng), Vec::new());
    begin(&mut world, &mut events);
    live(&mut world, &mut rng, 20, &mut events);
    for _ in 0..3_000 {
        let mut damaged = events.clone();
        for _ in 0..rng.u32(1..4) {
            let at = rng.usize(..damaged.len());
            let mut words = damaged[at].to_words();
            let (word, bit) = (rng.usize(..4), rng.u32(..64));
            words[word] = if rng.bool() { words[word] ^ 1 << bit } else { rng.u64(..) >> bit };
            words[0] = words[0] & ((1 << 48) - 1) | (damaged[at].number as u64) << 48;
            if let Some(event) = Event::from_words(words) {
                damaged[at] = event;
            }
        }
        let _ = replay(&damaged);
    }
}
