//! The end of the machine's run.

use aios_aarch64::barrier;
use aios_aarch64::psci::{Conduit, Psci};
use aios_abi::sentinel;
use aios_handoff::{PSCI_HVC, PSCI_SMC};
use spin::Once;

use crate::console;

static FIRMWARE: Once<Psci<Conduit>> = Once::new();

/// Takes the way to call firmware from the hand-over.
pub fn install(psci: u32) {
    match psci {
        PSCI_HVC => FIRMWARE.call_once(|| Psci(Conduit::Hvc)),
        PSCI_SMC => FIRMWARE.call_once(|| Psci(Conduit::Smc)),
        _ => return,
    };
}

/// The machine's firmware, if it has PSCI.
pub fn firmware() -> Option<&'static Psci<Conduit>> {
    FIRMWARE.get()
}

/// Switches the machine off or starts it anew. Comes back only if firmware can't.
pub fn end(reset: bool) {
    console::mark(sentinel::HALT, "");
    console::drain();
    if let Some(firmware) = firmware() {
        let _ = if reset { firmware.system_reset() } else { firmware.system_off() };
    }
}

/// Switches the machine off, or stops this core where firmware can't.
pub fn off() -> ! {
    end(false);
    barrier::park()
}
