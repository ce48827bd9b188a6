//! Keys to lines: editing, history, search. Knows nothing of screens.

use alloc::format;
use alloc::string::String;

use crate::history::History;
use crate::key::Key;
use crate::line::Line;

/// What a key led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The text or cursor may have changed.
    Edited,
    /// The key does nothing here.
    Refused,
    /// The line is finished.
    Submit(String),
    /// The line is finished, but not all of it was taken: it is thrown away.
    Cut(String),
    /// Ctrl-C: the line is thrown away.
    Interrupt,
    /// Ctrl-D on an empty line.
    Eof,
    /// Tab: complete the word before the cursor.
    Complete,
    /// Ctrl-L: draw everything anew.
    Redraw,
}

/// A search through the history, while it lasts.
#[derive(Debug, Clone)]
struct Search {
    part: String,
    /// Age of the line found.
    found: Option<usize>,
    /// What was being edited before.
    before: Line,
}

/// The editor.
#[derive(Debug, Clone, Default)]
pub struct Editor {
    line: Line,
    history: History,
    /// Age of the history line shown, and what was being edited before.
    browsing: Option<(usize, Line)>,
    search: Option<Search>,
    cut: String,
    /// Some of what was typed had no room, and the line was not changed by hand since.
    overflowed: bool,
}

impl Editor {
    /// The text under edit.
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// The text under edit, for completion.
    pub fn line_mut(&mut self) -> &mut Line {
        &mut self.line
    }

    /// What stands before the text: the given prompt, or the search's.
    pub fn prompt(&self, prompt: &str) -> String {
        match &self.search {
            None => String::from(prompt),
            Some(Search { part, found: Some(_), .. }) => format!("(search `{part}`) "),
            Some(Search { part, found: None, .. }) => format!("(search `{part}`: not found) "),
        }
    }

    /// Something that belongs to this line was lost: it is not what was meant.
    pub fn lose(&mut self) {
        self.overflowed = true;
    }

    /// Takes one key.
    pub fn key(&mut self, key: Key) -> Outcome {
        let outcome = self.key_of_line(key);
        match (key, &outcome) {
            // It was refused for want of room, as nothing else refuses a character.
            (Key::Char(_), Outcome::Refused) => self.overflowed = true,
            // Who removes something, or takes another line, sees what there is.
            (Key::Char(_) | Key::Left | Key::Right | Key::Home | Key::End, _) => {}
            (_, Outcome::Edited) => self.overflowed = false,
            _ => {}
        }
        outcome
    }

    fn key_of_line(&mut self, key: Key) -> Outcome {
        if self.search.is_some() {
            return self.search_key(key);
        }
        let line = &mut self.line;
        let changed = match key {
            Key::Enter if self.overflowed => {
                let text = String::from(self.line.text());
                self.reset();
                return Outcome::Cut(text);
            }
            Key::Enter => return Outcome::Submit(self.submit()),
            Key::Tab => return Outcome::Complete,
            Key::Ctrl('c') => {
                self.reset();
                return Outcome::Interrupt;
            }
            Key::Ctrl('d') if line.text().is_empty() => return Outcome::Eof,
            Key::Ctrl('l') => return Outcome::Redraw,
            Key::Char(c) => line.insert(c),
            Key::Backspace => line.backspace(),
            Key::Delete | Key::Ctrl('d') => line.delete(),
            Key::Left | Key::Ctrl('b') => line.left(),
            Key::Right | Key::Ctrl('f') => line.right(),
            Key::WordLeft | Key::Alt('b') => line.word_left(),
            Key::WordRight | Key::Alt('f') => line.word_right(),
            Key::Home | Key::Ctrl('a') => line.home(),
            Key::End | Key::Ctrl('e') => line.end(),
            Key::Ctrl('k') => self.cut(Line::cut_to_end),
            Key::Ctrl('u') => self.cut(Line::cut_to_start),
            Key::Ctrl('w') => self.cut(Line::cut_word),
            Key::Ctrl('y') => {
                let cursor = self.line.cursor();
                !self.cut.is_empty() && self.line.replace_before(cursor, &self.cut)
            }
            Key::Up | Key::Ctrl('p') => self.older(),
            Key::Down | Key::Ctrl('n') => self.newer(),
            Key::Ctrl('r') => {
                let before = self.line.clone();
                self.search = Some(Search { part: String::new(), found: Some(0), before });
                true
            }
            Key::Escape | Key::Ctrl(_) | Key::Alt(_) | Key::Report { .. } => false,
        };
        if changed { Outcome::Edited } else { Outcome::Refused }
    }

    /// Throws the line away.
    pub fn reset(&mut self) {
        self.line.clear();
        self.browsing = None;
        self.search = None;
        self.overflowed = false;
    }

    fn submit(&mut self) -> String {
        let text = String::from(self.line.text());
        self.history.push(&text);
        self.reset();
        text
    }

    fn cut(&mut self, cut: fn(&mut Line) -> String) -> bool {
        let text = cut(&mut self.line);
        let changed = !text.is_empty();
        if changed {
            self.cut = text;
        }
        changed
    }

    fn older(&mut self) -> bool {
        let age = self.browsing.as_ref().map_or(0, |(age, _)| age + 1);
        let Some(text) = self.history.get(age) else { return false };
        let before = match self.browsing.take() {
            Some((_, before)) => before,
            None => self.line.clone(),
        };
        self.line.set(text);
        self.browsing = Some((age, before));
        true
    }

    fn newer(&mut self) -> bool {
        match self.browsing.take() {
            None => false,
            Some((0, before)) => {
                self.line = before;
                true
            }
            Some((age, before)) => {
                self.line.set(self.history.get(age - 1).unwrap_or_default());
                self.browsing = Some((age - 1, before));
                true
            }
        }
    }

    fn search_key(&mut self, key: Key) -> Outcome {
        let Some(mut search) = self.search.take() else { return Outcome::Refused };
        match key {
            Key::Escape | Key::Ctrl('g' | 'c') => {
                self.line = search.before;
                return Outcome::Edited;
            }
            Key::Char(c) if search.part.len() + c.len_utf8() <= Line::SIZE_MAX => {
                search.part.push(c);
                search.found = self.history.find(&search.part, search.found.unwrap_or(0));
            }
            Key::Char(_) => {
                self.search = Some(search);
                return Outcome::Refused;
            }
            Key::Backspace => {
                search.part.pop();
                search.found = self.history.find(&search.part, 0);
            }
            Key::Ctrl('r') => match search.found.and_then(|age| self.history.find(&search.part, age + 1)) {
                Some(age) if !search.part.is_empty() => search.found = Some(age),
                _ => {
                    self.search = Some(search);
                    return Outcome::Refused;
                }
            },
            // Everything else takes what was found and means what it always means.
            _ => return self.key_of_line(key),
        }
        match search.found.and_then(|age| self.history.get(age)) {
            Some(text) if !search.part.is_empty() => self.line.set(text),
            _ => self.line = search.before.clone(),
        }
        self.search = Some(search);
        Outcome::Edited
    }
}
