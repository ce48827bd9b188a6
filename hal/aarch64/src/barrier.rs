//! Barriers and hints.

use core::arch::asm;

macro_rules! instructions {
    ($($(#[$doc:meta])* $name:ident: $instruction:literal;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub fn $name() {
            // SAFETY: orders or delays what happens, and changes nothing; the compiler takes it as access to all memory.
            unsafe { asm!($instruction, options(nostack, preserves_flags)) }
        }
    )*};
}

instructions! {
    /// Instruction synchronisation: later instructions see earlier changes of system registers.
    isb: "isb";
    /// Waits until all earlier accesses and maintenance are complete, for the whole system.
    dsb_sy: "dsb sy";
    /// Waits until all earlier accesses and maintenance are complete, for all cores.
    dsb_ish: "dsb ish";
    /// Waits until all earlier stores are complete, for all cores.
    dsb_ishst: "dsb ishst";
    /// Waits until all earlier accesses and maintenance are complete, for this core.
    dsb_nsh: "dsb nsh";
    /// Orders earlier accesses before later ones, for all cores.
    dmb_ish: "dmb ish";
    /// Orders earlier accesses before later ones, for the whole system (devices that read memory, say).
    dmb_sy: "dmb sy";
    /// Waits for an interrupt, masked or not. May return earlier.
    wfi: "wfi";
    /// Waits for an event. May return earlier.
    wfe: "wfe";
    /// Sends an event to all cores.
    sev: "sev";
    /// Masks debug exceptions, SError, IRQ and FIQ.
    mask_all: "msr daifset, #15";
    /// Masks IRQ.
    mask_irq: "msr daifset, #2";
    /// Lets IRQ through.
    unmask_irq: "msr daifclr, #2";
    /// Lets SError through.
    unmask_serror: "msr daifclr, #4";
}

/// Stops this core for ever.
pub fn park() -> ! {
    mask_all();
    loop {
        wfe();
    }
}
