//! A recording of a scheduler as text: what `trace` prints and `cargo xtask replay` reads.
//!
//! ```text
//! aios-trace 1 core 0 events 3 lost 0        version, core, lines that follow, operations that were not recorded
//! 1 2faf080 0 0 9a0c                         an event: four words in hexadecimal, and a checksum
//! …
//! aios-trace end 5e1f09c2                    the checksum of all
//! ```
//!
//! The checksum is CRC-32 over all words so far, little-endian; a line shows its lower half. So damage is found in the line where it is.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use aios_abi::trace::{EVENT_SIZE, Event, VERSION};
use crc32fast::Hasher;

/// How the first line begins, and the last.
const WORD: &str = "aios-trace";
/// Most events that a text may announce: more than any machine records at once.
const EVENTS_MAX: usize = 1 << 24;

/// What the first line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The core.
    pub core: u64,
    /// Events in the recording.
    pub events: u64,
    /// Operations that were not recorded.
    pub lost: u64,
}

/// Writes a recording, line by line.
#[derive(Debug, Default)]
pub struct Writer {
    sum: Hasher,
}

impl Writer {
    /// A writer and its first line.
    pub fn new(head: Head) -> (Self, String) {
        let Head { core, events, lost } = head;
        (Self::default(), format!("{WORD} {VERSION} core {core} events {events} lost {lost}\n"))
    }

    /// The line of an event.
    pub fn line(&mut self, event: Event) -> String {
        let [head, time, a, b] = event.to_words();
        self.sum.update(&event.to_bytes());
        format!("{head:x} {time:x} {a:x} {b:x} {:04x}\n", self.sum.clone().finalize() & 0xffff)
    }

    /// The last line.
    pub fn end(self) -> String {
        format!("{WORD} end {:08x}\n", self.sum.finalize())
    }
}

/// Why a text is no recording. Lines count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// No line begins a recording.
    None,
    /// The first line can't be understood.
    Head(usize),
    /// It is of another version.
    Version(usize, u64),
    /// A line is no event.
    Line(usize),
    /// A checksum is another than the words': something in this line or before it was changed.
    Sum(usize),
    /// The text ends before the recording.
    Short {
        /// Events that are there.
        events: usize,
        /// Events that were announced.
        of: usize,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => write!(f, "no recording: no line begins with `{WORD} {VERSION}`"),
            Self::Head(line) => write!(f, "line {line}: not the first line of a recording"),
            Self::Version(line, version) => write!(f, "line {line}: version {version}, where {VERSION} is understood"),
            Self::Line(line) => write!(f, "line {line}: no event (four words in hexadecimal and a checksum)"),
            Self::Sum(line) => write!(f, "line {line}: damaged: the checksum is another"),
            Self::Short { events, of } => write!(f, "cut off: {events} of {of} events"),
        }
    }
}

impl core::error::Error for Damage {}

/// Reads the first recording in a text, whatever comes before and behind it. Lines of others in between (a log may show urgent ones) are passed over.
pub fn parse(text: &str) -> Result<(Head, Vec<Event>), Damage> {
    let mut lines = (1..).zip(text.lines().map(str::trim_end));
    let (number, first) = lines.find(|(_, line)| line.starts_with(WORD)).ok_or(Damage::None)?;
    let head = parse_head(number, first)?;
    let count = usize::try_from(head.events).ok().filter(|&count| count <= EVENTS_MAX).ok_or(Damage::Head(number))?;
    let mut events = Vec::new();
    let mut sum = Hasher::new();
    for _ in 0..count {
        let short = Damage::Short { events: events.len(), of: count };
        let mut own = lines
            .by_ref()
            .filter_map(|(number, line)| Some((number, line.starts_with(WORD), parse_line(line))).filter(|own| own.1 || own.2.is_some()));
        let (number, _, Some((words, check))) = own.next().ok_or(short)? else { return Err(short) };
        let mut bytes = [0; EVENT_SIZE];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        sum.update(&bytes);
        if sum.clone().finalize() & 0xffff != check {
            return Err(Damage::Sum(number));
        }
        events.push(Event::from_words(words).ok_or(Damage::Line(number))?);
    }
    let (number, last) = lines.find(|(_, line)| line.starts_with(WORD)).ok_or(Damage::Short { events: count, of: count })?;
    let check = last.strip_prefix(WORD).and_then(|rest| rest.strip_prefix(" end ")).and_then(|sum| u32::from_str_radix(sum, 16).ok());
    if check == Some(sum.finalize()) { Ok((head, events)) } else { Err(Damage::Sum(number)) }
}

fn parse_head(number: usize, line: &str) -> Result<Head, Damage> {
    let mut words = line.split(' ').skip(1);
    let mut next = |name: &str| {
        let named = name.is_empty() || words.next() == Some(name);
        words.next().filter(|_| named).and_then(|word| word.parse::<u64>().ok()).ok_or(Damage::Head(number))
    };
    match next("")? {
        VERSION => Ok(Head { core: next("core")?, events: next("events")?, lost: next("lost")? }),
        other => Err(Damage::Version(number, other)),
    }
}

fn parse_line(line: &str) -> Option<([u64; 4], u32)> {
    let mut words = line.split(' ').map(|word| u64::from_str_radix(word, 16).ok());
    let mut next = || words.next().flatten();
    let parsed = ([next()?, next()?, next()?, next()?], u32::try_from(next()?).ok()?);
    words.next().is_none().then_some(parsed)
}

#[cfg(test)]
mod tests {
    use aios_abi::trace::Op;

    use super::*;

    fn recording() -> (Head, Vec<Event>, String) {
        let events: Vec<Event> = (0..50u64)
            .map(|i| Event {
                number: i as u16,
                a: (i * i) << 40,
                b: u64::MAX - i,
                ..Event::new(Op::ALL[i as usize % Op::ALL.len()], 7, i << 20)
            })
            .collect();
        let head = Head { core: 3, events: 50, lost: 4 };
        let (mut writer, mut text) = Writer::new(head);
        for &event in &events {
            text += &writer.line(event);
        }
        text += &writer.end();
        (head, events, text)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let (head, events, text) = recording();
        assert_eq!(parse(&text), Ok((head, events.clone())));
        // As a terminal shows it, among other things.
        let around = format!("> trace\r\n{}> ps\r\naios-trace", text.replace('\n', "\r\n"));
        assert_eq!(parse(&around), Ok((head, events.clone())));
        let between = text.replace('\n', "\nwarn: something\n");
        assert_eq!(parse(&between), Ok((head, events)));
    }

    #[test]
    fn every_cut_and_every_changed_character_is_found() {
        let (_, _, text) = recording();
        for at in 0..text.len() - 1 {
            assert!(parse(&text[..at]).is_err(), "cut at {at}");
        }
        for (at, &byte) in text.as_bytes().iter().enumerate() {
            for other in [b'0', b'e', b'x', b' '] {
                let mut changed = text.clone().into_bytes();
                changed[at] = other;
                let changed = String::from_utf8(changed).expect("ASCII");
                // The first line has no checksum; its last two words are for people.
                let told = at < text.find('\n').unwrap_or(0);
                assert!(byte == other || told || parse(&changed).is_err() || parse(&changed) == parse(&text), "character {at} as {other}");
            }
        }
        assert_eq!(parse("nothing"), Err(Damage::None));
        assert_eq!(parse("aios-trace 2 core"), Err(Damage::Version(1, 2)));
        assert_eq!(parse("aios-trace 1 core 0 events 99999999999 lost 0"), Err(Damage::Head(1)));
        assert_eq!(parse("\naios-trace 1 core 0 events 1 lost 0\n1 2 3"), Err(Damage::Short { events: 0, of: 1 }));
    }
}
