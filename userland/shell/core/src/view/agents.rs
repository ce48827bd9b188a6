//! `ps` and `top`.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use aios_abi::limits::PAGE_SIZE;
use aios_abi::record::{AgentRecord, AgentState, CoreRecord};

use super::id_cell;
use crate::table::{Cell, Column, Table, Tone};
use crate::unit::{Nanos, Permille, permille};
use crate::value::{ServerName, agent_name, is_impostor};

const COLUMNS: &[Column] = &[
    Column::right("id", "ID"),
    Column::left("name", "NAME"),
    Column::left("state", "STATE"),
    Column::right("core", "CORE"),
    Column::left("class", "CLASS"),
    Column::right("cpu_ns", "CPU TIME"),
    Column::right("cpu_permille", "CPU %"),
    Column::right("memory_bytes", "MEMORY"),
    Column::right("quota_bytes", "QUOTA"),
    Column::right("messages", "MSGS"),
    Column::right("restarts", "RST"),
];

/// The agents, by id, with their shares of the time since boot on one core. Who bears the name of one of the servers and is not it has a `~` before it.
pub fn ps(agents: &[AgentRecord], cores: &[CoreRecord], servers: &[ServerName]) -> Table {
    let up_ns = cores.iter().map(|core| core.up_ns).max().unwrap_or(0);
    let mut sorted: Vec<&AgentRecord> = agents.iter().collect();
    sorted.sort_by_key(|agent| agent.id);
    let mut table = Table::new(COLUMNS);
    for agent in sorted {
        table.push(row(agent, permille(agent.cpu_ns, up_ns), servers));
    }
    table
}

/// The agents, the busiest between two pictures first. `elapsed_ns` is the time between the pictures; a share of
/// 100 % is one core. Names are as in [`ps`].
pub fn top(before: &[AgentRecord], now: &[AgentRecord], elapsed_ns: u64, servers: &[ServerName]) -> Table {
    let used = |agent: &AgentRecord| {
        let earlier = before.iter().find(|earlier| earlier.id == agent.id).map_or(0, |earlier| earlier.cpu_ns);
        agent.cpu_ns.saturating_sub(earlier)
    };
    let mut sorted: Vec<(u64, &AgentRecord)> = now.iter().map(|agent| (used(agent), agent)).collect();
    sorted.sort_by_key(|(used, agent)| (core::cmp::Reverse(*used), agent.id));
    let mut table = Table::new(COLUMNS);
    for (used, agent) in sorted {
        table.push(row(agent, permille(used, elapsed_ns), servers));
    }
    table
}

fn row(agent: &AgentRecord, share: u64, servers: &[ServerName]) -> Vec<Cell> {
    let mark = if is_impostor(agent, servers) { "~" } else { "" };
    vec![
        id_cell(agent.id),
        Cell::Text(format!("{mark}{}", agent_name(agent).as_str())),
        state(agent),
        Cell::Number(agent.core),
        class(agent),
        Cell::Nanos(agent.cpu_ns),
        Cell::Permille(share),
        Cell::Bytes(agent.pages_used.saturating_mul(PAGE_SIZE as u64)),
        Cell::Bytes(agent.pages_quota.saturating_mul(PAGE_SIZE as u64)),
        Cell::Number(agent.received),
        // The first run is no restart.
        Cell::Number(agent.incarnation.saturating_sub(1)),
    ]
}

/// The state; bit 8 of the record's word is suspension.
fn state(agent: &AgentRecord) -> Cell {
    let Some(state) = AgentState::from_code(agent.state & 0xff) else {
        return Cell::State(format!("state {}", agent.state), Tone::Bad);
    };
    if agent.state & (1 << 8) != 0 {
        return Cell::State(format!("suspended ({})", state.name()), Tone::Warning);
    }
    let tone = match state {
        AgentState::Ready => Tone::Good,
        AgentState::Faulted => Tone::Bad,
        AgentState::New | AgentState::Dying => Tone::Warning,
        AgentState::Receiving | AgentState::Calling | AgentState::AwaitingReply | AgentState::Remote => Tone::Quiet,
    };
    Cell::State(state.name().into(), tone)
}

fn class(agent: &AgentRecord) -> Cell {
    match agent.class {
        0 => Cell::Text(format!("fair {}", agent.weight)),
        _ => {
            let (budget_us, period_us) = (agent.weight / 1_000, agent.period_ns / 1_000);
            Cell::Text(format!("edf {}.{:02}/{} ms", budget_us / 1_000, budget_us % 1_000 / 10, period_us / 1_000))
        }
    }
}

/// Where the cores' time went: it must sum to cores × uptime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// Cores.
    pub cores: u64,
    /// Sum of the cores' uptimes, ns.
    pub available_ns: u64,
    /// Charged to agents alive, ns.
    pub agents_ns: u64,
    /// Charged to agents that are gone, ns.
    pub gone_ns: u64,
    /// In the kernel on behalf of nobody, ns.
    pub kernel_ns: u64,
    /// Idle, ns.
    pub idle_ns: u64,
}

/// Adds up where the time went: each core's own sums, which it took at one moment. The agents' rows were read at other moments.
pub fn balance(cores: &[CoreRecord]) -> Balance {
    let sum = |of: fn(&CoreRecord) -> u64| cores.iter().map(of).fold(0, u64::saturating_add);
    Balance {
        cores: cores.len() as u64,
        available_ns: sum(|core| core.up_ns),
        agents_ns: sum(|core| core.agents_ns),
        gone_ns: sum(|core| core.gone_ns),
        kernel_ns: sum(|core| core.kernel_ns),
        idle_ns: sum(|core| core.idle_ns),
    }
}

impl Balance {
    /// Everything that is accounted for, ns.
    pub fn accounted_ns(&self) -> u64 {
        [self.agents_ns, self.gone_ns, self.kernel_ns, self.idle_ns].into_iter().fold(0, u64::saturating_add)
    }

    /// How far the books are off, in thousandths of the time available.
    pub fn error_permille(&self) -> u64 {
        permille(self.accounted_ns().abs_diff(self.available_ns), self.available_ns)
    }

    /// The last lines of `ps`. Lines end with `\n`.
    pub fn render(&self) -> String {
        let share = |ns| Permille(permille(ns, self.available_ns));
        format!(
            "agents {} + gone {} + kernel {} + idle {} = {} of {} core{} x uptime ({})\n",
            Nanos(self.agents_ns),
            Nanos(self.gone_ns),
            Nanos(self.kernel_ns),
            Nanos(self.idle_ns),
            share(self.accounted_ns()),
            self.cores,
            if self.cores == 1 { "" } else { "s" },
            Nanos(self.available_ns),
        )
    }
}
