//! Records that are urgent enough, shown on the console as they come.

use alloc::collections::VecDeque;
use alloc::format;

use aios_logd_core::Record;

/// Lines that wait for the console; more are left out, and said to be.
const LINES: usize = 16;

/// Where lines are shown.
pub trait Screen {
    /// Shows bytes. A console that is not there, or has no time, must not keep the log waiting: the line is in the log anyway.
    fn show(&mut self, bytes: &[u8]);
}

/// What waits to be shown.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    records: VecDeque<Record>,
    left_out: u64,
}

impl Queue {
    pub fn push(&mut self, record: Record) {
        if self.records.len() < LINES {
            self.records.push_back(record);
        } else {
            self.left_out += 1;
        }
    }

    /// Shows everything, each record on a line of its own wherever the cursor is.
    pub fn show(&mut self, screen: &mut impl Screen) {
        for record in self.records.drain(..) {
            screen.show(format!("\r\n{record}\r\n").as_bytes());
        }
        if core::mem::take(&mut self.left_out) > 0 {
            screen.show(b"... more in the log\r\n");
        }
    }
}
