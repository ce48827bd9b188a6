//! The transport of service clients.

use aios_abi::message::{self, RecvInfo, SendInfo};
use aios_abi::{Call, SlotHandle};
use aios_proto::{CapList, Transport, TransportError};

use super::{Regs, SERVICE, SLOT, WORD, answering, observe};
use crate::service::Remote;

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
