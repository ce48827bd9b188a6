//! Suites that cargo runs: host tests, loom and Miri. Results are summed from the `test result:` lines.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::{Context, Tally};
use crate::cleanup::Group;
use crate::progress::Step;

/// How long cargo may take in one suite, compiling included.
const LIMIT: Duration = Duration::from_secs(15 * 60);
/// The same in a full run.
const FULL_LIMIT: Duration = Duration::from_secs(2 * 60 * 60);

/// The tests of all packages that run on the host.
pub fn host(context: &Context<'_>, filter: Option<&str>) -> Result<Tally> {
    let mut cargo = context.workspace.cargo();
    cargo.args(["test", "--workspace", "--no-fail-fast", "--color", "never"]);
    cargo.args(["--", "--color", "never"]).args(filter);
    // Tests that explore take all of what they else take a part of.
    if context.full {
        cargo.env("AIOS_FULL", "1");
    }
    let limit = if context.full { FULL_LIMIT } else { LIMIT };
    let mut tally = run(&mut cargo, context.progress.step("host", "cargo test"), "host", limit)?;
    if let Some(filter) = filter.filter(|_| tally.passed + tally.failed == 0) {
        tally.count(filter, Err(format!("no test has '{filter}' in its name")));
    }
    Ok(tally)
}

/// The tests of the packages that ask for it (`[package.metadata.xtask] miri = true`), under Miri. It is some hundred times slower than the
/// machine: their random tests take fewer rounds when `cfg!(miri)`.
pub fn miri(context: &Context<'_>, _filter: Option<&str>) -> Result<Tally> {
    let mut tally = Tally::default();
    let packages: Vec<&str> =
        context.workspace.packages.iter().filter(|package| package.marks().miri).map(|package| package.name.as_str()).collect();
    if packages.is_empty() {
        tally.skip("miri (no package asks for it)".to_owned());
        return Ok(tally);
    }
    if let Err(why) = miri_ready(context) {
        tally.skip(format!("miri ({why})"));
        return Ok(tally);
    }
    let mut cargo = Command::new("rustup");
    cargo.args(["run", "nightly", "cargo", "miri", "test", "--no-fail-fast", "--color", "never"]).current_dir(&context.workspace.root);
    for package in packages {
        cargo.args(["--package", package]);
    }
    // The toolchain and cargo that run us are not the ones wanted.
    cargo.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN").env_remove("RUSTC");
    cargo.env("MIRIFLAGS", "-Zmiri-disable-isolation").env("CARGO_TARGET_DIR", context.workspace.target_dir.join("miri"));
    run(&mut cargo, context.progress.step("miri", "cargo miri test"), "miri", LIMIT)
}

/// The tests `explored` of the packages that ask for it (`[package.metadata.xtask] loom = true`): what cores share, in every order of accesses.
pub fn loom(context: &Context<'_>, _filter: Option<&str>) -> Result<Tally> {
    let mut cargo = context.workspace.cargo();
    cargo.args(["test", "--test", "explored", "--no-fail-fast", "--color", "never"]);
    for package in context.workspace.packages.iter().filter(|package| package.marks().loom) {
        cargo.args(["--package", &package.name]);
    }
    cargo.env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", context.workspace.target_dir.join("loom"));
    run(&mut cargo, context.progress.step("loom", "cargo test, every order of accesses"), "loom", LIMIT)
}

/// Makes sure that a nightly toolchain with Miri is there; says what is missing.
fn miri_ready(context: &Context<'_>) -> Result<(), &'static str> {
    let works = |arguments: &[&str]| {
        Command::new("rustup").args(arguments).env_remove("RUSTUP_TOOLCHAIN").output().is_ok_and(|output| output.status.success())
    };
    if !works(&["run", "nightly", "rustc", "--version"]) {
        return Err("no nightly");
    }
    if works(&["run", "nightly", "cargo", "miri", "--version"]) {
        return Ok(());
    }
    let step = context.progress.step("set-up", "Miri for the nightly toolchain");
    if works(&["component", "add", "miri", "rust-src", "--toolchain", "nightly"]) {
        step.done("");
        Ok(())
    } else {
        step.done("not available");
        Err("the nightly has no Miri")
    }
}

/// Runs cargo, shows what it is at, counts. All that it said is kept in a log, and what is not a passed test is the report of a failure.
fn run(command: &mut Command, step: Step, log: &str, limit: Duration) -> Result<Tally> {
    let end = Instant::now() + limit;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut group = Group::spawn(command).context("can't run cargo")?;
    let child = group.child();
    let (sender, lines) = channel();
    if let (Some(output), Some(errors)) = (child.stdout.take(), child.stderr.take()) {
        send_lines(output, sender.clone());
        send_lines(errors, sender);
    }
    let mut tally = Tally::default();
    let mut worth_reading = String::new();
    let late = loop {
        let line = match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => break false,
            Err(RecvTimeoutError::Timeout) => break true,
        };
        if let Some(Counts { passed, failed, ignored }) = counts(&line) {
            tally.passed += passed;
            tally.failed += failed;
            tally.skipped += ignored;
            step.detail(&format!("{} passed, {} failed", tally.passed, tally.failed), false);
        } else if line.trim_start().starts_with("Compiling") {
            step.detail(line.trim(), false);
        } else if !is_routine(&line) {
            worth_reading += &line;
            worth_reading.push('\n');
        }
    };
    if late {
        worth_reading += &format!("not finished after {} s\n", limit.as_secs());
    }
    let good = !late && child.wait()?.success();
    if tally.skipped > 0 {
        tally.notes.push(format!("skipped: {} {log} tests that are marked `ignore`", tally.skipped));
    }
    if !good {
        // cargo fails without a failed test when something can't be built or dies.
        tally.failed = tally.failed.max(1);
        tally.failures.push((format!("{} failed", tally.failed), worth_reading));
    }
    let result = format!("{} passed, {} failed", tally.passed, tally.failed);
    match tally.failed {
        0 => step.done(&result),
        _ => step.detail(&result, true),
    }
    Ok(tally)
}

fn send_lines(input: impl Read + Send + 'static, sender: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(input).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                break;
            }
        }
    });
}

/// Lines that say nothing about a failure.
fn is_routine(line: &str) -> bool {
    let trimmed = line.trim_start();
    let verbs = ["Downloading", "Downloaded", "Finished", "Running", "Doc-tests", "Updating", "Locking", "Adding", "Blocking", "running "];
    trimmed.is_empty()
        || (trimmed.starts_with("test ") && [" ... ok", " ... ignored"].iter().any(|end| trimmed.contains(end)))
        || verbs.iter().any(|verb| trimmed.starts_with(verb))
}

#[derive(Debug, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
}

/// Reads `test result: ok. 5 passed; 0 failed; 1 ignored; …`.
fn counts(line: &str) -> Option<Counts> {
    let rest = line.strip_prefix("test result: ")?;
    let number = |word: &str| rest.split([';', '.']).find_map(|part| part.trim().strip_suffix(word)?.trim().parse::<u64>().ok());
    Some(Counts { passed: number("passed")?, failed: number("failed")?, ignored: number("ignored")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_counted() {
        let line = "test result: FAILED. 5 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(counts(line), Some(Counts { passed: 5, failed: 2, ignored: 1 }));
        assert_eq!(
            counts("test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out"),
            Some(Counts { passed: 12, failed: 0, ignored: 0 })
        );
        assert_eq!(counts("test tests::a ... ok"), None);
    }

    #[test]
    fn a_report_leaves_routine_out() {
        assert!(is_routine("test tests::a ... ok") && is_routine("     Running unittests src/lib.rs") && is_routine(""));
        assert!(!is_routine("test tests::a ... FAILED") && !is_routine("error[E0308]: mismatched types"));
    }
}
