//! All that the kernel knew: its tables as records.

use aios_abi::id::AgentId;
use aios_abi::info::Clock;
use aios_abi::limits::EPOCH_NS;
use aios_abi::record::{AgentRecord, CoreRecord, IrqRecord, MemoryRecord, SlotRecord};

use crate::mailbox::Letter;
use crate::nodes::Nodes;
use crate::value::Value;
use crate::{Epitaph, Error, Kernel, agents};

/// The states of the cores that were made, by number.
const CPUS: &str = "aios_kernel::cpu::AIOS_CPUS";
/// How many of them run.
const COUNT: &str = "aios_kernel::rings::COUNT";
/// Number plus one of the core on which each agent lives.
const HOMES: &str = "aios_kernel::rings::HOMES";

/// A pool of pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolRow {
    /// The agent that owns it; the kernel for the pool that all memory comes from.
    pub owner: u64,
    /// 0 for an agent's own pool, else one that it made.
    pub index: u64,
    /// Pages used, those promised to its child pools included.
    pub used: u64,
    /// Pages.
    pub quota: u64,
}

/// The kernel's state.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct State {
    /// When the kernel last looked at the clock, ns since boot.
    pub now_ns: u64,
    /// What a panic left, if there was one.
    pub epitaph: Option<Epitaph>,
    /// The cores.
    pub cores: Vec<CoreRecord>,
    /// The agents.
    pub agents: Vec<AgentRecord>,
    /// The capabilities of each agent.
    pub slots: Vec<(u64, Vec<SlotRecord>)>,
    /// Messages that wait.
    pub letters: Vec<Letter>,
    /// The pools.
    pub pools: Vec<PoolRow>,
    /// Where the memory is.
    pub memory: MemoryRecord,
    /// Bound interrupt lines.
    pub irqs: Vec<IrqRecord>,
    /// What couldn't be read, or looks wrong.
    pub notes: Vec<String>,
}

impl State {
    /// Reads everything. What is broken is left out, with a note.
    pub fn read(kernel: &Kernel<'_>) -> Result<Self, Error> {
        let mut state = Self::default();
        let epitaph = Epitaph::read(kernel);
        state.epitaph = state.note("epitaph", epitaph).flatten();
        let mut cpus = Vec::new();
        for cpu in kernel.named(CPUS)?.elements()? {
            cpus.extend(cpu.target()?);
        }
        if cpus.is_empty() {
            state.notes.push("the kernel has not started any core".to_owned());
            return Ok(state);
        }
        // States are made for all cores before it turns out which of them come up.
        let running = kernel.named(COUNT)?.number()?.max(1);
        for cpu in cpus.iter().take(running as usize) {
            let now = cpu.field("machine")?.number_of("now")?;
            state.now_ns = state.now_ns.max(now);
        }
        state.now_ns = state.now_ns.max(state.epitaph.as_ref().map_or(0, |epitaph| epitaph.time_ns));
        for (number, cpu) in cpus.into_iter().enumerate().take(running as usize) {
            let read = state.read_core(kernel, cpu);
            state.note(&format!("core {number}"), read);
        }
        let homes = state.find_homeless(kernel);
        state.note("places of agents", homes);
        Ok(state)
    }

    /// Keeps what could be read, else says why not.
    fn note<T>(&mut self, what: &str, outcome: Result<T, Error>) -> Option<T> {
        outcome.map_err(|error| self.notes.push(format!("{what}: {error}"))).ok()
    }

    fn read_core<'a>(&mut self, kernel: &'a Kernel<'a>, cpu: Value<'a>) -> Result<(), Error> {
        let core = cpu.field("core")?;
        let number = core.field("facts")?.number_of("core")?;
        let nodes = Nodes::of(kernel, cpu.field("machine")?)?;
        let first = self.agents.len();
        for (place, entry) in core.field("agents")?.field("__0")?.elements()?.enumerate() {
            // A place that can't be read is rare enough that the others are worth the effort.
            let agent = entry.option().and_then(|page| page.map(|page| page.target()).transpose());
            let Some(Some(Some(agent))) = self.note(&format!("agent at place {place} of core {number}"), agent) else { continue };
            let read = self.read_agent(kernel, &nodes, agent, number);
            self.note(&format!("agent at place {place} of core {number}"), read);
        }
        let record = core_record(cpu, core, &self.agents[first..], self.now_ns)?;
        self.cores.push(record);
        self.add_memory(core)?;
        self.add_irqs(core, number)
    }

    fn read_agent<'a>(&mut self, kernel: &'a Kernel<'a>, nodes: &Nodes<'a>, agent: Value<'a>, core: u64) -> Result<(), Error> {
        let record = agents::record(agent, core)?;
        self.agents.push(record);
        self.slots.push((record.id, agents::slots(agent, nodes, self.now_ns)?));
        self.pools.extend(agents::pools(agent, record.id)?);
        self.letters.extend(agents::letters(kernel, agent, &record)?);
        Ok(())
    }

    /// Adds a core's part of the books. A page may be taken on one core and given back on another: only the sums mean something.
    fn add_memory(&mut self, core: Value<'_>) -> Result<(), Error> {
        let (facts, ledger, root) = (core.field("facts")?, core.field("ledger")?, core.field("root")?);
        let kept = |name: &str| ledger.number_of(name);
        let (objects, page_tables, frames, agent_memory) = (kept("objects")?, kept("tables")?, kept("frames")?, kept("memory")?);
        let used = objects.wrapping_add(page_tables).wrapping_add(frames).wrapping_add(agent_memory);
        let (quota, promised) = (root.number_of("quota")?, root.number_of("used")?);
        if quota != 0 {
            self.pools.insert(0, PoolRow { owner: AgentId::KERNEL.0, index: 0, used: promised, quota });
        }
        let record = MemoryRecord {
            total: facts.number_of("total")?,
            reserved: facts.number_of("reserved")?,
            kernel: facts.number_of("kernel")?,
            bundle: facts.number_of("bundle")?,
            kernel_tables: facts.number_of("kernel_tables")?,
            objects,
            page_tables,
            frames,
            agent_memory,
            free: quota.wrapping_sub(used),
            promised: promised.wrapping_sub(used),
            agents: core.number_of("alive")?,
        };
        let (sum, more) = (self.memory.to_words(), record.to_words());
        self.memory = MemoryRecord::from_words(std::array::from_fn(|word| sum[word].wrapping_add(more[word])));
        Ok(())
    }

    fn add_irqs(&mut self, core: Value<'_>, number: u64) -> Result<(), Error> {
        for (line, binding) in core.field("bindings")?.elements()?.enumerate() {
            let agent = binding.number_of("agent")?;
            if !AgentId(agent).is_kernel() {
                let (bits, count, masked) = (binding.number_of("bits")?, binding.number_of("count")?, binding.number_of("masked")?);
                self.irqs.push(IrqRecord { line: line as u64, agent, bits, count, masked, core: number });
            }
        }
        Ok(())
    }

    /// Says which places are taken by agents that are on no core: they were moving.
    fn find_homeless(&mut self, kernel: &Kernel<'_>) -> Result<(), Error> {
        for (place, home) in kernel.named(HOMES)?.elements()?.enumerate() {
            let home = home.number()?;
            if home != 0 && !self.agents.iter().any(|agent| usize::from(AgentId(agent.id).slot()) == place) {
                self.notes.push(format!("agent at place {place}: not on core {}, where it should be: it was on its way", home - 1));
            }
        }
        Ok(())
    }
}

/// How the machine's counter becomes time.
pub(crate) fn clock(kernel: &Kernel<'_>) -> Result<Clock, Error> {
    let first = kernel.named(CPUS)?.at(0)?.target()?.ok_or_else(|| Error::Broken("the kernel has not started any core".to_owned()))?;
    let clock = first.field("machine")?.field("board")?.field("time")?.field("clock")?;
    Ok(Clock { origin: clock.number_of("origin")?, multiplier: clock.number_of("multiplier")?, shift: clock.number_of("shift")? as u32 })
}

fn core_record(cpu: Value<'_>, core: Value<'_>, agents: &[AgentRecord], latest_ns: u64) -> Result<CoreRecord, Error> {
    let (facts, counters) = (core.field("facts")?, core.field("counters")?);
    let current = core.number_of("current")?;
    // A core that rests has done so since it last looked at the clock; nobody has paid for that time yet.
    let rests = core.number_of("context")? == 0;
    let now = if rests { latest_ns } else { cpu.field("machine")?.number_of("now")? };
    let idle = if rests { now.saturating_sub(core.number_of("paid_ns")?) } else { 0 };
    Ok(CoreRecord {
        core: facts.number_of("core")?,
        mpidr: facts.number_of("mpidr")?,
        midr: facts.number_of("midr")?,
        up_ns: now.saturating_sub(facts.number_of("up_ns")?),
        idle_ns: counters.number_of("idle_ns")?.saturating_add(idle),
        kernel_ns: counters.number_of("kernel_ns")?,
        agents: core.number_of("alive")?,
        switches: counters.number_of("switches")?,
        calls: counters.number_of("calls")?,
        interrupts: counters.number_of("interrupts")?,
        epochs: now / EPOCH_NS + 1,
        admitted: core.field("sched")?.field("scheduler")?.number_of("admitted")?,
        ring_messages: core.number_of("ring_messages")?,
        running: agents.iter().find(|agent| u64::from(AgentId(agent.id).slot()) == current).map_or(0, |agent| agent.id),
        agents_ns: agents.iter().map(|agent| agent.cpu_ns).fold(0, u64::saturating_add),
        gone_ns: counters.number_of("gone_ns")?,
    })
}
