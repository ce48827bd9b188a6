//! The boot bundle and the boot image: formats, readers, writers.
#![no_std]
#![forbid(unsafe_code)]
