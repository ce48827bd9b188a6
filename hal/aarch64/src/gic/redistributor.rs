//! A core's redistributor: its software and per-core interrupts.
//!
//! LPIs stay off, as they are after reset: nothing here makes the redistributor read memory.

use aios_mmio::{ReadOnly, ReadWrite, Register, Registers, Width, WriteOnly, access};

use super::{DEFAULT_PRIORITY, FIRST_SHARED, GicError, Trigger, bit, configured, poll, priorities};
use crate::AFFINITY_MASK;

/// Control.
const CTLR: ReadOnly<u32> = ReadOnly::at(0x0000);
/// Affinity in bits 63–32 (Aff3 to Aff0), last of its region in bit 4, virtual LPIs in bit 1.
const TYPER: ReadOnly<u64> = ReadOnly::at(0x0008);
/// Whether the core sleeps.
const WAKER: ReadWrite<u32> = ReadWrite::at(0x0014);
/// As in the distributor, for interrupts 0 to 31; in the second frame of 64 KiB.
const IGROUPR0: ReadWrite<u32> = ReadWrite::at(0x1_0080);
const ISENABLER0: ReadWrite<u32> = ReadWrite::at(0x1_0100);
const ICENABLER0: ReadWrite<u32> = ReadWrite::at(0x1_0180);
const ICPENDR0: ReadWrite<u32> = ReadWrite::at(0x1_0280);
const ICACTIVER0: ReadWrite<u32> = ReadWrite::at(0x1_0380);
const IPRIORITYR: ReadWrite<u32> = ReadWrite::at(0x1_0400);
const IPRIORITYR_BYTE: WriteOnly<u8> = WriteOnly::at(0x1_0400);
/// Trigger of the per-core interrupts 16 to 31; that of software interrupts is fixed.
const ICFGR1: ReadWrite<u32> = ReadWrite::at(0x1_0c04);

const CTLR_PENDING: u32 = 1 << 3;
const TYPER_VIRTUAL_LPIS: u64 = 1 << 1;
const TYPER_LAST: u64 = 1 << 4;
const WAKER_PROCESSOR_SLEEP: u32 = 1 << 1;
const WAKER_CHILDREN_ASLEEP: u32 = 1 << 2;

/// Length of one frame in bytes. A redistributor has two, with virtual LPIs four.
const FRAME: usize = 0x1_0000;

/// The offset of the redistributor of core `affinity` within a region of `size` bytes; `None` when it is in another region.
/// `stride` is the distance from one to the next, 0 when the redistributors tell it themselves.
pub fn find_redistributor<R: Registers>(region: &R, size: usize, stride: usize, affinity: u64) -> Option<usize> {
    let affinity = affinity & AFFINITY_MASK;
    let wanted = affinity >> 32 << 24 | affinity & 0xff_ffff;
    let mut offset = 0usize;
    while offset.checked_add(2 * FRAME).is_some_and(|end| end <= size) {
        let kind = TYPER.offset() + offset;
        let kind = ReadOnly::<u64>::at(kind).read(region);
        if kind >> 32 == wanted {
            return Some(offset);
        }
        if kind & TYPER_LAST != 0 {
            return None;
        }
        let own = if kind & TYPER_VIRTUAL_LPIS != 0 { 4 * FRAME } else { 2 * FRAME };
        offset = offset.checked_add(if stride == 0 { own } else { stride })?;
    }
    None
}

/// Driver for one core's redistributor.
#[derive(Clone, Copy, Debug)]
pub struct Redistributor<R> {
    region: R,
    offset: usize,
}

impl<R: Registers> Redistributor<R> {
    /// The redistributor at `offset` of a region, as [`find_redistributor`] found it.
    pub const fn new(region: R, offset: usize) -> Self {
        Self { region, offset }
    }

    /// The register in this redistributor.
    fn here<T: Width, A>(&self, register: Register<T, A>) -> Register<T, A> {
        Register::at(self.offset + register.offset())
    }

    fn write<T: Width, A: access::Writable>(&self, register: Register<T, A>, value: T) {
        self.here(register).write(&self.region, value);
    }

    /// Wakes the redistributor, and puts the core's private interrupts into a known state: disabled, idle, per-core ones
    /// level triggered, at the default priority. The core itself does it, once.
    ///
    /// # Errors
    /// When the redistributor does not wake or does not finish.
    pub fn init(&self) -> Result<(), GicError> {
        let waker = self.here(WAKER);
        waker.modify(&self.region, |state| state & !WAKER_PROCESSOR_SLEEP);
        poll(|| waker.read(&self.region) & WAKER_CHILDREN_ASLEEP == 0)?;
        self.write(ICENABLER0, u32::MAX);
        self.wait()?;
        self.write(ICPENDR0, u32::MAX);
        self.write(ICACTIVER0, u32::MAX);
        self.write(IGROUPR0, u32::MAX);
        self.write(ICFGR1, 0);
        for word in 0..FIRST_SHARED as usize / 4 {
            self.write(IPRIORITYR.nth(word), priorities(DEFAULT_PRIORITY));
        }
        self.wait()
    }

    /// Lets a private interrupt of the core through.
    ///
    /// # Errors
    /// When the number is not a private interrupt's; the same goes for the calls below.
    pub fn enable(&self, intid: u32) -> Result<(), GicError> {
        self.write(ISENABLER0, bit(private(intid)?).1);
        Ok(())
    }

    /// Holds a private interrupt of the core back. When it returns, the core does not get it any more.
    ///
    /// # Errors
    /// Also when the redistributor does not finish.
    pub fn disable(&self, intid: u32) -> Result<(), GicError> {
        self.write(ICENABLER0, bit(private(intid)?).1);
        self.wait()
    }

    /// Sets how urgent a private interrupt is; less is more.
    ///
    /// # Errors
    /// As above.
    pub fn set_priority(&self, intid: u32, priority: u8) -> Result<(), GicError> {
        self.write(IPRIORITYR_BYTE.nth(private(intid)? as usize), priority);
        Ok(())
    }

    /// Sets when a per-core interrupt is signalled. It is disabled, and nobody else does this at the same time.
    ///
    /// # Errors
    /// As above, and for software interrupts, whose trigger is fixed.
    pub fn set_trigger(&self, intid: u32, trigger: Trigger) -> Result<(), GicError> {
        if private(intid)? < 16 {
            return Err(GicError::NoSuchInterrupt(intid));
        }
        self.here(ICFGR1).modify(&self.region, |word| configured(word, intid, trigger));
        Ok(())
    }

    fn wait(&self) -> Result<(), GicError> {
        poll(|| self.here(CTLR).read(&self.region) & CTLR_PENDING == 0)
    }
}

fn private(intid: u32) -> Result<u32, GicError> {
    if intid < FIRST_SHARED { Ok(intid) } else { Err(GicError::NoSuchInterrupt(intid)) }
}
