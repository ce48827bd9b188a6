//! A machine that is cheap to copy: a state of the explored world holds one.
//!
//! It gives memory and places out lowest first, so what came back is used again at once. Packets between its two cores become visible to the receiver
//! one by one, in the order in which they were sent, when the explorer says so. It remembers translations that nobody flushed, as hardware may.

use std::collections::VecDeque;
use std::rc::Rc;

use aios_abi::AgentId;
use aios_abi::limits::{NODES_PER_PAGE, PAGE_SIZE};
use aios_core::agent::Agent;
use aios_core::cap::{Node, NodePage};
use aios_core::core::{Notice, Packet, RING, Request};
use aios_core::machine::{Lane, Machine, Memory, Object};

use crate::Fault;

const PAGE: u64 = PAGE_SIZE as u64;
const WORDS: usize = PAGE_SIZE / 8;
/// Where the memory starts.
const RAM: u64 = 0x4000_0000;
/// Places in the agent table, the kernel's included.
pub const PLACES: u16 = 8;
/// Cores.
pub const CORES: u16 = 2;

#[derive(Clone)]
struct Frame {
    used: bool,
    words: Rc<[u64; WORDS]>,
}

#[derive(Clone, Copy, Default)]
struct Place {
    generation: u32,
    home: Option<u16>,
}

/// A translation that a core may have cached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cached {
    /// The address space.
    pub asid: u16,
    /// The user address.
    pub va: u64,
    /// The physical address.
    pub pa: u64,
    /// It allows writing.
    pub writable: bool,
}

/// The machine.
#[derive(Clone)]
pub struct Small {
    frames: Vec<Frame>,
    nodes: Vec<Option<Box<NodePage>>>,
    hidden: Vec<bool>,
    /// Generations that the pages of nodes have spent, by number.
    spent: Vec<u64>,
    stamps: u64,
    places: [Place; PLACES as usize],
    /// The core that runs now.
    pub core: u16,
    /// What was sent to each core and not taken yet, in order.
    pub sent: [VecDeque<(Lane, Packet)>; CORES as usize],
    /// How many of the packets to the running core it sees.
    pub visible: usize,
    /// Packets that a ring of requests, of answers, of notices holds.
    pub capacity: [usize; 3],
    /// Agents on their way to each core.
    pub movers: [Option<Box<Agent<Small>>>; CORES as usize],
    /// What each core's timer was set to.
    pub timers: [u64; CORES as usize],
    /// Translations that nobody flushed.
    pub cached: Vec<Cached>,
    /// An interrupt waits whenever the kernel asks.
    pub busy: bool,
    /// How it misbehaves, if it does.
    pub fault: Option<Fault>,
    /// What it found wrong with what it was asked to do.
    pub complaint: Option<&'static str>,
    /// Pages of objects.
    pub objects: u64,
    /// What the last reply brought.
    replied: Option<[u64; 8]>,
}

impl Small {
    /// A machine without agents.
    pub fn new(fault: Option<Fault>) -> Self {
        Self {
            frames: Vec::new(),
            nodes: Vec::new(),
            hidden: Vec::new(),
            spent: Vec::new(),
            stamps: 0,
            places: [Place::default(); PLACES as usize],
            core: 0,
            sent: [const { VecDeque::new() }; CORES as usize],
            visible: 0,
            capacity: [RING; 3],
            movers: [const { None }; CORES as usize],
            timers: [u64::MAX; CORES as usize],
            cached: Vec::new(),
            busy: false,
            fault,
            complaint: None,
            objects: 0,
            replied: None,
        }
    }

    /// Pages in use, of every kind.
    pub fn used(&self) -> u64 {
        self.frames.iter().filter(|frame| frame.used).count() as u64 + self.objects + self.nodes.iter().flatten().count() as u64
    }

    /// Numbers of the pages that were allocated by address.
    pub fn allocated(&self) -> impl Iterator<Item = u64> + '_ {
        (RAM / PAGE..).zip(&self.frames).filter_map(|(page, frame)| frame.used.then_some(page))
    }

    /// The generation of the agent that is or was at a place.
    pub fn generation(&self, slot: u16) -> u32 {
        self.places[slot as usize].generation
    }

    /// The translation is used: a core may keep it.
    pub fn cache(&mut self, entry: Cached) {
        if !self.cached.contains(&entry) {
            self.cached.push(entry);
        }
    }

    fn index(address: u64) -> (usize, usize) {
        (((address - RAM) / PAGE) as usize, (address % PAGE / 8) as usize)
    }

    fn frame(&self, address: u64) -> &Frame {
        let frame = &self.frames[Self::index(address).0];
        assert!(frame.used, "access to free memory at {address:#x}");
        frame
    }

    fn words(&mut self, address: u64) -> &mut [u64; WORDS] {
        let frame = &mut self.frames[Self::index(address).0];
        assert!(frame.used, "access to free memory at {address:#x}");
        Rc::make_mut(&mut frame.words)
    }

    fn is_cached(&self, address: u64, pages: u64) -> bool {
        self.cached.iter().any(|entry| (address..address + pages * PAGE).contains(&entry.pa))
    }
}

impl Memory for Small {
    fn alloc(&mut self, pages: u64) -> Option<u64> {
        let pages = pages as usize;
        let free = |from: usize| self.frames[from..].iter().take(pages).all(|frame| !frame.used);
        let first = (0..=self.frames.len()).find(|&from| free(from)).unwrap_or(self.frames.len());
        let zero = Rc::new([0; WORDS]);
        while self.frames.len() < first + pages {
            self.frames.push(Frame { used: false, words: zero.clone() });
        }
        for frame in &mut self.frames[first..first + pages] {
            frame.used = true;
            if self.fault != Some(Fault::OldContents) {
                frame.words = zero.clone();
            }
        }
        Some(RAM + first as u64 * PAGE)
    }

    fn free(&mut self, address: u64, pages: u64) {
        if self.is_cached(address, pages) {
            self.complaint = Some("P5: memory is given back that somebody still reaches");
        }
        let first = Self::index(address).0;
        for frame in &mut self.frames[first..first + pages as usize] {
            assert!(std::mem::take(&mut frame.used), "double free at {address:#x}");
        }
    }

    fn read(&self, address: u64) -> u64 {
        self.frame(address).words[Self::index(address).1]
    }

    fn write(&mut self, address: u64, word: u64) {
        self.words(address)[Self::index(address).1] = word;
    }

    fn copy(&mut self, to: u64, from: u64, length: usize) {
        let mut bytes = vec![0; length];
        self.read_bytes(from, &mut bytes);
        self.write_bytes(to, &bytes);
    }

    fn read_bytes(&self, address: u64, bytes: &mut [u8]) {
        let words = &self.frame(address).words;
        for (at, byte) in (address % PAGE..).zip(bytes) {
            *byte = words[at as usize / 8].to_le_bytes()[at as usize % 8];
        }
    }

    fn write_bytes(&mut self, address: u64, bytes: &[u8]) {
        let words = self.words(address);
        for (at, byte) in (address % PAGE..).zip(bytes) {
            let word = &mut words[at as usize / 8];
            let mut bytes = word.to_le_bytes();
            bytes[at as usize % 8] = *byte;
            *word = u64::from_le_bytes(bytes);
        }
    }

    fn flush_page(&mut self, asid: u16, address: u64) {
        if self.fault != Some(Fault::NoFlush) {
            self.cached.retain(|entry| entry.asid != asid || entry.va != address);
        }
    }

    fn flush_space(&mut self, asid: u16) {
        self.cached.retain(|entry| entry.asid != asid);
    }

    fn sync_code(&mut self, _address: u64, _pages: u64) {}

    fn interrupt_pending(&self) -> bool {
        self.busy
    }
}

impl Machine for Small {
    type Page<T: Object> = Box<T>;

    fn page<T: Object>(&mut self) -> Option<Box<T>> {
        self.objects += 1;
        Some(Box::new(T::EMPTY))
    }

    fn release<T: Object>(&mut self, page: Box<T>) {
        drop(page);
        self.objects -= 1;
    }

    fn node(&self, index: u32) -> Option<&Node> {
        let number = index as usize / NODES_PER_PAGE;
        let page = self.nodes.get(number)?.as_deref().filter(|_| !self.hidden[number])?;
        Some(&page.0[index as usize % NODES_PER_PAGE])
    }

    fn add_nodes(&mut self) -> Option<u32> {
        let number = self.nodes.iter().position(Option::is_none).unwrap_or(self.nodes.len());
        if number == self.nodes.len() {
            self.nodes.push(None);
            self.hidden.push(false);
            self.spent.push(0);
        }
        let page = Box::new(NodePage::EMPTY);
        page.open(self.spent[number]);
        self.nodes[number] = Some(page);
        Some(number as u32)
    }

    fn hide_nodes(&mut self, number: u32) {
        self.hidden[number as usize] = true;
    }

    fn remove_nodes(&mut self, number: u32) {
        assert!(std::mem::take(&mut self.hidden[number as usize]), "nodes are hidden before they are removed");
        let page = self.nodes[number as usize].take().expect("nodes are removed once");
        if self.fault != Some(Fault::SameNode) {
            self.spent[number as usize] = page.spent();
        }
    }

    fn stamp(&mut self) -> u64 {
        if self.fault != Some(Fault::SameStamp) {
            self.stamps += 1;
        }
        self.stamps.max(1)
    }

    fn claim_agent(&mut self) -> Option<(u16, u32)> {
        let slot = (1..PLACES).find(|&slot| self.places[slot as usize].home.is_none())?;
        let same = self.fault == Some(Fault::SameGeneration);
        let core = self.core;
        let place = &mut self.places[slot as usize];
        place.generation = if same { 1 } else { place.generation + 1 };
        place.home = Some(core);
        Some((slot, place.generation))
    }

    fn release_agent(&mut self, slot: u16) {
        assert!(self.places[slot as usize].home.take().is_some(), "agent {slot} released twice");
    }

    fn cores(&self) -> u16 {
        CORES
    }

    fn home(&self, slot: u16) -> Option<u16> {
        self.places.get(slot as usize)?.home
    }

    fn set_home(&mut self, slot: u16, core: u16) {
        self.places[slot as usize].home = Some(core);
    }

    fn post(&mut self, core: u16, lane: Lane, mut packet: Packet) -> bool {
        assert_ne!(core, self.core, "a core sends nothing to itself");
        let ring = &mut self.sent[core as usize];
        if ring.iter().filter(|sent| sent.0 == lane).count() >= self.capacity[lane as usize] {
            return false;
        }
        match (&mut packet, self.fault) {
            (Packet::Request { request: Request::Grant { slot, .. }, .. }, Some(Fault::RightsGrow)) => slot.rights.0 |= 0x7f,
            (Packet::Request { request: Request::Reply { parcel, .. }, .. }, Some(Fault::OldReply)) => {
                let words = self.replied.replace(parcel.words);
                parcel.words = words.unwrap_or(parcel.words);
            }
            (Packet::Answer { .. }, Some(Fault::NoAnswer)) | (Packet::Notice(Notice::Credit { .. }), Some(Fault::NoCredit)) => return true,
            _ => {}
        }
        ring.push_back((lane, packet));
        true
    }

    fn take(&mut self, lane: Lane) -> Option<Packet> {
        let ring = &mut self.sent[self.core as usize];
        let at = ring.iter().take(self.visible).position(|sent| sent.0 == lane)?;
        self.visible -= 1;
        ring.remove(at).map(|sent| sent.1)
    }

    fn can_send_agent(&self, core: u16) -> bool {
        self.movers[core as usize].is_none()
    }

    fn send_agent(&mut self, core: u16, agent: Box<Agent<Self>>) -> Result<(), Box<Agent<Self>>> {
        if !self.can_send_agent(core) {
            return Err(agent);
        }
        self.movers[core as usize] = Some(agent);
        Ok(())
    }

    fn take_agent(&mut self) -> Option<Box<Agent<Self>>> {
        self.movers[self.core as usize].take()
    }

    fn set_timer(&mut self, at_ns: u64) {
        self.timers[self.core as usize] = at_ns;
    }

    fn line(&mut self, _line: u32, _enable: bool) {}

    fn is_device(&self, first_page: u64, pages: u64) -> bool {
        first_page + pages <= RAM / PAGE
    }

    fn console(&mut self, _bytes: &[u8]) {}

    fn power(&mut self, _reset: bool) {}

    fn describe(&mut self, page: u64, agent: AgentId, incarnation: u32) {
        self.write(page, agent.0);
        self.write(page + 8, incarnation as u64);
    }

    fn forget(&mut self, _slot: u16) {}

    fn save_fp(&mut self, _slot: u16) {}
}
