//! What a kernel panic left in memory.

use std::fmt;

use aios_kernel::epitaph::{CAUSE_EXCEPTION, MAGIC, VERSION};

use crate::value::Memory;
use crate::{Error, Kernel};

/// The symbol that holds it.
const GRAVE: &str = "aios_kernel::panic::AIOS_EPITAPH";

/// The last words of a core.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Epitaph {
    /// Number of the core.
    pub core: u64,
    /// The kernel's own code gave up (0), or an exception in the kernel: 0x100 + the number of its vector.
    pub cause: u64,
    /// `ESR_EL1`.
    pub esr: u64,
    /// `FAR_EL1`.
    pub far: u64,
    /// `ELR_EL1`.
    pub elr: u64,
    /// `x30`.
    pub lr: u64,
    /// Stack pointer.
    pub sp: u64,
    /// Nanoseconds since boot.
    pub time_ns: u64,
    /// Table slot of the agent that ran, or for which the kernel worked; 0 if none.
    pub agent: u64,
    /// What it said.
    pub message: String,
    /// The function and line of `elr`, if it is the kernel's.
    pub elr_place: Vec<String>,
    /// The function and line of the call before `lr`.
    pub lr_place: Vec<String>,
}

impl Epitaph {
    /// Reads it; `None` if no core has died.
    pub fn read(kernel: &Kernel<'_>) -> Result<Option<Self>, Error> {
        let grave = kernel.named(GRAVE)?.field("__0")?;
        if grave.number_of("magic")? != MAGIC {
            return Ok(None);
        }
        let version = grave.number_of("version")?;
        if version != u64::from(VERSION) {
            return Err(Error::Layout(format!("its epitaph has version {version}, not {VERSION}")));
        }
        let number = |name: &str| grave.number_of(name);
        let text = grave.field("message")?;
        let length = number("length")?.min(text.count()?);
        let mut bytes = vec![0; length as usize];
        Memory::read(kernel, text.address(), &mut bytes)?;
        let (elr, lr) = (number("elr")?, number("lr")?);
        let program = kernel.program();
        Ok(Some(Self {
            core: number("core")?,
            cause: number("cause")?,
            esr: number("esr")?,
            far: number("far")?,
            elr,
            lr,
            sp: number("sp")?,
            time_ns: crate::state::clock(kernel).map_or(0, |clock| number("counter").map_or(0, |ticks| clock.nanoseconds(ticks))),
            agent: number("agent")?,
            message: String::from_utf8_lossy(&bytes).into_owned(),
            elr_place: program.place(elr),
            // The register holds the address behind the call.
            lr_place: program.place(lr.wrapping_sub(4)),
        }))
    }

    /// The kernel's own code gave up: the exception registers are older.
    pub fn is_panic(&self) -> bool {
        self.cause < CAUSE_EXCEPTION
    }
}

/// A few lines for people, without a line end after the last.
impl fmt::Display for Epitaph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { core, agent, cause, esr, far, elr, lr, sp, .. } = self;
        let whom = if *agent == 0 { "for no agent".to_owned() } else { format!("for the agent at place {agent}") };
        let what = if self.is_panic() { "panic".to_owned() } else { format!("exception by vector {}", cause - CAUSE_EXCEPTION) };
        writeln!(f, "kernel panic: {}", self.message.trim_end())?;
        writeln!(
            f,
            "  core {core}, {whom}, {what}, {}.{:06} s after boot",
            self.time_ns / 1_000_000_000,
            self.time_ns / 1_000 % 1_000_000
        )?;
        writeln!(f, "  ESR {esr:#x}, FAR {far:#x}, SP {sp:#x}")?;
        write!(f, "  ELR {elr:#x}")?;
        list(f, &self.elr_place)?;
        write!(f, "\n  LR {lr:#x}")?;
        list(f, &self.lr_place)
    }
}

fn list(f: &mut fmt::Formatter<'_>, places: &[String]) -> fmt::Result {
    places.iter().enumerate().try_for_each(|(index, place)| write!(f, "{}{place}", if index == 0 { " in " } else { "\n    called by " }))
}
