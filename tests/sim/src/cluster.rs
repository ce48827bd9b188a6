//! Several cores on one machine: each runs its own core, packets travel when [`Cluster::settle`] lets them.

use aios_abi::call::SLOT_FIRST;
use aios_abi::id::SlotHandle;
use aios_abi::limits::{AGENTS, PAGE_SIZE, USER_BASE};
use aios_abi::rights::{Kind, Rights};
use aios_abi::{ABI_VERSION, AgentId, Call, Error};
use aios_core::agent::{Agent, State};
use aios_core::core::{Core, Facts, InitImage, InitSegment, Next};
use aios_core::machine::Memory;
use aios_core::space::Access;

use crate::{Args, Sim};

/// Several cores with one clock.
pub struct Cluster {
    /// The machine.
    pub sim: Sim,
    /// Its cores; init lives on the first.
    pub cores: Vec<Box<Core<Sim>>>,
    /// Time, ns.
    pub now: u64,
    /// Init.
    pub init: u16,
}

impl Cluster {
    /// A machine with this many cores and free pages.
    pub fn new(count: u16, pages: u64) -> Self {
        let mut sim = Sim::new(pages + 3);
        sim.cores = count;
        let page = |sim: &mut Sim| sim.alloc(1).expect("memory for the boot image");
        let (code, bundle, tree) = (page(&mut sim), page(&mut sim), page(&mut sim));
        let mut cores: Vec<_> = (0..count).map(|_| Box::new(Core::<Sim>::EMPTY)).collect();
        for (number, core) in cores.iter_mut().enumerate() {
            let free = if number == 0 { pages } else { 0 };
            core.found(Facts { core: number as u64, device_pages: 1 << 20, ..Facts::default() }, free, 0);
        }
        let segments = [InitSegment { address: USER_BASE, physical: code, pages: 1, access: Access::ReadExecute }];
        let image =
            InitImage { segments: &segments, entry: USER_BASE, bundle: (bundle >> 12, 1, 4096), device_tree: (tree >> 12, 1, 64, 0) };
        let id = cores[0].start_init(&mut sim, &image, 0).expect("init starts");
        Self { sim, cores, now: 0, init: id.slot() }
    }

    /// Lets one core do all that it can do without an agent's doing.
    pub fn turn(&mut self, core: u16) -> (bool, Option<u16>) {
        self.sim.core = core;
        let mut busy = self.sim.sent_to(core);
        let more = self.cores[core as usize].take_packets(&mut self.sim, self.now);
        busy |= more;
        match self.cores[core as usize].next(&mut self.sim, self.now) {
            Next::Run(slot) => (busy, Some(slot)),
            Next::Idle => (busy, None),
            Next::Interrupted => (true, None),
            Next::Halt => panic!("init is gone"),
        }
    }

    /// Lets everything happen that happens without an agent's doing. Clearing away agents that ended takes turns like any
    /// agent, and so does long work for other cores: then time passes.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            self.rest();
            let clearing = |core: &Core<Sim>| (1..AGENTS as u16).any(|slot| core.agents.get(slot).is_some_and(Agent::is_clearing));
            if !self.cores.iter().any(|core| clearing(core) || core.works_for_others()) {
                return;
            }
            self.now += 250_000;
            self.ring();
        }
        panic!("what ended is never cleared away");
    }

    fn rest(&mut self) {
        for _ in 0..100_000 {
            let mut busy = false;
            for core in 0..self.sim.cores {
                busy |= self.turn(core).0;
            }
            // A core may have sent something on its own account.
            if !busy && (0..self.sim.cores).all(|core| !self.sim.sent_to(core)) {
                return;
            }
        }
        panic!("the cores don't come to rest");
    }

    /// Moves the clock.
    pub fn pass(&mut self, ns: u64) {
        self.now += ns;
        self.ring();
        self.settle();
    }

    /// Lets the timers go off that are due.
    fn ring(&mut self) {
        for core in 0..self.sim.cores {
            self.sim.core = core;
            if self.sim.timers[core as usize] <= self.now {
                self.cores[core as usize].tick(&mut self.sim, self.now);
            }
        }
    }

    /// The core on which an agent lives.
    pub fn home(&self, slot: u16) -> u16 {
        (0..self.sim.cores).find(|&core| self.cores[core as usize].agents.get(slot).is_some()).expect("the agent lives somewhere")
    }

    /// An agent, wherever it lives.
    pub fn agent(&self, slot: u16) -> Option<&Agent<Sim>> {
        self.cores.iter().find_map(|core| core.agents.get(slot))
    }

    fn agent_mut(&mut self, slot: u16) -> &mut Agent<Sim> {
        let home = self.home(slot);
        self.cores[home as usize].agents.get_mut(slot).expect("just found")
    }

    fn switch_to(&mut self, slot: u16) {
        for _ in 0..10_000 {
            self.settle();
            let home = self.home(slot);
            let (_, running) = self.turn(home);
            match running {
                Some(running) if running == slot => return,
                Some(running) => {
                    let registers = self.agent_mut(running).registers.clone();
                    self.agent_mut(running).registers.x[8] = Call::Yield as u64;
                    crate::syscall(&mut self.cores[home as usize], &mut self.sim, self.now);
                    self.agent_mut(running).registers = registers;
                    self.pass(250_000);
                }
                None => panic!("agent {slot} can't run: {:?}", self.agent(slot).map(|agent| agent.state)),
            }
        }
        panic!("agent {slot} never gets to run");
    }

    /// Has an agent begin a call, which may block. A call that starts over is made again.
    pub fn begin(&mut self, slot: u16, call: Call, args: Args<'_>) {
        let mut again = self.attempt(slot, call, args);
        for _ in 0..1000 {
            if !again {
                return;
            }
            again = self.enter(slot);
        }
        panic!("the call starts over for ever");
    }

    /// Has an agent make a call once; answers whether it is to start over.
    pub fn attempt(&mut self, slot: u16, call: Call, args: Args<'_>) -> bool {
        self.switch_to(slot);
        let agent = self.agent_mut(slot);
        agent.registers.x[8] = call as u64;
        for &(register, value) in args {
            agent.registers.x[register] = value;
        }
        self.enter(slot)
    }

    /// Makes the call that stands in an agent's registers; answers whether it is to start over.
    fn enter(&mut self, slot: u16) -> bool {
        self.switch_to(slot);
        let home = self.home(slot);
        self.sim.core = home;
        let agent = self.agent_mut(slot);
        let before = agent.registers.pc;
        agent.registers.pc += 4;
        self.now += 100;
        crate::syscall(&mut self.cores[home as usize], &mut self.sim, self.now);
        self.settle();
        self.agent(slot).is_some_and(|agent| agent.registers.pc == before && agent.state == State::Ready)
    }

    /// Has an agent make a call that ends at once; answers its registers.
    pub fn call(&mut self, slot: u16, call: Call, args: Args<'_>) -> Result<[u64; 31], Error> {
        self.begin(slot, call, args);
        // Work that the call left behind is done in the caller's next turns.
        if self.agent(slot).is_some_and(|agent| agent.work.is_some()) {
            self.switch_to(slot);
        }
        self.finished(slot)
    }

    /// The registers of an agent whose call has ended.
    pub fn finished(&self, slot: u16) -> Result<[u64; 31], Error> {
        let agent = self.agent(slot).expect("the agent is there");
        assert_eq!(agent.state, State::Ready, "agent {slot} still waits");
        match agent.registers.x[8] {
            0 => Ok(agent.registers.x),
            code => Err(Error::from_code(code as u16).expect("a kernel error")),
        }
    }

    /// Handle of the capability in a fixed place of an agent's table.
    pub fn own_slot(&self, agent: u16, index: u16) -> u64 {
        let slot = self.agent(agent).expect("the agent is there").slots.look(index).expect("the slot is there");
        SlotHandle::new(index, slot.generation).0 as u64
    }

    /// Has `parent` spawn and start an agent, and move it to a core.
    pub fn spawn_on(&mut self, parent: u16, quota: u64, mailbox: u64, core: u16) -> (u64, AgentId) {
        let pool = self.own_slot(parent, 2);
        let made = self
            .call(parent, Call::AgentSpawn, &[(9, pool), (0, mailbox), (1, quota), (10, ABI_VERSION as u64)])
            .expect("the agent is spawned");
        let (handle, id) = (made[0], AgentId(made[1]));
        self.call(parent, Call::AgentControl, &[(9, handle), (0, 1), (1, USER_BASE), (2, 0x8000_0000), (3, 0), (4, 0), (5, 0), (6, 0)])
            .expect("the agent starts");
        self.migrate(parent, handle, core).expect("the agent moves");
        (handle, id)
    }

    /// Has `who` move an agent to a core.
    pub fn migrate(&mut self, who: u16, handle: u64, core: u16) -> Result<(), Error> {
        self.call(who, Call::AgentControl, &[(9, handle), (0, 6), (1, core as u64)]).map(|_| ())
    }

    /// Has init mint a capability of an agent with this badge, and give it to a client.
    pub fn connect(&mut self, server: AgentId, badge: u64, client: AgentId) -> u64 {
        let init = self.init;
        let rights = Rights::SEND.or(Rights::GRANT).0 as u64;
        let source = if server.slot() == init { self.own_slot(init, 1) } else { self.capability_of(init, server) };
        let minted = self.call(init, Call::CapMint, &[(9, source), (0, badge), (1, rights), (2, 0), (3, 0)]).expect("minted")[0];
        if client.slot() == init {
            return minted;
        }
        let target = self.capability_of(init, client);
        self.call(init, Call::CapGrant, &[(9, target), (0, minted), (1, rights), (2, 0), (3, 1), (4, 0)]).expect("granted")[0]
    }

    /// Handle of the capability that `holder` has of an agent.
    pub fn capability_of(&self, holder: u16, target: AgentId) -> u64 {
        let table = &self.agent(holder).expect("the holder is there").slots;
        (SLOT_FIRST..table.end())
            .find_map(|index| {
                let slot = table.look(index)?;
                (slot.kind == Kind::Agent && slot.agent() == target).then(|| SlotHandle::new(index, slot.generation).0 as u64)
            })
            .expect("the holder has a capability of the agent")
    }

    /// Gives an agent memory with these bytes in it; answers its address.
    pub fn memory(&mut self, slot: u16, bytes: &[u8]) -> u64 {
        let length = bytes.len().max(1).next_multiple_of(PAGE_SIZE) as u64;
        let address = self.call(slot, Call::AgentMemAlloc, &[(0, length), (1, 0)]).expect("memory")[0];
        for (i, chunk) in bytes.chunks(PAGE_SIZE).enumerate() {
            let home = self.home(slot) as usize;
            let leaf = self.cores[home].agents[slot].space.translate(&self.sim, address + (i * PAGE_SIZE) as u64).expect("mapped");
            self.sim.write_bytes(leaf.pa, chunk);
        }
        address
    }

    /// Reads an agent's memory.
    pub fn peek(&self, slot: u16, address: u64, length: usize) -> Vec<u8> {
        (0..length as u64)
            .map(|i| {
                let leaf = self.agent(slot).expect("the agent is there").space.translate(&self.sim, address + i).expect("mapped");
                let mut byte = [0];
                self.sim.read_bytes(leaf.pa + (address + i) % PAGE_SIZE as u64, &mut byte);
                byte[0]
            })
            .collect()
    }
}
