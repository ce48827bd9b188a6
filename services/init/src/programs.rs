//! Programs that were started on demand: those that run, and how the last ones ended.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use aios_abi::AgentId;
use aios_init_core::Reason;
use aios_proto::Later;
use aios_proto::supervisor::op::Wait;

use crate::badge::Badge;
use crate::child::Child;

/// Most that run at once: each has a notification bit, above those of the servers.
pub const RUNNING_MAX: usize = 24;
/// The bit of the first one.
const FIRST_BIT: usize = 32;
/// Ends that are remembered.
const ENDS_MAX: usize = 32;
/// Askers that wait for an end.
pub const WAITING_MAX: usize = 16;

const _: () = assert!(FIRST_BIT >= aios_manifest::types::SERVERS_MAX && FIRST_BIT + RUNNING_MAX <= 64);

/// A program that runs.
pub struct Program<'a> {
    /// Its manifest entry and run.
    pub badge: Badge,
    /// The agent.
    pub child: Child<'a>,
}

/// All of them.
#[derive(Default)]
pub struct Programs<'a> {
    running: [Option<Program<'a>>; RUNNING_MAX],
    ends: VecDeque<(AgentId, Reason)>,
    waiting: Vec<(AgentId, Later<Wait>)>,
    runs: u32,
}

/// What became of a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It runs.
    Running,
    /// It ended.
    Ended(Reason),
}

/// A place for a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place(usize);

impl Place {
    /// The notification bit that says that the program of this place is gone.
    pub const fn bit(self) -> u64 {
        1 << (FIRST_BIT + self.0)
    }
}

impl<'a> Programs<'a> {
    /// A free place, and a number for the run that has it.
    pub fn reserve(&mut self) -> Option<(Place, u32)> {
        let place = self.running.iter().position(Option::is_none)?;
        self.runs = self.runs.wrapping_add(1);
        Some((Place(place), self.runs))
    }

    /// Puts a program into its place.
    pub fn put(&mut self, Place(place): Place, program: Program<'a>) {
        if let Some(free) = self.running.get_mut(place) {
            *free = Some(program);
        }
    }

    /// The program with this badge, if it runs.
    pub fn by_badge(&self, badge: Badge) -> Option<&Program<'a>> {
        self.running.iter().flatten().find(|program| program.badge == badge)
    }

    /// The program with this agent, if it runs.
    pub fn by_id(&self, id: AgentId) -> Option<&Program<'a>> {
        self.running.iter().flatten().find(|program| program.child.id == id)
    }

    /// Agents of places whose bits are set.
    pub fn of_bits(&self, bits: u64) -> impl Iterator<Item = &Program<'a>> {
        let raised = move |place: usize| bits & Place(place).bit() != 0;
        self.running.iter().enumerate().filter(move |(place, _)| raised(*place)).filter_map(|(_, program)| program.as_ref())
    }

    /// Agents of all that run.
    pub fn ids(&self) -> Vec<AgentId> {
        self.running.iter().flatten().map(|program| program.child.id).collect()
    }

    /// Takes a program out and remembers how it ended.
    pub fn end(&mut self, id: AgentId, reason: Reason) -> Option<Program<'a>> {
        let place = self.running.iter_mut().find(|place| place.as_ref().is_some_and(|program| program.child.id == id))?;
        let program = place.take()?;
        if self.ends.len() == ENDS_MAX {
            self.ends.pop_front();
        }
        self.ends.push_back((id, reason));
        Some(program)
    }

    /// What became of a program; `None` if it is unknown, or was forgotten.
    pub fn fate(&self, id: AgentId) -> Option<Fate> {
        if self.by_id(id).is_some() {
            return Some(Fate::Running);
        }
        self.ends.iter().rev().find(|(ended, _)| *ended == id).map(|&(_, reason)| Fate::Ended(reason))
    }

    /// Remembers who waits for an end. `false` if too many do.
    pub fn wait(&mut self, id: AgentId, later: Later<Wait>) -> bool {
        let room = self.waiting.len() < WAITING_MAX;
        if room {
            self.waiting.push((id, later));
        }
        room
    }

    /// Forgets somebody who waits.
    pub fn forget(&mut self, mut whom: impl FnMut(Later<Wait>) -> bool) {
        self.waiting.retain(|(_, later)| !whom(*later));
    }

    /// Takes out somebody whose wait is over, and what for.
    pub fn answer(&mut self) -> Option<(Later<Wait>, Option<Reason>)> {
        let over = |&(id, _): &(AgentId, _)| self.fate(id) != Some(Fate::Running);
        let place = self.waiting.iter().position(over)?;
        let (id, later) = self.waiting.remove(place);
        match self.fate(id) {
            Some(Fate::Ended(reason)) => Some((later, Some(reason))),
            _ => Some((later, None)),
        }
    }
}
