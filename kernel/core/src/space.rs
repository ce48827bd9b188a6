//! Address spaces: page tables, walks, copies through them, and where an agent's memory lies.
//!
//! A [`Space`] is the root of three levels of tables and an ASID. It edits them through [`Memory`] and nothing else, so the same code runs
//! on the board and on the host. The rules, from the Arm ARM (D8.3 descriptors, D8.16 break-before-make):
//!
//! - A valid entry is never replaced by another valid one, except that [`protect`](Space::protect) changes its permissions.
//! - A table is complete before an entry points to it; cleared entries are flushed before what they named is freed.
//! - A table below the root has at least one entry, between calls and outside of a range that is being unmapped: so a space never costs
//!   more tables than its mappings need. Each one, the root included, was paid from a [`TableBudget`].
//! - Users map `0x1000..USER_END`; above lies only the information page.

mod copy;
mod regions;
mod remove;
mod table;
#[cfg(test)]
pub(crate) mod testmem;
#[cfg(test)]
mod tests;

use aios_abi::limits::{INFO_PAGE, USER_END};

pub use self::copy::{CopyCursor, CopyFault, FaultReason, Side, copy_between, read_user, read_words, write_user, write_words};
pub use self::regions::{Region, RegionError, Regions};
pub use self::remove::DestroyCursor;
pub use self::table::{Access, Leaf, MemoryType, Owner};

use self::table::{Descriptor, PAGE, VA_END, entry, span};
use crate::machine::Memory;

/// Who pays for the pages of tables.
pub trait TableBudget {
    /// Pays for one page; `false` if it can't.
    fn take(&mut self) -> bool;
    /// Gets one page back.
    fn give(&mut self);
}

/// Whether a step finished the work.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[must_use]
pub enum Progress {
    /// All done.
    Done,
    /// Call again with the same cursor, now or later.
    More,
}

/// Why a space refuses. Nothing has changed then.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MapError {
    /// It is [`Space::NONE`].
    NoSpace,
    /// The virtual address is not page aligned, or not one that users map.
    BadAddress,
    /// The physical address is not page aligned or has more than 48 bits, or device memory is to be executed.
    BadLeaf,
    /// Something is mapped there.
    AlreadyMapped,
    /// Nothing is mapped there.
    NotMapped,
    /// The budget can't pay for a table.
    NoQuota,
    /// The machine has no page for a table.
    NoMemory,
}

/// A run of pages and how far the work on it came.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PageRange {
    start: u64,
    next: u64,
    end: u64,
}

impl PageRange {
    /// `pages` pages from `va` on, untouched. `None` unless they are aligned and all for users to map.
    pub fn new(va: u64, pages: u64) -> Option<Self> {
        let end = pages.checked_mul(PAGE)?.checked_add(va)?;
        (va >= PAGE && va.is_multiple_of(PAGE) && end <= USER_END).then_some(Self { start: va, next: va, end })
    }

    /// The address that comes next.
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// What the work has covered, as a range for its undoing.
    pub const fn covered(&self) -> Self {
        Self { start: self.start, next: self.start, end: self.next }
    }
}

/// An address space. Whoever has it changes its tables: it is copied only together with the whole machine.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Space {
    /// Physical address of the first table; 0: there is none.
    root: u64,
    asid: u16,
}

/// Where a walk ended: at a page's entry, or at an absent one above it.
struct Place {
    /// Level of the entry, 1 to 3.
    level: usize,
    /// The tables on the way, by level minus one.
    tables: [u64; 3],
    descriptor: Descriptor,
}

impl Place {
    /// Physical address of the entry.
    const fn entry(&self, va: u64) -> u64 {
        entry(self.tables[self.level - 1], va, self.level)
    }
}

impl Space {
    /// No space: nothing is mapped and nothing can be.
    pub const NONE: Self = Self { root: 0, asid: 0 };

    /// An empty space with this ASID, of which no translation is cached any more.
    pub fn create<M: Memory>(memory: &mut M, asid: u16, tables: &mut impl TableBudget) -> Result<Self, MapError> {
        Ok(Self { root: take_table(memory, tables)?, asid })
    }

    /// Physical address of the first table; 0 for [`NONE`](Self::NONE).
    pub const fn root(&self) -> u64 {
        self.root
    }

    /// Its ASID.
    pub const fn asid(&self) -> u16 {
        self.asid
    }

    /// Maps one page. Code that was written there before is visible to instruction fetches.
    pub fn map<M: Memory>(&mut self, memory: &mut M, va: u64, leaf: Leaf, tables: &mut impl TableBudget) -> Result<(), MapError> {
        if !is_user_page(va) {
            return Err(MapError::BadAddress);
        }
        self.insert(memory, va, leaf, tables)
    }

    /// Maps the information page, read-only, at its fixed place above the user's addresses. It goes when the space is destroyed.
    pub fn map_info<M: Memory>(&mut self, memory: &mut M, pa: u64, owner: Owner, tables: &mut impl TableBudget) -> Result<(), MapError> {
        self.insert(memory, INFO_PAGE, Leaf { pa, access: Access::Read, kind: MemoryType::Normal, owner }, tables)
    }

    /// Maps a bounded piece of a range; `leaf` is its first page, the others follow it in physical memory.
    ///
    /// After an error, what [`covered`](PageRange::covered) names is mapped: [`unmap_range`](Self::unmap_range) undoes it.
    pub fn map_range<M: Memory>(
        &mut self,
        memory: &mut M,
        range: &mut PageRange,
        leaf: Leaf,
        tables: &mut impl TableBudget,
    ) -> Result<Progress, MapError> {
        for _ in 0..remove::STEP_PAGES {
            if range.next == range.end {
                return Ok(Progress::Done);
            }
            let pa = leaf.pa.checked_add(range.next - range.start).ok_or(MapError::BadLeaf)?;
            self.insert(memory, range.next, Leaf { pa, ..leaf }, tables)?;
            range.next += PAGE;
        }
        Ok(if range.next < range.end { Progress::More } else { Progress::Done })
    }

    /// Changes what the agent may do with a mapped page. On return no core uses the former permission.
    pub fn protect<M: Memory>(&mut self, memory: &mut M, va: u64, access: Access) -> Result<(), MapError> {
        if !is_user_page(va) {
            return Err(MapError::BadAddress);
        }
        let place = self.walk(memory, va);
        let leaf = Leaf { access, ..place.descriptor.leaf().ok_or(MapError::NotMapped)? };
        if !leaf.is_expressible() {
            return Err(MapError::BadLeaf);
        }
        sync_if_code(memory, leaf);
        memory.write(place.entry(va), Descriptor::page(leaf).0);
        memory.flush_page(self.asid, va);
        Ok(())
    }

    /// The page that this address lies in. `None`: nothing is mapped there, or it is no address of an agent.
    #[inline]
    pub fn translate<M: Memory>(&self, memory: &M, va: u64) -> Option<Leaf> {
        self.walk(memory, va).descriptor.leaf()
    }

    /// Walks as far as there are tables: three reads at most.
    #[inline]
    fn walk<M: Memory>(&self, memory: &M, va: u64) -> Place {
        let mut place = Place { level: 1, tables: [self.root, 0, 0], descriptor: Descriptor::ABSENT };
        if self.root == 0 || va >= VA_END {
            return place;
        }
        loop {
            place.descriptor = Descriptor(memory.read(place.entry(va)));
            if place.level == 3 || !place.descriptor.is_present() {
                return place;
            }
            place.tables[place.level] = place.descriptor.address();
            place.level += 1;
        }
    }

    /// The last-level table that covers this address, if there is one.
    fn last_table<M: Memory>(&self, memory: &M, va: u64) -> Option<u64> {
        let place = self.walk(memory, va);
        (place.level == 3).then_some(place.tables[2])
    }

    /// Puts a page where nothing is; `va` is aligned and below 2³⁹.
    fn insert<M: Memory>(&mut self, memory: &mut M, va: u64, leaf: Leaf, tables: &mut impl TableBudget) -> Result<(), MapError> {
        if self.root == 0 {
            return Err(MapError::NoSpace);
        }
        if !leaf.is_expressible() {
            return Err(MapError::BadLeaf);
        }
        let place = self.walk(memory, va);
        if place.descriptor.is_present() {
            return Err(MapError::AlreadyMapped);
        }
        // Everything that can fail comes first; then the new tables are filled from below, and linked last.
        let last = if place.level < 3 { Some(take_table(memory, tables)?) } else { None };
        let middle = if place.level < 2 {
            match take_table(memory, tables) {
                Ok(table) => Some(table),
                Err(error) => {
                    last.into_iter().for_each(|table| give_table(memory, table, tables));
                    return Err(error);
                }
            }
        } else {
            None
        };
        sync_if_code(memory, leaf);
        let mut descriptor = Descriptor::page(leaf);
        for (level, table) in [(3, last), (2, middle)] {
            if let Some(table) = table {
                memory.write(entry(table, va, level), descriptor.0);
                descriptor = Descriptor::table(table);
            }
        }
        memory.write(place.entry(va), descriptor.0);
        Ok(())
    }
}

/// Whether users map a page at this address: aligned, not page 0, below the kernel's part.
const fn is_user_page(va: u64) -> bool {
    va.is_multiple_of(PAGE) && va >= PAGE && va < USER_END
}

/// The first address behind what the entry for `va` in a table of this level covers.
const fn next_entry(va: u64, level: usize) -> u64 {
    va - va % span(level) + span(level)
}

/// An instruction fetch must see what was written to the page before it could be executed.
fn sync_if_code<M: Memory>(memory: &mut M, leaf: Leaf) {
    if leaf.access == Access::ReadExecute {
        memory.sync_code(leaf.pa, 1);
    }
}

fn take_table<M: Memory>(memory: &mut M, tables: &mut impl TableBudget) -> Result<u64, MapError> {
    if !tables.take() {
        return Err(MapError::NoQuota);
    }
    memory.alloc(1).ok_or_else(|| {
        tables.give();
        MapError::NoMemory
    })
}

fn give_table<M: Memory>(memory: &mut M, table: u64, tables: &mut impl TableBudget) {
    memory.free(table, 1);
    tables.give();
}
