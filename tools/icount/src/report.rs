//! The report: counted rows, as the plugin writes them and as the bench command reads them.
//!
//! Lines of words: `row N`, then what belongs to it: `stray N` marks out of order, `operations N…` instructions of each operation, `at PC CORE COUNT`
//! (hexadecimal address). `end` is the last line.

use std::collections::BTreeMap;
use std::fmt::Write;

/// What was counted for one row.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Row {
    /// Marks that came out of order: an operation that began while another one was open, or that was closed twice.
    pub stray: u64,
    /// Instructions of each operation, in their order.
    pub operations: Vec<u64>,
    /// How often each instruction was executed, by address and core.
    pub counts: BTreeMap<(u64, u32), u64>,
}

impl Row {
    /// All instructions of all operations.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.operations.iter().sum()
    }
}

/// A report as text.
#[must_use]
pub fn write(rows: &[Row]) -> String {
    let mut text = String::new();
    // Writing to a String can't fail.
    for (number, row) in rows.iter().enumerate() {
        let _ = writeln!(text, "row {number}\nstray {}", row.stray);
        text += "operations";
        for count in &row.operations {
            let _ = write!(text, " {count}");
        }
        text.push('\n');
        for ((pc, core), count) in &row.counts {
            let _ = writeln!(text, "at {pc:x} {core} {count}");
        }
    }
    text += "end\n";
    text
}

/// Reads a report. `None` if it is not whole.
#[must_use]
pub fn read(text: &str) -> Option<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        match words.next()? {
            "end" => return Some(rows),
            "row" => rows.push(Row::default()),
            "stray" => rows.last_mut()?.stray = words.next()?.parse().ok()?,
            "operations" => rows.last_mut()?.operations = words.map(|word| word.parse().ok()).collect::<Option<_>>()?,
            "at" => {
                let pc = u64::from_str_radix(words.next()?, 16).ok()?;
                let core = words.next()?.parse().ok()?;
                let count: u64 = words.next()?.parse().ok()?;
                *rows.last_mut()?.counts.entry((pc, core)).or_default() += count;
            }
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let counts = BTreeMap::from([((0xffff_ffff_8000_0000, 0), 3), ((0x40_0000, 1), 2)]);
        let rows = [Row::default(), Row { stray: 1, operations: vec![3, 2], counts }];
        let text = write(&rows);
        assert_eq!(read(&text).as_deref(), Some(&rows[..]));
        assert_eq!(rows[1].total(), 5);
        assert_eq!(read(text.trim_end_matches("end\n")), None, "a report that was cut");
        assert_eq!(read("at 1 0 1\n"), None);
    }
}
