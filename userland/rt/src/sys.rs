//! The one way into the kernel.

use aios_abi::Error;

#[cfg(target_os = "none")]
mod bare;
#[cfg(not(target_os = "none"))]
pub mod fake;

#[cfg(target_os = "none")]
pub use bare::syscall;
#[cfg(not(target_os = "none"))]
pub use fake::syscall;

/// The registers of a call, apart from `x8`. All are written before the call and read after it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Regs {
    /// `x0`–`x7`.
    pub x: [u64; 8],
    /// `x9`: the slot; out: the sender.
    pub x9: u64,
    /// `x10`: length, capabilities, flags.
    pub x10: u64,
    /// `x11`: the buffer; out: the badge.
    pub x11: u64,
    /// `x12`: the deadline; out: the message id.
    pub x12: u64,
    /// `x13`: notification bits of a PQC operation.
    pub x13: u64,
}

impl Regs {
    /// Registers with a slot or handle in `x9`.
    #[inline(always)]
    pub const fn at(x9: u64) -> Self {
        Self { x: [0; 8], x9, x10: 0, x11: 0, x12: 0, x13: 0 }
    }

    /// The same with these words in `x0`…
    #[inline(always)]
    pub fn with<const N: usize>(mut self, words: [u64; N]) -> Self {
        const { assert!(N <= 8) };
        self.x[..N].copy_from_slice(&words);
        self
    }
}

/// The meaning of a status. One that this ABI version does not have can only come from a kernel of another.
#[inline(always)]
pub(crate) fn result(status: u64) -> Result<(), Error> {
    if status == 0 {
        return Ok(());
    }
    Err(u16::try_from(status).ok().and_then(Error::from_code).unwrap_or(Error::WrongVersion))
}
