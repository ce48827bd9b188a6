//! The console server over one UART, without system calls: it runs on the device and, in tests, on the device's model.
//!
//! | module        | what                                                                      |
//! |---------------|---------------------------------------------------------------------------|
//! | [`console`]   | queues in both directions, readers and writers that wait                   |
//! | `server`      | the operations of the interface `console`                                 |
//! | `subscribers` | who is told of events                                                     |
//! | `handler`     | what the event loop calls: interrupts, requests, time                      |
//!
//! Invariants, checked by random traffic in the tests:
//! - a chunk that was taken goes out whole, once and in order; a writer waits while there is no room for its chunk;
//! - bytes go to readers in the order in which they came; the oldest give way when nobody reads, and are counted;
//! - every queue is bounded, and nothing is allocated.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod console;
mod handler;
mod server;
mod subscribers;

pub use console::{Console, Line};
pub use handler::{INTERRUPT, STOP};

#[cfg(test)]
mod tests;
