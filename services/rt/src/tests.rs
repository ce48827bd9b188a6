//! The loop around a small server, over the scripted port.

use aios_abi::message::{Fault, Header};
use aios_abi::{Error as Kernel, MessageId, SlotHandle};
use aios_proto::console::{self, Chunk, Counters as Status, Events, Failure, Window, op};
use aios_proto::host::{Longest, packet};
use aios_proto::server::Arrived;
use aios_proto::types::{ErrorCode, Notification};
use aios_proto::{Answer, Caller, Capability, Incoming, Later, OperationInfo, Outcome, Outgoing, ServiceError, Ticket};

use crate::fake::{Done, FakePort};
use crate::{Actions, Cancelled, Config, Counters, Event, Handler, Service, Watched};

const BUFFER: usize = crate::buffer_size(&[console::MAX_PACKET]);
const INPUT: u64 = 1;
const STOP: u64 = 2;
const WATCH: u64 = 0xff00;

/// A console without a device: notifications bring input, and flushes end in the next `progress`.
#[derive(Default)]
struct Console {
    input: Vec<u8>,
    readers: Vec<(Later<op::Read>, u32)>,
    flushes: Vec<Later<op::Flush>>,
    subscriber: Option<(Notification, u64)>,
    cancelled: Vec<(Ticket, Cancelled)>,
    gone: Vec<Watched>,
    faults: Vec<u64>,
    watch: Vec<(SlotHandle, Watched)>,
    wake_ns: Option<u64>,
    woken: Vec<u64>,
    written: usize,
    stop: bool,
}

impl console::Server for Console {
    fn write(&mut self, _: &Caller, _: Later<op::Write>, data: Chunk<'_>) -> Answer<(), console::Error> {
        self.written += data.len();
        Answer::Now(Ok(()))
    }

    fn read<'s>(&'s mut self, _: &Caller, later: Later<op::Read>, limit: u32) -> Answer<Chunk<'s>, console::Error> {
        self.readers.push((later, limit));
        Answer::Later
    }

    fn flush(&mut self, _: &Caller, later: Later<op::Flush>) -> Answer<(), console::Error> {
        self.flushes.push(later);
        Answer::Later
    }

    fn subscribe(&mut self, _: &Caller, _: Events, bits: u64, notify: Arrived<'_, Notification>) -> Result<(), Failure> {
        if bits == 0 {
            return Err(console::Error::TooManySubscribers.into());
        }
        self.subscriber = Some((notify.keep(), bits));
        Ok(())
    }

    fn take_events(&mut self, _: &Caller) -> Result<Events, Failure> {
        Ok(Events::INPUT)
    }

    fn window_size(&mut self, _: &Caller) -> Result<Window, Failure> {
        Ok(Window { columns: 80, rows: 25 })
    }

    fn set_window_size(&mut self, _: &Caller, _: Window) -> Result<(), Failure> {
        Err(ErrorCode::NotSupported.into())
    }

    fn status(&mut self, _: &Caller) -> Result<Status, Failure> {
        Ok(Status { received: 1, sent: 2, lost: 3, line_errors: 4, overruns: 5 })
    }
}

impl Handler for Console {
    fn message(&mut self, caller: &Caller, request: &Incoming<'_>, out: &mut Outgoing<'_>) -> Outcome {
        console::dispatch(self, caller, request, out)
    }

    fn notification(&mut self, bits: u64, _: u64) {
        if bits & INPUT != 0 {
            self.input.extend(b"typed");
        }
        self.stop |= bits & STOP != 0;
    }

    fn fault(&mut self, _: MessageId, fault: &Fault, text: &[u8], _: u64) {
        assert_eq!(text, b"a reason");
        self.faults.push(fault.agent);
    }

    fn gone(&mut self, what: Watched, _: u64) {
        self.gone.push(what);
    }

    fn cancelled(&mut self, ticket: Ticket, why: Cancelled) {
        self.readers.retain(|(later, _)| later.ticket() != ticket);
        self.cancelled.push((ticket, why));
    }

    fn progress(&mut self, now_ns: u64, actions: &mut Actions<'_>) {
        if self.wake_ns.is_some_and(|wake_ns| wake_ns <= now_ns) {
            self.wake_ns = None;
            self.woken.push(now_ns);
        }
        for (slot, what) in self.watch.drain(..) {
            actions.watch(slot, what).unwrap();
        }
        for later in self.flushes.drain(..) {
            actions.complete(later, Ok(()));
        }
        while !self.input.is_empty() && !self.readers.is_empty() {
            let (later, limit) = self.readers.remove(0);
            let count = self.input.len().min(limit as usize);
            let bytes: Vec<u8> = self.input.drain(..count).collect();
            actions.complete(later, Ok(Chunk::truncated(&bytes)));
            if let Some((subscriber, bits)) = &self.subscriber {
                actions.notify(subscriber.handle(), *bits).unwrap();
            }
        }
    }

    fn deadline_ns(&self) -> u64 {
        self.wake_ns.unwrap_or(u64::MAX)
    }

    fn finished(&self) -> bool {
        self.stop
    }
}

type Loop = Service<Console, BUFFER, 3>;

fn service(config: Config) -> Loop {
    Service::new(Console::default(), Config { take_caps: console::MAX_CAPS, watch_bits: WATCH, ..config })
}

/// A request of arbitrary content; that of `read` asks for as much as possible.
fn request(operation: &OperationInfo) -> Vec<u8> {
    packet(&console::INTERFACE, operation, 0, &mut Longest)
}

/// The code of an error reply.
fn refusal(reply: Option<&[u8]>) -> Option<u16> {
    let reply = reply?;
    let header = aios_proto::packet::header(reply)?;
    (header.flags == Header::REPLY | Header::ERROR).then(|| u16::from_le_bytes([reply[8], reply[9]]))
}

fn fused(port: &FakePort, id: MessageId) -> bool {
    port.done.iter().any(|done| matches!(done, Done::Reply { to, fused: true, .. } if *to == id))
}

/// Runs until the script is at its end.
fn run(service: &mut Loop, port: &mut FakePort) {
    while !port.ended {
        service.step(port).unwrap();
    }
}

#[test]
fn replies_go_out_with_the_next_receive() {
    let (mut service, mut port) = (service(Config::default()), FakePort::default());
    let ids = [op::WRITE, op::STATUS, op::WINDOW_SIZE].map(|operation| port.message(5, 7, true, &request(&operation), &[]));
    run(&mut service, &mut port);
    for id in ids {
        assert!(fused(&port, id));
        assert_eq!(refusal(port.reply_to(id)), None);
    }
    assert_eq!(port.done.iter().filter(|done| matches!(done, Done::Receive { .. })).count(), 4);
    assert_eq!(service.handler.written, 1024);
    assert_eq!(service.counters(), Counters { calls: 3, replies: 3, timeouts: 1, ..Counters::default() });
    // 8 bytes of header, then the five counters.
    assert_eq!(port.reply_to(ids[1]).unwrap()[8..], [1, 2, 3, 4, 5]);
}

#[test]
fn answers_come_later() {
    let (mut service, mut port) = (service(Config::default()), FakePort::default());
    let first = port.message(1, 7, true, &request(&op::READ), &[]);
    let second = port.message(2, 8, true, &request(&op::READ), &[]);
    let other = port.message(3, 9, true, &request(&op::WRITE), &[]);
    port.event(4, Event::Notification { bits: INPUT });
    run(&mut service, &mut port);
    assert_eq!(port.reply_to(first).unwrap()[8..], *b"\x05typed");
    assert_eq!(port.reply_to(second), None);
    assert!(fused(&port, other) && !fused(&port, first));
    assert_eq!(service.pending(), 1);
    assert_eq!(service.counters().put_aside, 2);
}

#[test]
fn what_progress_completes_at_once_is_one_call_too() {
    let (mut service, mut port) = (service(Config::default()), FakePort::default());
    let flush = port.message(1, 7, true, &request(&op::FLUSH), &[]);
    let write = port.message(2, 7, true, &request(&op::WRITE), &[]);
    run(&mut service, &mut port);
    assert!(fused(&port, flush) && fused(&port, write));
    assert_eq!(service.pending(), 0);
    assert_eq!(service.counters().cancelled, 0);
}

#[test]
fn the_table_is_bounded() {
    let (mut service, mut port) = (service(Config::default()), FakePort::default());
    let ids: Vec<_> = (0..5).map(|agent| port.message(1, agent, true, &request(&op::READ), &[])).collect();
    run(&mut service, &mut port);
    let busy = ErrorCode::Busy.code();
    assert_eq!(ids.iter().map(|&id| refusal(port.reply_to(id))).collect::<Vec<_>>(), [None, None, None, Some(busy), Some(busy)]);
    assert_eq!((service.pending(), service.counters().refused), (3, 2));
}

#[test]
fn a_caller_that_calls_again_has_given_up() {
    let (mut service, mut port) = (service(Config::default()), FakePort::default());
    let first = port.message(1, 7, true, &request(&op::READ), &[]);
    let again = port.message(2, 7, true, &request(&op::READ), &[]);
    port.event(3, Event::Notification { bits: INPUT });
    run(&mut service, &mut port);
    assert_eq!(port.reply_to(first), None);
    assert_eq!(port.reply_to(again).unwrap()[8..], *b"\x05typed");
    assert_eq!(service.handler.cancelled, [(Ticket { index: 0, generation: 0 }, Cancelled::CallerMovedOn)]);
}

#[test]
fn time_ends_what_is_owed() {
    let (mut service, mut port) = (service(Config { pending_ns: 100, ..Config::default() }), FakePort::default());
    let id = port.message(50, 7, true, &request(&op::READ), &[]);
    run(&mut service, &mut port);
    assert_eq!(port.now_ns, 150);
    assert_eq!(refusal(port.reply_to(id)), Some(ErrorCode::TimedOut.code()));
    assert_eq!(service.handler.cancelled, [(Ticket { index: 0, generation: 0 }, Cancelled::TimedOut)]);
    assert_eq!(service.counters().timeouts, 2, "its time, and the end of the script");
}

#[test]
fn a_server_is_woken_when_it_wants() {
    let (mut service, mut port) = (service(Config::default()), FakePort::default());
    service.handler.wake_ns = Some(1000);
    port.event(10, Event::Notification { bits: 1 << 40 });
    run(&mut service, &mut port);
    assert_eq!(service.handler.woken, [1000]);
    assert_eq!(port.done[0], Done::Receive { deadline_ns: 1000 });
}

#[test]
fn a_caller_that_left_is_noticed_and_harmless() {
    let (mut service, mut port) = (service(Config::default()), FakePort::default());
    let id = port.message(1, 7, true, &request(&op::READ), &[]);
    service.step(&mut port).unwrap();
    port.leave(id);
    port.event(2, Event::Notification { bits: INPUT });
    run(&mut service, &mut port);
    assert_eq!((service.counters().lost, service.pending()), (1, 0));
}

#[test]
fn a_ticket_answers_once() {
    struct Twice;
    impl Handler for Twice {
        fn message(&mut self, _: &Caller, _: &Incoming<'_>, _: &mut Outgoing<'_>) -> Outcome {
            Outcome::Pending
        }
        fn progress(&mut self, _: u64, actions: &mut Actions<'_>) {
            let later = |generation| Later::<op::Flush>::new(Ticket { index: 0, generation });
            assert!(!actions.complete(later(1), Ok(())));
            assert!(actions.complete(later(0), Ok(())));
            assert!(!actions.complete(later(0), Ok(())));
            assert!(!actions.complete(Later::<op::Flush>::new(Ticket { index: 9, generation: 0 }), Ok(())));
        }
    }
    let (mut service, mut port) = (Service::<_, BUFFER, 3>::new(Twice, Config::default()), FakePort::default());
    port.message(1, 7, true, &request(&op::FLUSH), &[]);
    service.step(&mut port).unwrap();
    assert_eq!(service.counters().stale, 3);
}

#[test]
fn deaths_end_what_is_owed_to_the_dead() {
    let (mut service, mut port) = (service(Config::default()), FakePort::default());
    let slot = SlotHandle::new(5, 1);
    service.handler.watch = vec![(slot, Watched::Agent(7)), (slot, Watched::Badge(1008))];
    let ids = [7, 8, 9].map(|agent| port.message(1, agent, true, &request(&op::READ), &[]));
    port.event(2, Event::Notification { bits: 0x100 });
    // One of these is nobody's any more.
    port.event(3, Event::Notification { bits: 0x300 });
    run(&mut service, &mut port);
    assert_eq!(service.handler.gone, [Watched::Agent(7), Watched::Badge(1008)]);
    assert!(service.handler.cancelled.iter().all(|(_, why)| *why == Cancelled::CallerDied));
    assert_eq!((service.handler.cancelled.len(), service.pending()), (2, 1));
    assert!(ids.iter().all(|&id| port.reply_to(id).is_none()));
    assert!(port.done.contains(&Done::Watch { slot, bits: 0x100 }) && port.done.contains(&Done::Watch { slot, bits: 0x200 }));
}

#[test]
fn watching_is_bounded_and_can_fail() {
    struct Greedy(Vec<Result<(), crate::WatchError>>);
    impl Handler for Greedy {
        fn message(&mut self, _: &Caller, _: &Incoming<'_>, _: &mut Outgoing<'_>) -> Outcome {
            Outcome::Done
        }
        fn progress(&mut self, _: u64, actions: &mut Actions<'_>) {
            self.0 = (0..4).map(|agent| actions.watch(SlotHandle::NONE, Watched::Agent(agent))).collect();
        }
    }
    let config = Config { watch_bits: 0b1010, ..Config::default() };
    let (mut service, mut port) = (Service::<_, BUFFER, 0>::new(Greedy(Vec::new()), config), FakePort::default());
    port.event(1, Event::Notification { bits: 1 });
    service.step(&mut port).unwrap();
    assert_eq!(service.handler.0, [Ok(()), Ok(()), Err(crate::WatchError::NoBits), Err(crate::WatchError::NoBits)]);
}

#[test]
fn capabilities_that_nobody_keeps_are_dropped() {
    let (mut service, mut port) = (service(Config::default()), FakePort::default());
    let slots: Vec<_> = (1..=4).map(|index| SlotHandle::new(index, 1)).collect();
    // Kept; refused by the server; refused by the dispatcher; too many.
    port.message(1, 7, true, &request(&op::SUBSCRIBE), &slots[..1]);
    let mut none = request(&op::SUBSCRIBE);
    none.truncate(9);
    none.push(0);
    none[6] = 10;
    port.message(2, 7, true, &none, &slots[1..2]);
    port.message(3, 7, true, b"nonsense and more", &slots[2..3]);
    port.message(4, 7, false, &request(&op::SUBSCRIBE), &slots[2..]);
    run(&mut service, &mut port);
    let dropped: Vec<_> = port.done.iter().filter_map(|done| if let Done::Drop { slot } = done { Some(*slot) } else { None }).collect();
    assert_eq!(dropped, [slots[1], slots[2], slots[2], slots[3]]);
    assert_eq!(service.handler.subscriber, Some((Notification::from_handle(slots[0]), u64::MAX)));
}

#[test]
fn replies_that_cannot_be_sent_become_errors() {
    let (mut service, mut port) = (service(Config::default()), FakePort::default());
    let id = port.message(1, 7, true, &request(&op::STATUS), &[]);
    let next = port.message(2, 8, true, &request(&op::STATUS), &[]);
    service.step(&mut port).unwrap();
    port.fail_next = Some(Kernel::NoCapability);
    run(&mut service, &mut port);
    assert_eq!(refusal(port.reply_to(id)), Some(ErrorCode::Internal.code()));
    assert_eq!(refusal(port.reply_to(next)), None);
    assert_eq!(service.counters().unsendable, 1);
}

#[test]
fn an_end_leaves_nobody_waiting() {
    let (mut service, mut port) = (service(Config::default()), FakePort::default());
    let pending = port.message(1, 7, true, &request(&op::READ), &[]);
    port.fault(2, Fault::decode([44, 0, 0, 0, 0, 0, 0, 0]), b"a reason");
    port.event(3, Event::Notification { bits: STOP });
    assert_eq!(service.run(&mut port), Ok(()));
    assert_eq!(refusal(port.reply_to(pending)), Some(ErrorCode::Cancelled.code()));
    assert_eq!((service.handler.faults.as_slice(), service.pending()), ([44].as_slice(), 0));
}

#[test]
fn any_script_is_survived_and_every_call_gets_one_answer() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..2000 {
        let (mut service, mut port) = (service(Config { pending_ns: 50, ..Config::default() }), FakePort::default());
        let mut calls = Vec::new();
        for now_ns in 0..random.u64(1..60) {
            let agent = random.u64(1..5);
            let operation = random.choice(console::INTERFACE.operations).unwrap();
            let mut bytes = packet(&console::INTERFACE, operation, 0, &mut |most| random.u64(..=most));
            if random.u8(..4) == 0 {
                let place = random.usize(..bytes.len());
                bytes[place] = random.u8(..);
            }
            if random.u8(..10) == 0 {
                bytes = vec![random.u8(..); random.usize(..BUFFER * 2)];
            }
            let caps: Vec<_> = (0..random.u16(..3)).map(|index| SlotHandle::new(index + 1, 1)).collect();
            match random.u8(..10) {
                0 => port.event(now_ns * 7, Event::Notification { bits: random.u64(..) & !STOP }),
                1 => port.event(now_ns * 7, Event::Timeout),
                2 => drop(port.message(now_ns * 7, agent, false, &bytes, &caps)),
                _ => calls.push((agent, port.message(now_ns * 7, agent, true, &bytes, &caps))),
            }
        }
        run(&mut service, &mut port);
        // A caller that called again did not wait for the earlier answer; everybody else has exactly one.
        for (place, &(agent, id)) in calls.iter().enumerate() {
            let answers = port.done.iter().filter(|done| matches!(done, Done::Reply { to, .. } if *to == id)).count();
            let called_again = calls[place + 1..].iter().any(|&(other, _)| other == agent);
            assert!(answers == 1 || (answers == 0 && called_again), "message {id:?} of {agent} has {answers} answers");
        }
        assert_eq!(service.pending(), 0);
    }
}
