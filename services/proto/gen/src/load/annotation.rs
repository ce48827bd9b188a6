//! The `@` lines of doc comments. Every one has to be asked for: what is left at the end is a mistake, not a remark.

use wit_parser::Docs;

use super::{Error, Problem, fail};

/// The annotations of one item.
pub struct Annotations<'a> {
    at: &'a str,
    docs: Vec<String>,
    left: Vec<(String, Option<String>)>,
}

impl<'a> Annotations<'a> {
    /// Takes a doc comment apart.
    pub fn read(at: &'a str, docs: &Docs) -> Result<Self, Error> {
        let mut this = Self { at, docs: Vec::new(), left: Vec::new() };
        for line in docs.contents.as_deref().unwrap_or_default().lines() {
            let line = line.trim();
            let Some(note) = line.strip_prefix('@') else {
                this.docs.push(line.into());
                continue;
            };
            let mut words = note.split_whitespace();
            let (Some(word), argument, None) = (words.next(), words.next(), words.next()) else {
                return fail(at, Problem::BadAnnotation(line.into()));
            };
            if this.left.iter().any(|(other, _)| other == word) {
                return fail(at, Problem::BadAnnotation(line.into()));
            }
            this.left.push((word.into(), argument.map(Into::into)));
        }
        while this.docs.last().is_some_and(String::is_empty) {
            this.docs.pop();
        }
        Ok(this)
    }

    /// The text for people, which has to be there.
    pub fn docs(&mut self) -> Result<Vec<String>, Error> {
        if self.docs.is_empty() { fail(self.at, Problem::Undocumented) } else { Ok(std::mem::take(&mut self.docs)) }
    }

    /// A word without argument.
    pub fn mark(&mut self, word: &str) -> Result<bool, Error> {
        match self.take(word) {
            None => Ok(false),
            Some(None) => Ok(true),
            Some(Some(argument)) => fail(self.at, Problem::BadAnnotation(format!("@{word} {argument}"))),
        }
    }

    /// A word with a word.
    pub fn word(&mut self, word: &str) -> Result<Option<String>, Error> {
        match self.take(word) {
            None => Ok(None),
            Some(Some(argument)) => Ok(Some(argument)),
            Some(None) => fail(self.at, Problem::BadAnnotation(format!("@{word}"))),
        }
    }

    /// A word with a number, decimal or with `0x`.
    pub fn number(&mut self, word: &str) -> Result<Option<u16>, Error> {
        let Some(argument) = self.word(word)? else { return Ok(None) };
        let number = match argument.strip_prefix("0x") {
            Some(digits) => u16::from_str_radix(digits, 16),
            None => argument.parse(),
        };
        match number {
            Ok(number) => Ok(Some(number)),
            Err(_) => fail(self.at, Problem::BadAnnotation(format!("@{word} {argument}"))),
        }
    }

    /// The bound of a list or string, which has to be there and not 0.
    pub fn max(&mut self) -> Result<u32, Error> {
        match self.number("max")? {
            Some(max) if max != 0 => Ok(max.into()),
            _ => fail(self.at, Problem::Unbounded),
        }
    }

    /// Nothing may be left.
    pub fn done(self) -> Result<(), Error> {
        match self.left.into_iter().next() {
            Some((word, _)) => fail(self.at, Problem::UnknownAnnotation(word)),
            None => Ok(()),
        }
    }

    fn take(&mut self, word: &str) -> Option<Option<String>> {
        let place = self.left.iter().position(|(other, _)| other == word)?;
        Some(self.left.remove(place).1)
    }
}
