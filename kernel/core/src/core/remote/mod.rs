//! Between cores: requests, answers, notices.
//!
//! Cores share nothing but bounded rings. What an agent asks of an agent on another core becomes a *request*; the asker waits, whatever the call, until the
//! *answer* comes, so every error is synchronous. An asker has at most one request under way, a core has at most [`OUTSTANDING`] with each other core, and
//! a ring of answers holds as many: answers always fit. A request that finds no room makes its call start over later; nothing has changed then.
//! *Notices* need no answer: bits to raise, pages to give back. They pass through a bounded outbox, and no agent runs while that is nearly full.
//! An *agent* that moves goes from hand to hand: there is one place from each core to each other.
//!
//! | ring     | who waits when it is full                | why that ends                                        |
//! |----------|------------------------------------------|------------------------------------------------------|
//! | requests | the asker: its call starts over          | the other core takes requests whenever it can answer |
//! | answers  | nobody: it is never full                 | `OUTSTANDING` is its size                            |
//! | notices  | the core: its agents don't run           | the other core takes notices unconditionally         |
//! | agents   | whoever moves one: the call starts over  | the other core takes agents unconditionally          |
//!
//! What other cores send costs time that none of this core's agents asked for, and none pays: after [`PACKETS_PER_TURN`] packets, or [`JOB_STEPS`] steps of
//! long work, its own agents run for [`TURN_NS`].
//!
//! A message with capabilities, or longer than registers hold, travels in *cargo*: pages that the asker's pool pays until the answer is there.

mod migrate;
mod notice;
mod packet;
mod parcel;

use aios_abi::Error;
use aios_abi::call::AgentOp;
use aios_abi::id::AgentId;
use aios_abi::limits::{AGENTS, CORES, SLICE_MIN_NS};
use aios_abi::message::Received;

pub(super) use notice::Outbox;
pub use packet::{ANSWER_WORDS, Asking, Cargo, Notice, Packet, Parcel, Registration, Request, Status};

use super::{Core, Done, Outcome};
use crate::agent::State;
use crate::machine::{Lane, Machine};
use crate::space::Progress;

/// Packets that a ring holds.
pub const RING: usize = 32;
/// Requests that one core has under way with one other: as many as the ring of their answers holds.
pub const OUTSTANDING: u16 = RING as u16;
/// Packets that a core takes before its own agents run again.
const PACKETS_PER_TURN: usize = 64;
/// Steps of long work for other cores before a core's own agents run again.
const JOB_STEPS: u16 = 32;
/// How long its own agents run then, if more waits, ns.
const TURN_NS: u64 = SLICE_MIN_NS;
/// Long work that other cores asked for.
pub(super) const JOBS: usize = CORES;
/// Long work that another core asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Job {
    pub(super) core: u16,
    pub(super) from: AgentId,
    pub(super) request: Request,
    pub(super) agent: u16,
    pub(super) slot: u16,
    /// Bytes of a message that are in the mailbox.
    pub(super) done: u32,
}

/// Where an agent is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// On this core, at this slot.
    Here(u16),
    /// On that core, unless it is gone.
    There(u16),
    /// On its way to this core, unless it is gone: ask again.
    Coming,
}

impl<M: Machine> Core<M> {
    /// Where the agent with this id is.
    #[inline]
    pub(super) fn locate(&self, machine: &M, id: AgentId) -> Result<Place, Error> {
        match self.agents.find(id) {
            Some(slot) => Ok(Place::Here(slot)),
            None => self.locate_away(machine, id),
        }
    }

    #[cold]
    fn locate_away(&self, machine: &M, id: AgentId) -> Result<Place, Error> {
        let home = machine.home(id.slot()).ok_or(Error::PeerDied)?;
        if home as u64 != self.facts.core {
            return Ok(Place::There(home));
        }
        // Who is expected here has left the core that it comes from; a place of the table that is another's by now is never on its way.
        if self.agents.get(id.slot()).is_none() { Ok(Place::Coming) } else { Err(Error::PeerDied) }
    }

    /// The other core on which an agent may be.
    #[cold]
    pub(super) fn elsewhere(&self, machine: &M, id: AgentId) -> Option<u16> {
        let home = machine.home(id.slot())?;
        (home as u64 != self.facts.core).then_some(home)
    }

    /// The agent with this id, if it lives on this core or has just left another one for it.
    fn find_arrived(&mut self, machine: &mut M, id: AgentId, now: u64) -> Option<u16> {
        if self.agents.find(id).is_none() && self.locate_away(machine, id) == Ok(Place::Coming) {
            self.take_arrivals(machine, now);
        }
        self.agents.find(id)
    }

    /// Takes the agents that other cores have sent here.
    fn take_arrivals(&mut self, machine: &mut M, now: u64) {
        while let Some(page) = machine.take_agent() {
            self.ring_messages += 1;
            self.arrive(machine, page, now);
        }
    }

    /// Sends a request for `me`, who waits for the answer.
    pub(super) fn ask(&mut self, machine: &mut M, me: u16, core: u16, request: Request, asking: Asking) -> Outcome {
        if self.outstanding[core as usize] >= OUTSTANDING {
            return Ok(Done::Again);
        }
        let (my_core, from) = (self.facts.core as u16, self.agents[me].id);
        if !machine.post(core, Lane::Request, Packet::Request { core: my_core, from, request }) {
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

    /// Takes what other cores have sent, a bounded number of packets; answers whether more may wait.
    pub fn take_packets(&mut self, machine: &mut M, now: u64) -> bool {
        self.pay(now);
        self.take_arrivals(machine, now);
        let more = (0..PACKETS_PER_TURN).find_map(|_| self.take_packet(machine, now)).unwrap_or(true);
        let next = if more { now + TURN_NS } else { u64::MAX };
        self.timer_stale |= next != self.packets_ns;
        self.packets_ns = next;
        more
    }

    /// Takes one packet; if there is none that can be taken, answers whether one that can't may wait.
    fn take_packet(&mut self, machine: &mut M, now: u64) -> Option<bool> {
        // What a packet brings about may need room in the outbox, or for a job. Only notices are taken unconditionally: see [`notice`].
        let room = self.has_room();
        let answer = if room { machine.take(Lane::Answer) } else { None };
        if let Some(packet) = answer.or_else(|| machine.take(Lane::Notice)) {
            self.accept(machine, packet, now);
            return None;
        }
        if !room || self.jobs.iter().all(Option::is_some) {
            return Some(true);
        }
        if let Some(packet) = self.held.take() {
            self.accept(machine, packet, now);
            return None;
        }
        // It is held back until the answers that were sent before it are taken: the reply to a call, and the news of a server's death, must find that call
        // accepted.
        self.held = machine.take(Lane::Request);
        if self.held.is_some() { None } else { Some(false) }
    }

    /// Whether long work for other cores waits for its turn.
    pub fn works_for_others(&self) -> bool {
        self.jobs.iter().any(Option::is_some)
    }

    /// The kernel goes on after an interruption at this time. What went into work for other cores until then, nobody pays.
    #[inline]
    pub fn resumed(&mut self, now: u64) {
        if core::mem::take(&mut self.absolving) {
            self.absolve(now);
        }
    }

    /// The kernel itself has used the time until `now`, for agents of other cores: nobody of this core pays for it.
    pub fn absolve(&mut self, now: u64) {
        self.counters.kernel_ns += now.saturating_sub(self.paid_ns);
        self.paid_ns = now.max(self.paid_ns);
    }

    /// Takes a packet from another core.
    fn accept(&mut self, machine: &mut M, packet: Packet, now: u64) {
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
            Packet::Notice(notice) => self.take_notice(machine, notice, now),
            // A core that has the key already keeps it: there is only one.
            Packet::Key(key) => drop(self.set_key(key)),
            Packet::Server(registration) => self.take_server(registration),
        }
    }

    fn answer(&mut self, machine: &mut M, core: u16, to: AgentId, status: Status, values: [u64; ANSWER_WORDS]) {
        let my_core = self.facts.core as u16;
        let sent = machine.post(core, Lane::Answer, Packet::Answer { core: my_core, to, status, values });
        assert!(sent, "the ring of answers holds as many as there are requests under way");
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
        let find = |core: &mut Self, machine: &mut M, id| core.addressee(machine, id, now);
        match request {
            // Long messages are copied by a job from their beginning on.
            Request::Message { ref parcel, .. } | Request::Reply { ref parcel, .. } if parcel.is_long() => {
                return self.employ(core, from, request);
            }
            Request::Message { .. } | Request::Fault { .. } | Request::Reply { .. } => {
                if self.deliver_parcel(machine, &request, None, &mut 0, now)? == Progress::More {
                    return self.employ(core, from, request);
                }
            }
            Request::Notify { to, bits } => {
                let to = find(self, machine, to)?;
                self.raise(to, bits, now);
            }
            Request::Judge { message, from, verdict, pc } => self.judge(message, from, verdict, pc, now).map_err(Status::Failed)?,
            Request::Control { to, op, arguments } => {
                let to = find(self, machine, to)?;
                if op == AgentOp::Migrate && !self.can_send_agent(machine, arguments[0]) {
                    return Err(Status::Again);
                }
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
            Request::Record { to, observe, frame, bits, mode } => {
                self.record_for(machine, to, observe, frame, (bits, mode), now).map_err(Status::Failed)?;
            }
            Request::Inspect { table, cursor, subject } => {
                *values = self.one_record(machine, table, cursor, subject, now).map_err(Status::Failed)?;
            }
            Request::Pass => {}
            Request::Depart { .. } | Request::Sweep { .. } => {
                return self.employ(core, from, request);
            }
        }
        Ok(true)
    }

    /// Makes a job of a request; its answer comes at the end.
    fn employ(&mut self, core: u16, from: AgentId, request: Request) -> Result<bool, Status> {
        let place = self.jobs.iter_mut().find(|job| job.is_none()).ok_or(Status::Again)?;
        *place = Some(Job { core, from, request, agent: 1, slot: 1, done: 0 });
        self.jobs_waiting = true;
        Ok(false)
    }

    /// The agent of this core that a request is for.
    fn addressee(&mut self, machine: &mut M, id: AgentId, now: u64) -> Result<u16, Status> {
        match self.find_arrived(machine, id, now) {
            Some(slot) => Ok(slot),
            // It moved while the request was on its way.
            None if self.elsewhere(machine, id).is_some() => Err(Status::Again),
            None => Err(Status::Failed(Error::PeerDied)),
        }
    }

    /// Goes on with delivering what another core sent: a message, a fault or a reply.
    fn deliver_parcel(
        &mut self,
        machine: &mut M,
        request: &Request,
        job: Option<u8>,
        done: &mut u32,
        now: u64,
    ) -> Result<Progress, Status> {
        match *request {
            Request::Message { to, kind, ref parcel } => {
                let to = self.addressee(machine, to, now)?;
                self.take_parcel(machine, to, kind, parcel, job, done, now)
            }
            Request::Fault { to, ref parcel } => {
                let to = self.addressee(machine, to, now)?;
                self.take_parcel(machine, to, Received::Fault, parcel, job, done, now)
            }
            Request::Reply { incarnation, ref parcel } => self.take_reply(machine, incarnation, parcel, now),
            _ => Ok(Progress::Done),
        }
    }

    /// The answer to a request of an agent of this core, which may be dying by now.
    fn answered(&mut self, machine: &mut M, to: AgentId, status: Status, values: &[u64; ANSWER_WORDS], now: u64) {
        let me = to.slot();
        if self.agents.get(me).is_none_or(|agent| agent.id != to) {
            return;
        }
        let asking = core::mem::take(&mut self.agents[me].asking);
        self.settle_cargo(machine, me, status == Status::Done, now);
        self.unpark(me, now);
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
            (Asking::Gone(error), Ok(())) => self.agents[me].fail(error),
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
        if let Asking::Operation(message) = asking {
            self.forget_operation(me, message);
        }
        // A fault repeats itself, and long work goes on where it was.
        let repeats = asking == Asking::Work || (matches!(asking, Asking::Fault(_)) && !self.exited(me));
        let agent = &mut self.agents[me];
        agent.state = State::Ready;
        if !repeats {
            agent.registers.pc -= 4;
        }
        self.wake(me, now);
    }

    /// One bounded step of the end of mappings, or of a job, if one is to be done now.
    #[cold]
    #[inline(never)]
    pub(super) fn work_for_others(&mut self, machine: &mut M, now: u64) -> bool {
        if self.expire_step(machine, now) {
            return true;
        }
        if self.write_events(machine, now) {
            return true;
        }
        if self.jobs.iter().all(Option::is_none) {
            self.jobs_waiting = self.recording.is_some();
            (self.job_steps, self.jobs_ns) = (0, u64::MAX);
            return false;
        }
        if self.context != 0 && now < self.jobs_ns && self.jobs_ns != u64::MAX {
            return false;
        }
        if self.jobs_ns != u64::MAX {
            (self.job_steps, self.jobs_ns) = (0, u64::MAX);
        }
        self.pay(now);
        if !self.job_step(machine, now) {
            return false;
        }
        self.absolving = true;
        self.job_steps += 1;
        if !self.works_for_others() {
            // The next that comes begins a turn, and no timer waits for what is done.
            self.job_steps = 0;
        } else if self.job_steps == JOB_STEPS {
            self.jobs_ns = now + TURN_NS;
            self.timer_stale = true;
        }
        true
    }

    /// One bounded step of a job, if one is to be done now. Messages come before everybody; long searches come before those who share what EDF leaves.
    fn job_step(&mut self, machine: &mut M, now: u64) -> bool {
        let reserved = self.context != 0 && self.agents[self.context].sc.class() == 1;
        let is_message = |job: &Job| !matches!(job.request, Request::Depart { .. } | Request::Sweep { .. });
        let urgent = self.jobs.iter().position(|job| job.as_ref().is_some_and(is_message));
        let any = || self.jobs.iter().position(|job| job.is_some() && !reserved);
        let Some(place) = urgent.or_else(any) else { return false };
        self.step_job(machine, place, now);
        true
    }

    /// One bounded step of the job with this index.
    #[cold]
    #[inline(never)]
    pub(super) fn step_job(&mut self, machine: &mut M, place: usize, now: u64) {
        let Some(mut job) = self.jobs[place] else { return };
        let (agent, slot) = (job.agent, job.slot);
        let mut walk = |next: Option<(u16, u16)>| {
            (job.agent, job.slot) = next.unwrap_or_default();
            Ok(if next.is_some() { Progress::More } else { Progress::Done })
        };
        let stepped = match job.request {
            Request::Depart { id, error } => walk(self.depart_step(machine, id, error, agent, now).map(|agent| (agent, 1))),
            Request::Sweep { root } => walk(self.unmap_void(machine, root, agent, slot)),
            request => self.deliver_parcel(machine, &request, Some(place as u8), &mut job.done, now),
        };
        let status = match stepped {
            Ok(Progress::More) => {
                self.jobs[place] = Some(job);
                return;
            }
            Ok(Progress::Done) => Status::Done,
            Err(status) => status,
        };
        // `job_step` finds out whether anything is left to do.
        self.jobs[place] = None;
        self.answer(machine, job.core, job.from, status, [0; ANSWER_WORDS]);
    }

    /// Ends waits for an agent that is gone, and condemns its children, a bounded number of agents in a step.
    pub(super) fn depart_step(&mut self, machine: &mut M, id: AgentId, error: Error, first: u16, now: u64) -> Option<u16> {
        const PER_STEP: u16 = 64;
        if error != Error::PeerRestarted {
            self.unregister(id);
        }
        self.stop_recording_for(machine, id, now);
        let lived_here = self.agents.get(id.slot()).is_some_and(|agent| agent.id == id);
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
            } else if lived_here && agent.state == State::Remote {
                // What was sent to it on the core that it came from may have been received; the answer, which was sent before it came, is not taken yet.
                match agent.asking {
                    Asking::Call(peer) if peer == id => self.agents[slot].asking = Asking::Gone(error),
                    Asking::Fault(peer) if peer == id => self.condemn(slot, now),
                    _ => {}
                }
            }
        }
        ((stop as usize) < AGENTS).then_some(stop)
    }
}
