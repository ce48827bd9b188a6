//! A plugin for QEMU that counts executed instructions exactly, by address, in windows that the guest marks.
//!
//! A mark is `movz xzr, #n`, which does nothing; no compiler emits it. Marks are not counted themselves, and may stand at EL0 or EL1.
//!
//! | n | meaning |
//! |---|---|
//! | 0 | close the window |
//! | 1 | the next row begins: what is counted from now on belongs to it |
//! | 2 | open the window: an operation begins |
//! | 3 | open the window again: the operation that was begun goes on |
//! | 4 | write the report |
//!
//! What lies between closing and opening again is not counted: there the guest checks what it got. The first operations of each row ([`WARM_UP`])
//! are not counted either.
//!
//! Arguments: `out=FILE`; `probe=on` writes an empty report and refuses to start, which tells that the plugin fits.
//! Interface: QEMU's `docs/devel/tcg-plugins.rst`, version 1 of it (QEMU 4.2 to 8.2). Under `-icount` all cores run on one thread, one after the
//! other, so that marks of one core and instructions of another have an order.

#[cfg(feature = "plugin")]
mod qemu;
pub mod report;

/// Operations at the beginning of each row that are not counted.
pub const WARM_UP: u64 = 16;

/// Bits of a mark that are always the same.
pub const MARK: u32 = 0xd280_001f;
/// Where the number of a mark is.
pub const MARK_NUMBER: u32 = 0xffff << 5;

/// The number of a mark, if the instruction is one.
#[must_use]
pub const fn mark(instruction: u32) -> Option<u32> {
    if instruction & !MARK_NUMBER == MARK { Some(instruction >> 5 & 0xffff) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_moves_to_the_zero_register() {
        assert_eq!([0xd280_001f, 0xd280_003f, 0xd29f_ffff].map(mark), [Some(0), Some(1), Some(0xffff)]);
        // movz x0, #0; movz xzr, #1, lsl #16; movz wzr, #1; nop
        assert_eq!([0xd280_0000, 0xd2a0_003f, 0x5280_003f, 0xd503_201f].map(mark), [None; 4]);
    }
}
