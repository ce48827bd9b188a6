//! Log storage and formatting, free of I/O.
#![no_std]
#![forbid(unsafe_code)]
