//! Commands that only look.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use aios_abi::AgentId;
use aios_rt::info::clock;
use aios_rt::time::{Deadline, now};
use aios_shell_core::table::Column;
use aios_shell_core::unit::Nanos;
use aios_shell_core::value::{AgentRef, ObjectRef};
use aios_shell_core::{Cell, Table, view};

use super::show;
use crate::fail::Fail;
use crate::shell::Shell;
use crate::system::own_id;

pub fn ps(shell: &mut Shell, json: bool) -> Result<(), Fail> {
    let (agents, cores) = shell.system.picture()?;
    let servers = shell.system.servers(&agents);
    show(shell, &view::ps(&agents, &cores, &servers), &view::balance(&cores).render(), json);
    Ok(())
}

pub fn top(shell: &mut Shell, every_ns: u64, count: Option<u64>) -> Result<(), Fail> {
    let mut before = shell.system.agents()?;
    let mut since = now();
    let mut shown = 0;
    while count.is_none_or(|count| shown < count) {
        shell.sleep_until(Deadline(since.saturating_add(every_ns)))?;
        let (agents, at) = (shell.system.agents()?, now());
        let (style, servers) = (shell.style(), shell.system.servers(&agents));
        // A terminal shows one picture in the place of the other.
        let clear = if style.width.is_some() { "\x1b[H\x1b[2J" } else { "" };
        let text = format!("{clear}{}", view::top(&before, &agents, at.saturating_sub(since), &servers).render(style));
        shell.print(&text);
        (before, since) = (agents, at);
        shown += 1;
    }
    Ok(())
}

pub fn caps(shell: &mut Shell, agent: Option<&AgentRef>, json: bool) -> Result<(), Fail> {
    let agents = shell.system.agents()?;
    let id = match agent {
        Some(agent) => shell.system.resolve(agent, &agents)?,
        None => own_id(),
    };
    let slots = shell.system.slots(id)?;
    // Whom a capability names was there before it.
    let agents = shell.system.agents()?;
    show(shell, &view::caps(&slots, &agents, now()), "", json);
    Ok(())
}

pub fn who_can(shell: &mut Shell, object: &ObjectRef, json: bool) -> Result<(), Fail> {
    let agents = shell.system.agents()?;
    let agent = match object {
        ObjectRef::Agent(agent) => Some(shell.system.resolve(agent, &agents)?),
        ObjectRef::Service(name) => {
            let rows = shell.system.services()?;
            let provider = rows.iter().find(|row| row.offers.split_whitespace().any(|offer| offer == name));
            Some(AgentId(provider.ok_or_else(|| Fail::other(format_args!("nobody offers `{name}`")))?.agent))
        }
        _ => None,
    };
    let mut holders = Vec::new();
    for holder in &agents {
        shell.check_interrupt()?;
        // An agent that ended meanwhile holds nothing.
        let slots = shell.system.slots(AgentId(holder.id)).unwrap_or_default();
        holders.extend(slots.into_iter().filter(|slot| object.matches(slot, agent)).map(|slot| (holder.id, slot)));
    }
    show(shell, &view::who_can(&holders, &agents, now()), "", json);
    Ok(())
}

pub fn mem(shell: &mut Shell, json: bool) -> Result<(), Fail> {
    let memory = view::mem(&shell.system.memory()?);
    if json {
        shell.print(&format!("{}\n", memory.json()));
    } else {
        show(shell, &memory.table, &memory.render(), false);
    }
    if memory.is_balanced() { Ok(()) } else { Err(Fail::other("the rows do not sum to the RAM")) }
}

pub fn sched(shell: &mut Shell, json: bool) -> Result<(), Fail> {
    let (cores, agents) = (shell.system.cores()?, shell.system.agents()?);
    show(shell, &view::sched(&cores, &agents), "", json);
    Ok(())
}

pub fn irq(shell: &mut Shell, json: bool) -> Result<(), Fail> {
    let (lines, agents) = (shell.system.irqs()?, shell.system.agents()?);
    show(shell, &view::irq(&lines, &agents), "", json);
    Ok(())
}

pub fn services(shell: &mut Shell, json: bool) -> Result<(), Fail> {
    let rows = shell.system.services()?;
    show(shell, &view::services(&rows, now()), "", json);
    Ok(())
}

const UPTIME: &[Column] = &[Column::right("uptime_ns", "UPTIME")];
const BOOT: &[Column] = &[Column::right("first_prompt_ns", "FIRST PROMPT")];

pub fn uptime(shell: &mut Shell, json: bool, boot: bool) -> Result<(), Fail> {
    if boot {
        let at = since_reset(shell.first_prompt_ns);
        one(shell, BOOT, at, &format!("first prompt {at} ns after the reset\n"), json);
        return Ok(());
    }
    let at = now();
    // How long it is says the clock that everybody may read; the rest takes a capability.
    match (shell.system.cores(), shell.system.agents()) {
        (Ok(cores), Ok(agents)) => {
            let (table, text) = view::uptime(at, &cores, agents.len());
            shell.print(&if json { format!("{}\n", table.json()) } else { text });
        }
        _ => one(shell, UPTIME, at, &format!("up {}\n", Nanos(at)), json),
    }
    Ok(())
}

/// One number.
fn one(shell: &mut Shell, columns: &'static [Column], ns: u64, text: &str, json: bool) {
    let mut table = Table::new(columns);
    table.push(vec![Cell::Nanos(ns)]);
    shell.print(&if json { format!("{}\n", table.json()) } else { text.into() });
}

/// A time since boot as time since the counter began to count.
fn since_reset(ns: u64) -> u64 {
    let clock = clock();
    aios_abi::info::Clock { origin: 0, ..clock }.nanoseconds(clock.ticks(ns))
}
