//! Agent calls: spawn, start, kill, suspend, resume, restart, scheduling.

use aios_abi::call::{AgentOp, CLASS_EDF, CLASS_FAIR, SLOT_POOL, SLOT_SELF};
use aios_abi::id::AgentId;
use aios_abi::limits::{BUDGET_MIN_NS, MAILBOX_PAGES, USER_BASE, USER_END};
use aios_abi::rights::{Kind, Rights};
use aios_abi::{ABI_VERSION, Error};

use super::memory::{Tables, map_error};
use super::remote::{Asking, Place, Request};
use super::{Core, Done, Outcome};
use crate::agent::{Agent, State, Work};
use crate::cap::Slot;
use crate::machine::Machine;
use crate::pool::Pool;
use crate::sched::Params;
use crate::space::{Owner, Space};

/// Rights that an agent has over itself.
const SELF_RIGHTS: Rights = Rights(Rights::MINT.0 | Rights::GRANT.0 | Rights::DERIVE.0 | Rights::REVOKE.0 | Rights::WATCH.0);
/// Rights over a pool that its owner has.
const POOL_RIGHTS: Rights = Rights(Rights::SPEND.0 | Rights::GRANT.0 | Rights::DERIVE.0 | Rights::REVOKE.0 | Rights::READ.0);
/// Rights over an agent that its spawner has.
const CHILD_RIGHTS: Rights = Rights(
    Rights::KILL.0
        | Rights::SUSPEND.0
        | Rights::RESUME.0
        | Rights::CONTROL.0
        | Rights::SCHEDULE.0
        | Rights::WATCH.0
        | Rights::MINT.0
        | Rights::READ.0
        | Rights::GRANT.0
        | Rights::DERIVE.0
        | Rights::REVOKE.0,
);
/// Pages that an agent costs before it has anything of its own: block, root page table, info page with its two tables, slots, nodes, stackless.
pub(super) const SPAWN_PAGES: u64 = 7;

/// `SPSR_EL1` of a program at its start: EL0, nothing masked.
const PSTATE_START: u64 = 0;

impl<M: Machine> Core<M> {
    pub(super) fn agent_spawn(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let payer = self.capability(machine, me, self.arg(me, 9), Kind::Pool, Rights::SPEND, now)?;
        let (mailbox, quota) = (self.arg(me, 0), self.arg(me, 1));
        if self.arg(me, 10) != ABI_VERSION as u64 {
            return Err(Error::WrongVersion);
        }
        let (owner, pool) = self.pool_of(&payer)?;
        // The quota goes back to the pool it came from at the agent's death; the spawner has to be there then.
        if owner != me {
            return Err(Error::MissingRight);
        }
        if mailbox > MAILBOX_PAGES as u64 || quota < SPAWN_PAGES + mailbox {
            return Err(Error::BadArgument);
        }
        self.reserve_slots(machine, me, 1)?;
        let (slot, id) = self.make_agent(machine, Some((me, pool)), quota, mailbox, now)?;
        let mut capability = Slot { kind: Kind::Agent, rights: CHILD_RIGHTS, object: id.0, ..Slot::EMPTY };
        if let Err(error) = self.attach_node(machine, me, None, &mut capability) {
            self.condemn(slot, now);
            self.agents[me].work = Some(Work::Clear { victim: id });
            return Err(error);
        }
        let handle = self.place(me, capability);
        let x = &mut self.agents[me].registers.x;
        (x[0], x[1]) = (handle.0 as u64, id.0);
        Ok(Done::Return)
    }

    /// Makes an agent with everything that the kernel keeps for it, on a quota taken from a pool of its spawner (of all free memory for the first).
    pub(super) fn make_agent(
        &mut self,
        machine: &mut M,
        payer: Option<(u16, usize)>,
        quota: u64,
        mailbox: u64,
        now: u64,
    ) -> Result<(u16, AgentId), Error> {
        self.payer_pool(payer).take(quota)?;
        let Some((slot, generation)) = machine.claim_agent() else {
            self.payer_pool(payer).give(quota);
            return Err(Error::LimitReached);
        };
        let Some(page) = machine.page::<Agent<M>>() else {
            machine.release_agent(slot);
            self.payer_pool(payer).give(quota);
            return Err(Error::NoMemory);
        };
        let id = AgentId::new(slot, generation);
        self.agents.0[slot as usize] = Some(page);
        self.alive += 1;
        self.ledger.objects = self.ledger.objects.wrapping_add(1);
        let agent = &mut self.agents[slot];
        agent.id = id;
        agent.pools[0] = Pool { quota, used: 1 };
        agent.incarnation = 1;
        if let Some((parent, pool)) = payer {
            self.agents[parent].children += 1;
            let parent_id = self.agents[parent].id;
            let agent = &mut self.agents[slot];
            agent.parent = parent_id;
            agent.payer = pool as u8;
            agent.supervisor = (parent_id, 0);
        }
        // From here on the reaper gives everything back, the quota too.
        if let Err(error) = self.furnish(machine, slot, mailbox) {
            self.condemn(slot, now);
            if let Some((parent, _)) = payer {
                self.agents[parent].work = Some(Work::Clear { victim: id });
            }
            return Err(error);
        }
        Ok((slot, id))
    }

    fn payer_pool(&mut self, payer: Option<(u16, usize)>) -> &mut Pool {
        match payer {
            Some((agent, pool)) => &mut self.agents[agent].pools[pool],
            None => &mut self.root,
        }
    }

    /// Gives an agent its address space, info page, mailbox, and the capabilities to itself and its pool.
    pub(super) fn furnish(&mut self, machine: &mut M, slot: u16, mailbox: u64) -> Result<(), Error> {
        let id = self.agents[slot].id;
        self.make_space(machine, slot)?;
        for _ in 0..mailbox {
            let agent = &mut self.agents[slot];
            agent.pools[0].take(1)?;
            let Some(page) = machine.alloc(1) else {
                agent.pools[0].give(1);
                return Err(Error::NoMemory);
            };
            self.ledger.objects = self.ledger.objects.wrapping_add(1);
            self.agents[slot].mailbox.add_page(page)?;
        }
        for (index, kind, rights) in [(SLOT_SELF, Kind::Agent, SELF_RIGHTS), (SLOT_POOL, Kind::Pool, POOL_RIGHTS)] {
            let objects = &mut self.ledger.objects;
            let agent = &mut self.agents[slot];
            agent.slots.reserve_at(machine, &mut agent.pools[0], objects, index)?;
            let mut capability = Slot { kind, rights, object: id.0, ..Slot::EMPTY };
            self.attach_node(machine, slot, None, &mut capability)?;
            self.agents[slot].slots.fill(index, capability);
        }
        Ok(())
    }

    /// Gives an agent an empty address space with its info page.
    fn make_space(&mut self, machine: &mut M, slot: u16) -> Result<(), Error> {
        let mut tables = Tables::new(&mut self.agents[slot].pools[0], &mut self.ledger.tables);
        let space = Space::create(machine, slot, &mut tables).map_err(map_error)?;
        self.agents[slot].space = space;
        self.agents[slot].pools[0].take(1)?;
        let Some(page) = machine.alloc(1) else {
            self.agents[slot].pools[0].give(1);
            return Err(Error::NoMemory);
        };
        self.ledger.memory = self.ledger.memory.wrapping_add(1);
        let agent = &mut self.agents[slot];
        let mut tables = Tables::new(&mut agent.pools[0], &mut self.ledger.tables);
        if let Err(error) = agent.space.map_info(machine, page, Owner::Private, &mut tables) {
            machine.free(page, 1);
            self.ledger.memory = self.ledger.memory.wrapping_sub(1);
            agent.pools[0].give(1);
            return Err(map_error(error));
        }
        agent.info = page;
        machine.describe(page, agent.id, agent.incarnation);
        Ok(())
    }

    pub(super) fn agent_control(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let op = AgentOp::from_number(self.arg(me, 0)).ok_or(Error::BadArgument)?;
        let needed = match op {
            AgentOp::Kill => Rights::KILL,
            AgentOp::Suspend => Rights::SUSPEND,
            AgentOp::Resume => Rights::RESUME,
            AgentOp::Migrate => Rights::SCHEDULE,
            AgentOp::Start | AgentOp::Restart | AgentOp::Name | AgentOp::Supervise => Rights::CONTROL,
        };
        let capability = self.capability(machine, me, self.arg(me, 9), Kind::Agent, needed, now)?;
        let target = capability.agent();
        let place = self.locate(machine, target)?;
        if op == AgentOp::Supervise {
            let supervisor = match self.arg(me, 1) {
                0 => (AgentId::KERNEL, 0),
                handle => {
                    let service = self.capability(machine, me, handle, Kind::Service, Rights::NONE, now)?;
                    if service.agent() != self.agents[me].id {
                        return Err(Error::MissingRight);
                    }
                    (service.agent(), service.word)
                }
            };
            return match place {
                Place::Here(slot) => {
                    self.agents[slot].supervisor = supervisor;
                    Ok(Done::Return)
                }
                Place::Coming => Ok(Done::Again),
                Place::There(core) => self.ask(machine, me, core, Request::Supervise { to: target, supervisor }, Asking::Status),
            };
        }
        if op == AgentOp::Restart && target == self.agents[me].id {
            return Err(Error::BadArgument);
        }
        let arguments = [1, 2, 3, 4, 5, 6].map(|i| self.arg(me, i));
        match place {
            Place::Here(_) if op == AgentOp::Migrate && !self.can_send_agent(machine, arguments[0]) => Ok(Done::Again),
            Place::Here(slot) => {
                // The status is written first: the caller may be the one that stops, ends or moves.
                let before = self.agents[me].registers.x[8];
                self.agents[me].succeed();
                self.control(machine, slot, op, arguments, now).inspect_err(|_| self.set_arg(me, 8, before))?;
                if matches!(op, AgentOp::Kill | AgentOp::Restart) {
                    self.clear_away(me, target);
                }
                Ok(Done::Leave)
            }
            Place::Coming => Ok(Done::Again),
            Place::There(core) => self.ask(machine, me, core, Request::Control { to: target, op, arguments }, Asking::Status),
        }
    }

    /// Controls an agent of this core, on behalf of somebody who may.
    pub(super) fn control(&mut self, machine: &mut M, target: u16, op: AgentOp, arguments: [u64; 6], now: u64) -> Result<(), Error> {
        match op {
            AgentOp::Start => self.start(machine, target, arguments, now),
            AgentOp::Kill => {
                self.condemn(target, now);
                Ok(())
            }
            AgentOp::Suspend => {
                self.agents[target].suspended = true;
                self.undecided = true;
                // Whoever works for it goes on without its help.
                if let Some(peer) = self.agents[target].state.peer().and_then(|peer| self.agents.find(peer)) {
                    self.wake(peer, now);
                }
                Ok(())
            }
            AgentOp::Resume => self.unsuspend(target, now),
            AgentOp::Restart => self.restart(target, now),
            AgentOp::Migrate => self.migrate(machine, target, arguments[0], now),
            AgentOp::Name => {
                self.agents[target].name = [arguments[0], arguments[1]];
                Ok(())
            }
            AgentOp::Supervise => Err(Error::BadArgument),
        }
    }

    fn start(&mut self, machine: &mut M, target: u16, arguments: [u64; 6], now: u64) -> Result<(), Error> {
        let [entry, sp, first @ ..] = arguments;
        if self.agents[target].state != State::New || self.agents[target].reap.phase != 0 {
            return Err(Error::WrongState);
        }
        if !(USER_BASE..USER_END).contains(&entry) || sp > USER_END || !entry.is_multiple_of(4) || !sp.is_multiple_of(16) {
            return Err(Error::BadAddress);
        }
        self.begin(machine, target, entry, sp, first, now);
        Ok(())
    }

    /// Lets a new agent run from `entry`.
    pub(super) fn begin(&mut self, machine: &mut M, target: u16, entry: u64, sp: u64, arguments: [u64; 4], now: u64) {
        machine.forget(target);
        let agent = &mut self.agents[target];
        agent.registers.x = [0; 31];
        agent.registers.x[..4].copy_from_slice(&arguments);
        agent.registers.sp = sp;
        agent.registers.pc = entry;
        agent.registers.pstate = PSTATE_START;
        agent.registers.tls = 0;
        agent.state = State::Ready;
        self.wake(target, now);
    }

    fn unsuspend(&mut self, target: u16, now: u64) -> Result<(), Error> {
        let agent = &mut self.agents[target];
        if !core::mem::take(&mut agent.suspended) {
            return Err(Error::WrongState);
        }
        if agent.state == State::Receiving {
            // What came meanwhile is waiting: the receive is done again from its start.
            agent.registers.pc -= 4;
            self.resume(target, now);
        } else {
            self.wake(target, now);
            self.undecided = true;
        }
        Ok(())
    }

    pub(super) fn sched_set(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let capability = self.capability(machine, me, self.arg(me, 9), Kind::Agent, Rights::SCHEDULE, now)?;
        let params = match self.arg(me, 0) {
            CLASS_FAIR => Params::fair(self.arg(me, 1)),
            CLASS_EDF if self.arg(me, 1) >= BUDGET_MIN_NS => Params::edf(self.arg(me, 1), self.arg(me, 2)),
            _ => None,
        };
        let params = params.ok_or(Error::BadArgument)?;
        let to = capability.agent();
        match self.locate(machine, to)? {
            Place::Here(target) => self.schedule(target, params, now).map(|()| Done::Return),
            Place::Coming => Ok(Done::Again),
            Place::There(core) => self.ask(machine, me, core, Request::Schedule { to, params }, Asking::Status),
        }
    }

    /// Gives an agent of this core other scheduling parameters.
    pub(super) fn schedule(&mut self, target: u16, params: Params, now: u64) -> Result<(), Error> {
        self.pay(now);
        self.sched.set(&mut self.agents, target, params, now).map_err(|_| Error::NotAdmitted)?;
        self.undecided = true;
        Ok(())
    }
}
