//! Stage-1 translation tables: 39-bit addresses, 4 KiB granule, three levels (Arm ARM DDI 0487, D8.3).
//!
//! [`Tables`] adds mappings to tables that it reaches through a [`TableMemory`]: raw memory in the program, a map in tests. An existing
//! entry is never changed, so no break-before-make is needed; a second mapping of an address is an error.

use core::fmt;

use aios_handoff::layout::{PAGE_SIZE, VA_BITS};
use aios_handoff::regs::{ATTR_DEVICE, ATTR_NORMAL};

/// What may be done with a mapping, always by EL1 only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Normal memory, executable and readable.
    Code,
    /// Normal memory, readable.
    ReadOnly,
    /// Normal memory, readable and writable.
    Data,
    /// Device-nGnRnE memory, readable and writable.
    Device,
}

const VALID: u64 = 1 << 0;
/// Bit 1: a table at levels 1 and 2, a page at level 3; clear: a block.
const TABLE_OR_PAGE: u64 = 1 << 1;
const ATTR_INDEX_SHIFT: u64 = 2;
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 0b11 << 8;
const ACCESSED: u64 = 1 << 10;
const NOT_GLOBAL: u64 = 1 << 11;
const PXN: u64 = 1 << 53;
const UXN: u64 = 1 << 54;
/// Output address of every kind of entry.
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
/// log2 of the bytes that an entry of level 1, 2 and 3 covers.
const LEVEL_SHIFT: [u32; 3] = [30, 21, 12];
const ENTRIES: u64 = 512;

impl Access {
    const fn attributes(self) -> u64 {
        let (index, bits) = match self {
            Self::Code => (ATTR_NORMAL, READ_ONLY),
            Self::ReadOnly => (ATTR_NORMAL, READ_ONLY | PXN),
            Self::Data => (ATTR_NORMAL, PXN),
            Self::Device => (ATTR_DEVICE, PXN),
        };
        VALID | ACCESSED | INNER_SHAREABLE | UXN | (index << ATTR_INDEX_SHIFT) | bits
    }
}

/// Memory in which tables live. Addresses are physical.
pub trait TableMemory {
    /// A zeroed page, or `None` when there is none left.
    fn allocate(&mut self) -> Option<u64>;
    /// Reads the entry at `at`, a multiple of 8 within an allocated page.
    fn read(&self, at: u64) -> u64;
    /// Writes the entry at `at`, likewise.
    fn write(&mut self, at: u64, entry: u64);
}

/// Why a mapping was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// Address or length is no multiple of the page size, or the range leaves its half of the address space (the address).
    Range(u64),
    /// The address is mapped already.
    Mapped(u64),
    /// No page is left for a table.
    Full,
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(va) => write!(f, "can't map at {va:#x}"),
            Self::Mapped(va) => write!(f, "{va:#x} is mapped twice"),
            Self::Full => f.write_str("no memory left for translation tables"),
        }
    }
}

impl core::error::Error for TableError {}

/// One tree of tables, for one half of the address space.
#[derive(Debug)]
pub struct Tables<M> {
    memory: M,
    root: u64,
    /// The upper half (TTBR1) is the kernel's and global; the lower one belongs to an ASID.
    upper: bool,
}

impl<M: TableMemory> Tables<M> {
    /// An empty tree for TTBR1 (`upper`) or TTBR0.
    ///
    /// # Errors
    /// [`TableError::Full`].
    pub fn new(mut memory: M, upper: bool) -> Result<Self, TableError> {
        let root = memory.allocate().ok_or(TableError::Full)?;
        Ok(Self { memory, root, upper })
    }

    /// Physical address of the root table.
    #[must_use]
    pub fn root(&self) -> u64 {
        self.root
    }

    /// Gives the memory back, when the tree is finished.
    pub fn into_memory(self) -> M {
        self.memory
    }

    /// Maps `len` bytes at `va` to `pa`, with blocks of 1 GiB and 2 MiB wherever both addresses allow.
    ///
    /// # Errors
    /// [`TableError`]; a part may be mapped then.
    pub fn map(&mut self, va: u64, pa: u64, len: u64, access: Access) -> Result<(), TableError> {
        self.map_by(va, pa, len, access, LEVEL_SHIFT[0])
    }

    /// The same with pages only, for what gets other permissions page by page later.
    ///
    /// # Errors
    /// As [`Self::map`].
    pub fn map_pages(&mut self, va: u64, pa: u64, len: u64, access: Access) -> Result<(), TableError> {
        self.map_by(va, pa, len, access, LEVEL_SHIFT[2])
    }

    fn map_by(&mut self, va: u64, pa: u64, len: u64, access: Access, largest: u32) -> Result<(), TableError> {
        self.check(va, pa, len)?;
        let attributes = access.attributes() | if self.upper { 0 } else { NOT_GLOBAL };
        let mut done = 0;
        while done < len {
            let (va, pa, left) = (va.wrapping_add(done), pa + done, len - done);
            let fits = |&shift: &u32| {
                let size = 1u64 << shift;
                shift <= largest && left >= size && (va | pa).is_multiple_of(size)
            };
            // Level 3 always fits: everything is made of pages.
            let level = LEVEL_SHIFT.iter().position(fits).unwrap_or(2);
            let at = self.entry_at(va, level)?;
            if self.memory.read(at) & VALID != 0 {
                return Err(TableError::Mapped(va));
            }
            let kind = if level == 2 { TABLE_OR_PAGE } else { 0 };
            self.memory.write(at, pa | attributes | kind);
            done += 1 << LEVEL_SHIFT[level];
        }
        Ok(())
    }

    fn check(&self, va: u64, pa: u64, len: u64) -> Result<(), TableError> {
        let error = Err(TableError::Range(va));
        if !(va | pa | len).is_multiple_of(PAGE_SIZE) {
            return error;
        }
        let half = 1u64 << VA_BITS;
        // The upper half's last address is the last of all, so the end may wrap to zero.
        let offset = if self.upper { va.wrapping_add(half) } else { va };
        match (offset.checked_add(len), pa.checked_add(len)) {
            (Some(end), Some(pa_end)) if offset < half && end <= half && pa_end <= ADDRESS => Ok(()),
            _ => error,
        }
    }

    /// Address of the entry for `va` at `level` (0 = the root's), making tables on the way.
    fn entry_at(&mut self, va: u64, level: usize) -> Result<u64, TableError> {
        let index = |shift: u32| (va >> shift) % ENTRIES * 8;
        let mut table = self.root;
        for shift in &LEVEL_SHIFT[..level] {
            let at = table + index(*shift);
            let entry = self.memory.read(at);
            table = if entry & VALID == 0 {
                let new = self.memory.allocate().ok_or(TableError::Full)?;
                self.memory.write(at, new | VALID | TABLE_OR_PAGE);
                new
            } else if entry & TABLE_OR_PAGE != 0 {
                entry & ADDRESS
            } else {
                return Err(TableError::Mapped(va));
            };
        }
        Ok(table + index(LEVEL_SHIFT[level]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::{SimMemory, walk};

    const UPPER: u64 = 0xffff_ff80_0000_0000;

    #[test]
    fn uses_the_largest_blocks() {
        let mut tables = Tables::new(SimMemory::new(100), true).unwrap();
        // 4 KiB before a GiB boundary up to 2 MiB and 4 KiB behind the next one.
        let (pa, len) = (0x3fff_f000, 0x1000 + 0x4000_0000 + 0x20_0000 + 0x1000);
        tables.map(UPPER + pa, pa, len, Access::Data).unwrap();
        let root = tables.root();
        let memory = tables.into_memory();
        let leaves = walk(&memory, root, true);
        let sizes: Vec<_> = leaves.iter().map(|leaf| leaf.len).collect();
        assert_eq!(sizes, [0x1000, 0x4000_0000, 0x20_0000, 0x1000]);
        assert_eq!(leaves[0].va, UPPER + pa);
        assert_eq!(memory.used(), 1 + 2 + 2, "root, and two tables at each end");
    }

    #[test]
    fn descriptors_say_what_was_asked() {
        assert_eq!(Access::Code.attributes(), (1 << 54) | 0b111_1000_0101);
        assert_eq!(Access::Code.attributes() & (READ_ONLY | PXN | UXN), READ_ONLY | UXN);
        assert_eq!(Access::ReadOnly.attributes() & (READ_ONLY | PXN | UXN), READ_ONLY | PXN | UXN);
        assert_eq!(Access::Data.attributes() & (READ_ONLY | PXN | UXN), PXN | UXN);
        assert_eq!(Access::Device.attributes() >> 2 & 7, ATTR_DEVICE);
        let mut tables = Tables::new(SimMemory::new(3), false).unwrap();
        tables.map(0x40_0000, 0x5000_0000, 0x1000, Access::Data).unwrap();
        let root = tables.root();
        assert_eq!(walk(&tables.into_memory(), root, false)[0].entry, 0x0060_0000_5000_0f07);
    }

    #[test]
    fn refuses_what_it_cannot_map() {
        let mut tables = Tables::new(SimMemory::new(4), true).unwrap();
        for (va, pa, len) in [
            (UPPER + 1, 0, 0x1000),
            (UPPER, 8, 0x1000),
            (UPPER, 0, 0x800),
            (0x40_0000, 0, 0x1000),
            (UPPER - 0x1000, 0, 0x1000),
            (u64::MAX - 0xfff, 0, 0x2000),
            (UPPER, u64::MAX - 0xfff, 0x1000),
        ] {
            assert_eq!(tables.map(va, pa, len, Access::Data), Err(TableError::Range(va)), "{va:#x} {pa:#x} {len:#x}");
        }
        tables.map(u64::MAX - 0xfff, 0, 0x1000, Access::Data).unwrap();
        assert_eq!(tables.map(u64::MAX - 0xfff, 0, 0x1000, Access::Data), Err(TableError::Mapped(u64::MAX - 0xfff)));
        tables.map(UPPER, 0, 0x4000_0000, Access::Data).unwrap();
        assert_eq!(tables.map(UPPER + 0x5000, 0, 0x1000, Access::Data), Err(TableError::Mapped(UPPER + 0x5000)));
        assert_eq!(tables.map(UPPER + (1 << 31), 0, 0x1000, Access::Data), Err(TableError::Full));
        let mut lower = Tables::new(SimMemory::new(4), false).unwrap();
        assert_eq!(lower.map(1 << 39, 0, 0x1000, Access::Data), Err(TableError::Range(1 << 39)));
    }
}
