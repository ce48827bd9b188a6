//! The typed call: client, server and dispatcher as the generator makes them, over the event loop that all servers have.

use aios_abi::rights::Rights;
use aios_proto::{Incoming, Outcome, Outgoing, types};
use aios_rt::ipc::{self, Caps, Message, Received, Room};
use aios_rt::peer::Init;
use aios_rt::service::{Mailbox, Remote};
use aios_rt::slot::{Agent, Capability, Service as Slot};
use aios_rt::time::{Deadline, Expiry};
use aios_rt::{Error, Result, cap};
use aios_service::{Config, Handler, Service, buffer_size};

use super::agents::{Stage, Sum, derived};
use super::marks;
use crate::Caller;
use crate::generated::payload::{self, Client, Failure, Server, dispatch};

/// The server's name.
pub const NAME: &str = "/svc/typed";
/// Half of the bytes of a request beside the packet's header.
type Half = [u8; 28];
/// Replies that can be owed: none is ever put aside.
const PENDING: usize = 1;
/// How long the first, plain call may take, ns.
const HELLO_NS: u64 = 2_000_000_000;

/// Random bytes from a seed.
struct Random(u64);

impl Random {
    fn halves(&mut self) -> [Half; 2] {
        [(); 2].map(|()| {
            let mut bytes = [0; 28];
            for chunk in bytes.as_chunks_mut::<4>().0 {
                self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *chunk = ((self.0 >> 32) as u32).to_le_bytes();
            }
            bytes
        })
    }
}

fn sum(first: &Half, second: &Half) -> u64 {
    [first, second].iter().flat_map(|half| half.as_chunks::<4>().0).map(|word| u64::from(u32::from_le_bytes(*word))).sum()
}

/// The server: knows what must come, from whom and with which badge.
struct Sums {
    client: u64,
    badge: u64,
    random: Random,
    /// Ticks that checking took.
    paused: u64,
}

impl Server for Sums {
    fn sum(&mut self, caller: &Caller, first: Half, second: Half) -> core::result::Result<u64, Failure> {
        // The badge is checked where a server checks it: in the call.
        if caller.badge != self.badge {
            return Err(types::ErrorCode::UnknownBadge.into());
        }
        marks::close();
        let began = marks::ticks();
        let right = [first, second] == self.random.halves() && caller.agent == self.client;
        self.paused += marks::ticks() - began;
        marks::reopen();
        if right { Ok(sum(&first, &second)) } else { Err(types::ErrorCode::InvalidArgument.into()) }
    }

    fn paused(&mut self, _caller: &Caller) -> core::result::Result<u64, Failure> {
        Ok(self.paused)
    }
}

impl Handler for Sums {
    fn message(&mut self, caller: &Caller, request: &Incoming<'_>, out: &mut Outgoing<'_>) -> Outcome {
        dispatch(self, caller, request, out)
    }
}

/// Gives whoever asks first a capability, and serves.
pub fn serve() -> u64 {
    let Ok(sums) = meet() else { return 1 };
    let mut service = Service::<_, { buffer_size(&[payload::MAX_PACKET]) }, PENDING>::new(sums, Config::default());
    match service.run(&mut Mailbox) {
        Ok(()) => 0,
        Err(error) => error.0.into(),
    }
}

fn meet() -> Result<Sums> {
    loop {
        let Received::Call(call) = ipc::receive(Room::none(), Deadline::NEVER)? else { continue };
        let [badge, seed, ..] = call.body.words();
        let rights = Rights::SEND.or(Rights::GRANT);
        let own = cap::mint_service(Agent::OWN, badge, rights.or(Rights::DERIVE), Expiry::NONE)?;
        let caps = Caps::new(&[derived(own, Rights::SEND)?.handle()]).ok_or(Error::BadArgument)?;
        ipc::reply(call.id, &Message::EMPTY.copying(caps), &[])?;
        return Ok(Sums { client: call.sender.0, badge, random: Random(seed), paused: 0 });
    }
}

/// Calls it so many times.
pub fn call(stage: Stage, init: Init) -> Result<Sum> {
    let server = init.resolve(NAME).map_err(|_| Error::NoServer)?;
    let badge = stage.seed ^ 0x1234_5678_9abc_def0;
    let hello = ipc::call(server, &Message::words([badge, stage.seed]), Room { buffer: &mut [], caps: 1 }, Deadline::after(HELLO_NS))?;
    let slot = *hello.body.caps.handles().first().ok_or(Error::NoCapability)?;
    let mut client = Client::new(Remote(Slot(slot)));
    let mut random = Random(stage.seed);
    let mut done = Sum::default();
    for _ in 0..stage.rounds {
        let [first, second] = random.halves();
        let began = marks::ticks();
        marks::open();
        let answer = client.sum(first, second, Deadline::NEVER.0);
        marks::close();
        done.ticks += marks::ticks() - began;
        done.wrong += u64::from(answer != Ok(sum(&first, &second)));
    }
    match client.paused(Deadline::NEVER.0) {
        Ok(ticks) => done.ticks -= ticks,
        Err(_) => done.wrong += 1,
    }
    stage.finish(&[])?;
    Ok(done)
}
