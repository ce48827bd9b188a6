//! One state: two cores, the machine, the time, and what the agents remember.

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;

use aios_abi::limits::USER_BASE;
use aios_abi::{AgentId, Call};
use aios_core::agent::{Agent, State as Doing};
use aios_core::core::{Core, Facts, InitImage, InitSegment, Next};
use aios_core::machine::{Machine as _, Memory as _};
use aios_core::space::Access;

use crate::Fault;
use crate::deed::Deed;
use crate::machine::{CORES, PLACES, Small};
use crate::rights::Ghosts;

/// How far time passes at once, ns.
pub const LEAP: u64 = 1_000_000;
/// The first agent.
pub const INIT: u16 = 1;
/// Turns after which an agent that could run must have run.
const PATIENCE: usize = 64;

/// A call in progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// What it is.
    pub deed: Deed,
    /// Where the agent goes on.
    pub pc: u64,
    /// What it named was void when it was last made.
    pub void: bool,
    /// The agent that it named was gone when it was last made.
    pub gone: bool,
    /// The kernel set it back: it is made again when the agent acts next.
    pub again: bool,
}

/// A call that an agent has received and not answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hand {
    /// Its message id.
    pub message: u64,
    /// What was asked.
    pub word: u64,
}

/// What an agent remembers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mind {
    /// Whose memory it is: id and incarnation.
    pub id: AgentId,
    /// Its call in progress.
    pub attempt: Option<Attempt>,
    /// Calls to answer.
    pub hands: Vec<Hand>,
    /// The call that it answered last.
    pub answered: u64,
    /// Calls that it made, modulo two.
    pub parity: bool,
}

thread_local! {
    /// Memory of cores that nobody needs any more: a core is large, and to get and give back its memory takes longer than to copy it.
    static SPARE: RefCell<Vec<Rc<Core<Small>>>> = const { RefCell::new(Vec::new()) };
}

/// A core that several states have in common, until one of them changes it.
#[derive(Clone)]
pub struct Shared(Rc<Core<Small>>);

impl Shared {
    fn change(&mut self) -> &mut Core<Small> {
        if Rc::strong_count(&self.0) > 1 {
            let spare = SPARE.with_borrow_mut(Vec::pop);
            let mut own = match spare {
                Some(spare) => spare,
                None => Rc::new(Core::EMPTY),
            };
            if let Some(own) = Rc::get_mut(&mut own) {
                own.clone_from(&self.0);
            }
            self.0 = own;
        }
        Rc::get_mut(&mut self.0).expect("nobody else has it")
    }
}

impl Deref for Shared {
    type Target = Core<Small>;
    fn deref(&self) -> &Core<Small> {
        &self.0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if Rc::strong_count(&self.0) == 1 {
            SPARE.with_borrow_mut(|spare| {
                if spare.len() < 16 {
                    spare.push(self.0.clone());
                }
            });
        }
    }
}

/// One state.
#[derive(Clone)]
pub struct State {
    /// The cores.
    pub cores: [Shared; CORES as usize],
    /// The machine.
    pub machine: Small,
    /// Time, ns.
    pub now: u64,
    /// Times that time has passed.
    pub ticks: u8,
    /// The core waits for room in a ring.
    pub stalled: [bool; CORES as usize],
    /// What each agent remembers.
    pub minds: [Mind; PLACES as usize],
    /// Who was at each place last.
    pub last: [AgentId; PLACES as usize],
    /// What the rights should be.
    pub ghosts: Ghosts,
}

impl State {
    /// A machine with init, and so many free pages.
    pub fn new(pages: u64, fault: Option<Fault>) -> Self {
        let mut machine = Small::new(fault);
        let page = |machine: &mut Small| machine.alloc(1).expect("memory for the boot image");
        let (code, bundle, tree) = (page(&mut machine), page(&mut machine), page(&mut machine));
        let mut cores: [Core<Small>; 2] = [Core::EMPTY, Core::EMPTY];
        for (number, core) in (0..).zip(&mut cores) {
            let free = if number == 0 { pages } else { 0 };
            core.found(Facts { core: number, device_pages: 16, ..Facts::default() }, free, 0);
        }
        let segments = [InitSegment { address: USER_BASE, physical: code, pages: 1, access: Access::ReadExecute }];
        let image =
            InitImage { segments: &segments, entry: USER_BASE, bundle: (bundle >> 12, 1, 4096), device_tree: (tree >> 12, 1, 64, 0) };
        cores[0].start_init(&mut machine, &image, 0).expect("init starts");
        let mut state = Self {
            cores: cores.map(|core| Shared(Rc::new(core))),
            machine,
            now: LEAP,
            ticks: 0,
            stalled: [false; CORES as usize],
            minds: Default::default(),
            last: [AgentId::KERNEL; PLACES as usize],
            ghosts: Ghosts::default(),
        };
        state.run(0).expect("init runs");
        state.run(1).expect("the second core waits");
        state.greet().expect("init is the first");
        state
    }

    /// An agent, wherever it is.
    pub fn agent(&self, slot: u16) -> Option<&Agent<Small>> {
        let moving = || self.machine.movers.iter().flatten().find(|agent| agent.id.slot() == slot).map(|agent| &**agent);
        self.cores.iter().find_map(|core| core.agents.get(slot)).or_else(moving)
    }

    /// All agents.
    pub fn agents(&self) -> impl Iterator<Item = &Agent<Small>> {
        (1..PLACES).filter_map(|slot| self.agent(slot))
    }

    /// Whether this agent is there, dying or not.
    pub fn is_there(&self, id: AgentId) -> bool {
        self.agent(id.slot()).is_some_and(|agent| agent.id == id)
    }

    /// The core on which an agent lives.
    pub fn core_of(&self, slot: u16) -> Option<u16> {
        (0..CORES).find(|&core| self.cores[core as usize].agents.get(slot).is_some())
    }

    /// One core and the machine, to be changed.
    pub fn parts(&mut self, core: u16) -> (&mut Core<Small>, &mut Small) {
        self.machine.core = core;
        (self.cores[core as usize].change(), &mut self.machine)
    }

    /// An agent that lives on a core, to be changed.
    pub fn agent_mut(&mut self, slot: u16) -> &mut Agent<Small> {
        let core = self.core_of(slot).expect("the agent lives on a core");
        self.parts(core).0.agents.get_mut(slot).expect("just found")
    }

    /// Lets a core do what it does by itself.
    pub fn run(&mut self, core: u16) -> Result<(), String> {
        let now = self.now;
        let (inside, machine) = self.parts(core);
        let next = inside.next(machine, now);
        if next == Next::Halt {
            return Err("init is gone".into());
        }
        self.stalled[core as usize] = next == Next::Interrupted;
        Ok(())
    }

    /// Whether an agent could act if it were its turn.
    pub fn can_act(&self, slot: u16) -> bool {
        let Some(core) = self.core_of(slot) else { return false };
        !self.stalled[core as usize] && self.agent(slot).is_some_and(|agent| agent.is_ready() && agent.reap.phase == 0)
    }

    /// Makes an agent the running one: whoever else is chosen yields. False if its core has to do something else before.
    pub fn switch_to(&mut self, slot: u16) -> Result<bool, String> {
        let core = self.core_of(slot).ok_or("nobody to switch to")?;
        let now = self.now;
        for _ in 0..PATIENCE {
            let (inside, machine) = self.parts(core);
            match inside.next(machine, now) {
                Next::Run(running) if running == slot => return Ok(true),
                Next::Interrupted if inside.current() == slot || inside.notices().next().is_some() => return Ok(false),
                Next::Run(_) | Next::Interrupted => self.preempt(core),
                next => return Err(format!("P7: agent {slot} could run, and the core says {next:?}")),
            }
        }
        Err(format!("P7: agent {slot} could run and never gets to"))
    }

    /// The turn of whoever runs ends.
    fn preempt(&mut self, core: u16) {
        let now = self.now;
        let (inside, machine) = self.parts(core);
        let running = inside.current();
        if running == 0 {
            return;
        }
        let registers = inside.agents[running].registers.clone();
        inside.agents[running].registers.x[8] = Call::Yield as u64;
        inside.syscall(machine, now);
        inside.agents[running].registers = registers;
    }

    /// Whether agents of a core are being cleared away, and that can go on.
    fn is_clearing(&self, core: u16) -> bool {
        let agents = &self.cores[core as usize].agents;
        (1..PLACES).any(|slot| agents.get(slot).is_some_and(Agent::is_clearing))
    }

    /// Whether agents of any core are being cleared away, and that can go on.
    pub fn is_clearing_any(&self) -> bool {
        (0..CORES).any(|core| self.is_clearing(core))
    }

    /// Lets a core go on with what it has to do beside running agents.
    pub fn go_on(&mut self, core: u16) -> Result<(), String> {
        self.deliver(core, 0)?;
        for _ in 0..PATIENCE {
            if self.machine.busy || self.stalled[core as usize] || !self.is_clearing(core) {
                return Ok(());
            }
            self.preempt(core);
            self.run(core)?;
        }
        Err("P7: clearing away never gets its turn".into())
    }

    /// Lets a core see so many more of the packets to it, and take them.
    pub fn deliver(&mut self, core: u16, count: usize) -> Result<(), String> {
        self.machine.visible = count;
        let now = self.now;
        let (inside, machine) = self.parts(core);
        inside.take_packets(machine, now);
        self.machine.visible = 0;
        self.run(core)
    }

    /// Lets time pass.
    pub fn pass(&mut self) -> Result<(), String> {
        self.now += LEAP;
        self.ticks += 1;
        for core in 0..CORES {
            let now = self.now;
            if self.machine.timers[core as usize] <= now {
                let (inside, machine) = self.parts(core);
                inside.tick(machine, now);
            }
            self.run(core)?;
        }
        Ok(())
    }

    /// Whether something waits for a core that only it can take.
    pub fn has_post(&self, core: u16) -> bool {
        !self.machine.sent[core as usize].is_empty() || self.machine.movers[core as usize].is_some()
    }

    /// Whether a core has something to go on with by itself.
    pub fn can_go_on(&self, core: u16) -> bool {
        let inside = &self.cores[core as usize];
        self.stalled[core as usize]
            || self.is_clearing(core)
            || inside.inside().held.is_some()
            || inside.notices().next().is_some()
            || inside.pending().next().is_some()
    }

    /// Lets everything happen that happens by itself.
    pub fn settle(&mut self) {
        for _ in 0..1000 {
            let mut busy = false;
            for core in 0..CORES {
                if self.has_post(core) || self.can_go_on(core) {
                    busy = true;
                    self.deliver(core, usize::MAX).expect("nothing breaks while a world is made");
                    self.go_on(core).expect("nothing breaks while a world is made");
                }
            }
            if !busy {
                return;
            }
        }
        panic!("the cores don't come to rest");
    }

    /// Has an agent make a call while the world is made; answers its registers.
    pub fn call(&mut self, slot: u16, call: Call, arguments: &[(usize, u64)]) -> [u64; 31] {
        for _ in 0..100 {
            self.settle();
            assert!(self.switch_to(slot).expect("the agent runs"), "the agent runs");
            let now = self.now;
            let core = self.core_of(slot).expect("the agent is there");
            let (inside, machine) = self.parts(core);
            let registers = &mut inside.agents.get_mut(slot).expect("the agent is there").registers;
            registers.x[8] = call as u64;
            for &(register, value) in arguments {
                registers.x[register] = value;
            }
            let before = registers.pc;
            registers.pc += 4;
            inside.syscall(machine, now);
            self.run(core).expect("the core goes on");
            self.settle();
            let agent = self.agent(slot).expect("the agent is there");
            if agent.registers.pc == before {
                continue;
            }
            assert_eq!(agent.state, Doing::Ready, "{call:?} of {slot} blocks");
            let x = agent.registers.x;
            assert_eq!(x[8], 0, "{call:?} of {slot} fails");
            self.agent_mut(slot).registers.x = [0; 31];
            return x;
        }
        panic!("{call:?} of {slot} starts over for ever");
    }

    /// Every agent's memory is its own: who is new remembers nothing, and has a name that nobody had (P6).
    pub fn greet(&mut self) -> Result<(), String> {
        for slot in 1..PLACES {
            let id = self.agent(slot).map_or(AgentId::KERNEL, |agent| agent.id);
            if self.minds[slot as usize].id != id {
                if !id.is_kernel() && std::mem::replace(&mut self.last[slot as usize], id) == id {
                    return Err(format!("P6: {id:?} is the name of a second agent"));
                }
                self.minds[slot as usize] = Mind { id, ..Mind::default() };
                if self.core_of(slot).is_some() {
                    self.agent_mut(slot).registers.x = [0; 31];
                }
            }
        }
        Ok(())
    }

    /// Whether an agent is there and isn't going.
    pub fn is_alive(&self, id: AgentId) -> bool {
        self.agent(id.slot()).is_some_and(|agent| agent.id == id && agent.state != Doing::Dying && agent.reap.phase == 0)
    }

    /// The core that an agent's home word says.
    pub fn home(&self, slot: u16) -> Option<u16> {
        self.machine.home(slot)
    }
}
