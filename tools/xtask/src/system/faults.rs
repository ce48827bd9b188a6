//! Every kind of fault, and the report that the log shows of it: cause, address, instruction, syndrome.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::CodeCase;
use super::lab::{self, Lab};
use super::shell::until;
use crate::profile::Profile;

/// The cases of this module.
pub const CASES: [CodeCase; 3] =
    [("faults/el1", "direct", reports), ("faults/el2", "direct-el2", reports), ("faults/one-core", "direct/smp1", reports)];

/// How long a report may take to come to the log.
const LIMIT: Duration = Duration::from_secs(10);

/// The address in a report.
#[derive(Clone, Copy)]
enum Address {
    /// Exactly this.
    Is(u64),
    /// That of the instruction.
    Pc,
    /// Just below the stack.
    Guard,
    /// Within the program's image.
    Image,
    /// On the program's stack.
    Stack,
}

/// The instruction in a report.
#[derive(Clone, Copy)]
enum Instruction {
    /// The one whose address the program has put into the link register.
    Known,
    /// The one that was jumped to.
    Target,
}

use Address::{Guard, Image, Is, Pc, Stack};
use Instruction::{Known, Target};

/// A fault: the test that provokes it, the words of the report, its exception class (Arm ARM, ESR_ELx.EC), and what else the report says.
type Kind = (&'static str, &'static str, u64, Address, Instruction);

const UNMAPPED: &str = "access to unmapped memory";
const FORBIDDEN: &str = "access that the mapping forbids";
const JUMP: &str = "jump to unmapped memory";
const NO_CODE: &str = "jump to memory that is not code";
const UNDEFINED: &str = "undefined or privileged instruction";
const TRAPPED: &str = "trapped instruction";

const DIRECT_MAP: u64 = 0xffff_ff80_0000_0000;
const KERNEL: u64 = 0xffff_ffff_8000_0000;
/// In the kernel's half, where nothing is mapped.
const KERNEL_GAP: u64 = 0xffff_ff9f_ffff_f000;
/// All that the syndrome of an abort in the kernel's half may say beside its class: instruction of 4 bytes, no translation at level 0; a write or not.
const KERNEL_SYNDROME: u64 = 1 << 25 | 0x04;
const WRITE: u64 = 1 << 6;
/// Start of the information page: the last GiB of 39 bits.
const INFO_PAGE: u64 = 0x7f_c000_0000;
/// Where the program's stack begins, and where it ends.
const STACK_TOP: u64 = 0x4000_0000;
const STACK_BOTTOM: u64 = 0x3fff_0000;
const IMAGE: u64 = 0x40_0000;

const DATA_ABORT: u64 = 0x24;
const INSTRUCTION_ABORT: u64 = 0x20;
const UNKNOWN: u64 = 0;

const KINDS: [Kind; 30] = [
    ("null-read", UNMAPPED, DATA_ABORT, Is(0), Known),
    ("null-write", UNMAPPED, DATA_ABORT, Is(0), Known),
    ("null-jump", JUMP, INSTRUCTION_ABORT, Is(0), Target),
    ("write-code", FORBIDDEN, DATA_ABORT, Image, Known),
    ("write-constant", FORBIDDEN, DATA_ABORT, Image, Known),
    ("execute-data", NO_CODE, INSTRUCTION_ABORT, Image, Target),
    ("execute-stack", NO_CODE, INSTRUCTION_ABORT, Stack, Target),
    ("write-info", FORBIDDEN, DATA_ABORT, Is(INFO_PAGE), Known),
    ("read-no-half", UNMAPPED, DATA_ABORT, Is(1 << 48), Known),
    ("read-direct-map", UNMAPPED, DATA_ABORT, Is(DIRECT_MAP), Known),
    ("read-kernel", UNMAPPED, DATA_ABORT, Is(KERNEL), Known),
    ("write-kernel", UNMAPPED, DATA_ABORT, Is(KERNEL), Known),
    ("jump-direct-map", JUMP, INSTRUCTION_ABORT, Is(DIRECT_MAP), Target),
    ("jump-kernel", JUMP, INSTRUCTION_ABORT, Is(KERNEL), Target),
    ("read-kernel-gap", UNMAPPED, DATA_ABORT, Is(KERNEL_GAP), Known),
    ("jump-kernel-gap", JUMP, INSTRUCTION_ABORT, Is(KERNEL_GAP), Target),
    ("undefined", UNDEFINED, UNKNOWN, Is(0), Known),
    ("breakpoint", "debug event", 0x3c, Is(0), Known),
    ("misaligned-jump", "misaligned access", 0x22, Pc, Target),
    ("misaligned-exclusive", "misaligned access", DATA_ABORT, Stack, Known),
    ("stack-overflow", UNMAPPED, DATA_ABORT, Guard, Known),
    ("read-translation-base", UNDEFINED, UNKNOWN, Is(0), Known),
    ("mask-interrupts", TRAPPED, 0x18, Is(0), Known),
    ("read-timer-control", TRAPPED, 0x18, Is(0), Known),
    ("hypervisor-call", UNDEFINED, UNKNOWN, Is(0), Known),
    ("monitor-call", UNDEFINED, UNKNOWN, Is(0), Known),
    ("invalidate-translations", UNDEFINED, UNKNOWN, Is(0), Known),
    ("invalidate-cache", UNDEFINED, UNKNOWN, Is(0), Known),
    ("exception-return", UNDEFINED, UNKNOWN, Is(0), Known),
    ("wait-for-interrupt", TRAPPED, 0x01, Is(0), Known),
];

/// What the log says of a fault.
#[derive(Debug)]
struct Report {
    address: u64,
    pc: u64,
    lr: u64,
    sp: u64,
    esr: u64,
}

impl Report {
    /// Reads `…: address 0x0, pc 0x4020d8, lr 0x401f54, sp 0x3ffff6b0, esr 0x92000006`.
    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let (_, rest) = text.split_once(&format!("{name} 0x"))?;
            let digits = rest.split(|c: char| !c.is_ascii_hexdigit()).next()?;
            u64::from_str_radix(digits, 16).ok()
        };
        Some(Self { address: field("address")?, pc: field("pc")?, lr: field("lr")?, sp: field("sp")?, esr: field("esr")? })
    }

    fn is(&self, (name, _, class, address, instruction): Kind) -> bool {
        let stack = STACK_BOTTOM..STACK_TOP;
        let place = match address {
            Is(exactly) => self.address == exactly,
            Pc => self.address == self.pc,
            Guard => self.address == STACK_BOTTOM - 16 && self.sp == STACK_BOTTOM,
            Image => (IMAGE..STACK_BOTTOM).contains(&self.address),
            Stack => stack.contains(&self.address),
        };
        let pc = match instruction {
            Known => self.pc == self.lr,
            Target => self.pc == self.address,
        };
        // Bit 6 of a data abort's syndrome says whether it was a write.
        let writes = name.contains("write") || name == "stack-overflow";
        let write = class != DATA_ABORT || (self.esr & WRITE != 0) == writes;
        // What the kernel has mapped doesn't show.
        let level = self.address < DIRECT_MAP || self.esr & !WRITE == class << 26 | KERNEL_SYNDROME;
        place && pc && write && level && self.esr >> 26 == class && (stack.contains(&self.sp) || self.sp == STACK_TOP)
    }
}

/// Provokes each, and compares its end and its report.
fn reports(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let launch = lab.launch(profile)?;
    let mut machine = lab.boot(&launch)?;
    let mut kinds = KINDS;
    let mut last = String::new();
    lab.random.shuffle(&mut kinds);
    for kind in kinds {
        let (name, words, ..) = kind;
        let reply = lab::run(&mut machine, &format!("spawn -w assist {name}"))?;
        if reply.status == 0 || !reply.output.contains(&format!("assist ended: {words}")) {
            bail!("`{name}` must end with `{words}`; status {}:\n{}", reply.status, reply.output.trim_end());
        }
        // Whoever waits for the end may hear of it before the log does.
        let line = until(&mut machine, LIMIT, &format!("the log says something of `{name}`"), |machine| {
            let log = lab::succeed(machine, "log -n 1 warn")?;
            Ok(log.lines().find(|line| line.contains("assist: ") && *line != last).map(str::to_owned))
        })?;
        let report = Report::parse(&line).with_context(|| format!("`{name}`: no report: {line}"))?;
        if !line.contains(&format!("assist: {words}: ")) || !report.is(kind) {
            bail!("`{name}`: the report is not as it must be: {line}");
        }
        last = line;
    }
    lab::succeed(&mut machine, "selftest")?;
    machine.shutdown().context("the machine did not shut down")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "access to unmapped memory: address 0x0, pc 0x4020d8, lr 0x4020d8, sp 0x3ffff6b0, esr 0x92000006";

    #[test]
    fn a_report_is_compared_field_by_field() {
        let report = Report::parse(LINE).unwrap();
        assert!(report.is(KINDS[0]));
        assert!(!report.is(KINDS[1]), "it was no write");
        assert!(!report.is(KINDS[2]));
        for (from, to) in
            [("address 0x0", "address 0x8"), ("lr 0x4020d8", "lr 0x4020dc"), ("esr 0x92", "esr 0x82"), ("sp 0x3ffff6b0", "sp 0x10")]
        {
            assert!(!Report::parse(&LINE.replace(from, to)).unwrap().is(KINDS[0]), "{to}");
        }
        assert!(Report::parse("address 0x0, pc 0x4020d8").is_none());
    }
}
