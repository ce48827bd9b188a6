//! What commands show: pure functions from the kernel's and servers' records to tables.
//!
//! The kernel's records ([`aios_abi::record`]) are the input as they come; what servers report has row types here. The
//! same functions serve the shell and the reader of a dead machine's memory.

mod agents;
mod capabilities;
mod machine;
mod services;

pub use agents::{Balance, balance, ps, top};
pub use capabilities::{caps, who_can};
pub use machine::{Memory, irq, mem, sched, uptime};
pub use services::{LogRow, ServiceRow, ServiceState, log_line, services};

use alloc::format;
use alloc::string::String;

use aios_abi::AgentId;
use aios_abi::record::AgentRecord;

use crate::table::Cell;
use crate::value::agent_name;

/// An agent's id: place and generation; `kernel` for the kernel.
fn id_cell(id: u64) -> Cell {
    let id = AgentId(id);
    if id.is_kernel() {
        return Cell::text("kernel");
    }
    match id.node() {
        0 => Cell::Text(format!("{id:?}")),
        node => Cell::Text(format!("{node}:{id:?}")),
    }
}

/// An agent as `logd(3)`; by its id if it is gone.
fn agent_text(id: u64, agents: &[AgentRecord]) -> String {
    let id = AgentId(id);
    if id.is_kernel() {
        return "kernel".into();
    }
    match agents.iter().find(|record| record.id == id.0) {
        Some(record) => format!("{}({})", agent_name(record).as_str(), id.slot()),
        None => format!("{id:?}"),
    }
}
