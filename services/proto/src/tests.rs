//! Tests of the run-time part with the generator's test interface, and of every interface with arbitrary packets.

mod arbitrary;
mod calls;
mod demo_calls;
mod lock;
mod refusals;

use crate::{Caller, Incoming, Outcome, Outgoing, Received, Ticket};

/// Everything that has a dispatcher: the system's interfaces and the test interfaces.
fn dispatchers() -> impl Iterator<Item = (&'static crate::Interface, crate::host::Dispatcher)> {
    crate::DISPATCHERS.iter().chain(crate::demo::DISPATCHERS).copied()
}

/// A caller with every right.
const CALLER: Caller = Caller { agent: 7, badge: 8, rights: u32::MAX, now_ns: 9 };
/// A ticket for what is answered later.
const TICKET: Option<Ticket> = Some(Ticket { index: 3, generation: 5 });

/// As many capabilities.
fn caps(count: u8) -> Received {
    Received::new(&[aios_abi::SlotHandle::new(40, 1); 4][..count.into()])
}

/// Dispatches one packet and returns what became of it, with the reply.
fn dispatch(dispatch: crate::host::Dispatcher, caller: &Caller, request: &Incoming<'_>) -> (Outcome, Vec<u8>) {
    let mut buffer = [0xa5; 256];
    let mut out = Outgoing::new(&mut buffer);
    let outcome = dispatch(caller, request, &mut out);
    let packet = out.packet().to_vec();
    (outcome, packet)
}

/// A generator whose seed can be given, and is printed when a test fails.
fn random() -> fastrand::Rng {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    fastrand::Rng::with_seed(seed)
}
