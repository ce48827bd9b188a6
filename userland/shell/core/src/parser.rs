//! A line to statements, checked against the table of commands.
//!
//! The whole line is checked before anything runs: a slip in the third command keeps the first from running as well.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use crate::command::{self, Argument, Command, Count, Flag, Value};
use crate::error::{ErrorKind, ParseError};
use crate::lexer::{Token, TokenKind, lex};
use crate::statement::Statement;

/// What a command waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joiner {
    /// Nothing: it is the first, or came after `;`.
    Always,
    /// Success of the command before it: it came after `&&`.
    IfSuccess,
}

/// The commands of a line, in order.
pub type Script = Vec<(Joiner, Statement)>;

/// The arguments of one command, understood.
#[derive(Debug, Default)]
pub struct Arguments {
    positional: Vec<(&'static str, Value)>,
    flags: Vec<(&'static str, Option<Value>)>,
}

impl Arguments {
    /// The argument with this name.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        let index = self.positional.iter().position(|(argument, _)| *argument == name)?;
        Some(self.positional.remove(index).1)
    }

    /// All arguments with this name.
    pub(crate) fn take_all(&mut self, name: &str) -> Vec<Value> {
        core::iter::from_fn(|| self.take(name)).collect()
    }

    /// Whether a flag is given.
    pub(crate) fn has(&self, long: &str) -> bool {
        self.flags.iter().any(|(flag, _)| *flag == long)
    }

    /// A flag's value.
    pub(crate) fn value(&self, long: &str) -> Option<&Value> {
        self.flags.iter().find(|(flag, _)| *flag == long)?.1.as_ref()
    }
}

/// Parses a line. An empty one is an empty script.
pub fn parse(line: &str) -> Result<Script, ParseError> {
    let tokens = lex(line)?;
    let mut script = Script::new();
    let mut joiner = Joiner::Always;
    let mut rest = &tokens[..];
    while !rest.is_empty() {
        let end = rest.iter().position(|token| !matches!(token.kind, TokenKind::Word { .. })).unwrap_or(rest.len());
        let (words, after) = rest.split_at(end);
        if words.is_empty() {
            return Err(ParseError::new(ErrorKind::NoCommand, rest[0].span.clone()));
        }
        script.push((joiner, statement(words)?));
        rest = match after.split_first() {
            None => &[],
            Some((separator, after)) => {
                joiner = match separator.kind {
                    TokenKind::AndThen => Joiner::IfSuccess,
                    _ => Joiner::Always,
                };
                // A `;` may end a line, an `&&` may not.
                if after.is_empty() && joiner == Joiner::IfSuccess {
                    return Err(ParseError::new(ErrorKind::NoCommand, separator.span.clone()));
                }
                after
            }
        };
    }
    Ok(script)
}

/// A word of a command.
struct Word<'a> {
    text: &'a str,
    quoted: bool,
    span: Range<usize>,
}

fn statement(tokens: &[Token]) -> Result<Statement, ParseError> {
    let mut words = tokens.iter().filter_map(|token| match &token.kind {
        TokenKind::Word { text, quoted } => Some(Word { text, quoted: *quoted, span: token.span.clone() }),
        _ => None,
    });
    let whole = tokens.first().map_or(0, |first| first.span.start)..tokens.last().map_or(0, |last| last.span.end);
    let name = words.next().ok_or_else(|| ParseError::new(ErrorKind::NoCommand, whole.clone()))?;
    let command = command::find(name.text).ok_or_else(|| ParseError::new(ErrorKind::UnknownCommand(name.text.into()), name.span))?;
    let mut parser = CommandParser { command, arguments: Arguments::default(), next: 0, end_of_flags: false };
    while let Some(word) = words.next() {
        parser.word(word, &mut words)?;
    }
    let after = whole.end..whole.end;
    if let Some(argument) = parser.missing() {
        return Err(ParseError::new(ErrorKind::Missing(command, argument.name, argument.kind), after));
    }
    Statement::build(command, parser.arguments).ok_or_else(|| ParseError::new(ErrorKind::UnknownCommand(command.name.into()), whole))
}

struct CommandParser {
    command: &'static Command,
    arguments: Arguments,
    /// The argument that the next word is for.
    next: usize,
    end_of_flags: bool,
}

impl CommandParser {
    fn word<'a>(&mut self, word: Word<'a>, more: &mut impl Iterator<Item = Word<'a>>) -> Result<(), ParseError> {
        let in_rest = self.command.arguments.get(self.next).is_some_and(|argument| argument.count == Count::Rest);
        // Words for a program are the program's own, whatever they look like, once the first one has been seen.
        let own_words = in_rest && !self.arguments.positional.is_empty();
        let flag_like = word.text.len() > 1 && word.text.starts_with('-') && !word.quoted;
        if !flag_like || self.end_of_flags {
            return self.positional(word);
        }
        if word.text == "--" {
            self.end_of_flags = true;
            return Ok(());
        }
        if own_words {
            // But what looks like a flag of this command was most likely meant as one.
            let name = word.text.split_once('=').map_or(word.text, |(name, _)| name);
            return match self.command.flags.iter().find(|flag| flag.is(name)) {
                Some(flag) => Err(ParseError::new(ErrorKind::FlagBehind(self.command, flag.long), word.span)),
                None => self.positional(word),
            };
        }
        // `echo -x` has no flags to mistake its text for.
        if in_rest && self.command.flags.is_empty() {
            return self.positional(word);
        }
        self.flag(word, more)
    }

    fn flag<'a>(&mut self, word: Word<'a>, more: &mut impl Iterator<Item = Word<'a>>) -> Result<(), ParseError> {
        let (name, inline) = match word.text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word.text, None),
        };
        let flag = self
            .command
            .flags
            .iter()
            .find(|flag| flag.is(name))
            .ok_or_else(|| ParseError::new(ErrorKind::UnknownFlag(self.command, name.into()), word.span.clone()))?;
        if self.arguments.has(flag.long) {
            return Err(ParseError::new(ErrorKind::FlagTwice(flag.long), word.span));
        }
        let value = match (flag.value, inline) {
            (None, None) => None,
            (None, Some(_)) => return Err(ParseError::new(ErrorKind::FlagTakesNoValue(flag.long), word.span)),
            (Some((_, kind)), inline) => {
                let (text, span) = match inline {
                    Some(text) => (text, word.span),
                    None => match more.next() {
                        Some(value) => (value.text, value.span),
                        None => return Err(ParseError::new(ErrorKind::FlagNeedsValue(flag.long, kind), word.span)),
                    },
                };
                Some(kind.parse(text).ok_or_else(|| ParseError::new(ErrorKind::BadValue(flag.long, kind), span))?)
            }
        };
        self.arguments.flags.push((flag.long, value));
        Ok(())
    }

    fn positional(&mut self, word: Word<'_>) -> Result<(), ParseError> {
        let mut refused = None;
        while let Some(argument) = self.command.arguments.get(self.next) {
            let value = argument.kind.parse(word.text);
            if matches!(argument.count, Count::One | Count::Optional) {
                self.next += 1;
            }
            match value {
                Some(value) => {
                    self.arguments.positional.push((argument.name, value));
                    return Ok(());
                }
                // An optional argument is skipped by a word that it can't be.
                None if argument.count == Count::Optional => refused = Some(argument),
                None => {
                    refused = Some(argument);
                    break;
                }
            }
        }
        let kind = match refused {
            Some(argument) => ErrorKind::BadValue(argument.name, argument.kind),
            None => ErrorKind::TooMany(self.command),
        };
        Err(ParseError::new(kind, word.span))
    }

    /// The argument that is still needed.
    fn missing(&self) -> Option<&'static Argument> {
        let given = |argument: &Argument| self.arguments.positional.iter().any(|(name, _)| *name == argument.name);
        self.command.arguments.iter().find(|argument| matches!(argument.count, Count::One | Count::Some) && !given(argument))
    }
}

impl Flag {
    /// Whether the word `--long` or `-s` is this flag.
    fn is(&self, word: &str) -> bool {
        match word.strip_prefix("--") {
            Some(long) => long == self.long,
            None => {
                let mut letters = word.chars().skip(1);
                self.short.is_some() && letters.next() == self.short && letters.next().is_none()
            }
        }
    }
}

/// Text of a value, for statements that take names.
pub(crate) fn text(value: Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}
