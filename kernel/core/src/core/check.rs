//! What must hold between any two events, written down once and checked from outside: by the simulator after every step, by a debugger's reader of
//! a dead machine.
//!
//! It needs no memory of its own. Where two sets have to be equal (references and what refers, mappings and what explains them), it compares sums
//! of well-mixed fingerprints, which differ when the sets do but for one chance in 2^64.

use core::fmt;

use aios_abi::call::SLOT_ANY;
use aios_abi::id::{AgentId, MessageId};
use aios_abi::limits::{AGENTS, INFO_PAGE, NODES_PER_PAGE, PAGE_SIZE, SLOT_PAGES, SLOTS_PER_PAGE};
use aios_abi::rights::Kind;

use super::{Core, TIMER_PQC, TIMER_USER, TIMER_WAIT};
use crate::agent::{Agent, List, POOLS, State, Work};
use crate::cap::{self, Slot};
use crate::machine::Machine;
use crate::pool::Ledger;
use crate::space::{Access, Owner};
use crate::timers::KINDS;

const PAGE: u64 = PAGE_SIZE as u64;
const ENTRIES: u64 = 512;
/// First address that no walk reaches.
const VA_END: u64 = 1 << 39;

/// A rule that doesn't hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The rule.
    pub rule: &'static str,
    /// Agent-table slot of the agent concerned; 0 for the whole core.
    pub agent: u16,
    /// What the rule wants.
    pub expected: u64,
    /// What is there.
    pub found: u64,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "agent {}: {}: expected {:#x}, found {:#x}", self.agent, self.rule, self.expected, self.found)
    }
}

impl core::error::Error for Violation {}

type Checked = Result<(), Violation>;

fn equal(rule: &'static str, agent: u16, expected: u64, found: u64) -> Checked {
    if expected == found { Ok(()) } else { Err(Violation { rule, agent, expected, found }) }
}

fn holds(rule: &'static str, agent: u16, condition: bool, about: u64) -> Checked {
    if condition { Ok(()) } else { Err(Violation { rule, agent, expected: 1, found: about }) }
}

/// A fingerprint of two words (the finaliser of SplitMix64, twice).
fn mix(a: u64, b: u64) -> u64 {
    let step = |word: u64| {
        let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    };
    step(step(a.wrapping_add(0x9e37_79b9_7f4a_7c15)) ^ b)
}

/// A page-table entry, read independently of the code that wrote it: Arm ARM D8.3, stage 1, 4 KiB granule.
#[derive(Clone, Copy)]
struct Entry(u64);

impl Entry {
    const fn is_present(self) -> bool {
        self.0 & 3 == 3
    }
    const fn address(self) -> u64 {
        self.0 & 0xffff_ffff_f000
    }
    const fn is_writable(self) -> bool {
        self.0 & 1 << 7 == 0
    }
    const fn is_executable(self) -> bool {
        self.0 & 1 << 54 == 0
    }
    const fn is_kernel_executable(self) -> bool {
        self.0 & 1 << 53 == 0
    }
    const fn is_private(self) -> bool {
        self.0 & 1 << 55 != 0
    }
}

/// What an agent's page tables hold.
#[derive(Default)]
struct Tables {
    tables: u64,
    private: u64,
    shared: u64,
    /// Fingerprint of the addresses of shared pages.
    places: u64,
}

/// A set of agents.
struct Set([u64; AGENTS / 64]);

impl Set {
    const EMPTY: Self = Self([0; AGENTS / 64]);
    fn insert(&mut self, slot: u16) {
        self.0[slot as usize / 64] |= 1 << (slot % 64);
    }
    const fn contains(&self, slot: u16) -> bool {
        self.0[slot as usize / 64] & 1 << (slot % 64) != 0
    }
}

impl<M: Machine> Core<M> {
    /// Whether every invariant holds. While agents are being cleared away, only what holds then too.
    pub fn check(&self, machine: &M) -> Checked {
        let mut ledger = Ledger::default();
        for slot in self.present() {
            self.check_agent(slot)?;
            self.check_lists(slot)?;
            self.check_table(machine, slot)?;
            self.check_memory(machine, slot, &mut ledger)?;
        }
        self.check_family()?;
        self.check_scheduling()?;
        if self.dying == 0 {
            self.check_nodes(machine)?;
            self.check_mappings(machine)?;
            self.check_ledger(&ledger)?;
        }
        Ok(())
    }

    fn present(&self) -> impl Iterator<Item = u16> + '_ {
        (1..AGENTS as u16).filter(|&slot| self.agents.get(slot).is_some())
    }

    /// State, peer, timers and message ids of one agent.
    fn check_agent(&self, slot: u16) -> Checked {
        let agent = &self.agents[slot];
        equal("the block is in its place", slot, agent.id.slot() as u64, slot as u64)?;
        let settled = self.dying == 0;
        holds("nobody dies unnoticed", slot, !settled || (agent.state != State::Dying && agent.reap.phase == 0), 0)?;
        if let Some(peer) = agent.state.peer() {
            let there = self.agents.get(peer.slot()).is_some_and(|other| other.id == peer);
            holds("whom it waits for is there", slot, there, peer.0)?;
            let mut at = peer;
            for steps in 0.. {
                let Some(next) = self.agents.get(at.slot()).and_then(|other| other.state.peer()) else { break };
                holds("nobody waits for itself", slot, next != agent.id && steps <= self.alive, next.0)?;
                at = next;
            }
            let MessageId(message) = agent.outgoing.message;
            equal("a message id names its sender", slot, slot as u64, agent.outgoing.message.sender_slot() as u64)?;
            holds("message ids were given out", slot, message & ((1 << 48) - 1) <= self.messages, message)?;
            let reused = agent.operations.iter().any(|operation| operation.handle != 0 && operation.message.0 == message);
            holds("message ids are unique", slot, !reused, message)?;
        }
        for (i, operation) in agent.operations.iter().enumerate().filter(|(_, operation)| operation.handle != 0) {
            let twin = agent.operations[i + 1..].iter().any(|other| other.handle == operation.handle);
            holds("operation handles are unique", slot, !twin, operation.handle)?;
            let served = operation.result.is_some() || self.agents.find(operation.server).is_some();
            holds("an open operation has a server", slot, served || !settled, operation.handle)?;
        }
        let waits = matches!(agent.state, State::Receiving | State::Calling(_) | State::Awaiting(_));
        let wanted = if waits && agent.registers.x[12] != u64::MAX { Some(agent.registers.x[12]) } else { None };
        equal("deadline of the wait", slot, wanted.unwrap_or(u64::MAX), agent.timers.at(TIMER_WAIT).unwrap_or(u64::MAX))?;
        let deadline = agent.operations.iter().filter(|o| o.handle != 0).map(|o| o.deadline).min().unwrap_or(u64::MAX);
        let stopped = agent.state == State::Dying || agent.reap.phase != 0;
        if stopped {
            holds("a stopped agent has no timer", slot, agent.timers.at(TIMER_USER).is_none() && agent.timers.at(TIMER_PQC).is_none(), 0)?;
        } else {
            equal("deadline of operations", slot, deadline, agent.timers.at(TIMER_PQC).unwrap_or(u64::MAX))?;
        }
        holds("mappings with an end are awaited", slot, self.expiry_is_kept(slot), 0)?;
        for kind in 0..KINDS as u8 {
            let at = agent.timers.at(kind).unwrap_or(u64::MAX);
            holds("the next timer comes first", slot, self.timers.next() <= at, at)?;
        }
        holds("a notification wakes", slot, agent.state != State::Receiving || agent.notifications == 0, agent.notifications)
    }

    /// Queue and open calls of one server: links, and that each member waits for exactly this.
    fn check_lists(&self, server: u16) -> Checked {
        let agent = &self.agents[server];
        let walk = |list: List, belongs: &dyn Fn(State) -> bool| {
            let (mut at, mut previous, mut count) = (list.head, 0, 0);
            while at != 0 {
                let Some(member) = self.agents.get(at) else {
                    return Err(Violation { rule: "members of a list exist", agent: server, expected: 1, found: at as u64 });
                };
                equal("list links lead back", server, previous as u64, member.links.previous as u64)?;
                holds("members of a list wait for its owner", at, belongs(member.state), server as u64)?;
                count += 1;
                holds("a list ends", server, count <= self.alive, at as u64)?;
                (previous, at) = (at, member.links.next);
            }
            equal("a list ends at its tail", server, previous as u64, list.tail as u64)?;
            Ok(count)
        };
        let queued = walk(agent.queue, &|state| matches!(state, State::Calling(peer) | State::Faulting(peer) if peer == agent.id))?;
        let open = walk(agent.open, &|state| matches!(state, State::Awaiting(peer) | State::Faulted(peer) if peer == agent.id))?;
        let waiting = self.present().filter(|&slot| self.agents[slot].state.peer() == Some(agent.id)).count() as u64;
        // Who called before the server came to this core is in no list.
        holds("who is in an agent's lists waits for it", server, queued + open <= waiting, waiting)
    }

    /// The capability table of one agent: counts, and the list of free places.
    fn check_table(&self, machine: &M, slot: u16) -> Checked {
        let table = &self.agents[slot].slots;
        let (mut used, mut free) = (0, 0);
        for index in 0..table.end() {
            let Some(place) = table.look(index) else { continue };
            if place.kind == Kind::Empty {
                free += (index >= SLOT_ANY && place.generation != 0) as u64;
                continue;
            }
            used += 1;
            if let Some(node) = cap::live(machine, place.node) {
                equal("a slot knows its root", slot, node.root() as u64, place.root.index() as u64)?;
            }
        }
        equal("slots in use", slot, used, table.used as u64)?;
        let mut at = table.next_place();
        let mut listed = 0;
        while at != 0 && at != table.end() {
            let place = table.look(at).filter(|place| place.kind == Kind::Empty && place.generation != 0);
            let Some(place) = place else {
                return Err(Violation { rule: "free places are free", agent: slot, expected: 1, found: at as u64 });
            };
            listed += 1;
            holds("the list of free places ends", slot, listed <= free, at as u64)?;
            at = place.object as u16;
        }
        equal("free places are listed", slot, free, listed)
    }

    /// Page tables, regions and pools of one agent.
    fn check_memory(&self, machine: &M, slot: u16, ledger: &mut Ledger) -> Checked {
        let agent = &self.agents[slot];
        let found = self.read_tables(machine, slot)?;
        let slot_pages = (0..SLOT_PAGES).filter(|page| agent.slots.look((page * SLOTS_PER_PAGE) as u16).is_some()).count() as u64;
        let node_pages = agent.node_pages.iter().filter(|&&page| page != 0).count() as u64;
        let objects = 1 + slot_pages + node_pages + agent.mailbox.size_bytes() / PAGE;
        let mut frames = [0; POOLS];
        for node in self.nodes_of(agent).filter_map(|index| machine.node(index)).filter(|node| node.in_use()) {
            let extent = node.extent.load(core::sync::atomic::Ordering::Relaxed) & 0xffff_ffff;
            let pool = node.payload.load(core::sync::atomic::Ordering::Relaxed) >> 48;
            if node.parent().is_none() && extent != 0 {
                frames[pool as usize % POOLS] += extent;
            }
        }
        ledger.objects += objects;
        ledger.tables += found.tables;
        ledger.memory += found.private;
        ledger.frames += frames.iter().sum::<u64>();
        if agent.state == State::Dying || agent.reap.phase != 0 {
            return Ok(());
        }
        let mut promised = [0; POOLS];
        for child in self.present().map(|child| &self.agents[child]).filter(|child| child.parent == agent.id) {
            promised[child.payer as usize % POOLS] += child.pools[0].quota;
        }
        let own = objects + found.tables + found.private + agent.pools[1..].iter().map(|pool| pool.quota).sum::<u64>();
        for (index, pool) in agent.pools.iter().enumerate() {
            let used = frames[index] + promised[index] + if index == 0 { own } else { 0 };
            equal("pages that a pool paid", slot, used, pool.used)?;
            holds("a pool stays in its quota", slot, pool.used <= pool.quota, pool.used)?;
            let closed = agent.closed_pools & 1 << index != 0;
            holds("a closed pool is in use", slot, !closed || (index != 0 && pool.used != 0), index as u64)?;
        }
        Ok(())
    }

    /// Walks an agent's page tables and judges every entry by itself.
    fn read_tables(&self, machine: &M, slot: u16) -> Result<Tables, Violation> {
        let agent = &self.agents[slot];
        let mut found = Tables::default();
        let root = agent.space.root();
        if root == 0 {
            return Ok(found);
        }
        let mut tables = [root, 0, 0];
        let (mut level, mut va) = (0, 0);
        found.tables = 1;
        while va < VA_END {
            let span = 1 << (30 - 9 * level);
            let entry = Entry(machine.read(tables[level] + va / span % ENTRIES * 8));
            if entry.is_present() && level < 2 {
                level += 1;
                tables[level] = entry.address();
                found.tables += 1;
                continue;
            }
            if entry.is_present() {
                self.check_page(agent, slot, va, entry)?;
                found.private += entry.is_private() as u64;
                if !entry.is_private() {
                    found.shared += 1;
                    found.places = found.places.wrapping_add(mix(slot as u64, va));
                }
            }
            va += span;
            while level > 0 && va.is_multiple_of(1 << (39 - 9 * level)) {
                level -= 1;
            }
        }
        Ok(found)
    }

    fn check_page(&self, agent: &Agent<M>, slot: u16, va: u64, entry: Entry) -> Checked {
        holds("no page is writable and executable", slot, !(entry.is_writable() && entry.is_executable()), va)?;
        holds("no page of an agent is code for the kernel", slot, !entry.is_kernel_executable(), va)?;
        if va == INFO_PAGE {
            equal("the info page is in its place", slot, agent.info, entry.address())?;
            return holds("the info page is read-only", slot, !entry.is_writable() && entry.is_private(), va);
        }
        // Init's stack is its own without a region.
        let founded = agent.parent.is_kernel() || !entry.is_private() || agent.regions.find(va).is_some();
        holds("an agent's own page lies in a region", slot, founded, va)
    }

    /// Spawners know how many agents they spawned. Only agents of this core can be counted.
    fn check_family(&self) -> Checked {
        for slot in self.present() {
            let agent = &self.agents[slot];
            let here = self.present().filter(|&child| self.agents[child].parent == agent.id).count() as u64;
            holds("a spawner counts its children", slot, here <= agent.children as u64, here)?;
        }
        equal("agents alive", 0, self.present().count() as u64, self.alive)
    }

    /// The running context, and that nobody who could run is forgotten.
    fn check_scheduling(&self) -> Checked {
        let mut reached = Set::EMPTY;
        for slot in self.present() {
            let queued = self.sched.is_runnable(&self.agents, slot) || self.agents[slot].sc.is_throttled();
            holds("the context that runs is in no queue", slot, !queued || slot != self.context, slot as u64)?;
            if (queued || slot == self.context)
                && let Some(end) = self.chain_end(slot)
            {
                reached.insert(end);
            }
        }
        for slot in self.present().filter(|&slot| self.agents[slot].is_ready()) {
            holds("who could run is reached by a context", slot, reached.contains(slot), self.context as u64)?;
        }
        for slot in self.present().filter(|&slot| self.agents[slot].is_clearing()) {
            holds("who is to be cleared away competes", slot, reached.contains(slot), self.context as u64)?;
        }
        if self.dying == 0 && !self.undecided && self.context != 0 {
            let end = self.chain_end(self.context);
            equal("who runs is at the end of the running chain", self.context, end.unwrap_or(0) as u64, self.current as u64)?;
        }
        Ok(())
    }

    fn nodes_of(&self, agent: &Agent<M>) -> impl Iterator<Item = u32> + use<M> {
        let pages = agent.node_pages;
        let per_page = NODES_PER_PAGE as u32;
        pages.into_iter().filter_map(|page| page.checked_sub(1)).flat_map(move |page| page * per_page..(page + 1) * per_page)
    }

    /// Every capability that something holds: in tables, and in messages that wait.
    fn held(&self, machine: &M, slot: u16, mut visit: impl FnMut(&Slot)) {
        let agent = &self.agents[slot];
        (0..agent.slots.end()).filter_map(|index| agent.slots.look(index)).filter(|held| held.kind != Kind::Empty).for_each(&mut visit);
        let mut mailbox = agent.mailbox.clone();
        while let Some((envelope, slots, _)) = mailbox.first(machine) {
            slots.iter().flatten().for_each(&mut visit);
            mailbox.pop(&envelope);
        }
    }

    /// Derivation nodes: owners, depths, and that each counts exactly what refers to it.
    fn check_nodes(&self, machine: &M) -> Checked {
        let (mut counted, mut referring) = (0u64, 0u64);
        for slot in self.present() {
            let agent = &self.agents[slot];
            for index in self.nodes_of(agent) {
                let Some(node) = machine.node(index) else {
                    return Err(Violation { rule: "an agent's nodes are there", agent: slot, expected: 1, found: index as u64 });
                };
                let free = !node.in_use() && !node.is_spent() && index % NODES_PER_PAGE as u32 != 0;
                equal("free places of nodes are listed, and no others", slot, free as u64, cap::is_listed(machine, index) as u64)?;
                if !node.in_use() {
                    continue;
                }
                equal("a node's owner has it", slot, agent.id.0, node.owner().0)?;
                holds("a node in use is referred to", slot, node.references() != 0, index as u64)?;
                counted = counted.wrapping_add(mix(node.id(index).word(), 0).wrapping_mul(node.references() as u64));
                if let Some(parent) = cap::live(machine, node.parent()) {
                    referring = referring.wrapping_add(mix(node.parent().word(), 0));
                    equal("a derivation is one deeper", slot, parent.depth() as u64 + 1, node.depth() as u64)?;
                    equal("a derivation stays in its tree", slot, parent.root() as u64, node.root() as u64)?;
                } else if node.parent().is_none() {
                    equal("a root is its own root", slot, index as u64, node.root() as u64)?;
                }
            }
            self.held(machine, slot, |held| {
                if cap::live(machine, held.node).is_some() {
                    referring = referring.wrapping_add(mix(held.node.word(), 0));
                }
            });
        }
        if let Some(recording) = self.recording.as_ref().filter(|recording| cap::live(machine, recording.frame.node).is_some()) {
            referring = referring.wrapping_add(mix(recording.frame.node.word(), 0));
        }
        equal("references on nodes", 0, referring, counted)
    }

    /// Mappings: what a table says is mapped is, with no more access than the capability has; and nothing else is.
    fn check_mappings(&self, machine: &M) -> Checked {
        let (mut claimed, mut counted) = (0u64, 0u64);
        let (mut claims, mut places) = (0u64, 0u64);
        for holder in self.present() {
            let table = &self.agents[holder].slots;
            for slot in (0..table.end()).filter_map(|index| table.look(index)).filter(|slot| slot.is_mapped()) {
                claimed = claimed.wrapping_add(mix(slot.root.index() as u64, 1));
                self.check_mapping(machine, holder, slot)?;
                if self.agents[holder].parent.is_kernel() {
                    continue;
                }
                for page in 0..slot.range().1 {
                    claims = claims.wrapping_add(mix(holder as u64, slot.word + page * PAGE));
                }
            }
            let agent = &self.agents[holder];
            for node in self.nodes_of(agent).filter_map(|index| Some((index, machine.node(index)?))).filter(|(_, node)| node.in_use()) {
                if node.1.parent().is_none() {
                    let mappings = node.1.extent.load(core::sync::atomic::Ordering::Relaxed) >> 32;
                    counted = counted.wrapping_add(mix(node.0 as u64, 1).wrapping_mul(mappings));
                }
            }
            // What the first stage mapped for init has no capability.
            if !agent.parent.is_kernel() {
                places = places.wrapping_add(self.read_tables(machine, holder)?.places);
            }
        }
        if let Some(recording) = &self.recording {
            claimed = claimed.wrapping_add(mix(recording.frame.root.index() as u64, 1));
        }
        equal("mappings counted at the roots", 0, claimed, counted)?;
        equal("every shared page is mapped by a capability", 0, claims, places)
    }

    fn check_mapping(&self, machine: &M, holder: u16, slot: &Slot) -> Checked {
        let pending = |agent: &Agent<M>| matches!(agent.work, Some(Work::Unmap { root, .. }) if root == slot.root.index());
        let valid = cap::is_valid(machine, slot.node, slot.root.index()) || self.present().any(|agent| pending(&self.agents[agent]));
        holds("a void capability maps nothing", holder, valid, slot.object)?;
        let (agent, address) = (holder, slot.word);
        let (first, pages) = slot.range();
        for page in 0..pages {
            let va = address + page * PAGE;
            let leaf = self.agents[agent].space.translate(machine, va);
            let Some(leaf) = leaf else {
                return Err(Violation { rule: "what a capability maps is mapped", agent, expected: va, found: 0 });
            };
            equal("a mapping shows its frame", agent, (first + page) * PAGE, leaf.pa)?;
            holds("a mapping allows no more than its capability", agent, slot.rights.contains(leaf.access.rights()), va)?;
            let plain = leaf.owner == Owner::Shared && (slot.kind != Kind::Device || leaf.access != Access::ReadExecute);
            holds("a mapped frame is shared", agent, plain, va)?;
        }
        Ok(())
    }

    /// The core's own books.
    fn check_ledger(&self, found: &Ledger) -> Checked {
        equal("pages of objects", 0, found.objects, self.ledger.objects)?;
        equal("pages of page tables", 0, found.tables, self.ledger.tables)?;
        equal("pages of frames", 0, found.frames, self.ledger.frames)?;
        equal("pages of agent memory", 0, found.memory, self.ledger.memory)?;
        let promised = self.present().map(|slot| &self.agents[slot]).filter(|agent| agent.parent.is_kernel());
        equal("the root pool paid for the first agent", 0, promised.map(|agent| agent.pools[0].quota).sum(), self.root.used)?;
        let here = |id: AgentId| id.is_kernel() || self.agents.find(id).is_some();
        for (line, binding) in (0..).zip(&self.bindings).filter(|(_, binding)| !binding.agent.is_kernel()) {
            let slot = self.agents.find(binding.agent).and_then(|agent| self.agents[agent].slots.look(binding.slot.index()));
            let covers = |slot: &Slot| {
                let (first, count) = slot.range();
                slot.kind == Kind::Irq && slot.generation == binding.slot.generation() && (first..first + count).contains(&line)
            };
            holds("a bound line has its capability", 0, slot.is_some_and(covers), line)?;
        }
        holds("a registered server is there", 0, here(self.pqc_server.server), self.pqc_server.server.0)
    }
}
