//! The program: the journal, the console to which it shows what is urgent, the event loop.

use alloc::boxed::Box;

use aios_logd::{Journal, STOP, Screen};
use aios_proto::{console, log};
use aios_rt::peer::{Init, Peer};
use aios_rt::service::{Mailbox, Remote};
use aios_rt::time::Deadline;
use aios_service::{Config, Service, buffer_size};

/// Readers that can wait at once.
const PENDING: usize = 16;
/// How long the console may take for a line, ns.
const SHOW_NS: u64 = 50_000_000;

/// The console, if it can be had.
struct Console(Peer<console::Client<Remote>>);

impl Screen for Console {
    fn show(&mut self, bytes: &[u8]) {
        for bytes in bytes.chunks(console::Chunk::MAX) {
            // What can't be shown is in the log.
            let _ = self.0.call(|client| client.write(console::Chunk::truncated(bytes), Deadline::after(SHOW_NS).0));
        }
    }
}

/// Runs until it is told to stop.
pub fn run(start: [u64; 4]) -> u64 {
    let init = Init::from_start(start);
    let journal = Journal::new(Console(Peer::new(init, "/svc/console", console::Client::new)));
    let config = Config { take_caps: log::MAX_CAPS, ..Config::default() };
    let mut service = Box::new(Service::<_, { buffer_size(&[log::MAX_PACKET]) }, PENDING>::new(journal, config));
    if let Err(error) = init.ready(STOP) {
        panic!("can't report to the supervisor: {error}");
    }
    if let Err(error) = service.run(&mut Mailbox) {
        return error.0.into();
    }
    // The supervisor sees the end itself, if it does not hear of it.
    let _ = init.stopped();
    0
}
