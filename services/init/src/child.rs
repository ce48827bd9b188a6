//! An agent that init started, from spawn to end.

use core::fmt;

use aios_abi::call::{SLOT_FIRST, Transfer};
use aios_abi::rights::Rights;
use aios_abi::{ABI_VERSION, AgentId, Error};
use aios_bundle::Bundle;
use aios_manifest::types::{Class, Entry};
use aios_proto::sentence;
use aios_rt::agent::{self, spawn};
use aios_rt::slot::{Agent, Console, Frame, Pool, Service};
use aios_rt::time::Expiry;
use aios_rt::{Result, cap};

use crate::layout::{ImageError, Layout, image_code};
use crate::memory::Memory;

/// What init starts agents with.
#[derive(Clone, Copy)]
pub struct Kit<'a> {
    /// The images.
    pub bundle: Bundle<'a>,
    /// The same as a capability.
    pub frames: Frame,
    /// Where faults go.
    pub faults: Service,
    /// The early console, for those whose entry lists it.
    pub console: Console,
}

/// Why an agent was not started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartError {
    /// Its image is no good.
    Image(ImageError),
    /// The kernel refused.
    Kernel(Error),
}

impl StartError {
    /// The error's number: the kernel's below 256, the loader's from 1024 on.
    pub const fn code(self) -> u16 {
        match self {
            Self::Image(error) => image_code(error.fault()),
            Self::Kernel(error) => error.code(),
        }
    }
}

impl From<ImageError> for StartError {
    fn from(error: ImageError) -> Self {
        Self::Image(error)
    }
}

impl From<Error> for StartError {
    fn from(error: Error) -> Self {
        Self::Kernel(error)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(error) => error.fmt(f),
            Self::Kernel(error) => f.write_str(sentence::of(*error)),
        }
    }
}

/// In what state an agent is, as far as that matters for a start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    /// Empty: it can be filled and started.
    New,
    /// It runs, or is being cleared.
    Busy,
    /// Gone for ever.
    Gone,
}

/// An agent and its memory.
pub struct Child<'a> {
    /// The capability to it.
    pub agent: Agent,
    /// Its id.
    pub id: AgentId,
    memory: Memory<'a>,
}

impl<'a> Child<'a> {
    /// Makes an agent as its manifest entry says, not started, on `core` or on init's. `pool` pays for all of it; `bits` are raised when it is gone.
    pub fn spawn(kit: &Kit<'a>, entry: &Entry<'_>, pool: Pool, bits: u64, core: Option<u32>) -> core::result::Result<Self, StartError> {
        let image = kit.bundle.find(entry.image).ok_or(ImageError::Missing)?;
        let pages = u64::from(entry.pool_kib) / 4;
        let layout = Layout::of(&image, pages)?;
        // The entry's pool is all that the agent ever costs: what init keeps for it comes out of it.
        let cost = Memory::cost(&layout);
        let quota = pages.checked_sub(cost).ok_or(ImageError::TooLarge(cost))?;
        let memory = Memory::reserve(layout, kit.frames, pool)?;
        let spawned = spawn(pool, entry.mailbox_pages.into(), quota, ABI_VERSION)?;
        let child = Self { agent: spawned.agent, id: spawned.id, memory };
        match child.prepare(entry, kit.faults, bits, core) {
            Ok(()) => Ok(child),
            Err(error) => {
                child.end();
                Err(error.into())
            }
        }
    }

    fn prepare(&self, entry: &Entry<'_>, faults: Service, bits: u64, core: Option<u32>) -> Result<()> {
        if let Some(core) = core {
            // A reservation is admitted on a core and stays there: it moves before it has its class.
            self.agent.migrate(core.into())?;
        }
        self.agent.name(entry.name.as_bytes())?;
        self.agent.supervise(Some(faults))?;
        self.agent.watch(bits)?;
        self.agent.schedule(match entry.class {
            Class::Fair { weight } => agent::Class::Fair { weight: weight.into() },
            Class::Edf { budget_us, period_us } => {
                agent::Class::Edf { budget_ns: u64::from(budget_us) * 1000, period_ns: u64::from(period_us) * 1000 }
            }
        })
    }

    /// Asks for its state: the kernel refuses a start at an address that no program has, whatever the agent does, but not for the same reason.
    pub fn condition(&self) -> Condition {
        match self.agent.start(1, 16, [0; 4]) {
            Err(Error::WrongState | Error::Busy) => Condition::Busy,
            Err(Error::PeerDied | Error::NoCapability | Error::Revoked) => Condition::Gone,
            _ => Condition::New,
        }
    }

    /// Loads its image and starts it. It finds `first`, which leaves init, in the first slot that a spawner fills, with `rights`, and the early
    /// console, if it is given, in the next one. `x0` is the number that its arguments begin with, `x1` the handle of the first slot, `x2` and `x3`
    /// address and length of the arguments' text.
    pub fn start(&mut self, first: Service, rights: Rights, console: Option<Console>, arguments: &str) -> Result<()> {
        let handle = cap::grant(self.agent, first, rights, Expiry::NONE, Transfer::Move, Some(SLOT_FIRST)).inspect_err(|_| {
            // Not given away, it would stay.
            let _ = cap::drop(first);
        })?;
        if let Some(console) = console {
            cap::grant(self.agent, console, Rights::WRITE, Expiry::NONE, Transfer::Derive, Some(SLOT_FIRST + 1))?;
        }
        let (entry, arguments) = self.memory.install(self.agent, arguments)?;
        let words = [arguments.number, handle.0.into(), if arguments.length == 0 { 0 } else { arguments.address }, arguments.length];
        self.agent.start(entry, arguments.address, words)
    }

    /// Empties it: who calls it hears that it was restarted. It keeps id and mailbox.
    pub fn clear(&self) -> Result<()> {
        match self.agent.restart() {
            // It is being emptied already.
            Err(Error::Busy) => Ok(()),
            other => other,
        }
    }

    /// Ends it for ever, with everything that it has.
    pub fn end(self) {
        // Whoever is gone already, and a slot that is empty already, are as good.
        let _ = self.agent.kill();
        let _ = cap::drop(self.agent);
    }
}
