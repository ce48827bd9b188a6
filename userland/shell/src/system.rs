//! The kernel's tables, the supervisor and the log, each through the capability that the shell was given for it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use aios_abi::message::FaultCause;
use aios_abi::record::{AgentRecord, CoreRecord, IrqRecord, MemoryRecord, SlotRecord};
use aios_abi::{AgentId, SlotHandle};
use aios_proto::supervisor::{Reason, ServiceInfo, State};
use aios_proto::{Capability as _, log, sentence, supervisor};
use aios_rt::inspect::{Record, for_each};
use aios_rt::peer::{Init, Peer};
use aios_rt::service::Remote;
use aios_rt::slot::{Agent, Observe};
use aios_rt::time::{Deadline, now};
use aios_rt::{cap, info};
use aios_shell_core::value::{AgentRef, ServerName};
use aios_shell_core::view::{ServiceRow, ServiceState};

use crate::fail::{Denial, Fail};

/// How long a service may take to answer, ns.
pub const ANSWER_NS: u64 = 5_000_000_000;

/// Most pictures that are taken for one.
const PICTURES: u32 = 3;
/// What part of the uptime taking a picture may take.
const BLUR: u64 = 200;

/// What it takes to read the kernel's tables.
const OBSERVE: &str = "observe";
/// What it takes to control agents.
pub const CONTROL: &str = "control of agents";
/// What it takes to start programs.
pub const SPAWN: &str = "spawn";
/// What it takes to stop the machine.
pub const POWER: &str = "power";
/// What it takes to read the log.
const LOG: &str = "/svc/log";

/// The system as the shell may see and touch it.
pub struct System {
    init: Init,
    observe: Option<Observe>,
    log: Peer<log::Client<Remote>>,
}

/// When an answer must be there, ns since boot.
pub fn deadline() -> u64 {
    Deadline::after(ANSWER_NS).0
}

impl System {
    /// The system that init leads to.
    pub const fn new(init: Init) -> Self {
        Self { init, observe: None, log: Peer::new(init, LOG, log::Client::new) }
    }

    /// The supervisor, as far as the shell may use it.
    pub fn supervisor(&self) -> supervisor::Client<Remote> {
        self.init.supervisor()
    }

    /// The way to everything.
    pub const fn init(&self) -> Init {
        self.init
    }

    /// Does something that takes an observe capability.
    pub fn observing<T>(&mut self, mut look: impl FnMut(Observe) -> aios_rt::Result<T>) -> Result<T, Fail> {
        if let Some(observe) = self.observe.take() {
            match look(observe) {
                Err(error) if error.denies() => {
                    // It was taken away; the name service says so, or gives another. A slot that is empty already is as good.
                    let _ = cap::drop(observe);
                }
                result => {
                    self.observe = Some(observe);
                    return result.map_err(|error| Fail::of(OBSERVE, error));
                }
            }
        }
        let given = self.init.names().open_observe(deadline()).map_err(|error| Fail::call(OBSERVE, error))?;
        let observe = Observe(given.handle());
        self.observe = Some(observe);
        look(observe).map_err(|error| Fail::of(OBSERVE, error))
    }

    /// Reads a table of the kernel; `agent` says whose, where each agent has one.
    pub fn table<R: Record>(&mut self, agent: AgentId) -> Result<Vec<R>, Fail> {
        self.observing(|observe| records(observe, agent))
    }

    /// The agents.
    pub fn agents(&mut self) -> Result<Vec<AgentRecord>, Fail> {
        self.table(AgentId::KERNEL)
    }

    /// The cores.
    pub fn cores(&mut self) -> Result<Vec<CoreRecord>, Fail> {
        self.table(AgentId::KERNEL)
    }

    /// Agents and cores at nearly the same time: the books of both belong together. On a busy machine much can pass between two looks, so
    /// a picture that took too long is taken again, a few times.
    pub fn picture(&mut self) -> Result<(Vec<AgentRecord>, Vec<CoreRecord>), Fail> {
        let mut tries = PICTURES;
        loop {
            let began = now();
            let picture = (self.agents()?, self.cores()?);
            let at = now();
            tries -= 1;
            if tries == 0 || at.saturating_sub(began) <= at / BLUR {
                return Ok(picture);
            }
        }
    }

    /// The bound interrupt lines.
    pub fn irqs(&mut self) -> Result<Vec<IrqRecord>, Fail> {
        self.table(AgentId::KERNEL)
    }

    /// Where the memory is.
    pub fn memory(&mut self) -> Result<MemoryRecord, Fail> {
        let records: Vec<MemoryRecord> = self.table(AgentId::KERNEL)?;
        if records.is_empty() {
            return Err(Fail::other("the kernel says nothing of its memory"));
        }
        // Every core keeps books of its own; a page may be taken on one and given back on another, so only the wrapping sums mean something.
        let mut sum = [0u64; MemoryRecord::WORDS];
        for record in records {
            for (total, word) in sum.iter_mut().zip(record.to_words()) {
                *total = total.wrapping_add(word);
            }
        }
        Ok(MemoryRecord::from_words(sum))
    }

    /// The capabilities of an agent.
    pub fn slots(&mut self, agent: AgentId) -> Result<Vec<SlotRecord>, Fail> {
        self.table(agent)
    }

    /// Whose names are theirs alone: init, which has no parent, and the servers as the supervisor knows them, if the shell may ask it.
    pub fn servers(&mut self, agents: &[AgentRecord]) -> Vec<ServerName> {
        let rows = self.services().unwrap_or_default();
        let id = |agent: u64| (agent != 0).then_some(AgentId(agent));
        let init = agents.iter().find(|record| AgentId(record.parent).is_kernel()).and_then(|record| id(record.id));
        let init = ServerName { name: "init".to_string(), agent: init };
        rows.into_iter().map(|row| ServerName { agent: id(row.agent), name: row.name }).chain([init]).collect()
    }

    /// The agent that is meant, among these.
    pub fn resolve(&mut self, agent: &AgentRef, agents: &[AgentRecord]) -> Result<AgentId, Fail> {
        let servers = if let AgentRef::Name(_) = agent { self.servers(agents) } else { Vec::new() };
        agent.resolve(agents, &servers).map_err(Fail::other)
    }

    /// The agent that is meant. Without the kernel's table, an exact id is taken as it is, and servers are known to the supervisor.
    pub fn find(&mut self, agent: &AgentRef) -> Result<AgentId, Fail> {
        let missing = match self.agents() {
            Ok(agents) => return self.resolve(agent, &agents),
            Err(missing @ Fail::NoCapability { .. }) => missing,
            Err(fail) => return Err(fail),
        };
        if let AgentRef::Id(id) = agent {
            return Ok(*id);
        }
        let rows = self.services()?;
        let servers: Vec<AgentRecord> = rows.iter().filter(|row| row.agent != 0).map(|row| named(row.agent, &row.name)).collect();
        agent.resolve(&servers, &[]).map_err(|_| missing)
    }

    /// A capability to control an agent, for one use.
    pub fn control<R>(&self, agent: AgentId, act: impl FnOnce(Agent) -> aios_rt::Result<R>) -> Result<R, Fail> {
        let given = self.supervisor().open_agent(agent.0, deadline()).map_err(|error| Fail::call(CONTROL, error))?;
        let agent = Agent(given.handle());
        let result = act(agent).map_err(|error| Fail::of(CONTROL, error));
        // Empty already if the agent is gone, which is as good.
        let _ = cap::drop(agent);
        result
    }

    /// The servers of the manifest.
    pub fn services(&mut self) -> Result<Vec<ServiceRow>, Fail> {
        let mut client = self.supervisor();
        let mut rows = Vec::new();
        loop {
            let page = client.services(rows.len() as u32, deadline()).map_err(|error| Fail::call("supervisor", error))?;
            rows.extend(page.services.iter().map(row));
            if page.services.is_empty() || rows.len() >= page.total as usize {
                return Ok(rows);
            }
        }
    }

    /// The programs that the shell may start.
    pub fn programs(&mut self) -> Result<Vec<String>, Fail> {
        let mut client = self.supervisor();
        let mut names = Vec::new();
        loop {
            let page = client.programs(names.len() as u32, deadline()).map_err(|error| Fail::call("supervisor", error))?;
            names.extend(page.programs.iter().map(|name| name.to_string()));
            if page.programs.is_empty() || names.len() >= page.total as usize {
                return Ok(names);
            }
        }
    }

    /// Asks the log.
    pub fn log<R>(
        &mut self,
        ask: impl FnMut(&mut log::Client<Remote>) -> Result<R, log::CallError>,
    ) -> Result<R, aios_rt::peer::Failure<log::Error>> {
        self.log.call(ask)
    }
}

/// Why the log was of no use.
pub fn log_failed(failure: aios_rt::peer::Failure<log::Error>) -> Fail {
    Fail::peer(LOG, failure)
}

/// The shell's own id.
pub fn own_id() -> AgentId {
    info::agent()
}

fn records<R: Record>(observe: Observe, agent: AgentId) -> aios_rt::Result<Vec<R>> {
    let mut records = Vec::new();
    for_each::<R, 32>(observe, agent, |record| records.push(*record))?;
    Ok(records)
}

/// A record of an agent of which no more is known than this.
fn named(id: u64, name: &str) -> AgentRecord {
    let mut words = [[0; 8]; 2];
    for (place, byte) in words.as_flattened_mut().iter_mut().zip(name.bytes()) {
        *place = byte;
    }
    let [low, high] = words.map(u64::from_le_bytes);
    AgentRecord { id, name_low: low, name_high: high, ..AgentRecord::default() }
}

fn row(info: &ServiceInfo<'_>) -> ServiceRow {
    ServiceRow {
        name: info.name.to_string(),
        agent: info.agent,
        state: match info.state {
            State::Waiting => ServiceState::Waiting,
            State::Starting => ServiceState::Starting,
            State::Running => ServiceState::Running,
            State::Backoff => ServiceState::Backoff,
            State::Open => ServiceState::Open,
            State::Stopping => ServiceState::Stopping,
            State::Stopped => ServiceState::Stopped,
        },
        breaker: info.breaker.name().to_string(),
        incarnation: info.restarts.saturating_add(1),
        deaths: info.deaths,
        until_ns: info.until,
        last_death: reason(info.last_reason),
        offers: info.offers.to_string(),
    }
}

/// Why something ended, for people; `None` if it did not.
pub fn reason(reason: Reason) -> Option<String> {
    Some(match reason {
        Reason::None => return None,
        Reason::Exited(status) => format!("exited with {status}"),
        Reason::Panicked => "panicked".to_string(),
        Reason::Faulted(cause) => match FaultCause::from_code(cause) {
            Some(cause) => cause.text().to_string(),
            None => format!("fault {cause}, which this shell does not know"),
        },
        Reason::Killed => "killed".to_string(),
        Reason::Silent => "not heard of in time".to_string(),
        Reason::NotStarted(code) => format!("not started: {}", sentence::of_kernel(code)),
        Reason::BadImage(fault) => format!("not started: {}", fault.sentence()),
    })
}

/// The handle that a slot record holds.
pub const fn handle(slot: &SlotRecord) -> SlotHandle {
    SlotHandle(slot.handle as u32)
}

#[cfg(test)]
mod tests {
    use aios_shell_core::value::agent_name;

    use super::*;

    #[test]
    fn a_name_survives_the_words_of_a_record() {
        for name in ["", "uartd", "0123456789abcdef"] {
            assert_eq!(agent_name(&named(7, name)).as_str(), name);
        }
        assert_eq!(agent_name(&named(7, "a name that is too long")).as_str(), "a name that is t");
    }

    #[test]
    fn ends_read_well() {
        assert_eq!(reason(Reason::None), None);
        assert_eq!(reason(Reason::Faulted(FaultCause::Undefined as u16)).as_deref(), Some("undefined or privileged instruction"));
        assert_eq!(
            reason(Reason::NotStarted(9)).as_deref(),
            Some("not started: the memory pool that pays for it has no page left; the boot manifest says how large pools are")
        );
    }
}
