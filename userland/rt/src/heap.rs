//! The global allocator: Doug Lea's allocator over agent memory.
//!
//! Memory is taken from the kernel in growing chunks, at least 64 KiB each and half as much again as the heap has, so that the heap's limit is
//! the pool and not the number of regions; of a chunk that the pool can't pay half is tried, down to what is needed. Chunks are paid at
//! once, so that a pool that is used up is a failed allocation and not a fault, unless the program says [`on_touch`](Heap::on_touch). The heap never shrinks.
//! An allocation that fails is a null pointer; `alloc`'s collections turn it into a panic, whose report needs no heap.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::{Cell, UnsafeCell};
use core::num::NonZeroUsize;
use core::ptr;

use aios_abi::limits::PAGE_SIZE;
use dlmalloc::Dlmalloc;

use crate::memory::{Backing, allocate};

/// Where the heap's memory comes from.
#[derive(Debug)]
struct Growth {
    backing: Cell<Backing>,
    total: Cell<usize>,
}

// SAFETY: `alloc` answers memory that the kernel gave to this program and that is never given back, or null; nothing is remapped or released.
unsafe impl dlmalloc::Allocator for Growth {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        let needed = size.next_multiple_of(PAGE_SIZE);
        let mut bytes = needed.max(self.total.get() / 2).next_multiple_of(PAGE_SIZE);
        while let Some(wanted) = NonZeroUsize::new(bytes) {
            if let Ok(start) = allocate(wanted, self.backing.get()) {
                self.total.set(self.total.get() + bytes);
                return (start.as_ptr(), bytes, 0);
            }
            if bytes == needed {
                break;
            }
            bytes = needed.max(bytes / 2).next_multiple_of(PAGE_SIZE);
        }
        (ptr::null_mut(), 0, 0)
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        ptr::null_mut()
    }

    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }

    fn free(&self, _: *mut u8, _: usize) -> bool {
        false
    }

    fn can_release_part(&self, _: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        PAGE_SIZE
    }
}

/// A heap of one program, which has one thread.
pub struct Heap {
    inner: UnsafeCell<Dlmalloc<Growth>>,
    /// Set while the allocator works: a fault handler that allocates in the middle of an allocation gets null instead of a broken heap.
    busy: Cell<bool>,
}

// SAFETY: a program has one thread; the only thing that comes between two of its instructions is its own fault handler, and `busy` keeps that out.
#[cfg(target_os = "none")]
unsafe impl Sync for Heap {}

impl Heap {
    /// A heap without memory.
    pub const fn new() -> Self {
        let growth = Growth { backing: Cell::new(Backing::Now), total: Cell::new(0) };
        let mut inner = Dlmalloc::new_with_allocator(growth);
        // Nothing is ever released: don't look for what could be.
        inner.set_max_release_check_rate(0);
        Self { inner: UnsafeCell::new(inner), busy: Cell::new(false) }
    }

    /// Bytes that the heap has from the kernel.
    pub fn size(&self) -> usize {
        self.with(0, |inner| inner.allocator().total.get())
    }

    /// From now on, takes memory that comes at first touch.
    pub fn on_touch(&self) {
        self.with((), |inner| inner.allocator().backing.set(Backing::OnTouch));
    }

    #[inline(always)]
    fn with<R>(&self, otherwise: R, work: impl FnOnce(&mut Dlmalloc<Growth>) -> R) -> R {
        if self.busy.replace(true) {
            return otherwise;
        }
        // SAFETY: `busy` makes this the only reference.
        let result = work(unsafe { &mut *self.inner.get() });
        self.busy.set(false);
        result
    }
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: Dlmalloc answers memory that is valid for the layout and in nobody else's use; nothing in the way unwinds.
unsafe impl GlobalAlloc for Heap {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: any size and alignment of a `Layout` will do.
        self.with(ptr::null_mut(), |inner| unsafe { inner.malloc(layout.size(), layout.align()) })
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: any size and alignment of a `Layout` will do.
        self.with(ptr::null_mut(), |inner| unsafe { inner.calloc(layout.size(), layout.align()) })
    }

    #[inline]
    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: the caller vouches that the block came from this heap with this layout. A handler that frees in the middle of an allocation
        // leaks the block.
        self.with((), |inner| unsafe { inner.free(start, layout.size(), layout.align()) });
    }

    #[inline]
    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller vouches that the block came from this heap with this layout.
        self.with(ptr::null_mut(), |inner| unsafe { inner.realloc(start, layout.size(), layout.align(), size) })
    }
}

impl core::fmt::Debug for Heap {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Heap of {} bytes", self.size())
    }
}

#[cfg(target_os = "none")]
#[global_allocator]
static HEAP: Heap = Heap::new();

/// Bytes that the program's heap has from the kernel.
#[cfg(target_os = "none")]
pub fn size() -> usize {
    HEAP.size()
}

/// From now on the program's heap takes memory that comes at first touch, so that a pool that is used up is a fault and not a null pointer.
#[cfg(target_os = "none")]
pub fn on_touch() {
    HEAP.on_touch();
}
