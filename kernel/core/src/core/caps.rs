//! Capability calls: mint, derive, grant, drop, revoke, check.

use core::sync::atomic::Ordering;

use aios_abi::Error;
use aios_abi::call::{SLOT_SELF, Transfer};
use aios_abi::id::{AgentId, SlotHandle};
use aios_abi::limits::{SLOT_PAGES, SLOTS_PER_PAGE};
use aios_abi::rights::{Kind, Rights};

use super::remote::{Asking, Notice, Place, Request};
use super::{ChildPool, Core, Done, Outcome};
use crate::agent::Work;
use crate::cap::{self, NodeId, Slot};
use crate::machine::Machine;

impl<M: Machine> Core<M> {
    /// Makes sure that `count` capabilities fit into the table of `agent`, whose pool pays.
    pub(super) fn reserve_slots(&mut self, machine: &mut M, agent: u16, count: u8) -> Result<(), Error> {
        if count == 0 {
            return Ok(());
        }
        let agent = &mut self.agents[agent];
        agent.slots.reserve(machine, &mut agent.pools[0], &mut self.ledger.objects, count as u16).map(drop)
    }

    /// Puts a capability into a table in which a place is reserved. The reference on its node is the caller's.
    pub(super) fn place(&mut self, agent: u16, slot: Slot) -> SlotHandle {
        let table = &mut self.agents[agent].slots;
        let index = table.next_place();
        table.fill(index, slot)
    }

    /// Takes a copy of a capability, or the capability itself, out of a table. The reference on its node goes along.
    pub(super) fn detach(&mut self, machine: &mut M, agent: u16, handle: SlotHandle, take: bool, now: u64) -> Option<Slot> {
        let mut slot = *self.agents[agent].slots.get(handle).ok()?;
        slot.validate(machine, now).ok()?;
        if take {
            self.vacate_slot(machine, agent, handle.index());
        } else {
            cap::refer(machine, slot.node);
        }
        if matches!(slot.kind, Kind::Frame | Kind::Device) {
            slot.word = 0;
        }
        Some(slot)
    }

    /// Finds a free place for a derivation node of `owner`, who pays if that takes a page.
    fn reserve_node(&mut self, machine: &mut M, owner: u16) -> Result<u32, Error> {
        let agent = &self.agents[owner];
        let hint = agent.node_hint as usize;
        let pages = agent.node_pages;
        for page in (hint..pages.len()).chain(0..hint) {
            let Some(number) = pages[page].checked_sub(1) else { continue };
            if let Some(index) = cap::free_place(machine, number) {
                self.agents[owner].node_hint = page as u16;
                return Ok(index);
            }
        }
        let place = pages.iter().position(|&page| page == 0).ok_or(Error::LimitReached)?;
        let agent = &mut self.agents[owner];
        agent.pools[0].take(1)?;
        let Some(number) = machine.add_nodes() else {
            agent.pools[0].give(1);
            return Err(Error::NoMemory);
        };
        agent.node_pages[place] = number + 1;
        agent.node_hint = place as u16;
        self.ledger.objects = self.ledger.objects.wrapping_add(1);
        cap::free_place(machine, number).ok_or(Error::NoMemory)
    }

    /// Makes a node of `owner` and hangs it into `slot`: below `parent`, or as a root. The slot's reference is counted.
    pub(super) fn attach_node(
        &mut self,
        machine: &mut M,
        owner: u16,
        parent: Option<(NodeId, NodeId)>,
        slot: &mut Slot,
    ) -> Result<(), Error> {
        let index = self.reserve_node(machine, owner)?;
        let id = self.agents[owner].id;
        slot.hang(machine, index, parent, id)
    }

    /// Gives the reference of a slot on its node back.
    pub(super) fn release_node(&mut self, machine: &mut M, slot: &Slot, now: u64) {
        self.release_from(machine, slot.node, now);
    }

    /// Gives one reference on a node back; whatever is then unused, up to the root, becomes free.
    pub(super) fn release_from(&mut self, machine: &mut M, node: NodeId, now: u64) {
        let mut at = node;
        while let Some(unused) = cap::release(machine, at) {
            if unused.parent.is_none() {
                // A root carries the frames that it stands for, if any.
                self.free_frames(machine, unused.owner, unused.payload, now);
                break;
            }
            // Any other node carries the child pool that it stands for, or the bits to raise at its last use, if any.
            if let pool @ 1.. = unused.payload.1 {
                self.tell(machine, Notice::Pool { to: unused.owner, pool: ChildPool::from_word(pool) }, now);
            } else if let bits @ 1.. = unused.payload.0 {
                self.tell(machine, Notice::Raise { to: unused.owner, bits }, now);
            }
            at = unused.parent;
        }
    }

    /// The memory of a frame root goes back to the pool that paid.
    pub(super) fn free_frames(&mut self, machine: &mut M, owner: AgentId, (first, extent): (u64, u64), now: u64) {
        let pages = extent & 0xffff_ffff;
        if pages == 0 {
            return;
        }
        machine.free((first & ((1 << 40) - 1)) << 12, pages);
        self.ledger.frames = self.ledger.frames.wrapping_sub(pages);
        self.tell(machine, Notice::Credit { to: owner, pool: (first >> 48) as u8, pages, child: false }, now);
    }

    /// Empties a slot: its mapping goes, the lines bound through it go off, and its reference goes.
    pub(super) fn drop_slot(&mut self, machine: &mut M, agent: u16, index: u16, now: u64) {
        let Some(&slot) = self.agents[agent].slots.look(index) else { return };
        if slot.kind == Kind::Empty {
            return;
        }
        self.vacate_slot(machine, agent, index);
        self.release_node(machine, &slot, now);
    }

    /// Empties a slot, and ends what its holder does through it. The reference on its node is the caller's.
    fn vacate_slot(&mut self, machine: &mut M, holder: u16, index: u16) {
        self.unmap_slot(machine, holder, index);
        self.unbind_slot(machine, holder, index);
        self.agents[holder].slots.clear(index);
    }

    /// One bounded step of removing the mappings of void capabilities of a tree, or of all trees; the next place to look at, or `None` at the end.
    pub(super) fn unmap_void(&mut self, machine: &mut M, root: Option<u32>, mut agent: u16, mut index: u16) -> Option<(u16, u16)> {
        let end = (SLOT_PAGES * SLOTS_PER_PAGE) as u16;
        let mut left = SLOTS_PER_PAGE;
        while (agent as usize) < aios_abi::limits::AGENTS {
            let Some(holder) = self.agents.get(agent) else {
                (agent, index) = (agent + 1, 0);
                continue;
            };
            let stop = holder.slots.end().min(end);
            while index < stop {
                if left == 0 {
                    return Some((agent, index));
                }
                left -= 1;
                let hit = self.agents[agent].slots.look(index).is_some_and(|slot| {
                    root.is_none_or(|root| slot.root.index() == root)
                        && slot.word != 0
                        && matches!(slot.kind, Kind::Frame | Kind::Device)
                        && !cap::is_valid(machine, slot.node, slot.root.index())
                });
                if hit {
                    self.unmap_slot(machine, agent, index);
                    // Many pages may have gone.
                    left = 0;
                }
                index += 1;
            }
            (agent, index) = (agent + 1, 0);
        }
        None
    }

    pub(super) fn cap_mint(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let source = self.capability(machine, me, self.arg(me, 9), Kind::Agent, Rights::MINT, now)?;
        let (word, rights, expiry) = (self.arg(me, 0), self.arg(me, 1), self.arg(me, 2));
        let kind = match self.arg(me, 3) {
            0 => Kind::Service,
            1 => Kind::Notification,
            _ => return Err(Error::BadArgument),
        };
        let rights = Rights(u32::try_from(rights).map_err(|_| Error::BadArgument)?);
        let expiry = Self::earlier(&source, expiry, now)?;
        if kind == Kind::Notification && word == 0 {
            return Err(Error::BadArgument);
        }
        self.reserve_slots(machine, me, 1)?;
        let mut slot = Slot { kind, rights, object: source.object, word, expiry, tree: source.tree, ..Slot::EMPTY };
        self.attach_node(machine, me, Some((source.node, source.root)), &mut slot)?;
        let handle = self.place(me, slot);
        self.set_arg(me, 0, handle.0 as u64);
        Ok(Done::Return)
    }

    /// The expiry of what comes of a capability: as wished, or its own for 0; never later than its own.
    fn earlier(source: &Slot, wished: u64, now: u64) -> Result<u64, Error> {
        let expiry = match (source.expiry, wished) {
            (old, 0) => old,
            (0, new) => new,
            (old, new) if new <= old => new,
            _ => return Err(Error::NotNarrower),
        };
        if expiry != 0 && expiry <= now { Err(Error::BadArgument) } else { Ok(expiry) }
    }

    /// The narrower form of a capability, or why it wouldn't be narrower.
    pub(super) fn narrow(source: &Slot, rights: u64, expiry: u64, now: u64) -> Result<Slot, Error> {
        let rights = Rights(u32::try_from(rights).map_err(|_| Error::BadArgument)?);
        if !source.rights.contains(rights) {
            return Err(Error::NotNarrower);
        }
        let expiry = Self::earlier(source, expiry, now)?;
        let mut slot = Slot { rights, expiry, ..*source };
        if matches!(slot.kind, Kind::Frame | Kind::Device) {
            slot.word = 0;
        }
        Ok(slot)
    }

    /// A capability of any kind that has these rights.
    pub(super) fn any_capability(
        &mut self,
        machine: &M,
        me: u16,
        handle: u64,
        rights: Rights,
        now: u64,
    ) -> Result<(SlotHandle, Slot), Error> {
        let handle = SlotHandle(u32::try_from(handle).map_err(|_| Error::NoCapability)?);
        let slot = self.agents[me].slots.get(handle)?;
        slot.validate(machine, now)?;
        if !slot.rights.contains(rights) {
            return Err(Error::MissingRight);
        }
        Ok((handle, *slot))
    }

    pub(super) fn cap_derive(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let (_, source) = self.any_capability(machine, me, self.arg(me, 9), Rights::DERIVE, now)?;
        let mut slot = Self::narrow(&source, self.arg(me, 0), self.arg(me, 1), now)?;
        let (first, count) = (self.arg(me, 2), self.arg(me, 3));
        if count != 0 {
            let (base, length) = source.range();
            if !source.is_range() {
                return Err(Error::WrongKind);
            }
            if first.checked_add(count).is_none_or(|end| end > length) {
                return Err(Error::NotNarrower);
            }
            slot.object = Slot::pack_range(slot.kind, base + first, count);
        } else if first != 0 {
            return Err(Error::BadArgument);
        }
        self.reserve_slots(machine, me, 1)?;
        self.attach_node(machine, me, Some((source.node, source.root)), &mut slot)?;
        let handle = self.place(me, slot);
        self.set_arg(me, 0, handle.0 as u64);
        Ok(Done::Return)
    }

    pub(super) fn cap_grant(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let target = self.capability(machine, me, self.arg(me, 9), Kind::Agent, Rights::CONTROL, now)?;
        let (handle, source) = self.any_capability(machine, me, self.arg(me, 0), Rights::GRANT, now)?;
        let transfer = Transfer::from_number(self.arg(me, 3)).ok_or(Error::BadArgument)?;
        let wanted = u16::try_from(self.arg(me, 4)).map_err(|_| Error::BadArgument)?;
        let mut slot = Self::narrow(&source, self.arg(me, 1), self.arg(me, 2), now)?;
        if transfer == Transfer::Derive && !source.rights.contains(Rights::DERIVE) {
            return Err(Error::MissingRight);
        }
        if transfer == Transfer::Move && (target.agent() == self.agents[me].id || handle.index() == SLOT_SELF) {
            return Err(Error::BadArgument);
        }
        let place = self.locate(machine, target.agent())?;
        let index = match place {
            Place::Here(to) => self.reserve_for_grant(machine, to, wanted)?,
            Place::There(_) => 0,
            Place::Coming => return Ok(Done::Again),
        };
        match transfer {
            Transfer::Derive => self.attach_node(machine, me, Some((source.node, source.root)), &mut slot)?,
            Transfer::Copy | Transfer::Move => cap::refer(machine, slot.node),
        }
        let moves = transfer == Transfer::Move;
        match place {
            Place::Here(to) => {
                let given = self.agents[to].slots.fill(index, slot);
                if moves {
                    self.drop_slot(machine, me, handle.index(), now);
                }
                self.set_arg(me, 0, given.0 as u64);
                Ok(Done::Return)
            }
            Place::Coming => Ok(Done::Again),
            Place::There(core) => {
                let request = Request::Grant { to: target.agent(), slot, wanted };
                let outcome = self.ask(machine, me, core, request, Asking::Grant { index: handle.index(), moves });
                if outcome == Ok(Done::Leave) {
                    self.agents[me].granting = Some(slot);
                } else {
                    self.release_node(machine, &slot, now);
                }
                outcome
            }
        }
    }

    /// Makes sure that a place in a table is free: at this index, or anywhere if it is 0.
    pub(super) fn reserve_for_grant(&mut self, machine: &mut M, to: u16, wanted: u16) -> Result<u16, Error> {
        let objects = &mut self.ledger.objects;
        let agent = &mut self.agents[to];
        if agent.reap.phase != 0 {
            return Err(Error::WrongState);
        }
        match wanted {
            0 => agent.slots.reserve(machine, &mut agent.pools[0], objects, 1),
            index => agent.slots.reserve_at(machine, &mut agent.pools[0], objects, index).map(|()| index),
        }
    }

    pub(super) fn cap_drop(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let handle = SlotHandle(u32::try_from(self.arg(me, 9)).map_err(|_| Error::NoCapability)?);
        self.agents[me].slots.get(handle)?;
        if handle.index() == SLOT_SELF {
            return Err(Error::BadArgument);
        }
        self.drop_slot(machine, me, handle.index(), now);
        Ok(Done::Return)
    }

    pub(super) fn cap_revoke(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let (_, slot) = self.any_capability(machine, me, self.arg(me, 9), Rights::REVOKE, now)?;
        let bits = self.arg(me, 0);
        let root = slot.root.index();
        cap::revoke(machine, slot.node, root);
        self.agents[me].succeed();
        if cap::is_mapped(machine, root) {
            self.agents[me].work = Some(Work::Unmap { root, agent: 1, slot: 1, core: 0, bits });
        } else if bits != 0 {
            self.raise(me, bits, now);
        }
        Ok(Done::Leave)
    }

    pub(super) fn cap_check(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let rights = Rights(u32::try_from(self.arg(me, 0)).map_err(|_| Error::BadArgument)?);
        let agent = &mut self.agents[me];
        let handle = SlotHandle(u32::try_from(agent.registers.x[9]).map_err(|_| Error::NoCapability)?);
        let slot = agent.slots.get(handle)?;
        slot.validate(machine, now)?;
        if !slot.rights.contains(rights) {
            return Err(Error::MissingRight);
        }
        let (kind, rights, expiry) = (slot.kind, slot.rights, slot.expiry);
        let x = &mut agent.registers.x;
        (x[0], x[1], x[2]) = (kind as u64, rights.0 as u64, expiry);
        Ok(Done::Return)
    }

    pub(super) fn watch(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let (_, slot) = self.any_capability(machine, me, self.arg(me, 9), Rights::NONE, now)?;
        let bits = self.arg(me, 0);
        if bits == 0 {
            return Err(Error::BadArgument);
        }
        let my_id = self.agents[me].id;
        match slot.kind {
            Kind::Agent => {
                if !slot.rights.contains(Rights::WATCH) {
                    return Err(Error::MissingRight);
                }
                match self.locate(machine, slot.agent())? {
                    Place::Here(target) => self.add_watcher(machine, target, my_id, bits).map(|()| Done::Return),
                    Place::Coming => Ok(Done::Again),
                    Place::There(core) => {
                        self.ask(machine, me, core, Request::Watch { to: slot.agent(), watcher: my_id, bits }, Asking::Status)
                    }
                }
            }
            Kind::Service => {
                let node = cap::live(machine, slot.node).ok_or(Error::Revoked)?;
                if node.owner() != my_id {
                    return Err(Error::MissingRight);
                }
                node.payload.store(bits, Ordering::Relaxed);
                Ok(Done::Return)
            }
            _ => Err(Error::WrongKind),
        }
    }

    /// Notes who is told of an agent's death.
    pub(super) fn add_watcher(&mut self, machine: &M, target: u16, watcher: AgentId, bits: u64) -> Result<(), Error> {
        let watchers = &self.agents[target].watchers;
        let known = watchers.iter().position(|known| known.0 == watcher);
        let free = || watchers.iter().position(|known| known.0.is_kernel() || self.locate(machine, known.0).is_err());
        let place = known.or_else(free).ok_or(Error::LimitReached)?;
        self.agents[target].watchers[place] = (watcher, bits);
        Ok(())
    }
}
