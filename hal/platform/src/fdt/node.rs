//! Nodes, properties and their values.

use core::fmt;

use super::block::{Block, Token, text};
use super::{MAX_DEPTH, word};
use crate::error::Error;

/// A node of a tree. It knows its ancestors, so that addresses can be translated and paths printed.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    block: Block<'a>,
    /// Offsets of the root, …, the parent, this node.
    trail: [u32; MAX_DEPTH],
    /// Index of this node in `trail`; the root has 0.
    depth: usize,
}

/// A property: a name and bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Property<'a> {
    /// Name, such as `reg`.
    pub name: &'a str,
    /// Value as it is in the blob: numbers are big-endian, strings end with NUL.
    pub value: &'a [u8],
}

impl<'a> Node<'a> {
    pub(super) fn root(block: Block<'a>) -> Self {
        Self { block, trail: [0; MAX_DEPTH], depth: 0 }
    }

    pub(super) fn new(block: Block<'a>, trail: [u32; MAX_DEPTH], depth: usize) -> Self {
        Self { block, trail, depth }
    }

    fn offset(&self) -> usize {
        self.trail.get(self.depth).map_or(0, |&offset| offset as usize)
    }

    /// Name with its unit address, such as `serial@1000`; the root's is `/`.
    #[must_use]
    pub fn name(&self) -> &'a str {
        match self.block.token(self.offset()) {
            Ok((Token::Begin { name, .. }, _)) if !name.is_empty() => text(name).unwrap_or("/"),
            _ => "/",
        }
    }

    /// The node around this one; the root has none.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        Some(Self { depth: self.depth.checked_sub(1)?, ..*self })
    }

    /// The properties, in the order of the blob.
    pub fn properties(&self) -> impl Iterator<Item = Property<'a>> + use<'a> {
        let block = self.block;
        let mut at = block.token(self.offset()).map_or(usize::MAX, |(_, next)| next);
        core::iter::from_fn(move || match block.token(at) {
            Ok((Token::Property { name, value }, next)) => {
                at = next;
                Some(Property { name: block.property_name(name)?, value })
            }
            _ => None,
        })
    }

    /// The bytes of one property.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&'a [u8]> {
        let mut at = self.block.token(self.offset()).ok()?.1;
        while let (Token::Property { name: found, value }, next) = self.block.token(at).ok()? {
            if self.block.is_named(found, name) {
                return Some(value);
            }
            at = next;
        }
        None
    }

    /// The direct children, in the order of the blob.
    #[must_use]
    pub fn children(&self) -> Children<'a> {
        Children { parent: *self, at: self.offset(), open: 0 }
    }

    /// A property that is one 32-bit number.
    ///
    /// # Errors
    /// When it is there, but not four bytes long.
    pub fn u32(&self, property: &'static str) -> Result<Option<u32>, Error<'a>> {
        match self.property(property) {
            None => Ok(None),
            Some(value) if value.len() == 4 => Ok(word(value, 0)),
            Some(_) => Err(self.invalid(property, "one 32-bit number")),
        }
    }

    /// A property that is one number of 32 or 64 bits.
    ///
    /// # Errors
    /// When it is there, but neither four nor eight bytes long.
    pub fn u32_or_u64(&self, property: &'static str) -> Result<Option<u64>, Error<'a>> {
        let Some(value) = self.property(property) else { return Ok(None) };
        match value.len() {
            4 | 8 => Ok(Cells(value).take(value.len() / 4)),
            _ => Err(self.invalid(property, "one number of 32 or 64 bits")),
        }
    }

    /// A property that is one string.
    ///
    /// # Errors
    /// When it is there, but does not end with a single NUL, or is not UTF-8.
    pub fn text(&self, property: &'static str) -> Result<Option<&'a str>, Error<'a>> {
        let Some(value) = self.property(property) else { return Ok(None) };
        let text = value.strip_suffix(&[0]).filter(|text| !text.contains(&0));
        match text.map(core::str::from_utf8) {
            Some(Ok(text)) => Ok(Some(text)),
            _ => Err(self.invalid(property, "one string")),
        }
    }

    /// A property that is a list of strings; empty when the property is absent.
    #[must_use]
    pub fn texts(&self, property: &str) -> Texts<'a> {
        Texts(self.property(property).unwrap_or(&[]))
    }

    /// Index in `wanted` of the first entry of `compatible` that is listed there, most specific first.
    #[must_use]
    pub fn compatible_index(&self, wanted: &[&str]) -> Option<usize> {
        let entries = self.property("compatible")?.split(|&byte| byte == 0);
        entries.into_iter().find_map(|entry| wanted.iter().position(|name| name.as_bytes() == entry))
    }

    /// Whether the node may be used: its `status` is absent, `okay` or the older `ok`.
    #[must_use]
    pub fn is_available(&self) -> bool {
        matches!(self.property("status"), None | Some(b"okay\0" | b"ok\0"))
    }

    /// The node's phandle, by which others refer to it.
    #[must_use]
    pub fn phandle(&self) -> Option<u32> {
        let value = self.property("phandle").or_else(|| self.property("linux,phandle"))?;
        if value.len() == 4 { word(value, 0) } else { None }
    }

    /// How many cells an address of a child takes. The default is the specification's.
    pub(crate) fn address_cells(&self) -> Result<usize, Error<'a>> {
        Ok(self.u32("#address-cells")?.unwrap_or(2) as usize)
    }

    /// How many cells a size of a child takes. The default is the specification's.
    pub(crate) fn size_cells(&self) -> Result<usize, Error<'a>> {
        Ok(self.u32("#size-cells")?.unwrap_or(1) as usize)
    }

    pub(crate) fn invalid(&self, property: &'static str, expected: &'static str) -> Error<'a> {
        Error::PropertyInvalid { node: self.name(), property, expected }
    }

    pub(crate) fn missing(&self, property: &'static str, expected: &'static str) -> Error<'a> {
        Error::PropertyMissing { node: self.name(), property, expected }
    }
}

impl PartialEq for Node<'_> {
    /// Whether both are the same node of the same tree.
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self.block.structure, other.block.structure) && self.offset() == other.offset()
    }
}

impl Eq for Node<'_> {}

/// The node's full path.
impl fmt::Display for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.depth == 0 {
            return f.write_str("/");
        }
        (1..=self.depth).try_for_each(|depth| write!(f, "/{}", Self { depth, ..*self }.name()))
    }
}

impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({self})")
    }
}

/// The children of a node; see [`Node::children`].
#[derive(Clone, Debug)]
pub struct Children<'a> {
    parent: Node<'a>,
    /// Where to read on.
    at: usize,
    /// Nodes that are open at `at`; the first to open is the parent itself.
    open: usize,
}

impl<'a> Iterator for Children<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        loop {
            let (token, next) = self.parent.block.token(self.at).ok()?;
            match token {
                Token::Begin { start, .. } => {
                    self.at = next;
                    self.open += 1;
                    if self.open == 2 {
                        let mut child = Node { depth: self.parent.depth + 1, ..self.parent };
                        *child.trail.get_mut(child.depth)? = u32::try_from(start).ok()?;
                        return Some(child);
                    }
                }
                // The parent's own end: it is not passed, so that later calls find it again.
                Token::Close if self.open <= 1 => return None,
                Token::Close => {
                    self.at = next;
                    self.open -= 1;
                }
                Token::Property { .. } => self.at = next,
                Token::End => return None,
            }
        }
    }
}

/// The strings of a property, each without its NUL; see [`Node::texts`]. Ends early at one that is not UTF-8.
#[derive(Clone, Debug)]
pub struct Texts<'a>(&'a [u8]);

impl<'a> Iterator for Texts<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let len = self.0.iter().position(|&byte| byte == 0)?;
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest.get(1..)?;
        core::str::from_utf8(text).ok()
    }
}

/// Numbers of one or more 32-bit cells, read front to back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cells<'a>(pub(crate) &'a [u8]);

impl Cells<'_> {
    /// Takes a number of `count` cells; `None` when there are fewer, or when it needs more than 64 bits.
    pub(crate) fn take(&mut self, count: usize) -> Option<u64> {
        let (cells, rest) = self.0.split_at_checked(count.checked_mul(4)?)?;
        self.0 = rest;
        cells.chunks_exact(4).try_fold(0u64, |number, cell| {
            let high = u32::try_from(number).ok()?;
            Some(u64::from(high) << 32 | u64::from(word(cell, 0)?))
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
