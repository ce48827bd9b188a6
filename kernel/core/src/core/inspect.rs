//! `Inspect`: the kernel's state for people, a page of records at a time.

use aios_abi::Error;
use aios_abi::id::{AgentId, SlotHandle};
use aios_abi::limits::AGENTS;
use aios_abi::record::{AgentRecord, CoreRecord, IrqRecord, MemoryRecord, SlotRecord, Table};
use aios_abi::rights::{Kind, Rights};

use super::remote::{ANSWER_WORDS, Asking, Place, Request};
use super::{Core, Done, Outcome};
use crate::cap::{self, Slot};
use crate::machine::Machine;

/// Places looked at in one call: what is reached without a preemption point.
const PLACES: u64 = 256;
/// Where in a cursor the core is.
const CORE_SHIFT: u32 = 48;
const PLACE_MASK: u64 = (1 << CORE_SHIFT) - 1;
/// Records written in one call.
const RECORDS: usize = 16;

impl<M: Machine> Core<M> {
    pub(super) fn inspect(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        self.capability(machine, me, self.arg(me, 9), Kind::Observe, Rights::READ, now)?;
        let table = Table::from_number(self.arg(me, 0)).ok_or(Error::BadArgument)?;
        let (cursor, subject) = (self.arg(me, 1), AgentId(self.arg(me, 2)));
        // The upper bits of a cursor say whose turn it is: every core shows what it has.
        let core = match table {
            Table::Slots => match self.locate(machine, subject)? {
                Place::Here(_) => self.facts.core,
                Place::There(core) => core as u64,
                Place::Coming => return Ok(Done::Again),
            },
            _ => cursor >> CORE_SHIFT,
        };
        if core >= machine.cores() as u64 {
            return Err(Error::BadArgument);
        }
        if core != self.facts.core {
            let request = Request::Inspect { table, cursor: cursor & PLACE_MASK, subject };
            return self.ask(machine, me, core as u16, request, Asking::Inspect);
        }
        let mut out = Out::Memory { agent: me, address: self.arg(me, 11), room: self.arg(me, 10), count: 0 };
        let next = self.show(machine, table, cursor & PLACE_MASK, subject, &mut out, now)?;
        let next = self.next_cursor(machine, table, next);
        let count = out.count();
        let x = &mut self.agents[me].registers.x;
        (x[0], x[1]) = (count, next);
        Ok(Done::Return)
    }

    /// The cursor after `next` of this core, which is 0 at its end.
    fn next_cursor(&self, machine: &M, table: Table, next: u64) -> u64 {
        let core = self.facts.core;
        if next != 0 {
            next | core << CORE_SHIFT
        } else if table != Table::Slots && core + 1 < machine.cores() as u64 {
            (core + 1) << CORE_SHIFT
        } else {
            0
        }
    }

    /// One record for an agent of another core: the record, its length in words, and the next cursor.
    pub(super) fn one_record(
        &mut self,
        machine: &mut M,
        table: Table,
        cursor: u64,
        subject: AgentId,
        now: u64,
    ) -> Result<[u64; ANSWER_WORDS], Error> {
        let mut out = Out::Words { words: [0; ANSWER_WORDS - 2], length: 0 };
        let next = self.show(machine, table, cursor, subject, &mut out, now)?;
        let next = self.next_cursor(machine, table, next);
        let mut answer = [0; ANSWER_WORDS];
        if let Out::Words { words, length } = out {
            answer[..words.len()].copy_from_slice(&words);
            (answer[ANSWER_WORDS - 2], answer[ANSWER_WORDS - 1]) = (length as u64, next);
        }
        Ok(answer)
    }

    /// Writes the record that another core answered with.
    pub(super) fn write_record(&mut self, machine: &mut M, me: u16, answer: &[u64; ANSWER_WORDS]) -> Result<(), Error> {
        let (length, next) = (answer[ANSWER_WORDS - 2] as usize, answer[ANSWER_WORDS - 1]);
        let mut out = Out::Memory { agent: me, address: self.arg(me, 11), room: self.arg(me, 10), count: 0 };
        if length != 0 {
            self.put(machine, &mut out, &answer[..length.min(ANSWER_WORDS - 2)])?;
        }
        let x = &mut self.agents[me].registers.x;
        (x[0], x[1]) = (out.count(), next);
        Ok(())
    }

    /// Puts out records of this core from `cursor` on; answers the next cursor, 0 at the end.
    fn show(&mut self, machine: &mut M, table: Table, cursor: u64, subject: AgentId, out: &mut Out, now: u64) -> Result<u64, Error> {
        self.pay(now);
        match table {
            Table::Agents => self.walk(cursor, AGENTS as u64, out, |core, out, place| {
                let Some(record) = core.agent_record(place as u16) else { return Ok(true) };
                core.put(machine, out, &record.to_words())
            }),
            Table::Slots => {
                let subject = self.agents.find(subject).ok_or(Error::PeerDied)?;
                let end = self.agents[subject].slots.end() as u64;
                self.walk(cursor, end, out, |core, out, place| {
                    let Some(record) = core.slot_record(machine, subject, place as u16, now) else { return Ok(true) };
                    core.put(machine, out, &record.to_words())
                })
            }
            Table::Memory => {
                let record = self.memory_record();
                self.put(machine, out, &record.to_words()).map(|_| 0)
            }
            Table::Cores => {
                let record = self.core_record(now);
                self.put(machine, out, &record.to_words()).map(|_| 0)
            }
            Table::Irqs => {
                let end = self.bindings.len() as u64;
                self.walk(cursor, end, out, |core, out, place| {
                    let binding = core.bindings[place as usize];
                    if binding.agent.is_kernel() {
                        return Ok(true);
                    }
                    let (agent, bits, count, masked) = (binding.agent.0, binding.bits, binding.count, binding.masked as u64);
                    let record = IrqRecord { line: place, agent, bits, count, masked, core: core.facts.core };
                    core.put(machine, out, &record.to_words())
                })
            }
        }
    }

    /// Goes through places from `cursor` on, as long as there is room; answers the next cursor, 0 at the end.
    fn walk(
        &mut self,
        cursor: u64,
        end: u64,
        out: &mut Out,
        mut visit: impl FnMut(&mut Self, &mut Out, u64) -> Result<bool, Error>,
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
    fn put(&mut self, machine: &mut M, out: &mut Out, record: &[u64]) -> Result<bool, Error> {
        match out {
            Out::Words { words, length } => {
                if *length != 0 {
                    return Ok(false);
                }
                words[..record.len()].copy_from_slice(record);
                *length = record.len();
            }
            Out::Memory { agent, address, room, count } => {
                let length = record.len() as u64 * 8;
                if length > *room || *count >= RECORDS as u64 {
                    return if *count == 0 { Err(Error::BadArgument) } else { Ok(false) };
                }
                self.write_words(machine, *agent, *address, record)?;
                *address += length;
                *room -= length;
                *count += 1;
            }
        }
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
            mapped: if matches!(slot.kind, Kind::Frame | Kind::Device) { slot.word } else { 0 },
        })
    }

    fn slot_status(&self, machine: &M, slot: &Slot, now: u64) -> u64 {
        let mut slot = *slot;
        slot.validate(machine, now).map_or_else(|error| error.code() as u64, |()| 0)
    }

    fn memory_record(&self) -> MemoryRecord {
        let (facts, ledger) = (&self.facts, &self.ledger);
        // A page may be taken on one core and given back on another: only the sums over all cores mean something, and they wrap.
        let used = ledger.objects.wrapping_add(ledger.tables).wrapping_add(ledger.frames).wrapping_add(ledger.memory);
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
            free: self.root.quota.wrapping_sub(used),
            promised: self.root.used.wrapping_sub(used),
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
            kernel_ns: self.counters.kernel_ns,
            agents: self.alive,
            switches: self.counters.switches,
            calls: self.counters.calls,
            interrupts: self.counters.interrupts,
            epochs: self.sched.epochs(now),
            admitted: self.sched.admitted(),
            ring_messages: self.ring_messages,
            running: here(self.current).map_or(0, |agent| agent.id.0),
            // Who is being cleared away counts until what it used counts as gone.
            agents_ns: (1..AGENTS as u16).filter_map(here).map(|agent| agent.sc.cpu_ns()).sum(),
            gone_ns: self.counters.gone_ns,
        }
    }
}

/// Where records go.
enum Out {
    /// To an agent's memory.
    Memory {
        /// Whose.
        agent: u16,
        /// Where the next goes.
        address: u64,
        /// Bytes left.
        room: u64,
        /// Records written.
        count: u64,
    },
    /// One record, to another core.
    Words {
        /// The record.
        words: [u64; ANSWER_WORDS - 2],
        /// Its length; 0: none yet.
        length: usize,
    },
}

impl Out {
    const fn count(&self) -> u64 {
        match self {
            Self::Memory { count, .. } => *count,
            Self::Words { length, .. } => (*length != 0) as u64,
        }
    }
}
