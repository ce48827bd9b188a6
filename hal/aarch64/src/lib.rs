//! AArch64 mechanisms: barriers, system registers, GICv3, PSCI.
//!
//! Purpose: what kernel and boot need of the processor, each thing once. Decisions and register logic are pure and run on the
//! host ([`gic`], [`psci`], [`features`], [`spectre`], the operands of [`tlb`] and the line arithmetic of [`cache`]);
//! instructions exist only where they can run, and are absent from a host build.
//!
//! Invariants:
//! - A function is unsafe exactly when a wrong call can break memory safety.
//! - Waits for hardware are bounded and end in an error.
//! - The GIC is used without LPIs and ITS, so it makes no memory accesses, and its coherency (RK3588 erratum 3588001) is
//!   no question.
//!
//! Sources: Arm Architecture Reference Manual for A-profile, DDI 0487; GICv3 architecture specification, IHI 0069; PSCI,
//! DEN 0022; SMC calling convention, DEN 0028.
#![no_std]

#[cfg(all(target_arch = "aarch64", target_os = "none"))]
pub mod barrier;
pub mod cache;
pub mod features;
pub mod gic;
pub mod psci;
pub mod spectre;
#[cfg(all(target_arch = "aarch64", target_os = "none"))]
pub mod sysreg;
pub mod tlb;

/// The bits of MPIDR_EL1 that name a core: Aff3 in bits 39–32, Aff2 to Aff0 in bits 23–0.
pub const AFFINITY_MASK: u64 = 0xff_00ff_ffff;
