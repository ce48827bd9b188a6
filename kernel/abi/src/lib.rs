//! The contract between the kernel and everything that runs on it: call numbers, register layout, ids, rights, errors,
//! limits and records. Numbers, types and errors live here once; nothing here has logic beyond packing and unpacking.
//!
//! | module      | what it fixes                                                        |
//! |-------------|----------------------------------------------------------------------|
//! | [`call`]    | call numbers and, call by call, what each register means             |
//! | [`error`]   | status codes 0–255 (kernel); 256–1023 and 1024+ belong to services   |
//! | [`id`]      | agent ids, slot handles, message ids                                 |
//! | [`info`]    | the read-only information page of every agent, and the clock         |
//! | [`message`] | the information word in `x10`, the packet header, fault messages     |
//! | [`rights`]  | capability kinds and rights bits                                     |
//! | [`limits`]  | every size and bound of the system                                   |
//! | [`record`]  | what `Inspect` returns                                               |
//! | [`sentinel`]| invisible marks on the serial console                                |
//! | [`trace`]   | what a core writes of its scheduler                                  |
//!
//! Values are little-endian and naturally aligned; reserved bits are zero and checked.
#![no_std]
#![forbid(unsafe_code)]

pub mod call;
pub mod error;
pub mod id;
pub mod info;
pub mod limits;
pub mod message;
pub mod record;
pub mod rights;
pub mod sentinel;
pub mod trace;

pub use call::Call;
pub use error::Error;
pub use id::{AgentId, MessageId, SlotHandle};

/// Version of this contract. An image carries the version that it was built for, and `AgentSpawn` refuses another.
pub const ABI_VERSION: u32 = 1;
