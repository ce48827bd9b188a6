use super::*;
use crate::{GicrRegion, ImageSegment};

fn sample() -> BootInfo {
    let mut info = BootInfo::empty();
    info.entry_el = 2;
    info.psci = PSCI_SMC;
    info.counter_hz = 62_500_000;
    info.timer_intid = 27;
    info.core_count = 2;
    info.cores[1] = 0x100;
    info.dtb = Range::new(0x4820_0010, 0x1234);
    info.bundle = Range::new(0x4800_0000, 0x10_0123);
    info.kernel = Range::new(0x4060_0000, 0x5_0000);
    info.stage0 = Range::new(0x4020_0000, 0x2000);
    info.secondary_entry = 0x4020_0040;
    info.boot_info = Range::new(0x4070_0000, 0x1000);
    info.tables = Range::new(0x4070_1000, 0x8000);
    info.tcr = regs::tcr(0x0010_1122);
    info.mair = regs::MAIR_EL1;
    info.ram_total = 64 << 20;
    info.ram_count = 2;
    info.ram[0] = Range::new(0x4000_0000, 0x20_0000);
    info.ram[1] = Range::new(0x4080_0000, 0x100_0000);
    info.gicd = Range::new(0x0800_0000, 0x1_0000);
    info.gicr_count = 1;
    info.gicr[0] = GicrRegion { base: 0x080a_0000, len: 0xf6_0000, stride: 0 };
    info.init.entry = 0x40_0100;
    info.init.segment_count = 2;
    info.init.segments[0] = ImageSegment { va: 0x40_0000, pa: 0x4071_0000, pages: 4, perms: PERM_READ | PERM_EXECUTE, reserved: 0 };
    info.init.segments[1] = ImageSegment { va: 0x40_4000, pa: 0x4071_4000, pages: 2, perms: PERM_READ | PERM_WRITE, reserved: 0 };
    info
}

#[test]
fn a_good_record_passes() {
    assert_eq!(sample().validate(), Ok(()));
}

#[test]
fn an_empty_record_fails() {
    assert!(BootInfo::empty().validate().is_err());
}

/// Each single change is caught, with the error that names it.
#[test]
fn each_contradiction_has_its_error() {
    type Change = fn(&mut BootInfo);
    let cases: &[(Change, BootInfoError)] = &[
        (|i| i.magic ^= 1, BootInfoError::Magic),
        (|i| i.version = 9, BootInfoError::Version(9)),
        (|i| i.size -= 8, BootInfoError::Size(size_of::<BootInfo>() as u32 - 8)),
        (|i| i.reserved = 1, BootInfoError::Reserved),
        (|i| i.entry_el = 3, BootInfoError::EntryLevel(3)),
        (|i| i.psci = 3, BootInfoError::Psci(3)),
        (|i| i.console.kind = 7, BootInfoError::Console(7)),
        (|i| i.counter_hz = 0, BootInfoError::Timer),
        (|i| i.timer_intid = 32, BootInfoError::Timer),
        (|i| i.rng_seed_len = 33, BootInfoError::Seed),
        (|i| i.tcr |= 1 << 39, BootInfoError::Translation),
        (|i| i.mair = 0, BootInfoError::Translation),
        (|i| i.core_count = 0, BootInfoError::Count("cores")),
        (|i| i.core_count = 65, BootInfoError::Count("cores")),
        (|i| i.cores[1] = 0, BootInfoError::Cores),
        (|i| i.cores[1] = 1 << 31, BootInfoError::Cores),
        (|i| i.gicr_count = 9, BootInfoError::Count("gicr")),
        (|i| i.gicr[0].len = u64::MAX, BootInfoError::Range("gicr")),
        (|i| i.kernel.base += 0x1000, BootInfoError::Range("kernel")),
        (|i| i.tables.base |= 8, BootInfoError::Range("tables")),
        (|i| i.tables.base = i.boot_info.base, BootInfoError::Overlap("tables")),
        (|i| i.secondary_entry = 0, BootInfoError::SecondaryEntry),
        (|i| i.ram_count = 0, BootInfoError::Count("ram")),
        (|i| i.ram[1].base = 0x4010_0000, BootInfoError::Overlap("ram")),
        (|i| i.ram[0].len += 0x1000, BootInfoError::Overlap("ram")),
        (|i| i.init.segments[1].pa = 0x4090_0000, BootInfoError::Overlap("ram")),
        (|i| i.ram_total = 4096, BootInfoError::Range("ram_total")),
        (|i| i.init.segment_count = 9, BootInfoError::Count("init")),
        (|i| i.init.segments[0].perms = 7, BootInfoError::Init),
        (|i| i.init.segments[0].va = 0, BootInfoError::Init),
        (|i| i.init.segments[1].va = 0x40_3000, BootInfoError::Init),
        (|i| i.init.segments[1].va = USER_END - 4096, BootInfoError::Init),
        (|i| i.init.segments[1].pages = u64::MAX, BootInfoError::Range("init")),
        (|i| i.init.segments[1].pa = 0x4071_3000, BootInfoError::Overlap("init")),
        (|i| i.init.entry = 0x40_4000, BootInfoError::Init),
    ];
    for (index, (change, expected)) in cases.iter().enumerate() {
        let mut info = sample();
        change(&mut info);
        assert_eq!(info.validate(), Err(*expected), "case {index}");
        assert!(!expected.to_string().is_empty());
    }
}

#[test]
fn range_arithmetic() {
    let range = Range::new(0x1000, 0x1000);
    assert!(range.overlaps(&Range::new(0x1fff, 1)));
    assert!(!range.overlaps(&Range::new(0x2000, 1)));
    assert!(!range.overlaps(&Range::new(0x1800, 0)));
    assert!(range.contains(&Range::new(0x1800, 0x800)));
    assert!(!range.contains(&Range::new(0x1800, 0x801)));
    assert_eq!(Range::new(u64::MAX, 2).end(), u64::MAX);
}
