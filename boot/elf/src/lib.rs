//! A small checked reader of AArch64 ELF executables.
#![no_std]
#![forbid(unsafe_code)]
