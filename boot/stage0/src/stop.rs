//! The end, when the machine can't be started: one line, then power-off.

use core::arch::asm;
use core::fmt::Display;
use core::sync::atomic::{AtomicU8, Ordering};

use aios_handoff::{PSCI_HVC, PSCI_NONE, PSCI_SMC};

use crate::{console, resident};

/// PSCI function number of SYSTEM_OFF (Arm DEN 0022).
const SYSTEM_OFF: u64 = 0x8400_0008;

/// Reports `reason` and stops.
pub fn fail(reason: &dyn Display) -> ! {
    console::print(format_args!("\nstage0: {reason}\n"));
    stop()
}

/// Powers the machine off, or waits for ever where that can't be done.
fn stop() -> ! {
    match resident::psci() {
        // SAFETY: by the calling convention the firmware changes nothing of ours but registers x0 to x17, and this call does not return.
        PSCI_HVC => unsafe { asm!("hvc #0", inout("x0") SYSTEM_OFF => _, clobber_abi("C")) },
        // SAFETY: as above.
        PSCI_SMC => unsafe { asm!("smc #0", inout("x0") SYSTEM_OFF => _, clobber_abi("C")) },
        _ => {}
    }
    loop {
        // SAFETY: waits.
        unsafe { asm!("wfe", options(nomem, nostack, preserves_flags)) };
    }
}

/// Called by `vectors.S`: an exception in stage0 itself.
///
/// The report may cause the next exception (a console that isn't there), and so may the call of the firmware: each is left out from then on.
#[unsafe(no_mangle)]
extern "C" fn stage0_exception(vector: u64, esr: u64, elr: u64, far: u64) -> ! {
    static COUNT: AtomicU8 = AtomicU8::new(0);
    let earlier = COUNT.load(Ordering::Relaxed);
    COUNT.store(earlier.saturating_add(1), Ordering::Relaxed);
    match earlier {
        0 => fail(&format_args!("exception {vector} at {elr:#x}, ESR {esr:#x}, FAR {far:#x}")),
        1 => {}
        _ => resident::set_psci(PSCI_NONE),
    }
    stop()
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    match info.location() {
        Some(place) => fail(&format_args!("{} ({}:{})", info.message(), place.file(), place.line())),
        None => fail(&info.message()),
    }
}
