//! What init has to say, on its way to the log.
//!
//! Lines wait here, a bounded number of them, until there is a log to take them; init never waits for it. What matters while there is none goes to
//! the early console as well. Lines for which there was no room are counted, and the count is a line of its own.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use core::fmt;

use aios_abi::Error;
use aios_proto::log::{Client, Message};
use aios_proto::types::Level;
use aios_proto::{Error as CallError, Text};
use aios_rt::service::Remote;
use aios_rt::slot::Service;
use aios_rt::time::now;

use crate::early;

/// Lines that wait at most.
const WAITING: usize = 64;
/// A line that waited this long says so, ns.
const NOTABLE_NS: u64 = 10_000_000;

struct Line {
    /// When it was written, ns since boot.
    at_ns: u64,
    level: Level,
    /// Whom it is about.
    target: String,
    text: String,
}

/// The lines that wait, and where they go.
#[derive(Default)]
pub struct Journal {
    waiting: VecDeque<Line>,
    lost: u64,
    log: Option<Service>,
}

impl Journal {
    /// From now on lines go to this log, or to none.
    pub fn set_log(&mut self, log: Option<Service>) {
        self.log = log;
    }

    /// The capability to the log.
    pub fn log(&self) -> Option<Service> {
        self.log
    }

    /// Takes a line.
    pub fn write(&mut self, level: Level, target: &str, text: fmt::Arguments<'_>) {
        if self.log.is_none() && matches!(level, Level::Error | Level::Warn) {
            early::line(format_args!("{target}: {text}"));
        }
        if self.waiting.len() == WAITING {
            self.lost += 1;
            return;
        }
        self.waiting.push_back(Line { at_ns: now(), level, target: target.to_string(), text: text.to_string() });
    }

    /// Whether lines wait that a log could take.
    pub fn is_stuck(&self) -> bool {
        self.log.is_some() && !self.waiting.is_empty()
    }

    /// Sends what waits, until the log's mailbox is full.
    pub fn flush(&mut self) {
        let Some(log) = self.log else { return };
        let mut client = Client::new(Remote(log));
        if self.lost > 0 && self.waiting.len() < WAITING {
            let text = alloc::format!("{} lines were lost", self.lost);
            self.waiting.push_back(Line { at_ns: now(), level: Level::Warn, target: "init".to_string(), text });
            self.lost = 0;
        }
        while let Some(line) = self.waiting.front_mut() {
            // The log stamps a line with the time at which it comes.
            let waited_ns = now().saturating_sub(line.at_ns);
            if waited_ns >= NOTABLE_NS {
                line.text = alloc::format!("{} ({} ms ago)", line.text, waited_ns / 1_000_000);
                line.at_ns = u64::MAX;
            }
            match client.write(line.level, Text::truncated(&line.target), Message::truncated(line.text.as_bytes())) {
                Ok(()) => {}
                Err(CallError::Refused(code)) if code == Error::QueueFull.code() => return,
                // The log is gone: its successor gets them.
                Err(CallError::PeerDied) => {
                    self.log = None;
                    return;
                }
                // A line that can't be sent now can't be sent later.
                Err(_) => self.lost += 1,
            }
            self.waiting.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::kernel;
    use aios_abi::SlotHandle;

    #[test]
    fn lines_wait_for_the_log_and_are_counted_when_there_are_too_many() {
        let kernel = kernel::boot();
        let mut journal = Journal::default();
        for number in 0..WAITING + 3 {
            journal.write(Level::Info, "uartd", format_args!("line {number}"));
        }
        journal.write(Level::Warn, "uartd", format_args!("careful"));
        assert!(kernel.console().ends_with("init: uartd: careful\r\n"));
        journal.set_log(Some(Service(SlotHandle::new(40, 1))));
        assert!(journal.is_stuck());
        journal.flush();
        assert!(!journal.is_stuck());
        journal.flush();
        let lines = kernel.log();
        assert_eq!(lines.len(), WAITING + 1);
        assert_eq!((lines[0].as_str(), lines[WAITING].as_str()), ("line 0", "4 lines were lost"));
        kernel.refuse_sends(Some(Error::QueueFull));
        journal.write(Level::Warn, "uartd", format_args!("later"));
        journal.flush();
        assert!(journal.is_stuck());
        kernel.refuse_sends(None);
        journal.flush();
        assert_eq!(kernel.log().last().map(String::as_str), Some("later"));
        assert_eq!(kernel.console().matches("init: ").count(), 1, "with a log, nothing goes to the console");
        journal.write(Level::Info, "uartd", format_args!("old"));
        kernel.state().now_ns = 25_000_000;
        kernel.refuse_sends(Some(Error::QueueFull));
        journal.flush();
        kernel.refuse_sends(None);
        kernel.state().now_ns = 50_000_000;
        journal.flush();
        assert_eq!(kernel.log().last().map(String::as_str), Some("old (25 ms ago)"));
        kernel.refuse_sends(Some(Error::PeerDied));
        journal.write(Level::Info, "uartd", format_args!("kept"));
        journal.flush();
        assert!(journal.log().is_none());
    }
}
