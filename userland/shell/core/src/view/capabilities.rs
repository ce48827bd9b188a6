//! `caps` and `who-can`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use aios_abi::limits::PAGE_SIZE;
use aios_abi::record::{AgentRecord, SlotRecord};
use aios_abi::rights::{Kind, Rights};
use aios_abi::{AgentId, Error, SlotHandle};

use super::{agent_text, id_cell};
use crate::table::{Cell, Column, Table, Tone};

const CAPS: &[Column] = &[
    Column::right("slot", "SLOT"),
    Column::left("kind", "KIND"),
    Column::left("object", "OBJECT"),
    Column::left("rights", "RIGHTS"),
    Column::right("expiry_ns", "EXPIRES IN"),
    Column::right("node", "NODE"),
    Column::right("parent", "PARENT"),
    Column::left("from", "FROM"),
    Column::left("status", "STATUS"),
];

const WHO_CAN: &[Column] = &[
    Column::right("id", "ID"),
    Column::left("name", "NAME"),
    Column::right("slot", "SLOT"),
    Column::left("kind", "KIND"),
    Column::left("object", "OBJECT"),
    Column::left("rights", "RIGHTS"),
    Column::right("expiry_ns", "EXPIRES IN"),
    Column::left("from", "FROM"),
    Column::left("status", "STATUS"),
];

/// The capabilities of one agent. `agents` gives ids their names.
pub fn caps(slots: &[SlotRecord], agents: &[AgentRecord], now_ns: u64) -> Table {
    let mut table = Table::new(CAPS);
    for slot in slots {
        let [handle, kind, object, rights, expiry] = common(slot, agents, now_ns);
        let parent = if slot.parent == 0 { Cell::None } else { Cell::Number(slot.parent) };
        let from = Cell::Text(agent_text(slot.deriver, agents));
        table.push(vec![handle, kind, object, rights, expiry, Cell::Number(slot.node), parent, from, status(slot, agents)]);
    }
    table
}

/// Who holds what: each holder's id with one of its slots.
pub fn who_can(holders: &[(u64, SlotRecord)], agents: &[AgentRecord], now_ns: u64) -> Table {
    let mut table = Table::new(WHO_CAN);
    for (holder, slot) in holders {
        let [handle, kind, object, rights, expiry] = common(slot, agents, now_ns);
        let name = agents
            .iter()
            .find(|record| record.id == *holder)
            .map_or(Cell::None, |record| Cell::text(crate::value::agent_name(record).as_str()));
        let from = Cell::Text(agent_text(slot.deriver, agents));
        table.push(vec![id_cell(*holder), name, handle, kind, object, rights, expiry, from, status(slot, agents)]);
    }
    table
}

fn common(slot: &SlotRecord, agents: &[AgentRecord], now_ns: u64) -> [Cell; 5] {
    let kind = kind(slot);
    let expiry = match slot.expiry {
        0 => Cell::None,
        at if at <= now_ns => Cell::State("expired".into(), Tone::Bad),
        at => Cell::Nanos(at - now_ns),
    };
    [
        Cell::Text(format!("{:?}", SlotHandle(slot.handle as u32))),
        kind.map_or_else(|| Cell::Text(format!("kind {}", slot.kind)), |kind| Cell::text(kind.name())),
        Cell::Text(object(slot, kind, agents)),
        Cell::Text(rights_text(kind, Rights(slot.rights as u32))),
        expiry,
    ]
}

fn kind(slot: &SlotRecord) -> Option<Kind> {
    u8::try_from(slot.kind).ok().and_then(Kind::from_code)
}

/// What a capability names, in the words of [`crate::value::ObjectRef`] where there are such.
fn object(slot: &SlotRecord, kind: Option<Kind>, agents: &[AgentRecord]) -> String {
    let agent = || agent_text(slot.object, agents);
    match kind {
        Some(Kind::Agent | Kind::Pool) => agent(),
        Some(Kind::Service) => format!("{} badge {:#x}", agent(), slot.word),
        Some(Kind::Notification) => format!("{} bits {:#x}", agent(), slot.word),
        Some(Kind::Frame | Kind::Device) => {
            let address = slot.object.saturating_mul(PAGE_SIZE as u64);
            let pages = if slot.word == 1 { "page" } else { "pages" };
            let mapped = if slot.mapped == 0 { String::new() } else { format!(" at {:#x}", slot.mapped) };
            format!("{address:#x} {} {pages}{mapped}", slot.word)
        }
        Some(Kind::Irq) if slot.word <= 1 => slot.object.to_string(),
        Some(Kind::Irq) => format!("{}-{}", slot.object, slot.object.saturating_add(slot.word - 1)),
        Some(Kind::Empty | Kind::Power | Kind::Observe | Kind::Seed | Kind::Console) => "-".into(),
        None => format!("{:#x}", slot.object),
    }
}

/// What a use would get. A capability to an agent that is gone stays in its slot, and leads to nobody.
fn status(slot: &SlotRecord, agents: &[AgentRecord]) -> Cell {
    let to_agent = matches!(kind(slot), Some(Kind::Agent | Kind::Pool | Kind::Service | Kind::Notification));
    let there = AgentId(slot.object).is_kernel() || agents.iter().any(|record| record.id == slot.object);
    match u16::try_from(slot.status).ok() {
        Some(0) if to_agent && !there => Cell::State("agent is gone".into(), Tone::Bad),
        Some(0) => Cell::State("valid".into(), Tone::Good),
        code => {
            let text = code.and_then(Error::from_code).map_or_else(|| format!("error {}", slot.status), |error| String::from(error.text()));
            Cell::State(text, Tone::Bad)
        }
    }
}

/// The rights by name; bits that have none in hex.
fn rights_text(kind: Option<Kind>, rights: Rights) -> String {
    const COMMON: [(Rights, &str); 7] = [
        (Rights::READ, "read"),
        (Rights::WRITE, "write"),
        (Rights::EXECUTE, "execute"),
        (Rights::SEND, "send"),
        (Rights::GRANT, "grant"),
        (Rights::DERIVE, "derive"),
        (Rights::REVOKE, "revoke"),
    ];
    const AGENT: [(Rights, &str); 7] = [
        (Rights::KILL, "kill"),
        (Rights::SUSPEND, "suspend"),
        (Rights::RESUME, "resume"),
        (Rights::CONTROL, "control"),
        (Rights::SCHEDULE, "schedule"),
        (Rights::WATCH, "watch"),
        (Rights::MINT, "mint"),
    ];
    let special: &[(Rights, &str)] = match kind {
        Some(Kind::Agent) => &AGENT,
        Some(Kind::Pool) => &[(Rights::SPEND, "spend")],
        Some(Kind::Irq) => &[(Rights::BIND, "bind")],
        _ => &[],
    };
    if rights == Rights::ALL {
        return "all".into();
    }
    let mut unnamed = rights.0;
    let mut words: Vec<String> = Vec::new();
    for (right, name) in COMMON.iter().chain(special) {
        if rights.contains(*right) {
            words.push((*name).into());
            unnamed &= !right.0;
        }
    }
    if unnamed != 0 {
        words.push(format!("{unnamed:#x}"));
    }
    if words.is_empty() { "none".into() } else { words.join(" ") }
}
