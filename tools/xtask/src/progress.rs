//! What is being done right now, on standard error: one line a step, with a spinner on a terminal and plain lines elsewhere.

use std::io::{IsTerminal, Write, stderr};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const FRAMES: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const FRAME: Duration = Duration::from_millis(100);

/// Colours of a terminal; empty strings where there is none.
#[derive(Clone, Copy)]
pub struct Style {
    colour: bool,
}

impl Style {
    /// Colours when `stream` is a terminal and `NO_COLOR` is not set.
    pub fn of(stream: &impl IsTerminal) -> Self {
        Self { colour: stream.is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    /// No colours.
    pub fn plain() -> Self {
        Self { colour: false }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Something that went well.
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Something that went wrong.
    pub fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// Something that was left out.
    pub fn odd(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// Something less important.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// A heading.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }
}

/// Where steps are reported.
#[derive(Clone, Copy)]
pub struct Progress {
    spinner: bool,
    style: Style,
}

impl Progress {
    /// Progress for people, or plain lines when `headless` or when standard error is not a terminal.
    pub fn new(headless: bool) -> Self {
        let tty = !headless && stderr().is_terminal();
        Self { spinner: tty, style: if tty { Style::of(&stderr()) } else { Style::plain() } }
    }

    /// Begins a step. It ends with [`Step::done`]; dropped without, it counts as failed.
    pub fn step(&self, phase: &'static str, what: impl Into<String>) -> Step {
        Step::begin(*self, phase, what.into())
    }

    /// One line that stands by itself.
    pub fn note(&self, text: &str) {
        eprintln!("{}", self.style.dim(text));
    }
}

/// One thing that is being done.
pub struct Step {
    progress: Progress,
    phase: &'static str,
    what: String,
    began: Instant,
    detail: Arc<Mutex<String>>,
    ticker: Option<(Sender<()>, JoinHandle<()>)>,
    ended: bool,
}

impl Step {
    fn begin(progress: Progress, phase: &'static str, what: String) -> Self {
        let began = Instant::now();
        let detail = Arc::new(Mutex::new(String::new()));
        let ticker = progress.spinner.then(|| {
            let (stop, stopped) = channel::<()>();
            let (what, detail) = (what.clone(), Arc::clone(&detail));
            let thread = std::thread::spawn(move || {
                let mut frame = 0;
                loop {
                    let now = detail.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    let line = fit(&format!("{phase:<7} {what}  {now}"), width().saturating_sub(3));
                    eprint!("\r\x1b[2K{} {line}", progress.style.odd(FRAMES[frame % FRAMES.len()]));
                    let _ = stderr().flush();
                    frame += 1;
                    if stopped.recv_timeout(FRAME) != Err(RecvTimeoutError::Timeout) {
                        break;
                    }
                }
            });
            (stop, thread)
        });
        if !progress.spinner {
            eprintln!("{phase}: {what}");
        }
        Self { progress, phase, what, began, detail, ticker, ended: false }
    }

    /// What the step is at: beside the spinner, or as a line of its own where `lines` says so and there is no spinner.
    pub fn detail(&self, text: &str, lines: bool) {
        if self.progress.spinner {
            text.clone_into(&mut self.detail.lock().unwrap_or_else(PoisonError::into_inner));
        } else if lines {
            eprintln!("{}: {text}", self.phase);
        }
    }

    /// Ends the step well; `note` says what came out.
    pub fn done(mut self, note: &str) {
        self.end(true, note);
    }

    fn end(&mut self, good: bool, note: &str) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        if let Some((stop, thread)) = self.ticker.take() {
            drop(stop);
            let _ = thread.join();
        }
        let Progress { spinner, style } = self.progress;
        let seconds = format!("{:.1} s", self.began.elapsed().as_secs_f64());
        let (phase, what) = (self.phase, &self.what);
        if spinner {
            let sign = if good { style.good("✓") } else { style.bad("✗") };
            eprintln!(
                "\r\x1b[2K{sign} {phase:<7} {what}  {}",
                style.dim(&format!("{note}{}{seconds}", if note.is_empty() { "" } else { ", " }))
            );
        } else {
            let word = if good { "done" } else { "failed" };
            let note = if note.is_empty() { String::new() } else { format!(", {note}") };
            eprintln!("{phase}: {what}: {word} in {seconds}{note}");
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.end(false, "");
    }
}

/// Columns of the terminal.
fn width() -> usize {
    rustix::termios::tcgetwinsize(stderr()).ok().map(|size| usize::from(size.ws_col)).filter(|&columns| columns > 0).unwrap_or(80)
}

/// The text cut to so many columns, so that a spinner's line never wraps.
fn fit(text: &str, columns: usize) -> String {
    text.chars().take(columns).collect()
}
