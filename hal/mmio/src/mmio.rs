//! Registers of a real device.

use crate::Registers;

/// The registers of a device, mapped as device memory.
///
/// It is only an address and a length, so it is `Copy` and may go to another core; what two users do to one device is
/// theirs to agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mmio {
    base: usize,
    size: usize,
}

impl Mmio {
    /// Registers of `size` bytes at virtual address `base`.
    ///
    /// # Safety
    /// As long as this value or a copy of it is used: all `size` bytes from `base` are mapped, readable and writable, as
    /// device memory (on the host: as exposed memory that nothing else uses); no Rust object lies there; `base` is a multiple
    /// of 8; and whatever the device does in answer to an access (DMA above all) is sound.
    #[must_use]
    pub const unsafe fn new(base: usize, size: usize) -> Self {
        Self { base, size }
    }

    /// Virtual address of the first register.
    #[must_use]
    pub const fn base(&self) -> usize {
        self.base
    }

    /// Length in bytes.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// `size` bytes from `offset` on as a register file of their own.
    #[must_use]
    pub fn part(&self, offset: usize, size: usize) -> Option<Self> {
        if offset.checked_add(size)? <= self.size && offset.is_multiple_of(8) {
            Some(Self { base: self.base + offset, size })
        } else {
            None
        }
    }

    /// The address of a register of `width` bytes.
    #[inline]
    fn address(&self, offset: usize, width: usize) -> usize {
        let inside = offset.checked_add(width).is_some_and(|end| end <= self.size);
        if !inside || !offset.is_multiple_of(width) {
            bad_access(offset, width, self.size);
        }
        self.base + offset
    }
}

#[cold]
#[inline(never)]
#[track_caller]
fn bad_access(offset: usize, width: usize, size: usize) -> ! {
    panic!("register access of {width} bytes at {offset:#x} in a device of {size:#x} bytes");
}

/// One load and one store function for a width. On AArch64 the instruction is spelled out: a volatile access would have the
/// right width as well, but the compiler may fold the address computation into a form with write-back, which a hypervisor
/// can't emulate. Without `nomem`, the compiler keeps the order of accesses and of what happens to other memory.
macro_rules! accesses {
    ($load:ident, $store:ident, $number:ty, $ldr:literal, $str:literal) => {
        #[inline]
        fn $load(&self, offset: usize) -> $number {
            let address = self.address(offset, size_of::<$number>());
            #[cfg(target_arch = "aarch64")]
            {
                let value: $number;
                // SAFETY: the address is within the device and aligned; `new`'s caller vouches for the device.
                unsafe {
                    core::arch::asm!($ldr, value = out(reg) value, address = in(reg) address, options(nostack, preserves_flags));
                }
                value
            }
            #[cfg(not(target_arch = "aarch64"))]
            {
                let pointer = core::ptr::with_exposed_provenance::<$number>(address);
                // SAFETY: the address is within the device and aligned; `new`'s caller vouches for the device.
                unsafe { pointer.read_volatile() }
            }
        }

        #[inline]
        fn $store(&self, offset: usize, value: $number) {
            let address = self.address(offset, size_of::<$number>());
            #[cfg(target_arch = "aarch64")]
            // SAFETY: the address is within the device and aligned; `new`'s caller vouches for the device.
            unsafe {
                core::arch::asm!($str, value = in(reg) value, address = in(reg) address, options(nostack, preserves_flags));
            }
            #[cfg(not(target_arch = "aarch64"))]
            {
                let pointer = core::ptr::with_exposed_provenance_mut::<$number>(address);
                // SAFETY: the address is within the device and aligned; `new`'s caller vouches for the device.
                unsafe { pointer.write_volatile(value) }
            }
        }
    };
}

impl Registers for Mmio {
    accesses!(read8, write8, u8, "ldrb {value:w}, [{address}]", "strb {value:w}, [{address}]");
    accesses!(read32, write32, u32, "ldr {value:w}, [{address}]", "str {value:w}, [{address}]");
    accesses!(read64, write64, u64, "ldr {value:x}, [{address}]", "str {value:x}, [{address}]");
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::{ReadOnly, ReadWrite, WriteOnly};
    use std::boxed::Box;

    /// Memory that nobody reaches by a reference while a device is made of it.
    struct Room(*mut [u64; 4]);

    impl Drop for Room {
        fn drop(&mut self) {
            // SAFETY: `memory` made it of a box.
            drop(unsafe { Box::from_raw(self.0) });
        }
    }

    fn memory() -> (Room, Mmio) {
        let memory = Room(Box::into_raw(Box::new([0; 4])));
        // SAFETY: the test keeps the room, and looks into it only through the pointer that is exposed here.
        let device = unsafe { Mmio::new(memory.0.expose_provenance(), 32) };
        (memory, device)
    }

    #[test]
    fn widths_and_offsets() {
        const WORD: ReadWrite<u32> = ReadWrite::at(8);
        const BYTE: WriteOnly<u8> = WriteOnly::at(8);
        const BOTH: ReadOnly<u64> = ReadOnly::at(8);
        let (_memory, device) = memory();
        WORD.write(&device, 0x1122_3344);
        WORD.nth(1).write(&device, 0x5566_7788);
        BYTE.nth(1).write(&device, 0xff);
        assert_eq!(BOTH.read(&device), 0x5566_7788_1122_ff44);
        WORD.modify(&device, |word| word | 1);
        assert_eq!(WORD.read(&device), 0x1122_ff45);
        device.write64(16, u64::MAX);
        assert_eq!((device.read8(23), device.read32(20), device.read64(24)), (0xff, u32::MAX, 0));
    }

    #[test]
    fn parts_stay_inside() {
        let (_memory, device) = memory();
        let part = device.part(16, 16).expect("inside");
        part.write32(0, 7);
        assert_eq!(device.read32(16), 7);
        assert_eq!((part.size(), part.base() - device.base()), (16, 16));
        for (offset, size) in [(16, 17), (4, 8), (usize::MAX - 7, 8), (40, 0)] {
            assert_eq!(device.part(offset, size), None);
        }
    }

    #[test]
    fn bad_accesses_panic() {
        for (offset, width) in [(32, 4), (29, 4), (2, 4), (28, 8), (4, 8), (usize::MAX, 1), (32, 1)] {
            let refused = std::panic::catch_unwind(|| memory().1.address(offset, width));
            assert!(refused.is_err(), "{width} bytes at {offset}");
        }
    }
}
