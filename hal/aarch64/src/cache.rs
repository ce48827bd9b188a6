//! Cache maintenance by virtual address.
//!
//! Point of unification: where instruction and data caches of all cores see the same. Point of coherency: where devices and
//! code with caches off see the same (memory).

/// Lengths of the smallest cache lines, from CTR_EL0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineSizes {
    /// Data cache line in bytes.
    pub data: u64,
    /// Instruction cache line in bytes.
    pub instruction: u64,
}

impl LineSizes {
    /// Decodes CTR_EL0: binary logarithms of the number of words.
    #[must_use]
    pub const fn decode(ctr: u64) -> Self {
        Self { data: 4 << (ctr >> 16 & 0xf), instruction: 4 << (ctr & 0xf) }
    }
}

/// The addresses of the lines of `line` bytes that hold the `size` bytes from `start`.
pub fn lines(start: u64, size: u64, line: u64) -> impl Iterator<Item = u64> {
    let last = start.saturating_add(size.saturating_sub(1)) & !(line - 1);
    let mut next = if size == 0 { None } else { Some(start & !(line - 1)) };
    core::iter::from_fn(move || {
        let current = next?;
        next = if current < last { current.checked_add(line) } else { None };
        Some(current)
    })
}

#[cfg(all(target_arch = "aarch64", target_os = "none"))]
mod instructions {
    use core::arch::asm;

    use super::{LineSizes, lines};
    use crate::barrier::{dsb_ish, dsb_sy, isb};
    use crate::sysreg::ctr_el0;

    macro_rules! for_lines {
        ($instruction:literal, $start:expr, $size:expr, $line:expr) => {
            for address in lines($start, $size, $line) {
                // SAFETY: the caller says that the addresses are mapped, and what may be lost.
                unsafe { asm!(concat!($instruction, ", {}"), in(reg) address, options(nostack, preserves_flags)) }
            }
        };
    }

    /// Makes instructions that were just written visible to all cores' instruction fetch. Other cores must still pass an
    /// exception return or ISB before they run them.
    ///
    /// # Safety
    /// The range must be mapped readable, at the address that it was written through.
    pub unsafe fn sync_instructions(start: u64, size: u64) {
        let line = LineSizes::decode(ctr_el0::read());
        for_lines!("dc cvau", start, size, line.data);
        dsb_ish();
        for_lines!("ic ivau", start, size, line.instruction);
        dsb_ish();
        isb();
    }

    /// Makes all cores forget all cached instructions: for instructions that were written through another address.
    pub fn invalidate_instructions() {
        dsb_ish();
        // SAFETY: instructions are read again from memory, nothing else changes.
        unsafe { asm!("ic ialluis", options(nostack, preserves_flags)) }
        dsb_ish();
        isb();
    }

    /// Writes data to the point of unification, so that instruction fetch through any address can see it after
    /// [`invalidate_instructions`].
    ///
    /// # Safety
    /// The range must be mapped readable.
    pub unsafe fn clean_to_unification(start: u64, size: u64) {
        for_lines!("dc cvau", start, size, LineSizes::decode(ctr_el0::read()).data);
        dsb_ish();
    }

    /// Writes data to memory, and keeps it cached.
    ///
    /// # Safety
    /// The range must be mapped readable.
    pub unsafe fn clean(start: u64, size: u64) {
        for_lines!("dc cvac", start, size, LineSizes::decode(ctr_el0::read()).data);
        dsb_sy();
    }

    /// Writes data to memory, and forgets it: the next read comes from memory.
    ///
    /// # Safety
    /// The range must be mapped readable.
    pub unsafe fn clean_and_invalidate(start: u64, size: u64) {
        for_lines!("dc civac", start, size, LineSizes::decode(ctr_el0::read()).data);
        dsb_sy();
    }

    /// Forgets cached data without writing it: the next read comes from memory.
    ///
    /// # Safety
    /// The range must be mapped writable. Writes to its lines that are still cached are lost, those of neighbours in the first
    /// and last line included; nothing may rely on them.
    pub unsafe fn invalidate(start: u64, size: u64) {
        for_lines!("dc ivac", start, size, LineSizes::decode(ctr_el0::read()).data);
        dsb_sy();
    }
}

#[cfg(all(target_arch = "aarch64", target_os = "none"))]
pub use instructions::{clean, clean_and_invalidate, clean_to_unification, invalidate, invalidate_instructions, sync_instructions};

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::vec::Vec;

    #[test]
    fn line_sizes() {
        // Cortex-A76: 64-byte lines.
        assert_eq!(LineSizes::decode(0x8444_c004), LineSizes { data: 64, instruction: 64 });
        assert_eq!(LineSizes::decode(0x0003_0005), LineSizes { data: 32, instruction: 128 });
    }

    #[test]
    fn lines_cover_the_range_and_no_more() {
        let list = |start, size| lines(start, size, 64).collect::<Vec<_>>();
        assert_eq!(list(0x1000, 0), []);
        assert_eq!(list(0x1000, 1), [0x1000]);
        assert_eq!(list(0x103f, 1), [0x1000]);
        assert_eq!(list(0x103f, 2), [0x1000, 0x1040]);
        assert_eq!(list(0x1000, 128), [0x1000, 0x1040]);
        assert_eq!(list(0x1001, 128), [0x1000, 0x1040, 0x1080]);
        assert_eq!(list(u64::MAX, 1), [u64::MAX - 63], "the end of the address space is no loop");
        assert_eq!(list(u64::MAX, 100), [u64::MAX - 63]);
    }
}
