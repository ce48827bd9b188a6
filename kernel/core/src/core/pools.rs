//! Child pools: made from an agent's own pool, spent by that agent, given back with the last capability to them.
//!
//! All capabilities to a child pool, derived or copied, hold the node that was made with it. When the last of them is gone, on whatever core, nobody can spend
//! from the pool any more: its quota goes back to the pool that it came from, at once or with the last of what it pays for.

use core::sync::atomic::Ordering;

use aios_abi::Error;
use aios_abi::id::AgentId;
use aios_abi::rights::{Kind, Rights};

use super::{Core, Done, Outcome};
use crate::agent::POOLS;
use crate::cap::{self, Slot};
use crate::machine::Machine;
use crate::pool::Pool;

/// A child pool, as its node remembers it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ChildPool {
    /// Its index at its owner; never 0.
    index: u8,
    /// The owner's incarnation that made it: the next one has other pools.
    incarnation: u32,
}

impl ChildPool {
    /// As a word that is not 0.
    const fn word(self) -> u64 {
        (self.incarnation as u64) << 8 | self.index as u64
    }

    pub(super) const fn from_word(word: u64) -> Self {
        Self { index: word as u8, incarnation: (word >> 8) as u32 }
    }
}

impl<M: Machine> Core<M> {
    /// Where a pool capability's pool is: owner and index.
    pub(super) fn pool_of(&self, slot: &Slot) -> Result<(u16, usize), Error> {
        let owner = self.agents.find(slot.agent()).ok_or(Error::PeerDied)?;
        let index = slot.word as usize;
        let live = index < POOLS && self.agents[owner].pools[index].quota != 0;
        if live { Ok((owner, index)) } else { Err(Error::NoMemory) }
    }

    pub(super) fn pool_alloc(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let slot = self.capability(machine, me, self.arg(me, 9), Kind::Pool, Rights::SPEND, now)?;
        let pages = self.arg(me, 0);
        let (owner, parent) = self.pool_of(&slot)?;
        if owner != me {
            return Err(Error::MissingRight);
        }
        if pages == 0 || parent != 0 {
            return Err(Error::BadArgument);
        }
        let index = self.agents[me].pools.iter().position(|pool| pool.quota == 0).ok_or(Error::LimitReached)?;
        if pages > self.agents[me].pools[parent].left() {
            return Err(Error::NoMemory);
        }
        self.reserve_slots(machine, me, 1)?;
        let mut child = Slot { word: index as u64, ..slot };
        self.attach_node(machine, me, Some((slot.node, slot.root)), &mut child)?;
        // The slot and the node may have cost the last page.
        if let Err(error) = self.agents[me].pools[parent].take(pages) {
            self.release_node(machine, &child, now);
            return Err(error);
        }
        self.agents[me].pools[index] = Pool { quota: pages, used: 0 };
        let made = ChildPool { index: index as u8, incarnation: self.agents[me].incarnation };
        if let Some(node) = cap::live(machine, child.node) {
            node.extent.store(made.word(), Ordering::Relaxed);
        }
        let handle = self.place(me, child);
        self.set_arg(me, 0, handle.0 as u64);
        Ok(Done::Return)
    }

    /// Nobody can spend from a child pool any more.
    pub(super) fn close_pool(&mut self, owner: AgentId, pool: ChildPool) {
        let Some(slot) = self.agents.find(owner) else { return };
        let agent = &mut self.agents[slot];
        // Whoever starts anew gets all pools back as a whole.
        if agent.incarnation == pool.incarnation && agent.reap.phase == 0 {
            agent.closed_pools |= 1 << pool.index;
            self.return_pool(slot, pool.index);
        }
    }

    /// Gives the quota of a closed pool back if nothing of it is in use.
    pub(super) fn return_pool(&mut self, owner: u16, index: u8) {
        let agent = &mut self.agents[owner];
        let Some(pool) = agent.pools.get_mut(index as usize) else { return };
        if agent.closed_pools & 1 << index != 0 && pool.used == 0 {
            let quota = core::mem::replace(pool, Pool::NONE).quota;
            agent.closed_pools &= !(1 << index);
            agent.pools[0].give(quota);
        }
    }
}
