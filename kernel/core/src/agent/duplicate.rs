//! Copies of agents and their tables, on machines whose pages can be copied: what a model checker starts from again and again.

use super::{Agent, SlotTable};
use crate::cap::SlotPage;
use crate::machine::Machine;

impl<M: Machine> Clone for SlotTable<M>
where
    M::Page<SlotPage>: Clone,
{
    fn clone(&self) -> Self {
        Self { pages: self.pages.clone(), free: self.free, fresh: self.fresh, used: self.used }
    }
}

impl<M: Machine> Clone for Agent<M>
where
    M::Page<SlotPage>: Clone,
{
    fn clone(&self) -> Self {
        Self {
            registers: self.registers.clone(),
            fp: self.fp.clone(),
            id: self.id,
            state: self.state,
            suspended: self.suspended,
            work: self.work,
            space: self.space.clone(),
            notifications: self.notifications,
            copy: self.copy,
            copying: self.copying,
            outgoing: self.outgoing,
            links: self.links,
            queue: self.queue,
            open: self.open,
            mailbox_first: self.mailbox_first,
            sc: self.sc.clone(),
            debit: self.debit,
            timers: self.timers.clone(),
            timer_bits: self.timer_bits,
            slots: self.slots.clone(),
            pools: self.pools,
            closed_pools: self.closed_pools,
            node_pages: self.node_pages,
            node_hint: self.node_hint,
            mailbox: self.mailbox.clone(),
            regions: self.regions.clone(),
            handler: self.handler,
            parent: self.parent,
            payer: self.payer,
            children: self.children,
            fault: self.fault,
            supervisor: self.supervisor,
            watchers: self.watchers,
            operations: self.operations,
            takes_caps: self.takes_caps,
            asking: self.asking,
            cargo: self.cargo,
            loaded: self.loaded,
            granting: self.granting,
            travel_ns: self.travel_ns,
            takes_bytes: self.takes_bytes,
            incarnation: self.incarnation,
            name: self.name,
            info: self.info,
            counters: self.counters,
            timed: self.timed,
            reap: self.reap,
        }
    }
}
