//! The panic report: place and message, cut to what the kernel takes, handed to the supervisor with the exit.
//!
//! Uses no heap, so that it can report that the heap is used up. A panic while one is being reported
//! ends the program with a fixed text.

use core::fmt::{self, Write};

use crate::agent::PANIC_TEXT;

/// Exit status of a program that panicked.
pub const STATUS: u64 = 101;

/// A text of at most [`PANIC_TEXT`] bytes; what doesn't fit is left out, whole characters only.
#[derive(Clone, Debug)]
pub struct Text {
    bytes: [u8; PANIC_TEXT],
    length: usize,
}

impl Text {
    /// The empty text.
    pub const fn new() -> Self {
        Self { bytes: [0; PANIC_TEXT], length: 0 }
    }

    /// What was written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::new()
    }
}

impl Write for Text {
    /// Fails when something was left out; what is written afterwards is left out, too.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.len() - self.length;
        let fits = text.floor_char_boundary(room);
        self.bytes[self.length..self.length + fits].copy_from_slice(&text.as_bytes()[..fits]);
        self.length += fits;
        if fits < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// The report of a panic: `file:line:column: message`.
pub fn report(place: Option<&core::panic::Location<'_>>, message: &dyn fmt::Display, text: &mut Text) {
    // A text that is cut is what there is to report.
    let _ = match place {
        Some(place) => write!(text, "{place}: {message}"),
        None => write!(text, "{message}"),
    };
}

#[cfg(target_os = "none")]
mod handler {
    use core::sync::atomic::{AtomicBool, Ordering};

    use super::{STATUS, Text, report};
    use crate::agent::exit_panic;

    static PANICKING: AtomicBool = AtomicBool::new(false);

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
        // Load and store, not a swap: there is one thread, and a swap would need what Armv8.0 does with a loop.
        if PANICKING.load(Ordering::Relaxed) {
            exit_panic(STATUS, b"panic while reporting a panic");
        }
        PANICKING.store(true, Ordering::Relaxed);
        let mut text = Text::new();
        report(info.location(), &info.message(), &mut text);
        exit_panic(STATUS, text.as_bytes())
    }
}
