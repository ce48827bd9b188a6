//! Where an agent's own memory (`AgentMemAlloc`) lies: at most [`REGIONS`] regions in a window of their own.
//!
//! Invariants: sorted by address, inside `AGENT_MEM_BASE..AGENT_MEM_END`, an unmapped page between neighbours, together at most
//! [`AGENT_MEMORY`]. Nothing here touches page tables.

use aios_abi::limits::{AGENT_MEM_BASE, AGENT_MEM_END, AGENT_MEMORY, REGIONS};

use super::table::PAGE;

/// A region.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Region {
    /// Its first address.
    pub va: u64,
    /// Pages.
    pub pages: u32,
    /// Pages come when they are touched first.
    pub demand: bool,
}

impl Region {
    const NONE: Self = Self { va: 0, pages: 0, demand: false };

    /// Its bytes.
    pub const fn bytes(self) -> u64 {
        self.pages as u64 * PAGE
    }

    /// The first address behind it.
    pub const fn end(self) -> u64 {
        self.va + self.bytes()
    }
}

/// Why there is no region.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RegionError {
    /// A region has at least one page.
    Empty,
    /// The agent would have more than [`AGENT_MEMORY`].
    OverLimit,
    /// The agent has [`REGIONS`] regions, or no gap of the window is long enough.
    Full,
}

/// The regions of one agent.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Regions {
    entries: [Region; REGIONS],
    count: u8,
    pages: u32,
}

// The counts must hold the limits.
const _: () = assert!(REGIONS <= u8::MAX as usize && AGENT_MEMORY / PAGE <= u32::MAX as u64);

impl Regions {
    /// No region.
    pub const EMPTY: Self = Self { entries: [Region::NONE; REGIONS], count: 0, pages: 0 };

    /// The regions, by address.
    pub fn as_slice(&self) -> &[Region] {
        &self.entries[..usize::from(self.count)]
    }

    /// Pages of all of them.
    pub const fn pages(&self) -> u32 {
        self.pages
    }

    /// Takes the lowest gap that is long enough; answers the region.
    pub fn allocate(&mut self, pages: u64, demand: bool) -> Result<Region, RegionError> {
        if pages == 0 {
            return Err(RegionError::Empty);
        }
        let left = AGENT_MEMORY / PAGE - u64::from(self.pages);
        let pages = u32::try_from(pages).ok().filter(|&pages| u64::from(pages) <= left).ok_or(RegionError::OverLimit)?;
        let count = usize::from(self.count);
        if count == REGIONS {
            return Err(RegionError::Full);
        }
        let mut region = Region { va: AGENT_MEM_BASE, pages, demand };
        let mut index = 0;
        // Each region keeps the page behind it free.
        while index < count && region.end() + PAGE > self.entries[index].va {
            region.va = self.entries[index].end() + PAGE;
            index += 1;
        }
        if region.end() > AGENT_MEM_END {
            return Err(RegionError::Full);
        }
        self.entries.copy_within(index..count, index + 1);
        self.entries[index] = region;
        self.count += 1;
        self.pages += pages;
        Ok(region)
    }

    /// The region that this address is in.
    pub fn find(&self, va: u64) -> Option<Region> {
        let after = self.as_slice().partition_point(|region| region.va <= va);
        let region = *self.as_slice().get(after.checked_sub(1)?)?;
        (va < region.end()).then_some(region)
    }

    /// Forgets the region that starts at this address.
    pub fn remove(&mut self, va: u64) -> Option<Region> {
        let index = self.as_slice().binary_search_by_key(&va, |region| region.va).ok()?;
        let region = self.entries[index];
        let count = usize::from(self.count);
        self.entries.copy_within(index + 1..count, index);
        self.entries[count - 1] = Region::NONE;
        self.count -= 1;
        self.pages -= region.pages;
        Some(region)
    }
}
