//! The boot bundle and the boot image: formats, readers, writers.
//!
//! The *bundle* is the archive of everything that is started or read after the kernel: the boot manifest, programs, data. The
//! firmware loads it as initrd. The *image* ([`image`]) is what the firmware starts: stage0, the kernel, and the digests of kernel and
//! bundle.
//!
//! # Bundle, version 1
//! Little-endian. All offsets count from the start of the bundle, which the firmware places at a page.
//!
//! | offset | bytes | header field |
//! | --- | --- | --- |
//! | 0 | 8 | magic `AIOSBNDL` |
//! | 8 | 4 | version: 1 |
//! | 12 | 4 | number of entries, 1 to [`MAX_ENTRIES`] |
//! | 16 | 8 | length of the whole bundle, a multiple of 4096 |
//! | 24 | 40 | zero |
//!
//! The table follows at once, one record of 88 bytes per entry:
//!
//! | offset | bytes | entry field |
//! | --- | --- | --- |
//! | 0 | 32 | name: 1 to 31 bytes of `A–Z a–z 0–9 . _ -`, padded with zeros; unique |
//! | 32 | 4 | kind ([`Kind`]) |
//! | 36 | 4 | zero |
//! | 40 | 8 | offset of the content, a multiple of 4096 |
//! | 48 | 8 | length of the content |
//! | 56 | 32 | SHA-256 of the content |
//!
//! Contents lie behind the table in the table's order, each beginning at a page, with zeros up to the next page: a page belongs
//! to one entry only, so it can be mapped for its user.
//!
//! [`Bundle::parse`] checks all of this but the digests. The digest of the whole bundle is pinned in the image and checked by
//! stage0; [`Entry::verify`] checks a single entry.
#![cfg_attr(not(any(test, feature = "std")), no_std)]
#![forbid(unsafe_code)]

mod error;
pub mod image;
mod read;
#[cfg(any(test, feature = "std"))]
mod write;

use sha2::Digest as _;

pub use error::BundleError;
#[cfg(any(test, feature = "std"))]
pub use write::BundleWriter;

use read::{bytes_at, u32_at, u64_at};

/// First bytes of a bundle.
pub const MAGIC: [u8; 8] = *b"AIOSBNDL";
/// Version of the format.
pub const VERSION: u32 = 1;
/// Most entries.
pub const MAX_ENTRIES: u32 = 256;
/// Longest name in bytes.
pub const MAX_NAME: usize = 31;
/// Alignment of contents.
pub const PAGE_SIZE: u64 = 4096;
/// Name of the program that the kernel starts.
pub const INIT: &str = "init";

const HEADER_LEN: usize = 64;
const ENTRY_LEN: usize = 88;

/// A SHA-256 digest.
pub type Digest = [u8; 32];

/// The SHA-256 digest of `bytes` (FIPS 180-4).
#[must_use]
pub fn sha256(bytes: &[u8]) -> Digest {
    sha2::Sha256::digest(bytes).into()
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// The boot manifest.
    Manifest = 1,
    /// An executable (ELF).
    Program = 2,
    /// Anything else.
    Data = 3,
}

impl Kind {
    const fn from_u32(value: u32) -> Option<Self> {
        match value {
            1 => Some(Self::Manifest),
            2 => Some(Self::Program),
            3 => Some(Self::Data),
            _ => None,
        }
    }
}

/// A checked bundle.
#[derive(Clone, Copy, Debug)]
pub struct Bundle<'a> {
    bytes: &'a [u8],
    count: u32,
}

/// One entry of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Name, unique in the bundle.
    pub name: &'a str,
    /// What it is.
    pub kind: Kind,
    /// Where the content begins, bytes from the start of the bundle; page aligned.
    pub offset: u64,
    /// The content.
    pub data: &'a [u8],
    /// What the table says is the content's SHA-256.
    pub sha256: Digest,
}

impl Entry<'_> {
    /// Checks the content against its digest.
    ///
    /// # Errors
    /// [`BundleError::Digest`].
    pub fn verify(&self) -> Result<(), BundleError> {
        if sha256(self.data) == self.sha256 { Ok(()) } else { Err(BundleError::Digest) }
    }
}

impl<'a> Bundle<'a> {
    /// Checks the structure of the bundle at the start of `bytes`; what follows its end is ignored.
    ///
    /// # Errors
    /// The first [`BundleError`] found.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BundleError> {
        if bytes_at(bytes, 0).ok_or(BundleError::Truncated)? != MAGIC {
            return Err(BundleError::Magic);
        }
        let header = bytes.get(..HEADER_LEN).ok_or(BundleError::Truncated)?;
        let version = u32_at(header, 8).ok_or(BundleError::Truncated)?;
        if version != VERSION {
            return Err(BundleError::Version(version));
        }
        let count = u32_at(header, 12).ok_or(BundleError::Truncated)?;
        if count == 0 || count > MAX_ENTRIES {
            return Err(BundleError::Count(count));
        }
        if header[24..].iter().any(|&byte| byte != 0) {
            return Err(BundleError::Reserved);
        }
        let total = u64_at(header, 16).ok_or(BundleError::Truncated)?;
        if !total.is_multiple_of(PAGE_SIZE) {
            return Err(BundleError::Length(total));
        }
        let bytes = usize::try_from(total).ok().and_then(|total| bytes.get(..total)).ok_or(BundleError::Truncated)?;
        let bundle = Self { bytes, count };
        bundle.check_entries()?;
        Ok(bundle)
    }

    /// The whole bundle, exactly.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// All entries in order.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let bundle = *self;
        // `parse` has read every entry once: an error can't come up here.
        (0..self.count).filter_map(move |index| bundle.entry(index).ok())
    }

    /// The entry of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Entry<'a>> {
        self.entries().find(|entry| entry.name == name)
    }

    fn check_entries(&self) -> Result<(), BundleError> {
        let table_len = self.count as usize * ENTRY_LEN;
        let mut previous_end = (HEADER_LEN + table_len) as u64;
        for index in 0..self.count {
            let entry = self.entry(index)?;
            if entry.offset < previous_end {
                return Err(BundleError::Overlap(index));
            }
            previous_end = entry.offset + (entry.data.len() as u64).next_multiple_of(PAGE_SIZE);
            for earlier in 0..index {
                if self.entry(earlier)?.name == entry.name {
                    return Err(BundleError::Duplicate(index));
                }
            }
        }
        Ok(())
    }

    fn entry(&self, index: u32) -> Result<Entry<'a>, BundleError> {
        let at = HEADER_LEN + index as usize * ENTRY_LEN;
        let record: &[u8; ENTRY_LEN] =
            self.bytes.get(at..at + ENTRY_LEN).and_then(|record| record.try_into().ok()).ok_or(BundleError::Truncated)?;
        let name = entry_name(&record[..32]).ok_or(BundleError::Name(index))?;
        let number = |at| u64_at(record, at).ok_or(BundleError::Truncated);
        let kind = u32_at(record, 32).and_then(Kind::from_u32).ok_or(BundleError::Kind(index))?;
        if record[36..40] != [0; 4] {
            return Err(BundleError::Reserved);
        }
        let (offset, len) = (number(40)?, number(48)?);
        if !offset.is_multiple_of(PAGE_SIZE) {
            return Err(BundleError::Offset(index));
        }
        let data = read::range(self.bytes, offset, len).ok_or(BundleError::Offset(index))?;
        let sha256 = bytes_at(record, 56).ok_or(BundleError::Truncated)?;
        Ok(Entry { name, kind, offset, data, sha256 })
    }
}

/// Whether a name may stand in a bundle.
#[must_use]
pub fn is_name(name: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MAX_NAME).contains(&name.len()) && name.iter().all(allowed)
}

/// The name in a zero-padded field.
fn entry_name(field: &[u8]) -> Option<&str> {
    let len = field.iter().position(|&byte| byte == 0)?;
    let (name, padding) = field.split_at(len);
    if !is_name(name) || padding.iter().any(|&byte| byte != 0) {
        return None;
    }
    core::str::from_utf8(name).ok()
}

#[cfg(test)]
mod tests;
