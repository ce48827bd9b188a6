//! A core's inside, for those who look at it from outside: copies, and what its future depends on beside its agents.
//!
//! A model checker copies a core before each step and has to tell states apart. Agents are public; the rest is shown here, read-only.

use aios_abi::id::AgentId;

use super::remote::{Notice, Packet, Registration, Request};
use super::{Agents, Binding, Core};
use crate::agent::Agent;
use crate::cap::SlotPage;
use crate::machine::Machine;
use crate::pool::Pool;

impl<M: Machine> Clone for Agents<M>
where
    M::Page<Agent<M>>: Clone,
    M::Page<SlotPage>: Clone,
{
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: Machine> Clone for Core<M>
where
    M::Page<Agent<M>>: Clone,
    M::Page<SlotPage>: Clone,
{
    fn clone(&self) -> Self {
        Self {
            agents: self.agents.clone(),
            facts: self.facts,
            counters: self.counters,
            sched: self.sched.clone(),
            timers: self.timers.clone(),
            current: self.current,
            context: self.context,
            paid_ns: self.paid_ns,
            until_ns: self.until_ns,
            undecided: self.undecided,
            timer_ns: self.timer_ns,
            timer_stale: self.timer_stale,
            messages: self.messages,
            dying: self.dying,
            over: self.over,
            alive: self.alive,
            bindings: self.bindings,
            pqc_server: self.pqc_server,
            ledger: self.ledger,
            root: self.root,
            key: self.key,
            outstanding: self.outstanding,
            outbox: self.outbox.clone(),
            held: self.held,
            packets_ns: self.packets_ns,
            jobs: self.jobs,
            jobs_waiting: self.jobs_waiting,
            job_steps: self.job_steps,
            jobs_ns: self.jobs_ns,
            absolving: self.absolving,
            overdue: self.overdue.clone(),
            ring_messages: self.ring_messages,
            recording: self.recording.clone(),
        }
    }
}

/// What a core keeps beside its agents, as far as it decides what the core does next. Times and counters are left out.
#[derive(Clone, Copy, Debug)]
pub struct Inside<'a> {
    /// The context that pays; 0 is none.
    pub context: u16,
    /// First agent to clear away; 0 is none.
    pub dying: u16,
    /// The pool from which the first agent's quota came.
    pub root: Pool,
    /// Requests under way, by core.
    pub outstanding: &'a [u16],
    /// A request that was taken and waits for the answers before it.
    pub held: Option<&'a Packet>,
    /// Who is bound to which line.
    pub bindings: &'a [Binding],
    /// Who takes PQC operations.
    pub pqc_server: Registration,
}

/// Long work that another core asked for, and where it goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pending {
    /// Which core asked.
    pub core: u16,
    /// Which agent of it.
    pub from: AgentId,
    /// For what.
    pub request: Request,
    /// Agent and slot to go on with.
    pub next: (u16, u16),
    /// Bytes of a message that are there.
    pub done: u32,
}

impl<M: Machine> Core<M> {
    /// What the core keeps beside its agents.
    pub fn inside(&self) -> Inside<'_> {
        Inside {
            context: self.context,
            dying: self.dying,
            root: self.root,
            outstanding: &self.outstanding,
            held: self.held.as_ref(),
            bindings: &self.bindings,
            pqc_server: self.pqc_server,
        }
    }

    /// Notices that wait for room in a ring.
    pub fn notices(&self) -> impl Iterator<Item = &Notice> {
        self.outbox.notices()
    }

    /// Long work for other cores.
    pub fn pending(&self) -> impl Iterator<Item = Pending> {
        let show =
            |job: super::Job| Pending { core: job.core, from: job.from, request: job.request, next: (job.agent, job.slot), done: job.done };
        self.jobs.iter().flatten().copied().map(show)
    }

    /// Whether the agent's own context waits for its turn.
    pub fn is_queued(&self, slot: u16) -> bool {
        self.sched.is_runnable(&self.agents, slot) || self.agents[slot].sc.is_throttled()
    }
}
