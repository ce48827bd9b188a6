//! The conversation: input, what the session says is to be done, interruption.

use core::cell::RefCell;

use alloc::collections::VecDeque;
use alloc::format;
use alloc::vec::Vec;

use aios_abi::info::Word;
use aios_abi::limits::PAGE_SIZE;
use aios_abi::sentinel;
use aios_proto::console::Counters;
use aios_rt::info::word;
use aios_rt::peer::Init;
use aios_rt::time::{Deadline, now};
use aios_shell_core::complete::NoNames;
use aios_shell_core::unit::Bytes;
use aios_shell_core::{Action, Session, Statement, Style, status};

use crate::alive::Alive;
use crate::commands;
use crate::fail::Fail;
use crate::system::System;
use crate::terminal::{HEARTBEAT_NS, INPUT, READ, STOP, Terminal};

/// How long a lone escape may be the beginning of a sequence, ns.
const ESCAPE_NS: u64 = 50_000_000;
/// How long to look for input of which a notification told, and which may have been read meanwhile, ns.
const LOOK_NS: u64 = 5_000_000;
/// How long the last words may take, ns.
const LAST_WORDS_NS: u64 = 200_000_000;

/// The shell.
pub struct Shell {
    /// What commands act on.
    pub system: System,
    terminal: Terminal,
    session: Session,
    /// Ctrl-C came for the command that runs.
    interrupted: bool,
    /// The system stops.
    ending: bool,
    /// When the first prompt was shown, ns since boot.
    pub first_prompt_ns: u64,
}

impl Shell {
    /// A shell on the console that init leads to.
    pub fn new(init: Init) -> Self {
        let (system, terminal) = (System::new(init), Terminal::new(init));
        Self { system, terminal, session: Session::new(), interrupted: false, ending: false, first_prompt_ns: 0 }
    }

    /// Talks until the system stops. Returns the exit status.
    pub fn run(&mut self) -> u64 {
        if self.system.init().promise(STOP, HEARTBEAT_NS).is_err() {
            // A supervisor that does not hear of it ends the shell, and says why.
            self.ending = true;
        }
        self.greet();
        // Without a log, or without a capability to it, what an operator changes is not in it.
        let _ = aios_rt::log::connect(self.system.init(), "shell");
        let actions = self.session.start();
        self.perform(actions);
        self.first_prompt_ns = now();
        while !self.ending {
            let wait = if self.session.awaits_idle() { Deadline::after(ESCAPE_NS) } else { Deadline::NEVER };
            let actions = match self.terminal.read(wait) {
                Some(bytes) => self.session.feed(&bytes, &Alive(RefCell::new(&mut self.system))),
                None => self.session.idle(&Alive(RefCell::new(&mut self.system))),
            };
            self.perform(actions);
        }
        self.terminal.flush(Deadline::after(LAST_WORDS_NS));
        // The supervisor sees the end itself, if it does not hear of it.
        let _ = self.system.init().stopped();
        0
    }

    fn greet(&mut self) {
        let cores = word(Word::Cores);
        let memory = self.system.memory().map(|memory| format!(", {}", Bytes(memory.total.saturating_mul(PAGE_SIZE as u64))));
        let text = format!(
            "{}{};{}{}\nAIOS {}, {cores} core{}{}. Type `help` for the commands.\n\n",
            sentinel::PREFIX,
            sentinel::BOOT,
            sentinel::SHELL,
            sentinel::SUFFIX,
            env!("CARGO_PKG_VERSION"),
            if cores == 1 { "" } else { "s" },
            memory.unwrap_or_default(),
        );
        self.print(&text);
    }

    fn perform(&mut self, actions: Vec<Action>) {
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Write(bytes) => self.terminal.write(&bytes),
                Action::Run(statement) => {
                    // Ctrl-C may have been typed right behind the line.
                    self.interrupted = actions.contains(&Action::Interrupt);
                    actions.retain(|action| *action != Action::Interrupt);
                    let status = self.execute(statement);
                    if self.ending {
                        return;
                    }
                    actions.extend(self.session.finish(status, &Alive(RefCell::new(&mut self.system))));
                }
                Action::Interrupt => {}
                Action::Eof => actions.extend(self.session.notice("\nThe shell does not end. `shutdown` switches the machine off.\n")),
            }
        }
    }

    fn execute(&mut self, statement: Statement) -> u16 {
        match commands::run(self, statement) {
            Ok(()) => status::SUCCESS,
            Err(fail) => {
                match fail {
                    Fail::Interrupted => self.print("^C\n"),
                    _ => self.print(&format!("error: {fail}\n")),
                }
                fail.status()
            }
        }
    }

    /// Writes a command's output.
    pub fn print(&mut self, text: &str) {
        self.terminal.write(&Session::output(text));
    }

    /// What the console has done.
    pub fn console_status(&mut self) -> Result<Counters, Fail> {
        self.terminal.status().map_err(|failure| Fail::peer("/svc/console", failure))
    }

    /// How tables are shown now.
    pub fn style(&self) -> Style {
        self.session.style()
    }

    /// For commands that take long: fails when they are to end.
    pub fn check_interrupt(&mut self) -> Result<(), Fail> {
        self.sleep_until(Deadline::POLL)
    }

    /// Waits; fails when the command is to end.
    pub fn sleep_until(&mut self, deadline: Deadline) -> Result<(), Fail> {
        loop {
            if self.interrupted || self.ending {
                return Err(Fail::Interrupted);
            }
            match self.terminal.wait(deadline) {
                0 => return Ok(()),
                bits => self.notified(bits),
            }
        }
    }

    /// Waits for the end of the system, which the supervisor has promised. Whether it comes.
    pub fn await_stop(&mut self, deadline: Deadline) -> bool {
        while !self.ending {
            match self.terminal.wait(deadline) {
                0 => return false,
                bits => self.ending |= bits & STOP != 0,
            }
        }
        true
    }

    fn notified(&mut self, bits: u64) {
        self.ending |= bits & STOP != 0;
        if bits & INPUT == 0 {
            return;
        }
        // Bits are raised for input that was read long since, too; so this must not wait for ever. And they are raised once for all that is there.
        while let Some(bytes) = self.terminal.read(Deadline::after(LOOK_NS)) {
            // A command runs: nothing is completed.
            for action in self.session.feed(&bytes, &NoNames) {
                match action {
                    Action::Write(bytes) => self.terminal.write(&bytes),
                    Action::Interrupt => self.interrupted = true,
                    Action::Run(_) | Action::Eof => {}
                }
            }
            if bytes.len() < READ as usize || self.interrupted {
                break;
            }
        }
    }
}
