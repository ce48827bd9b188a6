//! Replays a recording of a core's scheduler on the scheduler that the kernel is built with, and compares every outcome.
//!
//! What is recorded, and in which order: [`aios_abi::trace`]. What is compared: the whole event that each operation makes, see
//! [`aios_core::sched::Replay`].
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use aios_abi::limits::AGENTS;
use aios_abi::trace::{Event, Op};
use aios_core::sched::{Contexts, Replay, Sc, Step, Trouble};

/// What a replay found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Events read.
    pub events: usize,
    /// States told: one at the beginning, one after each loss.
    pub states: usize,
    /// Operations whose outcome was compared, decisions included.
    pub compared: usize,
    /// Decisions among them: whom to run, whether to look again, whether to admit.
    pub decisions: usize,
    /// Operations that were not recorded.
    pub lost: u64,
    /// Contexts that an operation was about.
    pub contexts: BTreeSet<u16>,
    /// Reservations among them.
    pub reserved: BTreeSet<u16>,
    /// First and last time of an operation, ns.
    pub span_ns: Option<(u64, u64)>,
    /// Where it stopped: the number of the event in the recording, the event, and why.
    pub trouble: Option<(usize, Event, Trouble)>,
}

/// Contexts by place in the agent table.
struct Table(Vec<Sc>);

impl Contexts for Table {
    fn sc(&self, slot: u16) -> &Sc {
        &self.0[slot as usize]
    }
    fn sc_mut(&mut self, slot: u16) -> &mut Sc {
        &mut self.0[slot as usize]
    }
}

/// Replays a recording up to its end or to the first event that differs.
pub fn replay(events: &[Event]) -> Report {
    let (mut table, mut replay, mut report) = (Table(vec![Sc::EMPTY; AGENTS]), Replay::EMPTY, Report::default());
    for (at, event) in events.iter().enumerate() {
        report.events += 1;
        match replay.feed(&mut table, event) {
            Err(trouble) => {
                report.trouble = Some((at, *event, trouble));
                break;
            }
            Ok(Step::Lost(count)) => report.lost += count,
            Ok(Step::Told) => report.states += (event.op == Op::Begin) as usize,
            Ok(step) => {
                report.compared += 1;
                report.decisions += (step == Step::Decided) as usize;
                let (first, _) = report.span_ns.unwrap_or((event.time, event.time));
                report.span_ns = Some((first, event.time));
                if event.slot != 0 {
                    report.contexts.insert(event.slot);
                    if table.sc(event.slot).class() == 1 {
                        report.reserved.insert(event.slot);
                    }
                }
            }
        }
    }
    report
}

/// An event in words.
pub fn describe(event: &Event) -> String {
    let Event { op, flag, slot, other, time, a, b, .. } = event;
    format!("{} context {slot} at {time} ns: flag {flag}, other {other}, a {a:#x}, b {b:#x}", op.name())
}
