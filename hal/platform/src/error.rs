//! Why a device tree could not be used.

use core::fmt;

/// Why a device tree could not be used. Its text is one line that names the place and what was expected there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<'a> {
    /// The bytes are not a readable tree at all.
    Blob(BlobError),
    /// A node that every machine must have is absent.
    NodeMissing {
        /// Which node was looked for.
        node: &'static str,
        /// What was expected.
        expected: &'static str,
    },
    /// A node lacks a property that it must have.
    PropertyMissing {
        /// Name of the node, with its unit address.
        node: &'a str,
        /// Name of the property.
        property: &'static str,
        /// What the property should hold.
        expected: &'static str,
    },
    /// A property holds something else than it should.
    PropertyInvalid {
        /// Name of the node, with its unit address.
        node: &'a str,
        /// Name of the property.
        property: &'static str,
        /// What the property should hold.
        expected: &'static str,
    },
    /// The node is well-formed, but describes something that this system has no support for.
    Unsupported {
        /// Name of the node, with its unit address.
        node: &'a str,
        /// What it describes.
        found: &'static str,
        /// What is supported.
        expected: &'static str,
    },
    /// There are more of something than the fixed lists hold.
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// How many fit.
        limit: usize,
    },
}

/// Why bytes are not a flattened device tree. Offsets are bytes from the start of the structure block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobError {
    /// Fewer bytes than a header, or than the header's total size.
    TooShort {
        /// Bytes that were given.
        given: usize,
        /// Bytes that are needed.
        needed: usize,
    },
    /// The first four bytes are not `d0 0d fe ed`.
    Magic {
        /// What they are, as a big-endian number.
        found: u32,
    },
    /// Not readable as version 17 of the format.
    Version {
        /// The header's version.
        found: u32,
    },
    /// A block does not lie within the blob.
    Block {
        /// Which block: structure, strings or memory reservations.
        name: &'static str,
    },
    /// A structure block word is none of the five tokens.
    Token {
        /// Where.
        offset: usize,
        /// What was there.
        found: u32,
    },
    /// A name, value or token runs out of the structure block, or the closing token is missing.
    Truncated {
        /// Where.
        offset: usize,
    },
    /// A node or property name is not printable ASCII, or does not end.
    Name {
        /// Where the node or property begins.
        offset: usize,
    },
    /// Nodes are not nested properly, or a property follows a child node.
    Nesting {
        /// Where.
        offset: usize,
    },
    /// More nested nodes than are supported.
    TooDeep {
        /// Where.
        offset: usize,
        /// How many levels are supported.
        limit: usize,
    },
}

impl From<BlobError> for Error<'_> {
    fn from(error: BlobError) -> Self {
        Self::Blob(error)
    }
}

impl fmt::Display for Error<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blob(error) => write!(f, "device tree: {error}"),
            Self::NodeMissing { node, expected } => {
                write!(f, "device tree: no node {node}, expected {expected}")
            }
            Self::PropertyMissing { node, property, expected } => {
                write!(f, "device tree: {node} has no `{property}`, expected {expected}")
            }
            Self::PropertyInvalid { node, property, expected } => {
                write!(f, "device tree: {node}: bad `{property}`, expected {expected}")
            }
            Self::Unsupported { node, found, expected } => {
                write!(f, "device tree: {node} is {found}, expected {expected}")
            }
            Self::TooMany { what, limit } => {
                write!(f, "device tree: more than {limit} {what}")
            }
        }
    }
}

impl fmt::Display for BlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { given, needed } => {
                write!(f, "{given} bytes given, expected at least {needed}")
            }
            Self::Magic { found } => write!(f, "magic {found:#010x}, expected 0xd00dfeed"),
            Self::Version { found } => {
                write!(f, "version {found}, expected one that version 17 can read")
            }
            Self::Block { name } => {
                write!(f, "{name} block out of bounds, expected it within the total size")
            }
            Self::Token { offset, found } => {
                write!(f, "word {found:#x} at structure offset {offset:#x}, expected a token")
            }
            Self::Truncated { offset } => {
                write!(f, "structure block ends at offset {offset:#x}, expected the rest of an item")
            }
            Self::Name { offset } => {
                write!(f, "name at structure offset {offset:#x}, expected printable ASCII with an end")
            }
            Self::Nesting { offset } => {
                write!(f, "misplaced item at structure offset {offset:#x}, expected properly nested nodes")
            }
            Self::TooDeep { offset, limit } => {
                write!(f, "node at structure offset {offset:#x} is nested deeper than {limit} levels")
            }
        }
    }
}

impl core::error::Error for Error<'_> {}
impl core::error::Error for BlobError {}
