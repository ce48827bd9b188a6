//! Time: nanoseconds since boot.

use aios_abi::{Call, Error};

use crate::Result;
use crate::sys::{Regs, syscall};

/// When a call that waits gives up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Deadline(
    /// Nanoseconds since boot.
    pub u64,
);

impl Deadline {
    /// Doesn't wait at all.
    pub const POLL: Self = Self(0);
    /// Waits for ever.
    pub const NEVER: Self = Self(u64::MAX);

    /// `nanoseconds` from now.
    pub fn after(nanoseconds: u64) -> Self {
        Self(now().saturating_add(nanoseconds))
    }
}

/// When a capability ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Expiry(
    /// Nanoseconds since boot; 0 says never, or in a derivation no sooner than the source.
    pub u64,
);

impl Expiry {
    /// No sooner than what it is made from.
    pub const NONE: Self = Self(0);
}

/// Nanoseconds since boot, read from the counter without a system call.
#[inline]
pub fn now() -> u64 {
    #[cfg(target_os = "none")]
    return crate::info::clock().nanoseconds(counter());
    #[cfg(not(target_os = "none"))]
    kernel_now().unwrap_or(0)
}

/// Nanoseconds since boot as the kernel tells them.
#[inline]
pub fn kernel_now() -> Result<u64> {
    let mut regs = Regs::default();
    syscall(Call::TimeNow, &mut regs)?;
    Ok(regs.x[0])
}

/// Has `bits` raised in the program's own notification word at `at` (ns since boot). There is one timer; this replaces what it was set to.
#[inline]
pub fn set_timer(at: u64, bits: u64) -> Result<()> {
    if at == u64::MAX {
        return Err(Error::BadArgument);
    }
    syscall(Call::TimerSet, &mut Regs::default().with([at, bits]))
}

/// Turns the timer off.
#[inline]
pub fn stop_timer() -> Result<()> {
    syscall(Call::TimerSet, &mut Regs::default().with([u64::MAX, 0]))
}

/// The virtual counter.
#[cfg(target_os = "none")]
#[inline]
fn counter() -> u64 {
    let ticks: u64;
    // SAFETY: reads a register that EL0 may read. The barrier keeps the read from being done early.
    unsafe { core::arch::asm!("isb", "mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack, preserves_flags)) };
    ticks
}
