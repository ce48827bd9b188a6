//! Deferred log frames, from a program to readable text.

use anyhow::{Context, Result, bail};

use super::CodeCase;
use super::lab::{self, Lab};
use crate::profile::Profile;

/// The cases of this module.
pub const CASES: [CodeCase; 1] = [("log/deferred", "direct", deferred)];

/// A program logs a random number at every level. The console carries frames only; what `log` shows here is text, with its level.
fn deferred(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let number = lab.random.u64(1 << 40..);
    let launch = lab.launch(profile)?;
    let mut machine = lab.boot(&launch)?;
    lab::succeed(&mut machine, &format!("spawn --wait assist log {number}"))?;
    let shown = lab::succeed(&mut machine, "log trace")?;
    let expected = [
        ("TRACE", format!("trace of {number}")),
        ("DEBUG", format!("debug of {number}")),
        ("INFO", format!("info of {number}")),
        ("WARN", format!("warning of {number:#x}")),
        ("ERROR", format!("error of {number}, as asked")),
    ];
    for (level, text) in expected {
        if !shown.lines().any(|line| line.contains(level) && line.ends_with(&text)) {
            bail!("`log` does not show '{text}' as {level}:\n{shown}");
        }
    }
    // What an operator did is there, too, from another image.
    if !shown.contains("started assist as 0x") {
        bail!("`log` does not show what the shell did:\n{shown}");
    }
    let console = machine.log();
    if console.contains(&format!("info of {number}")) || !console.contains("  defmt ") {
        bail!("the console should carry frames, not their text");
    }
    machine.shutdown().context("the machine did not shut down")
}
