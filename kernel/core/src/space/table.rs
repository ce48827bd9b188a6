//! Translation-table descriptors: Arm ARM D8.3, VMSAv8-64, 4 KiB granule, 39-bit addresses (levels 1 to 3), EL0 pages.
//!
//! Invariants: a page is never writable and executable at once ([`Access`] can't say it), never executable for the kernel (PXN), always
//! non-global and accessed. No block descriptors: every leaf is a page.

use aios_abi::limits::PAGE_SIZE;
use aios_abi::rights::Rights;

/// Bytes of a page, as an address.
pub(super) const PAGE: u64 = PAGE_SIZE as u64;
/// Entries of a table.
pub(super) const ENTRIES: u64 = 512;
/// First address that no walk reaches: 39 bits.
pub(super) const VA_END: u64 = 1 << 39;

const PRESENT: u64 = 0b11;
const ATTRIBUTE_SHIFT: u64 = 2;
const ATTRIBUTE_MASK: u64 = 0b111 << ATTRIBUTE_SHIFT;
const EL0: u64 = 1 << 6;
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 0b11 << 8;
const ACCESSED: u64 = 1 << 10;
const NOT_GLOBAL: u64 = 1 << 11;
const ADDRESS: u64 = (1 << 48) - PAGE;
const PXN: u64 = 1 << 53;
const UXN: u64 = 1 << 54;
/// The first of the bits 55 to 58, which the hardware leaves to software.
const PRIVATE: u64 = 1 << 55;

/// What an agent may do with a page. Whoever may write or execute may read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Access {
    /// Read.
    Read,
    /// Read and write.
    ReadWrite,
    /// Read and execute.
    ReadExecute,
}

impl Access {
    /// The access that a set of `READ`, `WRITE` and `EXECUTE` asks for. `None`: nothing, write with execute, or any other bit.
    pub const fn from_rights(rights: Rights) -> Option<Self> {
        let known = Rights::READ.or(Rights::WRITE).or(Rights::EXECUTE);
        if !known.contains(rights) || rights.0 == 0 {
            return None;
        }
        match (rights.contains(Rights::WRITE), rights.contains(Rights::EXECUTE)) {
            (false, false) => Some(Self::Read),
            (true, false) => Some(Self::ReadWrite),
            (false, true) => Some(Self::ReadExecute),
            (true, true) => None,
        }
    }

    /// What a capability must allow to be mapped like this.
    pub const fn rights(self) -> Rights {
        match self {
            Self::Read => Rights::READ,
            Self::ReadWrite => Rights::READ.or(Rights::WRITE),
            Self::ReadExecute => Rights::READ.or(Rights::EXECUTE),
        }
    }
}

/// What lies behind a page; the number is the index of the attribute in `MAIR_EL1`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum MemoryType {
    /// Device registers. The kernel can't reach them: they aren't in its direct map.
    Device = 0,
    /// Memory, cached.
    Normal = 1,
}

/// Who frees the memory behind a page.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Owner {
    /// Somebody else, such as a frame capability.
    Shared,
    /// The mapping: memory of this agent alone, which goes when the mapping goes.
    Private,
}

/// A mapped page.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Leaf {
    /// Physical address of the page.
    pub pa: u64,
    /// What the agent may do.
    pub access: Access,
    /// What it is.
    pub kind: MemoryType,
    /// Who frees it.
    pub owner: Owner,
}

impl Leaf {
    /// Whether a descriptor can say it: an aligned address below 2⁴⁸, and no code in device registers.
    pub(super) const fn is_expressible(self) -> bool {
        self.pa & !ADDRESS == 0 && !(matches!(self.kind, MemoryType::Device) && matches!(self.access, Access::ReadExecute))
    }
}

/// An entry of a table, at any level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Descriptor(pub u64);

impl Descriptor {
    /// Nothing here.
    pub const ABSENT: Self = Self(0);
    const READ_MASK: u64 = PRESENT | ATTRIBUTE_MASK | EL0;
    const WRITE_MASK: u64 = Self::READ_MASK | READ_ONLY;
    const REACHABLE: u64 = PRESENT | (MemoryType::Normal as u64) << ATTRIBUTE_SHIFT | EL0;

    /// Points to the table of the next level.
    pub const fn table(pa: u64) -> Self {
        Self(pa & ADDRESS | PRESENT)
    }

    /// Maps a page. The leaf [is expressible](Leaf::is_expressible).
    pub const fn page(leaf: Leaf) -> Self {
        let access = match leaf.access {
            Access::Read => READ_ONLY | UXN,
            Access::ReadWrite => UXN,
            Access::ReadExecute => READ_ONLY,
        };
        let kind = match leaf.kind {
            MemoryType::Device => (MemoryType::Device as u64) << ATTRIBUTE_SHIFT,
            MemoryType::Normal => (MemoryType::Normal as u64) << ATTRIBUTE_SHIFT | INNER_SHAREABLE,
        };
        let owner = match leaf.owner {
            Owner::Shared => 0,
            Owner::Private => PRIVATE,
        };
        Self(leaf.pa & ADDRESS | access | kind | owner | PXN | NOT_GLOBAL | ACCESSED | EL0 | PRESENT)
    }

    /// Whether it points to a table or maps a page.
    pub const fn is_present(self) -> bool {
        self.0 & PRESENT == PRESENT
    }

    /// Whether the kernel may read from this page for the agent: it is there, the agent may, and it is memory.
    pub const fn is_readable(self) -> bool {
        self.0 & Self::READ_MASK == Self::REACHABLE
    }

    /// Whether the kernel may write to this page for the agent.
    pub const fn is_writable(self) -> bool {
        self.0 & Self::WRITE_MASK == Self::REACHABLE
    }

    /// The table or page that it points to.
    pub const fn address(self) -> u64 {
        self.0 & ADDRESS
    }

    /// What [`page`](Self::page) made it from; `None` if it is absent.
    pub const fn leaf(self) -> Option<Leaf> {
        if !self.is_present() {
            return None;
        }
        let access = match (self.0 & READ_ONLY == 0, self.0 & UXN == 0) {
            (true, _) => Access::ReadWrite,
            (false, true) => Access::ReadExecute,
            (false, false) => Access::Read,
        };
        let kind = if self.0 & ATTRIBUTE_MASK == 0 { MemoryType::Device } else { MemoryType::Normal };
        let owner = if self.0 & PRIVATE == 0 { Owner::Shared } else { Owner::Private };
        Some(Leaf { pa: self.address(), access, kind, owner })
    }
}

/// Bytes that one entry of a table of this level covers: 1 GiB, 2 MiB, 4 KiB.
pub(super) const fn span(level: usize) -> u64 {
    1 << (39 - 9 * level)
}

/// Physical address of the entry for `va` in a table of this level.
pub(super) const fn entry(table: u64, va: u64, level: usize) -> u64 {
    table + (va / span(level) % ENTRIES) * 8
}
