//! The whole conversation: bytes in, actions out.
//!
//! The shell's binary feeds what comes from the console and does what it is told. After [`Action::Run`] it runs the
//! statement, writes its output through [`Session::output`], and says [`Session::finish`]. What is typed meanwhile
//! waits, bounded; Ctrl-C interrupts.
//!
//! On the console, invisible marks (see [`aios_abi::sentinel`]) tell programs that drive the shell what happens:
//! `prompt` when a line is awaited, `begin` before and `status;n` after each command.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use aios_abi::sentinel;

use crate::complete::{Names, complete};
use crate::editor::{Editor, Outcome};
use crate::help;
use crate::key::{Decoder, Key};
use crate::line::Line;
use crate::parser::{Joiner, Script, parse};
use crate::screen::{Screen, Terminal};
use crate::statement::Statement;
use crate::table::Style;

/// What stands before the line.
pub const PROMPT: &str = "aios> ";
/// Most bytes that wait while a command runs.
pub const WAITING_MAX: usize = 1024;
/// Candidates of a completion that are listed; more are only counted.
const CANDIDATES_MAX: usize = 64;

/// Ctrl-C.
const INTERRUPT: u8 = 0x03;
const BEEP: u8 = 0x07;
/// Asks the terminal for its width: remember the cursor, go to the far right, report the cursor, go back.
const ASK_WIDTH: &[u8] = b"\x1b7\x1b[999C\x1b[6n\x1b8";

/// Statuses of commands.
pub mod status {
    /// It did what was asked.
    pub const SUCCESS: u16 = 0;
    /// It failed.
    pub const FAILURE: u16 = 1;
    /// The line makes no sense.
    pub const USAGE: u16 = 2;
    /// The shell lacks the capability.
    pub const NO_CAPABILITY: u16 = 126;
    /// There is no such command.
    pub const UNKNOWN_COMMAND: u16 = 127;
    /// It was interrupted.
    pub const INTERRUPTED: u16 = 130;
}

/// What the shell must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write these bytes to the console.
    Write(Vec<u8>),
    /// Run this, then call [`Session::finish`].
    Run(Statement),
    /// End the command that runs; [`Session::finish`] is still awaited.
    Interrupt,
    /// The input is over (Ctrl-D on an empty line).
    Eof,
}

#[derive(Debug)]
enum State {
    /// A line is awaited.
    Prompt,
    /// A command runs; what comes after it on its line.
    Running(VecDeque<(Joiner, Statement)>),
}

/// A conversation on one console.
#[derive(Debug)]
pub struct Session {
    decoder: Decoder,
    editor: Editor,
    screen: Screen,
    state: State,
    /// Input that came while a command ran.
    waiting: VecDeque<u8>,
    /// Some of it had no room.
    overflowed: bool,
    /// Whether Tab was the last key: a second one lists the candidates.
    tabbed: bool,
    out: Vec<u8>,
    actions: Vec<Action>,
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl Session {
    /// A conversation with whatever may be there: no escape sequences until a terminal has shown itself.
    pub fn new() -> Self {
        Session {
            decoder: Decoder::new(),
            editor: Editor::default(),
            screen: Screen::new(Terminal::Dumb),
            state: State::Prompt,
            waiting: VecDeque::new(),
            overflowed: false,
            tabbed: false,
            out: Vec::new(),
            actions: Vec::new(),
        }
    }

    /// Begins: asks what terminal is there, and shows the first prompt. A terminal that answers gets colours, its
    /// width, and full editing; whatever does not answer is treated as a pipe.
    pub fn start(&mut self) -> Vec<Action> {
        self.out.extend_from_slice(ASK_WIDTH);
        self.prompt();
        self.take()
    }

    /// How to render tables now.
    pub fn style(&self) -> Style {
        match self.screen.terminal() {
            Terminal::Dumb => Style::PLAIN,
            Terminal::Vt { width } => Style { width: Some(width), colour: true },
        }
    }

    /// A command's output as bytes for the console. The text's own control characters are the caller's to keep out.
    pub fn output(text: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(text.len());
        push_text(&mut bytes, text);
        bytes
    }

    /// Takes input.
    pub fn feed(&mut self, bytes: &[u8], names: &dyn Names) -> Vec<Action> {
        self.input(bytes, names);
        self.show();
        self.take()
    }

    /// Whether [`Session::idle`] should be called when nothing came for some 50 ms.
    pub fn awaits_idle(&self) -> bool {
        self.decoder.awaits_timeout()
    }

    /// Nothing came for a while.
    pub fn idle(&mut self, names: &dyn Names) -> Vec<Action> {
        let mut keys = Vec::new();
        self.decoder.timeout(&mut |key| keys.push(key));
        keys.into_iter().for_each(|key| self.key(key, names));
        self.show();
        self.take()
    }

    /// The command that ran is over. Goes on with what stands after it, or with the prompt.
    pub fn finish(&mut self, status: u16, names: &dyn Names) -> Vec<Action> {
        let state = core::mem::replace(&mut self.state, State::Prompt);
        if let State::Running(rest) = state {
            mark(&mut self.out, sentinel::STATUS, Some(status));
            let rest = if status == status::INTERRUPTED { VecDeque::new() } else { rest };
            self.run(rest, status);
            let waiting: Vec<u8> = self.waiting.drain(..).collect();
            self.input(&waiting, names);
            if let State::Prompt = self.state
                && core::mem::take(&mut self.overflowed)
            {
                // The end of what waited goes on with what comes now, and something between them is lost.
                self.editor.lose();
            }
            self.show();
        }
        self.take()
    }

    /// Writes something that no command said, without spoiling the line under edit.
    pub fn notice(&mut self, text: &str) -> Vec<Action> {
        let at_prompt = matches!(self.state, State::Prompt);
        if at_prompt {
            self.screen.erase(&mut self.out);
        }
        push_text(&mut self.out, text);
        if at_prompt {
            self.show();
        }
        self.take()
    }

    fn input(&mut self, bytes: &[u8], names: &dyn Names) {
        for &byte in bytes {
            if let State::Running(_) = self.state {
                self.wait(byte);
                continue;
            }
            let mut keys = [None; 2];
            let mut count = 0;
            self.decoder.push(byte, &mut |key| {
                if let Some(place) = keys.get_mut(count) {
                    *place = Some(key);
                    count += 1;
                }
            });
            for key in keys.into_iter().flatten() {
                self.key(key, names);
            }
        }
    }

    /// Input while a command runs.
    fn wait(&mut self, byte: u8) {
        if byte == INTERRUPT {
            self.waiting.clear();
            self.overflowed = false;
            self.flush();
            self.actions.push(Action::Interrupt);
        } else if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(byte);
        } else {
            self.overflowed = true;
            self.out.push(BEEP);
        }
    }

    fn key(&mut self, key: Key, names: &dyn Names) {
        if key.needs_terminal() {
            self.terminal_seen(key);
        }
        let second_tab = core::mem::replace(&mut self.tabbed, key == Key::Tab);
        match self.editor.key(key) {
            Outcome::Edited => {}
            Outcome::Refused => {
                if !matches!(key, Key::Report { .. } | Key::Escape) {
                    self.out.push(BEEP);
                }
            }
            Outcome::Submit(line) => self.submit(&line),
            Outcome::Cut(line) => self.refuse_cut(&line),
            Outcome::Interrupt => {
                self.out.extend_from_slice(b"^C");
                self.screen.leave(&mut self.out);
                self.prompt();
            }
            Outcome::Eof => {
                self.flush();
                self.actions.push(Action::Eof);
            }
            Outcome::Complete => self.complete(second_tab, names),
            Outcome::Redraw => {
                if let Terminal::Vt { .. } = self.screen.terminal() {
                    self.out.extend_from_slice(b"\x1b[H\x1b[2J");
                    self.screen.forget();
                }
                self.out.extend_from_slice(ASK_WIDTH);
            }
        }
    }

    /// A key came that only terminals send.
    fn terminal_seen(&mut self, key: Key) {
        let width = match key {
            Key::Report { column, .. } => column.max(Terminal::WIDTH_MIN),
            _ if self.screen.terminal() != Terminal::Dumb => return,
            _ => Terminal::WIDTH_DEFAULT,
        };
        // What the keys before this one did is drawn for the terminal that was there then.
        self.show();
        self.screen.set_terminal(Terminal::Vt { width });
    }

    fn submit(&mut self, line: &str) {
        // The line stays on the screen as it was entered, whatever the cursor or a search showed.
        self.screen.draw(&mut self.out, PROMPT, line, line.len());
        self.screen.leave(&mut self.out);
        match parse(line) {
            Ok(script) => self.begin(script),
            Err(error) => {
                mark(&mut self.out, sentinel::BEGIN, None);
                push_text(&mut self.out, &error.render(line));
                mark(&mut self.out, sentinel::STATUS, Some(error.status()));
                self.prompt();
            }
        }
    }

    /// A line of which a part was lost does nothing: what is left of it may mean something else.
    fn refuse_cut(&mut self, line: &str) {
        self.screen.draw(&mut self.out, PROMPT, line, line.len());
        self.screen.leave(&mut self.out);
        mark(&mut self.out, sentinel::BEGIN, None);
        let text = format!(
            "error: a part of the line had no room, nothing of it was run: a line has at most {} bytes, and {WAITING_MAX} wait while a command runs\n",
            Line::SIZE_MAX
        );
        push_text(&mut self.out, &text);
        mark(&mut self.out, sentinel::STATUS, Some(status::USAGE));
        self.prompt();
    }

    fn begin(&mut self, script: Script) {
        self.run(script.into(), status::SUCCESS);
    }

    /// Runs what may run after a command that ended with `status`; shows the prompt when nothing is left.
    fn run(&mut self, mut script: VecDeque<(Joiner, Statement)>, mut status: u16) {
        while let Some((joiner, statement)) = script.pop_front() {
            if joiner == Joiner::IfSuccess && status != status::SUCCESS {
                continue;
            }
            mark(&mut self.out, sentinel::BEGIN, None);
            if self.local(&statement) {
                status = status::SUCCESS;
                mark(&mut self.out, sentinel::STATUS, Some(status));
                continue;
            }
            self.flush();
            self.actions.push(Action::Run(statement));
            self.state = State::Running(script);
            return;
        }
        self.state = State::Prompt;
        self.prompt();
    }

    /// Answers what needs no capability. Returns whether it did.
    fn local(&mut self, statement: &Statement) -> bool {
        match statement {
            Statement::Help { command: None } => push_text(&mut self.out, &help::overview()),
            Statement::Help { command: Some(command) } => push_text(&mut self.out, &help::explain(command)),
            Statement::Echo { words } => {
                let text = format!("{}\n", aios_logd_core::format::Clean(&words.join(" ")));
                push_text(&mut self.out, &text);
            }
            Statement::Clear => {
                if let Terminal::Vt { .. } = self.screen.terminal() {
                    self.out.extend_from_slice(b"\x1b[H\x1b[2J");
                }
            }
            _ => return false,
        }
        true
    }

    fn complete(&mut self, list: bool, names: &dyn Names) {
        let line = self.editor.line();
        let completion = complete(&line.text()[..line.cursor()], names);
        let typed = line.cursor() - completion.start;
        let common = completion.common();
        match &completion.candidates[..] {
            [] => self.out.push(BEEP),
            [only] => {
                let space = if only.ends_with(':') { "" } else { " " };
                let whole = format!("{only}{space}");
                self.editor.line_mut().replace_before(completion.start, &whole);
            }
            _ if common.len() > typed => {
                self.editor.line_mut().replace_before(completion.start, common);
            }
            candidates if list => {
                let text = columns(candidates, self.style());
                self.show();
                self.screen.leave(&mut self.out);
                push_text(&mut self.out, &text);
            }
            _ => self.out.push(BEEP),
        }
    }

    /// A new line is awaited.
    fn prompt(&mut self) {
        self.screen.forget();
        self.show();
        mark(&mut self.out, sentinel::PROMPT, None);
    }

    /// Draws the line, if one is under edit. Called once after all that one piece of input did: input that comes fast
    /// is echoed as it is.
    fn show(&mut self) {
        if let State::Prompt = self.state {
            let prompt = self.editor.prompt(PROMPT);
            let line = self.editor.line();
            self.screen.draw(&mut self.out, &prompt, line.text(), line.cursor());
        }
    }

    fn flush(&mut self) {
        if !self.out.is_empty() {
            self.actions.push(Action::Write(core::mem::take(&mut self.out)));
        }
    }

    fn take(&mut self) -> Vec<Action> {
        self.flush();
        core::mem::take(&mut self.actions)
    }
}

/// Adds text to output, each line ended the way consoles want it.
fn push_text(out: &mut Vec<u8>, text: &str) {
    for line in text.split_inclusive('\n') {
        match line.strip_suffix('\n') {
            Some(line) => {
                out.extend_from_slice(line.as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            None => out.extend_from_slice(line.as_bytes()),
        }
    }
}

/// Adds an invisible mark to output.
fn mark(out: &mut Vec<u8>, word: &str, argument: Option<u16>) {
    let argument = argument.map(|number| format!(";{number}")).unwrap_or_default();
    out.extend_from_slice(format!("{}{word}{argument}{}", sentinel::PREFIX, sentinel::SUFFIX).as_bytes());
}

/// Candidates side by side. Lines end with `\n`.
fn columns(candidates: &[String], style: Style) -> String {
    let shown = &candidates[..candidates.len().min(CANDIDATES_MAX)];
    let each = shown.iter().map(|candidate| candidate.len()).max().unwrap_or(0) + 2;
    let in_row = (usize::from(style.width.unwrap_or(Terminal::WIDTH_DEFAULT)) / each).max(1);
    let mut text = String::new();
    for row in shown.chunks(in_row) {
        let line: String = row.iter().map(|candidate| format!("{candidate:each$}")).collect();
        text += line.trim_end();
        text.push('\n');
    }
    if candidates.len() > shown.len() {
        text += &format!("and {} more\n", candidates.len() - shown.len());
    }
    text
}
