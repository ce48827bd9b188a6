//! Loadable segments.

use core::fmt;

use crate::read::{self, u32_at, u64_at};
use crate::{ElfError, PAGE_SIZE, PHDR_SIZE, PT_LOAD};

/// Permissions of a segment (`p_flags`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// `PF_X`.
    pub const EXECUTE: u32 = 1;
    /// `PF_W`.
    pub const WRITE: u32 = 2;
    /// `PF_R`.
    pub const READ: u32 = 4;

    /// May be read.
    #[must_use]
    pub const fn read(self) -> bool {
        self.0 & Self::READ != 0
    }

    /// May be written.
    #[must_use]
    pub const fn write(self) -> bool {
        self.0 & Self::WRITE != 0
    }

    /// May be executed.
    #[must_use]
    pub const fn execute(self) -> bool {
        self.0 & Self::EXECUTE != 0
    }

    /// The three bits as in the file.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |set, letter| if set { letter } else { '-' };
        write!(f, "{}{}{}", letter(self.read(), 'r'), letter(self.write(), 'w'), letter(self.execute(), 'x'))
    }
}

/// One `PT_LOAD` segment. A value got from [`Elf::segments`](crate::Elf::segments) keeps the promises of the crate's first page.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Virtual address of the first byte.
    pub vaddr: u64,
    /// Physical address as the linker gave it (loaders here place segments themselves).
    pub paddr: u64,
    /// Where `data` lies in the file, bytes.
    pub offset: u64,
    /// The initialised bytes; what follows up to `memsz` is zero.
    pub data: &'a [u8],
    /// Bytes in memory, at least 1.
    pub memsz: u64,
    /// Permissions.
    pub flags: Flags,
}

impl<'a> Segment<'a> {
    /// `vaddr` rounded down to a page.
    #[must_use]
    pub const fn page_start(&self) -> u64 {
        self.vaddr & !(PAGE_SIZE - 1)
    }

    /// The end rounded up to a page.
    #[must_use]
    pub const fn page_end(&self) -> u64 {
        // No overflow: checked as the segment was read.
        (self.vaddr + self.memsz).next_multiple_of(PAGE_SIZE)
    }

    /// Number of pages that the segment touches.
    #[must_use]
    pub const fn pages(&self) -> u64 {
        (self.page_end() - self.page_start()) / PAGE_SIZE
    }

    /// Whether `address` lies inside.
    #[must_use]
    pub const fn contains(&self, address: u64) -> bool {
        address >= self.vaddr && address - self.vaddr < self.memsz
    }

    /// Reads program header `index`; `None` when it loads nothing.
    pub(crate) fn read(file: &'a [u8], headers: &'a [u8], index: usize) -> Result<Option<Self>, ElfError> {
        let at = index * PHDR_SIZE;
        if u32_at(headers, at)? != PT_LOAD {
            return Ok(None);
        }
        let vaddr = u64_at(headers, at + 16)?;
        let filesz = u64_at(headers, at + 32)?;
        let memsz = u64_at(headers, at + 40)?;
        if memsz < filesz {
            return Err(ElfError::SegmentSize(vaddr));
        }
        if memsz == 0 {
            return Ok(None);
        }
        if vaddr.checked_add(memsz).and_then(|end| end.checked_add(PAGE_SIZE - 1)).is_none() {
            return Err(ElfError::SegmentAddress(vaddr));
        }
        let offset = u64_at(headers, at + 8)?;
        let data = read::range(file, offset, filesz).ok_or(ElfError::SegmentFile(vaddr))?;
        let flags = Flags(u32_at(headers, at + 4)? & (Flags::READ | Flags::WRITE | Flags::EXECUTE));
        Ok(Some(Self { vaddr, paddr: u64_at(headers, at + 24)?, offset, data, memsz, flags }))
    }
}

/// Iterator over the loadable segments.
#[derive(Clone, Debug)]
pub struct Segments<'a> {
    file: &'a [u8],
    headers: &'a [u8],
    next: usize,
}

impl<'a> Segments<'a> {
    pub(crate) fn new(file: &'a [u8], headers: &'a [u8]) -> Self {
        Self { file, headers, next: 0 }
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Segment<'a>> {
        while self.next < self.headers.len() / PHDR_SIZE {
            let index = self.next;
            self.next += 1;
            // `Elf::parse` has read every header once: an error can't come up here.
            if let Ok(Some(segment)) = Segment::read(self.file, self.headers, index) {
                return Some(segment);
            }
        }
        None
    }
}
