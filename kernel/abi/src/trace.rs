//! What `TraceBind` has a core write: every operation on its scheduler, with what came of it.
//!
//! The frame begins with a [`Header`]; [`Event`]s follow from byte [`HEADER_SIZE`] on, the event with number `n` at place `n % capacity`. The kernel
//! writes and never reads: whatever else is written there hurts nobody but the reader. An event is complete once [`Header::head`] is beyond its number.
//!
//! ```text
//! Start Shares (Params Times Used)* Begin        the scheduler's state, contexts in the order of their queues
//! operations …                                   each with its result, and with what it left in the context
//! (Params Times Used) operation                  a context that is seen for the first time comes before the operation
//! Lost Start … Begin                             operations that found no room, and the state anew
//! ```
//!
//! The scheduler is a function of its state, of these operations and of their times: whoever repeats them gets the same results.

/// First word of a header.
pub const MAGIC: u64 = u64::from_le_bytes(*b"aiostrce");
/// Version of this format.
pub const VERSION: u64 = 1;
/// Bytes of the header.
pub const HEADER_SIZE: usize = 64;
/// Bytes of an event.
pub const EVENT_SIZE: usize = 32;
/// Agents that may live on a core when its recording begins: all that compete are written at once.
pub const AGENTS_MAX: u64 = 256;
/// The frame is filled once, and recording stops at its end.
pub const MODE_ONCE: u64 = 0;
/// The frame is a ring: the oldest events are overwritten.
pub const MODE_RING: u64 = 1;

/// Events that a frame of so many bytes holds.
pub const fn capacity(bytes: u64) -> u64 {
    bytes.saturating_sub(HEADER_SIZE as u64) / EVENT_SIZE as u64
}

/// The beginning of a frame that a core records into.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`VERSION`].
    pub version: u64,
    /// The core.
    pub core: u64,
    /// Places for events.
    pub capacity: u64,
    /// Events written so far.
    pub head: u64,
    /// Operations that were not recorded.
    pub lost: u64,
    /// When recording began, ns.
    pub since_ns: u64,
    /// 1 while the core records into this frame.
    pub bound: u64,
}

impl Header {
    /// Byte in the frame at which [`head`](Self::head) is.
    pub const HEAD_AT: u64 = 32;

    /// The header as words.
    pub const fn to_words(self) -> [u64; 8] {
        [self.magic, self.version, self.core, self.capacity, self.head, self.lost, self.since_ns, self.bound]
    }

    /// A header from words.
    pub const fn from_words(words: [u64; 8]) -> Self {
        let [magic, version, core, capacity, head, lost, since_ns, bound] = words;
        Self { magic, version, core, capacity, head, lost, since_ns, bound }
    }
}

macro_rules! operations {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $text:literal;)+) => {
        /// What an event tells. Words that an operation does not name are zero.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        pub enum Op {
            $($(#[doc = $doc])+ $name = $number,)+
        }

        impl Op {
            /// All of them.
            pub const ALL: &'static [Op] = &[$(Op::$name,)+];

            /// The operation with this number.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// The word for it that people see.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

operations! {
    /// A state follows. `slot` core, `time` ns, `a` virtual time of the fair class.
    Start = 1, "start";
    /// Shares of the core that are promised. `time` when those in `b` end, `a` admitted, `b` leaving; in 1/65536.
    Shares = 2, "shares";
    /// A context's parameters. `flag` place | class << 4, `a` weight or budget, `b` period.
    Params = 3, "params";
    /// Its times. `time` deadline, `a` virtual time, `b` what is not yet a unit of it.
    Times = 4, "times";
    /// Its account. `time` budget left, signed; `a` time charged, `b` deadlines missed.
    Used = 5, "used";
    /// The state is complete. `slot` context that runs, or 0; `a` contexts told of.
    Begin = 6, "begin";
    /// `a` operations were not recorded. A state follows.
    Lost = 7, "lost";
    /// It wants to run. Like all that change one context: `flag` its place then, `a` its deadline, `b` budget left, or virtual time.
    Enqueue = 16, "enqueue";
    /// It doesn't want to run.
    Dequeue = 17, "dequeue";
    /// The context that ran goes back to its place.
    PutBack = 18, "put-back";
    /// A decision. `flag` 1: `slot` runs until `a`; 0: nobody.
    Pick = 19, "pick";
    /// Time was used in a context. `a` ns, `b` budget left or virtual time.
    Charge = 20, "charge";
    /// Time was used on behalf of a context. The same.
    Debit = 21, "debit";
    /// The context that runs gives up its turn.
    Yield = 22, "yield";
    /// Due periods begin. `a` when the next does.
    Replenish = 23, "replenish";
    /// Parameters are set. `flag` class | 2 if they were admitted, `a` weight or budget, `b` period, `other` its place then.
    Set = 24, "set";
    /// It came from another core.
    MoveIn = 25, "move-in";
    /// It is gone. `a` the time that was charged to it.
    Remove = 26, "remove";
    /// Whether `slot`, which was just queued, should run instead of `other`: `flag`.
    Preempts = 27, "preempts";
    /// The decision in force: context `slot` runs the agent with id `a`, at place `other` of the agent table.
    Run = 28, "run";
}

/// Something that happened in a scheduler.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Event {
    /// What.
    pub op: Op,
    /// By `op`.
    pub flag: u8,
    /// The context, by its agent's place in the agent table.
    pub slot: u16,
    /// By `op`.
    pub other: u16,
    /// Low 16 bits of the event's number.
    pub number: u16,
    /// The time read at entry into the kernel, ns.
    pub time: u64,
    /// By `op`.
    pub a: u64,
    /// By `op`.
    pub b: u64,
}

impl Event {
    /// An event of which nothing but this is known.
    pub const fn new(op: Op, slot: u16, time: u64) -> Self {
        Self { op, flag: 0, slot, other: 0, number: 0, time, a: 0, b: 0 }
    }

    /// The event as words.
    pub const fn to_words(self) -> [u64; 4] {
        let head =
            self.op as u64 | (self.flag as u64) << 8 | (self.slot as u64) << 16 | (self.other as u64) << 32 | (self.number as u64) << 48;
        [head, self.time, self.a, self.b]
    }

    /// An event from words. `None` if there is no such operation.
    pub const fn from_words(words: [u64; 4]) -> Option<Self> {
        let [head, time, a, b] = words;
        let (flag, slot, other, number) = ((head >> 8) as u8, (head >> 16) as u16, (head >> 32) as u16, (head >> 48) as u16);
        match Op::from_number(head as u8) {
            Some(op) => Some(Self { op, flag, slot, other, number, time, a, b }),
            None => None,
        }
    }

    /// The event as bytes.
    pub fn to_bytes(self) -> [u8; EVENT_SIZE] {
        let mut bytes = [0; EVENT_SIZE];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(self.to_words()) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_round_trip() {
        for &op in Op::ALL {
            let event = Event { op, flag: 0xa5, slot: 0x1234, other: 0x5678, number: 0x9abc, time: u64::MAX, a: 1, b: 1 << 63 };
            assert_eq!(Event::from_words(event.to_words()), Some(event));
            assert_eq!(event.to_bytes()[..8], event.to_words()[0].to_le_bytes());
        }
        assert_eq!(Event::from_words([0; 4]), None);
    }

    #[test]
    fn headers_round_trip() {
        let words = [1, 2, 3, 4, 5, 6, 7, 8];
        let header = Header::from_words(words);
        assert_eq!(header.to_words(), words);
        assert_eq!(words[Header::HEAD_AT as usize / 8], header.head);
        assert_eq!(capacity(4096), 126);
        assert_eq!(capacity(0), 0);
    }
}
