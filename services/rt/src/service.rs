//! The loop.

use aios_abi::{Error, MessageId};
use aios_proto::types::ErrorCode;
use aios_proto::{Caller, CapList, Incoming, Outcome, Outgoing, TransportError};

use crate::handler::{Actions, Cancelled, Fused, Handler, Owed, send};
use crate::pending::{self, Entry, Pending};
use crate::port::{Event, Message, Port};
use crate::watch::{Watched, Watches};

/// How a server wants its loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// Most capabilities that the server takes with a message: the largest `MAX_CAPS` of its interfaces.
    pub take_caps: u8,
    /// How long a reply is owed before the loop gives it up, ns; `u64::MAX`: until the server or the caller ends.
    pub pending_ns: u64,
    /// Notification bits that the loop may use to watch with.
    pub watch_bits: u64,
}

impl Default for Config {
    /// No capabilities, no time limit, nothing watched.
    fn default() -> Self {
        Self { take_caps: 0, pending_ns: u64::MAX, watch_bits: 0 }
    }
}

/// What a loop has done.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counters {
    /// Calls.
    pub calls: u64,
    /// Messages that wanted no reply.
    pub messages: u64,
    /// Notifications.
    pub notifications: u64,
    /// Faults.
    pub faults: u64,
    /// Deadlines that passed.
    pub timeouts: u64,
    /// Messages that were refused before the server's own code ran.
    pub refused: u64,
    /// Replies sent.
    pub replies: u64,
    /// Replies whose caller had stopped waiting.
    pub lost: u64,
    /// Replies that the kernel did not take; the caller got an error instead.
    pub unsendable: u64,
    /// Requests put aside.
    pub put_aside: u64,
    /// Requests put aside and given up.
    pub cancelled: u64,
    /// Answers to requests that were given up or answered before.
    pub stale: u64,
}

/// A server and its loop. `BUFFER` is the size of each of its two buffers (see [`buffer_size`](crate::buffer_size)), `PENDING` the most
/// replies that it can owe.
#[derive(Debug)]
pub struct Service<H, const BUFFER: usize, const PENDING: usize> {
    /// The server's state machine.
    pub handler: H,
    config: Config,
    buffers: [[u8; BUFFER]; 2],
    /// Which buffer is received into next, unless a reply is owed: that is in the other one, and is received over.
    turn: bool,
    owed: Option<Owed>,
    pending: [Pending; PENDING],
    watches: Watches,
    counters: Counters,
}

impl<H: Handler, const BUFFER: usize, const PENDING: usize> Service<H, BUFFER, PENDING> {
    /// A loop around a server.
    pub fn new(handler: H, config: Config) -> Self {
        const {
            assert!(BUFFER >= crate::buffer_size(&[]), "a message in registers has to fit");
            assert!(PENDING <= 1 << 16, "a ticket names 65,536 places");
        }
        Self {
            handler,
            config,
            buffers: [[0; BUFFER]; 2],
            turn: false,
            owed: None,
            pending: [Pending::default(); PENDING],
            watches: Watches::new(config.watch_bits),
            counters: Counters::default(),
        }
    }

    /// What the loop has done.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// How many replies are owed that were put aside.
    pub fn pending(&self) -> usize {
        pending::count(&self.pending)
    }

    /// Runs until the server is finished, or until the kernel refuses to receive, which leaves nothing to wait for.
    pub fn run(&mut self, port: &mut impl Port) -> Result<(), TransportError> {
        while !self.handler.finished() {
            self.step(port)?;
        }
        self.close(port);
        Ok(())
    }

    /// One turn: waits for an event, and handles it.
    pub fn step(&mut self, port: &mut impl Port) -> Result<(), TransportError> {
        let event = self.wait(port)?;
        let now_ns = port.now_ns();
        let mut current = None;
        match event {
            Event::Message(message) => current = self.message(port, &message, now_ns),
            Event::Notification { bits } => {
                self.counters.notifications += 1;
                self.notification(bits, now_ns);
            }
            Event::Fault { message, fault, text } => {
                self.counters.faults += 1;
                let [first, second] = &self.buffers;
                let text = if self.turn { second } else { first }.get(..text).unwrap_or_default();
                self.handler.fault(message, &fault, text, now_ns);
            }
            Event::Timeout => self.counters.timeouts += 1,
        }
        self.expire(port, now_ns);
        self.progress(port, current, now_ns);
        Ok(())
    }

    /// Sends the reply that is owed, and waits for an event.
    fn wait(&mut self, port: &mut impl Port) -> Result<Event, TransportError> {
        let deadline_ns = self.handler.deadline_ns().min(pending::deadline_ns(&self.pending));
        let take_caps = self.config.take_caps;
        if let Some(owed) = self.owed.take() {
            self.turn = !self.turn;
            let buffer = self.receive_buffer();
            match port.reply_receive(owed.message, buffer, owed.length, &owed.caps, take_caps, deadline_ns) {
                Ok(event) => {
                    self.counters.replies += 1;
                    return Ok(event);
                }
                Err(error) if error == Error::Timeout.into() => {
                    self.counters.replies += 1;
                    return Ok(Event::Timeout);
                }
                Err(_) => self.unsendable(port, owed.message),
            }
        }
        match port.receive(self.receive_buffer(), take_caps, deadline_ns) {
            Err(error) if error == Error::Timeout.into() => Ok(Event::Timeout),
            other => other,
        }
    }

    fn receive_buffer(&mut self) -> &mut [u8] {
        let [first, second] = &mut self.buffers;
        if self.turn { second } else { first }
    }

    /// The kernel took neither reply nor receive: the server's reply carries something that can't be sent. Its caller still waits.
    fn unsendable(&mut self, port: &mut impl Port, message: MessageId) {
        self.counters.unsendable += 1;
        let buffer = self.receive_buffer();
        // The reply is there still, and says whom it answers.
        let request = aios_proto::packet::header(buffer).unwrap_or_default();
        let mut out = Outgoing::new(buffer);
        out.give_up(request, ErrorCode::Internal);
        let _ = port.reply(message, out.packet(), &CapList::NONE);
    }

    /// Dispatches a message. Returns it if its reply was put aside.
    fn message(&mut self, port: &mut impl Port, message: &Message, now_ns: u64) -> Option<MessageId> {
        if message.call {
            self.counters.calls += 1;
            self.cancel(Cancelled::CallerMovedOn, |entry| entry.agent == message.agent);
        } else {
            self.counters.messages += 1;
        }
        let [first, second] = &mut self.buffers;
        let (received, reply) = if self.turn { (second, first) } else { (first, second) };
        // A port that claims more than it was given room for makes a packet whose length is wrong.
        let packet = received.get(..message.length).unwrap_or_default();
        let ticket = if message.call { pending::next(&self.pending) } else { None };
        let caller = Caller { agent: message.agent, badge: message.badge, rights: message.rights, now_ns };
        let request = Incoming { packet, caps: &message.caps, call: message.call, ticket };
        let mut out = Outgoing::new(reply);
        let outcome = self.handler.message(&caller, &request, &mut out);
        for slot in message.caps.unkept() {
            port.drop_capability(slot);
        }
        if let Outcome::Refused(_) = outcome {
            self.counters.refused += 1;
        }
        if !message.call {
            return None;
        }
        if let (Outcome::Pending, Some(ticket)) = (outcome, ticket) {
            self.counters.put_aside += 1;
            let deadline_ns = now_ns.saturating_add(self.config.pending_ns);
            let Caller { agent, badge, .. } = caller;
            let entry = Entry { message: message.id, agent, badge, deadline_ns, request: request.header() };
            pending::put(&mut self.pending, ticket, entry);
            return Some(message.id);
        }
        // A caller gets an answer, whatever a handler that isn't generated made of its request.
        if out.packet().is_empty() {
            out.give_up(request.header(), ErrorCode::Internal);
        }
        self.owed = Some(Owed { message: message.id, length: out.packet().len(), caps: out.caps() });
        None
    }

    fn notification(&mut self, bits: u64, now_ns: u64) {
        let mut deaths = bits & self.watches.bits();
        while deaths != 0 {
            let bit = deaths & deaths.wrapping_neg();
            deaths &= !bit;
            let Some(what) = self.watches.take(bit) else { continue };
            self.cancel(Cancelled::CallerDied, |entry| match what {
                Watched::Agent(agent) => entry.agent == agent,
                Watched::Badge(badge) => entry.badge == badge,
            });
            self.handler.gone(what, now_ns);
        }
        let others = bits & !self.watches.bits();
        if others != 0 {
            self.handler.notification(others, now_ns);
        }
    }

    /// Gives up replies without telling their callers, who don't wait any more.
    fn cancel(&mut self, why: Cancelled, whose: impl Fn(&Entry) -> bool) {
        while let Some((ticket, _)) = pending::take_if(&mut self.pending, &whose) {
            self.counters.cancelled += 1;
            self.handler.cancelled(ticket, why);
        }
    }

    /// Gives up replies and tells their callers.
    fn give_up(&mut self, port: &mut impl Port, why: Cancelled, code: ErrorCode, which: impl Fn(&Entry) -> bool) {
        while let Some((ticket, entry)) = pending::take_if(&mut self.pending, &which) {
            self.counters.cancelled += 1;
            let mut packet = [0; aios_abi::limits::MESSAGE_REGISTERS];
            let mut out = Outgoing::new(&mut packet);
            out.give_up(entry.request, code);
            send(port, &mut self.counters, entry.message, &out);
            self.handler.cancelled(ticket, why);
        }
    }

    fn expire(&mut self, port: &mut impl Port, now_ns: u64) {
        self.give_up(port, Cancelled::TimedOut, ErrorCode::TimedOut, |entry| entry.deadline_ns <= now_ns);
    }

    fn progress(&mut self, port: &mut impl Port, current: Option<MessageId>, now_ns: u64) {
        let [first, second] = &mut self.buffers;
        // What was received is done with; the other buffer holds the reply that is owed, or will.
        let (scratch, reply) = if self.turn { (second, first) } else { (first, second) };
        let owed = &mut self.owed;
        let fused = current.map(|message| Fused { message, buffer: reply, owed });
        let mut actions =
            Actions { port, scratch, pending: &mut self.pending, watches: &mut self.watches, counters: &mut self.counters, fused };
        self.handler.progress(now_ns, &mut actions);
    }

    /// Answers everything that is owed.
    fn close(&mut self, port: &mut impl Port) {
        if let Some(owed) = self.owed.take() {
            self.turn = !self.turn;
            let packet = self.receive_buffer().get(..owed.length).unwrap_or_default();
            let sent = port.reply(owed.message, packet, &owed.caps).is_ok();
            *if sent { &mut self.counters.replies } else { &mut self.counters.lost } += 1;
        }
        self.give_up(port, Cancelled::Ending, ErrorCode::Cancelled, |_| true);
    }
}
