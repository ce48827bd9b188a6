//! What a device tree says about a machine, as plain facts.
//!
//! Purpose: turn the flattened device tree (DTB) that firmware hands over into a [`Platform`]: memory, reserved ranges,
//! cores, interrupt controller, timer, console. Drivers find their devices with [`find_compatible`].
//!
//! Invariants:
//! - No heap and no recursion: every list has a fixed capacity, and one that is too small is an error, never a silent loss.
//! - No panic, whatever the bytes are. A tree that can't be used gives an [`Error`] that names the node, the property and
//!   what was expected there.
//! - Nothing here touches memory or hardware; the blob is only read.
//!
//! Source: Devicetree Specification 0.4 (devicetree.org); bindings as published with the Linux kernel
//! (`arm,gic-v3.yaml`, `arm,arch_timer.yaml`, `arm/psci.yaml`, `chosen.yaml`, `snps-dw-apb-uart.yaml`, `pl011.yaml`).
#![no_std]
#![forbid(unsafe_code)]

mod address;
mod console;
mod device;
mod error;
pub mod fdt;
mod interrupt;
mod platform;
mod ram;
mod range;

pub use address::MAX_REGIONS;
pub use console::{Console, ConsoleKind, console, console_of_damaged};
pub use device::{Device, Devices, MAX_IRQS, find_compatible};
pub use error::{BlobError, Error};
pub use interrupt::{Gic, Interrupt, MAX_REDISTRIBUTOR_REGIONS, RedistributorRegion, Trigger};
pub use platform::{Conduit, MAX_BANKS, MAX_BOOTARGS, MAX_CORES, MAX_RESERVED, Platform};
pub use ram::{MAX_USABLE, PAGE_SIZE, total_ram, usable_ram};
pub use range::Range;
