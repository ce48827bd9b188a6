use super::*;
use crate::simulation::{platform, platform_range};
use crate::{KernelPlan, Tables, map, simulation};

const IMAGE: Range = Range::new(0x200_0000, 0x20_0000);
const DTB: Range = Range::new(0xedca_7000, 0x1_2000);
const INITRD: Range = Range::new(0xedca_0000, 0x7000);

/// The 16 GB board's banks, as U-Boot writes them.
fn board() -> Platform<'static> {
    let banks = [
        (0x20_0000, 0x840_0000),
        (0x940_0000, 0xf000_0000),
        (0x1_0000_0000, 0x3_fc00_0000),
        (0x3_fc50_0000, 0x3_fff0_0000),
        (0x4_f000_0000, 0x5_0000_0000),
    ];
    let mut platform = platform();
    platform.memory = banks.iter().map(|(start, end): &(u64, u64)| platform_range(*start, end - start)).collect();
    platform.gic.distributor = platform_range(0xfe60_0000, 0x1_0000);
    platform.gic.redistributors[0].range = platform_range(0xfe68_0000, 0x10_0000);
    platform.initrd = Some(platform_range(INITRD.base, INITRD.len - 0x123));
    // U-Boot lists the initrd as reserved; the frame buffer is a range without alignment.
    platform.reserved = [platform_range(INITRD.base, INITRD.len - 0x123), platform_range(0xefff_f123, 0x100)].into_iter().collect();
    platform
}

#[test]
fn board_memory_is_accounted_for() {
    let platform = board();
    let memory = Memory::new(&platform, IMAGE, DTB, INITRD).unwrap();
    let expected = [
        (0x20_0000, 0x840_0000),
        (0x940_0000, 0xefff_f000),
        (0x1_0000_0000, 0x3_fc00_0000),
        (0x3_fc50_0000, 0x3_fff0_0000),
        (0x4_f000_0000, 0x5_0000_0000),
    ];
    let found: Vec<_> = memory.mapped.as_slice().iter().map(|range| (range.base, range.end())).collect();
    assert_eq!(found, expected);
    assert_eq!(memory.free.total(), memory.mapped.total() - IMAGE.len - DTB.len - INITRD.len);
    for taken in [IMAGE, DTB, INITRD] {
        assert!(!memory.free.overlaps(taken));
    }
    assert_eq!(memory.total, 0x820_0000 + 0xe6c0_0000 + 0x2_fc00_0000 + 0x3a0_0000 + 0x1000_0000);
}

/// Nearly 16 GiB with their holes fit into the tables that stage0 has room for before it knows any memory (its scratch), and the
/// direct map into what is estimated for it.
#[test]
fn board_memory_fits_the_tables() {
    let platform = board();
    let mut memory = Memory::new(&platform, IMAGE, DTB, INITRD).unwrap();
    let devices = devices(&platform).unwrap();
    let mut tables = Tables::new(simulation::SimMemory::new(40), false).unwrap();
    map::identity(&mut tables, &memory, &[(Range::new(IMAGE.base, 0x1000), None)], &devices).unwrap();
    assert!(tables.into_memory().used() <= 16);
    let file = simulation::kernel_file();
    let kernel = KernelPlan::new(&file, &mut memory).unwrap();
    let pages = map::kernel_tables_len(&memory, &devices) / PAGE_SIZE;
    let mut tables = Tables::new(simulation::SimMemory::new(pages), true).unwrap();
    map::kernel(&mut tables, &memory, &kernel, Range::new(IMAGE.base, 0x5000), &devices).unwrap();
    assert!(tables.into_memory().used() <= 20);
}

#[test]
fn misplaced_things_are_named() {
    let platform = board();
    let error = |image, dtb, initrd| Memory::new(&platform, image, dtb, initrd).err();
    let hole = Range::new(0x850_0000, 0x1000);
    assert_eq!(error(hole, DTB, INITRD), Some(Failure::OutsideMemory("boot image")));
    assert_eq!(error(IMAGE, Range::new(0xefff_f000, 0x2000), INITRD), Some(Failure::OutsideMemory("device tree")));
    assert_eq!(error(IMAGE, DTB, Range::new(0, 0x1000)), Some(Failure::OutsideMemory("bundle")));
    assert_eq!(error(IMAGE, IMAGE, INITRD), Some(Failure::Overlap("device tree")));
    assert_eq!(error(IMAGE, DTB, DTB), Some(Failure::Overlap("bundle")));
}

#[test]
fn devices_in_memory_are_refused() {
    let mut platform = board();
    platform.gic.distributor = platform_range(0x1_0000_0000, 0x1_0000);
    assert_eq!(devices(&platform).err(), Some(Failure::DeviceAddress("interrupt controller")));
    platform.gic.distributor = platform_range(DIRECT_MAP_SIZE, 0x1_0000);
    assert_eq!(devices(&platform).err(), Some(Failure::DeviceAddress("interrupt controller")));
}

#[test]
fn memory_beyond_the_window_is_left_out() {
    let mut platform = board();
    platform.memory.push(platform_range(DIRECT_MAP_SIZE - 0x1000, 0x10_0000)).unwrap();
    platform.memory.push(platform_range(DIRECT_MAP_SIZE * 2, 0x10_0000)).unwrap();
    let memory = Memory::new(&platform, IMAGE, DTB, INITRD).unwrap();
    assert_eq!(memory.mapped.as_slice().last(), Some(&Range::new(DIRECT_MAP_SIZE - 0x1000, 0x1000)));
}
