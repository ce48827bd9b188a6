//! From the number of a test to what it does.

use core::fmt::Write;

use aios_abi::call::SLOT_FIRST;
use aios_abi::rights::{Kind, Rights};
use aios_assist::{End, Test, by_number, status};
use aios_rt::Error;
use aios_rt::panic::Text;
use aios_rt::slot::Slot;
use aios_rt::{cap, machine};

mod faults;
mod load;
mod registers;
mod time;

/// Runs the test of the number in `x0`.
pub fn run([number, a, b, c]: [u64; 4]) -> u64 {
    let Some(test) = by_number(number) else {
        say(format_args!("assist: no test {number}"));
        return status::UNKNOWN;
    };
    let result = match test.name {
        "exit" => a,
        "panic" => panic!("as asked, with {a}"),
        "spin" => load::spin(),
        "flood" => load::flood(a),
        "eat-memory" => load::eat_memory(),
        "canary" => registers::canary(a),
        "leak-registers" => registers::leaks(),
        "bad-syscalls" => registers::hostile(a, b),
        "edf" => time::deadlines(a, b, c),
        "info-page" => time::info_page(),
        name => faults::provoke(name),
    };
    report(test, result);
    result
}

fn report(test: &Test, result: u64) {
    let verdict = match (test.end, result) {
        (End::Given, _) | (End::Count | End::FaultOrPass(_), status::PASSED) => "passed",
        _ => "failed",
    };
    say(format_args!("assist: {} {verdict}, status {result:#x}", test.name));
}

/// The status for a test that could not be set up.
fn setup(error: Error) -> u64 {
    status::SETUP | u64::from(error.code())
}

/// Writes a line to the kernel's console if the program has it.
fn say(line: core::fmt::Arguments<'_>) {
    let first = Slot::first(SLOT_FIRST);
    if cap::check(first, Rights::NONE).is_ok_and(|held| held.kind == Kind::Console) {
        // One write, so that lines of several programs don't mix more than they must. A line too long for it is cut.
        let mut text = Text::new();
        let _ = writeln!(text, "{line}");
        // A report that can't be written has the exit status beside it.
        let _ = machine::write(first.cast(), text.as_bytes());
    }
}
