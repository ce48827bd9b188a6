//! A kernel for tests on a development machine: a closure, behind checks that are stricter than the real kernel's.
//!
//! Whoever calls must have filled only registers that the call has, and these within their range; anything else fails the test with a text
//! that names the call and the register. So code that runs with the fake does not come to depend on what the real kernel happens to ignore.

use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::format;
use std::string::String;

use aios_abi::call::AgentOp;
use aios_abi::info::{Info, Word};
use aios_abi::limits::{MESSAGE_REGISTERS, PAGE_SIZE, PQC_PAYLOAD};
use aios_abi::message::SendInfo;
use aios_abi::{Call, Error};

use super::{Regs, result};

type Kernel = dyn FnMut(Call, &mut Regs) -> Result<(), Error>;

std::thread_local! {
    static KERNEL: RefCell<Option<Box<Kernel>>> = const { RefCell::new(None) };
    static INFO: Cell<[u64; Info::WORDS]> = const { Cell::new([0; Info::WORDS]) };
}

/// The fake kernel of this thread, until it is dropped.
#[derive(Debug)]
#[must_use = "the fake kernel ends with this"]
pub struct Installed(());

impl Drop for Installed {
    fn drop(&mut self) {
        KERNEL.set(None);
        INFO.set([0; Info::WORDS]);
    }
}

/// Makes `kernel` answer the calls of this thread. After an error the caller sees its registers unchanged, whatever the closure did to them.
pub fn install(kernel: impl FnMut(Call, &mut Regs) -> Result<(), Error> + 'static) -> Installed {
    KERNEL.set(Some(Box::new(kernel)));
    Installed(())
}

/// Sets what the information page of this thread says.
pub fn set_info(info: Info) {
    INFO.set(info.to_words());
}

pub(crate) fn info(word: Word) -> u64 {
    INFO.get()[word as usize]
}

/// Calls the fake kernel.
///
/// # Panics
/// Without a fake kernel, and when a register is not as the call has it.
pub fn syscall(call: Call, regs: &mut Regs) -> Result<(), Error> {
    if let Err(what) = check(call, regs) {
        std::panic!("{}: {what}; {regs:x?}", call.name());
    }
    // Taken out meanwhile, so that the closure may call, too.
    let Some(mut kernel) = KERNEL.take() else { std::panic!("{} without a fake kernel", call.name()) };
    let mut answer = *regs;
    let status = kernel(call, &mut answer).map_or_else(|error| u64::from(error.code()), |()| 0);
    KERNEL.set(Some(kernel));
    if status == 0 {
        *regs = answer;
    }
    result(status)
}

/// What a register holds.
#[derive(Clone, Copy)]
enum Field {
    /// Nothing: zero.
    Unused,
    /// Any word.
    Word,
    /// A slot of the caller's table.
    Slot,
    /// Such a slot, or 0.
    SlotOrNone,
    /// 32 bits of rights.
    Rights,
    /// A number within bounds, both included.
    Number(u64, u64),
    /// An address; not 0.
    Address,
    /// An address on a page boundary; not 0.
    Page,
}

impl Field {
    fn check(self, name: &str, value: u64) -> Result<(), String> {
        let slot = value <= u32::MAX as u64 && value >> 16 != 0 && value & 0xffff != 0;
        let good = match self {
            Self::Unused => value == 0,
            Self::Word => true,
            Self::Slot => slot,
            Self::SlotOrNone => slot || value == 0,
            Self::Rights => value <= u32::MAX as u64,
            Self::Number(first, last) => (first..=last).contains(&value),
            Self::Address => value != 0,
            Self::Page => value != 0 && value.is_multiple_of(PAGE_SIZE as u64),
        };
        if good { Ok(()) } else { Err(format!("{name} is {value:#x}")) }
    }
}

/// What a message's information word may speak of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A message that goes out.
    Out,
    /// A message that comes in.
    In,
    /// Both.
    Both,
}

/// What a call takes: `x0`… and the other registers.
struct Shape {
    words: &'static [Field],
    x9: Field,
    x10: Field,
    x11: Field,
    x12: Field,
    x13: Field,
}

const fn shape(x9: Field, words: &'static [Field]) -> Shape {
    Shape { words, x9, x10: Field::Unused, x11: Field::Unused, x12: Field::Unused, x13: Field::Unused }
}

/// Checks the registers of a call against what [`aios_abi::call`] says of it.
///
/// # Errors
/// What is wrong, in words.
pub fn check(call: Call, regs: &Regs) -> Result<(), String> {
    use Field::{Address, Number, Page, Rights, Slot, SlotOrNone, Unused, Word};
    let shape = match call {
        Call::IpcSend => return message(regs, Way::Out, Slot),
        Call::IpcRecv => return message(regs, Way::In, Unused),
        Call::IpcCall => return message(regs, Way::Both, Slot),
        Call::IpcReply => return message(regs, Way::Out, Number(1, u64::MAX)),
        Call::IpcReplyRecv => return message(regs, Way::Both, Word),
        Call::Notify => shape(Slot, &[Word]),
        Call::Yield | Call::TimeNow => shape(Unused, &[]),
        Call::Exit if regs.x[1] == 0 => shape(Unused, &[Word]),
        Call::Exit => shape(Unused, &[Word, Number(1, 1), Address, Number(0, 256)]),
        Call::TimerSet => shape(Unused, &[Word, Word]),
        Call::AgentSpawn => Shape { x10: Word, ..shape(Slot, &[Word, Word]) },
        Call::AgentControl => return control(regs),
        Call::SchedSet if regs.x[0] == 0 => shape(Slot, &[Number(0, 0), Number(1, 1024)]),
        Call::SchedSet => shape(Slot, &[Number(1, 1), Number(1, u64::MAX), Number(1, u64::MAX)]),
        Call::Watch => shape(Slot, &[Number(1, u64::MAX)]),
        Call::FaultHandlerSet if regs.x[0] == 0 => shape(Unused, &[]),
        Call::FaultHandlerSet => shape(Unused, &[Address, Address, Address, Address, Address]),
        Call::FaultReply if regs.x[0] == 1 => shape(Number(1, u64::MAX), &[Number(1, 1), Address]),
        Call::FaultReply => shape(Word, &[Number(0, 2)]),
        Call::FrameAlloc => shape(Slot, &[Number(1, 32)]),
        Call::PageMap => shape(Slot, &[SlotOrNone, Page, Number(1, 5)]),
        Call::PageUnmap | Call::CapDrop => shape(Slot, &[]),
        Call::AgentPoolAlloc => shape(Slot, &[Number(1, u64::MAX)]),
        Call::AgentMemAlloc => shape(Unused, &[Number(1, u64::MAX), Number(0, 1)]),
        Call::AgentMemFree => shape(Unused, &[Page]),
        Call::CapMint => shape(Slot, &[Word, Rights, Word, Number(0, 1)]),
        Call::CapDerive => shape(Slot, &[Rights, Word, Word, Word]),
        Call::CapGrant => shape(Slot, &[Slot, Rights, Word, Number(0, 2), Number(0, 4095)]),
        Call::CapRevoke => shape(Slot, &[Word]),
        Call::CapExport => Shape { x11: Address, ..shape(Slot, &[Number(1, u64::MAX), Rights, Word]) },
        Call::CapAdmit => Shape { x11: Address, ..shape(Unused, &[]) },
        Call::CapCheck => shape(Slot, &[Rights]),
        Call::IrqBind => shape(Slot, &[Word, Number(1, u64::MAX)]),
        Call::IrqAck => shape(Slot, &[Word]),
        Call::ServiceRegister => shape(Slot, &[Number(1, 1), Slot]),
        Call::PqcOperation => return operation(regs),
        Call::PqcPoll | Call::PqcCancel => shape(Number(1, u64::MAX), &[]),
        Call::Inspect => Shape { x10: Word, x11: Address, ..shape(Slot, &[Number(1, 5), Word, Word]) },
        Call::PowerControl => shape(Slot, &[Number(0, 1)]),
        Call::TraceBind if regs.x[0] == 0 => shape(Slot, &[Unused, Number(0, 15)]),
        Call::TraceBind => shape(Slot, &[Slot, Number(0, 15), Word, Number(0, 1)]),
        Call::SeedSet => shape(Slot, &[Word, Word, Word, Word]),
        Call::ConsoleWrite => {
            Number(0, MESSAGE_REGISTERS as u64).check("x10", regs.x10)?;
            payload(regs, regs.x10 as usize, 0)?;
            Shape { x10: Word, ..shape(Slot, &[Word, Word, Word, Word, Word, Word, Word, Word]) }
        }
    };
    shape.check(regs)
}

impl Shape {
    fn check(&self, regs: &Regs) -> Result<(), String> {
        for (i, &value) in regs.x.iter().enumerate() {
            self.words.get(i).copied().unwrap_or(Field::Unused).check(&format!("x{i}"), value)?;
        }
        self.x9.check("x9", regs.x9)?;
        self.x10.check("x10", regs.x10)?;
        self.x11.check("x11", regs.x11)?;
        self.x12.check("x12", regs.x12)?;
        self.x13.check("x13", regs.x13)
    }
}

fn control(regs: &Regs) -> Result<(), String> {
    use Field::{Address, Number, Slot, SlotOrNone, Word};
    let operation = AgentOp::from_number(regs.x[0]).ok_or_else(|| format!("x0 is {:#x}", regs.x[0]))?;
    let words: &[Field] = match operation {
        AgentOp::Start => &[Word, Address, Address, Word, Word, Word, Word],
        AgentOp::Kill | AgentOp::Suspend | AgentOp::Resume | AgentOp::Restart => &[Word],
        AgentOp::Migrate => &[Word, Number(0, 15)],
        AgentOp::Name => &[Word, Word, Word],
        AgentOp::Supervise => &[Word, SlotOrNone],
    };
    shape(Slot, words).check(regs)
}

/// Words behind the end of a message are zero, its last one beyond the length too; `caps` handles take the place of the last ones.
fn payload(regs: &Regs, length: usize, caps: u8) -> Result<(), String> {
    let handles = [8 - 1, 8 - 1, 8 - 2, 8 - 2];
    for (i, &word) in regs.x.iter().enumerate() {
        let expected = handles[..caps as usize].iter().filter(|&&place| place == i).count() as u32;
        if expected > 0 {
            for half in 0..2 {
                let handle = word >> (32 * half) & 0xffff_ffff;
                let field = if half < expected { Field::Slot } else { Field::Unused };
                field.check(&format!("handle {half} of x{i}"), handle)?;
            }
            continue;
        }
        let bytes = length.saturating_sub(i * 8).min(8);
        if bytes < 8 && word >> (8 * bytes) != 0 {
            return Err(format!("x{i} is {word:#x} in a message of {length} bytes"));
        }
    }
    Ok(())
}

fn message(regs: &Regs, way: Way, x9: Field) -> Result<(), String> {
    let info = SendInfo::decode(regs.x10).ok_or_else(|| format!("x10 is {:#x}", regs.x10))?;
    let outgoing = info.length != 0 || info.caps != 0 || info.move_caps;
    let incoming = info.room != 0 || info.take_caps != 0;
    if way == Way::In && outgoing || way == Way::Out && incoming || info.move_caps && info.caps == 0 {
        return Err(format!("{info:?}"));
    }
    if info.notifications_only && (way != Way::In || incoming) {
        return Err(format!("{info:?}"));
    }
    let long = info.length as usize > MESSAGE_REGISTERS;
    payload(regs, if long { 0 } else { info.length as usize }, info.caps)?;
    x9.check("x9", regs.x9)?;
    let x11 = if long || info.room != 0 { Field::Address } else { Field::Unused };
    x11.check("x11", regs.x11)?;
    let x12 = if way == Way::Out { Field::Unused } else { Field::Word };
    x12.check("x12", regs.x12)?;
    Field::Unused.check("x13", regs.x13)
}

fn operation(regs: &Regs) -> Result<(), String> {
    let info = SendInfo::decode(regs.x10).ok_or_else(|| format!("x10 is {:#x}", regs.x10))?;
    let allowed = SendInfo { length: info.length, caps: info.caps, ..SendInfo::default() };
    if info != allowed || info.length as usize > PQC_PAYLOAD || info.caps > 1 {
        return Err(format!("{info:?}"));
    }
    payload(regs, info.length as usize, info.caps)?;
    Field::Unused.check("x9", regs.x9)?;
    Field::Unused.check("x11", regs.x11)
}
