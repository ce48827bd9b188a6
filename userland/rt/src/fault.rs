//! Faults: the program's own handler, and a supervisor's answers.

use core::ops::Range;

use aios_abi::{Call, MessageId};

use crate::Result;
use crate::sys::{Regs, syscall};

/// Words of the registers that the kernel stores for a handler: `x0`–`x30`, SP, PC, PSTATE, ESR, FAR.
pub const SAVED_WORDS: usize = 36;

/// Registers the program's own handler for data aborts and undefined instructions of a code range.
///
/// # Safety
/// When an instruction in `code` faults, the kernel starts `handler` on `stack` with the registers of the fault stored at `saved`. The handler
/// must be code that expects this, the stack must be memory that nothing else uses, and the handler must end with [`resume_saved`].
pub unsafe fn set_handler(handler: u64, code: Range<u64>, stack: u64, saved: *mut [u64; SAVED_WORDS]) -> Result<()> {
    let saved = saved.expose_provenance() as u64;
    syscall(Call::FaultHandlerSet, &mut Regs::default().with([handler, code.start, code.end, stack, saved]))
}

/// Removes the handler.
pub fn clear_handler() -> Result<()> {
    syscall(Call::FaultHandlerSet, &mut Regs::default())
}

/// How a supervisor answers a fault.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Answer {
    /// Tries the instruction again.
    Resume,
    /// Goes on at this address.
    ResumeAt(u64),
    /// Ends the agent.
    Kill,
}

/// Answers a fault of a supervised agent.
pub fn reply(id: MessageId, answer: Answer) -> Result<()> {
    let words = match answer {
        Answer::Resume => [0, 0],
        Answer::ResumeAt(pc) => [1, pc],
        Answer::Kill => [2, 0],
    };
    syscall(Call::FaultReply, &mut Regs::at(id.0).with(words))
}

/// Ends the program's own handler: every register is taken from where [`set_handler`] had them stored. Comes back only with an error.
///
/// # Safety
/// What is stored there must be a state in which the program can go on.
pub unsafe fn resume_saved() -> Result<()> {
    syscall(Call::FaultReply, &mut Regs::at(MessageId::NONE.0))
}
