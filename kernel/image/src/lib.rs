//! The pure part of the kernel's edge: decisions that need no hardware, tested on the host.
//!
//! | module        | concept                                                       |
//! |---------------|---------------------------------------------------------------|
//! | [`claims`]    | places in the agent table that all cores share                |
//! | [`epitaph`]   | what a kernel panic leaves in memory                          |
//! | [`exception`] | what an exception from EL0 was, from its syndrome             |
//! | [`frames`]    | free page frames                                              |
//! | [`time`]      | nanoseconds to counter values                                 |
//!
//! The program beside it has the registers, the vectors and the raw memory.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod claims;
pub mod epitaph;
pub mod exception;
pub mod frames;
pub mod time;
