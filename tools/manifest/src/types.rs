//! The manifest as init reads it: the shared types, and [`decode`].
//!
//! The bytes are `MAGIC | version u16 | reserved u16 | payload length u32 | payload`, little-endian; the payload is
//! the [`Manifest`] in postcard's wire format. Strings are borrowed from the bytes. The bundle's digest covers the
//! record, so it carries no checksum of its own; [`decode`] still trusts none of it.
//!
//! Invariants after [`decode`]: a server depends only on servers before it, ids in [`Controls`] and `depends` are in
//! range, and no list is longer than its limit below. The full set of rules is checked when the record is made.

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

/// First bytes of every record.
pub const MAGIC: [u8; 8] = *b"AIOSMNF\0";
/// Version of the record. A reader refuses another one: both come out of one build.
pub const VERSION: u16 = 2;
/// Bytes before the payload.
pub const HEADER_SIZE: usize = 16;
/// Most servers in a manifest.
pub const SERVERS_MAX: usize = 32;
/// Most programs in a manifest.
pub const PROGRAMS_MAX: usize = 32;
/// Longest name of a server or program, bytes: the kernel keeps the name of an agent in two words.
pub const NAME_SIZE_MAX: usize = 16;
/// Longest name of an image, bytes.
pub const IMAGE_NAME_SIZE_MAX: usize = 32;
/// Longest service name, bytes.
pub const SERVICE_NAME_SIZE_MAX: usize = 48;
/// Most entries in each list of an entry.
pub const LIST_MAX: usize = 32;
/// Most deaths that a restart policy may remember.
pub const BREAKER_LIMIT_MAX: u8 = 16;

/// The names that init itself answers: the name service and the supervisor's control interface.
pub const INIT_SERVICES: [&str; 2] = ["/svc/names", "/svc/supervisor"];

/// A whole boot manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest<'a> {
    /// Facts about the system as a whole.
    #[serde(borrow)]
    pub system: System<'a>,
    /// Servers in their declared order: each may call only those before it.
    #[serde(borrow)]
    pub servers: Vec<Server<'a>>,
    /// Programs that may be spawned on demand.
    #[serde(borrow)]
    pub programs: Vec<Program<'a>>,
}

/// Facts about the system as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct System<'a> {
    /// Profile name, such as `qemu-virt`.
    pub name: &'a str,
    /// Least RAM that the profile is meant for, MiB.
    pub min_ram_mib: u32,
    /// Scheduler epoch, µs.
    pub epoch_us: u32,
    /// What all servers' pools may sum to, KiB.
    pub server_pools_kib: u32,
    /// The pool that programs spawned on demand are paid from, KiB.
    pub program_pools_kib: u32,
}

/// One supervised server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server<'a> {
    /// What every entry has.
    #[serde(borrow)]
    pub entry: Entry<'a>,
    /// Indices of the servers that must run before it: those whose services it uses, and those named in `after`.
    pub depends: Vec<u16>,
    /// Service names that it answers.
    #[serde(borrow)]
    pub offers: Vec<&'a str>,
    /// Devices that it alone holds (registers and interrupts).
    #[serde(borrow)]
    pub devices: Vec<Device<'a>>,
    /// What happens when it dies.
    pub restart: Restart,
    /// How long it may take to stop when the system goes down, ms.
    pub stop_grace_ms: u32,
}

/// One program that may be spawned on demand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program<'a> {
    /// What every entry has.
    #[serde(borrow)]
    pub entry: Entry<'a>,
}

/// What servers and programs have in common: image, scheduling, memory and rights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<'a> {
    /// Name, unique among servers and programs.
    pub name: &'a str,
    /// Name of its image in the bundle.
    pub image: &'a str,
    /// Scheduling class.
    pub class: Class,
    /// Its memory pool, KiB.
    pub pool_kib: u32,
    /// Size of its mailbox, pages of 4 KiB.
    pub mailbox_pages: u16,
    /// Services that it may look up and call.
    #[serde(borrow)]
    pub uses: Vec<Use<'a>>,
    /// Special capabilities.
    pub special: Special,
    /// What it may do to other agents.
    pub controls: Controls,
    /// Which programs it may ask the supervisor to spawn.
    pub spawns: Targets,
}

impl<'a> Entry<'a> {
    /// What it may do with the service of this name, if it may call it.
    pub fn uses(&self, name: &str) -> Option<Use<'a>> {
        self.uses.iter().find(|used| used.name == name).copied()
    }
}

/// A service that an entry may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use<'a> {
    /// Its name.
    pub name: &'a str,
    /// What the entry may ask it for: the 16 rights that belong to the service. All of them where nobody has given them names.
    pub rights: u16,
}

/// Scheduling class of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Class {
    /// Weighted fair share.
    Fair {
        /// Relative share, 1 to [`aios_abi::limits::WEIGHT_MAX`].
        weight: u16,
    },
    /// Earliest deadline first, with a reservation.
    Edf {
        /// Run time reserved in each period, µs.
        budget_us: u32,
        /// Period and relative deadline, µs.
        period_us: u32,
    },
}

/// A device that a server owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Device<'a> {
    /// The UART that the device tree's `/chosen/stdout-path` names.
    Console,
    /// A device tree node.
    Node {
        /// A string of the node's `compatible` list.
        compatible: &'a str,
        /// Which of the matching nodes, counted in tree order from 0.
        instance: u16,
    },
}

/// Special capabilities, as a set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Special(pub u16);

impl Special {
    /// May inspect every agent and core.
    pub const OBSERVE: Special = Special(1);
    /// May power off and reset the machine.
    pub const POWER: Special = Special(1 << 1);
    /// May deliver the random seed.
    pub const SEED: Special = Special(1 << 2);
    /// May write to the kernel's early console.
    pub const CONSOLE: Special = Special(1 << 3);

    /// Every special capability with its name in the manifest.
    pub const NAMES: [(&'static str, Special); 4] =
        [("observe", Self::OBSERVE), ("power", Self::POWER), ("seed", Self::SEED), ("console", Self::CONSOLE)];

    /// Whether all bits of `other` are set.
    pub const fn has(self, other: Special) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    pub const fn with(self, other: Special) -> Special {
        Special(self.0 | other.0)
    }
}

/// Operations on other agents, as a set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Operations(pub u16);

impl Operations {
    /// End an agent.
    pub const KILL: Operations = Operations(1);
    /// Stop an agent for a while.
    pub const SUSPEND: Operations = Operations(1 << 1);
    /// Let a suspended agent go on.
    pub const RESUME: Operations = Operations(1 << 2);
    /// Move an agent to another core.
    pub const MIGRATE: Operations = Operations(1 << 3);
    /// Ask the supervisor to restart a server.
    pub const RESTART: Operations = Operations(1 << 4);
    /// Take a capability away from an agent.
    pub const REVOKE: Operations = Operations(1 << 5);
    /// Ask the supervisor to stop a server until it is started.
    pub const STOP: Operations = Operations(1 << 6);
    /// Ask the supervisor to start a server that is down.
    pub const START: Operations = Operations(1 << 7);

    /// Every operation with its name in the manifest.
    pub const NAMES: [(&'static str, Operations); 8] = [
        ("kill", Self::KILL),
        ("suspend", Self::SUSPEND),
        ("resume", Self::RESUME),
        ("migrate", Self::MIGRATE),
        ("restart", Self::RESTART),
        ("revoke", Self::REVOKE),
        ("stop", Self::STOP),
        ("start", Self::START),
    ];

    /// Whether all bits of `other` are set.
    pub const fn has(self, other: Operations) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    pub const fn with(self, other: Operations) -> Operations {
        Operations(self.0 | other.0)
    }
}

/// What an entry may do to other agents.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Controls {
    /// The operations.
    pub operations: Operations,
    /// On whom.
    pub targets: Targets,
}

/// A set of entries. Numbers below the count of servers are servers, those from there on are programs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Targets {
    /// Nobody.
    #[default]
    None,
    /// Everybody, including what is spawned later.
    All,
    /// The entries with these indices (servers first, then programs).
    List(Vec<u16>),
}

impl Targets {
    /// Whether entry `index` (servers first, then programs) is in the set.
    pub fn contains(&self, index: u16) -> bool {
        match self {
            Targets::None => false,
            Targets::All => true,
            Targets::List(list) => list.contains(&index),
        }
    }
}

/// What happens when a server dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// Wait before the first restart, ms; doubles with each further death.
    pub backoff_initial_ms: u32,
    /// Longest wait, ms.
    pub backoff_max_ms: u32,
    /// Deaths are counted over this time, s. A server that ran this long counts as healthy again.
    pub window_s: u32,
    /// The death that opens the circuit breaker, counted within the window.
    pub limit: u8,
    /// How long the breaker stays open before one trial start, s; 0 = until an operator restarts the server.
    pub cooldown_s: u32,
    /// How long a start may take until the server reports that it is ready, ms.
    pub start_timeout_ms: u32,
}

impl Default for Restart {
    fn default() -> Self {
        Restart { backoff_initial_ms: 100, backoff_max_ms: 5_000, window_s: 60, limit: 3, cooldown_s: 30, start_timeout_ms: 5_000 }
    }
}

/// Why a record was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// Shorter than its header says.
    Truncated,
    /// It does not begin with [`MAGIC`].
    Magic,
    /// Another version of the record.
    Version(u16),
    /// Reserved bytes of the header are not zero, or bytes follow the payload.
    Reserved,
    /// The payload is not a manifest.
    Payload,
    /// A list or name is longer than its limit; names which.
    Limit(&'static str),
    /// An index points outside the manifest, or a server depends on a later one; names the list.
    Reference(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Truncated => write!(f, "manifest is cut short"),
            Error::Magic => write!(f, "not a manifest"),
            Error::Version(found) => write!(f, "manifest has version {found}, this system reads version {VERSION}"),
            Error::Reserved => write!(f, "manifest has bytes that must be zero or absent"),
            Error::Payload => write!(f, "manifest payload is damaged"),
            Error::Limit(what) => write!(f, "manifest exceeds the limit of {what}"),
            Error::Reference(what) => write!(f, "manifest has a wrong reference in {what}"),
        }
    }
}

impl core::error::Error for Error {}

/// Reads a record. Accepts any bytes; what it returns obeys the invariants of this module.
pub fn decode(bytes: &[u8]) -> Result<Manifest<'_>, Error> {
    let (header, payload) = bytes.split_at_checked(HEADER_SIZE).ok_or(Error::Truncated)?;
    if header[..8] != MAGIC {
        return Err(Error::Magic);
    }
    let version = u16::from_le_bytes([header[8], header[9]]);
    if version != VERSION {
        return Err(Error::Version(version));
    }
    let size = u32::from_le_bytes([header[12], header[13], header[14], header[15]]) as usize;
    if payload.len() < size {
        return Err(Error::Truncated);
    }
    if header[10..12] != [0, 0] || payload.len() != size {
        return Err(Error::Reserved);
    }
    let (manifest, rest) = postcard::take_from_bytes::<Manifest<'_>>(payload).map_err(|_| Error::Payload)?;
    if !rest.is_empty() {
        return Err(Error::Payload);
    }
    validate(&manifest)?;
    Ok(manifest)
}

/// Writes a record.
pub fn encode(manifest: &Manifest<'_>) -> Result<Vec<u8>, Error> {
    validate(manifest)?;
    let payload = postcard::to_allocvec(manifest).map_err(|_| Error::Payload)?;
    let size = u32::try_from(payload.len()).map_err(|_| Error::Limit("size"))?;
    let mut bytes = Vec::with_capacity(HEADER_SIZE + payload.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0, 0]);
    bytes.extend_from_slice(&size.to_le_bytes());
    bytes.extend_from_slice(&payload);
    Ok(bytes)
}

fn validate(manifest: &Manifest<'_>) -> Result<(), Error> {
    let servers = manifest.servers.len();
    let entries = servers + manifest.programs.len();
    limit(servers, SERVERS_MAX, "servers")?;
    limit(manifest.programs.len(), PROGRAMS_MAX, "programs")?;
    for (index, server) in manifest.servers.iter().enumerate() {
        limit(server.depends.len(), SERVERS_MAX, "depends")?;
        limit(server.offers.len(), LIST_MAX, "offers")?;
        limit(server.devices.len(), LIST_MAX, "devices")?;
        limit(server.restart.limit as usize, BREAKER_LIMIT_MAX as usize, "restart.limit")?;
        for name in &server.offers {
            limit(name.len(), SERVICE_NAME_SIZE_MAX, "service name")?;
        }
        if server.depends.iter().any(|&on| on as usize >= index) {
            return Err(Error::Reference("depends"));
        }
        validate_entry(&server.entry, entries)?;
    }
    for program in &manifest.programs {
        validate_entry(&program.entry, entries)?;
    }
    Ok(())
}

fn validate_entry(entry: &Entry<'_>, entries: usize) -> Result<(), Error> {
    limit(entry.name.len(), NAME_SIZE_MAX, "name")?;
    limit(entry.image.len(), IMAGE_NAME_SIZE_MAX, "image")?;
    limit(entry.uses.len(), LIST_MAX, "uses")?;
    for used in &entry.uses {
        limit(used.name.len(), SERVICE_NAME_SIZE_MAX, "service name")?;
    }
    for (targets, what) in [(&entry.controls.targets, "controls"), (&entry.spawns, "spawns")] {
        if let Targets::List(list) = targets {
            limit(list.len(), SERVERS_MAX + PROGRAMS_MAX, what)?;
            if list.iter().any(|&index| index as usize >= entries) {
                return Err(Error::Reference(what));
            }
        }
    }
    Ok(())
}

fn limit(len: usize, max: usize, what: &'static str) -> Result<(), Error> {
    if len <= max { Ok(()) } else { Err(Error::Limit(what)) }
}
