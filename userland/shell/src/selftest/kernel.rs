//! Time, notifications, memory, bad calls, the kernel's books.

use alloc::format;
use core::num::NonZeroUsize;

use aios_abi::limits::{PAGE_SIZE, USER_END};
use aios_abi::message::SendInfo;
use aios_abi::rights::Rights;
use aios_abi::{Call, Error};
use aios_rt::memory::{self, Access, Backing};
use aios_rt::slot::{Agent, Pool, Slot};
use aios_rt::sys::{Regs, syscall};
use aios_rt::time::{self, Deadline, Expiry};
use aios_rt::{cap, ipc};
use aios_shell_core::unit::{Bytes, Nanos};
use aios_shell_core::view;

use super::{Verdict, check, must, refused};
use crate::fail::Fail;
use crate::shell::Shell;
use crate::system::own_id;

/// Notification bit of the checks.
const BIT: u64 = 1 << 40;
/// How late the best of some timers may be, ns: an interrupt and a switch on the slowest machine, an emulated one.
const LATE_NS: u64 = 5_000_000;
/// How long a notification that was raised may take to arrive, ns.
const SOON_NS: u64 = 1_000_000_000;
/// Looks at the books until they are wrong, and the time between two, ns.
const LOOKS: u32 = 20;
const LOOK_AGAIN_NS: u64 = 20_000_000;
/// Where the checks map a frame.
const ADDRESS: u64 = 0x18_0000_0000;

/// The kernel's clock lies between two looks at the program's own.
pub fn clock(_: &mut Shell) -> Verdict {
    let mut widest = 0;
    for _ in 0..100 {
        let (before, kernel, after) = (time::now(), must("the kernel's clock", time::kernel_now())?, time::now());
        check(before <= kernel && kernel <= after, format_args!("kernel's clock {kernel}, counter {before} to {after}"))?;
        widest = widest.max(after - before);
    }
    Ok(format!("the kernel's clock and the counter agree, a look takes {} at most", Nanos(widest)))
}

/// Waits for the bit of the checks; other bits are not theirs and are told again.
fn await_bit(until: Deadline) -> aios_rt::Result<()> {
    let mut others = 0;
    let result = loop {
        match ipc::wait(until) {
            Ok(bits) => {
                others |= bits & !BIT;
                if bits & BIT != 0 {
                    break Ok(());
                }
            }
            Err(error) => break Err(error),
        }
    };
    if others != 0
        && let Ok(own) = cap::mint_notification(Agent::OWN, others, Rights::SEND, Expiry::NONE)
    {
        // Both can only fail if the kernel is not well, which other checks find.
        let _ = ipc::notify(own, others);
        let _ = cap::drop(own);
    }
    result
}

/// A timer never comes early, and not much too late.
pub fn timer(shell: &mut Shell) -> Verdict {
    let mut best = u64::MAX;
    for _ in 0..10 {
        shell.check_interrupt()?;
        let due = time::now() + 3_000_000;
        must("setting the timer", time::set_timer(due, BIT))?;
        must("waiting for the timer", await_bit(Deadline(due + SOON_NS)))?;
        let came = time::now();
        check(came >= due, format_args!("a timer came {} early", Nanos(due.saturating_sub(came))))?;
        best = best.min(came - due);
    }
    must("stopping the timer", time::stop_timer())?;
    check(best <= LATE_NS, format_args!("timers come {} late", Nanos(best)))?;
    let due = time::now() + 2_000_000;
    refused("waiting for nothing", await_bit(Deadline(due)), Error::Timeout)?;
    check(time::now() >= due, "a deadline passed early")?;
    Ok(format!("10 timers, none early, the best {} late", Nanos(best)))
}

/// Bits that are raised arrive, others can't be raised.
pub fn notification(_: &mut Shell) -> Verdict {
    let own = must("minting", cap::mint_notification(Agent::OWN, BIT, Rights::SEND, Expiry::NONE))?;
    let began = time::now();
    must("raising a bit", ipc::notify(own, BIT))?;
    must("waiting for the bit", await_bit(Deadline::after(SOON_NS)))?;
    let took = time::now() - began;
    check(ipc::notify(own, BIT << 1).is_err(), "a bit was raised that the capability does not allow")?;
    must("dropping", cap::drop(own))?;
    refused("raising through an empty slot", ipc::notify(own, BIT), Error::NoCapability)?;
    Ok(format!("a bit arrives within {}", Nanos(took)))
}

/// Agent memory comes zeroed, keeps what is written, and goes.
pub fn memory(_: &mut Shell) -> Verdict {
    const SIZE: usize = 16 * PAGE_SIZE;
    let size = NonZeroUsize::new(SIZE).ok_or_else(|| Fail::other("no size"))?;
    for backing in [Backing::Now, Backing::OnTouch] {
        for round in 1..=3u8 {
            let start = must("allocating", memory::allocate(size, backing))?;
            // SAFETY: the kernel gave these bytes to the program, zeroed, and nothing else uses them until they are freed below.
            let bytes = unsafe { core::slice::from_raw_parts_mut(start.as_ptr(), SIZE) };
            let clean = bytes.iter().all(|&byte| byte == 0);
            bytes.fill(round);
            let kept = bytes.iter().all(|&byte| byte == round);
            // SAFETY: this is where the memory starts, and nothing of it is used any more.
            must("freeing", unsafe { memory::free(start) })?;
            check(clean, "new memory is not zeroed")?;
            check(kept, "memory does not keep what is written")?;
        }
    }
    let all = NonZeroUsize::new(2 << 30).ok_or_else(|| Fail::other("no size"))?;
    check(memory::allocate(all, Backing::Now).is_err(), "an agent got 2 GiB")?;
    Ok(format!("{} at once and at first touch, zeroed, kept, freed; 2 GiB refused", Bytes(SIZE as u64)))
}

/// Frames are zeroed, map once, and never writable and executable.
pub fn frames(_: &mut Shell) -> Verdict {
    let made = memory::allocate_frame(Pool::OWN, 2).map_err(|error| Fail::of("pool", error))?;
    let mapped = memory::map(made.frame, ADDRESS, Access::ReadWrite);
    let result = must("mapping", mapped).and_then(|()| {
        refused("mapping twice", memory::map(made.frame, ADDRESS + 0x10_0000, Access::Read), Error::Busy)?;
        // SAFETY: two pages are mapped here, writable, and used by nothing else.
        let words = unsafe { core::slice::from_raw_parts_mut(core::ptr::with_exposed_provenance_mut::<u64>(ADDRESS as usize), 1024) };
        check(words.iter().all(|&word| word == 0), "a new frame is not zeroed")?;
        words.fill(u64::MAX);
        // SAFETY: nothing of the mapping is used any more.
        must("unmapping", unsafe { memory::unmap(made.frame) })?;
        let both = Rights::READ.or(Rights::WRITE).or(Rights::EXECUTE).0.into();
        let mut regs = Regs::at(made.frame.0.0.into()).with([0, ADDRESS, both]);
        refused("mapping writable and executable", syscall(Call::PageMap, &mut regs), Error::WritableCode)
    });
    must("dropping", cap::drop(made.frame))?;
    result?;
    Ok("2 pages zeroed, mapped once, unmapped; writable code refused".into())
}

/// Calls with nonsense are refused, each with its own error.
pub fn bad_calls(shell: &mut Shell) -> Verdict {
    let first = Slot::first(4000);
    refused("an empty slot", cap::check(first, Rights::NONE), Error::NoCapability)?;
    refused("the wrong kind", syscall(Call::IpcSend, &mut Regs::at(Agent::OWN.0.0.into())), Error::WrongKind)?;
    refused("reserved bits", syscall(Call::IpcRecv, &mut Regs { x10: 1 << 50, ..Regs::default() }), Error::BadArgument)?;
    let init = shell.system.init().0;
    let long = SendInfo { length: 100, ..SendInfo::default() }.encode();
    for address in [8, USER_END + PAGE_SIZE as u64, 1 << 48, 0xffff_ffff_8000_0000] {
        let mut regs = Regs { x10: long, x11: address, x12: Deadline::after(SOON_NS).0, ..Regs::at(init.0.0.into()) };
        refused("a call from a bad address", syscall(Call::IpcCall, &mut regs), Error::BadAddress)?;
    }
    refused("unmapping what is not mapped", syscall(Call::AgentMemFree, &mut Regs::default().with([0x1000])), Error::NotMapped)?;
    refused("a reply to nobody", ipc::reply(aios_rt::MessageId(u64::MAX), &ipc::Message::EMPTY, &[]), Error::NoSuchMessage)?;
    Ok("empty slots, wrong kinds, reserved bits and the kernel's addresses refused".into())
}

/// The kernel's books balance. Cores write them while they are read, an agent that is being cleared away is in none of them, and one that moves may be
/// in two: books that are only in motion are right at one of some looks, wrong ones at none.
pub fn accounts(shell: &mut Shell) -> Verdict {
    let mut looks = 1;
    loop {
        match books(shell) {
            Err(_) if looks < LOOKS => shell.sleep_until(Deadline::after(LOOK_AGAIN_NS))?,
            verdict => return verdict,
        }
        looks += 1;
    }
}

fn books(shell: &mut Shell) -> Verdict {
    let memory = view::mem(&shell.system.memory()?);
    check(memory.is_balanced(), format_args!("memory: {}", memory.render().trim_end()))?;
    let (agents, cores) = shell.system.picture()?;
    let time = view::balance(&cores);
    check(time.error_permille() <= 10, format_args!("time: {}", time.render().trim_end()))?;
    check(agents.iter().any(|agent| agent.id == own_id().0), "the shell is not among the agents")?;
    Ok(format!("memory rows sum to the RAM, times to cores x uptime within {} per mille", time.error_permille()))
}
