//! Completion of the word before the cursor, from the table of commands and the names that are alive.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::command::{self, COMMANDS, Command, Count, Kind};
use crate::lexer::{TokenKind, lex};
use crate::value::level_names;

/// Where the names of living things come from. Asked only when Tab is pressed.
pub trait Names {
    /// Names and ids of agents.
    fn agents(&self) -> Vec<String>;
    /// Names of the manifest's servers.
    fn servers(&self) -> Vec<String>;
    /// Names of the manifest's programs.
    fn programs(&self) -> Vec<String>;
    /// Service names, such as `/svc/log`.
    fn services(&self) -> Vec<String>;
}

/// Nothing is known: only commands, flags and levels complete.
#[derive(Debug, Clone, Copy)]
pub struct NoNames;

impl Names for NoNames {
    fn agents(&self) -> Vec<String> {
        Vec::new()
    }
    fn servers(&self) -> Vec<String> {
        Vec::new()
    }
    fn programs(&self) -> Vec<String> {
        Vec::new()
    }
    fn services(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What could stand in place of the word before the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// Where the word begins, in bytes of the line.
    pub start: usize,
    /// Whole words that begin like it, sorted, each once.
    pub candidates: Vec<String>,
}

impl Completion {
    /// What all candidates begin with.
    pub fn common(&self) -> &str {
        let Some((first, rest)) = self.candidates.split_first() else { return "" };
        let mut len = first.len();
        for other in rest {
            let same = first.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
            len = len.min(same);
        }
        while !first.is_char_boundary(len) {
            len -= 1;
        }
        &first[..len]
    }
}

/// Completes the last word of `before`, the line up to the cursor.
pub fn complete(before: &str, names: &dyn Names) -> Completion {
    let start = before
        .rfind(|c: char| c.is_whitespace() || matches!(c, ';' | '&'))
        .map_or(0, |at| at + before[at..].chars().next().map_or(0, char::len_utf8));
    let part = &before[start..];
    let mut candidates = match lex(&before[..start]) {
        // Inside quotes, or after something that is no line at all.
        Err(_) => Vec::new(),
        Ok(_) if part.contains(['\'', '"', '\\']) => Vec::new(),
        Ok(tokens) => {
            let words: Vec<&str> = tokens
                .iter()
                .rev()
                .map_while(|token| match &token.kind {
                    TokenKind::Word { text, .. } => Some(text.as_str()),
                    _ => None,
                })
                .collect();
            match words.split_last() {
                None => COMMANDS.iter().map(|command| command.name.into()).collect(),
                Some((name, given)) => match command::find(name) {
                    Some(command) => arguments(command, given, part, names),
                    None => Vec::new(),
                },
            }
        }
    };
    candidates.retain(|candidate| candidate.starts_with(part));
    candidates.sort_unstable();
    candidates.dedup();
    Completion { start, candidates }
}

/// Candidates after the words `given` (the last one first) of a command.
fn arguments(command: &Command, given: &[&str], part: &str, names: &dyn Names) -> Vec<String> {
    let flag_of = |word: &str| {
        command.flags.iter().find(|flag| {
            word.strip_prefix("--") == Some(flag.long)
                || flag.short.is_some_and(|short| word.strip_prefix('-') == Some(short.encode_utf8(&mut [0; 4])))
        })
    };
    if let Some((_, kind)) = given.first().and_then(|last| flag_of(last)).and_then(|flag| flag.value) {
        return of_kind(kind, names);
    }
    if part.starts_with('-') {
        return command.flags.iter().map(|flag| format!("--{}", flag.long)).collect();
    }
    let values = given.iter().filter(|word| flag_of(word).is_some_and(|flag| flag.value.is_some())).count();
    let positional = given.iter().filter(|word| !word.starts_with('-')).count() - values.min(given.len());
    let mut candidates = Vec::new();
    // Optional arguments may be skipped, so that those behind them are possible too.
    for argument in command.arguments.iter().skip(positional.min(command.arguments.len().saturating_sub(1))) {
        let taken = positional >= command.arguments.len() && matches!(argument.count, Count::One | Count::Optional);
        if !taken {
            candidates.extend(of_kind(argument.kind, names));
        }
        if argument.count != Count::Optional {
            break;
        }
    }
    candidates
}

fn of_kind(kind: Kind, names: &dyn Names) -> Vec<String> {
    match kind {
        Kind::Agent => names.agents(),
        Kind::Server => names.servers(),
        Kind::Program => names.programs(),
        Kind::Command => COMMANDS.iter().map(|command| command.name.into()).collect(),
        Kind::Level => level_names().map(String::from).collect(),
        Kind::Object => {
            let mut objects = names.agents();
            objects.extend(names.services());
            objects.extend(["power", "observe", "seed", "console", "frame:", "device:", "irq:"].map(String::from));
            objects
        }
        Kind::Core | Kind::Number | Kind::Duration | Kind::Slot | Kind::Text => Vec::new(),
    }
}
