use aios_elf::ElfError;

use super::*;
use crate::RangeSet;
use crate::simulation::{elf, init_file, kernel_file};

fn memory(ranges: &[Range]) -> Memory {
    let mut free = RangeSet::new();
    for range in ranges {
        free.insert(*range).unwrap();
    }
    Memory { mapped: free.clone(), free, total: 0 }
}

#[test]
fn kernel_lies_at_a_block_boundary() {
    let mut memory = memory(&[Range::new(0x4010_0000, 0x100_0000)]);
    let file = kernel_file();
    let plan = KernelPlan::new(&file, &mut memory).unwrap();
    // Its last segment ends at 0x15010 + 0x90000.
    assert_eq!(plan.range, Range::new(0x4020_0000, 0xa_6000));
    assert!(!memory.free.overlaps(plan.range));
    let data = plan.elf.segments().last().unwrap();
    assert_eq!(plan.segment_range(&data), Range::new(0x4021_5000, 0x9_1000));
}

#[test]
fn kernel_elsewhere_is_refused() {
    let mut memory = memory(&[Range::new(0, 1 << 30)]);
    let code = |va| [(va, 5, 16, 16)];
    let low = elf(0x40_0000, &code(0x40_0000), false);
    assert_eq!(KernelPlan::new(&low, &mut memory).err(), Some(Failure::KernelAddress(0x40_0000, 0x40_1000)));
    let large = elf(KERNEL_BASE, &[(KERNEL_BASE, 5, 16, 16), (KERNEL_BASE + 0x1000, 6, 0, KERNEL_MAX)], false);
    assert_eq!(KernelPlan::new(&large, &mut memory).err(), Some(Failure::KernelAddress(KERNEL_BASE, KERNEL_BASE + KERNEL_MAX + 0x1000)));
    assert_eq!(KernelPlan::new(b"no kernel", &mut memory).err(), Some(Failure::Kernel(ElfError::Truncated)));
    let file = kernel_file();
    let mut small = super::tests::memory(&[Range::new(0x4020_0000, 0xa_5000)]);
    assert_eq!(KernelPlan::new(&file, &mut small).err(), Some(Failure::NoMemory("the kernel")));
}

#[test]
fn init_gets_frames_of_its_own() {
    let mut memory = memory(&[Range::new(0x4000_0000, 0x2000), Range::new(0x5000_0000, 0x10_000)]);
    let before = memory.free.total();
    let file = init_file();
    let plan = InitPlan::new(&file, &mut memory).unwrap();
    assert_eq!((plan.image.entry, plan.image.abi_version), (0x40_0000, 1));
    let segments = plan.image.segments();
    assert_eq!(segments.len(), 2);
    assert_eq!((segments[0].va, segments[0].pa, segments[0].pages, segments[0].perms), (0x40_0000, 0x4000_0000, 2, 5));
    assert_eq!((segments[1].va, segments[1].pa, segments[1].pages, segments[1].perms), (0x40_2000, 0x5000_0000, 3, 6));
    assert_eq!(memory.free.total(), before - 5 * PAGE_SIZE);
}

#[test]
fn other_programs_are_no_init() {
    let mut memory = memory(&[Range::new(0, 1 << 30)]);
    let mut error = |file: &[u8]| InitPlan::new(file, &mut memory).err();
    assert_eq!(error(&elf(0x40_0000, &[(0x40_0000, 5, 16, 16)], false)), Some(Failure::InitAbi));
    assert_eq!(error(&elf(0, &[(0, 5, 16, 16)], true)), Some(Failure::InitAddress));
    assert_eq!(error(&elf(USER_END, &[(USER_END, 5, 16, 16)], true)), Some(Failure::InitAddress));
    let many: Vec<_> = (0..=MAX_SEGMENTS as u64).map(|index| (0x40_0000 + index * 0x1000, 5, 16, 16)).collect();
    assert_eq!(error(&elf(0x40_0000, &many, true)), Some(Failure::InitAddress));
    assert_eq!(error(&elf(0x40_0000, &many[1..], true)), Some(Failure::Init(ElfError::Entry(0x40_0000))));
}
