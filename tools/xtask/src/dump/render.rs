//! The report, as tables or as JSON: both from the same cells, and from the shell's own views where there are such.

use std::io::{IsTerminal, Write, stdout};
use std::path::Path;

use aios_abi::AgentId;
use aios_abi::message::Received;
use aios_abi::record::AgentRecord;
use aios_dump::mailbox::Letter;
use aios_dump::state::PoolRow;
use aios_dump::{Epitaph, State};
use aios_shell_core::table::{Column, Style, Tone};
use aios_shell_core::unit::{Bytes, Nanos};
use aios_shell_core::value::agent_name;
use aios_shell_core::{Cell, Table, view};
use anyhow::Result;
use serde_json::{Map, Value, json};

use super::Report;

const PAGE: u64 = aios_abi::limits::PAGE_SIZE as u64;

const PLACES: &[Column] = &[
    Column::right("id", "ID"),
    Column::left("name", "NAME"),
    Column::right("pc", "PC"),
    Column::left("peer", "WAITS FOR"),
    Column::left("supervisor", "SUPERVISOR"),
    Column::left("parent", "PARENT"),
    Column::right("mailbox_used_bytes", "MAILBOX"),
    Column::right("mailbox_bytes", "ROOM"),
    Column::right("slots", "SLOTS"),
    Column::right("notifications", "NOTIFIED"),
    Column::right("faults", "FAULTS"),
];

const LETTERS: &[Column] = &[
    Column::left("receiver", "TO"),
    Column::left("sender", "FROM"),
    Column::left("kind", "KIND"),
    Column::left("place", "WHERE"),
    Column::right("length_bytes", "LENGTH"),
    Column::right("caps", "CAPS"),
    Column::right("badge", "BADGE"),
    Column::right("message", "MESSAGE"),
    Column::right("head", "FIRST WORD"),
];

const POOLS: &[Column] = &[
    Column::left("owner", "OWNER"),
    Column::right("index", "POOL"),
    Column::right("used_bytes", "USED"),
    Column::right("quota_bytes", "QUOTA"),
    Column::right("free_bytes", "FREE"),
];

/// Prints the report. `root` is the folder of the sources, which people know.
pub fn print(report: &Report, root: &Path, json: bool) -> Result<()> {
    let text = if json { format!("{}\n", object(report)) } else { tables(report, root, style()) };
    match stdout().lock().write_all(text.as_bytes()) {
        // `| head` is no failure.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn style() -> Style {
    let out = stdout();
    if !out.is_terminal() {
        return Style::PLAIN;
    }
    let width = rustix::termios::tcgetwinsize(&out).ok().map(|size| size.ws_col).filter(|&columns| columns != 0);
    Style { width, colour: std::env::var_os("NO_COLOR").is_none() }
}

fn tables(report: &Report, root: &Path, style: Style) -> String {
    let state = &report.state;
    let mut out = format!("kernel at {:#x}, up {}; memory", report.kernel_at, Nanos(state.now_ns));
    for (base, length) in &report.memory {
        out += &format!(" {} at {base:#x}", Bytes(*length));
    }
    out.push('\n');
    match &state.epitaph {
        Some(epitaph) => out += &format!("{}\n", epitaph.to_string().replace(&format!("{}/", root.display()), "")),
        None => out += "no kernel panic\n",
    }
    let mut section = |title: &str, text: String| {
        out += &if style.colour { format!("\n\x1b[1m{title}\x1b[0m\n{text}") } else { format!("\n{title}\n{text}") };
    };
    if !state.notes.is_empty() {
        section("NOTES", state.notes.iter().map(|note| format!("{note}\n")).collect());
    }
    section("CORES", view::sched(&state.cores, &state.agents).render(style));
    section("AGENTS", view::ps(&state.agents, &state.cores, &[]).render(style));
    section("WHERE THEY ARE", places(state).render(style));
    for (id, slots) in &state.slots {
        let title = format!("CAPABILITIES OF {}", agent_text(*id, &state.agents));
        section(&title, view::caps(slots, &state.agents, state.now_ns).render(style));
    }
    let waiting = if state.letters.is_empty() { "empty\n".to_owned() } else { letters(state).render(style) };
    section("MAILBOXES", waiting);
    section("POOLS", pools(state).render(style));
    let memory = view::mem(&state.memory);
    section("MEMORY", memory.table.render(style) + &memory.render());
    section("INTERRUPTS", view::irq(&state.irqs, &state.agents).render(style));
    out
}

/// The report for programs: numbers in base units.
pub fn object(report: &Report) -> Value {
    let state = &report.state;
    let cells = |table: &Table| serde_json::to_value(table).unwrap_or_default();
    let capabilities: Map<String, Value> = state
        .slots
        .iter()
        .map(|(id, slots)| (format!("{:?}", AgentId(*id)), cells(&view::caps(slots, &state.agents, state.now_ns))))
        .collect();
    let memory: Value = serde_json::from_str(&view::mem(&state.memory).json()).unwrap_or_default();
    json!({
        "kernel_at": report.kernel_at,
        "image": report.memory.iter().map(|(base, length)| json!({ "base": base, "bytes": length })).collect::<Vec<_>>(),
        "up_ns": state.now_ns,
        "epitaph": state.epitaph.as_ref().map(epitaph),
        "notes": state.notes,
        "cores": cells(&view::sched(&state.cores, &state.agents)),
        "agents": cells(&view::ps(&state.agents, &state.cores, &[])),
        "places": cells(&places(state)),
        "capabilities": capabilities,
        "mailboxes": cells(&letters(state)),
        "pools": cells(&pools(state)),
        "memory": memory,
        "interrupts": cells(&view::irq(&state.irqs, &state.agents)),
    })
}

fn epitaph(epitaph: &Epitaph) -> Value {
    let Epitaph { core, cause, esr, far, elr, lr, sp, time_ns, agent, message, elr_place, lr_place } = epitaph;
    json!({
        "message": message, "core": core, "agent": agent, "cause": cause, "time_ns": time_ns,
        "esr": esr, "far": far, "elr": elr, "lr": lr, "sp": sp, "elr_place": elr_place, "lr_place": lr_place,
    })
}

fn places(state: &State) -> Table {
    let agents = &state.agents;
    let mut sorted: Vec<&AgentRecord> = agents.iter().collect();
    sorted.sort_by_key(|agent| agent.id);
    let mut table = Table::new(PLACES);
    for agent in sorted {
        table.push(vec![
            Cell::Text(format!("{:?}", AgentId(agent.id))),
            Cell::text(agent_name(agent).as_str()),
            Cell::Hex(agent.pc),
            if agent.peer == 0 { Cell::None } else { Cell::Text(agent_text(agent.peer, agents)) },
            Cell::Text(agent_text(agent.supervisor, agents)),
            Cell::Text(agent_text(agent.parent, agents)),
            Cell::Bytes(agent.mailbox_used),
            Cell::Bytes(agent.mailbox_size),
            Cell::Number(agent.slots_used),
            Cell::Hex(agent.notifications),
            Cell::Number(agent.faults),
        ]);
    }
    table
}

fn letters(state: &State) -> Table {
    let mut table = Table::new(LETTERS);
    for letter in &state.letters {
        let Letter { receiver, sender, kind, sender_waits, length, caps, badge, message, head } = *letter;
        let kind = match kind {
            Received::Message => Cell::text("message"),
            Received::Call => Cell::text("call"),
            Received::Reply => Cell::text("reply"),
            Received::Notification => Cell::text("notification"),
            Received::Fault => Cell::State("fault".into(), Tone::Bad),
            Received::Nothing => Cell::State("unknown".into(), Tone::Warning),
        };
        table.push(vec![
            Cell::Text(agent_text(receiver, &state.agents)),
            Cell::Text(agent_text(sender, &state.agents)),
            kind,
            Cell::text(if sender_waits { "queue" } else { "mailbox" }),
            Cell::Bytes(length),
            Cell::Number(caps),
            Cell::Hex(badge),
            Cell::Hex(message),
            head.map_or(Cell::None, Cell::Hex),
        ]);
    }
    table
}

fn pools(state: &State) -> Table {
    let mut table = Table::new(POOLS);
    let bytes = |pages: u64| Cell::Bytes(pages.saturating_mul(PAGE));
    for PoolRow { owner, index, used, quota } in &state.pools {
        let owner = Cell::Text(agent_text(*owner, &state.agents));
        table.push(vec![owner, Cell::Number(*index), bytes(*used), bytes(*quota), bytes(quota.saturating_sub(*used))]);
    }
    table
}

/// An agent as `logd(3)`; by its id if it is gone.
fn agent_text(id: u64, agents: &[AgentRecord]) -> String {
    let id = AgentId(id);
    match agents.iter().find(|agent| agent.id == id.0) {
        _ if id.is_kernel() => "kernel".to_owned(),
        Some(agent) => format!("{}({})", agent_name(agent).as_str(), id.slot()),
        None => format!("{id:?}"),
    }
}
