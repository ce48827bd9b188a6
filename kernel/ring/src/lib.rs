//! What cores share besides derivation nodes: bounded rings from one core to another, the place of an agent that moves, where each agent lives.
//!
//! The mechanism alone, without packets and without hardware, so that `loom` can try every order in which two cores get at the shared words
//! (`--cfg loom`, the suite "loom"), and Miri can watch the unsafe lines, which are all in [`ring`].
#![cfg_attr(not(any(test, loom)), no_std)]

mod homes;
mod passage;
mod ring;
mod sync;

pub use homes::Homes;
pub use passage::Passage;
pub use ring::Ring;

#[cfg(all(test, not(loom)))]
mod tests;
