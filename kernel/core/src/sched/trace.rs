//! Recording what a scheduler does, so that it can be done again elsewhere.
//!
//! A scheduler is a function of its state, of the operations on it and of their times. The [`Recorder`] in front of it tells of each operation and of what
//! came of it; [`Replay`](super::Replay) does the same operations and compares. Both make events by [`Operation::apply`], so there is one place that
//! says what an operation is and what of its outcome is compared.
//!
//! A recording begins with the state: the contexts that compete, in the order of their queues. All others are told of when an operation first meets them.
//! Telling changes nothing that anybody could see: no deadline, no virtual time, no order. Nothing is recorded without somebody who asked for it;
//! then an operation costs one comparison more.
//!
//! Events wait in a buffer until the core has time for them. What finds no room there is counted, and the state is told anew when there is room again.

use aios_abi::trace::{AGENTS_MAX, Event, Op};

use super::context::Place;
use super::queue::CalendarQueue;
use super::{Contexts, NotAdmitted, Params, Pick, Sc, Scheduler, View};

/// Events that wait to be written: more than one step in the kernel makes, unless it ends dozens of agents at once.
const BUFFER: usize = 256;
/// Events of one operation: two contexts that were not met before, and the operation.
const LONGEST: usize = 7;
/// Contexts told of at once.
const CONTEXTS: usize = AGENTS_MAX as usize;
/// Bit of a `Set` event's flag: the parameters were admitted.
const ADMITTED: u8 = 2;

impl Place {
    /// Its number in events.
    const fn code(self) -> u8 {
        match self {
            Self::Out => 0,
            Self::Running => 1,
            Self::Queued => 2,
            Self::Early => 3,
            Self::Throttled => 4,
        }
    }

    /// The place with this number.
    pub(super) const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Out,
            1 => Self::Running,
            2 => Self::Queued,
            3 => Self::Early,
            4 => Self::Throttled,
            _ => return None,
        })
    }
}

/// One operation on a scheduler.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Operation {
    Enqueue(u16),
    Dequeue(u16),
    PutBack(u16),
    Pick,
    Charge(u16, u64),
    Debit(u16, u64),
    Yield(u16),
    Replenish,
    Set(u16, Params),
    MoveIn(u16),
    Remove(u16),
    Preempts(u16, u16),
}

impl Operation {
    /// The operation that an event tells of. `None` if it tells of something else, or of parameters that nobody can have.
    pub(super) fn of(event: &Event) -> Option<Self> {
        let slot = event.slot;
        Some(match event.op {
            Op::Enqueue => Self::Enqueue(slot),
            Op::Dequeue => Self::Dequeue(slot),
            Op::PutBack => Self::PutBack(slot),
            Op::Pick => Self::Pick,
            Op::Charge => Self::Charge(slot, event.a),
            Op::Debit => Self::Debit(slot, event.a),
            Op::Yield => Self::Yield(slot),
            Op::Replenish => Self::Replenish,
            Op::Set => Self::Set(slot, params(event.flag & 1, event.a, event.b)?),
            Op::MoveIn => Self::MoveIn(slot),
            Op::Remove => Self::Remove(slot),
            Op::Preempts => Self::Preempts(slot, event.other),
            Op::Start | Op::Shares | Op::Params | Op::Times | Op::Used | Op::Begin | Op::Lost | Op::Run => return None,
        })
    }

    /// The contexts that it names; 0 is none.
    pub(super) const fn contexts(self) -> [u16; 2] {
        match self {
            Self::Pick | Self::Replenish => [0, 0],
            Self::Preempts(slot, other) => [slot, other],
            Self::Enqueue(slot)
            | Self::Dequeue(slot)
            | Self::PutBack(slot)
            | Self::Charge(slot, _)
            | Self::Debit(slot, _)
            | Self::Yield(slot)
            | Self::Set(slot, _)
            | Self::MoveIn(slot)
            | Self::Remove(slot) => [slot, 0],
        }
    }

    /// Does it, and tells of it and of its outcome.
    pub(super) fn apply<C: Contexts>(self, scheduler: &mut Scheduler, contexts: &mut C, time: u64) -> Event {
        match self {
            Self::Enqueue(slot) => {
                scheduler.enqueue(contexts, slot, time);
                left(contexts, Event::new(Op::Enqueue, slot, time))
            }
            Self::Dequeue(slot) => {
                scheduler.dequeue(contexts, slot);
                left(contexts, Event::new(Op::Dequeue, slot, time))
            }
            Self::PutBack(slot) => {
                scheduler.put_back(contexts, slot, time);
                left(contexts, Event::new(Op::PutBack, slot, time))
            }
            Self::Pick => match scheduler.pick(contexts, time) {
                Some(pick) => Event { flag: 1, a: pick.until_ns, ..Event::new(Op::Pick, pick.slot, time) },
                None => Event::new(Op::Pick, 0, time),
            },
            Self::Charge(slot, ns) => {
                scheduler.charge(contexts, slot, ns, time);
                Event { a: ns, ..left(contexts, Event::new(Op::Charge, slot, time)) }
            }
            Self::Debit(slot, ns) => {
                scheduler.debit(contexts, slot, ns, time);
                Event { a: ns, ..left(contexts, Event::new(Op::Debit, slot, time)) }
            }
            Self::Yield(slot) => {
                scheduler.yield_now(contexts, slot, time);
                left(contexts, Event::new(Op::Yield, slot, time))
            }
            Self::Replenish => {
                scheduler.replenish(contexts, time);
                Event { a: scheduler.next_replenish(), ..Event::new(Op::Replenish, 0, time) }
            }
            Self::Set(slot, params) => {
                let admitted = scheduler.set(contexts, slot, params, time).is_ok();
                let (class, a, b) = words(params);
                let flag = class | if admitted { ADMITTED } else { 0 };
                Event { flag, a, b, other: contexts.sc(slot).place.code() as u16, ..Event::new(Op::Set, slot, time) }
            }
            Self::MoveIn(slot) => {
                scheduler.move_in(contexts, slot);
                left(contexts, Event::new(Op::MoveIn, slot, time))
            }
            Self::Remove(slot) => Event { a: scheduler.remove(contexts, slot), ..Event::new(Op::Remove, slot, time) },
            Self::Preempts(slot, other) => {
                let flag = scheduler.preempts(contexts, slot, other) as u8;
                Event { flag, other, ..Event::new(Op::Preempts, slot, time) }
            }
        }
    }
}

/// Adds to an event what its operation left in the context.
fn left<C: Contexts>(contexts: &C, event: Event) -> Event {
    let sc = contexts.sc(event.slot);
    let b = if sc.class() == 1 { sc.left_ns as u64 } else { sc.vtime };
    Event { flag: sc.place.code(), a: sc.deadline, b, ..event }
}

const fn words(params: Params) -> (u8, u64, u64) {
    match params {
        Params::Fair { weight } => (0, weight, 0),
        Params::Edf { budget_ns, period_ns } => (1, budget_ns, period_ns),
    }
}

/// The parameters in an event.
pub(super) const fn params(class: u8, a: u64, b: u64) -> Option<Params> {
    match class {
        0 if b == 0 => Params::fair(a),
        1 => Params::edf(a, b),
        _ => None,
    }
}

impl Scheduler {
    /// The contexts in the queues, in order: first by queue, then as they will come. Nothing changes that a decision could depend on.
    ///
    /// There are no more than [`CONTEXTS`]: the caller has counted.
    fn survey<C: Contexts>(&mut self, contexts: &mut C, now: u64) -> ([u16; CONTEXTS], usize) {
        let (mut slots, mut count) = ([0; CONTEXTS], 0);
        let virtual_now = self.clock.now();
        list(&mut self.edf, contexts, now, &mut slots, &mut count);
        list(&mut self.throttled, contexts, now, &mut slots, &mut count);
        list(&mut self.fair, contexts, virtual_now, &mut slots, &mut count);
        list(&mut self.early, contexts, virtual_now, &mut slots, &mut count);
        (slots, count)
    }
}

/// Adds the members of a queue, in order. They are taken out and put in again as they came, so their order stays.
fn list<C: Contexts, const SHIFT: u32>(
    queue: &mut CalendarQueue<SHIFT>,
    contexts: &mut C,
    floor: u64,
    slots: &mut [u16],
    count: &mut usize,
) {
    let first = *count;
    let mut view = View(contexts);
    while let Some(slot) = queue.first().filter(|_| *count < slots.len()) {
        queue.remove(&mut view, slot);
        slots[*count] = slot;
        *count += 1;
    }
    for &slot in &slots[first..*count] {
        queue.insert(&mut view, slot, floor);
    }
}

/// A scheduler whose operations can be recorded.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Recorder {
    scheduler: Scheduler,
    /// Number of the recording; 0: nothing is recorded.
    recording: u32,
    /// Recordings so far. A context has the number of the last one that told of it.
    recordings: u32,
    events: [Event; BUFFER],
    length: usize,
    /// Events told so far in all states of this binding.
    told: u64,
    /// Operations that found no room in the buffer since the last state.
    lost: u64,
    /// The last time heard of, for operations that need none.
    time: u64,
}

impl core::ops::Deref for Recorder {
    type Target = Scheduler;
    fn deref(&self) -> &Scheduler {
        &self.scheduler
    }
}

impl Recorder {
    /// An empty scheduler, not recorded.
    pub const EMPTY: Self = Self {
        scheduler: Scheduler::EMPTY,
        recording: 0,
        recordings: 0,
        events: [Event::new(Op::Lost, 0, 0); BUFFER],
        length: 0,
        told: 0,
        lost: 0,
        time: 0,
    };

    /// Whether operations are recorded.
    #[inline(always)]
    pub const fn is_recording(&self) -> bool {
        self.recording != 0
    }

    /// Operations that found no room since the state was told. It has to be told anew.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Begins a recording, or begins it anew after a loss: hands the state to `sink`. The buffer has been [drained](Self::drain). `running` is the context
    /// that runs, or 0; no more than [`AGENTS_MAX`] contexts are in queues.
    pub fn begin<C: Contexts>(&mut self, contexts: &mut C, core: u16, running: u16, time: u64, mut sink: impl FnMut(Event)) {
        if self.recording == 0 {
            self.told = 0;
        } else {
            let lost = self.lost;
            sink(self.numbered(Event { a: lost, ..Event::new(Op::Lost, 0, time) }));
        }
        (self.lost, self.time) = (0, time);
        self.recordings = self.recordings.wrapping_add(1).max(1);
        self.recording = self.recordings;
        let (slots, queued) = self.scheduler.survey(contexts, time);
        let (now, scheduler) = (self.scheduler.clock.now(), &self.scheduler);
        let shares = Event { a: scheduler.admitted, b: scheduler.leaving, ..Event::new(Op::Shares, 0, scheduler.leaving_until_ns) };
        sink(self.numbered(Event { a: now, ..Event::new(Op::Start, core, time) }));
        sink(self.numbered(shares));
        let runs = (running != 0) as u64;
        for slot in slots[..queued].iter().copied().chain((running != 0).then_some(running)) {
            for event in self.tell(contexts, slot) {
                sink(self.numbered(event));
            }
        }
        sink(self.numbered(Event { a: queued as u64 + runs, ..Event::new(Op::Begin, running, time) }));
    }

    /// Ends the recording. What waits in the buffer is forgotten.
    pub const fn end(&mut self) {
        (self.recording, self.length, self.lost) = (0, 0, 0);
    }

    /// Hands out what waits in the buffer.
    pub fn drain(&mut self, mut sink: impl FnMut(Event)) {
        for i in 0..self.length {
            sink(self.events[i]);
        }
        self.length = 0;
    }

    fn numbered(&mut self, event: Event) -> Event {
        let number = self.told as u16;
        self.told += 1;
        Event { number, ..event }
    }

    /// A context, in three events. From now on it is known.
    fn tell<C: Contexts>(&self, contexts: &mut C, slot: u16) -> [Event; 3] {
        let sc = contexts.sc_mut(slot);
        sc.told = self.recording;
        let (class, a, b) = words(sc.params);
        [
            Event { flag: sc.place.code() | class << 4, a, b, ..Event::new(Op::Params, slot, 0) },
            Event { a: sc.vtime, b: sc.rest, ..Event::new(Op::Times, slot, sc.deadline) },
            Event { a: sc.cpu_ns(), b: sc.missed(), ..Event::new(Op::Used, slot, sc.left_ns as u64) },
        ]
    }

    fn push(&mut self, event: Event) {
        let event = self.numbered(event);
        if let Some(place) = self.events.get_mut(self.length) {
            *place = event;
            self.length += 1;
        }
    }

    /// Does an operation and records it.
    #[cold]
    #[inline(never)]
    fn record<C: Contexts>(&mut self, contexts: &mut C, operation: Operation, time: u64) -> Event {
        self.time = time;
        // After a loss nothing that follows could be done again.
        if self.lost != 0 || self.length + LONGEST > BUFFER {
            self.lost += 1;
            return operation.apply(&mut self.scheduler, contexts, time);
        }
        for slot in operation.contexts() {
            if slot != 0 && contexts.sc(slot).told != self.recording {
                self.tell(contexts, slot).into_iter().for_each(|event| self.push(event));
            }
        }
        let event = operation.apply(&mut self.scheduler, contexts, time);
        self.push(event);
        event
    }

    /// Says which agent a context runs from now on: its id, and its place in the agent table.
    #[inline]
    pub fn runs(&mut self, context: u16, agent: u16, id: u64) {
        if self.is_recording() && self.lost == 0 && self.length + LONGEST <= BUFFER {
            self.push(Event { other: agent, a: id, ..Event::new(Op::Run, context, self.time) });
        }
    }

    /// [`Scheduler::enqueue`].
    pub fn enqueue<C: Contexts>(&mut self, contexts: &mut C, slot: u16, now: u64) {
        if self.is_recording() {
            self.record(contexts, Operation::Enqueue(slot), now);
        } else {
            self.scheduler.enqueue(contexts, slot, now);
        }
    }

    /// [`Scheduler::dequeue`].
    pub fn dequeue<C: Contexts>(&mut self, contexts: &mut C, slot: u16) {
        if self.is_recording() {
            self.record(contexts, Operation::Dequeue(slot), self.time);
        } else {
            self.scheduler.dequeue(contexts, slot);
        }
    }

    /// [`Scheduler::put_back`].
    pub fn put_back<C: Contexts>(&mut self, contexts: &mut C, slot: u16, now: u64) {
        if self.is_recording() {
            self.record(contexts, Operation::PutBack(slot), now);
        } else {
            self.scheduler.put_back(contexts, slot, now);
        }
    }

    /// [`Scheduler::pick`].
    pub fn pick<C: Contexts>(&mut self, contexts: &mut C, now: u64) -> Option<Pick> {
        if self.is_recording() {
            let event = self.record(contexts, Operation::Pick, now);
            (event.flag != 0).then_some(Pick { slot: event.slot, until_ns: event.a })
        } else {
            self.scheduler.pick(contexts, now)
        }
    }

    /// [`Scheduler::charge`].
    pub fn charge<C: Contexts>(&mut self, contexts: &mut C, slot: u16, ns: u64, now: u64) {
        if self.is_recording() {
            self.record(contexts, Operation::Charge(slot, ns), now);
        } else {
            self.scheduler.charge(contexts, slot, ns, now);
        }
    }

    /// [`Scheduler::debit`].
    pub fn debit<C: Contexts>(&mut self, contexts: &mut C, slot: u16, ns: u64, now: u64) {
        if self.is_recording() {
            self.record(contexts, Operation::Debit(slot, ns), now);
        } else {
            self.scheduler.debit(contexts, slot, ns, now);
        }
    }

    /// [`Scheduler::preempts`].
    pub fn preempts<C: Contexts>(&mut self, contexts: &mut C, candidate: u16, running: u16) -> bool {
        if self.is_recording() {
            self.record(contexts, Operation::Preempts(candidate, running), self.time).flag != 0
        } else {
            self.scheduler.preempts(contexts, candidate, running)
        }
    }

    /// [`Scheduler::yield_now`].
    pub fn yield_now<C: Contexts>(&mut self, contexts: &mut C, slot: u16, now: u64) {
        if self.is_recording() {
            self.record(contexts, Operation::Yield(slot), now);
        } else {
            self.scheduler.yield_now(contexts, slot, now);
        }
    }

    /// [`Scheduler::replenish`].
    pub fn replenish<C: Contexts>(&mut self, contexts: &mut C, now: u64) {
        if self.is_recording() {
            self.record(contexts, Operation::Replenish, now);
        } else {
            self.scheduler.replenish(contexts, now);
        }
    }

    /// [`Scheduler::set`].
    pub fn set<C: Contexts>(&mut self, contexts: &mut C, slot: u16, params: Params, now: u64) -> Result<(), NotAdmitted> {
        if self.is_recording() {
            let event = self.record(contexts, Operation::Set(slot, params), now);
            if event.flag & ADMITTED != 0 { Ok(()) } else { Err(NotAdmitted) }
        } else {
            self.scheduler.set(contexts, slot, params, now)
        }
    }

    /// [`Scheduler::move_in`].
    pub fn move_in<C: Contexts>(&mut self, contexts: &mut C, slot: u16) {
        // What another core told of it is not known here.
        contexts.sc_mut(slot).told = 0;
        if self.is_recording() {
            self.record(contexts, Operation::MoveIn(slot), self.time);
        } else {
            self.scheduler.move_in(contexts, slot);
        }
    }

    /// [`Scheduler::remove`].
    pub fn remove<C: Contexts>(&mut self, contexts: &mut C, slot: u16) -> u64 {
        if self.is_recording() {
            self.record(contexts, Operation::Remove(slot), self.time).a
        } else {
            self.scheduler.remove(contexts, slot)
        }
    }
}

impl Sc {
    /// A context as three events tell of it: parameters, times, account.
    pub(super) fn told(params: Params, place: Place, times: &Event, account: &Event) -> Self {
        let mut sc = Self::with_account(account.a, account.b);
        (sc.params, sc.place, sc.left_ns) = (params, place, account.time as i64);
        (sc.deadline, sc.vtime, sc.rest) = (times.time, times.a, times.b);
        sc
    }
}
