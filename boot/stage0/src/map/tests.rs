use aios_handoff::layout::{DIRECT_MAP_BASE, KERNEL_BASE};
use aios_handoff::regs::{ATTR_DEVICE, ATTR_NORMAL};

use super::*;
use crate::devices;
use crate::simulation::{Leaf, SimMemory, kernel_file, random_machine, walk};

/// All leaves that map some byte of `range`.
fn leaves_of(leaves: &[Leaf], range: Range) -> impl Iterator<Item = &Leaf> {
    leaves.iter().filter(move |leaf| Range::new(leaf.pa, leaf.len).overlaps(&range))
}

/// Adjacent leaves with the same meaning as one piece: (physical range, virtual address).
fn pieces<'l>(leaves: impl Iterator<Item = &'l Leaf>) -> Vec<(Range, u64)> {
    let mut pieces: Vec<(Range, u64)> = Vec::new();
    for leaf in leaves {
        match pieces.last_mut() {
            Some((range, va)) if range.end() == leaf.pa && va.wrapping_add(range.len) == leaf.va => range.len += leaf.len,
            _ => pieces.push((Range::new(leaf.pa, leaf.len), leaf.va)),
        }
    }
    pieces
}

/// On random machines: W^X holds, code has no other mapping, and all other memory is in the direct map exactly once.
#[test]
fn kernel_half_keeps_its_promises() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let file = kernel_file();
    let mut done = 0;
    while done < 300 {
        let machine = random_machine(&mut random);
        let Ok(mut memory) = Memory::new(&machine.platform, machine.image, machine.dtb, machine.initrd) else { continue };
        let devices = devices(&machine.platform).unwrap();
        let Ok(plan) = KernelPlan::new(&file, &mut memory) else { continue };
        let resident = Range::new(machine.image.base, 5 * PAGE_SIZE);
        let pages = kernel_tables_len(&memory, &devices) / PAGE_SIZE;
        let mut tables = Tables::new(SimMemory::new(pages), true).unwrap();
        kernel(&mut tables, &memory, &plan, resident, &devices).unwrap();
        let root = tables.root();
        let leaves = walk(&tables.into_memory(), root, true);
        done += 1;

        let (image, direct): (Vec<Leaf>, Vec<Leaf>) = leaves.iter().partition(|leaf| leaf.va >= KERNEL_BASE);
        for leaf in &leaves {
            assert!(!(leaf.writable() && leaf.executable()), "W^X: {leaf:x?}");
            assert!(leaf.private(), "EL0 has nothing here: {leaf:x?}");
            assert_eq!(leaf.entry >> 11 & 1, 0, "global");
        }
        // The image: each segment at its link address, nothing else; no other mapping of its memory, nor of stage0's.
        for leaf in &image {
            assert_eq!(leaf.pa - plan.range.base, leaf.va - KERNEL_BASE);
            let segment = plan.elf.segments().find(|segment| (segment.page_start()..segment.page_end()).contains(&leaf.va)).unwrap();
            assert_eq!(leaf.executable(), segment.flags.execute());
            assert_eq!(leaf.writable(), segment.flags.write());
        }
        let image_len: u64 = image.iter().map(|leaf| leaf.len).sum();
        assert_eq!(image_len, plan.elf.segments().map(|segment| segment.pages() * PAGE_SIZE).sum::<u64>());
        assert_eq!(leaves_of(&direct, plan.range).count(), 0);
        assert_eq!(leaves_of(&leaves, resident).count(), 0);
        assert!(direct.iter().all(|leaf| !leaf.executable()));
        // The direct map: what it should hold, once, at its place.
        let mut expected = memory.mapped.clone();
        expected.remove(plan.range).unwrap();
        expected.remove(resident).unwrap();
        let normal = pieces(direct.iter().filter(|leaf| leaf.attribute() == ATTR_NORMAL));
        assert_eq!(normal.iter().map(|(range, _)| *range).collect::<Vec<_>>(), expected.as_slice());
        let device = pieces(direct.iter().filter(|leaf| leaf.attribute() == ATTR_DEVICE));
        assert_eq!(device.iter().map(|(range, _)| *range).collect::<Vec<_>>(), devices.as_slice());
        for (range, va) in normal.iter().chain(&device) {
            assert_eq!(*va, DIRECT_MAP_BASE + range.base);
        }
    }
}

/// The early map: memory maps to itself, stage0's own parts as told.
#[test]
fn identity_map_keeps_its_promises() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut done = 0;
    while done < 200 {
        let machine = random_machine(&mut random);
        let Ok(memory) = Memory::new(&machine.platform, machine.image, machine.dtb, machine.initrd) else { continue };
        let devices = devices(&machine.platform).unwrap();
        let page = |index: u64| Range::new(machine.image.base + index * PAGE_SIZE, PAGE_SIZE);
        let own = [(page(0), Some(Access::Code)), (page(2), Some(Access::ReadOnly)), (page(4), None)];
        let mut tables = Tables::new(SimMemory::new(400), false).unwrap();
        identity(&mut tables, &memory, &own, &devices).unwrap();
        let root = tables.root();
        let leaves = walk(&tables.into_memory(), root, false);
        done += 1;

        assert!(leaves.iter().all(|leaf| leaf.va == leaf.pa && leaf.private() && leaf.entry >> 11 & 1 == 1));
        let code: Vec<_> = leaves.iter().filter(|leaf| leaf.executable()).collect();
        assert_eq!(code.len(), 1);
        assert!(!code[0].writable() && code[0].pa == page(0).base && code[0].len == PAGE_SIZE);
        let read_only: Vec<_> = leaves.iter().filter(|leaf| !leaf.writable() && !leaf.executable()).collect();
        assert_eq!((read_only.len(), read_only[0].pa), (1, page(2).base));
        let mut expected = memory.mapped.clone();
        expected.remove(page(4)).unwrap();
        let normal = pieces(leaves.iter().filter(|leaf| leaf.attribute() == ATTR_NORMAL));
        assert_eq!(normal.iter().map(|(range, _)| *range).collect::<Vec<_>>(), expected.as_slice());
    }
}
