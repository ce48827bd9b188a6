//! `Inspect`: the kernel's state for people, a page of records at a time.

use aios_abi::Error;
use aios_abi::id::{AgentId, SlotHandle};
use aios_abi::limits::AGENTS;
use aios_abi::record::{AgentRecord, CoreRecord, IrqRecord, MemoryRecord, SlotRecord, Table};
use aios_abi::rights::{Kind, Rights};

use super::{Core, Done, Outcome};
use crate::agent::State;
use crate::cap::{self, Slot};
use crate::machine::Machine;

/// Places looked at in one call: what is reached without a preemption point.
const PLACES: u64 = 256;
/// Records written in one call.
const RECORDS: usize = 16;

impl<M: Machine> Core<M> {
    pub(super) fn inspect(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        self.capability(machine, me, self.arg(me, 9), Kind::Observe, Rights::READ, now)?;
        let table = Table::from_number(self.arg(me, 0)).ok_or(Error::BadArgument)?;
        let (cursor, subject, room) = (self.arg(me, 1), AgentId(self.arg(me, 2)), self.arg(me, 10));
        self.pay(now);
        let mut out = Writer { agent: me, address: self.arg(me, 11), room, count: 0 };
        let next = match table {
            Table::Agents => self.walk(cursor, AGENTS as u64, &mut out, |core, out, place| {
                let Some(record) = core.agent_record(place as u16) else { return Ok(true) };
                core.put(machine, out, &record.to_words())
            })?,
            Table::Slots => {
                let subject = self.agents.find(subject).ok_or(Error::PeerDied)?;
                let end = self.agents[subject].slots.end() as u64;
                self.walk(cursor, end, &mut out, |core, out, place| {
                    let Some(record) = core.slot_record(machine, subject, place as u16, now) else { return Ok(true) };
                    core.put(machine, out, &record.to_words())
                })?
            }
            Table::Memory => {
                let record = self.memory_record();
                self.put(machine, &mut out, &record.to_words())?;
                0
            }
            Table::Cores => {
                let record = self.core_record(now);
                self.put(machine, &mut out, &record.to_words())?;
                0
            }
            Table::Irqs => {
                let end = self.bindings.len() as u64;
                self.walk(cursor, end, &mut out, |core, out, place| {
                    let binding = core.bindings[place as usize];
                    if binding.agent.is_kernel() {
                        return Ok(true);
                    }
                    let (agent, bits, count, masked) = (binding.agent.0, binding.bits, binding.count, binding.masked as u64);
                    let record = IrqRecord { line: place, agent, bits, count, masked, core: core.facts.core };
                    core.put(machine, out, &record.to_words())
                })?
            }
        };
        let x = &mut self.agents[me].registers.x;
        (x[0], x[1]) = (out.count, next);
        Ok(Done::Return)
    }

    /// Goes through places from `cursor` on, as long as there is room; answers the next cursor, 0 at the end.
    fn walk(
        &mut self,
        cursor: u64,
        end: u64,
        out: &mut Writer,
        mut visit: impl FnMut(&mut Self, &mut Writer, u64) -> Result<bool, Error>,
    ) -> Result<u64, Error> {
        let stop = end.min(cursor.saturating_add(PLACES));
        for place in cursor..stop {
            if !visit(self, out, place)? {
                return Ok(place);
            }
        }
        Ok(if stop < end { stop } else { 0 })
    }

    /// Writes a record; false if there is no room for it.
    fn put(&mut self, machine: &mut M, out: &mut Writer, words: &[u64]) -> Result<bool, Error> {
        let length = words.len() as u64 * 8;
        if length > out.room || out.count >= RECORDS as u64 {
            return if out.count == 0 { Err(Error::BadArgument) } else { Ok(false) };
        }
        self.write_words(machine, out.agent, out.address, words)?;
        out.address += length;
        out.room -= length;
        out.count += 1;
        Ok(true)
    }

    fn agent_record(&self, slot: u16) -> Option<AgentRecord> {
        let agent = self.agents.get(slot)?;
        Some(AgentRecord {
            id: agent.id.0,
            name_low: agent.name[0],
            name_high: agent.name[1],
            state: agent.state.code() | (agent.suspended as u64) << 8,
            core: self.facts.core,
            class: agent.sc.class(),
            weight: agent.sc.weight_or_budget(),
            period_ns: agent.sc.period_ns(),
            cpu_ns: agent.sc.cpu_ns(),
            pages_used: agent.pools[0].used,
            pages_quota: agent.pools[0].quota,
            received: agent.counters.received,
            sent: agent.counters.sent,
            incarnation: agent.incarnation as u64,
            parent: agent.parent.0,
            supervisor: agent.supervisor.0.0,
            mailbox_used: agent.mailbox.used_bytes(),
            mailbox_size: agent.mailbox.size_bytes(),
            slots_used: agent.slots.used as u64,
            missed: agent.sc.missed(),
            faults: agent.counters.faults,
            pc: agent.registers.pc,
            peer: agent.state.peer().unwrap_or(AgentId::KERNEL).0,
            notifications: agent.notifications,
        })
    }

    fn slot_record(&self, machine: &M, agent: u16, index: u16, now: u64) -> Option<SlotRecord> {
        let &slot = self.agents[agent].slots.look(index)?;
        if slot.kind == Kind::Empty {
            return None;
        }
        let node = cap::live(machine, slot.node);
        let ranged = slot.is_range();
        let (first, count) = slot.range();
        Some(SlotRecord {
            handle: SlotHandle::new(index, slot.generation).0 as u64,
            kind: slot.kind as u64,
            rights: slot.rights.0 as u64,
            object: if ranged { first } else { slot.object },
            word: if ranged { count } else { slot.word },
            expiry: slot.expiry,
            node: slot.node.word(),
            parent: node.map_or(0, |node| node.parent().word()),
            deriver: node.map_or(0, |node| node.owner().0),
            depth: node.map_or(0, |node| node.depth() as u64),
            status: self.slot_status(machine, &slot, now),
            mapped: self.mapping(&slot).map_or(0, |(_, address)| address),
        })
    }

    fn slot_status(&self, machine: &M, slot: &Slot, now: u64) -> u64 {
        let mut slot = *slot;
        slot.validate(machine, now).map_or_else(|error| error.code() as u64, |()| 0)
    }

    fn memory_record(&self) -> MemoryRecord {
        let (facts, ledger) = (&self.facts, &self.ledger);
        let used = ledger.objects + ledger.tables + ledger.frames + ledger.memory;
        MemoryRecord {
            total: facts.total,
            reserved: facts.reserved,
            kernel: facts.kernel,
            bundle: facts.bundle,
            kernel_tables: facts.kernel_tables,
            objects: ledger.objects,
            page_tables: ledger.tables,
            frames: ledger.frames,
            agent_memory: ledger.memory,
            free: self.root.quota - used,
            promised: self.root.used.saturating_sub(used),
            agents: self.alive,
        }
    }

    fn core_record(&self, now: u64) -> CoreRecord {
        let here = |slot: u16| self.agents.get(slot);
        CoreRecord {
            core: self.facts.core,
            mpidr: self.facts.mpidr,
            midr: self.facts.midr,
            up_ns: now - self.facts.up_ns,
            idle_ns: self.counters.idle_ns,
            kernel_ns: 0,
            agents: self.alive,
            switches: self.counters.switches,
            calls: self.counters.calls,
            interrupts: self.counters.interrupts,
            epochs: self.sched.epochs(now),
            admitted: self.sched.admitted(),
            ring_messages: 0,
            running: here(self.current).map_or(0, |agent| agent.id.0),
            agents_ns: (1..AGENTS as u16).filter_map(here).filter(|agent| agent.state != State::Dying).map(|agent| agent.sc.cpu_ns()).sum(),
            gone_ns: self.counters.gone_ns,
        }
    }
}

/// Where records go.
struct Writer {
    agent: u16,
    address: u64,
    room: u64,
    count: u64,
}
