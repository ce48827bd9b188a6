//! The log server.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod program;

#[cfg(target_os = "none")]
aios_rt::entry!(program::run);

#[cfg(not(target_os = "none"))]
fn main() {}
