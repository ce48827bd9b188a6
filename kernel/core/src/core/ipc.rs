//! Messages between agents: send, receive, call, reply, notify.
//!
//! A message of at most 64 bytes goes from registers to registers. A longer one is copied exactly once, from the sender's memory to the receiver's,
//! when both are there; only `IPCSend` to a receiver that is busy keeps a copy, in the mailbox that the receiver's pool paid.

use aios_abi::Error;
use aios_abi::id::{AgentId, MessageId};
use aios_abi::limits::CALL_DEPTH;
use aios_abi::message::{Received, RecvInfo, SendInfo};
use aios_abi::rights::{Kind, Rights};

use super::remote::{Asking, Place, Request};
use super::transfer::Stop;
use super::{Agents, Core, Done, Outcome};
use crate::agent::{Links, List, Outgoing, State};
use crate::machine::Machine;
use crate::space::Side;

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
    /// The caller's core has not taken the answer yet that says that the call was received.
    Early,
}

/// Which list of a server an agent waits in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wait {
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

    pub(super) fn append(&mut self, server: u16, wait: Wait, agent: u16) {
        let tail = core::mem::replace(&mut self.list(server, wait).tail, agent);
        self[agent].links = Links { next: 0, previous: tail };
        match tail {
            0 => self.list(server, wait).head = agent,
            _ => self[tail].links.next = agent,
        }
    }

    pub(super) fn remove(&mut self, server: u16, wait: Wait, agent: u16) {
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

impl<M: Machine> Core<M> {
    /// The service that the current call goes to: its agent, badge and rights.
    #[inline]
    fn service(&mut self, machine: &M, me: u16, now: u64) -> Result<(AgentId, Outgoing), Error> {
        let handle = self.agents[me].registers.x[9];
        let slot = self.capability(machine, me, handle, Kind::Service, Rights::SEND, now)?;
        Ok((slot.agent(), Outgoing { message: MessageId::NONE, badge: slot.word, rights: slot.rights.0 }))
    }

    #[inline]
    pub(super) fn next_message(&mut self, me: u16) -> MessageId {
        self.messages += 1;
        MessageId::new(me, self.messages)
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
            Place::Coming => return Ok(Done::Again),
            Place::There(core) => return self.send_away(machine, me, core, server, info, Received::Call, outgoing, now),
        };
        if to == me || self.waits_for(to, me)? {
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
                    self.lend_to(to, now);
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
        self.agents[me].copying = MessageId::NONE;
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
        let Some(parcel) = self.pack(machine, me, info, outgoing, now)? else { return Ok(Done::Leave) };
        self.agents[me].outgoing = outgoing;
        let asking = if kind == Received::Call { Asking::Call(to) } else { Asking::Send };
        self.ask_with_cargo(machine, me, core, Request::Message { to, kind, parcel }, asking, now)
    }

    /// Whether the chain of calls and faults from `slot` leads to `target`. Chains have an end: whatever would close one is refused here and in `report`.
    /// `LimitReached` if nobody can say, because more than [`CALL_DEPTH`] wait for each other from `slot` on.
    #[inline]
    pub(super) fn waits_for(&self, slot: u16, target: u16) -> Result<bool, Error> {
        let mut at = slot;
        for _ in 0..=CALL_DEPTH {
            let Some(peer) = self.agents[at].state.peer().and_then(|peer| self.agents.find(peer)) else { return Ok(false) };
            if peer == target {
                return Ok(true);
            }
            at = peer;
        }
        Err(Error::LimitReached)
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
            Place::Coming => return Ok(Done::Again),
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
        self.agents[me].copying = MessageId::NONE;
        self.post(machine, me, to, info, outgoing, now)
    }

    pub(super) fn ipc_recv(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let info = SendInfo::decode(self.arg(me, 10)).ok_or(Error::BadArgument)?;
        self.receive(machine, me, info, now)
    }

    fn receive(&mut self, machine: &mut M, me: u16, info: SendInfo, now: u64) -> Outcome {
        self.agents[me].takes_caps = info.take_caps;
        self.agents[me].takes_bytes = info.room;
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
                    let taken = self.take_mail(machine, me, info);
                    // An interrupted one goes on where it was.
                    self.agents[me].mailbox_first = taken == Ok(Done::Resume);
                    return taken;
                }
                if agent.queue.head == 0 {
                    break;
                }
                agent.mailbox_first = true;
                let caller = agent.queue.head;
                match self.take_call(machine, caller, me, info, now)? {
                    Taken::Yes => return Ok(Done::Leave),
                    Taken::Later => {
                        self.agents[me].mailbox_first = false;
                        return Ok(Done::Resume);
                    }
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

    /// Delivers a reply.
    fn reply(&mut self, machine: &mut M, me: u16, info: SendInfo, now: u64) -> Result<Replied, Error> {
        let message = MessageId(self.arg(me, 9));
        let to = message.sender_slot();
        let my_id = self.agents[me].id;
        let awaited = self.agents.get(to).is_some_and(|agent| agent.state == State::Awaiting(my_id) && agent.outgoing.message == message);
        if !awaited {
            if self.is_unconfirmed(to, my_id, message) {
                return Ok(Replied::Early);
            }
            return self.pqc_reply(me, message, info, now).map(|()| Replied::Operation);
        }
        if info.caps != 0 {
            self.check_caps(machine, me, info, now)?;
        }
        let wanted = SendInfo::decode(self.arg(to, 10)).unwrap_or_default();
        let result = match self.check_room(machine, to, info, wanted.room, wanted.take_caps) {
            Err(error) => Err(error),
            Ok(()) => match self.copy_message(machine, me, to, info.length, MessageId::NONE) {
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

    /// Whether an agent of this core has sent this call, or fault, to `server` on another core and does not know yet that it was received: the server
    /// came to this core faster than the answer was taken.
    pub(super) fn is_unconfirmed(&self, slot: u16, server: AgentId, message: MessageId) -> bool {
        self.agents.get(slot).is_some_and(|agent| {
            let asks = matches!(agent.asking, Asking::Call(peer) | Asking::Fault(peer) if peer == server);
            asks && agent.state == State::Remote && agent.outgoing.message == message
        })
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
        let Some(parcel) = self.pack(machine, me, info, outgoing, now)? else { return Ok(Done::Leave) };
        let incarnation = self.agents[me].incarnation;
        self.ask_with_cargo(machine, me, core, Request::Reply { incarnation, parcel }, asking, now)
    }

    pub(super) fn ipc_reply(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let info = SendInfo::decode(self.arg(me, 10)).ok_or(Error::BadArgument)?;
        if let Some(core) = self.reply_core(machine, me) {
            return self.reply_away(machine, me, core, info, Asking::Status, now);
        }
        let replied = self.reply(machine, me, info, now)?;
        match replied {
            Replied::Later => return Ok(Done::Resume),
            Replied::Early => return Ok(Done::Again),
            Replied::To(_) | Replied::Operation => {}
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
            Ok(Replied::Early) => return Ok(Done::Again),
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
            Place::Coming => Ok(Done::Again),
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

    /// A new message id for a fault of this agent.
    pub(super) fn fault_message(&mut self, slot: u16) -> MessageId {
        self.next_message(slot)
    }
}
