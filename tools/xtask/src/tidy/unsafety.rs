//! Where a source is `unsafe`: which lines, and which of them give no reason.

use std::collections::BTreeSet;

use super::scan::{Line, is_word};

/// How far above an unsafe block its reason may begin.
const REASON_WITHIN: usize = 8;

/// What was found in one source.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unsafety {
    /// Numbers (from 0) of the lines that unsafe blocks span, and of the lines that declare something unsafe.
    pub lines: BTreeSet<usize>,
    /// Numbers (from 0) of blocks and implementations without a `SAFETY:` comment.
    pub unreasoned: Vec<usize>,
}

/// What stands behind the word `unsafe`.
#[derive(PartialEq, Eq)]
enum Form {
    Block,
    Impl,
    Declaration,
}

/// Looks through a source.
pub fn find(lines: &[Line]) -> Unsafety {
    let mut found = Unsafety::default();
    for (number, line) in lines.iter().enumerate() {
        for at in words(&line.code, "unsafe") {
            let behind = Cursor { lines, line: number, at: at + "unsafe".len() };
            let form = match behind.first_code() {
                Some('{') => Form::Block,
                Some('i') => Form::Impl,
                _ => Form::Declaration,
            };
            let last = if form == Form::Block { behind.block_end() } else { number };
            found.lines.extend((number..=last).filter(|&line| !lines[line].code.trim().is_empty()));
            if form != Form::Declaration && !has_reason(lines, number) {
                found.unreasoned.push(number);
            }
        }
    }
    found
}

/// Whether a comment says why, on the line, just above it, or at the beginning of the block.
fn has_reason(lines: &[Line], number: usize) -> bool {
    let last = (number + 2).min(lines.len());
    lines[number.saturating_sub(REASON_WITHIN)..last].iter().any(|line| line.comment.contains("SAFETY:"))
}

/// Where a whole word stands in a line of code.
pub fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        !code[..at].chars().next_back().is_some_and(is_word) && !code[at + word.len()..].chars().next().is_some_and(is_word)
    })
}

/// A place in the code.
struct Cursor<'a> {
    lines: &'a [Line],
    line: usize,
    at: usize,
}

impl Cursor<'_> {
    /// All characters from here on, each with its line.
    fn chars(&self) -> impl Iterator<Item = (usize, char)> {
        let first = self.lines[self.line].code[self.at..].chars().map(|c| (self.line, c));
        let rest = self.lines.iter().enumerate().skip(self.line + 1).flat_map(|(number, line)| line.code.chars().map(move |c| (number, c)));
        first.chain(rest)
    }

    fn first_code(&self) -> Option<char> {
        self.chars().map(|(_, c)| c).find(|c| !c.is_whitespace())
    }

    /// The line of the brace that closes the block which begins here.
    fn block_end(&self) -> usize {
        let mut depth = 0usize;
        for (number, c) in self.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth <= 1 => return number,
                '}' => depth -= 1,
                _ => {}
            }
        }
        self.lines.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::super::scan::scan;
    use super::*;

    fn lines(source: &str) -> Vec<usize> {
        find(&scan(source)).lines.into_iter().collect()
    }

    #[test]
    fn blocks_count_with_all_their_lines() {
        assert_eq!(lines("a\n// SAFETY: x\nlet b = unsafe {\n    f();\n\n    // why\n    g(|| { h() })\n};\nc"), [2, 3, 6, 7]);
        assert_eq!(lines("unsafe { f() }"), [0]);
        assert_eq!(lines("unsafe\n{\nf()\n}"), [0, 1, 2, 3]);
    }

    #[test]
    fn declarations_count_once_and_words_in_text_do_not() {
        assert_eq!(
            lines("unsafe fn f() {\n  g();\n}\nunsafe impl Send for X {}\n#[unsafe(no_mangle)]\nunsafe extern \"C\" {"),
            [0, 3, 4, 5]
        );
        assert_eq!(lines("// unsafe { }\n#![forbid(unsafe_code)]\nlet s = \"unsafe {\";"), [0usize; 0]);
    }

    #[test]
    fn a_block_needs_its_reason() {
        let unreasoned = |source: &str| find(&scan(source)).unreasoned;
        assert_eq!(unreasoned("fn f() {\n    unsafe { g() }\n}"), [1]);
        assert_eq!(unreasoned("unsafe impl Send for X {}"), [0]);
        assert!(unreasoned("// SAFETY: one thread only.\nlet x =\n    unsafe { g() };").is_empty());
        assert!(unreasoned("unsafe {\n    // SAFETY: g takes anything.\n    g()\n}").is_empty());
        assert!(unreasoned("unsafe fn f();").is_empty());
    }
}
