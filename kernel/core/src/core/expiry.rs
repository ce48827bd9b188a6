//! The end of mappings made through capabilities that expire.
//!
//! Each agent lists its few mapped capabilities that expire; one of its timers goes off at the first expiry. Then the core takes those mappings away, one
//! in a step, before any agent of it runs. The memory behind them is free only later: the capability still refers to it.

use aios_abi::Error;
use aios_abi::limits::{AGENTS, TIMED_MAPPINGS};

use super::{Core, TIMER_EXPIRY};
use crate::cap::Slot;
use crate::machine::Machine;

/// Agents that have mappings to be taken away.
#[derive(Clone)]
pub(super) struct Overdue([u64; AGENTS / 64]);

impl Overdue {
    pub(super) const NONE: Self = Self([0; AGENTS / 64]);

    fn contains(&self, slot: u16) -> bool {
        self.0[slot as usize / 64] & 1 << (slot % 64) != 0
    }

    fn insert(&mut self, slot: u16) {
        self.0[slot as usize / 64] |= 1 << (slot % 64);
    }

    fn remove(&mut self, slot: u16) {
        self.0[slot as usize / 64] &= !(1 << (slot % 64));
    }

    fn first(&self) -> Option<u16> {
        let word = self.0.iter().position(|&word| word != 0)?;
        Some((word * 64) as u16 + self.0[word].trailing_zeros() as u16)
    }
}

impl<M: Machine> Core<M> {
    /// Whether an agent can have one more mapping through this capability.
    pub(super) fn check_timed(&self, holder: u16, slot: &Slot) -> Result<(), Error> {
        // The list has no gaps.
        let room = slot.expiry == 0 || self.agents[holder].timed.last() == Some(&0);
        if room { Ok(()) } else { Err(Error::LimitReached) }
    }

    /// Notes that a capability is mapped, for which [`check_timed`](Self::check_timed) found room.
    pub(super) fn note_timed(&mut self, holder: u16, index: u16) {
        if self.agents[holder].slots.look(index).is_none_or(|slot| slot.expiry == 0) {
            return;
        }
        if let Some(place) = self.agents[holder].timed.iter_mut().find(|place| **place == 0) {
            *place = index;
        }
        self.await_expiry(holder);
    }

    /// Notes that a capability that expires is mapped no more.
    pub(super) fn forget_timed(&mut self, holder: u16, index: u16) {
        let timed = &mut self.agents[holder].timed;
        let count = timed.iter().position(|&place| place == 0).unwrap_or(timed.len());
        if let Some(place) = timed[..count].iter().position(|&place| place == index) {
            timed[place] = timed[count - 1];
            timed[count - 1] = 0;
            self.await_expiry(holder);
        }
    }

    /// The first expiry of what an agent has mapped, ns; `u64::MAX` if there is none.
    fn first_expiry(&self, holder: u16) -> u64 {
        let agent = &self.agents[holder];
        let mapped = agent.timed.iter().take_while(|&&index| index != 0).filter_map(|&index| agent.slots.look(index));
        mapped.map(|slot| slot.expiry).min().unwrap_or(u64::MAX)
    }

    fn await_expiry(&mut self, holder: u16) {
        // Who is cleared away has no timers, and who is overdue gets one at the end of that.
        if self.agents[holder].reap.phase == 0 && !self.overdue.contains(holder) {
            let at = self.first_expiry(holder);
            self.set_agent_timer(holder, TIMER_EXPIRY, at);
        }
    }

    /// The time of a mapping is over: it goes before an agent runs.
    pub(super) fn expire(&mut self, holder: u16) {
        self.overdue.insert(holder);
        self.jobs_waiting = true;
    }

    /// Nothing expires any more for an agent that is cleared away or leaves the core; whether something was overdue.
    pub(super) fn stop_expiry(&mut self, holder: u16) -> bool {
        let was = self.overdue.contains(holder);
        self.overdue.remove(holder);
        was
    }

    /// Takes one mapping away whose time is over, if there is one.
    pub(super) fn expire_step(&mut self, machine: &mut M, now: u64) -> bool {
        let Some(holder) = self.overdue.first() else { return false };
        let agent = &self.agents[holder];
        let late = |&index: &u16| index != 0 && agent.slots.look(index).is_some_and(|slot| slot.expiry <= now);
        match agent.timed.iter().copied().find(late) {
            Some(index) => self.unmap_slot(machine, holder, index),
            None => {
                self.overdue.remove(holder);
                self.await_expiry(holder);
            }
        }
        true
    }

    /// Whether an agent's list holds exactly what it has mapped through capabilities that expire, and its timer the first expiry.
    pub(super) fn expiry_is_kept(&self, holder: u16) -> bool {
        let agent = &self.agents[holder];
        let timed = |index: &u16| agent.slots.look(*index).is_some_and(|slot| slot.is_mapped() && slot.expiry != 0);
        let mapped = (1..agent.slots.end()).filter(timed);
        let listed = agent.timed.iter().filter(|&&index| index != 0);
        let all = mapped.clone().all(|index| agent.timed.contains(&index)) && mapped.count() == listed.count();
        let at = if agent.reap.phase != 0 || self.overdue.contains(holder) { u64::MAX } else { self.first_expiry(holder) };
        all && agent.timers.at(TIMER_EXPIRY).unwrap_or(u64::MAX) == at
    }
}

const _: () = assert!(TIMED_MAPPINGS <= 64, "a list is searched within one step");
