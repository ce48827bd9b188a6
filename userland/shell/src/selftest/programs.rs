//! Programs that go wrong: they end, are reported exactly, and harm nobody.

use alloc::format;
use alloc::string::ToString;

use aios_abi::AgentId;
use aios_abi::message::FaultCause;
use aios_assist::{End, by_name};
use aios_proto::supervisor::Reason;
use aios_rt::time::Deadline;

use super::{Verdict, check};
use crate::commands::start;
use crate::fail::Fail;
use crate::shell::Shell;
use crate::system::{CONTROL, SPAWN, deadline, reason};

/// The test program, as the manifest calls it.
const PROGRAM: &str = "assist";
/// How long a program may run, ns.
const LIMIT_NS: u64 = 20_000_000_000;
/// Tests of the test program that end with a fault, one of each kind.
const FAULTS: [&str; 8] =
    ["null-read", "write-code", "execute-data", "read-kernel", "undefined", "misaligned-jump", "stack-overflow", "read-translation-base"];

/// Starts a test of the test program.
fn begin(shell: &Shell, test: &str) -> Result<(AgentId, End), Fail> {
    let test = by_name(test).ok_or_else(|| Fail::other(format_args!("the test program has no `{test}`")))?;
    Ok((start(shell, PROGRAM, &test.number.to_string(), None)?, test.end))
}

/// Waits for the end of a program.
fn await_end(shell: &mut Shell, id: AgentId) -> Result<Reason, Fail> {
    shell.check_interrupt()?;
    shell.system.supervisor().wait(id.0, Deadline::after(LIMIT_NS).0).map_err(|error| Fail::call(SPAWN, error))
}

fn told(ended: Reason) -> alloc::string::String {
    reason(ended).unwrap_or_else(|| "nothing".into())
}

/// Each fault ends the program that made it, and the report names it.
pub fn faults(shell: &mut Shell) -> Verdict {
    for name in FAULTS {
        let (id, end) = begin(shell, name)?;
        let End::Fault { causes, .. } = end else { return Err(Fail::other(format_args!("`{name}` does not end with a fault"))) };
        let ended = await_end(shell, id)?;
        let cause = match ended {
            Reason::Faulted(code) => FaultCause::from_code(code),
            _ => None,
        };
        check(cause.is_some_and(|cause| causes.contains(&cause)), format_args!("`{name}` ended so: {}", told(ended)))?;
    }
    Ok(format!("{} kinds of faults, each reported as what it was", FAULTS.len()))
}

/// Programs end as they say, and a program that never ends can be ended.
pub fn ends(shell: &mut Shell) -> Verdict {
    for name in ["info-page", "leak-registers"] {
        let (id, _) = begin(shell, name)?;
        let ended = await_end(shell, id)?;
        check(ended == Reason::Exited(0), format_args!("`{name}` ended so: {}", told(ended)))?;
    }
    let (id, _) = begin(shell, "panic")?;
    let ended = await_end(shell, id)?;
    check(ended == Reason::Panicked, format_args!("a panic ended so: {}", told(ended)))?;
    let (id, _) = begin(shell, "spin")?;
    shell.system.supervisor().kill(id.0, deadline()).map_err(|error| Fail::call(CONTROL, error))?;
    let ended = await_end(shell, id)?;
    check(ended == Reason::Killed, format_args!("an endless loop ended so: {}", told(ended)))?;
    let gone = shell.system.control(id, |agent| agent.resume());
    check(gone.is_err(), "an agent that is gone was resumed")?;
    Ok("two that check themselves, a panic, an endless loop killed".into())
}
