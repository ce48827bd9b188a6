//! Notes, and the one that carries the kernel ABI version.
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 4 | length of the name with its NUL: 5 |
//! | 4 | 4 | length of the descriptor: 4 |
//! | 8 | 4 | type: [`NOTE_ABI`] |
//! | 12 | 8 | name [`NOTE_NAME`], NUL, padded with zeros to 4 bytes |
//! | 20 | 4 | descriptor: the ABI version, little-endian |
//!
//! A program emits it with [`abi_note!`](crate::abi_note). The section's name begins with `.note`, so that the compiler makes it a note
//! section and the linker covers it with a `PT_NOTE` header; a linker script keeps it with `KEEP(*(.note.aios))`.

use crate::ElfError;
use crate::read::u32_at;

/// Owner of this system's notes.
pub const NOTE_NAME: &[u8] = b"AIOS";
/// Type of the note whose descriptor is the ABI version.
pub const NOTE_ABI: u32 = 1;
/// Section in which the note is placed.
pub const NOTE_SECTION: &str = ".note.aios";

/// The bytes of the ABI note, to be placed in [`NOTE_SECTION`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbiNote {
    name_len: u32,
    descriptor_len: u32,
    kind: u32,
    name: [u8; 8],
    version: u32,
}

impl AbiNote {
    /// The note for an image built for ABI `version`.
    #[must_use]
    pub const fn new(version: u32) -> Self {
        Self {
            name_len: (NOTE_NAME.len() as u32 + 1).to_le(),
            descriptor_len: 4u32.to_le(),
            kind: NOTE_ABI.to_le(),
            name: *b"AIOS\0\0\0\0",
            version: version.to_le(),
        }
    }

    /// The same as bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[0..4].copy_from_slice(&self.name_len.to_ne_bytes());
        bytes[4..8].copy_from_slice(&self.descriptor_len.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.kind.to_ne_bytes());
        bytes[12..20].copy_from_slice(&self.name);
        bytes[20..24].copy_from_slice(&self.version.to_ne_bytes());
        bytes
    }
}

/// Places the ABI note of this program: `aios_elf::abi_note!(aios_abi::ABI_VERSION);`, once per program.
#[macro_export]
macro_rules! abi_note {
    ($version:expr) => {
        #[used]
        #[unsafe(link_section = ".note.aios")]
        static AIOS_ABI_NOTE: $crate::AbiNote = $crate::AbiNote::new($version);
    };
}

/// One note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note<'a> {
    /// Owner, without its NUL.
    pub name: &'a [u8],
    /// Type, in the owner's numbering.
    pub kind: u32,
    /// Content.
    pub descriptor: &'a [u8],
}

impl Note<'_> {
    /// The ABI version, if this is the note that carries it.
    #[must_use]
    pub fn abi_version(&self) -> Option<u32> {
        if self.name != NOTE_NAME || self.kind != NOTE_ABI {
            return None;
        }
        self.descriptor.try_into().ok().map(u32::from_le_bytes)
    }
}

/// Iterator over the notes of one segment; ends after the first error.
#[derive(Clone, Debug)]
pub(crate) struct Notes<'a> {
    rest: &'a [u8],
}

impl<'a> Notes<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    fn read(&self) -> Result<(Note<'a>, &'a [u8]), ElfError> {
        let name_len = u32_at(self.rest, 0).map_err(|_| ElfError::Note)? as usize;
        let descriptor_len = u32_at(self.rest, 4).map_err(|_| ElfError::Note)? as usize;
        let kind = u32_at(self.rest, 8).map_err(|_| ElfError::Note)?;
        let (name, rest) = split(&self.rest[12..], name_len)?;
        let (descriptor, rest) = split(rest, descriptor_len)?;
        let name = name.strip_suffix(&[0]).unwrap_or(name);
        Ok((Note { name, kind, descriptor }, rest))
    }
}

/// The first `len` bytes, and what follows their padding to 4 bytes (which the last item may lack).
fn split(bytes: &[u8], len: usize) -> Result<(&[u8], &[u8]), ElfError> {
    let (head, _) = bytes.split_at_checked(len).ok_or(ElfError::Note)?;
    let padded = len.next_multiple_of(4);
    Ok((head, bytes.get(padded..).unwrap_or_default()))
}

impl<'a> Iterator for Notes<'a> {
    type Item = Result<Note<'a>, ElfError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match self.read() {
            Ok((note, rest)) => {
                self.rest = rest;
                Some(Ok(note))
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error))
            }
        }
    }
}
