//! Memory calls: frames, mappings, agent memory; and the long work that they leave behind.

use core::sync::atomic::Ordering;

use aios_abi::Error;
use aios_abi::id::SlotHandle;
use aios_abi::limits::{AGENT_MEM_BASE, AGENT_MEM_END, FRAME_PAGES, PAGE_SIZE, USER_BASE, USER_END};
use aios_abi::rights::{Kind, Rights};

use super::remote::{Asking, Place, Request};
use super::{Core, Done, Outcome};
use crate::agent::Work;
use crate::cap::{self, Slot};
use crate::machine::Machine;
use crate::pool::Pool;
use crate::space::{Access, Leaf, MapError, MemoryType, Owner, RegionError, TableBudget};

const PAGE: u64 = PAGE_SIZE as u64;
/// Pages that one `PageMap` maps: what is reached without a preemption point.
const MAP_PAGES: u64 = 128;

/// Page tables paid by an agent's pool.
pub(super) struct Tables<'a> {
    pool: &'a mut Pool,
    count: &'a mut u64,
}

impl<'a> Tables<'a> {
    pub(super) fn new(pool: &'a mut Pool, count: &'a mut u64) -> Self {
        Self { pool, count }
    }
}

impl TableBudget for Tables<'_> {
    fn take(&mut self) -> bool {
        let paid = self.pool.take(1).is_ok();
        *self.count = self.count.wrapping_add(paid as u64);
        paid
    }
    fn give(&mut self) {
        self.pool.give(1);
        *self.count = self.count.wrapping_sub(1);
    }
}

/// What a caller hears when a page can't be mapped.
pub(super) fn map_error(error: MapError) -> Error {
    match error {
        MapError::NoSpace => Error::WrongState,
        MapError::BadAddress | MapError::BadLeaf => Error::BadAddress,
        MapError::AlreadyMapped => Error::AlreadyMapped,
        MapError::NotMapped => Error::NotMapped,
        MapError::NoQuota | MapError::NoMemory => Error::NoMemory,
    }
}

impl<M: Machine> Core<M> {
    /// Physical address behind a user address, for a kernel access on behalf of the agent. A page that is to come on first touch comes.
    #[inline]
    pub(super) fn reach(&mut self, machine: &mut M, slot: u16, address: u64, write: bool) -> Result<u64, Error> {
        let leaf = match self.agents[slot].space.translate(machine, address) {
            Some(leaf) => leaf,
            None => {
                self.populate(machine, slot, address)?;
                self.agents[slot].space.translate(machine, address).ok_or(Error::BadAddress)?
            }
        };
        let allowed = !write || leaf.access == Access::ReadWrite;
        if allowed && leaf.kind == MemoryType::Normal { Ok(leaf.pa + address % PAGE) } else { Err(Error::BadAddress) }
    }

    /// Brings in the page of agent memory at `address`.
    pub(super) fn populate(&mut self, machine: &mut M, slot: u16, address: u64) -> Result<(), Error> {
        let agent = &mut self.agents[slot];
        agent.regions.find(address).ok_or(Error::BadAddress)?;
        agent.pools[0].take(1)?;
        let Some(pa) = machine.alloc(1) else {
            agent.pools[0].give(1);
            return Err(Error::NoMemory);
        };
        let mut tables = Tables::new(&mut agent.pools[0], &mut self.ledger.tables);
        let leaf = Leaf { pa, access: Access::ReadWrite, kind: MemoryType::Normal, owner: Owner::Private };
        match agent.space.map(machine, address & !(PAGE - 1), leaf, &mut tables) {
            Ok(()) => {
                self.ledger.memory = self.ledger.memory.wrapping_add(1);
                Ok(())
            }
            Err(error) => {
                machine.free(pa, 1);
                agent.pools[0].give(1);
                Err(map_error(error))
            }
        }
    }

    pub(super) fn frame_alloc(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let payer = self.capability(machine, me, self.arg(me, 9), Kind::Pool, Rights::SPEND, now)?;
        let pages = self.arg(me, 0);
        let (owner, pool) = self.pool_of(&payer)?;
        if owner != me {
            return Err(Error::MissingRight);
        }
        if pages == 0 || pages > FRAME_PAGES {
            return Err(Error::BadArgument);
        }
        self.reserve_slots(machine, me, 1)?;
        let mut slot = Slot { kind: Kind::Frame, rights: Rights::ALL, ..Slot::EMPTY };
        self.agents[me].pools[pool].take(pages)?;
        let Some(address) = machine.alloc(pages) else {
            self.agents[me].pools[pool].give(pages);
            return Err(Error::NoMemory);
        };
        slot.object = Slot::pack_range(Kind::Frame, address >> 12, pages);
        if let Err(error) = self.attach_node(machine, me, None, &mut slot) {
            machine.free(address, pages);
            self.agents[me].pools[pool].give(pages);
            return Err(error);
        }
        if let Some(node) = cap::live(machine, slot.node) {
            node.payload.store(address >> 12 | (pool as u64) << 48, Ordering::Relaxed);
            node.extent.store(pages, Ordering::Relaxed);
        }
        self.ledger.frames = self.ledger.frames.wrapping_add(pages);
        let handle = self.place(me, slot);
        let x = &mut self.agents[me].registers.x;
        (x[0], x[1]) = (handle.0 as u64, address);
        Ok(Done::Return)
    }

    pub(super) fn page_map(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let handle = SlotHandle(u32::try_from(self.arg(me, 9)).map_err(|_| Error::NoCapability)?);
        let (agent, address, wanted) = (self.arg(me, 0), self.arg(me, 1), self.arg(me, 2));
        let slot = self.agents[me].slots.get(handle)?;
        let kind = match slot.kind {
            Kind::Frame => MemoryType::Normal,
            Kind::Device => MemoryType::Device,
            _ => return Err(Error::WrongKind),
        };
        slot.validate(machine, now)?;
        let slot = *slot;
        let wanted = Rights(u32::try_from(wanted).map_err(|_| Error::BadArgument)?);
        if wanted.contains(Rights::WRITE.or(Rights::EXECUTE)) {
            return Err(Error::WritableCode);
        }
        let access = Access::from_rights(wanted).ok_or(Error::BadArgument)?;
        if !slot.rights.contains(access.rights()) || (kind == MemoryType::Device && access == Access::ReadExecute) {
            return Err(Error::MissingRight);
        }
        let (first, pages) = slot.range();
        let end = address.checked_add(pages * PAGE).ok_or(Error::BadAddress)?;
        let in_window = address < AGENT_MEM_END && end > AGENT_MEM_BASE;
        if !address.is_multiple_of(PAGE) || address < USER_BASE || end > USER_END || in_window {
            return Err(Error::BadAddress);
        }
        if pages > MAP_PAGES {
            return Err(Error::BadArgument);
        }
        if kind == MemoryType::Device && !machine.is_device(first, pages) {
            return Err(Error::BadAddress);
        }
        if agent != 0 {
            let target = self.capability(machine, me, agent, Kind::Agent, Rights::CONTROL, now)?.agent();
            // The other agent holds the mapping, and with it a copy of the capability that it can only look at.
            let copy = Slot { rights: access.rights(), word: address, ..slot };
            return match self.locate(machine, target)? {
                Place::Here(target) if target != me => {
                    cap::refer(machine, slot.node);
                    self.map_copy(machine, target, copy, access, now).inspect_err(|_| self.release_node(machine, &copy, now))?;
                    Ok(Done::Return)
                }
                Place::Here(_) => Err(Error::BadArgument),
                Place::Coming => Ok(Done::Again),
                Place::There(core) => {
                    cap::refer(machine, slot.node);
                    let outcome = self.ask(machine, me, core, Request::Map { to: target, slot: copy, access }, Asking::Mapping);
                    if outcome == Ok(Done::Leave) {
                        self.agents[me].granting = Some(copy);
                    } else {
                        self.release_node(machine, &copy, now);
                    }
                    outcome
                }
            };
        }
        if slot.word != 0 {
            return Err(Error::Busy);
        }
        self.map_valid(machine, me, Slot { word: address, ..slot }, access, now)?;
        if let Ok(slot) = self.agents[me].slots.get(handle) {
            slot.word = address;
        }
        self.note_timed(me, handle.index());
        Ok(Done::Return)
    }

    /// Maps pages into an agent, which gets the capability that they are mapped through; the reference on its node goes along.
    pub(super) fn map_copy(&mut self, machine: &mut M, target: u16, slot: Slot, access: Access, now: u64) -> Result<SlotHandle, Error> {
        if self.agents[target].reap.phase != 0 {
            return Err(Error::WrongState);
        }
        self.reserve_slots(machine, target, 1)?;
        self.map_valid(machine, target, slot, access, now)?;
        let handle = self.place(target, slot);
        self.note_timed(target, handle.index());
        Ok(handle)
    }

    /// Maps through a capability that is valid after the mapping was counted: it may have come from another core, and another core may revoke it now.
    fn map_valid(&mut self, machine: &mut M, target: u16, mut slot: Slot, access: Access, now: u64) -> Result<(), Error> {
        self.check_timed(target, &slot)?;
        cap::count_mapping(machine, slot.root);
        let mapped = slot.validate(machine, now).and_then(|()| self.map_pages(machine, target, &slot, access));
        mapped.inspect_err(|_| cap::forget_mapping(machine, slot.root))
    }

    /// Removes the mappings of an agent that are void. That can't wait: messages are written through them. Of trees in which nothing was revoked since a
    /// capability was last proved valid, a look is enough.
    pub(super) fn unmap_own_void(&mut self, machine: &mut M, holder: u16) {
        for index in 0..self.agents[holder].slots.end() {
            let void = self.agents[holder].slots.look(index).is_some_and(|slot| {
                slot.is_mapped() && !slot.is_as_proved(machine) && !cap::is_valid(machine, slot.node, slot.root.index())
            });
            if void {
                self.unmap_slot(machine, holder, index);
            }
        }
    }

    /// Maps the pages of a capability at the address in its word; nothing stays mapped if one can't be.
    fn map_pages(&mut self, machine: &mut M, target: u16, slot: &Slot, access: Access) -> Result<(), Error> {
        let kind = if slot.kind == Kind::Device { MemoryType::Device } else { MemoryType::Normal };
        let (first, pages) = slot.range();
        for page in 0..pages {
            let agent = &mut self.agents[target];
            let mut tables = Tables::new(&mut agent.pools[0], &mut self.ledger.tables);
            let leaf = Leaf { pa: (first + page) << 12, access, kind, owner: Owner::Shared };
            if let Err(error) = agent.space.map(machine, slot.word + page * PAGE, leaf, &mut tables) {
                self.unmap_pages(machine, target, slot.word, page);
                return Err(map_error(error));
            }
        }
        Ok(())
    }

    pub(super) fn unmap_pages(&mut self, machine: &mut M, agent: u16, address: u64, pages: u64) {
        for page in 0..pages {
            let agent = &mut self.agents[agent];
            let mut tables = Tables::new(&mut agent.pools[0], &mut self.ledger.tables);
            let _ = agent.space.unmap(machine, address + page * PAGE, &mut tables);
        }
    }

    /// Removes the mapping that its holder made through a slot, if there is one.
    pub(super) fn unmap_slot(&mut self, machine: &mut M, holder: u16, index: u16) {
        let Some(&slot) = self.agents[holder].slots.look(index) else { return };
        if !slot.is_mapped() {
            return;
        }
        self.unmap_pages(machine, holder, slot.word, slot.range().1);
        cap::forget_mapping(machine, slot.root);
        if let Some(slot) = self.agents[holder].slots.at(index) {
            slot.word = 0;
        }
        if slot.expiry != 0 {
            self.forget_timed(holder, index);
        }
    }

    pub(super) fn page_unmap(&mut self, machine: &mut M, me: u16) -> Outcome {
        let handle = SlotHandle(u32::try_from(self.arg(me, 9)).map_err(|_| Error::NoCapability)?);
        let slot = *self.agents[me].slots.get(handle)?;
        if !matches!(slot.kind, Kind::Frame | Kind::Device) {
            return Err(Error::WrongKind);
        }
        if slot.word == 0 {
            return Err(Error::NotMapped);
        }
        self.unmap_slot(machine, me, handle.index());
        Ok(Done::Return)
    }

    pub(super) fn mem_alloc(&mut self, me: u16) -> Outcome {
        let (bytes, demand) = (self.arg(me, 0), self.arg(me, 1));
        if bytes == 0 || bytes > aios_abi::limits::AGENT_MEMORY || demand > 1 {
            return Err(Error::BadArgument);
        }
        let pages = bytes.div_ceil(PAGE);
        let agent = &mut self.agents[me];
        if demand == 0 && pages > agent.pools[0].left() {
            return Err(Error::NoMemory);
        }
        let region = agent.regions.allocate(pages, demand == 1).map_err(|error| match error {
            RegionError::Empty => Error::BadArgument,
            RegionError::OverLimit | RegionError::Full => Error::LimitReached,
        })?;
        agent.succeed();
        if demand == 1 {
            agent.registers.x[0] = region.va;
        } else {
            agent.work = Some(Work::Populate { base: region.va, next: region.va, end: region.end() });
        }
        Ok(Done::Leave)
    }

    pub(super) fn mem_free(&mut self, me: u16) -> Outcome {
        let base = self.arg(me, 0);
        let agent = &mut self.agents[me];
        let region = agent.regions.find(base).filter(|region| region.va == base).ok_or(Error::NotMapped)?;
        agent.succeed();
        agent.work = Some(Work::Vacate { next: base, end: region.end(), error: None });
        Ok(Done::Leave)
    }

    /// One bounded step of an agent's long work; false if it can't go on now.
    #[cold]
    #[inline(never)]
    pub(super) fn work_step(&mut self, machine: &mut M, me: u16, now: u64) -> bool {
        let Some(work) = self.agents[me].work else { return true };
        self.agents[me].work = match work {
            Work::Populate { base, next, end } if next < end => match self.populate(machine, me, next) {
                Ok(()) => Some(Work::Populate { base, next: next + PAGE, end }),
                Err(error) => Some(Work::Vacate { next: base, end, error: Some(error) }),
            },
            Work::Populate { base, .. } => {
                self.set_arg(me, 0, base);
                None
            }
            Work::Vacate { next, end, error } if next < end => {
                self.vacate(machine, me, next);
                Some(Work::Vacate { next: next + PAGE, end, error })
            }
            Work::Vacate { end, error, .. } => {
                let agent = &mut self.agents[me];
                let _ = agent.regions.find(end - PAGE).and_then(|region| agent.regions.remove(region.va));
                if let Some(error) = error {
                    agent.fail(error);
                }
                None
            }
            Work::Clear { victim } => return self.clear_step(machine, me, victim, now),
            Work::Post { .. } => {
                self.post_step(machine, me, now);
                return true;
            }
            Work::Load { cargo, done } => {
                self.load_step(machine, me, cargo, done, now);
                return true;
            }
            Work::Unmap { root, agent, slot, core: 0, bits } => Some(match self.unmap_void(machine, Some(root), agent, slot) {
                Some((agent, slot)) => Work::Unmap { root, agent, slot, core: 0, bits },
                None => Work::Unmap { root, agent: 1, slot: 1, core: 1, bits },
            }),
            // The other cores, one after the other: number `core - 1`, unless that is this one.
            Work::Unmap { root, core, bits, .. } if core <= machine.cores() && cap::is_mapped(machine, root) => {
                let next = Work::Unmap { root, agent: 1, slot: 1, core: core + 1, bits };
                let mine = u64::from(core - 1) == self.facts.core;
                let sweep = Request::Sweep { root: Some(root) };
                if !mine && self.ask(machine, me, core - 1, sweep, Asking::Work) != Ok(Done::Leave) {
                    return false;
                }
                Some(next)
            }
            Work::Unmap { bits, .. } => {
                if bits != 0 {
                    self.raise(me, bits, now);
                }
                None
            }
        };
        true
    }

    /// Takes back the page of agent memory at `address`, if it ever came.
    fn vacate(&mut self, machine: &mut M, me: u16, address: u64) {
        let agent = &mut self.agents[me];
        let mut tables = Tables::new(&mut agent.pools[0], &mut self.ledger.tables);
        if let Some(leaf) = agent.space.unmap(machine, address, &mut tables) {
            machine.free(leaf.pa, 1);
            agent.pools[0].give(1);
            self.ledger.memory = self.ledger.memory.wrapping_sub(1);
        }
    }
}
