//! The read-only information page ([`aios_abi::info`]).

use aios_abi::AgentId;
use aios_abi::info::{Clock, Word};

/// One word of the page.
#[cfg(target_os = "none")]
#[inline]
pub fn word(word: Word) -> u64 {
    let page: *const u64;
    // SAFETY: reads a register that EL0 may read; the kernel has set it before the program started.
    unsafe { core::arch::asm!("mrs {}, tpidrro_el0", out(reg) page, options(nomem, nostack, preserves_flags)) };
    // SAFETY: the kernel maps the page read-only for the life of every agent, and `Word` stays within it. Volatile: the kernel may change it.
    unsafe { page.wrapping_add(word as usize).read_volatile() }
}

/// One word of the page. On a development machine it is what the fake kernel was told, at first 0.
#[cfg(not(target_os = "none"))]
pub fn word(word: Word) -> u64 {
    crate::sys::fake::info(word)
}

/// How the counter becomes time.
#[inline]
pub fn clock() -> Clock {
    Clock { origin: word(Word::ClockOrigin), multiplier: word(Word::ClockMultiplier), shift: word(Word::ClockShift) as u32 }
}

/// The program's own id.
pub fn agent() -> AgentId {
    AgentId(word(Word::Agent))
}

/// How often the program was restarted, rolled back or cloned.
pub fn incarnation() -> u64 {
    word(Word::Incarnation)
}

/// Whether every core has all of these [`features`](aios_abi::info::features).
pub fn has(features: u64) -> bool {
    word(Word::Features) & features == features
}
