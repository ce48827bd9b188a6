//! Every operation of every interface of the system: the client's method sends a packet that its dispatcher takes, and takes any reply
//! that the operation can have.

use std::collections::BTreeSet;

use aios_abi::SlotHandle;
use aios_abi::message::Header;

use crate::client::TransportError;
use crate::types::{ErrorCode, Level, Notification};
use crate::{CapList, Capability, Error, Interface, ReplyInfo, ServiceError, Text, Transport};
use crate::{console, lifecycle, log, names, supervisor};

/// Answers with an arbitrary reply of the operation that it is called with, or as a server that supports nothing.
struct Peer {
    random: Option<fastrand::Rng>,
    called: BTreeSet<(u16, u16)>,
}

impl Peer {
    fn receive(&mut self, packet: &[u8], caps: &CapList, call: bool) -> (Vec<u8>, &'static crate::OperationInfo) {
        let header = crate::packet::header(packet).unwrap();
        self.called.insert((header.interface, header.operation));
        let (interface, operation) = crate::operation(header.interface, header.operation).unwrap();
        let (_, dispatcher) = crate::DISPATCHERS.iter().find(|(known, _)| known.number == interface.number).unwrap();
        let received = crate::Received::new(caps.slots());
        let request = crate::Incoming { packet, caps: &received, call, ticket: super::TICKET };
        let (outcome, reply) = super::dispatch(*dispatcher, &super::CALLER, &request);
        assert!(matches!(outcome, crate::Outcome::Replied | crate::Outcome::Done), "{} {outcome:?}", operation.name);
        match &mut self.random {
            Some(random) => {
                let mut choose = |most| random.u64(..=most);
                (crate::host::packet(interface, operation, Header::REPLY, &mut choose), operation)
            }
            None => (reply, operation),
        }
    }
}

impl Transport for Peer {
    fn call(&mut self, buffer: &mut [u8], length: usize, caps: &CapList, take_caps: u8, _: u64) -> Result<ReplyInfo, TransportError> {
        let packet = buffer[..length].to_vec();
        let (reply, operation) = self.receive(&packet, caps, true);
        buffer[..reply.len()].copy_from_slice(&reply);
        assert_eq!(take_caps, operation.caps_out);
        let count = if self.random.is_some() { operation.caps_out } else { 0 };
        Ok(ReplyInfo { length: reply.len(), caps: super::caps(count), incarnation: 0 })
    }

    fn send(&mut self, packet: &[u8], caps: &CapList) -> Result<(), TransportError> {
        self.receive(packet, caps, false);
        Ok(())
    }

    fn drop_capability(&mut self, _: SlotHandle) {}
}

type Outcomes = Vec<(&'static str, Result<(), u16>)>;

/// What a call came to, as a code: 0 for anything that is not a refusal.
fn code<V, E: ServiceError>(result: Result<V, Error<E>>) -> Result<(), u16> {
    match result {
        Ok(_) => Ok(()),
        Err(Error::Refused(code)) => Err(code),
        Err(Error::Service(error)) => Err(error.code()),
        Err(_) => Err(0),
    }
}

fn notification() -> Notification {
    Notification::from_handle(SlotHandle::new(1, 1))
}

/// Every method of every client.
fn call_everything(peer: &mut Peer) -> Outcomes {
    let mut all = Outcomes::new();
    let mut note = |name, result| all.push((name, result));
    {
        let mut client = console::Client::new(&mut *peer);
        note("write", code(client.write(console::Chunk::truncated(&[7; 2000]), 0)));
        note("read", code(client.read(64, 0)));
        note("flush", code(client.flush(0)));
        note("subscribe", code(client.subscribe(console::Events::ALL, 1, notification(), 0)));
        note("take-events", code(client.take_events(0)));
        note("window-size", code(client.window_size(0)));
        note("set-window-size", code(client.set_window_size(console::Window { columns: 80, rows: 25 }, 0)));
        note("status", code(client.status(0)));
    }
    {
        let mut client = log::Client::new(&mut *peer);
        let filter = log::Filter { level: Level::Trace, agent: Some(u64::MAX) };
        let (target, message) = (Text::truncated("a target"), log::Message::truncated(&[b'm'; 300]));
        note("oneway", code(client.write(Level::Warn, target, message)));
        note("oneway", code(client.write_frame(Level::Warn, target, 3, message)));
        note("read", code(client.read(1, filter, 0)));
        note("follow", code(client.follow(u64::MAX, filter, 0)));
        note("set-level", code(client.set_level(None, Level::Debug, 0)));
        note("status", code(client.status(0)));
    }
    {
        let mut client = names::Client::new(&mut *peer);
        note("resolve", code(client.resolve(Text::truncated("/svc/log"), 0)));
        note("list", code(client.list(0, 0)));
        let device = Text::truncated("console");
        note("describe", code(client.describe(device, 0)));
        note("registers", code(client.registers(device, 0, 0)));
        note("interrupt", code(client.interrupt(device, 0, 0)));
        note("open-observe", code(client.open_observe(0)));
        note("open-power", code(client.open_power(0)));
        note("open-seed", code(client.open_seed(0)));
        note("image", code(client.image(u64::MAX, 0)));
    }
    {
        let mut client = supervisor::Client::new(&mut *peer);
        let name = Text::truncated("uartd");
        note("services", code(client.services(0, 0)));
        note("restart", code(client.restart(name, 0)));
        note("kill", code(client.kill(3, 0)));
        note("spawn", code(client.spawn(name, Text::truncated("-v"), Some(2), 0)));
        note("open-agent", code(client.open_agent(3, 0)));
        note("shutdown", code(client.shutdown(0)));
        note("reboot", code(client.reboot(0)));
        note("boot-stages", code(client.boot_stages(0)));
        note("wait", code(client.wait(3, 0)));
        note("revoke", code(client.revoke(3, 5 << 16 | 1, 0)));
        note("programs", code(client.programs(0, 0)));
        note("stop", code(client.stop(name, 0)));
        note("start", code(client.start(name, 0)));
    }
    {
        let mut client = lifecycle::Client::new(&mut *peer);
        note("oneway", code(client.ready(1_000_000_000, 1, notification())));
        note("oneway", code(client.heartbeat()));
        note("oneway", code(client.stopped()));
    }
    all
}

#[test]
fn every_operation_is_taken_and_answered() {
    let mut peer = Peer { random: None, called: BTreeSet::new() };
    for (name, result) in call_everything(&mut peer) {
        let expected = if name == "oneway" { Ok(()) } else { Err(ErrorCode::NotSupported.code()) };
        assert_eq!(result, expected, "{name}");
    }
    let numbers = |interface: &&Interface| {
        let number = interface.number;
        interface.operations.iter().map(move |operation| (number, operation.number)).collect::<Vec<_>>()
    };
    let known: BTreeSet<_> = crate::INTERFACES.iter().collect::<Vec<_>>().iter().flat_map(numbers).collect();
    assert_eq!(peer.called, known, "an operation is missing in this test");
}

#[test]
fn every_reply_that_a_server_can_give_is_taken() {
    let mut peer = Peer { random: Some(super::random()), called: BTreeSet::new() };
    for _ in 0..200 {
        for (name, result) in call_everything(&mut peer) {
            assert_eq!(result, Ok(()), "{name}");
        }
    }
}

#[test]
fn common_error_codes_are_where_the_abi_has_room_for_them() {
    assert_eq!(ErrorCode::BadLength.code(), 256);
    for (place, code) in ErrorCode::ALL.iter().enumerate() {
        assert_eq!(usize::from(code.code()), 256 + place);
        assert_eq!(ErrorCode::from_wire(code.code(), &[]), Some(*code));
    }
}
