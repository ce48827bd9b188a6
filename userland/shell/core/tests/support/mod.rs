//! What several tests need: a random generator that prints its seed, and a small model of a terminal.

#![allow(dead_code, reason = "each test program uses a part of it")]

use aios_shell_core::screen::cells;

/// A generator whose seed is printed; `AIOS_SEED` repeats a run.
pub fn rng() -> fastrand::Rng {
    let seed = std::env::var("AIOS_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("AIOS_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// A terminal as ECMA-48 and xterm have it, as far as the shell uses one: it wraps at the last column only when the
/// next character comes.
pub struct Vt {
    pub width: usize,
    pub rows: Vec<Vec<char>>,
    pub row: usize,
    pub column: usize,
    wraps: bool,
}

impl Vt {
    pub fn new(width: usize) -> Self {
        Vt { width, rows: vec![vec![]], row: 0, column: 0, wraps: false }
    }

    /// Everything on the screen, rows joined, blanks at their ends removed.
    pub fn text(&self) -> String {
        let rows: Vec<String> = self.rows.iter().map(|row| row.iter().collect::<String>().trim_end().into()).collect();
        rows.join("\n").trim_end_matches('\n').into()
    }

    pub fn write(&mut self, bytes: &[u8]) {
        let text = std::str::from_utf8(bytes).expect("output is UTF-8");
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match c {
                '\r' => (self.column, self.wraps) = (0, false),
                '\n' => self.down(1),
                '\x08' => (self.column, self.wraps) = (self.column.saturating_sub(1), false),
                '\x07' => {}
                '\x1b' if rest.starts_with(']') => {
                    let end = rest.find('\x07').expect("marks are closed");
                    rest = &rest[end + 1..];
                }
                '\x1b' if rest.starts_with('7') || rest.starts_with('8') => rest = &rest[1..],
                '\x1b' => rest = self.csi(rest),
                c => self.print(c),
            }
        }
    }

    fn csi<'a>(&mut self, rest: &'a str) -> &'a str {
        let body = rest.strip_prefix('[').expect("only control sequences");
        let end = body.find(|c: char| c.is_ascii_alphabetic()).expect("sequences are closed");
        let count = body[..end].parse().unwrap_or(1);
        self.wraps = false;
        match &body[end..=end] {
            "A" => self.row = self.row.checked_sub(count).expect("never above the first row"),
            "B" => self.row += count,
            // The width query's excursion to the far right, which the restored cursor undoes.
            "C" if count == 999 => {}
            "C" => self.column += count,
            "D" => self.column = self.column.checked_sub(count).expect("never left of the first column"),
            "H" => (self.row, self.column) = (0, 0),
            "J" if &body[..end] == "2" => self.rows = vec![vec![]],
            "J" => {
                self.rows.truncate(self.row + 1);
                self.rows[self.row].truncate(self.column);
            }
            "n" | "m" => {}
            other => panic!("unknown sequence {other}"),
        }
        assert!(self.column < self.width, "cursor beyond the last column");
        self.grow();
        &body[end + 1..]
    }

    fn print(&mut self, c: char) {
        assert!(!c.is_control(), "control character {c:?} on the screen");
        let cells = cells(c);
        if cells == 0 {
            return;
        }
        if self.wraps || self.column + cells > self.width {
            self.down(1);
            self.column = 0;
        }
        let row = &mut self.rows[self.row];
        row.resize(row.len().max(self.column + cells), ' ');
        row[self.column] = c;
        // The second half of a wide character.
        if cells == 2 {
            row[self.column + 1] = '\u{2}';
        }
        self.column += cells;
        self.wraps = self.column == self.width;
        self.column = self.column.min(self.width - 1);
    }

    fn down(&mut self, count: usize) {
        self.row += count;
        self.wraps = false;
        self.grow();
    }

    fn grow(&mut self) {
        if self.rows.len() <= self.row {
            self.rows.resize(self.row + 1, vec![]);
        }
    }
}
