//! A machine, a core and a clock; and the agents' side of every call.

use std::collections::BTreeMap;

use aios_abi::call::SLOT_FIRST;
use aios_abi::id::SlotHandle;
use aios_abi::limits::{AGENTS, PAGE_SIZE, USER_BASE};
use aios_abi::message::SendInfo;
use aios_abi::rights::Rights;
use aios_abi::{ABI_VERSION, AgentId, Call, Error};
use aios_core::agent::State;
use aios_core::core::{Core, Facts, InitImage, InitSegment, Next};
use aios_core::machine::Memory;
use aios_core::space::Access;

use crate::{Sim, audit};

/// Registers that a call sets: number and value.
pub type Args<'a> = &'a [(usize, u64)];

/// A machine with a core and a clock.
pub struct World {
    /// The machine.
    pub sim: Sim,
    /// The core.
    pub core: Box<Core<Sim>>,
    /// Time, ns.
    pub now: u64,
    /// Init.
    pub init: u16,
    /// Pages of the boot image.
    pub boot: Vec<u64>,
    /// Check everything after every event.
    pub checking: bool,
    /// Who is in a call: id and incarnation, and the address of the call instruction.
    calls: BTreeMap<u16, (AgentId, u32, u64)>,
}

impl World {
    /// A machine with this many free pages, and init on it.
    pub fn new(pages: u64) -> Self {
        let mut sim = Sim::new(pages + 3);
        let mut core = Box::new(Core::<Sim>::EMPTY);
        let page = |sim: &mut Sim| sim.alloc(1).expect("memory for the boot image");
        let (code, bundle, tree) = (page(&mut sim), page(&mut sim), page(&mut sim));
        core.found(Facts { total: pages + 3, bundle: 2, kernel: 1, device_pages: 1 << 20, ..Facts::default() }, pages, 0);
        let segments = [InitSegment { address: USER_BASE, physical: code, pages: 1, access: Access::ReadExecute }];
        let image =
            InitImage { segments: &segments, entry: USER_BASE, bundle: (bundle >> 12, 1, 4096), device_tree: (tree >> 12, 1, 64, 0) };
        let id = core.start_init(&mut sim, &image, 0).expect("init starts");
        Self { sim, core, now: 0, init: id.slot(), boot: vec![code, bundle, tree], checking: true, calls: BTreeMap::new() }
    }

    /// Checks that everything holds that must; panics with what doesn't.
    pub fn check(&self) {
        if let Err(violation) = self.core.check(&self.sim) {
            panic!("{violation}");
        }
        // What is half cleared away is nobody's for a moment.
        if self.slots().all(|slot| self.core.agents[slot].reap.phase == 0) {
            audit(self);
        }
    }

    /// The agents that are there.
    pub fn slots(&self) -> impl Iterator<Item = u16> + '_ {
        (1..AGENTS as u16).filter(|&slot| self.core.agents.get(slot).is_some())
    }

    /// Whether the kernel set an agent that runs now back to its call, which it then has to make again.
    pub fn rewound(&mut self, slot: u16) -> bool {
        let agent = &self.core.agents[slot];
        let made = self.calls.remove(&slot);
        made.is_some_and(|(id, incarnation, pc)| agent.id == id && agent.incarnation == incarnation && agent.registers.pc == pc)
    }

    /// Has the agent that runs execute its call instruction.
    pub fn execute(&mut self, slot: u16) {
        assert_eq!(self.core.current(), slot, "only the running agent makes calls");
        let agent = &mut self.core.agents[slot];
        self.calls.insert(slot, (agent.id, agent.incarnation, agent.registers.pc));
        agent.registers.pc += 4;
        crate::syscall(&mut self.core, &mut self.sim, self.now);
    }

    /// Lets everything happen that happens without an agent's doing; answers who runs then.
    pub fn settle(&mut self) -> Option<u16> {
        for _ in 0..1_000_000 {
            match self.core.next(&mut self.sim, self.now) {
                Next::Run(slot) if self.rewound(slot) => self.execute(slot),
                Next::Run(slot) => {
                    self.checked();
                    return Some(slot);
                }
                Next::Idle => {
                    self.checked();
                    return None;
                }
                Next::Interrupted => self.checked(),
                Next::Halt => panic!("init is gone"),
            }
        }
        panic!("the kernel doesn't come to an end");
    }

    fn checked(&self) {
        if self.checking {
            self.check();
        }
    }

    /// Moves the clock, and lets the timer go off whenever it is due.
    pub fn pass(&mut self, ns: u64) {
        let end = self.now + ns;
        loop {
            self.now = self.sim.timer.clamp(self.now, end);
            if self.sim.timer <= self.now {
                self.core.tick(&mut self.sim, self.now);
            }
            self.let_go();
            // A tick serves a bounded number of timers.
            if self.now == end && self.sim.timer > self.now {
                self.settle();
                return;
            }
        }
    }

    /// Lets the kernel do what it has to do before somebody runs.
    fn let_go(&mut self) {
        while let Next::Interrupted = self.core.next(&mut self.sim, self.now) {}
    }

    /// Makes an agent the running one: whoever else is chosen yields.
    pub fn switch_to(&mut self, slot: u16) {
        for _ in 0..10_000 {
            match self.settle() {
                Some(running) if running == slot => return,
                Some(running) => {
                    let registers = self.core.agents[running].registers.clone();
                    self.core.agents[running].registers.x[8] = Call::Yield as u64;
                    crate::syscall(&mut self.core, &mut self.sim, self.now);
                    if let Some(agent) = self.core.agents.get_mut(running) {
                        agent.registers = registers;
                    }
                    self.pass(250_000);
                }
                None => panic!("agent {slot} can't run: {:?}", self.core.agents.get(slot).map(|agent| agent.state)),
            }
        }
        panic!("agent {slot} never gets to run");
    }

    /// Has an agent begin a call, which may block.
    pub fn begin(&mut self, slot: u16, call: Call, args: Args<'_>) {
        self.switch_to(slot);
        let x = &mut self.core.agents[slot].registers.x;
        x[8] = call as u64;
        for &(register, value) in args {
            x[register] = value;
        }
        self.now += 100;
        self.execute(slot);
        self.settle();
    }

    /// Has an agent make a call that ends at once; answers its registers.
    pub fn call(&mut self, slot: u16, call: Call, args: Args<'_>) -> Result<[u64; 31], Error> {
        self.begin(slot, call, args);
        // Work that the call left behind is done in the caller's next turns.
        if self.core.agents.get(slot).is_some_and(|agent| agent.work.is_some()) {
            self.switch_to(slot);
        }
        self.finished(slot)
    }

    /// Lets time pass until nothing is left of agents that ended: clearing them away takes turns like any agent.
    pub fn clear(&mut self) {
        for _ in 0..10_000 {
            if !self.slots().any(|slot| self.core.agents[slot].reap.phase != 0) {
                return;
            }
            self.pass(250_000);
        }
        panic!("what ended is never cleared away");
    }

    /// The registers of an agent whose call has ended.
    pub fn finished(&self, slot: u16) -> Result<[u64; 31], Error> {
        let agent = &self.core.agents[slot];
        assert_eq!(agent.state, State::Ready, "agent {slot} still waits");
        let pending = self.calls.get(&slot).is_some_and(|call| *call == (agent.id, agent.incarnation, agent.registers.pc));
        assert!(!pending, "agent {slot} makes its call again as soon as it runs");
        match agent.registers.x[8] {
            0 => Ok(agent.registers.x),
            code => Err(Error::from_code(code as u16).expect("a kernel error")),
        }
    }

    /// The registers of an agent whose call has ended or ends when it runs next.
    pub fn result(&mut self, slot: u16) -> Result<[u64; 31], Error> {
        self.switch_to(slot);
        self.finished(slot)
    }

    /// Whether an agent is there and waits in a call.
    pub fn waits(&self, slot: u16) -> bool {
        self.core.agents.get(slot).is_some_and(|agent| agent.state != State::Ready)
    }

    /// Has `parent` spawn and start an agent with this quota; answers its capability's handle and its id.
    pub fn spawn(&mut self, parent: u16, quota: u64, mailbox: u64) -> (u64, AgentId) {
        let pool = self.own_slot(parent, 2);
        let made = self
            .call(parent, Call::AgentSpawn, &[(9, pool), (0, mailbox), (1, quota), (10, ABI_VERSION as u64)])
            .expect("the agent is spawned");
        let (handle, id) = (made[0], AgentId(made[1]));
        self.call(parent, Call::AgentControl, &[(9, handle), (0, 1), (1, USER_BASE), (2, 0x8000_0000), (3, 0), (4, 0), (5, 0), (6, 0)])
            .expect("the agent starts");
        (handle, id)
    }

    /// Handle of the capability in a fixed place of an agent's table.
    pub fn own_slot(&self, agent: u16, index: u16) -> u64 {
        let slot = self.core.agents[agent].slots.look(index).expect("the slot is there");
        SlotHandle::new(index, slot.generation).0 as u64
    }

    /// Has a server mint a capability of itself with this badge, and its supervisor give it to a client.
    pub fn connect(&mut self, server: u16, badge: u64, client: AgentId, client_capability: u64) -> u64 {
        let me = self.own_slot(server, 1);
        let rights = Rights::SEND.or(Rights::GRANT).or(Rights::DERIVE).or(Rights::REVOKE);
        let minted = self.call(server, Call::CapMint, &[(9, me), (0, badge), (1, rights.0 as u64), (2, 0), (3, 0)]).expect("minted")[0];
        if server == self.init {
            let given = self
                .call(server, Call::CapGrant, &[(9, client_capability), (0, minted), (1, rights.0 as u64), (2, 0), (3, 2), (4, 0)])
                .expect("granted");
            return given[0];
        }
        // The capability travels to init in a message, and from there to the client.
        let init = self.init;
        let to_init = self.connect(init, 0, self.core.agents[server].id, self.capability_of(init, server));
        let take = SendInfo { take_caps: 1, ..SendInfo::default() }.encode();
        self.begin(init, Call::IpcRecv, &[(10, take), (12, u64::MAX)]);
        let send = SendInfo { caps: 1, ..SendInfo::default() }.encode();
        self.call(server, Call::IpcSend, &[(9, to_init), (10, send), (7, minted)]).expect("sent");
        let received = self.finished(init).expect("received")[7] & 0xffff_ffff;
        let _ = client;
        self.call(init, Call::CapGrant, &[(9, client_capability), (0, received), (1, rights.0 as u64), (2, 0), (3, 2), (4, 0)])
            .expect("granted")[0]
    }

    /// Handle of the capability that `holder` has of agent `target`.
    pub fn capability_of(&self, holder: u16, target: u16) -> u64 {
        let id = self.core.agents[target].id;
        let table = &self.core.agents[holder].slots;
        (SLOT_FIRST..table.end())
            .find_map(|index| {
                let slot = table.look(index)?;
                (slot.kind == aios_abi::rights::Kind::Agent && slot.agent() == id).then(|| SlotHandle::new(index, slot.generation).0 as u64)
            })
            .expect("the holder has a capability of the agent")
    }

    /// Gives an agent memory with these bytes in it; answers its address.
    pub fn memory(&mut self, slot: u16, bytes: &[u8]) -> u64 {
        let length = bytes.len().max(1).next_multiple_of(PAGE_SIZE) as u64;
        let address = self.call(slot, Call::AgentMemAlloc, &[(0, length), (1, 0)]).expect("memory")[0];
        for (i, chunk) in bytes.chunks(PAGE_SIZE).enumerate() {
            let leaf = self.core.agents[slot].space.translate(&self.sim, address + (i * PAGE_SIZE) as u64).expect("mapped");
            self.sim.write_bytes(leaf.pa, chunk);
        }
        address
    }

    /// Reads an agent's memory.
    pub fn peek(&self, slot: u16, address: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let mut done = 0;
        while done < length {
            let at = address + done as u64;
            let offset = at as usize % PAGE_SIZE;
            let piece = (PAGE_SIZE - offset).min(length - done);
            let leaf = self.core.agents[slot].space.translate(&self.sim, at).expect("mapped");
            self.sim.read_bytes(leaf.pa + offset as u64, &mut bytes[done..done + piece]);
            done += piece;
        }
        bytes
    }
}
