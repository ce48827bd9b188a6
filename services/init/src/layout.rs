//! From an image in the bundle to the pieces of memory that a program consists of.
//!
//! What is only read or executed stays where it is: the bundle's own pages are mapped, so that any number of programs share them. What is written
//! gets pages of its own. Nothing here makes a system call.
//!
//! Invariants: pieces do not overlap, lie between [`USER_BASE`] and [`IMAGE_END`], and are each small enough for one mapping.

use alloc::vec::Vec;
use core::fmt;

use aios_abi::ABI_VERSION;
use aios_abi::limits::{FRAME_PAGES, PAGE_SIZE, USER_BASE};
use aios_bundle::Entry;
use aios_elf::{Elf, ElfError, Segment};
use aios_proto::supervisor::ImageFault;
use aios_rt::memory::Access;

const PAGE: u64 = PAGE_SIZE as u64;
/// End of every program's stack; its arguments lie at the end of it.
pub const STACK_TOP: u64 = 0x4000_0000;
/// Pages of every program's stack. Nothing is mapped below them.
pub const STACK_PAGES: u64 = 16;
/// Images end here at the latest, so that an overflow of the stack meets a guard.
pub const IMAGE_END: u64 = STACK_TOP - (2 << 20);
/// Most pages that the kernel maps at once.
const MAP_PAGES: u64 = 128;

/// What a piece of memory holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content<'a> {
    /// Pages of the bundle, from this one on.
    Bundle {
        /// Number of the first page, from the start of the bundle.
        first: u64,
    },
    /// Pages of its own: zeros, but for these bytes.
    Own {
        /// Where the bytes begin.
        offset: u64,
        /// The bytes.
        data: &'a [u8],
    },
}

/// A piece of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece<'a> {
    /// Address of the first page.
    pub address: u64,
    /// Pages.
    pub pages: u64,
    /// What the program may do with them.
    pub access: Access,
    /// What is there.
    pub content: Content<'a>,
}

/// A program's memory, without its stack.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout<'a> {
    /// Address of the first instruction.
    pub entry: u64,
    /// The pieces, by ascending address.
    pub pieces: Vec<Piece<'a>>,
}

/// Why an image is not started. Addresses are those of segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ImageError {
    /// The bundle has no such image.
    Missing,
    /// It is not an executable.
    Elf(ElfError),
    /// It doesn't say for which ABI it was built.
    NoVersion,
    /// It was built for another ABI version.
    Version(u32),
    /// A segment lies where programs have none.
    Place(u64),
    /// Code does not lie in the file as it does in memory, so that its pages can't be mapped.
    Code(u64),
    /// It is larger than the pool that pays for it.
    TooLarge(u64),
}

impl ImageError {
    /// What operators are told of it.
    pub const fn fault(self) -> ImageFault {
        match self {
            Self::Missing => ImageFault::Missing,
            Self::Elf(_) => ImageFault::NotExecutable,
            Self::NoVersion => ImageFault::NoVersion,
            Self::Version(_) => ImageFault::WrongVersion,
            Self::Place(_) => ImageFault::Misplaced,
            Self::Code(_) => ImageFault::UnalignedCode,
            Self::TooLarge(_) => ImageFault::TooLarge,
        }
    }
}

/// A number for what is wrong with an image, which no error of the kernel has.
pub const fn image_code(fault: ImageFault) -> u16 {
    1024 + fault as u16
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing | Self::NoVersion => f.write_str(self.fault().sentence()),
            Self::Elf(error) => write!(f, "its image is no executable: {error}"),
            Self::Version(found) => write!(f, "its image is for ABI version {found}, this is {ABI_VERSION}"),
            Self::Place(at) => write!(f, "segment {at:#x} lies outside of {USER_BASE:#x}..{IMAGE_END:#x}"),
            Self::Code(at) => write!(f, "code segment {at:#x} is not laid out in pages"),
            Self::TooLarge(pages) => write!(f, "its image needs {pages} pages of its own, more than its pool has"),
        }
    }
}

impl core::error::Error for ImageError {}

impl<'a> Layout<'a> {
    /// Checks an image, and lays it out. `pool_pages` is all that the program may ever have.
    pub fn of(image: &Entry<'a>, pool_pages: u64) -> Result<Self, ImageError> {
        let elf = Elf::parse(image.data).map_err(ImageError::Elf)?;
        match elf.abi_version() {
            Some(ABI_VERSION) => {}
            Some(other) => return Err(ImageError::Version(other)),
            None => return Err(ImageError::NoVersion),
        }
        let mut layout = Self { entry: elf.entry(), pieces: Vec::new() };
        for segment in elf.segments() {
            if segment.page_start() < USER_BASE || segment.page_end() > IMAGE_END {
                return Err(ImageError::Place(segment.vaddr));
            }
            layout.segment(image.offset, &segment, pool_pages)?;
        }
        Ok(layout)
    }

    /// Pages that are nobody else's.
    pub fn own_pages(&self) -> u64 {
        let own = |piece: &&Piece<'_>| matches!(piece.content, Content::Own { .. });
        self.pieces.iter().filter(own).map(|piece| piece.pages).sum()
    }

    fn segment(&mut self, image_offset: u64, segment: &Segment<'a>, pool_pages: u64) -> Result<(), ImageError> {
        let flags = segment.flags;
        let access = match (flags.execute(), flags.write()) {
            (true, _) => Access::ReadExecute,
            (false, true) => Access::ReadWrite,
            (false, false) => Access::Read,
        };
        let in_place = segment.offset % PAGE == segment.vaddr % PAGE && segment.data.len() as u64 == segment.memsz;
        if !flags.write() && in_place {
            // An image begins at a page of the bundle and shares none with another image.
            let first = (image_offset + segment.offset) / PAGE;
            self.cut(segment, MAP_PAGES, |at| (access, Content::Bundle { first: first + (at - segment.page_start()) / PAGE }));
            return Ok(());
        }
        if flags.execute() {
            return Err(ImageError::Code(segment.vaddr));
        }
        let pages = self.own_pages() + segment.pages();
        if pages > pool_pages {
            return Err(ImageError::TooLarge(pages));
        }
        self.cut(segment, FRAME_PAGES, |at| {
            let end = segment.vaddr + segment.data.len() as u64;
            let (from, to) = (at.max(segment.vaddr), (at + FRAME_PAGES * PAGE).min(end));
            let data = if from < to { &segment.data[(from - segment.vaddr) as usize..(to - segment.vaddr) as usize] } else { &[] };
            (access, Content::Own { offset: from.min(to.max(at)) - at, data })
        });
        Ok(())
    }

    /// Cuts a segment into pieces of at most `most` pages.
    fn cut(&mut self, segment: &Segment<'a>, most: u64, what: impl Fn(u64) -> (Access, Content<'a>)) {
        let mut at = segment.page_start();
        while at < segment.page_end() {
            let pages = ((segment.page_end() - at) / PAGE).min(most);
            let (access, content) = what(at);
            self.pieces.push(Piece { address: at, pages, access, content });
            at += pages * PAGE;
        }
    }
}

/// Where the text of a program's arguments goes, and how its stack begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arguments {
    /// The first word as a number, decimal or with `0x`; else 0.
    pub number: u64,
    /// Where the text lies, which is also where the stack begins.
    pub address: u64,
    /// Its length in bytes.
    pub length: u64,
}

impl Arguments {
    /// Places a text.
    pub fn place(text: &str) -> Self {
        let length = text.len() as u64;
        let word = text.split_ascii_whitespace().next().unwrap_or_default();
        let number = match word.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => word.parse(),
        };
        Self { number: number.unwrap_or(0), address: STACK_TOP - length.next_multiple_of(16), length }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::elf;

    fn entry(data: &[u8]) -> Entry<'_> {
        Entry { name: "program", kind: aios_bundle::Kind::Program, offset: 0x5000, data, sha256: [0; 32] }
    }

    #[test]
    fn what_is_not_written_stays_in_the_bundle() {
        let file = elf::program(elf::SEGMENTS);
        let layout = Layout::of(&entry(&file), 100).unwrap();
        let [text, rodata, data, bss] = layout.pieces[..] else { panic!("{:?}", layout.pieces) };
        assert_eq!(
            (text.address, text.pages, text.access, text.content),
            (0x40_0000, 2, Access::ReadExecute, Content::Bundle { first: 6 })
        );
        assert_eq!((rodata.address, rodata.access, rodata.content), (0x40_2000, Access::Read, Content::Bundle { first: 8 }));
        assert_eq!((data.address, data.pages, data.access), (0x40_3000, 32, Access::ReadWrite));
        let Content::Own { offset: 0x10, data: bytes } = data.content else { panic!("{data:?}") };
        assert_eq!((bytes.len(), bytes[0]), (0x20, 3));
        assert_eq!((bss.address, bss.pages, bss.content), (0x42_3000, 2, Content::Own { offset: 0, data: &[] }));
        assert_eq!((layout.entry, layout.own_pages()), (0x40_0000, 34));
        assert_eq!(Layout::of(&entry(&file), 33), Err(ImageError::TooLarge(34)));
    }

    #[test]
    fn initialised_data_is_cut_with_its_pages() {
        let file = elf::program(&[
            elf::Piece { address: 0x40_0000, bytes: 16, memory: 16, flags: elf::CODE },
            elf::Piece { address: 0x40_1004, bytes: 33 * 4096, memory: 34 * 4096, flags: elf::DATA },
        ]);
        let layout = Layout::of(&entry(&file), 100).unwrap();
        let own = |piece: &Piece<'_>| match piece.content {
            Content::Own { offset, data } => (piece.pages, offset, data.len()),
            Content::Bundle { .. } => (0, 0, 0),
        };
        let pieces: Vec<_> = layout.pieces.iter().map(own).collect();
        assert_eq!(pieces, [(0, 0, 0), (32, 4, 32 * 4096 - 4), (3, 0, 4096 + 4)]);
    }

    #[test]
    fn what_can_not_be_started_says_why() {
        let code = elf::Piece { address: 0x40_0000, bytes: 16, memory: 16, flags: elf::CODE };
        let layout = |pieces: &[elf::Piece]| Layout::of(&entry(&elf::program(pieces)), 100).map(|_| ());
        assert_eq!(layout(&[code]), Ok(()));
        assert_eq!(layout(&[elf::Piece { address: 0x3f_f000, ..code }]), Err(ImageError::Place(0x3f_f000)));
        assert_eq!(layout(&[elf::Piece { address: IMAGE_END, ..code }]), Err(ImageError::Place(IMAGE_END)));
        assert_eq!(layout(&[elf::Piece { memory: 17, ..code }]), Err(ImageError::Code(0x40_0000)));
        let mut file = elf::program(&[code]);
        let note = file.len() - 4;
        file[note] = 77;
        assert_eq!(Layout::of(&entry(&file), 100), Err(ImageError::Version(77)));
        assert_eq!(Layout::of(&entry(b"text"), 100), Err(ImageError::Elf(ElfError::Truncated)));
    }

    #[test]
    fn arguments_lie_at_the_end_of_the_stack() {
        assert_eq!(Arguments::place(""), Arguments { number: 0, address: STACK_TOP, length: 0 });
        assert_eq!(Arguments::place(" 17 x"), Arguments { number: 17, address: STACK_TOP - 16, length: 5 });
        assert_eq!(Arguments::place("0x1f exactly 16b").number, 31);
        assert_eq!(Arguments::place("0x1f exactly 17by").address, STACK_TOP - 32);
        assert_eq!(Arguments::place("99999999999999999999").number, 0);
    }
}
