//! Exception vectors, and the way back to an agent: see `vectors.S`.

use core::mem::offset_of;

use aios_core::agent::{Agent, FpRegisters, Registers};

use crate::machine::Hardware;

core::arch::global_asm!(include_str!("vectors.S"), options(raw));

const _: () = {
    assert!(offset_of!(Agent<Hardware>, registers) == 0, "SP points to the block");
    assert!(offset_of!(Registers, x) == 0 && offset_of!(Registers, sp) == 248 && offset_of!(Registers, pc) == 256);
    assert!(offset_of!(Registers, pstate) == 264 && offset_of!(Registers, tls) == 272);
    assert!(offset_of!(FpRegisters, v) == 0 && offset_of!(FpRegisters, control) == 512 && offset_of!(FpRegisters, status) == 520);
};

unsafe extern "C" {
    static vectors_plain: u8;
    static vectors_guarded: u8;
    /// Loads an agent's registers and goes to EL0.
    #[link_name = "resume"]
    pub fn resume(registers: *mut Registers) -> !;
}

/// The table for cores whose branch prediction an agent can't steer.
pub fn plain() -> u64 {
    (&raw const vectors_plain).addr() as u64
}

/// The table for the others.
pub fn guarded() -> u64 {
    (&raw const vectors_guarded).addr() as u64
}
