//! Readers ask by record number, the log answers by cursor: a cursor knows exactly what was lost before it got there. This remembers which
//! cursor a reader's next question belongs to. A reader that comes back with another number, another filter, or after its cursor gave way to
//! others', gets a new one, which starts where it asks.

use alloc::vec::Vec;

use aios_abi::AgentId;
use aios_logd_core::{CursorId, Filter};

/// A reader's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reader {
    pub agent: AgentId,
    pub filter: Filter,
    /// The number from which its next question is expected to start.
    pub next: u64,
    pub cursor: CursorId,
}

/// The readers whose places are known, the one that asked last at the end.
#[derive(Debug, Default)]
pub(crate) struct Readers(Vec<Reader>);

impl Readers {
    /// Takes out the reader whose question this is.
    pub fn take(&mut self, agent: AgentId, filter: Filter, start: u64) -> Option<Reader> {
        let asks = |reader: &Reader| reader.agent == agent && reader.filter == filter && reader.next == start;
        let place = self.0.iter().position(asks)?;
        Some(self.0.remove(place))
    }

    /// Takes out the reader that must give way to a new one of this agent.
    pub fn make_room(&mut self, agent: AgentId, each: usize, all: usize) -> Option<Reader> {
        let own = self.0.iter().filter(|reader| reader.agent == agent).count();
        let place = if own >= each { self.0.iter().position(|reader| reader.agent == agent) } else { (self.0.len() >= all).then_some(0) };
        place.map(|place| self.0.remove(place))
    }

    /// Remembers a reader's place.
    pub fn put(&mut self, reader: Reader) {
        self.0.push(reader);
    }
}
