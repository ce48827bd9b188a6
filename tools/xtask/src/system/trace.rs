//! What a core's scheduler does under load in QEMU, it does on the host again.

use aios_abi::trace::Op;
use aios_core::sched::Trouble;
use aios_shell_core::recording;
use aios_shell_core::statement::TRACE_EVENTS;
use anyhow::{Context, Result, bail};

use super::CodeCase;
use super::lab::{self, Lab};
use super::shell::{growth, memory, spawn};
use crate::machine::Machine;
use crate::profile::Profile;
use crate::replay;

/// The cases of this module.
pub const CASES: [CodeCase; 2] = [("trace/replay", "direct/smp2", same), ("trace/replay-one-core", "direct/smp1", same)];

/// Who competes on each core: reservations, loops, calls and messages.
const LOAD: [&str; 5] =
    ["watchdog edf 300000 10000000 100000", "assist spin", "assist flood", "assist flood /svc/log", "assist canary 100000000"];

fn same(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let launch = lab.launch(profile)?;
    let mut machine = lab.boot(&launch)?;
    let mut ids = Vec::new();
    for core in 0..profile.smp {
        for what in LOAD {
            // A reservation stays on the core that it was admitted to.
            let reserved = what.starts_with("watchdog");
            match (core, reserved) {
                (0, _) => ids.push(spawn(&mut machine, what)?),
                (_, true) => {}
                (_, false) => ids.push(spawn(&mut machine, &format!("--core {core} {what}"))?),
            }
        }
    }
    let mut grown = Vec::new();
    for round in 0..2 {
        let before = memory(&mut machine)?;
        for core in 0..profile.smp {
            record(lab, &mut machine, u64::from(core))?;
        }
        // In the first round the shell's own heap grows.
        grown = if round == 0 { Vec::new() } else { growth(&before, &memory(&mut machine)?) };
    }
    grown.retain(|what| what.starts_with("frames"));
    if !grown.is_empty() {
        bail!("memory did not come back: {}", grown.join(", "));
    }
    let nowhere = lab::run(&mut machine, "trace -c 15")?;
    if nowhere.status == 0 || !nowhere.output.contains("no such core") {
        bail!("a core that is not there was recorded:\n{}", nowhere.output);
    }
    lab::succeed(&mut machine, &format!("kill {}", ids.join(" ")))?;
    machine.shutdown().context("the machine did not shut down")
}

/// Records a core and does it again; then with one outcome changed, and with one character of the text changed.
fn record(lab: &mut Lab<'_>, machine: &mut Machine, core: u64) -> Result<()> {
    let line = format!("trace -c {core} -t 5s");
    let text = lab::succeed(machine, &line)?;
    let (head, events) = recording::parse(&text).with_context(|| format!("'{line}' printed\n{text}"))?;
    if head.core != core || events.len() as u64 != TRACE_EVENTS {
        bail!("'{line}' recorded {} events of core {}", events.len(), head.core);
    }
    let report = aios_trace::replay(&events);
    replay::check(&report)?;
    let reserved = usize::from(core == 0);
    if report.lost != 0 || report.decisions < 200 || report.contexts.len() < 4 || report.reserved.len() < reserved {
        bail!("too little happened: {report:?}");
    }
    let picks: Vec<usize> = (0..events.len()).filter(|&at| events[at].op == Op::Pick && events[at].flag == 1).collect();
    let at = picks[lab.random.usize(..picks.len())];
    let mut changed = events;
    changed[at].slot ^= 1;
    match aios_trace::replay(&changed).trouble {
        Some((found, _, Trouble::Different(_))) if found == at => {}
        other => bail!("event {at} was changed, and found is {other:?}"),
    }
    let first = text.find('\n').unwrap_or(0) + 1;
    let at = first + lab.random.usize(..text[first..].rfind("aios-trace end").context("the recording has an end")?);
    let damaged = format!("{}{}{}", &text[..at], if text.as_bytes()[at] == b'7' { '8' } else { '7' }, &text[at + 1..]);
    if recording::parse(&damaged).is_ok() {
        bail!("character {at} was changed, and nobody noticed");
    }
    Ok(())
}
