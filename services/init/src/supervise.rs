//! The state of init: what the supervisor decides is done here, and what happens to agents is told to it.
//!
//! A server that dies is emptied at once, so that whoever calls it hears of it, and keeps its id and mailbox for the restart. When its breaker
//! opens it is ended for good, so that nobody waits for a server that does not come back; its next start makes a new agent. Whoever ends an agent
//! without asking init has the same effect.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use aios_abi::message::{Fault, FaultCause};
use aios_abi::rights::Rights;
use aios_abi::sentinel::{BOOT, READY};
use aios_abi::{AgentId, MessageId};
use aios_init_core::{Effect, Event, LogEvent, PowerAction, Reason, Refusal, State, Supervisor};
use aios_manifest::types::{Entry, INIT_SERVICES, Special};
use aios_proto::supervisor::Rights as Operator;
use aios_proto::types::Level;
use aios_proto::{log, sentence};
use aios_rt::cap::{self, mint_service};
use aios_rt::fault::{self, Answer};
use aios_rt::slot::{Agent, Notification, Pool, Slot};
use aios_rt::time::Expiry;
use aios_rt::{ipc, machine};

use crate::badge::Badge;
use crate::boot::Boot;
use crate::child::{Child, Condition, StartError};
use crate::early;
use crate::grants::{Grants, Key};
use crate::journal::Journal;
use crate::programs::{Program, Programs};

/// How long until a start is tried again that found the agent still being emptied, ns.
const RETRY_NS: u64 = 1_000_000;
/// Where init's own lines go.
const LOG: &str = "/svc/log";
/// Where operators see them.
const CONSOLE: &str = "/svc/console";

/// How a server asked to be stopped.
#[derive(Clone, Copy)]
pub struct Stop {
    /// Through this.
    pub notification: Notification,
    /// By these bits.
    pub bits: u64,
}

/// A promise of a server to report again and again.
#[derive(Clone, Copy)]
pub struct Heartbeat {
    /// How often, ns.
    pub period_ns: u64,
    /// When init looks again, ns since boot.
    pub until_ns: u64,
    /// Init has looked once, and it had not come: whoever was late may have been init itself.
    pub late: bool,
}

/// A server as init holds it.
#[derive(Default)]
pub struct Server<'a> {
    /// Its agent, unless it never ran or was ended for good.
    pub child: Option<Child<'a>>,
    /// How it is stopped, if it said so.
    pub stop: Option<Stop>,
    /// Its heartbeat, if it promised one.
    pub heartbeat: Option<Heartbeat>,
    /// Names that it answers, with blanks between them.
    pub offers: String,
    /// When it was started for the first time, and when it was ready; 0 if not yet.
    pub began_ns: u64,
    /// See there.
    pub ready_ns: u64,
    /// It is to be started as soon as its agent is empty.
    starting: bool,
}

/// Everything.
pub struct Init<'a> {
    /// What init works with.
    pub boot: Boot<'a>,
    /// Who decides.
    pub supervisor: Supervisor,
    /// The servers, by number.
    pub servers: Vec<Server<'a>>,
    /// Programs started on demand.
    pub programs: Programs<'a>,
    /// What was given to whom.
    pub grants: Grants,
    /// What there is to say.
    pub journal: Journal,
    /// The time of the last event, ns since boot.
    pub now_ns: u64,
    /// When the supervisor wants to be told of the time.
    pub timer_ns: u64,
    /// When starts are tried again that had to wait.
    pub retry_ns: u64,
    /// How the system is to end, and whether whoever asked for it has its answer.
    ending: Option<(PowerAction, bool)>,
}

impl<'a> Init<'a> {
    /// Nothing is started yet.
    pub fn new(boot: Boot<'a>) -> Self {
        let supervisor = Supervisor::new(&boot.manifest);
        let server = |server: &aios_manifest::types::Server<'_>| Server { offers: server.offers.join(" "), ..Server::default() };
        let servers = boot.manifest.servers.iter().map(server).collect();
        Self {
            boot,
            supervisor,
            servers,
            programs: Programs::default(),
            grants: Grants::default(),
            journal: Journal::default(),
            now_ns: 0,
            timer_ns: u64::MAX,
            retry_ns: u64::MAX,
            ending: None,
        }
    }

    /// The manifest entry with this number, servers first, then programs.
    pub fn entry(&self, number: usize) -> Option<&Entry<'a>> {
        let manifest = &self.boot.manifest;
        match number.checked_sub(manifest.servers.len()) {
            None => manifest.servers.get(number).map(|server| &server.entry),
            Some(program) => manifest.programs.get(program).map(|program| &program.entry),
        }
    }

    /// Name of a manifest entry.
    pub fn name(&self, number: usize) -> &'a str {
        self.entry(number).map_or("", |entry| entry.name)
    }

    /// The number of the server that answers a name.
    pub fn provider(&self, name: &str) -> Option<usize> {
        self.boot.manifest.servers.iter().position(|server| server.offers.contains(&name))
    }

    /// Whether somebody answers a name.
    fn is_up(&self, name: &str) -> bool {
        let status = self.provider(name).and_then(|service| self.supervisor.status(service, self.now_ns));
        status.is_some_and(|status| matches!(status.state, State::Running { .. }))
    }

    /// The server with this agent.
    pub fn server_of(&self, id: AgentId) -> Option<usize> {
        self.servers.iter().position(|server| server.child.as_ref().is_some_and(|child| child.id == id))
    }

    /// The badge of a server's present run.
    pub fn badge(&self, service: usize) -> Badge {
        let run = self.supervisor.status(service, self.now_ns).map_or(0, |status| status.incarnation);
        Badge { entry: service as u16, run }
    }

    /// Tells the supervisor of an event, and does what it says.
    pub fn happen(&mut self, event: Event) -> Result<(), Refusal> {
        let mut events = VecDeque::from([event]);
        let mut answer = None;
        while let Some(event) = events.pop_front() {
            let result = self.supervisor.handle(self.now_ns, event);
            let effects = match result {
                Ok(effects) => effects,
                // Only an operator's wish is ever refused, and that comes first.
                Err(refusal) => return answer.unwrap_or(Err(refusal)),
            };
            answer = answer.or(Some(Ok(())));
            for effect in effects {
                events.extend(self.perform(effect));
            }
        }
        answer.unwrap_or(Ok(()))
    }

    /// The same for events that are never refused.
    pub fn note(&mut self, event: Event) {
        // A refusal would change nothing.
        let _ = self.happen(event);
    }

    fn perform(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Start { service, .. } => self.start(service),
            Effect::Stop(service) => self.ask_to_stop(service),
            Effect::Kill(service) => Some(self.put_down(service, Reason::Killed)),
            Effect::SetTimer(at_ns) => {
                self.timer_ns = at_ns;
                None
            }
            Effect::Log(event) => {
                self.log(event);
                None
            }
            Effect::NotifyReady => {
                early::mark(BOOT, READY);
                self.journal.write(Level::Info, "init", format_args!("every server is ready"));
                None
            }
            Effect::Power(action) => {
                self.power(action);
                None
            }
        }
    }

    /// Starts a server, or sees to it that it is started. Answers its death if that fails.
    fn start(&mut self, service: usize) -> Option<Event> {
        match self.try_start(service) {
            Ok(()) => None,
            Err(error) => {
                self.journal.write(Level::Error, self.name(service), format_args!("can't start: {error}"));
                Some(self.put_down(service, Reason::StartFailed(error.code())))
            }
        }
    }

    fn try_start(&mut self, service: usize) -> Result<(), StartError> {
        let bits = 1 << service;
        let condition = self.servers.get(service).and_then(|server| server.child.as_ref()).map(Child::condition);
        if condition == Some(Condition::Busy) {
            self.servers[service].starting = true;
            self.retry_ns = self.now_ns.saturating_add(RETRY_NS);
            return Ok(());
        }
        if condition == Some(Condition::Gone) {
            self.forget_agent(service);
        }
        let badge = self.badge(service);
        let Self { boot, servers, now_ns, .. } = self;
        let (Some(server), Some(entry)) = (servers.get_mut(service), boot.manifest.servers.get(service).map(|server| &server.entry)) else {
            return Ok(());
        };
        server.starting = false;
        if server.began_ns == 0 {
            server.began_ns = *now_ns;
        }
        let child = match &mut server.child {
            Some(child) => child,
            none => none.insert(Child::spawn(&boot.kit, entry, Pool::OWN, bits, None)?),
        };
        Ok(launch(child, entry, badge, &boot.kit, "")?)
    }

    /// Tries starts again that had to wait.
    pub fn retry(&mut self) {
        self.retry_ns = u64::MAX;
        for service in 0..self.servers.len() {
            if self.servers[service].starting
                && let Some(event) = self.start(service)
            {
                self.note(event);
            }
        }
    }

    fn ask_to_stop(&mut self, service: usize) -> Option<Event> {
        let asked = self.servers.get(service)?.stop.map(|stop| ipc::notify(stop.notification, stop.bits));
        match asked {
            Some(Ok(())) => None,
            _ => Some(self.put_down(service, Reason::Killed)),
        }
    }

    /// Empties a server, or ends it for good if the system stops. Answers its death.
    pub fn put_down(&mut self, service: usize, reason: Reason) -> Event {
        let incarnation = self.badge(service).run;
        let stopping = self.supervisor.is_stopping();
        let cleared = self.servers.get(service).and_then(|server| server.child.as_ref()).map(Child::clear).filter(|_| !stopping);
        if !matches!(cleared, Some(Ok(()))) {
            self.forget_agent(service);
        }
        self.forget_run(service);
        Event::Died { service, incarnation, reason }
    }

    /// A server died.
    pub fn died(&mut self, service: usize, reason: Reason) {
        let event = self.put_down(service, reason);
        self.note(event);
    }

    /// Forgets what the present run of a server has got and said.
    fn forget_run(&mut self, service: usize) {
        self.grants.forget_holder(Badge { entry: service as u16, run: 0 }.word());
        let Some(server) = self.servers.get_mut(service) else { return };
        server.starting = false;
        server.heartbeat = None;
        if let Some(stop) = server.stop.take() {
            // A slot that is empty already is as good.
            let _ = cap::drop(stop.notification);
        }
    }

    /// Ends the agent of a server for good, whether it is there or gone.
    fn forget_agent(&mut self, service: usize) {
        let Some(child) = self.servers.get_mut(service).and_then(|server| server.child.take()) else { return };
        self.grants.forget_server(service);
        self.grants.forget(Key::Agent(child.id.0));
        if self.provider(LOG) == Some(service) {
            if let Some(log) = self.journal.log() {
                // A slot that is empty already is as good.
                let _ = cap::drop(log);
            }
            self.journal.set_log(None);
        }
        child.end();
    }

    /// A server says that it is ready.
    pub fn note_ready(&mut self, badge: Badge) {
        let service = usize::from(badge.entry);
        self.note(Event::Ready { service, incarnation: badge.run });
        let Some(server) = self.servers.get_mut(service) else { return };
        if server.ready_ns == 0 {
            server.ready_ns = self.now_ns;
        }
        if self.journal.log().is_none()
            && self.boot.manifest.servers.get(service).is_some_and(|server| server.offers.contains(&LOG))
            && let Some(child) = &server.child
        {
            let rights = Rights::SEND.or(Rights(log::Rights::WRITE.bits()));
            self.journal.set_log(mint_service(child.agent, Badge::INIT, rights, Expiry::NONE).ok());
        }
    }

    /// An agent that init supervises faulted, panicked or ended.
    pub fn faulted(&mut self, message: MessageId, fault: &Fault, text: &[u8]) {
        let (id, cause) = (AgentId(fault.agent), FaultCause::from_code(fault.cause));
        let reason = match cause {
            Some(FaultCause::Exit) => Reason::Exit(fault.syndrome),
            Some(FaultCause::Panic) => Reason::Panic,
            _ => Reason::Fault(fault.cause),
        };
        let service = self.server_of(id);
        let Some(entry) = service.or_else(|| self.programs.by_id(id).map(|program| program.badge.entry.into())) else {
            // An agent that init has forgotten: whoever answers, it must not stay.
            let _ = fault::reply(message, Answer::Kill);
            return;
        };
        let name = self.name(entry);
        let level = match (reason, service) {
            (Reason::Exit(0), _) => Level::Info,
            (_, Some(_)) => Level::Error,
            // That a program ends is its own affair, and its starter's.
            (_, None) => Level::Warn,
        };
        match reason {
            Reason::Panic => self.journal.write(level, name, format_args!("panicked: {}", String::from_utf8_lossy(text))),
            Reason::Fault(_) => {
                let what = cause.map_or("unknown fault", FaultCause::text);
                let Fault { address, pc, sp, lr, syndrome, .. } = *fault;
                let where_ = format_args!("address {address:#x}, pc {pc:#x}, lr {lr:#x}, sp {sp:#x}, esr {syndrome:#x}");
                self.journal.write(level, name, format_args!("{what}: {where_}"));
            }
            _ => self.journal.write(level, name, format_args!("{reason}")),
        }
        match service {
            Some(service) => self.died(service, reason),
            None => self.end_program(id, reason),
        }
    }

    /// Agents may be gone whose bits are set.
    pub fn gone(&mut self, bits: u64) {
        for service in 0..self.servers.len() {
            let child = self.servers[service].child.as_ref().filter(|_| bits & 1 << service != 0);
            if child.is_some_and(|child| child.condition() == Condition::Gone) {
                self.died(service, Reason::Killed);
            }
        }
        let gone = |program: &&Program<'_>| program.child.condition() == Condition::Gone;
        let ids: Vec<_> = self.programs.of_bits(bits).filter(gone).map(|program| program.child.id).collect();
        for id in ids {
            self.end_program(id, Reason::Killed);
        }
    }

    /// A program ended, or ends.
    pub fn end_program(&mut self, id: AgentId, reason: Reason) {
        let Some(program) = self.programs.end(id, reason) else { return };
        self.grants.forget_holder(program.badge.word());
        self.grants.forget(Key::Agent(id.0));
        program.child.end();
    }

    /// Starts a program on this core, or on init's.
    pub fn spawn_program(&mut self, entry: usize, arguments: &str, core: Option<u32>) -> Result<Option<AgentId>, StartError> {
        let program = entry.checked_sub(self.servers.len());
        let Self { boot, programs, .. } = self;
        let manifest = program.and_then(|number| boot.manifest.programs.get(number));
        let (Some(program), Some((place, run))) = (manifest, programs.reserve()) else { return Ok(None) };
        let badge = Badge { entry: entry as u16, run };
        let mut child = Child::spawn(&boot.kit, &program.entry, boot.programs, place.bit(), core)?;
        if let Err(error) = launch(&mut child, &program.entry, badge, &boot.kit, arguments) {
            child.end();
            return Err(error.into());
        }
        let id = child.id;
        programs.put(place, Program { badge, child });
        Ok(Some(id))
    }

    /// Stops everything, once whoever asked for it has its answer.
    pub fn stop_soon(&mut self, action: PowerAction) {
        self.ending = self.ending.or(Some((action, false)));
    }

    /// Whether `stop_when_answered` has something to do.
    pub fn wants_to_stop(&self) -> bool {
        self.ending.is_some()
    }

    /// Called once a turn of the loop: replies go out between two turns.
    pub fn stop_when_answered(&mut self) {
        match &mut self.ending {
            Some((_, answered @ false)) => *answered = true,
            Some((action, true)) => {
                let action = *action;
                self.ending = None;
                self.stop(action);
            }
            None => {}
        }
    }

    fn stop(&mut self, action: PowerAction) {
        for id in self.programs.ids() {
            self.end_program(id, Reason::Killed);
        }
        self.note(Event::Shutdown(action));
    }

    fn power(&mut self, action: PowerAction) {
        let power = Slot::first(aios_abi::call::init::SLOT_POWER).cast();
        let result = match action {
            PowerAction::Off => machine::power_off(power),
            PowerAction::Reboot => machine::reset(power),
        };
        if let Err(error) = result {
            early::line(format_args!("the machine stays on: {}", sentence::of(error)));
        }
    }

    fn log(&mut self, event: LogEvent) {
        if let LogEvent::Opened { service, .. } | LogEvent::Stopped { service, .. } = event {
            self.forget_agent(service);
        }
        let level = match (event.is_outage(), event.is_warning()) {
            (true, _) => Level::Error,
            (_, true) => Level::Warn,
            _ => Level::Info,
        };
        let target = event.service().map_or("init", |service| self.name(service));
        // The log shows errors on the console. An operator whose console is what is down hears of it, and of its return, all the same.
        let worth = match event {
            // Without a log, the journal itself says it there.
            LogEvent::Opened { .. } => self.journal.log().is_some(),
            LogEvent::Trial(_) => true,
            _ => false,
        };
        if worth && !self.is_up(CONSOLE) {
            early::interrupt(format_args!("{target}: {event}"));
        }
        self.journal.write(level, target, format_args!("{event}"));
    }
}

/// Starts a child with a capability to init.
fn launch(child: &mut Child<'_>, entry: &Entry<'_>, badge: Badge, kit: &crate::child::Kit<'_>, arguments: &str) -> aios_rt::Result<()> {
    let rights = init_rights(entry);
    let first = mint_service(Agent::OWN, badge.word(), rights.or(Rights::GRANT), Expiry::NONE)?;
    let console = entry.special.has(Special::CONSOLE).then_some(kit.console);
    child.start(first, rights, console, arguments)
}

/// What an entry may ask init for, as rights of its capability to init.
pub fn init_rights(entry: &Entry<'_>) -> Rights {
    let [_, supervisor] = INIT_SERVICES;
    if entry.uses(supervisor).is_none() {
        return Rights::SEND;
    }
    let mut operator = Operator::NONE;
    if entry.controls.operations.0 != 0 {
        operator = operator.or(Operator::CONTROL);
    }
    if entry.spawns != aios_manifest::types::Targets::None {
        operator = operator.or(Operator::SPAWN);
    }
    if entry.special.has(Special::POWER) {
        operator = operator.or(Operator::POWER);
    }
    Rights::SEND.or(Rights(operator.bits()))
}
