//! Native runtime: what a program needs between its `main` and the kernel.
//!
//! | module      | what                                                                         |
//! |-------------|------------------------------------------------------------------------------|
//! | [`entry!`]  | the program's first instruction and the note with its ABI version             |
//! | [`sys`]     | the one system-call instruction; on a development machine, a fake kernel       |
//! | [`slot`]    | capabilities by kind                                                          |
//! | [`ipc`]     | send, receive, call, reply, notify                                            |
//! | [`cap`]     | mint, derive, grant, drop, revoke, export, admit, check                       |
//! | [`memory`]  | frames, mappings, pools, agent memory                                         |
//! | [`agent`]   | the program itself (yield, exit) and agents that it controls                   |
//! | [`fault`]   | fault handlers, answers to faults                                             |
//! | [`irq`]     | interrupt lines                                                               |
//! | [`time`]    | clock, deadlines, the timer                                                   |
//! | [`pqc`]     | operations of the PQC server, asynchronously                                  |
//! | [`inspect`] | the kernel's tables                                                           |
//! | [`machine`] | power, sealing key, early console                                             |
//! | [`info`]    | the read-only information page                                                |
//! | `heap`      | (feature `heap`) global allocator                                             |
//! | `service`   | (feature `service`) transport of service clients and port of servers          |
//! | `log`       | (feature `defmt`) the logger behind `defmt`'s macros                             |
//! | `peer`      | (feature `service`) init, and the services that it leads to                    |
//!
//! Every function is a thin, typed form of one call of [`aios_abi::call`], where the meaning of each is written down. Nothing here keeps
//! state apart from the heap, and nothing allocates but the heap.
//!
//! # A program
//! `build.rs` hands the linker its script; it prints nothing that matters on a development machine:
//! ```no_run
//! fn main() -> Result<(), std::env::VarError> {
//!     Ok(println!("cargo::rustc-link-arg-bins={}", std::env::var("DEP_AIOS_RT_LINK")?))
//! }
//! ```
//! and `main.rs`:
//! ```ignore
//! #![cfg_attr(target_os = "none", no_std, no_main)]
//!
//! aios_rt::entry!(run);
//!
//! fn run(args: [u64; 4]) -> u64 {
//!     args[0]
//! }
//! ```
#![no_std]

#[cfg(not(target_os = "none"))]
extern crate std;

pub mod agent;
pub mod cap;
mod entry;
pub mod fault;
#[cfg(feature = "heap")]
pub mod heap;
pub mod info;
pub mod inspect;
pub mod ipc;
pub mod irq;
#[cfg(feature = "defmt")]
pub mod log;
pub mod machine;
pub mod memory;
pub mod panic;
#[cfg(feature = "service")]
pub mod peer;
pub mod pqc;
#[cfg(feature = "service")]
pub mod service;
pub mod slot;
pub mod sys;
pub mod time;
pub mod trace;

pub use aios_abi as abi;
pub use aios_abi::{AgentId, Error, MessageId, SlotHandle};
#[doc(hidden)]
pub use aios_elf as elf;

/// What a call answers.
pub type Result<T> = core::result::Result<T, Error>;

#[cfg(test)]
mod tests;
