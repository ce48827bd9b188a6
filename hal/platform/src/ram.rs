//! What of the memory may be used: banks minus everything that is taken.

use heapless::Vec;

use crate::Range;
use crate::error::Error;
use crate::platform::{MAX_BANKS, Platform};

/// Most ranges of usable memory.
pub const MAX_USABLE: usize = 64;
/// Size and alignment of the pages that memory is handed out in, in bytes.
pub const PAGE_SIZE: u64 = 4096;

/// The whole pages of memory that are neither reserved, nor the initial ramdisk, nor in `taken`, in ascending order, as few
/// ranges as possible. What else is in memory (the tree itself, the loaded program) is the caller's to list in `taken`.
///
/// # Errors
/// When there are more than [`MAX_USABLE`] ranges.
pub fn usable_ram(platform: &Platform<'_>, taken: &[Range]) -> Result<Vec<Range, MAX_USABLE>, Error<'static>> {
    let mut usable = Vec::new();
    for bank in merged(&platform.memory) {
        let holes = || platform.reserved.iter().chain(platform.initrd.iter()).chain(taken).filter(|hole| !hole.is_empty());
        let mut at = bank.start();
        // Each round ends at the end of the nearest hole, so that there are at most as many rounds as holes.
        while at < bank.end() {
            let next = holes().filter(|hole| hole.end() > at).min_by_key(|hole| hole.start());
            let until = next.map_or(bank.end(), |hole| hole.start().min(bank.end()));
            if let Some(pages) = whole_pages(at, until) {
                usable.push(pages).map_err(|_| Error::TooMany { what: "ranges of usable memory", limit: MAX_USABLE })?;
            }
            at = next.map_or(bank.end(), |hole| hole.end());
        }
    }
    Ok(usable)
}

/// All memory that the banks hold, in bytes, taken or not.
#[must_use]
pub fn total_ram(platform: &Platform<'_>) -> u64 {
    merged(&platform.memory).iter().map(Range::size).sum()
}

/// The banks in ascending order, touching and overlapping ones made one.
fn merged(banks: &Vec<Range, MAX_BANKS>) -> Vec<Range, MAX_BANKS> {
    let mut merged: Vec<Range, MAX_BANKS> = Vec::new();
    let mut at = 0;
    // Each round ends at the end of another bank.
    while let Some(bank) = banks.iter().filter(|bank| bank.end() > at).min_by_key(|bank| bank.start()) {
        at = bank.end();
        match merged.last_mut() {
            Some(last) if bank.start() <= last.end() => *last = Range::between(last.start(), at).unwrap_or(*last),
            // There is room: never more ranges come out than go in.
            _ => drop(merged.push(*bank)),
        }
    }
    merged
}

/// The whole pages between two addresses, if there are any.
fn whole_pages(start: u64, end: u64) -> Option<Range> {
    let first = start.checked_next_multiple_of(PAGE_SIZE)?;
    let end = end & !(PAGE_SIZE - 1);
    Range::between(first, end).filter(|range| !range.is_empty())
}
