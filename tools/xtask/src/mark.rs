//! The marks that the machine puts on its console, taken out of the byte stream.
//!
//! A mark is an operating-system-command escape sequence (`aios_abi::sentinel` fixes the bytes). The parser is fed in pieces of any size, holds back at
//! most one unfinished mark, and gives everything else through unchanged: what only looks like the beginning of a mark is text.

use aios_abi::sentinel;

/// A mark longer than this is not one of ours and is passed on as text.
const MAX_LEN: usize = 512;

/// What the console says to the program that drives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// A stage of the boot was reached.
    Boot(String),
    /// The shell waits for a line.
    Prompt,
    /// The output of a command begins.
    Begin,
    /// A command ended with this status; 0 is success.
    Status(u32),
    /// The kernel panicked; the reason may be empty.
    Panic(String),
    /// The machine is about to power off.
    Halt,
}

/// One piece of the console's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Bytes for people.
    Text(Vec<u8>),
    /// A mark for programs.
    Mark(Mark),
}

/// Splits the console's bytes into text and marks.
#[derive(Debug, Default)]
pub struct Parser {
    held: Vec<u8>,
}

impl Parser {
    /// Takes the next bytes and returns what is complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut text = Vec::new();
        for &byte in bytes {
            self.step(byte, &mut text, &mut pieces);
        }
        flush(&mut text, &mut pieces);
        pieces
    }

    /// The bytes held back as a possible beginning of a mark, when nothing more will come.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    fn step(&mut self, byte: u8, text: &mut Vec<u8>, pieces: &mut Vec<Piece>) {
        let (prefix, end) = (sentinel::PREFIX.as_bytes(), sentinel::SUFFIX.as_bytes()[0]);
        let at = self.held.len();
        if at < prefix.len() {
            if prefix[at] == byte {
                self.held.push(byte);
            } else {
                text.append(&mut self.held);
                if byte == prefix[0] { self.held.push(byte) } else { text.push(byte) }
            }
        } else if byte == end {
            match parse(&self.held[prefix.len()..]) {
                Some(mark) => {
                    flush(text, pieces);
                    pieces.push(Piece::Mark(mark));
                }
                None => {
                    text.extend_from_slice(&self.held);
                    text.push(byte);
                }
            }
            self.held.clear();
        } else if byte == prefix[0] {
            text.append(&mut self.held);
            self.held.push(byte);
        } else {
            self.held.push(byte);
            if self.held.len() > MAX_LEN {
                text.append(&mut self.held);
            }
        }
    }
}

fn flush(text: &mut Vec<u8>, pieces: &mut Vec<Piece>) {
    if !text.is_empty() {
        pieces.push(Piece::Text(std::mem::take(text)));
    }
}

/// Reads `word[;argument]`; `None` for what is no mark of ours.
fn parse(body: &[u8]) -> Option<Mark> {
    let body = std::str::from_utf8(body).ok()?;
    let (word, argument) = match body.split_once(';') {
        Some((word, argument)) => (word, Some(argument)),
        None => (body, None),
    };
    match (word, argument) {
        (sentinel::BOOT, Some(stage)) => Some(Mark::Boot(stage.to_owned())),
        (sentinel::PROMPT, None) => Some(Mark::Prompt),
        (sentinel::BEGIN, None) => Some(Mark::Begin),
        (sentinel::STATUS, Some(status)) => status.parse().ok().map(Mark::Status),
        (sentinel::PANIC, reason) => Some(Mark::Panic(reason.unwrap_or_default().to_owned())),
        (sentinel::HALT, _) => Some(Mark::Halt),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> Piece {
        Piece::Text(bytes.to_vec())
    }

    const SESSION: &[u8] = b"hi\x1b]7770;boot;kernel\x07\x1b]7770;prompt\x07$ \x1b]7770;begin\x07out\r\n\x1b]7770;status;3\x07";

    #[test]
    fn marks_are_taken_out_of_the_text() {
        assert_eq!(
            Parser::default().push(SESSION),
            [
                text(b"hi"),
                Piece::Mark(Mark::Boot("kernel".into())),
                Piece::Mark(Mark::Prompt),
                text(b"$ "),
                Piece::Mark(Mark::Begin),
                text(b"out\r\n"),
                Piece::Mark(Mark::Status(3)),
            ]
        );
    }

    #[test]
    fn any_cut_gives_the_same_stream() {
        let whole = Parser::default().push(SESSION);
        for cut in 0..=SESSION.len() {
            let mut parser = Parser::default();
            let mut pieces: Vec<Piece> = Vec::new();
            for piece in parser.push(&SESSION[..cut]).into_iter().chain(parser.push(&SESSION[cut..])) {
                match (pieces.last_mut(), piece) {
                    (Some(Piece::Text(before)), Piece::Text(more)) => before.extend(more),
                    (_, piece) => pieces.push(piece),
                }
            }
            assert_eq!(pieces, whole, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_mark_stays_text() {
        for other in [
            &b"\x1b[1mbold\x1b[0m"[..],
            b"\x1b]0;title\x07x",
            b"\x1b]7770;nonsense\x07",
            b"\x1b]7770;status;many\x07",
            b"\x1b]7770;prompt;x\x07",
        ] {
            assert_eq!(Parser::default().push(other), [text(other)]);
        }
    }

    #[test]
    fn a_cut_off_mark_does_not_swallow_the_next() {
        let pieces = Parser::default().push(b"\x1b]7770;sta\x1b]7770;prompt\x07");
        assert_eq!(pieces, [text(b"\x1b]7770;sta"), Piece::Mark(Mark::Prompt)]);
        let mut parser = Parser::default();
        assert_eq!(parser.push(b"a\x1b]77"), [text(b"a")]);
        assert_eq!(parser.finish(), b"\x1b]77");
    }

    #[test]
    fn an_endless_mark_is_given_up() {
        let mut endless = b"\x1b]7770;boot;".to_vec();
        endless.resize(2000, b'x');
        let mut parser = Parser::default();
        let mut seen: Vec<u8> = Vec::new();
        for piece in parser.push(&endless) {
            if let Piece::Text(bytes) = piece {
                seen.extend(bytes);
            }
        }
        seen.extend(parser.finish());
        assert_eq!(seen, endless);
    }
}
