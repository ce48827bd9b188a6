//! Pools: who pays for which page.
//!
//! Every page that the system hands out, kernel objects and page tables included, was paid by a pool first. A child pool's quota is taken from its
//! parent when it is made, and the root pool is as large as the free memory: so the sum of promises never exceeds what is there, nobody can
//! exhaust another, and a page that is paid exists.

use aios_abi::Error;

/// A quota and how much of it is gone, in pages.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Pool {
    /// Pages promised to it; 0 marks a pool that doesn't exist.
    pub quota: u64,
    /// Pages used, child pools' quotas included.
    pub used: u64,
}

impl Pool {
    /// No pool.
    pub const NONE: Self = Self { quota: 0, used: 0 };

    /// Pays for pages.
    pub const fn take(&mut self, pages: u64) -> Result<(), Error> {
        if pages > self.quota - self.used {
            return Err(Error::NoMemory);
        }
        self.used += pages;
        Ok(())
    }

    /// Gets pages back.
    pub const fn give(&mut self, pages: u64) {
        debug_assert!(pages <= self.used, "more pages come back than were paid");
        self.used = self.used.saturating_sub(pages);
    }

    /// Pages left.
    pub const fn left(&self) -> u64 {
        self.quota - self.used
    }
}

/// Where the pages are, for people.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Ledger {
    /// Objects that the kernel keeps for agents.
    pub objects: u64,
    /// Page tables of agents.
    pub tables: u64,
    /// Frames with capabilities.
    pub frames: u64,
    /// Agent memory.
    pub memory: u64,
}
