//! A UART whose kind is known at run time only.

use aios_mmio::Registers;

use crate::{Dw8250, Error, Interrupts, Layout, Pl011, Received, Uart};

/// Any of the supported UARTs.
#[derive(Debug)]
pub enum AnyUart<R> {
    /// Arm PrimeCell PL011.
    Pl011(Pl011<R>),
    /// DesignWare 8250 and other 16550s.
    Dw8250(Dw8250<R>),
}

impl<R: Registers> AnyUart<R> {
    /// A PL011 with these registers.
    pub const fn pl011(registers: R) -> Self {
        Self::Pl011(Pl011::new(registers))
    }

    /// A 16550 with these registers.
    pub const fn dw8250(registers: R, layout: Layout) -> Self {
        Self::Dw8250(Dw8250::new(registers, layout))
    }
}

macro_rules! each {
    ($self:expr, $uart:ident => $body:expr) => {
        match $self {
            AnyUart::Pl011($uart) => $body,
            AnyUart::Dw8250($uart) => $body,
        }
    };
}

impl<R: Registers> Uart for AnyUart<R> {
    fn init(&mut self) -> Result<(), Error> {
        each!(self, uart => uart.init())
    }
    fn tx_ready(&mut self) -> bool {
        each!(self, uart => uart.tx_ready())
    }
    fn try_write(&mut self, byte: u8) -> bool {
        each!(self, uart => uart.try_write(byte))
    }
    fn try_read(&mut self) -> Option<Received> {
        each!(self, uart => uart.try_read())
    }
    fn set_interrupts(&mut self, wanted: Interrupts) {
        each!(self, uart => uart.set_interrupts(wanted));
    }
    fn acknowledge(&mut self) -> Interrupts {
        each!(self, uart => uart.acknowledge())
    }
    fn is_idle(&mut self) -> bool {
        each!(self, uart => uart.is_idle())
    }
}
