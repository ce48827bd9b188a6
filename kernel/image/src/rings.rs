//! Rings between cores, and where each agent lives: the only memory besides derivation nodes that one core writes and another reads. How they work
//! is in [`aios_ring`]; here is where they are, and who may use which.

use core::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use aios_aarch64::gic::cpu as interface;
use aios_abi::limits::{AGENTS, CORES, PAGE_SIZE};
use aios_core::agent::Agent;
use aios_core::core::{Packet, RING, Registration};
use aios_core::machine::Lane;
use aios_ring::{Homes, Passage};

use crate::machine::Hardware;
use crate::page::Page;
use crate::ram;

/// The software interrupt that says "look at your rings".
pub const DOORBELL: u32 = 0;

const LANES: usize = 3;

/// What a place holds that no packet was ever in: it says nothing.
const BLANK: Packet = Packet::Server(Registration::NONE);

/// A ring from one core to another.
type Ring = aios_ring::Ring<Packet, RING>;

/// Pages that a ring takes.
const RING_PAGES: u64 = size_of::<Ring>().div_ceil(PAGE_SIZE) as u64;

/// Physical address of each ring, by receiver, sender and lane; 0: there is none.
static RINGS: [AtomicU64; CORES * CORES * LANES] = [const { AtomicU64::new(0) }; CORES * CORES * LANES];
/// An agent's block.
type Block = Agent<Hardware>;
/// The agent on its way from one core to another, by receiver and sender.
static MOVERS: [Passage<Block>; CORES * CORES] = [const { Passage::new() }; CORES * CORES];
/// Cores that run and are asked.
static COUNT: AtomicU16 = AtomicU16::new(1);
/// `MPIDR` affinity of each core.
static AFFINITIES: [AtomicU64; CORES] = [const { AtomicU64::new(0) }; CORES];
/// The core on which each agent lives.
static HOMES: Homes<AGENTS> = Homes::new();

/// Makes the rings of `cores` cores. Answers the pages that they take; `None` if there is no memory for them.
pub fn install(cores: usize) -> Option<u64> {
    let mut pages = 0;
    for (to, from) in (0..cores).flat_map(|to| (0..cores).map(move |from| (to, from))).filter(|(to, from)| to != from) {
        for lane in 0..LANES {
            let ring = ram::take(RING_PAGES)?;
            // SAFETY: pages that are nobody else's, in the direct map.
            unsafe { Ring::make_at(ram::direct(ring), BLANK) };
            RINGS[index(to, from, lane)].store(ring, Ordering::Release);
            pages += RING_PAGES;
        }
    }
    Some(pages)
}

/// Says how many cores run: so many are asked from now on.
pub fn open(cores: usize) {
    COUNT.store(cores as u16, Ordering::Release);
}

const fn index(to: usize, from: usize, lane: usize) -> usize {
    (to * CORES + from) * LANES + lane
}

/// Says which affinity a core has.
pub fn set_affinity(core: usize, affinity: u64) {
    if let Some(place) = AFFINITIES.get(core) {
        place.store(affinity, Ordering::Release);
    }
}

fn ring(to: usize, from: usize, lane: Lane) -> Option<&'static Ring> {
    let address = RINGS.get(index(to, from, lane as usize))?.load(Ordering::Acquire);
    if address == 0 {
        return None;
    }
    let place: *const Ring = ram::direct(address);
    // SAFETY: `install` made a ring there, which stays for ever; all of it is atomic or owned by one side at a time.
    Some(unsafe { &*place })
}

/// Sends a packet and rings the receiver's doorbell; false if the ring is full. Only core `from` calls this with that number.
pub fn post(from: usize, to: usize, lane: Lane, packet: Packet) -> bool {
    // SAFETY: core `from` alone sends here, one packet after the other.
    let sent = ring(to, from, lane).is_some_and(|ring| unsafe { ring.push(packet) });
    if sent {
        interface::signal(AFFINITIES[to].load(Ordering::Acquire), DOORBELL);
    }
    sent
}

/// Takes a packet for core `to`, from core `first` or the next one that has sent something; answers which. Only core `to` calls this with that number.
pub fn take(to: usize, lane: Lane, first: usize) -> Option<(usize, Packet)> {
    let cores = usize::from(cores());
    // SAFETY: core `to` alone takes from there, one packet after the other.
    let pop = |ring: &Ring| unsafe { ring.pop() };
    (first..cores).chain(0..first.min(cores)).filter(|&from| from != to).find_map(|from| Some((from, pop(ring(to, from, lane)?)?)))
}

/// Whether the place for an agent that moves from one core to another is free. Only its sender fills it.
pub fn is_free(from: usize, to: usize) -> bool {
    MOVERS[to * CORES + from].is_free()
}

/// Hands an agent to another core, and rings its doorbell. Only core `from` calls this with that number.
pub fn send_agent(from: usize, to: usize, agent: Page<Block>) -> Result<(), Page<Block>> {
    let agent = agent.into_raw();
    if !MOVERS[to * CORES + from].put(agent) {
        // SAFETY: it was refused, so it is still this core's.
        return Err(unsafe { Page::from_raw(agent) });
    }
    interface::signal(AFFINITIES[to].load(Ordering::Acquire), DOORBELL);
    Ok(())
}

/// Takes an agent that another core has handed to core `to`. Only that core calls this.
pub fn take_agent(to: usize) -> Option<Page<Block>> {
    let agent = MOVERS[to * CORES..(to + 1) * CORES].iter().find_map(Passage::take)?;
    // SAFETY: `send_agent` put the page there, and taking it made it this core's.
    Some(unsafe { Page::from_raw(agent) })
}

/// Cores that run.
pub fn cores() -> u16 {
    COUNT.load(Ordering::Relaxed)
}

/// The core on which the agent at a place of the agent table lives.
pub fn home(slot: u16) -> Option<u16> {
    HOMES.get(slot)
}

/// Says that the agent at a place has left core `from` for core `to`; see [`Homes::leave`].
pub fn move_home(slot: u16, from: u16, to: u16) {
    HOMES.leave(slot, from, to);
}

/// Says where the agent at a place lives; `None`: the place is free.
pub fn set_home(slot: u16, core: Option<u16>) {
    HOMES.set(slot, core);
}
