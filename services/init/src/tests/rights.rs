//! What an asker gets, and what it does not.

use std::vec::Vec;

use aios_abi::SlotHandle;
use aios_abi::rights::{Kind, Rights};
use aios_proto::names::{Client, DeviceKind, Error as Refused};
use aios_proto::supervisor::{Client as Operator, Error as Forbidden};
use aios_proto::types::ErrorCode;
use aios_proto::{Capability, Error as CallError, ServiceError, Text};

use super::MANIFEST;
use super::machine::Machine;
use crate::badge::Badge;

const FOREVER: u64 = u64::MAX;

fn name<const MAX: usize>(text: &str) -> Text<'_, MAX> {
    Text::new(text).unwrap()
}

fn refused<T>(why: Refused) -> Result<T, CallError<Refused>> {
    Err(CallError::Service(why))
}

#[test]
fn names_lead_where_the_manifest_says() {
    let mut machine = Machine::up(MANIFEST);
    let mut shell = Client::new(machine.speak("shell"));
    let log = shell.resolve(name("/svc/log"), FOREVER).unwrap().handle();
    assert_eq!(shell.resolve(name("/svc/log"), FOREVER).map(|log| log.handle()), Ok(log), "asking again gives the same");
    assert_eq!(shell.resolve(name("/svc/history"), FOREVER).map(|_| ()), refused(Refused::NotListed));
    assert_eq!(shell.resolve(name("/svc/nothing"), FOREVER).map(|_| ()), refused(Refused::NotListed));
    let own = shell.resolve(name("/svc/supervisor"), FOREVER).unwrap().handle();
    {
        let page = shell.list(1, FOREVER).unwrap();
        let listed: Vec<_> = page.entries.iter().map(|entry| (entry.name.as_str(), entry.running)).collect();
        assert_eq!((page.total, listed), (4, Vec::from([("/svc/log", true), ("/svc/names", true), ("/svc/supervisor", true)])));
    }

    let (logd, _) = machine.kernel.agent("logd");
    let cap = machine.kernel.cap(log);
    assert_eq!((cap.kind, cap.object, cap.word), (Kind::Service, logd.0, 3), "the badge says who asked");
    let expected = Rights::SEND.or(Rights::GRANT).or(Rights(aios_proto::log::Rights::READ.bits()));
    assert_eq!(cap.rights, expected, "exactly what the entry names");
    let (_, shell) = machine.kernel.agent("shell");
    let cap = machine.kernel.cap(own);
    assert_eq!((cap.object, cap.word), (super::kernel::INIT.0, shell.slots[&3].word));

    let mut uartd = Client::new(machine.speak("uartd"));
    assert_eq!(uartd.resolve(name("/svc/log"), FOREVER).map(|_| ()), refused(Refused::NotListed));
    machine.crash("logd");
    machine.sleep(100);
    machine.ready("logd");
    assert_eq!(
        Client::new(machine.speak("shell")).resolve(name("/svc/log"), FOREVER).map(|log| log.handle()),
        Ok(log),
        "it survives a restart"
    );
    for _ in 0..2 {
        machine.crash("logd");
        machine.sleep(500);
    }
    assert_eq!(Client::new(machine.speak("shell")).resolve(name("/svc/log"), FOREVER).map(|_| ()), refused(Refused::NotRunning));
}

#[test]
fn devices_go_to_their_owner_only() {
    let mut machine = Machine::boot(MANIFEST);
    let mut uartd = Client::new(machine.speak("uartd"));
    let info = uartd.describe(name("console"), FOREVER).unwrap();
    assert_eq!((info.kind, info.regions, info.interrupts), (DeviceKind::Pl011, 1, 1));
    let (registers, region) = uartd.registers(name("console"), 0, FOREVER).unwrap();
    assert_eq!((region.address, region.offset), (0x900_0000, 0));
    let (irq, line) = uartd.interrupt(name("console"), 0, FOREVER).unwrap();
    assert_eq!(line, 33);
    assert_eq!(uartd.registers(name("console"), 1, FOREVER).map(|_| ()), refused(Refused::NoSuchDevice));
    assert_eq!(uartd.interrupt(name("console"), 1, FOREVER).map(|_| ()), refused(Refused::NoSuchDevice));
    assert_eq!(uartd.describe(name("acme,rocket#3"), FOREVER), refused(Refused::NoSuchDevice));
    assert_eq!(uartd.describe(name("acme,rocket"), FOREVER), refused(Refused::NotListed));
    let cap = machine.kernel.cap(registers.handle());
    assert_eq!((cap.kind, cap.object, cap.word), (Kind::Device, 0x9000, 1));
    assert!(cap.rights.contains(Rights::READ.or(Rights::WRITE)) && !cap.rights.contains(Rights::DERIVE));
    let cap = machine.kernel.cap(irq.handle());
    assert_eq!((cap.kind, cap.object, cap.word), (Kind::Irq, 33, 1));
    machine.ready("uartd");
    let mut logd = Client::new(machine.speak("logd"));
    assert_eq!(logd.describe(name("console"), FOREVER), refused(Refused::NotListed));
    assert_eq!(logd.registers(name("console"), 0, FOREVER).map(|_| ()), refused(Refused::NotListed));
}

#[test]
fn special_capabilities_go_to_those_whose_entry_lists_them() {
    let mut machine = Machine::up(MANIFEST);
    let mut shell = Client::new(machine.speak("shell"));
    let observe = shell.open_observe(FOREVER).unwrap().handle();
    let power = shell.open_power(FOREVER).unwrap().handle();
    assert_eq!(shell.open_seed(FOREVER).map(|_| ()), refused(Refused::NotListed));
    let mut logd = Client::new(machine.speak("logd"));
    let seed = logd.open_seed(FOREVER).unwrap().handle();
    assert_eq!(logd.open_observe(FOREVER).map(|_| ()), refused(Refused::NotListed));
    assert_eq!(logd.open_power(FOREVER).map(|_| ()), refused(Refused::NotListed));
    let kinds: Vec<_> = [observe, power, seed].iter().map(|slot| machine.kernel.cap(*slot).kind).collect();
    assert_eq!(kinds, [Kind::Observe, Kind::Power, Kind::Seed]);
}

#[test]
fn control_is_what_the_manifest_lists() {
    let mut machine = Machine::up(MANIFEST);
    let (logd, _) = machine.kernel.agent("logd");
    let (uartd, _) = machine.kernel.agent("uartd");
    let mut shell = Operator::new(machine.speak("shell"));
    let agent = shell.open_agent(logd.0, FOREVER).unwrap().handle();
    assert_eq!(shell.open_agent(uartd.0, FOREVER).map(|_| ()), Err(CallError::Service(Forbidden::NotAllowed)));
    assert_eq!(shell.open_agent(7, FOREVER).map(|_| ()), Err(CallError::Service(Forbidden::UnknownAgent)));
    let cap = machine.kernel.cap(agent);
    let expected = Rights::KILL.or(Rights::SUSPEND).or(Rights::WATCH).or(Rights::GRANT);
    assert_eq!((cap.kind, cap.object, cap.rights), (Kind::Agent, logd.0, expected));

    let refused = Err(CallError::Refused(ErrorCode::MissingRight.code()));
    assert_eq!(Operator::new(machine.speak("uartd")).services(0, FOREVER).map(|_| ()), refused, "not even a look");
}

#[test]
fn an_entry_that_lists_less_may_less() {
    let without = MANIFEST.replace("spawns = [\"job\"]", "").replace("special = [\"observe\", \"power\"]", "");
    let mut machine = Machine::up(&without);
    let mut shell = Operator::new(machine.speak("shell"));
    let refused = Err(CallError::Refused(ErrorCode::MissingRight.code()));
    assert_eq!(shell.spawn(name("job"), name(""), None, FOREVER).map(|_| ()), refused);
    assert_eq!(shell.shutdown(FOREVER), refused);
    assert!(shell.services(0, FOREVER).is_ok());
}

#[test]
fn what_was_given_can_be_taken_away() {
    let mut machine = Machine::up(MANIFEST);
    let mut shell = Operator::new(machine.speak("shell"));
    let job = aios_abi::AgentId(shell.spawn(name("job"), name(""), None, FOREVER).unwrap());
    let log = Client::new(machine.speak("job")).resolve(name("/svc/log"), FOREVER).unwrap().handle();
    machine.kernel.hand(log, job, 9);
    machine.kernel.hand(log, job, 10);
    let mut shell = Operator::new(machine.speak("shell"));
    let not_given = Err(CallError::Service(Forbidden::NotGiven));
    assert_eq!(shell.revoke(job.0, SlotHandle::new(3, 1).0, FOREVER), not_given, "the way to init stays");
    assert_eq!(shell.revoke(job.0, SlotHandle::new(9, 2).0, FOREVER), not_given, "a former user's slot");
    assert_eq!(shell.revoke(job.0, SlotHandle::new(9, 1).0, FOREVER), Ok(()));
    assert_eq!((machine.kernel.works(job, 9), machine.kernel.works(job, 10)), (false, false), "every copy");
    assert_eq!(Client::new(machine.speak("job")).resolve(name("/svc/log"), FOREVER).map(|_| ()), refused(Refused::Revoked));
    let (uartd, _) = machine.kernel.agent("uartd");
    let mut shell = Operator::new(machine.speak("shell"));
    assert_eq!(shell.revoke(uartd.0, SlotHandle::new(3, 1).0, FOREVER), Err(CallError::Service(Forbidden::NotAllowed)));
}

#[test]
fn images_are_told_to_those_who_see_badges() {
    let mut machine = Machine::up(MANIFEST);
    let (badge, init) = (Badge { entry: 0, run: 7 }.word(), Badge::INIT);
    let mut logd = Client::new(machine.speak("logd"));
    let of_uartd = logd.image(badge, FOREVER).unwrap();
    assert_ne!(of_uartd, [0; 32]);
    assert_eq!(logd.image(Badge { entry: 0, run: 0 }.word(), FOREVER), Ok(of_uartd), "whatever the run");
    assert_eq!(logd.image(u64::MAX, FOREVER), Err(CallError::Refused(ErrorCode::UnknownBadge.code())));
    assert_eq!(logd.image(Badge { entry: 999, run: 0 }.word(), FOREVER), Err(CallError::Refused(ErrorCode::UnknownBadge.code())));
    assert_ne!(logd.image(init, FOREVER), Ok(of_uartd));
    let mut shell = Client::new(machine.speak("shell"));
    assert_eq!(shell.image(badge, FOREVER), refused(Refused::NotListed));
}
