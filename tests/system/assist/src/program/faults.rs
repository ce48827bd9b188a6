//! Instructions that must fault. Each is one line of assembly, so that the report names exactly that instruction.

use core::arch::asm;
use core::sync::atomic::AtomicU32;

use aios_abi::limits::INFO_PAGE;
use aios_assist::{DIRECT_MAP, KERNEL_LINK, NO_HALF, status};

/// `RET`.
const RETURN: u32 = 0xd65f_03c0;

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
        "undefined" => execute!("udf #0"),
        "breakpoint" => execute!("brk #1"),
        // Two bytes into an instruction, which is a no-operation for those who would execute it.
        "misaligned-jump" => execute!("adr x9, 2f", "add x9, x9, #2", "br x9", "2:", "nop", "nop"; out("x9") _),
        "misaligned-stack" => {
            execute!("mov x9, sp", "sub sp, sp, #24", "ldr x10, [sp]", "mov sp, x9"; out("x9") _, out("x10") _);
            return status::PASSED;
        }
        "misaligned-exclusive" => {
            let place = [0u64; 3];
            execute!("ldxr x10, [x9]", "clrex"; inout("x9") place.as_ptr() as u64 + 1 => _, out("x10") _);
        }
        "stack-overflow" => execute!("2:", "str xzr, [sp, #-16]!", "b 2b"),
        "read-translation-base" => execute!("mrs x9, ttbr0_el1"; out("x9") _),
        "mask-interrupts" => execute!("msr daifset, #2"),
        "read-timer-control" => execute!("mrs x9, cntv_ctl_el0"; out("x9") _),
        "hypervisor-call" => execute!("hvc #0"),
        "monitor-call" => execute!(".inst 0xd4000003"),
        "invalidate-translations" => execute!("tlbi vmalle1"),
        "invalidate-cache" => execute!("dc ivac, x9"; in("x9") DATA.as_ptr() as u64),
        "exception-return" => execute!("eret"),
        "wait-for-interrupt" => {
            execute!("wfi");
            return status::PASSED;
        }
        "wait-for-event" => {
            execute!("wfe");
            return status::PASSED;
        }
        _ => return status::UNKNOWN,
    }
    status::SURVIVED
}

fn read(address: u64) {
    execute!("ldr x10, [x9]"; in("x9") address, out("x10") _);
}

fn write(address: u64) {
    execute!("str wzr, [x9]"; in("x9") address);
}

fn jump(address: u64) {
    execute!("blr x9"; in("x9") address, clobber_abi("C"));
}
