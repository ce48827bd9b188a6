//! Deferred log frames in a console's output, made readable.
//!
//! The log shows a frame as `defmt <tag> <hex>`: the first eight bytes of the digest of the program's file in the bundle, and the frame. The format
//! strings are in the program's file with symbols, so the tag chooses the table. What has no table here, or does not decode to its last byte, stays
//! as it is. Text that a program put into a frame is made harmless for a terminal.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use aios_logd_core::format::Clean;
use anyhow::{Context, Result};
use defmt_decoder::Table;

/// How a frame begins.
const WORD: &[u8] = b"defmt ";
/// Hexadecimal digits of a tag.
const TAG: usize = 16;
/// Where the frame's own digits begin.
const FRAME: usize = WORD.len() + TAG + 1;
/// Longest frame in digits: the longest message of the log.
const DIGITS: usize = 2 * aios_proto::log::Message::MAX;

/// Format strings of programs, by tag.
#[derive(Default)]
pub struct Tables(HashMap<u64, Table>);

impl Tables {
    /// Reads the tables of these programs, as the linker made them. Programs that log no frames have none.
    pub fn read(programs: impl IntoIterator<Item = PathBuf>) -> Result<Self> {
        let mut tables = Self::default();
        for path in programs {
            let bytes = std::fs::read(&path).with_context(|| format!("can't read {}", path.display()))?;
            tables.add(&bytes).with_context(|| format!("in {}", path.display()))?;
        }
        Ok(tables)
    }

    /// The tables of the programs in a folder; what is no program is left out.
    pub fn of_folder(folder: &Path) -> Result<Self> {
        let mut tables = Self::default();
        for file in std::fs::read_dir(folder).with_context(|| format!("can't read {}", folder.display()))? {
            let path = file?.path();
            if path.extension().is_some() || !path.is_file() {
                continue;
            }
            let bytes = std::fs::read(&path).with_context(|| format!("can't read {}", path.display()))?;
            // Cargo's own files lie there, too.
            let _ = tables.add(&bytes);
        }
        Ok(tables)
    }

    fn add(&mut self, program: &[u8]) -> Result<()> {
        if let Some(table) = Table::parse(program)? {
            let loaded = aios_elf::minimal(program)?;
            self.0.insert(tag(&loaded), table);
        }
        Ok(())
    }

    /// What a frame says.
    fn decode(&self, tag: u64, frame: &[u8]) -> Option<String> {
        let (decoded, length) = self.0.get(&tag)?.decode(frame).ok()?;
        (length == frame.len()).then(|| Clean(&decoded.display_message().to_string()).to_string())
    }
}

/// The tag of a program: the first eight bytes of the digest of its file in the bundle.
fn tag(file: &[u8]) -> u64 {
    aios_bundle::sha256(file).iter().take(8).fold(0, |tag, &byte| tag << 8 | u64::from(byte))
}

/// Decodes the frames in a stream that comes in pieces of any size. It holds back what may become a frame.
pub struct Decoder {
    tables: Rc<Tables>,
    held: Vec<u8>,
}

impl Decoder {
    /// A decoder with these tables.
    pub fn new(tables: Rc<Tables>) -> Self {
        Self { tables, held: Vec::new() }
    }

    /// Takes the next bytes and returns what can be said of them.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        for &byte in bytes {
            self.step(byte, &mut text);
        }
        text
    }

    /// Whether something is held back.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// What is held back, as it will be if nothing more comes.
    pub fn flush(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        while self.holds() {
            self.end(&mut text);
        }
        text
    }

    fn step(&mut self, byte: u8, text: &mut Vec<u8>) {
        while !self.held.is_empty() && !self.goes_on(byte) {
            self.end(text);
        }
        if self.goes_on(byte) { self.held.push(byte) } else { text.push(byte) }
    }

    /// Whether what is held and this byte may be a frame.
    fn goes_on(&self, byte: u8) -> bool {
        match self.held.len() {
            at if at < WORD.len() => WORD[at] == byte,
            at if at + 1 == FRAME => byte == b' ',
            at => at < FRAME + DIGITS && matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        }
    }

    /// Says what is held: the frame, or the first byte, behind which one may begin.
    fn end(&mut self, text: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        match (self.decoded(&held), held.split_first()) {
            (Some(decoded), _) => text.extend(decoded.bytes()),
            (None, Some((&first, rest))) => {
                text.push(first);
                rest.iter().for_each(|&byte| self.step(byte, text));
            }
            (None, None) => {}
        }
    }

    fn decoded(&self, held: &[u8]) -> Option<String> {
        let digits = std::str::from_utf8(held).ok()?;
        let (tag, frame) = (digits.get(WORD.len()..FRAME - 1)?, digits.get(FRAME..)?);
        if !frame.len().is_multiple_of(2) {
            return None;
        }
        let bytes = (0..frame.len()).step_by(2).map(|at| u8::from_str_radix(&frame[at..at + 2], 16).ok());
        self.tables.decode(u64::from_str_radix(tag, 16).ok()?, &bytes.collect::<Option<Vec<u8>>>()?)
    }
}

#[cfg(test)]
mod tests {
    use object::write::{Object, Symbol, SymbolSection};
    use object::{Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope};

    use super::*;

    /// Format strings as `defmt`'s macros leave them in a program, from index 1 on, by level.
    const STRINGS: [(&str, &str); 4] = [
        ("debug", "copied {=[u8]} to {=u64:#x}"),
        ("info", "moved {=u64:#x} to core {=u64}"),
        ("warn", "no answer from {=str}"),
        ("error", "{=?}"),
    ];
    const TAG: u64 = 0x0123_4567_89ab_cdef;
    /// A frame as a program sent it.
    const MOVED: &str = "defmt 0123456789abcdef 020005000200000001000300000000000000";

    /// A program's file with these format strings.
    fn program() -> Vec<u8> {
        let mut object = Object::new(BinaryFormat::Elf, Architecture::Aarch64, Endianness::Little);
        let section = object.add_section(Vec::new(), b".defmt".to_vec(), SectionKind::OtherString);
        object.append_section_data(section, &[0; 16], 1);
        let entry = |(level, text): &(&str, &str)| {
            format!(r#"{{"package":"p","tag":"defmt_{level}","data":"{text}","disambiguator":"1","crate_name":"p"}}"#)
        };
        let names = STRINGS.iter().map(entry).chain(["_defmt_version_ = 4".into(), "_defmt_encoding_ = raw".into()]);
        for (value, name) in (1..).zip(names) {
            object.add_symbol(Symbol {
                name: name.into_bytes(),
                value,
                size: 1,
                kind: SymbolKind::Data,
                scope: SymbolScope::Linkage,
                weak: false,
                section: SymbolSection::Section(section),
                flags: SymbolFlags::None,
            });
        }
        object.write().unwrap()
    }

    fn decoder() -> Decoder {
        let table = Table::parse(&program()).unwrap().unwrap();
        Decoder::new(Rc::new(Tables(HashMap::from([(TAG, table)]))))
    }

    fn decode(text: &str) -> String {
        let mut decoder = decoder();
        let mut decoded = decoder.push(text.as_bytes());
        decoded.extend(decoder.flush());
        String::from_utf8(decoded).unwrap()
    }

    #[test]
    fn frames_become_text() {
        let line = format!("[    1.000000] INFO  shell(3)  {MOVED}\r\n$ ");
        assert_eq!(decode(&line), "[    1.000000] INFO  shell(3)  moved 0x1000000020005 to core 3\r\n$ ");
        assert_eq!(decode("defmt 0123456789abcdef 030005000000756172746400"), "defmt 0123456789abcdef 030005000000756172746400");
        assert_eq!(decode("defmt 0123456789abcdef 0300050000007561727464"), "no answer from uartd");
        assert_eq!(decode("defmt 0123456789abcdef 03000400000061071b62\r\n"), "no answer from a\\u{7}\\u{1b}b\r\n");
        assert_eq!(decode(&format!("ddefmt {MOVED} {MOVED}")), "ddefmt moved 0x1000000020005 to core 3 moved 0x1000000020005 to core 3");
    }

    #[test]
    fn any_cut_gives_the_same_text() {
        let line = format!("a defmt b {MOVED}\r\n");
        let whole = decode(&line);
        for cut in 0..=line.len() {
            let mut decoder = decoder();
            let mut text = decoder.push(&line.as_bytes()[..cut]);
            text.extend(decoder.push(&line.as_bytes()[cut..]));
            assert!(!decoder.holds());
            assert_eq!(String::from_utf8(text).unwrap(), whole, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_frame_stays_as_it_is() {
        for text in [
            "defmt 0123456789abcdee 02000500020000000100\r\n",
            "defmt 0123456789abcdef \r\n",
            "defmt 0123456789abcdef 0200050002000000010\r\n",
            "defmt 0123456789abcdef 02000500020000000100\r\n",
            "defmt 0123456789ABCDEF 02\n",
            "defmt 01234\n",
            "defm",
            "d",
            "defmt 0123456789abcdef ff00\n",
        ] {
            assert_eq!(decode(text), text);
        }
        let long = format!("defmt 0123456789abcdef {}\n", "02".repeat(100_000));
        assert_eq!(decode(&long), long);
    }

    #[test]
    fn a_program_without_frames_has_no_table() {
        let mut tables = Tables::default();
        let object = Object::new(BinaryFormat::Elf, Architecture::Aarch64, Endianness::Little);
        tables.add(&object.write().unwrap()).unwrap();
        assert!(tables.0.is_empty());
        assert!(tables.add(b"text").is_err());
    }

    #[test]
    fn hostile_frames_do_no_harm() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let decoder = decoder();
        for _ in 0..20_000 {
            let mut frame: Vec<u8> = (0..random.usize(0..40)).map(|_| random.u8(..) & random.u8(..)).collect();
            if let Some(index) = frame.get_mut(..2) {
                index.copy_from_slice(&[random.u8(0..8), 0]);
            }
            // Whatever it decodes to, and whether or not.
            let _ = decoder.tables.decode(TAG, &frame);
        }
    }
}
