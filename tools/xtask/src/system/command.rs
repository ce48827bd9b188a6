//! `cargo xtask run` itself, as a user or a script types it, and the figures that have goals.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

use super::CodeCase;
use super::lab::Lab;
use crate::bench;
use crate::profile::Profile;

/// The cases of this module. Which machine runs is in the options that each gives.
pub const CASES: [CodeCase; 8] = [
    ("command/run", "direct", |lab, _| succeeds(lab, &[])),
    ("command/run-smp8", "direct", |lab, _| succeeds(lab, &["--smp", "8"])),
    ("command/run-uboot", "uboot", |lab, _| succeeds(lab, &["--uboot"])),
    ("command/run-uboot-smp8", "uboot", |lab, _| succeeds(lab, &["--uboot", "--smp", "8"])),
    ("command/unknown", "direct", unknown),
    ("command/piped", "direct", piped),
    ("command/keys-refused", "direct", keys_refused),
    ("command/figures", "icount", |lab, _| bench::goals_are_met(lab.workspace, lab.artifacts)),
];

/// What is typed first, and words that its tables must show.
const FIRST: &str = "ps; services; caps shell; mem; selftest; shutdown";
const SHOWN: [&str; 8] = ["init", "uartd", "logd", "shell", "/svc/console", "/svc/log", "= RAM; ", "ok "];

/// Runs this program's `run` as a script does, with this text on its standard input.
fn run(lab: &Lab<'_>, options: &[&str], input: &str) -> Result<Output> {
    let program = std::env::current_exe().context("can't find this program")?;
    let root: &Path = &lab.workspace.root;
    let mut command = Command::new(program);
    command.arg("run").args(options).current_dir(root).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("can't start `xtask run`")?;
    // Whoever refuses its options does not read.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    child.wait_with_output().context("can't wait for `xtask run`")
}

/// The commands that a user types first work, and all of them together are a success.
fn succeeds(lab: &mut Lab<'_>, options: &[&str]) -> Result<()> {
    let output = run(lab, &[options, &["-c", FIRST]].concat(), "")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let missing = SHOWN.into_iter().find(|word| !said.contains(word));
    if !output.status.success() || missing.is_some() {
        bail!("{}, and the output does not show {missing:?}:\n{said}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// A command that there is none of fails, and says why.
fn unknown(lab: &mut Lab<'_>, _: &Profile) -> Result<()> {
    let word = format!("no{}", lab.word());
    let output = run(lab, &["-c", &word], "")?;
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.success() || !said.contains(&format!("unknown command `{word}`")) {
        bail!("`{word}`: {}:\n{said}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Lines of standard input are commands, one by one, whatever is left open in one of them; the exit code is the status of the first that failed.
fn piped(lab: &mut Lab<'_>, _: &Profile) -> Result<()> {
    let (first, second) = (format!("no{}", lab.word()), format!("no{}", lab.word()));
    let output = run(lab, &["--headless"], &format!("{first}\necho \"open\nuptime --json\n{second}\n"))?;
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let shown = ["uptime_ns", &first, &second].into_iter().all(|word| said.contains(word));
    let status = output.status.code().with_context(|| format!("ended by a signal: {told}"))?;
    if !shown
        || status == 0
        || !told.contains(&format!("'{first}' ended with status {status}"))
        || !told.contains("'echo \"open' ended with status")
    {
        bail!("exit code {status}:\n{said}\n{told}");
    }
    Ok(())
}

/// A key in the place of a command is refused, by name, before anything is built or started.
fn keys_refused(lab: &mut Lab<'_>, _: &Profile) -> Result<()> {
    for (text, named) in [("ps\x03", "U+0003 (Ctrl-C)"), ("\x1b[A", "U+001B (Esc)"), ("ps; \x01x", "U+0001 (Ctrl-A)")] {
        let output = run(lab, &["-c", text], "")?;
        let told = String::from_utf8_lossy(&output.stderr);
        if output.status.success() || !output.stdout.is_empty() || !told.contains(named) || told.contains(text) {
            bail!("{text:?}: {}: {told}", output.status);
        }
    }
    Ok(())
}
