//! Free page frames: a binary buddy system whose only memory is bits.
//!
//! For each order 0 to 5 (1 to 32 pages) there is a bit for each aligned block, set when the block is free as a whole; above it summaries, a bit for each word
//! below that is not zero, up to a single word. So the lowest free block is found in as many steps as there are levels, independently of the amount of
//! memory, and nothing is ever stored in a free frame. The bits cost 1/16,000 of the memory.
//!
//! Memory lies in *zones*, runs of RAM with small holes; frames of all zones are numbered through. Holes and what was never freed are simply not free.
//! A single free page is always found: a page that a pool has paid exists. A longer run may fail although enough pages are free.

use aios_handoff::Range;
use aios_handoff::layout::PAGE_SIZE;

/// Longest run, pages.
pub const RUN_MAX: u64 = 1 << (ORDERS - 1);
const ORDERS: usize = 7;
/// Levels of bits: enough for 2^30 pages.
const LEVELS: usize = 5;
/// Most zones.
const ZONES: usize = 64;
/// Holes up to this size don't begin a new zone, pages: their bits cost little.
const HOLE: u64 = 8192;

/// A run of page frames.
#[derive(Clone, Copy, Debug)]
struct Zone {
    /// Number of the first page, a multiple of [`RUN_MAX`]: so blocks are aligned in memory as they are in numbers.
    page: u64,
    pages: u64,
    /// What the first page is called here; a multiple of [`RUN_MAX`].
    index: u64,
}

/// The bits of one order: where each level begins in the common array of words, lowest level first.
#[derive(Clone, Copy, Debug)]
struct Bits {
    levels: [u32; LEVELS],
    depth: usize,
}

impl Bits {
    /// Where the levels begin, lowest first.
    fn starts(&self) -> &[u32] {
        &self.levels[..self.depth]
    }
}

/// How the memory is laid out, before there is memory for the bits.
#[derive(Clone, Debug)]
pub struct Plan {
    zones: [Zone; ZONES],
    count: usize,
    orders: [Bits; ORDERS],
    words: usize,
}

impl Plan {
    /// A plan for these ranges of RAM: ascending, disjoint, page aligned, at most 64.
    #[must_use]
    pub fn new(ranges: &[Range]) -> Self {
        let mut zones = [Zone { page: 0, pages: 0, index: 0 }; ZONES];
        let mut count = 0;
        let mut index = 0;
        for range in ranges.iter().take(ZONES) {
            let page = (range.base / PAGE_SIZE) & !(RUN_MAX - 1);
            let end = range.end() / PAGE_SIZE;
            match zones[..count].last_mut() {
                Some(last) if page <= last.page + last.pages + HOLE => last.pages = end - last.page,
                _ => {
                    zones[count] = Zone { page, pages: end - page, index: 0 };
                    count += 1;
                }
            }
        }
        for zone in &mut zones[..count] {
            zone.index = index;
            index = (index + zone.pages).next_multiple_of(RUN_MAX);
        }
        let mut words = 0;
        let orders = core::array::from_fn(|order| {
            let mut bits = Bits { levels: [0; LEVELS], depth: 0 };
            let mut length = (index as usize) >> order;
            while bits.depth < LEVELS && (length > 1 || bits.depth == 0) {
                length = length.div_ceil(64).max(1);
                bits.levels[bits.depth] = words as u32;
                bits.depth += 1;
                words += length;
            }
            bits
        });
        Self { zones, count, orders, words }
    }

    /// 64-bit words that the bits take.
    #[must_use]
    pub const fn words(&self) -> usize {
        self.words
    }
}

/// The free frames of the machine.
#[derive(Debug)]
pub struct Frames<'m> {
    plan: Plan,
    words: &'m mut [u64],
    free: u64,
}

impl<'m> Frames<'m> {
    /// No free frames yet. `words` are [`Plan::words`] zeros.
    #[must_use]
    pub fn new(plan: Plan, words: &'m mut [u64]) -> Self {
        Self { plan, words, free: 0 }
    }

    /// Pages that are free.
    #[must_use]
    pub const fn free_pages(&self) -> u64 {
        self.free
    }

    /// Whether these page frames are ones that can be given here.
    #[must_use]
    pub fn covers(&self, range: Range) -> bool {
        let (first, last) = (range.base / PAGE_SIZE, range.end().saturating_sub(1) / PAGE_SIZE);
        self.zones().iter().any(|zone| first >= zone.page && last < zone.page + zone.pages)
    }

    /// Takes a run of pages and answers its physical address. `None` when there is none, or `pages` is 0 or above [`RUN_MAX`].
    pub fn take(&mut self, pages: u64) -> Option<u64> {
        if pages == 0 || pages > RUN_MAX {
            return None;
        }
        let wanted = pages.next_power_of_two().trailing_zeros() as usize;
        let (mut order, mut block) = (wanted..ORDERS).find_map(|order| Some((order, self.first(order)?)))?;
        self.clear(order, block);
        while order > wanted {
            order -= 1;
            block *= 2;
            self.set(order, block + 1);
        }
        let index = block << order;
        self.free -= 1 << order;
        // A run that is no power of two: the rest goes back.
        let rest = (1 << order) - pages;
        if rest > 0 {
            self.give_run(index + pages, rest);
        }
        let zone = self.zones().iter().rev().find(|zone| zone.index <= index)?;
        Some((index - zone.index + zone.page) * PAGE_SIZE)
    }

    /// Gives pages back, or for the first time.
    ///
    /// # Panics
    /// When pages lie outside of the plan or, as far as that is seen at once, are free already: whoever does that gives away somebody else's memory.
    pub fn give(&mut self, address: u64, pages: u64) {
        let page = address / PAGE_SIZE;
        let zone = self.zones().iter().find(|zone| page >= zone.page && page + pages <= zone.page + zone.pages);
        let zone = zone.expect("a frame that is given back lies in a zone");
        self.give_run(page - zone.page + zone.index, pages);
    }

    fn zones(&self) -> &[Zone] {
        &self.plan.zones[..self.plan.count]
    }

    /// Makes a run free, in the largest aligned blocks.
    fn give_run(&mut self, mut index: u64, mut pages: u64) {
        while pages > 0 {
            let order = (index.trailing_zeros().min(pages.ilog2()) as usize).min(ORDERS - 1);
            self.give_block(order, index >> order);
            index += 1 << order;
            pages -= 1 << order;
        }
    }

    /// Makes a block free, joined with its buddies as far as they are free.
    fn give_block(&mut self, mut order: usize, mut block: u64) {
        debug_assert!((order..ORDERS).all(|larger| !self.get(larger, block >> (larger - order))), "a frame was given back twice");
        self.free += 1 << order;
        while order < ORDERS - 1 && self.get(order, block ^ 1) {
            self.clear(order, block ^ 1);
            order += 1;
            block /= 2;
        }
        let fresh = self.set(order, block);
        assert!(fresh, "a frame was given back twice");
    }

    fn get(&self, order: usize, block: u64) -> bool {
        let word = self.plan.orders[order].levels[0] as u64 + block / 64;
        self.words[word as usize] >> (block % 64) & 1 != 0
    }

    /// Sets a bit and what is above it; answers whether it was clear.
    fn set(&mut self, order: usize, block: u64) -> bool {
        let Self { plan, words, .. } = self;
        let mut at = block;
        for (level, &start) in plan.orders[order].starts().iter().enumerate() {
            let word = &mut words[(start as u64 + at / 64) as usize];
            let (bit, before) = (1 << (at % 64), *word);
            if level == 0 && before & bit != 0 {
                return false;
            }
            *word = before | bit;
            if before != 0 {
                break;
            }
            at /= 64;
        }
        true
    }

    fn clear(&mut self, order: usize, block: u64) {
        let Self { plan, words, .. } = self;
        let mut at = block;
        for &start in plan.orders[order].starts() {
            let word = &mut words[(start as u64 + at / 64) as usize];
            *word &= !(1 << (at % 64));
            if *word != 0 {
                break;
            }
            at /= 64;
        }
    }

    /// The lowest free block of an order.
    fn first(&self, order: usize) -> Option<u64> {
        let mut at = 0;
        for &start in self.plan.orders[order].starts().iter().rev() {
            let word = self.words[(start as u64 + at) as usize];
            if word == 0 {
                return None;
            }
            at = at * 64 + u64::from(word.trailing_zeros());
        }
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn with_ranges(ranges: &[Range]) -> Frames<'static> {
        let plan = Plan::new(ranges);
        let words = vec![0; plan.words()].leak();
        let mut frames = Frames::new(plan, words);
        for range in ranges {
            frames.give(range.base, range.len / PAGE_SIZE);
        }
        frames
    }

    const MIB: u64 = 1 << 20;

    #[test]
    fn small_and_large_machines_get_all_their_memory() {
        let small = [Range::new(0x4000_0000 + 5 * PAGE_SIZE, 64 * MIB - 9 * PAGE_SIZE)];
        let large = [
            Range::new(0x20_0000, 3 << 30),
            Range::new(0xf000_1000, 77 * PAGE_SIZE),
            Range::new(1 << 32, 28 << 30),
            Range::new(60 << 30, PAGE_SIZE),
        ];
        for (ranges, zones, limit) in [(&small[..], 1, 5 << 10), (&large[..], 4, 3 << 20)] {
            let mut frames = with_ranges(ranges);
            let total: u64 = ranges.iter().map(|range| range.len / PAGE_SIZE).sum();
            assert_eq!((frames.free_pages(), frames.plan.count), (total, zones));
            assert!(frames.plan.words() * 8 < limit, "{} bytes of bits", frames.plan.words() * 8);
            let mut count = 0;
            while let Some(address) = frames.take(1) {
                assert!(ranges.iter().any(|range| range.contains(&Range::new(address, PAGE_SIZE))));
                count += 1;
            }
            assert_eq!((count, frames.free_pages()), (total, 0));
        }
    }

    /// Random takes and gives against a map of what is taken: runs never overlap, never leave the RAM, and everything comes back.
    #[test]
    fn behaves_like_a_set_of_pages() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..40 {
            let mut ranges = Vec::new();
            let mut at = random.u64(0..1000) * PAGE_SIZE;
            for _ in 0..random.usize(1..12) {
                let len = random.u64(1..400) * PAGE_SIZE;
                ranges.push(Range::new(at, len));
                let hole = if random.u8(..4) == 0 { random.u64(1..200_000) } else { random.u64(1..50) };
                at += len + hole * PAGE_SIZE;
            }
            let total: u64 = ranges.iter().map(|range| range.len / PAGE_SIZE).sum();
            let mut frames = with_ranges(&ranges);
            let mut taken = BTreeMap::new();
            let mut used = 0;
            for _ in 0..3000 {
                if random.u8(..100) < 60 {
                    let pages = if random.bool() { 1 } else { random.u64(1..=RUN_MAX) };
                    let Some(address) = frames.take(pages) else {
                        assert!(pages > 1 || used == total, "a single page is always found");
                        continue;
                    };
                    let run = Range::new(address, pages * PAGE_SIZE);
                    assert!(frames.covers(run) && ranges.iter().any(|range| range.contains(&run)), "{run:?} is no RAM");
                    let before = taken.range(..run.end()).next_back();
                    assert!(before.is_none_or(|(&base, &pages)| base + pages * PAGE_SIZE <= address), "{run:?} is taken");
                    taken.insert(address, pages);
                    used += pages;
                } else if let Some((&address, &pages)) = taken.iter().nth(random.usize(..taken.len().max(1))) {
                    taken.remove(&address);
                    // In two parts: nobody has to remember how it was taken.
                    let part = random.u64(0..=pages);
                    frames.give(address, part);
                    frames.give(address + part * PAGE_SIZE, pages - part);
                    used -= pages;
                }
                assert_eq!(frames.free_pages(), total - used);
            }
            for (address, pages) in taken {
                frames.give(address, pages);
            }
            let fresh = with_ranges(&ranges);
            assert_eq!(frames.words, fresh.words, "all blocks joined again");
        }
    }

    #[test]
    fn runs_of_no_length_or_too_many_pages_don_t_exist() {
        let mut frames = with_ranges(&[Range::new(0, 16 * MIB)]);
        assert_eq!(frames.take(0), None);
        assert_eq!(frames.take(RUN_MAX + 1), None);
        assert_eq!(frames.take(RUN_MAX), Some(0));
        assert_eq!(frames.take(3), Some(RUN_MAX * PAGE_SIZE));
        assert_eq!(frames.take(1), Some((RUN_MAX + 3) * PAGE_SIZE), "the rest of the run is free");
        assert!(!frames.covers(Range::new(16 * MIB, PAGE_SIZE)) && !frames.covers(Range::new(15 * MIB, 2 * MIB)));
    }

    #[test]
    #[should_panic(expected = "twice")]
    fn giving_twice_is_noticed() {
        let mut frames = with_ranges(&[Range::new(0, MIB)]);
        frames.give(0x5000, 1);
    }
}
