//! Checks of the running system, each by doing what it is about.
//!
//! A check that needs a capability which the shell does not hold is skipped, and says what it would have needed.

mod capabilities;
mod kernel;
mod programs;
mod services;

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::Display;

use aios_proto::sentence;
use aios_rt::Error;

use crate::fail::Fail;
use crate::shell::Shell;

/// What a check that is well has to say, or why it is not.
type Verdict = Result<String, Fail>;

struct Check {
    name: &'static str,
    run: fn(&mut Shell) -> Verdict,
}

const CHECKS: [Check; 17] = [
    Check { name: "clock", run: kernel::clock },
    Check { name: "timer", run: kernel::timer },
    Check { name: "notification", run: kernel::notification },
    Check { name: "memory", run: kernel::memory },
    Check { name: "frames", run: kernel::frames },
    Check { name: "bad-calls", run: kernel::bad_calls },
    Check { name: "accounts", run: kernel::accounts },
    Check { name: "derive", run: capabilities::derive },
    Check { name: "revoke", run: capabilities::revoke },
    Check { name: "expiry", run: capabilities::expiry },
    Check { name: "token", run: capabilities::token },
    Check { name: "pqc", run: capabilities::pqc },
    Check { name: "call", run: services::call },
    Check { name: "console", run: services::console },
    Check { name: "log", run: services::log },
    Check { name: "faults", run: programs::faults },
    Check { name: "programs", run: programs::ends },
];

/// Runs the checks of these names, or all.
pub fn run(shell: &mut Shell, names: &[String]) -> Result<(), Fail> {
    if let Some(unknown) = names.iter().find(|name| !CHECKS.iter().any(|check| check.name == *name)) {
        let known = CHECKS.map(|check| check.name).join(", ");
        return Err(Fail::other(format_args!("no test `{unknown}`; there are {known}")));
    }
    let (mut count, mut skipped, mut bad) = (0u32, 0u32, 0u32);
    for check in CHECKS.iter().filter(|check| names.is_empty() || names.iter().any(|name| name == check.name)) {
        shell.check_interrupt()?;
        count += 1;
        let (word, text) = match (check.run)(shell) {
            Ok(text) => ("ok  ", text),
            Err(Fail::Interrupted) => return Err(Fail::Interrupted),
            Err(fail @ Fail::NoCapability { .. }) => {
                skipped += 1;
                ("skip", fail.to_string())
            }
            Err(fail) => {
                bad += 1;
                ("FAIL", fail.to_string())
            }
        };
        shell.print(&format!("{word}  {:<14}{text}\n", check.name));
    }
    if bad > 0 {
        return Err(Fail::other(format_args!("{bad} of {count} checks failed")));
    }
    let rest = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
    shell.print(&format!("{} of {count} checks passed{rest}\n", count - skipped));
    Ok(())
}

/// A call that has to succeed.
fn must<T>(what: &str, result: aios_rt::Result<T>) -> Result<T, Fail> {
    result.map_err(|error| Fail::other(format_args!("{what}: {}", sentence::of(error))))
}

/// A call that has to be refused with this error.
fn refused<T>(what: &str, result: aios_rt::Result<T>, expected: Error) -> Result<(), Fail> {
    match result {
        Err(error) if error == expected => Ok(()),
        Err(error) => Err(Fail::other(format_args!("{what}: `{error}` where `{expected}` was due"))),
        Ok(_) => Err(Fail::other(format_args!("{what}: done where `{expected}` was due"))),
    }
}

/// Something that has to be so.
fn check(so: bool, otherwise: impl Display) -> Result<(), Fail> {
    if so { Ok(()) } else { Err(Fail::other(otherwise)) }
}
