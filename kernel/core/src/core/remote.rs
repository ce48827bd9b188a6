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

use aios_abi::Error;
use aios_abi::call::AgentOp;
use aios_abi::id::{AgentId, MessageId, SlotHandle};
use aios_abi::limits::{AGENTS, CORES, MESSAGE_CAPS, MESSAGE_REGISTERS, PAGE_SIZE};
use aios_abi::message::{Received, RecvInfo, SendInfo};
use aios_abi::record::{AgentRecord, Table};

use super::{Core, Done, Outcome};
use crate::agent::{Agent, Outgoing, State};
use crate::cap::Slot;
use crate::machine::{Lane, Machine};
use crate::mailbox::Envelope;
use crate::sched::Params;
use crate::space::Access;

/// Requests that one core has under way with one other.
pub const OUTSTANDING: u16 = 32;
/// Notices that wait to be sent.
pub(super) const OUTBOX: usize = 64;
/// Notices that one step in the kernel makes at most.
const NOTICES_PER_STEP: usize = 24;
/// Long work that other cores asked for.
pub(super) const JOBS: usize = CORES;
/// Words of an answer: the longest record, its length, and the next cursor.
pub const ANSWER_WORDS: usize = AgentRecord::WORDS + 2;
/// Where the payload of cargo starts: behind the capabilities.
const CARGO_PAYLOAD: u64 = (MESSAGE_CAPS * size_of::<Slot>()) as u64;
const PAGE: u64 = PAGE_SIZE as u64;

/// Pages that hold capabilities and payload of a message between cores.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Cargo {
    /// Physical address of the first page.
    address: u64,
    pages: u64,
}

/// A message on its way to another core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parcel {
    sender: AgentId,
    info: SendInfo,
    outgoing: Outgoing,
    words: [u64; 8],
    cargo: Option<Cargo>,
}

impl Parcel {
    /// A message of register words.
    pub(super) const fn of_words(sender: AgentId, info: SendInfo, outgoing: Outgoing, words: [u64; 8]) -> Self {
        Self { sender, info, outgoing, words, cargo: None }
    }
}

/// What an agent asks of another core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// Deliver a message or a call.
    Message {
        /// The receiver.
        to: AgentId,
        /// Message or call.
        kind: Received,
        /// The message.
        parcel: Parcel,
    },
    /// Deliver the reply to a call.
    Reply {
        /// The replier's incarnation.
        incarnation: u32,
        /// The reply; its message id is the call's.
        parcel: Parcel,
    },
    /// Raise notification bits.
    Notify {
        /// Whose.
        to: AgentId,
        /// Which.
        bits: u64,
    },
    /// Tell a supervisor of a fault.
    Fault {
        /// The supervisor.
        to: AgentId,
        /// The fault; its words are [`aios_abi::message::Fault`].
        parcel: Parcel,
    },
    /// Answer a fault.
    Judge {
        /// The fault's message.
        message: MessageId,
        /// The supervisor.
        from: AgentId,
        /// 0 resume, 1 resume at `pc`, 2 kill.
        verdict: u64,
        /// Where to resume.
        pc: u64,
    },
    /// `AgentControl`.
    Control {
        /// The agent.
        to: AgentId,
        /// What to do.
        op: AgentOp,
        /// `x1`–`x6`.
        arguments: [u64; 6],
    },
    /// Set an agent's supervisor: agent and badge.
    Supervise {
        /// The agent.
        to: AgentId,
        /// Its supervisor.
        supervisor: (AgentId, u64),
    },
    /// `SchedSet`.
    Schedule {
        /// The agent.
        to: AgentId,
        /// Its parameters.
        params: Params,
    },
    /// `Watch` on an agent.
    Watch {
        /// The agent.
        to: AgentId,
        /// Who watches.
        watcher: AgentId,
        /// Bits to raise at its death.
        bits: u64,
    },
    /// Put a capability into a table.
    Grant {
        /// Whose.
        to: AgentId,
        /// The capability; the reference on its node goes along.
        slot: Slot,
        /// Index, or 0.
        wanted: u16,
    },
    /// Map a frame or device into an agent, which gets the capability too.
    Map {
        /// Into whose space.
        to: AgentId,
        /// The capability, its word the address; the reference on its node goes along.
        slot: Slot,
        /// How.
        access: Access,
    },
    /// An agent is gone (or starts anew): end waits for it, and kill its children.
    Depart {
        /// The agent.
        id: AgentId,
        /// What those hear that wait for it.
        error: Error,
    },
    /// Nothing: the answer says that the core has been through its kernel's end since.
    Pass,
    /// Remove mappings of a tree: of void capabilities, or all.
    Sweep {
        /// Root of the tree.
        root: u32,
        /// All of them.
        whole: bool,
    },
    /// One record.
    Inspect {
        /// Of which table.
        table: Table,
        /// Cursor.
        cursor: u64,
        /// Agent, for tables of one agent.
        subject: AgentId,
    },
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Done.
    Done,
    /// Refused.
    Failed(Error),
    /// Not now: the call starts over.
    Again,
}

/// What travels between cores.
pub enum Packet<M: Machine> {
    /// A request.
    Request {
        /// The core that wants the answer.
        core: u16,
        /// The agent that waits for it.
        from: AgentId,
        /// What it asks.
        request: Request,
    },
    /// The answer to a request.
    Answer {
        /// The core that answers.
        core: u16,
        /// The agent that waits for it.
        to: AgentId,
        /// How it ended.
        status: Status,
        /// What it brings.
        values: [u64; ANSWER_WORDS],
    },
    /// Something that needs no answer.
    Notice(Notice),
    /// An agent that moves here.
    Move(M::Page<Agent<M>>),
}

/// Something that needs no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notice {
    /// Raise notification bits.
    Raise {
        /// Whose.
        to: AgentId,
        /// Which.
        bits: u64,
    },
    /// Give pages back to a pool.
    Credit {
        /// Whose pool.
        to: AgentId,
        /// Which.
        pool: u8,
        /// Pages.
        pages: u64,
        /// A child's quota: the child is gone.
        child: bool,
    },
}

/// What an agent does when its answer comes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Asking {
    /// It asks nothing.
    #[default]
    Nothing,
    /// The call ends with the answer's status.
    Status,
    /// The same, and `x0` is the first value.
    Value,
    /// A call: it waits for the reply until the deadline.
    Call(AgentId),
    /// A one-way message: `x12` is its id.
    Send,
    /// A reply, and then a receive.
    ReplyThenReceive,
    /// A fault: the agent stays stopped.
    Fault(AgentId),
    /// A grant of the capability in this slot index; a move is completed when it is done.
    Grant {
        /// Index in the asker's table.
        index: u16,
        /// Move.
        moves: bool,
    },
    /// A mapping into another agent.
    Mapping,
    /// Records go to the asker's buffer.
    Inspect,
    /// A PQC operation.
    Operation(MessageId),
    /// The reaper goes on.
    Reap,
    /// The work goes on with the next core.
    Work,
}

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
            Packet::Notice(Notice::Credit { to, pool, pages, child }) => self.credit(to, pool, pages, child),
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
                self.map_copy(machine, to, slot, access).map_err(Status::Failed)?;
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

    // ---- messages ----------------------------------------------------------------------------------------------------------------

    /// Packs the message that `from` holds for another core. Its capabilities go as copies; a move is completed when the answer is there.
    pub(super) fn pack(&mut self, machine: &mut M, from: u16, info: SendInfo, outgoing: Outgoing, now: u64) -> Result<Parcel, Error> {
        let long = info.length as usize > MESSAGE_REGISTERS;
        let sender = self.agents[from].id;
        let words = if long { [0; 8] } else { super::ipc::payload(&self.agents[from].registers.x, info.length) };
        let mut parcel = Parcel { sender, info, outgoing, words, cargo: None };
        if !long && info.caps == 0 {
            return Ok(parcel);
        }
        let bytes = CARGO_PAYLOAD + if long { info.length as u64 } else { 0 };
        let pages = bytes.div_ceil(PAGE);
        self.agents[from].pools[0].take(pages)?;
        let Some(address) = machine.alloc(pages) else {
            self.agents[from].pools[0].give(pages);
            return Err(Error::NoMemory);
        };
        let cargo = Cargo { address, pages };
        let filled = if long { self.load(machine, from, cargo, info.length as u64) } else { Ok(()) };
        if let Err(error) = filled {
            machine.free(address, pages);
            self.agents[from].pools[0].give(pages);
            return Err(error);
        }
        let handles = super::ipc::cap_handles(&self.agents[from].registers.x);
        for (i, &handle) in handles.iter().take(info.caps as usize).enumerate() {
            let words = self.detach(machine, from, handle, false, now).unwrap_or(Slot::EMPTY).to_words();
            for (j, &word) in words.iter().enumerate() {
                machine.write(address + (i * size_of::<Slot>() + j * 8) as u64, word);
            }
        }
        parcel.cargo = Some(cargo);
        self.agents[from].cargo = Some((cargo, info.caps));
        Ok(parcel)
    }

    /// Copies a payload from its sender's memory into cargo.
    fn load(&mut self, machine: &mut M, from: u16, cargo: Cargo, length: u64) -> Result<(), Error> {
        let source = self.arg(from, 11);
        let mut done = 0;
        while done < length {
            let place = self.reach(machine, from, source.wrapping_add(done), false)?;
            let target = cargo.address + CARGO_PAYLOAD + done;
            let piece = (length - done).min(PAGE - place % PAGE).min(PAGE - target % PAGE);
            machine.copy(target, place, piece as usize);
            done += piece;
        }
        Ok(())
    }

    /// Copies the payload of cargo into an agent's memory.
    fn unload(&mut self, machine: &mut M, to: u16, cargo: Cargo, length: u64) -> Result<(), Error> {
        let base = self.arg(to, 11);
        let mut done = 0;
        while done < length {
            let target = self.reach(machine, to, base.wrapping_add(done), true)?;
            let place = cargo.address + CARGO_PAYLOAD + done;
            let piece = (length - done).min(PAGE - place % PAGE).min(PAGE - target % PAGE);
            machine.copy(target, place, piece as usize);
            done += piece;
        }
        Ok(())
    }

    /// The capabilities in cargo.
    fn cargo_slots(machine: &M, cargo: Option<Cargo>, caps: u8) -> [Slot; MESSAGE_CAPS] {
        let mut slots = [Slot::EMPTY; MESSAGE_CAPS];
        let Some(cargo) = cargo else { return slots };
        for (i, slot) in slots.iter_mut().take(caps as usize).enumerate() {
            *slot = Slot::from_words(core::array::from_fn(|j| machine.read(cargo.address + (i * size_of::<Slot>() + j * 8) as u64)));
        }
        slots
    }

    /// Puts capabilities from cargo into a table with room for them, and their handles into the holder's registers.
    fn place_cargo(&mut self, machine: &M, to: u16, parcel: &Parcel) {
        if parcel.info.caps == 0 {
            return;
        }
        let slots = Self::cargo_slots(machine, parcel.cargo, parcel.info.caps);
        let mut given = [SlotHandle::NONE; MESSAGE_CAPS];
        for (given, slot) in given.iter_mut().zip(slots).take(parcel.info.caps as usize) {
            *given = self.place(to, slot);
        }
        self.write_handles(to, parcel.info.caps, given);
    }

    /// Receives a parcel for an agent of this core: into its hands if it waits, else into its mailbox.
    fn take_parcel(&mut self, machine: &mut M, to: u16, kind: Received, parcel: &Parcel, now: u64) -> Result<(), Status> {
        let Parcel { sender, info, outgoing, words, cargo } = *parcel;
        let long = info.length as usize > MESSAGE_REGISTERS;
        if let Some((room, takes)) = self.waiting(to) {
            if long && info.length > room && kind != Received::Fault {
                return Err(Status::Failed(Error::MessageTooLong));
            }
            if info.caps > takes {
                return Err(Status::Failed(Error::CapsRefused));
            }
            self.reserve_slots(machine, to, info.caps).map_err(Status::Failed)?;
            let unloaded = match cargo {
                Some(cargo) if long => self.unload(machine, to, cargo, info.length as u64),
                _ => Ok(()),
            };
            match unloaded {
                Ok(()) => {
                    if !long {
                        self.agents[to].registers.x[..8].copy_from_slice(&words);
                    }
                    self.place_cargo(machine, to, parcel);
                    let head = RecvInfo { length: info.length, caps: info.caps, kind, rights: outgoing.rights };
                    let sender = if kind == Received::Fault { AgentId::KERNEL } else { sender };
                    Self::announce(&mut self.agents[to], head, sender, outgoing.badge, outgoing.message);
                    self.resume(to, now);
                    return Ok(());
                }
                // The receiver's own buffer is bad: it hears of it, and the message waits for its next receive.
                Err(error) => {
                    self.agents[to].fail(error);
                    self.resume(to, now);
                }
            }
        }
        let sender = if kind == Received::Fault { AgentId::KERNEL } else { sender };
        let Outgoing { message, badge, rights } = outgoing;
        let envelope = Envelope { length: info.length, caps: info.caps, kind, sender, badge, rights, message };
        match self.agents[to].mailbox.check(&envelope) {
            Ok(()) => {}
            // A call waits for room where it comes from; only a one-way message hears that there is none.
            Err(Error::QueueFull) if kind != Received::Message => return Err(Status::Again),
            Err(error) => return Err(Status::Failed(error)),
        }
        if info.caps > self.agents[to].takes_caps {
            return Err(Status::Failed(Error::CapsRefused));
        }
        let slots = Self::cargo_slots(machine, cargo, info.caps);
        let start = self.agents[to].mailbox.begin(machine, &envelope, &slots[..info.caps as usize]);
        match cargo {
            Some(cargo) if long => {
                let mut done = 0;
                while done < info.length {
                    let source = cargo.address + CARGO_PAYLOAD + done as u64;
                    let (target, room) = self.agents[to].mailbox.piece(start, done);
                    let piece = room.min((PAGE - source % PAGE) as usize).min((info.length - done) as usize);
                    machine.copy(target, source, piece);
                    done += piece as u32;
                }
            }
            _ => {
                for (i, &word) in words.iter().take(info.length.div_ceil(8) as usize).enumerate() {
                    self.agents[to].mailbox.write(machine, start, i as u32, word);
                }
            }
        }
        self.agents[to].mailbox.commit(&envelope);
        Ok(())
    }

    /// Receives the reply to a call that an agent of this core made. A reply that nobody waits for is no error: the call has ended.
    fn take_reply(&mut self, machine: &mut M, incarnation: u32, parcel: &Parcel, now: u64) -> Result<(), Status> {
        let Parcel { sender, info, outgoing, words, cargo } = *parcel;
        let to = outgoing.message.sender_slot();
        let Some(agent) = self.agents.get(to) else { return Err(Status::Failed(Error::NoSuchMessage)) };
        if agent.state != State::Awaiting(sender) || agent.outgoing.message != outgoing.message {
            if self.pqc_take(to, sender, outgoing.message, info, &words, now) {
                return Ok(());
            }
            return Err(Status::Failed(Error::NoSuchMessage));
        }
        let wanted = SendInfo::decode(agent.registers.x[10]).unwrap_or_default();
        let long = info.length as usize > MESSAGE_REGISTERS;
        let checked = match self.check_room(machine, to, info, wanted.room, wanted.take_caps) {
            Ok(()) => match cargo {
                Some(cargo) if long => self.unload(machine, to, cargo, info.length as u64),
                _ => Ok(()),
            },
            refused => refused,
        };
        match checked {
            Ok(()) => {
                if !long {
                    self.agents[to].registers.x[..8].copy_from_slice(&words);
                }
                self.place_cargo(machine, to, parcel);
                let (badge, deadline) = (self.arg(to, 11), self.arg(to, 12));
                let head = RecvInfo { length: info.length, caps: info.caps, kind: Received::Reply, rights: incarnation };
                Self::announce(&mut self.agents[to], head, sender, badge, MessageId(deadline));
            }
            Err(error) => {
                self.agents[to].fail(error);
                self.resume(to, now);
                return Err(Status::Failed(error));
            }
        }
        self.resume(to, now);
        Ok(())
    }

    // ---- answers -----------------------------------------------------------------------------------------------------------------

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

    /// Cargo has done its work: its pages go back. Capabilities in it that nobody took are released; those to be moved are completed.
    pub(super) fn settle_cargo(&mut self, machine: &mut M, me: u16, taken: bool, now: u64) {
        if let Some(slot) = self.agents[me].granting.take()
            && !taken
        {
            self.release_node(machine, &slot, now);
        }
        let Some((cargo, caps)) = self.agents[me].cargo.take() else { return };
        let slots = Self::cargo_slots(machine, Some(cargo), caps);
        machine.free(cargo.address, cargo.pages);
        self.agents[me].pools[0].give(cargo.pages);
        if !taken {
            for slot in slots.iter().take(caps as usize) {
                self.release_node(machine, slot, now);
            }
            return;
        }
        let x = &self.agents[me].registers.x;
        let info = SendInfo::decode(x[10]).unwrap_or_default();
        if info.move_caps && self.agents[me].state == State::Remote {
            for handle in super::ipc::cap_handles(&self.agents[me].registers.x).into_iter().take(caps as usize) {
                if self.agents[me].slots.get(handle).is_ok() {
                    self.drop_slot(machine, me, handle.index(), now);
                }
            }
        }
    }

    // ---- long work for other cores -----------------------------------------------------------------------------------------------

    /// One bounded step of the first job, if there is one.
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
        let stop = first.saturating_add(PER_STEP).min(AGENTS as u16);
        for slot in first..stop {
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

    // ---- migration ---------------------------------------------------------------------------------------------------------------

    /// Whether an agent can move: nobody of this core waits for it, and it waits for nobody.
    fn check_movable(&self, slot: u16) -> Result<(), Error> {
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
    pub(super) fn migrate(&mut self, machine: &mut M, slot: u16, core: u64, now: u64) -> Result<(), Error> {
        if core == self.facts.core {
            return Ok(());
        }
        if core >= machine.cores() as u64 {
            return Err(Error::NoSuchCore);
        }
        self.check_movable(slot)?;
        self.pay(now);
        for kind in [super::TIMER_WAIT, super::TIMER_USER, super::TIMER_PQC] {
            let at = self.timers.time(&self.agents, slot, kind);
            self.set_agent_timer(slot, kind, u64::MAX);
            self.agents[slot].travel_ns[kind as usize] = at;
        }
        self.sched.dequeue(&mut self.agents, slot);
        if self.context == slot {
            (self.context, self.current) = (0, 0);
        }
        self.undecided = true;
        machine.save_fp(slot);
        machine.forget(slot);
        let Some(page) = self.agents.0[slot as usize].take() else { return Err(Error::PeerDied) };
        machine.set_home(slot, core as u16);
        match machine.post(core as u16, Lane::Request, Packet::Move(page)) {
            Ok(()) => {
                self.alive -= 1;
                Ok(())
            }
            Err(packet) => {
                machine.set_home(slot, self.facts.core as u16);
                if let Packet::Move(page) = packet {
                    self.agents.0[slot as usize] = Some(page);
                    self.settle_in(slot, now);
                }
                Err(Error::Busy)
            }
        }
    }

    fn arrive(&mut self, machine: &mut M, page: M::Page<Agent<M>>, now: u64) {
        let slot = page.id.slot();
        self.agents.0[slot as usize] = Some(page);
        self.alive += 1;
        let _ = machine;
        self.settle_in(slot, now);
    }

    /// An agent lives here from now on: its timers run, and it competes.
    fn settle_in(&mut self, slot: u16, now: u64) {
        let times = core::mem::replace(&mut self.agents[slot].travel_ns, [u64::MAX; 3]);
        for (kind, at) in times.into_iter().enumerate() {
            self.set_agent_timer(slot, kind as u8, at);
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
