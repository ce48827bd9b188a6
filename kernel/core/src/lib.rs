//! The kernel's logic: a deterministic state machine without unsafe code.
//!
//! One [`Core`](core::Core) owns everything of the agents that live on one processor core. It reaches the outside through one small
//! port, the [`Machine`](machine::Machine): on a board that is AArch64, in tests a simulator. Time comes in as an argument, nothing here reads a clock.
//!
//! | module      | concept                                                                  |
//! |-------------|--------------------------------------------------------------------------|
//! | [`machine`] | the port: pages, page-table words, TLB, timer, interrupt lines           |
//! | [`cap`]     | slots, rights, derivation, revocation                                    |
//! | [`agent`]   | the agent block: registers, state, what it owns                          |
//! | [`space`]   | address spaces: page tables, walks, copies                               |
//! | [`pool`]    | who pays for which page                                                  |
//! | [`mailbox`] | the bounded queue of asynchronous messages                               |
//! | [`sched`]   | who runs next                                                            |
//! | [`timers`]  | what happens when                                                        |
//! | [`core`]    | events in, decisions out: the system calls                               |
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod agent;
pub mod cap;
pub mod core;
pub mod machine;
pub mod mailbox;
pub mod pool;
pub mod sched;
pub mod space;
mod sync;
pub mod timers;
