//! The console between its device and those who read and write.

use aios_proto::console::{Chunk, Counters, Events, Window, op};
use aios_proto::{Later, Ticket};
use aios_uart::{Fault, Interrupts, Received, Uart};
use heapless::{Deque, Vec};

use crate::handler::Times;
use crate::subscribers::Subscribers;

/// Bytes that wait to go out.
pub const OUTPUT: usize = 4096;
/// Bytes that wait to be read.
pub const INPUT: usize = 1024;
/// Readers, writers and flushes that wait, of each kind.
pub const WAITING: usize = 4;
/// Bytes taken from the device in one turn, so that a flood does not keep the server from everything else.
const TURN: usize = 4 * INPUT;
/// What Ctrl-C sends.
const CTRL_C: u8 = 0x03;

/// The interrupt line of the device.
pub trait Line {
    /// Lets it interrupt again, after what it signalled has been served.
    fn rearm(&mut self);
}

/// A write that waits for room.
#[derive(Debug)]
pub(crate) struct Writer {
    pub later: Later<op::Write>,
    pub data: Vec<u8, { Chunk::MAX }>,
}

/// A read that waits for bytes.
#[derive(Debug)]
pub(crate) struct Reader {
    pub later: Later<op::Read>,
    pub limit: usize,
}

/// The console.
#[derive(Debug)]
pub struct Console<U, L> {
    uart: U,
    line: L,
    output: Deque<u8, OUTPUT>,
    input: Deque<u8, INPUT>,
    pub(crate) writers: Deque<Writer, WAITING>,
    pub(crate) readers: Deque<Reader, WAITING>,
    pub(crate) flushes: Vec<Later<op::Flush>, WAITING>,
    pub(crate) subscribers: Subscribers,
    pub(crate) counters: Counters,
    pub(crate) window: Window,
    enabled: Interrupts,
    /// The line signalled, and not everything was taken from the device.
    unread: bool,
    /// Bytes came that nobody was told of.
    fresh: bool,
    /// Bytes went out since the device was last seen idle.
    undrained: bool,
    /// Ends once everything that was written has left the device.
    pub(crate) stopping: bool,
    pub(crate) times: Times,
}

impl<U: Uart, L: Line> Console<U, L> {
    /// A console over a device that [`init`](Uart::init) has made ready. Lets it signal what it receives.
    pub fn new(uart: U, line: L) -> Self {
        let mut this = Self {
            uart,
            line,
            output: Deque::new(),
            input: Deque::new(),
            writers: Deque::new(),
            readers: Deque::new(),
            flushes: Vec::new(),
            subscribers: Subscribers::default(),
            counters: Counters { received: 0, sent: 0, lost: 0, line_errors: 0, overruns: 0 },
            window: Window { columns: 80, rows: 24 },
            enabled: Interrupts::default(),
            unread: false,
            fresh: false,
            undrained: false,
            stopping: false,
            times: Times::default(),
        };
        this.enable(Interrupts { receive: true, transmit: false });
        this
    }

    fn enable(&mut self, wanted: Interrupts) {
        if self.enabled != wanted {
            self.enabled = wanted;
            self.uart.set_interrupts(wanted);
        }
    }

    /// The line signalled: something came, or there is room again.
    pub(crate) fn signalled(&mut self) {
        self.uart.acknowledge();
        self.unread = true;
    }

    /// Takes what the device has received, at most a turn's worth. Whether there may be more.
    pub(crate) fn receive(&mut self) -> bool {
        if self.unread {
            let mut left = TURN;
            while let Some(received) = self.uart.try_read() {
                self.take(received);
                left -= 1;
                if left == 0 {
                    return true;
                }
            }
            self.unread = false;
            self.line.rearm();
        }
        false
    }

    fn take(&mut self, received: Received) {
        match received.fault {
            // The line was held on purpose: what Ctrl-C says, on consoles that have no better key.
            Some(Fault::Break) => {
                self.counters.line_errors += 1;
                self.subscribers.post(Events::INTERRUPT);
                return;
            }
            // Not the byte that was sent.
            Some(Fault::Framing | Fault::Parity) => {
                self.counters.line_errors += 1;
                return;
            }
            Some(Fault::Overrun) => self.counters.overruns += 1,
            None => {}
        }
        self.counters.received += 1;
        if received.byte == CTRL_C && self.subscribers.any(Events::INTERRUPT) {
            self.subscribers.post(Events::INTERRUPT);
            return;
        }
        if self.input.is_full() {
            self.input.pop_front();
            self.counters.lost += 1;
        }
        // There is room: that was seen to.
        let _ = self.input.push_back(received.byte);
        self.fresh = true;
    }

    /// Hands bytes to the device while it takes them.
    pub(crate) fn transmit(&mut self) {
        while let Some(&byte) = self.output.front()
            && self.uart.try_write(byte)
        {
            self.output.pop_front();
            self.counters.sent += 1;
            self.undrained = true;
        }
        self.enable(Interrupts { receive: true, transmit: !self.output.is_empty() });
    }

    /// Whether a whole chunk of this length has a place in the queue.
    pub(crate) fn has_room(&self, length: usize) -> bool {
        OUTPUT - self.output.len() >= length
    }

    /// Queues a chunk for which there is room.
    pub(crate) fn queue(&mut self, data: &[u8]) {
        for &byte in data {
            // The caller has seen to the room.
            let _ = self.output.push_back(byte);
        }
    }

    /// Up to `limit` bytes of input, which stay in the queue until [`consume`](Self::consume).
    pub(crate) fn peek(&self, limit: usize) -> Vec<u8, { Chunk::MAX }> {
        self.input.iter().copied().take(limit.min(Chunk::MAX)).collect()
    }

    /// Bytes were read.
    pub(crate) fn consume(&mut self, count: usize) {
        for _ in 0..count {
            self.input.pop_front();
        }
    }

    /// Tells subscribers of bytes that no reader took.
    pub(crate) fn announce_input(&mut self) {
        if core::mem::take(&mut self.fresh) && !self.input.is_empty() {
            self.subscribers.post(Events::INPUT);
        }
    }

    /// Whether everything that was written has left the device. Posts the event when that has just become so.
    pub(crate) fn drained(&mut self) -> bool {
        let idle = self.output.is_empty() && self.writers.is_empty() && self.uart.is_idle();
        if idle && core::mem::take(&mut self.undrained) {
            self.subscribers.post(Events::DRAINED);
        }
        idle
    }

    /// Whether everything that was written had left the device when it was last looked at.
    pub(crate) fn is_drained(&self) -> bool {
        self.output.is_empty() && self.writers.is_empty() && !self.undrained
    }

    /// Whether somebody wants to know when everything has left the device, and nothing but the device is left to wait for.
    pub(crate) fn awaits_idle(&self) -> bool {
        let wanted = !self.flushes.is_empty() || self.stopping || (self.undrained && self.subscribers.any(Events::DRAINED));
        wanted && self.output.is_empty()
    }

    /// A request is not wanted any more. A chunk that waits has not begun to go out.
    pub(crate) fn forget(&mut self, ticket: Ticket) {
        self.writers.retain(|writer| writer.later.ticket() != ticket);
        self.readers.retain(|reader| reader.later.ticket() != ticket);
        self.flushes.retain(|later| later.ticket() != ticket);
    }
}
