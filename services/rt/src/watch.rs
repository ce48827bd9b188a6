//! Notification bits that mean a death. The kernel reports one by raising bits that the server chose; this remembers what each stands for.

use core::fmt;

/// Something whose end is watched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Watched {
    /// An agent, by id.
    Agent(u64),
    /// A badge of the server's own mailbox.
    Badge(u64),
}

/// Why something is not watched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WatchError {
    /// Every bit that the server set aside for it is taken.
    NoBits,
    /// The kernel refused, with this code.
    Kernel(u16),
}

impl fmt::Display for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBits => f.write_str("no notification bit is left to watch with"),
            Self::Kernel(code) => write!(f, "the kernel refused to watch with code {code}"),
        }
    }
}

impl core::error::Error for WatchError {}

/// What each bit stands for.
#[derive(Debug)]
pub(crate) struct Watches {
    bits: u64,
    watched: [Option<Watched>; 64],
}

impl Watches {
    /// Watches with these bits.
    pub const fn new(bits: u64) -> Self {
        Self { bits, watched: [None; 64] }
    }

    /// The bits that belong to it, in use or not.
    pub fn bits(&self) -> u64 {
        self.bits
    }

    /// Takes a free bit.
    pub fn reserve(&mut self, what: Watched) -> Result<u64, WatchError> {
        let bits = self.bits;
        let free = self.watched.iter_mut().enumerate().find(|(bit, place)| bits & 1 << bit != 0 && place.is_none());
        let (bit, place) = free.ok_or(WatchError::NoBits)?;
        *place = Some(what);
        Ok(1 << bit)
    }

    /// What a bit stood for; the bit is free again.
    pub fn take(&mut self, bit: u64) -> Option<Watched> {
        self.watched.get_mut(bit.trailing_zeros() as usize)?.take()
    }
}
