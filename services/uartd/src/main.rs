//! The UART driver server: it alone holds the console's registers and interrupt.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod device;
#[cfg(target_os = "none")]
mod program;

#[cfg(target_os = "none")]
aios_rt::entry!(program::run);

#[cfg(not(target_os = "none"))]
fn main() {}
