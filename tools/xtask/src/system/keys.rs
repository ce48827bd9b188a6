//! Keys that are no part of a line.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::CodeCase;
use super::lab::{self, Lab};
use crate::mark::Mark;
use crate::profile::Profile;

/// The cases of this module.
pub const CASES: [CodeCase; 1] = [("keys/interrupt", "direct", interrupt)];

/// How long the shell may take to notice a key.
const LIMIT: Duration = Duration::from_secs(10);
const CTRL_C: &[u8] = b"\x03";

/// Ctrl-C ends a command that runs until it is told to stop, and drops a line that was begun.
fn interrupt(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let launch = lab.launch(profile)?;
    let mut machine = lab.boot(&launch)?;
    machine.type_bytes(b"log -f\r")?;
    machine.wait_mark(|mark| *mark == Mark::Begin, LIMIT).context("`log -f` did not begin")?;
    machine.type_bytes(CTRL_C)?;
    let (mark, _) = machine.wait_mark(|mark| matches!(mark, Mark::Status(_)), LIMIT).context("Ctrl-C did not end `log -f`")?;
    if mark == Mark::Status(0) {
        bail!("an interrupted command must not count as a success");
    }
    machine.wait_mark(|mark| *mark == Mark::Prompt, LIMIT).context("no prompt after Ctrl-C")?;
    machine.type_bytes(b"nosuch")?;
    machine.type_bytes(CTRL_C)?;
    machine.wait_mark(|mark| *mark == Mark::Prompt, LIMIT).context("no prompt after Ctrl-C in a line")?;
    lab::succeed(&mut machine, "uptime")?;
    machine.shutdown().context("the machine did not shut down")
}
