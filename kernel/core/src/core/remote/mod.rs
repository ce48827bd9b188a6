//! Between cores: requests, answers, notices.
//!
//! Cores share nothing but bounded rings. What an agent asks of an agent on another core becomes a *request*; the asker waits, whatever the call, until the
//! *answer* comes, so every error is synchronous. An asker has at most one request under way, a core has at most [`OUTSTANDING`] with each other core, and
//! a ring of answers holds as many: answers always fit. A request that finds no room makes its call start over later; nothing has changed then.
//! *Notices* need no answer: bits to raise, pages to give back. They pass through a bounded outbox, and no agent runs while that is nearly full.
//!
//! | ring     | who waits when it is full                | why that ends                                        |
//! |----------|------------------------------------------|------------------------------------------------------|
//! | requests | the asker: its call starts over          | the other core takes requests whenever it can answer |
//! | answers  | nobody: it is never full                 | `OUTSTANDING` is its size                            |
//! | notices  | the core: its agents don't run           | the other core takes notices unconditionally         |
//!
//! A message with capabilities, or longer than registers hold, travels in *cargo*: pages that the asker's pool pays until the answer is there.

mod migrate;
mod packet;
mod parcel;

use aios_abi::Error;
use aios_abi::id::AgentId;
use aios_abi::limits::{AGENTS, CORES, DERIVE_DEPTH, MESSAGE_CAPS};
use aios_abi::message::Received;

pub use packet::{ANSWER_WORDS, Asking, Cargo, Notice, Packet, Parcel, Request, Status};

use super::{Core, Done, Outcome};
use crate::agent::State;
use crate::machine::{Lane, Machine};

/// Requests that one core has under way with one other.
pub const OUTSTANDING: u16 = 32;
/// Notices that wait to be sent.
pub(super) const OUTBOX: usize = 160;
/// Notices that one step in the kernel makes at most: the last use of every derivation behind the capabilities of one message.
const NOTICES_PER_STEP: usize = MESSAGE_CAPS * (DERIVE_DEPTH as usize + 1) + 4;
/// Long work that other cores asked for.
pub(super) const JOBS: usize = CORES;
/// Long work that another core asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Job {
    core: u16,
    from: AgentId,
    request: Request,
    agent: u16,
    slot: u16,
}

/// Where an agent is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// On this core, at this slot.
    Here(u16),
    /// On that core, unless it is gone.
    There(u16),
}

impl<M: Machine> Core<M> {
    /// Where the agent with this id is.
    #[inline]
    pub(super) fn locate(&self, machine: &M, id: AgentId) -> Result<Place, Error> {
        if let Some(slot) = self.agents.find(id) {
            return Ok(Place::Here(slot));
        }
        self.elsewhere(machine, id).map(Place::There).ok_or(Error::PeerDied)
    }

    /// The other core on which an agent may be.
    #[cold]
    pub(super) fn elsewhere(&self, machine: &M, id: AgentId) -> Option<u16> {
        let home = machine.home(id.slot())?;
        (home as u64 != self.facts.core).then_some(home)
    }

    /// Sends a request for `me`, who waits for the answer.
    pub(super) fn ask(&mut self, machine: &mut M, me: u16, core: u16, request: Request, asking: Asking) -> Outcome {
        if self.outstanding[core as usize] >= OUTSTANDING {
            return Ok(Done::Again);
        }
        let (my_core, from) = (self.facts.core as u16, self.agents[me].id);
        if machine.post(core, Lane::Request, Packet::Request { core: my_core, from, request }).is_err() {
            return Ok(Done::Again);
        }
        self.outstanding[core as usize] += 1;
        let agent = &mut self.agents[me];
        agent.asking = asking;
        if agent.state != State::Dying && asking != Asking::Reap {
            agent.state = State::Remote;
            if self.current == me {
                self.leave();
            }
        }
        Ok(Done::Leave)
    }

    /// The same for a request that comes with cargo, which is undone if there is no room.
    pub(super) fn ask_with_cargo(&mut self, machine: &mut M, me: u16, core: u16, request: Request, asking: Asking, now: u64) -> Outcome {
        let outcome = self.ask(machine, me, core, request, asking);
        if outcome != Ok(Done::Leave) {
            self.settle_cargo(machine, me, false, now);
        }
        outcome
    }

    /// Sends a notice, now or as soon as there is room.
    pub(super) fn tell(&mut self, machine: &mut M, core: u16, notice: Notice) {
        if !self.outbox_waiting && machine.post(core, Lane::Notice, Packet::Notice(notice)).is_ok() {
            return;
        }
        let place = self.outbox.iter_mut().find(|place| place.is_none()).expect("nobody runs while the outbox is nearly full");
        *place = Some((core, notice));
        self.outbox_waiting = true;
    }

    /// Sends what waits in the outbox; whether agents may run.
    pub(super) fn flush(&mut self, machine: &mut M) -> bool {
        if !self.outbox_waiting {
            return true;
        }
        let mut waiting = 0;
        for i in 0..OUTBOX {
            let Some((core, notice)) = self.outbox[i] else { continue };
            if waiting == 0 && machine.post(core, Lane::Notice, Packet::Notice(notice)).is_ok() {
                self.outbox[i] = None;
            } else {
                waiting += 1;
            }
        }
        self.outbox_waiting = waiting != 0;
        waiting + NOTICES_PER_STEP <= OUTBOX
    }

    /// Whether a packet of this lane can be taken now.
    pub fn takes(&self, lane: Lane) -> bool {
        match lane {
            Lane::Answer | Lane::Notice => true,
            Lane::Request => self.jobs.iter().any(Option::is_none) && self.outbox.iter().flatten().count() + NOTICES_PER_STEP <= OUTBOX,
        }
    }

    /// Takes a packet from another core; [`takes`](Self::takes) said that it can.
    pub fn accept(&mut self, machine: &mut M, packet: Packet<M>, now: u64) {
        self.ring_messages += 1;
        match packet {
            Packet::Request { core, from, request } => {
                let mut values = [0; ANSWER_WORDS];
                let status = match self.grant_request(machine, core, from, request, &mut values, now) {
                    Ok(true) => Status::Done,
                    // Long work: the answer comes at its end.
                    Ok(false) => return,
                    Err(status) => status,
                };
                self.answer(machine, core, from, status, values);
            }
            Packet::Answer { core, to, status, values } => {
                self.outstanding[core as usize] -= 1;
                self.answered(machine, to, status, &values, now);
            }
            Packet::Notice(Notice::Raise { to, bits }) => {
                if let Some(slot) = self.agents.find(to) {
                    self.raise(slot, bits, now);
                }
            }
            // A core that has the key already keeps it: there is only one.
            Packet::Notice(Notice::Key(key)) => drop(self.set_key(key)),
            Packet::Notice(Notice::Credit { to, pool, pages, child }) => self.credit(to, pool, pages, child),
            Packet::Notice(Notice::Arrived { parent }) => self.child_arrived(parent),
            Packet::Move(page) => self.arrive(machine, page, now),
        }
    }

    fn answer(&mut self, machine: &mut M, core: u16, to: AgentId, status: Status, values: [u64; ANSWER_WORDS]) {
        let my_core = self.facts.core as u16;
        let sent = machine.post(core, Lane::Answer, Packet::Answer { core: my_core, to, status, values });
        assert!(sent.is_ok(), "the ring of answers holds as many as there are requests under way");
    }

    /// Pages come back to a pool of an agent of this core.
    pub(super) fn credit(&mut self, to: AgentId, pool: u8, pages: u64, child: bool) {
        if let Some(agent) = self.agents.get_mut(to.slot()).filter(|agent| agent.id == to) {
            agent.pools[pool as usize].give(pages);
            agent.children -= child as u32;
            agent.reap.parked = false;
        }
    }

    /// Serves a request. `Ok(false)`: a job was made of it.
    fn grant_request(
        &mut self,
        machine: &mut M,
        core: u16,
        from: AgentId,
        request: Request,
        values: &mut [u64; ANSWER_WORDS],
        now: u64,
    ) -> Result<bool, Status> {
        let find = |core: &Self, machine: &M, id: AgentId| match core.agents.find(id) {
            Some(slot) => Ok(slot),
            // It moved while the request was on its way.
            None if core.elsewhere(machine, id).is_some() => Err(Status::Again),
            None => Err(Status::Failed(Error::PeerDied)),
        };
        match request {
            Request::Message { to, kind, parcel } => {
                let to = find(self, machine, to)?;
                self.take_parcel(machine, to, kind, &parcel, now)?;
            }
            Request::Reply { incarnation, parcel } => self.take_reply(machine, incarnation, &parcel, now)?,
            Request::Notify { to, bits } => {
                let to = find(self, machine, to)?;
                self.raise(to, bits, now);
            }
            Request::Fault { to, parcel } => {
                let to = find(self, machine, to)?;
                self.take_parcel(machine, to, Received::Fault, &parcel, now)?;
            }
            Request::Judge { message, from, verdict, pc } => self.judge(message, from, verdict, pc, now).map_err(Status::Failed)?,
            Request::Control { to, op, arguments } => {
                let to = find(self, machine, to)?;
                self.control(machine, to, op, arguments, now).map_err(Status::Failed)?;
            }
            Request::Supervise { to, supervisor } => {
                let to = find(self, machine, to)?;
                self.agents[to].supervisor = supervisor;
            }
            Request::Schedule { to, params } => {
                let to = find(self, machine, to)?;
                self.schedule(to, params, now).map_err(Status::Failed)?;
            }
            Request::Watch { to, watcher, bits } => {
                let to = find(self, machine, to)?;
                self.add_watcher(machine, to, watcher, bits).map_err(Status::Failed)?;
            }
            Request::Grant { to, slot, wanted } => {
                let to = find(self, machine, to)?;
                let index = self.reserve_for_grant(machine, to, wanted).map_err(Status::Failed)?;
                values[0] = self.agents[to].slots.fill(index, slot).0 as u64;
            }
            Request::Map { to, slot, access } => {
                let to = find(self, machine, to)?;
                self.map_copy(machine, to, slot, access, now).map_err(Status::Failed)?;
            }
            Request::Inspect { table, cursor, subject } => {
                *values = self.one_record(machine, table, cursor, subject, now).map_err(Status::Failed)?;
            }
            Request::Pass => {}
            Request::Depart { .. } | Request::Sweep { .. } => {
                let place = self.jobs.iter_mut().find(|job| job.is_none()).ok_or(Status::Again)?;
                *place = Some(Job { core, from, request, agent: 1, slot: 1 });
                self.jobs_waiting = true;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The answer to a request of an agent of this core, which may be dying by now.
    fn answered(&mut self, machine: &mut M, to: AgentId, status: Status, values: &[u64; ANSWER_WORDS], now: u64) {
        let me = to.slot();
        if self.agents.get(me).is_none_or(|agent| agent.id != to) {
            return;
        }
        let asking = core::mem::take(&mut self.agents[me].asking);
        self.settle_cargo(machine, me, status == Status::Done, now);
        self.agents[me].reap.parked = false;
        if self.agents[me].state != State::Remote {
            // Killed or restarted meanwhile: what was done on the other core is undone by the reaper, as for any capability or call.
            return;
        }
        if status == Status::Again {
            self.start_over(me, asking, now);
            return;
        }
        let result = match status {
            Status::Failed(error) => Err(error),
            _ => Ok(()),
        };
        self.agents[me].state = State::Ready;
        match (asking, result) {
            (Asking::Call(server), Ok(())) => {
                let deadline = self.arg(me, 12);
                self.agents[me].state = State::Awaiting(server);
                self.agents[me].counters.sent += 1;
                self.set_wait_timer(me, deadline);
                // The reply may have been faster than this answer only on another ring, which is read after this one.
                return;
            }
            (Asking::Fault(supervisor), Ok(())) => {
                self.agents[me].state = State::Faulted(supervisor);
                return;
            }
            (Asking::Fault(_), Err(_)) => {
                self.condemn(me, now);
                return;
            }
            (Asking::ReplyThenReceive, _) => {
                // The reply is delivered or will never be; the same call, with nothing to reply to, receives.
                let agent = &mut self.agents[me];
                agent.registers.x[9] = 0;
                agent.registers.pc -= 4;
            }
            (Asking::Operation(message), Err(error)) => {
                self.forget_operation(me, message);
                self.agents[me].fail(error);
            }
            (_, Err(error)) => self.agents[me].fail(error),
            (Asking::Inspect, Ok(())) => {
                let result = self.write_record(machine, me, values);
                match result {
                    Ok(()) => self.agents[me].succeed(),
                    Err(error) => self.agents[me].fail(error),
                }
            }
            (Asking::Send, Ok(())) => {
                let agent = &mut self.agents[me];
                agent.registers.x[12] = agent.outgoing.message.0;
                agent.counters.sent += 1;
                agent.succeed();
            }
            (Asking::Operation(message), Ok(())) => {
                let agent = &mut self.agents[me];
                agent.registers.x[0] = message.0;
                agent.succeed();
            }
            (Asking::Value, Ok(())) => {
                self.set_arg(me, 0, values[0]);
                self.agents[me].succeed();
            }
            (Asking::Mapping, Ok(())) => self.agents[me].succeed(),
            (Asking::Grant { index, moves }, Ok(())) => {
                self.set_arg(me, 0, values[0]);
                self.agents[me].succeed();
                if moves {
                    self.drop_slot(machine, me, index, now);
                }
            }
            (Asking::Work, Ok(())) => {}
            (Asking::Status | Asking::Nothing | Asking::Reap, Ok(())) => self.agents[me].succeed(),
        }
        self.wake(me, now);
    }

    /// The call in progress is made again when its agent runs next.
    fn start_over(&mut self, me: u16, asking: Asking, now: u64) {
        // A fault repeats itself, and long work goes on where it was.
        let repeats = asking == Asking::Work || (matches!(asking, Asking::Fault(_)) && !self.exited(me));
        let agent = &mut self.agents[me];
        agent.state = State::Ready;
        if !repeats {
            agent.registers.pc -= 4;
        }
        self.wake(me, now);
    }

    /// One bounded step of the first job, if there is one.
    #[cold]
    #[inline(never)]
    pub(super) fn job_step(&mut self, machine: &mut M, now: u64) -> bool {
        let Some(place) = self.jobs.iter().position(Option::is_some) else { return false };
        let Some(mut job) = self.jobs[place] else { return false };
        let next = match job.request {
            Request::Depart { id, error } => self.depart_step(id, error, job.agent, now).map(|agent| (agent, 1)),
            Request::Sweep { root, whole } => self.unmap_void(machine, root, job.agent, job.slot, whole),
            _ => None,
        };
        match next {
            Some((agent, slot)) => {
                (job.agent, job.slot) = (agent, slot);
                self.jobs[place] = Some(job);
            }
            None => {
                self.jobs[place] = None;
                self.jobs_waiting = self.jobs.iter().any(Option::is_some);
                self.answer(machine, job.core, job.from, Status::Done, [0; ANSWER_WORDS]);
            }
        }
        true
    }

    /// Ends waits for an agent that is gone, and condemns its children, a bounded number of agents in a step.
    pub(super) fn depart_step(&mut self, id: AgentId, error: Error, first: u16, now: u64) -> Option<u16> {
        const PER_STEP: u16 = 64;
        if error != Error::PeerRestarted {
            self.unregister(id);
        }
        let stop = first.saturating_add(PER_STEP).min(AGENTS as u16);
        for slot in first..stop {
            self.fail_operations(slot, id, error, now);
            let Some(agent) = self.agents.get(slot) else { continue };
            if agent.parent == id {
                self.condemn(slot, now);
            } else if agent.state.peer() == Some(id) {
                match agent.state {
                    State::Faulting(_) | State::Faulted(_) => self.condemn(slot, now),
                    _ => self.end_wait(slot, error, now),
                }
            }
        }
        ((stop as usize) < AGENTS).then_some(stop)
    }
}
