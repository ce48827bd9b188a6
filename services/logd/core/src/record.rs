//! What the log consists of.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use aios_abi::AgentId;

/// How much somebody should care. Ordered: a lower level is more urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// Something failed and stays failed without help.
    Error = 1,
    /// Something failed and was dealt with, or soon will.
    Warn = 2,
    /// What an operator wants to know.
    Info = 3,
    /// What a developer wants to know.
    Debug = 4,
    /// Every step.
    Trace = 5,
}

impl Level {
    /// Every level, the most urgent first.
    pub const ALL: [Level; 5] = [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];

    /// The word for it in commands.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }

    /// The word for it in lines of the log.
    pub const fn label(self) -> &'static str {
        match self {
            Level::Error => "ERROR",
            Level::Warn => "WARN",
            Level::Info => "INFO",
            Level::Debug => "DEBUG",
            Level::Trace => "TRACE",
        }
    }

    /// The level with this name.
    pub fn from_name(name: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.name() == name)
    }

    /// The level with this number.
    pub fn from_code(code: u8) -> Option<Level> {
        Level::ALL.into_iter().find(|level| *level as u8 == code)
    }
}

/// Name of an agent: at most 16 bytes, as the kernel keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Name {
    bytes: [u8; Name::SIZE_MAX],
    len: u8,
}

impl Name {
    /// Longest name, bytes.
    pub const SIZE_MAX: usize = 16;

    /// A name; what is longer is cut at a character's end.
    pub fn new(text: &str) -> Self {
        let mut len = text.len().min(Self::SIZE_MAX);
        while !text.is_char_boundary(len) {
            len -= 1;
        }
        let mut bytes = [0; Self::SIZE_MAX];
        bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
        Name { bytes, len: len as u8 }
    }

    /// The name, empty if none is known.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// What was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Text, as the agent sent it: it may contain anything.
    Text(String),
    /// A frame of a deferred formatter, decoded on the host only.
    Defmt {
        /// First eight bytes of the SHA-256 of the image whose table decodes the frame.
        image_digest_tag: u64,
        /// The frame.
        frame: Vec<u8>,
    },
}

impl Record {
    /// Bytes of text that the record holds besides its fixed fields.
    pub fn size(&self) -> usize {
        self.target.len() + self.body.size()
    }
}

impl Body {
    /// Bytes of text or frame.
    pub fn size(&self) -> usize {
        match self {
            Body::Text(text) => text.len(),
            Body::Defmt { frame, .. } => frame.len(),
        }
    }
}

/// One record of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Place in the order over all agents, from 0.
    pub sequence: u64,
    /// When logd took it in, ns since boot.
    pub time_ns: u64,
    /// How urgent.
    pub level: Level,
    /// Who said it, as stamped by the kernel.
    pub agent: AgentId,
    /// The name that the supervisor gave that agent.
    pub name: Name,
    /// The part of the agent that it is about, in the agent's own words; may be empty.
    pub target: String,
    /// What was said.
    pub body: Body,
}
