//! What a call may do to the registers, and what it did.

use aios_abi::{Call, Error};

/// General registers.
pub const REGISTERS: usize = 31;

/// The bit of register `n` in a mask.
const fn bit(n: u32) -> u32 {
    1 << n
}

/// `x0`–`x7`.
const PAYLOAD: u32 = 0xff;

/// Registers that a call may change when it is done, apart from `x8`, as [`aios_abi::call`] names its results: bit n is `xn`.
pub const fn results(call: Call) -> u32 {
    match call {
        Call::IpcSend => bit(12),
        Call::IpcRecv | Call::IpcReplyRecv => PAYLOAD | bit(9) | bit(10) | bit(11) | bit(12),
        Call::IpcCall => PAYLOAD | bit(9) | bit(10) | bit(11),
        Call::TimeNow
        | Call::AgentPoolAlloc
        | Call::AgentMemAlloc
        | Call::CapMint
        | Call::CapDerive
        | Call::CapGrant
        | Call::CapAdmit
        | Call::PqcOperation => bit(0),
        Call::AgentSpawn | Call::FrameAlloc | Call::Inspect => bit(0) | bit(1),
        Call::CapCheck => bit(0) | bit(1) | bit(2),
        Call::PqcPoll => (PAYLOAD & !bit(7)) | bit(10),
        Call::IpcReply
        | Call::Notify
        | Call::Yield
        | Call::Exit
        | Call::TimerSet
        | Call::AgentControl
        | Call::SchedSet
        | Call::Watch
        | Call::FaultHandlerSet
        | Call::FaultReply
        | Call::PageMap
        | Call::PageUnmap
        | Call::AgentMemFree
        | Call::CapDrop
        | Call::CapRevoke
        | Call::CapExport
        | Call::IrqBind
        | Call::IrqAck
        | Call::ServiceRegister
        | Call::PqcCancel
        | Call::PowerControl
        | Call::SeedSet
        | Call::ConsoleWrite
        | Call::TraceBind => 0,
    }
}

/// Registers that are not as a call with the registers `before` may leave them: bit n is `xn`. Bit 8 says that the status is none,
/// or that a call of no known number was done.
pub fn violations(before: &[u64; REGISTERS], after: &[u64; REGISTERS]) -> u32 {
    let call = Call::from_number(before[8]);
    let status_is_none = u16::try_from(after[8]).ok().and_then(Error::from_code).is_none();
    let (allowed, status_is_bad) = match (call, after[8]) {
        (Some(call), 0) => (results(call), false),
        // The reply was made, and what failed is the receive.
        (Some(Call::IpcReplyRecv), _) if after[9] == 0 => (bit(9), status_is_none),
        _ => (0, status_is_none),
    };
    let changed = (0..REGISTERS).filter(|&n| before[n] != after[n]).fold(0, |mask, n| mask | 1 << n);
    changed & !allowed & !bit(8) | u32::from(status_is_bad) << 8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(call: u64) -> [u64; REGISTERS] {
        let mut registers = core::array::from_fn(|n| 0xa5a5_0000 + n as u64);
        registers[8] = call;
        registers
    }

    #[test]
    fn results_may_change_when_done_and_never_after_an_error() {
        for &call in Call::ALL {
            let before = before(call as u64);
            for n in (0..REGISTERS).filter(|&n| n != 8) {
                let mut after = before;
                after[n] = 0;
                after[8] = 0;
                let allowed = results(call) >> n & 1;
                assert_eq!(violations(&before, &after), (1 - allowed) << n, "{call:?} x{n}");
                after[8] = Error::BadArgument.code().into();
                let replied = call == Call::IpcReplyRecv && n == 9;
                assert_eq!(violations(&before, &after), u32::from(!replied) << n, "{call:?} x{n}");
            }
        }
    }

    #[test]
    fn a_status_is_an_error_of_the_kernel_or_none() {
        let known = before(Call::Yield as u64);
        for (status, mask) in [(0, 0), (1, 0), (38, 0), (39, 1 << 8), (1 << 16, 1 << 8), (u64::MAX, 1 << 8)] {
            let mut after = known;
            after[8] = status;
            assert_eq!(violations(&known, &after), mask, "{status}");
        }
        let unknown = before(9999);
        let mut after = unknown;
        after[8] = 1;
        assert_eq!(violations(&unknown, &after), 0);
        after[8] = 0;
        assert_eq!(violations(&unknown, &after), 1 << 8);
    }
}
