//! A person's session on a serial line: keys in, text out. Ctrl-C and everything else go to the machine; Ctrl-A X leaves.

use std::io::{Write, stdin, stdout};

use anyhow::Result;

use crate::cleanup::Raw;
use crate::mark::{Mark, Piece};
use crate::serial::{Event, Serial};

/// The key that introduces a command to the console itself.
const ESCAPE: u8 = 0x01;

/// How a session ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// The person left.
    Left,
    /// The machine closed the line after it had said that it would power off.
    PoweredOff,
    /// The machine closed the line.
    Closed,
    /// The kernel panicked, then the person left or the line was closed.
    Panicked,
}

/// What a key press means.
#[derive(Debug, PartialEq, Eq)]
enum Key {
    Send(u8),
    Leave,
    Nothing,
}

/// Finds Ctrl-A X and Ctrl-A Ctrl-A among the keys.
#[derive(Default)]
struct Keys {
    escaped: bool,
}

impl Keys {
    fn press(&mut self, byte: u8) -> Key {
        match (std::mem::take(&mut self.escaped), byte) {
            (false, ESCAPE) => {
                self.escaped = true;
                Key::Nothing
            }
            (true, b'x' | b'X') => Key::Leave,
            (true, ESCAPE) | (false, _) => Key::Send(byte),
            // Any other key after Ctrl-A is a slip; it must not reach the shell as a command.
            (true, _) => Key::Nothing,
        }
    }
}

/// Connects terminal and line until one of them ends. `before` is shown first: text that came before the session.
pub fn session(serial: &mut Serial, before: &[u8]) -> Result<Ending> {
    let raw = Raw::enter()?;
    serial.watch_keys(stdin());
    let mut keys = Keys::default();
    let (mut halting, mut panicked) = (false, false);
    show(before);
    let ending = 'session: loop {
        match serial.next(None) {
            Some(Event::Piece(Piece::Text(text))) => show(&text),
            Some(Event::Piece(Piece::Mark(mark))) => match mark {
                Mark::Halt => halting = true,
                Mark::Boot(_) => halting = false,
                Mark::Panic(_) => {
                    panicked = true;
                    show(b"\r\n[kernel panic; Ctrl-A X leaves]\r\n");
                }
                Mark::Prompt | Mark::Begin | Mark::Status(_) => {}
            },
            Some(Event::Keys(bytes)) => {
                let mut send = Vec::new();
                for byte in bytes {
                    match keys.press(byte) {
                        Key::Send(byte) => send.push(byte),
                        Key::Leave => break 'session Ending::Left,
                        Key::Nothing => {}
                    }
                }
                // A line that is gone says so by its own event.
                serial.send(&send);
            }
            Some(Event::KeysClosed) => break Ending::Left,
            Some(Event::Closed) | None => break if halting { Ending::PoweredOff } else { Ending::Closed },
        }
    };
    drop(raw);
    println!();
    Ok(if panicked { Ending::Panicked } else { ending })
}

/// Shows bytes of the machine as they are. A terminal that is gone ends the session through its keys.
fn show(bytes: &[u8]) {
    let mut out = stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(text: &[u8]) -> Vec<Key> {
        let mut keys = Keys::default();
        text.iter().map(|&byte| keys.press(byte)).filter(|key| *key != Key::Nothing).collect()
    }

    #[test]
    fn ctrl_c_goes_to_the_machine() {
        assert_eq!(press(b"\x03"), [Key::Send(3)]);
    }

    #[test]
    fn ctrl_a_x_leaves_and_ctrl_a_twice_sends_one() {
        assert_eq!(press(b"a\x01x"), [Key::Send(b'a'), Key::Leave]);
        assert_eq!(press(b"\x01X"), [Key::Leave]);
        assert_eq!(press(b"\x01\x01x"), [Key::Send(1), Key::Send(b'x')]);
        assert_eq!(press(b"\x01qx"), [Key::Send(b'x')]);
    }
}
