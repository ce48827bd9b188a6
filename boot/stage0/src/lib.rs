//! The first stage: verifies, loads and enters the kernel.
//!
//! The firmware starts stage0 as an arm64 Image, by QEMU's `-kernel` or U-Boot's `booti`, with the device tree in `x0`. It
//! 1. takes the machine to EL1 with known control registers (`head.S`),
//! 2. reads memory, cores, interrupt controller and console from the device tree,
//! 3. maps memory one to one and turns on MMU and caches,
//! 4. checks the kernel and the bundle against the digests in its own image,
//! 5. picks memory and loads the kernel, and the program `init` from the bundle,
//! 6. builds the kernel's address space and the record that describes the machine ([`aios_handoff`]),
//! 7. enters the kernel. A resident page stays behind: entry of secondary cores, EL2 vectors.
//!
//! Whatever is wrong ends in one line `stage0: <reason>` on the device tree's console and power-off.
//!
//! This library is the pure part, tested on the host: arithmetic on ranges of memory ([`RangeSet`]), choice of places ([`Memory`]),
//! translation tables over an abstract memory ([`Tables`]), what is mapped where ([`map`]), reasons of failure
//! ([`Failure`]). The program around it has the registers and the raw memory.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod failure;
pub mod handover;
pub mod map;
mod memory;
mod program;
mod ranges;
mod tables;

pub use failure::Failure;
pub use memory::{Memory, devices};
pub use program::{InitPlan, KernelPlan};
pub use ranges::{CAPACITY, RangeError, RangeSet, pages_around};
pub use tables::{Access, TableError, TableMemory, Tables};

#[cfg(test)]
mod simulation;
