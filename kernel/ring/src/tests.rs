//! Rings with real threads, and with indices that somebody else writes to. Under Miri these watch every unsafe line.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use std::collections::VecDeque;

use crate::{Homes, Passage, Ring};

const SIZE: usize = 4;

fn random() -> fastrand::Rng {
    let seed = fastrand::u64(..);
    println!("seed {seed:#x}");
    fastrand::Rng::with_seed(seed)
}

#[test]
fn a_ring_is_a_bounded_queue() {
    let mut rng = random();
    let ring = Ring::<(u8, u64), SIZE>::new((0, 0));
    // Indices wrap in the middle of it.
    ring.head.store(u32::MAX - 20, Ordering::Relaxed);
    ring.tail.store(u32::MAX - 20, Ordering::Relaxed);
    let mut queue = VecDeque::new();
    for number in 0..if cfg!(miri) { 200 } else { 20_000 } {
        let value = (number as u8, number);
        if rng.bool() {
            // SAFETY: one thread.
            let sent = unsafe { ring.push(value) };
            assert_eq!(sent, queue.len() < SIZE);
            if sent {
                queue.push_back(value);
            }
        } else {
            // SAFETY: one thread.
            assert_eq!(unsafe { ring.pop() }, queue.pop_front());
        }
    }
}

#[test]
fn two_threads_exchange_values_in_order() {
    const COUNT: u64 = if cfg!(miri) { 100 } else { 100_000 };
    let ring = Ring::<[u64; 3], SIZE>::new([0; 3]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while number < COUNT {
                // SAFETY: the only sender.
                if unsafe { ring.push([number, !number, number * 3]) } {
                    number += 1;
                } else {
                    std::thread::yield_now();
                }
            }
        });
        let mut number = 0;
        while number < COUNT {
            // SAFETY: the only receiver.
            match unsafe { ring.pop() } {
                Some(value) => {
                    assert_eq!(value, [number, !number, number * 3]);
                    number += 1;
                }
                None => std::thread::yield_now(),
            }
        }
    });
}

/// Places made one by one in memory that held something else are an empty ring.
#[test]
fn a_ring_is_made_in_any_memory() {
    let mut room = Box::new(core::mem::MaybeUninit::<Ring<u64, SIZE>>::uninit());
    // SAFETY: all bit patterns are fine for bytes that nobody reads as a ring yet.
    unsafe { room.as_mut_ptr().cast::<u8>().write_bytes(0xa5, size_of::<Ring<u64, SIZE>>()) };
    // SAFETY: a box of the right size.
    unsafe { Ring::make_at(room.as_mut_ptr(), 9) };
    // SAFETY: `make_at` filled it.
    let ring = unsafe { room.assume_init_ref() };
    // SAFETY: one thread.
    let pop = || unsafe { ring.pop() };
    assert_eq!(pop(), None);
    // SAFETY: as above.
    assert!(unsafe { ring.push(3) });
    assert_eq!([pop(), pop()], [Some(3), None]);
}

/// Whatever stands in the index words: at most as many values come out as there are places, each is one that was put in or the blank one, and a sender is
/// refused or fills a place of the ring.
#[test]
fn indices_that_lie_lead_nowhere_else() {
    let mut rng = random();
    for _ in 0..if cfg!(miri) { 50 } else { 5_000 } {
        let ring = Ring::<u64, SIZE>::new(u64::MAX);
        let mut known = vec![u64::MAX];
        for number in 0..20 {
            let index = match rng.u8(0..4) {
                0 => rng.u32(..),
                1 => rng.u32(0..10),
                2 => ring.head.load(Ordering::Relaxed).wrapping_add(rng.u32(0..10)),
                _ => 1 << rng.u32(0..32),
            };
            match rng.u8(0..4) {
                0 => ring.head.store(index, Ordering::Relaxed),
                1 => ring.tail.store(index, Ordering::Relaxed),
                // SAFETY: one thread.
                2 if unsafe { ring.push(number) } => known.push(number),
                2 => {}
                _ => {
                    // SAFETY: one thread.
                    let taken: Vec<u64> = core::iter::from_fn(|| unsafe { ring.pop() }).take(SIZE + 1).collect();
                    assert!(taken.len() <= SIZE && taken.iter().all(|value| known.contains(value)), "{taken:?} of {known:?}");
                }
            }
        }
    }
}

#[test]
fn a_passage_holds_one() {
    let passage = Passage::new();
    let things = [1u8, 2].map(|number| NonNull::from(Box::leak(Box::new(number))));
    assert!(passage.is_free() && passage.put(things[0]) && !passage.is_free() && !passage.put(things[1]));
    assert_eq!(passage.take(), Some(things[0]));
    assert!(passage.put(things[1]));
    assert_eq!((passage.take(), passage.take()), (Some(things[1]), None));
    for thing in things {
        // SAFETY: leaked above, and not used any more.
        drop(unsafe { Box::from_raw(thing.as_ptr()) });
    }
}

#[test]
fn places_have_homes() {
    let homes = Homes::<4>::new();
    homes.set(3, Some(u16::MAX - 1));
    homes.set(4, Some(1));
    assert_eq!([0, 3, 4, u16::MAX].map(|place| homes.get(place)), [None, Some(u16::MAX - 1), None, None]);
    homes.set(3, None);
    assert_eq!(homes.get(3), None);
}
