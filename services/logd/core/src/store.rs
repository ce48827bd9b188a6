//! The rings: one an agent, with a budget in bytes, and one order over all of them.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use aios_abi::AgentId;

use crate::record::{Name, Record};

/// What a record costs besides its text or frame, bytes.
const RECORD_OVERHEAD: usize = 96;

/// One agent's records.
#[derive(Debug)]
struct Ring {
    agent: AgentId,
    name: Name,
    records: VecDeque<Record>,
    used: usize,
    lost: u64,
    /// Sequence number of its newest record; tells which ring has been quiet longest.
    newest: u64,
}

impl Ring {
    fn new(agent: AgentId, name: Name) -> Self {
        Ring { agent, name, records: VecDeque::new(), used: 0, lost: 0, newest: 0 }
    }
}

/// How much of its ring an agent uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingUse {
    /// The agent.
    pub agent: AgentId,
    /// Its name.
    pub name: Name,
    /// Records kept.
    pub records: usize,
    /// Bytes used of its budget.
    pub bytes: usize,
    /// Records overwritten.
    pub lost: u64,
}

/// All rings.
#[derive(Debug)]
pub(crate) struct Store {
    rings: Vec<Ring>,
    rings_max: usize,
    bytes_per_ring: usize,
    next: u64,
    /// Records that went with rings which were taken away.
    lost_with_rings: u64,
}

impl Store {
    pub fn new(rings_max: usize, bytes_per_ring: usize) -> Self {
        Store { rings: Vec::new(), rings_max, bytes_per_ring, next: 0, lost_with_rings: 0 }
    }

    /// Sequence number of the next record.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Records that went with rings which were taken away.
    pub fn lost_with_rings(&self) -> u64 {
        self.lost_with_rings
    }

    /// What `body_size` bytes cost of a ring's budget.
    pub fn cost(body_size: usize) -> usize {
        body_size.saturating_add(RECORD_OVERHEAD)
    }

    /// Records and bytes by agent.
    pub fn usage(&self) -> Vec<RingUse> {
        let usage =
            |ring: &Ring| RingUse { agent: ring.agent, name: ring.name, records: ring.records.len(), bytes: ring.used, lost: ring.lost };
        self.rings.iter().map(usage).collect()
    }

    /// Gives the agent a name, for its records from now on. An agent that has said nothing yet gets its ring.
    pub fn set_name(&mut self, agent: AgentId, name: Name, evicted: &mut dyn FnMut(&Record)) {
        let index = self.ring(agent, evicted);
        self.rings[index].name = name;
    }

    /// Adds a record, whose sequence and name are filled in; calls `evicted` with each record that makes room for it.
    pub fn append(&mut self, mut record: Record, evicted: &mut dyn FnMut(&Record)) -> u64 {
        let (cost, budget, sequence) = (Self::cost(record.size()), self.bytes_per_ring, self.next);
        let index = self.ring(record.agent, evicted);
        let ring = &mut self.rings[index];
        while ring.used + cost > budget {
            let Some(oldest) = ring.records.pop_front() else { break };
            ring.used -= Self::cost(oldest.size());
            ring.lost += 1;
            evicted(&oldest);
        }
        record.sequence = sequence;
        record.name = ring.name;
        ring.newest = sequence;
        ring.used += cost;
        ring.records.push_back(record);
        self.next += 1;
        sequence
    }

    /// The first record from `sequence` on that `admits`.
    pub fn first_from(&self, sequence: u64, admits: &dyn Fn(&Record) -> bool) -> Option<&Record> {
        let first_of = |ring: &'_ Ring| -> Option<usize> {
            let start = ring.records.partition_point(|record| record.sequence < sequence);
            (start..ring.records.len()).find(|&at| admits(&ring.records[at]))
        };
        self.rings.iter().filter_map(|ring| first_of(ring).map(|at| &ring.records[at])).min_by_key(|record| record.sequence)
    }

    /// Where to begin so that `count` records which `admits` lie ahead, or all if there are fewer.
    pub fn tail(&self, count: usize, admits: &dyn Fn(&Record) -> bool) -> u64 {
        let mut sequences: Vec<u64> = self
            .rings
            .iter()
            .flat_map(|ring| ring.records.iter().rev().filter(|record| admits(record)).take(count))
            .map(|record| record.sequence)
            .collect();
        sequences.sort_unstable();
        let skipped = sequences.len().saturating_sub(count);
        sequences.get(skipped).copied().unwrap_or(self.next)
    }

    /// The agent's ring; made if need be, in the place of the one that has been quiet longest if there are too many.
    fn ring(&mut self, agent: AgentId, evicted: &mut dyn FnMut(&Record)) -> usize {
        if let Some(index) = self.rings.iter().position(|ring| ring.agent == agent) {
            return index;
        }
        let quietest = (self.rings.len() >= self.rings_max)
            .then(|| self.rings.iter().enumerate().min_by_key(|(_, ring)| ring.newest).map(|(index, _)| index))
            .flatten();
        let ring = Ring::new(agent, Name::default());
        match quietest {
            Some(index) => {
                let old = core::mem::replace(&mut self.rings[index], ring);
                self.lost_with_rings += old.records.len() as u64;
                old.records.iter().for_each(evicted);
                index
            }
            None => {
                self.rings.push(ring);
                self.rings.len() - 1
            }
        }
    }
}
