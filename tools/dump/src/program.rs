//! The kernel's file: what of it is in memory, its types, and which source line an address belongs to.

use std::path::Path;
use std::sync::Arc;

use aios_handoff::layout::KERNEL_BASE;
use object::read::elf::ElfFile64;
use object::{Architecture, LittleEndian, Object, ObjectSection, ObjectSegment, SegmentFlags, elf};

use crate::Error;
use crate::types::{Reader, Types};

/// What a segment of the file puts into memory.
#[derive(Clone, PartialEq, Eq)]
pub struct Segment {
    /// Where, in the kernel's addresses.
    pub address: u64,
    /// Bytes in memory.
    pub size: u64,
    /// The kernel changes it.
    pub writable: bool,
    /// Bytes in the file.
    pub bytes: Vec<u8>,
}

/// A kernel's file.
pub struct Program {
    segments: Vec<Segment>,
    types: Types,
    lines: Option<addr2line::Context<Reader>>,
}

impl Program {
    /// Reads a file.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::parse(&std::fs::read(path)?)
    }

    /// Reads the bytes of a file.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let elf = ElfFile64::<LittleEndian>::parse(bytes).map_err(wrong)?;
        if elf.architecture() != Architecture::Aarch64 {
            return Err(Error::NotKernel("it is for another kind of processor".to_owned()));
        }
        let program = Self::load(&elf)?;
        match program.segments.first() {
            Some(first) if first.address == KERNEL_BASE => Ok(program),
            _ => Err(Error::NotKernel(format!("it isn't linked at {KERNEL_BASE:#x}"))),
        }
    }

    /// Reads an ELF file, whatever it is for.
    pub(crate) fn load(elf: &ElfFile64<'_, LittleEndian>) -> Result<Self, Error> {
        let mut segments = Vec::new();
        for segment in elf.segments() {
            let writable = matches!(segment.flags(), SegmentFlags::Elf { p_flags, .. } if (p_flags & elf::PF_W).0 != 0);
            let bytes = segment.data().map_err(wrong)?.to_vec();
            segments.push(Segment { address: segment.address(), size: segment.size(), writable, bytes });
        }
        segments.sort_by_key(|segment| segment.address);
        let dwarf = gimli::Dwarf::load(|section| {
            let data = elf.section_by_name(section.name()).map(|section| section.uncompressed_data()).transpose().map_err(wrong)?;
            Ok::<_, Error>(Reader::new(Arc::from(data.unwrap_or_default().as_ref()), gimli::LittleEndian))
        })?;
        let types = Types::read(&dwarf)?;
        // Without line tables, addresses stay numbers.
        let lines = addr2line::Context::from_dwarf(dwarf).ok();
        Ok(Self { segments, types, lines })
    }

    /// What is in memory.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Its types.
    pub fn types(&self) -> &Types {
        &self.types
    }

    /// Whether both files put the same bytes at the same addresses: then the types of one are those of the other.
    pub fn is_same_code(&self, other: &Self) -> bool {
        self.segments == other.segments
    }

    /// The function and line of an instruction, outermost call last; empty if there is none known.
    pub fn place(&self, address: u64) -> Vec<String> {
        let Some(lines) = &self.lines else { return Vec::new() };
        let Ok(mut frames) = lines.find_frames(address).skip_all_loads() else { return Vec::new() };
        let mut out = Vec::new();
        while let Ok(Some(frame)) = frames.next() {
            let function = frame.function.and_then(|name| name.demangle().ok().map(|name| short(&name).to_owned()));
            let place = frame.location.and_then(|location| Some(format!("{}:{}", location.file?, location.line?)));
            match (function, place) {
                (Some(function), Some(place)) => out.push(format!("{function} ({place})")),
                (Some(one), None) | (None, Some(one)) => out.push(one),
                (None, None) => {}
            }
        }
        out
    }
}

fn wrong(error: object::Error) -> Error {
    Error::NotKernel(error.to_string())
}

/// A function's name without the hash at its end.
fn short(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((front, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => front,
        _ => name,
    }
}
