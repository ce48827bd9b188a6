//! A calendar queue: rings of buckets under bitmaps, in exact order.
//!
//! A ring's buckets are `2^SHIFT` wide in the first ring and 8 times wider in each further one; a ring covers [`BUCKETS`] of them from its base on.
//! An entry goes into the finest ring that reaches it, entries beyond all rings into one last bucket, and there it stays until it is removed.
//! A ring's base follows the floor, but never passes an entry; what lies below the base goes into the base's bucket. Buckets are sorted by key, equals
//! in order of arrival. Between rings too: bases only move up, so of two equal keys the one in the coarser ring came first.
//!
//! Cost: the first entry is known, and removing it looks at one bitmap a ring. An entry that belongs at either end of its bucket is inserted at once,
//! others after a walk from the tail past those with larger keys. Behind the first ring a bucket is as wide as a 64th to a 512th of the distance at
//! which it lies, so walks are short unless a crowd has almost, but not quite, the same keys.

/// Rings. The last one reaches `2^(SHIFT + 21)` beyond its base.
const RINGS: usize = 5;
/// Buckets of a ring.
const BUCKETS: usize = 512;
const WORDS: usize = BUCKETS / 64;
/// A ring's buckets are this power of two wider than the ring's before.
const GROWTH: u32 = 3;
/// The bucket behind all rings.
const FAR: usize = RINGS * BUCKETS;

/// An entry's place in its queue. Zero is nobody.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Link {
    /// Next in the bucket.
    pub next: u16,
    /// Previous in the bucket; of the first in its bucket, anybody.
    pub previous: u16,
    /// Bucket index plus one; 0: in no queue.
    pub bucket: u16,
}

impl Link {
    /// In no queue.
    pub const NONE: Self = Self { next: 0, previous: 0, bucket: 0 };
}

/// Where entries keep their keys and links.
pub trait Entries {
    /// The key of an entry; it doesn't change while the entry is queued.
    fn key(&self, id: u16) -> u64;
    /// The link of an entry.
    fn link(&self, id: u16) -> Link;
    /// Changes the link of an entry.
    fn set_link(&mut self, id: u16, link: Link);
}

/// Which buckets of a ring are in use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Ring {
    /// A bit a bucket, at the bucket's number modulo [`BUCKETS`].
    words: [u64; WORDS],
    /// Buckets in use.
    used: u16,
    /// Lowest bucket number. No bucket in use lies before it.
    base: u64,
}

impl Ring {
    const EMPTY: Self = Self { words: [0; WORDS], used: 0, base: 0 };

    /// Number of the first bucket in use.
    #[inline]
    fn first(&self) -> Option<u64> {
        if self.used == 0 {
            return None;
        }
        let start = self.base as usize % BUCKETS;
        let (word, behind) = (start / 64, u64::MAX << (start % 64));
        // The base's word is looked at twice: from the base on, and at the ring's end what is before.
        (0..=WORDS).find_map(|step| {
            let index = (word + step) % WORDS;
            let mask = match step {
                0 => behind,
                WORDS => !behind,
                _ => u64::MAX,
            };
            let bits = self.words[index] & mask;
            let bucket = index * 64 + bits.trailing_zeros() as usize;
            (bits != 0).then(|| self.base + (bucket + BUCKETS - start) as u64 % BUCKETS as u64)
        })
    }

    /// Moves the base up to a bucket number, or to the first bucket in use if that comes before.
    fn advance(&mut self, wanted: u64) {
        if wanted > self.base {
            self.base = self.first().map_or(wanted, |first| first.min(wanted));
        }
    }

    fn mark(&mut self, bucket: usize, used: bool) {
        let (word, bit) = (&mut self.words[bucket / 64], 1 << (bucket % 64));
        if used != (*word & bit != 0) {
            *word ^= bit;
            self.used = if used { self.used + 1 } else { self.used - 1 };
        }
    }
}

/// The queue.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CalendarQueue<const SHIFT: u32> {
    heads: [u16; FAR + 1],
    tails: [u16; FAR + 1],
    rings: [Ring; RINGS],
    /// The first entry; 0: none.
    first: u16,
}

impl<const SHIFT: u32> CalendarQueue<SHIFT> {
    /// Nobody queued.
    pub const EMPTY: Self = Self { heads: [0; FAR + 1], tails: [0; FAR + 1], rings: [Ring::EMPTY; RINGS], first: 0 };

    /// The entry with the lowest key; of equals, the one that came first.
    #[inline]
    pub fn first(&self) -> Option<u16> {
        (self.first != 0).then_some(self.first)
    }

    /// Queues an entry that is in no queue. `floor` is a key below which no new entry will be queued often: the rings start there.
    pub fn insert(&mut self, entries: &mut impl Entries, id: u16, floor: u64) {
        let key = entries.key(id);
        let bucket = self.bucket(key, floor);
        let (before, after) = self.neighbours(entries, key, bucket);
        entries.set_link(id, Link { next: after, previous: before, bucket: bucket as u16 + 1 });
        match before {
            0 => self.heads[bucket] = id,
            _ => entries.set_link(before, Link { next: id, ..entries.link(before) }),
        }
        match after {
            0 => self.tails[bucket] = id,
            _ => entries.set_link(after, Link { previous: id, ..entries.link(after) }),
        }
        if bucket != FAR {
            self.rings[bucket / BUCKETS].mark(bucket % BUCKETS, true);
        }
        if self.first == 0 || key < entries.key(self.first) {
            self.first = id;
        }
    }

    /// Between whom in its bucket a key belongs. What comes last, or first as keys below the floor do, needs no search.
    fn neighbours(&self, entries: &impl Entries, key: u64, bucket: usize) -> (u16, u16) {
        let (mut before, mut after) = (self.tails[bucket], 0);
        if before == 0 || entries.key(before) <= key {
            return (before, after);
        }
        let head = self.heads[bucket];
        if key < entries.key(head) {
            return (0, head);
        }
        while entries.key(before) > key {
            (before, after) = (entries.link(before).previous, before);
        }
        (before, after)
    }

    /// The bucket for a key: that of the finest ring that reaches it.
    fn bucket(&mut self, key: u64, floor: u64) -> usize {
        for (index, ring) in self.rings.iter_mut().enumerate() {
            let shift = SHIFT + GROWTH * index as u32;
            ring.advance(floor >> shift);
            let number = (key >> shift).max(ring.base);
            if number - ring.base < BUCKETS as u64 {
                return index * BUCKETS + number as usize % BUCKETS;
            }
        }
        FAR
    }

    /// Takes an entry out; false if it isn't queued.
    pub fn remove(&mut self, entries: &mut impl Entries, id: u16) -> bool {
        let link = entries.link(id);
        if link.bucket == 0 {
            return false;
        }
        let bucket = link.bucket as usize - 1;
        if id == self.heads[bucket] {
            self.heads[bucket] = link.next;
        } else {
            entries.set_link(link.previous, Link { next: link.next, ..entries.link(link.previous) });
        }
        if id == self.tails[bucket] {
            self.tails[bucket] = if self.heads[bucket] == 0 { 0 } else { link.previous };
        } else if self.heads[bucket] != link.next {
            entries.set_link(link.next, Link { previous: link.previous, ..entries.link(link.next) });
        }
        entries.set_link(id, Link::NONE);
        if self.heads[bucket] == 0 && bucket != FAR {
            self.rings[bucket / BUCKETS].mark(bucket % BUCKETS, false);
        }
        if id == self.first {
            self.first = self.lowest(entries);
        }
        true
    }

    /// The first of the rings' first entries.
    fn lowest(&self, entries: &impl Entries) -> u16 {
        let mut first = self.heads[FAR];
        let mut lowest = if first == 0 { u64::MAX } else { entries.key(first) };
        // From coarse to fine, and only what is lower replaces what was found: of equals, the one in the coarser ring came first.
        for (index, ring) in self.rings.iter().enumerate().rev() {
            let Some(number) = ring.first() else { continue };
            // Only the base's bucket can hold keys that are lower than its start.
            let shift = SHIFT + GROWTH * index as u32;
            if first != 0 && number != ring.base && number << shift >= lowest {
                continue;
            }
            let head = self.heads[index * BUCKETS + number as usize % BUCKETS];
            let key = entries.key(head);
            if first == 0 || key < lowest {
                (first, lowest) = (head, key);
            }
        }
        first
    }
}
