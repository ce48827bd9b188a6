//! Interrupt lines as one core uses them.

use aios_aarch64::gic::{Distributor, FIRST_SHARED, GicError, Redistributor, Trigger, cpu, find_redistributor};
use aios_handoff::layout::direct_va;
use aios_handoff::{BootInfo, GicrRegion};
use aios_mmio::Mmio;

use crate::rings::DOORBELL;

/// Lines below are software interrupts between cores, which no agent gets.
const FIRST_PRIVATE: u32 = 16;

/// What a core needs of the interrupt controller.
#[derive(Clone, Copy, Debug)]
pub struct Gic {
    distributor: Distributor<Mmio>,
    redistributor: Redistributor<Mmio>,
    affinity: u64,
    /// The kernel's own timer.
    timer: u32,
}

impl Gic {
    /// Puts the whole controller into a known state and turns it on for this, the boot core; of all lines only the timer's is enabled.
    pub fn start(info: &BootInfo, affinity: u64) -> Result<Self, GicError> {
        let distributor = Distributor::new(device(info.gicd.base, info.gicd.len))?;
        distributor.init(affinity)?;
        if info.console.intid >= FIRST_SHARED && info.console.irq_edge != 0 {
            distributor.set_trigger(info.console.intid, Trigger::Edge)?;
        }
        let redistributor = redistributor(info.gicr(), affinity)?;
        redistributor.init()?;
        redistributor.enable(info.timer_intid)?;
        redistributor.enable(DOORBELL)?;
        cpu::enable();
        Ok(Self { distributor, redistributor, affinity, timer: info.timer_intid })
    }

    /// The part of another core, which runs this itself.
    pub fn join(&self, regions: &[GicrRegion], affinity: u64) -> Result<Self, GicError> {
        let redistributor = redistributor(regions, affinity)?;
        redistributor.init()?;
        redistributor.enable(self.timer)?;
        redistributor.enable(DOORBELL)?;
        cpu::enable();
        Ok(Self { distributor: self.distributor, redistributor, affinity, timer: self.timer })
    }

    /// The timer's line.
    pub const fn timer(&self) -> u32 {
        self.timer
    }

    /// Enables a line and routes it to this core, or disables it. Lines that don't exist, or are the kernel's, stay as they are.
    pub fn switch(&self, line: u32, enable: bool) -> Result<(), GicError> {
        match (line, enable) {
            (..FIRST_PRIVATE, _) => Ok(()),
            _ if line == self.timer => Ok(()),
            (..FIRST_SHARED, true) => self.redistributor.enable(line),
            (..FIRST_SHARED, false) => self.redistributor.disable(line),
            (_, true) => {
                self.distributor.route(line, self.affinity)?;
                self.distributor.enable(line)
            }
            (_, false) => self.distributor.disable(line),
        }
    }
}

/// The redistributor of the core with this affinity.
fn redistributor(regions: &[GicrRegion], affinity: u64) -> Result<Redistributor<Mmio>, GicError> {
    regions
        .iter()
        .find_map(|region| {
            let registers = device(region.base, region.len);
            let offset = find_redistributor(&registers, region.len as usize, region.stride as usize, affinity)?;
            Some(Redistributor::new(registers, offset))
        })
        .ok_or(GicError::NoRedistributor(affinity))
}

fn device(base: u64, len: u64) -> Mmio {
    // SAFETY: the hand-over's ranges of the interrupt controller are mapped as device memory there, for ever; the controller is used without LPIs, so
    // it accesses no memory.
    unsafe { Mmio::new(direct_va(base) as usize, len as usize) }
}
