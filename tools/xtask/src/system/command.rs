//! `cargo xtask run` itself, as a user or a script types it, and the figures that have goals.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

use super::CodeCase;
use super::lab::Lab;
use crate::bench;
use crate::profile::Profile;

/// The cases of this module. Which machine runs is in the options that each gives.
pub const CASES: [CodeCase; 6] = [
    ("command/run", "direct", |lab, _| succeeds(lab, &[])),
    ("command/run-smp8", "direct", |lab, _| succeeds(lab, &["--smp", "8"])),
    ("command/run-uboot", "uboot", |lab, _| succeeds(lab, &["--uboot"])),
    ("command/run-uboot-smp8", "uboot", |lab, _| succeeds(lab, &["--uboot", "--smp", "8"])),
    ("command/unknown", "direct", unknown),
    ("command/figures", "icount", |lab, _| bench::goals_are_met(lab.workspace, lab.artifacts)),
];

/// What is typed first, and words that its tables must show.
const FIRST: &str = "ps; services; caps shell; mem; selftest; shutdown";
const SHOWN: [&str; 8] = ["init", "uartd", "logd", "shell", "/svc/console", "/svc/log", "= RAM; ", "ok "];

/// Runs this program's `run` as a script does.
fn run(lab: &Lab<'_>, options: &[&str]) -> Result<Output> {
    let program = std::env::current_exe().context("can't find this program")?;
    let root: &Path = &lab.workspace.root;
    let mut command = Command::new(program);
    command.arg("run").args(options).current_dir(root).stdin(Stdio::null());
    command.output().context("can't start `xtask run`")
}

/// The commands that a user types first work, and all of them together are a success.
fn succeeds(lab: &mut Lab<'_>, options: &[&str]) -> Result<()> {
    let output = run(lab, &[options, &["-c", FIRST]].concat())?;
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
    let output = run(lab, &["-c", &word])?;
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.success() || !said.contains(&format!("unknown command `{word}`")) {
        bail!("`{word}`: {}:\n{said}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
