//! The record that stage0 hands to the kernel.
#![no_std]
#![forbid(unsafe_code)]
