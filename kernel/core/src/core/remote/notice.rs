//! Notices: what an agent hears, or gets back, without anybody waiting for an answer.
//!
//! A notice follows its agent. Whoever has one looks up where the agent lives and sends it there; a core that the agent has left meanwhile sends it on.
//! What finds no room in a ring waits in the outbox, and is looked up again when there is room.
//!
//! The outbox can't overflow: nobody adds to it on this core's own account unless [`NOTICES_PER_STEP`] fit beside [`STALE`], and no agent leaves this core
//! while anything waits. So what must be sent on meanwhile was in the rings before that agent left, and those hold [`STALE`] at most. Nor can two cores wait
//! for each other: each takes notices unconditionally.

use aios_abi::id::AgentId;
use aios_abi::limits::{CORES, DERIVE_DEPTH, MESSAGE_CAPS};

use super::super::Core;
use super::RING;
use super::packet::{Notice, Packet, Registration};
use crate::machine::{Lane, Machine};

/// Notices that one step in the kernel makes at most: the last use of every derivation behind the capabilities of one message.
const NOTICES_PER_STEP: usize = MESSAGE_CAPS * (DERIVE_DEPTH as usize + 1) + 4;
/// Notices that can be under way to this core for agents that have left it.
const STALE: usize = (RING + 1) * (CORES - 1);
/// Notices that wait to be sent.
const OUTBOX: usize = STALE + 2 * NOTICES_PER_STEP;

/// What waits for room in a ring.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in crate::core) struct Outbox {
    notices: [Option<Notice>; OUTBOX],
    waiting: usize,
    /// Cores, a bit each, that are to hear of the sealing key.
    key: u32,
    /// Cores, a bit each, that are to hear of the registered server.
    server: u32,
}

const _: () = assert!(CORES <= 32, "a bit for each core");

impl Outbox {
    pub(in crate::core) const EMPTY: Self = Self { notices: [None; OUTBOX], waiting: 0, key: 0, server: 0 };

    /// Whether anything waits.
    pub(in crate::core) const fn is_waiting(&self) -> bool {
        self.waiting != 0 || self.key != 0 || self.server != 0
    }

    /// What waits.
    pub(in crate::core) fn notices(&self) -> impl Iterator<Item = &Notice> {
        self.notices.iter().flatten()
    }

    /// Whether one more step's notices fit.
    const fn has_room(&self) -> bool {
        self.waiting + NOTICES_PER_STEP <= OUTBOX - STALE
    }

    fn keep(&mut self, notice: Notice) {
        let place = self.notices.iter_mut().find(|place| place.is_none()).expect("nobody runs while the outbox is nearly full");
        *place = Some(notice);
        self.waiting += 1;
    }
}

impl<M: Machine> Core<M> {
    /// Gives a notice to its agent, now or as soon as there is room. An agent that is gone needs none.
    pub(in crate::core) fn tell(&mut self, machine: &mut M, notice: Notice, now: u64) {
        if !self.send_notice(machine, notice, now) {
            self.outbox.keep(notice);
        }
    }

    /// Whether the notice has reached its agent, is on its way, or is void.
    fn send_notice(&mut self, machine: &mut M, notice: Notice, now: u64) -> bool {
        if self.is_here(notice.to()) {
            self.heed(notice, now);
            return true;
        }
        match machine.home(notice.to().slot()) {
            None => true,
            // It comes, or the place is another agent's by now: told apart once all that were on their way are here.
            Some(core) if core as u64 == self.facts.core => false,
            Some(core) => machine.post(core, Lane::Notice, Packet::Notice(notice)),
        }
    }

    /// Whether an agent lives on this core, dying or not.
    fn is_here(&self, id: AgentId) -> bool {
        self.agents.get(id.slot()).is_some_and(|agent| agent.id == id)
    }

    fn heed(&mut self, notice: Notice, now: u64) {
        match notice {
            Notice::Raise { to, bits } => {
                if let Some(slot) = self.agents.find(to) {
                    self.raise(slot, bits, now);
                }
            }
            Notice::Credit { to, pool, pages, child } => self.credit(to, pool, pages, child, now),
            Notice::Pool { to, pool } => self.close_pool(to, pool),
            Notice::Arrived { to } => self.child_arrived(to, now),
        }
    }

    /// Takes a notice from another core.
    pub(super) fn take_notice(&mut self, machine: &mut M, notice: Notice, now: u64) {
        if !self.is_here(notice.to()) {
            self.take_arrivals(machine, now);
        }
        if self.is_here(notice.to()) {
            self.heed(notice, now);
        } else if self.elsewhere(machine, notice.to()).is_some() {
            self.tell(machine, notice, now);
        }
    }

    /// Lets every other core know the sealing key.
    pub(in crate::core) fn tell_key(&mut self, machine: &mut M) {
        self.outbox.key = self.others(machine);
        self.send_owed(machine);
    }

    /// Lets every other core know the registered server.
    pub(in crate::core) fn tell_server(&mut self, machine: &mut M) {
        self.outbox.server = self.others(machine);
        self.send_owed(machine);
    }

    /// Takes another core's word on who is registered; the last registration counts.
    pub(super) fn take_server(&mut self, registration: Registration) {
        if registration.stamp > self.pqc_server.stamp {
            self.pqc_server = registration;
            self.outbox.server = 0;
        }
    }

    fn others(&self, machine: &M) -> u32 {
        (0..machine.cores()).filter(|&core| core as u64 != self.facts.core).fold(0, |mask, core| mask | 1 << core)
    }

    fn send_owed(&mut self, machine: &mut M) {
        for core in 0..machine.cores() {
            let bit = 1 << core;
            if let Some(key) = self.key.filter(|_| self.outbox.key & bit != 0)
                && machine.post(core, Lane::Notice, Packet::Key(key))
            {
                self.outbox.key &= !bit;
            }
            if self.outbox.server & bit != 0 && machine.post(core, Lane::Notice, Packet::Server(self.pqc_server)) {
                self.outbox.server &= !bit;
            }
        }
    }

    /// Sends what waits in the outbox; whether there is room for the notices of one more step.
    pub(in crate::core) fn flush(&mut self, machine: &mut M, now: u64) -> bool {
        if !self.outbox.is_waiting() {
            return true;
        }
        self.send_owed(machine);
        self.take_arrivals(machine, now);
        for i in 0..OUTBOX {
            let Some(notice) = self.outbox.notices[i] else { continue };
            let void = !self.is_here(notice.to()) && self.elsewhere(machine, notice.to()).is_none();
            if void || self.send_notice(machine, notice, now) {
                self.outbox.notices[i] = None;
                self.outbox.waiting -= 1;
            }
        }
        self.outbox.has_room()
    }

    /// Whether there is room for the notices of one more step.
    pub(super) const fn has_room(&self) -> bool {
        self.outbox.has_room()
    }

    /// Pages come back to a pool of an agent of this core.
    pub(in crate::core) fn credit(&mut self, to: AgentId, pool: u8, pages: u64, child: bool, now: u64) {
        if let Some(agent) = self.agents.get_mut(to.slot()).filter(|agent| agent.id == to) {
            agent.pools[pool as usize].give(pages);
            agent.children -= child as u32;
            self.unpark(to.slot(), now);
            self.return_pool(to.slot(), pool);
        }
    }
}
