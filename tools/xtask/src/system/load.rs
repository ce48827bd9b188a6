//! Agents that take all they can: deadlines stay met, the shell answers, and afterwards everything is there again.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::lab::{self, Lab};
use super::shell::{growth, is_there, memory, number, rows, spawn, until, until_alone, uptime_ns};
use super::{CodeCase, servers};
use crate::machine::Machine;
use crate::profile::Profile;

/// The cases of this module.
pub const CASES: [CodeCase; 8] = [
    // Here a nanosecond is an instruction: no host is too busy, and a deadline that is missed is the system's own fault.
    ("load/deadlines", "icount", deadlines),
    ("load/floods", "direct/smp1", floods),
    ("load/floods-two-cores", "direct/smp2", floods),
    ("load/floods-four-cores", "direct", floods),
    ("load/memory", "direct", eaten),
    ("load/random-calls", "direct", |lab, profile| random_calls(lab, profile, 20_000)),
    // More than two million altogether.
    ("load/random-calls-millions", "direct", |lab, profile| random_calls(lab, profile, 70_000)),
    ("load/admission", "direct", admission),
];

/// How long a command may take while eight agents flood, on the machine's own clock, ns.
const ANSWER_NS: u64 = 500_000_000;
/// The same where the host has a say in it, ns.
const EMULATED_ANSWER_NS: u64 = 5_000_000_000;
/// How long anything here may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Whom the flooding agents send to: init, the log.
const FLOODS: [&str; 8] = ["flood", "flood", "flood", "flood", "flood /svc/log", "flood /svc/log", "flood /svc/log", "flood /svc/log"];

/// Starts the floods and two endless loops, on one core after the other. Answers their ids.
fn begin(machine: &mut Machine, cores: u32) -> Result<Vec<String>> {
    let all = FLOODS.iter().chain(&["spin", "spin"]).zip((0..cores).cycle());
    all.map(|(what, core)| spawn(machine, &if core == 0 { format!("assist {what}") } else { format!("--core {core} assist {what}") }))
        .collect()
}

/// Ends them, and waits until they are gone.
fn end(machine: &mut Machine, ids: &[String], agents: usize) -> Result<()> {
    lab::succeed(machine, &format!("kill {}", ids.join(" ")))?;
    until_alone(machine, LIMIT, agents)
}

/// Runs commands, each within a time of the machine's.
fn answers(machine: &mut Machine, commands: &[&str], limit_ns: u64) -> Result<()> {
    for command in commands {
        let began = uptime_ns(machine)?;
        lab::succeed(machine, command)?;
        let took = uptime_ns(machine)? - began;
        if took > limit_ns {
            bail!("'{command}' took {} ms", took / 1_000_000);
        }
    }
    Ok(())
}

/// What the shell is asked while others flood.
const COMMANDS: [&str; 7] = ["ps", "caps", "mem", "sched", "services", "log -n 5", "spawn -w assist exit 0"];

/// A watchdog with a reservation meets every deadline of four seconds while eight agents flood and two loop. Meanwhile the shell answers, and the log
/// is killed: it is back twice within its backoff, and the third time its breaker opens.
fn deadlines(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    /// Periods of the watchdog, of 10 ms each.
    const PERIODS: u64 = 400;
    let launch = lab.launch(profile)?;
    let mut machine = lab.boot(&launch)?;
    let agents = rows(&mut machine, "ps")?.len();
    let ids = begin(&mut machine, profile.smp)?;
    // 0.3 of 0.5 ms in every period.
    let watchdog = spawn(&mut machine, &format!("watchdog edf 300000 10000000 {PERIODS}"))?;
    let began = uptime_ns(&mut machine)?;
    answers(&mut machine, &COMMANDS, ANSWER_NS)?;
    servers::opens_breaker(&mut machine, "logd")?;
    servers::closes_breaker(&mut machine, "logd")?;
    if !is_there(&mut machine, &watchdog)? {
        bail!("the watchdog ended before the last of this");
    }
    until(&mut machine, LIMIT, "the watchdog ends", |machine| {
        // To wait in the machine's own time asks little of it.
        lab::succeed(machine, "top -n 1 -d 200ms")?;
        Ok((!is_there(machine, &watchdog)?).then_some(()))
    })?;
    let took = uptime_ns(&mut machine)? - began;
    if took < (PERIODS - 1) * 10_000_000 {
        bail!("the watchdog ended after {} ms", took / 1_000_000);
    }
    end(&mut machine, &ids, agents)?;
    let log = lab::succeed(&mut machine, "log -n 200")?;
    if !log.contains("watchdog: exited with 0") {
        bail!("the watchdog missed deadlines:\n{log}");
    }
    machine.shutdown().context("the machine did not shut down")
}

/// The shell stays responsive, and when all is over the memory is where it was. The first round lets the servers' heaps grow as far as they do.
fn floods(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let launch = lab.launch(profile)?;
    let mut machine = lab.boot(&launch)?;
    twice(&mut machine, |machine| {
        let agents = rows(machine, "ps")?.len();
        let ids = begin(machine, profile.smp)?;
        answers(machine, &COMMANDS, EMULATED_ANSWER_NS)?;
        end(machine, &ids, agents)
    })?;
    lab::succeed(&mut machine, "selftest")?;
    balanced(&mut machine, profile)?;
    machine.shutdown().context("the machine did not shut down")
}

/// Does something two times; the second time, memory must be as it was when it is over.
fn twice(machine: &mut Machine, mut act: impl FnMut(&mut Machine) -> Result<()>) -> Result<()> {
    act(machine)?;
    let before = memory(machine)?;
    act(machine)?;
    let grown = growth(&before, &memory(machine)?);
    if !grown.is_empty() {
        bail!("memory did not come back: {}", grown.join(", "));
    }
    Ok(())
}

/// The books of time: agents' times and idle times sum to cores × uptime within one percent.
fn balanced(machine: &mut Machine, profile: &Profile) -> Result<()> {
    let output = lab::succeed(machine, "ps")?;
    let line = output.lines().find(|line| line.contains(" x uptime (")).context("`ps` shows no sum")?;
    let sum = line.split_once(" = ").and_then(|(_, rest)| rest.split_once(" % of ")).context("the sum has no share")?;
    let permille = sum.0.replace('.', "").trim().parse::<u32>().with_context(|| format!("in `{line}`"))?;
    let cores = sum.1.split(' ').next().and_then(|word| word.parse().ok());
    if !(990..=1010).contains(&permille) || cores != Some(profile.smp) {
        bail!("the times are off: {line}");
    }
    Ok(())
}

/// An agent that eats its pool ends with a report, and its pool comes back.
fn eaten(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let launch = lab.launch(profile)?;
    let mut machine = lab.boot(&launch)?;
    let agents = rows(&mut machine, "ps")?.len();
    twice(&mut machine, |machine| {
        for core in 0..profile.smp {
            let line = format!("spawn -w --core {core} assist eat-memory");
            let reply = lab::run(machine, &line)?;
            if reply.status == 0 || !reply.output.contains("out of pool memory") {
                bail!("'{line}' ended with status {}:\n{}", reply.status, reply.output.trim_end());
            }
        }
        until_alone(machine, LIMIT, agents)
    })?;
    machine.shutdown().context("the machine did not shut down")
}

/// Calls with random registers do nothing to others: not to an agent whose registers are full of patterns, and not to the books. In the first
/// round init's table of slots and its derivation nodes grow to what so many agents at a time need, 2 pages; then not one page goes or stays.
fn random_calls(lab: &mut Lab<'_>, profile: &Profile, calls: u32) -> Result<()> {
    const ROUNDS: u32 = 10;
    const FIRST_ROUND_PAGES: u64 = 4;
    let launch = lab.launch(profile)?;
    let mut machine = lab.boot(&launch)?;
    let agents = rows(&mut machine, "ps")?.len();
    let free = |machine: &mut Machine| memory(machine)?.into_iter().find(|(name, _)| name == "free").context("`mem` shows nothing free");
    let fresh = free(&mut machine)?.1;
    hostile(lab, &mut machine, agents, calls)?;
    let before = memory(&mut machine)?;
    let kept = fresh - free(&mut machine)?.1;
    if kept > FIRST_ROUND_PAGES {
        bail!("the first round keeps {kept} pages");
    }
    for round in 1..ROUNDS {
        hostile(lab, &mut machine, agents, calls)?;
        let grown = growth(&before, &memory(&mut machine)?);
        if !grown.is_empty() {
            bail!("round {round}: memory did not come back: {}", grown.join(", "));
        }
    }
    let log = lab::succeed(&mut machine, "log -n 400")?;
    if log.matches("assist: exited with 0").count() != 3 * ROUNDS as usize || log.contains("round ") {
        bail!("random calls, or an agent beside them, went wrong:\n{log}");
    }
    lab::succeed(&mut machine, "selftest")?;
    machine.shutdown().context("the machine did not shut down")
}

/// Agents on three cores make so many random calls each, beside two that check their registers.
fn hostile(lab: &mut Lab<'_>, machine: &mut Machine, agents: usize, calls: u32) -> Result<()> {
    let canaries = [spawn(machine, "assist canary 1000000000")?, spawn(machine, "--core 1 assist canary 1000000000")?];
    for core in 1..3 {
        spawn(machine, &format!("--core {core} assist bad-syscalls {:#x} {calls}", lab.random.u64(..)))?;
    }
    lab::succeed(machine, &format!("spawn -w assist bad-syscalls {:#x} {calls}", lab.random.u64(..)))?;
    until(machine, LIMIT, "the random calls end", |machine| Ok((rows(machine, "ps")?.len() == agents + 2).then_some(())))?;
    end(machine, &canaries, agents)
}

/// Reservations are given until the core can't keep more of them, and no further.
fn admission(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let launch = lab.launch(profile)?;
    let mut machine = lab.boot(&launch)?;
    let agents = rows(&mut machine, "ps")?.len();
    let mut ids = Vec::new();
    loop {
        let reply = lab::run(&mut machine, "spawn watchdog edf 1000 10000000 1000000")?;
        match reply.output.split_once(" is agent ") {
            Some((_, id)) if reply.status == 0 => ids.push(id.trim().to_owned()),
            None if reply.status != 0 && reply.output.contains("no room for the reservation") => break,
            _ => bail!("watchdog {} was not started:\n{}", ids.len() + 1, reply.output.trim_end()),
        }
    }
    let cores = rows(&mut machine, "sched")?;
    let promised = cores.iter().map(|core| number(core, "edf_permille")).collect::<Result<Vec<_>>>()?;
    // Each wants a twentieth of the core, and nine tenths is what there is; what can't be had exactly is rounded up.
    if ids.len() != 17 || promised[0] > 900 {
        bail!("{} watchdogs were admitted, promised are {promised:?} per mille", ids.len());
    }
    answers(&mut machine, &["ps", "log -n 5"], EMULATED_ANSWER_NS)?;
    lab::succeed(&mut machine, &format!("kill {}", ids[0]))?;
    ids[0] = spawn(&mut machine, "watchdog edf 1000 10000000 1000000")?;
    lab::succeed(&mut machine, &format!("kill {}", ids.join(" ")))?;
    until_alone(&mut machine, LIMIT, agents)?;
    machine.shutdown().context("the machine did not shut down")
}
