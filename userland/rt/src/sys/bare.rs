//! The call instruction.

use core::arch::asm;

use aios_abi::{Call, Error};

use super::{Regs, result};

/// Calls the kernel. After an error the registers are as they were.
#[inline(always)]
pub fn syscall(call: Call, regs: &mut Regs) -> Result<(), Error> {
    let status: u64;
    let [x0, x1, x2, x3, x4, x5, x6, x7] = &mut regs.x;
    // SAFETY: the kernel changes no register that is not listed, no stack, and of this program's memory at most the buffer at `x11` (and what the
    // call is for); whoever fills the registers vouches for that buffer. Without `nomem` the compiler takes all memory as read and written.
    unsafe {
        asm!(
            "svc #0",
            inout("x0") *x0, inout("x1") *x1, inout("x2") *x2, inout("x3") *x3,
            inout("x4") *x4, inout("x5") *x5, inout("x6") *x6, inout("x7") *x7,
            inout("x8") call as u64 => status,
            inout("x9") regs.x9, inout("x10") regs.x10, inout("x11") regs.x11, inout("x12") regs.x12,
            in("x13") regs.x13,
            options(nostack),
        );
    }
    result(status)
}
