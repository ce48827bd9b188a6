//! Commands that change something. What an operator changed is in the log.

use alloc::format;

use aios_abi::info::Word;
use aios_abi::record::IrqRecord;
use aios_abi::{AgentId, Error};
use aios_proto::Error as CallError;
use aios_proto::supervisor::{Arguments, Name, Reason};
use aios_rt::info::word;
use aios_rt::slot::Agent;
use aios_rt::time::{Deadline, now};
use aios_shell_core::value::{AgentRef, SlotRef};
use aios_shell_core::view::ServiceRow;

use crate::fail::Fail;
use crate::shell::Shell;
use crate::system::{CONTROL, POWER, SPAWN, deadline, handle, own_id, reason};
use crate::terminal::CONSOLE;

/// How long the servers may take to stop, ns: more than all their grace times.
const STOP_NS: u64 = 60_000_000_000;
/// How long to wait for the end of a program before looking for Ctrl-C, ns.
const LOOK_NS: u64 = 100_000_000;
/// How long an agent that can't be moved just then is asked to move, and the time between two tries, ns.
const MOVE_NS: u64 = 500_000_000;
const MOVE_AGAIN_NS: u64 = 500_000;

fn name(text: &str) -> Result<Name<'_>, Fail> {
    Name::new(text).map_err(|_| Fail::other(format_args!("`{text}` is longer than {} bytes", Name::MAX)))
}

pub fn spawn(shell: &mut Shell, program: &str, arguments: &str, core: Option<u64>, wait: bool) -> Result<(), Fail> {
    let cores = word(Word::Cores);
    if let Some(core) = core.filter(|core| *core >= cores) {
        return Err(Fail::other(format_args!("there is no core {core}; the machine has {cores}, counted from 0")));
    }
    let id = start(shell, program, arguments, core)?;
    shell.print(&format!("{program} is agent {id:?}\n"));
    defmt::info!("started {=str} as {=u64:#x}", program, id.0);
    if wait { await_end(shell, program, id) } else { Ok(()) }
}

/// Moves an agent. One that others wait for, or that waits itself, can't be moved just then: the next moment it may be.
fn move_to(shell: &mut Shell, id: AgentId, core: u64) -> Result<(), Fail> {
    let until = Deadline::after(MOVE_NS);
    loop {
        match shell.system.control(id, |agent| Ok(agent.migrate(core)))? {
            Err(Error::Busy) if now() < until.0 => shell.sleep_until(Deadline::after(MOVE_AGAIN_NS))?,
            Err(error @ (Error::Busy | Error::WrongState)) => return Err(stays(shell, id, error)),
            result => return result.map_err(|error| Fail::of(CONTROL, error)),
        }
    }
}

/// Why an agent stays on its core, as far as the shell may know.
fn stays(shell: &mut Shell, id: AgentId, error: Error) -> Fail {
    let reason = match error {
        Error::WrongState => {
            "it has a reservation (EDF), which was admitted on its core and stays there; agents of the fair class can be moved"
        }
        _ => {
            "it waits for an answer, somebody waits for one from it, or an operation of its is under way; it can be moved when that is over"
        }
    };
    let lines = shell.system.irqs().unwrap_or_default();
    match lines.iter().find(|line| line.agent == id.0) {
        Some(IrqRecord { line, core, .. }) => Fail::other(format_args!(
            "can't be moved: interrupt line {line} is bound to it on core {core} and stays there; agents without interrupt lines can be moved"
        )),
        None => Fail::other(format_args!("can't be moved: {reason}")),
    }
}

/// Waits for the end of a program. Whoever interrupts that leaves it running.
fn await_end(shell: &mut Shell, program: &str, id: AgentId) -> Result<(), Fail> {
    loop {
        shell.check_interrupt()?;
        match shell.system.supervisor().wait(id.0, Deadline::after(LOOK_NS).0) {
            Err(CallError::Timeout) => {}
            Ok(end) => {
                let text = format!("{program} ended: {}", reason(end).unwrap_or_default());
                if end != Reason::Exited(0) {
                    return Err(Fail::other(text));
                }
                shell.print(&format!("{text}\n"));
                return Ok(());
            }
            Err(error) => return Err(Fail::call(SPAWN, error)),
        }
    }
}

/// Starts a program on this core, or on the supervisor's.
pub fn start(shell: &Shell, program: &str, arguments: &str, core: Option<u64>) -> Result<AgentId, Fail> {
    let words = Arguments::new(arguments).map_err(|_| Fail::other(format_args!("more than {} bytes of arguments", Arguments::MAX)))?;
    // What is no core's number for the supervisor is none for the kernel.
    let core = core.map(|core| u32::try_from(core).unwrap_or(u32::MAX));
    let id = shell.system.supervisor().spawn(name(program)?, words, core, deadline()).map_err(|error| Fail::call(SPAWN, error))?;
    Ok(AgentId(id))
}

pub fn kill(shell: &mut Shell, agent: &AgentRef) -> Result<(), Fail> {
    let id = shell.system.find(agent)?;
    shell.system.supervisor().kill(id.0, deadline()).map_err(|error| Fail::call(CONTROL, error))?;
    defmt::info!("killed {=u64:#x}", id.0);
    Ok(())
}

pub fn suspend(shell: &mut Shell, agent: &AgentRef) -> Result<(), Fail> {
    let id = shell.system.find(agent)?;
    if let Some(lifeline) = lifeline(shell, |row| row.agent == id.0) {
        return Err(Fail::other(format_args!("nobody could resume {lifeline}")));
    }
    shell.system.control(id, Agent::suspend)?;
    defmt::info!("suspended {=u64:#x}", id.0);
    Ok(())
}

pub fn resume(shell: &mut Shell, agent: &AgentRef) -> Result<(), Fail> {
    let id = shell.system.find(agent)?;
    shell.system.control(id, Agent::resume)?;
    defmt::info!("resumed {=u64:#x}", id.0);
    Ok(())
}

pub fn migrate(shell: &mut Shell, agent: &AgentRef, core: u64) -> Result<(), Fail> {
    let id = shell.system.find(agent)?;
    move_to(shell, id, core)?;
    defmt::info!("moved {=u64:#x} to core {=u64}", id.0, core);
    Ok(())
}

pub fn restart(shell: &mut Shell, server: &str) -> Result<(), Fail> {
    shell.system.supervisor().restart(name(server)?, deadline()).map_err(|error| Fail::call(CONTROL, error))?;
    defmt::info!("restarted {=str}", server);
    Ok(())
}

pub fn stop(shell: &mut Shell, server: &str) -> Result<(), Fail> {
    if let Some(lifeline) = lifeline(shell, |row| row.name == server) {
        return Err(Fail::other(format_args!("nobody could start {lifeline} again; `restart` is allowed")));
    }
    shell.system.supervisor().stop(name(server)?, deadline()).map_err(|error| Fail::call(CONTROL, error))?;
    defmt::info!("stopped {=str}", server);
    Ok(())
}

pub fn start_server(shell: &mut Shell, server: &str) -> Result<(), Fail> {
    shell.system.supervisor().start(name(server)?, deadline()).map_err(|error| Fail::call(CONTROL, error))?;
    defmt::info!("started {=str}", server);
    Ok(())
}

/// What the operator would lose with this server: the shell, or the console that it speaks through.
fn lifeline(shell: &mut Shell, is_it: impl Fn(&ServiceRow) -> bool) -> Option<&'static str> {
    let rows = shell.system.services().unwrap_or_default();
    let row = rows.iter().find(|row| is_it(row))?;
    match row.offers.split(' ').any(|name| name == CONSOLE) {
        _ if row.agent == own_id().0 => Some("this shell"),
        true => Some("the console"),
        false => None,
    }
}

pub fn revoke(shell: &mut Shell, agent: &AgentRef, slot: SlotRef) -> Result<(), Fail> {
    let id = shell.system.find(agent)?;
    let slots = shell.system.slots(id)?;
    let place = slots.iter().find(|record| slot.names(record));
    let place = place.ok_or_else(|| Fail::other(format_args!("{agent} has nothing in slot {}", slot.index)))?;
    shell.system.supervisor().revoke(id.0, handle(place).0, deadline()).map_err(|error| Fail::call(CONTROL, error))?;
    defmt::info!("revoked slot {=u64} of {=u64:#x}", u64::from(slot.index), id.0);
    Ok(())
}

pub fn shutdown(shell: &mut Shell) -> Result<(), Fail> {
    shell.system.supervisor().shutdown(deadline()).map_err(|error| Fail::call(POWER, error))?;
    defmt::info!("asked to switch the machine off");
    stopping(shell)
}

pub fn reboot(shell: &mut Shell) -> Result<(), Fail> {
    shell.system.supervisor().reboot(deadline()).map_err(|error| Fail::call(POWER, error))?;
    defmt::info!("asked to reset the machine");
    stopping(shell)
}

/// The supervisor has promised to stop the system, the shell first.
fn stopping(shell: &mut Shell) -> Result<(), Fail> {
    if shell.await_stop(Deadline::after(STOP_NS)) { Ok(()) } else { Err(Fail::other("the system does not stop")) }
}
