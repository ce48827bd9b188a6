//! Who runs next.
//!
//! What is ordered are scheduling contexts, one an agent; whose code a context runs is not known here. Two classes:
//!
//! * **EDF**: a budget in every period, admitted only if all budgets together leave the fair class a tenth of the core. Order by deadline, the end of
//!   the period. A context whose budget is over waits for its next period; what it (or a server on its behalf) used beyond is debited there.
//! * **Fair**: by virtual deadline. Virtual time runs at `1024 / weight` of real time, so weight 1024 is real time. A turn lasts a *slice*, the share
//!   of an epoch that the weight earns, at least 250 µs. A context that slept starts at the queue's virtual time: sleeping earns nothing.
//!
//! EDF comes before fair; ties go by order of arrival. The context that runs is in no queue. Nobody in the fair class waits longer than the larger of an
//! epoch and one slice of everybody, stretched by the share that EDF takes. Every decision is a function of the calls and the times in their arguments.

pub mod queue;
#[cfg(test)]
mod tests;

use aios_abi::limits::{EPOCH_NS, SLICE_MIN_NS, WEIGHT_DEFAULT, WEIGHT_MAX};

use queue::{CalendarQueue, Entries, Link};

/// The part of a core that admitted EDF contexts may have, in 1/65536: nine tenths.
pub const EDF_SHARE: u64 = 58_982;
/// Longest period.
pub const PERIOD_MAX_NS: u64 = 10_000_000_000;
/// Shortest period.
pub const PERIOD_MIN_NS: u64 = SLICE_MIN_NS;
/// A bucket of deadlines is 66 µs wide.
const EDF_SHIFT: u32 = 16;
/// A bucket of virtual deadlines is 524 µs wide.
const FAIR_SHIFT: u32 = 19;

/// Why parameters are refused: the promises of this core would exceed what it can keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAdmitted;

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
    const fn utilisation(self) -> u64 {
        match self {
            Self::Fair { .. } => 0,
            Self::Edf { budget_ns, period_ns } => (budget_ns << 16).div_ceil(period_ns),
        }
    }
}

/// Which queue a context is in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Place {
    Out,
    Queued,
    /// An EDF context whose budget is over and that wants to run.
    Throttled,
}

/// A scheduling context.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Sc {
    params: Params,
    place: Place,
    link: Link,
    /// EDF: end of the period, ns. Fair: virtual deadline.
    deadline: u64,
    /// Fair: virtual time.
    vtime: u64,
    /// EDF: budget left in the period; negative after an overdraft. Fair: slice left.
    left_ns: i64,
    cpu_ns: u64,
    missed: u64,
}

impl Sc {
    /// A context that never ran, fair with the default weight.
    pub const EMPTY: Self = Self {
        params: Params::Fair { weight: WEIGHT_DEFAULT as u64 },
        place: Place::Out,
        link: Link::NONE,
        deadline: 0,
        vtime: 0,
        left_ns: 0,
        cpu_ns: 0,
        missed: 0,
    };

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

    /// Begins the next period if the time has come. What was overdrawn is taken from the new budget.
    fn roll(&mut self, now: u64) {
        let Params::Edf { budget_ns, period_ns } = self.params else { return };
        if now < self.deadline {
            return;
        }
        let periods = (now - self.deadline) / period_ns + 1;
        self.deadline += periods * period_ns;
        let earned = budget_ns.saturating_mul(periods).min(i64::MAX as u64) as i64;
        self.left_ns = self.left_ns.min(0).saturating_add(earned).min(budget_ns as i64);
    }
}

/// How the agents' contexts are reached.
pub trait Contexts {
    /// The context of the agent at a slot.
    fn sc(&self, slot: u16) -> &Sc;
    /// The context of the agent at a slot, to change.
    fn sc_mut(&mut self, slot: u16) -> &mut Sc;
}

struct View<'a, C>(&'a mut C);

impl<C: Contexts> Entries for View<'_, C> {
    fn key(&self, id: u16) -> u64 {
        self.0.sc(id).deadline
    }
    fn link(&self, id: u16) -> Link {
        self.0.sc(id).link
    }
    fn set_link(&mut self, id: u16, link: Link) {
        self.0.sc_mut(id).link = link;
    }
}

/// A decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pick {
    /// The context that runs.
    pub slot: u16,
    /// When to decide again at the latest, ns.
    pub until_ns: u64,
}

/// The queues of one core.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Scheduler {
    edf: CalendarQueue<EDF_SHIFT>,
    throttled: CalendarQueue<EDF_SHIFT>,
    fair: CalendarQueue<FAIR_SHIFT>,
    /// Virtual time of the fair queue.
    vtime: u64,
    /// Sum of the weights of queued fair contexts.
    weight: u64,
    admitted: u64,
    next_replenish_ns: u64,
}

/// Virtual time for real time.
const fn virtual_ns(ns: u64, weight: u64) -> u64 {
    ns.saturating_mul(WEIGHT_MAX as u64) / weight
}

impl Scheduler {
    /// Nobody to run.
    pub const EMPTY: Self = Self {
        edf: CalendarQueue::EMPTY,
        throttled: CalendarQueue::EMPTY,
        fair: CalendarQueue::EMPTY,
        vtime: 0,
        weight: 0,
        admitted: 0,
        next_replenish_ns: u64::MAX,
    };

    /// A turn of a fair context of this weight beside all that are queued.
    fn slice_ns(&self, weight: u64) -> u64 {
        let total = self.weight + weight;
        (EPOCH_NS * weight / total).max(SLICE_MIN_NS)
    }

    /// The context wants to run.
    pub fn enqueue<C: Contexts>(&mut self, contexts: &mut C, slot: u16, now: u64) {
        if contexts.sc(slot).place != Place::Out {
            return;
        }
        let vtime = self.vtime;
        let sc = contexts.sc_mut(slot);
        match sc.params {
            Params::Edf { budget_ns, period_ns } => {
                // Who wakes after its period ended begins a new one now.
                if now >= sc.deadline {
                    sc.deadline = now + period_ns;
                    sc.left_ns = sc.left_ns.min(0).saturating_add(budget_ns as i64);
                }
                self.queue_edf(contexts, slot, now);
            }
            Params::Fair { weight } => {
                sc.vtime = sc.vtime.max(vtime);
                let slice = self.slice_ns(weight);
                let sc = contexts.sc_mut(slot);
                sc.left_ns = slice as i64;
                sc.deadline = sc.vtime + virtual_ns(slice, weight);
                self.queue_fair(contexts, slot, weight);
            }
        }
    }

    fn queue_edf<C: Contexts>(&mut self, contexts: &mut C, slot: u16, now: u64) {
        let sc = contexts.sc_mut(slot);
        if sc.left_ns > 0 {
            sc.place = Place::Queued;
            self.edf.insert(&mut View(contexts), slot, now);
        } else {
            sc.place = Place::Throttled;
            self.throttled.insert(&mut View(contexts), slot, now);
            self.look(contexts);
        }
    }

    fn queue_fair<C: Contexts>(&mut self, contexts: &mut C, slot: u16, weight: u64) {
        contexts.sc_mut(slot).place = Place::Queued;
        self.weight += weight;
        self.fair.insert(&mut View(contexts), slot, self.vtime);
    }

    fn look<C: Contexts>(&mut self, contexts: &mut C) {
        self.next_replenish_ns = self.throttled.first().map_or(u64::MAX, |slot| contexts.sc(slot).deadline);
    }

    /// The context doesn't want to run.
    pub fn dequeue<C: Contexts>(&mut self, contexts: &mut C, slot: u16) {
        let sc = contexts.sc_mut(slot);
        let (place, params) = (core::mem::replace(&mut sc.place, Place::Out), sc.params);
        let mut view = View(contexts);
        match (place, params) {
            (Place::Out, _) => {}
            (Place::Queued, Params::Edf { .. }) => {
                self.edf.remove(&mut view, slot);
            }
            (Place::Queued, Params::Fair { weight }) => {
                self.fair.remove(&mut view, slot);
                self.weight -= weight;
            }
            (Place::Throttled, _) => {
                self.throttled.remove(&mut view, slot);
                self.look(contexts);
            }
        }
    }

    /// Whether a context is queued and would get its turn: not throttled.
    pub fn is_runnable<C: Contexts>(&self, contexts: &C, slot: u16) -> bool {
        contexts.sc(slot).place == Place::Queued
    }

    /// The context that ran goes back to its place: to the same one if its turn isn't over.
    pub fn put_back<C: Contexts>(&mut self, contexts: &mut C, slot: u16, now: u64) {
        let sc = contexts.sc_mut(slot);
        if sc.place != Place::Out {
            return;
        }
        match sc.params {
            Params::Edf { .. } => {
                self.end_period(contexts, slot, now);
                self.queue_edf(contexts, slot, now);
            }
            Params::Fair { weight } => {
                if sc.left_ns <= 0 {
                    let slice = self.slice_ns(weight);
                    let sc = contexts.sc_mut(slot);
                    sc.left_ns = slice as i64;
                    sc.deadline = sc.vtime + virtual_ns(slice, weight);
                }
                self.queue_fair(contexts, slot, weight);
            }
        }
    }

    /// Notes a missed deadline of a context that wants to run, and begins its next period, if the time has come.
    fn end_period<C: Contexts>(&mut self, contexts: &mut C, slot: u16, now: u64) {
        let sc = contexts.sc_mut(slot);
        if now >= sc.deadline && sc.left_ns > 0 {
            sc.missed += 1;
        }
        sc.roll(now);
    }

    /// Takes the context that runs next out of its queue.
    pub fn pick<C: Contexts>(&mut self, contexts: &mut C, now: u64) -> Option<Pick> {
        while let Some(slot) = self.edf.first() {
            self.edf.remove(&mut View(contexts), slot);
            let late = now >= contexts.sc(slot).deadline;
            if late {
                self.end_period(contexts, slot, now);
                self.queue_edf(contexts, slot, now);
                continue;
            }
            let sc = contexts.sc_mut(slot);
            sc.place = Place::Out;
            let until_ns = (now + sc.left_ns.max(0) as u64).min(sc.deadline);
            return Some(Pick { slot, until_ns });
        }
        let slot = self.fair.first()?;
        self.fair.remove(&mut View(contexts), slot);
        let sc = contexts.sc_mut(slot);
        sc.place = Place::Out;
        if let Params::Fair { weight } = sc.params {
            self.weight -= weight;
        }
        self.vtime = self.vtime.max(sc.vtime);
        let left = if self.weight == 0 { EPOCH_NS } else { sc.left_ns.max(1) as u64 };
        Some(Pick { slot, until_ns: now + left })
    }

    /// Time was used in a context.
    pub fn charge<C: Contexts>(&mut self, contexts: &mut C, slot: u16, ns: u64, now: u64) {
        contexts.sc_mut(slot).cpu_ns += ns;
        self.debit(contexts, slot, ns, now);
    }

    /// Time was used on behalf of a context: its budget or virtual time pays, whoever is charged.
    pub fn debit<C: Contexts>(&mut self, contexts: &mut C, slot: u16, ns: u64, _now: u64) {
        let sc = contexts.sc_mut(slot);
        sc.left_ns = sc.left_ns.saturating_sub_unsigned(ns);
        // A queued context keeps its key; what it owes counts from its next turn on.
        if let Params::Fair { weight } = sc.params {
            sc.vtime += virtual_ns(ns, weight);
        }
    }

    /// Whether a context that has just been queued should run instead of the one that runs.
    pub fn preempts<C: Contexts>(&self, contexts: &C, candidate: u16, running: u16) -> bool {
        let (new, old) = (contexts.sc(candidate), contexts.sc(running));
        if new.place != Place::Queued {
            return false;
        }
        match (new.params, old.params) {
            (Params::Edf { .. }, Params::Fair { .. }) => true,
            (Params::Fair { .. }, Params::Edf { .. }) => false,
            (Params::Edf { .. }, Params::Edf { .. }) => new.deadline < old.deadline,
            // The one that runs keeps the processor for the shortest slice at least.
            (Params::Fair { .. }, Params::Fair { weight }) => new.vtime + virtual_ns(SLICE_MIN_NS, weight) <= old.vtime,
        }
    }

    /// The running context gives up its turn; it goes behind its equals when it is put back.
    pub fn yield_now<C: Contexts>(&mut self, contexts: &mut C, slot: u16, _now: u64) {
        let vtime = self.vtime;
        let sc = contexts.sc_mut(slot);
        if matches!(sc.params, Params::Fair { .. }) {
            sc.left_ns = 0;
            sc.vtime = sc.vtime.max(vtime);
        }
    }

    /// Begins the periods that are due of contexts that wait for one.
    pub fn replenish<C: Contexts>(&mut self, contexts: &mut C, now: u64) {
        while self.next_replenish_ns <= now {
            let Some(slot) = self.throttled.first() else { break };
            self.throttled.remove(&mut View(contexts), slot);
            contexts.sc_mut(slot).roll(now);
            self.queue_edf(contexts, slot, now);
            self.look(contexts);
        }
    }

    /// When the next period of a waiting context begins; `u64::MAX` if none waits.
    pub const fn next_replenish(&self) -> u64 {
        self.next_replenish_ns
    }

    /// Gives a context other parameters.
    pub fn set<C: Contexts>(&mut self, contexts: &mut C, slot: u16, params: Params, now: u64) -> Result<(), NotAdmitted> {
        let old = contexts.sc(slot).params;
        let admitted = self.admitted - old.utilisation() + params.utilisation();
        if admitted > EDF_SHARE && params.utilisation() > 0 {
            return Err(NotAdmitted);
        }
        self.admitted = admitted;
        let queued = contexts.sc(slot).place != Place::Out;
        self.dequeue(contexts, slot);
        let vtime = self.vtime;
        let sc = contexts.sc_mut(slot);
        sc.params = params;
        match params {
            Params::Edf { budget_ns, period_ns } => (sc.deadline, sc.left_ns) = (now + period_ns, budget_ns as i64),
            Params::Fair { .. } => (sc.vtime, sc.left_ns) = (vtime, 0),
        }
        if queued {
            self.enqueue(contexts, slot, now);
        }
        Ok(())
    }

    /// A fair context comes from another core, whose virtual time means nothing here.
    pub fn move_in<C: Contexts>(&mut self, contexts: &mut C, slot: u16) {
        let vtime = self.vtime;
        let sc = contexts.sc_mut(slot);
        (sc.vtime, sc.left_ns) = (vtime, 0);
    }

    /// A context leaves for good; answers the time that was charged to it.
    pub fn remove<C: Contexts>(&mut self, contexts: &mut C, slot: u16) -> u64 {
        self.dequeue(contexts, slot);
        let sc = contexts.sc(slot);
        self.admitted -= sc.params.utilisation();
        sc.cpu_ns
    }

    /// What admitted EDF contexts take of the core, in 1/65536.
    pub const fn admitted(&self) -> u64 {
        self.admitted
    }

    /// Epochs that have begun.
    pub const fn epochs(&self, now: u64) -> u64 {
        now / EPOCH_NS + 1
    }
}
