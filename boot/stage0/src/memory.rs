//! What memory there is, and who has it.

use aios_handoff::Range;
use aios_handoff::layout::{DIRECT_MAP_SIZE, PAGE_SIZE};
use aios_platform::Platform;

use crate::{Failure, RangeSet, pages_around};

/// Memory as sets of pages. `free` is always a part of `mapped`.
#[derive(Clone, Debug)]
pub struct Memory {
    /// All memory that may be touched: usable RAM and what the firmware loaded into RAM.
    pub mapped: RangeSet,
    /// The part of it that nobody has.
    pub free: RangeSet,
    /// Bytes of RAM that the device tree lists.
    pub total: u64,
}

impl Memory {
    /// Memory of `platform`, in which the firmware has placed three things, given as whole pages: `image` (stage0 itself, its
    /// payload and scratch memory), `dtb` and `initrd`.
    ///
    /// RAM beyond the direct map window is left out.
    ///
    /// # Errors
    /// When one of the three lies outside of RAM or overlaps another, or memory has too many pieces.
    pub fn new<'a>(platform: &Platform<'a>, image: Range, dtb: Range, initrd: Range) -> Result<Self, Failure<'a>> {
        let mut banks = RangeSet::new();
        for bank in &platform.memory {
            banks.insert(clip(bank.start(), bank.end()))?;
        }
        let mut mapped = RangeSet::new();
        for range in aios_platform::usable_ram(platform, &[])? {
            mapped.insert(clip(range.start(), range.end()))?;
        }
        let mut placed = RangeSet::new();
        for (range, name) in [(image, "boot image"), (dtb, "device tree"), (initrd, "bundle")] {
            if !banks.contains(range) {
                return Err(Failure::OutsideMemory(name));
            }
            if placed.overlaps(range) {
                return Err(Failure::Overlap(name));
            }
            // Firmware may have listed it as reserved, or not: it is memory in either case.
            placed.insert(range)?;
            mapped.insert(range)?;
        }
        let mut free = mapped.clone();
        for range in placed.as_slice() {
            free.remove(*range)?;
        }
        Ok(Self { mapped, free, total: aios_platform::total_ram(platform) })
    }

    /// Takes `len` bytes, rounded up to pages, at a multiple of `align`.
    ///
    /// # Errors
    /// [`Failure::NoMemory`] with `what`.
    pub fn take(&mut self, len: u64, align: u64, what: &'static str) -> Result<Range, Failure<'static>> {
        let len = len.checked_next_multiple_of(PAGE_SIZE).ok_or(Failure::NoMemory(what))?;
        self.free.allocate(len, align)?.ok_or(Failure::NoMemory(what))
    }

    /// Makes `range` free that was taken.
    ///
    /// # Errors
    /// When memory has too many pieces.
    pub fn give_back(&mut self, range: Range) -> Result<(), Failure<'static>> {
        Ok(self.free.insert(range)?)
    }
}

/// The range from `start` to `end` without what lies beyond the direct map window.
fn clip(start: u64, end: u64) -> Range {
    let (start, end) = (start.min(DIRECT_MAP_SIZE), end.min(DIRECT_MAP_SIZE));
    Range::new(start, end - start)
}

/// The pages of the registers that stage0 and the kernel use: interrupt controller and console.
///
/// # Errors
/// [`Failure::DeviceAddress`] when registers lie in RAM or beyond the direct map window.
pub fn devices<'a>(platform: &Platform<'a>) -> Result<RangeSet, Failure<'a>> {
    let gic = &platform.gic;
    let gic_ranges = gic.redistributors.iter().map(|region| region.range).chain([gic.distributor]);
    let named = gic_ranges
        .map(|range| (range, "interrupt controller"))
        .chain(platform.console.iter().map(|console| (console.registers, "console")));
    let mut set = RangeSet::new();
    for (range, name) in named {
        let pages = pages_around(Range::new(range.start(), range.size())).ok_or(Failure::DeviceAddress(name))?;
        if platform.memory.iter().any(|bank| clip(bank.start(), bank.end()).overlaps(&pages)) {
            return Err(Failure::DeviceAddress(name));
        }
        set.insert(pages)?;
    }
    Ok(set)
}

#[cfg(test)]
mod tests;
