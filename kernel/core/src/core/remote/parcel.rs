//! Messages between cores: packed on one side, delivered on the other.
//!
//! A message with capabilities, or longer than registers hold, travels in *cargo*: pages that the asker's pool pays until the answer is there.

use aios_abi::Error;
use aios_abi::id::{AgentId, MessageId, SlotHandle};
use aios_abi::limits::{MESSAGE_CAPS, MESSAGE_REGISTERS, PAGE_SIZE};
use aios_abi::message::{Received, RecvInfo, SendInfo};
use aios_abi::rights::Kind;

use super::super::Core;
use super::super::transfer::{cap_handles, payload};
use super::packet::{Cargo, Parcel, Status};
use crate::agent::{Outgoing, State};
use crate::cap::Slot;
use crate::machine::Machine;
use crate::mailbox::Envelope;

/// Where the payload of cargo starts: behind the capabilities.
const CARGO_PAYLOAD: u64 = (MESSAGE_CAPS * size_of::<Slot>()) as u64;
const PAGE: u64 = PAGE_SIZE as u64;

impl<M: Machine> Core<M> {
    /// Packs the message that `from` holds for another core. Its capabilities go as copies; a move is completed when the answer is there.
    pub(in crate::core) fn pack(
        &mut self,
        machine: &mut M,
        from: u16,
        info: SendInfo,
        outgoing: Outgoing,
        now: u64,
    ) -> Result<Parcel, Error> {
        let long = info.length as usize > MESSAGE_REGISTERS;
        let sender = self.agents[from].id;
        let words = if long { [0; 8] } else { payload(&self.agents[from].registers.x, info.length) };
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
        let handles = cap_handles(&self.agents[from].registers.x);
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
    pub(super) fn load(&mut self, machine: &mut M, from: u16, cargo: Cargo, length: u64) -> Result<(), Error> {
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
    pub(super) fn unload(&mut self, machine: &mut M, to: u16, cargo: Cargo, length: u64) -> Result<(), Error> {
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

    /// Receives a parcel for an agent of this core: into its hands if it waits, else into its mailbox.
    pub(super) fn take_parcel(&mut self, machine: &mut M, to: u16, kind: Received, parcel: &Parcel, now: u64) -> Result<(), Status> {
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
        if long && info.length > self.agents[to].takes_bytes {
            return Err(Status::Failed(Error::MessageTooLong));
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
    pub(super) fn take_reply(&mut self, machine: &mut M, incarnation: u32, parcel: &Parcel, now: u64) -> Result<(), Status> {
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
