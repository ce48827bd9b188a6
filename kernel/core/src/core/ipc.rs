//! Messages between agents: send, receive, call, reply, notify.
//!
//! A message of at most 64 bytes goes from registers to registers. A longer one is copied exactly once, from the sender's memory to the receiver's,
//! when both are there; only `IPCSend` to a receiver that is busy keeps a copy, in the mailbox that the receiver's pool paid.

use aios_abi::Error;
use aios_abi::call::SLOT_SELF;
use aios_abi::id::{AgentId, MessageId, SlotHandle};
use aios_abi::limits::{MESSAGE_CAPS, MESSAGE_REGISTERS, PAGE_SIZE};
use aios_abi::message::{Received, RecvInfo, SendInfo};
use aios_abi::rights::{Kind, Rights};

use super::remote::{Asking, Place, Request};
use super::{Agents, Core, Done, Outcome};
use crate::agent::{Agent, Copy, Links, List, Outgoing, State};
use crate::cap::Slot;
use crate::machine::Machine;
use crate::mailbox::Envelope;
use crate::space::{CopyCursor, CopyFault, FaultReason, Progress, Side, copy_between};

/// Why a copy stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stop {
    /// That side's memory is not as it should be.
    Blame(Side, Error),
    /// An interrupt waits; how far it came is kept, and the call is made again.
    Later,
}

/// How a waiting call was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Taken {
    /// It is in the receiver's hands.
    Yes,
    /// It ended with an error for the caller.
    No,
    /// Not whole yet.
    Later,
}

/// What became of a reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Replied {
    /// This caller can go on.
    To(u16),
    /// It was the answer to an operation, whose owner doesn't wait in a call.
    Operation,
    /// Not whole yet.
    Later,
}

/// Which list of a server an agent waits in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wait {
    Queue,
    Open,
}

impl<M: Machine> Agents<M> {
    fn list(&mut self, server: u16, wait: Wait) -> &mut List {
        let server = &mut self[server];
        match wait {
            Wait::Queue => &mut server.queue,
            Wait::Open => &mut server.open,
        }
    }

    fn append(&mut self, server: u16, wait: Wait, agent: u16) {
        let tail = core::mem::replace(&mut self.list(server, wait).tail, agent);
        self[agent].links = Links { next: 0, previous: tail };
        match tail {
            0 => self.list(server, wait).head = agent,
            _ => self[tail].links.next = agent,
        }
    }

    fn remove(&mut self, server: u16, wait: Wait, agent: u16) {
        let Links { next, previous } = core::mem::take(&mut self[agent].links);
        // Who called from another core, or before the server came to this one, is in no list.
        if previous == 0 && self.list(server, wait).head != agent {
            return;
        }
        match previous {
            0 => self.list(server, wait).head = next,
            _ => self[previous].links.next = next,
        }
        match next {
            0 => self.list(server, wait).tail = previous,
            _ => self[next].links.previous = previous,
        }
    }
}

/// Payload words of a message of `length` bytes from registers; what lies beyond is zero.
#[inline]
pub(super) fn payload(x: &[u64; 31], length: u32) -> [u64; 8] {
    let mut words = [0; 8];
    let whole = (length / 8) as usize;
    words[..whole].copy_from_slice(&x[..whole]);
    if !length.is_multiple_of(8) {
        words[whole] = x[whole] & ((1 << (length % 8 * 8)) - 1);
    }
    words
}

/// Handles of the capabilities that ride on a message.
pub(super) fn cap_handles(x: &[u64; 31]) -> [SlotHandle; MESSAGE_CAPS] {
    let low = |word: u64| SlotHandle(word as u32);
    let high = |word: u64| SlotHandle((word >> 32) as u32);
    [low(x[7]), high(x[7]), low(x[6]), high(x[6])]
}

impl<M: Machine> Core<M> {
    /// The service that the current call goes to: its agent, badge and rights.
    #[inline]
    fn service(&mut self, machine: &M, me: u16, now: u64) -> Result<(AgentId, Outgoing), Error> {
        let handle = self.agents[me].registers.x[9];
        let slot = self.capability(machine, me, handle, Kind::Service, Rights::SEND, now)?;
        Ok((slot.agent(), Outgoing { message: MessageId::NONE, badge: slot.word, rights: slot.rights.0 }))
    }

    #[inline]
    fn next_message(&mut self, me: u16) -> MessageId {
        self.messages += 1;
        MessageId::new(me, self.messages)
    }

    /// What a message of `info` needs of its sender: capabilities that may be passed on.
    pub(super) fn check_caps(&mut self, machine: &M, from: u16, info: SendInfo, now: u64) -> Result<(), Error> {
        let handles = cap_handles(&self.agents[from].registers.x);
        for (i, &handle) in handles.iter().take(info.caps as usize).enumerate() {
            if handles[..i].contains(&handle) {
                return Err(Error::BadArgument);
            }
            let slot = self.agents[from].slots.get(handle)?;
            slot.validate(machine, now)?;
            if !slot.rights.contains(Rights::GRANT) {
                return Err(Error::MissingRight);
            }
            if info.move_caps && handle.index() == SLOT_SELF {
                return Err(Error::BadArgument);
            }
        }
        Ok(())
    }

    /// Whether a receiver that waits can take this message now.
    pub(super) fn check_room(&mut self, machine: &mut M, to: u16, info: SendInfo, room: u32, takes: u8) -> Result<(), Error> {
        if info.length as usize > MESSAGE_REGISTERS && info.length > room {
            return Err(Error::MessageTooLong);
        }
        if info.caps > takes {
            return Err(Error::CapsRefused);
        }
        self.reserve_slots(machine, to, info.caps)
    }

    /// Copies the payload of a message that `from` holds to `to`: registers, or memory named by `x11` of both. `turn` is 0 if `from` makes the call, and
    /// else the message that waits.
    fn copy_message(&mut self, machine: &mut M, from: u16, to: u16, length: u32, turn: MessageId) -> Result<(), Stop> {
        if length as usize <= MESSAGE_REGISTERS {
            let words = payload(&self.agents[from].registers.x, length);
            self.agents[to].registers.x[..8].copy_from_slice(&words);
            return Ok(());
        }
        let (source, target) = (self.agents[from].registers.x[11], self.agents[to].registers.x[11]);
        let copy = Copy { from: self.agents[from].id, turn, source, target, length, cursor: CopyCursor::START };
        let begun = self.agents[to].copy.take().filter(|begun| Copy { cursor: copy.cursor, ..*begun } == copy);
        let mut cursor = begun.map_or(copy.cursor, |begun| begun.cursor);
        let done = self.copy_memory(machine, (from, source), (to, target), length as u64, &mut cursor);
        if done == Err(Stop::Later) {
            self.agents[to].copy = Some(Copy { cursor, ..copy });
        }
        done
    }

    /// Copies bytes between two agents' memories; pages that are to come on first touch come.
    fn copy_memory(&mut self, machine: &mut M, from: (u16, u64), to: (u16, u64), length: u64, cursor: &mut CopyCursor) -> Result<(), Stop> {
        loop {
            let (source, target) = self.agents.pair(from.0, to.0);
            match copy_between(machine, &source.space, from.1, &target.space, to.1, cursor, length as usize) {
                Ok(Progress::Done) => return Ok(()),
                Ok(Progress::More) => return Err(Stop::Later),
                Err(CopyFault { side, address, reason: FaultReason::Unmapped }) => {
                    let slot = if side == Side::Source { from.0 } else { to.0 };
                    self.populate(machine, slot, address).map_err(|error| Stop::Blame(side, error))?;
                }
                Err(CopyFault { side, .. }) => return Err(Stop::Blame(side, Error::BadAddress)),
            }
        }
    }

    /// Gives the capabilities that ride on a message to the receiver and writes their handles into its registers. Both were checked.
    fn pass_caps(&mut self, machine: &mut M, from: u16, to: u16, info: SendInfo, now: u64) {
        if info.caps == 0 {
            return;
        }
        let handles = cap_handles(&self.agents[from].registers.x);
        let mut given = [SlotHandle::NONE; MESSAGE_CAPS];
        for (given, &handle) in given.iter_mut().zip(&handles).take(info.caps as usize) {
            if let Some(slot) = self.detach(machine, from, handle, info.move_caps, now) {
                *given = self.place(to, slot);
            }
        }
        self.write_handles(to, info.caps, given);
    }

    /// Writes the handles of received capabilities into the receiver's registers.
    pub(super) fn write_handles(&mut self, to: u16, caps: u8, given: [SlotHandle; MESSAGE_CAPS]) {
        let word = |a: SlotHandle, b: SlotHandle| a.0 as u64 | (b.0 as u64) << 32;
        let x = &mut self.agents[to].registers.x;
        if caps > 0 {
            x[7] = word(given[0], given[1]);
        }
        if caps > 2 {
            x[6] = word(given[2], given[3]);
        }
    }

    /// Writes the head of a received message into the receiver's registers.
    #[inline]
    pub(super) fn announce(receiver: &mut Agent<M>, info: RecvInfo, sender: AgentId, badge: u64, message: MessageId) {
        let x = &mut receiver.registers.x;
        x[8] = 0;
        x[9] = sender.0;
        x[10] = info.encode();
        x[11] = badge;
        x[12] = message.0;
        receiver.copy = None;
        receiver.counters.received += 1;
    }

    /// Moves a message from a sender to a receiver that waits. Both sides were checked, but for their memory.
    #[expect(clippy::too_many_arguments, reason = "one argument for each thing that a message is made of")]
    fn deliver(
        &mut self,
        machine: &mut M,
        from: u16,
        to: u16,
        info: SendInfo,
        kind: Received,
        outgoing: Outgoing,
        turn: MessageId,
        now: u64,
    ) -> Result<(), Stop> {
        self.copy_message(machine, from, to, info.length, turn)?;
        self.pass_caps(machine, from, to, info, now);
        let sender = &mut self.agents[from];
        sender.counters.sent += 1;
        let id = sender.id;
        let head = RecvInfo { length: info.length, caps: info.caps, kind, rights: outgoing.rights };
        Self::announce(&mut self.agents[to], head, id, outgoing.badge, outgoing.message);
        Ok(())
    }

    /// What the receiver that waits at `slot` takes: room for a long message, and capabilities. `None` if it doesn't wait for messages.
    #[inline]
    pub(super) fn waiting(&self, slot: u16) -> Option<(u32, u8)> {
        let agent = &self.agents[slot];
        if agent.state != State::Receiving || agent.suspended {
            return None;
        }
        let info = SendInfo::decode(agent.registers.x[10])?;
        (!info.notifications_only).then_some((info.room, info.take_caps))
    }

    pub(super) fn ipc_call(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let (server, mut outgoing) = self.service(machine, me, now)?;
        let info = SendInfo::decode(self.arg(me, 10)).ok_or(Error::BadArgument)?;
        let deadline = self.arg(me, 12);
        let place = self.locate(machine, server)?;
        if deadline <= now {
            return Err(Error::Timeout);
        }
        if info.caps != 0 {
            self.check_caps(machine, me, info, now)?;
        }
        let to = match place {
            Place::Here(to) => to,
            Place::There(core) => return self.send_away(machine, me, core, server, info, Received::Call, outgoing, now),
        };
        if to == me || self.waits_for(to, me) {
            return Err(Error::Deadlock);
        }
        let waiting = self.waiting(to);
        if let Some((room, takes)) = waiting {
            self.check_room(machine, to, info, room, takes)?;
        }
        outgoing.message = self.next_message(me);
        if waiting.is_some() {
            match self.deliver(machine, me, to, info, Received::Call, outgoing, MessageId::NONE, now) {
                Ok(()) => {
                    self.agents[me].outgoing = outgoing;
                    self.agents[me].state = State::Awaiting(server);
                    self.agents.append(to, Wait::Open, me);
                    self.agents[to].state = State::Ready;
                    self.set_wait_timer(to, u64::MAX);
                    self.set_wait_timer(me, deadline);
                    self.leave();
                    return Ok(Done::Leave);
                }
                Err(Stop::Later) => return Ok(Done::Resume),
                Err(Stop::Blame(Side::Source, error)) => return Err(error),
                // The receiver's own buffer is bad: it hears of it, and the call waits for its next receive.
                Err(Stop::Blame(Side::Destination, error)) => {
                    self.agents[to].fail(error);
                    self.resume(to, now);
                }
            }
        }
        self.agents[me].outgoing = outgoing;
        self.agents[me].state = State::Calling(server);
        self.agents.append(to, Wait::Queue, me);
        self.set_wait_timer(me, deadline);
        self.leave();
        Ok(Done::Leave)
    }

    /// Sends a message or a call to an agent on another core.
    #[expect(clippy::too_many_arguments, reason = "one argument for each thing that a message is made of")]
    fn send_away(
        &mut self,
        machine: &mut M,
        me: u16,
        core: u16,
        to: AgentId,
        info: SendInfo,
        kind: Received,
        mut outgoing: Outgoing,
        now: u64,
    ) -> Outcome {
        outgoing.message = self.next_message(me);
        let parcel = self.pack(machine, me, info, outgoing, now)?;
        self.agents[me].outgoing = outgoing;
        let asking = if kind == Received::Call { Asking::Call(to) } else { Asking::Send };
        self.ask_with_cargo(machine, me, core, Request::Message { to, kind, parcel }, asking, now)
    }

    /// Whether the chain of calls and faults from `slot` leads to `target`. Chains have an end: whatever would close one is refused here and in `report`.
    pub(super) fn waits_for(&self, slot: u16, target: u16) -> bool {
        let mut at = slot;
        while let Some(peer) = self.agents[at].state.peer().and_then(|peer| self.agents.find(peer)) {
            if peer == target {
                return true;
            }
            at = peer;
        }
        false
    }

    pub(super) fn ipc_send(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let (server, mut outgoing) = self.service(machine, me, now)?;
        let info = SendInfo::decode(self.arg(me, 10)).ok_or(Error::BadArgument)?;
        let place = self.locate(machine, server)?;
        if info.caps != 0 {
            self.check_caps(machine, me, info, now)?;
        }
        let to = match place {
            Place::Here(to) => to,
            Place::There(core) => return self.send_away(machine, me, core, server, info, Received::Message, outgoing, now),
        };
        if to != me
            && let Some((room, takes)) = self.waiting(to)
        {
            self.check_room(machine, to, info, room, takes)?;
            outgoing.message = self.next_message(me);
            match self.deliver(machine, me, to, info, Received::Message, outgoing, MessageId::NONE, now) {
                Ok(()) => {
                    self.resume(to, now);
                    self.set_arg(me, 12, outgoing.message.0);
                    return Ok(Done::Return);
                }
                Err(Stop::Later) => return Ok(Done::Resume),
                Err(Stop::Blame(Side::Source, error)) => return Err(error),
                Err(Stop::Blame(Side::Destination, error)) => {
                    self.agents[to].fail(error);
                    self.resume(to, now);
                }
            }
        }
        outgoing.message = self.next_message(me);
        self.post(machine, me, to, info, outgoing, Received::Message, now)?;
        self.set_arg(me, 12, outgoing.message.0);
        Ok(Done::Return)
    }

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

    pub(super) fn ipc_recv(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let info = SendInfo::decode(self.arg(me, 10)).ok_or(Error::BadArgument)?;
        self.receive(machine, me, info, now)
    }

    fn receive(&mut self, machine: &mut M, me: u16, info: SendInfo, now: u64) -> Outcome {
        self.agents[me].takes_caps = info.take_caps;
        if self.agents[me].notifications != 0 {
            self.agents[me].take_notifications();
            return Ok(Done::Leave);
        }
        if !info.notifications_only {
            loop {
                let agent = &mut self.agents[me];
                let from_mailbox = agent.queue.head == 0 || agent.mailbox_first;
                if from_mailbox && !agent.mailbox.is_empty() {
                    agent.mailbox_first = false;
                    return self.take_mail(machine, me, info);
                }
                if agent.queue.head == 0 {
                    break;
                }
                agent.mailbox_first = true;
                let caller = agent.queue.head;
                match self.take_call(machine, caller, me, info, now)? {
                    Taken::Yes => return Ok(Done::Leave),
                    Taken::Later => return Ok(Done::Resume),
                    Taken::No => {}
                }
            }
        }
        let deadline = self.arg(me, 12);
        if deadline <= now {
            return Err(Error::Timeout);
        }
        self.agents[me].state = State::Receiving;
        self.agents[me].debit = AgentId::KERNEL;
        self.set_wait_timer(me, deadline);
        self.leave();
        Ok(Done::Leave)
    }

    /// Receives the call or fault with which `from` waits in the queue of `me`.
    fn take_call(&mut self, machine: &mut M, from: u16, me: u16, info: SendInfo, now: u64) -> Result<Taken, Error> {
        let outgoing = self.agents[from].outgoing;
        let my_id = self.agents[me].id;
        if matches!(self.agents[from].state, State::Faulting(_)) {
            self.agents.remove(me, Wait::Queue, from);
            self.agents.append(me, Wait::Open, from);
            self.agents[from].state = State::Faulted(my_id);
            self.deliver_fault(machine, from, me, info.room);
            return Ok(Taken::Yes);
        }
        let sent = SendInfo::decode(self.arg(from, 10)).unwrap_or_default();
        let refusal = match self.check_room(machine, me, sent, info.room, info.take_caps) {
            // A full table or an empty pool is the receiver's trouble, and everything else the caller's.
            Err(error @ (Error::NoMemory | Error::NoSlots)) => return Err(error),
            Err(error) => Some(error),
            Ok(()) => match self.check_caps(machine, from, sent, now) {
                Err(error) => Some(error),
                Ok(()) => match self.deliver(machine, from, me, sent, Received::Call, outgoing, outgoing.message, now) {
                    Ok(()) => None,
                    Err(Stop::Later) => return Ok(Taken::Later),
                    Err(Stop::Blame(Side::Source, error)) => Some(error),
                    Err(Stop::Blame(Side::Destination, error)) => return Err(error),
                },
            },
        };
        if let Some(error) = refusal {
            self.end_wait(from, error, now);
            return Ok(Taken::No);
        }
        self.agents.remove(me, Wait::Queue, from);
        self.agents.append(me, Wait::Open, from);
        self.agents[from].state = State::Awaiting(my_id);
        Ok(Taken::Yes)
    }

    /// Receives the first message of the mailbox.
    fn take_mail(&mut self, machine: &mut M, me: u16, info: SendInfo) -> Outcome {
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

    /// Delivers a reply.
    fn reply(&mut self, machine: &mut M, me: u16, info: SendInfo, now: u64) -> Result<Replied, Error> {
        let message = MessageId(self.arg(me, 9));
        let to = message.sender_slot();
        let my_id = self.agents[me].id;
        let awaited = self.agents.get(to).is_some_and(|agent| agent.state == State::Awaiting(my_id) && agent.outgoing.message == message);
        if !awaited {
            return self.pqc_reply(me, message, info, now).map(|()| Replied::Operation);
        }
        if info.caps != 0 {
            self.check_caps(machine, me, info, now)?;
        }
        let wanted = SendInfo::decode(self.arg(to, 10)).unwrap_or_default();
        let result = match self.check_room(machine, to, info, wanted.room, wanted.take_caps) {
            Err(error) => Err(error),
            Ok(()) => match self.copy_message(machine, me, to, info.length, message) {
                Ok(()) => Ok(()),
                Err(Stop::Later) => return Ok(Replied::Later),
                Err(Stop::Blame(Side::Source, error)) => return Err(error),
                Err(Stop::Blame(Side::Destination, error)) => Err(error),
            },
        };
        match result {
            Ok(()) => {
                self.pass_caps(machine, me, to, info, now);
                let incarnation = self.agents[me].incarnation;
                let badge = self.arg(to, 11);
                let head = RecvInfo { length: info.length, caps: info.caps, kind: Received::Reply, rights: incarnation };
                let deadline = self.arg(to, 12);
                let caller = &mut self.agents[to];
                Self::announce(caller, head, my_id, badge, MessageId(deadline));
                self.agents[me].counters.sent += 1;
            }
            // The caller's own buffer or table is to blame, and the call ends with that.
            Err(error) => self.agents[to].fail(error),
        }
        self.agents.remove(me, Wait::Open, to);
        self.agents[to].state = State::Ready;
        self.set_wait_timer(to, u64::MAX);
        Ok(Replied::To(to))
    }

    /// The other core on which the caller is that the current reply is for.
    fn reply_core(&self, machine: &M, me: u16) -> Option<u16> {
        let caller = MessageId(self.arg(me, 9)).sender_slot();
        if self.agents.get(caller).is_some() {
            return None;
        }
        machine.home(caller).filter(|&core| core as u64 != self.facts.core)
    }

    fn reply_away(&mut self, machine: &mut M, me: u16, core: u16, info: SendInfo, asking: Asking, now: u64) -> Outcome {
        if info.caps != 0 {
            self.check_caps(machine, me, info, now)?;
        }
        let outgoing = Outgoing { message: MessageId(self.arg(me, 9)), ..Outgoing::default() };
        let parcel = self.pack(machine, me, info, outgoing, now)?;
        let incarnation = self.agents[me].incarnation;
        self.ask_with_cargo(machine, me, core, Request::Reply { incarnation, parcel }, asking, now)
    }

    pub(super) fn ipc_reply(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let info = SendInfo::decode(self.arg(me, 10)).ok_or(Error::BadArgument)?;
        if let Some(core) = self.reply_core(machine, me) {
            return self.reply_away(machine, me, core, info, Asking::Status, now);
        }
        let replied = self.reply(machine, me, info, now)?;
        if replied == Replied::Later {
            return Ok(Done::Resume);
        }
        self.agents[me].debit = AgentId::KERNEL;
        if let Replied::To(caller) = replied {
            self.part(me, caller, now);
        }
        Ok(Done::Return)
    }

    /// After a reply both sides can run. If the context that ran the server leads to the caller again, the server goes on in that of another caller, or in
    /// its own; else the caller competes by its own.
    fn part(&mut self, server: u16, caller: u16, now: u64) {
        if self.current == caller {
            // The usual case: the server waits again, and the caller goes on where it lent from.
            return;
        }
        if self.chain_end(self.context) == Some(caller) {
            let payer = self.payer(server);
            self.wake(payer, now);
            self.undecided = true;
        } else {
            self.wake(caller, now);
        }
    }

    /// Whose context pays for what a server does now: that of the caller that it received last, if that still lends, else its own.
    fn payer(&self, server: u16) -> u16 {
        let last = self.agents[server].open.tail;
        let lends = last != 0 && matches!(self.agents[last].state, State::Awaiting(_)) && self.chain_end(last) == Some(server);
        if lends { last } else { server }
    }

    pub(super) fn ipc_reply_recv(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let info = SendInfo::decode(self.arg(me, 10)).ok_or(Error::BadArgument)?;
        if self.arg(me, 9) == 0 {
            return self.receive(machine, me, info, now);
        }
        if let Some(core) = self.reply_core(machine, me) {
            return self.reply_away(machine, me, core, info, Asking::ReplyThenReceive, now);
        }
        let replied = match self.reply(machine, me, info, now) {
            Ok(Replied::Later) => return Ok(Done::Resume),
            Ok(replied) => replied,
            Err(Error::NoSuchMessage) => Replied::Operation,
            Err(error) => return Err(error),
        };
        self.agents[me].debit = AgentId::KERNEL;
        let outcome = self.receive(machine, me, info, now);
        if let Replied::To(caller) = replied {
            self.part(me, caller, now);
        }
        outcome
    }

    pub(super) fn notify(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let handle = self.arg(me, 9);
        let slot = self.capability(machine, me, handle, Kind::Notification, Rights::SEND, now)?;
        let bits = self.arg(me, 0) & slot.word;
        if bits == 0 {
            return Err(Error::BadArgument);
        }
        match self.locate(machine, slot.agent())? {
            Place::Here(target) => {
                self.raise(target, bits, now);
                Ok(Done::Return)
            }
            Place::There(core) => self.ask(machine, me, core, Request::Notify { to: slot.agent(), bits }, Asking::Status),
        }
    }

    /// Takes an agent out of the queue or list of the peer that it waits for.
    pub(super) fn unlink_from_peer(&mut self, slot: u16, peer: AgentId) {
        let wait = match self.agents[slot].state {
            State::Calling(_) | State::Faulting(_) => Wait::Queue,
            State::Awaiting(_) | State::Faulted(_) => Wait::Open,
            _ => return,
        };
        if self.agents.get(peer.slot()).is_some_and(|agent| agent.id == peer) {
            self.agents.remove(peer.slot(), wait, slot);
        }
    }

    /// Queues a fault of `slot` at its supervisor.
    pub(super) fn queue_fault(&mut self, slot: u16, supervisor: u16, outgoing: Outgoing) {
        self.agents[slot].outgoing = outgoing;
        self.agents[slot].state = State::Faulting(self.agents[supervisor].id);
        self.agents.append(supervisor, Wait::Queue, slot);
    }

    /// Hands a fault to a supervisor that waits: moves it from the queue to the open ones.
    pub(super) fn hand_fault(&mut self, machine: &mut M, slot: u16, supervisor: u16, now: u64) {
        let Some((room, _)) = self.waiting(supervisor) else { return };
        self.agents.remove(supervisor, Wait::Queue, slot);
        self.agents.append(supervisor, Wait::Open, slot);
        self.agents[slot].state = State::Faulted(self.agents[supervisor].id);
        self.deliver_fault(machine, slot, supervisor, room);
        self.resume(supervisor, now);
    }

    /// Writes the head of a fault message.
    pub(super) fn announce_fault(&mut self, to: u16, length: u32, outgoing: Outgoing) {
        let head = RecvInfo { length, caps: 0, kind: Received::Fault, rights: 0 };
        Self::announce(&mut self.agents[to], head, AgentId::KERNEL, outgoing.badge, outgoing.message);
    }

    /// A new message id for a fault of this agent.
    pub(super) fn fault_message(&mut self, slot: u16) -> MessageId {
        self.next_message(slot)
    }

    /// Copies memory for the fault and inspection paths.
    pub(super) fn copy_user(&mut self, machine: &mut M, from: (u16, u64), to: (u16, u64), length: u64) -> Result<(), Error> {
        let mut cursor = CopyCursor::START;
        loop {
            match self.copy_memory(machine, from, to, length, &mut cursor) {
                Ok(()) => return Ok(()),
                // A few bytes at most: not worth an interruption.
                Err(Stop::Later) => {}
                Err(Stop::Blame(_, error)) => return Err(error),
            }
        }
    }
}
