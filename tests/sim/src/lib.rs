//! Simulation of the kernel core on the host: the shipped crate on a machine made of ordinary memory.
//!
//! [`Sim`] is the machine; it checks what real hardware would not forgive (use after free, double free, crossing a page). [`World`] is a machine
//! with a core and a clock, and speaks for its agents: [`World::call`] makes one of them the running one and has it make a call. [`Cluster`] is the
//! same with several cores.
#![forbid(unsafe_code)]

mod audit;
mod cluster;
mod entry;
mod machine;
mod world;

pub use audit::{Mapped, Use, audit, mapped};
pub use cluster::Cluster;
pub use entry::syscall;
pub use machine::Sim;
pub use world::{Args, World};
