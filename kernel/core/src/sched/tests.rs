//! The queue against a sorted list, the classes in an event-driven simulation, and what a decision costs.
//!
//! Random tests print their seed; `AIOS_SEED=<n>` repeats one.

mod edf;
mod fair;
mod queue;
mod record;
mod trace;
mod world;

use fastrand::Rng;

/// A random generator whose seed is shown when the test fails.
pub(crate) fn rng() -> Rng {
    let seed = std::env::var("AIOS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("AIOS_SEED={seed}");
    Rng::with_seed(seed)
}
