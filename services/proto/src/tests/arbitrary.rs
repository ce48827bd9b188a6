//! Every interface under arbitrary packets: good ones reach the server, no others make anything panic, none is longer than its bound.

use aios_abi::message::Header;

use super::{CALLER, TICKET, caps, dispatch, dispatchers, random};
use crate::host::{Longest, fuzz, packet};
use crate::types::ErrorCode;
use crate::{Incoming, Outcome, ServiceError};

/// Numbers up to a bound, both ends more often than chance would have them.
fn choose(random: &mut fastrand::Rng) -> impl FnMut(u64) -> u64 + '_ {
    |most| match random.u8(..8) {
        0 => 0,
        1 => most,
        2 => random.u64(..=most) >> random.u8(..64),
        _ => random.u64(..=most),
    }
}

#[test]
fn good_packets_reach_the_server() {
    let mut random = random();
    for (interface, dispatcher) in dispatchers() {
        for operation in interface.operations {
            for _ in 0..200 {
                let packet = packet(interface, operation, 0, &mut choose(&mut random));
                assert!(packet.len() <= operation.max_request as usize);
                let request = Incoming { packet: &packet, caps: &caps(operation.caps_in), call: !operation.mark.oneway, ticket: TICKET };
                let (outcome, reply) = dispatch(dispatcher, &CALLER, &request);
                if operation.mark.oneway {
                    assert_eq!(outcome, Outcome::Done, "{} {} {packet:?}", interface.name, operation.name);
                } else {
                    assert_eq!(outcome, Outcome::Replied, "{} {} {packet:?}", interface.name, operation.name);
                    assert_eq!(reply[8..], ErrorCode::NotSupported.code().to_le_bytes());
                }
            }
        }
    }
}

#[test]
fn the_longest_packets_are_as_long_as_the_tables_say() {
    for (interface, _) in dispatchers() {
        for operation in interface.operations {
            let at = format!("{} {}", interface.name, operation.name);
            assert_eq!(packet(interface, operation, 0, &mut Longest).len(), operation.max_request as usize, "{at}");
            let reply = packet(interface, operation, Header::REPLY, &mut Longest).len();
            if operation.mark.oneway {
                assert_eq!(operation.max_reply, 0, "{at}");
            } else {
                assert!(reply <= operation.max_reply as usize, "{at}");
                // Errors may be longer than a short reply.
                assert!(reply == operation.max_reply as usize || operation.max_reply <= 32, "{at}");
            }
        }
    }
}

#[test]
fn nothing_makes_a_dispatcher_panic() {
    let mut random = random();
    let interfaces: Vec<_> = crate::DISPATCHERS.to_vec();
    for _ in 0..300_000 {
        let which = random.usize(..interfaces.len());
        let mut data = vec![which as u8, random.u8(..)];
        if random.u8(..4) == 0 {
            data.extend((0..random.usize(..80)).map(|_| random.u8(..)));
        } else {
            // A good packet, spoiled in a few places.
            let (interface, _) = interfaces[which];
            let operation = &interface.operations[random.usize(..interface.operations.len())];
            data.extend(packet(interface, operation, 0, &mut choose(&mut random)));
            for _ in 0..random.u8(..4) {
                let place = random.usize(2..data.len());
                data[place] = random.u8(..);
            }
            if random.u8(..8) == 0 {
                data.truncate(random.usize(..data.len()));
            }
            if random.bool() && data.len() > 1 {
                data[1] = interfaces[which].0.operations.iter().map(|operation| operation.caps_in).max().unwrap_or(0);
            }
        }
        let reply = fuzz(&data);
        if let Some(header) = crate::packet::header(&reply) {
            assert_eq!(header.flags, Header::REPLY | Header::ERROR);
            assert!(crate::packet::payload(&reply, header, 0).is_some());
        }
    }
}
