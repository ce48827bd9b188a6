//! Atomics and cells: the machine's, or those of `loom`, which tries every order of accesses. `loom`'s can't be made in constants.

#[cfg(loom)]
pub use aios_explored::{AtomicPtr, AtomicU16, AtomicU32, Ordering, UnsafeCell};
#[cfg(not(loom))]
pub use core::sync::atomic::{AtomicPtr, AtomicU16, AtomicU32, Ordering};

/// A cell with the interface of `loom`'s.
#[cfg(not(loom))]
#[derive(Debug)]
pub struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub const fn new(value: T) -> Self {
        Self(core::cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    pub fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        read(self.0.get())
    }

    #[inline(always)]
    pub fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        write(self.0.get())
    }
}
