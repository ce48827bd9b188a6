//! Calls, the console, the log.

use alloc::format;

use aios_proto::log::{Filter, Message, Target};
use aios_proto::types::Level;
use aios_rt::time::now;
use aios_shell_core::unit::Nanos;

use super::{Verdict, check};
use crate::fail::Fail;
use crate::shell::Shell;
use crate::system::{deadline, log_failed, own_id};

/// Calls that are timed.
const CALLS: u64 = 200;

/// A call comes back, with the answer to this question, and fast.
pub fn call(shell: &mut Shell) -> Verdict {
    let mut names = shell.system.init().names();
    let began = now();
    for _ in 0..CALLS {
        let page = names.list(0, deadline()).map_err(|error| Fail::call("names", error))?;
        check(page.entries.iter().any(|entry| entry.name.as_str() == "/svc/console"), "the names are not the shell's")?;
    }
    let each = (now() - began) / CALLS;
    check(each < 100_000_000, format_args!("a call takes {}", Nanos(each)))?;
    let missing = names.resolve(Target::truncated("/svc/nosuch").as_str().try_into().map_err(|_| Fail::other("a long name"))?, deadline());
    check(missing.is_err(), "a name that nobody lists was resolved")?;
    Ok(format!("{CALLS} calls and answers, {} each", Nanos(each)))
}

/// The console's counters move with what is written.
pub fn console(shell: &mut Shell) -> Verdict {
    let before = shell.console_status()?;
    shell.print("");
    let after = shell.console_status()?;
    check(after.sent >= before.sent && after.received >= before.received, "the console's counters go backwards")?;
    check(after.sent > 0, "the console has sent nothing")?;
    Ok(format!("{} bytes out, {} in, {} lost, {} line errors", after.sent, after.received, after.lost, after.line_errors))
}

/// What is written to the log can be read, with the right name on it.
pub fn log(shell: &mut Shell) -> Verdict {
    let text = format!("selftest at {}", now());
    let own = Filter { level: Level::Debug, agent: Some(own_id().0) };
    let target = Target::truncated("shell");
    let wrote = shell.system.log(|client| client.write(Level::Debug, target, Message::truncated(text.as_bytes())));
    wrote.map_err(log_failed)?;
    let mut next = 0;
    loop {
        let (found, count, from) = shell
            .system
            .log(|client| {
                let batch = client.read(next, own, deadline())?;
                let found = batch.entries.iter().any(|entry| entry.message.as_slice() == text.as_bytes() && entry.agent == own_id().0);
                Ok((found, batch.entries.len(), batch.next))
            })
            .map_err(log_failed)?;
        if found {
            return Ok("a record was kept under the shell's id".into());
        }
        check(count > 0, "a record was not kept")?;
        next = from;
    }
}
