//! The event loop of a server.
#![no_std]
#![forbid(unsafe_code)]
