//! Numbers, registers and records that the kernel and its users share.
#![no_std]
#![forbid(unsafe_code)]
