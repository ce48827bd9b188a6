//! The agents of a core, by agent-table slot.

use aios_abi::id::AgentId;
use aios_abi::limits::AGENTS;

use crate::agent::{Agent, State};
use crate::machine::Machine;
use crate::sched::{Contexts, Sc};
use crate::timers::{TimerContexts, TimerLinks};

/// The agents of a core, by agent-table slot.
pub struct Agents<M: Machine>(pub(super) [Option<M::Page<Agent<M>>>; AGENTS]);

impl<M: Machine> Agents<M> {
    pub(super) const EMPTY: Self = Self([const { None }; AGENTS]);

    /// The agent at a slot, if there is one.
    pub fn get(&self, slot: u16) -> Option<&Agent<M>> {
        self.0.get(slot as usize)?.as_deref()
    }

    /// The agent at a slot, if there is one.
    pub fn get_mut(&mut self, slot: u16) -> Option<&mut Agent<M>> {
        self.0.get_mut(slot as usize)?.as_deref_mut()
    }

    /// Where the agent with this id is, unless it is gone or going.
    #[inline]
    pub fn find(&self, id: AgentId) -> Option<u16> {
        let agent = self.get(id.slot())?;
        (agent.id == id && agent.state != State::Dying).then_some(id.slot())
    }

    /// Two different agents at once.
    pub(super) fn pair(&mut self, a: u16, b: u16) -> (&mut Agent<M>, &mut Agent<M>) {
        let [a, b] = self.0.get_disjoint_mut([a as usize, b as usize]).expect("two different agents");
        (a.as_deref_mut().expect("agent is there"), b.as_deref_mut().expect("agent is there"))
    }
}

/// One place for all that look up an agent: what each would say of its own costs more than the look.
#[cold]
#[inline(never)]
fn nobody() -> ! {
    panic!("slots that the kernel itself keeps name agents")
}

impl<M: Machine> core::ops::Index<u16> for Agents<M> {
    type Output = Agent<M>;
    fn index(&self, slot: u16) -> &Agent<M> {
        match self.get(slot) {
            Some(agent) => agent,
            None => nobody(),
        }
    }
}

impl<M: Machine> core::ops::IndexMut<u16> for Agents<M> {
    fn index_mut(&mut self, slot: u16) -> &mut Agent<M> {
        match self.get_mut(slot) {
            Some(agent) => agent,
            None => nobody(),
        }
    }
}

impl<M: Machine> Contexts for Agents<M> {
    fn sc(&self, slot: u16) -> &Sc {
        &self[slot].sc
    }
    fn sc_mut(&mut self, slot: u16) -> &mut Sc {
        &mut self[slot].sc
    }
}

impl<M: Machine> TimerContexts for Agents<M> {
    fn timers(&self, slot: u16) -> &TimerLinks {
        &self[slot].timers
    }
    fn timers_mut(&mut self, slot: u16) -> &mut TimerLinks {
        &mut self[slot].timers
    }
}
