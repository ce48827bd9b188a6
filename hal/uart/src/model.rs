//! Software models of the devices, stricter than these: a *violation* (line settings written, a read of an empty receive FIFO,
//! an access of the wrong width or to no register) is a panic, where the device may behave at random.
//!
//! A model is a register file for the driver on one side, and a [`Line`] for the test on the other.

mod dw8250;
mod pl011;

pub use dw8250::Dw8250Model;
pub use pl011::Pl011Model;

use crate::Fault;

/// What happens at the outer side of a UART.
pub trait Line {
    /// A byte arrives. When there is no room for it, it is lost and the device notes an overrun.
    fn receive(&self, byte: u8, fault: Option<Fault>);
    /// Time passes without a byte arriving: long enough for the receive timeout.
    fn pause(&self);
    /// The transmitter sends its next byte, if it has one.
    fn send(&self) -> Option<u8>;
    /// Whether the interrupt line is active.
    fn interrupt(&self) -> bool;
}

/// Bytes that each FIFO holds when FIFOs are on; else one.
pub const FIFO: usize = 16;
