//! Instructions that must fault. The link register holds the address of each, where that is not its own business, so that whoever reads the report
//! can compare it with the instruction that is named there.

use core::arch::asm;
use core::sync::atomic::AtomicU32;

use aios_abi::limits::INFO_PAGE;
use aios_assist::{DIRECT_MAP, KERNEL_GAP, KERNEL_LINK, NO_HALF, status};

/// `RET`.
const RETURN: u32 = 0xd65f_03c0;

/// How often an instruction is tried that does nothing when something is about to happen.
const TRIES: u32 = 1000;

/// An instruction among the program's data: atomic, so that it lies in writable memory.
static DATA: AtomicU32 = AtomicU32::new(RETURN);
/// A word among the program's constants.
static CONSTANT: [u32; 4] = [1, 2, 3, 4];

/// Runs instructions and comes back if they don't fault.
macro_rules! execute {
    ($($line:literal),+ $(; $($operand:tt)+)?) => {
        // SAFETY: the instructions are meant to fault; one that does not and changes something is a failed test, which ends at once.
        unsafe { asm!($($line),+ $(, $($operand)+)?) }
    };
}

/// Runs one instruction that must fault, with its own address in the link register.
macro_rules! fault {
    ($line:literal $(; $($operand:tt)+)?) => {
        execute!("adr x30, 9f", "9:", $line; $($($operand)+,)? out("x30") _)
    };
}

/// Provokes the fault of this name. Comes back if it isn't one.
pub fn provoke(name: &str) -> u64 {
    match name {
        "null-read" => read(0),
        "null-write" => write(0),
        "null-jump" => jump(0),
        "write-code" => write(provoke as *const () as u64),
        "write-constant" => write(CONSTANT.as_ptr() as u64),
        "execute-data" => jump(DATA.as_ptr() as u64),
        "execute-stack" => execute!(
            "sub sp, sp, #16", "str x9, [sp]", "mov x10, sp", "blr x10", "add sp, sp, #16";
            in("x9") u64::from(RETURN), clobber_abi("C")
        ),
        "write-info" => write(INFO_PAGE),
        "read-no-half" => read(NO_HALF),
        "read-direct-map" => read(DIRECT_MAP),
        "read-kernel" => read(KERNEL_LINK),
        "write-kernel" => write(KERNEL_LINK),
        "jump-direct-map" => jump(DIRECT_MAP),
        "jump-kernel" => jump(KERNEL_LINK),
        "read-kernel-gap" => read(KERNEL_GAP),
        "jump-kernel-gap" => jump(KERNEL_GAP),
        "undefined" => fault!("udf #0"),
        "breakpoint" => fault!("brk #1"),
        // Two bytes into an instruction, which is a no-operation for those who would execute it.
        "misaligned-jump" => execute!("adr x9, 2f", "add x9, x9, #2", "br x9", "2:", "nop", "nop"; out("x9") _),
        "misaligned-stack" => {
            execute!("mov x9, sp", "sub sp, sp, #24", "ldr x10, [sp]", "mov sp, x9"; out("x9") _, out("x10") _);
            return status::PASSED;
        }
        "misaligned-exclusive" => {
            let place = [0u64; 3];
            fault!("ldxr x10, [x9]"; inout("x9") place.as_ptr() as u64 + 1 => _, out("x10") _);
        }
        "stack-overflow" => execute!("adr x30, 2f", "2:", "str xzr, [sp, #-16]!", "b 2b"; out("x30") _),
        "read-translation-base" => fault!("mrs x9, ttbr0_el1"; out("x9") _),
        "mask-interrupts" => fault!("msr daifset, #2"),
        "read-timer-control" => fault!("mrs x9, cntv_ctl_el0"; out("x9") _),
        "hypervisor-call" => fault!("hvc #0"),
        "monitor-call" => fault!(".inst 0xd4000003"),
        "invalidate-translations" => fault!("tlbi vmalle1"),
        "invalidate-cache" => fault!("dc ivac, x9"; in("x9") DATA.as_ptr() as u64),
        "exception-return" => fault!("eret"),
        // Nothing is trapped while an interrupt is pending, which is taken at the next instruction then.
        "wait-for-interrupt" => (0..TRIES).for_each(|_| fault!("wfi")),
        // A processor may do nothing.
        "wait-for-event" => {
            (0..TRIES).for_each(|_| fault!("wfe"));
            return status::PASSED;
        }
        _ => return status::UNKNOWN,
    }
    status::SURVIVED
}

fn read(address: u64) {
    fault!("ldr x10, [x9]"; in("x9") address, out("x10") _);
}

fn write(address: u64) {
    fault!("str wzr, [x9]"; in("x9") address);
}

fn jump(address: u64) {
    execute!("blr x9"; in("x9") address, clobber_abi("C"));
}
