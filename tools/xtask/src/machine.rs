//! A running machine, driven by the marks on its console: nothing is decided by reading prose.
//!
//! Each way in which a machine can fail to answer is a [`Stop`]; the complete console log is kept for the report.

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aios_abi::sentinel;
use anyhow::{Context, Result};

use crate::cleanup::Group;
use crate::mark::{Mark, Piece};
use crate::qemu::{Launch, QEMU};
use crate::serial::{Event, Serial};

/// How long a machine may say nothing before it counts as hung, unless the caller says otherwise.
pub const SILENCE: Duration = Duration::from_secs(60);
/// How long an orderly power-off may take.
const POWER_OFF: Duration = Duration::from_secs(30);
/// How long the console is listened to after a panic mark, for the report that follows it.
const EPITAPH: Duration = Duration::from_millis(500);

/// Why a machine no longer does what was asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The kernel panicked.
    Panic(String),
    /// No byte came for so long.
    Silent(Duration),
    /// It talks, but did not finish within this time.
    Overtime(Duration),
    /// QEMU ended.
    Ended {
        /// How.
        status: String,
        /// What QEMU itself said.
        errors: String,
    },
    /// It started again without being told to.
    Rebooted,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic(reason) if reason.is_empty() => write!(f, "kernel panic"),
            Self::Panic(reason) => write!(f, "kernel panic: {reason}"),
            Self::Silent(time) => write!(f, "no output for {} s", time.as_secs()),
            Self::Overtime(time) => write!(f, "not finished after {} s", time.as_secs()),
            Self::Ended { status, errors } if errors.is_empty() => write!(f, "QEMU ended by itself ({status})"),
            Self::Ended { status, errors } => write!(f, "QEMU ended by itself ({status}): {errors}"),
            Self::Rebooted => write!(f, "the machine rebooted by itself"),
        }
    }
}

impl std::error::Error for Stop {}

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// What it printed, lines ending in `\n` alone.
    pub output: String,
    /// Its status; 0 is success.
    pub status: u32,
    /// What became of the machine.
    pub after: After,
}

/// What became of the machine after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It takes the next command.
    Ready,
    /// It powered off.
    Off,
    /// It started again, and its shell waits.
    Rebooted,
}

/// A machine in QEMU.
pub struct Machine {
    qemu: Group,
    serial: Serial,
    complaints: Option<JoinHandle<String>>,
    silence: Duration,
    at_prompt: bool,
    halting: bool,
    exit: Option<ExitStatus>,
}

impl Machine {
    /// Starts QEMU. What the console says goes to the file `log` as well.
    pub fn start(launch: &Launch, log: &Path, silence: Duration) -> Result<Self> {
        let mut command = launch.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut qemu = Group::spawn(&mut command).with_context(|| format!("can't start {QEMU}"))?;
        let child = qemu.child();
        let (input, output, complaints) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(mut complaints)) = (input, output, complaints) else {
            anyhow::bail!("QEMU was started without pipes");
        };
        let complaints = std::thread::spawn(move || {
            let mut text = Vec::new();
            // What was read before an error is still worth showing.
            let _ = complaints.read_to_end(&mut text);
            String::from_utf8_lossy(&text).trim().to_owned()
        });
        let serial = Serial::new(output, input, Some(log))?;
        Ok(Self { qemu, serial, complaints: Some(complaints), silence, at_prompt: false, halting: false, exit: None })
    }

    /// The serial line, for a person's own session.
    pub fn serial(&mut self) -> &mut Serial {
        &mut self.serial
    }

    /// Everything that the console said, as text; marks are made visible.
    pub fn log(&self) -> String {
        readable(self.serial.log())
    }

    /// Waits until the shell waits for a line. `on_piece` sees everything on the way.
    pub fn wait_prompt(&mut self, on_piece: &mut dyn FnMut(&Piece)) -> Result<(), Stop> {
        while !self.at_prompt {
            let piece = self.next(None)?;
            on_piece(&piece);
        }
        Ok(())
    }

    /// Types one command line at the prompt and waits for its status, at most `limit` if given. `on_text` sees its output as it comes.
    pub fn command(&mut self, line: &str, limit: Option<Duration>, on_text: &mut dyn FnMut(&[u8])) -> Result<Reply, Stop> {
        let end = limit.map(|limit| (Instant::now() + limit, limit));
        while !self.at_prompt {
            self.next(end)?;
        }
        self.at_prompt = false;
        if !self.serial.send(line.as_bytes()) || !self.serial.send(b"\r") {
            return Err(self.ended());
        }
        let mut output = Vec::new();
        let (mut begun, mut restarted) = (false, false);
        loop {
            match self.next(end) {
                Ok(Piece::Text(text)) if begun => {
                    on_text(&text);
                    output.extend(text);
                }
                Ok(Piece::Mark(Mark::Begin)) => begun = true,
                Ok(Piece::Mark(Mark::Status(status))) => {
                    // A prompt that was drawn again meanwhile is not the one to type at.
                    self.at_prompt = false;
                    return Ok(Reply { output: unix_lines(&output), status, after: After::Ready });
                }
                Ok(Piece::Mark(Mark::Boot(stage))) if stage == sentinel::STAGE0 => {
                    self.halting = false;
                    self.wait_prompt(&mut |_| ())?;
                    return Ok(Reply { output: unix_lines(&output), status: 0, after: After::Rebooted });
                }
                // Whatever the command was, its shell is gone; another one goes on.
                Ok(Piece::Mark(Mark::Boot(stage))) if stage == sentinel::SHELL => restarted = true,
                Ok(Piece::Mark(Mark::Prompt)) if restarted => {
                    self.at_prompt = true;
                    return Ok(Reply { output: unix_lines(&output), status: 0, after: After::Ready });
                }
                Ok(_) => {}
                Err(Stop::Ended { .. }) if self.halting => return Ok(Reply { output: unix_lines(&output), status: 0, after: After::Off }),
                Err(stop) => return Err(stop),
            }
        }
    }

    /// Sends bytes as they are, without waiting for anything.
    pub fn type_bytes(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        if self.serial.send(bytes) { Ok(()) } else { Err(self.ended()) }
    }

    /// Waits for a mark of the wanted kind, at most so long; returns it and the text before it.
    pub fn wait_mark(&mut self, wanted: fn(&Mark) -> bool, limit: Duration) -> Result<(Mark, String), Stop> {
        let end = Some((Instant::now() + limit, limit));
        let mut text = Vec::new();
        loop {
            match self.next(end)? {
                Piece::Mark(mark) if wanted(&mark) => return Ok((mark, unix_lines(&text))),
                Piece::Mark(_) => {}
                Piece::Text(bytes) => text.extend(bytes),
            }
        }
    }

    /// Shuts the machine down by the shell's own command; an error when it does not go.
    pub fn shutdown(&mut self) -> Result<(), Stop> {
        if self.exit.is_some() {
            return Ok(());
        }
        let reply = self.command("shutdown", Some(POWER_OFF), &mut |_| ())?;
        if reply.after == After::Off { Ok(()) } else { self.wait_off(POWER_OFF) }
    }

    /// Waits until QEMU ends, whatever the machine says until then.
    pub fn wait_off(&mut self, limit: Duration) -> Result<(), Stop> {
        let end = Some((Instant::now() + limit, limit));
        loop {
            match self.next(end) {
                Ok(_) => {}
                Err(Stop::Ended { .. }) => return Ok(()),
                Err(stop) => return Err(stop),
            }
        }
    }

    /// The next piece; a panic, an end or a silence is an error.
    fn next(&mut self, end: Option<(Instant, Duration)>) -> Result<Piece, Stop> {
        loop {
            let silent = Instant::now() + self.silence;
            let until = end.map_or(silent, |(end, _)| end.min(silent));
            match self.serial.next(Some(until)) {
                Some(Event::Piece(Piece::Mark(Mark::Panic(reason)))) => {
                    let listen = Instant::now() + EPITAPH;
                    while !matches!(self.serial.next(Some(listen)), None | Some(Event::Closed)) {}
                    return Err(Stop::Panic(reason));
                }
                Some(Event::Piece(piece)) => {
                    match &piece {
                        Piece::Mark(Mark::Prompt) => self.at_prompt = true,
                        Piece::Mark(Mark::Halt) => self.halting = true,
                        _ => {}
                    }
                    return Ok(piece);
                }
                Some(Event::Closed) => return Err(self.ended()),
                Some(Event::Keys(_) | Event::KeysClosed) => {}
                None => {
                    return Err(match end {
                        Some((end, limit)) if Instant::now() >= end => Stop::Overtime(limit),
                        _ => Stop::Silent(self.silence),
                    });
                }
            }
            if let Some((end, limit)) = end
                && Instant::now() >= end
            {
                return Err(Stop::Overtime(limit));
            }
        }
    }

    /// Waits for QEMU, whose console was closed, and says how it ended.
    pub fn ended(&mut self) -> Stop {
        let status = match self.qemu.child().wait() {
            Ok(status) => {
                self.exit = Some(status);
                status.to_string()
            }
            Err(error) => error.to_string(),
        };
        let errors = self.complaints.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        Stop::Ended { status, errors }
    }
}

/// Console bytes as text with `\n` line ends.
pub fn unix_lines(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\r', "")
}

/// Console bytes for a report: line ends of this system, escape sequences visible but harmless.
pub fn readable(bytes: &[u8]) -> String {
    unix_lines(bytes)
        .chars()
        .map(|c| if c.is_control() && c != '\n' && c != '\t' { char::from_u32(0x2400 + c as u32).unwrap_or('.') } else { c })
        .collect()
}

#[cfg(test)]
mod tests;
