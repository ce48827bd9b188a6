//! From one row to the next.

use core::fmt::Write;

use aios_abi::call::SLOT_FIRST;
use aios_abi::info::Word;
use aios_bench::{Line, ROWS};
use aios_rt::machine::Writer;
use aios_rt::peer::Init;
use aios_rt::slot::{Console, Slot};
use aios_rt::time::Deadline;
use aios_rt::{info, ipc};

mod agents;
mod marks;
mod roles;
mod rows;
mod typed;

use agents::{Stage, Sum};

/// When everything that starts with the system has come to rest, ns since boot: the same moment in each run, wherever the boot was a little slower.
const REST_NS: u64 = 1_000_000_000;

/// The notification bit by which the supervisor asks for an end.
const STOP: u64 = 1;

/// The mark that the host waits for: everything is done.
const DONE: &str = "\x1b]7770;status;0\x07";

/// Does all rows that the machine has the cores for, and waits for its end.
pub fn run(start: [u64; 4]) -> u64 {
    let init = Init::from_start(start);
    let mut console = Writer(Slot::first(SLOT_FIRST + 1).cast::<Console>());
    if init.ready(STOP).is_err() {
        return 1;
    }
    // Whoever may not ask for the typed server is it.
    if init.resolve(typed::NAME).is_err() {
        return typed::serve();
    }
    let _ = ipc::wait(Deadline(REST_NS));
    // What is said begins a line.
    let _ = console.write_str("\n");
    let cores = info::word(Word::Cores);
    for row in ROWS {
        marks::next();
        if (row.cores > 1) != (cores > 1) {
            continue;
        }
        let done = Stage::new(row.rounds).and_then(|stage| rows::perform(row.name, stage, init));
        let Sum { wrong, ticks } = done.unwrap_or_else(|error| Sum { wrong: 1 << 16 | u64::from(error.code()), ticks: 0 });
        // Without a console nobody hears of anything.
        let _ = write!(console, "{}", Line { name: row.name, wrong, ticks });
    }
    marks::report();
    let _ = console.write_str(DONE);
    loop {
        pause(u64::MAX / 2);
    }
}

/// Lets time pass. Nothing is notified to this program.
fn pause(nanoseconds: u64) {
    let _ = ipc::wait(Deadline::after(nanoseconds));
}
