//! Typed access to memory-mapped registers.
#![no_std]

