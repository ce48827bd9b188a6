//! What the shell was not given, it can't do: the same image with one thing taken out of the shell's manifest entry, or with everything.

use aios_shell_core::command::COMMANDS;
use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use super::lab::{self, Lab};
use super::shell::{row, text};
use super::{CodeCase, manifest};
use crate::machine::Machine;
use crate::profile::Profile;

/// The cases of this module.
pub const CASES: [CodeCase; 18] = [
    ("authority/nothing", "direct", nothing),
    ("authority/no-observe", "direct", |lab, profile| {
        let others = ["uptime", "services", "log", "spawn -w assist exit 0", "suspend logd", "resume logd", "migrate logd 1", "kill logd"];
        refuses(lab, profile, |shell| manifest::take_out(shell, "special", "observe"), &OBSERVING, &others)
    }),
    ("authority/no-power", "direct", |lab, profile| {
        refuses(lab, profile, |shell| manifest::take_out(shell, "special", "power"), &["shutdown", "reboot"], &["ps", "restart logd"])
    }),
    ("authority/no-log", "direct", |lab, profile| {
        refuses(lab, profile, |shell| manifest::take_out(shell, "uses", "/svc/log"), &["log"], &["ps", "services"])
    }),
    ("authority/log-to-write", "direct", |lab, profile| {
        refuses(lab, profile, |shell| manifest::put(shell, "uses", "/svc/log:write"), &["log", "log -f"], &["ps", "services"])
    }),
    ("authority/no-spawn", "direct", |lab, profile| {
        refuses(lab, profile, |shell| removed(shell, "spawns"), &["spawn assist exit 0"], &["ps", "restart logd"])
    }),
    ("authority/other-spawn", "direct", |lab, profile| {
        let edit = |shell: &mut Table| set(shell, "spawns", &["watchdog"]);
        refuses(lab, profile, edit, &["spawn assist exit 0"], &["spawn -w watchdog exit 0"])
    }),
    ("authority/no-controls", "direct", |lab, profile| {
        refuses(lab, profile, |shell| removed(shell, "controls"), &CONTROLLING, &["ps", "log"])
    }),
    ("authority/other-target", "direct", |lab, profile| {
        let edit = |shell: &mut Table| set(controls(shell)?, "targets", &["uartd", "assist"]);
        let others = ["spawn assist spin", "suspend assist", "resume assist", "migrate assist 1", "kill assist", "restart uartd"];
        refuses(lab, profile, edit, &CONTROLLING, &others)
    }),
    ("authority/no-kill", "direct", |lab, profile| one_operation(lab, profile, "kill")),
    ("authority/no-migrate", "direct", |lab, profile| one_operation(lab, profile, "migrate")),
    ("authority/no-restart", "direct", |lab, profile| one_operation(lab, profile, "restart")),
    ("authority/no-revoke", "direct", |lab, profile| one_operation(lab, profile, "revoke")),
    ("authority/no-stop", "direct", |lab, profile| one_operation(lab, profile, "stop")),
    ("authority/no-start", "direct", |lab, profile| one_operation(lab, profile, "start")),
    ("authority/no-suspend", "direct", no_suspend),
    ("authority/no-resume", "direct", no_resume),
    ("authority/no-supervisor", "direct", |lab, profile| {
        let refused = [&CONTROLLING[..], &["services", "spawn assist exit 0", "shutdown", "reboot"]].concat();
        refuses(lab, profile, |shell| manifest::take_out(shell, "uses", "/svc/supervisor"), &refused, &["ps", "log"])
    }),
];

/// What the shell says of a capability that it does not hold.
const REFUSAL: &str = "no capability";

/// Commands that read the kernel's tables.
const OBSERVING: [&str; 9] =
    ["trace -n 100 -t 100ms", "ps", "top -n 1 -d 10ms", "caps", "caps logd", "who-can power", "mem", "sched", "irq"];
/// Commands that control an agent: one for each operation that a manifest can list.
const CONTROLLING: [&str; 8] =
    ["suspend logd", "resume logd", "migrate logd 1", "revoke logd 3", "restart logd", "kill logd", "stop logd", "start logd"];
/// Commands that need nothing: the shell answers the first three itself, the time is everybody's, and `selftest` leaves out what it may not do.
const FREE: [&str; 5] = ["help", "echo x", "clear", "uptime", "selftest"];
/// The other commands.
const OTHERS: [&str; 5] = ["log", "services", "spawn assist exit 0", "shutdown", "reboot"];

/// Without any of it, each command but those that need nothing is refused.
fn nothing(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let needing = [&OBSERVING[..], &CONTROLLING, &OTHERS].concat();
    for command in COMMANDS {
        let is_tried = needing.iter().chain(&FREE).any(|line| line.split(' ').next() == Some(command.name));
        if !is_tried {
            bail!("nobody says what `{}` needs", command.name);
        }
    }
    let edit = |shell: &mut Table| {
        for key in ["special", "controls", "spawns"] {
            removed(shell, key)?;
        }
        set(shell, "uses", &["/svc/console:write,read"])
    };
    refuses(lab, profile, edit, &needing, &FREE)
}

/// Without one operation, the shell can do the others, and not this one.
fn one_operation(lab: &mut Lab<'_>, profile: &Profile, operation: &str) -> Result<()> {
    let (refused, others): (Vec<&str>, Vec<&str>) = CONTROLLING.iter().partition(|line| line.split(' ').next() == Some(operation));
    // What is revoked has to be something that was given.
    let others: Vec<&str> = others.into_iter().filter(|line| !line.starts_with("revoke")).collect();
    refuses(lab, profile, |shell| manifest::take_out(controls(shell)?, "operations", operation), &refused, &others)
}

/// Without the right to suspend, one can resume: whoever is not suspended is not refused for lack of a right, but for what it is.
fn no_suspend(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let mut machine = boot_without(lab, profile, "suspend")?;
    is_refused(&mut machine, "suspend logd")?;
    let reply = lab::run(&mut machine, "resume logd")?;
    if reply.status == 0 || reply.output.contains(REFUSAL) || !reply.output.contains("not suspended") {
        bail!("'resume logd' must be tried, and say that logd is not suspended; status {}:\n{}", reply.status, reply.output.trim_end());
    }
    for line in ["migrate logd 1", "restart logd", "kill logd"] {
        lab::succeed(&mut machine, line)?;
    }
    Ok(())
}

/// Without the right to resume, one can suspend, and what is suspended stays so.
fn no_resume(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let mut machine = boot_without(lab, profile, "resume")?;
    for line in ["spawn assist spin", "suspend assist"] {
        lab::succeed(&mut machine, line)?;
    }
    is_refused(&mut machine, "resume assist")?;
    let row = row(&mut machine, "ps", "name", "assist")?;
    if !text(&row, "state")?.contains("suspended") {
        bail!("it must be suspended still: {row:?}");
    }
    lab::succeed(&mut machine, "kill assist")?;
    Ok(())
}

fn boot_without(lab: &mut Lab<'_>, profile: &Profile, operation: &str) -> Result<Machine> {
    let edit = |table: &mut Table| manifest::take_out(controls(manifest::entry(table, "shell")?)?, "operations", operation);
    let manifest = manifest::edited(&lab.artifacts.manifest, edit)?;
    let launch = lab.launch_manifest(profile, &manifest)?;
    lab.boot(&launch)
}

fn controls(shell: &mut Table) -> Result<&mut Table> {
    shell.get_mut("controls").and_then(Value::as_table_mut).context("the shell controls nothing")
}

fn removed(shell: &mut Table, key: &str) -> Result<()> {
    shell.remove(key).with_context(|| format!("the shell has no {key}"))?;
    Ok(())
}

fn set(table: &mut Table, key: &str, items: &[&str]) -> Result<()> {
    *manifest::list(table, key)? = items.iter().map(|item| Value::from(*item)).collect();
    Ok(())
}

/// Boots with an edited shell entry; the commands that need what is missing are refused, the others still work.
fn refuses(
    lab: &mut Lab<'_>,
    profile: &Profile,
    edit: impl FnOnce(&mut Table) -> Result<()>,
    refused: &[&str],
    others: &[&str],
) -> Result<()> {
    let manifest = manifest::edited(&lab.artifacts.manifest, |table| edit(manifest::entry(table, "shell")?))?;
    let launch = lab.launch_manifest(profile, &manifest)?;
    let mut machine = lab.boot(&launch)?;
    for line in refused {
        is_refused(&mut machine, line)?;
    }
    for line in others {
        lab::succeed(&mut machine, line)?;
    }
    Ok(())
}

fn is_refused(machine: &mut Machine, line: &str) -> Result<()> {
    let reply = lab::run(machine, line)?;
    if reply.status == 0 || !reply.output.contains(REFUSAL) {
        bail!("'{line}' must answer `{REFUSAL}` and fail; status {}:\n{}", reply.status, reply.output.trim_end());
    }
    Ok(())
}
