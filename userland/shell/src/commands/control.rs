//! Commands that change something.

use alloc::format;

use aios_abi::AgentId;
use aios_proto::supervisor::{Arguments, Name};
use aios_rt::slot::Agent;
use aios_rt::time::Deadline;
use aios_shell_core::value::{AgentRef, SlotRef};

use crate::fail::Fail;
use crate::shell::Shell;
use crate::system::{CONTROL, POWER, SPAWN, deadline, handle, own_id};

/// How long the servers may take to stop, ns: more than all their grace times.
const STOP_NS: u64 = 60_000_000_000;

fn name(text: &str) -> Result<Name<'_>, Fail> {
    Name::new(text).map_err(|_| Fail::other(format_args!("`{text}` is longer than {} bytes", Name::MAX)))
}

pub fn spawn(shell: &mut Shell, program: &str, arguments: &str, core: Option<u64>) -> Result<(), Fail> {
    let id = start(shell, program, arguments)?;
    if let Some(core) = core {
        shell.system.control(id, |agent| agent.migrate(core))?;
    }
    shell.print(&format!("{program} is agent {id:?}\n"));
    Ok(())
}

/// Starts a program.
pub fn start(shell: &Shell, program: &str, arguments: &str) -> Result<AgentId, Fail> {
    let words = Arguments::new(arguments).map_err(|_| Fail::other(format_args!("more than {} bytes of arguments", Arguments::MAX)))?;
    let id = shell.system.supervisor().spawn(name(program)?, words, deadline()).map_err(|error| Fail::call(SPAWN, error))?;
    Ok(AgentId(id))
}

pub fn kill(shell: &mut Shell, agent: &AgentRef) -> Result<(), Fail> {
    let id = shell.system.find(agent)?;
    shell.system.supervisor().kill(id.0, deadline()).map_err(|error| Fail::call(CONTROL, error))
}

pub fn suspend(shell: &mut Shell, agent: &AgentRef) -> Result<(), Fail> {
    let id = shell.system.find(agent)?;
    if id == own_id() {
        return Err(Fail::other("nobody could resume this shell"));
    }
    shell.system.control(id, Agent::suspend)
}

pub fn resume(shell: &mut Shell, agent: &AgentRef) -> Result<(), Fail> {
    let id = shell.system.find(agent)?;
    shell.system.control(id, Agent::resume)
}

pub fn migrate(shell: &mut Shell, agent: &AgentRef, core: u64) -> Result<(), Fail> {
    let id = shell.system.find(agent)?;
    shell.system.control(id, |agent| agent.migrate(core))
}

pub fn restart(shell: &mut Shell, server: &str) -> Result<(), Fail> {
    shell.system.supervisor().restart(name(server)?, deadline()).map_err(|error| Fail::call(CONTROL, error))
}

pub fn revoke(shell: &mut Shell, agent: &AgentRef, slot: SlotRef) -> Result<(), Fail> {
    let id = shell.system.find(agent)?;
    let slots = shell.system.slots(id)?;
    let place = slots.iter().find(|record| slot.names(record));
    let place = place.ok_or_else(|| Fail::other(format_args!("{agent} has nothing in slot {}", slot.index)))?;
    shell.system.supervisor().revoke(id.0, handle(place).0, deadline()).map_err(|error| Fail::call(CONTROL, error))
}

pub fn shutdown(shell: &mut Shell) -> Result<(), Fail> {
    shell.system.supervisor().shutdown(deadline()).map_err(|error| Fail::call(POWER, error))?;
    stopping(shell)
}

pub fn reboot(shell: &mut Shell) -> Result<(), Fail> {
    shell.system.supervisor().reboot(deadline()).map_err(|error| Fail::call(POWER, error))?;
    stopping(shell)
}

/// The supervisor has promised to stop the system, the shell first.
fn stopping(shell: &mut Shell) -> Result<(), Fail> {
    if shell.await_stop(Deadline::after(STOP_NS)) { Ok(()) } else { Err(Fail::other("the system does not stop")) }
}
