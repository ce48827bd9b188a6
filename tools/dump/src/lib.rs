//! Reads the kernel's state out of a machine's memory, from outside: after a panic, or while the machine runs.
//!
//! ```text
//! memory image ─ image ─▶ bytes by physical address ─┐
//!                                                    ├─ kernel ─▶ bytes by kernel address ─ value ─▶ state, epitaph
//! kernel's ELF ─ program ─▶ code, types, statics ────┘
//! ```
//!
//! How the kernel's data is laid out is read from the debug information (DWARF) of the very program that ran, never written down here:
//! [`kernel`] compares that program's code and constants with the memory byte by byte before anything is believed. What comes out are
//! the records of the `Inspect` call ([`aios_abi::record`]), so whatever shows those shows a dead machine too.
//!
//! A memory image is untrusted input: every address is checked, every list has an end, and what can't be read is said
//! ([`State::notes`](state::State::notes)) while the rest is still shown.
#![forbid(unsafe_code)]

mod agents;
pub mod epitaph;
mod error;
pub mod image;
pub mod kernel;
pub mod mailbox;
mod nodes;
pub mod program;
pub mod state;
pub mod types;
pub mod value;

pub use epitaph::Epitaph;
pub use error::Error;
pub use image::Image;
pub use kernel::Kernel;
pub use program::Program;
pub use state::State;
