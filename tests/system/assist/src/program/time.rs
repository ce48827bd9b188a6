//! Deadlines, and the clock.

use core::hint::black_box;

use aios_abi::ABI_VERSION;
use aios_abi::info::{MAGIC, Word};
use aios_abi::limits::{INFO_PAGE, PAGE_SIZE};
use aios_assist::status;
use aios_rt::time::{Deadline, kernel_now, now, set_timer};
use aios_rt::{info, ipc};

use super::setup;

/// The notification bit of the timer.
const TIMER: u64 = 1;

/// In each of `periods`, waits for its start, works for `work` ns, and counts those whose end had passed by then. What is 0 is chosen: a tenth
/// of a millisecond of work, periods of ten, a hundred of them.
pub fn deadlines(work: u64, period: u64, periods: u64) -> u64 {
    let or = |value, default| if value == 0 { default } else { value };
    let (work, period, periods) = (or(work, 100_000), or(period, 10_000_000), or(periods, 100));
    let mut start = now();
    let mut missed = 0;
    for _ in 0..periods {
        start = start.saturating_add(period);
        if let Err(error) = set_timer(start, TIMER) {
            return setup(error);
        }
        while now() < start {
            match ipc::wait(Deadline::NEVER) {
                // A bit left over from the period before is taken for what it is by the loop.
                Ok(_) => {}
                Err(error) => return setup(error),
            }
        }
        let mut turns = 0u64;
        let end = now().saturating_add(work);
        while now() < end {
            turns = black_box(turns.wrapping_add(1));
        }
        if now() > start.saturating_add(period) {
            missed += 1;
            // What was missed is past: the next period is one that is still to come.
            start = now();
        }
    }
    missed
}

/// Counts what is wrong with the information page.
pub fn info_page() -> u64 {
    let page: u64;
    // SAFETY: reads a register that EL0 may read.
    unsafe { core::arch::asm!("mrs {}, tpidrro_el0", out(reg) page, options(nomem, nostack, preserves_flags)) };
    let mut wrong = u64::from(page != INFO_PAGE);
    wrong += u64::from(info::word(Word::Magic) != MAGIC);
    wrong += u64::from(info::word(Word::AbiVersion) != u64::from(ABI_VERSION));
    wrong += u64::from(info::word(Word::PageSize) != PAGE_SIZE as u64);
    wrong += u64::from(info::agent().is_kernel());
    wrong += u64::from(info::word(Word::Cores) == 0);
    let frequency: u64;
    // SAFETY: reads a register that EL0 may read.
    unsafe { core::arch::asm!("mrs {}, cntfrq_el0", out(reg) frequency, options(nomem, nostack, preserves_flags)) };
    wrong += u64::from(info::word(Word::Frequency) != frequency);
    for _ in 0..100 {
        let before = now();
        let kernel = match kernel_now() {
            Ok(kernel) => kernel,
            Err(error) => return setup(error),
        };
        // The two clocks are one, so that the kernel's time lies between two of the program's.
        wrong += u64::from(kernel < before || kernel > now());
    }
    if wrong == 0 { status::PASSED } else { wrong }
}
