//! The place through which one thing at a time goes from one core to another.

use core::ptr::{NonNull, null_mut};

use crate::sync::{AtomicPtr, Ordering};

/// One place. What is put there belongs to whoever takes it out.
#[derive(Debug)]
pub struct Passage<T>(AtomicPtr<T>);

impl<T> Passage<T> {
    /// A free place.
    #[cfg(not(loom))]
    #[expect(clippy::new_without_default, reason = "made in a constant")]
    pub const fn new() -> Self {
        Self(AtomicPtr::new(null_mut()))
    }

    /// A free place.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self(AtomicPtr::new(null_mut()))
    }

    /// Whether [`put`](Self::put) would succeed, if nobody else puts something there.
    pub fn is_free(&self) -> bool {
        self.0.load(Ordering::Acquire).is_null()
    }

    /// Hands something over, with all that was written to it; false if the last one was not taken yet.
    #[must_use]
    pub fn put(&self, thing: NonNull<T>) -> bool {
        self.0.compare_exchange(null_mut(), thing.as_ptr(), Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Takes what was put there. Nobody else gets it.
    pub fn take(&self) -> Option<NonNull<T>> {
        // Most looks find nothing, and need not write to what another core reads.
        if self.0.load(Ordering::Relaxed).is_null() {
            return None;
        }
        NonNull::new(self.0.swap(null_mut(), Ordering::AcqRel))
    }
}
