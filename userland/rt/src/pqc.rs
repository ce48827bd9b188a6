//! Operations of the PQC server that run while the program goes on.

use aios_abi::limits::PQC_PAYLOAD;
use aios_abi::message::{RecvInfo, SendInfo};
use aios_abi::{Call, Error};

use crate::Result;
use crate::ipc::pack;
use crate::slot::{Capability, Seed, Service, Slot};
use crate::sys::{Regs, syscall};
use crate::time::Deadline;

/// An operation under way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Operation(
    /// The handle, as the kernel gave it.
    pub u64,
);

/// Words of a payload or a result.
pub const WORDS: usize = PQC_PAYLOAD / 8;

/// How an operation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The result.
    pub words: [u64; WORDS],
    /// How many of its bytes count.
    pub length: usize,
}

/// Registers `service`, the program's own, as the PQC server.
pub fn register(service: Service, seed: Seed) -> Result<()> {
    syscall(Call::ServiceRegister, &mut Regs::at(service.word()).with([1, seed.word()]))
}

/// Hands an operation to the PQC server: at most [`PQC_PAYLOAD`] bytes and one capability. `bits` are raised in the program's own notification word
/// when it ends.
pub fn start(payload: &[u8], with: Option<Slot>, deadline: Deadline, bits: u64) -> Result<Operation> {
    if payload.len() > PQC_PAYLOAD {
        return Err(Error::MessageTooLong);
    }
    let info = SendInfo { length: payload.len() as u32, caps: with.is_some() as u8, ..SendInfo::default() };
    let mut regs = Regs { x: pack(payload), x10: info.encode(), x12: deadline.0, x13: bits, ..Regs::default() };
    regs.x[WORDS] = with.map_or(0, Capability::word);
    syscall(Call::PqcOperation, &mut regs)?;
    Ok(Operation(regs.x[0]))
}

/// The outcome, which ends the operation; `None` while there is none.
pub fn poll(operation: Operation) -> Result<Option<Outcome>> {
    let mut regs = Regs::at(operation.0);
    match syscall(Call::PqcPoll, &mut regs) {
        Ok(()) => {}
        Err(Error::Pending) => return Ok(None),
        Err(error) => return Err(error),
    }
    let [x0, x1, x2, x3, x4, x5, x6, _] = regs.x;
    let length = RecvInfo::decode(regs.x10).length as usize;
    Ok(Some(Outcome { words: [x0, x1, x2, x3, x4, x5, x6], length: length.min(PQC_PAYLOAD) }))
}

/// Gives an operation up.
pub fn cancel(operation: Operation) -> Result<()> {
    syscall(Call::PqcCancel, &mut Regs::at(operation.0))
}
