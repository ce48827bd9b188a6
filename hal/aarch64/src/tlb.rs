//! Invalidation of cached translations, on all cores.
//!
//! Every sequence is made twice: on the Cortex-A55 (erratum 2441007) and A76 (erratum 4193800) another core may still use the
//! old translation after the first. It costs little, so no core is excepted.

/// What to forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// `count` pages of 4 KiB from `address`, of one address space; global translations of the pages as well.
    Pages {
        /// Address space; anything for pages of the kernel, whose translations are global.
        asid: u16,
        /// Virtual address within the first page.
        address: u64,
        /// How many pages.
        count: usize,
    },
    /// Everything of one address space but global translations.
    Space {
        /// Address space.
        asid: u16,
    },
    /// Everything.
    All,
}

/// More pages than this are forgotten with the whole address space: one by one would take longer than the misses after it.
pub const MAX_PAGES: usize = 512;

/// The operand of TLBI VAE1IS for a page: address space, and the page's number in the lower 44 bits.
#[must_use]
pub const fn page_operand(asid: u16, address: u64) -> u64 {
    (asid as u64) << 48 | (address >> 12) & 0xfff_ffff_ffff
}

/// The operand of TLBI ASIDE1IS.
#[must_use]
pub const fn space_operand(asid: u16) -> u64 {
    (asid as u64) << 48
}

#[cfg(all(target_arch = "aarch64", target_os = "none"))]
mod instructions {
    use core::arch::asm;

    use super::{MAX_PAGES, Stale, page_operand, space_operand};
    use crate::barrier::{dsb_ish, dsb_ishst, dsb_nsh, isb};

    /// Makes all cores forget stale translations. When it returns, no core uses them any more, and what it did through them
    /// is complete. The page tables must have been changed before.
    pub fn invalidate(stale: Stale) {
        // The changed tables must be visible before anything is looked up again.
        dsb_ishst();
        issue(stale);
        dsb_ish();
        issue(stale);
        dsb_ish();
        isb();
    }

    fn issue(stale: Stale) {
        match stale {
            // Too many: forget more than asked. Global translations are the kernel's.
            Stale::Pages { count, .. } if count > MAX_PAGES => issue_all(),
            Stale::Pages { asid, address, count } => {
                for page in 0..count as u64 {
                    let operand = page_operand(asid, address.wrapping_add(page << 12));
                    // SAFETY: forgetting a translation changes nothing but time: it is read again from the tables.
                    unsafe { asm!("tlbi vae1is, {}", in(reg) operand, options(nostack, preserves_flags)) }
                }
            }
            Stale::Space { asid } => {
                // SAFETY: as above.
                unsafe { asm!("tlbi aside1is, {}", in(reg) space_operand(asid), options(nostack, preserves_flags)) }
            }
            Stale::All => issue_all(),
        }
    }

    fn issue_all() {
        // SAFETY: forgetting translations changes nothing but time: they are read again from the tables.
        unsafe { asm!("tlbi vmalle1is", options(nostack, preserves_flags)) }
    }

    /// Makes this core forget all translations: before its MMU is turned on, and for nobody else.
    pub fn invalidate_local() {
        for _ in 0..2 {
            // SAFETY: as in `issue_all`.
            unsafe { asm!("tlbi vmalle1", options(nostack, preserves_flags)) }
            dsb_nsh();
        }
        isb();
    }
}

#[cfg(all(target_arch = "aarch64", target_os = "none"))]
pub use instructions::{invalidate, invalidate_local};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands() {
        assert_eq!(page_operand(0x1234, 0x40_0fff), 0x1234_0000_0000_0400);
        assert_eq!(page_operand(0, 0xffff_ffff_8000_0000), 0x0000_0fff_fff8_0000, "sign bits that don't fit are left out");
        assert_eq!(space_operand(0xffff), 0xffff_0000_0000_0000);
    }
}
