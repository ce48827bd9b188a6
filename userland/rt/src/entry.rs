//! The program's first instruction.
//!
//! The kernel starts an agent at its entry with the stack pointer set, 16-byte aligned, and `x0`–`x3` as `AgentControl` was given them; every
//! other register is zero. There is nothing to set up: the loader has filled data and cleared the rest.

/// Makes `$run`, a `fn([u64; 4]) -> u64`, the program: its argument is what the program was started with, its result the exit status.
///
/// Places the note with the ABI version too, which the spawner checks. On a development machine it makes a `main` that does nothing, so that
/// the workspace builds there as well.
#[macro_export]
macro_rules! entry {
    ($run:path) => {
        #[cfg(target_os = "none")]
        const _: () = {
            $crate::elf::abi_note!($crate::abi::ABI_VERSION);

            // SAFETY: the name is reserved for this macro, and the linker refuses a second one.
            #[unsafe(no_mangle)]
            extern "C" fn __aios_run(x0: u64, x1: u64, x2: u64, x3: u64) -> ! {
                let run: fn([u64; 4]) -> u64 = $run;
                $crate::agent::exit(run([x0, x1, x2, x3]))
            }
        };

        #[cfg(not(target_os = "none"))]
        fn main() {
            let _: fn([u64; 4]) -> u64 = $run;
        }
    };
}

#[cfg(target_os = "none")]
core::arch::global_asm!(
    ".section .text._start, \"ax\"",
    ".global _start",
    ".type _start, %function",
    "_start:",
    // The end of every backtrace.
    "mov x29, xzr",
    "mov x30, xzr",
    "b __aios_run",
    ".size _start, . - _start",
);
