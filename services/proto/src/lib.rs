//! Every service interface, generated from WIT.
#![no_std]
#![forbid(unsafe_code)]
