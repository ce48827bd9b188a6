//! What happens when: up to four timers an agent, in one queue a core.
//!
//! Times are exact nanoseconds; a timer never expires early, and those that are due come in order of time, then in the order in which they were set.

#[cfg(test)]
mod tests;

use aios_abi::limits::AGENTS;

use crate::sched::queue::{CalendarQueue, Entries, Link};

/// Timers that an agent has.
pub const KINDS: usize = 4;
/// The finest buckets are 33 µs wide; those of the coarsest ring, which reaches 68 s ahead, 134 ms.
const SHIFT: u32 = 15;

const _: () = assert!(AGENTS * KINDS < u16::MAX as usize, "entries are numbered by slot and kind");

/// An agent's timers.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TimerLinks {
    at_ns: [u64; KINDS],
    links: [Link; KINDS],
}

impl TimerLinks {
    /// None set.
    pub const EMPTY: Self = Self { at_ns: [0; KINDS], links: [Link::NONE; KINDS] };

    /// When a timer goes off, ns; `None` if it isn't set.
    pub const fn at(&self, kind: u8) -> Option<u64> {
        if self.links[kind as usize].bucket == 0 { None } else { Some(self.at_ns[kind as usize]) }
    }
}

/// How the agents' timers are reached.
pub trait TimerContexts {
    /// Timers of the agent at a slot.
    fn timers(&self, slot: u16) -> &TimerLinks;
    /// Timers of the agent at a slot, to change.
    fn timers_mut(&mut self, slot: u16) -> &mut TimerLinks;
}

struct View<'a, C>(&'a mut C);

const fn id(slot: u16, kind: u8) -> u16 {
    slot * KINDS as u16 + kind as u16
}

const fn place(id: u16) -> (u16, usize) {
    (id / KINDS as u16, id as usize % KINDS)
}

impl<C: TimerContexts> Entries for View<'_, C> {
    fn key(&self, id: u16) -> u64 {
        let (slot, kind) = place(id);
        self.0.timers(slot).at_ns[kind]
    }
    fn link(&self, id: u16) -> Link {
        let (slot, kind) = place(id);
        self.0.timers(slot).links[kind]
    }
    fn set_link(&mut self, id: u16, link: Link) {
        let (slot, kind) = place(id);
        self.0.timers_mut(slot).links[kind] = link;
    }
}

/// All timers of a core.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Timers {
    queue: CalendarQueue<SHIFT>,
    next_ns: u64,
    /// The last time at which timers expired.
    now_ns: u64,
}

impl Timers {
    /// None set.
    pub const EMPTY: Self = Self { queue: CalendarQueue::EMPTY, next_ns: u64::MAX, now_ns: 0 };

    /// Sets a timer, in place of its former time.
    pub fn set<C: TimerContexts>(&mut self, contexts: &mut C, slot: u16, kind: u8, at_ns: u64) {
        let id = id(slot, kind);
        let mut view = View(contexts);
        self.queue.remove(&mut view, id);
        view.0.timers_mut(slot).at_ns[kind as usize] = at_ns;
        self.queue.insert(&mut view, id, self.now_ns);
        self.look(contexts);
    }

    /// Takes a timer back; whether it was set.
    #[inline]
    pub fn cancel<C: TimerContexts>(&mut self, contexts: &mut C, slot: u16, kind: u8) -> bool {
        if contexts.timers(slot).links[kind as usize].bucket == 0 {
            return false;
        }
        self.queue.remove(&mut View(contexts), id(slot, kind));
        self.look(contexts);
        true
    }

    /// The time of a timer; `u64::MAX` if it isn't set.
    pub fn time<C: TimerContexts>(&self, contexts: &C, slot: u16, kind: u8) -> u64 {
        let timers = contexts.timers(slot);
        if timers.links[kind as usize].bucket == 0 { u64::MAX } else { timers.at_ns[kind as usize] }
    }

    /// The time of the next timer; `u64::MAX` if none is set.
    pub const fn next(&self) -> u64 {
        self.next_ns
    }

    /// Takes one timer that is due.
    pub fn expire<C: TimerContexts>(&mut self, contexts: &mut C, now_ns: u64) -> Option<(u16, u8)> {
        self.now_ns = self.now_ns.max(now_ns);
        if self.next_ns > now_ns {
            return None;
        }
        let id = self.queue.first()?;
        self.queue.remove(&mut View(contexts), id);
        self.look(contexts);
        let (slot, kind) = place(id);
        Some((slot, kind as u8))
    }

    fn look<C: TimerContexts>(&mut self, contexts: &mut C) {
        self.next_ns = self.queue.first().map_or(u64::MAX, |id| View(contexts).key(id));
    }
}
