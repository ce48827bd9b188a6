//! Whom to run: work that comes first, the decision, lending along chains of calls, waiting and waking.

use aios_abi::Error;
use aios_abi::limits::CALL_DEPTH;

use super::{Core, Next, TIMER_WAIT};
use crate::agent::State;
use crate::machine::Machine;

impl<M: Machine> Core<M> {
    /// Decides whom to run, after doing the work that has to be done first.
    pub fn next(&mut self, machine: &mut M, now: u64) -> Next {
        loop {
            if self.outbox.is_waiting() && !self.flush(machine, now) {
                return Next::Interrupted;
            }
            if self.undecided {
                self.decide(now);
            }
            if self.jobs_waiting && self.work_for_others(machine, now) {
                if machine.interrupt_pending() || self.jobs_ns != u64::MAX {
                    return Next::Interrupted;
                }
                continue;
            }
            if self.timer_stale {
                self.arm(machine);
            }
            if self.dying != 0 && self.over {
                return Next::Halt;
            }
            let Some(agent) = self.agents.get(self.current).filter(|_| self.context != 0) else { return Next::Idle };
            // A dying agent's turn is for clearing it away.
            if self.dying != 0 && agent.reap.phase != 0 {
                if !self.reap_step(machine, self.current, now) {
                    self.sched_yield(now);
                    return Next::Interrupted;
                }
                if machine.interrupt_pending() {
                    return Next::Interrupted;
                }
                continue;
            }
            if agent.work.is_none() {
                return Next::Run(self.current);
            }
            if !self.work_step(machine, self.current, now) || machine.interrupt_pending() {
                return Next::Interrupted;
            }
        }
    }

    pub(super) fn arm(&mut self, machine: &mut M) {
        let jobs_ns = if self.jobs_waiting { self.jobs_ns } else { u64::MAX };
        let at = self.timers.next().min(self.sched.next_replenish()).min(self.until_ns).min(self.packets_ns).min(jobs_ns);
        self.timer_stale = false;
        if at != self.timer_ns {
            self.timer_ns = at;
            machine.set_timer(at);
        }
    }

    /// Charges the time since the last charge to whoever pays.
    pub(super) fn pay(&mut self, now: u64) {
        let spent = now.saturating_sub(self.paid_ns);
        self.paid_ns = now.max(self.paid_ns);
        if self.context == 0 {
            self.counters.idle_ns += spent;
            return;
        }
        self.sched.charge(&mut self.agents, self.context, spent, now);
        let debit = self.agents[self.context].debit;
        if let Some(client) = self.agents.find(debit) {
            self.sched.debit(&mut self.agents, client, spent, now);
        }
    }

    pub(super) fn decide(&mut self, now: u64) {
        self.pay(now);
        self.undecided = false;
        self.timer_stale = true;
        let before = self.current;
        if self.context != 0 {
            let context = self.context;
            self.context = 0;
            match self.chain_end(context) {
                None => self.sched.dequeue(&mut self.agents, context),
                Some(end) => {
                    self.sched.put_back(&mut self.agents, context, now);
                    if end != context && !self.sched.is_runnable(&self.agents, context) {
                        // The budget that was lent has ended: the server goes on with its own, and the client is debited.
                        self.agents[end].debit = self.agents[context].id;
                        self.wake(end, now);
                        self.undecided = false;
                    }
                }
            }
        }
        self.until_ns = u64::MAX;
        self.current = 0;
        while let Some(pick) = self.sched.pick(&mut self.agents, now) {
            if let Some(agent) = self.chain_end(pick.slot) {
                self.context = pick.slot;
                self.current = agent;
                self.until_ns = pick.until_ns;
                self.sched.runs(pick.slot, agent, self.agents[agent].id.0);
                break;
            }
            self.sched.dequeue(&mut self.agents, pick.slot);
        }
        if self.current != before {
            self.counters.switches += 1;
        }
    }

    /// The agent that a context would run: the end of the chain of calls that starts at its owner, if that can run and is at most [`CALL_DEPTH`] links
    /// away. In a longer chain, whoever is called beyond runs in its own context.
    pub(super) fn chain_end(&self, owner: u16) -> Option<u16> {
        let mut slot = owner;
        for _ in 0..=CALL_DEPTH {
            let agent = self.agents.get(slot)?;
            if agent.suspended {
                return agent.is_clearing().then_some(slot);
            }
            match agent.state {
                State::Ready => return Some(slot),
                State::Calling(peer) | State::Awaiting(peer) => slot = self.agents.find(peer)?,
                State::New | State::Dying if agent.is_clearing() => return Some(slot),
                _ => return None,
            }
        }
        None
    }

    /// A context can run somebody now: it competes.
    pub(super) fn wake(&mut self, slot: u16, now: u64) {
        if self.context == slot || self.chain_end(slot).is_none() {
            self.undecided |= self.context == slot;
            return;
        }
        // What the running context has used counts in the comparison.
        self.pay(now);
        self.sched.enqueue(&mut self.agents, slot, now);
        if self.context == 0 || self.sched.preempts(&mut self.agents, slot, self.context) {
            self.undecided = true;
        }
    }

    /// The current agent can't go on: its context runs whoever it waits for, or rests.
    pub(super) fn leave(&mut self) {
        match self.chain_end(self.context) {
            Some(agent) => self.current = agent,
            None => self.undecided = true,
        }
    }

    /// The current agent waits for `server`, which has just become ready and runs in the same context, or in its own if the chain is too long to lend.
    pub(super) fn lend_to(&mut self, server: u16, now: u64) {
        match self.chain_end(self.context) {
            Some(agent) => self.current = agent,
            None => {
                self.undecided = true;
                self.wake(server, now);
            }
        }
    }

    /// Sets notification bits of an agent and wakes it if it waits for them.
    pub(super) fn raise(&mut self, slot: u16, bits: u64, now: u64) {
        let agent = &mut self.agents[slot];
        agent.notifications |= bits;
        if agent.state == State::Receiving && agent.notifications != 0 {
            agent.take_notifications();
            self.resume(slot, now);
        }
    }

    /// An agent that waited is ready again.
    pub(super) fn resume(&mut self, slot: u16, now: u64) {
        self.agents[slot].state = State::Ready;
        self.set_wait_timer(slot, u64::MAX);
        self.wake(slot, now);
    }

    pub(super) fn set_wait_timer(&mut self, slot: u16, at_ns: u64) {
        self.set_agent_timer(slot, TIMER_WAIT, at_ns);
    }

    pub(super) fn set_agent_timer(&mut self, slot: u16, kind: u8, at_ns: u64) {
        let changed = if at_ns == u64::MAX {
            self.timers.cancel(&mut self.agents, slot, kind)
        } else {
            self.timers.set(&mut self.agents, slot, kind, at_ns);
            true
        };
        self.timer_stale |= changed;
    }

    /// Ends the wait of an agent with an error.
    pub(super) fn end_wait(&mut self, slot: u16, error: Error, now: u64) {
        let peer = match self.agents[slot].state {
            State::Receiving => None,
            State::Calling(peer) | State::Awaiting(peer) => Some(peer),
            _ => return,
        };
        if let Some(peer) = peer {
            self.unlink_from_peer(slot, peer);
        }
        self.agents[slot].fail(error);
        self.resume(slot, now);
        // Who was helped by this agent's context must be able to go on without it.
        if let Some(peer) = peer.and_then(|peer| self.agents.find(peer)) {
            self.wake(peer, now);
        }
        self.undecided = true;
    }
}
