//! Why the machine can't be started, in one line each.

use core::fmt;

use aios_bundle::BundleError;
use aios_bundle::image::ImageError;
use aios_elf::ElfError;
use aios_handoff::BootInfoError;

use crate::{RangeError, TableError};

/// Why stage0 stops. The lifetime is the device tree's, whose names an error quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure<'a> {
    /// Entered at EL3.
    EntryLevel(u64),
    /// The first argument can't be the address of a device tree.
    DeviceTreeAddress(u64),
    /// The device tree is damaged or lacks something.
    DeviceTree(aios_platform::Error<'a>),
    /// The payload of the boot image is damaged, or kernel or bundle are not the ones that belong to it.
    Image(ImageError),
    /// The device tree names no initrd.
    NoBundle,
    /// The bundle does not begin at a page (its address).
    BundleAddress(u64),
    /// The bundle is malformed.
    Bundle(BundleError),
    /// Something that the firmware placed lies outside of the memory in the device tree.
    OutsideMemory(&'static str),
    /// Two things that the firmware placed overlap.
    Overlap(&'static str),
    /// Registers of a device lie in RAM or beyond the direct map.
    DeviceAddress(&'static str),
    /// No memory is left for this.
    NoMemory(&'static str),
    /// Memory has more pieces than a list holds.
    Ranges(RangeError),
    /// The translation tables can't be built.
    Tables(TableError),
    /// The kernel is no executable.
    Kernel(ElfError),
    /// The kernel is not linked where it has to be, or too large (its span).
    KernelAddress(u64, u64),
    /// The bundle holds no program `init`.
    NoInit,
    /// Init is no executable.
    Init(ElfError),
    /// Init has too many segments, or is linked outside of user space.
    InitAddress,
    /// Init does not say for which kernel ABI it was built.
    InitAbi,
    /// The core that runs this is not in the device tree (its affinity).
    BootCore(u64),
    /// The firmware has not set the counter's frequency.
    CounterFrequency,
    /// The finished record contradicts itself.
    BootInfo(BootInfoError),
}

impl fmt::Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EntryLevel(level) => write!(f, "entered at EL{level}, expected EL2 or EL1"),
            Self::DeviceTreeAddress(at) => write!(f, "no device tree at {at:#x}"),
            Self::DeviceTree(error) => error.fmt(f),
            Self::Image(error) => error.fmt(f),
            Self::NoBundle => f.write_str("no bundle: the device tree names no initrd"),
            Self::BundleAddress(at) => write!(f, "bundle at {at:#x} does not begin at a page"),
            Self::Bundle(error) => error.fmt(f),
            Self::OutsideMemory(what) => write!(f, "{what} lies outside of the memory in the device tree"),
            Self::Overlap(what) => write!(f, "{what} overlaps something else that was loaded"),
            Self::DeviceAddress(what) => write!(f, "registers of the {what} lie in memory or out of reach"),
            Self::NoMemory(what) => write!(f, "no memory left for {what}"),
            Self::Ranges(error) => error.fmt(f),
            Self::Tables(error) => error.fmt(f),
            Self::Kernel(error) => write!(f, "kernel: {error}"),
            Self::KernelAddress(start, end) => write!(f, "kernel linked at {start:#x} to {end:#x}"),
            Self::NoInit => f.write_str("bundle holds no program `init`"),
            Self::Init(error) => write!(f, "init: {error}"),
            Self::InitAddress => f.write_str("init has too many segments or lies outside of user space"),
            Self::InitAbi => f.write_str("init has no note with its ABI version"),
            Self::BootCore(affinity) => write!(f, "boot core {affinity:#x} is not in the device tree"),
            Self::CounterFrequency => f.write_str("CNTFRQ_EL0 is zero"),
            Self::BootInfo(error) => write!(f, "boot record: {error}"),
        }
    }
}

impl<'a> From<aios_platform::Error<'a>> for Failure<'a> {
    fn from(error: aios_platform::Error<'a>) -> Self {
        Self::DeviceTree(error)
    }
}

impl From<ImageError> for Failure<'_> {
    fn from(error: ImageError) -> Self {
        Self::Image(error)
    }
}

impl From<BundleError> for Failure<'_> {
    fn from(error: BundleError) -> Self {
        Self::Bundle(error)
    }
}

impl From<RangeError> for Failure<'_> {
    fn from(error: RangeError) -> Self {
        Self::Ranges(error)
    }
}

impl From<TableError> for Failure<'_> {
    fn from(error: TableError) -> Self {
        Self::Tables(error)
    }
}

impl From<BootInfoError> for Failure<'_> {
    fn from(error: BootInfoError) -> Self {
        Self::BootInfo(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One line each: whoever watches the console sees a reason, not a dump.
    #[test]
    fn reasons_are_one_line() {
        let all = [
            Failure::EntryLevel(3),
            Failure::DeviceTreeAddress(1),
            Failure::DeviceTree(aios_platform::Error::TooMany { what: "cores", limit: 64 }),
            Failure::Image(ImageError::KernelDigest),
            Failure::NoBundle,
            Failure::BundleAddress(1),
            Failure::Bundle(BundleError::Magic),
            Failure::OutsideMemory("bundle"),
            Failure::Overlap("bundle"),
            Failure::DeviceAddress("console"),
            Failure::NoMemory("init"),
            Failure::Ranges(RangeError { limit: 96 }),
            Failure::Tables(TableError::Full),
            Failure::Kernel(ElfError::Magic),
            Failure::KernelAddress(0, 1),
            Failure::NoInit,
            Failure::Init(ElfError::Magic),
            Failure::InitAddress,
            Failure::InitAbi,
            Failure::BootCore(0x100),
            Failure::CounterFrequency,
            Failure::BootInfo(BootInfoError::Magic),
        ];
        for failure in all {
            let text = failure.to_string();
            assert!(!text.is_empty() && !text.contains('\n'), "{text}");
        }
    }
}
