//! What the event loop calls.

use aios_proto::console::{self, Chunk, Error, op};
use aios_proto::{Caller, Incoming, Outcome, Outgoing, Ticket};
use aios_service::{Actions, Cancelled, Handler};
use aios_uart::Uart;

use crate::console::{Console, Line};

/// Notification bit: the device's line.
pub const INTERRUPT: u64 = 1 << 0;
/// Notification bit: stop in good order.
pub const STOP: u64 = 1 << 1;

/// How often the device is asked whether it is idle, which no interrupt tells, ns.
const IDLE_POLL_NS: u64 = 500_000;
/// How long the device may take for the bytes in its own queue, ns: 64 bytes at 1,200 baud, the slowest line of use.
const IDLE_LIMIT_NS: u64 = 600_000_000;

/// When something must be looked at again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    /// Absolute, ns; `None`: only events matter.
    wake_ns: Option<u64>,
    /// Since when nothing but the device's own queue is left to wait for.
    idling_ns: Option<u64>,
    /// The device did not become idle in time while the server was to stop.
    abandoned: bool,
}

impl<U: Uart, L: Line> Handler for Console<U, L> {
    fn message(&mut self, caller: &Caller, request: &Incoming<'_>, out: &mut Outgoing<'_>) -> Outcome {
        console::dispatch(self, caller, request, out)
    }

    fn notification(&mut self, bits: u64, _: u64) {
        if bits & INTERRUPT != 0 {
            self.signalled();
        }
        self.stopping |= bits & STOP != 0;
    }

    fn cancelled(&mut self, ticket: Ticket, _: Cancelled) {
        self.forget(ticket);
    }

    fn progress(&mut self, now_ns: u64, actions: &mut Actions<'_>) {
        let more = self.receive();
        self.write_on(actions);
        self.read_on(actions);
        let poll = self.flush_on(now_ns, actions);
        self.announce_input();
        self.subscribers.notify(|slot, bits| actions.notify(slot, bits).is_ok());
        for slot in self.subscribers.unused() {
            actions.drop_capability(slot);
        }
        self.times.wake_ns = match (more, poll) {
            (true, _) => Some(now_ns),
            (false, true) => Some(now_ns.saturating_add(IDLE_POLL_NS)),
            (false, false) => None,
        };
    }

    fn deadline_ns(&self) -> u64 {
        self.times.wake_ns.unwrap_or(u64::MAX)
    }

    fn finished(&self) -> bool {
        self.stopping && (self.is_drained() || self.times.abandoned)
    }
}

impl<U: Uart, L: Line> Console<U, L> {
    /// Sends, and takes waiting chunks in as room comes.
    fn write_on(&mut self, actions: &mut Actions<'_>) {
        self.transmit();
        while let Some(length) = self.writers.front().map(|writer| writer.data.len())
            && self.has_room(length)
            && let Some(writer) = self.writers.pop_front()
        {
            self.queue(&writer.data);
            actions.complete(writer.later, Ok(()));
            self.transmit();
        }
    }

    /// Hands input to those who wait for it. Bytes for a reader that is gone stay for the next.
    fn read_on(&mut self, actions: &mut Actions<'_>) {
        while let Some(limit) = self.readers.front().map(|reader| reader.limit) {
            let bytes = self.peek(limit);
            if bytes.is_empty() {
                return;
            }
            let Some(reader) = self.readers.pop_front() else { return };
            if actions.complete::<op::Read>(reader.later, Ok(Chunk::truncated(&bytes))) {
                self.consume(bytes.len());
            }
        }
    }

    /// Answers flushes. Whether to look at the device again soon.
    fn flush_on(&mut self, now_ns: u64, actions: &mut Actions<'_>) -> bool {
        if !self.awaits_idle() {
            self.times.idling_ns = None;
            return false;
        }
        let late = now_ns.saturating_sub(*self.times.idling_ns.get_or_insert(now_ns)) > IDLE_LIMIT_NS;
        let answer = match (self.drained(), late) {
            (true, _) => Ok(()),
            (false, true) => Err(Error::DeviceFailed),
            (false, false) => return true,
        };
        while let Some(later) = self.flushes.pop() {
            actions.complete(later, answer.map_err(Into::into));
        }
        self.times.abandoned = self.stopping && answer.is_err();
        false
    }
}
