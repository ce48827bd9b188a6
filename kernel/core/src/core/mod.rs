//! Events in, decisions out: one value that owns all agents of one processor core.
//!
//! The edge saves the registers of the interrupted agent into its block, calls one of [`Core::syscall`], [`Core::fault`], [`Core::interrupt`]
//! or [`Core::tick`] with the time read once at entry, and then asks [`Core::next`] whom to run. Every call has two halves: *decode*, which may
//! fail and changes nothing, and *apply*, which can't fail for the user's reasons.
//!
//! **Lending.** What the scheduler orders are scheduling *contexts*, one per agent. An agent that waits for a reply leaves its context where it is:
//! the context then runs whoever stands at the end of the chain of calls. So a call and its reply touch no queue, a server's work is charged to
//! the agent that asked, and an urgent caller makes the server urgent. A server that can run without anybody's help (after a timeout, a notification,
//! the death of its caller) runs in its own context.

mod agents;
mod boot;
mod caps;
mod check;
mod expiry;
mod fault;
mod inspect;
mod ipc;
mod irq;
mod mail;
mod memory;
mod observe;
mod pools;
mod pqc;
mod quick;
mod reap;
mod remote;
mod run;
mod table;
mod token;
mod trace;
mod transfer;

use aios_abi::id::SlotHandle;
use aios_abi::limits::{CORES, IRQS};
use aios_abi::rights::{Kind, Rights};
use aios_abi::{Call, Error};

pub use boot::{InitImage, InitSegment};
pub use check::Violation;
pub use fault::Exception;
pub use irq::Binding;
pub use observe::{Inside, Pending};
pub use pools::ChildPool;
pub use quick::Quick;
pub use remote::{ANSWER_WORDS, Asking, Cargo, Notice, OUTSTANDING, Packet, Parcel, RING, Registration, Request, Status};
pub use table::Agents;
pub use token::KEY_SIZE;

use expiry::Overdue;
use remote::{JOBS, Job, Outbox};

use crate::cap::Slot;
use crate::machine::Machine;
use crate::pool::{Ledger, Pool};
use crate::sched::Recorder;
use crate::timers::Timers;

/// Timer of an agent: the deadline of its blocking call.
const TIMER_WAIT: u8 = 0;
/// Timer of an agent: what it asked for with `TimerSet`.
const TIMER_USER: u8 = 1;
/// Timer of an agent: the next deadline of its PQC operations.
const TIMER_PQC: u8 = 2;
/// Timer of an agent: the first expiry of what it has mapped.
const TIMER_EXPIRY: u8 = 3;

/// Timers that one tick serves at most. The rest follow in the next ones, which come before anybody runs.
const TIMERS_PER_TICK: usize = 64;

/// How a call ended that did not fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Done {
    /// The caller goes on; its status is "done".
    Return,
    /// The caller's registers are right already, or will be when what it waits for comes.
    Leave,
    /// There is no room in a ring to another core: the call starts over later.
    Again,
    /// An interrupt waits: the call starts over right after it, and goes on where it was.
    Resume,
}

type Outcome = Result<Done, Error>;

/// Whom to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Next {
    /// This agent.
    Run(u16),
    /// Nobody: wait for an interrupt.
    Idle,
    /// An interrupt waits: take it, then ask again.
    Interrupted,
    /// The first agent is gone; there is nothing left to do.
    Halt,
}

/// Counters for people.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct CoreCounters {
    /// Switches from one agent to another.
    pub switches: u64,
    /// Calls served.
    pub calls: u64,
    /// Interrupts taken.
    pub interrupts: u64,
    /// Time without anything to run, ns.
    pub idle_ns: u64,
    /// Time charged to agents that are gone, ns.
    pub gone_ns: u64,
    /// Time that the kernel spent on what other cores sent, ns.
    pub kernel_ns: u64,
}

/// Facts about this core and machine that only people want to know.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Facts {
    /// Number of this core.
    pub core: u64,
    /// `MPIDR_EL1`.
    pub mpidr: u64,
    /// `MIDR_EL1`.
    pub midr: u64,
    /// When this core came up, ns.
    pub up_ns: u64,
    /// Pages of RAM in the machine.
    pub total: u64,
    /// Pages that firmware and device tree keep.
    pub reserved: u64,
    /// Pages of kernel image and stage0.
    pub kernel: u64,
    /// Pages of boot bundle and device tree.
    pub bundle: u64,
    /// Pages of the kernel's own tables and per-core memory.
    pub kernel_tables: u64,
    /// Pages that are not RAM: the largest physical page number plus one that an agent may map as device memory.
    pub device_pages: u64,
}

/// The state of one processor core.
pub struct Core<M: Machine> {
    /// Its agents.
    pub agents: Agents<M>,
    /// Facts for people.
    pub facts: Facts,
    /// Counters for people.
    pub counters: CoreCounters,
    sched: Recorder,
    timers: Timers,
    /// Agent that runs; 0 is none.
    current: u16,
    /// Context that pays for it; 0 is none.
    context: u16,
    /// Time up to which somebody paid.
    paid_ns: u64,
    /// When to decide again at the latest.
    until_ns: u64,
    /// The decision who runs is out of date.
    undecided: bool,
    /// The time at which the hardware timer goes off.
    timer_ns: u64,
    /// The timers changed since then.
    timer_stale: bool,
    /// Last message counter.
    messages: u64,
    /// First of the agents that are being cleared away; 0 is none.
    dying: u16,
    /// The first agent is dying: there is nothing left to do.
    over: bool,
    /// Agents alive.
    alive: u64,
    bindings: [Binding; IRQS],
    /// Who takes PQC operations, on every core the same.
    pqc_server: Registration,
    ledger: Ledger,
    /// The pool from which init's quota came: all free memory at boot.
    root: Pool,
    key: Option<[u8; KEY_SIZE]>,
    /// Requests under way, by core.
    outstanding: [u16; CORES],
    outbox: Outbox,
    /// A request that was taken, and waits for the answers that were sent before it.
    held: Option<Packet>,
    /// When to go on taking packets, if more waited than one turn takes.
    packets_ns: u64,
    /// Long work for other cores.
    jobs: [Option<Job>; JOBS],
    /// There are jobs, or mappings to be taken away.
    jobs_waiting: bool,
    /// Steps that were made of them in this turn.
    job_steps: u16,
    /// When their next turn begins, if this one is over, ns.
    jobs_ns: u64,
    /// The time since the last charge went into them.
    absolving: bool,
    overdue: Overdue,
    ring_messages: u64,
    /// Who records the scheduler, and where.
    recording: Option<trace::Recording>,
}

impl<M: Machine> Core<M> {
    /// A core without agents.
    pub const EMPTY: Self = Self {
        agents: Agents::EMPTY,
        facts: Facts {
            core: 0,
            mpidr: 0,
            midr: 0,
            up_ns: 0,
            total: 0,
            reserved: 0,
            kernel: 0,
            bundle: 0,
            kernel_tables: 0,
            device_pages: 0,
        },
        counters: CoreCounters { switches: 0, calls: 0, interrupts: 0, idle_ns: 0, gone_ns: 0, kernel_ns: 0 },
        sched: Recorder::EMPTY,
        timers: Timers::EMPTY,
        current: 0,
        context: 0,
        paid_ns: 0,
        until_ns: 0,
        undecided: true,
        timer_ns: u64::MAX,
        timer_stale: true,
        messages: 0,
        dying: 0,
        over: false,
        alive: 0,
        bindings: [const { Binding::FREE }; IRQS],
        pqc_server: Registration::NONE,
        ledger: Ledger { objects: 0, tables: 0, frames: 0, memory: 0 },
        root: Pool::NONE,
        key: None,
        outstanding: [0; CORES],
        outbox: Outbox::EMPTY,
        held: None,
        packets_ns: u64::MAX,
        jobs: [None; JOBS],
        jobs_waiting: false,
        job_steps: 0,
        jobs_ns: u64::MAX,
        absolving: false,
        overdue: Overdue::NONE,
        ring_messages: 0,
        recording: None,
    };

    /// The agent that runs; 0 is none.
    pub fn current(&self) -> u16 {
        self.current
    }

    /// Serves the call of the current agent.
    pub fn syscall(&mut self, machine: &mut M, now: u64) {
        let me = self.current;
        self.counters.calls += 1;
        self.make_call(machine, me, now);
    }

    /// The call that an agent's registers name.
    #[inline]
    pub(super) fn make_call(&mut self, machine: &mut M, me: u16, now: u64) {
        let outcome = match Call::from_number(self.agents[me].registers.x[8]) {
            None => Err(Error::UnknownCall),
            Some(call) => self.serve(machine, me, call, now),
        };
        match outcome {
            Ok(Done::Return) => self.agents[me].succeed(),
            Ok(Done::Leave) => {}
            Ok(Done::Resume) => self.agents[me].registers.pc -= 4,
            Ok(Done::Again) => {
                self.agents[me].registers.pc -= 4;
                self.sched_yield(now);
            }
            Err(error) => self.agents[me].fail(error),
        }
    }

    fn serve(&mut self, machine: &mut M, me: u16, call: Call, now: u64) -> Outcome {
        match call {
            Call::IpcCall => self.ipc_call(machine, me, now),
            Call::IpcReplyRecv => self.ipc_reply_recv(machine, me, now),
            Call::IpcRecv => self.ipc_recv(machine, me, now),
            Call::IpcReply => self.ipc_reply(machine, me, now),
            Call::IpcSend => self.ipc_send(machine, me, now),
            Call::Notify => self.notify(machine, me, now),
            Call::Yield => self.yield_now(me, now),
            Call::Exit => self.exit(machine, me, now),
            Call::TimerSet => self.timer_set(me),
            Call::TimeNow => self.time_now(me, now),
            Call::AgentSpawn => self.agent_spawn(machine, me, now),
            Call::AgentControl => self.agent_control(machine, me, now),
            Call::SchedSet => self.sched_set(machine, me, now),
            Call::Watch => self.watch(machine, me, now),
            Call::FaultHandlerSet => self.fault_handler_set(me),
            Call::FaultReply => self.fault_reply(machine, me, now),
            Call::FrameAlloc => self.frame_alloc(machine, me, now),
            Call::PageMap => self.page_map(machine, me, now),
            Call::PageUnmap => self.page_unmap(machine, me),
            Call::AgentPoolAlloc => self.pool_alloc(machine, me, now),
            Call::AgentMemAlloc => self.mem_alloc(me),
            Call::AgentMemFree => self.mem_free(me),
            Call::CapMint => self.cap_mint(machine, me, now),
            Call::CapDerive => self.cap_derive(machine, me, now),
            Call::CapGrant => self.cap_grant(machine, me, now),
            Call::CapDrop => self.cap_drop(machine, me, now),
            Call::CapRevoke => self.cap_revoke(machine, me, now),
            Call::CapExport => self.cap_export(machine, me, now),
            Call::CapAdmit => self.cap_admit(machine, me, now),
            Call::CapCheck => self.cap_check(machine, me, now),
            Call::IrqBind => self.irq_bind(machine, me, now),
            Call::IrqAck => self.irq_ack(machine, me, now),
            Call::ServiceRegister => self.service_register(machine, me, now),
            Call::PqcOperation => self.pqc_operation(machine, me, now),
            Call::PqcPoll => self.pqc_poll(me),
            Call::PqcCancel => self.pqc_cancel(me),
            Call::Inspect => self.inspect(machine, me, now),
            Call::PowerControl => self.power_control(machine, me, now),
            Call::SeedSet => self.seed_set(machine, me, now),
            Call::ConsoleWrite => self.console_write(machine, me, now),
            Call::TraceBind => self.trace_bind(machine, me, now),
        }
    }

    /// The timer went off.
    pub fn tick(&mut self, machine: &mut M, now: u64) {
        self.counters.interrupts += 1;
        self.timer_ns = u64::MAX;
        self.timer_stale = true;
        for _ in 0..TIMERS_PER_TICK {
            let Some((slot, kind)) = self.timers.expire(&mut self.agents, now) else { break };
            match kind {
                TIMER_WAIT => self.end_wait(slot, Error::Timeout, now),
                TIMER_USER => {
                    let bits = self.agents[slot].timer_bits;
                    self.raise(slot, bits, now);
                }
                TIMER_EXPIRY => self.expire(slot),
                _ => self.pqc_expire(slot, now),
            }
        }
        let _ = machine;
        self.sched.replenish(&mut self.agents, now);
        self.undecided = true;
    }

    /// Looks up, checks and copies a capability of `me`.
    #[inline]
    fn capability(&mut self, machine: &M, me: u16, handle: u64, kind: Kind, rights: Rights, now: u64) -> Result<Slot, Error> {
        let handle = SlotHandle(u32::try_from(handle).map_err(|_| Error::NoCapability)?);
        let slot = self.agents[me].slots.get(handle)?;
        if slot.kind != kind {
            return Err(Error::WrongKind);
        }
        slot.validate(machine, now)?;
        if !slot.rights.contains(rights) {
            return Err(Error::MissingRight);
        }
        Ok(*slot)
    }

    /// Argument `x[i]` of the current call.
    #[inline]
    fn arg(&self, me: u16, i: usize) -> u64 {
        self.agents[me].registers.x[i]
    }

    fn set_arg(&mut self, me: u16, i: usize, value: u64) {
        self.agents[me].registers.x[i] = value;
    }

    fn yield_now(&mut self, me: u16, now: u64) -> Outcome {
        self.agents[me].succeed();
        self.sched_yield(now);
        Ok(Done::Leave)
    }

    /// The running context goes behind its equals.
    fn sched_yield(&mut self, now: u64) {
        if self.context == 0 {
            return;
        }
        self.pay(now);
        self.sched.yield_now(&mut self.agents, self.context, now);
        self.undecided = true;
    }

    fn time_now(&mut self, me: u16, now: u64) -> Outcome {
        self.set_arg(me, 0, now);
        Ok(Done::Return)
    }

    fn timer_set(&mut self, me: u16) -> Outcome {
        let (at, bits) = (self.arg(me, 0), self.arg(me, 1));
        self.agents[me].timer_bits = bits;
        self.set_agent_timer(me, TIMER_USER, at);
        Ok(Done::Return)
    }

    fn power_control(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let handle = self.arg(me, 9);
        self.capability(machine, me, handle, Kind::Power, Rights::WRITE, now)?;
        let reset = match self.arg(me, 0) {
            0 => false,
            1 => true,
            _ => return Err(Error::BadArgument),
        };
        machine.power(reset);
        Err(Error::Firmware)
    }

    fn console_write(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let handle = self.arg(me, 9);
        self.capability(machine, me, handle, Kind::Console, Rights::WRITE, now)?;
        let length = self.arg(me, 10) as usize;
        if length > 64 {
            return Err(Error::BadArgument);
        }
        let mut bytes = [0; 64];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(&self.agents[me].registers.x) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        machine.console(&bytes[..length]);
        Ok(Done::Return)
    }
}
