//! `cargo xtask bench`: figures with goals, from the shipped release image, as a table or as JSON.
//!
//! A figure that can't be measured is an error with its reason, never a number.

use std::io::{IsTerminal, stdout};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use regex_lite::Regex;
use serde::Serialize;

use crate::artifacts::Artifacts;
use crate::machine::{Machine, SILENCE};
use crate::profile::Profile;
use crate::progress::{Progress, Style};
use crate::qemu::Launch;
use crate::setup::{self, Tool};
use crate::sizes::Sizes;
use crate::system::lab;
use crate::table::{Align, Table, grouped};
use crate::tidy;
use crate::workspace::Workspace;

/// Measure the figures that have goals.
#[derive(clap::Args)]
pub struct Options {
    /// Print JSON: {"results": [{name, value, unit, goal, better}]}, and what could not be measured under "errors"
    #[arg(long)]
    pub json: bool,
    /// Only the figures whose names contain this
    pub name: Option<String>,
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Better {
    Lower,
}

struct Figure {
    name: &'static str,
    unit: &'static str,
    goal: Option<u64>,
    better: Better,
    measure: fn(&Bench<'_>) -> Result<u64>,
}

const FIGURES: [Figure; 4] = [
    Figure { name: "boot_instructions", unit: "instructions", goal: Some(60_000_000), better: Better::Lower, measure: boot_instructions },
    Figure { name: "kernel_text_rodata_bytes", unit: "bytes", goal: Some(160 << 10), better: Better::Lower, measure: kernel_bytes },
    Figure { name: "idle_ram_bytes", unit: "bytes", goal: Some(16 << 20), better: Better::Lower, measure: idle_ram },
    Figure { name: "unsafe_lines", unit: "lines", goal: None, better: Better::Lower, measure: unsafe_lines },
];

/// What every measurement gets.
struct Bench<'a> {
    workspace: &'a Workspace,
    artifacts: &'a Artifacts,
}

#[derive(Debug, Serialize)]
struct Measured {
    name: &'static str,
    value: u64,
    unit: &'static str,
    goal: Option<u64>,
    better: Better,
}

#[derive(Debug, Serialize)]
struct Failure {
    name: &'static str,
    error: String,
}

#[derive(Debug, Default, Serialize)]
struct Report {
    results: Vec<Measured>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Failure>,
}

/// Runs the command.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let wanted = |figure: &&Figure| options.name.as_ref().is_none_or(|name| figure.name.contains(name.as_str()));
    let figures: Vec<&Figure> = FIGURES.iter().filter(wanted).collect();
    if figures.is_empty() {
        bail!("no such figure (there are: {})", FIGURES.iter().map(|figure| figure.name).collect::<Vec<_>>().join(", "));
    }
    let progress = Progress::new(false);
    setup::rust_targets(&progress)?;
    setup::tools(&progress, &[Tool::Qemu])?;
    let artifacts = Artifacts::make(workspace, "qemu-virt", &progress)?;
    let bench = Bench { workspace, artifacts: &artifacts };
    let mut report = Report::default();
    for &&Figure { name, unit, goal, better, measure } in &figures {
        let step = progress.step("bench", name);
        match measure(&bench) {
            Ok(value) => {
                step.done(&format!("{} {unit}", grouped(value)));
                report.results.push(Measured { name, value, unit, goal, better });
            }
            Err(error) => report.errors.push(Failure { name, error: format!("{error:#}") }),
        }
    }
    if options.json || !stdout().is_terminal() {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print_table(&report);
    }
    let failed: Vec<String> = report.errors.iter().map(|failure| format!("{}: {}", failure.name, failure.error)).collect();
    if failed.is_empty() { Ok(()) } else { bail!("not measured: {}", failed.join("; ")) }
}

/// Measures every figure that has a goal, and fails when one misses it.
pub fn goals_are_met(workspace: &Workspace, artifacts: &Artifacts) -> Result<()> {
    let bench = Bench { workspace, artifacts };
    for &Figure { name, unit, goal, measure, .. } in &FIGURES {
        let Some(goal) = goal else { continue };
        let value = measure(&bench).with_context(|| format!("{name} can't be measured"))?;
        if value > goal {
            bail!("{name}: {} {unit}, the goal is at most {}", grouped(value), grouped(goal));
        }
    }
    Ok(())
}

fn print_table(report: &Report) {
    let style = Style::of(&stdout());
    let mut table = Table::new(&[("figure", Align::Left), ("value", Align::Right), ("goal", Align::Right), ("unit", Align::Left)]);
    for measured in &report.results {
        table.row([
            measured.name.to_owned(),
            grouped(measured.value),
            measured.goal.map(grouped).unwrap_or_default(),
            measured.unit.to_owned(),
        ]);
    }
    for (line, measured) in table.lines().iter().zip(std::iter::once(None).chain(report.results.iter().map(Some))) {
        let missed = measured.is_some_and(|measured| measured.goal.is_some_and(|goal| measured.value > goal));
        println!("{}", if missed { style.bad(line) } else { line.clone() });
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
    let launch = Launch::new(profile.clone(), bench.artifacts.source(profile)?);
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

    #[test]
    fn the_json_has_its_fixed_form() {
        let measured = Measured { name: "a", value: 1, unit: "bytes", goal: Some(2), better: Better::Lower };
        let report = Report { results: vec![measured], errors: Vec::new() };
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            r#"{"results":[{"name":"a","value":1,"unit":"bytes","goal":2,"better":"lower"}]}"#
        );
    }
}
