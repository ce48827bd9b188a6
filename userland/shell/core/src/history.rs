//! The lines entered before, the newest first, bounded.

use alloc::collections::VecDeque;
use alloc::string::String;

/// Lines entered before.
#[derive(Debug, Clone, Default)]
pub struct History {
    lines: VecDeque<String>,
}

impl History {
    /// Most lines kept.
    pub const LINES_MAX: usize = 64;

    /// Remembers a line, unless it is blank, begins with a space, or repeats the last one.
    pub fn push(&mut self, line: &str) {
        if line.trim().is_empty() || line.starts_with(' ') || self.get(0) == Some(line) {
            return;
        }
        if self.lines.len() == Self::LINES_MAX {
            self.lines.pop_back();
        }
        self.lines.push_front(String::from(line));
    }

    /// A line; 0 is the newest.
    pub fn get(&self, age: usize) -> Option<&str> {
        self.lines.get(age).map(String::as_str)
    }

    /// The newest line of at least this age that contains `part`.
    pub fn find(&self, part: &str, age: usize) -> Option<usize> {
        (age..self.lines.len()).find(|&age| self.lines[age].contains(part))
    }
}
