//! Where each agent lives, for all cores.

use crate::sync::{AtomicU16, Ordering};

/// For each place of the agent table the core on which its agent lives. Who moves an agent puts it into the [`Passage`](crate::Passage) first and
/// says so here then: who reads here that an agent is to be on its own core finds it there, or has it already.
#[derive(Debug)]
pub struct Homes<const N: usize>([AtomicU16; N]);

impl<const N: usize> Homes<N> {
    /// All places are free.
    #[cfg(not(loom))]
    #[expect(clippy::new_without_default, reason = "made in a constant")]
    pub const fn new() -> Self {
        Self([const { AtomicU16::new(0) }; N])
    }

    /// All places are free.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self(core::array::from_fn(|_| AtomicU16::new(0)))
    }

    /// The core of the agent at a place; `None` if the place is free.
    #[inline(always)]
    pub fn get(&self, place: u16) -> Option<u16> {
        self.0.get(place as usize)?.load(Ordering::Acquire).checked_sub(1)
    }

    /// Says that the agent at a place has left core `from` for core `to`, if nobody has said anything else since it left: it may be there already, have
    /// gone on, or have ended.
    pub fn leave(&self, place: u16, from: u16, to: u16) {
        if let Some(home) = self.0.get(place as usize) {
            // If it fails, what stands there is newer.
            let _ = home.compare_exchange(from + 1, to + 1, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// Says where the agent at a place lives; `None`: the place is free.
    pub fn set(&self, place: u16, core: Option<u16>) {
        if let Some(home) = self.0.get(place as usize) {
            home.store(core.map_or(0, |core| core + 1), Ordering::Release);
        }
    }
}
