//! Atomics: the machine's, or those of `loom`, which tries every order in which cores get at the words that they share.

#[cfg(loom)]
pub use aios_explored::{AtomicU32, AtomicU64, Ordering, fence};
#[cfg(not(loom))]
pub use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
