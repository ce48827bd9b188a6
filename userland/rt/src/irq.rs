//! Interrupt lines.

use aios_abi::Call;

use crate::Result;
use crate::slot::{Capability, Irq};
use crate::sys::{Regs, syscall};

/// Has `line` (counted within the capability) raise `bits` in the program's own notification word. A line that fired is silent until [`ack`].
#[inline]
pub fn bind(irq: Irq, line: u64, bits: u64) -> Result<()> {
    syscall(Call::IrqBind, &mut Regs::at(irq.word()).with([line, bits]))
}

/// Lets `line` interrupt again.
#[inline]
pub fn ack(irq: Irq, line: u64) -> Result<()> {
    syscall(Call::IrqAck, &mut Regs::at(irq.word()).with([line]))
}
