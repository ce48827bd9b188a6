//! Agents move between cores: the block changes hands, with all that it owns.

use aios_abi::Error;

use super::super::{Core, TIMER_EXPIRY};
use super::packet::{Asking, Notice};
use crate::agent::{Agent, State};
use crate::machine::Machine;
use crate::timers::KINDS;

impl<M: Machine> Core<M> {
    /// Whether an agent can move: nobody of this core waits for it, and it waits for nobody.
    pub(super) fn check_movable(&self, slot: u16) -> Result<(), Error> {
        let agent = &self.agents[slot];
        let idle = matches!(agent.state, State::New | State::Ready | State::Receiving) && agent.work.is_none() && agent.reap.phase == 0;
        let alone = agent.queue.head == 0 && agent.open.head == 0 && agent.asking == Asking::Nothing;
        let unbound = !self.bindings.iter().any(|binding| binding.agent == agent.id);
        let operations = agent.operations.iter().all(|operation| operation.handle == 0);
        if agent.parent.is_kernel() || agent.sc.class() != 0 {
            return Err(Error::WrongState);
        }
        if idle && alone && unbound && operations { Ok(()) } else { Err(Error::Busy) }
    }

    /// Moves an agent to another core.
    pub(in crate::core) fn migrate(&mut self, machine: &mut M, slot: u16, core: u64, now: u64) -> Result<(), Error> {
        if core == self.facts.core {
            return Ok(());
        }
        if core >= machine.cores() as u64 {
            return Err(Error::NoSuchCore);
        }
        self.check_movable(slot)?;
        self.pay(now);
        for kind in 0..KINDS as u8 {
            let at = self.timers.time(&self.agents, slot, kind);
            self.set_agent_timer(slot, kind, u64::MAX);
            self.agents[slot].travel_ns[kind as usize] = at;
        }
        if self.stop_expiry(slot) {
            self.agents[slot].travel_ns[TIMER_EXPIRY as usize] = now;
        }
        self.sched.dequeue(&mut self.agents, slot);
        if self.context == slot {
            (self.context, self.current) = (0, 0);
        }
        self.undecided = true;
        // Who was writing into its mailbox sends there again.
        self.agents[slot].mailbox.draft = None;
        machine.save_fp(slot);
        machine.forget(slot);
        let Some(page) = self.agents.0[slot as usize].take() else { return Err(Error::PeerDied) };
        // Whoever reads that it lives there finds it there, or in the place from which that core takes it.
        match machine.send_agent(core as u16, page) {
            Ok(()) => {
                machine.set_home(slot, core as u16);
                self.alive -= 1;
                Ok(())
            }
            Err(page) => {
                self.agents.0[slot as usize] = Some(page);
                self.settle_in(slot, now);
                Err(Error::Busy)
            }
        }
    }

    /// Whether an agent can leave for that core now; see [`super::notice`] for why nobody leaves while notices wait.
    pub(in crate::core) fn can_send_agent(&self, machine: &M, core: u64) -> bool {
        let there = core != self.facts.core && core < machine.cores() as u64;
        !there || (!self.outbox.is_waiting() && machine.can_send_agent(core as u16))
    }

    pub(super) fn arrive(&mut self, machine: &mut M, page: M::Page<Agent<M>>, now: u64) {
        let slot = page.id.slot();
        self.agents.0[slot as usize] = Some(page);
        // The core that sent it may not have come to say so yet, and others that it asks something send their answers to its home.
        machine.set_home(slot, self.facts.core as u16);
        self.alive += 1;
        // While it was on its way, nobody who looked for void mappings found it.
        self.unmap_own_void(machine, slot);
        // Nor did a parent that looked for its children because it ends.
        let parent = self.agents[slot].parent;
        self.tell(machine, Notice::Arrived { to: parent }, now);
        self.settle_in(slot, now);
    }

    /// An agent lives here from now on: its timers run, and it competes.
    pub(super) fn settle_in(&mut self, slot: u16, now: u64) {
        let times = core::mem::replace(&mut self.agents[slot].travel_ns, [u64::MAX; KINDS]);
        for (kind, at) in times.into_iter().enumerate() {
            match kind as u8 {
                // It runs only without what ended on the way.
                TIMER_EXPIRY if at <= now => self.expire(slot),
                kind => self.set_agent_timer(slot, kind, at),
            }
        }
        self.sched.move_in(&mut self.agents, slot);
        // What came while it was on its way waits in its mailbox or is sent again; a receive is done again from its start.
        if self.agents[slot].state == State::Receiving {
            self.agents[slot].registers.pc -= 4;
            self.agents[slot].state = State::Ready;
            self.set_wait_timer(slot, u64::MAX);
        }
        self.wake(slot, now);
    }
}
