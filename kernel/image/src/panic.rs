//! The end of the kernel: its last words go to memory and to the console, then the machine is switched off.
//!
//! The epitaph is in the symbol `AIOS_EPITAPH`; [`aios_kernel::epitaph`] says what it looks like. Whoever panics a second time, or on another core meanwhile,
//! only stops.

use core::cell::UnsafeCell;
use core::fmt::{self, Write as _};
use core::sync::atomic::{AtomicBool, Ordering};

use aios_aarch64::{barrier, cache, sysreg};
use aios_abi::sentinel;
use aios_kernel::epitaph::{CAUSE_EXCEPTION, CAUSE_PANIC, Epitaph, MAGIC, VERSION};

use crate::{console, cpu, power};

#[repr(transparent)]
struct Grave(UnsafeCell<Epitaph>);

// SAFETY: only the first core to die writes to it, once; nobody of this program reads it.
unsafe impl Sync for Grave {}

#[unsafe(no_mangle)]
static AIOS_EPITAPH: Grave = Grave(UnsafeCell::new(Epitaph::EMPTY));

static DYING: AtomicBool = AtomicBool::new(false);

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let epitaph = Epitaph { cause: CAUSE_PANIC, ..Epitaph::EMPTY };
    match info.location() {
        Some(place) => die(epitaph, format_args!("{} ({}:{})", info.message(), place.file(), place.line())),
        None => die(epitaph, format_args!("{}", info.message())),
    }
}

/// An exception that the kernel itself caused, or one that must not exist: the number of its vector, SP and x30 as they were.
#[unsafe(no_mangle)]
extern "C" fn on_fatal(vector: u64, sp: u64, lr: u64) -> ! {
    let epitaph = Epitaph { cause: CAUSE_EXCEPTION + vector, sp, lr, ..Epitaph::EMPTY };
    let what = match vector {
        0 | 4 => "exception in the kernel",
        1 | 5 => "interrupt in the kernel",
        3 | 7 => "system error in the kernel",
        12..=15 => "exception from a 32-bit program",
        _ => "FIQ",
    };
    die(epitaph, format_args!("{what}"))
}

/// Writes the epitaph, shows it, and ends the machine's run.
fn die(mut epitaph: Epitaph, text: fmt::Arguments<'_>) -> ! {
    barrier::mask_all();
    if DYING.swap(true, Ordering::AcqRel) {
        barrier::park();
    }
    epitaph.version = VERSION;
    epitaph.esr = sysreg::esr_el1::read();
    epitaph.far = sysreg::far_el1::read();
    epitaph.elr = sysreg::elr_el1::read();
    epitaph.counter = sysreg::cntvct_el0::read();
    (epitaph.core, epitaph.agent) = cpu::who();
    let _ = epitaph.write_fmt(text);
    let grave = AIOS_EPITAPH.0.get();
    // SAFETY: `DYING` lets one core come here, once.
    unsafe { grave.write_volatile(epitaph) };
    barrier::dmb_sy();
    // SAFETY: as above. The magic number is the first word, and comes last.
    unsafe { grave.cast::<u64>().write_volatile(MAGIC) };
    // SAFETY: the static is mapped. A dump that is taken after a reset doesn't see the caches.
    unsafe { cache::clean(grave.addr() as u64, size_of::<Epitaph>() as u64) };

    console::print(format_args!("\n"));
    console::mark(sentinel::PANIC, epitaph.text().lines().next().unwrap_or_default());
    let Epitaph { core, agent, cause, esr, far, elr, lr, sp, .. } = epitaph;
    console::print(format_args!("kernel panic: {}\n", epitaph.text()));
    console::print(format_args!("  core {core}, agent {agent}, cause {cause:#x}, ESR {esr:#x}, FAR {far:#x}\n"));
    console::print(format_args!("  ELR {elr:#x}, LR {lr:#x}, SP {sp:#x}\n"));
    console::drain();
    if let Some(firmware) = power::firmware() {
        let _ = firmware.system_off();
    }
    barrier::park()
}
