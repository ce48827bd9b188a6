//! The kernel's early console: marks, and lines that nobody else can take yet.

use core::fmt::{self, Write};

use aios_abi::call::init::SLOT_CONSOLE;
use aios_abi::sentinel::{PREFIX, SUFFIX};
use aios_rt::machine::Writer;
use aios_rt::slot::{Console, Slot};

/// Init's capability to it.
pub fn console() -> Console {
    Slot::first(SLOT_CONSOLE).cast()
}

/// Writes a mark for programs that drive the console.
pub fn mark(word: &str, argument: &str) {
    // There is nobody to tell that the console doesn't work.
    let _ = write!(Writer(console()), "{PREFIX}{word};{argument}{SUFFIX}");
}

/// Writes a line below whatever stands there.
pub fn interrupt(text: fmt::Arguments<'_>) {
    let _ = write!(Writer(console()), "\r\ninit: {text}\r\n");
}

/// Writes a line.
pub fn line(text: fmt::Arguments<'_>) {
    let _ = write!(Writer(console()), "init: {text}\r\n");
}
