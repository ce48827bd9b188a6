//! The first stage as a program: registers and raw memory around the pure library of the same name.
//!
//! `head.S` comes first; it calls [`start::stage0_main`] with the MMU off. The order of events, and what is checked when, is in
//! [`start`].
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
mod cpu;
#[cfg(target_os = "none")]
mod hash;
#[cfg(target_os = "none")]
mod raw;
#[cfg(target_os = "none")]
mod resident;
#[cfg(target_os = "none")]
mod start;
#[cfg(target_os = "none")]
mod stop;

#[cfg(not(target_os = "none"))]
fn main() {}
