//! The kernel image: the AArch64 edge around the pure core.
//!
//! stage0 enters at `boot` with the MMU on. From then on the kernel runs only when an exception brings it in: `vectors` store the agent's registers into its
//! block, `trap` reads the clock, calls the core and asks it whom to run, and the way back loads that agent's registers. Interrupts are masked throughout;
//! there is one stack a core and nothing is ever nested, but for a panic.
//!
//! | module    | concept                                                          |
//! |-----------|------------------------------------------------------------------|
//! | `boot`    | from the first instruction to the first agent                    |
//! | `cpu`     | what one processor core has for itself, its control registers    |
//! | `vectors` | exception vectors, the way out of and back to an agent           |
//! | `trap`    | exceptions become calls of the core                              |
//! | `machine` | the core's port to the hardware                                  |
//! | `ram`     | physical memory through the direct map                           |
//! | `page`    | owned pages, and the directory of derivation nodes               |
//! | `fp`      | floating-point registers, switched lazily                        |
//! | `gic`     | interrupt lines as one core uses them                            |
//! | `rings`   | packets between cores, and where each agent lives                |
//! | `smp`     | the other cores: from `CPU_ON` to the first wait for work        |
//! | `console` | the early console                                                |
//! | `power`   | the end of the machine's run                                     |
//! | `panic`   | the end of the kernel                                            |
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod boot;
#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
mod cpu;
#[cfg(target_os = "none")]
mod fp;
#[cfg(target_os = "none")]
mod gic;
#[cfg(target_os = "none")]
mod machine;
#[cfg(target_os = "none")]
mod page;
#[cfg(target_os = "none")]
mod panic;
#[cfg(target_os = "none")]
mod power;
#[cfg(target_os = "none")]
mod ram;
#[cfg(target_os = "none")]
mod rings;
#[cfg(target_os = "none")]
mod smp;
#[cfg(target_os = "none")]
mod trap;
#[cfg(target_os = "none")]
mod vectors;

#[cfg(not(target_os = "none"))]
fn main() {}
