//! A small checked reader of AArch64 ELF executables, for stage0, init and the host tools.
//!
//! [`Elf::parse`] checks everything that a loader relies on, once: after it, iteration over segments and notes can't fail.
//! Accepted are little-endian ELF64 files for AArch64, `ET_EXEC` or `ET_DYN`, whose loadable segments
//! - lie inside the file and inside the address space, in ascending order, and share no 4 KiB page with each other,
//! - take at least as much memory as file, and
//! - are never writable and executable together.
//!
//! Sections, symbols and relocations are ignored: what runs is described by program headers alone.
//!
//! An image states the kernel ABI that it was built for in a note (see [`note`]); [`Elf::abi_version`] finds it.
//!
//! Format: ELF-64 object file format 1.5; "ELF for the Arm 64-bit architecture" (AAELF64).
#![cfg_attr(not(any(test, feature = "std")), no_std)]
#![forbid(unsafe_code)]

mod error;
pub mod note;
mod read;
#[cfg(any(test, feature = "std"))]
mod rewrite;
mod segment;

pub use error::ElfError;
pub use note::AbiNote;
#[cfg(any(test, feature = "std"))]
pub use rewrite::{Flat, flatten, minimal};
pub use segment::{Flags, Segment, Segments};

use note::Notes;
use read::{u16_at, u32_at, u64_at};

/// Segments may not share a page of this size, because permissions are given by page.
pub const PAGE_SIZE: u64 = 4096;

pub(crate) const EHDR_SIZE: usize = 64;
pub(crate) const PHDR_SIZE: usize = 56;
const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;
const MACHINE_AARCH64: u16 = 183;
const PT_LOAD: u32 = 1;
pub(crate) const PT_NOTE: u32 = 4;
/// `e_phnum` of a file that keeps the real number elsewhere; far above any sane executable.
const PHNUM_EXTENDED: u16 = 0xffff;

/// Whether addresses are absolute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `ET_EXEC`: runs at its link addresses.
    Exec,
    /// `ET_DYN`: position independent.
    Dyn,
}

/// A checked executable.
#[derive(Clone, Copy, Debug)]
pub struct Elf<'a> {
    file: &'a [u8],
    headers: &'a [u8],
    kind: Kind,
    entry: u64,
}

impl<'a> Elf<'a> {
    /// Checks `file` and gives access to it.
    ///
    /// # Errors
    /// The first [`ElfError`] found.
    pub fn parse(file: &'a [u8]) -> Result<Self, ElfError> {
        let ident = file.get(..EHDR_SIZE).ok_or(ElfError::Truncated)?;
        if ident[..4] != *b"\x7fELF" {
            return Err(ElfError::Magic);
        }
        if ident[4] != CLASS_64 || ident[5] != LITTLE_ENDIAN {
            return Err(ElfError::Class);
        }
        let machine = u16_at(file, 18)?;
        if machine != MACHINE_AARCH64 {
            return Err(ElfError::Machine(machine));
        }
        let kind = match u16_at(file, 16)? {
            2 => Kind::Exec,
            3 => Kind::Dyn,
            other => return Err(ElfError::Kind(other)),
        };
        let count = u16_at(file, 56)?;
        if count == PHNUM_EXTENDED || (count != 0 && usize::from(u16_at(file, 54)?) != PHDR_SIZE) {
            return Err(ElfError::ProgramHeaders);
        }
        let len = u64::from(count) * PHDR_SIZE as u64;
        let headers = read::range(file, u64_at(file, 32)?, len).ok_or(ElfError::ProgramHeaders)?;
        let elf = Self { file, headers, kind, entry: u64_at(file, 24)? };
        elf.check_segments()?;
        elf.check_notes()?;
        Ok(elf)
    }

    /// Whether the executable is position independent.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Address of the first instruction; it lies in an executable segment.
    #[must_use]
    pub fn entry(&self) -> u64 {
        self.entry
    }

    /// The loadable segments in ascending order of address. Segments without memory are left out.
    #[must_use]
    pub fn segments(&self) -> Segments<'a> {
        Segments::new(self.file, self.headers)
    }

    /// The notes of all `PT_NOTE` segments.
    pub fn notes(&self) -> impl Iterator<Item = note::Note<'a>> {
        self.note_data().flat_map(Notes::new).map_while(Result::ok)
    }

    /// The kernel ABI version that the image was built for, from its [`AbiNote`]; `None` when it has none.
    #[must_use]
    pub fn abi_version(&self) -> Option<u32> {
        self.notes().find_map(|note| note.abi_version())
    }

    /// The lowest address and the first address behind the image in memory, both page aligned.
    #[must_use]
    pub fn span(&self) -> (u64, u64) {
        let first = self.segments().next().map_or(0, |segment| segment.page_start());
        let last = self.segments().last().map_or(0, |segment| segment.page_end());
        (first, last)
    }

    fn check_segments(&self) -> Result<(), ElfError> {
        let mut previous_end = 0;
        let mut entry_found = false;
        let mut count = 0;
        for index in 0..self.header_count() {
            let Some(segment) = Segment::read(self.file, self.headers, index)? else { continue };
            if segment.flags.write() && segment.flags.execute() {
                return Err(ElfError::WritableCode(segment.vaddr));
            }
            if segment.page_start() < previous_end {
                return Err(ElfError::Overlap(segment.vaddr));
            }
            previous_end = segment.page_end();
            entry_found |= segment.flags.execute() && segment.contains(self.entry);
            count += 1;
        }
        if count == 0 {
            return Err(ElfError::Empty);
        }
        if !entry_found {
            return Err(ElfError::Entry(self.entry));
        }
        Ok(())
    }

    fn check_notes(&self) -> Result<(), ElfError> {
        for index in 0..self.header_count() {
            if self.header_type(index) == PT_NOTE {
                let data = self.header_data(index).ok_or(ElfError::Note)?;
                for note in Notes::new(data) {
                    note?;
                }
            }
        }
        Ok(())
    }

    fn note_data(&self) -> impl Iterator<Item = &'a [u8]> {
        let elf = *self;
        (0..self.header_count()).filter(move |&index| elf.header_type(index) == PT_NOTE).filter_map(move |index| elf.header_data(index))
    }

    pub(crate) fn header_count(&self) -> usize {
        self.headers.len() / PHDR_SIZE
    }

    pub(crate) fn header_type(&self, index: usize) -> u32 {
        u32_at(self.headers, index * PHDR_SIZE).unwrap_or(0)
    }

    /// The file bytes of a program header.
    pub(crate) fn header_data(&self, index: usize) -> Option<&'a [u8]> {
        let at = index * PHDR_SIZE;
        let offset = u64_at(self.headers, at + 8).ok()?;
        let len = u64_at(self.headers, at + 32).ok()?;
        read::range(self.file, offset, len)
    }
}

#[cfg(test)]
mod tests;
