//! Log storage and formatting, free of I/O.
//!
//! Records are structured: time, level, the agent that the kernel stamped on the message, and either text or a raw
//! defmt frame with the tag of the image whose table decodes it. Each agent has a ring of its own with a fixed budget,
//! so that an agent which floods the log overwrites its own records and nobody else's; what is overwritten is counted.
//!
//! | module      | what it holds                                                          |
//! |-------------|------------------------------------------------------------------------|
//! | [`record`]  | levels, names, records                                                 |
//! | `store`     | the rings, in one order over all agents                                |
//! | [`server`]  | requests in, replies and effects out; cursors that follow the log      |
//! | [`mod@format`] | the readable line, and text made harmless for a terminal             |
//!
//! Invariants, checked by random requests in `tests/`: no ring exceeds its budget; a cursor sees each record that its
//! filter admits exactly once, in order, or finds it counted as lost; an agent's flood costs no other agent a record.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod format;
pub mod record;
pub mod server;
mod store;

pub use record::{Body, Level, Name, Record};
pub use server::{Access, Caller, CursorId, Effect, Error, Filter, Limits, Log, Reply, Request, RingUse, Start};
