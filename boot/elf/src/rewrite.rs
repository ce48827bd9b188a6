//! Rewriting of executables by the host tools.

use crate::{EHDR_SIZE, Elf, ElfError, Kind, PAGE_SIZE, PHDR_SIZE, PT_LOAD, PT_NOTE};

/// An executable as the bytes that it has in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flat {
    /// Virtual address of the first byte: the first segment's.
    pub base: u64,
    /// Memory from `base` to the end of the last segment, BSS included as zeros.
    pub bytes: Vec<u8>,
    /// Offset of the entry in `bytes`.
    pub entry_offset: u64,
}

/// Largest flat image: a guard against an executable with far-apart segments.
const FLAT_MAX: u64 = 256 << 20;

/// Lays out the segments as in memory, in one piece.
///
/// # Errors
/// As [`Elf::parse`]; [`ElfError::SegmentAddress`] when the segments lie more than 256 MiB apart.
pub fn flatten(file: &[u8]) -> Result<Flat, ElfError> {
    let elf = Elf::parse(file)?;
    let base = elf.segments().next().map_or(0, |segment| segment.vaddr);
    let mut bytes = Vec::new();
    for segment in elf.segments() {
        let start = segment.vaddr - base;
        let end = start + segment.memsz;
        if end > FLAT_MAX {
            return Err(ElfError::SegmentAddress(segment.vaddr));
        }
        bytes.resize(start as usize, 0);
        bytes.extend_from_slice(segment.data);
        bytes.resize(end as usize, 0);
    }
    Ok(Flat { base, bytes, entry_offset: elf.entry() - base })
}

/// Rewrites an executable so that only what a loader needs is left: header, `PT_LOAD` and `PT_NOTE`. File offsets stay congruent
/// to addresses modulo the page size, so that file pages can be mapped. The result is the same for the same loaded content.
///
/// # Errors
/// As [`Elf::parse`].
pub fn minimal(file: &[u8]) -> Result<Vec<u8>, ElfError> {
    let elf = Elf::parse(file)?;
    let notes: Vec<&[u8]> =
        (0..elf.header_count()).filter(|&index| elf.header_type(index) == PT_NOTE).filter_map(|index| elf.header_data(index)).collect();
    let header_count = elf.segments().count() + notes.len();

    let mut headers = Vec::with_capacity(header_count * PHDR_SIZE);
    let body_at = EHDR_SIZE + header_count * PHDR_SIZE;
    let mut body = Vec::new();
    for note in &notes {
        // Inside a loaded segment, too, a note is given its own copy: a few bytes for a simpler file.
        body.resize(body.len().next_multiple_of(4), 0);
        let offset = (body_at + body.len()) as u64;
        let len = note.len() as u64;
        headers.extend(program_header(PT_NOTE, 4, offset, 0, [len, len], 4));
        body.extend_from_slice(note);
    }
    for segment in elf.segments() {
        let mut offset = (body_at + body.len()) as u64;
        // A segment without file bytes needs no congruent place, only one that exists.
        if !segment.data.is_empty() {
            offset += segment.vaddr.wrapping_sub(offset) % PAGE_SIZE;
            body.resize(offset as usize - body_at, 0);
        }
        let sizes = [segment.data.len() as u64, segment.memsz];
        headers.extend(program_header(PT_LOAD, segment.flags.bits(), offset, segment.vaddr, sizes, PAGE_SIZE));
        body.extend_from_slice(segment.data);
    }

    let mut out = elf_header(elf.kind(), elf.entry(), header_count as u16);
    out.extend(headers);
    out.extend(body);
    Ok(out)
}

fn elf_header(kind: Kind, entry: u64, header_count: u16) -> Vec<u8> {
    let mut out = Vec::with_capacity(EHDR_SIZE);
    out.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    let kind: u16 = if kind == Kind::Exec { 2 } else { 3 };
    out.extend(kind.to_le_bytes());
    out.extend(183u16.to_le_bytes());
    out.extend(1u32.to_le_bytes());
    out.extend(entry.to_le_bytes());
    out.extend((EHDR_SIZE as u64).to_le_bytes()); // program headers follow at once
    out.extend(0u64.to_le_bytes()); // no section headers
    out.extend(0u32.to_le_bytes());
    for field in [EHDR_SIZE as u16, PHDR_SIZE as u16, header_count, 64, 0, 0] {
        out.extend(field.to_le_bytes());
    }
    out
}

/// One program header; `sizes` are the bytes in the file and in memory.
fn program_header(kind: u32, flags: u32, offset: u64, vaddr: u64, sizes: [u64; 2], align: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(PHDR_SIZE);
    out.extend(kind.to_le_bytes());
    out.extend(flags.to_le_bytes());
    for field in [offset, vaddr, vaddr, sizes[0], sizes[1], align] {
        out.extend(field.to_le_bytes());
    }
    out
}
