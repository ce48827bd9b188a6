//! Asynchronous messages: into a mailbox, and out of it.

use aios_abi::Error;
use aios_abi::id::SlotHandle;
use aios_abi::limits::{MESSAGE_CAPS, MESSAGE_REGISTERS, PAGE_SIZE};
use aios_abi::message::{Received, RecvInfo, SendInfo};
use aios_abi::rights::Kind;

use super::transfer::{cap_handles, payload};
use super::{Core, Done, Outcome};
use crate::agent::Outgoing;
use crate::cap::Slot;
use crate::machine::Machine;
use crate::mailbox::Envelope;

impl<M: Machine> Core<M> {
    /// Puts a message into a mailbox.
    #[expect(clippy::too_many_arguments, reason = "one argument for each thing that a record holds")]
    pub(super) fn post(
        &mut self,
        machine: &mut M,
        from: u16,
        to: u16,
        info: SendInfo,
        outgoing: Outgoing,
        kind: Received,
        now: u64,
    ) -> Result<(), Error> {
        let sender = self.agents[from].id;
        let Outgoing { message, badge, rights } = outgoing;
        let envelope = Envelope { length: info.length, caps: info.caps, kind, sender, badge, rights, message };
        self.agents[to].mailbox.check(&envelope)?;
        if info.length as usize > MESSAGE_REGISTERS && info.length > self.agents[to].takes_bytes {
            return Err(Error::MessageTooLong);
        }
        if info.caps > self.agents[to].takes_caps {
            return Err(Error::CapsRefused);
        }
        let long = info.length as usize > MESSAGE_REGISTERS;
        if long {
            // Every page of the source is touched before anything is written.
            let (address, length) = (self.arg(from, 11), info.length as u64);
            let mut done = 0;
            while done < length {
                self.reach(machine, from, address.wrapping_add(done), false)?;
                done += PAGE_SIZE as u64 - address.wrapping_add(done) % PAGE_SIZE as u64;
            }
        }
        let handles = cap_handles(&self.agents[from].registers.x);
        let mut slots = [Slot::EMPTY; MESSAGE_CAPS];
        for (slot, &handle) in slots.iter_mut().zip(&handles).take(info.caps as usize) {
            *slot = self.detach(machine, from, handle, info.move_caps, now).unwrap_or(Slot::EMPTY);
        }
        let start = self.agents[to].mailbox.begin(machine, &envelope, &slots[..info.caps as usize]);
        if long {
            let mut done = 0;
            while done < info.length {
                let source = self.reach(machine, from, self.arg(from, 11).wrapping_add(done as u64), false)?;
                let (target, room) = self.agents[to].mailbox.piece(start, done);
                let piece = room.min(PAGE_SIZE - source as usize % PAGE_SIZE).min((info.length - done) as usize);
                machine.copy(target, source, piece);
                done += piece as u32;
            }
        } else {
            let words = payload(&self.agents[from].registers.x, info.length);
            for (i, &word) in words.iter().take(info.length.div_ceil(8) as usize).enumerate() {
                self.agents[to].mailbox.write(machine, start, i as u32, word);
            }
        }
        self.agents[to].mailbox.commit(&envelope);
        self.agents[from].counters.sent += 1;
        Ok(())
    }

    /// Receives the first message of the mailbox.
    pub(super) fn take_mail(&mut self, machine: &mut M, me: u16, info: SendInfo) -> Outcome {
        let Some((envelope, slots, start)) = self.agents[me].mailbox.first(machine) else { return Err(Error::Timeout) };
        let long = envelope.length as usize > MESSAGE_REGISTERS;
        if long && envelope.length > info.room {
            return Err(Error::MessageTooLong);
        }
        if envelope.caps > info.take_caps {
            return Err(Error::CapsRefused);
        }
        self.reserve_slots(machine, me, envelope.caps)?;
        let mut words = [0; 8];
        if long {
            let address = self.arg(me, 11);
            let mut done = 0;
            while done < envelope.length {
                let target = self.reach(machine, me, address.wrapping_add(done as u64), true)?;
                let (source, room) = self.agents[me].mailbox.piece(start, done);
                let piece = room.min(PAGE_SIZE - target as usize % PAGE_SIZE).min((envelope.length - done) as usize);
                machine.copy(target, source, piece);
                done += piece as u32;
            }
        } else {
            for (i, word) in words.iter_mut().take(envelope.length.div_ceil(8) as usize).enumerate() {
                *word = self.agents[me].mailbox.read(machine, start, i as u32);
            }
        }
        self.agents[me].mailbox.pop(&envelope);
        let mut given = [SlotHandle::NONE; MESSAGE_CAPS];
        for (given, slot) in given.iter_mut().zip(slots.into_iter().flatten()) {
            if slot.kind != Kind::Empty {
                *given = self.place(me, slot);
            }
        }
        if !long {
            self.agents[me].registers.x[..8].copy_from_slice(&words);
        }
        self.write_handles(me, envelope.caps, given);
        let head = RecvInfo { length: envelope.length, caps: envelope.caps, kind: envelope.kind, rights: envelope.rights };
        Self::announce(&mut self.agents[me], head, envelope.sender, envelope.badge, envelope.message);
        Ok(Done::Leave)
    }
}
