//! The control interface: what operators see and may do.
//!
//! The rights of the caller's capability say which kinds of operations it may ask for, and were checked before; its manifest entry says on whom.

use aios_abi::call::init::SLOT_OBSERVE;
use aios_abi::record::{AgentRecord, SlotRecord};
use aios_abi::rights::Rights;
use aios_abi::{AgentId, SlotHandle};
use aios_init_core::{Breaker as CoreBreaker, Event, PowerAction, Reason as CoreReason, Refusal as Wish, State as CoreState};
use aios_manifest::types::Operations;
use aios_proto::supervisor::op::Wait;
use aios_proto::supervisor::{
    Arguments, Breaker, Error, Failure, ImageFault, Name, NameList, Offers, Page, ProgramPage, Reason, Server, ServiceInfo, ServicesList,
    Stage, StageState, Stages, State,
};
use aios_proto::types::{self, ErrorCode};
use aios_proto::{Answer, Caller, Grant, Later};
use aios_rt::cap::derive;
use aios_rt::inspect;
use aios_rt::slot::{Capability, Observe, Slot};
use aios_rt::time::Expiry;

use crate::badge::Badge;
use crate::child::StartError;
use crate::grants::{Key, Refusal};
use crate::layout::image_code;
use crate::names::holder;
use crate::programs::Fate;
use crate::supervise::Init;

/// The bit of an agent's state that says that it is suspended.
const SUSPENDED: u64 = 1 << 8;

/// Agent rights that each operation of the manifest stands for.
const CONTROLS: [(Operations, Rights); 4] = [
    (Operations::KILL, Rights::KILL),
    (Operations::SUSPEND, Rights::SUSPEND),
    (Operations::RESUME, Rights::RESUME),
    (Operations::MIGRATE, Rights::SCHEDULE),
];

/// What ended a server or program, as it is told.
pub fn reason(why: Option<CoreReason>) -> Reason {
    match why {
        None => Reason::None,
        Some(CoreReason::Exit(status)) => Reason::Exited(status),
        Some(CoreReason::Fault(cause)) => Reason::Faulted(cause),
        Some(CoreReason::Panic) => Reason::Panicked,
        Some(CoreReason::Killed) => Reason::Killed,
        Some(CoreReason::StartTimeout | CoreReason::Silent) => Reason::Silent,
        Some(CoreReason::StartFailed(code)) => match ImageFault::ALL.iter().find(|fault| image_code(**fault) == code) {
            Some(fault) => Reason::BadImage(*fault),
            None => Reason::NotStarted(code),
        },
    }
}

fn wish(refusal: Wish) -> Failure {
    match refusal {
        Wish::NoSuchService => Error::UnknownService,
        Wish::ShuttingDown => Error::Stopping,
        Wish::NotRunning => Error::NotRunning,
    }
    .into()
}

fn state(state: CoreState) -> (State, u64) {
    match state {
        CoreState::Waiting => (State::Waiting, 0),
        CoreState::Starting { since, .. } => (State::Starting, since),
        CoreState::Running { since } => (State::Running, since),
        CoreState::Backoff { .. } => (State::Backoff, 0),
        CoreState::Open { .. } => (State::Open, 0),
        CoreState::Stopping { .. } => (State::Stopping, 0),
        CoreState::Stopped => (State::Stopped, 0),
    }
}

impl Init<'_> {
    /// The manifest entry of an agent that init started.
    fn entry_of(&self, id: AgentId) -> Result<usize, Failure> {
        let found = self.server_of(id).or_else(|| self.programs.by_id(id).map(|program| program.badge.entry.into()));
        found.ok_or_else(|| if id == aios_rt::info::agent() { Error::IsInit.into() } else { Error::UnknownAgent.into() })
    }

    /// The service of this name, if the caller may do that with it.
    fn service_of(&self, caller: &Caller, operation: Operations, name: &str) -> Result<usize, Failure> {
        let unknown = if name == aios_bundle::INIT { Error::IsInit } else { Error::UnknownService };
        let number = (0..self.servers.len()).find(|&number| self.name(number) == name).ok_or(unknown)?;
        self.allow(caller, operation, number)?;
        Ok(number)
    }

    /// Whether a server's agent is suspended, as the kernel says.
    pub fn is_suspended(&self, service: usize) -> bool {
        let Some(id) = self.servers.get(service).and_then(|server| server.child.as_ref()).map(|child| child.id) else { return false };
        let observe: Observe = Slot::first(SLOT_OBSERVE).cast();
        let mut suspended = false;
        // A kernel that does not tell leaves the server to be judged by its silence.
        let _ = inspect::for_each::<AgentRecord, 8>(observe, AgentId::KERNEL, |record| {
            suspended |= record.id == id.0 && record.state & SUSPENDED != 0;
        });
        suspended
    }

    fn speaker(&self, caller: &Caller) -> Result<Badge, Failure> {
        self.asker(caller).map(|(badge, _)| badge).ok_or(ErrorCode::UnknownBadge.into())
    }

    /// Refuses what the caller's entry doesn't allow on this one.
    fn allow(&self, caller: &Caller, operation: Operations, target: usize) -> Result<(), Failure> {
        let badge = self.speaker(caller)?;
        let controls = self.entry(badge.entry.into()).map(|entry| &entry.controls);
        let allowed = controls.is_some_and(|controls| controls.operations.has(operation) && controls.targets.contains(target as u16));
        if allowed { Ok(()) } else { Err(Error::NotAllowed.into()) }
    }

    /// The agent of a manifest entry that init started, as a capability.
    fn agent_of(&self, id: AgentId) -> Option<aios_rt::slot::Agent> {
        let server = self.server_of(id).and_then(|service| self.servers[service].child.as_ref());
        server.or_else(|| self.programs.by_id(id).map(|program| &program.child)).map(|child| child.agent)
    }

    fn info(&self, service: usize) -> Option<ServiceInfo<'_>> {
        let status = self.supervisor.status(service, self.now_ns)?;
        let server = self.servers.get(service)?;
        let (state, since) = state(status.state);
        Some(ServiceInfo {
            name: Name::truncated(self.name(service)),
            agent: server.child.as_ref().map_or(0, |child| child.id.0),
            state,
            restarts: status.incarnation.saturating_sub(1),
            breaker: match status.breaker {
                CoreBreaker::Closed => Breaker::Closed,
                CoreBreaker::Open => Breaker::Open,
                CoreBreaker::HalfOpen => Breaker::HalfOpen,
            },
            last_reason: reason(status.last_death),
            since,
            deaths: status.deaths_in_window,
            until: status.state.deadline(),
            offers: Offers::truncated(&server.offers),
        })
    }

    fn stage(&self, service: usize) -> Option<Stage<'_>> {
        let server = self.servers.get(service)?;
        let open = matches!(self.supervisor.status(service, self.now_ns)?.state, CoreState::Open { .. });
        let state = match (server.began_ns, server.ready_ns) {
            (0, _) => StageState::Waiting,
            (_, 0) if open => StageState::Failed,
            (_, 0) => StageState::Active,
            _ => StageState::Done,
        };
        Some(Stage { name: Name::truncated(self.name(service)), state, began: server.began_ns, ended: server.ready_ns })
    }

    /// Programs of the manifest that the caller may start: their entries' numbers.
    fn may_start(&self, caller: &Caller) -> Result<impl Iterator<Item = usize>, Failure> {
        let badge = self.speaker(caller)?;
        let first = self.servers.len();
        let last = first + self.boot.manifest.programs.len();
        let allowed = move |number: &usize| self.entry(badge.entry.into()).is_some_and(|entry| entry.spawns.contains(*number as u16));
        Ok((first..last).filter(allowed))
    }
}

impl Server for Init<'_> {
    fn services<'s>(&'s mut self, _: &Caller, start: u32) -> Result<Page<'s>, Failure> {
        let init = &*self;
        let services = (start as usize..init.servers.len()).filter_map(|service| init.info(service));
        let services: ServicesList<'_> = services.take(ServicesList::new().capacity()).collect();
        Ok(Page { total: init.servers.len() as u32, services })
    }

    fn restart(&mut self, caller: &Caller, service: Name<'_>) -> Result<(), Failure> {
        let number = self.service_of(caller, Operations::RESTART, &service)?;
        self.happen(Event::Restart(number)).map_err(wish)
    }

    fn stop(&mut self, caller: &Caller, service: Name<'_>) -> Result<(), Failure> {
        let number = self.service_of(caller, Operations::STOP, &service)?;
        self.happen(Event::Stop(number)).map_err(wish)
    }

    fn start(&mut self, caller: &Caller, service: Name<'_>) -> Result<(), Failure> {
        let number = self.service_of(caller, Operations::START, &service)?;
        self.happen(Event::Start(number)).map_err(wish)
    }

    fn kill(&mut self, caller: &Caller, agent: types::AgentId) -> Result<(), Failure> {
        let id = AgentId(agent);
        let target = self.entry_of(id)?;
        self.allow(caller, Operations::KILL, target)?;
        match self.server_of(id) {
            Some(service) => self.happen(Event::Kill(service)).map_err(wish),
            None => {
                self.end_program(id, CoreReason::Killed);
                Ok(())
            }
        }
    }

    fn spawn(
        &mut self,
        caller: &Caller,
        program: Name<'_>,
        arguments: Arguments<'_>,
        core: Option<u32>,
    ) -> Result<types::AgentId, Failure> {
        if self.supervisor.is_stopping() {
            return Err(Error::Stopping.into());
        }
        let first = self.servers.len();
        let number = self.boot.manifest.programs.iter().position(|other| other.entry.name == program.as_str());
        let number = first + number.ok_or(Error::UnknownProgram)?;
        if !self.may_start(caller)?.any(|allowed| allowed == number) {
            return Err(Error::NotAllowed.into());
        }
        match self.spawn_program(number, &arguments, core) {
            Ok(Some(id)) => Ok(id.0),
            Ok(None) => Err(Error::TooManyPrograms.into()),
            Err(StartError::Image(error)) => Err(Error::BadImage(error.fault()).into()),
            Err(StartError::Kernel(error)) => Err(Error::Kernel(error.code()).into()),
        }
    }

    fn open_agent(&mut self, caller: &Caller, agent: types::AgentId) -> Result<Grant<types::Agent>, Failure> {
        let id = AgentId(agent);
        let (badge, asker) = self.asker(caller).ok_or(ErrorCode::UnknownBadge)?;
        let target = self.entry_of(id)?;
        let controls = &self.entry(badge.entry.into()).ok_or(Error::NotAllowed)?.controls;
        if !controls.targets.contains(target as u16) {
            return Err(Error::NotAllowed.into());
        }
        let allowed = CONTROLS.iter().filter(|(operation, _)| controls.operations.has(*operation));
        let rights = allowed.fold(Rights::WATCH, |rights, (_, right)| rights.or(*right));
        let source = self.agent_of(id).ok_or(Error::UnknownAgent)?;
        let key = Key::Agent(id.0);
        let given = self.grants.give(holder(badge, asker).word(), key, rights, |rights| derive(source, rights, Expiry::NONE));
        given.map(Grant::Copy).map_err(|refusal| match refusal {
            Refusal::Revoked => Error::NotAllowed.into(),
            Refusal::Kernel(error) => Error::Kernel(error.code()).into(),
        })
    }

    fn shutdown(&mut self, _: &Caller) -> Result<(), Failure> {
        self.stop_soon(PowerAction::Off);
        Ok(())
    }

    fn reboot(&mut self, _: &Caller) -> Result<(), Failure> {
        self.stop_soon(PowerAction::Reboot);
        Ok(())
    }

    fn boot_stages<'s>(&'s mut self, _: &Caller) -> Result<Stages<'s>, Failure> {
        let init = &*self;
        Ok((0..init.servers.len()).filter_map(|service| init.stage(service)).take(Stages::new().capacity()).collect())
    }

    fn wait(&mut self, _: &Caller, later: Later<Wait>, agent: types::AgentId) -> Answer<Reason, Error> {
        let id = AgentId(agent);
        match self.programs.fate(id) {
            None => Answer::Now(Err(Error::UnknownAgent.into())),
            Some(Fate::Ended(why)) => Answer::Now(Ok(reason(Some(why)))),
            Some(Fate::Running) if self.programs.wait(id, later) => Answer::Later,
            Some(Fate::Running) => Answer::Now(Err(ErrorCode::Busy.into())),
        }
    }

    fn revoke(&mut self, caller: &Caller, agent: types::AgentId, slot: u32) -> Result<(), Failure> {
        let id = AgentId(agent);
        let target = self.entry_of(id)?;
        self.allow(caller, Operations::REVOKE, target)?;
        let badge = match self.server_of(id) {
            Some(service) => Badge { entry: service as u16, run: 0 },
            None => self.programs.by_id(id).ok_or(Error::UnknownAgent)?.badge,
        };
        let source = slot_record(id, SlotHandle(slot)).map_err(|error| Error::Kernel(error.code()))?.ok_or(Error::NotGiven)?.parent;
        let own = aios_rt::info::agent();
        let is_source = |kept: Slot| matches!(slot_record(own, kept.handle()), Ok(Some(record)) if record.node == source);
        match self.grants.take_away(badge.word(), is_source) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(Error::Kernel(error.code()).into()),
            None => Err(Error::NotGiven.into()),
        }
    }

    fn programs<'s>(&'s mut self, caller: &Caller, start: u32) -> Result<ProgramPage<'s>, Failure> {
        let init = &*self;
        let total = init.may_start(caller)?.count() as u32;
        let programs = init.may_start(caller)?.skip(start as usize).map(|number| Name::truncated(init.name(number)));
        Ok(ProgramPage { total, programs: programs.take(NameList::new().capacity()).collect() })
    }
}

/// What the kernel says of a slot; `None` if it is empty, or somebody else's by now.
fn slot_record(agent: AgentId, slot: SlotHandle) -> aios_rt::Result<Option<SlotRecord>> {
    let observe: Observe = Slot::first(SLOT_OBSERVE).cast();
    let mut record = [SlotRecord::default()];
    let part = inspect::read(observe, agent, slot.index().into(), &mut record)?;
    Ok(part.records.first().copied().filter(|record| record.handle == slot.0.into()))
}
