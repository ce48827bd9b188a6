//! Agents that do what is counted: each with its own address space, the code of all roles, and a job.

use aios_abi::call::Transfer;
use aios_abi::limits::PAGE_SIZE;
use aios_abi::message::FaultCause;
use aios_abi::rights::Rights;
use aios_abi::{ABI_VERSION, AgentId};
use aios_bench::{DEPTH, WARM_UP};
use aios_rt::agent::{self, Class};
use aios_rt::fault::{self, Answer};
use aios_rt::ipc::{self, Received, Room};
use aios_rt::memory::{Access, allocate_frame, map, map_into, unmap};
use aios_rt::slot::{Agent, Capability, Frame, Pool, Service};
use aios_rt::time::{Deadline, Expiry, now};
use aios_rt::{Result, cap};

use super::pause;
use super::roles::{self, Role};

/// Where agents have the code of the roles.
pub const CODE: u64 = 0x40_0000;
/// Where all, this program too, have what they share.
pub const SHARED: u64 = 0x5000_0000;
/// Where agents have their buffer.
pub const BUFFER: u64 = 0x5100_0000;
/// Where this program fills frames.
const DESK: u64 = 0x5200_0000;
/// Bytes of the shared frame for each job.
const JOB_SPACE: usize = 512;
/// A word behind the jobs that agents write.
pub const SHARED_WORD: u64 = SHARED + 0xc00;
/// Pages of a buffer: the longest message.
pub const BUFFER_PAGES: u64 = 16;

/// Mailbox and all pages of an agent.
const MAILBOX: u64 = 1;
const QUOTA: u64 = 128;

/// Long enough for all rounds of a row, ns.
const LIMIT_NS: u64 = 60_000_000_000;
/// Until whoever is at the start of its work has come to wait, ns.
const SETTLE_NS: u64 = 2_000_000;
/// Until what was ended is cleared away, ns.
const CLEAR_NS: u64 = 20_000_000;
/// When derived capabilities end, ns from now; each step a little earlier.
const EXPIRY_NS: u64 = 3_600_000_000_000;

/// What an agent is told, and what it says; `roles.s` knows the layout.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct Job {
    /// The slot that it uses.
    pub slot: u64,
    /// The information word of its messages.
    pub info: u64,
    /// How often.
    pub rounds: u64,
    /// Where its random numbers begin.
    pub seed: u64,
    /// Whom its messages must come from.
    pub peer: u64,
    /// The badge that they must have.
    pub badge: u64,
    /// An address.
    pub buffer: u64,
    /// Words in the buffer, or another slot or address.
    pub more: u64,
    pub(super) reserved: [u64; 2],
    /// Times at the ends of windows minus times at their beginnings.
    pub(super) sum: u64,
    /// What was wrong.
    pub(super) wrong: u64,
    pub(super) words: [u64; 8],
}

/// What came of a row.
#[derive(Clone, Copy, Default)]
pub struct Sum {
    /// What was wrong.
    pub wrong: u64,
    /// Ticks in all windows.
    pub ticks: u64,
}

/// An agent for a row.
#[derive(Clone, Copy)]
pub struct Player {
    /// To control it.
    pub agent: Agent,
    /// Who it is.
    pub id: AgentId,
    place: usize,
}

/// What the agents of a row have in common.
pub struct Stage {
    /// Code of all roles.
    pub code: Frame,
    shared: Frame,
    /// Rounds, those that warm up included.
    pub rounds: u64,
    /// Where random numbers begin.
    pub seed: u64,
}

impl Stage {
    /// Makes the frames.
    pub fn new(rounds: u64) -> Result<Self> {
        let code = filled(roles::code())?;
        let shared = allocate_frame(Pool::OWN, 1)?.frame;
        map(shared, SHARED, Access::ReadWrite)?;
        Ok(Self { code, shared, rounds: rounds + WARM_UP, seed: now() })
    }

    /// An agent that is not started yet, with one of the places for jobs.
    pub fn player(&self, place: usize, buffer_pages: u64) -> Result<Player> {
        let spawned = agent::spawn(Pool::OWN, MAILBOX, QUOTA, ABI_VERSION)?;
        map_into(spawned.agent, self.code, CODE, Access::ReadExecute)?;
        map_into(spawned.agent, self.shared, SHARED, Access::ReadWrite)?;
        if buffer_pages > 0 {
            let buffer = allocate_frame(Pool::OWN, buffer_pages)?.frame;
            map_into(spawned.agent, buffer, BUFFER, Access::ReadWrite)?;
            cap::drop(buffer)?;
        }
        Ok(Player { agent: spawned.agent, id: spawned.id, place })
    }

    /// Starts it.
    pub fn start(&self, player: &Player, role: Role, job: Job) -> Result<()> {
        let job = Job { rounds: if job.rounds == 0 { self.rounds } else { job.rounds }, seed: self.seed, ..job };
        // SAFETY: within the shared frame, which is mapped; the agent does not run yet.
        unsafe { self.job(player).write_volatile(job) };
        player.agent.start(role.entry(), 0, [SHARED + (player.place * JOB_SPACE) as u64, 0, 0, 0])?;
        pause(SETTLE_NS);
        Ok(())
    }

    fn job(&self, player: &Player) -> *mut Job {
        const { assert!(size_of::<Job>() <= JOB_SPACE) };
        core::ptr::with_exposed_provenance_mut(SHARED as usize + player.place * JOB_SPACE)
    }

    /// Waits until the first one that is no server ends, and ends all others.
    pub fn finish(self, players: &[Player]) -> Result<Sum> {
        let mut sum = Sum::default();
        if let [runner, ..] = players {
            sum.wrong += wait_for(runner.id)?;
        }
        for player in players {
            // SAFETY: as in `start`; it has ended or waits.
            let job = unsafe { self.job(player).read_volatile() };
            sum.wrong += job.wrong;
            sum.ticks = sum.ticks.wrapping_add(job.sum);
            // Whoever has ended already is gone as well.
            let _ = player.agent.kill();
            let _ = cap::drop(player.agent);
        }
        // SAFETY: nothing holds a reference to it.
        unsafe { unmap(self.shared) }?;
        cap::drop(self.shared)?;
        cap::drop(self.code)?;
        pause(CLEAR_NS);
        Ok(sum)
    }
}

/// Waits for the end of an agent; its status is what was wrong.
fn wait_for(whom: AgentId) -> Result<u64> {
    let until = Deadline::after(LIMIT_NS);
    let mut wrong = 0;
    loop {
        let Received::Fault(fault, message, _) = ipc::receive(Room::none(), until)? else { continue };
        fault::reply(message, Answer::Kill)?;
        let exited = fault.cause == FaultCause::Exit as u16;
        // The status of one that ended as it should is in its job.
        wrong += if exited { 0 } else { 1 << 20 | u64::from(fault.cause) };
        if fault.agent == whom.0 || !exited {
            return Ok(wrong);
        }
    }
}

/// A frame with these bytes.
pub fn filled(bytes: &[u8]) -> Result<Frame> {
    let frame = allocate_frame(Pool::OWN, bytes.len().div_ceil(PAGE_SIZE) as u64)?.frame;
    map(frame, DESK, Access::ReadWrite)?;
    let desk: *mut u8 = core::ptr::with_exposed_provenance_mut(DESK as usize);
    // SAFETY: the pages were just mapped there, writable, and nothing else is.
    unsafe { desk.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    // SAFETY: nothing refers to it.
    unsafe { unmap(frame) }?;
    Ok(frame)
}

/// Derives as deep as all capabilities that are used here, each step with fewer rights or an earlier end.
pub fn derived<C: Capability>(source: C, rights: Rights) -> Result<C> {
    let mut last = source;
    for step in 0..DEPTH {
        let end = Expiry(now() + EXPIRY_NS - u64::from(step) * 1_000_000_000);
        let keep = if step + 1 < DEPTH { rights.or(Rights::DERIVE) } else { rights };
        last = cap::derive(last, keep.or(Rights::GRANT), end)?;
    }
    Ok(last)
}

/// Gives an agent a derived capability; answers its slot there.
pub fn give(to: &Player, what: impl Capability, rights: Rights) -> Result<u64> {
    let slot = cap::grant(to.agent, derived(what, rights)?, rights, Expiry::NONE, Transfer::Move, None)?;
    Ok(slot.0.into())
}

/// Gives an agent a way to call another one.
pub fn introduce(to: &Player, server: &Player, badge: u64) -> Result<u64> {
    let rights = Rights::SEND.or(Rights::GRANT).or(Rights::DERIVE);
    let service: Service = cap::mint_service(server.agent, badge, rights, Expiry::NONE)?;
    let slot = give(to, service, Rights::SEND)?;
    Ok(slot)
}

/// Has an agent come before all that are in the fair class.
pub fn hurry(player: &Player) -> Result<()> {
    player.agent.schedule(Class::Edf { budget_ns: 5_000_000, period_ns: 10_000_000 })
}
