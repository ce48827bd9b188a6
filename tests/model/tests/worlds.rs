//! The worlds, explored to the last state; the large ones only in full runs (`AIOS_FULL=1`, as `cargo xtask test --full` sets it), and else their first states.
//! `AIOS_STATES` is another bound. A property that is broken comes with the shortest way there.

use aios_model::explore::explore;
use aios_model::worlds::{self, World};

/// Explores a world: all of it, or in a run that is not a full one so many states.
fn holds(world: World, first: usize) {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<usize>().ok());
    let full = number("AIOS_FULL").is_some_and(|full| full != 0);
    let limit = number("AIOS_STATES").unwrap_or(if full { usize::MAX } else { first });
    let outcome = explore(&world, limit);
    println!(
        "{}: {} states, {} steps, {} deep, {:.1} s{}",
        world.name,
        outcome.states,
        outcome.steps,
        outcome.depth,
        outcome.time.as_secs_f64(),
        if outcome.closed { "" } else { ", not closed" }
    );
    if let Some(broken) = outcome.broken {
        panic!("{}: {}\n{}", world.name, broken.what, world.tell(&broken.trace));
    }
    assert!(outcome.closed || outcome.states >= limit, "every state was visited");
    assert!(outcome.closed || limit != usize::MAX, "every state was visited");
}

/// All of it in every run.
const WHOLE: usize = usize::MAX;
/// States of a large world in a run that is not a full one.
const PART: usize = 5_000;

#[test]
fn shared_frame() {
    holds(worlds::shared_frame(), PART);
}

#[test]
fn frame_ends() {
    holds(worlds::frame_ends(), WHOLE);
}

#[test]
fn moves() {
    holds(worlds::moves(), PART);
}

#[test]
fn expiry() {
    holds(worlds::expiry(), PART);
}

#[test]
fn moving_server() {
    holds(worlds::moving_server(), WHOLE);
}

#[test]
fn ending_server() {
    holds(worlds::ending_server(), PART);
}

#[test]
fn restarted_server() {
    holds(worlds::restarted_server(), PART);
}

#[test]
fn equal_calls() {
    holds(worlds::equal_calls(), WHOLE);
}

#[test]
fn mailboxes() {
    holds(worlds::mailboxes(), PART);
}

#[test]
fn full_rings() {
    holds(worlds::full_rings(), PART);
}

#[test]
fn places() {
    holds(worlds::places(), PART);
}

#[test]
fn heirs() {
    holds(worlds::heirs(), PART);
}

#[test]
fn interrupted() {
    holds(worlds::interrupted(), PART);
}

#[test]
fn riding() {
    holds(worlds::riding(), PART);
}
