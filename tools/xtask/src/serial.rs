//! A serial line: bytes in and out, marks taken out, everything kept in a log.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::frames::{Decoder, Tables};
use crate::mark::{Parser, Piece};

/// How long text is held back that may become a log frame: longer than the pause between two pieces of a line, too short to be noticed.
const HOLD: Duration = Duration::from_millis(30);

/// What can arrive while a serial line is watched.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The line said something.
    Piece(Piece),
    /// The line was closed at the other end.
    Closed,
    /// A person typed something.
    Keys(Vec<u8>),
    /// There will be no more keys.
    KeysClosed,
}

enum Arrival {
    Bytes(Vec<u8>),
    Closed,
    Keys(Vec<u8>),
    KeysClosed,
}

/// One end of a serial line.
pub struct Serial {
    arrivals: Receiver<Arrival>,
    sender: Sender<Arrival>,
    output: Box<dyn Write + Send>,
    parser: Parser,
    frames: Option<Decoder>,
    pieces: VecDeque<Piece>,
    closed: bool,
    log: Vec<u8>,
    file: Option<File>,
}

impl Serial {
    /// A line that is read and written by these; what it says is also written to the file `log`.
    pub fn new(input: impl Read + Send + 'static, output: impl Write + Send + 'static, log: Option<&Path>) -> Result<Self> {
        let (sender, arrivals) = channel();
        pump(input, sender.clone(), Arrival::Bytes, Arrival::Closed);
        let file = log
            .map(|path| {
                path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
                File::create(path)
            })
            .transpose()
            .context("can't write the console log")?;
        let output = Box::new(output);
        Ok(Self {
            arrivals,
            sender,
            output,
            parser: Parser::default(),
            frames: None,
            pieces: VecDeque::new(),
            closed: false,
            log: Vec::new(),
            file,
        })
    }

    /// Also delivers what arrives on `keys`, from now on.
    pub fn watch_keys(&self, keys: impl Read + Send + 'static) {
        pump(keys, self.sender.clone(), Arrival::Keys, Arrival::KeysClosed);
    }

    /// Decodes log frames by these tables from now on. The log keeps them as they came.
    pub fn decode(&mut self, tables: Rc<Tables>) {
        self.frames = Some(Decoder::new(tables));
    }

    /// The next event, or `None` when `until` passes without one.
    pub fn next(&mut self, until: Option<Instant>) -> Option<Event> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Some(Event::Piece(piece));
            }
            if std::mem::take(&mut self.closed) {
                return Some(Event::Closed);
            }
            let held = self.frames.as_ref().is_some_and(Decoder::holds).then(|| Instant::now() + HOLD);
            let arrival = match held.into_iter().chain(until).min() {
                Some(until) => self.arrivals.recv_timeout(until.saturating_duration_since(Instant::now())),
                None => self.arrivals.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            if arrival.is_err() && held.is_some() {
                self.release();
                continue;
            }
            match arrival.ok()? {
                Arrival::Bytes(bytes) => {
                    self.keep(&bytes);
                    for piece in self.parser.push(&bytes) {
                        self.piece(piece);
                    }
                }
                Arrival::Closed => {
                    let rest = self.parser.finish();
                    self.piece(Piece::Text(rest));
                    self.release();
                    self.closed = true;
                }
                Arrival::Keys(bytes) => return Some(Event::Keys(bytes)),
                Arrival::KeysClosed => return Some(Event::KeysClosed),
            }
        }
    }

    /// Sends bytes; false when the other end is gone.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.output.write_all(bytes).and_then(|()| self.output.flush()).is_ok()
    }

    /// Everything that the line said so far, marks included.
    pub fn log(&self) -> &[u8] {
        &self.log
    }

    /// Takes a piece in, its frames decoded.
    fn piece(&mut self, piece: Piece) {
        match (piece, &mut self.frames) {
            (Piece::Text(text), Some(frames)) => {
                let text = frames.push(&text);
                self.text(text);
            }
            (Piece::Text(text), None) => self.text(text),
            (mark, _) => {
                self.release();
                self.pieces.push_back(mark);
            }
        }
    }

    /// Lets go what was held back as a possible frame.
    fn release(&mut self) {
        let text = self.frames.as_mut().map(Decoder::flush).unwrap_or_default();
        self.text(text);
    }

    fn text(&mut self, text: Vec<u8>) {
        if !text.is_empty() {
            self.pieces.push_back(Piece::Text(text));
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.log.extend_from_slice(bytes);
        if let Some(file) = &mut self.file {
            // A full disk must not end a session; the log in memory is complete.
            let _ = file.write_all(bytes);
        }
    }
}

/// Reads `input` on a thread of its own until it ends.
fn pump(mut input: impl Read + Send + 'static, sender: Sender<Arrival>, bytes: fn(Vec<u8>) -> Arrival, end: Arrival) {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = input.read(&mut buffer) {
            if sender.send(bytes(buffer[..length].to_vec())).is_err() {
                return;
            }
        }
        let _ = sender.send(end);
    });
}
