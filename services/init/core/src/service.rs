//! One supervised server: its state, the deaths that it is remembered for, and its circuit breaker.

use aios_manifest::types::{BREAKER_LIMIT_MAX, Restart};

use crate::event::Reason;

const NS_PER_MS: u64 = 1_000_000;
const NS_PER_S: u64 = 1_000_000_000;

/// What a server is doing. Times are ns since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Waits for a server that it depends on, or for the system to begin.
    Waiting,
    /// Started, not ready yet.
    Starting {
        /// When it was started.
        since: u64,
        /// When the start counts as failed.
        deadline: u64,
    },
    /// Answers requests.
    Running {
        /// Since when.
        since: u64,
    },
    /// Died; waits for its restart.
    Backoff {
        /// When it is started again.
        until: u64,
    },
    /// Died too often; not started by itself.
    Open {
        /// When it gets a trial start; `None` = never by itself.
        until: Option<u64>,
    },
    /// Told to stop, or killed; its death is awaited.
    Stopping {
        /// When patience ends.
        deadline: u64,
        /// Whether it was killed already.
        killed: bool,
        /// What its death leads to.
        then: AfterStop,
    },
    /// Down: until an operator starts it, or for good because the system stops.
    Stopped,
}

/// What happens when a server that was made to stop is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterStop {
    /// Nothing: the system stops.
    Stay,
    /// Nothing until an operator starts it.
    Hold,
    /// Start it at once: an operator asked for a restart.
    Restart,
    /// The restart policy decides: it was killed, by an operator or for not getting ready.
    Policy(Reason),
}

impl State {
    /// The word for it that people see.
    pub const fn name(&self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Starting { .. } => "starting",
            State::Running { .. } => "running",
            State::Backoff { .. } => "backoff",
            State::Open { .. } => "open",
            State::Stopping { .. } => "stopping",
            State::Stopped => "stopped",
        }
    }

    /// When this state ends by itself.
    pub const fn deadline(&self) -> Option<u64> {
        match *self {
            State::Starting { deadline, .. } | State::Stopping { deadline, .. } => Some(deadline),
            State::Backoff { until } | State::Open { until: Some(until) } => Some(until),
            State::Waiting | State::Running { .. } | State::Open { until: None } | State::Stopped => None,
        }
    }

    /// Whether an agent exists that can die.
    pub const fn is_alive(&self) -> bool {
        matches!(self, State::Starting { .. } | State::Running { .. } | State::Stopping { .. })
    }
}

/// The circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaker {
    /// Deaths lead to restarts.
    Closed,
    /// No restarts.
    Open,
    /// A trial start is under way: the next death within the window opens it again.
    HalfOpen,
}

/// What `services` shows of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// Its breaker.
    pub breaker: Breaker,
    /// Number of its present or last run; 0 = never started.
    pub incarnation: u32,
    /// Deaths within the window that ends now.
    pub deaths_in_window: u32,
    /// What ended it last.
    pub last_death: Option<Reason>,
}

/// The deaths that count, the newest overwriting the oldest.
#[derive(Debug, Clone, Copy)]
struct Deaths {
    times: [u64; BREAKER_LIMIT_MAX as usize],
    count: usize,
}

impl Deaths {
    const NONE: Deaths = Deaths { times: [0; BREAKER_LIMIT_MAX as usize], count: 0 };

    fn record(&mut self, now: u64) {
        if self.count == self.times.len() {
            self.times.rotate_left(1);
            self.count -= 1;
        }
        self.times[self.count] = now;
        self.count += 1;
    }

    fn within(&self, now: u64, window: u64) -> u32 {
        self.times[..self.count].iter().filter(|&&at| now.saturating_sub(at) < window).count() as u32
    }
}

/// What a death leads to.
pub(crate) enum Verdict {
    Retry { delay_ns: u64 },
    Open { deaths: u32, cooldown_ns: Option<u64> },
}

/// One server.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub state: State,
    pub incarnation: u32,
    pub depends: alloc::vec::Vec<usize>,
    pub stop_grace_ns: u64,
    policy: Restart,
    deaths: Deaths,
    /// Deaths since it last was healthy; sets the length of the backoff.
    streak: u32,
    half_open: bool,
    last_death: Option<Reason>,
}

impl Service {
    pub fn new(depends: alloc::vec::Vec<usize>, policy: Restart, stop_grace_ms: u32) -> Self {
        Service {
            state: State::Waiting,
            incarnation: 0,
            depends,
            stop_grace_ns: u64::from(stop_grace_ms) * NS_PER_MS,
            // The checker refuses a limit of 0; taking it as 1 keeps the record's reader honest as well.
            policy: Restart { limit: policy.limit.clamp(1, BREAKER_LIMIT_MAX), ..policy },
            deaths: Deaths::NONE,
            streak: 0,
            half_open: false,
            last_death: None,
        }
    }

    pub fn status(&self, now: u64) -> Status {
        let proven = matches!(self.state, State::Running { since } if now.saturating_sub(since) >= self.window_ns());
        let breaker = match self.state {
            State::Open { .. } => Breaker::Open,
            _ if self.half_open && !proven => Breaker::HalfOpen,
            _ => Breaker::Closed,
        };
        Status {
            state: self.state,
            breaker,
            incarnation: self.incarnation,
            deaths_in_window: self.deaths.within(now, self.window_ns()),
            last_death: self.last_death,
        }
    }

    pub fn start_timeout_ns(&self) -> u64 {
        u64::from(self.policy.start_timeout_ms) * NS_PER_MS
    }

    fn window_ns(&self) -> u64 {
        u64::from(self.policy.window_s) * NS_PER_S
    }

    /// Counts a death and says what follows from it. `ran_ns` is how long the server had been ready.
    pub fn died(&mut self, now: u64, reason: Reason, ran_ns: u64) -> Verdict {
        self.last_death = Some(reason);
        if ran_ns >= self.window_ns() {
            self.forgive();
        }
        self.deaths.record(now);
        self.streak = self.streak.saturating_add(1);
        let deaths = self.deaths.within(now, self.window_ns());
        if self.half_open || deaths >= u32::from(self.policy.limit) {
            self.half_open = false;
            let cooldown_ns = (self.policy.cooldown_s > 0).then(|| u64::from(self.policy.cooldown_s) * NS_PER_S);
            return Verdict::Open { deaths, cooldown_ns };
        }
        let doublings = (self.streak - 1).min(31);
        let delay_ms = (u64::from(self.policy.backoff_initial_ms) << doublings).min(u64::from(self.policy.backoff_max_ms));
        Verdict::Retry { delay_ns: delay_ms * NS_PER_MS }
    }

    /// The breaker's cooldown is over: the next death opens it again.
    pub fn begin_trial(&mut self) {
        self.half_open = true;
    }

    /// Forgets all deaths: the server was healthy for a whole window, or an operator says that it is mended.
    pub fn forgive(&mut self) {
        self.deaths = Deaths::NONE;
        self.streak = 0;
        self.half_open = false;
    }
}
