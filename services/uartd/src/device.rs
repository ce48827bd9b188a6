//! The device: its registers mapped, its interrupt bound.

use aios_mmio::Mmio;
use aios_proto::names::{self, CallError, DeviceKind, DeviceName};
use aios_proto::{Capability, Error, sentence};
use aios_rt::memory::{Access, map};
use aios_rt::peer::Init;
use aios_rt::slot::{Device, Irq};
use aios_rt::time::Deadline;
use aios_rt::{abi, irq};
use aios_uart::{AnyUart, Layout};
use aios_uartd::{INTERRUPT, Line};

/// What the manifest calls the device.
const NAME: &str = "console";
/// How long the name service may take to answer, ns.
const ANSWER_NS: u64 = 2_000_000_000;
/// Where the registers are mapped: far from the program and its memory.
const ADDRESS: u64 = 0x10_0000_0000;

/// Why there is no device.
pub enum Failure {
    /// The name service's answer to a question for it.
    Names(CallError),
    /// It is none of those that there is a driver for.
    UnknownKind(DeviceKind),
    /// Its registers take so many bytes from this offset in their page on.
    BadRegion(u32, u64),
    /// The kernel would not map it.
    Map(abi::Error),
    /// The kernel would not bind its interrupt.
    Bind(abi::Error),
}

impl core::fmt::Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Names(error) => write!(f, "no device `{NAME}`: {error}"),
            Self::UnknownKind(kind) => write!(f, "no driver for a console of kind {}", kind.name()),
            Self::BadRegion(offset, size) => write!(f, "registers of {size:#x} bytes at offset {offset:#x}"),
            Self::Map(error) => write!(f, "can't map the registers: {}", sentence::of(*error)),
            Self::Bind(error) => write!(f, "can't bind the interrupt: {}", sentence::of(*error)),
        }
    }
}

impl<E: Into<CallError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Names(error.into())
    }
}

/// The device's interrupt, line 0 of its capability.
pub struct Interrupt(Irq);

impl Line for Interrupt {
    fn rearm(&mut self) {
        // The capability is the server's own and was good for binding the line.
        let _ = irq::ack(self.0, 0);
    }
}

/// Finds the device, maps its registers and binds its interrupt.
pub fn open(init: Init) -> Result<(AnyUart<Mmio>, Interrupt), Failure> {
    let mut names = init.names();
    let name = DeviceName::new(NAME).map_err(Error::from)?;
    let deadline = || Deadline::after(ANSWER_NS).0;
    let info = names.describe(name, deadline())?;
    let (device, region) = names.registers(name, 0, deadline())?;
    let (line, _) = names.interrupt(name, 0, deadline())?;
    let registers = registers(Device(device.handle()), region)?;
    let uart = match info.kind {
        DeviceKind::Pl011 => AnyUart::pl011(registers),
        DeviceKind::Dw8250 => AnyUart::dw8250(registers, Layout { shift: info.reg_shift, wide: info.reg_width == 4 }),
        other => return Err(Failure::UnknownKind(other)),
    };
    let line = Irq(line.handle());
    irq::bind(line, 0, INTERRUPT).map_err(Failure::Bind)?;
    Ok((uart, Interrupt(line)))
}

fn registers(device: Device, region: names::Region) -> Result<Mmio, Failure> {
    let bad = || Failure::BadRegion(region.offset, region.size);
    let base = usize::try_from(ADDRESS + u64::from(region.offset)).map_err(|_| bad())?;
    let size = usize::try_from(region.size).ok().filter(|size| region.offset.is_multiple_of(8) && *size > 0).ok_or_else(bad)?;
    map(device, ADDRESS, Access::ReadWrite).map_err(Failure::Map)?;
    // SAFETY: the capability covers the region's pages, which are mapped as device memory at `ADDRESS`, where nothing else is, for as long as the
    // program lives; the base is a multiple of 8; a UART without DMA does nothing to memory.
    Ok(unsafe { Mmio::new(base, size) })
}
