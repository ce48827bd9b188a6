//! Interrupt lines: who gets them, through which capability.
//!
//! A binding is worth what the capability is worth that it was made through. When that leaves its place in the holder's table, the line goes off at once; when
//! it is revoked or expires, at the latest when the line fires or anybody binds or acknowledges it.

use aios_abi::Error;
use aios_abi::id::{AgentId, SlotHandle};
use aios_abi::rights::{Kind, Rights};

use super::{Core, Done, Outcome};
use crate::machine::Machine;

/// Who gets an interrupt line.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Binding {
    /// The agent; the kernel's id if the line is free.
    pub agent: AgentId,
    /// The capability that it was bound through, in that agent's table.
    pub slot: SlotHandle,
    /// Bits to raise.
    pub bits: u64,
    /// Times it fired.
    pub count: u64,
    /// It waits for `IrqAck`.
    pub masked: bool,
}

impl Binding {
    /// A free line that never fired.
    pub const FREE: Self = Self { agent: AgentId::KERNEL, slot: SlotHandle::NONE, bits: 0, count: 0, masked: false };
}

impl<M: Machine> Core<M> {
    /// An interrupt line fired. The line stays disabled until its agent acknowledges it.
    pub fn interrupt(&mut self, machine: &mut M, line: u32, now: u64) {
        self.counters.interrupts += 1;
        let Some(binding) = self.bindings.get_mut(line as usize) else { return };
        machine.line(line, false);
        binding.masked = true;
        binding.count += 1;
        let bits = binding.bits;
        if let Some(target) = self.bound(machine, line, now) {
            self.raise(target, bits, now);
        }
    }

    /// Who has a line by a capability that is still good. A binding that is not is undone.
    fn bound(&mut self, machine: &mut M, line: u32, now: u64) -> Option<u16> {
        let Binding { agent, slot, .. } = self.bindings[line as usize];
        if agent.is_kernel() {
            return None;
        }
        let holder = self.agents.find(agent);
        let good = |core: &mut Self, holder: u16| core.agents[holder].slots.get(slot).is_ok_and(|slot| slot.validate(machine, now).is_ok());
        match holder.filter(|&holder| good(self, holder)) {
            Some(holder) => Some(holder),
            None => {
                self.free_line(machine, line);
                None
            }
        }
    }

    fn free_line(&mut self, machine: &mut M, line: u32) {
        let binding = &mut self.bindings[line as usize];
        *binding = Binding { count: binding.count, ..Binding::FREE };
        machine.line(line, false);
    }

    pub(super) fn irq_bind(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let line = self.irq_line(machine, me, now)?;
        let bits = self.arg(me, 1);
        if bits == 0 {
            return Err(Error::BadArgument);
        }
        if self.bound(machine, line, now).is_some_and(|holder| holder != me) {
            return Err(Error::Busy);
        }
        let slot = SlotHandle(self.arg(me, 9) as u32);
        let agent = self.agents[me].id;
        let binding = &mut self.bindings[line as usize];
        *binding = Binding { agent, slot, bits, count: binding.count, masked: false };
        machine.line(line, true);
        Ok(Done::Return)
    }

    pub(super) fn irq_ack(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let line = self.irq_line(machine, me, now)?;
        if self.bound(machine, line, now) != Some(me) {
            return Err(Error::WrongState);
        }
        if core::mem::take(&mut self.bindings[line as usize].masked) {
            machine.line(line, true);
        }
        Ok(Done::Return)
    }

    fn irq_line(&mut self, machine: &M, me: u16, now: u64) -> Result<u32, Error> {
        let slot = self.capability(machine, me, self.arg(me, 9), Kind::Irq, Rights::BIND, now)?;
        let (first, count) = slot.range();
        let line = self.arg(me, 0);
        if line >= count {
            return Err(Error::BadArgument);
        }
        let line = first + line;
        if line as usize >= self.bindings.len() { Err(Error::BadArgument) } else { Ok(line as u32) }
    }

    /// A capability is about to leave its place in a table: lines that were bound through it go off.
    pub(super) fn unbind_slot(&mut self, machine: &mut M, holder: u16, index: u16) {
        let Some(&slot) = self.agents[holder].slots.look(index).filter(|slot| slot.kind == Kind::Irq) else { return };
        let (id, handle) = (self.agents[holder].id, SlotHandle::new(index, slot.generation));
        let (first, count) = slot.range();
        let lines = self.bindings.len() as u64;
        for line in first.min(lines)..first.saturating_add(count).min(lines) {
            let binding = &self.bindings[line as usize];
            if binding.agent == id && binding.slot == handle {
                self.free_line(machine, line as u32);
            }
        }
    }

    /// The lines that were bound to an agent are free, and off.
    pub(super) fn unbind(&mut self, machine: &mut M, id: AgentId) {
        for line in 0..self.bindings.len() as u32 {
            if self.bindings[line as usize].agent == id {
                self.free_line(machine, line);
            }
        }
    }
}
