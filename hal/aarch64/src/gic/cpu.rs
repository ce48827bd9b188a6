//! A core's interface to the controller: system registers.
//!
//! End of interrupt is in two steps: `finish` lets the core take other interrupts again, `deactivate` lets the same
//! interrupt come again. In between, an interrupt that a driver server handles stays quiet without being masked.

use crate::AFFINITY_MASK;

/// Numbers from here on say that there is nothing to handle.
const SPECIAL: u32 = 1020;

/// The value of ICC_SGI1R_EL1 that makes software interrupt `intid` (0 to 15) on core `affinity`; `None` for other numbers.
#[must_use]
pub const fn software_interrupt(affinity: u64, intid: u32) -> Option<u64> {
    if intid >= 16 {
        return None;
    }
    let affinity = affinity & AFFINITY_MASK;
    let (aff3, aff2, aff1, aff0) = (affinity >> 32 & 0xff, affinity >> 16 & 0xff, affinity >> 8 & 0xff, affinity & 0xff);
    // Of the 256 cores that differ in Aff0, the range selector names 16, and a bit one of these.
    let (selector, target) = (aff0 >> 4, 1 << (aff0 & 0xf));
    Some(aff3 << 48 | selector << 44 | aff2 << 32 | (intid as u64) << 24 | aff1 << 16 | target)
}

/// The interrupt that a value of ICC_IAR1_EL1 stands for, if any.
#[must_use]
pub const fn acknowledged(value: u64) -> Option<u32> {
    let intid = (value & 0xff_ffff) as u32;
    // 1020–1023 are special, 8192 and above would be LPIs, which are never enabled.
    if intid < SPECIAL { Some(intid) } else { None }
}

#[cfg(all(target_arch = "aarch64", target_os = "none"))]
mod instructions {
    use super::{acknowledged, software_interrupt};
    use crate::barrier::{dsb_ishst, dsb_sy, isb};
    use crate::sysreg;

    /// End of interrupt only drops the priority; deactivation is separate.
    const CTLR_TWO_STEPS: u64 = 1 << 1;

    /// Turns this core's interface on: system registers, all priorities, end of interrupt in two steps, group 1. Whoever
    /// was entered at EL2 has enabled system registers there before.
    pub fn enable() {
        // SAFETY: the other way to reach the interface (memory-mapped, GICv2) is not used by anyone.
        unsafe { sysreg::icc_sre_el1::write(sysreg::icc_sre_el1::read() | 1) };
        isb();
        sysreg::icc_pmr_el1::set(0xff);
        sysreg::icc_bpr1_el1::set(0);
        sysreg::icc_ctlr_el1::set(sysreg::icc_ctlr_el1::read() | CTLR_TWO_STEPS);
        sysreg::icc_igrpen1_el1::set(1);
        isb();
    }

    /// Turns this core's interface off: nothing is delivered to it any more.
    pub fn disable() {
        sysreg::icc_igrpen1_el1::set(0);
        isb();
    }

    /// Takes the most urgent interrupt; `None` when there is none (any more).
    #[must_use]
    pub fn acknowledge() -> Option<u32> {
        let value = sysreg::icc_iar1_el1::read();
        // The controller has seen it before the device is asked what it wants.
        dsb_sy();
        acknowledged(value)
    }

    /// First step of the end: this core can take other interrupts. For every one that was acknowledged, latest first.
    pub fn finish(intid: u32) {
        sysreg::icc_eoir1_el1::set(intid.into());
        isb();
    }

    /// Second step of the end: the interrupt can come again.
    pub fn deactivate(intid: u32) {
        sysreg::icc_dir_el1::set(intid.into());
        isb();
    }

    /// Makes software interrupt `intid` (0 to 15) on core `affinity`, which sees all that was stored before. Other numbers do
    /// nothing.
    pub fn signal(affinity: u64, intid: u32) {
        if let Some(value) = software_interrupt(affinity, intid) {
            dsb_ishst();
            sysreg::icc_sgi1r_el1::set(value);
            isb();
        }
    }
}

#[cfg(all(target_arch = "aarch64", target_os = "none"))]
pub use instructions::{acknowledge, deactivate, disable, enable, finish, signal};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_interrupts_name_one_core() {
        // QEMU: Aff0 = core. RK3588: Aff1 = core, and MPIDR has other bits that don't belong to the affinity.
        assert_eq!(software_interrupt(0x8000_0003, 1), Some(1 << 24 | 1 << 3));
        assert_eq!(software_interrupt(0x8100_0700, 15), Some(15 << 24 | 7 << 16 | 1));
        assert_eq!(software_interrupt(0x12_0034_5678, 2), Some(0x12 << 48 | 7 << 44 | 0x34 << 32 | 2 << 24 | 0x56 << 16 | 1 << 8));
        assert_eq!(software_interrupt(0, 16), None);
    }

    #[test]
    fn special_numbers_are_nothing() {
        for (value, intid) in [(27, Some(27)), (0, Some(0)), (1019, Some(1019)), (1020, None), (1023, None), (8192, None)] {
            assert_eq!(acknowledged(value), intid);
        }
    }
}
