//! Typed access to memory-mapped registers.
//!
//! Purpose: drivers name their registers once, as constants that know offset, width and direction ([`ReadOnly`],
//! [`WriteOnly`], [`ReadWrite`], [`Taking`], [`TakingWrite`]), and are generic over [`Registers`]: the same driver runs on a
//! device ([`Mmio`]) and on its software model in tests.
//!
//! Invariants:
//! - No Rust reference to device memory ever exists.
//! - Every access is exactly one load or store instruction of the register's width, with the address in one register and no
//!   write-back: under a hypervisor, other forms can't be emulated (Arm ARM, ESR_ELx.ISV), and devices see what was written.
//! - Only making an [`Mmio`] is unsafe; an access out of its bounds is a panic (a driver's mistake, not an input's).
#![no_std]

mod mmio;
mod register;

pub use mmio::Mmio;
pub use register::{ReadOnly, ReadWrite, Register, Registers, Taking, TakingWrite, Width, WriteOnly, access};
