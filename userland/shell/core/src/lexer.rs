//! A line to words and separators.
//!
//! Words are separated by blanks. `'…'` keeps everything, `"…"` keeps everything but `\`, and `\` keeps the next
//! character. `;` ends a command, `&&` ends one whose success the next one needs. What other shells give a meaning
//! (`|`, `>`, `<`, `&`, `` ` ``, `$(`) is refused rather than taken as text, so that nobody is surprised.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use crate::error::{ErrorKind, ParseError};

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where it stands in the line, in bytes.
    pub span: Range<usize>,
}

/// What a piece of a line is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenKind {
    /// A word, its quotes removed.
    Word {
        /// The text.
        text: String,
        /// Whether any of it was quoted: such a word is never a flag.
        quoted: bool,
    },
    /// `;`
    Then,
    /// `&&`
    AndThen,
}

/// Splits a line.
pub fn lex(line: &str) -> Result<Vec<Token>, ParseError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = line[at..].chars().next() {
        let token = match c {
            c if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            ';' => Token { kind: TokenKind::Then, span: at..at + 1 },
            '&' if line[at..].starts_with("&&") => Token { kind: TokenKind::AndThen, span: at..at + 2 },
            '&' | '|' | '<' | '>' | '`' => return Err(ParseError::new(ErrorKind::Operator(c), at..at + 1)),
            _ => word(line, at)?,
        };
        at = token.span.end;
        tokens.push(token);
    }
    Ok(tokens)
}

fn word(line: &str, start: usize) -> Result<Token, ParseError> {
    let mut text = String::new();
    let mut quoted = false;
    let mut chars = line[start..].char_indices().map(|(at, c)| (start + at, c)).peekable();
    let mut end = line.len();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' | '"' => {
                quoted = true;
                loop {
                    match chars.next() {
                        None => return Err(ParseError::new(ErrorKind::UnclosedQuote(c), at..at + 1)),
                        Some((_, close)) if close == c => break,
                        Some((_, '\\')) if c == '"' => match chars.next() {
                            Some((_, kept)) => text.push(kept),
                            None => return Err(ParseError::new(ErrorKind::UnclosedQuote(c), at..at + 1)),
                        },
                        Some((_, inside)) => text.push(inside),
                    }
                }
            }
            '\\' => {
                quoted = true;
                let (_, kept) = chars.next().ok_or_else(|| ParseError::new(ErrorKind::LoneBackslash, at..at + 1))?;
                text.push(kept);
            }
            '$' if chars.peek().is_some_and(|(_, next)| *next == '(') => {
                return Err(ParseError::new(ErrorKind::Operator('$'), at..at + 2));
            }
            c if c.is_whitespace() || matches!(c, ';' | '&' | '|' | '<' | '>' | '`') => {
                end = at;
                break;
            }
            c => text.push(c),
        }
    }
    Ok(Token { kind: TokenKind::Word { text, quoted }, span: start..end })
}
