//! A Rust source taken apart into code and comments, line by line: enough of the lexical grammar to know what is neither in a string
//! nor in a comment (The Rust Reference, "Lexical structure").

/// One line of a source.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Line {
    /// Code; what stood in strings and comments is left out.
    pub code: String,
    /// What stood in comments.
    pub comment: String,
}

/// Takes a source apart.
pub fn scan(source: &str) -> Vec<Line> {
    let mut scanner = Scanner { rest: source, lines: vec![Line::default()] };
    scanner.run();
    scanner.lines
}

struct Scanner<'a> {
    rest: &'a str,
    lines: Vec<Line>,
}

impl<'a> Scanner<'a> {
    fn run(&mut self) {
        let mut word_before = false;
        while let Some(c) = self.rest.chars().next() {
            if self.rest.starts_with("//") {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.comment(end);
            } else if self.rest.starts_with("/*") {
                self.comment(block_comment(self.rest));
            } else if let Some(len) = string(self.rest, word_before) {
                self.skip_string(len);
            } else {
                self.code(c);
                word_before = is_word(c);
                continue;
            }
            word_before = false;
        }
    }

    fn line(&mut self) -> &mut Line {
        if self.lines.is_empty() {
            self.lines.push(Line::default());
        }
        let last = self.lines.len() - 1;
        &mut self.lines[last]
    }

    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    fn code(&mut self, c: char) {
        self.take(c.len_utf8());
        if c == '\n' { self.lines.push(Line::default()) } else { self.line().code.push(c) }
    }

    fn comment(&mut self, len: usize) {
        for (index, part) in self.take(len).split('\n').enumerate() {
            if index > 0 {
                self.lines.push(Line::default());
            }
            self.line().comment.push_str(part);
        }
    }

    /// A string leaves a pair of quotes behind, so that code on both sides does not grow together.
    fn skip_string(&mut self, len: usize) {
        self.line().code.push_str("\"\"");
        let breaks = self.take(len).matches('\n').count();
        self.lines.extend(std::iter::repeat_n(Line::default(), breaks));
    }
}

/// Length of the (nested) block comment that begins here.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// Length of the string or character literal that begins here, if one does.
fn string(text: &str, word_before: bool) -> Option<usize> {
    if let Some(rest) = text.strip_prefix('"') {
        return Some(1 + quoted(rest, '"'));
    }
    if let Some(rest) = text.strip_prefix('\'') {
        // 'a is a lifetime, 'a' and '\n' are characters.
        let mut chars = rest.chars();
        return match (chars.next()?, chars.next()) {
            ('\\', _) => Some(1 + quoted(rest, '\'')),
            (c, Some('\'')) => Some(1 + c.len_utf8() + 1),
            _ => None,
        };
    }
    if word_before {
        return None;
    }
    for prefix in ["br", "cr", "r"] {
        if let Some(rest) = text.strip_prefix(prefix) {
            let hashes = rest.len() - rest.trim_start_matches('#').len();
            if let Some(body) = rest[hashes..].strip_prefix('"') {
                let end = format!("\"{}", "#".repeat(hashes));
                let len = body.find(&end).map_or(body.len(), |at| at + end.len());
                return Some(prefix.len() + hashes + 1 + len);
            }
        }
    }
    None
}

/// Length up to and including the closing quote.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// Whether a character can be part of a name.
pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(source: &str) -> Vec<String> {
        scan(source).into_iter().map(|line| line.code).collect()
    }

    #[test]
    fn strings_and_comments_are_no_code() {
        assert_eq!(code("let a = \"x // y\"; // c\nb /* d\ne /* f */ */ g"), ["let a = \"\"; ", "b ", " g"]);
        assert_eq!(code("r#\"a\"b\"# + br\"c\\\" + '\"' + b'\\'' + 'x"), ["\"\" + \"\" + \"\" + b\"\" + 'x"]);
        assert_eq!(code("\"a\nb\\\"c\" d"), ["\"\"", " d"]);
        assert_eq!(code("fn f<'a>(x: &'a str) -> &'static str"), ["fn f<'a>(x: &'a str) -> &'static str"]);
        assert_eq!(code("bar\"x\""), ["bar\"\""]);
    }

    #[test]
    fn comments_are_kept_by_line() {
        let lines = scan("a // one\n/* two\nthree */ b");
        assert_eq!(lines.iter().map(|line| line.comment.as_str()).collect::<Vec<_>>(), ["// one", "/* two", "three */"]);
    }

    #[test]
    fn open_ends_do_not_panic() {
        for source in ["\"abc", "r#\"abc", "/* /* */", "'", "'\\", "é'é'\"é", "//"] {
            scan(source);
        }
    }
}
