//! Each property can fail: on machines that misbehave, the worlds show it.

use aios_model::Fault;
use aios_model::explore::explore;
use aios_model::worlds::{self, World};

/// States in which the fault has to be found.
const LIMIT: usize = 20_000;

fn is_caught(world: World, fault: Fault, property: &str) {
    let world = world.on(fault);
    let outcome = explore(&world, LIMIT);
    let broken = outcome.broken.unwrap_or_else(|| panic!("{fault:?} in {}: nothing found in {} states", world.name, outcome.states));
    println!("{fault:?}: {} after {} steps: {:?}", broken.what, broken.trace.len(), broken.trace);
    assert!(broken.what.starts_with(property), "{fault:?} in {}: {}\n{}", world.name, broken.what, world.tell(&broken.trace));
}

#[test]
fn rights_that_grow_are_caught() {
    is_caught(worlds::shared_frame(), Fault::RightsGrow, "P1");
}

#[test]
fn a_revocation_without_effect_is_caught() {
    is_caught(worlds::shared_frame(), Fault::SameStamp, "P2");
}

#[test]
fn an_answer_that_is_lost_is_caught() {
    is_caught(worlds::moving_server(), Fault::NoAnswer, "P3");
}

#[test]
fn the_reply_to_another_call_is_caught() {
    is_caught(worlds::moving_server(), Fault::OldReply, "P3");
}

#[test]
fn pages_that_are_lost_are_caught() {
    is_caught(worlds::places(), Fault::NoCredit, "P4");
}

#[test]
fn old_contents_are_caught() {
    is_caught(worlds::frame_ends(), Fault::OldContents, "P5");
}

#[test]
fn translations_that_stay_are_caught() {
    is_caught(worlds::frame_ends(), Fault::NoFlush, "P5");
}

#[test]
fn a_name_used_twice_is_caught() {
    is_caught(worlds::places(), Fault::SameGeneration, "P6");
}

#[test]
fn a_derivation_mistaken_for_another_is_caught() {
    is_caught(worlds::heirs(), Fault::SameNode, "P2");
}
