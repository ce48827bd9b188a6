//! The prompt and the line on a terminal: what to write so that it shows them, with the cursor in its place.
//!
//! On a terminal of known width a line may span several rows, and only what changed is drawn: text that is typed or
//! pasted at the end costs its own bytes and nothing else. Without a terminal (a pipe, a test) no escape sequence is
//! ever written: text is echoed, and a backspace rubs out.
//!
//! A terminal of width w that has written into its last column stays there until the next character. [`Screen`] never
//! leaves it so: after a full row it goes to the next one, so that row and column always say where the cursor is.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use unicode_width::UnicodeWidthChar;

/// What is on the other end of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    /// Nothing that answers: no escape sequences.
    Dumb,
    /// A VT-style terminal.
    Vt {
        /// Columns.
        width: u16,
    },
}

impl Terminal {
    /// Width that is assumed of a terminal that has not said its own.
    pub const WIDTH_DEFAULT: u16 = 80;
    /// The narrowest width that is believed.
    pub const WIDTH_MIN: u16 = 16;
}

/// A place on the screen, counted from where the prompt begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Place {
    row: usize,
    column: usize,
}

impl Place {
    /// Where the cursor is after `text` is written from here, on a terminal of this width.
    fn after(mut self, text: &str, width: usize) -> Place {
        for cells in text.chars().map(cells) {
            if self.column + cells > width {
                self = Place { row: self.row + 1, column: 0 };
            }
            self.column += cells;
        }
        self
    }

    /// The same place, on the next row if this one is full.
    fn settled(self, width: usize) -> Place {
        if self.column < width { self } else { Place { row: self.row + 1, column: 0 } }
    }
}

/// Columns that a character takes.
pub fn cells(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// Columns that a text takes.
pub fn text_cells(text: &str) -> usize {
    text.chars().map(cells).sum()
}

/// What is shown now.
#[derive(Debug, Clone, Default)]
struct Shown {
    prompt: String,
    text: String,
    /// The cursor's place in the text, in bytes.
    cursor: usize,
    place: Place,
}

/// The prompt and line as shown.
#[derive(Debug, Clone)]
pub struct Screen {
    terminal: Terminal,
    shown: Option<Shown>,
}

impl Screen {
    /// Nothing shown yet, at the beginning of a row.
    pub const fn new(terminal: Terminal) -> Self {
        Screen { terminal, shown: None }
    }

    /// What is on the other end.
    pub fn terminal(&self) -> Terminal {
        self.terminal
    }

    /// Another terminal, or another width. What is shown is drawn anew the next time.
    pub fn set_terminal(&mut self, terminal: Terminal) {
        if let (Terminal::Vt { width }, Some(shown)) = (terminal, &mut self.shown) {
            let width = usize::from(width);
            let full = Place::default().after(&shown.prompt, width).after(&shown.text[..shown.cursor], width);
            shown.place = full.settled(width);
        }
        self.terminal = terminal;
    }

    /// Shows prompt and text, the cursor before byte `cursor` of the text.
    pub fn draw(&mut self, out: &mut Vec<u8>, prompt: &str, text: &str, cursor: usize) {
        match self.terminal {
            Terminal::Dumb => self.draw_dumb(out, prompt, text),
            Terminal::Vt { width } => self.draw_vt(out, prompt, text, cursor, usize::from(width)),
        }
    }

    /// Leaves the line as it is and goes to the beginning of a new row.
    pub fn leave(&mut self, out: &mut Vec<u8>) {
        if let (Terminal::Vt { width }, Some(shown)) = (self.terminal, self.shown.take()) {
            let width = usize::from(width);
            let end = Place::default().after(&shown.prompt, width).after(&shown.text, width);
            go(out, shown.place, end.settled(width));
            if end.column == width {
                return;
            }
        }
        self.shown = None;
        out.extend_from_slice(b"\r\n");
    }

    /// Makes room for other output where the line is: it is drawn again below that, next time.
    pub fn erase(&mut self, out: &mut Vec<u8>) {
        let Some(shown) = self.shown.take() else { return };
        match self.terminal {
            Terminal::Dumb => out.extend_from_slice(b"\r\n"),
            Terminal::Vt { .. } => {
                go(out, shown.place, Place::default());
                out.extend_from_slice(b"\x1b[J");
            }
        }
    }

    /// The screen was cleared: nothing is shown.
    pub fn forget(&mut self) {
        self.shown = None;
    }

    fn draw_dumb(&mut self, out: &mut Vec<u8>, prompt: &str, text: &str) {
        match &self.shown {
            Some(shown) if shown.prompt == prompt && text.starts_with(&shown.text) => {
                out.extend_from_slice(&text.as_bytes()[shown.text.len()..]);
            }
            Some(shown) if shown.prompt == prompt && shown.text.starts_with(text) => {
                for _ in 0..text_cells(&shown.text[text.len()..]) {
                    out.extend_from_slice(b"\x08 \x08");
                }
            }
            shown => {
                if shown.is_some() {
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(prompt.as_bytes());
                out.extend_from_slice(text.as_bytes());
            }
        }
        let place = Place::default();
        self.shown = Some(Shown { prompt: prompt.into(), text: text.into(), cursor: text.len(), place });
    }

    fn draw_vt(&mut self, out: &mut Vec<u8>, prompt: &str, text: &str, cursor: usize, width: usize) {
        let place = match self.shown.take() {
            // Only the cursor moved.
            Some(shown) if shown.prompt == prompt && shown.text == text => {
                let to = Place::default().after(prompt, width).after(&text[..cursor], width).settled(width);
                go(out, shown.place, to);
                to
            }
            // Something was added at the end.
            Some(shown)
                if shown.prompt == prompt && shown.cursor == shown.text.len() && cursor == text.len() && text.starts_with(&shown.text) =>
            {
                let added = &text[shown.text.len()..];
                out.extend_from_slice(added.as_bytes());
                settle(out, shown.place.after(added, width), width)
            }
            shown => {
                if let Some(shown) = shown {
                    go(out, shown.place, Place::default());
                    out.extend_from_slice(b"\x1b[J");
                }
                out.extend_from_slice(prompt.as_bytes());
                out.extend_from_slice(text.as_bytes());
                let begin = Place::default().after(prompt, width);
                let end = settle(out, begin.after(text, width), width);
                let to = begin.after(&text[..cursor], width).settled(width);
                go(out, end, to);
                to
            }
        };
        self.shown = Some(Shown { prompt: prompt.into(), text: text.into(), cursor, place });
    }
}

/// After a full row, goes to the next one.
fn settle(out: &mut Vec<u8>, place: Place, width: usize) -> Place {
    if place.column == width {
        out.extend_from_slice(b"\r\n");
    }
    place.settled(width)
}

/// Moves the cursor from one place to another.
fn go(out: &mut Vec<u8>, from: Place, to: Place) {
    if to.row < from.row {
        out.extend_from_slice(format!("\x1b[{}A", from.row - to.row).as_bytes());
    } else if to.row > from.row {
        out.extend_from_slice(format!("\x1b[{}B", to.row - from.row).as_bytes());
    }
    if to.column == from.column {
        return;
    }
    if to.column == 0 {
        out.push(b'\r');
    } else if to.column < from.column {
        out.extend_from_slice(format!("\x1b[{}D", from.column - to.column).as_bytes());
    } else {
        out.extend_from_slice(format!("\x1b[{}C", to.column - from.column).as_bytes());
    }
}
