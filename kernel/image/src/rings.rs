//! Rings between cores, and where each agent lives: the only memory besides derivation nodes that one core writes and another reads.
//!
//! A ring has one sender and one receiver. The sender owns the place at `tail`, the receiver the one at `head`; each moves its own index with release
//! order after it is done with the place, and reads the other's with acquire order before it touches one. An index counts on for ever; a place is
//! its index modulo the size.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicPtr, AtomicU16, AtomicU32, AtomicU64, Ordering};

use aios_aarch64::gic::cpu as interface;
use aios_abi::limits::{AGENTS, CORES, PAGE_SIZE};
use aios_core::agent::Agent;
use aios_core::core::{Packet, RING};
use aios_core::machine::Lane;

use crate::machine::Hardware;
use crate::page::Page;
use crate::ram;

const _: () = assert!(RING.is_power_of_two(), "indices wrap around");

/// The software interrupt that says "look at your rings".
pub const DOORBELL: u32 = 0;

const LANES: usize = 3;

type Place = UnsafeCell<MaybeUninit<Packet>>;

/// A ring from one core to another.
#[repr(C)]
struct Ring {
    head: AtomicU32,
    tail: AtomicU32,
    places: [Place; RING],
}

/// Pages that a ring takes.
const RING_PAGES: u64 = size_of::<Ring>().div_ceil(PAGE_SIZE) as u64;

impl Ring {
    /// Adds a packet. Only its sender calls this.
    fn push(&self, packet: Packet) -> bool {
        let tail = self.tail.load(Ordering::Relaxed);
        if tail.wrapping_sub(self.head.load(Ordering::Acquire)) as usize == RING {
            return false;
        }
        let place = self.places[tail as usize % RING].get().cast::<Packet>();
        // SAFETY: the place is free and the sender's: the receiver has passed it, and takes it again only after the store to `tail`.
        unsafe { place.write(packet) };
        self.tail.store(tail.wrapping_add(1), Ordering::Release);
        true
    }

    /// Takes the oldest packet. Only its receiver calls this.
    fn pop(&self) -> Option<Packet> {
        let head = self.head.load(Ordering::Relaxed);
        if head == self.tail.load(Ordering::Acquire) {
            return None;
        }
        let place = self.places[head as usize % RING].get().cast::<Packet>();
        // SAFETY: the sender filled the place before it moved `tail`, and fills it again only after the store to `head`.
        let packet = unsafe { place.read() };
        self.head.store(head.wrapping_add(1), Ordering::Release);
        Some(packet)
    }
}

/// Physical address of each ring, by receiver, sender and lane; 0: there is none.
static RINGS: [AtomicU64; CORES * CORES * LANES] = [const { AtomicU64::new(0) }; CORES * CORES * LANES];
/// An agent's block.
type Block = Agent<Hardware>;
/// The agent on its way from one core to another, by receiver and sender; null: there is none.
static MOVERS: [AtomicPtr<Block>; CORES * CORES] = [const { AtomicPtr::new(core::ptr::null_mut()) }; CORES * CORES];
/// Cores that run and are asked.
static COUNT: AtomicU16 = AtomicU16::new(1);
/// `MPIDR` affinity of each core.
static AFFINITIES: [AtomicU64; CORES] = [const { AtomicU64::new(0) }; CORES];
/// Number plus one of the core on which each agent lives; 0: the place is free.
static HOMES: [AtomicU16; AGENTS] = [const { AtomicU16::new(0) }; AGENTS];

/// Makes the rings of `cores` cores. Answers the pages that they take; `None` if there is no memory for them.
pub fn install(cores: usize) -> Option<u64> {
    let mut pages = 0;
    for (to, from) in (0..cores).flat_map(|to| (0..cores).map(move |from| (to, from))).filter(|(to, from)| to != from) {
        for lane in 0..LANES {
            let ring = ram::take(RING_PAGES)?;
            // All zeros: the ring is empty.
            ram::zero(ring, RING_PAGES);
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
    let sent = ring(to, from, lane).is_some_and(|ring| ring.push(packet));
    if sent {
        interface::signal(AFFINITIES[to].load(Ordering::Acquire), DOORBELL);
    }
    sent
}

/// Takes a packet for core `to`, from core `first` or the next one that has sent something; answers which. Only core `to` calls this with that number.
pub fn take(to: usize, lane: Lane, first: usize) -> Option<(usize, Packet)> {
    let cores = usize::from(cores());
    (first..cores).chain(0..first.min(cores)).filter(|&from| from != to).find_map(|from| Some((from, ring(to, from, lane)?.pop()?)))
}

/// Whether the place for an agent that moves from one core to another is free. Only its sender fills it.
pub fn is_free(from: usize, to: usize) -> bool {
    MOVERS[to * CORES + from].load(Ordering::Acquire).is_null()
}

/// Hands an agent to another core, and rings its doorbell. Only core `from` calls this with that number.
pub fn send_agent(from: usize, to: usize, agent: Page<Block>) -> Result<(), Page<Block>> {
    if !is_free(from, to) {
        return Err(agent);
    }
    MOVERS[to * CORES + from].store(agent.into_raw(), Ordering::Release);
    interface::signal(AFFINITIES[to].load(Ordering::Acquire), DOORBELL);
    Ok(())
}

/// Takes an agent that another core has handed to core `to`. Only that core calls this.
pub fn take_agent(to: usize) -> Option<Page<Block>> {
    let places = &MOVERS[to * CORES..(to + 1) * CORES];
    let agent = places.iter().map(|place| place.swap(core::ptr::null_mut(), Ordering::AcqRel)).find(|agent| !agent.is_null())?;
    // SAFETY: `send_agent` put the page there, and the swap made it this core's.
    Some(unsafe { Page::from_raw(agent) })
}

/// Cores that run.
pub fn cores() -> u16 {
    COUNT.load(Ordering::Relaxed)
}

/// The core on which the agent at a place of the agent table lives.
pub fn home(slot: u16) -> Option<u16> {
    HOMES.get(slot as usize)?.load(Ordering::Acquire).checked_sub(1)
}

/// Says that the agent at a place has left core `from` for core `to`, if nobody has said anything else since it left: it may be there already, have gone on,
/// or have ended.
pub fn move_home(slot: u16, from: u16, to: u16) {
    if let Some(home) = HOMES.get(slot as usize) {
        // If it fails, what stands there is newer.
        let _ = home.compare_exchange(from + 1, to + 1, Ordering::AcqRel, Ordering::Relaxed);
    }
}

/// Says where the agent at a place lives; `None`: the place is free.
pub fn set_home(slot: u16, core: Option<u16>) {
    if let Some(home) = HOMES.get(slot as usize) {
        home.store(core.map_or(0, |core| core + 1), Ordering::Release);
    }
}
