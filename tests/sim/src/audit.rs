//! Where every page of the machine is: judged from outside the kernel, by reading its page tables as the hardware would.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use aios_abi::limits::{NODES_PER_PAGE, PAGE_SIZE, SLOT_PAGES, SLOTS_PER_PAGE};
use aios_core::machine::{Machine, Memory};

use crate::World;

const PAGE: u64 = PAGE_SIZE as u64;

/// What a page is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// The boot image.
    Boot,
    /// A page table of this agent.
    Table(u16),
    /// Memory of this agent alone.
    Private(u16),
    /// A page of this agent's mailbox.
    Mailbox(u16),
    /// A frame of the tree with this root.
    Frame(u32),
}

/// A page as an agent's page tables map it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapped {
    /// Whose.
    pub agent: u16,
    /// User address.
    pub va: u64,
    /// Physical address.
    pub pa: u64,
    /// May be written.
    pub writable: bool,
    /// May be executed.
    pub executable: bool,
    /// Goes when the mapping goes.
    pub private: bool,
    /// Device registers.
    pub device: bool,
}

/// Everything that an agent's page tables map, and the tables themselves.
pub fn mapped(world: &World, agent: u16) -> (Vec<Mapped>, Vec<u64>) {
    let root = world.core.agents[agent].space.root();
    let (mut pages, mut tables) = (Vec::new(), Vec::new());
    if root != 0 {
        walk(world, agent, root, 1, 0, &mut pages, &mut tables);
    }
    (pages, tables)
}

fn walk(world: &World, agent: u16, table: u64, level: u32, base: u64, pages: &mut Vec<Mapped>, tables: &mut Vec<u64>) {
    tables.push(table);
    let span = 1u64 << (39 - 9 * level);
    for index in 0..512 {
        let entry = world.sim.read(table + index * 8);
        if entry & 1 == 0 {
            continue;
        }
        assert_eq!(entry & 3, 3, "a block or reserved descriptor in agent {agent}");
        let (address, va) = (entry & 0xffff_ffff_f000, base + index * span);
        if level < 3 {
            walk(world, agent, address, level + 1, va, pages, tables);
            continue;
        }
        assert_eq!(entry >> 10 & 3, 3, "an agent's page is accessed and not global: {entry:#x}");
        assert_eq!(entry >> 6 & 1, 1, "an agent's page is for EL0: {entry:#x}");
        assert_eq!(entry >> 53 & 1, 1, "an agent's page is never code for the kernel: {entry:#x}");
        let (writable, executable) = (entry >> 7 & 1 == 0, entry >> 54 & 1 == 0);
        pages.push(Mapped { agent, va, pa: address, writable, executable, private: entry >> 55 & 1 == 1, device: entry >> 2 & 7 == 0 });
    }
}

/// Checks that every page in use is used for one thing, and that nobody reaches a page that is not for him. Panics with what is wrong.
pub fn audit(world: &World) {
    let mut uses: BTreeMap<u64, Use> = world.boot.iter().map(|&page| (page, Use::Boot)).collect();
    let mut pages = Vec::new();
    let mut claim = |page: u64, what: Use| {
        if let Some(other) = uses.insert(page, what) {
            panic!("page {page:#x} is {other:?} and {what:?}");
        }
    };
    let mut objects = 0;
    for slot in world.slots() {
        let agent = &world.core.agents[slot];
        let (mapped, tables) = mapped(world, slot);
        tables.into_iter().for_each(|page| claim(page, Use::Table(slot)));
        mapped.iter().filter(|page| page.private).for_each(|page| claim(page.pa, Use::Private(slot)));
        pages.extend(mapped);
        for page in 0..agent.mailbox.size_bytes() / PAGE {
            claim(agent.mailbox.piece(0, (page * PAGE) as u32).0, Use::Mailbox(slot));
        }
        objects += 1 + (0..SLOT_PAGES).filter(|page| agent.slots.look((page * SLOTS_PER_PAGE) as u16).is_some()).count() as u64;
        for page in agent.node_pages.iter().filter_map(|page| page.checked_sub(1)) {
            for index in page * NODES_PER_PAGE as u32..(page + 1) * NODES_PER_PAGE as u32 {
                let node = world.sim.node(index).expect("a node's page is there");
                let (first, extent) = (node.payload.load(Ordering::Relaxed), node.extent.load(Ordering::Relaxed) & 0xffff_ffff);
                if node.in_use() && node.parent().is_none() {
                    let first = first & ((1 << 40) - 1);
                    (first..first + extent).for_each(|page| claim(page * PAGE, Use::Frame(index)));
                }
            }
        }
    }
    assert!(world.sim.allocated().eq(uses.keys().copied()), "pages are lost, or used and free:\n{}", differences(world, &uses));
    assert_eq!(objects, world.sim.objects, "pages of blocks and slots");
    let mut writers: BTreeMap<u64, Mapped> = BTreeMap::new();
    for page in &pages {
        assert!(!(page.writable && page.executable), "writable code: {page:x?}");
        if page.device {
            continue;
        }
        match uses.get(&page.pa) {
            Some(Use::Private(owner)) => assert_eq!(*owner, page.agent, "a private page of another agent: {page:x?}"),
            Some(Use::Frame(_) | Use::Boot) => assert!(!page.private, "a frame that its mapping would free: {page:x?}"),
            other => panic!("an agent reaches {other:?}: {page:x?}"),
        }
        if page.writable
            && let Some(other) = writers.insert(page.pa, *page)
            && other.agent != page.agent
        {
            let shared = matches!(uses.get(&page.pa), Some(Use::Frame(_)));
            assert!(shared, "two agents write a page that is no frame: {page:x?} and {other:x?}");
        }
    }
}

fn differences(world: &World, uses: &BTreeMap<u64, Use>) -> String {
    let allocated: Vec<u64> = world.sim.allocated().collect();
    let lost = allocated.iter().filter(|page| !uses.contains_key(page)).map(|page| format!("lost {page:#x}\n"));
    let free =
        uses.iter().filter(|(page, _)| allocated.binary_search(page).is_err()).map(|(page, what)| format!("{what:?} {page:#x} is free\n"));
    lost.chain(free).collect()
}
