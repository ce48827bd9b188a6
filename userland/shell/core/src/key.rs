//! Bytes of a terminal to keys: ASCII, UTF-8, and the escape sequences of VT-style terminals (ECMA-48; xterm's keys).
//!
//! The decoder takes one byte at a time and never needs to look back, so input may be cut anywhere. Its state has a
//! fixed size. Malformed UTF-8 becomes U+FFFD, visibly; escape sequences that mean nothing here are swallowed whole;
//! Ctrl-C and Enter always get through, even in the middle of one.

/// A key, or an answer of the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A printable character; never a control character.
    Char(char),
    /// Enter, from CR, LF or CR LF.
    Enter,
    /// Tab.
    Tab,
    /// Backspace.
    Backspace,
    /// Delete.
    Delete,
    /// Arrow left.
    Left,
    /// Arrow right.
    Right,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// One word left: Ctrl or Alt with the arrow.
    WordLeft,
    /// One word right.
    WordRight,
    /// Home.
    Home,
    /// End.
    End,
    /// Ctrl with a lower-case letter or one of `@ [ \ ] ^ _`.
    Ctrl(char),
    /// Alt, or Escape, with a character.
    Alt(char),
    /// Escape alone.
    Escape,
    /// The terminal reports where its cursor is, counted from 1.
    Report {
        /// Row.
        row: u16,
        /// Column.
        column: u16,
    },
}

impl Key {
    /// Whether only a real terminal, not a pipe, sends this.
    pub const fn needs_terminal(self) -> bool {
        matches!(
            self,
            Key::Left
                | Key::Right
                | Key::Up
                | Key::Down
                | Key::WordLeft
                | Key::WordRight
                | Key::Home
                | Key::End
                | Key::Delete
                | Key::Report { .. }
        )
    }
}

const ESC: u8 = 0x1b;
const BEL: u8 = 0x07;
const CTRL_C: u8 = 0x03;
const CAN: u8 = 0x18;
const SUB: u8 = 0x1a;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ground,
    /// After CR: an LF belongs to it.
    Return,
    Utf8 {
        value: u32,
        missing: u8,
        least: u32,
    },
    Escape,
    Csi(Csi),
    /// After `ESC [ [`: the Linux console's function keys.
    Function,
    Ss3,
    /// Inside an OSC, DCS, APC, PM or SOS string.
    String,
    /// ESC inside such a string: its end, if `\` follows.
    StringEscape,
}

/// Parameters of a control sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Csi {
    parameters: [u16; 4],
    count: usize,
    /// Private markers, intermediate bytes, too many parameters: swallow it.
    ignore: bool,
}

/// The decoder.
#[derive(Debug, Clone)]
pub struct Decoder {
    state: State,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder that has seen nothing.
    pub const fn new() -> Self {
        Decoder { state: State::Ground }
    }

    /// Takes one byte; calls `emit` with the keys that it completes: at most two.
    pub fn push(&mut self, byte: u8, emit: &mut impl FnMut(Key)) {
        match self.state {
            State::Ground => self.ground(byte, emit),
            State::Return => {
                self.state = State::Ground;
                if byte != b'\n' {
                    self.ground(byte, emit);
                }
            }
            State::Utf8 { value, missing, least } => self.utf8(byte, value, missing, least, emit),
            State::Escape => self.escape(byte, emit),
            State::Csi(csi) => self.csi(byte, csi, emit),
            State::Function if byte < 0x20 => self.ground(byte, emit),
            State::Function => self.state = State::Ground,
            State::Ss3 => self.ss3(byte, emit),
            State::String => match byte {
                BEL => self.state = State::Ground,
                ESC => self.state = State::StringEscape,
                CTRL_C | b'\r' | b'\n' | CAN | SUB => self.ground(byte, emit),
                _ => {}
            },
            State::StringEscape if byte == b'\\' => self.state = State::Ground,
            State::StringEscape => self.escape(byte, emit),
        }
    }

    /// Nothing came for a while: an Escape that waits for more was the key itself.
    pub fn timeout(&mut self, emit: &mut impl FnMut(Key)) {
        if self.state == State::Escape {
            self.state = State::Ground;
            emit(Key::Escape);
        }
    }

    /// Whether an Escape waits for [`Decoder::timeout`].
    pub fn awaits_timeout(&self) -> bool {
        self.state == State::Escape
    }

    fn ground(&mut self, byte: u8, emit: &mut impl FnMut(Key)) {
        self.state = State::Ground;
        match byte {
            b'\r' => {
                self.state = State::Return;
                emit(Key::Enter);
            }
            b'\n' => emit(Key::Enter),
            b'\t' => emit(Key::Tab),
            0x08 | 0x7f => emit(Key::Backspace),
            ESC => self.state = State::Escape,
            0x00..=0x1f => emit(Key::Ctrl(char::from(byte + 0x40).to_ascii_lowercase())),
            0x20..=0x7e => emit(Key::Char(char::from(byte))),
            0xc2..=0xdf => self.state = State::Utf8 { value: u32::from(byte & 0x1f), missing: 1, least: 0x80 },
            0xe0..=0xef => self.state = State::Utf8 { value: u32::from(byte & 0x0f), missing: 2, least: 0x800 },
            0xf0..=0xf4 => self.state = State::Utf8 { value: u32::from(byte & 0x07), missing: 3, least: 0x1_0000 },
            0x80..=0xc1 | 0xf5..=0xff => emit(Key::Char(char::REPLACEMENT_CHARACTER)),
        }
    }

    fn utf8(&mut self, byte: u8, value: u32, missing: u8, least: u32, emit: &mut impl FnMut(Key)) {
        if byte & 0xc0 != 0x80 {
            emit(Key::Char(char::REPLACEMENT_CHARACTER));
            return self.ground(byte, emit);
        }
        let value = value << 6 | u32::from(byte & 0x3f);
        if missing > 1 {
            self.state = State::Utf8 { value, missing: missing - 1, least };
            return;
        }
        self.state = State::Ground;
        let valid = char::from_u32(value).filter(|c| value >= least && !c.is_control());
        emit(Key::Char(valid.unwrap_or(char::REPLACEMENT_CHARACTER)));
    }

    fn escape(&mut self, byte: u8, emit: &mut impl FnMut(Key)) {
        self.state = State::Ground;
        match byte {
            b'[' => self.state = State::Csi(Csi { parameters: [0; 4], count: 0, ignore: false }),
            b'O' => self.state = State::Ss3,
            b']' | b'P' | b'X' | b'^' | b'_' => self.state = State::String,
            ESC => {
                self.state = State::Escape;
                emit(Key::Escape);
            }
            0x08 | 0x7f => emit(Key::Ctrl('w')),
            0x20..=0x7e => emit(Key::Alt(char::from(byte))),
            _ => {
                emit(Key::Escape);
                self.ground(byte, emit);
            }
        }
    }

    fn csi(&mut self, byte: u8, mut csi: Csi, emit: &mut impl FnMut(Key)) {
        match byte {
            b'0'..=b'9' => match csi.parameters.get_mut(csi.count) {
                Some(number) => *number = number.saturating_mul(10).saturating_add(u16::from(byte - b'0')),
                None => csi.ignore = true,
            },
            b';' => csi.count = (csi.count + 1).min(csi.parameters.len()),
            b'[' if csi.count == 0 && csi.parameters[0] == 0 => {
                self.state = State::Function;
                return;
            }
            0x40..=0x7e => {
                self.state = State::Ground;
                if !csi.ignore
                    && let Some(key) = csi.key(byte)
                {
                    emit(key);
                }
                return;
            }
            0x20..=0x3f => csi.ignore = true,
            _ => return self.ground(byte, emit),
        }
        self.state = State::Csi(csi);
    }

    fn ss3(&mut self, byte: u8, emit: &mut impl FnMut(Key)) {
        if byte < 0x20 {
            return self.ground(byte, emit);
        }
        self.state = State::Ground;
        if let Some(key) = plain(byte) {
            emit(key);
        }
    }
}

impl Csi {
    fn key(&self, last: u8) -> Option<Key> {
        // The second parameter is 1 + (1 Shift, 2 Alt, 4 Ctrl).
        let with_word = matches!(self.parameters[1], 3 | 5 | 7);
        match (last, self.parameters[0]) {
            (b'C', _) if with_word => Some(Key::WordRight),
            (b'D', _) if with_word => Some(Key::WordLeft),
            (b'R', row) if self.count == 1 => Some(Key::Report { row, column: self.parameters[1] }),
            (b'~', 1 | 7) => Some(Key::Home),
            (b'~', 3) => Some(Key::Delete),
            (b'~', 4 | 8) => Some(Key::End),
            _ => plain(last),
        }
    }
}

/// Keys that are named by their last byte, after `ESC [` and after `ESC O`.
fn plain(last: u8) -> Option<Key> {
    Some(match last {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'H' => Key::Home,
        b'F' => Key::End,
        _ => return None,
    })
}
