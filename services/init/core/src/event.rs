//! What can happen to the supervised servers, and what init must do about it.

use core::fmt;

use aios_abi::message::FaultCause;

/// Number of a server: its place in the manifest.
pub type Index = usize;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The manifest is loaded: start the system.
    Begin,
    /// The server of this incarnation reports that it answers requests.
    Ready {
        /// Which server.
        service: Index,
        /// Which run of it, as given in [`Effect::Start`].
        incarnation: u32,
    },
    /// The server of this incarnation is gone; also the answer to a start that failed.
    Died {
        /// Which server.
        service: Index,
        /// Which run of it.
        incarnation: u32,
        /// What ended it.
        reason: Reason,
    },
    /// The time of the last [`Effect::SetTimer`] came. Early and late ones are harmless.
    Timer,
    /// An operator wants the server down and up again at once; also closes its breaker.
    Restart(Index),
    /// An operator wants the server down until [`Event::Start`]: it is asked to stop, then killed.
    Stop(Index),
    /// An operator wants the server up: one that is down starts at once, its breaker closed; one that runs goes on.
    Start(Index),
    /// An operator wants the server killed. It comes back by the restart policy.
    Kill(Index),
    /// The system is to stop.
    Shutdown(PowerAction),
}

/// What init must do, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Start the server. A failure to do so is answered with [`Event::Died`].
    Start {
        /// Which server.
        service: Index,
        /// Number of this run, from 1; a later one is a restart that keeps the agent id and the mailbox.
        incarnation: u32,
    },
    /// Ask the server to stop by itself.
    Stop(Index),
    /// End the server now. Its death is reported with [`Event::Died`].
    Kill(Index),
    /// Report [`Event::Timer`] at this time, ns since boot. Replaces the earlier setting.
    SetTimer(u64),
    /// Tell the log.
    Log(LogEvent),
    /// Every server has been ready: the system is up. Comes once.
    NotifyReady,
    /// All servers are stopped: switch the machine off or reset it. Comes once, as the last effect ever.
    Power(PowerAction),
}

/// How the system ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerAction {
    /// Off.
    Off,
    /// Reset.
    Reboot,
}

/// What ended a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It exited with this code. A server has no reason to, so zero is a death like any other.
    Exit(u64),
    /// It faulted; the kernel's fault code.
    Fault(u16),
    /// It panicked.
    Panic,
    /// Somebody killed it.
    Killed,
    /// It did not report ready in time.
    StartTimeout,
    /// It was ready, and its heartbeat did not come in time.
    Silent,
    /// It could not be started; the error's number.
    StartFailed(u16),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Exit(code) => write!(f, "exited with {code}"),
            Reason::Fault(code) => match FaultCause::from_code(*code) {
                Some(cause) => f.write_str(cause.text()),
                None => write!(f, "fault {code}, which this system does not know"),
            },
            Reason::Panic => f.write_str("panicked"),
            Reason::Killed => f.write_str("killed"),
            Reason::StartTimeout => f.write_str("not ready in time"),
            Reason::Silent => f.write_str("no heartbeat in time"),
            Reason::StartFailed(_) => f.write_str("could not be started"),
        }
    }
}

/// Why an operator's wish was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no server with this number.
    NoSuchService,
    /// The system is stopping.
    ShuttingDown,
    /// The server isn't running, so there is nothing to kill.
    NotRunning,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::NoSuchService => "no such server",
            Refusal::ShuttingDown => "the system is stopping",
            Refusal::NotRunning => "the server is not running",
        })
    }
}

impl core::error::Error for Refusal {}

/// What the log is told; the loop adds the server's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogEvent {
    /// A server is being started.
    Starting {
        /// Which server.
        service: Index,
        /// Number of this run.
        incarnation: u32,
    },
    /// A server is ready.
    Running {
        /// Which server.
        service: Index,
        /// How long the start took, ns.
        took_ns: u64,
    },
    /// A server died and starts again after its backoff.
    Backoff {
        /// Which server.
        service: Index,
        /// What ended it.
        reason: Reason,
        /// How long until its restart, ns.
        delay_ns: u64,
    },
    /// A server died too often: its breaker is open.
    Opened {
        /// Which server.
        service: Index,
        /// What ended it.
        reason: Reason,
        /// How often it died within its window.
        deaths: u32,
        /// How long until a trial start, ns; `None` = until an operator restarts it.
        cooldown_ns: Option<u64>,
    },
    /// A breaker's cooldown is over: one trial start.
    Trial(Index),
    /// An operator asked for a restart.
    RestartAsked(Index),
    /// An operator asked for a kill.
    KillAsked(Index),
    /// An operator asked for a stop.
    StopAsked(Index),
    /// An operator asked for a start.
    StartAsked(Index),
    /// The system begins to stop.
    Stopping(PowerAction),
    /// A server stopped, by itself or killed.
    Stopped {
        /// Which server.
        service: Index,
        /// Whether it had to be killed.
        killed: bool,
    },
    /// A killed server did not even end; the shutdown goes on without it.
    Abandoned(Index),
}

impl LogEvent {
    /// Which server it is about.
    pub fn service(&self) -> Option<Index> {
        match *self {
            LogEvent::Starting { service, .. }
            | LogEvent::Running { service, .. }
            | LogEvent::Backoff { service, .. }
            | LogEvent::Opened { service, .. }
            | LogEvent::Trial(service)
            | LogEvent::RestartAsked(service)
            | LogEvent::KillAsked(service)
            | LogEvent::StopAsked(service)
            | LogEvent::StartAsked(service)
            | LogEvent::Stopped { service, .. }
            | LogEvent::Abandoned(service) => Some(service),
            LogEvent::Stopping(_) => None,
        }
    }

    /// Whether somebody should look at it.
    pub fn is_warning(&self) -> bool {
        matches!(self, LogEvent::Backoff { .. } | LogEvent::Abandoned(_))
    }

    /// Whether an operator has to hear of it at once: something is down and stays so for a while.
    pub fn is_outage(&self) -> bool {
        matches!(self, LogEvent::Opened { .. })
    }
}

impl fmt::Display for LogEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogEvent::Starting { incarnation: 1, .. } => f.write_str("starting"),
            LogEvent::Starting { incarnation, .. } => write!(f, "starting, incarnation {incarnation}"),
            LogEvent::Running { took_ns, .. } => write!(f, "running after {} ms", took_ns / 1_000_000),
            LogEvent::Backoff { reason, delay_ns, .. } => {
                write!(f, "{reason}; restart in {} ms", delay_ns / 1_000_000)
            }
            LogEvent::Opened { reason, deaths, cooldown_ns, .. } => {
                write!(f, "{reason}; death {deaths} within its window, circuit breaker opens ")?;
                match cooldown_ns {
                    Some(ns) => write!(f, "for {} s, then it is started again", ns / 1_000_000_000),
                    None => f.write_str("until an operator restarts it"),
                }
            }
            LogEvent::Trial(_) => f.write_str("cooldown is over, trial start"),
            LogEvent::RestartAsked(_) => f.write_str("restart asked for"),
            LogEvent::KillAsked(_) => f.write_str("kill asked for"),
            LogEvent::StopAsked(_) => f.write_str("stop asked for"),
            LogEvent::StartAsked(_) => f.write_str("start asked for"),
            LogEvent::Stopping(PowerAction::Off) => f.write_str("stopping the system, then power off"),
            LogEvent::Stopping(PowerAction::Reboot) => f.write_str("stopping the system, then reboot"),
            LogEvent::Stopped { killed: false, .. } => f.write_str("stopped"),
            LogEvent::Stopped { killed: true, .. } => f.write_str("stopped, had to be killed"),
            LogEvent::Abandoned(_) => f.write_str("does not end, left behind"),
        }
    }
}
