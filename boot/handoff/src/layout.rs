//! The kernel half of the address space: 39-bit addresses, 4 KiB pages.
//!
//! | from | size | what |
//! | --- | --- | --- |
//! | [`DIRECT_MAP_BASE`] `0xFFFF_FF80_0000_0000` | 256 GiB | RAM and the boot devices at base + physical address |
//! | [`DYNAMIC_BASE`] `0xFFFF_FFC0_0000_0000` | 254 GiB | free for the kernel: object tables, stacks with guard pages |
//! | [`KERNEL_BASE`] `0xFFFF_FFFF_8000_0000` | 2 GiB | the kernel image at its link address |
//!
//! The direct map holds usable RAM, what stage0 hands over in RAM (tables, record, bundle, device tree, init's frames) and, as
//! device memory, the interrupt controller and console. It holds neither the kernel image nor stage0's resident code:
//! no code has a writable alias. Nothing in it is executable.

/// Bytes of a page.
pub const PAGE_SIZE: u64 = 4096;
/// Bits of an address in one half.
pub const VA_BITS: u32 = 39;
/// Where physical address 0 appears in the direct map.
pub const DIRECT_MAP_BASE: u64 = 0xFFFF_FF80_0000_0000;
/// Bytes of the direct map window. RAM at or above this physical address is not used.
pub const DIRECT_MAP_SIZE: u64 = 1 << 38;
/// Start of the window in which stage0 maps nothing; it ends at [`KERNEL_BASE`].
pub const DYNAMIC_BASE: u64 = DIRECT_MAP_BASE + DIRECT_MAP_SIZE;
/// The link address of the kernel image.
pub const KERNEL_BASE: u64 = 0xFFFF_FFFF_8000_0000;
/// The kernel image is loaded at a physical address of this alignment.
pub const KERNEL_ALIGN: u64 = 2 << 20;
/// Most bytes of the kernel image, BSS included.
pub const KERNEL_MAX: u64 = 16 << 20;
/// One above the highest address of a user program.
pub const USER_END: u64 = 1 << VA_BITS;

/// The direct-map address of a physical address below [`DIRECT_MAP_SIZE`].
#[must_use]
pub const fn direct_va(pa: u64) -> u64 {
    DIRECT_MAP_BASE.wrapping_add(pa)
}

/// The physical address of a direct-map address, if it is one.
#[must_use]
pub const fn direct_pa(va: u64) -> Option<u64> {
    if va >= DIRECT_MAP_BASE && va < DYNAMIC_BASE { Some(va - DIRECT_MAP_BASE) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_follow_each_other() {
        assert_eq!(DIRECT_MAP_BASE, (-(1i64 << VA_BITS)) as u64);
        const { assert!(DYNAMIC_BASE < KERNEL_BASE) };
        assert_eq!(KERNEL_BASE.wrapping_add(2 << 30), 0);
        assert_eq!(direct_pa(direct_va(0x4020_0000)), Some(0x4020_0000));
        assert_eq!(direct_pa(KERNEL_BASE), None);
        assert_eq!(direct_pa(0x1000), None);
    }
}
