//! Virtual time of the fair class.
//!
//! A context's virtual time counts what it got: [`RATE`] units a nanosecond, divided by its weight. The clock shows the mean of all that compete, by
//! weight, so a context behind the clock is owed time and one before it had more than its share. When somebody leaves, the mean may fall; the clock
//! waits then, so nobody who comes later starts before those who came earlier.
//!
//! At weight 1 the units last for 36 years of running; sums saturate instead of wrapping.

use aios_abi::limits::SLICE_MIN_NS;

/// Units of virtual time that a nanosecond takes at weight 1.
const RATE: u64 = 16;

/// Units of virtual time that the shortest slice takes.
pub(super) const fn request(weight: u64) -> u64 {
    (SLICE_MIN_NS * RATE).div_ceil(weight)
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

    pub const fn now(&self) -> u64 {
        self.now
    }

    pub const fn weight(&self) -> u64 {
        self.weight
    }

    fn distance(&self, vtime: u64, weight: u64) -> i128 {
        (vtime as i128 - self.now as i128) * weight as i128
    }

    /// A context begins to compete.
    pub fn join(&mut self, vtime: u64, weight: u64) {
        self.ahead += self.distance(vtime, weight);
        self.weight += weight;
        self.settle();
    }

    /// A context competes no more.
    pub fn leave(&mut self, vtime: u64, weight: u64) {
        self.ahead -= self.distance(vtime, weight);
        self.weight -= weight;
        self.settle();
    }

    /// The virtual time of one that competes grew by so many units.
    pub fn grow(&mut self, units: u64, weight: u64) {
        self.ahead += units as i128 * weight as i128;
        self.settle();
    }

    fn settle(&mut self) {
        if self.weight != 0 && self.ahead >= self.weight as i128 {
            let units = self.ahead / self.weight as i128;
            self.now = self.now.saturating_add(units as u64);
            self.ahead -= units * self.weight as i128;
        }
    }
}
