//! Asynchronous messages: into a mailbox, and out of it.
//!
//! A long payload is copied page by page, and an interrupt may come after each. The way in is [`Work`] of the sender, whose time pays; the record becomes
//! visible when it is whole. Whoever wants to write into the same mailbox before, brings it to its end first, so that nobody's copy is ever begun anew.
//! The way out goes on where it was when the receiver's call is made again.

use aios_abi::Error;
use aios_abi::id::{AgentId, SlotHandle};
use aios_abi::limits::{MESSAGE_CAPS, MESSAGE_REGISTERS, PAGE_SIZE};
use aios_abi::message::{Received, RecvInfo, SendInfo};
use aios_abi::rights::Kind;

use super::transfer::{cap_handles, payload};
use super::{Core, Done, Outcome};
use crate::agent::{Copy, Outgoing, State, Work};
use crate::cap::Slot;
use crate::machine::Machine;
use crate::mailbox::{Draft, Envelope};
use crate::space::CopyCursor;

fn envelope(sender: AgentId, info: SendInfo, outgoing: Outgoing, kind: Received) -> Envelope {
    let Outgoing { message, badge, rights } = outgoing;
    Envelope { length: info.length, caps: info.caps, kind, sender, badge, rights, message }
}

impl<M: Machine> Core<M> {
    /// Puts the message of a one-way send into a mailbox.
    pub(super) fn post(&mut self, machine: &mut M, from: u16, to: u16, info: SendInfo, outgoing: Outgoing, now: u64) -> Outcome {
        if info.length as usize <= MESSAGE_REGISTERS {
            let posted = self.post_short(machine, from, to, info, outgoing, Received::Message, now)?;
            self.set_arg(from, 12, if posted { outgoing.message.0 } else { self.arg(from, 12) });
            return Ok(if posted { Done::Return } else { Done::Resume });
        }
        if !self.admits(machine, to, &envelope(self.agents[from].id, info, outgoing, Received::Message), now)? {
            return Ok(Done::Resume);
        }
        self.agents[to].mailbox.draft = Some(Draft::Agent(self.agents[from].id));
        self.agents[from].work = Some(Work::Post { to: self.agents[to].id, outgoing, done: 0 });
        self.post_step(machine, from, now);
        Ok(Done::Leave)
    }

    /// Puts a message of register words into a mailbox. `Ok(false)`: an interrupt waits, and nothing has changed.
    #[expect(clippy::too_many_arguments, reason = "one argument for each thing that a record holds")]
    pub(super) fn post_short(
        &mut self,
        machine: &mut M,
        from: u16,
        to: u16,
        info: SendInfo,
        outgoing: Outgoing,
        kind: Received,
        now: u64,
    ) -> Result<bool, Error> {
        let envelope = envelope(self.agents[from].id, info, outgoing, kind);
        if !self.admits(machine, to, &envelope, now)? {
            return Ok(false);
        }
        let slots = self.detach_all(machine, from, info, now);
        let start = self.agents[to].mailbox.begin(machine, &envelope, &slots[..info.caps as usize]);
        let words = payload(&self.agents[from].registers.x, info.length);
        for (i, &word) in words.iter().take(info.length.div_ceil(8) as usize).enumerate() {
            self.agents[to].mailbox.write(machine, start, i as u32, word);
        }
        self.agents[to].mailbox.commit(&envelope);
        self.agents[from].counters.sent += 1;
        Ok(true)
    }

    /// Whether a record may be written into a mailbox now. `Ok(false)`: an interrupt waits while another's is brought to its end.
    pub(super) fn admits(&mut self, machine: &mut M, to: u16, envelope: &Envelope, now: u64) -> Result<bool, Error> {
        if let Some(draft) = self.agents[to].mailbox.draft
            && !self.finish_draft(machine, to, draft, now)
        {
            return Ok(false);
        }
        self.agents[to].mailbox.check(envelope)?;
        if envelope.length as usize > MESSAGE_REGISTERS && envelope.length > self.agents[to].takes_bytes {
            return Err(Error::MessageTooLong);
        }
        if envelope.caps > self.agents[to].takes_caps {
            return Err(Error::CapsRefused);
        }
        Ok(true)
    }

    /// Goes on with a record that somebody else has begun to write; whether nobody has one any more.
    #[cold]
    #[inline(never)]
    fn finish_draft(&mut self, machine: &mut M, to: u16, draft: Draft, now: u64) -> bool {
        let id = self.agents[to].id;
        match draft {
            Draft::Agent(writer) => match self.agents.find(writer) {
                Some(from) if matches!(self.agents[from].work, Some(Work::Post { to, .. }) if to == id) => {
                    self.post_step(machine, from, now)
                }
                _ => self.agents[to].mailbox.draft = None,
            },
            Draft::Job(place) => self.step_job(machine, place as usize, now),
        }
        self.agents[to].mailbox.draft.is_none()
    }

    /// Goes on with a long message of `from` that is on its way into a mailbox, until it is there or an interrupt waits.
    #[cold]
    #[inline(never)]
    pub(super) fn post_step(&mut self, machine: &mut M, from: u16, now: u64) {
        let Some(Work::Post { to: receiver, outgoing, mut done }) = self.agents[from].work else { return };
        let Some(to) = self.agents.find(receiver) else {
            self.agents[from].work = None;
            // One that moved is sent to again, where it is.
            match self.elsewhere(machine, receiver) {
                Some(_) => self.agents[from].registers.pc -= 4,
                None => self.agents[from].fail(Error::PeerDied),
            }
            return;
        };
        let info = SendInfo::decode(self.arg(from, 10)).unwrap_or_default();
        let envelope = envelope(self.agents[from].id, info, outgoing, Received::Message);
        let start = self.agents[to].mailbox.payload_at(&envelope);
        while done < info.length {
            let source = match self.reach(machine, from, self.arg(from, 11).wrapping_add(done as u64), false) {
                Ok(source) => source,
                Err(error) => {
                    self.agents[to].mailbox.draft = None;
                    self.agents[from].work = None;
                    self.agents[from].fail(error);
                    return;
                }
            };
            let (target, room) = self.agents[to].mailbox.piece(start, done);
            let piece = room.min(PAGE_SIZE - source as usize % PAGE_SIZE).min((info.length - done) as usize);
            machine.copy(target, source, piece);
            done += piece as u32;
            if done < info.length && machine.interrupt_pending() {
                self.agents[from].work = Some(Work::Post { to: receiver, outgoing, done });
                return;
            }
        }
        let slots = self.detach_all(machine, from, info, now);
        self.agents[to].mailbox.begin(machine, &envelope, &slots[..info.caps as usize]);
        self.commit(to, &envelope, now);
        let sender = &mut self.agents[from];
        sender.work = None;
        sender.counters.sent += 1;
        sender.registers.x[12] = outgoing.message.0;
        sender.succeed();
    }

    /// A long record is whole. A receiver that began to wait meanwhile receives again.
    pub(super) fn commit(&mut self, to: u16, envelope: &Envelope, now: u64) {
        let mailbox = &mut self.agents[to].mailbox;
        mailbox.draft = None;
        mailbox.commit(envelope);
        if self.agents[to].state == State::Receiving && self.waiting(to).is_some() {
            self.agents[to].registers.pc -= 4;
            self.resume(to, now);
        }
    }

    /// Takes copies of the capabilities that ride on a message, or the capabilities themselves, out of the sender's table.
    fn detach_all(&mut self, machine: &mut M, from: u16, info: SendInfo, now: u64) -> [Slot; MESSAGE_CAPS] {
        let handles = cap_handles(&self.agents[from].registers.x);
        let mut slots = [Slot::EMPTY; MESSAGE_CAPS];
        for (slot, &handle) in slots.iter_mut().zip(&handles).take(info.caps as usize) {
            *slot = self.detach(machine, from, handle, info.move_caps, now).unwrap_or(Slot::EMPTY);
        }
        slots
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
            if !self.take_payload(machine, me, &envelope, start)? {
                return Ok(Done::Resume);
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

    /// Copies the payload of the first record out of the mailbox. `Ok(false)`: an interrupt waits; how far it came is kept.
    fn take_payload(&mut self, machine: &mut M, me: u16, envelope: &Envelope, start: u32) -> Result<bool, Error> {
        let (address, length) = (self.arg(me, 11), envelope.length);
        let mut copy = Copy {
            from: envelope.sender,
            turn: envelope.message,
            source: start as u64,
            target: address,
            length,
            cursor: CopyCursor::START,
        };
        copy.cursor = self.begun(me, copy);
        while copy.cursor.done() < length as usize {
            let done = copy.cursor.done();
            let target = self.reach(machine, me, address.wrapping_add(done as u64), true)?;
            let (source, room) = self.agents[me].mailbox.piece(start, done as u32);
            let piece = room.min(PAGE_SIZE - target as usize % PAGE_SIZE).min(length as usize - done);
            machine.copy(target, source, piece);
            copy.cursor.advance(piece);
            if copy.cursor.done() < length as usize && machine.interrupt_pending() {
                self.agents[me].copy = Some(copy);
                return Ok(false);
            }
        }
        Ok(true)
    }
}
