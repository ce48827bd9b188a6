//! The machine: power, the sealing key's seed, the kernel's early console.

use aios_abi::Call;
use aios_abi::limits::MESSAGE_REGISTERS;

use crate::Result;
use crate::ipc::pack;
use crate::slot::{Capability, Console, Power, Seed};
use crate::sys::{Regs, syscall};

/// Switches the machine off. Comes back only with an error.
pub fn power_off(power: Power) -> Result<()> {
    syscall(Call::PowerControl, &mut Regs::at(power.word()).with([0]))
}

/// Starts the machine anew. Comes back only with an error.
pub fn reset(power: Power) -> Result<()> {
    syscall(Call::PowerControl, &mut Regs::at(power.word()).with([1]))
}

/// Delivers the key with which the kernel seals tokens. Works once.
pub fn set_seed(seed: Seed, key: [u64; 4]) -> Result<()> {
    syscall(Call::SeedSet, &mut Regs::at(seed.word()).with(key))
}

/// Writes to the kernel's early console. Stops at the first error.
pub fn write(console: Console, bytes: &[u8]) -> Result<()> {
    for chunk in bytes.chunks(MESSAGE_REGISTERS) {
        let mut regs = Regs::at(console.word());
        regs.x = pack(chunk);
        regs.x10 = chunk.len() as u64;
        syscall(Call::ConsoleWrite, &mut regs)?;
    }
    Ok(())
}

/// The console as a sink for formatted text.
#[derive(Clone, Copy, Debug)]
pub struct Writer(
    /// Where to.
    pub Console,
);

impl core::fmt::Write for Writer {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        write(self.0, text.as_bytes()).map_err(|_| core::fmt::Error)
    }
}
