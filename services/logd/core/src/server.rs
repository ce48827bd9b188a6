//! The log as a server: requests in, replies and effects out.
//!
//! Authority comes with the capability that a request came through: [`Access`] is what its rights say, the agent id is
//! what the kernel stamped. Neither is ever taken from the request's content.
//!
//! Reading goes by *cursors*. A cursor belongs to one caller, remembers its place, and counts what was overwritten
//! before it got there. A read that finds nothing can wait: it is answered [`Reply::Pending`], and [`Effect::Wake`]
//! says when to handle that request again.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use aios_abi::AgentId;

use crate::record::{Body, Level, Name, Record};
pub use crate::store::RingUse;
use crate::store::Store;

/// Sizes of a log. All memory that it can ever use follows from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Agents with a ring.
    pub rings: usize,
    /// Budget of each ring, bytes.
    pub bytes_per_ring: usize,
    /// Longest text or frame with its target, bytes.
    pub body_size: usize,
    /// Cursors open at once, over all callers.
    pub cursors: usize,
    /// Cursors open at once for one caller.
    pub cursors_per_caller: usize,
    /// Records in one reply.
    pub records_per_read: usize,
    /// Bytes of text and frames in one reply; at least one record is returned whatever its size.
    pub bytes_per_read: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            rings: 48,
            bytes_per_ring: 16 * 1024,
            body_size: 1024,
            cursors: 16,
            cursors_per_caller: 4,
            records_per_read: 64,
            bytes_per_read: 8 * 1024,
        }
    }
}

/// What a capability to the log allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Access {
    /// Write records of one's own.
    pub write: bool,
    /// Read the records of all agents.
    pub read: bool,
    /// Name agents, forget them, set the live level.
    pub control: bool,
}

/// Who asks, and what its capability allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The sender that the kernel stamped.
    pub agent: AgentId,
    /// What the rights of the capability say.
    pub access: Access,
}

/// Which records a reader wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// The least urgent level.
    pub level: Level,
    /// Only this agent, or all.
    pub agent: Option<AgentId>,
}

impl Filter {
    /// Every record.
    pub const ALL: Filter = Filter { level: Level::Trace, agent: None };

    /// Whether the record is wanted.
    pub fn admits(&self, record: &Record) -> bool {
        record.level <= self.level && self.agent.is_none_or(|agent| agent == record.agent)
    }
}

/// Where a cursor begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record kept.
    Oldest,
    /// At the record with this number, or the oldest kept after it.
    At(u64),
    /// So that this many records lie ahead.
    Tail(usize),
    /// With the next record to come.
    Now,
}

/// Names a cursor. Never reused, so a closed one is detected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CursorId(pub u32);

/// What can be asked of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Take a record of the caller. Needs `write`.
    Write {
        /// How urgent.
        level: Level,
        /// The part of the caller that it is about; may be empty.
        target: String,
        /// What is said.
        body: Body,
    },
    /// Open a cursor. Needs `read`.
    Open {
        /// Which records.
        filter: Filter,
        /// From where.
        from: Start,
    },
    /// The next records of a cursor. Needs `read`.
    Next {
        /// Which cursor.
        cursor: CursorId,
        /// Most records wanted.
        count: usize,
        /// Whether to wait if there is none.
        wait: bool,
    },
    /// Close a cursor. Closing it twice is no error.
    Close(CursorId),
    /// Give an agent a name. Needs `control`.
    SetName {
        /// Whom.
        agent: AgentId,
        /// The name.
        name: Name,
    },
    /// An agent is gone: close its cursors. Its records stay. Needs `control`.
    Forget(AgentId),
    /// The least urgent level that is shown live; `None` shows nothing. Needs `control`.
    SetLiveLevel(Option<Level>),
    /// Usage by agent. Needs `read`.
    Usage,
}

/// Answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Done.
    Done,
    /// The record was taken in, with this sequence number.
    Written(u64),
    /// The cursor is open.
    Opened(CursorId),
    /// Records of a cursor.
    Records {
        /// In order.
        records: Vec<Record>,
        /// Records that the cursor would have shown but that were overwritten before it came to them, since the last
        /// reply.
        lost: u64,
        /// Whether more are there already.
        more: bool,
    },
    /// Nothing yet: keep the request and handle it again after [`Effect::Wake`].
    Pending,
    /// Usage by agent.
    Usage {
        /// One an agent.
        rings: Vec<RingUse>,
        /// Records lost with the rings of agents that made room for others.
        lost_with_rings: u64,
    },
    /// Refused.
    Refused(Error),
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The capability does not allow it.
    NoRight,
    /// Text or frame is longer than the limit, which is given in bytes.
    TooLong(usize),
    /// No such cursor, or it belongs to another caller.
    UnknownCursor,
    /// Too many cursors are open.
    TooManyCursors,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoRight => f.write_str("the capability does not allow it"),
            Error::TooLong(limit) => write!(f, "longer than {limit} bytes"),
            Error::UnknownCursor => f.write_str("no such cursor"),
            Error::TooManyCursors => f.write_str("too many cursors are open"),
        }
    }
}

impl core::error::Error for Error {}

/// What the loop must do besides answering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Show this record on the console.
    Live(Record),
    /// Handle the kept request of this cursor again. At most one for each [`Reply::Pending`].
    Wake(CursorId),
}

#[derive(Debug)]
struct Cursor {
    id: CursorId,
    owner: AgentId,
    filter: Filter,
    next: u64,
    lost: u64,
    waiting: bool,
}

/// The log.
#[derive(Debug)]
pub struct Log {
    limits: Limits,
    store: Store,
    cursors: Vec<Cursor>,
    last_cursor: u32,
    live: Option<Level>,
}

impl Log {
    /// An empty log that shows everything down to `info` live.
    pub fn new(limits: Limits) -> Self {
        let body_size = limits.body_size.min(limits.bytes_per_ring.saturating_sub(Store::cost(0)));
        Log {
            limits: Limits { body_size, rings: limits.rings.max(1), ..limits },
            store: Store::new(limits.rings.max(1), limits.bytes_per_ring),
            cursors: Vec::new(),
            last_cursor: 0,
            live: Some(Level::Info),
        }
    }

    /// Answers one request.
    pub fn handle(&mut self, now_ns: u64, caller: Caller, request: Request) -> (Reply, Vec<Effect>) {
        let mut effects = Vec::new();
        let reply = self.answer(now_ns, caller, request, &mut effects).unwrap_or_else(Reply::Refused);
        (reply, effects)
    }

    fn answer(&mut self, now_ns: u64, caller: Caller, request: Request, effects: &mut Vec<Effect>) -> Result<Reply, Error> {
        let allowed = match &request {
            Request::Write { .. } => caller.access.write,
            Request::Open { .. } | Request::Next { .. } | Request::Usage => caller.access.read,
            Request::SetName { .. } | Request::Forget(_) | Request::SetLiveLevel(_) => caller.access.control,
            Request::Close(_) => true,
        };
        if !allowed {
            return Err(Error::NoRight);
        }
        match request {
            Request::Write { level, target, body } => {
                let record = Record { sequence: 0, time_ns: now_ns, level, agent: caller.agent, name: Name::default(), target, body };
                self.write(record, effects)
            }
            Request::Open { filter, from } => self.open(caller.agent, filter, from),
            Request::Next { cursor, count, wait } => self.read(caller.agent, cursor, count, wait),
            Request::Close(id) => {
                self.cursors.retain(|cursor| cursor.id != id || cursor.owner != caller.agent);
                Ok(Reply::Done)
            }
            Request::SetName { agent, name } => {
                let cursors = &mut self.cursors;
                self.store.set_name(agent, name, &mut |record| count_lost(cursors, record));
                Ok(Reply::Done)
            }
            Request::Forget(agent) => {
                self.cursors.retain(|cursor| cursor.owner != agent);
                Ok(Reply::Done)
            }
            Request::SetLiveLevel(level) => {
                self.live = level;
                Ok(Reply::Done)
            }
            Request::Usage => Ok(Reply::Usage { rings: self.store.usage(), lost_with_rings: self.store.lost_with_rings() }),
        }
    }

    fn write(&mut self, record: Record, effects: &mut Vec<Effect>) -> Result<Reply, Error> {
        if record.size() > self.limits.body_size {
            return Err(Error::TooLong(self.limits.body_size));
        }
        let level = record.level;
        let cursors = &mut self.cursors;
        let sequence = self.store.append(record, &mut |record| count_lost(cursors, record));
        let Some(record) = self.store.first_from(sequence, &|_| true) else { return Ok(Reply::Written(sequence)) };
        if self.live.is_some_and(|live| level <= live) {
            effects.push(Effect::Live(record.clone()));
        }
        for cursor in &mut self.cursors {
            if cursor.waiting && cursor.filter.admits(record) {
                cursor.waiting = false;
                effects.push(Effect::Wake(cursor.id));
            }
        }
        Ok(Reply::Written(sequence))
    }

    fn open(&mut self, owner: AgentId, filter: Filter, from: Start) -> Result<Reply, Error> {
        let own = self.cursors.iter().filter(|cursor| cursor.owner == owner).count();
        if own >= self.limits.cursors_per_caller || self.cursors.len() >= self.limits.cursors {
            return Err(Error::TooManyCursors);
        }
        let next = match from {
            Start::Oldest => 0,
            Start::At(sequence) => sequence,
            Start::Tail(count) => self.store.tail(count, &|record| filter.admits(record)),
            Start::Now => self.store.next(),
        };
        self.last_cursor = self.last_cursor.checked_add(1).ok_or(Error::TooManyCursors)?;
        let id = CursorId(self.last_cursor);
        self.cursors.push(Cursor { id, owner, filter, next, lost: 0, waiting: false });
        Ok(Reply::Opened(id))
    }

    fn read(&mut self, owner: AgentId, id: CursorId, count: usize, wait: bool) -> Result<Reply, Error> {
        let known = |cursor: &&mut Cursor| cursor.id == id && cursor.owner == owner;
        let cursor = self.cursors.iter_mut().find(known).ok_or(Error::UnknownCursor)?;
        let filter = cursor.filter;
        let admits = |record: &Record| filter.admits(record);
        let mut records: Vec<Record> = Vec::new();
        let (count, mut bytes) = (count.clamp(1, self.limits.records_per_read.max(1)), 0);
        let more = loop {
            let Some(record) = self.store.first_from(cursor.next, &admits) else { break false };
            bytes += record.size();
            if records.len() == count || (!records.is_empty() && bytes > self.limits.bytes_per_read) {
                break true;
            }
            cursor.next = record.sequence + 1;
            records.push(record.clone());
        };
        if records.is_empty() {
            // Nothing that is kept is wanted: what this cursor may lose from here on is yet to come.
            cursor.next = self.store.next();
        }
        if wait && records.is_empty() && cursor.lost == 0 {
            cursor.waiting = true;
            return Ok(Reply::Pending);
        }
        cursor.waiting = false;
        Ok(Reply::Records { records, lost: core::mem::take(&mut cursor.lost), more })
    }
}

/// A record is overwritten: the cursors that had not come to it have lost it.
fn count_lost(cursors: &mut [Cursor], record: &Record) {
    for cursor in cursors {
        if cursor.next <= record.sequence && cursor.filter.admits(record) {
            cursor.lost += 1;
        }
    }
}

/// Convenience for text records.
impl From<&str> for Body {
    fn from(text: &str) -> Self {
        Body::Text(String::from(text))
    }
}
