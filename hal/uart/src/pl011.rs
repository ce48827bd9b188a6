//! Arm PrimeCell PL011.

use aios_mmio::{ReadOnly, ReadWrite, Registers, TakingWrite, WriteOnly};

use crate::{Error, Fault, Interrupts, Received, Uart};

/// Data; reading takes a byte with its fault bits out of the FIFO.
const DR: TakingWrite<u32> = TakingWrite::at(0x00);
/// Flags.
const FR: ReadOnly<u32> = ReadOnly::at(0x18);
/// Control.
const CR: ReadWrite<u32> = ReadWrite::at(0x30);
/// Interrupt mask: 1 lets an interrupt through.
const IMSC: ReadWrite<u32> = ReadWrite::at(0x38);
/// Interrupts that are pending and let through.
const MIS: ReadOnly<u32> = ReadOnly::at(0x40);
/// Interrupt clear: 1 clears.
const ICR: WriteOnly<u32> = WriteOnly::at(0x44);

const FR_BUSY: u32 = 1 << 3;
const FR_RX_EMPTY: u32 = 1 << 4;
const FR_TX_FULL: u32 = 1 << 5;

/// UART, transmitter and receiver enabled.
const CR_ENABLED: u32 = 1 << 0 | 1 << 8 | 1 << 9;

/// Receive FIFO at its level, and bytes in it that nobody read for a while.
const INT_RECEIVE: u32 = 1 << 4 | 1 << 6;
const INT_TRANSMIT: u32 = 1 << 5;
const INT_ALL: u32 = 0x7ff;

/// Driver for a PL011.
#[derive(Debug)]
pub struct Pl011<R> {
    registers: R,
}

impl<R: Registers> Pl011<R> {
    /// A driver for the device with these registers. Touches nothing yet.
    pub const fn new(registers: R) -> Self {
        Self { registers }
    }

    fn has(&self, flag: u32) -> bool {
        FR.read(&self.registers) & flag != 0
    }
}

impl<R: Registers> Uart for Pl011<R> {
    fn init(&mut self) -> Result<(), Error> {
        IMSC.write(&self.registers, 0);
        ICR.write(&self.registers, INT_ALL);
        // Without firmware (QEMU's direct boot) nobody has enabled the device. If somebody did, the register isn't touched:
        // it may only be written while the device is disabled.
        if CR.read(&self.registers) & CR_ENABLED != CR_ENABLED {
            CR.modify(&self.registers, |control| control | CR_ENABLED);
        }
        Ok(())
    }

    fn tx_ready(&mut self) -> bool {
        !self.has(FR_TX_FULL)
    }

    fn try_write(&mut self, byte: u8) -> bool {
        let ready = self.tx_ready();
        if ready {
            DR.write(&self.registers, byte.into());
        }
        ready
    }

    fn try_read(&mut self) -> Option<Received> {
        if self.has(FR_RX_EMPTY) {
            return None;
        }
        let data = DR.take(&self.registers);
        let faults = [(1 << 10, Fault::Break), (1 << 8, Fault::Framing), (1 << 9, Fault::Parity), (1 << 11, Fault::Overrun)];
        let fault = faults.into_iter().find(|&(bit, _)| data & bit != 0).map(|(_, fault)| fault);
        Some(Received { byte: data as u8, fault })
    }

    fn set_interrupts(&mut self, wanted: Interrupts) {
        let receive = if wanted.receive { INT_RECEIVE } else { 0 };
        let transmit = if wanted.transmit { INT_TRANSMIT } else { 0 };
        IMSC.write(&self.registers, receive | transmit);
    }

    fn acknowledge(&mut self) -> Interrupts {
        let pending = MIS.read(&self.registers);
        // Cleared before the data is read: what arrives meanwhile signals again, and what is there is read anyway.
        ICR.write(&self.registers, pending);
        Interrupts { receive: pending & INT_RECEIVE != 0, transmit: pending & INT_TRANSMIT != 0 }
    }

    fn is_idle(&mut self) -> bool {
        !self.has(FR_BUSY)
    }
}
