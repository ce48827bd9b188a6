//! Virtual time of the fair class.
//!
//! A context's virtual time counts what it got: [`RATE`] units a nanosecond, divided by its weight. The clock shows the mean of all that compete, by
//! weight, so a context behind the clock is owed time and one before it had more than its share. When somebody leaves, the mean may fall; the clock
//! waits then, so nobody who comes later starts before those who came earlier.
//!
//! At weight 1 the units last for 18 years of running. Virtual time ends at [`LAST`] instead of wrapping; who is there is ordered by weight alone.

use aios_abi::limits::SLICE_MIN_NS;

/// Units of virtual time that a nanosecond takes at weight 1.
const RATE: u64 = 16;
/// The end of virtual time. Requests begin before it and fit behind it.
pub(super) const LAST: u64 = 1 << 63;

/// Units of virtual time that the shortest slice takes, rounded down, so that such a slice serves it.
pub(super) const fn request(weight: u64) -> u64 {
    SLICE_MIN_NS * RATE / weight
}

/// The time in which a context of this weight grows by so many units.
pub(super) const fn ns(units: u64, weight: u64) -> u64 {
    units.saturating_mul(weight).div_ceil(RATE)
}

/// A key for the queue: in steps of at most a 32nd of a request, so that contexts that come one after the other have equal or rising keys and queueing
/// is no search.
pub(super) const fn key(vtime: u64, request: u64) -> u64 {
    let step = 1 << (request / 32).ilog2();
    vtime & !(step - 1)
}

/// Units that a time takes at this weight. `rest` is what was left undivided the last time.
pub(super) const fn units(ns: u64, weight: u64, rest: u64) -> (u64, u64) {
    let total = ns.saturating_mul(RATE).saturating_add(rest);
    (total / weight, total % weight)
}

/// The mean of the virtual times of all that compete.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Clock {
    now: u64,
    /// Sum over all that compete of weight × (virtual time - `now`).
    ahead: i128,
    /// Sum of the weights of all that compete.
    weight: u64,
}

impl Clock {
    /// Nobody competes.
    pub const ZERO: Self = Self { now: 0, ahead: 0, weight: 0 };

    /// Nobody competes yet; the clock shows `now`.
    pub const fn at(now: u64) -> Self {
        Self { now, ..Self::ZERO }
    }

    pub const fn now(&self) -> u64 {
        self.now
    }

    pub const fn weight(&self) -> u64 {
        self.weight
    }

    fn distance(&self, vtime: u64, weight: u64) -> i128 {
        (vtime as i128 - self.now as i128) * weight as i128
    }

    /// The virtual time that leaves a context of another weight as much time before or behind its share.
    pub fn rescale(&self, vtime: u64, before: u64, after: u64) -> u64 {
        let distance = self.distance(vtime, before) / after as i128;
        (self.now as i128 + distance).clamp(0, LAST as i128) as u64
    }

    /// A context begins to compete.
    pub fn join(&mut self, vtime: u64, weight: u64) {
        self.ahead += self.distance(vtime, weight);
        self.weight += weight;
        self.settle();
    }

    /// A context has been competing, and the clock knew of it.
    pub fn compete(&mut self, vtime: u64, weight: u64) {
        self.ahead += self.distance(vtime, weight);
        self.weight += weight;
    }

    /// A context competes no more. The clock shows it from the next [`settle`](Self::settle) on.
    pub fn leave(&mut self, vtime: u64, weight: u64) {
        self.ahead -= self.distance(vtime, weight);
        self.weight -= weight;
    }

    /// The virtual time of one that competes grew by so many units.
    pub fn grow(&mut self, units: u64, weight: u64) {
        self.ahead += units as i128 * weight as i128;
        self.settle();
    }

    /// Whether nobody competes, and nobody left anything behind.
    #[cfg(test)]
    pub const fn is_idle(&self) -> bool {
        self.ahead == 0 && self.weight == 0
    }

    /// Moves the clock up to the mean.
    pub fn settle(&mut self) {
        if self.weight != 0 && self.ahead >= self.weight as i128 {
            let units = self.ahead / self.weight as i128;
            self.now += units as u64;
            self.ahead -= units * self.weight as i128;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, LAST, SLICE_MIN_NS, key, ns, request, units};
    use crate::sched::tests::rng;

    #[test]
    fn the_clock_shows_the_mean_and_never_goes_back() {
        let mut rng = rng();
        let mut clock = Clock::ZERO;
        let mut competing: Vec<(u64, u64)> = Vec::new();
        for _ in 0..100_000 {
            let before = clock.now();
            match rng.u8(..4) {
                0 if competing.len() < 50 => {
                    let (vtime, weight) = (clock.now() + (rng.u64(..1 << 40) >> rng.u32(..40)), rng.u64(1..=1024));
                    clock.join(vtime, weight);
                    competing.push((vtime, weight));
                }
                1 if !competing.is_empty() => {
                    let (vtime, weight) = competing.swap_remove(rng.usize(..competing.len()));
                    clock.leave(vtime, weight);
                    clock.settle();
                }
                _ if !competing.is_empty() => {
                    let at = rng.usize(..competing.len());
                    let grown = rng.u64(..1 << 24);
                    competing[at].0 += grown;
                    clock.grow(grown, competing[at].1);
                }
                _ => {}
            }
            let weight: u64 = competing.iter().map(|entry| entry.1).sum();
            assert_eq!(clock.weight(), weight);
            let sum: u128 = competing.iter().map(|entry| entry.0 as u128 * entry.1 as u128).sum();
            let mean = if weight == 0 { 0 } else { (sum / weight as u128) as u64 };
            assert_eq!(clock.now(), before.max(mean));
        }
        for (vtime, weight) in competing {
            clock.leave(vtime, weight);
        }
        assert!(clock.is_idle());
    }

    #[test]
    fn no_time_is_lost_in_units() {
        let mut rng = rng();
        for _ in 0..1_000 {
            let weight = rng.u64(1..=1024);
            let (mut total, mut vtime, mut rest) = (0, 0, 0);
            for _ in 0..100 {
                let spent = rng.u64(..200);
                let (grown, left) = units(spent, weight, rest);
                (total, vtime, rest) = (total + spent, vtime + grown, left);
            }
            assert_eq!(units(total, weight, 0), (vtime, rest));
        }
    }

    #[test]
    fn the_shortest_slice_serves_a_request() {
        for weight in 1..=1024 {
            assert!(units(SLICE_MIN_NS, weight, 0).0 >= request(weight));
            assert!(ns(request(weight), weight) <= SLICE_MIN_NS);
            assert!(units(ns(request(weight), weight), weight, 0).0 >= request(weight));
        }
    }

    #[test]
    fn keys_round_by_a_32nd_of_a_request_at_most() {
        let mut rng = rng();
        for weight in 1..=1024 {
            let vtime = rng.u64(..LAST);
            let rounded = key(vtime, request(weight));
            assert!(rounded <= vtime && vtime - rounded < request(weight) / 32);
        }
    }

    #[test]
    fn another_weight_keeps_the_time_that_is_owed() {
        let mut clock = Clock::ZERO;
        clock.join(1_000_000, 8);
        assert_eq!(clock.rescale(1_000_100, 10, 20), 1_000_050);
        assert_eq!(clock.rescale(999_900, 10, 5), 999_800);
        assert_eq!(clock.rescale(0, 1024, 1), 0);
        assert_eq!(clock.rescale(LAST, 1024, 1), LAST);
    }
}
