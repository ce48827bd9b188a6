//! What must be undone however this program ends: the terminal's mode, and machines that still run.
//!
//! The same undoing happens on a normal end (guards), on a panic (hook) and on a signal (a thread that waits for one).

use std::io::stdin;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

struct Undo {
    terminal: Option<Termios>,
    /// Leaders of process groups.
    children: Vec<Pid>,
    /// Ctrl-C belongs to a program that we started and wait for.
    interrupts_ignored: bool,
}

static UNDO: Mutex<Undo> = Mutex::new(Undo { terminal: None, children: Vec::new(), interrupts_ignored: false });

fn with<T>(action: impl FnOnce(&mut Undo) -> T) -> T {
    action(&mut UNDO.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Arranges that a panic and a signal undo everything too. Called once, before anything is started.
pub fn install() -> Result<()> {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        undo();
        report(panic);
    }));
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]).context("can't listen for signals")?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if signal != SIGINT || !with(|undo| undo.interrupts_ignored) {
                undo();
                std::process::exit(128 + signal);
            }
        }
    });
    Ok(())
}

/// Does something during which Ctrl-C is for a child process and does not end this program.
pub fn without_interrupts<T>(action: impl FnOnce() -> T) -> T {
    with(|undo| undo.interrupts_ignored = true);
    let result = action();
    with(|undo| undo.interrupts_ignored = false);
    result
}

fn undo() {
    with(|undo| {
        for &child in &undo.children {
            let _ = kill_process_group(child, Signal::KILL);
        }
        restore(undo);
    });
}

fn restore(undo: &mut Undo) {
    if let Some(before) = undo.terminal.take() {
        let _ = tcsetattr(stdin(), OptionalActions::Flush, &before);
    }
}

/// A child process in a group of its own, which is killed with all that it started when the value is dropped, and when this program ends
/// by a signal or a panic.
pub struct Group {
    child: Child,
    leader: Pid,
}

impl Group {
    /// Starts the command. Its group gets no signal from the terminal: Ctrl-C reaches only us.
    pub fn spawn(command: &mut Command) -> std::io::Result<Self> {
        let child = command.process_group(0).spawn()?;
        let leader = Pid::from_child(&child);
        with(|undo| undo.children.push(leader));
        Ok(Self { child, leader })
    }

    /// The process itself.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        with(|undo| undo.children.retain(|&leader| leader != self.leader));
        // A group that has ended is no error; a leader that was waited for may have left children behind.
        let _ = kill_process_group(self.leader, Signal::KILL);
        let _ = self.child.wait();
    }
}

/// The terminal in raw mode: every key reaches us as bytes, none makes a signal or an echo.
pub struct Raw(());

impl Raw {
    /// Puts the terminal of standard input into raw mode until the value is dropped.
    pub fn enter() -> Result<Self> {
        let before = tcgetattr(stdin()).context("standard input is no terminal")?;
        let mut raw = before.clone();
        raw.make_raw();
        with(|undo| undo.terminal = Some(before));
        tcsetattr(stdin(), OptionalActions::Now, &raw).context("can't put the terminal into raw mode")?;
        Ok(Self(()))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        with(restore);
    }
}
