//! The boot manifest: which servers a system consists of, and exactly what each of them holds.
//!
//! One TOML file per profile (`targets/<profile>/manifest.toml`) is the root of authority of the system: init gives
//! a server what its entry lists and nothing else. The file is checked when the system is built and reaches init as
//! a small binary record inside the bundle.
//!
//! | module      | runs on | what it does                                              |
//! |-------------|---------|-----------------------------------------------------------|
//! | [`types`]   | target  | the record and [`types::decode`]; `no_std`                |
//! | `source`    | host    | the TOML form, with the place of every name               |
//! | `check`     | host    | every rule that a manifest must obey                      |
//! | `rights`    | host    | the rule of `uses`: services and the rights to them       |
//! | `compile`   | host    | TOML → checked → record bytes                             |
//! | `graph`     | host    | a text picture of who may call whom                       |
//!
//! The host side is behind the feature `std` (default); init uses the crate with `default-features = false`.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod types;

#[cfg(feature = "std")]
mod check;
#[cfg(feature = "std")]
mod compile;
#[cfg(feature = "std")]
mod error;
#[cfg(feature = "std")]
mod graph;
#[cfg(feature = "std")]
mod rights;
#[cfg(feature = "std")]
mod source;

#[cfg(feature = "std")]
pub use compile::{check_images, compile, images};
#[cfg(feature = "std")]
pub use error::Error;
#[cfg(feature = "std")]
pub use graph::graph;
