//! The first agent: init, the root of authority.

use aios_abi::call::init;
use aios_abi::limits::{CORES, PAGE_SIZE};
use aios_abi::rights::{Kind, Rights};
use aios_abi::{AgentId, Error};

use super::agents::SPAWN_PAGES;
use super::memory::{Tables, map_error};
use super::{Core, Facts};
use crate::cap::Slot;
use crate::machine::Machine;
use crate::pool::Pool;
use crate::space::{Access, Leaf, MemoryType, Owner};

/// A piece of init's image that the first stage laid out in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InitSegment {
    /// User address, page aligned.
    pub address: u64,
    /// Physical address, page aligned.
    pub physical: u64,
    /// Pages.
    pub pages: u64,
    /// What init may do there.
    pub access: Access,
}

/// Everything that init starts with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InitImage<'a> {
    /// Its image.
    pub segments: &'a [InitSegment],
    /// Where it starts.
    pub entry: u64,
    /// First page and pages of the boot bundle, and its length in bytes.
    pub bundle: (u64, u64, u64),
    /// First page and pages of the device tree, its length in bytes, and the offset of its first byte in its first page.
    pub device_tree: (u64, u64, u64, u64),
}

/// Where init finds its stack, the bundle and the device tree.
const STACK_TOP: u64 = 0x1f_f000_0000;
const STACK_PAGES: u64 = 16;
const BUNDLE_BASE: u64 = 0x10_0000_0000;
const DEVICE_TREE_BASE: u64 = 0x18_0000_0000;
const MAILBOX_PAGES: u64 = 8;
const PAGE: u64 = PAGE_SIZE as u64;
/// Each core counts its messages in a range of its own: the upper bits of the 48 of a counter are the core.
const MESSAGES_SHIFT: u32 = 44;
const _: () = assert!(CORES << MESSAGES_SHIFT <= 1 << 48, "every core has a range");

impl<M: Machine> Core<M> {
    /// Sets what this core has to hand out, and what it knows for people. All of `free_pages` belongs to the first agent.
    pub fn found(&mut self, facts: Facts, free_pages: u64, now: u64) {
        self.facts = facts;
        // Agents move, and their places are used again on other cores: ids of messages are unique all the same.
        self.messages = facts.core << MESSAGES_SHIFT;
        self.root = Pool { quota: free_pages, used: 0 };
        self.paid_ns = now;
    }

    /// Makes init and lets it run. Its `x0` is the bundle's address, `x1` its length, `x2` the device tree's address, `x3` its length.
    pub fn start_init(&mut self, machine: &mut M, image: &InitImage<'_>, now: u64) -> Result<AgentId, Error> {
        let quota = self.root.quota;
        if quota < SPAWN_PAGES + MAILBOX_PAGES {
            return Err(Error::NoMemory);
        }
        let (slot, id) = self.make_agent(machine, None, quota, MAILBOX_PAGES, now)?;
        self.agents[slot].name = [u64::from_le_bytes(*b"init\0\0\0\0"), 0];
        for segment in image.segments {
            self.map_for_init(machine, slot, segment.address, segment.physical, segment.pages, segment.access)?;
        }
        for page in 1..=STACK_PAGES {
            let physical = self.init_page(machine, slot)?;
            let leaf = Leaf { pa: physical, access: Access::ReadWrite, kind: MemoryType::Normal, owner: Owner::Private };
            self.map_leaf(machine, slot, STACK_TOP - page * PAGE, leaf)?;
        }
        let (bundle, bundle_pages, bundle_length) = image.bundle;
        let (tree, tree_pages, tree_length, tree_offset) = image.device_tree;
        self.map_for_init(machine, slot, BUNDLE_BASE, bundle << 12, bundle_pages, Access::Read)?;
        self.map_for_init(machine, slot, DEVICE_TREE_BASE, tree << 12, tree_pages, Access::Read)?;
        let pass_on = Rights::GRANT.or(Rights::DERIVE).or(Rights::REVOKE);
        let memory = Rights::READ.or(Rights::WRITE);
        let range = Slot::pack_range;
        let lines = self.bindings.len() as u64;
        for (index, kind, rights, object) in [
            (init::SLOT_DEVICES, Kind::Device, memory, range(Kind::Device, 0, self.facts.device_pages)),
            (init::SLOT_IRQS, Kind::Irq, Rights::BIND, range(Kind::Irq, 0, lines)),
            (init::SLOT_POWER, Kind::Power, Rights::WRITE, 0),
            (init::SLOT_OBSERVE, Kind::Observe, Rights::READ, 0),
            (init::SLOT_SEED, Kind::Seed, Rights::WRITE, 0),
            (init::SLOT_CONSOLE, Kind::Console, Rights::WRITE, 0),
            (init::SLOT_BUNDLE, Kind::Frame, Rights::READ.or(Rights::EXECUTE), range(Kind::Frame, bundle, bundle_pages)),
            (init::SLOT_DEVICE_TREE, Kind::Frame, Rights::READ, range(Kind::Frame, tree, tree_pages)),
        ] {
            let objects = &mut self.ledger.objects;
            let agent = &mut self.agents[slot];
            agent.slots.reserve_at(machine, &mut agent.pools[0], objects, index)?;
            let mut capability = Slot { kind, rights: rights.or(pass_on), object, ..Slot::EMPTY };
            self.attach_node(machine, slot, None, &mut capability)?;
            self.agents[slot].slots.fill(index, capability);
        }
        let arguments = [BUNDLE_BASE, bundle_length, DEVICE_TREE_BASE + tree_offset, tree_length];
        self.begin(machine, slot, image.entry, STACK_TOP, arguments, now);
        Ok(id)
    }

    fn init_page(&mut self, machine: &mut M, slot: u16) -> Result<u64, Error> {
        self.agents[slot].pools[0].take(1)?;
        self.ledger.memory = self.ledger.memory.wrapping_add(1);
        machine.alloc(1).ok_or(Error::NoMemory)
    }

    fn map_leaf(&mut self, machine: &mut M, slot: u16, address: u64, leaf: Leaf) -> Result<(), Error> {
        let agent = &mut self.agents[slot];
        let mut tables = Tables::new(&mut agent.pools[0], &mut self.ledger.tables);
        agent.space.map(machine, address, leaf, &mut tables).map_err(map_error)
    }

    fn map_for_init(&mut self, machine: &mut M, slot: u16, address: u64, physical: u64, pages: u64, access: Access) -> Result<(), Error> {
        for page in 0..pages {
            let leaf = Leaf { pa: physical + page * PAGE, access, kind: MemoryType::Normal, owner: Owner::Shared };
            self.map_leaf(machine, slot, address + page * PAGE, leaf)?;
        }
        Ok(())
    }
}
