//! Synopsys DesignWare 8250 (DW_apb_uart), and any UART with the registers of a 16550.
//!
//! What the DesignWare part does differently, and what is done about it:
//! - A write to LCR while the UART is busy is lost and raises a *busy detect* interrupt, which only a read of USR clears. LCR
//!   is never written here, but firmware may have: the interrupt is acknowledged.
//! - A receive *timeout* interrupt may stay although the FIFO is empty: one read of RBR clears it.
//! - Reading RBR with an empty FIFO may be answered by a bus error (where the part was built so): only the case above does it.

use core::mem;

use aios_mmio::{ReadOnly, ReadWrite, Registers, Taking, TakingWrite, Width, access};

use crate::{Error, Fault, Interrupts, Received, Uart};

/// Where registers are, and how they are accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Register n is at byte offset n << shift.
    pub shift: u8,
    /// Whether an access is 32 bits wide, else 8.
    pub wide: bool,
}

/// Register numbers, with their directions. The offset here is the number; [`Layout`] makes the address of it.
type Number<A> = aios_mmio::Register<u8, A>;

/// Data: received, and to send.
const RBR_THR: TakingWrite<u8> = Number::at(0);
/// Interrupt enable.
const IER: ReadWrite<u8> = Number::at(1);
/// Interrupt identity; reading clears *transmitter empty*.
const IIR: Taking<u8> = Number::at(2);
/// Line control.
const LCR: ReadOnly<u8> = Number::at(3);
/// Line status; reading clears the fault bits.
const LSR: Taking<u8> = Number::at(5);
/// Modem status; reading clears its interrupt.
const MSR: Taking<u8> = Number::at(6);
/// UART status (DesignWare only); reading clears *busy detect*.
const USR: Taking<u8> = Number::at(31);

const IER_RECEIVE: u8 = 1 << 0;
const IER_TRANSMIT: u8 = 1 << 1;

const IIR_CAUSE: u8 = 0x0f;
const IIR_MODEM: u8 = 0x0;
const IIR_NONE: u8 = 0x1;
const IIR_TRANSMIT: u8 = 0x2;
const IIR_RECEIVE: u8 = 0x4;
const IIR_LINE: u8 = 0x6;
const IIR_BUSY: u8 = 0x7;
const IIR_TIMEOUT: u8 = 0xc;
const IIR_FIFOS: u8 = 0xc0;

const LCR_DIVISOR_LATCH: u8 = 1 << 7;

const LSR_DATA: u8 = 1 << 0;
const LSR_OVERRUN: u8 = 1 << 1;
const LSR_PARITY: u8 = 1 << 2;
const LSR_FRAMING: u8 = 1 << 3;
const LSR_BREAK: u8 = 1 << 4;
const LSR_TX_EMPTY: u8 = 1 << 5;
const LSR_IDLE: u8 = 1 << 6;
const LSR_FAULTS: u8 = LSR_OVERRUN | LSR_PARITY | LSR_FRAMING | LSR_BREAK;

/// What every part with FIFOs has room for, in bytes.
const FIFO: u8 = 16;

/// Most causes of one interrupt; each is handled once at most, but for a device that keeps signalling.
const CAUSES: usize = 8;

/// Driver for a DesignWare 8250.
#[derive(Debug)]
pub struct Dw8250<R> {
    registers: R,
    layout: Layout,
    /// Fault bits that were read, and thereby cleared, while something else was asked for.
    faults: u8,
    /// How much an empty transmitter takes.
    depth: u8,
    /// Bytes that the transmitter surely has room for: 16550s tell only that it is empty, not that it is not full.
    room: u8,
}

impl<R: Registers> Dw8250<R> {
    /// A driver for the device with these registers. Touches nothing yet.
    pub const fn new(registers: R, layout: Layout) -> Self {
        Self { registers, layout, faults: 0, depth: 1, room: 0 }
    }

    fn offset<A>(&self, register: Number<A>) -> usize {
        register.offset() << self.layout.shift
    }

    fn load<A>(&self, register: Number<A>) -> u8 {
        let offset = self.offset(register);
        if self.layout.wide { u32::read(&self.registers, offset) as u8 } else { u8::read(&self.registers, offset) }
    }

    fn read<A: access::Readable>(&self, register: Number<A>) -> u8 {
        self.load(register)
    }

    fn take<A: access::Takeable>(&mut self, register: Number<A>) -> u8 {
        self.load(register)
    }

    fn write<A: access::Writable>(&mut self, register: Number<A>, value: u8) {
        let offset = self.offset(register);
        if self.layout.wide { u32::from(value).write(&self.registers, offset) } else { value.write(&self.registers, offset) }
    }

    /// Line status; its fault bits are kept for the next byte that is read.
    fn line_status(&mut self) -> u8 {
        let status = self.take(LSR);
        self.faults |= status & LSR_FAULTS;
        status
    }
}

impl<R: Registers> Uart for Dw8250<R> {
    fn init(&mut self) -> Result<(), Error> {
        if self.read(LCR) & LCR_DIVISOR_LATCH != 0 {
            return Err(Error::DivisorLatchOpen);
        }
        self.write(IER, 0);
        let identity = self.take(IIR);
        self.depth = if identity & IIR_FIFOS == IIR_FIFOS { FIFO } else { 1 };
        self.room = 0;
        if identity & IIR_CAUSE == IIR_BUSY {
            self.take(USR);
        }
        Ok(())
    }

    fn tx_ready(&mut self) -> bool {
        if self.room == 0 && self.line_status() & LSR_TX_EMPTY != 0 {
            self.room = self.depth;
        }
        self.room > 0
    }

    fn try_write(&mut self, byte: u8) -> bool {
        let ready = self.tx_ready();
        if ready {
            self.room -= 1;
            self.write(RBR_THR, byte);
        }
        ready
    }

    fn try_read(&mut self) -> Option<Received> {
        if self.line_status() & LSR_DATA == 0 {
            return None;
        }
        let byte = self.take(RBR_THR);
        let faults = mem::take(&mut self.faults);
        let kinds = [(LSR_BREAK, Fault::Break), (LSR_FRAMING, Fault::Framing), (LSR_PARITY, Fault::Parity), (LSR_OVERRUN, Fault::Overrun)];
        let fault = kinds.into_iter().find(|&(bit, _)| faults & bit != 0).map(|(_, fault)| fault);
        Some(Received { byte, fault })
    }

    fn set_interrupts(&mut self, wanted: Interrupts) {
        let receive = if wanted.receive { IER_RECEIVE } else { 0 };
        let transmit = if wanted.transmit { IER_TRANSMIT } else { 0 };
        self.write(IER, receive | transmit);
    }

    fn acknowledge(&mut self) -> Interrupts {
        let mut pending = Interrupts::default();
        for _ in 0..CAUSES {
            match self.take(IIR) & IIR_CAUSE {
                IIR_NONE => break,
                // Only reading the data clears it; it hides lesser causes until then, which signal again.
                IIR_RECEIVE => {
                    pending.receive = true;
                    break;
                }
                IIR_TIMEOUT if self.line_status() & LSR_DATA != 0 => {
                    pending.receive = true;
                    break;
                }
                IIR_TIMEOUT => {
                    self.take(RBR_THR);
                }
                IIR_TRANSMIT => pending.transmit = true,
                IIR_LINE => {
                    self.line_status();
                }
                IIR_MODEM => {
                    self.take(MSR);
                }
                IIR_BUSY => {
                    self.take(USR);
                }
                _ => break,
            }
        }
        pending
    }

    fn is_idle(&mut self) -> bool {
        self.line_status() & LSR_IDLE != 0
    }
}
