//! One agent's block, as the records that `Inspect` makes of it.

use aios_abi::id::SlotHandle;
use aios_abi::record::{AgentRecord, AgentState, SlotRecord};
use aios_abi::rights::{Kind, Rights};
use aios_core::cap::{NodeId, Slot};

use crate::mailbox::{self, Letter};
use crate::nodes::Nodes;
use crate::state::PoolRow;
use crate::value::Value;
use crate::{Error, Kernel};

/// The state and whom it waits for.
fn state(value: Value<'_>) -> Result<(AgentState, u64), Error> {
    let (name, data) = value.variant()?;
    let peer = data.number_of("__0");
    let state = match name {
        "New" => AgentState::New,
        "Ready" => AgentState::Ready,
        "Receiving" => AgentState::Receiving,
        "Calling" => AgentState::Calling,
        "Awaiting" => AgentState::AwaitingReply,
        "Faulting" | "Faulted" => AgentState::Faulted,
        "Remote" => AgentState::Remote,
        "Dying" => AgentState::Dying,
        other => return Err(Error::Layout(format!("agents have a state `{other}`"))),
    };
    Ok((state, peer.unwrap_or(0)))
}

/// Class, weight or budget, and period.
fn parameters(value: Value<'_>) -> Result<(u64, u64, u64), Error> {
    match value.variant()? {
        ("Fair", data) => Ok((0, data.number_of("weight")?, 0)),
        ("Edf", data) => Ok((1, data.number_of("budget_ns")?, data.number_of("period_ns")?)),
        (other, _) => Err(Error::Layout(format!("there is a scheduling class `{other}`"))),
    }
}

/// The agent's record.
pub fn record(agent: Value<'_>, core: u64) -> Result<AgentRecord, Error> {
    let number = |name: &str| agent.number_of(name);
    let (state, peer) = state(agent.field("state")?)?;
    let sc = agent.field("sc")?;
    let (class, weight, period_ns) = parameters(sc.field("params")?)?;
    let (name, pool, counters) = (agent.field("name")?, agent.field("pools")?.at(0)?, agent.field("counters")?);
    let (mailbox_used, mailbox_size) = mailbox::fill(agent.field("mailbox")?)?;
    Ok(AgentRecord {
        id: number("id")?,
        name_low: name.at(0)?.number()?,
        name_high: name.at(1)?.number()?,
        state: state as u64 | number("suspended")? << 8,
        core,
        class,
        weight,
        period_ns,
        cpu_ns: sc.number_of("cpu_ns")?,
        pages_used: pool.number_of("used")?,
        pages_quota: pool.number_of("quota")?,
        received: counters.number_of("received")?,
        sent: counters.number_of("sent")?,
        incarnation: number("incarnation")?,
        parent: number("parent")?,
        supervisor: agent.field("supervisor")?.number_of("__0")?,
        mailbox_used,
        mailbox_size,
        slots_used: agent.field("slots")?.number_of("used")?,
        missed: sc.number_of("missed")?,
        faults: counters.number_of("faults")?,
        pc: agent.field("registers")?.number_of("pc")?,
        peer,
        notifications: number("notifications")?,
    })
}

/// The capabilities that it holds.
pub fn slots(agent: Value<'_>, nodes: &Nodes<'_>, now_ns: u64) -> Result<Vec<SlotRecord>, Error> {
    let mut records = Vec::new();
    let mut index: u64 = 0;
    for page in agent.field("slots")?.field("pages")?.elements()? {
        let slots = page.option()?.map(|page| page.target()).transpose()?.flatten();
        let Some(slots) = slots else {
            index += aios_abi::limits::SLOTS_PER_PAGE as u64;
            continue;
        };
        for place in slots.field("__0")?.elements()? {
            if place.number_of("kind")? != Kind::Empty as u64 {
                records.push(slot_record(&slot(place)?, index as u16, nodes, now_ns)?);
            }
            index += 1;
        }
    }
    Ok(records)
}

/// A slot that isn't empty.
fn slot(place: Value<'_>) -> Result<Slot, Error> {
    let number = |name: &str| place.number_of(name);
    let id = |name: &str| Ok::<_, Error>(NodeId::from_word(place.field(name)?.number_of("__0")?));
    let code = number("kind")?;
    let kind = Kind::from_code(code as u8).ok_or_else(|| Error::Broken(format!("a slot names an object of kind {code}")))?;
    Ok(Slot {
        kind,
        generation: number("generation")? as u16,
        rights: Rights(number("rights")? as u32),
        object: number("object")?,
        word: number("word")?,
        expiry: number("expiry")?,
        node: id("node")?,
        root: id("root")?,
        tree: number("tree")?,
    })
}

fn slot_record(slot: &Slot, index: u16, nodes: &Nodes<'_>, now_ns: u64) -> Result<SlotRecord, Error> {
    let node = nodes.live(slot.node)?;
    let (first, count) = slot.range();
    let (object, word) = if slot.is_range() { (first, count) } else { (slot.object, slot.word) };
    Ok(SlotRecord {
        handle: SlotHandle::new(index, slot.generation).0.into(),
        kind: slot.kind as u64,
        rights: slot.rights.0.into(),
        object,
        word,
        expiry: slot.expiry,
        node: slot.node.word(),
        parent: node.map_or(0, |node| node.parent.word()),
        deriver: node.map_or(0, |node| node.owner),
        depth: node.map_or(0, |node| node.depth),
        status: nodes.status(slot, now_ns)?,
        mapped: if matches!(slot.kind, Kind::Frame | Kind::Device) { slot.word } else { 0 },
    })
}

/// The pools that it has: its own at index 0, and those that it made.
pub fn pools(agent: Value<'_>, id: u64) -> Result<Vec<PoolRow>, Error> {
    let mut rows = Vec::new();
    for (index, pool) in agent.field("pools")?.elements()?.enumerate() {
        let (quota, used) = (pool.number_of("quota")?, pool.number_of("used")?);
        if index == 0 || quota != 0 {
            rows.push(PoolRow { owner: id, index: index as u64, used, quota });
        }
    }
    Ok(rows)
}

/// What waits for it in its mailbox, and its own message if it waits with one.
pub fn letters<'a>(kernel: &'a Kernel<'a>, agent: Value<'a>, record: &AgentRecord) -> Result<Vec<Letter>, Error> {
    let mut letters = mailbox::letters(kernel, agent.field("mailbox")?, record.id)?;
    match agent.field("state")?.variant()?.0 {
        "Calling" => letters.push(mailbox::caller(agent, record.id, record.peer)?),
        "Faulting" => letters.push(mailbox::fault(agent, record.id, record.peer)?),
        _ => {}
    }
    Ok(letters)
}
