//! What a device tree says about a machine, as plain facts.
#![no_std]
#![forbid(unsafe_code)]
