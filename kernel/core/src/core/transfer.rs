//! One message from one agent to another: checks on both sides, the payload, the capabilities, the head.

use aios_abi::Error;
use aios_abi::call::SLOT_SELF;
use aios_abi::id::{AgentId, MessageId, SlotHandle};
use aios_abi::limits::{MESSAGE_CAPS, MESSAGE_REGISTERS};
use aios_abi::message::{Received, RecvInfo, SendInfo};
use aios_abi::rights::Rights;

use super::Core;
use crate::agent::{Agent, Copy, Outgoing, State};
use crate::machine::Machine;
use crate::space::{CopyCursor, CopyFault, FaultReason, Progress, Side, copy_between};

/// Why a copy stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// That side's memory is not as it should be.
    Blame(Side, Error),
    /// An interrupt waits; how far it came is kept, and the call is made again.
    Later,
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
    /// else the message that waits. An interrupted copy goes on only for the same call: one that is made again without a word to its maker between.
    pub(super) fn copy_message(&mut self, machine: &mut M, from: u16, to: u16, length: u32, turn: MessageId) -> Result<(), Stop> {
        if length as usize <= MESSAGE_REGISTERS {
            let words = payload(&self.agents[from].registers.x, length);
            self.agents[to].registers.x[..8].copy_from_slice(&words);
            return Ok(());
        }
        let (source, target) = (self.agents[from].registers.x[11], self.agents[to].registers.x[11]);
        let own = turn == MessageId::NONE;
        let turn = if own { core::mem::take(&mut self.agents[from].copying) } else { turn };
        let mut copy = Copy { from: self.agents[from].id, turn, source, target, length, cursor: CopyCursor::START };
        copy.cursor = self.begun(to, copy);
        let done = self.copy_memory(machine, (from, source), (to, target), length as u64, &mut copy.cursor);
        if done == Err(Stop::Later) {
            if own {
                copy.turn = self.next_message(from);
                self.agents[from].copying = copy.turn;
            }
            self.agents[to].copy = Some(copy);
        }
        done
    }

    /// How far a copy into the memory of `to` came before.
    pub(super) fn begun(&mut self, to: u16, copy: Copy) -> CopyCursor {
        let begun = self.agents[to].copy.take().filter(|_| copy.turn != MessageId::NONE);
        begun.filter(|begun| Copy { cursor: copy.cursor, ..*begun } == copy).map_or(CopyCursor::START, |begun| begun.cursor)
    }

    /// Copies bytes between two agents' memories; pages that are to come on first touch come.
    pub(super) fn copy_memory(
        &mut self,
        machine: &mut M,
        from: (u16, u64),
        to: (u16, u64),
        length: u64,
        cursor: &mut CopyCursor,
    ) -> Result<(), Stop> {
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
    pub(super) fn pass_caps(&mut self, machine: &mut M, from: u16, to: u16, info: SendInfo, now: u64) {
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
    pub(super) fn deliver(
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

    /// Writes the head of a fault message.
    pub(super) fn announce_fault(&mut self, to: u16, length: u32, outgoing: Outgoing) {
        let head = RecvInfo { length, caps: 0, kind: Received::Fault, rights: 0 };
        Self::announce(&mut self.agents[to], head, AgentId::KERNEL, outgoing.badge, outgoing.message);
    }
}
