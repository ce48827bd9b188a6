//! The test program's catalogue: what it can be asked to do, and what must become of it.
//!
//! The program is started with a text: the name or number of a test, and its arguments. Without any, as the servers of a boot manifest are started,
//! it serves. What happens next is the test's [`End`]. It tells the result by its exit status, and what was wrong by lines in the log, if its manifest
//! entry lists that.
//!
//! This part is pure, so that whoever starts tests can list them, and so that the choice of hostile calls and the judgement on registers have
//! tests of their own.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

use aios_abi::limits::INFO_PAGE;
use aios_abi::message::FaultCause;

pub mod arguments;
pub mod hostile;
pub mod outcome;
pub mod random;
pub mod work;

/// Exit statuses. Smaller numbers than these count what went wrong; 0 says that nothing did.
pub mod status {
    /// All is well.
    pub const PASSED: u64 = 0;
    /// There is no test of this number.
    pub const UNKNOWN: u64 = 1 << 32;
    /// An instruction that should have faulted did not.
    pub const SURVIVED: u64 = 2 << 32;
    /// The test could not be set up; the low half is the code of the kernel's or a service's error, 0 if an argument is missing or wrong.
    pub const SETUP: u64 = 3 << 32;
}

/// How a test ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// With a fault.
    Fault {
        /// One of these.
        causes: &'static [FaultCause],
        /// The address that the report names, where it is fixed.
        address: Option<u64>,
    },
    /// With a fault of this cause, or, where the machine or the kernel lets the instruction pass, with status 0.
    FaultOrPass(FaultCause),
    /// With a panic report.
    Panic,
    /// With the status that it was given.
    Given,
    /// With status 0, or the number of things that were wrong.
    Count,
    /// Never.
    Never,
}

/// One test.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Test {
    /// What it is chosen by.
    pub number: u64,
    /// Its name, for people and scripts.
    pub name: &'static str,
    /// What its arguments are.
    pub arguments: &'static [&'static str],
    /// How it ends.
    pub end: End,
    /// What it does.
    pub what: &'static str,
}

const fn fault(number: u64, name: &'static str, causes: &'static [FaultCause], address: Option<u64>, what: &'static str) -> Test {
    Test { number, name, arguments: &[], end: End::Fault { causes, address }, what }
}

const fn other(number: u64, name: &'static str, arguments: &'static [&'static str], end: End, what: &'static str) -> Test {
    Test { number, name, arguments, end, what }
}

/// Start of the kernel's direct map of memory.
pub const DIRECT_MAP: u64 = 0xffff_ff80_0000_0000;
/// Where the kernel is linked.
pub const KERNEL_LINK: u64 = 0xffff_ffff_8000_0000;
/// Where nothing is in the kernel's half: the direct map of memory that no machine of the tests has.
pub const KERNEL_GAP: u64 = 0xffff_ff9f_ffff_f000;
/// An address of neither half of the address space.
pub const NO_HALF: u64 = 0x0001_0000_0000_0000;

use FaultCause::{
    Alignment, DataPermission, DataUnmapped, Debug as DebugEvent, FetchPermission, FetchUnmapped, OutOfMemory, Trapped, Undefined,
};

/// Some instructions are undefined at EL0 on one core and trapped by a control bit on another.
const NOT_ALLOWED: &[FaultCause] = &[Undefined, Trapped];

/// Every test, in ascending order of numbers, which are never given anew.
pub const TESTS: &[Test] = &[
    fault(1, "null-read", &[DataUnmapped], Some(0), "reads address 0"),
    fault(2, "null-write", &[DataUnmapped], Some(0), "writes address 0"),
    fault(3, "null-jump", &[FetchUnmapped], Some(0), "jumps to address 0"),
    fault(4, "write-code", &[DataPermission], None, "writes its own code"),
    fault(5, "write-constant", &[DataPermission], None, "writes its own constants"),
    fault(6, "execute-data", &[FetchPermission], None, "executes its own data"),
    fault(7, "execute-stack", &[FetchPermission], None, "executes its own stack"),
    fault(8, "write-info", &[DataPermission], Some(INFO_PAGE), "writes its information page"),
    fault(9, "read-no-half", &[DataUnmapped], Some(NO_HALF), "reads an address of neither half"),
    fault(10, "read-direct-map", &[DataUnmapped], Some(DIRECT_MAP), "reads the kernel's direct map"),
    fault(11, "read-kernel", &[DataUnmapped], Some(KERNEL_LINK), "reads the kernel's image"),
    fault(12, "write-kernel", &[DataUnmapped], Some(KERNEL_LINK), "writes the kernel's image"),
    fault(13, "jump-direct-map", &[FetchUnmapped], Some(DIRECT_MAP), "jumps into the kernel's direct map"),
    fault(14, "jump-kernel", &[FetchUnmapped], Some(KERNEL_LINK), "jumps into the kernel's image"),
    fault(15, "undefined", &[Undefined], None, "executes an undefined instruction"),
    fault(16, "breakpoint", &[DebugEvent], None, "executes a breakpoint instruction"),
    fault(17, "misaligned-jump", &[Alignment], None, "jumps between two instructions"),
    // Emulators let it pass.
    other(18, "misaligned-stack", &[], End::FaultOrPass(Alignment), "uses a misaligned stack pointer"),
    fault(19, "misaligned-exclusive", &[Alignment], None, "loads exclusively from an odd address"),
    fault(20, "stack-overflow", &[DataUnmapped], None, "pushes until it meets the guard page"),
    fault(21, "read-translation-base", &[Undefined], None, "reads TTBR0_EL1"),
    fault(22, "mask-interrupts", NOT_ALLOWED, None, "masks interrupts"),
    fault(23, "read-timer-control", NOT_ALLOWED, None, "reads CNTV_CTL_EL0"),
    fault(24, "hypervisor-call", &[Undefined], None, "executes HVC"),
    fault(25, "monitor-call", &[Undefined], None, "executes SMC"),
    fault(26, "invalidate-translations", &[Undefined], None, "executes TLBI VMALLE1"),
    fault(27, "invalidate-cache", &[Undefined], None, "executes DC IVAC"),
    fault(28, "exception-return", &[Undefined], None, "executes ERET"),
    fault(29, "wait-for-interrupt", &[Trapped], None, "executes WFI"),
    other(30, "wait-for-event", &[], End::FaultOrPass(Trapped), "executes WFE"),
    fault(31, "read-kernel-gap", &[DataUnmapped], Some(KERNEL_GAP), "reads the kernel's half where nothing is"),
    fault(32, "jump-kernel-gap", &[FetchUnmapped], Some(KERNEL_GAP), "jumps into the kernel's half where nothing is"),
    other(64, "exit", &["status"], End::Given, "exits"),
    other(65, "panic", &[], End::Panic, "panics"),
    other(66, "spin", &[], End::Never, "loops without a system call"),
    other(67, "flood", &["service"], End::Never, "sends until the service's mailbox is full, again and again; without a name, to init"),
    other(
        68,
        "eat-memory",
        &[],
        End::Fault { causes: &[OutOfMemory], address: None },
        "allocates until there is no memory, then touches memory that was to come at first touch",
    ),
    other(69, "canary", &["rounds"], End::Count, "fills every register, yields, waits and loops, and compares"),
    other(70, "leak-registers", &[], End::Count, "makes every call with bad arguments and looks at every register"),
    other(71, "bad-syscalls", &["seed", "calls"], End::Count, "makes random calls with its own capabilities"),
    other(72, "edf", &["work in ns", "period in ns", "periods"], End::Count, "works in every period and counts missed deadlines"),
    other(73, "info-page", &[], End::Count, "checks its information page, and its clock against the kernel's"),
    other(74, "serve", &[], End::Never, "is a server: answers `poke`, and goes wrong when it is asked to"),
    other(75, "poke", &["service", "echo, die, hang, or endure", "calls, or ms"], End::Count, "calls a `serve`, and checks what it gets"),
    other(76, "pqc-serve", &["answer, die, or never", "operations"], End::Count, "is the system's PQC server"),
    other(77, "pqc-ask", &["answer, died, timeout, or none", "rounds"], End::Count, "has operations done, and checks their ends"),
    other(78, "log", &["number"], End::Count, "logs the number in deferred form, at every level"),
];

/// The test of this number.
pub fn by_number(number: u64) -> Option<&'static Test> {
    TESTS.iter().find(|test| test.number == number)
}

/// The test of this name.
pub fn by_name(name: &str) -> Option<&'static Test> {
    TESTS.iter().find(|test| test.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_unique_and_in_order() {
        assert!(TESTS.windows(2).all(|pair| pair[0].number < pair[1].number));
        for test in TESTS {
            assert_eq!(by_number(test.number), Some(test));
            assert_eq!(by_name(test.name), Some(test));
            assert!(test.arguments.len() <= 3, "{}", test.name);
            assert!(test.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", test.name);
        }
        assert_eq!(by_number(0), None);
        assert_eq!(by_name("nosuch"), None);
    }
}
