//! The wrappers of single calls.

use core::num::NonZeroUsize;
use core::ptr::NonNull;

use aios_abi::call::{AgentOp, Transfer};
use aios_abi::message::{RecvInfo, SendInfo};
use aios_abi::record::{CoreRecord, Table};
use aios_abi::rights::{Kind, Rights};
use aios_abi::{AgentId, Call, Error, MessageId, SlotHandle};

use super::{Regs, SLOT, WORD, fake, observe, panic_text};
use crate::agent::{self, Class};
use crate::cap;
use crate::fault::{self, Answer};
use crate::memory::{self, Access, Backing};
use crate::slot::{Agent, Capability, Console, Device, Frame, Irq, Notification, Observe, Pool, Power, Seed, Service, Slot};
use crate::time::{self, Deadline, Expiry};
use crate::{inspect, irq, machine, pqc, trace};

const OTHER: SlotHandle = SlotHandle::new(6, 1);
const OTHER_WORD: u64 = OTHER.0 as u64;

fn answer<const N: usize>(words: [u64; N]) -> Regs {
    Regs::default().with(words)
}

/// Checks that `work` makes this call with these registers, and answers its result.
#[track_caller]
fn expect<R>(call: Call, x9: u64, words: &[u64], reply: Regs, work: impl FnOnce() -> R) -> R {
    let ((made, regs), result) = observe(reply, work);
    let mut expected = Regs { x10: regs.x10, x11: regs.x11, x12: regs.x12, x13: regs.x13, ..Regs::at(x9) };
    expected.x[..words.len()].copy_from_slice(words);
    assert_eq!((made, regs), (call, expected));
    result
}

#[test]
fn capability_calls() {
    let none = Regs::default();
    let rights = Rights::SEND.or(Rights::GRANT);
    let bits = rights.0 as u64;
    let own = Agent::OWN;
    assert_eq!(
        expect(Call::CapMint, own.word(), &[77, bits, 5, 0], answer([WORD]), || cap::mint_service(own, 77, rights, Expiry(5))),
        Ok(Service(SLOT))
    );
    assert_eq!(
        expect(Call::CapMint, own.word(), &[1 << 63, bits, 0, 1], answer([WORD]), || cap::mint_notification(
            own,
            1 << 63,
            rights,
            Expiry::NONE
        )),
        Ok(Notification(SLOT))
    );
    assert_eq!(
        expect(Call::CapDerive, WORD, &[bits, 9], answer([OTHER_WORD]), || cap::derive(Frame(SLOT), rights, Expiry(9))),
        Ok(Frame(OTHER))
    );
    assert_eq!(
        expect(Call::CapDerive, WORD, &[bits, 0, 3, 2], answer([OTHER_WORD]), || cap::derive_part(
            Device(SLOT),
            rights,
            Expiry::NONE,
            3,
            2
        )),
        Ok(Device(OTHER))
    );
    assert_eq!(cap::derive_part(Device(SLOT), rights, Expiry::NONE, 3, 0), Err(Error::BadArgument));
    assert_eq!(
        expect(Call::CapGrant, WORD, &[OTHER_WORD, bits, 4, 2, 8], answer([WORD]), || {
            cap::grant(Agent(SLOT), Service(OTHER), rights, Expiry(4), Transfer::Derive, Some(8))
        }),
        Ok(SLOT)
    );
    assert_eq!(expect(Call::CapDrop, WORD, &[], none, || cap::drop(Slot(SLOT))), Ok(()));
    assert_eq!(expect(Call::CapRevoke, WORD, &[6], none, || cap::revoke(Slot(SLOT), 6)), Ok(()));
    assert_eq!(
        expect(Call::CapCheck, WORD, &[bits], answer([2, bits, 8]), || cap::check(Slot(SLOT), rights)),
        Ok(cap::Description { kind: Kind::Service, rights, expiry: Expiry(8) })
    );
    assert_eq!(expect(Call::CapCheck, WORD, &[0], answer([99]), || cap::check(Slot(SLOT), Rights::NONE)), Err(Error::WrongVersion));
    // A register that has more than a handle names nothing.
    assert_eq!(
        expect(Call::CapDerive, WORD, &[bits, 9], answer([1 << 40 | WORD]), || cap::derive(Frame(SLOT), rights, Expiry(9))),
        Ok(Frame(SlotHandle::NONE))
    );
}

#[test]
fn tokens_go_through_memory() {
    let _kernel = fake::install(|call, regs| {
        // SAFETY: the wrapper's token.
        let token = unsafe { &mut *(regs.x11 as *mut cap::Token) };
        match call {
            Call::CapExport => {
                assert_eq!((regs.x9, regs.x[0], regs.x[1], regs.x[2]), (WORD, 7, 1, 3));
                token.fill(0xa5);
            }
            _ => {
                assert_eq!((call, *token), (Call::CapAdmit, [0xa5; 96]));
                regs.x[0] = OTHER_WORD;
            }
        }
        Ok(())
    });
    let token = cap::export(Frame(SLOT), AgentId(7), Rights::READ, Expiry(3)).expect("a token");
    assert_eq!(cap::admit(&token), Ok(Slot(OTHER)));
}

#[test]
fn memory_calls() {
    let none = Regs::default();
    assert_eq!(
        expect(Call::FrameAlloc, WORD, &[32], answer([OTHER_WORD, 0x4000_0000]), || memory::allocate_frame(Pool(SLOT), 32)),
        Ok(memory::Allocated { frame: Frame(OTHER), physical: 0x4000_0000 })
    );
    assert_eq!(
        expect(Call::AgentPoolAlloc, WORD, &[100], answer([OTHER_WORD]), || memory::allocate_pool(Pool(SLOT), 100)),
        Ok(Pool(OTHER))
    );
    for (access, bits) in [(Access::Read, 1), (Access::ReadWrite, 3), (Access::ReadExecute, 5)] {
        let map = || memory::map(Frame(SLOT), 0x10_0000, access);
        assert_eq!(expect(Call::PageMap, WORD, &[0, 0x10_0000, bits], none, map), Ok(()));
        let map = || memory::map_into(Agent(OTHER), Device(SLOT), 0x10_0000, access);
        assert_eq!(expect(Call::PageMap, WORD, &[OTHER_WORD, 0x10_0000, bits], none, map), Ok(()));
    }
    // SAFETY: there is no such mapping.
    assert_eq!(expect(Call::PageUnmap, WORD, &[], none, || unsafe { memory::unmap(Frame(SLOT)) }), Ok(()));
    let size = NonZeroUsize::new(5000).expect("not zero");
    let start = expect(Call::AgentMemAlloc, 0, &[5000], answer([0x8000]), || memory::allocate(size, Backing::Now)).expect("memory");
    assert_eq!(start.as_ptr() as usize, 0x8000);
    assert_eq!(expect(Call::AgentMemAlloc, 0, &[5000, 1], none, || memory::allocate(size, Backing::OnTouch)), Err(Error::WrongVersion));
    let start = NonNull::new(0x8000 as *mut u8).expect("not zero");
    // SAFETY: there is no such memory.
    assert_eq!(expect(Call::AgentMemFree, 0, &[0x8000], none, || unsafe { memory::free(start) }), Ok(()));
}

#[test]
fn agent_calls() {
    let none = Regs::default();
    let ((call, regs), result) = observe(answer([OTHER_WORD, 0x3_0000_0001]), || agent::spawn(Pool(SLOT), 2, 30, 1));
    assert_eq!((call, regs), (Call::AgentSpawn, Regs { x10: 1, ..Regs::at(WORD).with([2, 30]) }));
    assert_eq!(result, Ok(agent::Spawned { agent: Agent(OTHER), id: AgentId::new(3, 1) }));
    let it = Agent(SLOT);
    let control = |operation: AgentOp, words: &[u64], work: &dyn Fn() -> crate::Result<()>| {
        let words: std::vec::Vec<u64> = core::iter::once(operation as u64).chain(words.iter().copied()).collect();
        assert_eq!(expect(Call::AgentControl, WORD, &words, none, work), Ok(()));
    };
    control(AgentOp::Start, &[0x40_0000, 0x7000, 1, 2, 3, 4], &|| it.start(0x40_0000, 0x7000, [1, 2, 3, 4]));
    control(AgentOp::Kill, &[], &|| it.kill());
    control(AgentOp::Suspend, &[], &|| it.suspend());
    control(AgentOp::Resume, &[], &|| it.resume());
    control(AgentOp::Restart, &[], &|| it.restart());
    control(AgentOp::Migrate, &[3], &|| it.migrate(3));
    let name = [u64::from_le_bytes(*b"shell\0\0\0"), 0];
    control(AgentOp::Name, &name, &|| it.name(b"shell"));
    let long = [u64::from_le_bytes(*b"01234567"), u64::from_le_bytes(*b"89abcdef")];
    control(AgentOp::Name, &long, &|| it.name(b"0123456789abcdefghij"));
    control(AgentOp::Supervise, &[OTHER_WORD], &|| it.supervise(Some(Service(OTHER))));
    control(AgentOp::Supervise, &[0], &|| it.supervise(None));
    assert_eq!(expect(Call::SchedSet, WORD, &[0, 200, 0], none, || it.schedule(Class::Fair { weight: 200 })), Ok(()));
    let reserved = || it.schedule(Class::Edf { budget_ns: 5, period_ns: 50 });
    assert_eq!(expect(Call::SchedSet, WORD, &[1, 5, 50], none, reserved), Ok(()));
    assert_eq!(expect(Call::Watch, WORD, &[4], none, || it.watch(4)), Ok(()));
    assert_eq!(expect(Call::Watch, WORD, &[4], none, || agent::watch_badge(Service(SLOT), 4)), Ok(()));
    expect(Call::Yield, 0, &[], none, agent::yield_now);
}

#[test]
fn exits() {
    let seen = panic_text(|| {
        let _kernel = fake::install(|call, regs| {
            assert_eq!((call, *regs), (Call::Exit, Regs::default().with([7])));
            Ok(())
        });
        agent::exit(7)
    });
    assert!(seen.ends_with("status 7"), "{seen}");
    let seen = panic_text(|| {
        let mut first = true;
        let _kernel = fake::install(move |call, regs| {
            assert_eq!(call, Call::Exit);
            if first {
                assert_eq!((regs.x[0], regs.x[1], regs.x[3]), (101, 1, 256));
                // SAFETY: the wrapper's text.
                assert_eq!(unsafe { core::slice::from_raw_parts(regs.x[2] as *const u8, 256) }, [b'x'; 256]);
                first = false;
                return Err(Error::BadAddress);
            }
            assert_eq!(*regs, Regs::default().with([101]));
            Ok(())
        });
        agent::exit_panic(101, &[b'x'; 300])
    });
    assert!(seen.ends_with("status 101"), "{seen}");
}

#[test]
fn fault_calls() {
    let none = Regs::default();
    let mut saved = [0; fault::SAVED_WORDS];
    let at = &raw mut saved;
    let words = [0x40_1000, 0x40_0000, 0x40_2000, 0x9000, at as u64];
    // SAFETY: the fake kernel starts no handler.
    let set = || unsafe { fault::set_handler(0x40_1000, 0x40_0000..0x40_2000, 0x9000, at) };
    assert_eq!(expect(Call::FaultHandlerSet, 0, &words, none, set), Ok(()));
    assert_eq!(expect(Call::FaultHandlerSet, 0, &[], none, fault::clear_handler), Ok(()));
    let id = MessageId(99);
    assert_eq!(expect(Call::FaultReply, 99, &[0], none, || fault::reply(id, Answer::Resume)), Ok(()));
    assert_eq!(expect(Call::FaultReply, 99, &[1, 0x40_0004], none, || fault::reply(id, Answer::ResumeAt(0x40_0004))), Ok(()));
    assert_eq!(expect(Call::FaultReply, 99, &[2], none, || fault::reply(id, Answer::Kill)), Ok(()));
    // SAFETY: nothing was stored, and the fake kernel takes nothing.
    assert_eq!(expect(Call::FaultReply, 0, &[], none, || unsafe { fault::resume_saved() }), Ok(()));
}

#[test]
fn time_and_interrupt_calls() {
    let none = Regs::default();
    assert_eq!(expect(Call::TimeNow, 0, &[], answer([123]), time::now), 123);
    assert_eq!(expect(Call::TimeNow, 0, &[], answer([u64::MAX - 1]), || Deadline::after(5)), Deadline::NEVER);
    assert_eq!(expect(Call::TimerSet, 0, &[1000, 2], none, || time::set_timer(1000, 2)), Ok(()));
    assert_eq!(expect(Call::TimerSet, 0, &[u64::MAX, 0], none, time::stop_timer), Ok(()));
    assert_eq!(time::set_timer(u64::MAX, 1), Err(Error::BadArgument));
    assert_eq!(expect(Call::IrqBind, WORD, &[3, 8], none, || irq::bind(Irq(SLOT), 3, 8)), Ok(()));
    assert_eq!(expect(Call::IrqAck, WORD, &[3], none, || irq::ack(Irq(SLOT), 3)), Ok(()));
}

#[test]
fn machine_calls() {
    let none = Regs::default();
    assert_eq!(expect(Call::PowerControl, WORD, &[0], none, || machine::power_off(Power(SLOT))), Ok(()));
    assert_eq!(expect(Call::PowerControl, WORD, &[1], none, || machine::reset(Power(SLOT))), Ok(()));
    assert_eq!(expect(Call::SeedSet, WORD, &[1, 2, 3, 4], none, || machine::set_seed(Seed(SLOT), [1, 2, 3, 4])), Ok(()));
    assert_eq!(
        expect(Call::TraceBind, WORD, &[OTHER_WORD, 3, 8, 1], none, || trace::bind(Observe(SLOT), Frame(OTHER), 3, 8, trace::Mode::Ring)),
        Ok(())
    );
    assert_eq!(expect(Call::TraceBind, WORD, &[0, 3], none, || trace::end(Observe(SLOT), 3)), Ok(()));
    let written = std::rc::Rc::new(std::cell::RefCell::new(std::vec::Vec::new()));
    let sink = written.clone();
    let _kernel = fake::install(move |call, regs| {
        assert_eq!(call, Call::ConsoleWrite);
        let bytes: std::vec::Vec<u8> = regs.x.iter().flat_map(|word| word.to_le_bytes()).take(regs.x10 as usize).collect();
        sink.borrow_mut().extend(bytes);
        Ok(())
    });
    let text: std::vec::Vec<u8> = (0..150).collect();
    assert_eq!(machine::write(Console(SLOT), &text), Ok(()));
    assert_eq!(core::fmt::Write::write_fmt(&mut machine::Writer(Console(SLOT)), format_args!("{}!", 5)), Ok(()));
    assert_eq!(written.borrow()[..150], text);
    assert_eq!(written.borrow()[150..], *b"5!");
}

#[test]
fn tables_are_read_in_parts() {
    let _kernel = fake::install(|call, regs| {
        assert_eq!((call, regs.x9, regs.x[0], regs.x[2], regs.x10), (Call::Inspect, WORD, Table::Cores as u64, 0, 3 * 128));
        let first = regs.x[1];
        let count = (7 - first).min(3);
        for i in 0..count {
            let record = CoreRecord { core: first + i, running: 40, ..CoreRecord::default() };
            // SAFETY: within the wrapper's buffer, as `x10` says.
            unsafe { (regs.x11 as *mut CoreRecord).wrapping_add(i as usize).write(record) };
        }
        regs.x[0] = count;
        regs.x[1] = if first + count < 7 { first + count } else { 0 };
        Ok(())
    });
    let mut seen = std::vec::Vec::new();
    let all = inspect::for_each::<CoreRecord, 3>(Observe(SLOT), AgentId(0), |record| seen.push((record.core, record.running)));
    assert_eq!(all, Ok(()));
    assert_eq!(seen, (0..7).map(|core| (core, 40)).collect::<std::vec::Vec<_>>());
}

#[test]
fn a_kernel_that_claims_too_many_records_is_not_believed() {
    let (_, result) = observe(answer([1000, 5]), || {
        let mut buffer = [CoreRecord::default(); 2];
        inspect::read(Observe(SLOT), AgentId(0), 0, &mut buffer).map(|part| (part.records.len(), part.next))
    });
    assert_eq!(result, Ok((2, Some(5))));
}

#[test]
fn pqc_calls() {
    let none = Regs::default();
    let register = || pqc::register(Service(SLOT), Seed(OTHER));
    assert_eq!(expect(Call::ServiceRegister, WORD, &[1, OTHER_WORD], none, register), Ok(()));
    let ((call, regs), result) = observe(answer([0x55]), || pqc::start(b"hello", Some(Slot(SLOT)), Deadline(9), 4));
    let info = SendInfo { length: 5, caps: 1, ..SendInfo::default() }.encode();
    let mut expected = Regs { x10: info, x12: 9, x13: 4, ..Regs::default() };
    expected.x[0] = u64::from_le_bytes(*b"hello\0\0\0");
    expected.x[7] = WORD;
    assert_eq!((call, regs, result), (Call::PqcOperation, expected, Ok(pqc::Operation(0x55))));
    let ((_, regs), _) = observe(none, || pqc::start(&[1; 56], None, Deadline::NEVER, 0));
    assert_eq!((regs.x[6], regs.x[7]), (0x0101_0101_0101_0101, 0));
    assert_eq!(pqc::start(&[0; 57], None, Deadline::NEVER, 0), Err(Error::MessageTooLong));

    let mut done = answer([1, 2, 3, 4, 5, 6, 7]);
    done.x10 = RecvInfo { length: 50, ..RecvInfo::default() }.encode();
    let outcome = expect(Call::PqcPoll, 8, &[], done, || pqc::poll(pqc::Operation(8)));
    assert_eq!(outcome, Ok(Some(pqc::Outcome { words: [1, 2, 3, 4, 5, 6, 7], length: 50 })));
    for (error, expected) in [(Error::Pending, Ok(None)), (Error::PeerDied, Err(Error::PeerDied))] {
        let _kernel = fake::install(move |_, _| Err(error));
        assert_eq!(pqc::poll(pqc::Operation(8)), expected);
    }
    assert_eq!(expect(Call::PqcCancel, 8, &[], none, || pqc::cancel(pqc::Operation(8))), Ok(()));
}
