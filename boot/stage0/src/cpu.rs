//! System registers and the way into the kernel.

use core::arch::asm;

macro_rules! read_register {
    ($(#[$doc:meta])* $name:ident, $register:literal) => {
        $(#[$doc])*
        pub fn $name() -> u64 {
            let value: u64;
            // SAFETY: reads a register without side effects that every Armv8 core has.
            unsafe {
                asm!(concat!("mrs {value}, ", $register), value = out(reg) value, options(nomem, nostack, preserves_flags));
            }
            value
        }
    };
}

read_register!(
    /// Frequency of the counter, Hz.
    counter_hz, "cntfrq_el0"
);
read_register!(
    /// Affinity of this core, with flags.
    mpidr, "mpidr_el1"
);
read_register!(
    /// Sizes of physical addresses and ASIDs.
    id_aa64mmfr0, "id_aa64mmfr0_el1"
);
read_register!(
    /// Instruction set features, cryptography among them.
    id_aa64isar0, "id_aa64isar0_el1"
);

unsafe extern "C" {
    static stage0_vectors: u8;
    #[link_name = "mmu_on"]
    fn asm_mmu_on(ttbr0: u64, ttbr1: u64, tcr: u64, mair: u64, sctlr: u64);
    #[link_name = "enter_kernel"]
    fn asm_enter_kernel(boot_info: u64, entry: u64) -> !;
}

/// Makes exceptions end in [`crate::stop`].
pub fn set_vectors() {
    let vectors = &raw const stage0_vectors;
    // SAFETY: the table has the architecture's form, and its code touches nothing but its own stack.
    unsafe { asm!("msr vbar_el1, {vectors}", "isb", vectors = in(reg) vectors, options(nostack, preserves_flags)) };
}

/// Turns MMU and caches on.
///
/// # Safety
/// The tables at `ttbr0` map all that is in use to itself, with the right attributes; the values of the other registers fit them.
pub unsafe fn mmu_on(ttbr0: u64, ttbr1: u64, tcr: u64, mair: u64, sctlr: u64) {
    // SAFETY: by the caller.
    unsafe { asm_mmu_on(ttbr0, ttbr1, tcr, mair, sctlr) }
}

/// Lets SIMD instructions run.
pub fn allow_simd() {
    // SAFETY: compiled code uses no SIMD registers (soft-float target), so nothing depends on the setting.
    unsafe { asm!("msr cpacr_el1, {fpen}", "isb", fpen = in(reg) 3u64 << 20, options(nomem, nostack, preserves_flags)) };
}

/// Makes instructions that were written as data visible to fetches on every core. The data has been cleaned.
pub fn synchronize_instructions() {
    // SAFETY: maintenance without effect on content.
    unsafe { asm!("ic ialluis", "dsb ish", "isb", options(nostack, preserves_flags)) };
}

/// Gives the upper half its tables.
///
/// # Safety
/// The tables are finished, and nothing in use is mapped by those that they replace.
pub unsafe fn set_kernel_tables(root: u64) {
    // SAFETY: by the caller; the barriers make the tables visible to the walker.
    unsafe { asm!("dsb ishst", "msr ttbr1_el1, {root}", "isb", root = in(reg) root, options(nostack, preserves_flags)) };
}

/// Leaves stage0.
///
/// # Safety
/// The upper half maps a kernel's entry and the record, and the resident part has all its parameters.
pub unsafe fn enter_kernel(boot_info: u64, entry: u64) -> ! {
    // SAFETY: by the caller. From here on only resident code runs, and no stack is used.
    unsafe { asm_enter_kernel(boot_info, entry) }
}
