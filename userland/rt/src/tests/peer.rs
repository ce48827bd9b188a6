//! Services that are looked up.

use std::cell::RefCell;
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

use aios_abi::call::SLOT_FIRST;
use aios_abi::message::{Header, Received, RecvInfo};
use aios_abi::{Call, Error as Kernel, SlotHandle};
use aios_proto::{Error, NoError, names};

use super::Regs;
use crate::peer::{Failure, Init, Peer};
use crate::service::Remote;
use crate::slot::Service;
use crate::sys::fake;

const INIT: SlotHandle = SlotHandle::new(SLOT_FIRST, 1);

/// A name service that gives one slot after the other, or refuses; and the calls that it got.
fn names(refuse: bool) -> (fake::Installed, Rc<RefCell<Vec<Call>>>) {
    let calls = Rc::new(RefCell::new(Vec::new()));
    let (seen, mut next) = (calls.clone(), 20);
    let kernel = fake::install(move |call, regs| {
        seen.borrow_mut().push(call);
        if call == Call::IpcCall {
            assert_eq!(regs.x9, INIT.0 as u64);
            let flags = if refuse { Header::REPLY | Header::ERROR } else { Header::REPLY };
            let length = if refuse { 10 } else { 8 };
            let header = Header { interface: names::NUMBER, operation: 1, major: names::MAJOR, flags, length };
            let caps = u8::from(!refuse);
            *regs = Regs { x10: RecvInfo { length: length.into(), caps, kind: Received::Reply, rights: 0 }.encode(), ..Regs::default() };
            regs.x[0] = header.encode();
            if refuse {
                regs.x[1] = 1024;
            } else {
                regs.x[7] = SlotHandle::new(next, 1).0 as u64;
            }
            next += 1;
        }
        Ok(())
    });
    (kernel, calls)
}

/// Asks a service whose answers are these; returns the slots through which it was asked, and what came of it.
fn ask(mut answers: Vec<Result<u32, Error<NoError>>>) -> (Vec<u16>, Result<u32, Failure<NoError>>) {
    let mut peer = Peer::new(Init::from_start([0, INIT.0 as u64, 0, 0]), "/svc/log", |remote| remote);
    let mut asked = Vec::new();
    let result = peer.call(|Remote(Service(slot))| {
        asked.push(slot.index());
        answers.remove(0)
    });
    (asked, result)
}

#[test]
fn a_service_is_asked_again_once_when_it_was_lost() {
    let (_kernel, calls) = names(false);
    assert_eq!(ask(vec![Ok(5)]), (vec![20], Ok(5)));
    // Restarted: the capability is as good as before. Gone: another one is looked up.
    assert_eq!(ask(vec![Err(Error::PeerRestarted), Ok(5)]), (vec![21, 21], Ok(5)));
    calls.borrow_mut().clear();
    assert_eq!(ask(vec![Err(Error::PeerDied), Ok(5)]), (vec![22, 23], Ok(5)));
    assert_eq!(calls.borrow().iter().filter(|call| **call == Call::CapDrop).count(), 1);
    let revoked = Error::Refused(Kernel::Revoked.code());
    assert_eq!(ask(vec![Err(revoked), Err(Error::PeerRestarted)]), (vec![24, 25], Err(Failure::Call(Error::PeerRestarted))));
    // An answer is an answer, even if it is no.
    assert_eq!(ask(vec![Err(Error::Timeout)]), (vec![26], Err(Failure::Call(Error::Timeout))));
}

#[test]
fn a_service_that_is_not_listed_is_not_asked() {
    let (_kernel, _) = names(true);
    let not_listed = Failure::Unreachable(Error::Service(names::Error::NotListed));
    assert_eq!(ask(vec![]), (vec![], Err(not_listed)));
    assert_eq!(std::format!("{not_listed}"), "the asker's manifest entry does not list it, whether or not there is such a thing");
}

/// A supervisor whose mailbox is full for so many sends; the sends that it got, and the times that others were let run.
fn crowded(full: u32) -> (fake::Installed, Rc<RefCell<(u32, u32)>>) {
    let counts = Rc::new(RefCell::new((0, 0)));
    let (seen, mut now) = (counts.clone(), 0);
    let kernel = fake::install(move |call, regs| {
        let mut counts = seen.borrow_mut();
        match call {
            Call::CapMint => regs.x[0] = SlotHandle::new(20, 1).0.into(),
            Call::TimeNow => {
                now += 1_000_000;
                regs.x[0] = now;
            }
            Call::IpcSend => {
                counts.0 += 1;
                assert_eq!(regs.x[7], u64::from(SlotHandle::new(20, 1).0), "the capability is still there to be given");
                if counts.0 <= full {
                    return Err(Kernel::QueueFull);
                }
            }
            Call::Yield => counts.1 += 1,
            other => panic!("{}", other.name()),
        }
        Ok(())
    });
    (kernel, counts)
}

#[test]
fn a_place_in_the_supervisors_mailbox_is_waited_for() {
    let init = Init::from_start([0, INIT.0 as u64, 0, 0]);
    let (kernel, counts) = crowded(3);
    assert_eq!(init.ready(1), Ok(()));
    assert_eq!(*counts.borrow(), (4, 3));
    drop(kernel);
    // Not for ever.
    let (_kernel, counts) = crowded(u32::MAX);
    assert_eq!(init.ready(1), Err(Error::Refused(Kernel::QueueFull.code())));
    assert!(counts.borrow().0 > 100);
}
