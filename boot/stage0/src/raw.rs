//! Physical memory. Before and after the MMU is on, an address here is a physical one: the identity map holds all memory.

use core::arch::asm;
use core::ptr;

use aios_bundle::image::{IMAGE_SIZE_AT, SCRATCH_LEN};
use aios_handoff::layout::PAGE_SIZE;
use aios_handoff::{BootInfo, Range};
use aios_stage0::TableMemory;

unsafe extern "C" {
    static _head: u8;
    static __resident_end: u8;
    static __text_end: u8;
    static __rodata_end: u8;
    static __image_end: u8;
}

/// Where stage0 begins.
pub fn base() -> u64 {
    (&raw const _head).addr() as u64
}

/// The range between two addresses.
pub fn between(start: u64, end: u64) -> Range {
    Range::new(start, end - start)
}

/// stage0 with payload and scratch memory, as the Image header states.
pub fn image() -> Range {
    let size_at = base() + IMAGE_SIZE_AT as u64;
    // SAFETY: the header of the running image, which nobody writes; `IMAGE_SIZE_AT` is a multiple of 8.
    let size = unsafe { pointer(size_at).cast::<u64>().read() };
    Range::new(base(), size)
}

/// The code that is not resident.
pub fn text() -> Range {
    between((&raw const __resident_end).addr() as u64, (&raw const __text_end).addr() as u64)
}

/// Constants.
pub fn rodata() -> Range {
    between((&raw const __text_end).addr() as u64, (&raw const __rodata_end).addr() as u64)
}

/// Payload header and all that follows in the file.
pub fn payload() -> Range {
    between((&raw const __image_end).addr() as u64, image().end() - SCRATCH_LEN)
}

/// The bytes of `range`.
///
/// # Safety
/// The range is readable memory, and nothing writes it while a borrow of it is in use.
pub unsafe fn bytes(range: Range) -> &'static [u8] {
    // SAFETY: by the caller.
    unsafe { core::slice::from_raw_parts(pointer(range.base), range.len as usize) }
}

/// Fills memory with zeros.
///
/// # Safety
/// The range is memory that belongs to the caller alone.
pub unsafe fn zero(range: Range) {
    // SAFETY: by the caller.
    unsafe { ptr::write_bytes(pointer(range.base), 0, range.len as usize) }
}

/// Fills `range` with zeros and copies `data` to `offset` in it. What doesn't fit is left out.
///
/// # Safety
/// The range is memory that belongs to the caller alone.
pub unsafe fn load(range: Range, offset: u64, data: &[u8]) {
    // SAFETY: by the caller.
    unsafe { zero(range) };
    let room = range.len.saturating_sub(offset).min(data.len() as u64) as usize;
    // SAFETY: the part of the range behind `offset` has this room; `data` is borrowed, so it lies elsewhere.
    unsafe { ptr::copy_nonoverlapping(data.as_ptr(), pointer(range.base + offset), room) }
}

/// Writes the record into its page.
///
/// # Safety
/// The page is memory that belongs to the caller alone.
pub unsafe fn write_boot_info(page: Range, info: &BootInfo) {
    // SAFETY: by the caller.
    unsafe { zero(page) };
    // SAFETY: a whole page, aligned, at least as large as the record (checked in aios-handoff).
    unsafe { pointer(page.base).cast::<BootInfo>().write(*info) }
}

/// Overwrites a secret with zeros.
///
/// # Safety
/// The range is memory of which no borrow is in use any more.
pub unsafe fn wipe(secret: Range) {
    for at in secret.base..secret.end() {
        // SAFETY: by the caller. Volatile, so that it happens.
        unsafe { pointer(at).write_volatile(0) }
    }
}

/// Writes cached content of `range` to memory.
pub fn clean(range: Range) {
    for_each_line(range, |line| {
        // SAFETY: cleaning changes no content; the line is mapped.
        unsafe { asm!("dc cvac, {line}", line = in(reg) line, options(nostack, preserves_flags)) }
    });
}

/// Drops what the caches hold of `range`, whole lines.
///
/// # Safety
/// Nothing in these lines has been written through the caches since memory was last up to date.
pub unsafe fn invalidate(range: Range) {
    for_each_line(range, |line| {
        // SAFETY: by the caller.
        unsafe { asm!("dc ivac, {line}", line = in(reg) line, options(nostack, preserves_flags)) }
    });
}

fn for_each_line(range: Range, mut act: impl FnMut(u64)) {
    let ctr: u64;
    // SAFETY: reads an identification register.
    unsafe { asm!("mrs {ctr}, ctr_el0", ctr = out(reg) ctr, options(nomem, nostack, preserves_flags)) };
    // DminLine: log2 of the words in the smallest line.
    let line = 4u64 << ((ctr >> 16) & 0xf);
    let mut at = range.base & !(line - 1);
    while at < range.end() {
        act(at);
        at += line;
    }
    // SAFETY: a barrier.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
}

fn pointer(pa: u64) -> *mut u8 {
    ptr::with_exposed_provenance_mut(pa as usize)
}

/// Pages for translation tables, from a range of memory that belongs to them.
#[derive(Debug)]
pub struct TablePages {
    next: u64,
    end: u64,
}

impl TablePages {
    /// Tables in `range`, whole pages.
    ///
    /// # Safety
    /// The range is memory that belongs to these tables alone, from now on.
    pub unsafe fn new(range: Range) -> Self {
        Self { next: range.base, end: range.end() }
    }

    /// What is left of the range.
    pub fn unused(&self) -> Range {
        between(self.next, self.end)
    }
}

impl TableMemory for TablePages {
    fn allocate(&mut self) -> Option<u64> {
        if self.next == self.end {
            return None;
        }
        let page = self.next;
        self.next += PAGE_SIZE;
        // SAFETY: a page of the range that `new` was given.
        unsafe { zero(Range::new(page, PAGE_SIZE)) };
        Some(page)
    }

    fn read(&self, at: u64) -> u64 {
        // SAFETY: an entry of a page given out by `allocate`. The table walker may read it at the same time, never write.
        unsafe { pointer(at).cast::<u64>().read_volatile() }
    }

    fn write(&mut self, at: u64, entry: u64) {
        // SAFETY: as above.
        unsafe { pointer(at).cast::<u64>().write_volatile(entry) }
    }
}
