//! Seeds: printed when a test fails, taken from the environment to replay.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

fn environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Runs a test with `count` seeds, or with the one that the environment asks for; says which one failed.
pub fn each(count: u64, test: impl Fn(u64)) {
    let seeds = match environment("AIOS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..count * environment("AIOS_ROUNDS").unwrap_or(1),
    };
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(seed))) {
            eprintln!("replay with AIOS_SEED={seed}");
            resume_unwind(panic);
        }
    }
}
