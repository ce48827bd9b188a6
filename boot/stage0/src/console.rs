//! The early console: the UART that the device tree names, polled, as firmware set it up.

use core::fmt::{self, Write as _};

use aios_abi::sentinel;
use aios_handoff::{CONSOLE_DW8250, CONSOLE_PL011};
use aios_mmio::Mmio;
use aios_uart::{AnyUart, Io, Layout};

use crate::resident;

/// Bytes of registers that a driver touches: 8 of at most 8 bytes each, or a PL011's.
const REGISTERS: usize = 0x100;

/// Writes text to the console, if there is one. A console that doesn't take it loses it: there is nobody to tell.
pub fn print(text: fmt::Arguments<'_>) {
    let console = resident::console();
    // SAFETY: the registers that the device tree gives for the console: Device memory while the MMU is off, mapped as such
    // afterwards. Sending bytes has no effect on memory.
    let registers = unsafe { Mmio::new(console.base as usize, REGISTERS) };
    let uart = match console.kind {
        CONSOLE_PL011 => AnyUart::pl011(registers),
        CONSOLE_DW8250 => AnyUart::dw8250(registers, Layout { shift: console.reg_shift as u8, wide: console.reg_io_width == 4 }),
        _ => return,
    };
    let _ = Io(uart).write_fmt(text);
}

/// Tells whoever drives the console that stage0 runs.
pub fn boot_mark() {
    print(format_args!("{}{};{}{}", sentinel::PREFIX, sentinel::BOOT, sentinel::STAGE0, sentinel::SUFFIX));
}
