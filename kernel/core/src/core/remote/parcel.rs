//! Messages between cores: packed on one side, delivered on the other.
//!
//! A message with capabilities, or longer than registers hold, travels in *cargo*: pages that the asker's pool pays until the answer is there.
//! A long payload is copied page by page, and an interrupt may come after each: into the cargo as the sender's work, out of it as a job of the other core.

use aios_abi::Error;
use aios_abi::id::{AgentId, MessageId, SlotHandle};
use aios_abi::limits::{MESSAGE_CAPS, MESSAGE_REGISTERS, PAGE_SIZE};
use aios_abi::message::{Received, RecvInfo, SendInfo};
use aios_abi::rights::Kind;

use super::super::Core;
use super::super::transfer::{cap_handles, payload};
use super::packet::{Cargo, Parcel, Status};
use crate::agent::{Copy, Outgoing, State, Work};
use crate::cap::Slot;
use crate::machine::Machine;
use crate::mailbox::{Draft, Envelope};
use crate::space::{CopyCursor, Progress};

/// Where the payload of cargo starts: behind the capabilities.
const CARGO_PAYLOAD: u64 = (MESSAGE_CAPS * size_of::<Slot>()) as u64;
const PAGE: u64 = PAGE_SIZE as u64;

impl<M: Machine> Core<M> {
    /// Packs the message that `from` holds for another core. Its capabilities go as copies; a move is completed when the answer is there.
    /// `None`: its payload is being loaded, and at the end of that the call is made again.
    pub(in crate::core) fn pack(
        &mut self,
        machine: &mut M,
        from: u16,
        info: SendInfo,
        outgoing: Outgoing,
        now: u64,
    ) -> Result<Option<Parcel>, Error> {
        let long = info.length as usize > MESSAGE_REGISTERS;
        let sender = self.agents[from].id;
        let words = if long { [0; 8] } else { payload(&self.agents[from].registers.x, info.length) };
        let mut parcel = Parcel { sender, info, outgoing, words, cargo: None };
        if !long && info.caps == 0 {
            return Ok(Some(parcel));
        }
        let bytes = CARGO_PAYLOAD + if long { info.length as u64 } else { 0 };
        let pages = bytes.div_ceil(PAGE);
        let loaded = self.agents[from].loaded.take();
        let cargo = match loaded {
            Some(cargo) => cargo,
            None => {
                self.agents[from].pools[0].take(pages)?;
                let Some(address) = machine.alloc(pages) else {
                    self.agents[from].pools[0].give(pages);
                    return Err(Error::NoMemory);
                };
                Cargo { address, pages }
            }
        };
        if long && loaded.is_none() {
            self.agents[from].work = Some(Work::Load { cargo, done: 0 });
            return Ok(None);
        }
        let address = cargo.address;
        let handles = cap_handles(&self.agents[from].registers.x);
        for (i, &handle) in handles.iter().take(info.caps as usize).enumerate() {
            let words = self.detach(machine, from, handle, false, now).unwrap_or(Slot::EMPTY).to_words();
            for (j, &word) in words.iter().enumerate() {
                machine.write(address + (i * size_of::<Slot>() + j * 8) as u64, word);
            }
        }
        parcel.cargo = Some(cargo);
        self.agents[from].cargo = Some((cargo, info.caps));
        Ok(Some(parcel))
    }

    /// Goes on with copying a payload from its sender's memory into cargo, until it is there or an interrupt waits; then the call that sends it is made.
    pub(in crate::core) fn load_step(&mut self, machine: &mut M, from: u16, cargo: Cargo, mut done: u32, now: u64) {
        let length = SendInfo::decode(self.arg(from, 10)).unwrap_or_default().length;
        while done < length {
            let place = match self.reach(machine, from, self.arg(from, 11).wrapping_add(done as u64), false) {
                Ok(place) => place,
                Err(error) => {
                    self.agents[from].work = None;
                    self.unload_cargo(machine, from, cargo);
                    self.agents[from].fail(error);
                    return;
                }
            };
            let target = cargo.address + CARGO_PAYLOAD + done as u64;
            let piece = ((length - done) as u64).min(PAGE - place % PAGE).min(PAGE - target % PAGE);
            machine.copy(target, place, piece as usize);
            done += piece as u32;
            if done < length && machine.interrupt_pending() {
                self.agents[from].work = Some(Work::Load { cargo, done });
                return;
            }
        }
        self.agents[from].work = None;
        self.agents[from].loaded = Some(cargo);
        self.make_call(machine, from, now);
        // It may be refused by now, or have to go nowhere.
        if let Some(cargo) = self.agents[from].loaded.take() {
            self.unload_cargo(machine, from, cargo);
        }
    }

    /// Cargo without capabilities that was never sent: its pages go back.
    pub(in crate::core) fn unload_cargo(&mut self, machine: &mut M, from: u16, cargo: Cargo) {
        machine.free(cargo.address, cargo.pages);
        self.agents[from].pools[0].give(cargo.pages);
    }

    /// Copies the payload of cargo into an agent's memory, until it is there or an interrupt waits; how far it came is kept.
    fn unload(&mut self, machine: &mut M, to: u16, parcel: &Parcel, cargo: Cargo) -> Result<Progress, Error> {
        let (target, length) = (self.arg(to, 11), parcel.info.length);
        let turn = parcel.outgoing.message;
        let mut copy = Copy { from: parcel.sender, turn, source: cargo.address, target, length, cursor: CopyCursor::START };
        copy.cursor = self.begun(to, copy);
        let base = target;
        while copy.cursor.done() < length as usize {
            let done = copy.cursor.done() as u64;
            let target = self.reach(machine, to, base.wrapping_add(done), true)?;
            let place = cargo.address + CARGO_PAYLOAD + done;
            let piece = (length as u64 - done).min(PAGE - place % PAGE).min(PAGE - target % PAGE);
            machine.copy(target, place, piece as usize);
            copy.cursor.advance(piece as usize);
            if copy.cursor.done() < length as usize && machine.interrupt_pending() {
                self.agents[to].copy = Some(copy);
                return Ok(Progress::More);
            }
        }
        Ok(Progress::Done)
    }

    /// The capabilities in cargo.
    pub(super) fn cargo_slots(machine: &M, cargo: Option<Cargo>, caps: u8) -> [Slot; MESSAGE_CAPS] {
        let mut slots = [Slot::EMPTY; MESSAGE_CAPS];
        let Some(cargo) = cargo else { return slots };
        for (i, slot) in slots.iter_mut().take(caps as usize).enumerate() {
            *slot = Slot::from_words(core::array::from_fn(|j| machine.read(cargo.address + (i * size_of::<Slot>() + j * 8) as u64)));
        }
        slots
    }

    /// Puts capabilities from cargo into a table with room for them, and their handles into the holder's registers.
    pub(super) fn place_cargo(&mut self, machine: &M, to: u16, parcel: &Parcel) {
        if parcel.info.caps == 0 {
            return;
        }
        let slots = Self::cargo_slots(machine, parcel.cargo, parcel.info.caps);
        let mut given = [SlotHandle::NONE; MESSAGE_CAPS];
        for (given, slot) in given.iter_mut().zip(slots).take(parcel.info.caps as usize) {
            // One that was revoked on its way into the cargo is none.
            if slot.kind != Kind::Empty {
                *given = self.place(to, slot);
            }
        }
        self.write_handles(to, parcel.info.caps, given);
    }

    /// Receives a parcel for an agent of this core: into its hands if it waits, else into its mailbox. `More` if an interrupt waits: a job goes on, the one
    /// with the index `job`, if it is one already; `done` is how far it came into the mailbox.
    #[expect(clippy::too_many_arguments, reason = "one argument for each thing that a delivery depends on")]
    pub(super) fn take_parcel(
        &mut self,
        machine: &mut M,
        to: u16,
        kind: Received,
        parcel: &Parcel,
        job: Option<u8>,
        done: &mut u32,
        now: u64,
    ) -> Result<Progress, Status> {
        let Parcel { sender, info, outgoing, words, cargo } = *parcel;
        let long = info.length as usize > MESSAGE_REGISTERS;
        let sender = if kind == Received::Fault { AgentId::KERNEL } else { sender };
        let mine = job.map(Draft::Job).filter(|&mine| self.agents[to].mailbox.draft == Some(mine));
        if let Some((room, takes)) = self.waiting(to) {
            if mine.is_some() {
                self.agents[to].mailbox.draft = None;
            }
            if long && info.length > room && kind != Received::Fault {
                return Err(Status::Failed(Error::MessageTooLong));
            }
            if info.caps > takes {
                return Err(Status::Failed(Error::CapsRefused));
            }
            self.reserve_slots(machine, to, info.caps).map_err(Status::Failed)?;
            let unloaded = match cargo {
                Some(cargo) if long => self.unload(machine, to, parcel, cargo),
                _ => Ok(Progress::Done),
            };
            match unloaded {
                Ok(Progress::More) => return Ok(Progress::More),
                Ok(Progress::Done) => {
                    if !long {
                        self.agents[to].registers.x[..8].copy_from_slice(&words);
                    }
                    self.place_cargo(machine, to, parcel);
                    let head = RecvInfo { length: info.length, caps: info.caps, kind, rights: outgoing.rights };
                    Self::announce(&mut self.agents[to], head, sender, outgoing.badge, outgoing.message);
                    self.resume(to, now);
                    return Ok(Progress::Done);
                }
                // The receiver's own buffer is bad: it hears of it, and the message waits for its next receive.
                Err(error) => {
                    self.agents[to].fail(error);
                    self.resume(to, now);
                }
            }
        }
        let Outgoing { message, badge, rights } = outgoing;
        let envelope = Envelope { length: info.length, caps: info.caps, kind, sender, badge, rights, message };
        if mine.is_none() || self.agents[to].mailbox.draft.is_none() {
            *done = 0;
            match self.admits(machine, to, &envelope, now) {
                Ok(true) => {}
                Ok(false) => return Ok(Progress::More),
                // A call waits where it comes from until the server can take it, as it would in the server's queue; what doesn't fit then is refused
                // by the receive. Only a one-way message hears that the mailbox is full, or not for it.
                Err(_) if kind != Received::Message => return Err(Status::Again),
                Err(error) => return Err(Status::Failed(error)),
            }
        }
        let start = self.agents[to].mailbox.payload_at(&envelope);
        match cargo {
            Some(cargo) if long => {
                while *done < info.length {
                    let source = cargo.address + CARGO_PAYLOAD + *done as u64;
                    let (target, room) = self.agents[to].mailbox.piece(start, *done);
                    let piece = room.min((PAGE - source % PAGE) as usize).min((info.length - *done) as usize);
                    machine.copy(target, source, piece);
                    *done += piece as u32;
                    if *done < info.length && machine.interrupt_pending() {
                        self.agents[to].mailbox.draft = job.map(Draft::Job);
                        return Ok(Progress::More);
                    }
                }
            }
            _ => {
                for (i, &word) in words.iter().take(info.length.div_ceil(8) as usize).enumerate() {
                    self.agents[to].mailbox.write(machine, start, i as u32, word);
                }
            }
        }
        let slots = Self::cargo_slots(machine, cargo, info.caps);
        self.agents[to].mailbox.begin(machine, &envelope, &slots[..info.caps as usize]);
        self.commit(to, &envelope, now);
        Ok(Progress::Done)
    }

    /// Receives the reply to a call that an agent of this core made. A reply that nobody waits for is no error: the call has ended.
    /// `More` if an interrupt waits.
    pub(super) fn take_reply(&mut self, machine: &mut M, incarnation: u32, parcel: &Parcel, now: u64) -> Result<Progress, Status> {
        let Parcel { sender, info, outgoing, words, cargo } = *parcel;
        let to = outgoing.message.sender_slot();
        let Some(agent) = self.agents.get(to) else { return Err(Status::Failed(Error::NoSuchMessage)) };
        if agent.state != State::Awaiting(sender) || agent.outgoing.message != outgoing.message {
            if self.pqc_take(to, sender, outgoing.message, info, &words, now) {
                return Ok(Progress::Done);
            }
            return Err(Status::Failed(Error::NoSuchMessage));
        }
        let wanted = SendInfo::decode(agent.registers.x[10]).unwrap_or_default();
        let long = info.length as usize > MESSAGE_REGISTERS;
        let checked = match self.check_room(machine, to, info, wanted.room, wanted.take_caps) {
            Ok(()) => match cargo {
                Some(cargo) if long => self.unload(machine, to, parcel, cargo),
                _ => Ok(Progress::Done),
            },
            Err(error) => Err(error),
        };
        match checked {
            Ok(Progress::More) => return Ok(Progress::More),
            Ok(Progress::Done) => {
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
        Ok(Progress::Done)
    }

    /// Cargo has done its work: its pages go back. Capabilities in it that nobody took are released; those to be moved are completed.
    pub(in crate::core) fn settle_cargo(&mut self, machine: &mut M, me: u16, taken: bool, now: u64) {
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
            for handle in cap_handles(&self.agents[me].registers.x).into_iter().take(caps as usize) {
                if self.agents[me].slots.get(handle).is_ok() {
                    self.drop_slot(machine, me, handle.index(), now);
                }
            }
        }
    }
}
