//! Why a bundle was refused.

use core::fmt;

use crate::{MAX_ENTRIES, VERSION};

/// What is wrong with a bundle. Numbers of entries count from 0 in the table's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleError {
    /// The bytes end before the bundle does.
    Truncated,
    /// No bundle magic at the start.
    Magic,
    /// Another version of the format (the value found).
    Version(u32),
    /// No entries, or too many (the value found).
    Count(u32),
    /// The length is no multiple of the page size (the value found).
    Length(u64),
    /// A reserved field is not zero.
    Reserved,
    /// The name of an entry is empty, too long or has a character that is not allowed.
    Name(u32),
    /// The kind of an entry is unknown.
    Kind(u32),
    /// The content of an entry is not page aligned or outside of the bundle.
    Offset(u32),
    /// The content of an entry begins before the end of the one before.
    Overlap(u32),
    /// An entry has the name of an earlier one.
    Duplicate(u32),
    /// The content does not have the digest that it should have.
    Digest,
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("bundle is cut off"),
            Self::Magic => f.write_str("not a bundle"),
            Self::Version(found) => write!(f, "bundle version {found}, expected {VERSION}"),
            Self::Count(found) => write!(f, "bundle of {found} entries, expected 1 to {MAX_ENTRIES}"),
            Self::Length(found) => write!(f, "bundle length {found} is not made of pages"),
            Self::Reserved => f.write_str("reserved field in the bundle is not zero"),
            Self::Name(index) => write!(f, "bundle entry {index} has a bad name"),
            Self::Kind(index) => write!(f, "bundle entry {index} is of an unknown kind"),
            Self::Offset(index) => write!(f, "bundle entry {index} lies outside of the bundle or unaligned"),
            Self::Overlap(index) => write!(f, "bundle entry {index} overlaps the one before"),
            Self::Duplicate(index) => write!(f, "bundle entry {index} repeats a name"),
            Self::Digest => f.write_str("bundle content does not match its digest"),
        }
    }
}

impl core::error::Error for BundleError {}
