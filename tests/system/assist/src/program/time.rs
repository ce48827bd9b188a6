//! Deadlines, and the clock.

use core::hint::black_box;

use aios_abi::ABI_VERSION;
use aios_abi::info::{MAGIC, Word};
use aios_abi::limits::{INFO_PAGE, PAGE_SIZE};
use aios_rt::time::{Deadline, kernel_now, now, set_timer};
use aios_rt::{Result, info, ipc};

/// The notification bit of the timer.
const TIMER: u64 = 1;

/// In each of `periods`, waits for its start, works for `work` ns, and counts those whose end had passed by then. What is 0 is chosen: a tenth
/// of a millisecond of work, periods of ten, a hundred of them.
pub fn deadlines(work: u64, period: u64, periods: u64) -> Result<u64> {
    let or = |value, default| if value == 0 { default } else { value };
    let (work, period, periods) = (or(work, 100_000), or(period, 10_000_000), or(periods, 100));
    let mut start = now();
    let mut missed = 0;
    for _ in 0..periods {
        start = start.saturating_add(period);
        set_timer(start, TIMER)?;
        while now() < start {
            // A bit left over from the period before is taken for what it is by the loop.
            ipc::wait(Deadline::NEVER)?;
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
    Ok(missed)
}

/// Counts what is wrong with the information page.
pub fn info_page() -> Result<u64> {
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
        let kernel = kernel_now()?;
        // The two clocks are one, so that the kernel's time lies between two of the program's.
        wrong += u64::from(kernel < before || kernel > now());
    }
    Ok(wrong)
}
