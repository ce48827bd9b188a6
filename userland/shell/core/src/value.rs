//! What arguments can be: agents, objects, slots, numbers, times, each with one way to write it.

use alloc::string::String;
use core::fmt;

use aios_abi::record::{AgentRecord, SlotRecord};
use aios_abi::rights::Kind as CapKind;
use aios_abi::{AgentId, limits};
use aios_logd_core::{Level, Name};

/// An agent as people name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentRef {
    /// By name: `logd`.
    Name(String),
    /// By its place in the agent table: `3`.
    Slot(u16),
    /// Exactly: `3.1`, place and generation.
    Id(AgentId),
}

/// A server of the boot manifest, or init. Its name is its own: programs may call what they spawn whatever they like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerName {
    /// What the manifest calls it.
    pub name: String,
    /// Its agent; `None` while there is none.
    pub agent: Option<AgentId>,
}

/// Whether an agent bears the name of a server that it is not.
pub fn is_impostor(record: &AgentRecord, servers: &[ServerName]) -> bool {
    let name = agent_name(record);
    let mut bearers = servers.iter().filter(|server| Name::new(&server.name) == name).peekable();
    bearers.peek().is_some() && bearers.all(|server| server.agent != Some(AgentId(record.id)))
}

/// Why a name led to no agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAgent {
    /// There is none.
    Unknown(AgentRef),
    /// It is a server's name, and that has no agent at the moment, whoever else is called so.
    Down(AgentRef),
    /// Several have this name; the ids of the first two.
    Ambiguous(AgentRef, AgentId, AgentId),
}

impl fmt::Display for AgentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AgentRef::Name(name) => f.write_str(name),
            AgentRef::Slot(slot) => write!(f, "{slot}"),
            AgentRef::Id(id) => write!(f, "{id:?}"),
        }
    }
}

impl fmt::Display for NoAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoAgent::Unknown(agent) => write!(f, "no agent `{agent}`"),
            NoAgent::Down(agent) => write!(f, "the server `{agent}` has no agent at the moment; `services` says why"),
            NoAgent::Ambiguous(agent, first, second) => {
                write!(f, "several agents are called `{agent}`: say {first:?} or {second:?}")
            }
        }
    }
}

impl core::error::Error for NoAgent {}

impl AgentRef {
    /// Reads `logd`, `3` or `3.1`.
    pub fn parse(word: &str) -> Option<Self> {
        if let Some((slot, generation)) = word.split_once('.') {
            return Some(AgentRef::Id(AgentId::new(slot.parse().ok()?, generation.parse().ok()?)));
        }
        if let Ok(slot) = word.parse() {
            return Some(AgentRef::Slot(slot));
        }
        let named = word.starts_with(char::is_alphabetic)
            && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
            && word.len() <= Name::SIZE_MAX;
        named.then(|| AgentRef::Name(word.into()))
    }

    /// The agent that is meant, among those alive. The name of a server means that server, whoever else bears it.
    pub fn resolve(&self, agents: &[AgentRecord], servers: &[ServerName]) -> Result<AgentId, NoAgent> {
        if let AgentRef::Name(name) = self
            && let Some(server) = servers.iter().find(|server| server.name == *name)
        {
            return server.agent.ok_or_else(|| NoAgent::Down(self.clone()));
        }
        let mut matching = agents.iter().filter(|record| self.names(record)).map(|record| AgentId(record.id));
        match (matching.next(), matching.next()) {
            (None, _) => Err(NoAgent::Unknown(self.clone())),
            (Some(id), None) => Ok(id),
            (Some(first), Some(second)) => Err(NoAgent::Ambiguous(self.clone(), first, second)),
        }
    }

    fn names(&self, record: &AgentRecord) -> bool {
        match self {
            AgentRef::Name(name) => agent_name(record).as_str() == name,
            AgentRef::Slot(slot) => AgentId(record.id).slot() == *slot,
            AgentRef::Id(id) => record.id == id.0,
        }
    }
}

/// The name in a kernel record.
pub fn agent_name(record: &AgentRecord) -> Name {
    let mut bytes = [0; Name::SIZE_MAX];
    bytes[..8].copy_from_slice(&record.name_low.to_le_bytes());
    bytes[8..].copy_from_slice(&record.name_high.to_le_bytes());
    let len = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    // Names come from images and callers; one that is not UTF-8 shows up to where it stops being.
    let valid = match core::str::from_utf8(&bytes[..len]) {
        Ok(text) => text,
        Err(error) => core::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    };
    Name::new(valid)
}

/// A place in an agent's capability table: `5`, or `5.2` with its generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotRef {
    /// The place.
    pub index: u16,
    /// The generation, if it was given.
    pub generation: Option<u16>,
}

impl SlotRef {
    /// Reads `5` or `5.2`.
    pub fn parse(word: &str) -> Option<Self> {
        match word.split_once('.') {
            Some((index, generation)) => Some(SlotRef { index: index.parse().ok()?, generation: Some(generation.parse().ok()?) }),
            None => Some(SlotRef { index: word.parse().ok()?, generation: None }),
        }
    }

    /// Whether this is the slot of the record.
    pub fn names(&self, record: &SlotRecord) -> bool {
        let handle = aios_abi::SlotHandle(record.handle as u32);
        handle.index() == self.index && self.generation.is_none_or(|generation| generation == handle.generation())
    }
}

/// An object that capabilities can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectRef {
    /// An agent, its services and its pool: `logd`, `agent:3`.
    Agent(AgentRef),
    /// The provider of a service name: `/svc/log`.
    Service(String),
    /// Memory or device memory that contains this physical address: `frame:0x40200000`, `device:0x9000000`.
    Memory(CapKind, u64),
    /// An interrupt line: `irq:33`.
    Irq(u64),
    /// The one object of its kind: `power`, `observe`, `seed`, `console`.
    Single(CapKind),
}

impl ObjectRef {
    /// How objects are written, for messages.
    pub const FORMS: &'static str = "an agent, /svc/NAME, frame:ADDRESS, device:ADDRESS, irq:NUMBER, power, observe, seed or console";

    /// Reads an object.
    pub fn parse(word: &str) -> Option<Self> {
        if word.strip_prefix("/svc/").is_some_and(|name| !name.is_empty()) {
            return Some(ObjectRef::Service(word.into()));
        }
        if let Some((kind, rest)) = word.split_once(':') {
            return match kind {
                "agent" | "service" | "pool" => AgentRef::parse(rest).map(ObjectRef::Agent),
                "frame" => number(rest).map(|address| ObjectRef::Memory(CapKind::Frame, address)),
                "device" => number(rest).map(|address| ObjectRef::Memory(CapKind::Device, address)),
                "irq" => number(rest).map(ObjectRef::Irq),
                _ => None,
            };
        }
        [CapKind::Power, CapKind::Observe, CapKind::Seed, CapKind::Console]
            .into_iter()
            .find(|kind| kind.name() == word)
            .map(ObjectRef::Single)
            .or_else(|| AgentRef::parse(word).map(ObjectRef::Agent))
    }

    /// Whether the capability in this slot names the object. `agent` is the agent that the object's name, or the
    /// provider of its service name, led to.
    pub fn matches(&self, slot: &SlotRecord, agent: Option<AgentId>) -> bool {
        let Some(kind) = u8::try_from(slot.kind).ok().and_then(CapKind::from_code) else { return false };
        match self {
            ObjectRef::Agent(_) => {
                let of_agent = matches!(kind, CapKind::Agent | CapKind::Service | CapKind::Pool | CapKind::Notification);
                of_agent && agent.is_some_and(|agent| agent.0 == slot.object)
            }
            ObjectRef::Service(_) => kind == CapKind::Service && agent.is_some_and(|agent| agent.0 == slot.object),
            ObjectRef::Memory(wanted, address) => {
                let page = address / limits::PAGE_SIZE as u64;
                kind == *wanted && page.checked_sub(slot.object).is_some_and(|offset| offset < slot.word)
            }
            ObjectRef::Irq(line) => kind == CapKind::Irq && line.checked_sub(slot.object).is_some_and(|offset| offset < slot.word),
            ObjectRef::Single(wanted) => kind == *wanted,
        }
    }
}

/// Reads a number, decimal or with `0x`.
pub fn number(word: &str) -> Option<u64> {
    match word.strip_prefix("0x") {
        Some(digits) if !digits.starts_with('+') => u64::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None if word.starts_with('+') => None,
        None => word.parse().ok(),
    }
}

/// Reads a time: a number with `ns`, `us`, `ms`, `s` or `m`; seconds without. In ns.
pub fn duration_ns(word: &str) -> Option<u64> {
    let digits = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let (count, unit) = word.split_at(digits);
    let scale: u64 = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" | "" => 1_000_000_000,
        "m" => 60_000_000_000,
        _ => return None,
    };
    count.parse::<u64>().ok()?.checked_mul(scale)
}

/// The names of the levels, for messages.
pub fn level_names() -> impl Iterator<Item = &'static str> {
    Level::ALL.into_iter().map(Level::name)
}
