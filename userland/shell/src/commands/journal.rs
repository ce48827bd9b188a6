//! The log.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use aios_abi::AgentId;
use aios_abi::record::AgentRecord;
use aios_logd_core::{Body, Level, Name, Record};
use aios_proto::log::{Entry, Filter};
use aios_proto::{Error as CallError, types};
use aios_rt::peer::Failure;
use aios_rt::time::Deadline;
use aios_shell_core::value::{AgentRef, agent_name};
use aios_shell_core::view;

use crate::fail::Fail;
use crate::shell::Shell;
use crate::system::{deadline, log_failed};

/// How long to wait for records before looking for Ctrl-C, ns.
const LOOK_NS: u64 = 100_000_000;

/// A record, and how many before it are lost.
type Line = (Record, u64);

/// Records from a number on.
struct Read {
    lines: Vec<Line>,
    next: u64,
}

pub fn log(shell: &mut Shell, follow: bool, lines: u64, level: Level, agent: Option<&AgentRef>) -> Result<(), Fail> {
    let agent = agent.map(|agent| shell.system.find(agent)).transpose()?;
    let wanted = Filter { level: level_of(level), agent: agent.map(|agent| agent.0) };
    // Names are worth having, and can be done without.
    let agents = shell.system.agents().unwrap_or_default();
    let (tail, next) = tail(shell, wanted, usize::try_from(lines).unwrap_or(usize::MAX), &agents)?;
    show(shell, tail);
    if follow { follow_on(shell, next, wanted, &agents) } else { Ok(()) }
}

/// Shows what comes, until Ctrl-C.
fn follow_on(shell: &mut Shell, mut next: u64, wanted: Filter, agents: &[AgentRecord]) -> Result<(), Fail> {
    loop {
        shell.check_interrupt()?;
        match ask(shell, next, wanted, true, agents) {
            Ok(read) => {
                show(shell, read.lines);
                next = read.next;
            }
            Err(Failure::Call(CallError::Timeout)) => {}
            Err(failure) => return Err(log_failed(failure)),
        }
    }
}

/// The last records that the log has, and where to go on.
fn tail(shell: &mut Shell, wanted: Filter, count: usize, agents: &[AgentRecord]) -> Result<(VecDeque<Line>, u64), Fail> {
    let (mut tail, mut next) = (VecDeque::new(), 0);
    loop {
        shell.check_interrupt()?;
        let read = ask(shell, next, wanted, false, agents).map_err(log_failed)?;
        next = read.next;
        if read.lines.is_empty() {
            return Ok((tail, next));
        }
        tail.extend(read.lines);
        tail.drain(..tail.len().saturating_sub(count));
    }
}

fn ask(
    shell: &mut Shell,
    start: u64,
    wanted: Filter,
    follow: bool,
    agents: &[AgentRecord],
) -> Result<Read, Failure<aios_proto::log::Error>> {
    shell.system.log(|client| {
        let batch =
            if follow { client.follow(start, wanted, Deadline::after(LOOK_NS).0)? } else { client.read(start, wanted, deadline())? };
        let mut lost = batch.lost;
        let lines = batch.entries.iter().map(|entry| (record(entry, agents), core::mem::take(&mut lost))).collect();
        Ok(Read { lines, next: batch.next })
    })
}

fn show(shell: &mut Shell, lines: impl IntoIterator<Item = Line>) {
    let style = shell.style();
    let text: String = lines.into_iter().map(|(record, lost)| view::log_line(&record, lost, style)).collect();
    if !text.is_empty() {
        shell.print(&text);
    }
}

/// A record as it is shown. An agent that is gone is called by what its record is about.
fn record(entry: &Entry<'_>, agents: &[AgentRecord]) -> Record {
    let name = agents.iter().find(|agent| agent.id == entry.agent).map_or_else(|| Name::new(&entry.target), agent_name);
    Record {
        sequence: entry.sequence,
        time_ns: entry.time,
        level: level_from(entry.level),
        agent: AgentId(entry.agent),
        name,
        target: entry.target.to_string(),
        body: match entry.image {
            Some(image_digest_tag) => Body::Defmt { image_digest_tag, frame: entry.message.to_vec() },
            None => Body::Text(String::from_utf8_lossy(&entry.message).into_owned()),
        },
    }
}

const fn level_of(level: Level) -> types::Level {
    match level {
        Level::Error => types::Level::Error,
        Level::Warn => types::Level::Warn,
        Level::Info => types::Level::Info,
        Level::Debug => types::Level::Debug,
        Level::Trace => types::Level::Trace,
    }
}

const fn level_from(level: types::Level) -> Level {
    match level {
        types::Level::Error => Level::Error,
        types::Level::Warn => Level::Warn,
        types::Level::Info => Level::Info,
        types::Level::Debug => Level::Debug,
        types::Level::Trace => Level::Trace,
    }
}
