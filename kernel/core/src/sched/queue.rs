//! A calendar queue: a ring of buckets under a two-level bitmap, exact order within a bucket.
//!
//! A key's bucket is `key >> SHIFT`. The ring covers [`BUCKETS`] of them from a moving base on; what lies before the base goes into the first bucket,
//! what lies beyond the ring into the last, and is moved to its place when the ring gets there. Buckets are sorted by key, equals in order of arrival.
//!
//! Cost: finding the first entry takes three bitmap words whatever the number of entries. Inserting walks from the tail of one bucket, so an entry
//! that comes later than its neighbours costs nothing extra; the bound is the number of entries in the same `2^SHIFT` span (or beyond the ring).

/// Buckets of the ring.
const BUCKETS: usize = 1024;
const WORD: usize = 64;
const MASK: u64 = BUCKETS as u64 - 1;

/// An entry's place in its queue. Zero is nobody.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Link {
    /// Next in the bucket.
    pub next: u16,
    /// Previous in the bucket.
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

/// The queue.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CalendarQueue<const SHIFT: u32> {
    heads: [u16; BUCKETS],
    tails: [u16; BUCKETS],
    words: [u64; BUCKETS / WORD],
    summary: u64,
    /// Bucket number at which the ring starts.
    base: u64,
}

impl<const SHIFT: u32> CalendarQueue<SHIFT> {
    /// Nobody queued.
    pub const EMPTY: Self = Self { heads: [0; BUCKETS], tails: [0; BUCKETS], words: [0; BUCKETS / WORD], summary: 0, base: 0 };

    /// The entry with the lowest key.
    #[inline]
    pub fn first(&self) -> Option<u16> {
        self.first_bucket().map(|bucket| self.heads[bucket])
    }

    /// Index of the first bucket that is not empty, in ring order.
    #[inline]
    fn first_bucket(&self) -> Option<usize> {
        if self.summary == 0 {
            return None;
        }
        let start = (self.base & MASK) as usize;
        let (word, bit) = (start / WORD, start % WORD);
        let here = self.words[word] >> bit << bit;
        if here != 0 {
            return Some(word * WORD + here.trailing_zeros() as usize);
        }
        let behind = if word + 1 < BUCKETS / WORD { self.summary >> (word + 1) << (word + 1) } else { 0 };
        let found = if behind != 0 { behind } else { self.summary };
        let word = found.trailing_zeros() as usize;
        Some(word * WORD + self.words[word].trailing_zeros() as usize)
    }

    /// Queues an entry. `floor` is a key below which no new entry will be queued often: the ring starts there.
    pub fn insert(&mut self, entries: &mut impl Entries, id: u16, floor: u64) {
        self.advance(entries, floor);
        self.place(entries, id);
    }

    /// Moves the start of the ring up to `floor`, or to the first entry if that comes before.
    fn advance(&mut self, entries: &mut impl Entries, floor: u64) {
        let wanted = floor >> SHIFT;
        if wanted <= self.base {
            return;
        }
        self.base = match self.first_bucket() {
            None => wanted,
            Some(bucket) => wanted.min(self.number(bucket)),
        };
        self.settle(entries);
    }

    /// The bucket number that an index stands for.
    fn number(&self, bucket: usize) -> u64 {
        self.base + ((bucket as u64).wrapping_sub(self.base) & MASK)
    }

    fn place(&mut self, entries: &mut impl Entries, id: u16) {
        let key = entries.key(id);
        let number = (key >> SHIFT).clamp(self.base, self.base + MASK);
        let bucket = (number & MASK) as usize;
        let mut before = self.tails[bucket];
        while before != 0 && entries.key(before) > key {
            before = entries.link(before).previous;
        }
        let after = if before == 0 { self.heads[bucket] } else { entries.link(before).next };
        entries.set_link(id, Link { next: after, previous: before, bucket: bucket as u16 + 1 });
        match before {
            0 => self.heads[bucket] = id,
            _ => entries.set_link(before, Link { next: id, ..entries.link(before) }),
        }
        match after {
            0 => self.tails[bucket] = id,
            _ => entries.set_link(after, Link { previous: id, ..entries.link(after) }),
        }
        self.words[bucket / WORD] |= 1 << (bucket % WORD);
        self.summary |= 1 << (bucket / WORD);
    }

    /// Takes an entry out; false if it isn't queued.
    pub fn remove(&mut self, entries: &mut impl Entries, id: u16) -> bool {
        let link = entries.link(id);
        if link.bucket == 0 {
            return false;
        }
        self.unlink(entries, id, link);
        self.settle(entries);
        true
    }

    fn unlink(&mut self, entries: &mut impl Entries, id: u16, link: Link) {
        let bucket = link.bucket as usize - 1;
        match link.previous {
            0 => self.heads[bucket] = link.next,
            before => entries.set_link(before, Link { next: link.next, ..entries.link(before) }),
        }
        match link.next {
            0 => self.tails[bucket] = link.previous,
            after => entries.set_link(after, Link { previous: link.previous, ..entries.link(after) }),
        }
        entries.set_link(id, Link::NONE);
        if self.heads[bucket] == 0 {
            let word = &mut self.words[bucket / WORD];
            *word &= !(1 << (bucket % WORD));
            if *word == 0 {
                self.summary &= !(1 << (bucket / WORD));
            }
        }
    }

    /// Makes sure that the first entry lies in its own bucket: what was beyond the ring moves to its place when it comes first.
    fn settle(&mut self, entries: &mut impl Entries) {
        while let Some(bucket) = self.first_bucket() {
            let number = self.number(bucket);
            if entries.key(self.heads[bucket]) >> SHIFT <= number {
                return;
            }
            // Everything in this bucket is later than the bucket. The ring starts here now, so each entry finds a later place.
            self.base = number.max(self.base);
            let mut id = self.heads[bucket];
            let target = entries.key(id) >> SHIFT;
            if self.words.iter().map(|word| word.count_ones()).sum::<u32>() == 1 {
                // Nobody else is queued: the ring may start at the first of these.
                self.base = target;
            }
            let mut chain = 0;
            while id != 0 {
                let link = entries.link(id);
                self.unlink(entries, id, link);
                entries.set_link(id, Link { next: chain, ..Link::NONE });
                chain = id;
                id = link.next;
            }
            // The chain is reversed; placing from its end keeps equals in order.
            let mut ordered = 0;
            while chain != 0 {
                let next = entries.link(chain).next;
                entries.set_link(chain, Link { next: ordered, ..Link::NONE });
                ordered = chain;
                chain = next;
            }
            while ordered != 0 {
                let next = entries.link(ordered).next;
                self.place(entries, ordered);
                ordered = next;
            }
        }
    }
}
