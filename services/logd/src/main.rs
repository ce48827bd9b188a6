//! The log server.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

mod program;

aios_rt::entry!(program::run);
