//! The whole server over the scripted port.

use std::cell::RefCell;
use std::rc::Rc;
use std::string::{String, ToString};
use std::vec::Vec;

use aios_abi::{MessageId, SlotHandle};
use aios_proto::log::{CallError, Client, Filter, MAX_PACKET, Message, Target};
use aios_proto::types::{Digest, Level};
use aios_proto::{CapList, ReplyInfo, Transport, TransportError};
use aios_service::fake::FakePort;
use aios_service::{Config, Service, buffer_size};

use crate::{Images, Journal, Screen};

const BUFFER: usize = buffer_size(&[MAX_PACKET]);
const ALL: Filter = Filter { level: Level::Trace, agent: None };

/// Keeps what is shown.
#[derive(Clone, Default)]
struct Shown(Rc<RefCell<String>>);

impl Screen for Shown {
    fn show(&mut self, bytes: &[u8]) {
        self.0.borrow_mut().push_str(std::str::from_utf8(bytes).expect("text"));
    }
}

/// Knows the image of whoever speaks with the badge of agent 4, and counts questions.
#[derive(Clone, Default)]
struct Known(Rc<RefCell<u32>>);

impl Images for Known {
    fn digest(&mut self, badge: u64) -> Option<Digest> {
        *self.0.borrow_mut() += 1;
        (badge == 1004).then(|| core::array::from_fn(|place| place as u8 + 1))
    }
}

/// A server and its clients.
struct World {
    service: Service<Journal<Shown, Known>, BUFFER, 16>,
    port: FakePort,
    shown: Shown,
    images: Known,
    agent: u64,
    /// The last call that was put aside.
    waits: Option<MessageId>,
}

impl World {
    fn new() -> Self {
        let (shown, images) = (Shown::default(), Known::default());
        let config = Config { take_caps: 1, ..Config::default() };
        Self {
            service: Service::new(Journal::new(shown.clone(), images.clone()), config),
            port: FakePort::default(),
            shown,
            images,
            agent: 1,
            waits: None,
        }
    }

    fn of(&mut self, agent: u64) -> Client<&mut Self> {
        self.agent = agent;
        Client::new(self)
    }

    fn turn(&mut self) {
        self.service.step(&mut self.port).expect("the script goes on");
    }

    /// Sends what is owed.
    fn settle(&mut self) {
        self.port.ended = false;
        self.turn();
    }

    fn write(&mut self, agent: u64, level: Level, text: &str) {
        let message = Message::new(text.as_bytes()).expect("short enough");
        self.of(agent).write(level, Target::new("part").expect("short enough"), message).expect("room");
    }

    /// The texts from a number on, what was lost, and where to go on.
    fn read(&mut self, agent: u64, start: u64, filter: Filter) -> (Vec<String>, u64, u64) {
        let mut client = self.of(agent);
        let batch = client.read(start, filter, 1).expect("an answer");
        (batch.entries.iter().map(|entry| String::from_utf8_lossy(&entry.message).to_string()).collect(), batch.lost, batch.next)
    }
}

impl Transport for &mut World {
    fn call(&mut self, buffer: &mut [u8], length: usize, caps: &CapList, _: u8, _: u64) -> Result<ReplyInfo, TransportError> {
        let id = self.port.message(self.port.now_ns, self.agent, true, &buffer[..length], caps.slots());
        self.turn();
        self.settle();
        let Some(reply) = self.port.reply_to(id) else {
            self.waits = Some(id);
            return Err(aios_abi::Error::Timeout.into());
        };
        buffer[..reply.len()].copy_from_slice(reply);
        Ok(ReplyInfo { length: reply.len(), ..ReplyInfo::default() })
    }

    fn send(&mut self, packet: &[u8], caps: &CapList) -> Result<(), TransportError> {
        self.port.now_ns += 1;
        self.port.message(self.port.now_ns, self.agent, false, packet, caps.slots());
        self.turn();
        Ok(())
    }

    fn drop_capability(&mut self, _: SlotHandle) {}
}

#[test]
fn records_are_read_in_batches_from_number_1_on() {
    let mut world = World::new();
    assert_eq!(world.read(9, 0, ALL), (Vec::new(), 0, 1));
    for number in 1..=20 {
        world.write(1 + number % 3, Level::Info, &number.to_string());
    }
    let (mut next, mut texts) = (1, Vec::new());
    loop {
        let (more, lost, from) = world.read(9, next, ALL);
        assert_eq!((lost, from), (0, next + more.len() as u64));
        if more.is_empty() {
            break;
        }
        texts.extend(more);
        next = from;
    }
    assert_eq!(texts, (1..=20).map(|number: u32| number.to_string()).collect::<Vec<_>>());
    // Asking again for what was read gives it again.
    assert_eq!(world.read(9, 19, ALL), (["19", "20"].map(String::from).to_vec(), 0, 21));
    let mut client = world.of(9);
    let batch = client.read(20, ALL, 1).expect("an answer");
    let entry = batch.entries.first().expect("a record");
    assert_eq!((entry.sequence, entry.agent, entry.level, entry.target.as_str(), entry.time), (20, 3, Level::Info, "part", 20));
    assert_eq!(entry.image, None);
}

#[test]
fn filters_let_through_what_is_wanted() {
    let mut world = World::new();
    for level in Level::ALL {
        world.write(1, *level, level.name());
        world.write(2, *level, "other");
    }
    let filter = Filter { level: Level::Warn, agent: Some(1) };
    let (texts, lost, next) = world.read(9, 0, filter);
    assert_eq!((texts, lost), (["error", "warn"].map(String::from).to_vec(), 0));
    assert_eq!(world.read(9, next, filter).0, Vec::<String>::new());
    world.of(9).set_level(Some(1), Level::Error, 1).expect("an answer");
    world.of(9).set_level(None, Level::Info, 1).expect("an answer");
    world.write(1, Level::Warn, "no more");
    world.write(2, Level::Debug, "no more");
    world.write(2, Level::Info, "still");
    assert_eq!(world.read(9, 11, ALL).0, ["still"]);
    let status = world.of(9).status(1).expect("an answer");
    assert_eq!((status.written, status.filtered, status.followers), (11, 2, 0));
    assert!(status.used > 0 && status.used < status.capacity);
}

#[test]
fn a_follower_waits_for_what_it_wants() {
    let mut world = World::new();
    let errors = Filter { level: Level::Error, agent: None };
    assert_eq!(world.of(8).follow(0, errors, 1).map(|_| ()), Err(CallError::Timeout));
    let waits = world.waits.take().expect("put aside");
    world.write(1, Level::Info, "not this");
    assert_eq!(world.port.reply_to(waits), None);
    world.write(1, Level::Error, "this");
    assert!(world.port.reply_to(waits).is_some_and(|reply| reply.ends_with(b"this")));
    // One that came back before its record came finds it then, exactly once.
    assert_eq!(world.of(8).follow(3, errors, 1).map(|_| ()), Err(CallError::Timeout));
    assert_eq!(world.of(8).follow(3, errors, 1).map(|_| ()), Err(CallError::Timeout));
    let waits = world.waits.take().expect("put aside");
    assert_eq!(world.of(7).status(1).expect("an answer").followers, 1);
    world.port.leave(waits);
    world.write(1, Level::Error, "that");
    let batch_of = |world: &mut World| world.of(8).follow(3, errors, 1).map(|batch| (batch.entries.len(), batch.next));
    assert_eq!(batch_of(&mut world), Ok((1, 4)));
    assert_eq!(batch_of(&mut world), Ok((1, 4)));
}

#[test]
fn what_a_reader_lost_is_counted() {
    let mut world = World::new();
    let (_, _, next) = world.read(9, 0, ALL);
    for number in 0..200 {
        world.write(1, Level::Info, &number.to_string());
    }
    world.write(2, Level::Info, "of another agent");
    let (mut read, mut lost, mut at) = (0, 0, next);
    loop {
        let (texts, missed, next) = world.read(9, at, ALL);
        (read, lost, at) = (read + texts.len() as u64, lost + missed, next);
        if texts.is_empty() {
            break;
        }
    }
    assert_eq!(read + lost, 201);
    assert!(lost > 0 && read > 50, "{lost}");
    assert_eq!(world.of(9).status(1).expect("an answer").overwritten, lost);
}

#[test]
fn readers_without_number_stay_bounded() {
    let mut world = World::new();
    for round in 0..3 {
        for agent in 20..60 {
            for level in Level::ALL {
                assert!(world.of(agent).read(0, Filter { level: *level, agent: None }, 1).is_ok(), "round {round}, agent {agent}");
            }
        }
    }
    for agent in 100..115 {
        assert_eq!(world.of(agent).follow(0, ALL, 1).map(|_| ()), Err(CallError::Timeout));
    }
    assert!(world.of(1).read(0, ALL, 1).is_ok());
    assert_eq!(world.of(1).status(1).expect("an answer").followers, 15);
}

#[test]
fn what_is_urgent_is_shown_at_once_and_harmless() {
    let mut world = World::new();
    world.write(1, Level::Warn, "kept");
    assert_eq!(*world.shown.0.borrow(), "");
    world.write(1, Level::Error, "broken\x1b[2J");
    let shown = world.shown.0.borrow().clone();
    assert!(shown.starts_with("\r\n[") && shown.ends_with("part: broken\\u{1b}[2J\r\n"), "{shown}");
}

#[test]
fn frames_carry_the_tag_of_their_senders_image() {
    let mut world = World::new();
    for (agent, frame) in [(4, [1, 0, 7]), (5, [2, 0, 8]), (4, [1, 0, 9]), (5, [2, 0, 9])] {
        let message = Message::new(&frame).expect("short enough");
        world.of(agent).write_frame(Level::Error, Target::truncated("part"), 0, message).expect("room");
    }
    // What is known is asked once, what is not may be known later.
    assert_eq!(*world.images.0.borrow(), 3);
    assert!(world.shown.0.borrow().contains("part: defmt 0102030405060708 010007"), "{}", world.shown.0.borrow());
    let mut client = world.of(9);
    let batch = client.read(1, ALL, 1).expect("an answer");
    let entries: Vec<_> = batch.entries.iter().map(|entry| (entry.image, entry.message.to_vec())).collect();
    let known = Some(0x0102_0304_0506_0708);
    assert_eq!(entries, [(known, vec![1, 0, 7]), (Some(0), vec![2, 0, 8]), (known, vec![1, 0, 9]), (Some(0), vec![2, 0, 9])]);
}

#[test]
fn frames_that_were_lost_are_said_to_be() {
    let mut world = World::new();
    world.of(4).write_frame(Level::Info, Target::truncated("part"), 5, Message::truncated(&[1, 0])).expect("room");
    assert_eq!(world.read(9, 1, ALL).0, ["5 records were lost before they came here", "\u{1}\0"]);
    assert_eq!(world.of(9).status(1).map(|status| (status.lost, status.written)), Ok((5, 2)));
}
