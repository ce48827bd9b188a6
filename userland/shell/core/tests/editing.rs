//! Keys, editor and screen: what they do, and random input against a vector of characters and a model terminal.

mod support;

use aios_shell_core::editor::{Editor, Outcome};
use aios_shell_core::key::{Decoder, Key};
use aios_shell_core::line::Line;
use aios_shell_core::screen::{Screen, Terminal};
use support::{Vt, rng};

fn decode(bytes: &[u8]) -> Vec<Key> {
    let mut decoder = Decoder::new();
    let mut keys = Vec::new();
    for &byte in bytes {
        decoder.push(byte, &mut |key| keys.push(key));
    }
    keys
}

#[test]
fn keys_are_decoded() {
    let cases: &[(&[u8], &[Key])] = &[
        (b"a\r", &[Key::Char('a'), Key::Enter]),
        (b"\r\n\n\r\r", &[Key::Enter, Key::Enter, Key::Enter, Key::Enter]),
        (b"\t\x7f\x08", &[Key::Tab, Key::Backspace, Key::Backspace]),
        (b"\x00\x01\x1f", &[Key::Ctrl('@'), Key::Ctrl('a'), Key::Ctrl('_')]),
        (b"\x1b[A\x1bOA\x1b[B\x1b[C\x1b[D", &[Key::Up, Key::Up, Key::Down, Key::Right, Key::Left]),
        (b"\x1b[H\x1b[1~\x1b[7~\x1bOH", &[Key::Home; 4]),
        (b"\x1b[F\x1b[4~\x1b[8~\x1bOF\x1b[3~", &[Key::End, Key::End, Key::End, Key::End, Key::Delete]),
        (b"\x1b[1;5C\x1b[1;3D", &[Key::WordRight, Key::WordLeft]),
        (b"\x1bf\x1b\x7f", &[Key::Alt('f'), Key::Ctrl('w')]),
        (b"\x1b[24;80R", &[Key::Report { row: 24, column: 80 }]),
        (b"\x1b[99999999;1R", &[Key::Report { row: u16::MAX, column: 1 }]),
        ("üπ漢🦀".as_bytes(), &[Key::Char('ü'), Key::Char('π'), Key::Char('漢'), Key::Char('🦀')]),
        // Sequences that mean nothing are swallowed, those that are cut short don't swallow what follows.
        (b"\x1b[?25h\x1b[200~\x1b[1;2;3;4;5;6;7A\x1b[[A\x1bOPx", &[Key::Char('x')]),
        (b"\x1b]0;title\x07\x1bPdata\x1b\\\x1b]52;c;x\x1b[Ax", &[Key::Up, Key::Char('x')]),
        (b"\x1b[12\x03\x1b]never ends\rx", &[Key::Ctrl('c'), Key::Enter, Key::Char('x')]),
        (b"\x1b\x1b[A", &[Key::Escape, Key::Up]),
        // Malformed UTF-8: a stray byte, an overlong form, a surrogate, one cut short, a C1 control.
        (b"\xffx\xc0\x80", &[Key::Char('\u{fffd}'), Key::Char('x'), Key::Char('\u{fffd}'), Key::Char('\u{fffd}')]),
        (b"\xe0\x80\x80\xed\xa0\x80", &[Key::Char('\u{fffd}'), Key::Char('\u{fffd}')]),
        (b"\xe6\xbcx\xc2\x9b", &[Key::Char('\u{fffd}'), Key::Char('x'), Key::Char('\u{fffd}')]),
    ];
    for (bytes, keys) in cases {
        assert_eq!(decode(bytes), *keys, "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn a_lone_escape_is_a_key_after_a_while() {
    let mut decoder = Decoder::new();
    let mut keys = Vec::new();
    decoder.push(0x1b, &mut |key| keys.push(key));
    assert!(keys.is_empty() && decoder.awaits_timeout());
    decoder.timeout(&mut |key| keys.push(key));
    decoder.timeout(&mut |key| keys.push(key));
    assert_eq!(keys, [Key::Escape]);
}

/// Feeds a line's worth of bytes; returns the text and what each key led to.
fn edit(editor: &mut Editor, bytes: &[u8]) -> Vec<Outcome> {
    decode(bytes).into_iter().map(|key| editor.key(key)).collect()
}

fn submitted(editor: &mut Editor, bytes: &[u8]) -> String {
    match edit(editor, bytes).pop() {
        Some(Outcome::Submit(line)) => line,
        other => panic!("{other:?}"),
    }
}

#[test]
fn lines_are_edited() {
    for (bytes, line) in [
        (&b"kil\x1b[D\x1b[Dx\x1b[F logd\r"[..], "kxil logd"),
        (b"abc\x01x\x05y\r", "xabcy"),
        (b"one two three\x17\r", "one two "),
        (b"one two three\x17\x17\r", "one "),
        (b"one two\x1b[D\x1b[D\x0b\r", "one t"),
        (b"one two\x1b[D\x15\r", "o"),
        (b"one two\x17\x01\x19 \r", "two one "),
        (b"ab\x01\x04\r", "b"),
        (b"ab\x01\x1b[3~\x1b[3~\x1b[3~\r", ""),
        (b"a b c\x1b[1;5D\x1b[1;5DX\x1b[1;5CY\r", "a XbY c"),
        ("aü漢\x7f\x7fb\r".as_bytes(), "ab"),
    ] {
        assert_eq!(submitted(&mut Editor::default(), bytes), line, "{:?}", String::from_utf8_lossy(bytes));
    }
    let mut editor = Editor::default();
    assert_eq!(edit(&mut editor, b"\x04"), [Outcome::Eof]);
    assert_eq!(edit(&mut editor, b"x\x01\x04\x04"), [Outcome::Edited, Outcome::Edited, Outcome::Edited, Outcome::Eof]);
    assert_eq!(edit(&mut editor, b"x\x03").pop(), Some(Outcome::Interrupt));
    assert_eq!(editor.line().text(), "");
    assert_eq!(edit(&mut editor, b"\x7f\x1b[C\x1b[A"), [Outcome::Refused, Outcome::Refused, Outcome::Refused]);
}

#[test]
fn lines_are_bounded() {
    let mut editor = Editor::default();
    edit(&mut editor, &vec![b'x'; 5000]);
    assert_eq!(editor.line().text().len(), Line::SIZE_MAX);
    assert_eq!(editor.key(Key::Char('ü')), Outcome::Refused);
}

#[test]
fn history_goes_back_and_forth() {
    let mut editor = Editor::default();
    for line in ["one", "two", "two", " secret", "", "three"] {
        submitted(&mut editor, format!("{line}\r").as_bytes());
    }
    edit(&mut editor, b"draft\x1b[A");
    assert_eq!(editor.line().text(), "three");
    edit(&mut editor, b"\x1b[A\x1b[A\x1b[A");
    assert_eq!(editor.line().text(), "one");
    edit(&mut editor, b"\x1b[B\x1b[B");
    assert_eq!(editor.line().text(), "three");
    edit(&mut editor, b"\x1b[B");
    assert_eq!(editor.line().text(), "draft");
    assert_eq!(edit(&mut editor, b"\x1b[B"), [Outcome::Refused]);
    edit(&mut editor, b"\x03");
    for number in 0..200 {
        submitted(&mut editor, format!("{number}\r").as_bytes());
    }
    edit(&mut editor, &b"\x1b[A".repeat(300));
    assert_eq!(editor.line().text(), "136");
}

#[test]
fn history_is_searched() {
    let mut editor = Editor::default();
    for line in ["kill logd", "ps", "kill shell", "mem"] {
        submitted(&mut editor, format!("{line}\r").as_bytes());
    }
    assert_eq!(submitted(&mut editor, b"\x12kil\r"), "kill shell");
    assert_eq!(submitted(&mut editor, b"\x12kil\x12\x12\r"), "kill logd");
    assert_eq!(submitted(&mut editor, b"\x12kilx\x7fl logd\x05!\r"), "kill logd!");
    edit(&mut editor, b"draft\x12mem");
    assert_eq!((editor.line().text(), editor.prompt("> ").as_str()), ("mem", "(search `mem`) "));
    edit(&mut editor, b"zzz");
    assert_eq!(editor.prompt("> "), "(search `memzzz`: not found) ");
    edit(&mut editor, b"\x07");
    assert_eq!((editor.line().text(), editor.prompt("> ").as_str()), ("draft", "> "));
}

/// The naive model: characters and a cursor among them.
#[derive(Default)]
struct Model {
    text: Vec<char>,
    cursor: usize,
    cut: Vec<char>,
}

impl Model {
    fn size(&self) -> usize {
        self.text.iter().map(|c| c.len_utf8()).sum()
    }

    fn word_start(&self) -> usize {
        let mut at = self.cursor;
        while at > 0 && self.text[at - 1].is_whitespace() {
            at -= 1;
        }
        while at > 0 && !self.text[at - 1].is_whitespace() {
            at -= 1;
        }
        at
    }

    fn remove(&mut self, from: usize, to: usize) {
        let cut: Vec<char> = self.text.drain(from..to).collect();
        self.cursor = from;
        if !cut.is_empty() {
            self.cut = cut;
        }
    }

    fn key(&mut self, key: Key) {
        match key {
            Key::Char(c) if self.size() + c.len_utf8() <= Line::SIZE_MAX => {
                self.text.insert(self.cursor, c);
                self.cursor += 1;
            }
            Key::Backspace if self.cursor > 0 => {
                self.cursor -= 1;
                self.text.remove(self.cursor);
            }
            Key::Delete if self.cursor < self.text.len() => {
                self.text.remove(self.cursor);
            }
            Key::Left => self.cursor = self.cursor.saturating_sub(1),
            Key::Right => self.cursor = (self.cursor + 1).min(self.text.len()),
            Key::Home => self.cursor = 0,
            Key::End => self.cursor = self.text.len(),
            Key::WordLeft => self.cursor = self.word_start(),
            Key::WordRight => {
                while self.cursor < self.text.len() && self.text[self.cursor].is_whitespace() {
                    self.cursor += 1;
                }
                while self.cursor < self.text.len() && !self.text[self.cursor].is_whitespace() {
                    self.cursor += 1;
                }
            }
            Key::Ctrl('k') => self.remove(self.cursor, self.text.len()),
            Key::Ctrl('u') => self.remove(0, self.cursor),
            Key::Ctrl('w') => self.remove(self.word_start(), self.cursor),
            Key::Ctrl('y') => {
                let cut = self.cut.clone();
                if self.size() + cut.iter().map(|c| c.len_utf8()).sum::<usize>() <= Line::SIZE_MAX {
                    self.text.splice(self.cursor..self.cursor, cut.iter().copied());
                    self.cursor += cut.len();
                }
            }
            _ => {}
        }
    }
}

fn random_key(rng: &mut fastrand::Rng) -> Key {
    match rng.u8(..24) {
        0..=9 => Key::Char(rng.choice(['a', 'b', ' ', ' ', 'ü', '漢', '🦀', '\u{301}', '-', 'x']).unwrap()),
        10 => Key::Backspace,
        11 => Key::Delete,
        12 | 13 => Key::Left,
        14 => Key::Right,
        15 => Key::Home,
        16 => Key::End,
        17 => Key::WordLeft,
        18 => Key::WordRight,
        19 if rng.u8(..4) == 0 => Key::Ctrl('k'),
        20 if rng.u8(..4) == 0 => Key::Ctrl('u'),
        21 => Key::Ctrl('w'),
        22 => Key::Ctrl('y'),
        _ => Key::Char('z'),
    }
}

#[test]
fn editor_and_model_agree() {
    let mut rng = rng();
    for _ in 0..200 {
        let (mut editor, mut model) = (Editor::default(), Model::default());
        for _ in 0..400 {
            let key = random_key(&mut rng);
            editor.key(key);
            model.key(key);
            assert_eq!(editor.line().text(), model.text.iter().collect::<String>());
            let before: String = model.text[..model.cursor].iter().collect();
            assert_eq!(editor.line().cursor(), before.len());
        }
    }
}

#[test]
fn the_terminal_shows_the_line() {
    let mut rng = rng();
    for _ in 0..200 {
        let width = rng.usize(8..40);
        let mut editor = Editor::default();
        let mut screen = Screen::new(Terminal::Vt { width: width as u16 });
        let mut terminal = Vt::new(width);
        terminal.write(b"before\r\n");
        for _ in 0..200 {
            // One piece of input may be several keys: only what they come to is drawn.
            for _ in 0..rng.usize(1..4) {
                editor.key(random_key(&mut rng));
            }
            let (text, cursor) = (editor.line().text(), editor.line().cursor());
            let mut out = Vec::new();
            screen.draw(&mut out, "aios> ", text, cursor);
            terminal.write(&out);
            let mut expected = Vt::new(width);
            expected.write(format!("before\r\naios> {text}").as_bytes());
            assert_eq!(terminal.text(), expected.text(), "width {width}");
            let mut place = Vt::new(width);
            place.write(format!("before\r\naios> {}", &text[..cursor]).as_bytes());
            let full = place.column == width - 1 && place.rows[place.row].len() == width;
            let expected = if full { (place.row + 1, 0) } else { (place.row, place.column) };
            assert_eq!((terminal.row, terminal.column), expected, "width {width}: {text}");
        }
        let mut out = Vec::new();
        screen.leave(&mut out);
        terminal.write(&out);
        assert_eq!(terminal.column, 0);
        assert!(terminal.rows[terminal.row].is_empty(), "the next output begins on a row of its own");
    }
}

#[test]
fn without_a_terminal_no_escape_is_written() {
    let mut rng = rng();
    for _ in 0..100 {
        let mut editor = Editor::default();
        let mut screen = Screen::new(Terminal::Dumb);
        let mut out = Vec::new();
        for _ in 0..100 {
            editor.key(random_key(&mut rng));
            screen.draw(&mut out, "aios> ", editor.line().text(), editor.line().cursor());
        }
        screen.leave(&mut out);
        assert!(!out.contains(&0x1b));
    }
    let mut screen = Screen::new(Terminal::Dumb);
    let mut out = Vec::new();
    screen.draw(&mut out, "> ", "ab", 2);
    screen.draw(&mut out, "> ", "abc", 3);
    screen.draw(&mut out, "> ", "a", 1);
    screen.draw(&mut out, "> ", "x", 1);
    assert_eq!(String::from_utf8(out).unwrap(), "> abc\x08 \x08\x08 \x08\r\n> x");
}

#[test]
fn typing_at_the_end_costs_its_own_bytes() {
    let mut screen = Screen::new(Terminal::Vt { width: 80 });
    let mut out = Vec::new();
    screen.draw(&mut out, "> ", "", 0);
    out.clear();
    screen.draw(&mut out, "> ", "ps; services", 12);
    assert_eq!(out, b"ps; services");
}
