//! The UART driver server: it alone holds the console's registers and interrupt.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod device;
mod program;

aios_rt::entry!(program::run);
