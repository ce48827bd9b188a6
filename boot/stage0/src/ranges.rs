//! Sets of pages as sorted ranges.

use core::fmt;

use aios_handoff::Range;
use aios_handoff::layout::{DIRECT_MAP_SIZE, PAGE_SIZE};
use heapless::Vec;

/// Most ranges of a set. More than a boot record holds, because a set has more pieces while things are still in it.
pub const CAPACITY: usize = 96;

/// Memory has more pieces than a list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeError {
    /// How many it holds.
    pub limit: usize,
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory has more than {} pieces", self.limit)
    }
}

impl core::error::Error for RangeError {}

/// A set would have more than [`CAPACITY`] ranges.
const FULL: RangeError = RangeError { limit: CAPACITY };

/// The whole pages that `range` touches; `None` when it is empty or reaches beyond the direct map window.
#[must_use]
pub const fn pages_around(range: Range) -> Option<Range> {
    match range.base.checked_add(range.len) {
        Some(end) if range.len != 0 && end <= DIRECT_MAP_SIZE => {
            let base = range.base & !(PAGE_SIZE - 1);
            Some(Range::new(base, end.next_multiple_of(PAGE_SIZE) - base))
        }
        _ => None,
    }
}

/// A set of addresses: ascending ranges, not empty, that neither overlap nor touch.
///
/// Ranges put in must end within the direct map window; with whole pages put in and taken out, the set is made of whole pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    ranges: Vec<Range, CAPACITY>,
}

impl RangeSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// The ranges in ascending order.
    #[must_use]
    pub fn as_slice(&self) -> &[Range] {
        &self.ranges
    }

    /// Adds the addresses of `range`.
    ///
    /// # Errors
    /// [`RangeError`]; the set is unchanged then.
    pub fn insert(&mut self, range: Range) -> Result<(), RangeError> {
        if range.len == 0 {
            return Ok(());
        }
        let (mut base, mut end) = (range.base, range.end());
        let mut result = Vec::new();
        let mut placed = false;
        for &old in &self.ranges {
            if old.end() < base {
                push(&mut result, old)?;
            } else if old.base > end {
                if !placed {
                    push(&mut result, Range::new(base, end - base))?;
                    placed = true;
                }
                push(&mut result, old)?;
            } else {
                base = base.min(old.base);
                end = end.max(old.end());
            }
        }
        if !placed {
            push(&mut result, Range::new(base, end - base))?;
        }
        self.ranges = result;
        Ok(())
    }

    /// Takes the addresses of `range` out.
    ///
    /// # Errors
    /// [`RangeError`]; the set is unchanged then.
    pub fn remove(&mut self, range: Range) -> Result<(), RangeError> {
        let mut result = Vec::new();
        for &old in &self.ranges {
            if !old.overlaps(&range) {
                push(&mut result, old)?;
                continue;
            }
            if old.base < range.base {
                push(&mut result, Range::new(old.base, range.base - old.base))?;
            }
            if old.end() > range.end() {
                push(&mut result, Range::new(range.end(), old.end() - range.end()))?;
            }
        }
        self.ranges = result;
        Ok(())
    }

    /// Whether all of `range` is in the set.
    #[must_use]
    pub fn contains(&self, range: Range) -> bool {
        self.ranges.iter().any(|own| own.contains(&range))
    }

    /// Whether a part of `range` is in the set.
    #[must_use]
    pub fn overlaps(&self, range: Range) -> bool {
        self.ranges.iter().any(|own| own.overlaps(&range))
    }

    /// Takes the lowest `len` bytes out that begin at a multiple of `align` (a power of two); `None` when there are none.
    ///
    /// # Errors
    /// [`RangeError`].
    pub fn allocate(&mut self, len: u64, align: u64) -> Result<Option<Range>, RangeError> {
        let fitting = |range: &Range| {
            let base = range.base.checked_next_multiple_of(align)?;
            let found = Range::new(base, len);
            range.contains(&found).then_some(found)
        };
        let Some(found) = self.ranges.iter().find_map(fitting) else { return Ok(None) };
        self.remove(found)?;
        Ok(Some(found))
    }

    /// Sum of all lengths, bytes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.ranges.iter().map(|range| range.len).sum()
    }
}

fn push(ranges: &mut Vec<Range, CAPACITY>, range: Range) -> Result<(), RangeError> {
    ranges.push(range).map_err(|_| FULL)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Random insertions and removals against a plain bitmap.
    #[test]
    fn agrees_with_a_bitmap() {
        const PAGES: u64 = 150;
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..200 {
            let mut set = RangeSet::new();
            let mut model = [false; PAGES as usize];
            for _ in 0..60 {
                let first = random.u64(..PAGES);
                let count = random.u64(0..=(PAGES - first).min(12));
                let range = Range::new(first * PAGE_SIZE, count * PAGE_SIZE);
                let pages = first as usize..(first + count) as usize;
                match random.u8(..3) {
                    0 => {
                        set.remove(range).unwrap();
                        model[pages].fill(false);
                    }
                    1 => {
                        set.insert(range).unwrap();
                        model[pages].fill(true);
                    }
                    _ => {
                        let align = PAGE_SIZE << random.u8(..4);
                        let steps = (align / PAGE_SIZE) as usize;
                        let expected = (0..=(PAGES - count) as usize)
                            .step_by(steps)
                            .find(|&at| count > 0 && model[at..at + count as usize].iter().all(|&free| free));
                        if count == 0 {
                            continue;
                        }
                        let got = set.allocate(range.len, align).unwrap();
                        assert_eq!(got.map(|range| (range.base / PAGE_SIZE) as usize), expected);
                        if let Some(at) = expected {
                            model[at..at + count as usize].fill(false);
                        }
                    }
                }
                for (page, &expected) in model.iter().enumerate() {
                    assert_eq!(set.contains(Range::new(page as u64 * PAGE_SIZE, PAGE_SIZE)), expected);
                }
                for pair in set.as_slice().windows(2) {
                    assert!(pair[0].end() < pair[1].base, "neither overlapping nor touching");
                }
                assert_eq!(set.total(), model.iter().filter(|&&page| page).count() as u64 * PAGE_SIZE);
            }
        }
    }

    #[test]
    fn a_full_set_is_unchanged() {
        let mut set = RangeSet::new();
        for index in 0..CAPACITY as u64 {
            set.insert(Range::new(index * 0x4000, 0x2000)).unwrap();
        }
        let before = set.clone();
        assert_eq!(set.insert(Range::new(0x4000 * CAPACITY as u64, 0x1000)), Err(FULL));
        assert_eq!(set.remove(Range::new(0x400, 0x400)), Err(FULL));
        assert_eq!(set, before);
        set.insert(Range::new(0, DIRECT_MAP_SIZE)).unwrap();
        assert_eq!(set.as_slice().len(), 1);
    }

    #[test]
    fn rounds_to_pages() {
        assert_eq!(pages_around(Range::new(0x1fff, 2)), Some(Range::new(0x1000, 0x2000)));
        assert_eq!(pages_around(Range::new(0x1000, 0)), None);
        assert_eq!(pages_around(Range::new(u64::MAX, 2)), None);
        assert_eq!(pages_around(Range::new(DIRECT_MAP_SIZE - 1, 2)), None);
    }
}
