//! UART drivers: PL011 and DesignWare 8250.
#![no_std]
#![forbid(unsafe_code)]
