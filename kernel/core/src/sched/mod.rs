//! Who runs next.
//!
//! What is ordered are scheduling contexts, one an agent; whose code a context runs is not known here. Two classes:
//!
//! * **EDF**: a budget in every period, admitted only if all budgets together leave the fair class a tenth of the core. Order by deadline, the end of
//!   the period. A context whose budget is over waits for its next period; what it (or a server on its behalf) used beyond is debited there. Who wakes
//!   too late in a period to use its budget within its share begins a new period, so sleeping takes nothing from others (a constant bandwidth server).
//! * **Fair**: earliest eligible virtual deadline first (EEVDF). Eligible is who had no more than its share; of those, the one whose request for the
//!   shortest slice should be served first, by its weight, gets the next turn. A turn lasts a *slice*, the share of an epoch that the weight earns, at
//!   least 250 µs. Who slept starts at the clock's virtual time at the earliest: sleeping earns nothing.
//!
//! EDF comes before fair; ties go by order of arrival. The context that runs is in no queue. Every decision is a function of the calls and of the times
//! in their arguments; operations can be recorded ([`Recorder`]) and done again elsewhere ([`Replay`]).
//!
//! Promises, with `W` the weights of the fair contexts that compete and `n` their number:
//!
//! * An admitted EDF context that wants to run gets its whole budget before its period ends, whatever the fair class does.
//! * While the same fair contexts compete, none is behind its share by more than the longest slice or before it by more than its own, but for a 32nd of
//!   the shortest slice; and one of weight `w` waits at most `2 × max(EPOCH, SLICE_MIN × W / w) + EPOCH` of the time that EDF leaves. Equals wait for
//!   `max(EPOCH, n × SLICE_MIN)`.
//! * Where others come and go, with turns of at most `t`, it waits at most `(t + SLICE_MIN) × W / w + 2 × n × t`. All who compete meanwhile count.
//! * EDF contexts of utilisation `u` leave, of any time `d`, at least `(1 - u) × d` less twice the sum of their budgets.

mod context;
mod fair;
pub mod queue;
mod replay;
#[cfg(test)]
pub(crate) mod tests;
mod trace;

use aios_abi::limits::{EPOCH_NS, SLICE_MIN_NS};

pub use context::{PERIOD_MAX_NS, PERIOD_MIN_NS, Params, Sc};
pub use replay::{Replay, Step, Trouble};
pub use trace::Recorder;

use context::Place;
use fair::Clock;
use queue::{CalendarQueue, Entries, Link};

/// The part of a core that admitted EDF contexts may have, in 1/65536: nine tenths.
pub const EDF_SHARE: u64 = 58_982;
/// The finest buckets of deadlines are 8 µs wide; the rings reach 17 s ahead.
const EDF_SHIFT: u32 = 13;
/// The finest buckets of virtual time are as wide as the steps of the shortest requests.
const FAIR_SHIFT: u32 = 6;
/// Contexts that are passed over or called back in one decision at most, so that the time of a decision is bounded. The next decisions
/// do the rest.
const MOVES_MAX: usize = 64;

/// Why parameters are refused: the promises of this core would exceed what it can keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAdmitted;

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
        self.0.sc(id).key
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
    /// EDF contexts with budget, by deadline.
    edf: CalendarQueue<EDF_SHIFT>,
    /// EDF contexts without budget, by the end of their period.
    throttled: CalendarQueue<EDF_SHIFT>,
    /// Fair contexts, by virtual deadline.
    fair: CalendarQueue<FAIR_SHIFT>,
    /// Fair contexts that came first there and were not eligible, by the virtual time at which they are.
    early: CalendarQueue<FAIR_SHIFT>,
    /// All fair contexts that want to run compete, the running one included.
    clock: Clock,
    admitted: u64,
    /// Utilisation of contexts that left EDF before the end of a period whose budget they had used; it is promised again from `leaving_until_ns` on.
    leaving: u64,
    leaving_until_ns: u64,
    next_replenish_ns: u64,
}

impl Scheduler {
    /// Nobody to run.
    pub const EMPTY: Self = Self {
        edf: CalendarQueue::EMPTY,
        throttled: CalendarQueue::EMPTY,
        fair: CalendarQueue::EMPTY,
        early: CalendarQueue::EMPTY,
        clock: Clock::ZERO,
        admitted: 0,
        leaving: 0,
        leaving_until_ns: 0,
        next_replenish_ns: u64::MAX,
    };

    /// A turn of a fair context of this weight, which competes.
    fn slice_ns(&self, weight: u64) -> u64 {
        (EPOCH_NS * weight / self.clock.weight()).max(SLICE_MIN_NS)
    }

    /// The context wants to run.
    pub fn enqueue<C: Contexts>(&mut self, contexts: &mut C, slot: u16, now: u64) {
        let sc = contexts.sc_mut(slot);
        match (sc.place, sc.params) {
            (Place::Out, Params::Edf { .. }) => {
                sc.resume(now);
                self.queue_edf(contexts, slot, now);
            }
            (Place::Out, Params::Fair { weight }) => {
                self.clock.settle();
                sc.vtime = sc.vtime.max(self.clock.now());
                self.join(contexts, slot, weight);
                self.queue_fair(contexts, slot, weight);
            }
            (Place::Running, _) => self.put_back(contexts, slot, now),
            (Place::Queued | Place::Early | Place::Throttled, _) => {}
        }
    }

    fn queue_edf<C: Contexts>(&mut self, contexts: &mut C, slot: u16, now: u64) {
        let sc = contexts.sc_mut(slot);
        sc.key = sc.deadline;
        if sc.left_ns > 0 {
            sc.place = Place::Queued;
            self.edf.insert(&mut View(contexts), slot, now);
        } else {
            sc.place = Place::Throttled;
            self.throttled.insert(&mut View(contexts), slot, now);
            self.look(contexts);
        }
    }

    /// A fair context begins to compete, and with a new request.
    fn join<C: Contexts>(&mut self, contexts: &mut C, slot: u16, weight: u64) {
        let sc = contexts.sc_mut(slot);
        sc.deadline = sc.vtime + fair::request(weight);
        self.clock.join(sc.vtime, weight);
    }

    /// Queues a fair context by the deadline of its request. If that was served, it has a new one.
    fn queue_fair<C: Contexts>(&mut self, contexts: &mut C, slot: u16, weight: u64) {
        let request = fair::request(weight);
        let sc = contexts.sc_mut(slot);
        if sc.vtime >= sc.deadline {
            sc.deadline = sc.vtime + request;
        }
        (sc.place, sc.key) = (Place::Queued, fair::key(sc.deadline, request));
        self.fair.insert(&mut View(contexts), slot, self.clock.now());
    }

    fn look<C: Contexts>(&mut self, contexts: &mut C) {
        self.next_replenish_ns = self.throttled.first().map_or(u64::MAX, |slot| contexts.sc(slot).deadline);
    }

    /// Takes a context out of the queue that it is in.
    fn unqueue<C: Contexts>(&mut self, contexts: &mut C, slot: u16) {
        let sc = contexts.sc_mut(slot);
        let (place, params) = (core::mem::replace(&mut sc.place, Place::Out), sc.params);
        let mut view = View(contexts);
        match (place, params) {
            (Place::Out | Place::Running, _) => {}
            (Place::Queued, Params::Edf { .. }) => {
                self.edf.remove(&mut view, slot);
            }
            (Place::Queued, Params::Fair { .. }) => {
                self.fair.remove(&mut view, slot);
            }
            (Place::Early, _) => {
                self.early.remove(&mut view, slot);
            }
            (Place::Throttled, _) => {
                self.throttled.remove(&mut view, slot);
                self.look(contexts);
            }
        }
    }

    /// The context doesn't want to run.
    pub fn dequeue<C: Contexts>(&mut self, contexts: &mut C, slot: u16) {
        let sc = contexts.sc(slot);
        if let (Params::Fair { weight }, true) = (sc.params, sc.place != Place::Out) {
            self.clock.leave(sc.vtime, weight);
        }
        self.unqueue(contexts, slot);
    }

    /// Whether a context is queued and would get its turn: not throttled.
    pub fn is_runnable<C: Contexts>(&self, contexts: &C, slot: u16) -> bool {
        matches!(contexts.sc(slot).place, Place::Queued | Place::Early)
    }

    /// The context that ran goes back to its place: to the same one if it didn't get what it requested.
    pub fn put_back<C: Contexts>(&mut self, contexts: &mut C, slot: u16, now: u64) {
        let sc = contexts.sc_mut(slot);
        match (sc.place, sc.params) {
            (Place::Running, Params::Edf { .. }) => {
                sc.roll(now);
                self.queue_edf(contexts, slot, now);
            }
            (Place::Running, Params::Fair { weight }) => self.queue_fair(contexts, slot, weight),
            (Place::Out, _) => self.enqueue(contexts, slot, now),
            (Place::Queued | Place::Early | Place::Throttled, _) => {}
        }
    }

    /// Takes the context that runs next out of its queue.
    pub fn pick<C: Contexts>(&mut self, contexts: &mut C, now: u64) -> Option<Pick> {
        while let Some(slot) = self.edf.first() {
            self.unqueue(contexts, slot);
            let sc = contexts.sc_mut(slot);
            if now >= sc.deadline || sc.left_ns <= 0 {
                // Its period ended, or its budget was debited, while it waited.
                sc.roll(now);
                self.queue_edf(contexts, slot, now);
                continue;
            }
            sc.place = Place::Running;
            let until_ns = (now + sc.left_ns as u64).min(sc.deadline);
            return Some(Pick { slot, until_ns });
        }
        self.pick_fair(contexts, now)
    }

    fn pick_fair<C: Contexts>(&mut self, contexts: &mut C, now: u64) -> Option<Pick> {
        self.recall(contexts);
        for attempt in 0.. {
            // If nobody is eligible, the one that is the least before its share goes on.
            let slot = self.fair.first().or_else(|| self.early.first())?;
            let sc = contexts.sc(slot);
            let Params::Fair { weight } = sc.params else { return None };
            let (is_first, eligible_at) = (sc.place == Place::Queued, sc.eligible_at(weight));
            let is_served = sc.vtime >= sc.deadline;
            self.unqueue(contexts, slot);
            if is_served {
                // It was debited while it waited.
                self.queue_fair(contexts, slot, weight);
            } else if is_first && eligible_at > self.clock.now() && attempt < MOVES_MAX {
                let sc = contexts.sc_mut(slot);
                (sc.place, sc.key) = (Place::Early, eligible_at);
                self.early.insert(&mut View(contexts), slot, self.clock.now());
            } else {
                let sc = contexts.sc_mut(slot);
                sc.place = Place::Running;
                // If it ran before it was served, that is a part of its slice.
                let left = self.slice_ns(weight) - SLICE_MIN_NS + fair::ns(sc.deadline - sc.vtime, weight);
                return Some(Pick { slot, until_ns: now + left });
            }
        }
        None
    }

    /// Those who were early and have become eligible compete again.
    fn recall<C: Contexts>(&mut self, contexts: &mut C) {
        for _ in 0..MOVES_MAX {
            let Some(slot) = self.early.first() else { return };
            let sc = contexts.sc(slot);
            let Params::Fair { weight } = sc.params else { return };
            if sc.key > self.clock.now() {
                return;
            }
            self.unqueue(contexts, slot);
            self.queue_fair(contexts, slot, weight);
        }
    }

    /// Time was used in a context.
    pub fn charge<C: Contexts>(&mut self, contexts: &mut C, slot: u16, ns: u64, now: u64) {
        contexts.sc_mut(slot).count(ns);
        self.debit(contexts, slot, ns, now);
    }

    /// Time was used on behalf of a context: its budget or virtual time pays, whoever is charged.
    pub fn debit<C: Contexts>(&mut self, contexts: &mut C, slot: u16, ns: u64, _now: u64) {
        let sc = contexts.sc_mut(slot);
        // A queued context keeps its key; what it owes is seen when its turn comes.
        match sc.params {
            Params::Edf { .. } => sc.left_ns = sc.left_ns.saturating_sub_unsigned(ns),
            Params::Fair { weight } => {
                let (units, rest) = fair::units(ns, weight, sc.rest);
                sc.rest = rest;
                self.grow(contexts, slot, units, weight);
            }
        }
    }

    /// Puts the virtual time of a fair context forward.
    fn grow<C: Contexts>(&mut self, contexts: &mut C, slot: u16, units: u64, weight: u64) {
        let sc = contexts.sc_mut(slot);
        let before = sc.vtime;
        sc.vtime = before.saturating_add(units).min(fair::LAST);
        if sc.place != Place::Out {
            self.clock.grow(sc.vtime - before, weight);
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
            (Params::Fair { weight: candidate }, Params::Fair { weight }) => {
                let served = old.vtime >= old.deadline;
                let deadline = if served { old.vtime + fair::request(weight) } else { old.deadline };
                new.deadline <= deadline && new.eligible_at(candidate) <= self.clock.now()
            }
        }
    }

    /// The running context gives up its turn: it counts as served, and goes behind its equals when it is put back.
    pub fn yield_now<C: Contexts>(&mut self, contexts: &mut C, slot: u16, _now: u64) {
        let sc = contexts.sc(slot);
        if let Params::Fair { weight } = sc.params {
            self.grow(contexts, slot, sc.deadline.saturating_sub(sc.vtime), weight);
        }
    }

    /// Begins the periods that are due of contexts that wait for one. If these are very many, [`next_replenish`](Self::next_replenish) stays in the
    /// past, and calling again does the rest.
    pub fn replenish<C: Contexts>(&mut self, contexts: &mut C, now: u64) {
        for _ in 0..MOVES_MAX {
            let Some(slot) = self.throttled.first().filter(|_| self.next_replenish_ns <= now) else { return };
            self.unqueue(contexts, slot);
            contexts.sc_mut(slot).roll(now);
            self.queue_edf(contexts, slot, now);
        }
    }

    /// When the next period of a waiting context begins; `u64::MAX` if none waits.
    pub const fn next_replenish(&self) -> u64 {
        self.next_replenish_ns
    }

    /// Gives a context other parameters.
    ///
    /// An EDF context's first period begins now, or when that of a context ends that used its budget and left: no promise is made twice.
    pub fn set<C: Contexts>(&mut self, contexts: &mut C, slot: u16, params: Params, now: u64) -> Result<(), NotAdmitted> {
        let Sc { params: old, place, .. } = *contexts.sc(slot);
        let admitted = self.admitted - old.utilisation() + params.utilisation();
        if admitted > EDF_SHARE && params.utilisation() > 0 {
            return Err(NotAdmitted);
        }
        self.dequeue(contexts, slot);
        if now >= self.leaving_until_ns {
            self.leaving = 0;
        }
        self.resign(contexts.sc(slot));
        self.admitted = admitted;
        let sc = contexts.sc_mut(slot);
        sc.params = params;
        match (old, params) {
            (_, Params::Edf { budget_ns, period_ns }) => {
                let free = admitted + self.leaving <= EDF_SHARE;
                (sc.deadline, sc.left_ns) = if free { (now + period_ns, budget_ns as i64) } else { (self.leaving_until_ns, 0) };
            }
            (Params::Edf { .. }, Params::Fair { .. }) => (sc.vtime, sc.rest) = (self.clock.now(), 0),
            (Params::Fair { weight: before }, Params::Fair { weight }) => {
                (sc.vtime, sc.rest) = (self.clock.rescale(sc.vtime, before, weight), 0);
            }
        }
        match (place, params) {
            (Place::Out, _) => {}
            (Place::Running, Params::Edf { .. }) => sc.place = place,
            (_, Params::Edf { .. }) => self.queue_edf(contexts, slot, now),
            (_, Params::Fair { weight }) => {
                self.join(contexts, slot, weight);
                if place == Place::Running {
                    contexts.sc_mut(slot).place = place;
                } else {
                    self.queue_fair(contexts, slot, weight);
                }
            }
        }
        Ok(())
    }

    /// A context gives its reservation back. If it ran before its share in this period, its share is free when the period is over.
    fn resign(&mut self, sc: &Sc) {
        if let Params::Edf { budget_ns, .. } = sc.params
            && sc.left_ns < budget_ns as i64
        {
            self.leaving += sc.params.utilisation();
            self.leaving_until_ns = self.leaving_until_ns.max(sc.deadline);
        }
        self.admitted -= sc.params.utilisation();
    }

    /// A fair context comes from another core, whose virtual time means nothing here.
    pub fn move_in<C: Contexts>(&mut self, contexts: &mut C, slot: u16) {
        let sc = contexts.sc_mut(slot);
        (sc.vtime, sc.rest) = (self.clock.now(), 0);
    }

    /// A context leaves for good; answers the time that was charged to it.
    pub fn remove<C: Contexts>(&mut self, contexts: &mut C, slot: u16) -> u64 {
        self.dequeue(contexts, slot);
        self.resign(contexts.sc(slot));
        core::mem::replace(contexts.sc_mut(slot), Sc::EMPTY).cpu_ns()
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
