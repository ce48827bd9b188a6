//! The operations, and readers that wait for records to come.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use aios_abi::AgentId;
use aios_logd_core::{Access, Body, Caller, CursorId, Effect, Filter, Level, Limits, Log, Record, Reply, Request, Start};
use aios_proto::log::{self, Batch, Counters, Entries, Error, Failure, Message, Server, Target, op};
use aios_proto::types::{Digest, ErrorCode};
use aios_proto::{Answer, Incoming, Later, Outcome, Outgoing, Ticket, types};
use aios_service::{Actions, Cancelled, Handler};

use crate::console::{Queue, Screen};
use crate::convert;
use crate::readers::{Reader, Readers};

/// Notification bit: stop in good order.
pub const STOP: u64 = 1 << 0;

/// Sizes: what the log can take of its pool, and what fits into one answer.
const LIMITS: Limits = Limits {
    rings: 32,
    bytes_per_ring: 8 * 1024,
    body_size: Target::MAX + Message::MAX,
    cursors: 16,
    cursors_per_caller: 4,
    records_per_read: 8,
    bytes_per_read: 8 * (Target::MAX + Message::MAX),
};
/// The least urgent level that is shown live. The rest is a command away, and a console is for its operator's work.
const LIVE: Level = Level::Error;
/// Agents that can have a level of their own.
const LEVELS: usize = 64;
/// Badges whose image is remembered.
const IMAGES: usize = 32;

/// Who set the log up: the server itself.
const OWN: Access = Access { write: false, read: false, control: true };
/// The dispatcher has checked the rights of the operation, and each operation makes only requests of its own kind.
const CHECKED: Access = Access { write: true, read: true, control: false };

#[derive(Debug)]
struct Follower {
    later: Later<op::Follow>,
    reader: Reader,
}

/// Who knows which image a badge stands for: the supervisor, which gave both.
pub trait Images {
    /// The digest of the image that whoever speaks with this badge was started from, if it can be known.
    fn digest(&mut self, badge: u64) -> Option<Digest>;
}

/// The log as a server.
#[derive(Debug)]
pub struct Journal<S, I> {
    log: Log,
    readers: Readers,
    followers: Vec<Follower>,
    /// Cursors of followers for which something came.
    woken: Vec<CursorId>,
    /// Levels of agents that have their own.
    levels: Vec<(AgentId, Level)>,
    /// The level of the others.
    level: Level,
    written: u64,
    filtered: u64,
    /// Frames that their writers could not hand over.
    lost: u64,
    /// Badges and the tags of their images, the oldest first.
    tags: VecDeque<(u64, u64)>,
    images: I,
    /// What the last answer to a reader consists of.
    batch: Vec<Record>,
    live: Queue,
    screen: S,
    stopping: bool,
}

/// Records in the place of an answer.
struct Found {
    lost: u64,
    next: u64,
}

impl<S: Screen, I: Images> Journal<S, I> {
    /// An empty log that shows what is urgent on `screen`, and asks `images` whose table decodes a frame.
    pub fn new(screen: S, images: I) -> Self {
        let mut log = Log::new(LIMITS);
        // Never refused: the access is the server's own.
        let _ = log.handle(0, Caller { agent: AgentId::KERNEL, access: OWN }, Request::SetLiveLevel(Some(LIVE)));
        Self {
            log,
            readers: Readers::default(),
            followers: Vec::new(),
            woken: Vec::new(),
            levels: Vec::new(),
            level: Level::Trace,
            written: 0,
            filtered: 0,
            lost: 0,
            tags: VecDeque::new(),
            images,
            batch: Vec::new(),
            live: Queue::default(),
            screen,
            stopping: false,
        }
    }

    fn ask(&mut self, now_ns: u64, agent: AgentId, request: Request) -> Reply {
        let (reply, effects) = self.log.handle(now_ns, Caller { agent, access: CHECKED }, request);
        for effect in effects {
            match effect {
                Effect::Live(record) => self.live.push(record),
                Effect::Wake(cursor) => self.woken.push(cursor),
            }
        }
        reply
    }

    /// The reader's place: that of its last question, or a new one.
    fn reader(&mut self, agent: AgentId, filter: Filter, start: u64) -> Result<Reader, Failure> {
        if let Some(reader) = self.readers.take(agent, filter, start) {
            return Ok(reader);
        }
        if let Some(former) = self.readers.make_room(agent, LIMITS.cursors_per_caller, LIMITS.cursors - self.followers.len()) {
            self.ask(0, former.agent, Request::Close(former.cursor));
        }
        // A number that was never given comes from a reader of this log's predecessor: it knows nothing of what is here.
        let from = Start::At(if start > self.written + 1 { 0 } else { start.saturating_sub(1) });
        match self.ask(0, agent, Request::Open { filter, from }) {
            Reply::Opened(cursor) => Ok(Reader { agent, filter, next: start, cursor }),
            Reply::Refused(_) => Err(Error::TooManyFollowers.into()),
            _ => Err(ErrorCode::Internal.into()),
        }
    }

    /// The records at a reader's place, into `batch`. `None` if there are none, which the log remembers as waiting if so asked.
    fn records(&mut self, reader: &mut Reader, wait: bool) -> Result<Option<Found>, Failure> {
        match self.ask(0, reader.agent, Request::Next { cursor: reader.cursor, count: LIMITS.records_per_read, wait }) {
            Reply::Records { records, lost, .. } => {
                reader.next = records.last().map_or(reader.next.max(1), |record| record.sequence + 2);
                self.batch = records;
                Ok(Some(Found { lost, next: reader.next }))
            }
            Reply::Pending => Ok(None),
            _ => Err(ErrorCode::Internal.into()),
        }
    }

    fn batch(&self, found: &Found) -> Batch<'_> {
        let mut entries = Entries::new();
        // As many as fit: the log was asked for no more.
        entries.extend(self.batch.iter().take(LIMITS.records_per_read).map(convert::entry));
        Batch { lost: found.lost, next: found.next, entries }
    }

    /// Answers followers for which something came.
    fn wake(&mut self, actions: &mut Actions<'_>) {
        while let Some(cursor) = self.woken.pop() {
            let Some(place) = self.followers.iter().position(|follower| follower.reader.cursor == cursor) else { continue };
            let Follower { later, mut reader } = self.followers.swap_remove(place);
            match self.records(&mut reader, true) {
                Ok(Some(found)) => {
                    // A follower that is gone asks again from where it was, and gets a new cursor for that.
                    actions.complete(later, Ok(self.batch(&found)));
                    self.readers.put(reader);
                }
                Ok(None) => self.followers.push(Follower { later, reader }),
                Err(failure) => {
                    actions.complete(later, Err(failure));
                }
            }
        }
    }

    /// The tag of the image behind a badge, 0 if it can't be known.
    fn tag(&mut self, badge: u64) -> u64 {
        if let Some((_, tag)) = self.tags.iter().find(|(known, _)| *known == badge) {
            return *tag;
        }
        let digest = self.images.digest(badge);
        let Some(tag) = digest.and_then(|digest| digest.first_chunk().copied()).map(u64::from_be_bytes) else { return 0 };
        if self.tags.len() == IMAGES {
            self.tags.pop_front();
        }
        self.tags.push_back((badge, tag));
        tag
    }

    /// Takes a record of the caller, unless its level keeps it out.
    fn take(&mut self, caller: &aios_proto::Caller, level: Level, target: Target<'_>, body: Body) {
        let agent = AgentId(caller.agent);
        if level > self.level_of(agent) {
            self.filtered += 1;
            return;
        }
        let request = Request::Write { level, target: String::from(target.as_str()), body };
        if let Reply::Written(_) = self.ask(caller.now_ns, agent, request) {
            self.written += 1;
        }
    }

    fn level_of(&self, agent: AgentId) -> Level {
        self.levels.iter().find(|(whose, _)| *whose == agent).map_or(self.level, |(_, level)| *level)
    }
}

impl<S: Screen, I: Images> Server for Journal<S, I> {
    fn write(&mut self, caller: &aios_proto::Caller, level: types::Level, target: Target<'_>, message: Message<'_>) {
        let body = Body::Text(String::from_utf8_lossy(message.as_slice()).into_owned());
        self.take(caller, convert::level(level), target, body);
    }

    fn write_frame(&mut self, caller: &aios_proto::Caller, level: types::Level, target: Target<'_>, lost: u32, frame: Message<'_>) {
        if lost > 0 {
            self.lost = self.lost.saturating_add(lost.into());
            self.take(caller, Level::Warn, target, Body::Text(format!("{lost} records were lost before they came here")));
        }
        let image_digest_tag = self.tag(caller.badge);
        self.take(caller, convert::level(level), target, Body::Defmt { image_digest_tag, frame: frame.to_vec() });
    }

    fn read<'s>(&'s mut self, caller: &aios_proto::Caller, start: u64, wanted: log::Filter) -> Result<Batch<'s>, Failure> {
        let mut reader = self.reader(AgentId(caller.agent), convert::filter(&wanted), start)?;
        let found = self.records(&mut reader, false)?.ok_or(ErrorCode::Internal)?;
        self.readers.put(reader);
        Ok(self.batch(&found))
    }

    fn follow<'s>(
        &'s mut self,
        caller: &aios_proto::Caller,
        later: Later<op::Follow>,
        start: u64,
        wanted: log::Filter,
    ) -> Answer<Batch<'s>, Error> {
        let mut reader = match self.reader(AgentId(caller.agent), convert::filter(&wanted), start) {
            Ok(reader) => reader,
            Err(failure) => return Answer::Now(Err(failure)),
        };
        match self.records(&mut reader, true) {
            Ok(Some(found)) => {
                self.readers.put(reader);
                Answer::Now(Ok(self.batch(&found)))
            }
            Ok(None) => {
                self.followers.push(Follower { later, reader });
                Answer::Later
            }
            Err(failure) => Answer::Now(Err(failure)),
        }
    }

    fn set_level(&mut self, _: &aios_proto::Caller, agent: Option<types::AgentId>, least: types::Level) -> Result<(), Failure> {
        let least = convert::level(least);
        let Some(agent) = agent.map(AgentId) else {
            self.level = least;
            return Ok(());
        };
        self.levels.retain(|(whose, _)| *whose != agent);
        if self.levels.len() >= LEVELS {
            return Err(ErrorCode::NoMemory.into());
        }
        self.levels.push((agent, least));
        Ok(())
    }

    fn status(&mut self, caller: &aios_proto::Caller) -> Result<Counters, Failure> {
        let Reply::Usage { rings, lost_with_rings } = self.ask(0, AgentId(caller.agent), Request::Usage) else {
            return Err(ErrorCode::Internal.into());
        };
        let sum = |of: fn(&aios_logd_core::RingUse) -> u64| rings.iter().map(of).fold(0, u64::saturating_add);
        Ok(Counters {
            written: self.written,
            filtered: self.filtered,
            overwritten: sum(|ring| ring.lost).saturating_add(lost_with_rings),
            lost: self.lost,
            capacity: (LIMITS.rings * LIMITS.bytes_per_ring) as u64,
            used: sum(|ring| ring.bytes as u64),
            followers: self.followers.len() as u32,
        })
    }
}

impl<S: Screen, I: Images> Handler for Journal<S, I> {
    fn message(&mut self, caller: &aios_proto::Caller, request: &Incoming<'_>, out: &mut Outgoing<'_>) -> Outcome {
        log::dispatch(self, caller, request, out)
    }

    fn notification(&mut self, bits: u64, _: u64) {
        self.stopping |= bits & STOP != 0;
    }

    fn cancelled(&mut self, ticket: Ticket, _: Cancelled) {
        if let Some(place) = self.followers.iter().position(|follower| follower.later.ticket() == ticket) {
            let Follower { reader, .. } = self.followers.swap_remove(place);
            self.readers.put(reader);
        }
    }

    fn progress(&mut self, _: u64, actions: &mut Actions<'_>) {
        self.wake(actions);
        self.live.show(&mut self.screen);
    }

    fn finished(&self) -> bool {
        self.stopping
    }
}
