//! Capability kinds and rights.

/// What a capability names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum Kind {
    /// An empty slot.
    #[default]
    Empty = 0,
    /// An agent, to be controlled.
    Agent = 1,
    /// A service: an agent's mailbox, with a badge.
    Service = 2,
    /// A range of memory pages.
    Frame = 3,
    /// A memory pool.
    Pool = 4,
    /// A range of interrupt lines.
    Irq = 5,
    /// Bits of an agent's notification word.
    Notification = 6,
    /// A range of device memory.
    Device = 7,
    /// Power and reset of the machine.
    Power = 8,
    /// Reading the kernel's state.
    Observe = 9,
    /// Delivering the sealing key's seed.
    Seed = 10,
    /// The kernel's early console.
    Console = 11,
}

impl Kind {
    /// Every kind, by its number.
    pub const ALL: [Kind; 12] = [
        Kind::Empty,
        Kind::Agent,
        Kind::Service,
        Kind::Frame,
        Kind::Pool,
        Kind::Irq,
        Kind::Notification,
        Kind::Device,
        Kind::Power,
        Kind::Observe,
        Kind::Seed,
        Kind::Console,
    ];

    /// The kind with this number.
    pub const fn from_code(code: u8) -> Option<Self> {
        if (code as usize) < Self::ALL.len() { Some(Self::ALL[code as usize]) } else { None }
    }

    /// The word for it that people see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Agent => "agent",
            Self::Service => "service",
            Self::Frame => "frame",
            Self::Pool => "pool",
            Self::Irq => "irq",
            Self::Notification => "notification",
            Self::Device => "device",
            Self::Power => "power",
            Self::Observe => "observe",
            Self::Seed => "seed",
            Self::Console => "console",
        }
    }
}

/// A set of rights: the low 16 bits mean the same for every kind, the high 16 belong to the kind, or, for a service, to the server.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[repr(transparent)]
pub struct Rights(pub u32);

impl Rights {
    /// No right.
    pub const NONE: Self = Self(0);
    /// Every right.
    pub const ALL: Self = Self(u32::MAX);

    /// Read memory; read state.
    pub const READ: Self = Self(1 << 0);
    /// Write memory.
    pub const WRITE: Self = Self(1 << 1);
    /// Execute memory.
    pub const EXECUTE: Self = Self(1 << 2);
    /// Send or call through a service; raise a notification.
    pub const SEND: Self = Self(1 << 3);
    /// Pass the capability on: grant it, or let it ride on a message.
    pub const GRANT: Self = Self(1 << 4);
    /// Derive narrower capabilities from it.
    pub const DERIVE: Self = Self(1 << 5);
    /// Revoke what was derived from it.
    pub const REVOKE: Self = Self(1 << 6);

    /// Agent: kill.
    pub const KILL: Self = Self(1 << 16);
    /// Agent: suspend.
    pub const SUSPEND: Self = Self(1 << 17);
    /// Agent: start, restart, map into its address space, grant to it, register its fault handling.
    pub const CONTROL: Self = Self(1 << 18);
    /// Agent: change scheduling and core.
    pub const SCHEDULE: Self = Self(1 << 19);
    /// Agent: be told of its death.
    pub const WATCH: Self = Self(1 << 20);
    /// Agent: mint service and notification capabilities of it.
    pub const MINT: Self = Self(1 << 21);
    /// Agent: resume.
    pub const RESUME: Self = Self(1 << 22);
    /// Pool: spawn agents that it pays for; make child pools.
    pub const SPEND: Self = Self(1 << 16);
    /// Interrupt: bind and acknowledge.
    pub const BIND: Self = Self(1 << 16);

    /// Whether every right of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Rights in both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Rights in either.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
