//! Supervision logic of init, free of I/O.
#![no_std]
#![forbid(unsafe_code)]
