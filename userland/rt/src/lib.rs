//! Native runtime: entry, syscall stubs, heap, panic report.
#![no_std]

