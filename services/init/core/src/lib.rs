//! Supervision logic of init, free of I/O: which server starts when, what happens when one dies, how the system stops,
//! and which names an agent may look up.
//!
//! The machine is [`Supervisor`]: `handle(now, event)` changes its state and returns a bounded list of [`Effect`]s for
//! init's loop to carry out. It knows no agent ids, no capabilities and no clock; servers are numbers in the declared
//! order of the boot manifest, time is what the caller says.
//!
//! | module       | what it holds                                                    |
//! |--------------|------------------------------------------------------------------|
//! | [`event`]    | what can happen, and what init must do about it                  |
//! | [`service`]  | one server: its state, its deaths, its circuit breaker           |
//! | `supervisor` | all of them: start order, restarts, ordered shutdown             |
//! | [`names`]    | the name service                                                 |
//!
//! Invariants, checked by random event sequences in `tests/`:
//! - a server is started only while every server that it depends on is running;
//! - a server dies at most `limit` times within its window before its breaker opens;
//! - a server that died is running again, waits for its backoff or a dependency, or its breaker is open: none is forgotten;
//! - while anything is waited for, the timer is set: nothing hangs;
//! - a shutdown ends after the sum of all grace times, whatever the servers do.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod event;
pub mod names;
pub mod service;
mod supervisor;

pub use event::{Effect, Event, LogEvent, PowerAction, Reason, Refusal};
pub use service::{Breaker, State, Status};
pub use supervisor::{KILL_GRACE_NS, Supervisor};
