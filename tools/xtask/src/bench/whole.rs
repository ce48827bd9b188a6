//! Figures of the system as a whole: how long it takes to come up, how large it is.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use regex_lite::Regex;

use super::count::SAME;
use super::{Better, Measured};
use crate::artifacts::Artifacts;
use crate::machine::{Machine, SILENCE};
use crate::profile::Profile;
use crate::qemu::Launch;
use crate::sizes::Sizes;
use crate::system::lab;
use crate::tidy;
use crate::workspace::Workspace;

/// A figure.
pub struct Figure {
    /// Its name.
    pub name: &'static str,
    unit: &'static str,
    goal: Option<u64>,
    measure: fn(&Bench<'_>) -> Result<u64>,
}

/// All of them.
pub const FIGURES: [Figure; 4] = [
    Figure { name: "boot_instructions", unit: "instructions", goal: Some(60_000_000), measure: boot_instructions },
    Figure { name: "kernel_text_rodata_bytes", unit: "bytes", goal: Some(160 << 10), measure: kernel_bytes },
    Figure { name: "idle_ram_bytes", unit: "bytes", goal: Some(16 << 20), measure: idle_ram },
    Figure { name: "unsafe_lines", unit: "lines", goal: None, measure: unsafe_lines },
];

/// What every measurement gets.
struct Bench<'a> {
    workspace: &'a Workspace,
    artifacts: &'a Artifacts,
}

impl Figure {
    /// Measures it.
    pub(super) fn measure(&self, workspace: &Workspace, artifacts: &Artifacts) -> Result<Measured> {
        let value = (self.measure)(&Bench { workspace, artifacts })?;
        Ok(Measured {
            name: self.name.to_owned(),
            value,
            unit: self.unit,
            goal: self.goal,
            better: Better::Lower,
            anchors: BTreeMap::new(),
            method: None,
            cores: BTreeMap::new(),
            stages: Vec::new(),
            functions: Vec::new(),
        })
    }
}

/// From reset to the prompt on one core: under `-icount shift=0` an instruction is a virtual nanosecond, and the system knows when it reached the prompt.
fn boot_instructions(bench: &Bench<'_>) -> Result<u64> {
    let profile = Profile::load(&bench.workspace.root, "icount")?;
    let output = ask(bench, &profile, "uptime --boot", Duration::ZERO)?;
    nanoseconds(&output).with_context(|| format!("`uptime --boot` does not say `<number> ns`:\n{}", output.trim_end()))
}

fn nanoseconds(output: &str) -> Option<u64> {
    Regex::new(r"([0-9]+) ?ns\b").ok()?.captures(output)?[1].parse().ok()
}

fn kernel_bytes(bench: &Bench<'_>) -> Result<u64> {
    let sizes = Sizes::of(&bench.artifacts.programs.kernel)?;
    Ok(sizes.text + sizes.rodata)
}

/// RAM in use when everything has been started and nothing is asked of it.
fn idle_ram(bench: &Bench<'_>) -> Result<u64> {
    let profile = Profile { smp: 1, ..Profile::load(&bench.workspace.root, "direct")? };
    let output = ask(bench, &profile, "mem --json", Duration::from_secs(2))?;
    used_bytes(&output)
}

fn used_bytes(output: &str) -> Result<u64> {
    let report: serde_json::Value =
        serde_json::from_str(output.trim()).with_context(|| format!("`mem --json` is no JSON:\n{}", output.trim_end()))?;
    report
        .get("used_bytes")
        .and_then(serde_json::Value::as_u64)
        .with_context(|| format!("`mem --json` has no number `used_bytes`:\n{}", output.trim_end()))
}

fn unsafe_lines(bench: &Bench<'_>) -> Result<u64> {
    Ok(tidy::look(bench.workspace)?.unsafe_total() as u64)
}

/// Boots a machine, lets it stand for a while, and asks one thing.
fn ask(bench: &Bench<'_>, profile: &Profile, command: &str, rest: Duration) -> Result<String> {
    let mut launch = Launch::new(profile.clone(), bench.artifacts.source(profile)?);
    launch.extra = SAME.map(str::to_owned).into();
    let mut machine = Machine::start(&launch, &bench.workspace.log_dir().join("bench.log"), SILENCE)?;
    machine.wait_prompt(&mut |_| ()).context("while booting")?;
    std::thread::sleep(rest);
    lab::succeed(&mut machine, command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_strictly() {
        assert_eq!(nanoseconds("prompt at 41234567 ns\n"), Some(41_234_567));
        assert_eq!(nanoseconds("41 ms\n"), None);
        assert_eq!(used_bytes("{\"used_bytes\": 123}\n").unwrap(), 123);
        assert!(used_bytes("usage: mem\n").is_err() && used_bytes("{}").is_err());
    }
}
