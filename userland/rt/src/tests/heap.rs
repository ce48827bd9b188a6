//! The heap.

use core::alloc::{GlobalAlloc, Layout};
use std::alloc::{alloc_zeroed, dealloc};
use std::cell::RefCell;
use std::rc::Rc;
use std::vec::Vec;

use aios_abi::{Call, Error};

use super::fake;
use crate::heap::Heap;

/// A kernel with `quota` bytes and at most 32 regions. Answers what was asked of it, too.
fn kernel(mut quota: u64) -> (fake::Installed, Rc<RefCell<Vec<[u64; 2]>>>) {
    struct Regions(Vec<(*mut u8, Layout)>);
    impl Drop for Regions {
        fn drop(&mut self) {
            for &(start, layout) in &self.0 {
                // SAFETY: allocated below with this layout.
                unsafe { dealloc(start, layout) };
            }
        }
    }
    let asked = Rc::new(RefCell::new(Vec::new()));
    let log = asked.clone();
    let mut regions = Regions(Vec::new());
    let installed = fake::install(move |call, regs| {
        assert_eq!(call, Call::AgentMemAlloc);
        let [bytes, on_touch, ..] = regs.x;
        log.borrow_mut().push([bytes, on_touch]);
        assert_eq!(bytes % 4096, 0);
        if bytes > quota {
            return Err(Error::NoMemory);
        }
        if regions.0.len() == 32 {
            return Err(Error::LimitReached);
        }
        quota -= bytes;
        let layout = Layout::from_size_align(bytes as usize, 4096).map_err(|_| Error::BadArgument)?;
        // SAFETY: not of size 0.
        let start = unsafe { alloc_zeroed(layout) };
        assert!(!start.is_null());
        regions.0.push((start, layout));
        regs.x[0] = start as u64;
        Ok(())
    });
    (installed, asked)
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a layout")
}

#[test]
fn blocks_are_aligned_disjoint_and_keep_their_content() {
    let (_kernel, _) = kernel(64 << 20);
    let heap = Heap::new();
    let seed: u64 = 0x5eed_0001;
    std::println!("seed {seed:#x}");
    let mut state = seed;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut live: Vec<(*mut u8, Layout, u8)> = Vec::new();
    for round in 0..20_000u32 {
        let pick = random(10);
        if pick < 5 || live.is_empty() {
            let size = if random(50) == 0 { 1 + random(200_000) } else { 1 + random(600) };
            let layout = layout(size as usize, 1 << random(8));
            // SAFETY: not of size 0.
            let start = if pick == 0 { unsafe { heap.alloc_zeroed(layout) } } else { unsafe { heap.alloc(layout) } };
            assert!(!start.is_null() && (start as usize).is_multiple_of(layout.align()));
            if pick == 0 {
                // SAFETY: the block that was just allocated.
                assert!(unsafe { core::slice::from_raw_parts(start, layout.size()) }.iter().all(|&byte| byte == 0));
            }
            // SAFETY: the block that was just allocated.
            unsafe { start.write_bytes(round as u8, layout.size()) };
            live.push((start, layout, round as u8));
        } else {
            let index = random(live.len() as u64) as usize;
            let (start, old, byte) = live.swap_remove(index);
            // SAFETY: a live block.
            assert!(unsafe { core::slice::from_raw_parts(start, old.size()) }.iter().all(|&seen| seen == byte));
            if pick < 8 {
                // SAFETY: a live block, no longer.
                unsafe { heap.dealloc(start, old) };
            } else {
                let new = layout(1 + random(3000) as usize, old.align());
                // SAFETY: a live block, no longer.
                let moved = unsafe { heap.realloc(start, old, new.size()) };
                assert!(!moved.is_null() && (moved as usize).is_multiple_of(new.align()));
                // SAFETY: the block that was just allocated.
                let content = unsafe { core::slice::from_raw_parts_mut(moved, new.size()) };
                assert!(content.iter().take(old.size()).all(|&seen| seen == byte));
                content.fill(byte);
                live.push((moved, new, byte));
            }
        }
    }
}

#[test]
fn chunks_grow_and_running_out_is_null() {
    let quota = 20 << 20;
    let (_kernel, asked) = kernel(quota);
    let heap = Heap::new();
    let mut count = 0u64;
    // SAFETY: not of size 0.
    while !unsafe { heap.alloc(layout(1000, 8)) }.is_null() {
        count += 1;
    }
    // Nearly all of the quota is of use, though the kernel has a limit of regions.
    assert!(count * 1000 > quota * 9 / 10, "{count}");
    assert!(quota - (heap.size() as u64) < 64 << 10);
    let granted = asked.borrow().len();
    assert_eq!(asked.borrow()[0], [64 << 10, 0]);
    // It stays so, and the kernel is asked each time, down to what is needed.
    // SAFETY: not of size 0.
    assert!(unsafe { heap.alloc(layout(100_000, 8)) }.is_null());
    assert!(asked.borrow().len() > granted);
    assert_eq!(asked.borrow().last(), Some(&[128 << 10, 0]));
    // SAFETY: not of size 0.
    assert!(unsafe { heap.alloc(layout(isize::MAX as usize - 100, 1)) }.is_null());
}

#[test]
fn memory_on_touch_is_asked_for_when_wanted() {
    let (_kernel, asked) = kernel(1 << 20);
    let heap = Heap::new();
    heap.on_touch();
    // SAFETY: not of size 0.
    assert!(!unsafe { heap.alloc(layout(300_000, 4096)) }.is_null());
    assert!(asked.borrow().iter().all(|&[bytes, on_touch]| on_touch == 1 && bytes >= 300_000));
}
