//! Doing again what a recording tells of, and comparing.
//!
//! The events may come from anywhere: whatever they say, nothing here panics. What can't be a scheduler's state or operation is named.

use core::fmt;

use aios_abi::limits::AGENTS;
use aios_abi::trace::{Event, Op};

use super::context::{PERIOD_MAX_NS, Place};
use super::fair::{self, Clock};
use super::trace::{Operation, params};
use super::{Contexts, Params, Sc, Scheduler, View};

/// The latest time that is believed, ns: 146 years.
const TIME_MAX: u64 = 1 << 62;

/// What an event was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Part of a state, or of a decision's description; or of no use, because no state came before it.
    Told,
    /// An operation whose outcome was the same.
    Same,
    /// The same, and what came out was a decision: whom to run, whether to look again, whether to admit.
    Decided,
    /// So many operations are missing. The next state follows.
    Lost(u64),
}

/// Why a replay can't go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// The outcome is another; this is what the event should say.
    Different(Event),
    /// Events are missing before this one: the number should be this.
    Gap(u16),
    /// The event names a context that was not told of.
    UnknownContext(u16),
    /// What it says can't be.
    Impossible(&'static str),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Different(_) => f.write_str("the outcome is another"),
            Self::Gap(number) => write!(f, "events are missing: this should be number {number} (of 65536)"),
            Self::UnknownContext(slot) => write!(f, "context {slot} was not told of"),
            Self::Impossible(what) => write!(f, "impossible: {what}"),
        }
    }
}

impl core::error::Error for Trouble {}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// No state yet.
    Waiting,
    /// The state comes.
    State,
    /// Operations come.
    Running,
}

/// A scheduler that does what a recording tells of.
#[derive(Clone, Debug)]
pub struct Replay {
    scheduler: Scheduler,
    stage: Stage,
    /// Contexts told of, a bit each.
    known: [u64; AGENTS / 64],
    /// A context of which the rest comes.
    half: Option<(u16, Params, Place, Option<Event>)>,
    /// Contexts in the state.
    count: u64,
    /// Utilisation that is admitted for contexts that were not told of.
    unseen: u64,
    /// What the last decision picked.
    picked: u16,
    next: Option<u16>,
}

impl Replay {
    /// Before the first event.
    pub const EMPTY: Self = Self {
        scheduler: Scheduler::EMPTY,
        stage: Stage::Waiting,
        known: [0; AGENTS / 64],
        half: None,
        count: 0,
        unseen: 0,
        picked: 0,
        next: None,
    };

    /// Takes the next event. `contexts` has room for every place of the agent table, and belongs to this replay.
    ///
    /// # Errors
    /// The first event that can't be, or whose outcome is another. After that there is nothing more to compare.
    pub fn feed<C: Contexts>(&mut self, contexts: &mut C, event: &Event) -> Result<Step, Trouble> {
        if let Some(expected) = self.next.replace(event.number.wrapping_add(1))
            && expected != event.number
        {
            return Err(Trouble::Gap(expected));
        }
        let whole = matches!(event.op, Op::Times | Op::Used) == self.half.is_some();
        let timed = matches!(event.op, Op::Used) || event.time <= TIME_MAX || self.half.is_some();
        match (event.op, self.stage) {
            (Op::Start, _) => self.start(event),
            (_, Stage::Waiting) => Ok(Step::Told),
            _ if !whole => Err(Trouble::Impossible("a context is told of by halves")),
            _ if !timed => Err(Trouble::Impossible("a time")),
            (Op::Shares, Stage::State) => self.shares(event),
            (Op::Params, _) => self.begin_context(contexts, event),
            (Op::Times | Op::Used, _) => self.go_on_with_context(contexts, event),
            (Op::Begin, Stage::State) => self.begin(contexts, event),
            (Op::Lost, Stage::Running) => {
                self.stage = Stage::Waiting;
                Ok(Step::Lost(event.a))
            }
            (Op::Run, Stage::Running) if event.slot == self.picked => Ok(Step::Told),
            (Op::Run, Stage::Running) => Err(Trouble::Different(Event { slot: self.picked, ..*event })),
            (_, Stage::Running) => self.operate(contexts, event),
            (_, Stage::State) => Err(Trouble::Impossible("an operation in the middle of a state")),
        }
    }

    fn start(&mut self, event: &Event) -> Result<Step, Trouble> {
        if event.a > fair::LAST || event.time > TIME_MAX {
            return Err(Trouble::Impossible("a time"));
        }
        *self = Self { next: self.next, stage: Stage::State, ..Self::EMPTY };
        self.scheduler.clock = Clock::at(event.a);
        Ok(Step::Told)
    }

    fn shares(&mut self, event: &Event) -> Result<Step, Trouble> {
        if event.a > 1 << 16 || event.b > 1 << 32 {
            return Err(Trouble::Impossible("a share of the core"));
        }
        (self.scheduler.admitted, self.scheduler.leaving, self.scheduler.leaving_until_ns) = (event.a, event.b, event.time);
        self.unseen = event.a;
        Ok(Step::Told)
    }

    fn begin_context<C: Contexts>(&mut self, contexts: &C, event: &Event) -> Result<Step, Trouble> {
        let params = params(event.flag >> 4, event.a, event.b).ok_or(Trouble::Impossible("scheduling parameters"))?;
        let place = Place::from_code(event.flag & 15).ok_or(Trouble::Impossible("a place"))?;
        if event.slot == 0 || event.slot as usize >= AGENTS {
            return Err(Trouble::Impossible("a context"));
        }
        if self.knows(event.slot) {
            // It was on another core meanwhile, or the place is another's by now.
            let old = contexts.sc(event.slot);
            if self.stage == Stage::State || old.place != Place::Out {
                return Err(Trouble::Impossible("a context that is known"));
            }
            self.unseen += old.params.utilisation();
            self.know(event.slot, false);
        }
        // Who competes is a part of the state.
        if (self.stage == Stage::State) == (place == Place::Out) {
            return Err(Trouble::Impossible("a place"));
        }
        self.half = Some((event.slot, params, place, None));
        Ok(Step::Told)
    }

    fn go_on_with_context<C: Contexts>(&mut self, contexts: &mut C, event: &Event) -> Result<Step, Trouble> {
        let half = self.half.take().filter(|half| half.0 == event.slot);
        let Some((slot, params, place, times)) = half else { return Err(Trouble::Impossible("a context is told of by halves")) };
        match (event.op, times) {
            (Op::Times, None) => self.half = Some((slot, params, place, Some(*event))),
            (Op::Used, Some(times)) => {
                let sc = Sc::told(params, place, &times, event);
                self.admit(&sc)?;
                self.know(slot, true);
                *contexts.sc_mut(slot) = sc;
                self.scheduler.restore(contexts, slot);
                self.count += 1;
            }
            _ => return Err(Trouble::Impossible("a context is told of by halves")),
        }
        Ok(Step::Told)
    }

    /// Checks that a context can be as it was told.
    fn admit(&mut self, sc: &Sc) -> Result<(), Trouble> {
        let possible = match sc.params {
            Params::Edf { budget_ns, .. } => {
                let queue = if sc.left_ns > 0 { Place::Queued } else { Place::Throttled };
                let waits = matches!(sc.place, Place::Queued | Place::Throttled | Place::Early);
                self.unseen = self.unseen.checked_sub(sc.params.utilisation()).ok_or(Trouble::Impossible("a share of the core"))?;
                // A debit while it waits is seen when its turn comes.
                let placed = !waits || sc.place == queue || sc.place == Place::Queued;
                sc.deadline <= TIME_MAX && sc.left_ns <= budget_ns as i64 && budget_ns <= PERIOD_MAX_NS && placed
            }
            Params::Fair { weight } => {
                let request = fair::request(weight);
                // One that never competed has no request yet.
                let requested = sc.place == Place::Out || sc.deadline >= request;
                let bounded = sc.vtime <= fair::LAST && sc.deadline <= fair::LAST + request && sc.rest < weight;
                requested && bounded && sc.place != Place::Throttled
            }
        };
        if possible && sc.missed() <= TIME_MAX { Ok(()) } else { Err(Trouble::Impossible("a context")) }
    }

    fn begin<C: Contexts>(&mut self, contexts: &C, event: &Event) -> Result<Step, Trouble> {
        let runs = event.slot == 0 || self.knows(event.slot) && contexts.sc(event.slot).place == Place::Running;
        if event.a != self.count || !runs {
            return Err(Trouble::Impossible("a state without some of its contexts"));
        }
        (self.stage, self.picked) = (Stage::Running, event.slot);
        Ok(Step::Told)
    }

    fn operate<C: Contexts>(&mut self, contexts: &mut C, event: &Event) -> Result<Step, Trouble> {
        let operation = Operation::of(event).ok_or(Trouble::Impossible("an operation"))?;
        if let Some(slot) = operation.contexts().into_iter().find(|&slot| slot != 0 && !self.knows(slot)) {
            return Err(Trouble::UnknownContext(slot));
        }
        // Context 0 is nobody.
        if !matches!(operation, Operation::Pick | Operation::Replenish) && event.slot == 0 {
            return Err(Trouble::UnknownContext(0));
        }
        if matches!(operation, Operation::Preempts(_, 0)) {
            return Err(Trouble::UnknownContext(0));
        }
        let outcome = Event { number: event.number, ..operation.apply(&mut self.scheduler, contexts, event.time) };
        if outcome != *event {
            return Err(Trouble::Different(outcome));
        }
        match event.op {
            Op::Pick => self.picked = event.slot,
            Op::Remove => self.know(event.slot, false),
            _ => {}
        }
        Ok(if matches!(event.op, Op::Pick | Op::Preempts | Op::Set) { Step::Decided } else { Step::Same })
    }

    const fn knows(&self, slot: u16) -> bool {
        (slot as usize) < AGENTS && self.known[slot as usize / 64] & 1 << (slot % 64) != 0
    }

    const fn know(&mut self, slot: u16, known: bool) {
        let (word, bit) = (&mut self.known[slot as usize / 64], 1 << (slot % 64));
        if known {
            *word |= bit;
        } else {
            *word &= !bit;
        }
    }
}

impl Scheduler {
    /// Puts a context that was told of where it was: behind those of its queue that were told of before.
    fn restore<C: Contexts>(&mut self, contexts: &mut C, slot: u16) {
        let sc = contexts.sc_mut(slot);
        let (place, params, deadline) = (sc.place, sc.params, sc.deadline);
        match params {
            Params::Edf { .. } => {
                sc.key = deadline;
                match place {
                    Place::Queued => self.edf.insert(&mut View(contexts), slot, 0),
                    Place::Throttled => {
                        self.throttled.insert(&mut View(contexts), slot, 0);
                        self.look(contexts);
                    }
                    Place::Out | Place::Running | Place::Early => {}
                }
            }
            Params::Fair { weight } => {
                let now = self.clock.now();
                if place != Place::Out {
                    self.clock.compete(sc.vtime, weight);
                }
                match place {
                    Place::Queued => {
                        sc.key = fair::key(deadline, fair::request(weight));
                        self.fair.insert(&mut View(contexts), slot, now);
                    }
                    Place::Early => {
                        sc.key = sc.eligible_at(weight);
                        self.early.insert(&mut View(contexts), slot, now);
                    }
                    Place::Out | Place::Running | Place::Throttled => {}
                }
            }
        }
    }
}
