//! Keys that are no part of a line: Ctrl-C, and whatever else a serial line may bring.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use toml::Value;

use super::lab::{self, Lab};
use super::shell::{number, rows};
use super::{CodeCase, manifest};
use crate::machine::{Machine, Stop};
use crate::mark::Mark;
use crate::profile::Profile;

/// The cases of this module.
pub const CASES: [CodeCase; 3] = [
    ("keys/interrupt", "direct", interrupt),
    ("keys/noise", "direct", |lab, profile| noise(lab, profile, 250)),
    ("keys/noise-long", "direct/smp1", |lab, profile| noise(lab, profile, 1000)),
];

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

/// What noise is made of, beside random bytes: lines, unfinished ones, keys, sequences that terminals send, and marks that only the machine may write.
const PIECES: [&[u8]; 44] = [
    b"ps\r",
    b"top\r",
    b"log -f\r",
    b"mem --json\r",
    b"caps shell\r",
    b"help",
    b"help log\r",
    b"echo \"",
    b"echo '\\",
    b"spawn -w assist exit 3\r",
    b"spawn assist null-read\r",
    b"ps; ; ps\r",
    b";;;;\r",
    b"sched -",
    b"--\r",
    b"log -n 99999999999999999999\r",
    b"caps 99999.1\r",
    b"\r",
    b"\n",
    b"\r\n",
    b"\t",
    b"\t\t",
    b"\x03",
    b"\x04",
    b"\x0c",
    b"\x12",
    b"\x15",
    b"\x17",
    b"\x19",
    b"\x1b",
    b"\x1b[A",
    b"\x1b[B\r",
    b"\x1b[1;5D",
    b"\x1b[3~",
    b"\x1b[1;1R",
    b"\x1b[999;999R",
    b"\x1b[;;;;;;;;;;;;",
    b"\x1bO",
    b"\x1b]7770;panic;no\x07",
    b"\x1b]7770;status;0\x07",
    b"\x1b[200~",
    b"\x7f\x7f\x7f",
    b"\xc3",
    b"\xf0\x9f\xa6\x80",
];
/// Longest run of one byte: longer than any line that the shell takes.
const LONGEST_RUN: usize = 6000;

/// So many bursts of noise; after each the shell takes a line and answers, and at the end nothing has died of it. The shell may look, and spawn, but
/// not end anything: noise could spell that.
fn noise(lab: &mut Lab<'_>, profile: &Profile, bursts: u32) -> Result<()> {
    let manifest = manifest::edited(&lab.artifacts.manifest, |table| {
        let shell = manifest::entry(table, "shell")?;
        shell.remove("controls");
        *manifest::list(shell, "special")? = vec![Value::from("observe")];
        Ok(())
    })?;
    let launch = lab.launch_manifest(profile, &manifest)?;
    let mut machine = lab.boot(&launch)?;
    for burst in 0..bursts {
        for _ in 0..lab.random.u32(1..24) {
            let bytes = piece(&mut lab.random);
            machine.type_bytes(&bytes).with_context(|| format!("in burst {burst}"))?;
        }
        let word = lab.word();
        answers(&mut machine, &word).with_context(|| format!("after burst {burst} of noise"))?;
    }
    for row in rows(&mut machine, "services")? {
        if number(&row, "restarts")? != 0 {
            bail!("noise has ended a server: {row:?}");
        }
    }
    lab::succeed(&mut machine, "selftest")?;
    Ok(())
}

fn piece(random: &mut fastrand::Rng) -> Vec<u8> {
    match random.u32(..8) {
        0 => (0..random.usize(..64)).map(|_| random.u8(..)).collect(),
        1 => (0..random.usize(..64)).map(|_| random.u8(b' '..=b'~')).collect(),
        2 if random.u32(..8) == 0 => vec![random.u8(b' '..=b'~'); random.usize(..LONGEST_RUN)],
        _ => PIECES[random.usize(..PIECES.len())].to_vec(),
    }
}

/// Ctrl-C ends whatever runs or was begun, and the next line is taken as it is typed.
fn answers(machine: &mut Machine, word: &str) -> Result<(), Stop> {
    // Once for a search in the history, once for the line that it was begun in, once for a command that was typed ahead.
    machine.type_bytes(&CTRL_C.repeat(3))?;
    machine.type_bytes(format!("echo {word}\r").as_bytes())?;
    loop {
        machine.wait_mark(|mark| *mark == Mark::Begin, LIMIT)?;
        let (mark, output) = machine.wait_mark(|mark| matches!(mark, Mark::Status(_)), LIMIT)?;
        if mark == Mark::Status(0) && output.trim() == word {
            return Ok(());
        }
    }
}
