//! A bounded ring from one core to another.
//!
//! A ring has one sender and one receiver. The sender owns the place at `tail`, the receiver the one at `head`; each moves its own index with release
//! order after it is done with the place, and reads the other's with acquire order before it touches one. An index counts on for ever; a place is
//! its index modulo the size.
//!
//! Indices that can't be (a receiver ahead of its sender, or more waiting than there are places) are an end, not a way out of the ring: nothing is
//! put in or taken out any more. Every place holds a value from the beginning, so that even an index that lies leads to a value, though to an old one.

use crate::sync::{AtomicU32, Ordering, UnsafeCell};

/// A ring of `N` places, a power of two.
#[derive(Debug)]
#[repr(C)]
pub struct Ring<T, const N: usize> {
    pub(crate) head: AtomicU32,
    pub(crate) tail: AtomicU32,
    places: [UnsafeCell<T>; N],
}

// SAFETY: a place belongs to one side at a time: see `push` and `pop`, whose callers vouch for being the only ones on their side.
unsafe impl<T: Copy + Send, const N: usize> Sync for Ring<T, N> {}

impl<T: Copy, const N: usize> Ring<T, N> {
    const POWER: () = assert!(N.is_power_of_two() && N <= 1 << 31, "indices wrap around");

    /// An empty ring; nobody ever gets the `blank` values.
    pub fn new(blank: T) -> Self {
        let () = Self::POWER;
        Self { head: AtomicU32::new(0), tail: AtomicU32::new(0), places: core::array::from_fn(|_| UnsafeCell::new(blank)) }
    }

    /// Makes an empty ring where a ring has room, place by place: it may be too large for a stack.
    ///
    /// # Safety
    /// The memory is large enough for a ring, aligned for it, writable, and nobody else's.
    pub unsafe fn make_at(room: *mut Self, blank: T) {
        let () = Self::POWER;
        // SAFETY: the caller's promise; a pointer to a field stays within the ring.
        let head = unsafe { &raw mut (*room).head };
        // SAFETY: as above.
        let tail = unsafe { &raw mut (*room).tail };
        // SAFETY: as above.
        let places = unsafe { &raw mut (*room).places }.cast::<UnsafeCell<T>>();
        for index in [head, tail] {
            // SAFETY: as above.
            unsafe { index.write(AtomicU32::new(0)) };
        }
        for number in 0..N {
            // SAFETY: there are so many places.
            let place = unsafe { places.add(number) };
            // SAFETY: as above.
            unsafe { place.write(UnsafeCell::new(blank)) };
        }
    }

    /// The words that a peer could corrupt: the receiver's index and the sender's.
    #[cfg(loom)]
    pub fn indices(&self) -> (&AtomicU32, &AtomicU32) {
        (&self.head, &self.tail)
    }

    /// Adds a value; false if there is no room.
    ///
    /// # Safety
    /// No other call of `push` on this ring runs at the same time, and each one sees what the last one did.
    #[must_use]
    pub unsafe fn push(&self, value: T) -> bool {
        let tail = self.tail.load(Ordering::Relaxed);
        if tail.wrapping_sub(self.head.load(Ordering::Acquire)) as usize >= N {
            return false;
        }
        // SAFETY: the place is free and the sender's: the receiver has passed it, and takes it again only after the store to `tail`.
        self.places[tail as usize % N].with_mut(|place| unsafe { place.write(value) });
        self.tail.store(tail.wrapping_add(1), Ordering::Release);
        true
    }

    /// Takes the oldest value.
    ///
    /// # Safety
    /// No other call of `pop` on this ring runs at the same time, and each one sees what the last one did.
    pub unsafe fn pop(&self) -> Option<T> {
        let head = self.head.load(Ordering::Relaxed);
        if !(1..=N).contains(&(self.tail.load(Ordering::Acquire).wrapping_sub(head) as usize)) {
            return None;
        }
        // SAFETY: the sender filled the place before it moved `tail`, and fills it again only after the store to `head`.
        let value = self.places[head as usize % N].with(|place| unsafe { place.read() });
        self.head.store(head.wrapping_add(1), Ordering::Release);
        Some(value)
    }
}
