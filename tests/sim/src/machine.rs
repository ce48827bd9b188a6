//! A machine made of ordinary memory.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};

use aios_abi::AgentId;
use aios_abi::limits::{AGENTS, CORES, NODES_PER_PAGE, PAGE_SIZE};
use aios_core::agent::Agent;
use aios_core::cap::{GENERATIONS, Node, NodePage};
use aios_core::core::{Packet, RING};
use aios_core::machine::{Lane, Machine, Memory, Object};

/// Where the simulated RAM starts.
const RAM: u64 = 0x4000_0000;
const PAGE: u64 = PAGE_SIZE as u64;

/// A machine made of ordinary memory.
#[derive(Default)]
pub struct Sim {
    /// Pages from `RAM` on. No address is ever given out twice, so that a stale one is always noticed.
    pages: Vec<Option<Box<[u8; PAGE_SIZE]>>>,
    in_use: u64,
    /// Pages that may be allocated before the machine says that there are none.
    pub left: u64,
    /// Allocations asked for.
    pub allocations: u64,
    /// The allocation with this number fails, even though memory is there.
    pub fail_at: Option<u64>,
    /// Pages that hold objects of the core, which live outside of `pages`.
    pub objects: u64,
    nodes: Vec<Option<Box<NodePage>>>,
    hidden: Vec<bool>,
    /// Generations that the pages of nodes have spent, by number.
    spent: Vec<u64>,
    /// Generations that numbers never used before count as having spent.
    pub spent_before: u64,
    /// The last stamp that was given out.
    pub stamps: u64,
    /// Times that a derivation node was looked for.
    pub lookups: Cell<u64>,
    generations: Vec<u32>,
    claimed: Vec<bool>,
    /// What the timer was set to.
    pub timer: u64,
    /// Interrupt lines that are enabled.
    pub lines: BTreeMap<u32, bool>,
    /// What was written to the console.
    pub console: Vec<u8>,
    /// What `PowerControl` asked for: reset or not.
    pub powered_off: Option<bool>,
    /// Every this many questions there is an interrupt pending; 0 for never.
    pub interrupt_every: u32,
    questions: Cell<u32>,
    /// Of 256 questions, this many are answered by an interrupt, at random.
    pub interrupt_chance: u8,
    /// State of the generator behind that.
    pub interrupt_seed: Cell<u64>,
    /// Quick calls are tried.
    pub quick: bool,
    /// How many of each number were quick.
    pub quick_calls: BTreeMap<u64, u64>,
    /// Cores.
    pub cores: u16,
    /// The core that runs now.
    pub core: u16,
    homes: Vec<Option<u16>>,
    /// Rings, by receiver, sender and lane.
    pub rings: BTreeMap<(u16, u16, u8), VecDeque<Packet>>,
    /// Agents on their way, by receiver and sender.
    pub movers: BTreeMap<(u16, u16), Box<Agent<Sim>>>,
    /// Timers of the cores.
    pub timers: Vec<u64>,
}

impl Sim {
    /// A machine with this many pages of RAM.
    pub fn new(pages: u64) -> Self {
        let (generations, claimed) = (vec![0; AGENTS], vec![false; AGENTS]);
        let (homes, timers) = (vec![None; AGENTS], vec![u64::MAX; CORES]);
        let interrupt_seed = Cell::new(1);
        Self { left: pages, timer: u64::MAX, generations, claimed, interrupt_seed, quick: true, cores: 1, homes, timers, ..Self::default() }
    }

    /// Pages in use.
    pub fn used(&self) -> u64 {
        self.in_use + self.objects + self.node_pages()
    }

    /// Pages that were allocated by their address and not given back, lowest first.
    pub fn allocated(&self) -> impl Iterator<Item = u64> + '_ {
        (RAM..).step_by(PAGE_SIZE).zip(&self.pages).filter_map(|(address, page)| page.is_some().then_some(address))
    }

    /// Pages of derivation nodes.
    pub fn node_pages(&self) -> u64 {
        self.nodes.iter().flatten().count() as u64
    }

    /// Whether something was sent to a core that it has not taken.
    pub fn sent_to(&self, core: u16) -> bool {
        self.movers.keys().any(|&(to, _)| to == core) || self.rings.iter().any(|(&(to, ..), ring)| to == core && !ring.is_empty())
    }

    fn page_of(&self, address: u64) -> &[u8; PAGE_SIZE] {
        let page = address.checked_sub(RAM).and_then(|offset| self.pages.get((offset / PAGE) as usize)?.as_deref());
        page.unwrap_or_else(|| panic!("access to free memory at {address:#x}"))
    }

    fn page_of_mut(&mut self, address: u64) -> &mut [u8; PAGE_SIZE] {
        let page = address.checked_sub(RAM).and_then(|offset| self.pages.get_mut((offset / PAGE) as usize)?.as_deref_mut());
        page.unwrap_or_else(|| panic!("access to free memory at {address:#x}"))
    }

    fn range(address: u64, length: usize) -> std::ops::Range<usize> {
        let start = (address % PAGE) as usize;
        assert!(start + length <= PAGE_SIZE, "access of {length} bytes at {address:#x} crosses a page");
        start..start + length
    }

    fn take(&mut self, pages: u64) -> bool {
        let number = self.allocations;
        self.allocations += 1;
        let enough = pages <= self.left && self.fail_at != Some(number);
        if enough {
            self.left -= pages;
        }
        enough
    }
}

impl Memory for Sim {
    fn alloc(&mut self, pages: u64) -> Option<u64> {
        if !self.take(pages) {
            return None;
        }
        let address = RAM + self.pages.len() as u64 * PAGE;
        self.pages.extend((0..pages).map(|_| Some(Box::new([0; PAGE_SIZE]))));
        // A page between runs, so that nothing can reach its neighbour unseen.
        self.pages.push(None);
        self.in_use += pages;
        Some(address)
    }

    fn free(&mut self, address: u64, pages: u64) {
        for i in 0..pages {
            let page = &mut self.pages[((address - RAM) / PAGE + i) as usize];
            assert!(page.take().is_some(), "double free at {address:#x}");
        }
        self.in_use -= pages;
        self.left += pages;
    }

    fn read(&self, address: u64) -> u64 {
        let range = Self::range(address, 8);
        u64::from_le_bytes(self.page_of(address)[range].try_into().expect("eight bytes"))
    }

    fn write(&mut self, address: u64, word: u64) {
        let range = Self::range(address, 8);
        self.page_of_mut(address)[range].copy_from_slice(&word.to_le_bytes());
    }

    fn copy(&mut self, to: u64, from: u64, length: usize) {
        let bytes = self.page_of(from)[Self::range(from, length)].to_vec();
        self.page_of_mut(to)[Self::range(to, length)].copy_from_slice(&bytes);
    }

    fn read_bytes(&self, address: u64, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.page_of(address)[Self::range(address, bytes.len())]);
    }

    fn write_bytes(&mut self, address: u64, bytes: &[u8]) {
        self.page_of_mut(address)[Self::range(address, bytes.len())].copy_from_slice(bytes);
    }

    fn flush_page(&mut self, _asid: u16, _address: u64) {}

    fn flush_space(&mut self, _asid: u16) {}

    fn sync_code(&mut self, _address: u64, _pages: u64) {}

    fn interrupt_pending(&self) -> bool {
        self.questions.set(self.questions.get() + 1);
        let mut seed = self.interrupt_seed.get();
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        self.interrupt_seed.set(seed);
        let regular = self.interrupt_every != 0 && self.questions.get().is_multiple_of(self.interrupt_every);
        regular || (seed >> 56) < self.interrupt_chance as u64
    }
}

impl Machine for Sim {
    type Page<T: Object> = Box<T>;

    fn page<T: Object>(&mut self) -> Option<Box<T>> {
        assert!(size_of::<T>() <= PAGE_SIZE, "an object of {} bytes doesn't fit a page", size_of::<T>());
        if !self.take(1) {
            return None;
        }
        self.objects += 1;
        Some(Box::new(T::EMPTY))
    }

    fn release<T: Object>(&mut self, page: Box<T>) {
        drop(page);
        self.objects -= 1;
        self.left += 1;
    }

    fn node(&self, index: u32) -> Option<&Node> {
        self.lookups.set(self.lookups.get() + 1);
        let number = index as usize / NODES_PER_PAGE;
        let page = self.nodes.get(number)?.as_deref().filter(|_| !self.hidden[number])?;
        Some(&page.0[index as usize % NODES_PER_PAGE])
    }

    fn add_nodes(&mut self) -> Option<u32> {
        if !self.take(1) {
            return None;
        }
        let free = (0..self.nodes.len()).find(|&number| self.nodes[number].is_none() && self.spent[number] < GENERATIONS);
        let number = free.unwrap_or(self.nodes.len());
        if number == self.nodes.len() {
            self.nodes.push(None);
            self.hidden.push(false);
            self.spent.push(self.spent_before);
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
        let page = self.nodes[number as usize].take().expect("nodes removed twice");
        self.spent[number as usize] = page.spent();
        self.left += 1;
    }

    fn stamp(&mut self) -> u64 {
        self.stamps += 1;
        self.stamps
    }

    fn claim_agent(&mut self) -> Option<(u16, u32)> {
        let slot = (1..AGENTS).find(|&slot| !self.claimed[slot])?;
        self.claimed[slot] = true;
        self.generations[slot] += 1;
        self.homes[slot] = Some(self.core);
        Some((slot as u16, self.generations[slot]))
    }

    fn release_agent(&mut self, slot: u16) {
        assert!(std::mem::take(&mut self.claimed[slot as usize]), "agent {slot} released twice");
        self.homes[slot as usize] = None;
    }

    fn set_timer(&mut self, at_ns: u64) {
        self.timer = at_ns;
        self.timers[self.core as usize] = at_ns;
    }

    fn cores(&self) -> u16 {
        self.cores
    }

    fn home(&self, slot: u16) -> Option<u16> {
        self.homes.get(slot as usize).copied().flatten()
    }

    fn set_home(&mut self, slot: u16, core: u16) {
        self.homes[slot as usize] = Some(core);
    }

    fn post(&mut self, core: u16, lane: Lane, packet: Packet) -> bool {
        assert_ne!(core, self.core, "a core sends nothing to itself");
        let ring = self.rings.entry((core, self.core, lane as u8)).or_default();
        let room = ring.len() < RING;
        if room {
            ring.push_back(packet);
        }
        room
    }

    fn take(&mut self, lane: Lane) -> Option<Packet> {
        (0..self.cores).find_map(|from| self.rings.get_mut(&(self.core, from, lane as u8))?.pop_front())
    }

    fn can_send_agent(&self, core: u16) -> bool {
        !self.movers.contains_key(&(core, self.core))
    }

    fn send_agent(&mut self, core: u16, agent: Box<Agent<Self>>) -> Result<(), Box<Agent<Self>>> {
        if !self.can_send_agent(core) {
            return Err(agent);
        }
        self.movers.insert((core, self.core), agent);
        Ok(())
    }

    fn take_agent(&mut self) -> Option<Box<Agent<Self>>> {
        (0..self.cores).find_map(|from| self.movers.remove(&(self.core, from)))
    }

    fn line(&mut self, line: u32, enable: bool) {
        self.lines.insert(line, enable);
    }

    fn is_device(&self, first_page: u64, pages: u64) -> bool {
        first_page + pages <= RAM / PAGE
    }

    fn console(&mut self, bytes: &[u8]) {
        self.console.extend_from_slice(bytes);
    }

    fn power(&mut self, reset: bool) {
        self.powered_off = Some(reset);
    }

    fn describe(&mut self, page: u64, agent: AgentId, incarnation: u32) {
        self.write(page, agent.0);
        self.write(page + 8, incarnation as u64);
    }

    fn forget(&mut self, _slot: u16) {}

    fn save_fp(&mut self, _slot: u16) {}
}
