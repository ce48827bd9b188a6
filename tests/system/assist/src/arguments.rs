//! What the program is asked to do: words with blanks between them.

use crate::{Test, by_name, by_number};

/// Words at most: the test and its arguments.
const WORDS: usize = 4;

/// The words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arguments<'a> {
    words: [&'a str; WORDS],
}

impl<'a> Arguments<'a> {
    /// Takes a text apart. `None` if it has too many words.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut words = [""; WORDS];
        for (place, word) in text.split_ascii_whitespace().enumerate() {
            *words.get_mut(place)? = word;
        }
        Some(Self { words })
    }

    /// The test that is meant. Without a word it is `serve`.
    pub fn test(&self) -> Option<&'static Test> {
        match self.words[0] {
            "" => by_name("serve"),
            name => by_name(name).or_else(|| by_number(number(name)?)),
        }
    }

    /// An argument of the test, counted from 0; empty if there is none.
    pub fn word(&self, place: usize) -> &'a str {
        self.words.get(place + 1).copied().unwrap_or_default()
    }

    /// An argument as a number, 0 if there is none; `None` if it is no number.
    pub fn number(&self, place: usize) -> Option<u64> {
        match self.word(place) {
            "" => Some(0),
            word => number(word),
        }
    }
}

/// A number, decimal or with `0x`.
fn number(word: &str) -> Option<u64> {
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_called_by_name_or_number() {
        let test = |text| Arguments::parse(text).and_then(|arguments| arguments.test()).map(|test| test.name);
        assert_eq!(test("canary 10"), Some("canary"));
        assert_eq!(test(" 69  10"), Some("canary"));
        assert_eq!(test("0x45"), Some("canary"));
        assert_eq!(test(""), Some("serve"));
        assert_eq!(test("nosuch"), None);
        assert_eq!(test("0"), None);
        assert_eq!(test("a b c d e"), None);
    }

    #[test]
    fn arguments_are_numbers_or_words() {
        let arguments = Arguments::parse("poke /svc/x 0x10 12").unwrap_or_else(|| panic!("four words"));
        assert_eq!([arguments.word(0), arguments.word(2), arguments.word(3)], ["/svc/x", "12", ""]);
        assert_eq!([0, 1, 2, 3].map(|place| arguments.number(place)), [None, Some(16), Some(12), Some(0)]);
    }
}
