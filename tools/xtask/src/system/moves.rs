//! Agents that are moved between cores while they work go on as if nothing had happened.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::CodeCase;
use super::lab::{self, Lab};
use super::shell::{is_there, number, row, spawn, until};
use crate::machine::Machine;
use crate::profile::Profile;

/// The cases of this module.
pub const CASES: [CodeCase; 4] = [
    ("moves/canary", "direct/smp8", canary),
    ("moves/servers", "direct", servers),
    ("moves/calls", "direct", calls),
    ("moves/restart", "direct", restarted),
];

/// How long anything here may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Moves an agent to a core, and sees it there.
fn migrate(machine: &mut Machine, name: &str, core: u32) -> Result<()> {
    lab::succeed(machine, &format!("migrate {name} {core}"))?;
    let row = row(machine, "ps", "name", name)?;
    if number(&row, "core")? != u64::from(core) {
        bail!("{name} was moved to core {core}: {row:?}");
    }
    Ok(())
}

/// Registers, FP registers and memory of an agent that works move with it.
fn canary(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    const ROUNDS: u32 = 100_000;
    let launch = lab.launch(profile)?;
    let mut machine = lab.boot(&launch)?;
    let id = spawn(&mut machine, &format!("assist canary {ROUNDS}"))?;
    let mut moves = 0;
    while is_there(&mut machine, &id)? {
        let core = lab.random.u32(..profile.smp);
        // It may end at any time.
        if lab::run(&mut machine, &format!("migrate {id} {core}"))?.status == 0 {
            moves += 1;
        }
    }
    if moves < 20 {
        bail!("the canary ended after {moves} moves");
    }
    let log = lab::succeed(&mut machine, "log")?;
    if !log.contains("assist: exited with 0") {
        bail!("the canary found registers changed, after {moves} moves:\n{log}");
    }
    machine.shutdown().context("the machine did not shut down")
}

/// A shell that is restarted on another core than the first goes on there, and is told the same of the machine.
fn restarted(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let launch = lab.launch(profile)?;
    let mut machine = lab.boot(&launch)?;
    migrate(&mut machine, "shell", profile.smp - 1)?;
    for end in ["restart shell", "kill shell"] {
        lab::succeed(&mut machine, end)?;
        let uptime = lab::succeed(&mut machine, "uptime --json")?;
        if !uptime.contains(&format!("\"cores\":{}", profile.smp)) {
            bail!("after `{end}` the shell is told something else of the machine: {uptime}");
        }
    }
    machine.shutdown().context("the machine did not shut down")
}

/// A server works on every core, and so does the shell. The one with an interrupt line stays where that is.
fn servers(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let launch = lab.launch(profile)?;
    let mut machine = lab.boot(&launch)?;
    for _ in 0..6 {
        for server in ["logd", "shell"] {
            migrate(&mut machine, server, lab.random.u32(..profile.smp))?;
        }
        lab::succeed(&mut machine, "log")?;
        lab::succeed(&mut machine, "selftest")?;
    }
    for server in ["logd", "uartd"] {
        lab::succeed(&mut machine, &format!("restart {server}"))?;
        until(&mut machine, LIMIT, "it is back", |machine| {
            let row = row(machine, "services", "name", server)?;
            Ok((row.get("state").and_then(|state| state.as_str()) == Some("running")).then_some(()))
        })?;
    }
    lab::succeed(&mut machine, "selftest")?;
    for (line, why) in [(format!("migrate logd {}", profile.smp), "no such core"), ("migrate uartd 1".to_owned(), "interrupt line")] {
        let reply = lab::run(&mut machine, &line)?;
        if reply.status == 0 || !reply.output.contains(why) {
            bail!("'{line}' must answer `{why}` and fail; status {}:\n{}", reply.status, reply.output.trim_end());
        }
    }
    machine.shutdown().context("the machine did not shut down")
}

/// Floods from other cores, and a shell that is not where its servers are.
fn calls(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let launch = lab.launch(profile)?;
    let mut machine = lab.boot(&launch)?;
    let mut ids = Vec::new();
    for core in 0..profile.smp {
        ids.push(spawn(&mut machine, &format!("--core {core} assist flood /svc/log"))?);
        ids.push(spawn(&mut machine, &format!("--core {core} assist flood"))?);
    }
    for core in (0..profile.smp).rev() {
        migrate(&mut machine, "shell", core)?;
        lab::succeed(&mut machine, "log")?;
        lab::succeed(&mut machine, "services")?;
        lab::succeed(&mut machine, "spawn -w assist exit 0")?;
    }
    lab::succeed(&mut machine, &format!("kill {}", ids.join(" ")))?;
    lab::succeed(&mut machine, "selftest")?;
    machine.shutdown().context("the machine did not shut down")
}
