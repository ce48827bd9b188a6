//! The distributor: shared interrupts.

use aios_mmio::{ReadOnly, ReadWrite, Registers, WriteOnly};

use super::{DEFAULT_PRIORITY, FIRST_SHARED, GicError, Trigger, bit, configured, poll, priorities};
use crate::AFFINITY_MASK;

/// Control.
const CTLR: ReadWrite<u32> = ReadWrite::at(0x0000);
/// How many interrupts there are.
const TYPER: ReadOnly<u32> = ReadOnly::at(0x0004);
/// Group 1 or 0, a bit each.
const IGROUPR: ReadWrite<u32> = ReadWrite::at(0x0080);
/// Enable; zeros change nothing.
const ISENABLER: ReadWrite<u32> = ReadWrite::at(0x0100);
/// Disable; zeros change nothing.
const ICENABLER: ReadWrite<u32> = ReadWrite::at(0x0180);
/// Make not pending; zeros change nothing.
const ICPENDR: ReadWrite<u32> = ReadWrite::at(0x0280);
/// Make not active; zeros change nothing.
const ICACTIVER: ReadWrite<u32> = ReadWrite::at(0x0380);
/// Priority, a byte each; all four of a word at once.
const IPRIORITYR: ReadWrite<u32> = ReadWrite::at(0x0400);
/// The same, one at a time.
const IPRIORITYR_BYTE: WriteOnly<u8> = WriteOnly::at(0x0400);
/// Trigger, two bits each.
const ICFGR: ReadWrite<u32> = ReadWrite::at(0x0c00);
/// Which core, 64 bits each.
const IROUTER: ReadWrite<u64> = ReadWrite::at(0x6000);
/// Peripheral id; the architecture version in bits 7–4.
const PIDR2: ReadOnly<u32> = ReadOnly::at(0xffe8);

/// Group 1 (of the non-secure world) enabled.
const CTLR_ENABLE: u32 = 1 << 1;
/// Interrupts are routed by affinity.
const CTLR_AFFINITY: u32 = 1 << 4;
/// A change is not finished.
const CTLR_PENDING: u32 = 1 << 31;

/// Driver for the distributor.
#[derive(Clone, Copy, Debug)]
pub struct Distributor<R> {
    registers: R,
    /// First number behind the shared interrupts.
    end: u32,
}

impl<R: Registers> Distributor<R> {
    /// Finds out what the distributor has. Changes nothing.
    ///
    /// # Errors
    /// When this is no GICv3 or GICv4.
    pub fn new(registers: R) -> Result<Self, GicError> {
        let version = (PIDR2.read(&registers) >> 4 & 0xf) as u8;
        if !(3..=4).contains(&version) {
            return Err(GicError::Version(version));
        }
        // 1020 and above are not interrupts.
        let end = (32 * ((TYPER.read(&registers) & 0x1f) + 1)).min(1020);
        Ok(Self { registers, end })
    }

    /// First number behind the shared interrupts that the hardware has.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.end
    }

    /// Puts everything into a known state: all shared interrupts disabled, idle, level triggered, at the default priority and
    /// routed to core `affinity`; then routing by affinity and delivery on. One core does it, once.
    ///
    /// # Errors
    /// When the distributor does not finish.
    pub fn init(&self, affinity: u64) -> Result<(), GicError> {
        let registers = &self.registers;
        // Routing by affinity, once on, must not be turned off again.
        CTLR.modify(registers, |control| control & CTLR_AFFINITY);
        self.wait()?;
        CTLR.write(registers, CTLR_AFFINITY);
        self.wait()?;
        for word in (FIRST_SHARED..self.end).step_by(32).map(|first| bit(first).0) {
            ICENABLER.nth(word).write(registers, u32::MAX);
        }
        self.wait()?;
        for first in (FIRST_SHARED..self.end).step_by(32) {
            let word = bit(first).0;
            ICPENDR.nth(word).write(registers, u32::MAX);
            ICACTIVER.nth(word).write(registers, u32::MAX);
            IGROUPR.nth(word).write(registers, u32::MAX);
        }
        for first in (FIRST_SHARED..self.end).step_by(16) {
            ICFGR.nth(first as usize / 16).write(registers, 0);
        }
        for first in (FIRST_SHARED..self.end).step_by(4) {
            IPRIORITYR.nth(first as usize / 4).write(registers, priorities(DEFAULT_PRIORITY));
        }
        for intid in FIRST_SHARED..self.end {
            IROUTER.nth(intid as usize).write(registers, affinity & AFFINITY_MASK);
        }
        CTLR.write(registers, CTLR_AFFINITY | CTLR_ENABLE);
        self.wait()
    }

    /// Lets an interrupt through. Any core may do it at any time.
    ///
    /// # Errors
    /// When there is no such shared interrupt; the same goes for the calls below.
    pub fn enable(&self, intid: u32) -> Result<(), GicError> {
        let (word, bit) = bit(self.shared(intid)?);
        ISENABLER.nth(word).write(&self.registers, bit);
        Ok(())
    }

    /// Holds an interrupt back. When it returns, no core gets it any more. Any core may do it at any time.
    ///
    /// # Errors
    /// Also when the distributor does not finish.
    pub fn disable(&self, intid: u32) -> Result<(), GicError> {
        let (word, bit) = bit(self.shared(intid)?);
        ICENABLER.nth(word).write(&self.registers, bit);
        self.wait()
    }

    /// Whether an interrupt is let through.
    ///
    /// # Errors
    /// As above.
    pub fn is_enabled(&self, intid: u32) -> Result<bool, GicError> {
        let (word, bit) = bit(self.shared(intid)?);
        Ok(ISENABLER.nth(word).read(&self.registers) & bit != 0)
    }

    /// Forgets that an interrupt was signalled or acknowledged: for one that changes hands, while it is disabled.
    ///
    /// # Errors
    /// As above.
    pub fn clear(&self, intid: u32) -> Result<(), GicError> {
        let (word, bit) = bit(self.shared(intid)?);
        ICPENDR.nth(word).write(&self.registers, bit);
        ICACTIVER.nth(word).write(&self.registers, bit);
        Ok(())
    }

    /// Sets how urgent an interrupt is; less is more.
    ///
    /// # Errors
    /// As above.
    pub fn set_priority(&self, intid: u32, priority: u8) -> Result<(), GicError> {
        IPRIORITYR_BYTE.nth(self.shared(intid)? as usize).write(&self.registers, priority);
        Ok(())
    }

    /// Sets when an interrupt is signalled. The interrupt is disabled, and no other core does this at the same time.
    ///
    /// # Errors
    /// As above.
    pub fn set_trigger(&self, intid: u32, trigger: Trigger) -> Result<(), GicError> {
        let register = ICFGR.nth(self.shared(intid)? as usize / 16);
        register.modify(&self.registers, |word| configured(word, intid, trigger));
        Ok(())
    }

    /// Sends an interrupt to core `affinity` from now on.
    ///
    /// # Errors
    /// As above.
    pub fn route(&self, intid: u32, affinity: u64) -> Result<(), GicError> {
        IROUTER.nth(self.shared(intid)? as usize).write(&self.registers, affinity & AFFINITY_MASK);
        Ok(())
    }

    fn shared(&self, intid: u32) -> Result<u32, GicError> {
        if (FIRST_SHARED..self.end).contains(&intid) { Ok(intid) } else { Err(GicError::NoSuchInterrupt(intid)) }
    }

    fn wait(&self) -> Result<(), GicError> {
        poll(|| CTLR.read(&self.registers) & CTLR_PENDING == 0)
    }
}
