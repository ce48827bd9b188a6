//! `mem`, `sched`, `irq`, `uptime`.

use alloc::format;
use alloc::string::String;
use alloc::vec;

use aios_abi::limits::PAGE_SIZE;
use aios_abi::record::{AgentRecord, CoreRecord, IrqRecord, MemoryRecord};

use super::agent_text;
use crate::table::{Cell, Column, Table, Tone};
use crate::unit::{Bytes, Nanos, permille};

const MEM: &[Column] =
    &[Column::left("use", "USE"), Column::right("bytes", "SIZE"), Column::right("pages", "PAGES"), Column::right("permille", "SHARE")];

/// Where the memory is, and whether the rows account for all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// One row a use.
    pub table: Table,
    /// RAM of the machine, pages.
    pub total: u64,
    /// Sum of the rows, pages.
    pub sum: u64,
    /// Free pages, those of them that are promised to pools, and how many agents there are.
    free: u64,
    promised: u64,
    agents: u64,
}

/// Where the memory is.
pub fn mem(record: &MemoryRecord) -> Memory {
    let rows = [
        ("reserved", record.reserved),
        ("kernel", record.kernel),
        ("bundle", record.bundle),
        ("kernel tables", record.kernel_tables),
        ("objects", record.objects),
        ("page tables", record.page_tables),
        ("frames", record.frames),
        ("agent memory", record.agent_memory),
        ("free", record.free),
    ];
    let mut table = Table::new(MEM);
    let mut sum: u64 = 0;
    for (name, pages) in rows {
        sum = sum.saturating_add(pages);
        table.push(vec![
            Cell::text(name),
            Cell::Bytes(pages.saturating_mul(PAGE_SIZE as u64)),
            Cell::Number(pages),
            Cell::Permille(permille(pages, record.total)),
        ]);
    }
    Memory { table, total: record.total, sum, free: record.free, promised: record.promised, agents: record.agents }
}

impl Memory {
    /// Whether the rows sum to the RAM.
    pub fn is_balanced(&self) -> bool {
        self.sum == self.total
    }

    /// All of it as a JSON object, sizes in bytes. One line.
    pub fn json(&self) -> String {
        let bytes = |pages: u64| pages.saturating_mul(PAGE_SIZE as u64);
        format!(
            r#"{{"total_bytes":{},"used_bytes":{},"free_bytes":{},"promised_bytes":{},"agents":{},"uses":{}}}"#,
            bytes(self.total),
            bytes(self.total.saturating_sub(self.free)),
            bytes(self.free),
            bytes(self.promised),
            self.agents,
            self.table.json(),
        )
    }

    /// The last lines of `mem`. Lines end with `\n`.
    pub fn render(&self) -> String {
        let bytes = |pages: u64| Bytes(pages.saturating_mul(PAGE_SIZE as u64));
        let verdict = if self.is_balanced() {
            format!("sum {} = RAM", bytes(self.sum))
        } else {
            let off = self.sum.abs_diff(self.total);
            let side = if self.sum < self.total { "unaccounted for" } else { "counted twice" };
            format!("sum {} but RAM is {}: {off} pages {side}", bytes(self.sum), bytes(self.total))
        };
        format!("{verdict}; {} of the free promised to pools; {} agents\n", bytes(self.promised), self.agents)
    }
}

const SCHED: &[Column] = &[
    Column::right("core", "CORE"),
    Column::right("up_ns", "UP"),
    Column::right("busy_permille", "BUSY"),
    Column::right("agents_ns", "AGENTS' TIME"),
    Column::right("kernel_ns", "KERNEL"),
    Column::right("idle_ns", "IDLE"),
    Column::right("edf_permille", "EDF"),
    Column::right("agents", "AGENTS"),
    Column::right("switches", "SWITCHES"),
    Column::right("calls", "CALLS"),
    Column::right("interrupts", "INTERRUPTS"),
    Column::right("ring_messages", "FROM CORES"),
    Column::right("epochs", "EPOCHS"),
    Column::left("running", "RUNNING"),
];

/// The cores.
pub fn sched(cores: &[CoreRecord], agents: &[AgentRecord]) -> Table {
    let mut table = Table::new(SCHED);
    for core in cores {
        let running =
            if core.running == 0 { Cell::State("idle".into(), Tone::Quiet) } else { Cell::Text(agent_text(core.running, agents)) };
        table.push(vec![
            Cell::Number(core.core),
            Cell::Nanos(core.up_ns),
            Cell::Permille(permille(core.up_ns.saturating_sub(core.idle_ns), core.up_ns)),
            Cell::Nanos(core.agents_ns),
            Cell::Nanos(core.kernel_ns),
            Cell::Nanos(core.idle_ns),
            Cell::Permille(permille(core.admitted, 1 << 16)),
            Cell::Number(core.agents),
            Cell::Number(core.switches),
            Cell::Number(core.calls),
            Cell::Number(core.interrupts),
            Cell::Number(core.ring_messages),
            Cell::Number(core.epochs),
            running,
        ]);
    }
    table
}

const IRQ: &[Column] = &[
    Column::right("line", "LINE"),
    Column::left("agent", "AGENT"),
    Column::right("core", "CORE"),
    Column::right("count", "COUNT"),
    Column::left("state", "STATE"),
    Column::right("bits", "BITS"),
];

/// The interrupt lines in use.
pub fn irq(lines: &[IrqRecord], agents: &[AgentRecord]) -> Table {
    let mut table = Table::new(IRQ);
    for line in lines {
        let state = match line.masked {
            0 => Cell::State("armed".into(), Tone::Good),
            _ => Cell::State("awaits ack".into(), Tone::Warning),
        };
        table.push(vec![
            Cell::Number(line.line),
            Cell::Text(agent_text(line.agent, agents)),
            Cell::Number(line.core),
            Cell::Number(line.count),
            state,
            Cell::Hex(line.bits),
        ]);
    }
    table
}

const UPTIME: &[Column] = &[
    Column::right("uptime_ns", "UPTIME"),
    Column::right("cores", "CORES"),
    Column::right("busy_permille", "BUSY"),
    Column::right("agents", "AGENTS"),
];

/// How long the system has been up: one row for JSON, one sentence for people, which ends with `\n`.
pub fn uptime(now_ns: u64, cores: &[CoreRecord], agents: usize) -> (Table, String) {
    let sum = |of: fn(&CoreRecord) -> u64| cores.iter().map(of).fold(0, u64::saturating_add);
    let (up, idle) = (sum(|core| core.up_ns), sum(|core| core.idle_ns));
    let busy = permille(up.saturating_sub(idle), up);
    let mut table = Table::new(UPTIME);
    let count = cores.len() as u64;
    table.push(vec![Cell::Nanos(now_ns), Cell::Number(count), Cell::Permille(busy), Cell::Number(agents as u64)]);
    let plural = if count == 1 { "" } else { "s" };
    let text = format!("up {}, {count} core{plural} {} busy, {agents} agents\n", Nanos(now_ns), crate::unit::Permille(busy));
    (table, text)
}
