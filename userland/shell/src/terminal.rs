//! The console server, found again when it was restarted.

use alloc::vec::Vec;

use aios_abi::Error as KernelError;
use aios_proto::console::{Chunk, Client, Counters, Error, Events};
use aios_proto::{Capability as _, Error as CallError};
use aios_rt::peer::{Failure, Init, Peer, notification};
use aios_rt::service::Remote;
use aios_rt::slot::Slot;
use aios_rt::time::{Deadline, now};
use aios_rt::{cap, ipc};

/// Its name.
pub const CONSOLE: &str = "/svc/console";

/// Notification bit: the system stops.
pub const STOP: u64 = 1 << 0;
/// Notification bit: there is something to read.
pub const INPUT: u64 = 1 << 1;

/// How long to wait for a console that is not there, ns.
const PAUSE_NS: u64 = 50_000_000;
/// How long a question that it answers at once may take, ns.
const ANSWER_NS: u64 = 5_000_000_000;
/// Bytes read at once.
pub const READ: u32 = 256;

/// How often the shell tells the supervisor that it is alive, ns. Rarer than servers: a command may do something for a while without looking up.
pub const HEARTBEAT_NS: u64 = 10_000_000_000;

/// The console, and whatever else the shell waits at: it tells the supervisor from here that it is alive.
pub struct Terminal {
    init: Init,
    /// When the supervisor is to hear of the shell again.
    due: Deadline,
    peer: Peer<Client<Remote>>,
    /// Which run of the server knows of the subscription.
    subscribed: Option<u32>,
    /// Bits that came and nobody asked for yet.
    bits: u64,
}

impl Terminal {
    /// The console that init leads to.
    pub fn new(init: Init) -> Self {
        Self { init, due: Deadline::after(HEARTBEAT_NS), peer: Peer::new(init, CONSOLE, Client::new), subscribed: None, bits: 0 }
    }

    /// Writes all of it. Waits for a console that is being restarted; without one there is nothing else to do.
    pub fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(Chunk::MAX) {
            while !self.settled(chunk) {
                self.pause();
            }
        }
    }

    /// Writes once. Whether that is that: done, or of no use.
    fn settled(&mut self, chunk: &[u8]) -> bool {
        let result = self.call(|client| client.write(Chunk::truncated(chunk), Deadline::NEVER.0));
        !result.is_err_and(|failure| may_come_back(&failure))
    }

    /// Reads what is there, waiting for something until the deadline; `None` if nothing came.
    pub fn read(&mut self, deadline: Deadline) -> Option<Vec<u8>> {
        loop {
            self.beat();
            let until = deadline.min(self.due);
            match self.call(|client| client.read(READ, until.0).map(|bytes| bytes.to_vec())) {
                Ok(bytes) => return Some(bytes),
                Err(Failure::Call(CallError::Timeout)) if until < deadline => {}
                Err(Failure::Call(CallError::Timeout)) => return None,
                Err(_) if Deadline::after(PAUSE_NS) > deadline => return None,
                Err(_) => self.pause(),
            }
        }
    }

    /// What the console has done.
    pub fn status(&mut self) -> Result<Counters, Failure<Error>> {
        self.call(|client| client.status(Deadline::after(ANSWER_NS).0))
    }

    /// Waits until everything that was written is on the line.
    pub fn flush(&mut self, deadline: Deadline) {
        // Whoever flushes is about to end and can do no more.
        let _ = self.call(|client| client.flush(deadline.0));
    }

    /// Waits for notification bits; none if the deadline passes.
    pub fn wait(&mut self, deadline: Deadline) -> u64 {
        while self.bits == 0 {
            self.beat();
            let until = deadline.min(self.due);
            self.bits = ipc::wait(until).unwrap_or(0);
            if until == deadline {
                break;
            }
        }
        core::mem::take(&mut self.bits)
    }

    /// Tells the supervisor that the shell is alive, when it is time for that.
    fn beat(&mut self) {
        if self.due <= Deadline(now()) {
            // A supervisor that has no room for it hears the next one.
            let _ = self.init.heartbeat();
            self.due = Deadline::after(HEARTBEAT_NS);
        }
    }

    fn pause(&mut self) {
        self.beat();
        self.bits |= ipc::wait(Deadline::after(PAUSE_NS)).unwrap_or(0);
    }

    /// Calls the server. A server that does not know of the subscription, because it was restarted, is told again.
    fn call<R>(&mut self, mut ask: impl FnMut(&mut Client<Remote>) -> Result<R, CallError<Error>>) -> Result<R, Failure<Error>> {
        let (result, incarnation) = self.peer.call(|client| {
            let result = ask(client)?;
            Ok((result, client.link.incarnation()))
        })?;
        if self.subscribed != Some(incarnation) {
            self.subscribe();
        }
        Ok(result)
    }

    fn subscribe(&mut self) {
        self.subscribed = self
            .peer
            .call(|client| {
                let notify = notification(INPUT).map_err(|error| CallError::from_kernel(error.code()))?;
                let slot = Slot(notify.handle());
                client.subscribe(Events::INPUT, INPUT, notify, Deadline::after(PAUSE_NS).0).inspect_err(|_| {
                    // What was not given away would stay.
                    let _ = cap::drop(slot);
                })?;
                Ok(client.link.incarnation())
            })
            .ok();
    }
}

/// Whether the console may be there again later.
fn may_come_back(failure: &Failure<Error>) -> bool {
    match failure {
        Failure::Unreachable(_) => true,
        Failure::Call(CallError::PeerDied | CallError::PeerRestarted | CallError::Timeout) => true,
        Failure::Call(CallError::Service(Error::TooManyWaiting)) => true,
        Failure::Call(CallError::Refused(code)) => *code == KernelError::QueueFull.code(),
        Failure::Call(_) => false,
    }
}
