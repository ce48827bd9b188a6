//! The test program: does what the number in `x0` asks for. See the library for the catalogue.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod program;

#[cfg(target_os = "none")]
aios_rt::entry!(program::run);

#[cfg(not(target_os = "none"))]
fn main() {}
