//! The program itself, and agents that it controls.

use aios_abi::call::{AgentOp, CLASS_EDF, CLASS_FAIR};
use aios_abi::{AgentId, Call};

use crate::Result;
use crate::slot::{Agent, Capability, Pool, Service, handle};
use crate::sys::{Regs, syscall};

/// Longest text that goes with a panic, bytes.
pub const PANIC_TEXT: usize = 256;

/// Lets others run.
#[inline]
pub fn yield_now() {
    // The call has no way to fail, and there would be nothing to do about it.
    let _ = syscall(Call::Yield, &mut Regs::default());
}

/// Ends the program.
pub fn exit(status: u64) -> ! {
    let _ = syscall(Call::Exit, &mut Regs::default().with([status]));
    gone(status)
}

/// Ends the program and hands its supervisor a text that says why; of a longer one than [`PANIC_TEXT`] the start.
pub fn exit_panic(status: u64, text: &[u8]) -> ! {
    let length = text.len().min(PANIC_TEXT) as u64;
    let address = text.as_ptr().expose_provenance() as u64;
    let _ = syscall(Call::Exit, &mut Regs::default().with([status, 1, address, length]));
    // A text that the kernel can't read must not keep the program alive.
    exit(status)
}

#[cfg(target_os = "none")]
fn gone(_: u64) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

#[cfg(not(target_os = "none"))]
fn gone(status: u64) -> ! {
    std::panic!("the program ended with status {status}")
}

/// A new agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spawned {
    /// The capability to it.
    pub agent: Agent,
    /// Its id.
    pub id: AgentId,
}

/// Makes an agent, not started, with the caller as its supervisor. `pool` pays for it: `mailbox_pages` for its mailbox and `quota_pages` of its own.
/// `abi_version` is the version that the image for it was built for; the kernel refuses another than its own.
pub fn spawn(pool: Pool, mailbox_pages: u64, quota_pages: u64, abi_version: u32) -> Result<Spawned> {
    let mut regs = Regs { x10: abi_version as u64, ..Regs::at(pool.word()).with([mailbox_pages, quota_pages]) };
    syscall(Call::AgentSpawn, &mut regs)?;
    Ok(Spawned { agent: Agent(handle(regs.x[0])), id: AgentId(regs.x[1]) })
}

/// How an agent gets its share of a core.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// A share in proportion to the weight.
    Fair {
        /// 1 to [`WEIGHT_MAX`](aios_abi::limits::WEIGHT_MAX).
        weight: u32,
    },
    /// A reservation: the budget in every period, earliest deadline first.
    Edf {
        /// Time in each period, ns.
        budget_ns: u64,
        /// Period and relative deadline, ns.
        period_ns: u64,
    },
}

impl Agent {
    #[inline(always)]
    fn control<const N: usize>(self, operation: AgentOp, arguments: [u64; N]) -> Result<()> {
        let mut regs = Regs::at(self.word());
        regs.x[0] = operation as u64;
        regs.x[1..=N].copy_from_slice(&arguments);
        syscall(Call::AgentControl, &mut regs)
    }

    /// Starts it at `entry` with this stack pointer; the arguments become its `x0`–`x3`.
    pub fn start(self, entry: u64, stack: u64, [x0, x1, x2, x3]: [u64; 4]) -> Result<()> {
        self.control(AgentOp::Start, [entry, stack, x0, x1, x2, x3])
    }

    /// Ends it and all that it spawned, for ever.
    pub fn kill(self) -> Result<()> {
        self.control(AgentOp::Kill, [])
    }

    /// Stops it until [`resume`](Self::resume).
    pub fn suspend(self) -> Result<()> {
        self.control(AgentOp::Suspend, [])
    }

    /// Lets it go on.
    pub fn resume(self) -> Result<()> {
        self.control(AgentOp::Resume, [])
    }

    /// Empties it and leaves it not started; it keeps id, mailbox and pool.
    pub fn restart(self) -> Result<()> {
        self.control(AgentOp::Restart, [])
    }

    /// Moves it to another core.
    pub fn migrate(self, core: u64) -> Result<()> {
        self.control(AgentOp::Migrate, [core])
    }

    /// Names it, for people: of a longer text the first 16 bytes.
    pub fn name(self, text: &[u8]) -> Result<()> {
        let [low, high, ..] = crate::ipc::pack(&text[..text.len().min(16)]);
        self.control(AgentOp::Name, [low, high])
    }

    /// Has its faults sent to this mailbox of the program's own; `None`: to nobody.
    pub fn supervise(self, faults: Option<Service>) -> Result<()> {
        self.control(AgentOp::Supervise, [faults.map_or(0, Capability::word)])
    }

    /// Sets its class.
    pub fn schedule(self, class: Class) -> Result<()> {
        let words = match class {
            Class::Fair { weight } => [CLASS_FAIR, weight as u64, 0],
            Class::Edf { budget_ns, period_ns } => [CLASS_EDF, budget_ns, period_ns],
        };
        syscall(Call::SchedSet, &mut Regs::at(self.word()).with(words))
    }

    /// Has `bits` raised in the program's own notification word when it dies.
    pub fn watch(self, bits: u64) -> Result<()> {
        syscall(Call::Watch, &mut Regs::at(self.word()).with([bits]))
    }
}

/// Has `bits` raised in the program's own notification word when the last capability with the badge of `own`, a service of the program itself, is gone.
pub fn watch_badge(own: Service, bits: u64) -> Result<()> {
    syscall(Call::Watch, &mut Regs::at(own.word()).with([bits]))
}
