//! System registers, as raw 64-bit values.
//!
//! Reading is safe. Writing is unsafe (`write`) where a wrong value can break memory safety: translation, exception return,
//! traps; else it is safe (`set`). A write takes effect for later instructions after [`barrier::isb`](crate::barrier::isb).
//! Registers without a name in every assembler are given by their encoding.

use core::arch::asm;

macro_rules! registers {
    ($($(#[$doc:meta])* $name:ident = $register:literal: $($access:ident)+;)*) => {$(
        $(#[$doc])*
        pub mod $name {
            use super::asm;
            $(registers!(@$access $register);)+
        }
    )*};
    (@read $register:literal) => {
        /// Reads the register.
        #[inline(always)]
        #[must_use]
        pub fn read() -> u64 {
            let value: u64;
            // SAFETY: reading has no effect but the value. It is not `pure`: the value may change between two reads.
            unsafe { asm!(concat!("mrs {}, ", $register), out(reg) value, options(nomem, nostack, preserves_flags)) }
            value
        }
    };
    (@write $register:literal) => {
        /// Writes the register.
        ///
        /// # Safety
        /// What the architecture does with this value must leave all memory that Rust code relies on as it is.
        #[inline(always)]
        pub unsafe fn write(value: u64) {
            // SAFETY: the caller vouches for the value.
            unsafe { asm!(concat!("msr ", $register, ", {}"), in(reg) value, options(nostack, preserves_flags)) }
        }
    };
    (@set $register:literal) => {
        /// Writes the register.
        #[inline(always)]
        pub fn set(value: u64) {
            // SAFETY: no value of this register changes what memory Rust code sees.
            unsafe { asm!(concat!("msr ", $register, ", {}"), in(reg) value, options(nostack, preserves_flags)) }
        }
    };
}

registers! {
    // Time.
    /// Virtual counter. Read early by speculation: see [`counter`](super::counter).
    cntvct_el0 = "cntvct_el0": read;
    /// Frequency of the counter in Hz, as firmware says.
    cntfrq_el0 = "cntfrq_el0": read;
    /// Virtual timer: fires when the counter reaches this.
    cntv_cval_el0 = "cntv_cval_el0": read set;
    /// Virtual timer control: enable, mask, status (bits 0 to 2).
    cntv_ctl_el0 = "cntv_ctl_el0": read set;
    /// What EL0 may see of counter and timers.
    cntkctl_el1 = "cntkctl_el1": read set;

    // Identity.
    /// Affinity: which core this is.
    mpidr_el1 = "mpidr_el1": read;
    /// Maker, part, variant, revision.
    midr_el1 = "midr_el1": read;
    /// Revision details.
    revidr_el1 = "revidr_el1": read;
    /// Processor features 0.
    id_aa64pfr0_el1 = "id_aa64pfr0_el1": read;
    /// Processor features 1.
    id_aa64pfr1_el1 = "id_aa64pfr1_el1": read;
    /// Debug features 0.
    id_aa64dfr0_el1 = "id_aa64dfr0_el1": read;
    /// Instruction set 0.
    id_aa64isar0_el1 = "id_aa64isar0_el1": read;
    /// Instruction set 1.
    id_aa64isar1_el1 = "id_aa64isar1_el1": read;
    /// Instruction set 2.
    id_aa64isar2_el1 = "s3_0_c0_c6_2": read;
    /// Memory model 0.
    id_aa64mmfr0_el1 = "id_aa64mmfr0_el1": read;
    /// Memory model 1.
    id_aa64mmfr1_el1 = "id_aa64mmfr1_el1": read;
    /// Memory model 2.
    id_aa64mmfr2_el1 = "s3_0_c0_c7_2": read;
    /// Cache type: line sizes.
    ctr_el0 = "ctr_el0": read;
    /// Size of the block that DC ZVA clears.
    dczid_el0 = "dczid_el0": read;
    /// Current exception level in bits 3–2.
    currentel = "currentel": read;

    // Translation.
    /// Translation table of the low half, with the ASID.
    ttbr0_el1 = "ttbr0_el1": read write;
    /// Translation table of the high half.
    ttbr1_el1 = "ttbr1_el1": read write;
    /// Translation control.
    tcr_el1 = "tcr_el1": read write;
    /// Memory attributes.
    mair_el1 = "mair_el1": read write;
    /// System control.
    sctlr_el1 = "sctlr_el1": read write;
    /// Result of an address translation instruction.
    par_el1 = "par_el1": read;

    // Exceptions.
    /// Exception vectors.
    vbar_el1 = "vbar_el1": read write;
    /// Why the last exception was taken.
    esr_el1 = "esr_el1": read;
    /// Address of the last fault.
    far_el1 = "far_el1": read;
    /// Return address.
    elr_el1 = "elr_el1": read write;
    /// State to return to.
    spsr_el1 = "spsr_el1": read write;
    /// Stack pointer of EL0.
    sp_el0 = "sp_el0": read write;
    /// Masks of debug, SError, IRQ, FIQ in bits 9 to 6.
    daif = "daif": read set;
    /// Access to floating point and SIMD.
    cpacr_el1 = "cpacr_el1": read write;
    /// Monitor debug control.
    mdscr_el1 = "mdscr_el1": read write;
    /// Privileged access never, bit 22; needs FEAT_PAN.
    pan = "s3_0_c4_c2_3": read set;
    /// Speculative store bypass safe, bit 12; needs FEAT_SSBS2. The Cortex-A76 wants an ISB after it (erratum 3324349).
    ssbs = "s3_3_c4_c2_6": read set;

    // Thread pointers: values that hardware does not look at.
    /// EL0's own.
    tpidr_el0 = "tpidr_el0": read set;
    /// EL0 may read it.
    tpidrro_el0 = "tpidrro_el0": read set;
    /// The kernel's own. What code believes of it is that code's to defend, therefore unsafe.
    tpidr_el1 = "tpidr_el1": read write;

    // EL2, for whoever is entered there.
    /// Hypervisor configuration.
    hcr_el2 = "hcr_el2": read write;
    /// Traps of counter and timer accesses.
    cnthctl_el2 = "cnthctl_el2": read write;
    /// Offset of the virtual counter.
    cntvoff_el2 = "cntvoff_el2": read write;
    /// Traps of floating point.
    cptr_el2 = "cptr_el2": read write;
    /// Traps of debug and performance registers.
    mdcr_el2 = "mdcr_el2": read write;
    /// Traps of AArch32 system registers.
    hstr_el2 = "hstr_el2": read write;
    /// What EL1 reads as MIDR_EL1.
    vpidr_el2 = "vpidr_el2": read write;
    /// What EL1 reads as MPIDR_EL1.
    vmpidr_el2 = "vmpidr_el2": read write;
    /// Stage-2 translation table.
    vttbr_el2 = "vttbr_el2": read write;
    /// System control.
    sctlr_el2 = "sctlr_el2": read write;
    /// Exception vectors.
    vbar_el2 = "vbar_el2": read write;
    /// Return address.
    elr_el2 = "elr_el2": read write;
    /// State to return to.
    spsr_el2 = "spsr_el2": read write;
    /// Why the last exception was taken.
    esr_el2 = "esr_el2": read;
    /// Address of the last fault.
    far_el2 = "far_el2": read;
    /// Stack pointer of EL1.
    sp_el1 = "sp_el1": read write;

    // Interrupt controller's CPU interface; used through `gic::cpu`.
    /// Whether the interface is used by system registers.
    icc_sre_el1 = "s3_0_c12_c12_5": read write;
    /// The same for EL2, and whether EL1 may.
    icc_sre_el2 = "s3_4_c12_c9_5": read write;
    /// Priority mask.
    icc_pmr_el1 = "s3_0_c4_c6_0": read set;
    /// Binary point of group 1.
    icc_bpr1_el1 = "s3_0_c12_c12_3": read set;
    /// Control.
    icc_ctlr_el1 = "s3_0_c12_c12_4": read set;
    /// Enables group 1.
    icc_igrpen1_el1 = "s3_0_c12_c12_7": read set;
    /// Acknowledges the most urgent interrupt: reading changes the state of the controller.
    icc_iar1_el1 = "s3_0_c12_c12_0": read;
    /// End of interrupt.
    icc_eoir1_el1 = "s3_0_c12_c12_1": set;
    /// Deactivates an interrupt.
    icc_dir_el1 = "s3_0_c12_c11_1": set;
    /// Makes software interrupts on cores.
    icc_sgi1r_el1 = "s3_0_c12_c11_5": set;
    /// Priority that is being handled.
    icc_rpr_el1 = "s3_0_c12_c11_3": read;
}

/// The exception level that this runs at.
#[must_use]
pub fn current_el() -> u8 {
    (currentel::read() >> 2 & 3) as u8
}

/// The affinity of this core, as device tree and PSCI write it.
#[must_use]
pub fn affinity() -> u64 {
    mpidr_el1::read() & crate::AFFINITY_MASK
}

/// The virtual counter at this point of the program: not read ahead of what comes before.
#[inline(always)]
#[must_use]
pub fn counter() -> u64 {
    crate::barrier::isb();
    cntvct_el0::read()
}
