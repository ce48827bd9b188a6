//! A memory image: what a machine's RAM held, by physical address.
//!
//! Two kinds of file: the bytes of RAM from its first address on (QEMU's `memory-backend-file`), which doesn't say what that address
//! is, and an ELF core file with a segment a range (QEMU's `dump-guest-memory`).

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use object::LittleEndian;
use object::elf::{self, FileHeader64};
use object::read::ReadCache;
use object::read::elf::{FileHeader, ProgramHeader};

use crate::Error;

/// Where RAM starts on QEMU's machine `virt`: for images that neither say so themselves nor hold a kernel that came far enough to say it.
pub const QEMU_VIRT_RAM: u64 = 0x4000_0000;
const PAGE: u64 = aios_handoff::layout::PAGE_SIZE;

/// A range of physical addresses that the file has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// First physical address.
    pub base: u64,
    /// Bytes.
    pub length: u64,
    /// Where they are in the file.
    offset: u64,
}

/// An open memory image.
#[derive(Debug)]
pub struct Image {
    file: File,
    parts: Vec<Part>,
    raw: bool,
}

impl Image {
    /// Opens a file of either kind.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path)?;
        let facts = file.metadata()?;
        if !facts.is_file() {
            return Err(Error::NotMemory("it is no file".to_owned()));
        }
        let length = facts.len();
        let mut magic = [0; 4];
        if length < PAGE {
            return Err(Error::NotMemory(format!("{length} bytes are less than a page of memory")));
        }
        file.read_exact_at(&mut magic, 0)?;
        if magic == elf::ELFMAG {
            let parts = core_parts(&file)?;
            return Ok(Self { file, parts, raw: false });
        }
        if !length.is_multiple_of(PAGE) {
            return Err(Error::NotMemory(format!("{length} bytes are no whole number of pages")));
        }
        Ok(Self { file, parts: vec![Part { base: QEMU_VIRT_RAM, length, offset: 0 }], raw: true })
    }

    /// The ranges that it has.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether the addresses are the file's own, or only assumed.
    pub fn knows_addresses(&self) -> bool {
        !self.raw
    }

    /// Sets where the RAM of an image starts that doesn't know it.
    pub fn set_base(&mut self, base: u64) {
        if let [part] = &mut self.parts[..]
            && self.raw
        {
            part.base = base;
        }
    }

    /// Reads bytes at a physical address.
    pub fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Error> {
        let part = self.parts.iter().find(|part| address >= part.base && address - part.base < part.length);
        let part = part.ok_or(Error::OutsideImage(address))?;
        let from = address - part.base;
        if into.len() as u64 > part.length - from {
            return Err(Error::OutsideImage(part.base.saturating_add(part.length)));
        }
        // A part that ends behind the end of the file is an error of the file, not of the address.
        Ok(self.file.read_exact_at(into, part.offset.saturating_add(from))?)
    }
}

/// The ranges of an ELF core file.
fn core_parts(file: &File) -> Result<Vec<Part>, Error> {
    let wrong = |why: &str| Error::NotMemory(why.to_owned());
    let cache = ReadCache::new(file);
    let header = FileHeader64::<LittleEndian>::parse(&cache).map_err(|_| wrong("an ELF file that is not 64-bit little-endian"))?;
    let endian = header.endian().map_err(|_| wrong("an ELF file that is not 64-bit little-endian"))?;
    if header.e_type(endian) != elf::ET_CORE {
        return Err(wrong("an ELF file, but no memory dump"));
    }
    if header.e_machine(endian) != elf::EM_AARCH64 {
        return Err(wrong("a memory dump of another kind of processor"));
    }
    let headers = header.program_headers(endian, &cache).map_err(|error| Error::NotMemory(error.to_string()))?;
    let loads = headers.iter().filter(|header| header.p_type(endian) == elf::PT_LOAD);
    let parts: Vec<Part> = loads
        .map(|header| Part { base: header.p_paddr(endian), length: header.p_filesz(endian), offset: header.p_offset(endian) })
        .filter(|part| part.length != 0)
        .collect();
    if parts.is_empty() { Err(wrong("a memory dump without memory")) } else { Ok(parts) }
}

#[cfg(test)]
mod tests;
