//! Marks for the counting plugin, from Rust.

use core::arch::asm;

/// The next row begins.
pub fn next() {
    // SAFETY: moves a number to the zero register.
    unsafe { asm!(".inst 0xd280001f | 1 << 5", options(nomem, nostack, preserves_flags)) };
}

/// An operation begins.
#[inline(always)]
pub fn open() {
    // SAFETY: moves a number to the zero register. It clobbers memory: nothing is moved across.
    unsafe { asm!(".inst 0xd280001f | 2 << 5", options(nostack, preserves_flags)) };
}

/// The operation goes on.
#[inline(always)]
pub fn reopen() {
    // SAFETY: as `open`.
    unsafe { asm!(".inst 0xd280001f | 3 << 5", options(nostack, preserves_flags)) };
}

/// The operation pauses, or ends.
#[inline(always)]
pub fn close() {
    // SAFETY: as `open`.
    unsafe { asm!(".inst 0xd280001f", options(nostack, preserves_flags)) };
}

/// The counter.
#[inline(always)]
pub fn ticks() -> u64 {
    let ticks;
    // SAFETY: reads a register that EL0 may read.
    unsafe { asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nostack, preserves_flags)) };
    ticks
}

/// Everything was counted.
pub fn report() {
    // SAFETY: moves a number to the zero register.
    unsafe { asm!(".inst 0xd280001f | 4 << 5", options(nomem, nostack, preserves_flags)) };
}
