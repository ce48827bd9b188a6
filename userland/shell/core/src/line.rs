//! The text being edited, and the cursor in it.
//!
//! Invariants: the cursor is at a character's boundary; the text holds no control character and no more bytes than its
//! limit. An operation says whether it changed anything, so that the caller can beep.

use alloc::string::String;

/// A line under edit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    text: String,
    cursor: usize,
}

impl Line {
    /// Longest line, bytes.
    pub const SIZE_MAX: usize = 1024;

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The cursor's place, in bytes.
    pub fn cursor(&self) -> usize {
        self.cursor
    }

    /// Replaces the text, as far as it is allowed in one, and puts the cursor at its end.
    pub fn set(&mut self, text: &str) {
        self.clear();
        text.chars().for_each(|c| {
            self.insert(c);
        });
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.text.clear();
        self.cursor = 0;
    }

    /// Puts a character before the cursor.
    pub fn insert(&mut self, c: char) -> bool {
        if c.is_control() || self.text.len() + c.len_utf8() > Self::SIZE_MAX {
            return false;
        }
        self.text.insert(self.cursor, c);
        self.cursor += c.len_utf8();
        true
    }

    /// Replaces the bytes from `start` up to the cursor. Both must be boundaries of characters.
    pub fn replace_before(&mut self, start: usize, with: &str) -> bool {
        if start > self.cursor || !self.text.is_char_boundary(start) {
            return false;
        }
        if self.text.len() - (self.cursor - start) + with.len() > Self::SIZE_MAX || with.contains(char::is_control) {
            return false;
        }
        self.text.replace_range(start..self.cursor, with);
        self.cursor = start + with.len();
        true
    }

    /// Removes the character before the cursor.
    pub fn backspace(&mut self) -> bool {
        let end = self.cursor;
        self.left() && {
            self.text.replace_range(self.cursor..end, "");
            true
        }
    }

    /// Removes the character after the cursor.
    pub fn delete(&mut self) -> bool {
        if self.cursor == self.text.len() {
            return false;
        }
        self.text.remove(self.cursor);
        true
    }

    /// One character to the left.
    pub fn left(&mut self) -> bool {
        match self.text[..self.cursor].chars().next_back() {
            Some(c) => {
                self.cursor -= c.len_utf8();
                true
            }
            None => false,
        }
    }

    /// One character to the right.
    pub fn right(&mut self) -> bool {
        match self.text[self.cursor..].chars().next() {
            Some(c) => {
                self.cursor += c.len_utf8();
                true
            }
            None => false,
        }
    }

    /// To the beginning.
    pub fn home(&mut self) -> bool {
        self.go(0)
    }

    /// To the end.
    pub fn end(&mut self) -> bool {
        self.go(self.text.len())
    }

    /// To the beginning of this or the previous word. Words are what spaces separate.
    pub fn word_left(&mut self) -> bool {
        self.go(self.word_start())
    }

    /// To the end of this or the next word.
    pub fn word_right(&mut self) -> bool {
        let after = &self.text[self.cursor..];
        let word = after.find(|c: char| !c.is_whitespace()).unwrap_or(after.len());
        let end = after[word..].find(char::is_whitespace).map_or(after.len(), |at| word + at);
        self.go(self.cursor + end)
    }

    /// Removes and returns what is after the cursor.
    pub fn cut_to_end(&mut self) -> String {
        self.text.split_off(self.cursor)
    }

    /// Removes and returns what is before the cursor.
    pub fn cut_to_start(&mut self) -> String {
        self.cut_from(0)
    }

    /// Removes and returns the word before the cursor.
    pub fn cut_word(&mut self) -> String {
        self.cut_from(self.word_start())
    }

    fn cut_from(&mut self, start: usize) -> String {
        let rest = self.text.split_off(self.cursor);
        let cut = self.text.split_off(start);
        self.text.push_str(&rest);
        self.cursor = start;
        cut
    }

    fn word_start(&self) -> usize {
        let before = self.text[..self.cursor].trim_end();
        before.rfind(char::is_whitespace).map_or(0, |at| at + before[at..].chars().next().map_or(0, char::len_utf8))
    }

    fn go(&mut self, to: usize) -> bool {
        let moved = self.cursor != to;
        self.cursor = to;
        moved
    }
}
