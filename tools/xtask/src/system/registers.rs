//! Registers, FP registers included, stay what they were: agents that share a core fill all of theirs with patterns, and look at them after every
//! yield, wait and interruption.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::CodeCase;
use super::lab::{self, Lab};
use super::shell::{number, rows, spawn, until_alone};
use crate::profile::Profile;

/// The cases of this module.
pub const CASES: [CodeCase; 3] =
    [("registers/one-core", "direct/smp1", kept), ("registers/cores", "direct", kept), ("registers/el2", "direct-el2", kept)];

/// How long the agents may take.
const LIMIT: Duration = Duration::from_secs(60);
/// Agents on each core.
const EACH: u32 = 2;
/// Rounds of each, and switches that they need at least.
const ROUNDS: u64 = 20_000;

fn kept(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let launch = lab.launch(profile)?;
    let mut machine = lab.boot(&launch)?;
    let agents = rows(&mut machine, "ps")?.len();
    // With more cores than two, the host is the one that switches most.
    let cores = profile.smp.min(2);
    for core in 0..cores {
        for _ in 0..EACH {
            spawn(&mut machine, &format!("--core {core} assist canary {ROUNDS}"))?;
        }
    }
    until_alone(&mut machine, LIMIT, agents)?;
    lab::succeed(&mut machine, "spawn -w assist leak-registers")?;
    let switches = rows(&mut machine, "sched")?.iter().map(|core| number(core, "switches")).collect::<Result<Vec<_>>>()?;
    if switches.iter().take(cores as usize).any(|&count| count < ROUNDS) {
        bail!("the cores switched {switches:?} times, for {EACH} agents of {ROUNDS} rounds each");
    }
    let log = lab::succeed(&mut machine, "log -n 200")?;
    let well = log.matches("assist: exited with 0").count();
    if well != (cores * EACH + 1) as usize {
        bail!("{well} of {} agents found their registers as they were:\n{log}", cores * EACH + 1);
    }
    machine.shutdown().context("the machine did not shut down")
}
