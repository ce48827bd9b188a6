//! The whole server over the scripted port and the models of both devices.

use std::cell::Cell;
use std::collections::VecDeque;
use std::vec::Vec;

use aios_abi::{MessageId, SlotHandle};
use aios_mmio::Registers;
use aios_proto::console::{CallError, Chunk, Client, Error, Events, MAX_PACKET, Window};
use aios_proto::types::{ErrorCode, Notification};
use aios_proto::{CapList, Capability, ReplyInfo, ServiceError, Transport, TransportError};
use aios_service::fake::{Done, FakePort};
use aios_service::{Config, Event, Service, buffer_size};
use aios_uart::model::{Dw8250Model, Line as Wire, Pl011Model};
use aios_uart::{AnyUart, Fault, Layout, Uart};

use crate::console::{INPUT, OUTPUT, WAITING};
use crate::{Console, INTERRUPT, Line, STOP};

const BUFFER: usize = buffer_size(&[MAX_PACKET]);
const DONE: u64 = 1;

/// Counts how often the line was armed again.
#[derive(Default)]
struct Armed(Cell<u32>);

impl Line for &Armed {
    fn rearm(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// A server, its device, and its clients.
struct World<'m, R> {
    wire: &'m dyn Wire,
    armed: &'m Armed,
    service: Service<Console<AnyUart<R>, &'m Armed>, BUFFER, 16>,
    port: FakePort,
    agent: u64,
    /// The last call that was put aside.
    waits: Option<MessageId>,
}

impl<'m, R: Registers> World<'m, R> {
    fn new(wire: &'m dyn Wire, armed: &'m Armed, mut uart: AnyUart<R>) -> Self {
        uart.init().expect("a good device");
        let config = Config { take_caps: 1, ..Config::default() };
        Self { wire, armed, service: Service::new(Console::new(uart, armed), config), port: FakePort::default(), agent: 1, waits: None }
    }

    /// A turn of the loop, and the reply that it owes.
    fn turn(&mut self, event: Event) {
        self.port.event(self.port.now_ns, event);
        self.service.step(&mut self.port).expect("the script goes on");
        self.settle();
    }

    /// Sends what is owed.
    fn settle(&mut self) {
        self.port.ended = false;
        self.service.step(&mut self.port).expect("a timeout");
    }

    fn typed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.wire.receive(byte, None);
            self.interrupt();
        }
        self.wire.pause();
        self.interrupt();
    }

    fn interrupt(&mut self) {
        if self.wire.interrupt() {
            self.turn(Event::Notification { bits: INTERRUPT });
        }
    }

    /// Lets the device send, at most so many bytes.
    fn sent(&mut self, most: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < most {
            let Some(byte) = self.wire.send() else { break };
            bytes.push(byte);
            self.interrupt();
        }
        bytes
    }

    fn of(&mut self, agent: u64) -> Client<&mut Self> {
        self.agent = agent;
        Client::new(self)
    }

    fn reply(&self, id: MessageId) -> Option<&[u8]> {
        self.port.reply_to(id)
    }

    fn notified(&mut self) -> Vec<(SlotHandle, u64)> {
        let list = self.port.done.iter().filter_map(|done| match done {
            Done::Notify { slot, bits } => Some((*slot, *bits)),
            _ => None,
        });
        let list = list.collect();
        self.port.done.retain(|done| !matches!(done, Done::Notify { .. }));
        list
    }
}

impl<R: Registers> Transport for &mut World<'_, R> {
    fn call(&mut self, buffer: &mut [u8], length: usize, caps: &CapList, _: u8, _: u64) -> Result<ReplyInfo, TransportError> {
        let id = self.port.message(self.port.now_ns, self.agent, true, &buffer[..length], caps.slots());
        self.service.step(&mut self.port).expect("a message");
        self.settle();
        let Some(reply) = self.port.reply_to(id) else {
            self.waits = Some(id);
            return Err(aios_abi::Error::Timeout.into());
        };
        buffer[..reply.len()].copy_from_slice(reply);
        Ok(ReplyInfo { length: reply.len(), ..ReplyInfo::default() })
    }

    fn send(&mut self, _: &[u8], _: &CapList) -> Result<(), TransportError> {
        unreachable!("the interface has no one-way operation")
    }

    fn drop_capability(&mut self, _: SlotHandle) {}
}

/// Runs a test on each device.
fn each(test: impl Fn(&mut World<'_, &dyn Registers>)) {
    let (armed, layout) = (Armed::default(), Layout { shift: 2, wide: true });
    let pl011 = Pl011Model::new(true, false);
    test(&mut World::new(&pl011, &armed, AnyUart::pl011(&pl011 as &dyn Registers)));
    let dw8250 = Dw8250Model::new(layout, true);
    test(&mut World::new(&dw8250, &armed, AnyUart::dw8250(&dw8250 as &dyn Registers, layout)));
}

fn chunk(bytes: &[u8]) -> Chunk<'_> {
    Chunk::new(bytes).expect("short enough")
}

fn slot(number: u16) -> SlotHandle {
    SlotHandle::new(number, 1)
}

fn refused(code: ErrorCode) -> CallError {
    CallError::Refused(code.code())
}

#[test]
fn what_is_written_goes_out_and_what_comes_is_read() {
    each(|world| {
        world.of(1).write(chunk(b"hello"), DONE).expect("room");
        world.of(2).write(chunk(b", world"), DONE).expect("room");
        assert_eq!(world.sent(100), b"hello, world");
        world.typed(b"typed");
        assert_eq!(world.of(1).read(3, DONE).expect("input").as_slice(), b"typ");
        assert_eq!(world.of(1).read(2000, DONE).expect("input").as_slice(), b"ed");
        assert_eq!(world.of(1).read(0, DONE), Err(refused(ErrorCode::InvalidArgument)));
        assert!(world.armed.0.get() > 0, "whoever serves the line arms it again");
        let status = world.of(1).status(DONE).expect("an answer");
        assert_eq!((status.sent, status.received, status.lost), (12, 5, 0));
    });
}

#[test]
fn a_reader_waits_for_input() {
    each(|world| {
        assert_eq!(world.of(1).read(10, DONE), Err(CallError::Timeout));
        let first = world.waits.take().expect("put aside");
        world.typed(b"a");
        assert!(world.reply(first).is_some_and(|reply| reply.ends_with(b"\x01a")));
        // A reader that has left does not take anything with it.
        assert_eq!(world.of(1).read(10, DONE), Err(CallError::Timeout));
        let second = world.waits.take().expect("put aside");
        world.port.leave(second);
        world.typed(b"b");
        assert_eq!(world.of(2).read(10, DONE).expect("input").as_slice(), b"b");
    });
}

#[test]
fn a_writer_waits_for_room_and_loses_nothing() {
    each(|world| {
        let text: Vec<u8> = (0..8 * 1024u32).map(|i| b'a' + (i % 23) as u8).collect();
        let mut waiting = Vec::new();
        for (agent, piece) in text.chunks(1024).enumerate() {
            if world.of(agent as u64 + 1).write(chunk(piece), DONE).is_err() {
                waiting.push(world.waits.take().expect("put aside"));
            }
        }
        // The queue is full but for what the device took at once, so that the last chunk of all had no room.
        assert_eq!(waiting.len(), 8 - OUTPUT / 1024);
        assert!(waiting.iter().all(|id| world.reply(*id).is_none()));
        assert_eq!(world.of(20).write(chunk(b"x"), DONE), Err(CallError::Service(Error::TooManyWaiting)));
        assert_eq!(waiting.len(), WAITING);
        assert_eq!(world.sent(usize::MAX), text);
        assert!(waiting.iter().all(|id| world.reply(*id).is_some()));
    });
}

#[test]
fn a_writer_that_gives_up_writes_nothing() {
    each(|world| {
        for agent in 1..=4 {
            world.of(agent).write(chunk(&[b'.'; 1024]), DONE).expect("room");
        }
        assert_eq!(world.of(5).write(chunk(&[b'!'; 1024]), DONE), Err(CallError::Timeout));
        assert_eq!(world.of(6).write(chunk(&[b'?'; 1024]), DONE), Err(CallError::Timeout));
        // It asks for something else: it does not wait any more.
        world.of(5).status(DONE).expect("an answer");
        let sent = world.sent(usize::MAX);
        assert_eq!((sent.len(), sent.contains(&b'!'), sent.ends_with(b"?")), (5 * 1024, false, true));
    });
}

#[test]
fn the_oldest_input_gives_way() {
    each(|world| {
        let text: Vec<u8> = (0..INPUT + 100).map(|i| (i % 251) as u8 | 0x80).collect();
        world.typed(&text);
        assert_eq!(world.of(1).read(5000, DONE).expect("input").as_slice(), &text[100..]);
        assert_eq!(world.of(1).status(DONE).expect("an answer").lost, 100);
    });
}

#[test]
fn line_errors_are_counted_and_not_read() {
    each(|world| {
        world.wire.receive(0, Some(Fault::Framing));
        world.interrupt();
        world.wire.receive(0, Some(Fault::Break));
        world.interrupt();
        world.typed(b"x");
        assert_eq!(world.of(1).read(10, DONE).expect("input").as_slice(), b"x");
        assert_eq!(world.of(1).status(DONE).expect("an answer").line_errors, 2);
    });
}

#[test]
fn a_flush_waits_for_the_device() {
    each(|world| {
        world.of(1).flush(DONE).expect("nothing was written");
        world.of(1).write(chunk(&[b'x'; 100]), DONE).expect("room");
        assert_eq!(world.of(1).flush(DONE), Err(CallError::Timeout));
        let id = world.waits.take().expect("put aside");
        assert_eq!(world.sent(99).len(), 99);
        world.settle();
        assert_eq!(world.reply(id), None);
        assert_eq!(world.sent(1).len(), 1);
        world.settle();
        assert!(world.reply(id).is_some());
        // A device that never becomes idle is reported.
        world.of(1).write(chunk(b"x"), DONE).expect("room");
        assert_eq!(world.of(1).flush(DONE), Err(CallError::Timeout));
        let id = world.waits.take().expect("put aside");
        while world.reply(id).is_none() {
            world.settle();
        }
        let code = Error::DeviceFailed.code().to_le_bytes();
        assert!(world.reply(id).is_some_and(|reply| reply[8..10] == code));
        assert!((600_000_000..2_000_000_000).contains(&world.port.now_ns), "{}", world.port.now_ns);
    });
}

#[test]
fn subscribers_hear_of_what_they_asked_for() {
    each(|world| {
        let wanted = Events::INPUT.or(Events::INTERRUPT).or(Events::WINDOW);
        assert_eq!(world.of(1).take_events(DONE), Err(CallError::Service(Error::NotSubscribed)));
        world.of(1).subscribe(wanted, 0x30, Notification::from_handle(slot(9)), DONE).expect("a place");
        world.typed(b"a");
        assert_eq!(world.notified(), [(slot(9), 0x30)]);
        assert_eq!(world.of(1).take_events(DONE), Ok(Events::INPUT));
        assert_eq!(world.of(1).take_events(DONE), Ok(Events::NONE));
        world.typed(b"\x03b");
        assert_eq!(world.of(1).take_events(DONE), Ok(Events::INPUT.or(Events::INTERRUPT)));
        world.of(2).set_window_size(Window { columns: 132, rows: 50 }, DONE).expect("an answer");
        assert_eq!(world.of(1).take_events(DONE), Ok(Events::WINDOW));
        assert_eq!(world.of(3).window_size(DONE), Ok(Window { columns: 132, rows: 50 }));
        assert_eq!(world.of(1).read(10, DONE).expect("input").as_slice(), b"ab");
        world.notified();
        // The new subscription replaces the former one, whose capability goes.
        world.of(1).subscribe(Events::DRAINED, 1, Notification::from_handle(slot(10)), DONE).expect("a place");
        assert!(world.port.done.contains(&Done::Drop { slot: slot(9) }));
        world.typed(b"\x03");
        assert_eq!(world.of(1).read(10, DONE).expect("input").as_slice(), b"\x03");
        world.of(1).write(chunk(b"x"), DONE).expect("room");
        assert_eq!(world.notified(), []);
        world.sent(1);
        world.settle();
        assert_eq!(world.notified(), [(slot(10), 1)]);
        world.of(1).subscribe(Events::NONE, 0, Notification::from_handle(slot(11)), DONE).expect("an answer");
        assert_eq!(world.of(1).take_events(DONE), Err(CallError::Service(Error::NotSubscribed)));
        assert!(world.port.done.contains(&Done::Drop { slot: slot(10) }) && world.port.done.contains(&Done::Drop { slot: slot(11) }));
    });
}

#[test]
fn subscribers_are_few() {
    each(|world| {
        for agent in 1..=4 {
            world.of(agent).subscribe(Events::INPUT, 1, Notification::from_handle(slot(agent as u16)), DONE).expect("a place");
        }
        let fifth = world.of(5).subscribe(Events::INPUT, 1, Notification::from_handle(slot(5)), DONE);
        assert_eq!(fifth, Err(CallError::Service(Error::TooManySubscribers)));
        assert!(world.port.done.contains(&Done::Drop { slot: slot(5) }));
        world.of(4).subscribe(Events::DRAINED, 1, Notification::from_handle(slot(6)), DONE).expect("its own place");
    });
}

#[test]
fn it_stops_when_everything_has_gone_out() {
    each(|world| {
        world.typed(b"x");
        world.of(1).write(chunk(&[b'x'; 2000][..1024]), DONE).expect("room");
        world.turn(Event::Notification { bits: STOP });
        assert!(!aios_service::Handler::finished(&world.service.handler));
        assert_eq!(world.sent(usize::MAX).len(), 1024);
        world.settle();
        assert!(aios_service::Handler::finished(&world.service.handler));
    });
}

/// Random traffic against a plain model.
#[test]
fn random_traffic_arrives_whole_and_in_order() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    let random = Cell::new(Some(fastrand::Rng::with_seed(seed)));
    each(|world| {
        let mut random = random.take().unwrap_or_else(|| fastrand::Rng::with_seed(seed));
        // Chunks in the order in which they were offered, with the message of those that wait.
        let mut offered: Vec<(u64, Option<MessageId>, Vec<u8>)> = Vec::new();
        let mut sent = Vec::new();
        let mut input: VecDeque<u8> = VecDeque::new();
        for _ in 0..4000 {
            let agent = random.u64(1..=6);
            match random.u8(0..10) {
                0..3 => {
                    // Whoever calls again does not wait any more: its chunk must not come, unless it was taken meanwhile.
                    let given_up = |(owner, waits, _): &(u64, Option<MessageId>, Vec<u8>)| {
                        *owner == agent && waits.is_some_and(|id| world.reply(id).is_none())
                    };
                    let kept: Vec<bool> = offered.iter().map(|offer| !given_up(offer)).collect();
                    let mut keep = kept.into_iter();
                    offered.retain(|_| keep.next().unwrap_or(true));
                    let data: Vec<u8> = (0..random.usize(0..=1024)).map(|_| random.u8(..)).collect();
                    match world.of(agent).write(chunk(&data), DONE) {
                        Ok(()) => offered.push((agent, None, data)),
                        Err(CallError::Timeout) => offered.push((agent, world.waits.take(), data)),
                        Err(error) => assert_eq!(error, CallError::Service(Error::TooManyWaiting), "seed {seed}"),
                    }
                }
                3..6 => sent.extend(world.sent(random.usize(0..700))),
                6..9 => {
                    let bytes: Vec<u8> = (0..random.usize(0..40)).map(|_| random.u8(..)).collect();
                    world.typed(&bytes);
                    input.extend(bytes);
                    input.drain(..input.len().saturating_sub(INPUT));
                }
                _ if !input.is_empty() => {
                    let limit = random.usize(1..2000);
                    let expected: Vec<u8> = input.drain(..limit.min(input.len()).min(Chunk::MAX)).collect();
                    assert_eq!(world.of(7).read(limit as u32, DONE).expect("input").to_vec(), expected, "seed {seed}");
                }
                _ => {}
            }
        }
        sent.extend(world.sent(usize::MAX));
        let all: Vec<u8> = offered.into_iter().flat_map(|(.., data)| data).collect();
        assert_eq!(sent.len(), all.len(), "seed {seed}");
        assert!(sent == all, "seed {seed}");
    });
}
