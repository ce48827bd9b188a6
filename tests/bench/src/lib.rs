//! The operations that `cargo xtask bench` counts, in the order in which the program does them.
//!
//! The program is a server of a machine made for it (the same kernel, one more server in the bundle): no key is pressed, so that each run of it is the same
//! instruction by instruction. It marks what is to be counted (`aios-icount`) and reads the counter beside the marks, for machines that count no instructions.
//! Each operation is done by agents with address spaces of their own, through capabilities derived [`DEPTH`] deep that expire; what is sent is random,
//! and the receiver checks all of it and the sender. Results go to the early console: [`Line`].
#![cfg_attr(target_os = "none", no_std)]

use core::fmt;

/// How deep capabilities were derived.
pub const DEPTH: u8 = 3;

/// Operations of each row that are not counted: caches of the kernel, page tables and schedules settle.
pub const WARM_UP: u64 = 16;

/// Instructions between two readings of the counter that are not part of what lies between two marks.
pub const READING: u64 = 5;

/// Instructions per tick of the counter: an instruction is a nanosecond, and QEMU's counter has 62.5 MHz.
pub const PER_TICK: u64 = 16;

/// One operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// Its name in the report.
    pub name: &'static str,
    /// How often it is counted.
    pub rounds: u64,
    /// How often counting is interrupted and taken up again in one operation: for a receiver's checks.
    pub pauses: u64,
    /// Cores that it takes.
    pub cores: u16,
}

const fn row(name: &'static str, rounds: u64, pauses: u64) -> Row {
    Row { name, rounds, pauses, cores: 1 }
}

/// All of them. Those of more cores are done on a machine of their own.
pub const ROWS: [Row; 16] = [
    row("null_syscall", 1000, 0),
    row("call_reply_0", 1000, 1),
    row("call_reply_64", 1000, 1),
    row("call_reply_64_fp", 1000, 1),
    row("call_512", 400, 1),
    row("call_4k", 200, 1),
    row("call_64k", 32, 1),
    row("notify_switch", 1000, 0),
    row("yield_switch", 1000, 0),
    row("mailbox_64", 1000, 1),
    row("page_map", 1000, 0),
    row("fault_resume", 400, 1),
    row("irq_to_driver", 400, 0),
    row("spawn_native", 64, 0),
    row("call_typed_64", 400, 1),
    Row { cores: 2, ..row("cross_core_call_64", 400, 1) },
];

/// The row of this name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

/// What the program says of a row, in one line: `bench NAME WRONG TICKS`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line<'a> {
    /// The row.
    pub name: &'a str,
    /// What was wrong, counted; an error of the kernel adds its code and 65536.
    pub wrong: u64,
    /// Ticks between the marks, of all rounds, those that warm up included.
    pub ticks: u64,
}

impl<'a> Line<'a> {
    /// Reads a line. `None` if it is none of these.
    #[must_use]
    pub fn read(line: &'a str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (Some("bench"), Some(name)) = (words.next(), words.next()) else { return None };
        Some(Self { name, wrong: words.next()?.parse().ok()?, ticks: words.next()?.parse().ok()? })
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "bench {} {} {}", self.name, self.wrong, self.ticks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_different() {
        for (place, row) in ROWS.iter().enumerate() {
            assert!(ROWS[..place].iter().all(|other| other.name != row.name));
            assert_eq!(by_name(row.name), Some(row));
        }
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let line = Line { name: "call_64k", wrong: 1, ticks: 99 };
        assert_eq!(Line::read(&line.to_string()), Some(line));
        assert_eq!(Line::read("bench x 1"), None);
        assert_eq!(Line::read("prompt"), None);
    }
}
