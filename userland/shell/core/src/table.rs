//! Tables: typed cells, rendered aligned for people or as JSON for programs, both from the same cells.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use aios_logd_core::format::Clean;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use crate::screen::{cells, text_cells};
use crate::unit::{Bytes, Nanos, Permille};

/// A cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Nothing: `-`, in JSON `null`.
    None,
    /// Text of any origin: it is made harmless when shown.
    Text(String),
    /// Text that says how well something is.
    State(String, Tone),
    /// A number.
    Number(u64),
    /// A number that is an address or a set of bits.
    Hex(u64),
    /// A size in bytes.
    Bytes(u64),
    /// A time in ns.
    Nanos(u64),
    /// A share in thousandths.
    Permille(u64),
}

/// How well something is; a colour on terminals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Worth a look.
    Warning,
    /// Broken.
    Bad,
    /// Of no interest.
    Quiet,
}

impl Tone {
    /// The SGR sequence.
    const fn colour(self) -> &'static str {
        match self {
            Tone::Good => "\x1b[32m",
            Tone::Warning => "\x1b[33m",
            Tone::Bad => "\x1b[31m",
            Tone::Quiet => "\x1b[2m",
        }
    }
}

const BOLD: &str = "\x1b[1m";
const RESET: &str = "\x1b[0m";

impl Cell {
    /// A text cell.
    pub fn text(text: impl Into<String>) -> Self {
        Cell::Text(text.into())
    }

    fn human(&self) -> String {
        match self {
            Cell::None => "-".into(),
            Cell::Text(text) | Cell::State(text, _) => Clean(text).to_string(),
            Cell::Number(number) => number.to_string(),
            Cell::Hex(number) => format!("{number:#x}"),
            Cell::Bytes(bytes) => Bytes(*bytes).to_string(),
            Cell::Nanos(ns) => Nanos(*ns).to_string(),
            Cell::Permille(share) => Permille(*share).to_string(),
        }
    }

    fn tone(&self) -> Option<Tone> {
        match self {
            Cell::State(_, tone) => Some(*tone),
            _ => None,
        }
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Cell::None => serializer.serialize_none(),
            Cell::Text(text) | Cell::State(text, _) => serializer.serialize_str(text),
            Cell::Number(number) | Cell::Hex(number) | Cell::Bytes(number) | Cell::Nanos(number) | Cell::Permille(number) => {
                serializer.serialize_u64(*number)
            }
        }
    }
}

/// A column.
#[derive(Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in JSON, with the unit at the end: `cpu_ns`.
    pub key: &'static str,
    /// Its title.
    pub title: &'static str,
    /// Numbers stand to the right.
    pub align: Align,
}

/// On which side a column's cells stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text; cut if the table is too wide.
    Left,
    /// Numbers; never cut.
    Right,
}

impl Column {
    /// A column of text.
    pub const fn left(key: &'static str, title: &'static str) -> Self {
        Column { key, title, align: Align::Left }
    }

    /// A column of numbers.
    pub const fn right(key: &'static str, title: &'static str) -> Self {
        Column { key, title, align: Align::Right }
    }
}

/// How to render.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Columns of the terminal; `None` = any.
    pub width: Option<u16>,
    /// Whether to use colours.
    pub colour: bool,
}

impl Style {
    /// For whatever is not a terminal.
    pub const PLAIN: Style = Style { width: None, colour: false };
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    columns: &'static [Column],
    rows: Vec<Vec<Cell>>,
}

/// A text column is not made narrower than this.
const COLUMN_MIN: usize = 6;
/// Blanks between columns; one where the terminal is too narrow for them.
const GAP: usize = 2;

impl Table {
    /// A table without rows.
    pub const fn new(columns: &'static [Column]) -> Self {
        Table { columns, rows: Vec::new() }
    }

    /// Adds a row. Missing cells are empty, cells too many are dropped.
    pub fn push(&mut self, mut row: Vec<Cell>) {
        row.resize(self.columns.len(), Cell::None);
        self.rows.push(row);
    }

    /// The rows.
    pub fn rows(&self) -> &[Vec<Cell>] {
        &self.rows
    }

    /// The rows as a JSON array of objects, numbers in base units. One line.
    pub fn json(&self) -> String {
        // Writing to a string fails only if a map's key is no string, and these are.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Aligned text. Lines end with `\n`.
    pub fn render(&self, style: Style) -> String {
        let cells: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(Cell::human).collect()).collect();
        let (widths, gap) = self.widths(&cells, style.width.map(usize::from));
        let mut out = String::new();
        let titles = self.columns.iter().map(|column| (column.title, None));
        self.line(&mut out, titles, (&widths, gap), style, style.colour.then_some(BOLD));
        for (row, texts) in self.rows.iter().zip(&cells) {
            let cells = texts.iter().map(String::as_str).zip(row.iter().map(Cell::tone));
            self.line(&mut out, cells, (&widths, gap), style, None);
        }
        out
    }

    /// How wide the columns are, and the gaps between them.
    fn widths(&self, cells: &[Vec<String>], limit: Option<usize>) -> (Vec<usize>, usize) {
        let natural = |index: usize, column: &Column| {
            let widest = cells.iter().map(|row| text_cells(&row[index])).max().unwrap_or(0);
            widest.max(text_cells(column.title))
        };
        let mut widths: Vec<usize> = self.columns.iter().enumerate().map(|(i, column)| natural(i, column)).collect();
        let gaps = widths.len().saturating_sub(1);
        let fits = |widths: &[usize], gap| limit.is_none_or(|limit| widths.iter().sum::<usize>() + gap * gaps <= limit);
        if fits(&widths, GAP) {
            return (widths, GAP);
        }
        // Takes from the widest text column until the line fits or no column can give more.
        while !fits(&widths, 1) {
            let widest = (0..widths.len())
                .filter(|&index| self.columns[index].align == Align::Left && widths[index] > COLUMN_MIN)
                .max_by_key(|&index| widths[index]);
            match widest {
                Some(index) => widths[index] -= 1,
                None => break,
            }
        }
        (widths, 1)
    }

    fn line<'a>(
        &self,
        out: &mut String,
        cells: impl Iterator<Item = (&'a str, Option<Tone>)>,
        (widths, gap): (&[usize], usize),
        style: Style,
        whole: Option<&str>,
    ) {
        let mut room = style.width.map_or(usize::MAX, usize::from);
        out.push_str(whole.unwrap_or_default());
        let mut waiting = 0;
        for (index, (text, tone)) in cells.enumerate() {
            if index > 0 {
                waiting += gap;
            }
            let text = cut(text, widths[index]);
            let spare = widths[index] - text_cells(&text);
            if self.columns[index].align == Align::Right {
                waiting += spare;
            }
            // Blanks are written only when something follows them: no line ends with one.
            let shown = cut(&text, room.saturating_sub(waiting));
            if shown.is_empty() || waiting > room {
                waiting += spare * usize::from(self.columns[index].align == Align::Left);
                continue;
            }
            out.extend(core::iter::repeat_n(' ', waiting));
            room -= waiting + text_cells(&shown);
            waiting = 0;
            match tone.filter(|_| style.colour) {
                Some(tone) => *out += &format!("{}{shown}{RESET}", tone.colour()),
                None => out.push_str(&shown),
            }
            if self.columns[index].align == Align::Left {
                waiting = spare;
            }
        }
        if whole.is_some() {
            out.push_str(RESET);
        }
        out.push('\n');
    }
}

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(Some(self.rows.len()))?;
        for row in &self.rows {
            rows.serialize_element(&Row { columns: self.columns, cells: row })?;
        }
        rows.end()
    }
}

struct Row<'a> {
    columns: &'static [Column],
    cells: &'a [Cell],
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.columns.len()))?;
        for (column, cell) in self.columns.iter().zip(self.cells) {
            map.serialize_entry(column.key, cell)?;
        }
        map.end()
    }
}

/// The text, if it fits into `width` columns; else what fits with `…` at its end.
fn cut(text: &str, width: usize) -> String {
    if text_cells(text) <= width {
        return text.into();
    }
    let mut out = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += cells(c);
        if used > width {
            break;
        }
        out.push(c);
    }
    if width > 0 {
        out.push('…');
    }
    out
}
