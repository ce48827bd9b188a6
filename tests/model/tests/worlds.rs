//! Worlds that are explored to the last state.

use aios_model::explore::explore;
use aios_model::worlds::{self, World};

fn closes(world: &World) {
    let limit = std::env::var("AIOS_STATES").ok().and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
    let outcome = explore(world, limit);
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
    if std::env::var("AIOS_STATES").is_err() {
        assert!(outcome.closed, "every state was visited");
    }
}

#[test]
fn every_world() {
    let only = std::env::var("AIOS_WORLD").ok();
    for world in worlds::all().iter().filter(|world| only.as_deref().is_none_or(|only| world.name.contains(only))) {
        closes(world);
    }
}
