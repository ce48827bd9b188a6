//! The fake kernel's own checks.

use aios_abi::Call;
use aios_abi::message::SendInfo;

use super::{Regs, WORD};
use crate::sys::fake::{check, install};

/// Registers that a call takes, if it takes these at all.
fn good(call: Call) -> Regs {
    let message = |length: u32| SendInfo { length, ..SendInfo::default() }.encode();
    let at = Regs::at(WORD);
    match call {
        Call::IpcSend | Call::IpcCall | Call::IpcReply | Call::IpcReplyRecv => Regs { x10: message(8), ..at.with([7]) },
        Call::IpcRecv | Call::Yield | Call::TimeNow | Call::Exit | Call::TimerSet | Call::FaultHandlerSet => Regs::default(),
        Call::AgentControl => at.with([2]),
        Call::SchedSet => at.with([0, 64]),
        Call::Watch | Call::FrameAlloc | Call::AgentPoolAlloc => at.with([1]),
        Call::PageMap => at.with([0, 4096, 3]),
        Call::AgentMemAlloc => Regs::default().with([1]),
        Call::AgentMemFree => Regs::default().with([4096]),
        Call::CapGrant => at.with([WORD]),
        Call::CapExport => Regs { x11: 8, ..at.with([1]) },
        Call::CapAdmit => Regs { x11: 8, ..Regs::default() },
        Call::IrqBind => at.with([0, 1]),
        Call::ServiceRegister => at.with([1, WORD]),
        Call::PqcOperation => Regs { x10: message(8), ..Regs::default().with([7]) },
        Call::Inspect => Regs { x10: 96, x11: 8, ..at.with([1]) },
        _ => at,
    }
}

#[test]
fn every_call_has_good_registers_and_refuses_strange_ones() {
    for &call in Call::ALL {
        let regs = good(call);
        assert_eq!(check(call, &regs), Ok(()), "{call:?}");
        // A register that a call doesn't have.
        if call != Call::PqcOperation {
            assert!(check(call, &Regs { x13: 1, ..regs }).is_err(), "{call:?} x13");
        }
        let mut last = regs;
        last.x[7] = 1;
        let takes_all = matches!(call, Call::IpcRecv);
        assert!(check(call, &last).is_err() || takes_all, "{call:?} x7");
        // Something that is no slot.
        if regs.x9 == WORD && !matches!(call, Call::IpcReply | Call::IpcReplyRecv | Call::FaultReply | Call::PqcPoll | Call::PqcCancel) {
            for x9 in [0, 5, 1 << 16, WORD | 1 << 32] {
                assert!(check(call, &Regs { x9, ..regs }).is_err(), "{call:?} x9 {x9:#x}");
            }
        }
    }
}

#[test]
fn information_words_speak_only_of_what_the_call_does() {
    let refuse = |call: Call, info: SendInfo, x11: u64| {
        let regs = Regs { x10: info.encode(), x11, ..good(call) };
        assert!(check(call, &regs).is_err(), "{call:?} {info:?}");
    };
    let info = SendInfo { length: 8, ..SendInfo::default() };
    refuse(Call::IpcSend, SendInfo { take_caps: 1, ..info }, 0);
    refuse(Call::IpcSend, SendInfo { room: 64, ..info }, 8);
    refuse(Call::IpcSend, SendInfo { move_caps: true, ..info }, 0);
    refuse(Call::IpcSend, SendInfo { caps: 1, ..info }, 0);
    refuse(Call::IpcSend, SendInfo { length: 7, ..info }, 8);
    refuse(Call::IpcSend, SendInfo { length: 65, ..info }, 0);
    refuse(Call::IpcCall, SendInfo { notifications_only: true, ..info }, 0);
    refuse(Call::IpcRecv, info, 0);
    refuse(Call::IpcRecv, SendInfo { room: 64, ..SendInfo::default() }, 0);
    refuse(Call::PqcOperation, SendInfo { length: 57, ..info }, 0);
    refuse(Call::PqcOperation, SendInfo { room: 1, ..info }, 0);
    assert!(check(Call::IpcRecv, &Regs { x10: 1 << 42, ..Regs::default() }).is_err());
}

#[test]
fn misuse_names_the_call_and_the_register() {
    let text = super::panic_text(|| {
        let _kernel = install(|_, _| Ok(()));
        let _ = crate::sys::syscall(Call::CapDrop, &mut Regs { x12: 3, ..Regs::at(WORD) });
    });
    assert!(text.starts_with("CapDrop: x12 is 0x3"), "{text}");
    assert!(super::panic_text(|| assert!(crate::time::kernel_now().is_ok())).contains("without a fake kernel"));
}
