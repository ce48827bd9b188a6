//! All servers together: start order, restarts, ordered shutdown.
//!
//! Servers are started in declared order, each as soon as all that it depends on are running. A death does not touch
//! those that depend on the dead one: their open calls end with an error and they try again. At shutdown servers stop
//! one by one in reverse order, each with its grace time, then it is killed, then it is left behind.

use alloc::vec::Vec;

use aios_manifest::types::Manifest;

use crate::event::{Effect, Event, Index, LogEvent, PowerAction, Reason, Refusal};
use crate::service::{AfterStop, Service, State, Status, Verdict};

/// How long a killed server may take to be gone before init stops waiting for it, ns.
pub const KILL_GRACE_NS: u64 = 1_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Before [`Event::Begin`].
    Idle,
    Up,
    Stopping(PowerAction),
    /// [`Effect::Power`] was given.
    Off,
}

/// The supervisor's state.
#[derive(Debug, Clone)]
pub struct Supervisor {
    services: Vec<Service>,
    mode: Mode,
    /// Whether [`Effect::NotifyReady`] was given.
    announced: bool,
    /// The last [`Effect::SetTimer`] that has not come yet.
    timer: Option<u64>,
}

impl Supervisor {
    /// A supervisor for the servers of `manifest`, none of them started.
    pub fn new(manifest: &Manifest<'_>) -> Self {
        let services = manifest
            .servers
            .iter()
            .map(|server| {
                let depends = server.depends.iter().map(|&on| usize::from(on)).collect();
                Service::new(depends, server.restart, server.stop_grace_ms)
            })
            .collect();
        Supervisor { services, mode: Mode::Idle, announced: false, timer: None }
    }

    /// How many servers there are.
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Whether there is no server at all.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// What server `service` is doing.
    pub fn status(&self, service: Index, now: u64) -> Option<Status> {
        Some(self.services.get(service)?.status(now))
    }

    /// Whether `Shutdown` was asked for.
    pub fn is_stopping(&self) -> bool {
        matches!(self.mode, Mode::Stopping(_) | Mode::Off)
    }

    /// Most effects that one event can lead to.
    pub fn effects_max(&self) -> usize {
        // For each server a kill or stop, a start and two log lines; then timer, ready or power, and one line.
        4 * self.services.len() + 3
    }

    /// Takes in one event. An operator's wish can be refused; everything else is accepted, and what is stale ignored.
    pub fn handle(&mut self, now: u64, event: Event) -> Result<Vec<Effect>, Refusal> {
        let mut effects = Vec::new();
        match event {
            Event::Begin => {
                if self.mode == Mode::Idle {
                    self.mode = Mode::Up;
                }
            }
            Event::Ready { service, incarnation } => self.ready(now, service, incarnation, &mut effects),
            Event::Died { service, incarnation, reason } => self.died(now, service, incarnation, reason, &mut effects),
            Event::Timer => self.timer = None,
            Event::Restart(service) => self.restart(now, service, &mut effects)?,
            Event::Stop(service) => self.stop(now, service, &mut effects)?,
            Event::Start(service) => self.start(service, &mut effects)?,
            Event::Kill(service) => self.kill(now, service, &mut effects)?,
            Event::Shutdown(action) => self.shutdown(action, &mut effects)?,
        }
        self.expire(now, &mut effects);
        self.advance(now, &mut effects);
        self.arm(&mut effects);
        Ok(effects)
    }

    fn ready(&mut self, now: u64, index: Index, incarnation: u32, effects: &mut Vec<Effect>) {
        let Some(service) = self.services.get_mut(index) else { return };
        if let State::Starting { since, .. } = service.state
            && service.incarnation == incarnation
        {
            service.state = State::Running { since: now };
            let took_ns = now.saturating_sub(since);
            effects.push(Effect::Log(LogEvent::Running { service: index, took_ns }));
        }
    }

    fn died(&mut self, now: u64, index: Index, incarnation: u32, reason: Reason, effects: &mut Vec<Effect>) {
        let Some(service) = self.services.get(index) else { return };
        if service.incarnation != incarnation || !service.state.is_alive() {
            return;
        }
        match service.state {
            State::Stopping { killed, then: AfterStop::Stay | AfterStop::Hold, .. } => {
                self.services[index].state = State::Stopped;
                effects.push(Effect::Log(LogEvent::Stopped { service: index, killed }));
            }
            State::Stopping { then: AfterStop::Restart, .. } => self.services[index].state = State::Waiting,
            State::Stopping { then: AfterStop::Policy(why), .. } => self.decide(now, index, why, 0, effects),
            State::Running { since } => self.decide(now, index, reason, now.saturating_sub(since), effects),
            _ => self.decide(now, index, reason, 0, effects),
        }
    }

    /// Applies the restart policy to a death.
    fn decide(&mut self, now: u64, index: Index, reason: Reason, ran_ns: u64, effects: &mut Vec<Effect>) {
        let service = &mut self.services[index];
        match service.died(now, reason, ran_ns) {
            Verdict::Retry { delay_ns } => {
                service.state = State::Backoff { until: now.saturating_add(delay_ns) };
                effects.push(Effect::Log(LogEvent::Backoff { service: index, reason, delay_ns }));
            }
            Verdict::Open { deaths, cooldown_ns } => {
                service.state = State::Open { until: cooldown_ns.map(|ns| now.saturating_add(ns)) };
                effects.push(Effect::Log(LogEvent::Opened { service: index, reason, deaths, cooldown_ns }));
            }
        }
    }

    fn operable(&mut self, index: Index) -> Result<&mut Service, Refusal> {
        if self.is_stopping() {
            return Err(Refusal::ShuttingDown);
        }
        self.services.get_mut(index).ok_or(Refusal::NoSuchService)
    }

    fn restart(&mut self, now: u64, index: Index, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        let service = self.operable(index)?;
        service.forgive();
        match &mut service.state {
            State::Starting { .. } | State::Running { .. } => {
                let deadline = now.saturating_add(KILL_GRACE_NS);
                service.state = State::Stopping { deadline, killed: true, then: AfterStop::Restart };
                effects.push(Effect::Kill(index));
            }
            State::Stopping { then, .. } => *then = AfterStop::Restart,
            State::Waiting | State::Backoff { .. } | State::Open { .. } | State::Stopped => service.state = State::Waiting,
        }
        effects.push(Effect::Log(LogEvent::RestartAsked(index)));
        Ok(())
    }

    fn stop(&mut self, now: u64, index: Index, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        let service = self.operable(index)?;
        effects.push(Effect::Log(LogEvent::StopAsked(index)));
        match &mut service.state {
            State::Starting { .. } | State::Running { .. } => {
                let deadline = now.saturating_add(service.stop_grace_ns);
                service.state = State::Stopping { deadline, killed: false, then: AfterStop::Hold };
                effects.push(Effect::Stop(index));
            }
            State::Stopping { then, .. } => *then = AfterStop::Hold,
            State::Stopped => {}
            State::Waiting | State::Backoff { .. } | State::Open { .. } => {
                service.state = State::Stopped;
                effects.push(Effect::Log(LogEvent::Stopped { service: index, killed: false }));
            }
        }
        Ok(())
    }

    fn start(&mut self, index: Index, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        let service = self.operable(index)?;
        match &mut service.state {
            State::Starting { .. } | State::Running { .. } => return Ok(()),
            State::Stopping { then, .. } => *then = AfterStop::Restart,
            State::Waiting | State::Backoff { .. } | State::Open { .. } | State::Stopped => service.state = State::Waiting,
        }
        service.forgive();
        effects.push(Effect::Log(LogEvent::StartAsked(index)));
        Ok(())
    }

    fn kill(&mut self, now: u64, index: Index, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        let service = self.operable(index)?;
        match service.state {
            State::Running { .. } | State::Starting { .. } => {
                let deadline = now.saturating_add(KILL_GRACE_NS);
                service.state = State::Stopping { deadline, killed: true, then: AfterStop::Policy(Reason::Killed) };
                effects.push(Effect::Kill(index));
                effects.push(Effect::Log(LogEvent::KillAsked(index)));
                Ok(())
            }
            State::Stopping { .. } => Ok(()),
            _ => Err(Refusal::NotRunning),
        }
    }

    fn shutdown(&mut self, action: PowerAction, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        if self.is_stopping() {
            return Err(Refusal::ShuttingDown);
        }
        self.mode = Mode::Stopping(action);
        effects.push(Effect::Log(LogEvent::Stopping(action)));
        for service in &mut self.services {
            match &mut service.state {
                State::Stopping { then, .. } => *then = AfterStop::Stay,
                State::Starting { .. } | State::Running { .. } => {}
                down => *down = State::Stopped,
            }
        }
        Ok(())
    }

    /// Ends the states whose time is over.
    fn expire(&mut self, now: u64, effects: &mut Vec<Effect>) {
        for index in 0..self.services.len() {
            let stopping = self.is_stopping();
            let service = &mut self.services[index];
            if service.state.deadline().is_none_or(|deadline| now < deadline) {
                continue;
            }
            let killed_until = now.saturating_add(KILL_GRACE_NS);
            match service.state {
                State::Starting { .. } if !stopping => {
                    let then = AfterStop::Policy(Reason::StartTimeout);
                    service.state = State::Stopping { deadline: killed_until, killed: true, then };
                    effects.push(Effect::Kill(index));
                }
                State::Backoff { .. } => service.state = State::Waiting,
                State::Open { .. } => {
                    service.begin_trial();
                    service.state = State::Waiting;
                    effects.push(Effect::Log(LogEvent::Trial(index)));
                }
                State::Stopping { killed: false, then, .. } => {
                    service.state = State::Stopping { deadline: killed_until, killed: true, then };
                    effects.push(Effect::Kill(index));
                }
                State::Stopping { killed: true, then: AfterStop::Stay, .. } => {
                    service.state = State::Stopped;
                    effects.push(Effect::Log(LogEvent::Abandoned(index)));
                }
                // The kernel ends a killed agent; until it says so the server can't be started again. Ask once more.
                State::Stopping { killed: true, then, .. } => {
                    service.state = State::Stopping { deadline: killed_until, killed: true, then };
                    effects.push(Effect::Kill(index));
                }
                _ => {}
            }
        }
    }

    /// Starts what may start, or stops the next one.
    fn advance(&mut self, now: u64, effects: &mut Vec<Effect>) {
        match self.mode {
            Mode::Up => self.start_waiting(now, effects),
            Mode::Stopping(action) => self.stop_next(now, action, effects),
            Mode::Idle | Mode::Off => {}
        }
    }

    fn start_waiting(&mut self, now: u64, effects: &mut Vec<Effect>) {
        for index in 0..self.services.len() {
            let running = |&on: &usize| matches!(self.services[on].state, State::Running { .. });
            if self.services[index].state != State::Waiting || !self.services[index].depends.iter().all(running) {
                continue;
            }
            let service = &mut self.services[index];
            service.incarnation = service.incarnation.saturating_add(1);
            service.state = State::Starting { since: now, deadline: now.saturating_add(service.start_timeout_ns()) };
            let incarnation = service.incarnation;
            effects.push(Effect::Log(LogEvent::Starting { service: index, incarnation }));
            effects.push(Effect::Start { service: index, incarnation });
        }
        let all_running = self.services.iter().all(|service| matches!(service.state, State::Running { .. }));
        if all_running && !self.announced {
            self.announced = true;
            effects.push(Effect::NotifyReady);
        }
    }

    fn stop_next(&mut self, now: u64, action: PowerAction, effects: &mut Vec<Effect>) {
        let Some(index) = self.services.iter().rposition(|service| service.state != State::Stopped) else {
            self.mode = Mode::Off;
            effects.push(Effect::Power(action));
            return;
        };
        let service = &mut self.services[index];
        if matches!(service.state, State::Starting { .. } | State::Running { .. }) {
            let deadline = now.saturating_add(service.stop_grace_ns);
            service.state = State::Stopping { deadline, killed: false, then: AfterStop::Stay };
            effects.push(Effect::Stop(index));
        }
    }

    /// Sets the timer to the earliest deadline, if that is another one than before.
    fn arm(&mut self, effects: &mut Vec<Effect>) {
        if matches!(self.mode, Mode::Idle | Mode::Off) {
            return;
        }
        let earliest = self.services.iter().filter_map(|service| self.deadline(service)).min();
        if earliest.is_some() && earliest != self.timer {
            self.timer = earliest;
            effects.extend(earliest.map(Effect::SetTimer));
        }
    }

    /// When something must be done about `service`. During a shutdown a start is not timed: its turn to stop comes.
    fn deadline(&self, service: &Service) -> Option<u64> {
        match service.state {
            State::Starting { .. } if self.is_stopping() => None,
            state => state.deadline(),
        }
    }
}
