//! What the parser says about a line that it refuses: what is wrong, where, and what would be right.

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::ops::Range;

use aios_logd_core::format::Clean;

use crate::command::{COMMANDS, Command, Kind};
use crate::screen::text_cells;
use crate::session::status;

/// A refused line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub kind: ErrorKind,
    /// Where, in bytes of the line.
    pub span: Range<usize>,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorKind {
    /// A quote that is never closed.
    UnclosedQuote(char),
    /// A backslash at the end.
    LoneBackslash,
    /// A character that means something in other shells.
    Operator(char),
    /// No command before or after a separator.
    NoCommand,
    /// No command has this name.
    UnknownCommand(String),
    /// The command has no such flag.
    UnknownFlag(&'static Command, String),
    /// The flag needs a value.
    FlagNeedsValue(&'static str, Kind),
    /// The flag takes no value.
    FlagTakesNoValue(&'static str),
    /// The flag is given twice.
    FlagTwice(&'static str),
    /// A flag of the command stands among the words of the program that it is to start.
    FlagBehind(&'static Command, &'static str),
    /// A word is not what is needed here: the argument's or flag's name, and what it may be.
    BadValue(&'static str, Kind),
    /// An argument is missing.
    Missing(&'static Command, &'static str, Kind),
    /// One word too many.
    TooMany(&'static Command),
}

impl ParseError {
    pub(crate) fn new(kind: ErrorKind, span: Range<usize>) -> Self {
        ParseError { kind, span }
    }

    /// The status with which a refused line ends.
    pub fn status(&self) -> u16 {
        match self.kind {
            ErrorKind::UnknownCommand(_) => status::UNKNOWN_COMMAND,
            _ => status::USAGE,
        }
    }

    /// The message, the line, and a caret under what is wrong. Lines end with `\n`.
    pub fn render(&self, line: &str) -> String {
        let at = |byte: usize| text_cells(line.get(..byte.min(line.len())).unwrap_or(line));
        let (start, end) = (at(self.span.start), at(self.span.end));
        let caret = format!("{}^{}", " ".repeat(start), "~".repeat(end.saturating_sub(start + 1)));
        let mut text = format!("error: {self}\n  {}\n  {caret}\n", Clean(line));
        if let Some(usage) = self.usage() {
            text += &format!("usage: {usage}\n");
        }
        text
    }

    fn usage(&self) -> Option<String> {
        match self.kind {
            ErrorKind::UnknownFlag(command, _)
            | ErrorKind::Missing(command, ..)
            | ErrorKind::TooMany(command)
            | ErrorKind::FlagBehind(command, _) => Some(command.usage()),
            _ => None,
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ErrorKind::UnclosedQuote(quote) => write!(f, "this {quote} is never closed"),
            ErrorKind::LoneBackslash => f.write_str("nothing follows the backslash"),
            ErrorKind::Operator(c) => {
                write!(f, "`{c}` has no meaning here; commands are separated by `;` or `&&`, and text is quoted")
            }
            ErrorKind::NoCommand => f.write_str("a command is missing here"),
            ErrorKind::UnknownCommand(word) => {
                write!(f, "unknown command `{}`; ", Clean(word))?;
                match nearest(word, COMMANDS.iter().map(|command| command.name)) {
                    Some(name) => write!(f, "did you mean `{name}`?"),
                    None => f.write_str("`help` lists what there is"),
                }
            }
            ErrorKind::UnknownFlag(command, word) => {
                write!(f, "`{}` has no flag `{}`; ", command.name, Clean(word))?;
                if command.flags.is_empty() {
                    return f.write_str("it has none");
                }
                f.write_str("it has ")?;
                for (index, flag) in command.flags.iter().enumerate() {
                    write!(f, "{}{flag}", if index == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            ErrorKind::FlagNeedsValue(flag, kind) => write!(f, "--{flag} needs {kind}"),
            ErrorKind::FlagTakesNoValue(flag) => write!(f, "--{flag} takes no value"),
            ErrorKind::FlagTwice(flag) => write!(f, "--{flag} is given twice"),
            ErrorKind::FlagBehind(command, flag) => {
                write!(f, "--{flag} of `{}` stands before the first argument; put `--` before words that only look like it", command.name)
            }
            ErrorKind::BadValue(name, kind) => write!(f, "{name} must be {kind}"),
            ErrorKind::Missing(command, name, kind) => write!(f, "`{}` needs {name}, {kind}", command.name),
            ErrorKind::TooMany(command) => write!(f, "`{}` takes no more arguments", command.name),
        }
    }
}

impl core::error::Error for ParseError {}

/// The name that is at most two slips away from the word, and fewer slips than half its length.
fn nearest(word: &str, names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    names.map(|name| (distance(word, name), name)).filter(|&(slips, name)| slips <= 2 && 2 * slips < name.len()).min().map(|(_, name)| name)
}

/// How many characters must be put in, left out or changed to make one word of the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: alloc::vec::Vec<usize> = (0..=other.chars().count()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = core::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.chars().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[row.len() - 1]
}
