//! Line editor, parser, completion and tables of the shell, free of I/O.
#![no_std]
#![forbid(unsafe_code)]
