//! `cargo xtask test`: every suite, a table, and one last line that programs can read.

mod cargo_tests;
mod checks;

use std::io::stdout;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::progress::{Progress, Style};
use crate::setup::{self, Tool};
use crate::system;
use crate::table::{Align, Table};
use crate::workspace::Workspace;

/// Run the tests: sources and lints, host tests, loom, Miri where there is one, and the system in QEMU.
///
/// The last line is `N passed, N failed`, with `, N skipped` when something was left out; the exit code is 0 when nothing failed.
#[derive(clap::Args)]
pub struct Options {
    /// Only this suite (tidy, host, loom, miri, system), or only the system tests or else the host tests whose names contain this
    pub name: Option<String>,
    /// Also what takes long
    #[arg(long)]
    pub full: bool,
    /// Seed of the random names and payloads of the system tests [default: a new one each time]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// What a suite came to.
#[derive(Debug, Default)]
pub struct Tally {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
    /// Tests that were left out.
    pub skipped: u64,
    /// What is to be said about failures: a title and the details.
    pub failures: Vec<(String, String)>,
    /// Why something was left out.
    pub notes: Vec<String>,
}

impl Tally {
    /// Counts one test that passed, or failed with these details.
    pub fn count(&mut self, name: &str, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.passed += 1,
            Err(details) => {
                self.failed += 1;
                self.failures.push((name.to_owned(), details));
            }
        }
    }

    /// Counts one test that was left out.
    pub fn skip(&mut self, why: String) {
        self.skipped += 1;
        self.notes.push(format!("skipped: {why}"));
    }
}

/// What every suite gets.
pub struct Context<'a> {
    /// The workspace.
    pub workspace: &'a Workspace,
    /// Where progress is shown.
    pub progress: Progress,
    /// Also what takes long.
    pub full: bool,
    /// Seed of everything random.
    pub seed: u64,
}

type Suite = (&'static str, fn(&Context<'_>, Option<&str>) -> Result<Tally>);

const SUITES: [Suite; 5] = [
    ("tidy", checks::tidy),
    ("host", cargo_tests::host),
    ("loom", cargo_tests::loom),
    ("miri", cargo_tests::miri),
    ("system", system::suite),
];

/// Runs the command.
pub fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let progress = Progress::new(false);
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    let context = Context { workspace, progress, full: options.full, seed };
    let plan = plan(workspace, options)?;
    setup::rust_targets(&progress)?;
    setup::tools(&progress, &[Tool::Qemu, Tool::Uboot])?;

    let mut rows = Vec::new();
    for ((name, suite), filter) in plan {
        let began = Instant::now();
        // A suite that can't run at all is a failure of the suite, not the end of the others.
        let tally = suite(&context, filter.as_deref()).unwrap_or_else(|error| Tally {
            failed: 1,
            failures: vec![(name.to_owned(), format!("{error:#}"))],
            ..Tally::default()
        });
        rows.push((name, tally, began.elapsed()));
    }
    let total = report(&rows, Style::of(&stdout()));
    println!("{}", last_line(&total));
    // Nothing may follow the last line: the exit code says the rest.
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Which suites run, and which of their tests.
fn plan(workspace: &Workspace, options: &Options) -> Result<Vec<(Suite, Option<String>)>> {
    let Some(name) = &options.name else {
        return Ok(SUITES.into_iter().map(|suite| (suite, None)).collect());
    };
    if let Some(suite) = SUITES.into_iter().find(|(suite, _)| suite == name) {
        return Ok(vec![(suite, None)]);
    }
    let wanted = if system::any_named(workspace, name)? { "system" } else { "host" };
    Ok(SUITES.into_iter().filter(|(suite, _)| *suite == wanted).map(|suite| (suite, Some(name.clone()))).collect())
}

/// Prints failures, notes and the table; returns the sum.
fn report(rows: &[(&str, Tally, Duration)], style: Style) -> Tally {
    let mut total = Tally::default();
    for (suite, tally, _) in rows {
        for (name, details) in &tally.failures {
            println!("\n{} {suite}: {name}\n{}", style.bad("FAILED"), details.trim_end());
        }
        for note in &tally.notes {
            println!("{}", style.odd(note));
        }
        total.passed += tally.passed;
        total.failed += tally.failed;
        total.skipped += tally.skipped;
    }
    println!();
    let numbers = ["suite", "passed", "failed", "skipped", "seconds"];
    let mut table = Table::new(&numbers.map(|name| (name, if name == "suite" { Align::Left } else { Align::Right })));
    for (suite, tally, time) in rows {
        table.row([
            (*suite).to_owned(),
            tally.passed.to_string(),
            tally.failed.to_string(),
            tally.skipped.to_string(),
            format!("{:.1}", time.as_secs_f64()),
        ]);
    }
    for (line, row) in table.lines().iter().zip(std::iter::once(None).chain(rows.iter().map(Some))) {
        println!(
            "{}",
            match row {
                None => style.bold(line),
                Some((_, tally, _)) if tally.failed > 0 => style.bad(line),
                Some((_, tally, _)) if tally.passed == 0 => style.odd(line),
                Some(_) => style.good(line),
            }
        );
    }
    total
}

/// The line for programs.
fn last_line(total: &Tally) -> String {
    let skipped = if total.skipped == 0 { String::new() } else { format!(", {} skipped", total.skipped) };
    format!("{} passed, {} failed{skipped}", total.passed, total.failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_has_one_form() {
        let mut tally = Tally { passed: 12, ..Tally::default() };
        assert_eq!(last_line(&tally), "12 passed, 0 failed");
        tally.count("x", Err("why".into()));
        tally.skip("miri (no nightly)".into());
        assert_eq!(last_line(&tally), "12 passed, 1 failed, 1 skipped");
        assert_eq!((tally.failures.len(), tally.notes), (1, vec!["skipped: miri (no nightly)".to_owned()]));
    }
}
