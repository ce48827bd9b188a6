//! The program: the journal, the console to which it shows what is urgent, the event loop.

use alloc::boxed::Box;

use aios_logd::{Images, Journal, STOP, Screen};
use aios_proto::types::Digest;
use aios_proto::{console, log};
use aios_rt::peer::{Init, Peer};
use aios_rt::service::{Alive, HEARTBEAT_NS, Remote};
use aios_rt::time::Deadline;
use aios_service::{Config, Service, buffer_size};

/// Readers that can wait at once.
const PENDING: usize = 16;
/// How long the console may take for a line, ns.
const SHOW_NS: u64 = 50_000_000;
/// How long init may take to say which image a badge stands for, ns. Asked once for each badge that frames come with.
const ANSWER_NS: u64 = 100_000_000;

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

/// Init, which answers at once. It sends to the log and never waits for it, so that neither ever waits for the other.
struct Supervisor(Init);

impl Images for Supervisor {
    fn digest(&mut self, badge: u64) -> Option<Digest> {
        self.0.names().image(badge, Deadline::after(ANSWER_NS).0).ok()
    }
}

/// Runs until it is told to stop.
pub fn run(start: [u64; 4]) -> u64 {
    let init = Init::from_start(start);
    let journal = Journal::new(Console(Peer::new(init, "/svc/console", console::Client::new)), Supervisor(init));
    let config = Config { take_caps: log::MAX_CAPS, ..Config::default() };
    let mut service = Box::new(Service::<_, { buffer_size(&[log::MAX_PACKET]) }, PENDING>::new(journal, config));
    if let Err(error) = init.promise(STOP, HEARTBEAT_NS) {
        panic!("can't report to the supervisor: {error}");
    }
    if let Err(error) = service.run(&mut Alive::new(init)) {
        return error.0.into();
    }
    // The supervisor sees the end itself, if it does not hear of it.
    let _ = init.stopped();
    0
}
