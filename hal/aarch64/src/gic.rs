//! The interrupt controller, GICv3.
//!
//! Three parts: the [`Distributor`] (one, for shared interrupts), a [`Redistributor`] for each core (its private
//! interrupts), and the CPU interface of each core ([`cpu`]), which is system registers.
//!
//! All interrupts are group 1 of the non-secure world, at one priority: order among agents is the scheduler's to decide.
//! What several cores may do at once (enable, disable, set priority, route) is one write each to a register of its own or to one
//! whose zero bits change nothing; the rest is done by one core at boot, or under the caller's exclusion.
//!
//! Source: GICv3 and GICv4 architecture specification, IHI 0069, chapters 12.9 (GICD), 12.11 (GICR), 12.2 (ICC).

pub mod cpu;
mod distributor;
mod redistributor;

use core::fmt;

pub use distributor::Distributor;
pub use redistributor::{Redistributor, find_redistributor};

/// Priority of every interrupt that nothing else was asked for: in the middle of what the non-secure world has.
pub const DEFAULT_PRIORITY: u8 = 0xa0;

/// First shared interrupt; below are 16 software (0–15) and 16 per-core peripheral ones (16–31).
pub const FIRST_SHARED: u32 = 32;

/// How often a register is polled before the controller counts as stuck.
const POLLS: u32 = 1_000_000;

/// Why the controller can't do what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GicError {
    /// The registers are those of another architecture version.
    Version(u8),
    /// There is no such interrupt here.
    NoSuchInterrupt(u32),
    /// No redistributor has this affinity.
    NoRedistributor(u64),
    /// It did not finish a change in time.
    Stuck,
}

impl fmt::Display for GicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(found) => write!(f, "GIC: architecture version {found}, expected 3 or 4"),
            Self::NoSuchInterrupt(intid) => write!(f, "GIC: no interrupt {intid}"),
            Self::NoRedistributor(affinity) => write!(f, "GIC: no redistributor for core {affinity:#x}"),
            Self::Stuck => write!(f, "GIC: a change was not finished in time"),
        }
    }
}

impl core::error::Error for GicError {}

/// When an interrupt is signalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// As long as the line is active.
    Level,
    /// At a rising edge of the line.
    Edge,
}

fn poll(mut done: impl FnMut() -> bool) -> Result<(), GicError> {
    for _ in 0..POLLS {
        if done() {
            return Ok(());
        }
        core::hint::spin_loop();
    }
    Err(GicError::Stuck)
}

/// Word and bit of an interrupt in a register array with one bit each.
const fn bit(intid: u32) -> (usize, u32) {
    ((intid / 32) as usize, 1 << (intid % 32))
}

/// `word` of an ICFGR array with the two bits of `intid` set for `trigger`.
const fn configured(word: u32, intid: u32, trigger: Trigger) -> u32 {
    let edge = 0b10 << (intid % 16 * 2);
    match trigger {
        Trigger::Edge => word | edge,
        Trigger::Level => word & !edge,
    }
}

/// Four priorities in one word.
const fn priorities(priority: u8) -> u32 {
    u32::from_ne_bytes([priority; 4])
}
