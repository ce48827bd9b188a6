//! Physical memory through the direct map.
//!
//! The addresses come from the core, which got each of them from [`take`] or from the hand-over: that is what every `SAFETY` here rests on. As a second
//! wall, an address is cut to the direct map window, in which neither the kernel's image nor its stack lies.
//!
//! Agents and other cores may change shared pages at any time. Words are therefore atomic, and bulk copies are made by instructions that the compiler
//! doesn't look into.

use core::arch::asm;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use aios_aarch64::sysreg;
use aios_handoff::layout::{DIRECT_MAP_BASE, DIRECT_MAP_SIZE, PAGE_SIZE};
use aios_handoff::{BootInfo, MAX_GICR, MAX_RAM, Range};
use aios_kernel::frames::Frames;
use spin::{Mutex, Once};

/// The free frames of the machine, for all cores.
static FRAMES: Mutex<Option<Frames<'static>>> = Mutex::new(None);

/// Makes these the free frames.
pub fn install(frames: Frames<'static>) {
    *FRAMES.lock() = Some(frames);
}

/// Page ranges that no agent may have as device memory: RAM, as far as the hand-over knows it, and the interrupt controller. First page and pages.
static NOT_DEVICES: Once<[(u64, u64); RANGES]> = Once::new();
const RANGES: usize = MAX_RAM + MAX_GICR + 8;

/// Notes what isn't a device for agents.
pub fn set_not_devices(info: &BootInfo) {
    let rest = [info.kernel, info.stage0, info.bundle, info.dtb, info.tables, info.boot_info, info.gicd];
    let controller = info.gicr().iter().map(|region| Range::new(region.base, region.len));
    let mut ranges = [(0, 0); RANGES];
    for (place, range) in ranges.iter_mut().zip(info.ram().iter().copied().chain(rest).chain(controller)) {
        let first = range.base / PAGE_SIZE;
        *place = (first, range.end().div_ceil(PAGE_SIZE) - first);
    }
    NOT_DEVICES.call_once(|| ranges);
}

/// Whether an agent may have these pages as device memory.
pub fn is_device(first: u64, pages: u64) -> bool {
    NOT_DEVICES.get().is_some_and(|ranges| ranges.iter().all(|&(start, count)| first + pages <= start || start + count <= first))
}

/// Takes a run of pages, with whatever is in them.
pub fn take(pages: u64) -> Option<u64> {
    FRAMES.lock().as_mut()?.take(pages)
}

/// Gives a run of pages back. Nobody uses them any more.
pub fn give(address: u64, pages: u64) {
    if let Some(frames) = FRAMES.lock().as_mut() {
        frames.give(address, pages);
    }
}

/// Where a physical address is mapped.
#[inline(always)]
pub fn direct<T>(address: u64) -> *mut T {
    ptr::with_exposed_provenance_mut((DIRECT_MAP_BASE | (address & (DIRECT_MAP_SIZE - 1))) as usize)
}

/// The physical address of a page that [`direct`] gave.
pub fn physical<T>(page: *mut T) -> u64 {
    page.addr() as u64 & (DIRECT_MAP_SIZE - 1)
}

#[inline(always)]
fn word<'a>(address: u64) -> &'a AtomicU64 {
    // SAFETY: a word of RAM that is mapped for ever, aligned as the port demands; as an atomic it may be shared with everybody.
    unsafe { AtomicU64::from_ptr(direct(address)) }
}

/// Reads a word.
#[inline(always)]
pub fn read(address: u64) -> u64 {
    word(address).load(Ordering::Relaxed)
}

/// Writes a word. Whoever sees it, the table walkers included, sees all that was written before it: so a table is complete before an entry points to it.
#[inline(always)]
pub fn write(address: u64, value: u64) {
    word(address).store(value, Ordering::Release);
}

/// Copies bytes within one page.
pub fn copy(to: u64, from: u64, length: usize) {
    copy_bytes(direct(to), direct(from), length);
}

/// Copies bytes out of a page.
pub fn read_bytes(address: u64, bytes: &mut [u8]) {
    copy_bytes(bytes.as_mut_ptr(), direct(address), bytes.len());
}

/// Copies bytes into a page.
pub fn write_bytes(address: u64, bytes: &[u8]) {
    copy_bytes(direct(address), bytes.as_ptr(), bytes.len());
}

/// 64 bytes a round, then words, then bytes. Normal memory has no alignment to keep.
#[inline]
fn copy_bytes(to: *mut u8, from: *const u8, length: usize) {
    // SAFETY: both sides have `length` bytes, in pages that the core vouches for or in a buffer of its own, and don't overlap.
    unsafe {
        asm!(
            "subs {left}, {left}, #64",
            "b.lo 3f",
            "2:",
            "ldp {a}, {b}, [{from}]",
            "ldp {c}, {d}, [{from}, #16]",
            "ldp {e}, {f}, [{from}, #32]",
            "ldp {g}, {h}, [{from}, #48]",
            "add {from}, {from}, #64",
            "stp {a}, {b}, [{to}]",
            "stp {c}, {d}, [{to}, #16]",
            "stp {e}, {f}, [{to}, #32]",
            "stp {g}, {h}, [{to}, #48]",
            "add {to}, {to}, #64",
            "subs {left}, {left}, #64",
            "b.hs 2b",
            "3:",
            "adds {left}, {left}, #56",
            "b.mi 5f",
            "4:",
            "ldr {a}, [{from}], #8",
            "str {a}, [{to}], #8",
            "subs {left}, {left}, #8",
            "b.pl 4b",
            "5:",
            "adds {left}, {left}, #8",
            "b.eq 7f",
            "6:",
            "ldrb {a:w}, [{from}], #1",
            "strb {a:w}, [{to}], #1",
            "subs {left}, {left}, #1",
            "b.ne 6b",
            "7:",
            to = inout(reg) to => _,
            from = inout(reg) from => _,
            left = inout(reg) length => _,
            a = out(reg) _, b = out(reg) _, c = out(reg) _, d = out(reg) _,
            e = out(reg) _, f = out(reg) _, g = out(reg) _, h = out(reg) _,
            options(nostack),
        );
    }
}

/// Fills whole pages with zeros.
pub fn zero(address: u64, pages: u64) {
    let (start, end) = (direct::<u8>(address), direct::<u8>(address + pages * PAGE_SIZE));
    let id = sysreg::dczid_el0::read();
    let block = 4u64 << (id & 0xf);
    if id & 1 << 4 != 0 || block * 4 > PAGE_SIZE {
        // SAFETY: the pages belong to the caller alone.
        unsafe { ptr::write_bytes(start, 0, (pages * PAGE_SIZE) as usize) };
        return;
    }
    // SAFETY: the pages belong to the caller alone, and are a multiple of four blocks that the instruction clears.
    unsafe {
        asm!(
            "2:",
            "dc zva, {at}",
            "add {at}, {at}, {block}",
            "dc zva, {at}",
            "add {at}, {at}, {block}",
            "dc zva, {at}",
            "add {at}, {at}, {block}",
            "dc zva, {at}",
            "add {at}, {at}, {block}",
            "cmp {at}, {end}",
            "b.lo 2b",
            at = inout(reg) start => _,
            end = in(reg) end,
            block = in(reg) block,
            options(nostack),
        );
    }
}
