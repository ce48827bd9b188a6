//! What is wrong with a packet is found before any method of a server runs, and answered with the error that says what.

use aios_abi::message::Header;

use super::{CALLER, TICKET, caps, dispatch, dispatchers};
use crate::host::{Longest, packet};
use crate::types::ErrorCode;
use crate::{Caller, Incoming, OperationInfo, Outcome, ServiceError};

/// Dispatches a packet that comes with so many capabilities, as a call or not, from this caller.
type Send<'a> = &'a dyn Fn(&[u8], u8, bool, Caller) -> (Outcome, Vec<u8>);

/// Runs a check on a good packet of every operation, so that it can be spoiled.
fn each(check: impl Fn(&OperationInfo, Vec<u8>, Send<'_>)) {
    for (interface, dispatcher) in dispatchers() {
        for operation in interface.operations {
            let good = packet(interface, operation, 0, &mut Longest);
            let send = |packet: &[u8], count: u8, call: bool, caller: Caller| {
                let request = Incoming { packet, caps: &caps(count), call, ticket: TICKET };
                dispatch(dispatcher, &caller, &request)
            };
            let (outcome, _) = send(&good, operation.caps_in, !operation.mark.oneway, CALLER);
            assert!(matches!(outcome, Outcome::Replied | Outcome::Done), "{} {}", interface.name, operation.name);
            check(operation, good, &send);
        }
    }
}

/// The packet that says so.
fn error(packet: &[u8]) -> Option<ErrorCode> {
    let header = crate::packet::header(packet)?;
    assert_eq!(header.flags, Header::REPLY | Header::ERROR);
    ErrorCode::from_wire(u16::from_le_bytes([packet[8], packet[9]]), &packet[10..])
}

fn assert_refused((outcome, reply): (Outcome, Vec<u8>), call: bool, code: ErrorCode) {
    assert_eq!(outcome, Outcome::Refused(code));
    if call {
        assert_eq!(error(&reply), Some(code));
    } else {
        assert!(reply.is_empty(), "a one-way message was answered");
    }
}

fn with_header(packet: &[u8], change: impl Fn(&mut Header)) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let mut header = crate::packet::header(&packet).unwrap();
    change(&mut header);
    packet[..8].copy_from_slice(&header.encode().to_le_bytes());
    packet
}

#[test]
fn lengths() {
    each(|operation, good, send| {
        let (count, call) = (operation.caps_in, !operation.mark.oneway);
        for length in 0..good.len() {
            assert_refused(send(&good[..length], count, call, CALLER), call, ErrorCode::BadLength);
        }
        let mut longer = good.clone();
        longer.push(0);
        assert_refused(send(&longer, count, call, CALLER), call, ErrorCode::BadLength);
        let wrong = with_header(&good, |header| header.length = header.length.wrapping_sub(1));
        assert_refused(send(&wrong, count, call, CALLER), call, ErrorCode::BadLength);
        let none = with_header(&good, |header| header.length = 0);
        assert_refused(send(&none, count, call, CALLER), call, ErrorCode::BadLength);
        // One byte more than the operation's longest packet, and a header that agrees.
        let mut long = good.clone();
        long.resize(operation.max_request as usize + 1, 0);
        let long = with_header(&long, |header| header.length = operation.max_request as u16 + 1);
        assert_refused(send(&long, count, call, CALLER), call, ErrorCode::BadLength);
    });
}

#[test]
fn header_fields() {
    each(|operation, good, send| {
        let (count, call) = (operation.caps_in, !operation.mark.oneway);
        type Spoil<'a> = &'a dyn Fn(&mut Header);
        let spoiled: [(ErrorCode, Spoil<'_>); 5] = [
            (ErrorCode::BadInterface, &|header| header.interface ^= 0x4000),
            (ErrorCode::BadOperation, &|header| header.operation |= 0x8000),
            (ErrorCode::BadVersion, &|header| header.major += 1),
            (ErrorCode::BadSchema, &|header| header.flags = Header::REPLY),
            (ErrorCode::BadSchema, &|header| header.flags = 0x80),
        ];
        for (code, spoil) in spoiled {
            assert_refused(send(&with_header(&good, spoil), count, call, CALLER), call, code);
        }
    });
}

#[test]
fn capabilities() {
    each(|operation, good, send| {
        let call = !operation.mark.oneway;
        for count in (0..=4).filter(|&count| count != operation.caps_in) {
            assert_refused(send(&good, count, call, CALLER), call, ErrorCode::BadCapabilities);
        }
    });
}

#[test]
fn direction() {
    each(|operation, good, send| {
        let call = operation.mark.oneway;
        assert_refused(send(&good, operation.caps_in, call, CALLER), call, ErrorCode::WrongWay);
    });
}

#[test]
fn rights() {
    each(|operation, good, send| {
        let call = !operation.mark.oneway;
        let caller = Caller { rights: !operation.right, ..CALLER };
        let (outcome, reply) = send(&good, operation.caps_in, call, caller);
        if operation.right == 0 {
            assert!(matches!(outcome, Outcome::Replied | Outcome::Done));
        } else {
            assert!(operation.right & 0xffff == 0, "services have the high 16 bits");
            assert_refused((outcome, reply), call, ErrorCode::MissingRight);
        }
    });
}

#[test]
fn later_answers_need_a_ticket() {
    for (interface, dispatcher) in dispatchers() {
        for operation in interface.operations.iter().filter(|operation| operation.mark.pending) {
            let packet = packet(interface, operation, 0, &mut Longest);
            let request = Incoming { packet: &packet, caps: &caps(operation.caps_in), call: true, ticket: None };
            assert_refused(dispatch(dispatcher, &CALLER, &request), true, ErrorCode::Busy);
        }
    }
}

#[test]
fn bytes_that_are_no_value() {
    use crate::demo::demo;
    let spoil = |operation: &OperationInfo, payload: &[u8]| {
        let mut packet = vec![0; 8];
        packet.extend(payload);
        let header = Header { interface: demo::NUMBER, operation: operation.number, major: demo::MAJOR, flags: 0, length: 0 };
        crate::packet::seal(&mut packet, header, payload.len(), 0).unwrap();
        let request = Incoming { packet: &packet, caps: &caps(0), call: true, ticket: TICKET };
        dispatch(|caller, request, out| demo::dispatch(&mut demo::Null, caller, request, out), &CALLER, &request)
    };
    let wrong: [&[u8]; 8] = [
        b"",
        // A case that isn't.
        &[4, 0, 0, 0],
        // A word with a byte too much, then one that isn't UTF-8.
        b"\x01\x0d0123456789abc\0\0\0",
        b"\x01\x02\xff\xff\0\0\0",
        // Longer than the packet.
        b"\x01\x0cabc",
        // Neither something nor nothing.
        &[0, 0, 2, 0],
        // A flag without a name.
        &[0, 0, 0, 0x80, 0x04],
        // Four words where three are allowed.
        &[3, 4, 0, 0, 0, 0, 0, 0, 0],
    ];
    for payload in wrong {
        assert_refused(spoil(&demo::op::ECHO, payload), true, ErrorCode::BadSchema);
    }
    assert_eq!(spoil(&demo::op::ECHO, &[0, 0, 0, 0]).0, Outcome::Replied);
    // Right, and one byte more.
    assert_refused(spoil(&demo::op::ECHO, &[0, 0, 0, 0, 0]), true, ErrorCode::BadSchema);
}
