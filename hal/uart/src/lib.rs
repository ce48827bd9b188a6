//! UART drivers: PL011 and DesignWare 8250.
//!
//! Purpose: one small interface, [`Uart`], over both kinds of console UART, for boot, kernel and the driver server. Drivers
//! are generic over [`aios_mmio::Registers`]: they run on the device and, in tests, on its model (feature `model`).
//!
//! Invariants:
//! - Line settings (speed, format, FIFO mode) are firmware's and stay: no driver here writes them.
//! - No wait without a bound: a device that doesn't answer is [`Error::Stuck`].
//! - The receive register is never read without data, but for the one case that the DesignWare part needs it.
//!
//! Sources: Arm PrimeCell UART (PL011) Technical Reference Manual, DDI 0183; Synopsys DW_apb_uart databook as reflected in the
//! binding `snps-dw-apb-uart.yaml`; for its quirks, what the comments of Linux's `8250_dw.c` report.
#![no_std]
#![forbid(unsafe_code)]

mod any;
mod dw8250;
mod io;
#[cfg(feature = "model")]
pub mod model;
mod pl011;

use core::fmt;

pub use any::AnyUart;
pub use dw8250::{Dw8250, Layout};
pub use io::Io;
pub use pl011::Pl011;

/// How often a state is polled before the device counts as stuck: more than the time of a full FIFO at 9600 baud, even when a
/// poll takes no more than a hundred nanoseconds.
const POLLS: u32 = 1_000_000;

/// A UART, as its users see it.
pub trait Uart {
    /// Makes the device ready: all interrupts masked and cleared, line settings as firmware left them.
    ///
    /// # Errors
    /// When firmware left the device in a state that can't be used without changing the line settings.
    fn init(&mut self) -> Result<(), Error>;

    /// Whether a byte can be written right now.
    fn tx_ready(&mut self) -> bool;

    /// Sends a byte if there is room for it. Returns whether it was taken.
    #[must_use]
    fn try_write(&mut self, byte: u8) -> bool;

    /// Takes the next received byte, if there is one.
    fn try_read(&mut self) -> Option<Received>;

    /// Enables the interrupts that are true in `wanted` and masks the others. *Receive* comes when there is something to
    /// read, *transmit* when there is room again after [`try_write`](Uart::try_write) was refused.
    fn set_interrupts(&mut self, wanted: Interrupts);

    /// Acknowledges what the device signals and says what it was. After *receive*, read until there is nothing more; after
    /// *transmit*, write until there is nothing more or no room (and mask it in the first case).
    fn acknowledge(&mut self) -> Interrupts;

    /// Whether everything that was written has left the device.
    fn is_idle(&mut self) -> bool;

    /// Sends a byte, waiting for room.
    ///
    /// # Errors
    /// When there is none for too long.
    fn write(&mut self, byte: u8) -> Result<(), Error> {
        poll(|| self.try_write(byte))
    }

    /// Waits until everything that was written has left the device.
    ///
    /// # Errors
    /// When that takes too long.
    fn drain(&mut self) -> Result<(), Error> {
        poll(|| self.is_idle())
    }
}

impl<U: Uart + ?Sized> Uart for &mut U {
    fn init(&mut self) -> Result<(), Error> {
        (**self).init()
    }
    fn tx_ready(&mut self) -> bool {
        (**self).tx_ready()
    }
    fn try_write(&mut self, byte: u8) -> bool {
        (**self).try_write(byte)
    }
    fn try_read(&mut self) -> Option<Received> {
        (**self).try_read()
    }
    fn set_interrupts(&mut self, wanted: Interrupts) {
        (**self).set_interrupts(wanted);
    }
    fn acknowledge(&mut self) -> Interrupts {
        (**self).acknowledge()
    }
    fn is_idle(&mut self) -> bool {
        (**self).is_idle()
    }
}

fn poll(mut done: impl FnMut() -> bool) -> Result<(), Error> {
    for _ in 0..POLLS {
        if done() {
            return Ok(());
        }
        core::hint::spin_loop();
    }
    Err(Error::Stuck)
}

/// Which causes of interrupt are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interrupts {
    /// Data has been received.
    pub receive: bool,
    /// There is room to send.
    pub transmit: bool,
}

/// A byte from the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// The byte; meaningless after a [`Fault::Break`].
    pub byte: u8,
    /// What went wrong with it, if anything.
    pub fault: Option<Fault>,
}

/// What can go wrong on the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The line was held low: a break condition, not a byte.
    Break,
    /// No stop bit where one must be: the byte is doubtful.
    Framing,
    /// Wrong parity: the byte is doubtful.
    Parity,
    /// The byte is good, but others were lost because nobody read in time.
    Overrun,
}

/// Why a UART can't do what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The device did not get ready in time.
    Stuck,
    /// Firmware left the divisor latch open, so that data registers can't be reached.
    DivisorLatchOpen,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stuck => "UART did not become ready in time",
            Self::DivisorLatchOpen => "UART was left with its divisor latch open",
        })
    }
}

impl core::error::Error for Error {}
