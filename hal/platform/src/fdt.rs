//! A checked reader for flattened device trees, version 17 of the format.
//!
//! [`Fdt::new`] reads the whole structure block once and refuses anything that is not well-formed. Everything after that
//! is iteration without recursion over bytes already seen to be good; should a byte be bad all the same, iteration ends.
//!
//! Source: Devicetree Specification 0.4, chapter 5.

mod block;
mod node;

pub use node::{Children, Node, Property, Texts};

pub(crate) use node::Cells;

use crate::error::{BlobError, Error};
use block::{Block, Token};

/// Most levels of nested nodes, the root included. The trees of the supported boards need 8.
pub const MAX_DEPTH: usize = 16;

/// Length of the header, in bytes; what [`Fdt::total_size`] must be given.
pub const HEADER_LEN: usize = 40;

/// A flattened device tree whose structure has been checked.
#[derive(Clone, Copy, Debug)]
pub struct Fdt<'a> {
    block: Block<'a>,
    reservations: &'a [u8],
}

impl<'a> Fdt<'a> {
    /// Total size of the blob in bytes, from its first [`HEADER_LEN`] bytes. It is what the header claims: the caller bounds
    /// it before it believes it.
    ///
    /// # Errors
    /// When there are fewer bytes than a header, or the magic number is wrong.
    pub fn total_size(header: &[u8]) -> Result<usize, BlobError> {
        if header.len() < HEADER_LEN {
            return Err(BlobError::TooShort { given: header.len(), needed: HEADER_LEN });
        }
        match word(header, 0) {
            Some(0xd00d_feed) => Ok(word(header, 4).unwrap_or(0) as usize),
            found => Err(BlobError::Magic { found: found.unwrap_or(0) }),
        }
    }

    /// Checks `blob` and gives access to the tree in it. Bytes behind the header's total size are ignored.
    ///
    /// # Errors
    /// Says what is malformed, and where.
    pub fn new(blob: &'a [u8]) -> Result<Self, BlobError> {
        let needed = Self::total_size(blob)?.max(HEADER_LEN);
        let given = blob.len();
        let blob = blob.get(..needed).ok_or(BlobError::TooShort { given, needed })?;
        let field = |index: usize| word(blob, index * 4).unwrap_or(0) as usize;
        let (version, oldest_reader) = (field(5), field(6));
        if version < 17 || oldest_reader > 17 {
            return Err(BlobError::Version { found: version as u32 });
        }
        let part =
            |name, start: usize, size: usize| start.checked_add(size).and_then(|end| blob.get(start..end)).ok_or(BlobError::Block { name });
        let structure = part("structure", field(2), field(9))?;
        let strings = part("strings", field(3), field(8))?;
        let reservations = blob.get(field(4)..).ok_or(BlobError::Block { name: "memory reservation" })?;
        let tree = Self { block: Block { structure, strings, lenient: false }, reservations };
        tree.block.check()?;
        tree.check_reservations()?;
        Ok(tree)
    }

    /// What can be read of a blob that [`Fdt::new`] refused: nodes with unreadable names are there without a name, words that are no
    /// token are passed over, and sizes in the header are not believed. `None` when even the blocks can't be found.
    pub(crate) fn damaged(blob: &'a [u8]) -> Option<Self> {
        Self::total_size(blob).ok()?;
        let part = |index: usize| blob.get(word(blob, index * 4)? as usize..);
        Some(Self { block: Block { structure: part(2)?, strings: part(3)?, lenient: true }, reservations: &[] })
    }

    /// The reservation block must end with a pair of zeros.
    fn check_reservations(&self) -> Result<(), BlobError> {
        let mut entries = self.reservations.chunks_exact(16);
        if entries.any(|entry| entry.iter().all(|&byte| byte == 0)) { Ok(()) } else { Err(BlobError::Block { name: "memory reservation" }) }
    }

    /// The (address, size) pairs of the memory reservation block.
    pub fn reservations(&self) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let pairs = self.reservations.chunks_exact(16).map(|entry| {
            let number = |at| u64::from(word(entry, at).unwrap_or(0)) << 32 | u64::from(word(entry, at + 4).unwrap_or(0));
            (number(0), number(8))
        });
        pairs.take_while(|&pair| pair != (0, 0))
    }

    /// The root node.
    #[must_use]
    pub fn root(&self) -> Node<'a> {
        Node::root(self.block)
    }

    /// Every node, the root first, each before its children.
    #[must_use]
    pub fn nodes(&self) -> Nodes<'a> {
        Nodes { block: self.block, at: Some(0), trail: [0; MAX_DEPTH], depth: 0 }
    }

    /// The node at an absolute path (`/soc/serial@1000`). A component without a unit address also finds the first child of
    /// that name with one, as the specification allows where it is unambiguous.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<Node<'a>> {
        let mut node = self.root();
        for component in path.strip_prefix('/')?.split('/').filter(|component| !component.is_empty()) {
            node = node.children().find(|child| child.name() == component).or_else(|| {
                let base_matches = |child: &Node<'a>| child.name().split('@').next() == Some(component);
                node.children().find(base_matches)
            })?;
        }
        Some(node)
    }

    /// The node with this phandle.
    #[must_use]
    pub fn by_phandle(&self, phandle: u32) -> Option<Node<'a>> {
        self.nodes().find(|node| node.phandle() == Some(phandle))
    }

    /// The first usable node that is compatible with one of `wanted`.
    pub(crate) fn find_compatible(&self, wanted: &[&str]) -> Option<Node<'a>> {
        self.nodes().find(|node| node.compatible_index(wanted).is_some() && node.is_available())
    }
}

/// Checks `blob`, with the error type of this crate.
pub(crate) fn read(blob: &[u8]) -> Result<Fdt<'_>, Error<'_>> {
    Fdt::new(blob).map_err(Error::Blob)
}

/// All nodes in the order of the blob; see [`Fdt::nodes`].
#[derive(Clone, Debug)]
pub struct Nodes<'a> {
    block: Block<'a>,
    /// Where to read on; `None` at the end.
    at: Option<usize>,
    /// Offsets of the nodes that are open at `at`, the root first.
    trail: [u32; MAX_DEPTH],
    depth: usize,
}

impl<'a> Iterator for Nodes<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        loop {
            let at = self.at.take()?;
            let (token, next) = self.block.token(at).ok()?;
            match token {
                Token::Begin { start, .. } => {
                    *self.trail.get_mut(self.depth)? = u32::try_from(start).ok()?;
                    self.depth += 1;
                    self.at = Some(next);
                    return Some(Node::new(self.block, self.trail, self.depth - 1));
                }
                Token::Close => self.depth = self.depth.checked_sub(1)?,
                Token::Property { .. } => {}
                Token::End => return None,
            }
            self.at = Some(next);
        }
    }
}

/// The big-endian 32-bit number at byte `at`.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let end = at.checked_add(4)?;
    bytes.get(at..end)?.try_into().ok().map(u32::from_be_bytes)
}
