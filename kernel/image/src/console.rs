//! The early console: the UART that the hand-over names, polled, as firmware set it up.
//!
//! A console that doesn't take what is written loses it: there is nobody to tell.

use core::fmt::{self, Write as _};

use aios_abi::sentinel;
use aios_handoff::layout::direct_va;
use aios_handoff::{CONSOLE_DW8250, CONSOLE_PL011, Console};
use aios_mmio::Mmio;
use aios_uart::{AnyUart, Io, Layout, Uart};
use spin::Once;

static CONSOLE: Once<Console> = Once::new();

/// Makes `console` the one to write to, once. The record has been checked.
pub fn install(console: Console) {
    CONSOLE.call_once(|| console);
}

fn uart() -> Option<AnyUart<Mmio>> {
    let console = CONSOLE.get()?;
    // SAFETY: the first stage has mapped the registers as device memory there, for ever; sending bytes has no effect on memory.
    let registers = unsafe { Mmio::new(direct_va(console.base) as usize, console.len as usize) };
    match console.kind {
        CONSOLE_PL011 => Some(AnyUart::pl011(registers)),
        CONSOLE_DW8250 => Some(AnyUart::dw8250(registers, Layout { shift: console.reg_shift as u8, wide: console.reg_io_width == 4 })),
        _ => None,
    }
}

/// Writes bytes as they are.
pub fn write(bytes: &[u8]) {
    let Some(mut uart) = uart() else { return };
    for &byte in bytes {
        if uart.write(byte).is_err() {
            return;
        }
    }
}

/// Writes text; lines end as terminals want them.
pub fn print(text: fmt::Arguments<'_>) {
    if let Some(uart) = uart() {
        let _ = Io(uart).write_fmt(text);
    }
}

/// Writes a mark for whoever drives the console.
pub fn mark(word: &str, argument: &str) {
    let separator = if argument.is_empty() { "" } else { ";" };
    print(format_args!("{}{word}{separator}{argument}{}", sentinel::PREFIX, sentinel::SUFFIX));
}

/// Waits until everything is sent.
pub fn drain() {
    if let Some(mut uart) = uart() {
        let _ = uart.drain();
    }
}
