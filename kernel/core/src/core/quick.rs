//! Quick paths: what programs do most, in the usual case.
//!
//! A call is quick if it needs nothing but the blocks of at most two agents: no timer, no copy through memory, no capability that travels, no other core,
//! and nothing that waits to be done first. All conditions are checked before anything changes; where one doesn't hold, nothing has happened, and the
//! general way, which this module repeats in short, is taken. Both must do the same: the random tests compare them.
//!
//! None of this reads or writes what the edge has not stored yet when it tries a quick call: see [`Core::quick`].

use aios_abi::id::{AgentId, MessageId, SlotHandle};
use aios_abi::message::{Received, RecvInfo};
use aios_abi::rights::{Kind, Rights};
use aios_abi::{Call, Error};

use super::ipc::Wait;
use super::transfer::payload;
use super::{Core, Done, Outcome, TIMER_WAIT};
use crate::agent::{Agent, Links, List, Outgoing, State};
use crate::machine::Machine;

/// What became of a quick call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Quick {
    /// It is not quick; nothing has happened.
    No,
    /// It is done, and [`Core::next`] says who runs.
    Decide,
    /// It is done, and this agent runs.
    Run(u16),
}

/// Bits of the information word (see [`aios_abi::message::SendInfo`]) that a quick call has zero: capabilities to send, notifications only, room for a
/// message of the full size, what is reserved, and a length of more than 127.
const PLAIN: u64 = !(0x7f | 0x7 << 20 | 0xffff << 24);
/// Capabilities to take: at most 4.
const TAKES: u64 = 0x7 << 20;
const TAKES_MOST: u64 = 0x4 << 20;

/// Length of the message, if it is a plain one in registers.
#[inline(always)]
const fn plain(info: u64) -> Option<u32> {
    let length = info & 0x7f;
    if info & PLAIN == 0 && length <= 64 && info & TAKES <= TAKES_MOST { Some(length as u32) } else { None }
}

/// The payload that an agent sends in registers.
#[inline(always)]
fn words<M: Machine>(from: &Agent<M>, length: u32) -> [u64; 8] {
    let x = &from.registers.x;
    match length {
        64 => [x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]],
        0 => [0; 8],
        _ => payload(x, length),
    }
}

/// Writes a message into its receiver's registers, but for badge and id.
#[inline(always)]
fn hand<M: Machine>(to: &mut Agent<M>, words: [u64; 8], head: RecvInfo, sender: AgentId) {
    let x = &mut to.registers.x;
    // Word by word: a copy of so few is not worth a call.
    let [a, b, c, d, e, f, g, h] = words;
    (x[0], x[1], x[2], x[3]) = (a, b, c, d);
    (x[4], x[5], x[6], x[7]) = (e, f, g, h);
    (x[8], x[9], x[10]) = (0, sender.0, head.encode());
    to.state = State::Ready;
    to.copy = None;
    to.counters.received += 1;
}

impl<M: Machine> Core<M> {
    /// Whether nothing waits to be done before an agent runs.
    #[inline(always)]
    fn is_calm(&self) -> bool {
        !self.undecided && !self.timer_stale && self.dying == 0 && !self.jobs_waiting && !self.outbox.is_waiting()
    }

    /// Serves the call of the current agent if it is a quick one.
    ///
    /// Of the agent's registers only `x0`–`x18` and `x30` need to be in its block, and if it runs next, no other has changed.
    #[inline(always)]
    pub fn quick(&mut self, machine: &mut M, now: u64) -> Quick {
        let me = self.current;
        if !self.is_calm() {
            return Quick::No;
        }
        let number = self.agents[me].registers.x[8];
        let switched = if number == Call::IpcReplyRecv as u64 {
            self.quick_reply_recv(me)
        } else if number == Call::IpcCall as u64 {
            self.quick_call(machine, me, now)
        } else {
            return self.quick_return(machine, me, number, now);
        };
        match switched {
            Some(next) => {
                self.counters.calls += 1;
                self.current = next;
                Quick::Run(next)
            }
            None => Quick::No,
        }
    }

    /// Calls that need no other agent's registers.
    fn quick_return(&mut self, machine: &mut M, me: u16, number: u64, now: u64) -> Quick {
        let outcome = match Call::from_number(number) {
            Some(Call::CapCheck) => self.cap_check(machine, me, now),
            Some(Call::TimeNow) => self.time_now(me, now),
            Some(Call::IrqAck) => self.irq_ack(machine, me, now),
            Some(Call::TimerSet) => self.timer_set(me),
            Some(Call::Yield) => self.yield_now(me, now),
            Some(Call::Notify) => match self.quick_notify(machine, me, now) {
                Some(outcome) => outcome,
                None => return Quick::No,
            },
            _ => return Quick::No,
        };
        self.counters.calls += 1;
        match outcome {
            Ok(Done::Return) => self.agents[me].succeed(),
            Ok(_) => {}
            Err(error) => self.agents[me].fail(error),
        }
        if self.is_calm() && self.agents[me].work.is_none() { Quick::Run(me) } else { Quick::Decide }
    }

    /// `Notify` to an agent of this core.
    fn quick_notify(&mut self, machine: &M, me: u16, now: u64) -> Option<Outcome> {
        let handle = self.arg(me, 9);
        let slot = match self.capability(machine, me, handle, Kind::Notification, Rights::SEND, now) {
            Ok(slot) => slot,
            Err(error) => return Some(Err(error)),
        };
        let bits = self.arg(me, 0) & slot.word;
        if bits == 0 {
            return Some(Err(Error::BadArgument));
        }
        let target = self.agents.find(slot.agent())?;
        self.raise(target, bits, now);
        Some(Ok(Done::Return))
    }

    /// `IPCCall` to a server that waits: the message is in its registers, and it runs.
    #[inline(always)]
    fn quick_call(&mut self, machine: &M, me: u16, now: u64) -> Option<u16> {
        let agent = self.agents.get_mut(me)?;
        let x = &agent.registers.x;
        let (handle, length) = (SlotHandle(u32::try_from(x[9]).ok()?), plain(x[10])?);
        if x[12] != u64::MAX {
            return None;
        }
        let slot = agent.slots.get(handle).ok()?;
        if slot.kind != Kind::Service || !slot.rights.contains(Rights::SEND) || !slot.is_known_valid(machine, now) {
            return None;
        }
        let (server, badge, rights) = (slot.agent(), slot.word, slot.rights.0);
        let (id, words) = (agent.id, words(agent, length));
        let to = server.slot();
        // It waits for a message, and without a deadline. An agent that waits for itself doesn't.
        let target = self.agents.get(to)?;
        let open = target.id == server && target.state == State::Receiving && !target.suspended;
        if !open || plain(target.registers.x[10] & !0x1_ffff).is_none() || target.timers.at(TIMER_WAIT).is_some() {
            return None;
        }
        let caller_before = target.open.tail;
        if self.context != me && !self.calls(self.context, id) {
            return None;
        }

        self.messages += 1;
        let message = MessageId::new(me, self.messages);
        let target = self.agents.get_mut(to)?;
        hand(target, words, RecvInfo { length, caps: 0, kind: Received::Call, rights }, id);
        (target.registers.x[11], target.registers.x[12]) = (badge, message.0);
        if caller_before == 0 {
            target.open = List { head: me, tail: me };
        }
        let agent = self.agents.get_mut(me)?;
        agent.outgoing = Outgoing { message, badge, rights };
        agent.state = State::Awaiting(server);
        agent.counters.sent += 1;
        agent.links = Links { next: 0, previous: 0 };
        if caller_before != 0 {
            self.agents.append(to, Wait::Open, me);
        }
        Some(to)
    }

    /// Whether an agent waits for the reply of this one.
    #[inline(always)]
    fn calls(&self, caller: u16, server: AgentId) -> bool {
        match self.agents.get(caller) {
            Some(agent) => agent.state == State::Awaiting(server),
            None => false,
        }
    }

    /// `IPCReplyRecv` to the caller in whose context this server runs, or to one whom that called, with nothing else to receive: the caller goes on.
    #[inline(always)]
    fn quick_reply_recv(&mut self, me: u16) -> Option<u16> {
        let agent = self.agents.get(me)?;
        let (x, id) = (&agent.registers.x, agent.id);
        let (message, info, length) = (MessageId(x[9]), x[10], plain(x[10])?);
        if x[12] != u64::MAX || agent.notifications != 0 || agent.queue.head != 0 || !agent.mailbox.is_empty() {
            return None;
        }
        let to = message.sender_slot();
        let alone = agent.open.head == to && agent.open.tail == to;
        let head = RecvInfo { length, caps: 0, kind: Received::Reply, rights: agent.incarnation };
        let words = words(agent, length);
        let caller = self.agents.get(to)?;
        let waits = caller.state == State::Awaiting(id) && caller.outgoing.message == message && !caller.suspended;
        if !waits || caller.timers.at(TIMER_WAIT).is_some() || (self.context != to && !self.calls(self.context, caller.id)) {
            return None;
        }

        hand(self.agents.get_mut(to)?, words, head, id);
        if !alone {
            self.agents.remove(me, Wait::Open, to);
        }
        let agent = self.agents.get_mut(me)?;
        if alone {
            agent.open = List { head: 0, tail: 0 };
        }
        agent.counters.sent += 1;
        agent.state = State::Receiving;
        agent.debit = AgentId::KERNEL;
        agent.takes_caps = (info >> 20 & 0x7) as u8;
        agent.takes_bytes = (info >> 24 & 0xffff) as u32;
        Some(to)
    }
}
