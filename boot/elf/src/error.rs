//! Why a file was refused.

use core::fmt;

/// Why a file is not an executable that this system loads. Addresses are the segment's `p_vaddr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElfError {
    /// The file ends inside its header.
    Truncated,
    /// No ELF magic at the start.
    Magic,
    /// Not a 64-bit little-endian file.
    Class,
    /// Built for another machine (`e_machine`).
    Machine(u16),
    /// Neither `ET_EXEC` nor `ET_DYN` (`e_type`).
    Kind(u16),
    /// The program header table has an unknown entry size or lies outside the file.
    ProgramHeaders,
    /// A segment's bytes lie outside the file.
    SegmentFile(u64),
    /// A segment has more bytes in the file than in memory.
    SegmentSize(u64),
    /// A segment's addresses overflow, or its page does.
    SegmentAddress(u64),
    /// A segment begins before the end of the page in which the previous one ends.
    Overlap(u64),
    /// A segment is writable and executable.
    WritableCode(u64),
    /// There is nothing to load.
    Empty,
    /// The entry lies in no executable segment (`e_entry`).
    Entry(u64),
    /// A note is cut off.
    Note,
}

impl fmt::Display for ElfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("ELF header is cut off"),
            Self::Magic => f.write_str("not an ELF file"),
            Self::Class => f.write_str("not a 64-bit little-endian ELF file"),
            Self::Machine(found) => write!(f, "ELF file for machine {found}, expected 183 (AArch64)"),
            Self::Kind(found) => write!(f, "ELF type {found} is no executable"),
            Self::ProgramHeaders => f.write_str("bad ELF program header table"),
            Self::SegmentFile(at) => write!(f, "ELF segment {at:#x} lies outside the file"),
            Self::SegmentSize(at) => write!(f, "ELF segment {at:#x} is larger in the file than in memory"),
            Self::SegmentAddress(at) => write!(f, "ELF segment {at:#x} overflows the address space"),
            Self::Overlap(at) => write!(f, "ELF segment {at:#x} shares a page with the one before or is out of order"),
            Self::WritableCode(at) => write!(f, "ELF segment {at:#x} is writable and executable"),
            Self::Empty => f.write_str("ELF file has nothing to load"),
            Self::Entry(at) => write!(f, "ELF entry {at:#x} is not in executable memory"),
            Self::Note => f.write_str("ELF note is cut off"),
        }
    }
}

impl core::error::Error for ElfError {}
