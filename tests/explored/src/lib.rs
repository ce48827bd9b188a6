//! The atomics with which `loom` tries every order of accesses, for the crates that share memory between cores (`--cfg loom`; empty otherwise).
//!
//! Loom finds out which orders it has not tried yet by looking at the last access to a word alone. A thread that reads a word and then writes it, as the
//! owner of an index does, hides by its own read that another thread has read the word before: that the write might come first is then never tried (loom
//! 0.7.2; `tests/explored.rs` shows it). Here each access first takes a turn at a second word, and turns are never independent of one another.
#![cfg(loom)]
#![forbid(unsafe_code)]

pub use loom::cell::UnsafeCell;
pub use loom::sync::atomic::{Ordering, fence};
pub use loom::{model, sync::Arc, thread};

use loom::sync::atomic::{self as plain, AtomicUsize};

/// The accesses that all atomics have.
macro_rules! word {
    ($name:ident, $plain:ident $(<$parameter:ident>)?, $value:ty) => {
        #[doc = concat!("A `", stringify!($plain), "`.")]
        #[derive(Debug)]
        pub struct $name $(<$parameter>)? {
            turn: AtomicUsize,
            word: plain::$plain $(<$parameter>)?,
        }

        #[expect(missing_docs, reason = "as in the standard library")]
        impl $(<$parameter>)? $name $(<$parameter>)? {
            pub fn new(value: $value) -> Self {
                Self { turn: AtomicUsize::new(0), word: plain::$plain::new(value) }
            }

            /// Lets every order of this and other accesses be tried. It orders nothing else.
            fn word(&self) -> &plain::$plain $(<$parameter>)? {
                self.turn.fetch_add(1, Ordering::Relaxed);
                &self.word
            }

            pub fn load(&self, order: Ordering) -> $value {
                self.word().load(order)
            }

            pub fn store(&self, value: $value, order: Ordering) {
                self.word().store(value, order);
            }

            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                self.word().swap(value, order)
            }

            pub fn compare_exchange(&self, old: $value, new: $value, success: Ordering, failure: Ordering) -> Result<$value, $value> {
                self.word().compare_exchange(old, new, success, failure)
            }
        }
    };
}

/// The accesses that numbers have besides.
macro_rules! number {
    ($name:ident, $value:ty) => {
        word!($name, $name, $value);

        #[expect(missing_docs, reason = "as in the standard library")]
        impl $name {
            pub fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                self.word().fetch_add(value, order)
            }

            pub fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                self.word().fetch_sub(value, order)
            }

            pub fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                self.word().fetch_and(value, order)
            }

            pub fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                self.word().fetch_or(value, order)
            }

            pub fn fetch_update(
                &self,
                set: Ordering,
                fetch: Ordering,
                mut next: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let mut old = self.load(fetch);
                while let Some(new) = next(old) {
                    match self.compare_exchange(old, new, set, fetch) {
                        Ok(old) => return Ok(old),
                        Err(other) => old = other,
                    }
                }
                Err(old)
            }
        }
    };
}

number!(AtomicU16, u16);
number!(AtomicU32, u32);
number!(AtomicU64, u64);
word!(AtomicPtr, AtomicPtr<T>, *mut T);
