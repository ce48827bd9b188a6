//! A core in small: contexts that run, sleep and wake, and a clock that leaps from event to event.

use std::cell::Cell;

use crate::sched::{Contexts, Params, Recorder, Sc};

pub(super) const MS: u64 = 1_000_000;

/// Contexts by slot; counts how often one is looked at.
pub(super) struct Table {
    pub contexts: Vec<Sc>,
    pub touched: Cell<u64>,
}

impl Contexts for Table {
    fn sc(&self, slot: u16) -> &Sc {
        self.touched.set(self.touched.get() + 1);
        &self.contexts[slot as usize]
    }
    fn sc_mut(&mut self, slot: u16) -> &mut Sc {
        self.touched.set(self.touched.get() + 1);
        &mut self.contexts[slot as usize]
    }
}

/// What a context does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Habit {
    /// It always wants to run.
    Hog,
    /// It runs for up to so long, then sleeps for up to so long.
    Bursts { run_ns: u64, sleep_ns: u64 },
    /// Every so often a job of up to so much work is released, which has to be done before the next one.
    Jobs { work_ns: u64, every_ns: u64 },
    /// It sleeps until somebody wakes it.
    Idle,
}

/// What is known of a context beside the scheduler.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub habit: Habit,
    pub wants: bool,
    /// Work until it sleeps.
    pub burst_ns: u64,
    pub wake_ns: u64,
    pub served_ns: u64,
    /// Since when it waits: in time, and in time that EDF left.
    pub waits_since: (u64, u64),
    pub longest_wait: (u64, u64),
    /// When the job was released.
    released_ns: u64,
}

/// One stretch of running.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Run {
    pub slot: u16,
    pub start_ns: u64,
    pub end_ns: u64,
}

pub(super) struct World {
    pub sched: Recorder,
    pub table: Table,
    pub tasks: Vec<Task>,
    pub now: u64,
    /// Time in which no EDF context ran.
    pub left_to_fair_ns: u64,
    /// Longest turn that a fair context was given.
    pub longest_turn_ns: u64,
    pub running: u16,
    pub runs: Vec<Run>,
    pub rng: fastrand::Rng,
    until_ns: u64,
    undecided: bool,
}

impl World {
    pub fn new(rng: &mut fastrand::Rng, now: u64) -> Self {
        let nobody = Task {
            habit: Habit::Idle,
            wants: false,
            burst_ns: 0,
            wake_ns: u64::MAX,
            served_ns: 0,
            waits_since: (0, 0),
            longest_wait: (0, 0),
            released_ns: 0,
        };
        Self {
            sched: Recorder::EMPTY,
            table: Table { contexts: vec![Sc::EMPTY], touched: Cell::new(0) },
            tasks: vec![nobody],
            now,
            left_to_fair_ns: 0,
            longest_turn_ns: 0,
            running: 0,
            runs: Vec::new(),
            rng: rng.fork(),
            until_ns: u64::MAX,
            undecided: true,
        }
    }

    /// A new context. It begins with its habit at once.
    pub fn add(&mut self, params: Params, habit: Habit) -> u16 {
        let slot = self.tasks.len() as u16;
        self.table.contexts.push(Sc::EMPTY);
        self.tasks.push(Task { habit, ..self.tasks[0].clone() });
        self.set(slot, params).expect("the parameters are admitted");
        if !matches!(habit, Habit::Idle) {
            self.wake(slot);
        }
        slot
    }

    pub fn set(&mut self, slot: u16, params: Params) -> Result<(), crate::sched::NotAdmitted> {
        self.undecided = true;
        self.sched.set(&mut self.table, slot, params, self.now)
    }

    pub fn is_edf(&self, slot: u16) -> bool {
        self.table.contexts[slot as usize].class() == 1
    }

    pub fn wake(&mut self, slot: u16) {
        let now = self.now;
        let task = &mut self.tasks[slot as usize];
        (task.wants, task.wake_ns, task.released_ns) = (true, u64::MAX, now);
        task.burst_ns = match task.habit {
            Habit::Hog | Habit::Idle => u64::MAX,
            Habit::Bursts { run_ns, .. } => self.rng.u64(1..=run_ns),
            Habit::Jobs { work_ns, .. } => self.rng.u64(1..=work_ns),
        };
        task.waits_since = (now, self.left_to_fair_ns);
        self.sched.enqueue(&mut self.table, slot, now);
        if self.running == 0 || self.sched.preempts(&mut self.table, slot, self.running) {
            self.undecided = true;
        }
    }

    fn sleep(&mut self, slot: u16) {
        let now = self.now;
        let task = &mut self.tasks[slot as usize];
        task.wants = false;
        task.wake_ns = match task.habit {
            Habit::Hog | Habit::Idle => u64::MAX,
            Habit::Bursts { sleep_ns, .. } => now + self.rng.u64(1..=sleep_ns),
            Habit::Jobs { every_ns, .. } => {
                assert!(now <= task.released_ns + every_ns, "a job was {} ns late", now - task.released_ns - every_ns);
                task.released_ns + every_ns
            }
        };
        self.undecided = true;
    }

    /// Stops a context that may be running, for good.
    pub fn stop(&mut self, slot: u16) {
        self.tasks[slot as usize].wants = false;
        self.tasks[slot as usize].wake_ns = u64::MAX;
        self.sched.dequeue(&mut self.table, slot);
        if self.running == slot {
            self.running = 0;
        }
        self.undecided = true;
    }

    /// Stops a context and takes it away.
    pub fn remove(&mut self, slot: u16) {
        self.stop(slot);
        assert_eq!(self.sched.remove(&mut self.table, slot), self.tasks[slot as usize].served_ns, "its time is counted");
    }

    pub fn replenish(&mut self) {
        self.sched.replenish(&mut self.table, self.now);
        self.undecided = true;
    }

    /// Who runs gives up its turn.
    pub fn yield_now(&mut self) {
        self.sched.yield_now(&mut self.table, self.running, self.now);
        self.undecided = true;
    }

    /// Lets time pass to `end`, deciding as events ask for it. `seen` looks at every decision.
    pub fn run(&mut self, end: u64, mut seen: impl FnMut(&Self)) {
        self.decide();
        while self.now < end {
            seen(self);
            let wake = self.tasks.iter().map(|task| task.wake_ns).min().unwrap_or(u64::MAX);
            let burst = if self.running == 0 { u64::MAX } else { self.now.saturating_add(self.tasks[self.running as usize].burst_ns) };
            let next = end.min(wake).min(burst).min(self.until_ns).min(self.sched.next_replenish());
            self.advance(next.max(self.now));
            if self.running != 0 && self.tasks[self.running as usize].burst_ns == 0 {
                self.sleep(self.running);
            }
            for slot in 1..self.tasks.len() as u16 {
                if self.tasks[slot as usize].wake_ns <= self.now {
                    self.wake(slot);
                }
            }
            if self.sched.next_replenish() <= self.now {
                self.replenish();
            }
            self.undecided |= self.until_ns <= self.now;
            self.decide();
        }
        seen(self);
    }

    /// Time passes, and is charged to who runs.
    pub fn advance(&mut self, next: u64) {
        let spent = next - self.now;
        if spent == 0 {
            return;
        }
        if self.running == 0 || !self.is_edf(self.running) {
            self.left_to_fair_ns += spent;
        }
        if self.running != 0 {
            let task = &mut self.tasks[self.running as usize];
            task.served_ns += spent;
            if task.burst_ns != u64::MAX {
                task.burst_ns -= spent;
            }
            self.sched.charge(&mut self.table, self.running, spent, next);
            match self.runs.last_mut() {
                Some(run) if run.slot == self.running && run.end_ns == self.now => run.end_ns = next,
                _ => self.runs.push(Run { slot: self.running, start_ns: self.now, end_ns: next }),
            }
        }
        self.now = next;
    }

    pub fn decide(&mut self) {
        if !self.undecided {
            return;
        }
        self.undecided = false;
        let before = core::mem::take(&mut self.running);
        let time = (self.now, self.left_to_fair_ns);
        if before != 0 {
            if self.tasks[before as usize].wants {
                self.tasks[before as usize].waits_since = time;
                self.sched.put_back(&mut self.table, before, self.now);
            } else {
                self.sched.dequeue(&mut self.table, before);
            }
        }
        self.repick();
    }

    /// When the turn of who runs ends.
    pub fn until_ns(&self) -> u64 {
        self.until_ns
    }

    /// Whoever comes next runs.
    pub fn repick(&mut self) {
        let time = (self.now, self.left_to_fair_ns);
        self.until_ns = u64::MAX;
        if let Some(pick) = self.sched.pick(&mut self.table, self.now) {
            assert!(pick.until_ns > self.now, "a turn lasts");
            (self.running, self.until_ns) = (pick.slot, pick.until_ns);
            if !self.is_edf(pick.slot) {
                self.longest_turn_ns = self.longest_turn_ns.max(pick.until_ns - self.now);
            }
            let task = &mut self.tasks[pick.slot as usize];
            assert!(task.wants, "who runs wants to");
            task.longest_wait.0 = task.longest_wait.0.max(time.0 - task.waits_since.0);
            task.longest_wait.1 = task.longest_wait.1.max(time.1 - task.waits_since.1);
        } else {
            let waits = |slot: &u16| self.tasks[*slot as usize].wants && !self.table.contexts[*slot as usize].is_throttled();
            assert_eq!((1..self.tasks.len() as u16).find(waits), None, "nobody waits while the core idles");
        }
    }

    /// The time that a context ran between two times.
    pub fn served_between(&self, slot: u16, start: u64, end: u64) -> u64 {
        let within = |run: &Run| run.end_ns.min(end).saturating_sub(run.start_ns.max(start));
        self.runs.iter().filter(|run| run.slot == slot).map(within).sum()
    }

    pub fn missed(&self) -> u64 {
        self.table.contexts.iter().map(Sc::missed).sum()
    }
}

/// Random EDF parameters that together take about this share of a core, in 1/65536.
pub(super) fn reservations(rng: &mut fastrand::Rng, count: usize, share: u64, longest_ns: u64) -> Vec<Params> {
    let parts: Vec<u64> = (0..count).map(|_| rng.u64(1..=1_000)).collect();
    let total: u64 = parts.iter().sum();
    let reservation = |part: &u64| {
        let period_ns = rng.u64(250_000..=longest_ns);
        let budget_ns = ((period_ns as u128 * (share * part) as u128 / total as u128) >> 16) as u64;
        // Room for the rounding of its utilisation.
        Params::edf((budget_ns - budget_ns / 1_000).saturating_sub(period_ns >> 16).max(1), period_ns).expect("within its period")
    };
    parts.iter().map(reservation).collect()
}
