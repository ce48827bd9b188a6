//! `cargo xtask replay`: what a core's scheduler did, done again.

use std::path::PathBuf;

use aios_core::sched::Trouble;
use aios_shell_core::recording;
use aios_trace::{Report, describe, replay};
use anyhow::{Context, Result, bail};

use crate::table::{Align, Table, grouped};

/// Do again what a core's scheduler did, and compare every outcome.
///
/// FILE is what the shell's `trace` printed, with anything before and behind it: `cargo xtask run -c trace > FILE`.
#[derive(clap::Args)]
pub struct Options {
    /// The recording
    #[arg(value_name = "TRACE")]
    pub file: PathBuf,
}

/// Runs the command.
pub fn run(options: &Options) -> Result<()> {
    let name = options.file.display();
    let bytes = std::fs::read(&options.file).with_context(|| format!("can't read {name}"))?;
    let (head, events) = recording::parse(&String::from_utf8_lossy(&bytes)).with_context(|| format!("in {name}"))?;
    let report = replay(&events);
    show(head.core, head.lost, &report);
    check(&report)
}

/// Whether everything was compared, and the same.
pub fn check(report: &Report) -> Result<()> {
    match &report.trouble {
        Some((at, event, Trouble::Different(outcome))) => {
            bail!("event {at} has another outcome\n  recorded  {}\n  replayed  {}", describe(event), describe(outcome))
        }
        Some((at, event, trouble)) => bail!("event {at} ({}): {trouble}", describe(event)),
        None if report.states == 0 => bail!("there is no state to begin with"),
        None => Ok(()),
    }
}

fn show(core: u64, unwritten: u64, report: &Report) {
    let mut table = Table::new(&[("", Align::Left), ("", Align::Right)]);
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    row("core", core.to_string());
    row("events", grouped(report.events as u64));
    row("outcomes compared", grouped(report.compared as u64));
    row("decisions among them", grouped(report.decisions as u64));
    row("contexts", report.contexts.len().to_string());
    row("with reservations", report.reserved.len().to_string());
    row("states", report.states.to_string());
    row("not recorded", grouped(report.lost.max(unwritten)));
    let (first, last) = report.span_ns.unwrap_or_default();
    row("from, ns", grouped(first));
    row("span, ns", grouped(last.saturating_sub(first)));
    let first = report.trouble.as_ref().map_or("none".to_owned(), |(at, ..)| format!("event {}", grouped(*at as u64)));
    row("first difference", first);
    table.lines().iter().skip(1).for_each(|line| println!("{line}"));
}
