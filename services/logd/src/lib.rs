//! The log server: the log of `aios-logd-core` behind the interface `log`, without system calls.
//!
//! | module      | what                                                                              |
//! |-------------|-----------------------------------------------------------------------------------|
//! | [`journal`] | the operations, and readers that wait for records to come                           |
//! | `readers`   | which cursor of the log goes on where a reader left off                             |
//! | [`console`] | records that are urgent enough, shown as they come                                  |
//! | `convert`   | between the words of the interface and those of the log                             |
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod console;
mod convert;
pub mod journal;
mod readers;

pub use console::Screen;
pub use journal::{Images, Journal, STOP};

#[cfg(test)]
mod tests;
