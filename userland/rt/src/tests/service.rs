//! The transport of service clients, and the port of servers.

use aios_abi::message::{self, RecvInfo, SendInfo};
use aios_abi::message::{Fault, FaultCause};
use aios_abi::{Call, Error, MessageId, SlotHandle};
use aios_proto::{CapList, Transport, TransportError};
use aios_service::port::{Event, Port};

use super::{Regs, SERVICE, SLOT, WORD, answering, fake, observe};
use crate::service::{Mailbox, Remote};

#[test]
fn a_short_reply_comes_in_the_buffer() {
    let mut caps = CapList::NONE;
    assert!(caps.push(SLOT, true));
    let mut answer = Regs { x10: RecvInfo { length: 16, caps: 1, kind: message::Received::Reply, rights: 2 }.encode(), ..Regs::default() };
    answer.x = [u64::from_le_bytes(*b"a reply "), u64::from_le_bytes(*b"of words"), 0, 0, 0, 0, 0, WORD];
    let mut buffer = *b"a request of some bytes, then more room";
    let ((call, regs), info) = observe(answer, || Remote(SERVICE).call(&mut buffer, 23, &caps, 1, 99));
    let sent = SendInfo { length: 23, caps: 1, take_caps: 1, move_caps: true, room: 39, notifications_only: false };
    assert_eq!((call, regs.x9, regs.x10, regs.x12), (Call::IpcCall, WORD, sent.encode(), 99));
    assert_eq!((regs.x[0], regs.x[7]), (u64::from_le_bytes(*b"a reques"), WORD));
    let info = info.expect("a reply");
    assert_eq!((info.length, info.incarnation, info.caps.slot(0)), (16, 2, SLOT));
    assert_eq!(&buffer[..16], b"a reply of words");
}

#[test]
fn a_reply_without_room_is_refused_and_its_capabilities_dropped() {
    let mut answer = Regs { x10: RecvInfo { length: 48, caps: 1, kind: message::Received::Reply, rights: 0 }.encode(), ..Regs::default() };
    answer.x[7] = WORD;
    let (_kernel, log) = answering(answer);
    let result = Remote(SERVICE).call(&mut [0; 40], 8, &CapList::NONE, 1, 99);
    assert_eq!(result.map(|_| ()), Err(TransportError(aios_abi::Error::MessageTooLong.code())));
    let calls = log.borrow();
    assert_eq!(
        calls.iter().map(|(call, regs)| (*call, regs.x9)).collect::<std::vec::Vec<_>>(),
        [(Call::IpcCall, WORD), (Call::CapDrop, WORD)]
    );
}

#[test]
fn one_way_packets_go_out_whole() {
    let packet = [7; 300];
    let ((call, regs), result) = observe(Regs::default(), || Remote(SERVICE).send(&packet, &CapList::NONE));
    assert_eq!((call, result), (Call::IpcSend, Ok(())));
    assert_eq!((regs.x10, regs.x11), (300, packet.as_ptr() as u64));
    let ((call, regs), ()) = observe(Regs::default(), || Remote(SERVICE).drop_capability(SlotHandle::new(9, 9)));
    assert_eq!((call, regs), (Call::CapDrop, Regs::at(9 << 16 | 9)));
    assert!(Remote(SERVICE).call(&mut [0; 8], 9, &CapList::NONE, 0, 0).is_err());
}

fn info(length: u32, kind: message::Received) -> u64 {
    RecvInfo { length, kind, rights: 8, caps: 0 }.encode()
}

#[test]
fn a_short_call_comes_in_the_buffer_with_its_stamps() {
    let words = [u64::from_le_bytes(*b"12345678"), u64::from_le_bytes(*b"abc\0\0\0\0\0"), 0, 0, 0, 0, 0, WORD];
    let x10 = RecvInfo { length: 11, kind: message::Received::Call, rights: 8, caps: 1 }.encode();
    let answer = Regs { x: words, x9: 4, x10, x11: 5, x12: 6, ..Regs::default() };
    let mut buffer = [0xff; 65];
    let ((call, regs), event) = observe(answer, || Mailbox.receive(&mut buffer, 2, 77));
    let wanted = SendInfo { take_caps: 2, room: 65, ..SendInfo::default() };
    assert_eq!((call, regs.x10, regs.x12), (Call::IpcRecv, wanted.encode(), 77));
    let Ok(Event::Message(message)) = event else { panic!("{event:?}") };
    assert_eq!((message.length, message.agent, message.badge, message.rights), (11, 4, 5, 8));
    assert_eq!((message.id, message.call, message.caps.slot(0)), (MessageId(6), true, SLOT));
    assert_eq!((&buffer[..11], buffer[11]), (&b"12345678abc"[..], 0xff));
}

#[test]
fn a_long_message_is_in_the_buffer_already() {
    let _kernel = fake::install(|_, regs| {
        // SAFETY: the wrapper's buffer, with the room that it says.
        unsafe { core::slice::from_raw_parts_mut(regs.x11 as *mut u8, 70) }.fill(9);
        *regs = Regs { x10: info(70, message::Received::Message), ..Regs::default() };
        Ok(())
    });
    let mut buffer = [0; 100];
    let event = Mailbox.receive(&mut buffer, 0, 0);
    assert!(matches!(event, Ok(Event::Message(message)) if message.length == 70 && !message.call));
    assert_eq!((buffer[69], buffer[70]), (9, 0));
}

#[test]
fn replies_go_out_of_the_buffer_into_which_the_next_event_comes() {
    let mut buffer = [3; 90];
    let place = buffer.as_ptr() as u64;
    let answer = Regs { x10: info(8, message::Received::Notification), ..Regs::default().with([6]) };
    let ((call, regs), event) = observe(answer, || Mailbox.reply_receive(MessageId(3), &mut buffer, 80, &CapList::NONE, 1, 8));
    let sent = SendInfo { length: 80, room: 90, take_caps: 1, ..SendInfo::default() };
    assert_eq!((call, regs), (Call::IpcReplyRecv, Regs { x10: sent.encode(), x11: place, x12: 8, ..Regs::at(3) }));
    assert!(matches!(event, Ok(Event::Notification { bits: 6 })));
    assert!(Mailbox.reply_receive(MessageId(3), &mut buffer, 91, &CapList::NONE, 1, 8).is_err());

    let ((call, regs), result) = observe(Regs::default(), || Mailbox.reply(MessageId(9), b"done", &CapList::NONE));
    assert_eq!((call, regs.x9, regs.x10, result), (Call::IpcReply, 9, 4, Ok(())));
}

#[test]
fn the_other_events_and_calls() {
    let fault = Fault { agent: 9, cause: FaultCause::Undefined as u16, syndrome: 1, address: 2, pc: 3, sp: 4, lr: 5, pstate: 6 };
    let answer = Regs { x: fault.encode(), x10: info(64, message::Received::Fault), x12: 77, ..Regs::default() };
    let (_, event) = observe(answer, || Mailbox.receive(&mut [0; 65], 0, 0));
    assert!(matches!(event, Ok(Event::Fault { message: MessageId(77), fault: seen, text: 0 }) if seen == fault));
    {
        let x10 = info(64 + 5, message::Received::Fault);
        let (_, event) = observe(Regs { x10, ..answer }, || Mailbox.receive(&mut [0; 65], 0, 0));
        assert!(matches!(event, Ok(Event::Fault { text: 5, .. })), "{event:?}");
        let (_, event) = observe(Regs { x10, ..answer }, || Mailbox.receive(&mut [0; 4], 0, 0));
        assert!(event.is_err(), "more text than there was room for");
    }
    {
        let _kernel = fake::install(|_, _| Err(Error::Timeout));
        let event = Mailbox.receive(&mut [0; 65], 0, 0);
        assert_eq!(event.map(|_| ()), Err(TransportError(Error::Timeout.code())));
    }
    let ((call, regs), result) = observe(Regs::default(), || Mailbox.notify(SLOT, 4));
    assert_eq!((call, regs, result), (Call::Notify, Regs::at(WORD).with([4]), Ok(())));
    let ((call, regs), result) = observe(Regs::default(), || Mailbox.watch(SLOT, 4));
    assert_eq!((call, regs, result), (Call::Watch, Regs::at(WORD).with([4]), Ok(())));
    let ((call, regs), ()) = observe(Regs::default(), || Mailbox.drop_capability(SLOT));
    assert_eq!((call, regs), (Call::CapDrop, Regs::at(WORD)));
    let ((call, _), now) = observe(Regs::default().with([55]), || Mailbox.now_ns());
    assert_eq!((call, now), (Call::TimeNow, 55));
}

/// A kernel whose time passes while somebody waits, and which has mail after 10 s; notes when heartbeats came.
fn patient() -> (fake::Installed, std::rc::Rc<std::cell::RefCell<std::vec::Vec<u64>>>) {
    const MAIL_NS: u64 = 10_000_000_000;
    let beats = std::rc::Rc::new(std::cell::RefCell::new(std::vec::Vec::new()));
    let (seen, mut now_ns) = (beats.clone(), 0);
    let kernel = fake::install(move |call, regs| match call {
        Call::TimeNow => {
            regs.x[0] = now_ns;
            Ok(())
        }
        Call::IpcSend => {
            assert_eq!(regs.x9, WORD, "to init");
            // It is tried a few times; that counts as one.
            let second = now_ns / 1_000_000_000;
            if seen.borrow().last() != Some(&second) {
                seen.borrow_mut().push(second);
            }
            Err(Error::QueueFull)
        }
        Call::Yield => {
            now_ns += 20_000_000;
            Ok(())
        }
        Call::IpcRecv | Call::IpcReplyRecv => {
            now_ns = now_ns.max(regs.x12.min(MAIL_NS));
            if regs.x12 < MAIL_NS {
                return Err(Error::Timeout);
            }
            regs.x10 = info(0, message::Received::Message);
            Ok(())
        }
        other => panic!("{}", other.name()),
    });
    (kernel, beats)
}

#[test]
fn a_server_that_waits_tells_the_supervisor_that_it_is_alive() {
    let init = crate::peer::Init(SERVICE);
    let mut buffer = [0; 64];
    for replying in [false, true] {
        let (_kernel, beats) = patient();
        let mut port = crate::service::Alive::new(init);
        let event = match replying {
            false => port.receive(&mut buffer, 0, u64::MAX),
            true => port.reply_receive(MessageId(6), &mut buffer, 8, &CapList::NONE, 0, u64::MAX),
        };
        assert!(matches!(event, Ok(Event::Message(_))), "{event:?}");
        assert_eq!(*beats.borrow(), [3, 6, 9], "also while the supervisor has no room for it");
        // Its own deadline ends the wait as ever.
        let (_kernel, beats) = patient();
        let mut port = crate::service::Alive::new(init);
        assert!(matches!(port.receive(&mut buffer, 0, 4_000_000_000), Err(error) if error == Error::Timeout.into()));
        assert_eq!(*beats.borrow(), [3]);
    }
}
