//! A scheduling context and its parameters.

use aios_abi::limits::{SLICE_MIN_NS, WEIGHT_DEFAULT, WEIGHT_MAX};

use super::fair;
use super::queue::Link;

/// Longest period.
pub const PERIOD_MAX_NS: u64 = 10_000_000_000;
/// Shortest period.
pub const PERIOD_MIN_NS: u64 = SLICE_MIN_NS;

/// Checked scheduling parameters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Params {
    /// Weighted fair share.
    Fair {
        /// 1 to 1024.
        weight: u64,
    },
    /// Earliest deadline first.
    Edf {
        /// Time in every period, ns.
        budget_ns: u64,
        /// Period, ns.
        period_ns: u64,
    },
}

impl Params {
    /// Fair share with this weight. `None` unless it is 1 to 1024.
    pub const fn fair(weight: u64) -> Option<Self> {
        if weight >= 1 && weight <= WEIGHT_MAX as u64 { Some(Self::Fair { weight }) } else { None }
    }

    /// Budget and period. `None` unless the period is 250 µs to 10 s and the budget is in it.
    pub const fn edf(budget_ns: u64, period_ns: u64) -> Option<Self> {
        let fits = budget_ns > 0 && budget_ns <= period_ns && period_ns >= PERIOD_MIN_NS && period_ns <= PERIOD_MAX_NS;
        if fits { Some(Self::Edf { budget_ns, period_ns }) } else { None }
    }

    /// What it takes of a core, in 1/65536, rounded up.
    pub(super) const fn utilisation(self) -> u64 {
        match self {
            Self::Fair { .. } => 0,
            Self::Edf { budget_ns, period_ns } => (budget_ns << 16).div_ceil(period_ns),
        }
    }
}

/// Where a context is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Place {
    /// It doesn't want to run.
    Out,
    /// It was picked.
    Running,
    /// It waits for its turn.
    Queued,
    /// A fair context that was passed over, because it had more than its share.
    Early,
    /// An EDF context whose budget is over and that wants to run.
    Throttled,
}

/// A scheduling context.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Sc {
    pub(super) params: Params,
    pub(super) place: Place,
    pub(super) link: Link,
    /// Order in the queue that it is in.
    pub(super) key: u64,
    /// EDF: end of the period, ns. Fair: the virtual time at which its current request for the shortest slice is served.
    pub(super) deadline: u64,
    /// Fair: virtual time.
    pub(super) vtime: u64,
    /// Fair: what is not yet a unit of virtual time.
    pub(super) rest: u64,
    /// EDF: budget left in the period; negative after an overdraft.
    pub(super) left_ns: i64,
    cpu_ns: u64,
    missed: u64,
    /// The recording that has told of it; see [`super::Recorder`].
    pub(super) told: u32,
}

impl Sc {
    /// A context that never ran, fair with the default weight.
    pub const EMPTY: Self = Self {
        params: Params::Fair { weight: WEIGHT_DEFAULT as u64 },
        place: Place::Out,
        link: Link::NONE,
        key: 0,
        deadline: 0,
        vtime: 0,
        rest: 0,
        left_ns: 0,
        cpu_ns: 0,
        missed: 0,
        told: 0,
    };

    /// A context that never ran, but for this account.
    pub(super) const fn with_account(cpu_ns: u64, missed: u64) -> Self {
        Self { cpu_ns, missed, ..Self::EMPTY }
    }

    /// Time charged, ns.
    pub const fn cpu_ns(&self) -> u64 {
        self.cpu_ns
    }

    /// 0 fair, 1 EDF.
    pub const fn class(&self) -> u64 {
        matches!(self.params, Params::Edf { .. }) as u64
    }

    /// Weight, or budget in ns.
    pub const fn weight_or_budget(&self) -> u64 {
        match self.params {
            Params::Fair { weight } => weight,
            Params::Edf { budget_ns, .. } => budget_ns,
        }
    }

    /// Period in ns; 0 for fair.
    pub const fn period_ns(&self) -> u64 {
        match self.params {
            Params::Fair { .. } => 0,
            Params::Edf { period_ns, .. } => period_ns,
        }
    }

    /// Periods that ended while the context wanted to run and had budget left.
    pub const fn missed(&self) -> u64 {
        self.missed
    }

    /// Whether it wants to run and waits for its next period, because its budget is over.
    pub fn is_throttled(&self) -> bool {
        self.place == Place::Throttled
    }

    /// Fair: the virtual time, as a key, from which on its request may be served.
    pub(super) const fn eligible_at(&self, weight: u64) -> u64 {
        let request = fair::request(weight);
        fair::key(self.deadline - request, request)
    }

    /// Counts time that it ran.
    pub(super) const fn count(&mut self, ns: u64) {
        self.cpu_ns = self.cpu_ns.saturating_add(ns);
    }

    /// EDF: the budget of some periods is earned. What was overdrawn is taken from it; what was not used is lost.
    fn earn(&mut self, periods: u64, budget_ns: u64) {
        let earned = i64::try_from(budget_ns.saturating_mul(periods)).unwrap_or(i64::MAX);
        self.left_ns = self.left_ns.min(0).saturating_add(earned).min(budget_ns as i64);
    }

    /// EDF: if the period is over for a context that wants to run, the next one follows; budget that it could not use is a missed deadline.
    pub(super) fn roll(&mut self, now: u64) {
        let Params::Edf { budget_ns, period_ns } = self.params else { return };
        if now < self.deadline {
            return;
        }
        let periods = (now - self.deadline) / period_ns + 1;
        if self.left_ns > 0 {
            self.missed += periods;
        }
        self.deadline += periods * period_ns;
        self.earn(periods, budget_ns);
    }

    /// EDF: it wants to run again. A new period begins now if the last one is over, or if so little of it is left that using the budget in it would take
    /// more than the admitted share of the core.
    pub(super) fn resume(&mut self, now: u64) {
        let Params::Edf { budget_ns, period_ns } = self.params else { return };
        if now >= self.deadline {
            self.earn((now - self.deadline) / period_ns + 1, budget_ns);
        } else if self.left_ns as i128 * period_ns as i128 <= (self.deadline - now) as i128 * budget_ns as i128 {
            return;
        } else {
            self.left_ns = budget_ns as i64;
        }
        self.deadline = now + period_ns;
    }
}
