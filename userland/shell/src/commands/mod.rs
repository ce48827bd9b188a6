//! What each command does.

mod control;
mod journal;
mod look;
mod trace;

pub use control::start;

use alloc::format;

use aios_shell_core::{Statement, Table};

use crate::fail::Fail;
use crate::selftest;
use crate::shell::Shell;

/// Runs a command.
pub fn run(shell: &mut Shell, statement: Statement) -> Result<(), Fail> {
    match statement {
        Statement::Ps { json } => look::ps(shell, json),
        Statement::Top { every_ns, count } => look::top(shell, every_ns, count),
        Statement::Caps { agent, json } => look::caps(shell, agent.as_ref(), json),
        Statement::WhoCan { object, json } => look::who_can(shell, &object, json),
        Statement::Mem { json } => look::mem(shell, json),
        Statement::Sched { json } => look::sched(shell, json),
        Statement::Irq { json } => look::irq(shell, json),
        Statement::Uptime { json, boot } => look::uptime(shell, json, boot),
        Statement::Trace { core, events, time_ns } => trace::trace(shell, core, events, time_ns),
        Statement::Services { json } => look::services(shell, json),
        Statement::Log { follow, lines, level, agent } => journal::log(shell, follow, lines, level, agent.as_ref()),
        Statement::Spawn { program, arguments, core, wait } => control::spawn(shell, &program, &arguments.join(" "), core, wait),
        Statement::Kill { agents } => agents.iter().try_for_each(|agent| control::kill(shell, agent)),
        Statement::Suspend { agent } => control::suspend(shell, &agent),
        Statement::Resume { agent } => control::resume(shell, &agent),
        Statement::Migrate { agent, core } => control::migrate(shell, &agent, core),
        Statement::Restart { server } => control::restart(shell, &server),
        Statement::Stop { server } => control::stop(shell, &server),
        Statement::Start { server } => control::start_server(shell, &server),
        Statement::Revoke { agent, slot } => control::revoke(shell, &agent, slot),
        Statement::SelfTest { tests } => selftest::run(shell, &tests),
        Statement::Shutdown => control::shutdown(shell),
        Statement::Reboot => control::reboot(shell),
        // The session answers these itself.
        Statement::Help { .. } | Statement::Echo { .. } | Statement::Clear => Ok(()),
    }
}

/// Shows a table, and for people what else there is to say.
fn show(shell: &mut Shell, table: &Table, rest: &str, json: bool) {
    let text = if json { format!("{}\n", table.json()) } else { table.render(shell.style()) + rest };
    shell.print(&text);
}
