//! The server's side of the loop: its state machine, and what that can do between events.

use aios_abi::message::Fault;
use aios_abi::{MessageId, SlotHandle};
use aios_proto::{Caller, Failure, Incoming, Later, Operation, Outcome, Outgoing, Ticket, TransportError};

use crate::pending::Pending;
use crate::port::Port;
use crate::service::Counters;
use crate::watch::{WatchError, Watched, Watches};

/// Why a reply that was owed is not any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cancelled {
    /// Its time was over; the caller was told so.
    TimedOut,
    /// The caller died, or nobody can call with its badge any more.
    CallerDied,
    /// The caller's call ended without the answer (its deadline passed), and it called again.
    CallerMovedOn,
    /// The server ends; the caller was told that its request is cancelled.
    Ending,
}

/// A server: a state machine that is told what happens and says what to do. It makes no system calls that wait.
pub trait Handler {
    /// A message. Servers of one interface hand it to the generated `dispatch`; servers of several look at [`Incoming::interface`] first.
    fn message(&mut self, caller: &Caller, request: &Incoming<'_>, out: &mut Outgoing<'_>) -> Outcome;

    /// Notification bits that are not the loop's own: interrupts, completions, requests to stop.
    fn notification(&mut self, bits: u64, now_ns: u64) {
        let _ = (bits, now_ns);
    }

    /// A fault of an agent that the server supervises, to be answered with `FaultReply`. `text` is what a panic said.
    fn fault(&mut self, message: MessageId, fault: &Fault, text: &[u8], now_ns: u64) {
        let _ = (message, fault, text, now_ns);
    }

    /// An agent died, or the last capability with a badge is gone, that was watched with [`Actions::watch`].
    fn gone(&mut self, what: Watched, now_ns: u64) {
        let _ = (what, now_ns);
    }

    /// A reply that the server put aside is not wanted any more.
    fn cancelled(&mut self, ticket: Ticket, why: Cancelled) {
        let _ = (ticket, why);
    }

    /// Called after every event, the passing of [`deadline_ns`](Self::deadline_ns) included: the place to complete replies that were
    /// put aside, to notify subscribers, and to do what it is time for.
    fn progress(&mut self, now_ns: u64, actions: &mut Actions<'_>) {
        let _ = (now_ns, actions);
    }

    /// When [`progress`](Self::progress) is to be called at the latest, ns since boot; `u64::MAX` if only events matter.
    fn deadline_ns(&self) -> u64 {
        u64::MAX
    }

    /// Whether the loop should end: what is owed is answered, and it returns.
    fn finished(&self) -> bool {
        false
    }
}

/// The reply to the message that is being handled, if it is still open: it goes out together with the next receive.
pub(crate) struct Fused<'a> {
    /// The message.
    pub message: MessageId,
    /// Where its reply is written.
    pub buffer: &'a mut [u8],
    /// Its reply, once it is written.
    pub owed: &'a mut Option<Owed>,
}

/// A reply that is written and not sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owed {
    pub message: MessageId,
    pub length: usize,
    pub caps: aios_proto::CapList,
}

/// What a server can do between events.
pub struct Actions<'a> {
    pub(crate) port: &'a mut dyn Port,
    pub(crate) scratch: &'a mut [u8],
    pub(crate) pending: &'a mut [Pending],
    pub(crate) watches: &'a mut Watches,
    pub(crate) counters: &'a mut Counters,
    pub(crate) fused: Option<Fused<'a>>,
}

impl Actions<'_> {
    /// Answers a request that was put aside. `false` if its caller does not wait any more.
    pub fn complete<O: Operation>(&mut self, later: Later<O>, result: Result<O::Output<'_>, Failure<O::Error>>) -> bool {
        let Some(entry) = crate::pending::take(self.pending, later.ticket()) else {
            self.counters.stale += 1;
            return false;
        };
        if let Some(fused) = self.fused.take_if(|fused| fused.message == entry.message) {
            let mut out = Outgoing::new(fused.buffer);
            out.answer::<O>(result);
            *fused.owed = Some(Owed { message: entry.message, length: out.packet().len(), caps: out.caps() });
            return true;
        }
        let mut out = Outgoing::new(self.scratch);
        out.answer::<O>(result);
        send(self.port, self.counters, entry.message, &out)
    }

    /// Raises bits through a notification capability that the server keeps.
    pub fn notify(&mut self, slot: SlotHandle, bits: u64) -> Result<(), TransportError> {
        self.port.notify(slot, bits)
    }

    /// Has [`Handler::gone`] called, and the replies given up that are owed to it, when the agent (whose capability is in `slot`) dies, or the
    /// last capability with the badge (one of which is in `slot`) is gone.
    pub fn watch(&mut self, slot: SlotHandle, what: Watched) -> Result<(), WatchError> {
        let bit = self.watches.reserve(what)?;
        self.port.watch(slot, bit).map_err(|error| {
            self.watches.take(bit);
            WatchError::Kernel(error.0)
        })
    }

    /// Empties a slot: for capabilities that the server kept and does not need any more.
    pub fn drop_capability(&mut self, slot: SlotHandle) {
        self.port.drop_capability(slot);
    }
}

/// Sends a reply that does not go with a receive. `false` if it did not arrive.
pub(crate) fn send(port: &mut dyn Port, counters: &mut Counters, to: MessageId, out: &Outgoing<'_>) -> bool {
    let sent = port.reply(to, out.packet(), &out.caps()).is_ok();
    *if sent { &mut counters.replies } else { &mut counters.lost } += 1;
    sent
}
