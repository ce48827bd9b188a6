//! Filling in the record for the kernel.

use aios_bundle::image::Payload;
use aios_handoff::{BootInfo, CONSOLE_DW8250, CONSOLE_PL011, Console, GicrRegion, MAX_RAM, PSCI_HVC, PSCI_NONE, PSCI_SMC, Range, regs};
use aios_platform::{Conduit, ConsoleKind, Platform, Trigger};

use crate::{Failure, InitPlan, KernelPlan, Memory, RangeError};

/// The affinity fields of `MPIDR_EL1`.
const AFFINITY: u64 = 0xff_00ff_ffff;

/// What the registers of the boot core say.
#[derive(Clone, Copy, Debug)]
pub struct Registers {
    /// Exception level at entry.
    pub entry_el: u64,
    /// `CNTVCT_EL0` at entry.
    pub counter: u64,
    /// `CNTFRQ_EL0`.
    pub counter_hz: u64,
    /// `MPIDR_EL1`.
    pub mpidr: u64,
    /// `ID_AA64MMFR0_EL1`.
    pub id_aa64mmfr0: u64,
}

/// Where everything lies, physical addresses.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// stage0 with payload and scratch memory: free but for `resident`, once the kernel runs.
    pub image: Range,
    /// The part of stage0 that stays.
    pub resident: Range,
    /// Entry of secondary cores.
    pub secondary_entry: u64,
    /// The device tree.
    pub dtb: Range,
    /// The bundle.
    pub bundle: Range,
    /// The kernel's translation tables.
    pub tables: Range,
    /// The record itself.
    pub boot_info: Range,
}

/// The record, checked as the kernel will check it.
///
/// # Errors
/// When the boot core is unknown, the counter has no frequency, memory has too many pieces, or the record is inconsistent.
pub fn boot_info<'a>(
    platform: &Platform<'a>,
    registers: &Registers,
    places: &Places,
    memory: &Memory,
    kernel: &KernelPlan<'_>,
    init: &InitPlan<'_>,
    payload: &Payload<'_>,
) -> Result<BootInfo, Failure<'a>> {
    let mut info = BootInfo::empty();
    info.entry_el = registers.entry_el as u32;
    info.psci = psci(platform);
    info.counter_at_entry = registers.counter;
    if registers.counter_hz == 0 {
        return Err(Failure::CounterFrequency);
    }
    info.counter_hz = registers.counter_hz;
    info.timer_intid = platform.virtual_timer;
    info.dtb = places.dtb;
    info.bundle = places.bundle;
    info.kernel = kernel.range;
    info.stage0 = places.resident;
    info.secondary_entry = places.secondary_entry;
    info.boot_info = places.boot_info;
    info.tables = places.tables;
    info.tcr = regs::tcr(registers.id_aa64mmfr0);
    info.mair = regs::MAIR_EL1;
    fill_ram(&mut info, memory, places)?;
    fill_cores(&mut info, platform, registers)?;
    let distributor = platform.gic.distributor;
    info.gicd = Range::new(distributor.start(), distributor.size());
    for (place, region) in info.gicr.iter_mut().zip(&platform.gic.redistributors) {
        *place = GicrRegion { base: region.range.start(), len: region.range.size(), stride: region.stride };
        info.gicr_count += 1;
    }
    info.console = console(platform);
    if let Some(seed) = platform.rng_seed {
        for (place, byte) in info.rng_seed.iter_mut().zip(seed) {
            *place = *byte;
            info.rng_seed_len += 1;
        }
    }
    info.init = init.image;
    info.kernel_sha256 = payload.kernel_sha256;
    info.bundle_sha256 = payload.bundle_sha256;
    info.validate()?;
    Ok(info)
}

/// The way to call the firmware, in the record's numbers.
#[must_use]
pub fn psci(platform: &Platform<'_>) -> u32 {
    match platform.psci {
        None => PSCI_NONE,
        Some(Conduit::Hvc) => PSCI_HVC,
        Some(Conduit::Smc) => PSCI_SMC,
    }
}

/// The console, in the record's form.
#[must_use]
pub fn console(platform: &Platform<'_>) -> Console {
    platform.console.as_ref().map_or(Console::default(), console_record)
}

/// The record of a console.
#[must_use]
pub fn console_record(console: &aios_platform::Console<'_>) -> Console {
    let (kind, reg_shift, reg_io_width) = match console.kind {
        ConsoleKind::Pl011 => (CONSOLE_PL011, 0, 4),
        ConsoleKind::Dw8250 { reg_shift, reg_io_width } => (CONSOLE_DW8250, reg_shift.into(), reg_io_width.into()),
    };
    Console {
        kind,
        intid: console.interrupt.map_or(0, |interrupt| interrupt.intid),
        base: console.registers.start(),
        len: console.registers.size(),
        reg_shift,
        reg_io_width,
        irq_edge: console.interrupt.is_some_and(|interrupt| interrupt.trigger == Trigger::Edge).into(),
        reserved: 0,
    }
}

fn fill_ram(info: &mut BootInfo, memory: &Memory, places: &Places) -> Result<(), Failure<'static>> {
    let mut free = memory.free.clone();
    free.insert(places.image)?;
    free.remove(places.resident)?;
    let ranges = free.as_slice();
    info.ram.get_mut(..ranges.len()).ok_or(RangeError { limit: MAX_RAM })?.copy_from_slice(ranges);
    info.ram_count = ranges.len() as u32;
    info.ram_total = memory.total;
    Ok(())
}

fn fill_cores(info: &mut BootInfo, platform: &Platform<'_>, registers: &Registers) -> Result<(), Failure<'static>> {
    let own = registers.mpidr & AFFINITY;
    if !platform.cores.contains(&own) {
        return Err(Failure::BootCore(own));
    }
    let others = platform.cores.iter().copied().filter(|core| *core != own);
    for (place, core) in info.cores.iter_mut().zip([own].into_iter().chain(others)) {
        *place = core;
        info.core_count += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use aios_handoff::layout::PAGE_SIZE;

    use super::*;
    use crate::simulation::{init_file, kernel_file, random_machine};
    use crate::{devices, map};

    /// On random machines the record passes the kernel's own check, and every byte of RAM is accounted for.
    #[test]
    fn records_are_consistent() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let (kernel_file, init_file) = (kernel_file(), init_file());
        let payload = Payload { kernel: &kernel_file, bundle_len: 0, kernel_sha256: [1; 32], bundle_sha256: [2; 32] };
        let mut done = 0;
        while done < 300 {
            let machine = random_machine(&mut random);
            let platform = &machine.platform;
            let Ok(mut memory) = Memory::new(platform, machine.image, machine.dtb, machine.initrd) else { continue };
            let devices = devices(platform).unwrap();
            let Ok(kernel) = KernelPlan::new(&kernel_file, &mut memory) else { continue };
            let Ok(init) = InitPlan::new(&init_file, &mut memory) else { continue };
            let Ok(boot_info_range) = memory.take(PAGE_SIZE, PAGE_SIZE, "") else { continue };
            let Ok(tables) = memory.take(map::kernel_tables_len(&memory, &devices), PAGE_SIZE, "") else { continue };
            let resident = Range::new(machine.image.base, 5 * PAGE_SIZE);
            let places = Places {
                image: machine.image,
                resident,
                secondary_entry: resident.base + 0x80,
                dtb: Range::new(machine.dtb.base + 8, machine.dtb.len - 8),
                bundle: machine.initrd,
                tables,
                boot_info: boot_info_range,
            };
            let registers = Registers { entry_el: 2, counter: 1, counter_hz: 62_500_000, mpidr: 0x8000_0100, id_aa64mmfr0: 0x1122 };
            let info = boot_info(platform, &registers, &places, &memory, &kernel, &init, &payload).unwrap();
            done += 1;
            assert_eq!(info.cores(), [0x100, 0, 0x200]);
            let taken = [kernel.range, resident, machine.dtb, machine.initrd, tables, boot_info_range];
            let init_len: u64 = info.init.segments().iter().map(|segment| segment.frames().len).sum();
            let accounted = info.ram().iter().chain(&taken).map(|range| range.len).sum::<u64>() + init_len;
            assert_eq!(accounted, memory.mapped.total());
            let other = Registers { mpidr: 0x300, ..registers };
            let error = boot_info(platform, &other, &places, &memory, &kernel, &init, &payload).unwrap_err();
            assert_eq!(error, Failure::BootCore(0x300));
            let other = Registers { counter_hz: 0, ..registers };
            let error = boot_info(platform, &other, &places, &memory, &kernel, &init, &payload).unwrap_err();
            assert_eq!(error, Failure::CounterFrequency);
        }
    }
}
