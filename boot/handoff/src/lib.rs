//! The record that stage0 hands to the kernel, and the constants on which both must agree.
//!
//! stage0 fills one [`BootInfo`] in a page of its own and enters the kernel with `x0` = the direct-map address of that
//! record. Nothing else is passed: what differs between machines is in here, found in the device tree at run time.
//!
//! - [`layout`]: where kernel image and direct map lie, and the address arithmetic between them.
//! - [`regs`]: the values of MAIR_EL1, TCR_EL1 and SCTLR_EL1 (Arm ARM DDI 0487, section D19.2).
//! - [`BootInfo::validate`]: the kernel's first act. It refuses a record of another version or with values that contradict
//!   each other, so that nothing after it needs to doubt them.
//!
//! # The machine at kernel entry
//! EL1 (`SPSel` = 1), DAIF all masked, MMU and caches on with [`regs::SCTLR_EL1`], `TTBR1_EL1` = the tables at
//! [`BootInfo::tables`], `TTBR0_EL1` = an identity map of the [`BootInfo::stage0`] range only, `SP` undefined, FP/SIMD
//! trapped (`CPACR_EL1` = 0), no timer armed, interrupt controller untouched.
//!
//! # Secondary cores
//! The kernel calls PSCI `CPU_ON` with [`BootInfo::secondary_entry`] and, as context, the physical address of a
//! [`SecondaryStart`] in direct-mapped memory. The core arrives at [`SecondaryStart::entry_va`] in the same state as above, with
//! `SP` = [`SecondaryStart::stack_va`] and `x0` = [`SecondaryStart::arg`]. The record is read with caches on: no cache
//! maintenance is needed.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod layout;
pub mod regs;
mod validate;

pub use validate::BootInfoError;

/// `"AIOSBOOT"` read as a little-endian number.
pub const MAGIC: u64 = u64::from_le_bytes(*b"AIOSBOOT");
/// Version of this record's layout. Any change of a field is a new version: stage0 and kernel are always built together.
pub const VERSION: u32 = 1;
/// Most usable RAM ranges.
pub const MAX_RAM: usize = 64;
/// Most cores.
pub const MAX_CORES: usize = 64;
/// Most GICv3 redistributor regions.
pub const MAX_GICR: usize = 8;
/// Most segments of the init image.
pub const MAX_SEGMENTS: usize = 8;

/// [`BootInfo::psci`]: the device tree names no PSCI firmware: no secondary cores, no power-off.
pub const PSCI_NONE: u32 = 0;
/// [`BootInfo::psci`]: call the firmware by `hvc #0`.
pub const PSCI_HVC: u32 = 1;
/// [`BootInfo::psci`]: call the firmware by `smc #0`.
pub const PSCI_SMC: u32 = 2;

/// [`Console::kind`]: no console; every other field of the record is zero.
pub const CONSOLE_NONE: u32 = 0;
/// [`Console::kind`]: Arm PL011.
pub const CONSOLE_PL011: u32 = 1;
/// [`Console::kind`]: 16550-compatible, Synopsys DesignWare flavour.
pub const CONSOLE_DW8250: u32 = 2;

/// [`ImageSegment::perms`]: may be executed (same bits as ELF `p_flags`).
pub const PERM_EXECUTE: u32 = 1;
/// [`ImageSegment::perms`]: may be written.
pub const PERM_WRITE: u32 = 2;
/// [`ImageSegment::perms`]: may be read.
pub const PERM_READ: u32 = 4;

/// A range of physical addresses.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// First byte, a physical address.
    pub base: u64,
    /// Length in bytes; 0 = no such range.
    pub len: u64,
}

impl Range {
    /// The range `base .. base + len`.
    #[must_use]
    pub const fn new(base: u64, len: u64) -> Self {
        Self { base, len }
    }

    /// The first address behind the range (saturating; a range of a validated record never saturates).
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.base.saturating_add(self.len)
    }

    /// Whether both ranges share a byte.
    #[must_use]
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.len != 0 && other.len != 0 && self.base < other.end() && other.base < self.end()
    }

    /// Whether `other` lies wholly inside.
    #[must_use]
    pub const fn contains(&self, other: &Self) -> bool {
        other.base >= self.base && other.end() <= self.end()
    }
}

/// One GICv3 redistributor region.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GicrRegion {
    /// Physical address of the first redistributor frame.
    pub base: u64,
    /// Length of the region in bytes.
    pub len: u64,
    /// Distance between two redistributors in bytes, 0 = derive it from `GICR_TYPER` (0x20000, or 0x40000 with virtual LPIs).
    pub stride: u64,
}

/// The console UART, set up by the firmware or by stage0 (it transmits at entry).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Console {
    /// [`CONSOLE_NONE`], [`CONSOLE_PL011`] or [`CONSOLE_DW8250`].
    pub kind: u32,
    /// Interrupt number (INTID), 0 = none.
    pub intid: u32,
    /// Physical address of the first register.
    pub base: u64,
    /// Length of the register block in bytes.
    pub len: u64,
    /// Registers lie `1 << reg_shift` bytes apart (16550 kinds; 0 for PL011).
    pub reg_shift: u32,
    /// Width of a register access in bytes: 1, 2 or 4.
    pub reg_io_width: u32,
    /// 1 = the interrupt is edge-triggered, 0 = level-high.
    pub irq_edge: u32,
    /// Zero.
    pub reserved: u32,
}

/// One loaded segment of the init image: `pages` consecutive frames, to be mapped at `va`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageSegment {
    /// Virtual address in init's space, page aligned.
    pub va: u64,
    /// Physical address of the first frame, page aligned. The frames are not in [`BootInfo::ram`].
    pub pa: u64,
    /// Number of 4 KiB pages.
    pub pages: u64,
    /// [`PERM_READ`] | [`PERM_WRITE`] | [`PERM_EXECUTE`], never the last two together.
    pub perms: u32,
    /// Zero.
    pub reserved: u32,
}

/// The init program, loaded and waiting for its address space.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InitImage {
    /// Address of the first instruction.
    pub entry: u64,
    /// The kernel ABI version for which it was built (its ELF note).
    pub abi_version: u32,
    /// How many of `segments` are valid, at least 1.
    pub segment_count: u32,
    /// The segments in ascending order of `va`, disjoint.
    pub segments: [ImageSegment; MAX_SEGMENTS],
}

/// Everything that the kernel learns at boot.
///
/// Addresses are physical and lengths bytes unless the field says otherwise. Entries behind a count are zero.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootInfo {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`VERSION`].
    pub version: u32,
    /// `size_of::<BootInfo>()`.
    pub size: u32,

    /// The exception level at which the firmware entered stage0: 1 or 2. The kernel always runs at EL1.
    pub entry_el: u32,
    /// How to call the firmware: [`PSCI_NONE`], [`PSCI_HVC`] or [`PSCI_SMC`].
    pub psci: u32,
    /// `CNTVCT_EL0` as stage0 was entered (ticks), the zero point of "since boot".
    pub counter_at_entry: u64,
    /// Frequency of the counter in Hz (`CNTFRQ_EL0`, else the device tree's `clock-frequency`).
    pub counter_hz: u64,
    /// INTID of the virtual timer's interrupt (27).
    pub timer_intid: u32,
    /// How many of `cores` are valid, at least 1.
    pub core_count: u32,

    /// The device tree blob. Not in `ram`; direct-mapped; the kernel may free it when it no longer needs it. The base may be
    /// unaligned; no page that it touches is in `ram`.
    pub dtb: Range,
    /// The verified bundle (the initrd). Not in `ram`; direct-mapped; page-aligned base or its head page is shared with nobody.
    pub bundle: Range,
    /// The kernel image as loaded, BSS included: `kernel.base` is mapped at [`layout::KERNEL_BASE`], and nowhere else.
    pub kernel: Range,
    /// The part of stage0 that stays for ever: secondary entry and EL2 vectors. Mapped nowhere in TTBR1.
    pub stage0: Range,
    /// Where a secondary core starts (`CPU_ON`), inside `stage0`.
    pub secondary_entry: u64,
    /// The page that holds this record, rounded up to pages. The kernel may free it after copying it.
    pub boot_info: Range,

    /// The TTBR1 translation tables: the root is the first page. They belong to the kernel, which may edit and extend them.
    pub tables: Range,
    /// `TCR_EL1` as set on this core and to be set on every other (see [`regs::tcr`]).
    pub tcr: u64,
    /// `MAIR_EL1` ([`regs::MAIR_EL1`]).
    pub mair: u64,

    /// Bytes of RAM that the device tree lists, reserved parts included.
    pub ram_total: u64,
    /// How many of `ram` are valid, at least 1.
    pub ram_count: u32,
    /// How many of `gicr` are valid, at least 1.
    pub gicr_count: u32,
    /// Free RAM: page aligned, ascending, disjoint and not adjacent, direct-mapped; everything taken is already out of it. Its
    /// content is undefined (zero a frame before use).
    pub ram: [Range; MAX_RAM],

    /// `MPIDR_EL1` affinity fields (Aff3 in bits 39:32, Aff2–Aff0 in 23:0) of each usable core, the boot core first.
    pub cores: [u64; MAX_CORES],

    /// The GICv3 distributor, direct-mapped as device memory.
    pub gicd: Range,
    /// The redistributor regions, direct-mapped as device memory.
    pub gicr: [GicrRegion; MAX_GICR],

    /// The console UART, direct-mapped as device memory.
    pub console: Console,

    /// Random bytes from the firmware (`/chosen/rng-seed`), to be wiped after use; zero unless `rng_seed_len` > 0.
    pub rng_seed: [u8; 32],
    /// How many bytes of `rng_seed` came from the firmware: 0 to 32.
    pub rng_seed_len: u32,
    /// Zero.
    pub reserved: u32,

    /// The init program.
    pub init: InitImage,

    /// SHA-256 of the kernel ELF file.
    pub kernel_sha256: [u8; 32],
    /// SHA-256 of the bundle.
    pub bundle_sha256: [u8; 32],
}

/// The argument of a secondary core's start: the context of PSCI `CPU_ON` is the physical address of this record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecondaryStart {
    /// Virtual address of the kernel's entry for secondary cores.
    pub entry_va: u64,
    /// Initial `SP`, 16-byte aligned.
    pub stack_va: u64,
    /// Value of `x0` at the entry.
    pub arg: u64,
}

impl BootInfo {
    /// A record with the header filled in and everything else zero.
    #[must_use]
    pub const fn empty() -> Self {
        const NO_RANGE: Range = Range::new(0, 0);
        const NO_SEGMENT: ImageSegment = ImageSegment { va: 0, pa: 0, pages: 0, perms: 0, reserved: 0 };
        Self {
            magic: MAGIC,
            version: VERSION,
            size: size_of::<Self>() as u32,
            entry_el: 0,
            psci: PSCI_NONE,
            counter_at_entry: 0,
            counter_hz: 0,
            timer_intid: 0,
            core_count: 0,
            dtb: NO_RANGE,
            bundle: NO_RANGE,
            kernel: NO_RANGE,
            stage0: NO_RANGE,
            secondary_entry: 0,
            boot_info: NO_RANGE,
            tables: NO_RANGE,
            tcr: 0,
            mair: 0,
            ram_total: 0,
            ram_count: 0,
            gicr_count: 0,
            ram: [NO_RANGE; MAX_RAM],
            cores: [0; MAX_CORES],
            gicd: NO_RANGE,
            gicr: [GicrRegion { base: 0, len: 0, stride: 0 }; MAX_GICR],
            console: Console { kind: CONSOLE_NONE, intid: 0, base: 0, len: 0, reg_shift: 0, reg_io_width: 0, irq_edge: 0, reserved: 0 },
            rng_seed: [0; 32],
            rng_seed_len: 0,
            reserved: 0,
            init: InitImage { entry: 0, abi_version: 0, segment_count: 0, segments: [NO_SEGMENT; MAX_SEGMENTS] },
            kernel_sha256: [0; 32],
            bundle_sha256: [0; 32],
        }
    }

    /// The usable RAM ranges.
    #[must_use]
    pub fn ram(&self) -> &[Range] {
        head(&self.ram, self.ram_count)
    }

    /// The usable cores' affinities, boot core first.
    #[must_use]
    pub fn cores(&self) -> &[u64] {
        head(&self.cores, self.core_count)
    }

    /// The redistributor regions.
    #[must_use]
    pub fn gicr(&self) -> &[GicrRegion] {
        head(&self.gicr, self.gicr_count)
    }
}

impl InitImage {
    /// The loaded segments.
    #[must_use]
    pub fn segments(&self) -> &[ImageSegment] {
        head(&self.segments, self.segment_count)
    }
}

/// The first `count` elements, all of them when there are fewer.
fn head<T>(all: &[T], count: u32) -> &[T] {
    all.get(..count as usize).unwrap_or(all)
}

// The record crosses from one program to another: its layout has no padding and changes only on purpose.
const _: () = {
    use core::mem::{align_of, offset_of, size_of};
    assert!(align_of::<BootInfo>() == 8);
    assert!(size_of::<Range>() == 16);
    assert!(size_of::<GicrRegion>() == 24);
    assert!(size_of::<Console>() == 40);
    assert!(size_of::<ImageSegment>() == 32);
    assert!(size_of::<InitImage>() == 16 + 32 * MAX_SEGMENTS);
    assert!(size_of::<SecondaryStart>() == 24);
    assert!(offset_of!(SecondaryStart, stack_va) == 8);
    assert!(offset_of!(SecondaryStart, arg) == 16);
    assert!(offset_of!(BootInfo, dtb) == 48);
    assert!(offset_of!(BootInfo, secondary_entry) == 112);
    assert!(offset_of!(BootInfo, tables) == 136);
    assert!(offset_of!(BootInfo, ram_total) == 168);
    assert!(offset_of!(BootInfo, ram) == 184);
    assert!(offset_of!(BootInfo, cores) == 184 + 16 * MAX_RAM);
    assert!(offset_of!(BootInfo, gicd) == offset_of!(BootInfo, cores) + 8 * MAX_CORES);
    assert!(offset_of!(BootInfo, console) == offset_of!(BootInfo, gicd) + 16 + 24 * MAX_GICR);
    assert!(offset_of!(BootInfo, rng_seed) == offset_of!(BootInfo, console) + 40);
    assert!(offset_of!(BootInfo, init) == offset_of!(BootInfo, rng_seed) + 40);
    assert!(size_of::<BootInfo>() == offset_of!(BootInfo, init) + 16 + 32 * MAX_SEGMENTS + 64);
    assert!(size_of::<BootInfo>() <= layout::PAGE_SIZE as usize);
};
