//! The calendar queue against a list that is kept sorted.

use std::cell::Cell;
use std::ops::RangeInclusive;

use super::rng;
use crate::sched::queue::{CalendarQueue, Entries, Link};

const SHIFT: u32 = 6;

/// Keys and links of entries; counts how often they are asked for.
struct Table {
    keys: Vec<u64>,
    links: Vec<Link>,
    reads: Cell<u64>,
}

impl Table {
    fn new(entries: usize) -> Self {
        Self { keys: vec![0; entries + 1], links: vec![Link::NONE; entries + 1], reads: Cell::new(0) }
    }
}

impl Entries for Table {
    fn key(&self, id: u16) -> u64 {
        self.reads.set(self.reads.get() + 1);
        self.keys[id as usize]
    }
    fn link(&self, id: u16) -> Link {
        self.reads.set(self.reads.get() + 1);
        self.links[id as usize]
    }
    fn set_link(&mut self, id: u16, link: Link) {
        self.links[id as usize] = link;
    }
}

/// The queue, and beside it all that it should hold in order of key and arrival.
struct Pair {
    table: Table,
    queue: CalendarQueue<SHIFT>,
    model: Vec<(u64, u64, u16)>,
    arrivals: u64,
}

impl Pair {
    fn new(entries: usize) -> Self {
        Self { table: Table::new(entries), queue: CalendarQueue::EMPTY, model: Vec::new(), arrivals: 0 }
    }

    fn insert(&mut self, id: u16, key: u64, floor: u64) {
        self.table.keys[id as usize] = key;
        self.queue.insert(&mut self.table, id, floor);
        let entry = (key, self.arrivals, id);
        self.arrivals += 1;
        let at = self.model.partition_point(|other| *other < entry);
        self.model.insert(at, entry);
        self.check();
    }

    fn remove(&mut self, id: u16) {
        let at = self.model.iter().position(|entry| entry.2 == id);
        assert_eq!(self.queue.remove(&mut self.table, id), at.is_some(), "whether entry {id} was queued");
        if let Some(at) = at {
            self.model.remove(at);
        }
        self.check();
    }

    fn contains(&self, id: u16) -> bool {
        self.table.links[id as usize].bucket != 0
    }

    /// The first entry, and the links of every bucket that is in use.
    fn check(&self) {
        assert_eq!(self.queue.first(), self.model.first().map(|entry| entry.2));
        for &(key, arrival, id) in &self.model {
            let link = self.table.links[id as usize];
            assert_ne!(link.bucket, 0, "entry {id} is queued");
            if link.next != 0 {
                let next = self.table.links[link.next as usize];
                assert_eq!((next.bucket, next.previous), (link.bucket, id), "links go both ways, within a bucket");
                let entry = self.model.iter().find(|entry| entry.2 == link.next).expect("the next one is queued");
                assert!((entry.0, entry.1) > (key, arrival), "buckets are sorted");
            }
        }
    }

    fn drain(&mut self) {
        while let Some(id) = self.queue.first() {
            self.remove(id);
        }
        assert!(self.model.is_empty());
        assert!(self.table.links.iter().all(|link| *link == Link::NONE));
    }
}

/// Random operations, with keys this far from a floor that moves.
fn against_model(entries: u16, steps: usize, distance: impl Fn(&mut fastrand::Rng) -> i64, strides: RangeInclusive<u64>) {
    let mut rng = rng();
    let mut pair = Pair::new(entries as usize);
    let mut floor = rng.u64(..1 << 40);
    for _ in 0..steps {
        let id = rng.u16(1..=entries);
        match rng.u8(..8) {
            0..=4 if !pair.contains(id) => {
                let key = floor.saturating_add_signed(distance(&mut rng));
                pair.insert(id, key, floor);
            }
            0..=5 => pair.remove(id),
            6 => {
                if let Some(first) = pair.queue.first() {
                    pair.remove(first);
                }
            }
            _ => floor += rng.u64(strides.clone()),
        }
    }
    pair.drain();
}

#[test]
fn near_keys_come_in_order() {
    against_model(60, 20_000, |rng| rng.i64(0..20_000), 0..=3_000);
}

#[test]
fn clustered_keys_come_in_order_of_arrival() {
    against_model(60, 20_000, |rng| rng.i64(0..8) * 100, 0..=150);
}

#[test]
fn far_keys_and_keys_below_the_floor_come_in_order() {
    let distance = |rng: &mut fastrand::Rng| match rng.u8(..4) {
        0 => rng.i64(-5_000..5_000),
        1 => rng.i64(0..1 << 61) >> rng.u32(0..50),
        2 => rng.i64(0..4) << 40,
        _ => rng.i64(0..200_000),
    };
    against_model(60, 20_000, distance, 0..=50_000);
}

#[test]
fn a_floor_that_leaps_keeps_the_order() {
    let distance = |rng: &mut fastrand::Rng| rng.i64(-(1 << 44)..1 << 45) >> rng.u32(0..30);
    against_model(40, 20_000, distance, 0..=1 << 40);
}

#[test]
fn a_floor_that_stays_keeps_the_order() {
    against_model(40, 20_000, |rng| rng.i64(-(1 << 30)..1 << 34), 0..=0);
}

#[test]
fn the_largest_keys_have_their_place() {
    let mut pair = Pair::new(4);
    pair.insert(1, u64::MAX, u64::MAX - 5);
    pair.insert(2, u64::MAX - 1, u64::MAX);
    pair.insert(3, 0, u64::MAX);
    pair.insert(4, u64::MAX, 0);
    let order: Vec<u16> = pair.model.iter().map(|entry| entry.2).collect();
    assert_eq!(order, [3, 2, 1, 4]);
    pair.drain();
}

#[test]
fn equals_leave_in_the_order_in_which_they_came() {
    let mut pair = Pair::new(50);
    // The same key, queued from further and further, then near: through every width of bucket.
    let key = 1 << 40;
    for id in 1..=50 {
        pair.insert(id, key, key - (key >> id.min(41)));
    }
    for id in 1..=50 {
        assert_eq!(pair.queue.first(), Some(id));
        pair.remove(id);
    }
}

#[test]
fn what_is_not_queued_is_not_removed() {
    let mut pair = Pair::new(2);
    pair.remove(1);
    pair.insert(1, 7, 0);
    pair.remove(2);
    pair.remove(1);
    pair.remove(1);
}

/// A far entry that comes first must not crowd those that are queued before it afterwards.
#[test]
fn one_far_entry_does_not_make_near_ones_slow() {
    let mut rng = rng();
    let mut table = Table::new(2001);
    let mut queue = CalendarQueue::<SHIFT>::EMPTY;
    table.keys[2001] = 1 << 40;
    queue.insert(&mut table, 2001, 0);
    for id in 1..=2000 {
        table.keys[id as usize] = rng.u64(..1 << 21);
        table.reads.set(0);
        queue.insert(&mut table, id, 0);
        assert!(table.reads.get() < 60, "{} reads to queue entry {id}", table.reads.get());
    }
    let mut last = 0;
    while let Some(id) = queue.first() {
        assert!(table.keys[id as usize] >= last);
        last = table.keys[id as usize];
        table.reads.set(0);
        queue.remove(&mut table, id);
        assert!(table.reads.get() < 20, "{} reads to take entry {id}", table.reads.get());
    }
}
