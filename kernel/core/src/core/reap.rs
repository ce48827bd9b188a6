//! The end of agents: kill, restart, and the clearing away, in bounded steps.
//!
//! A condemned agent never runs again from that moment. What it has is taken back by [`Core::reap_step`]s, in phases, each resumable at any index. A
//! restart runs the same phases but keeps block, id, pool, mailbox and place in the family.
//!
//! Clearing away takes turns like any agent: the dying agent's context competes for them, as a fair one of default weight (a restarted agent's keeps its
//! parameters), so it ends within the starvation bound and takes nothing from reservations. Who ended it, on the same core, does the work in its own time
//! as long as there is some to do: what the dead agent had is there when the call returns.

use aios_abi::Error;
use aios_abi::id::AgentId;
use aios_abi::limits::{AGENTS, NODES_PER_PAGE, PQC_OPERATIONS, WEIGHT_DEFAULT};
use aios_abi::rights::Kind;

use super::memory::Tables;
use super::remote::{Asking, Notice, Request};
use super::{Core, Done};
use crate::agent::{Handler, Operation, Reap, State, Work};
use crate::cap::{self, Node};
use crate::machine::Machine;
use crate::pool::Pool;
use crate::sched::Params;
use crate::space::{Owner, Progress, Regions};
use crate::timers::KINDS;

/// Slots dropped in one step.
const SLOTS_PER_STEP: u16 = 16;
/// Parked agents that are passed over in the search for one that something can be done for.
const LOOKS: usize = 64;

const ANSWER: u8 = 1;
const DEPART: u8 = 2;
const DEPART_ELSEWHERE: u8 = 3;
const CHILDREN: u8 = 4;
const REVOCATION: u8 = 5;
const SLOTS: u8 = 6;
const VOID: u8 = 7;
const SWEEP: u8 = 8;
const NODES: u8 = 9;
const QUIET: u8 = 10;
const NODE_PAGES_BACK: u8 = 11;
const SPACE: u8 = 12;
const MAIL: u8 = 13;

impl<M: Machine> Core<M> {
    /// Ends an agent: it doesn't run again, and the reaper takes it apart.
    pub(super) fn condemn(&mut self, slot: u16, now: u64) {
        if self.agents[slot].state == State::Dying {
            return;
        }
        let restarting = self.agents[slot].reap.phase != 0;
        self.stop(slot, now);
        let agent = &mut self.agents[slot];
        agent.state = State::Dying;
        agent.suspended = false;
        self.over |= agent.parent.is_kernel();
        // A reservation ends with its agent; the fair class always takes one more.
        let _ = self.sched.set(&mut self.agents, slot, Params::Fair { weight: WEIGHT_DEFAULT as u64 }, now);
        if restarting {
            // From the start again: while the restart waited for other cores, others may have called it.
            let Reap { next, previous, space, .. } = self.agents[slot].reap;
            self.agents[slot].reap = Reap { next, previous, space, phase: ANSWER, ..Reap::default() };
            self.wake(slot, now);
        } else {
            self.enlist(slot, false, now);
        }
    }

    /// Takes an agent out of everything that could make it run, and out of the list that it waits in.
    fn stop(&mut self, slot: u16, now: u64) {
        self.pay(now);
        if let Some(peer) = self.agents[slot].state.peer() {
            self.unlink_from_peer(slot, peer);
            // The server goes on with what it does, without the help of the context that vanishes.
            self.agents[slot].state = State::New;
            if let Some(peer) = self.agents.find(peer) {
                self.wake(peer, now);
            }
        }
        for kind in 0..KINDS as u8 {
            self.set_agent_timer(slot, kind, u64::MAX);
        }
        self.stop_expiry(slot);
        self.undecided = true;
        if self.context == slot {
            self.context = 0;
            self.current = 0;
        }
        self.sched.dequeue(&mut self.agents, slot);
        let agent = &mut self.agents[slot];
        // A revocation is brought to its end all the same, and cargo goes back.
        agent.work = agent.work.filter(|work| matches!(work, Work::Unmap { .. } | Work::Load { .. }));
        agent.forget_copies();
        agent.operations = [Operation::FREE; PQC_OPERATIONS];
        agent.debit = AgentId::KERNEL;
        agent.state = State::New;
    }

    /// Puts an agent in front of those that are being cleared away, and lets it compete.
    fn enlist(&mut self, slot: u16, restart: bool, now: u64) {
        let next = self.dying;
        self.agents[slot].reap = Reap { next, phase: ANSWER, restart, ..Reap::default() };
        if next != 0 {
            self.agents[next].reap.previous = slot;
        }
        self.dying = slot;
        self.wake(slot, now);
    }

    /// What a dying agent waited for has come.
    pub(super) fn unpark(&mut self, slot: u16, now: u64) {
        let agent = &mut self.agents[slot];
        if agent.reap.parked && agent.asking == Asking::Nothing {
            agent.reap.parked = false;
            self.wake(slot, now);
        }
    }

    /// `killer` ended or restarts `victim`, if that is so: it clears away what it can before it goes on.
    pub(super) fn clear_away(&mut self, killer: u16, victim: AgentId) {
        let clearing = self.agents.get(victim.slot()).is_some_and(|agent| agent.id == victim && agent.reap.phase != 0);
        if clearing && self.agents.get(killer).is_some_and(|agent| agent.reap.phase == 0 && agent.id != victim) {
            self.agents[killer].work = Some(Work::Clear { victim });
        }
    }

    /// One step of clearing away for whoever ended `victim`: of the victim itself, or of its family, for which it waits. False if it can't go on now.
    pub(super) fn clear_step(&mut self, machine: &mut M, killer: u16, victim: AgentId, now: u64) -> bool {
        let clearing = self.agents.get(victim.slot()).filter(|agent| agent.id == victim && agent.reap.phase != 0);
        let slot = match clearing {
            None => 0,
            Some(agent) if !agent.reap.parked => victim.slot(),
            Some(_) => self.reapable(),
        };
        if slot == 0 {
            self.agents[killer].work = None;
            return true;
        }
        self.reap_step(machine, slot, now)
    }

    /// `AgentControl` Restart: the same phases, and then the agent is new again.
    pub(super) fn restart(&mut self, target: u16, now: u64) -> Result<(), Error> {
        if self.agents[target].reap.phase != 0 {
            return Err(Error::Busy);
        }
        self.stop(target, now);
        self.agents[target].suspended = false;
        self.agents[target].incarnation = self.agents[target].incarnation.wrapping_add(1).max(1);
        self.enlist(target, true, now);
        Ok(())
    }

    /// The agent that was condemned last of those for which something can be done now; 0 if none is found. Children are condemned after their parent.
    fn reapable(&self) -> u16 {
        let mut slot = self.dying;
        for _ in 0..LOOKS {
            if slot == 0 || !self.agents[slot].reap.parked {
                return slot;
            }
            slot = self.agents[slot].reap.next;
        }
        0
    }

    /// One bounded step of clearing a dying agent away; false if it has to wait for room in a ring.
    #[cold]
    #[inline(never)]
    pub(super) fn reap_step(&mut self, machine: &mut M, slot: u16, now: u64) -> bool {
        let Reap { phase, index, restart, .. } = self.agents[slot].reap;
        let error = if restart { Error::PeerRestarted } else { Error::PeerDied };
        let id = self.agents[slot].id;
        let done = match phase {
            // The other core may still look at what was sent there.
            ANSWER => {
                let waits = self.agents[slot].asking != Asking::Nothing;
                self.agents[slot].reap.parked = waits;
                if let Some(Work::Load { cargo, .. }) = self.agents[slot].work {
                    self.agents[slot].work = None;
                    self.unload_cargo(machine, slot, cargo);
                }
                !waits
            }
            DEPART => match self.depart_step(machine, id, error, (index as u16).max(1), now) {
                Some(next) => {
                    self.agents[slot].reap.index = next as u32;
                    false
                }
                None => true,
            },
            DEPART_ELSEWHERE => match self.ask_all(machine, slot, Request::Depart { id, error }) {
                Some(all) => all,
                None => return false,
            },
            // Children go before their parent: their quotas are a part of its.
            CHILDREN if core::mem::take(&mut self.agents[slot].reap.again) => {
                let reap = &mut self.agents[slot].reap;
                (reap.phase, reap.index, reap.core) = (DEPART, 0, 0);
                return true;
            }
            CHILDREN => {
                let waits = self.agents[slot].children != 0;
                self.agents[slot].reap.parked = waits;
                !waits
            }
            REVOCATION => match self.finish_revocation(machine, slot) {
                Some(done) => done,
                None => return false,
            },
            SLOTS => self.reap_slots(machine, slot, now),
            VOID => self.void_nodes(machine, slot, index as usize),
            SWEEP => match self.sweep_void(machine, slot) {
                Some(done) => done,
                None => return false,
            },
            NODES => self.reap_nodes(machine, slot, index, now),
            // A core that looked a node up before its page was hidden is through with it when it answers.
            QUIET => match self.ask_all(machine, slot, Request::Pass) {
                Some(all) => all,
                None => return false,
            },
            NODE_PAGES_BACK => self.reap_node_pages(machine, slot),
            SPACE => self.reap_space(machine, slot),
            MAIL => restart || self.reap_mail(machine, slot, now),
            _ => {
                if restart {
                    self.reborn(machine, slot, now);
                } else {
                    self.bury(machine, slot, now);
                }
                return true;
            }
        };
        let reap = &mut self.agents[slot].reap;
        if done {
            reap.phase = phase + 1;
            reap.index = 0;
            reap.core = 0;
        }
        // A parked agent doesn't compete.
        self.undecided |= reap.parked;
        true
    }

    /// A child of this agent, which may be dying, came to live on a core where it may have been looked for already.
    pub(super) fn child_arrived(&mut self, parent: AgentId, now: u64) {
        let Some(agent) = self.agents.get_mut(parent.slot()).filter(|agent| agent.id == parent) else { return };
        let reap = &mut agent.reap;
        reap.again |= (DEPART..=CHILDREN).contains(&reap.phase);
        if reap.phase == CHILDREN {
            self.unpark(parent.slot(), now);
        }
    }

    /// Asks the other cores one after the other on behalf of a dying agent. Answers whether all have answered; `None` if there is no room now.
    fn ask_all(&mut self, machine: &mut M, slot: u16, request: Request) -> Option<bool> {
        let mut core = self.agents[slot].reap.core;
        if core as u64 == self.facts.core {
            core += 1;
        }
        if core >= machine.cores() {
            return Some(true);
        }
        if self.ask(machine, slot, core, request, Asking::Reap) != Ok(Done::Leave) {
            return None;
        }
        let reap = &mut self.agents[slot].reap;
        (reap.core, reap.parked) = (core + 1, true);
        Some(false)
    }

    /// Removes the mappings that a revocation in progress made void. `None` if there is no room in a ring now.
    fn finish_revocation(&mut self, machine: &mut M, slot: u16) -> Option<bool> {
        let Some(Work::Unmap { root, agent, slot: at, core, bits }) = self.agents[slot].work else { return Some(true) };
        if core == 0 {
            let (agent, at, core) = self.unmap_void(machine, Some(root), agent, at).map_or((1, 1, 1), |(agent, at)| (agent, at, 0));
            self.agents[slot].work = Some(Work::Unmap { root, agent, slot: at, core, bits });
            return Some(false);
        }
        let done = self.ask_all(machine, slot, Request::Sweep { root: Some(root) })?;
        if done {
            self.agents[slot].work = None;
        }
        Some(done)
    }

    fn reap_slots(&mut self, machine: &mut M, slot: u16, now: u64) -> bool {
        let end = self.agents[slot].slots.end();
        let first = self.agents[slot].reap.index as u16;
        let mut stop = end.min(first + SLOTS_PER_STEP);
        for index in first..stop {
            let mapped =
                self.agents[slot].slots.look(index).is_some_and(|held| matches!(held.kind, Kind::Frame | Kind::Device) && held.word != 0);
            self.drop_slot(machine, slot, index, now);
            if mapped || self.outbox.is_waiting() {
                // A mapping has many pages, and one capability can tell other cores of the last use of all that it was derived from.
                stop = index + 1;
                break;
            }
        }
        self.agents[slot].reap.index = stop as u32;
        if stop < end {
            return false;
        }
        let pages = self.agents[slot].slots.release(machine);
        self.agents[slot].pools[0].give(pages);
        self.ledger.objects = self.ledger.objects.wrapping_sub(pages);
        true
    }

    /// Voids what the agent derived, a page of nodes in a step, and notes whether anything is mapped by that.
    fn void_nodes(&mut self, machine: &mut M, slot: u16, page: usize) -> bool {
        let Some(number) = self.agents[slot].node_pages.get(page).and_then(|page| page.checked_sub(1)) else { return true };
        let per_page = NODES_PER_PAGE as u32;
        for node in number * per_page..(number + 1) * per_page {
            cap::annul(machine, node);
            // A node that was let go by itself has no references left.
            let held = machine.node(node).filter(|node| node.references() != 0).map(Node::root);
            self.agents[slot].reap.mapped |= held.is_some_and(|root| cap::is_mapped(machine, root));
        }
        self.agents[slot].reap.index = page as u32 + 1;
        false
    }

    /// What others hold by those nodes is void: their mappings go, on this core, then on the others; once for all of the agent's nodes. `None` if there is no
    /// room in a ring now.
    fn sweep_void(&mut self, machine: &mut M, slot: u16) -> Option<bool> {
        if !self.agents[slot].reap.mapped {
            return Some(true);
        }
        let (agent, at) = self.agents[slot].reap.scan;
        if (agent as usize) < AGENTS {
            self.agents[slot].reap.scan = self.unmap_void(machine, None, agent.max(1), at).unwrap_or((AGENTS as u16, 0));
            return Some(false);
        }
        self.ask_all(machine, slot, Request::Sweep { root: None })
    }

    /// Lets go of what the void nodes were derived from. Frames that the agent paid go back: nobody has them mapped any more.
    fn reap_nodes(&mut self, machine: &mut M, slot: u16, index: u32, now: u64) -> bool {
        let per_page = NODES_PER_PAGE as u32;
        let page = (index / per_page) as usize;
        let Some(number) = self.agents[slot].node_pages.get(page).and_then(|page| page.checked_sub(1)) else { return true };
        let node = number * per_page + index % per_page;
        let is_root = machine.node(node).is_some_and(|node| node.depth() == 0);
        // Not before: with its last reference a frame's memory goes back.
        if let Some(parent) = cap::orphan(machine, node) {
            self.release_from(machine, parent, now);
        }
        if is_root && let Some(frames) = cap::take_payload(machine, node) {
            let id = self.agents[slot].id;
            self.free_frames(machine, id, frames, now);
        }
        let next = index + 1;
        self.agents[slot].reap.index = next;
        if next.is_multiple_of(per_page) {
            machine.hide_nodes(number);
        }
        false
    }

    /// The pages of hidden nodes go back.
    fn reap_node_pages(&mut self, machine: &mut M, slot: u16) -> bool {
        let agent = &mut self.agents[slot];
        for page in &mut agent.node_pages {
            if let Some(number) = core::mem::take(page).checked_sub(1) {
                machine.remove_nodes(number);
                agent.pools[0].give(1);
                self.ledger.objects = self.ledger.objects.wrapping_sub(1);
            }
        }
        true
    }

    fn reap_space(&mut self, machine: &mut M, slot: u16) -> bool {
        machine.forget(slot);
        let agent = &mut self.agents[slot];
        let mut freed = 0;
        let mut tables = Tables::new(&mut agent.pools[0], &mut self.ledger.tables);
        let progress = agent.space.destroy_step(machine, &mut agent.reap.space, &mut tables, |machine, leaf| {
            if leaf.owner == Owner::Private {
                machine.free(leaf.pa, 1);
                freed += 1;
            }
        });
        agent.pools[0].give(freed);
        self.ledger.memory = self.ledger.memory.wrapping_sub(freed);
        if progress == Progress::More {
            return false;
        }
        agent.regions = Regions::EMPTY;
        agent.info = 0;
        true
    }

    fn reap_mail(&mut self, machine: &mut M, slot: u16, now: u64) -> bool {
        if let Some((envelope, slots, _)) = self.agents[slot].mailbox.first(machine) {
            self.agents[slot].mailbox.pop(&envelope);
            for held in slots.iter().flatten() {
                self.release_node(machine, held, now);
            }
            self.dismiss_operation(envelope.sender, envelope.message, now);
            return false;
        }
        let Some(page) = self.agents[slot].mailbox.take_page() else { return true };
        machine.free(page, 1);
        self.agents[slot].pools[0].give(1);
        self.ledger.objects = self.ledger.objects.wrapping_sub(1);
        false
    }

    /// Takes an agent out of the list of dying ones; its context has no more to do.
    fn unlist(&mut self, slot: u16, now: u64) {
        let Reap { next, previous, .. } = core::mem::take(&mut self.agents[slot].reap);
        match previous {
            0 => self.dying = next,
            _ => self.agents[previous].reap.next = next,
        }
        if next != 0 {
            self.agents[next].reap.previous = previous;
        }
        if self.context == slot {
            self.pay(now);
            (self.context, self.current) = (0, 0);
        }
        self.sched.dequeue(&mut self.agents, slot);
        self.undecided = true;
    }

    /// The agent is new again: it keeps id, pool, mailbox, name and supervisor.
    fn reborn(&mut self, machine: &mut M, slot: u16, now: u64) {
        self.unlist(slot, now);
        machine.forget(slot);
        let agent = &mut self.agents[slot];
        let [own, made @ ..] = &mut agent.pools;
        for pool in made {
            own.give(core::mem::replace(pool, Pool::NONE).quota);
        }
        agent.closed_pools = 0;
        agent.handler = Handler::default();
        agent.notifications = 0;
        agent.node_hint = 0;
        agent.debit = AgentId::KERNEL;
        agent.takes_caps = 0;
        agent.takes_bytes = 0;
        agent.state = State::New;
        let id = agent.id;
        self.unbind(machine, id);
        if self.furnish(machine, slot, 0).is_err() {
            // Its own pool can't pay for a new start: that is the end of it.
            self.condemn(slot, now);
        }
    }

    /// The agent is gone: watchers hear of it, the quota goes back, the place is free.
    fn bury(&mut self, machine: &mut M, slot: u16, now: u64) {
        self.unlist(slot, now);
        let agent = &self.agents[slot];
        let (id, watchers, parent, payer, quota) = (agent.id, agent.watchers, agent.parent, agent.payer as usize, agent.pools[0].quota);
        self.counters.gone_ns += self.sched.remove(&mut self.agents, slot);
        self.unbind(machine, id);
        machine.forget(slot);
        if let Some(page) = self.agents.0[slot as usize].take() {
            machine.release(page);
        }
        self.ledger.objects = self.ledger.objects.wrapping_sub(1);
        self.alive -= 1;
        machine.release_agent(slot);
        if parent.is_kernel() {
            self.root.give(quota);
        } else {
            self.tell(machine, Notice::Credit { to: parent, pool: payer as u8, pages: quota, child: true }, now);
        }
        for (watcher, bits) in watchers {
            if watcher.is_kernel() {
                continue;
            }
            self.tell(machine, Notice::Raise { to: watcher, bits }, now);
        }
    }
}
