//! Messages.

use std::vec::Vec;

use aios_abi::message::{self, Fault, FaultCause, RecvInfo, SendInfo};
use aios_abi::rights::Rights;
use aios_abi::{AgentId, Call, Error, MessageId, SlotHandle};

use super::{Regs, SERVICE, SLOT, WORD, fake, observe};
use crate::ipc::{self, Caps, Message, Received, Room};
use crate::slot::{Notification, Slot};
use crate::time::Deadline;

fn handles(count: u16) -> Vec<SlotHandle> {
    (0..count).map(|i| SlotHandle::new(10 + i, 1 + i)).collect()
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|i| i as u8 ^ 0x5a).collect()
}

#[test]
fn every_length_and_number_of_capabilities_goes_where_the_abi_says() {
    let buffer = bytes(65536);
    for count in 0..=4u16 {
        let caps = Caps::new(&handles(count)).expect("at most four");
        for length in (0..=80).chain([4096, 65535, 65536]) {
            let message = Message::bytes(&buffer[..length]).expect("not too long").copying(caps);
            let in_registers = [64, 56, 56, 48, 48][usize::from(count)];
            if length <= 64 && length > in_registers {
                let _kernel = fake::install(|_, _| unreachable!("refused before the call"));
                assert_eq!(ipc::send(SERVICE, &message, &buffer), Err(Error::BadArgument));
                continue;
            }
            let ((call, regs), result) = observe(Regs::default(), || ipc::send(SERVICE, &message, &buffer));
            assert_eq!((call, result, regs.x9, regs.x12), (Call::IpcSend, Ok(()), WORD, 0));
            let info = SendInfo::decode(regs.x10).expect("a good word");
            assert_eq!(info, SendInfo { length: length as u32, caps: count as u8, ..SendInfo::default() });
            if length > 64 {
                assert_eq!(regs.x11, buffer.as_ptr() as u64);
            } else {
                let sent: Vec<u8> = regs.x.iter().flat_map(|word| word.to_le_bytes()).take(length).collect();
                assert_eq!(sent, &buffer[..length]);
            }
            let carried = [regs.x[7] as u32, (regs.x[7] >> 32) as u32, regs.x[6] as u32, (regs.x[6] >> 32) as u32];
            if count > 0 {
                let carried: Vec<_> = carried[..usize::from(count)].iter().map(|&word| SlotHandle(word)).collect();
                assert_eq!(carried, handles(count));
            }
        }
    }
    assert_eq!(Message::bytes(&bytes(65537)), Err(Error::MessageTooLong));
    assert_eq!(Caps::new(&handles(5)), None);
}

#[test]
fn a_long_message_needs_its_bytes() {
    let _kernel = fake::install(|_, _| unreachable!("refused before the call"));
    let long = Message::bytes(&bytes(100)).expect("not too long");
    assert_eq!(ipc::send(SERVICE, &long, &[0; 99]), Err(Error::BadArgument));
    assert_eq!(ipc::call(SERVICE, &long, Room::new(&mut [0; 99]), Deadline::NEVER).map(|_| ()), Err(Error::BadArgument));
}

#[test]
fn moved_capabilities_are_marked_and_copied_ones_are_not() {
    let caps = Caps::one(Slot(SLOT));
    let moved = Message::words([1, 2]).moving(caps);
    let ((_, regs), _) = observe(Regs::default(), || ipc::reply(MessageId(7), &moved, &[]));
    let info = SendInfo { length: 16, caps: 1, move_caps: true, ..SendInfo::default() };
    assert_eq!(regs, Regs { x: [1, 2, 0, 0, 0, 0, 0, WORD], x10: info.encode(), ..Regs::at(7) });
    let ((_, regs), _) = observe(Regs::default(), || ipc::reply(MessageId(7), &moved.moving(Caps::NONE), &[]));
    assert_eq!(SendInfo::decode(regs.x10), Some(SendInfo { length: 16, ..SendInfo::default() }));
    let ((_, regs), _) = observe(Regs::default(), || ipc::reply(MessageId(7), &moved.copying(caps), &[]));
    assert_eq!(SendInfo::decode(regs.x10).map(|info| info.move_caps), Some(false));
}

#[test]
fn a_call_brings_a_short_reply() {
    let mut answer = Regs { x: [1, 2, 3, 4, 5, 6, WORD, WORD << 32 | WORD], x9: 0x9_0000_0001, ..Regs::default() };
    answer.x10 = RecvInfo { length: 44, caps: 3, kind: message::Received::Reply, rights: 6 }.encode();
    let mut buffer = [0; 128];
    let place = buffer.as_ptr() as u64;
    let ((call, regs), _) = observe(answer, || {
        let message = Message::words([9]).copying(Caps::one(Slot(SLOT)));
        let reply = ipc::call(SERVICE, &message, Room::new(&mut buffer).caps(3), Deadline(55)).expect("a reply");
        assert_eq!((reply.replier, reply.incarnation), (AgentId::new(9, 1), 6));
        assert_eq!(reply.body.words(), [1, 2, 3, 4, 5, 6, 0, 0]);
        assert_eq!((reply.body.len(), reply.body.bytes().len(), reply.body.bytes()[40]), (44, 44, 6));
        assert_eq!(reply.body.caps.handles(), [SLOT, SLOT, SLOT]);
        assert_eq!((reply.body.caps.get(2), reply.body.caps.get(3)), (Some(Slot(SLOT)), None));
    });
    let info = SendInfo { length: 8, caps: 1, take_caps: 3, room: 128, ..SendInfo::default() };
    let expected = Regs { x: [9, 0, 0, 0, 0, 0, 0, WORD], x10: info.encode(), x11: place, x12: 55, ..Regs::at(WORD) };
    assert_eq!((call, regs), (Call::IpcCall, expected));
}

#[test]
fn a_long_call_and_its_reply_share_the_buffer() {
    let _kernel = fake::install(|call, regs| {
        assert_eq!(call, Call::IpcCall);
        let info = SendInfo::decode(regs.x10).expect("a good word");
        assert_eq!((info.length, info.room), (70, 200));
        // SAFETY: the wrapper's buffer, with the room that it says.
        let buffer = unsafe { core::slice::from_raw_parts_mut(regs.x11 as *mut u8, 200) };
        assert_eq!(buffer[..70], bytes(70));
        buffer.reverse();
        regs.x10 = RecvInfo { length: 200, kind: message::Received::Reply, ..RecvInfo::default() }.encode();
        Ok(())
    });
    let mut buffer = bytes(200);
    let message = Message::bytes(&buffer[..70]).expect("not too long");
    let reply = ipc::call(SERVICE, &message, Room::new(&mut buffer), Deadline::NEVER).expect("a reply");
    let mut expected = bytes(200);
    expected.reverse();
    assert_eq!(reply.body.bytes(), expected);
    assert!(reply.body.in_registers().is_none());
}

#[test]
fn a_reply_longer_than_the_room_is_an_error() {
    let answer = Regs { x10: RecvInfo { length: 101, kind: message::Received::Reply, ..RecvInfo::default() }.encode(), ..Regs::default() };
    let (_, result) = observe(answer, || ipc::call(SERVICE, &Message::EMPTY, Room::new(&mut [0; 100]), Deadline::NEVER).map(|_| ()));
    assert_eq!(result, Err(Error::MessageTooLong));
}

#[test]
fn a_receive_tells_the_kinds_apart() {
    let info = RecvInfo { length: 16, kind: message::Received::Call, rights: 8, caps: 0 };
    let answer = Regs { x: [1, 2, 0, 0, 0, 0, 0, 0], x9: 5, x10: info.encode(), x11: 0xbad9e, x12: 31, ..Regs::default() };
    let ((call, regs), _) = observe(answer, || match ipc::receive(Room::none(), Deadline::POLL) {
        Ok(Received::Call(incoming)) => {
            assert_eq!((incoming.sender, incoming.badge, incoming.rights), (AgentId(5), 0xbad9e, Rights::SEND));
            assert_eq!((incoming.id, incoming.body.bytes().len()), (MessageId(31), 16));
        }
        other => panic!("{other:?}"),
    });
    assert_eq!((call, regs), (Call::IpcRecv, Regs::default()));

    let answer = Regs { x10: RecvInfo { kind: message::Received::Message, ..info }.encode(), ..answer };
    observe(answer, || assert!(matches!(ipc::receive(Room::none(), Deadline::POLL), Ok(Received::Message(_)))));

    let fault = Fault { agent: 9, cause: FaultCause::Undefined as u16, syndrome: 1, address: 2, pc: 3, sp: 4, lr: 5, pstate: 6 };
    let info = RecvInfo { length: 64, kind: message::Received::Fault, ..RecvInfo::default() };
    let answer = Regs { x: fault.encode(), x10: info.encode(), x12: 77, ..Regs::default() };
    observe(answer, || match ipc::receive(Room::none(), Deadline::POLL) {
        Ok(Received::Fault(seen, MessageId(77), [])) => assert_eq!(seen, fault),
        other => panic!("{other:?}"),
    });

    for kind in [message::Received::Nothing, message::Received::Reply] {
        let answer = Regs { x10: RecvInfo { kind, ..RecvInfo::default() }.encode(), ..Regs::default() };
        observe(answer, || assert_eq!(ipc::receive(Room::none(), Deadline::POLL).map(|_| ()), Err(Error::WrongVersion)));
    }
}

#[test]
fn reply_and_receive_in_one() {
    let info = RecvInfo { length: 8, kind: message::Received::Notification, ..RecvInfo::default() };
    let answer = Regs { x10: info.encode(), ..Regs::default().with([6]) };
    let mut buffer = bytes(90);
    let place = buffer.as_ptr() as u64;
    let ((call, regs), _) = observe(answer, || {
        let message = Message::bytes(&buffer).expect("not too long");
        let next = ipc::reply_receive(MessageId(3), &message, Room::new(&mut buffer).caps(2), Deadline(8));
        assert!(matches!(next, Ok(Received::Notification(6))));
    });
    let info = SendInfo { length: 90, room: 90, take_caps: 2, ..SendInfo::default() };
    assert_eq!((call, regs), (Call::IpcReplyRecv, Regs { x10: info.encode(), x11: place, x12: 8, ..Regs::at(3) }));
}

#[test]
fn waiting_takes_no_messages() {
    let bits = RecvInfo { length: 8, kind: message::Received::Notification, ..RecvInfo::default() };
    let ((call, regs), result) = observe(Regs { x10: bits.encode(), ..Regs::default().with([5]) }, || ipc::wait(Deadline(4)));
    assert_eq!((call, regs, result), (Call::IpcRecv, Regs { x10: 1 << 41, x12: 4, ..Regs::default() }, Ok(5)));
    let ((call, regs), result) = observe(Regs::default(), || ipc::notify(Notification(SLOT), 12));
    assert_eq!((call, regs, result), (Call::Notify, Regs::at(WORD).with([12]), Ok(())));
}
