//! The kernel's logic: a deterministic state machine without unsafe code.
#![no_std]
#![forbid(unsafe_code)]
