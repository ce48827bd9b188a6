//! The end of agents: kill, restart, and the clearing away, in bounded steps.
//!
//! A condemned agent never runs again from that moment: it leaves the scheduler at once. What it has is taken back by [`Core::reap_step`]s, in phases,
//! each resumable at any index. A restart runs the same phases but keeps block, id, pool, mailbox and place in the family.

use aios_abi::Error;
use aios_abi::id::AgentId;
use aios_abi::limits::{AGENTS, NODE_PAGES, NODES_PER_PAGE, PQC_OPERATIONS};

use super::memory::Tables;
use super::remote::{Asking, Notice, Request};
use super::{Core, Done};
use crate::agent::{Handler, Operation, Reap, State, Work};
use crate::cap::{self, Node};
use crate::machine::Machine;
use crate::pool::Pool;
use crate::space::{Owner, Progress, Regions};
use crate::timers::KINDS;

/// Slots dropped in one step.
const SLOTS_PER_STEP: u16 = 16;

const ANSWER: u8 = 1;
const DEPART: u8 = 2;
const DEPART_ELSEWHERE: u8 = 3;
const CHILDREN: u8 = 4;
const REVOCATION: u8 = 5;
const SLOTS: u8 = 6;
const NODES: u8 = 7;
const QUIET: u8 = 8;
const NODE_PAGES_BACK: u8 = 9;
const SPACE: u8 = 10;
const MAIL: u8 = 11;

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
        if restarting {
            // From the start again: while the restart waited for other cores, others may have called it.
            let Reap { next, space, .. } = agent.reap;
            agent.reap = Reap { next, space, phase: ANSWER, ..Reap::default() };
        } else {
            self.enlist(slot, false);
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
        agent.state = State::New;
    }

    /// Puts an agent in front of those that wait to be cleared away: children go before their parent, whose quota theirs is a part of.
    fn enlist(&mut self, slot: u16, restart: bool) {
        self.agents[slot].reap = Reap { next: self.dying, phase: ANSWER, restart, ..Reap::default() };
        self.dying = slot;
    }

    /// `AgentControl` Restart: the same phases, and then the agent is new again.
    pub(super) fn restart(&mut self, target: u16, now: u64) -> Result<(), Error> {
        if self.agents[target].reap.phase != 0 {
            return Err(Error::Busy);
        }
        self.stop(target, now);
        self.agents[target].suspended = false;
        self.agents[target].incarnation = self.agents[target].incarnation.wrapping_add(1).max(1);
        self.enlist(target, true);
        Ok(())
    }

    /// The first dying agent for which something can be done now; 0 if there is none.
    pub(super) fn reapable(&self) -> u16 {
        let mut slot = self.dying;
        while slot != 0 && self.agents[slot].reap.parked {
            slot = self.agents[slot].reap.next;
        }
        slot
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
            DEPART => match self.depart_step(id, error, (index as u16).max(1), now) {
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
            NODES => match self.reap_nodes(machine, slot, index, now) {
                Some(done) => done,
                None => return false,
            },
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
        true
    }

    /// A child of this agent, which may be dying, came to live on a core where it may have been looked for already.
    pub(super) fn child_arrived(&mut self, parent: AgentId) {
        let Some(agent) = self.agents.get_mut(parent.slot()).filter(|agent| agent.id == parent) else { return };
        let reap = &mut agent.reap;
        reap.again |= (DEPART..=CHILDREN).contains(&reap.phase);
        reap.parked &= reap.phase != CHILDREN;
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
            let (agent, at, core) = self.unmap_void(machine, root, agent, at, false).map_or((1, 1, 1), |(agent, at)| (agent, at, 0));
            self.agents[slot].work = Some(Work::Unmap { root, agent, slot: at, core, bits });
            return Some(false);
        }
        let done = self.ask_all(machine, slot, Request::Sweep { root, whole: false })?;
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
            self.drop_slot(machine, slot, index, now);
            if self.outbox.is_waiting() {
                // One capability can tell other cores of the last use of all that it was derived from.
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

    /// Voids what the agent derived. Frames that it paid go back once nobody has them mapped. `None` if there is no room in a ring now.
    fn reap_nodes(&mut self, machine: &mut M, slot: u16, index: u32, now: u64) -> Option<bool> {
        let per_page = NODES_PER_PAGE as u32;
        let page = (index / per_page) as usize;
        if page >= NODE_PAGES {
            return Some(true);
        }
        let Some(number) = self.agents[slot].node_pages[page].checked_sub(1) else {
            self.agents[slot].reap.index = NODE_PAGES as u32 * per_page;
            return Some(false);
        };
        let node = number * per_page + index % per_page;
        let is_root = machine.node(node).is_some_and(|node| node.depth() == 0);
        cap::annul(machine, node);
        // What others hold by this node is void now: their mappings go first, on this core, then on the others. A node that was let go by itself has no
        // references left.
        let held = machine.node(node).filter(|node| node.references() != 0).map(Node::root);
        if let Some(root) = held.filter(|&root| Self::is_mapped(machine, root)) {
            let (agent, at) = self.agents[slot].reap.scan;
            if (agent as usize) < AGENTS {
                self.agents[slot].reap.scan = self.unmap_void(machine, root, agent.max(1), at, is_root).unwrap_or((AGENTS as u16, 0));
                return Some(false);
            }
            if !self.ask_all(machine, slot, Request::Sweep { root, whole: is_root })? {
                return Some(false);
            }
        }
        self.agents[slot].reap.scan = (0, 0);
        self.agents[slot].reap.core = 0;
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
        Some(false)
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

    /// Takes an agent out of the list of dying ones.
    fn unlist(&mut self, slot: u16) {
        let next = core::mem::take(&mut self.agents[slot].reap).next;
        if self.dying == slot {
            self.dying = next;
            return;
        }
        let mut at = self.dying;
        while at != 0 {
            let reap = &mut self.agents[at].reap;
            if reap.next == slot {
                reap.next = next;
                return;
            }
            at = reap.next;
        }
    }

    /// The agent is new again: it keeps id, pool, mailbox, name and supervisor.
    fn reborn(&mut self, machine: &mut M, slot: u16, now: u64) {
        self.unlist(slot);
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
        self.unlist(slot);
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
