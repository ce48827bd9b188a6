//! The structure block: a sequence of tokens, and the strings that they refer to.

use super::{MAX_DEPTH, word};
use crate::error::BlobError;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// Structure and strings block of a tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'a> {
    pub(super) structure: &'a [u8],
    pub(super) strings: &'a [u8],
    /// Whether words that are no token are passed over instead of ending the tree: for a tree that is damaged, see `Fdt::damaged`.
    pub(super) lenient: bool,
}

/// One item of the structure block.
#[derive(Clone, Copy, Debug)]
pub(super) enum Token<'a> {
    /// A node begins; `start` is the offset of this very token.
    Begin { start: usize, name: &'a [u8] },
    /// The innermost open node ends.
    Close,
    /// A property of the innermost open node; `name` is an offset in the strings.
    Property { name: usize, value: &'a [u8] },
    /// The structure block ends.
    End,
}

impl<'a> Block<'a> {
    /// The token at `at` (behind any padding words) and the offset of the next one.
    pub(super) fn token(&self, mut at: usize) -> Result<(Token<'a>, usize), BlobError> {
        loop {
            let found = word(self.structure, at).ok_or(BlobError::Truncated { offset: at })?;
            let body = at + 4;
            return match found {
                NOP => {
                    at = body;
                    continue;
                }
                BEGIN_NODE => {
                    let name = terminated(self.structure, body).ok_or(BlobError::Name { offset: at })?;
                    Ok((Token::Begin { start: at, name }, aligned(body + name.len() + 1)))
                }
                END_NODE => Ok((Token::Close, body)),
                PROPERTY => self.property(at, body),
                END => Ok((Token::End, body)),
                _ if self.lenient => {
                    at = body;
                    continue;
                }
                _ => Err(BlobError::Token { offset: at, found }),
            };
        }
    }

    /// The name of a property.
    pub(super) fn property_name(&self, name: usize) -> Option<&'a str> {
        text(terminated(self.strings, name)?)
    }

    /// Whether a property's name is `wanted`; cheaper than to read it.
    pub(super) fn is_named(&self, name: usize, wanted: &str) -> bool {
        let rest = self.strings.get(name..).and_then(|rest| rest.strip_prefix(wanted.as_bytes()));
        rest.is_some_and(|rest| rest.first() == Some(&0))
    }

    fn property(&self, offset: usize, body: usize) -> Result<(Token<'a>, usize), BlobError> {
        let truncated = BlobError::Truncated { offset };
        let size = word(self.structure, body).ok_or(truncated)? as usize;
        let name = word(self.structure, body + 4).ok_or(truncated)? as usize;
        let start = body + 8;
        let end = start.checked_add(size).ok_or(truncated)?;
        let value = self.structure.get(start..end).ok_or(truncated)?;
        Ok((Token::Property { name, value }, aligned(end)))
    }

    /// Reads every token once: names and values in bounds, nodes nested, one root, an end.
    pub(super) fn check(&self) -> Result<(), BlobError> {
        let mut at = 0;
        let mut depth = 0;
        let mut root_closed = false;
        // Properties come before child nodes; whoever looks for a property stops at the first child.
        let mut properties_allowed = false;
        loop {
            let (token, next) = self.token(at)?;
            let misplaced = BlobError::Nesting { offset: at };
            match token {
                Token::Begin { .. } if root_closed => return Err(misplaced),
                Token::Begin { start, .. } if depth == MAX_DEPTH => return Err(BlobError::TooDeep { offset: start, limit: MAX_DEPTH }),
                Token::Begin { name, .. } => {
                    text(name).ok_or(BlobError::Name { offset: at })?;
                    depth += 1;
                    properties_allowed = true;
                }
                Token::Close if depth == 0 => return Err(misplaced),
                Token::Close => {
                    depth -= 1;
                    root_closed = depth == 0;
                    properties_allowed = false;
                }
                Token::Property { .. } if !properties_allowed => return Err(misplaced),
                Token::Property { name, .. } => {
                    self.property_name(name).ok_or(BlobError::Name { offset: at })?;
                }
                Token::End if root_closed => return Ok(()),
                Token::End => return Err(misplaced),
            }
            at = next;
        }
    }
}

/// The bytes from `at` up to, but without, the next NUL.
fn terminated(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let rest = bytes.get(at..)?;
    let len = rest.iter().position(|&byte| byte == 0)?;
    rest.get(..len)
}

/// A name as text: printable ASCII without spaces, or empty.
pub(super) fn text(name: &[u8]) -> Option<&str> {
    if name.iter().all(u8::is_ascii_graphic) { core::str::from_utf8(name).ok() } else { None }
}

/// Rounds up to the next word; saturates, so that a huge value is out of bounds instead of wrapping to a small one.
fn aligned(at: usize) -> usize {
    at.saturating_add(3) & !3
}
