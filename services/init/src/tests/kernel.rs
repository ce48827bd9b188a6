//! A model of the kernel as init sees it: capabilities with their rights and trees, agents with what they were given, and everything counted.
//! Where the real kernel refuses, this does; where init must not ask at all, it fails the test.

use std::cell::{Ref, RefCell, RefMut};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::string::String;
use std::vec::Vec;

use aios_abi::call::{AgentOp, CLASS_EDF, SLOT_ANY, SLOT_POOL, SLOT_SELF, init};
use aios_abi::info::Info;
use aios_abi::message::SendInfo;
use aios_abi::record::{AgentRecord, SlotRecord, Table};
use aios_abi::rights::{Kind, Rights};
use aios_abi::{ABI_VERSION, AgentId, Call, Error, SlotHandle};
use aios_proto::log::{Message, Target};
use aios_proto::types::Level;
use aios_rt::sys::{Regs, fake};

/// Id of init itself.
pub const INIT: AgentId = AgentId::new(1, 1);
/// Cores of the machine.
const CORES: u64 = 4;

/// A capability.
#[derive(Clone, Copy, Debug)]
pub struct Cap {
    pub kind: Kind,
    pub rights: Rights,
    /// Agent, first page or line.
    pub object: u64,
    /// Badge, or number of pages or lines.
    pub word: u64,
    pub node: u64,
    pub parent: u64,
    mapped: Option<(u64, u32)>,
}

/// What an agent is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doing {
    New,
    Running,
    /// Being emptied.
    Clearing,
    Gone,
}

/// An agent.
#[derive(Clone, Debug)]
pub struct Sim {
    pub name: String,
    pub doing: Doing,
    pub incarnation: u32,
    pub quota: u64,
    pub pool: u64,
    pub class: Option<[u64; 3]>,
    pub core: u64,
    pub watch: u64,
    pub supervised: bool,
    pub suspended: bool,
    /// Its slots from 3 on.
    pub slots: BTreeMap<u16, Cap>,
    /// Where pages are mapped: address → pages and access.
    pub memory: BTreeMap<u64, (u64, u64)>,
    /// Entry, stack and arguments of its last start.
    pub started: Option<[u64; 6]>,
}

/// The state.
#[derive(Default)]
pub struct State {
    slots: BTreeMap<u16, (u16, Cap)>,
    generations: BTreeMap<u16, u16>,
    nodes: u64,
    revoked: Vec<u64>,
    pub agents: BTreeMap<u64, Sim>,
    spawned: u16,
    pub console: String,
    pub log: Vec<String>,
    pub notified: Vec<(u64, u64)>,
    pub judged: Vec<(u64, u64)>,
    pub power: Option<u64>,
    /// Pages taken from each pool.
    pub pages: BTreeMap<u64, i64>,
    refuse_sends: Option<Error>,
    /// Restarts take until somebody says that they are done.
    pub slow: bool,
    pub refuse_spawn: Option<Error>,
    window: Option<u16>,
    pub now_ns: u64,
}

/// The fake kernel, until it is dropped.
pub struct Kernel {
    state: Rc<RefCell<State>>,
    given: usize,
    _installed: fake::Installed,
}

/// A kernel that has just started init.
pub fn boot() -> Kernel {
    let state = Rc::new(RefCell::new(State::default()));
    {
        let mut state = state.borrow_mut();
        let all = Rights::ALL;
        for (index, kind, object, word) in [
            (SLOT_SELF, Kind::Agent, INIT.0, 0),
            (SLOT_POOL, Kind::Pool, 0, 0),
            (init::SLOT_DEVICES, Kind::Device, 0, 1 << 24),
            (init::SLOT_IRQS, Kind::Irq, 0, 1020),
            (init::SLOT_POWER, Kind::Power, 0, 0),
            (init::SLOT_OBSERVE, Kind::Observe, 0, 0),
            (init::SLOT_SEED, Kind::Seed, 0, 0),
            (init::SLOT_CONSOLE, Kind::Console, 0, 0),
            (init::SLOT_BUNDLE, Kind::Frame, 0x4800, 0x1000),
            (init::SLOT_DEVICE_TREE, Kind::Frame, 0x4700, 16),
        ] {
            let node = state.node();
            state.slots.insert(index, (1, Cap { kind, rights: all, object, word, node, parent: 0, mapped: None }));
            state.generations.insert(index, 1);
        }
    }
    let given = state.borrow().slots.len();
    let kernel = Rc::clone(&state);
    let installed = fake::install(move |call, regs| kernel.borrow_mut().serve(call, regs));
    fake::set_info(Info { agent: INIT.0, ..Info::default() });
    Kernel { state, given, _installed: installed }
}

impl Kernel {
    pub fn state(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    fn look(&self) -> Ref<'_, State> {
        self.state.borrow()
    }

    /// Slots of init beyond those that it started with.
    pub fn slots_made(&self) -> usize {
        self.look().slots.len() - self.given
    }

    pub fn console(&self) -> String {
        self.look().console.clone()
    }

    pub fn log(&self) -> Vec<String> {
        self.look().log.clone()
    }

    pub fn refuse_sends(&self, why: Option<Error>) {
        self.state().refuse_sends = why;
    }

    /// The agent of this name that is not gone.
    pub fn agent(&self, name: &str) -> (AgentId, Sim) {
        let state = self.look();
        let found = state.agents.iter().find(|(_, sim)| sim.name == name && sim.doing != Doing::Gone);
        found.map(|(id, sim)| (AgentId(*id), sim.clone())).unwrap_or_else(|| std::panic!("no agent {name}"))
    }

    pub fn is_there(&self, name: &str) -> bool {
        self.look().agents.values().any(|sim| sim.name == name && sim.doing != Doing::Gone)
    }

    /// A capability that somebody was given with a reply.
    pub fn cap(&self, slot: SlotHandle) -> Cap {
        self.look().cap(slot.0.into(), Kind::Empty, Rights::NONE).unwrap()
    }

    /// Puts a capability of init's into an agent's table, as a reply does.
    pub fn hand(&self, slot: SlotHandle, to: AgentId, index: u16) {
        let cap = self.cap(slot);
        assert!(cap.rights.contains(Rights::GRANT), "a reply carries what may be granted: {cap:?}");
        self.state().agents.get_mut(&to.0).unwrap().slots.insert(index, cap);
    }

    /// A way to tell an agent something, in init's table, as it comes with a message.
    pub fn notification(&self, of: AgentId) -> SlotHandle {
        let mut state = self.state();
        let (kind, rights, node) = (Kind::Notification, Rights::SEND, state.node());
        SlotHandle(state.put(Cap { kind, rights, object: of.0, word: u64::MAX, node, parent: 0, mapped: None }) as u32)
    }

    /// Whether what an agent has in a slot still works.
    pub fn works(&self, agent: AgentId, index: u16) -> bool {
        let state = self.look();
        state.agents[&agent.0].slots.get(&index).is_some_and(|cap| !state.is_void(cap))
    }

    /// Somebody ends an agent behind init's back; answers the bits that init asked for.
    pub fn murder(&self, id: AgentId) -> u64 {
        let mut state = self.state();
        state.kill(id.0);
        state.agents[&id.0].watch
    }
}

impl State {
    fn node(&mut self) -> u64 {
        self.nodes += 1;
        self.nodes
    }

    fn put(&mut self, cap: Cap) -> u64 {
        let index = (SLOT_ANY..).find(|index| !self.slots.contains_key(index)).unwrap();
        let generation = self.generations.entry(index).or_default();
        *generation += 1;
        self.slots.insert(index, (*generation, cap));
        SlotHandle::new(index, *generation).0.into()
    }

    fn is_void(&self, cap: &Cap) -> bool {
        self.revoked.contains(&cap.parent)
    }

    /// What a slot of init's holds, valid or not.
    fn held(&self, handle: u64) -> Result<Cap, Error> {
        let handle = SlotHandle(handle as u32);
        let slot = self.slots.get(&handle.index()).filter(|(generation, _)| *generation == handle.generation());
        slot.map(|(_, cap)| *cap).ok_or(Error::NoCapability)
    }

    fn cap(&self, handle: u64, kind: Kind, rights: Rights) -> Result<Cap, Error> {
        let cap = self.held(handle)?;
        if kind != Kind::Empty && cap.kind != kind {
            return Err(Error::WrongKind);
        }
        if self.is_void(&cap) {
            return Err(Error::Revoked);
        }
        if cap.rights.contains(rights) { Ok(cap) } else { Err(Error::MissingRight) }
    }

    fn kill(&mut self, id: u64) {
        let sim = self.agents.get_mut(&id).unwrap();
        if sim.doing != Doing::Gone {
            sim.doing = Doing::Gone;
            sim.slots.clear();
            sim.memory.clear();
            *self.pages.entry(sim.pool).or_default() -= sim.quota as i64;
        }
    }

    fn map(&mut self, handle: u64, agent: u64, address: u64, access: u64) -> Result<(), Error> {
        let cap = self.cap(handle, Kind::Empty, Rights(access as u32))?;
        assert!(cap.word <= 128 && matches!(cap.kind, Kind::Frame | Kind::Device));
        let target = match agent {
            0 => INIT.0,
            handle => self.cap(handle, Kind::Agent, Rights::CONTROL)?.object,
        };
        let is_current = |(id, incarnation): &(u64, u32)| {
            *id == INIT.0 || self.agents[id].incarnation == *incarnation && self.agents[id].doing != Doing::Gone
        };
        if cap.mapped.as_ref().is_some_and(is_current) {
            return Err(Error::Busy);
        }
        let mut incarnation = 0;
        if target == INIT.0 {
            assert_eq!(self.window, None, "the window is in use");
            self.window = Some(SlotHandle(handle as u32).index());
        } else {
            let sim = self.agents.get_mut(&target).unwrap();
            assert_eq!(sim.doing, Doing::New, "{} is not empty", sim.name);
            incarnation = sim.incarnation;
            let end = address + cap.word * 4096;
            let overlaps = sim.memory.iter().any(|(&at, &(pages, _))| at < end && address < at + pages * 4096);
            assert!(!overlaps && address >= 0x40_0000, "{address:#x} in {:x?}", sim.memory);
            sim.memory.insert(address, (cap.word, access));
            // The other agent holds the mapping, in the first slot that is free.
            let free = (SLOT_ANY..).find(|index| !sim.slots.contains_key(index)).unwrap();
            sim.slots.insert(free, cap);
        }
        self.slots.get_mut(&SlotHandle(handle as u32).index()).unwrap().1.mapped = Some((target, incarnation));
        Ok(())
    }

    fn serve(&mut self, call: Call, regs: &mut Regs) -> Result<(), Error> {
        let x = regs.x;
        match call {
            Call::ConsoleWrite => {
                self.cap(regs.x9, Kind::Console, Rights::WRITE)?;
                let bytes: Vec<u8> = x.iter().flat_map(|word| word.to_le_bytes()).take(regs.x10 as usize).collect();
                self.console += &super::text(&bytes);
            }
            Call::AgentPoolAlloc => {
                let cap = self.cap(regs.x9, Kind::Pool, Rights::SPEND)?;
                let (node, object) = (self.node(), self.nodes);
                regs.x[0] = self.put(Cap { object, node, parent: cap.node, ..cap });
            }
            Call::FrameAlloc => {
                let pool = self.cap(regs.x9, Kind::Pool, Rights::SPEND)?.object;
                *self.pages.entry(pool).or_default() += x[0] as i64;
                let node = self.node();
                regs.x[0] =
                    self.put(Cap { kind: Kind::Frame, rights: Rights::ALL, object: pool, word: x[0], node, parent: 0, mapped: None });
            }
            Call::CapDerive => {
                let cap = self.cap(regs.x9, Kind::Empty, Rights::DERIVE)?;
                let rights = Rights(x[0] as u32);
                let (first, count) = if x[3] == 0 { (0, cap.word) } else { (x[2], x[3]) };
                if !cap.rights.contains(rights) || (x[3] != 0 && first + count > cap.word) {
                    return Err(Error::NotNarrower);
                }
                let object = cap.object + if x[3] == 0 { 0 } else { first };
                let node = self.node();
                regs.x[0] = self.put(Cap { rights, object, word: count, node, parent: cap.node, mapped: None, ..cap });
            }
            Call::CapMint => {
                let cap = self.cap(regs.x9, Kind::Agent, Rights::MINT)?;
                let node = self.node();
                let kind = if x[3] == 0 { Kind::Service } else { Kind::Notification };
                regs.x[0] = self.put(Cap {
                    kind,
                    rights: Rights(x[1] as u32),
                    object: cap.object,
                    word: x[0],
                    node,
                    parent: cap.node,
                    mapped: None,
                });
            }
            Call::CapGrant => {
                let target = self.cap(regs.x9, Kind::Agent, Rights::CONTROL)?.object;
                let cap = self.cap(x[0], Kind::Empty, Rights::GRANT)?;
                let rights = Rights(x[1] as u32);
                assert!(cap.rights.contains(rights));
                if x[3] == 1 {
                    self.slots.remove(&SlotHandle(x[0] as u32).index());
                }
                let taken = self.agents.get_mut(&target).unwrap().slots.insert(x[4] as u16, Cap { rights, ..cap });
                assert!(taken.is_none(), "slot {} is taken", x[4]);
                regs.x[0] = SlotHandle::new(x[4] as u16, 1).0.into();
            }
            Call::CapDrop => {
                let cap = self.held(regs.x9)?;
                self.slots.remove(&SlotHandle(regs.x9 as u32).index());
                if cap.kind == Kind::Frame && cap.parent == 0 {
                    *self.pages.entry(cap.object).or_default() -= cap.word as i64;
                }
            }
            Call::CapRevoke => {
                let cap = self.cap(regs.x9, Kind::Empty, Rights::REVOKE)?;
                self.revoked.push(cap.node);
            }
            Call::AgentSpawn => {
                let pool = self.cap(regs.x9, Kind::Pool, Rights::SPEND)?.object;
                assert_eq!(regs.x10, u64::from(ABI_VERSION));
                if let Some(error) = self.refuse_spawn {
                    return Err(error);
                }
                self.spawned += 1;
                let id = AgentId::new(9 + self.spawned, 1);
                *self.pages.entry(pool).or_default() += x[1] as i64;
                let sim = Sim {
                    name: String::new(),
                    doing: Doing::New,
                    incarnation: 1,
                    quota: x[1],
                    pool,
                    class: None,
                    core: 0,
                    watch: 0,
                    supervised: false,
                    suspended: false,
                    slots: BTreeMap::new(),
                    memory: BTreeMap::new(),
                    started: None,
                };
                self.agents.insert(id.0, sim);
                let node = self.node();
                let rights = Rights(0x3f_0000).or(Rights::READ).or(Rights::GRANT).or(Rights::DERIVE).or(Rights::REVOKE);
                regs.x[0] = self.put(Cap { kind: Kind::Agent, rights, object: id.0, word: 0, node, parent: 0, mapped: None });
                regs.x[1] = id.0;
            }
            Call::AgentControl => return self.control(regs),
            Call::SchedSet => {
                let id = self.cap(regs.x9, Kind::Agent, Rights::SCHEDULE)?.object;
                self.agents.get_mut(&id).unwrap().class = Some([x[0], x[1], x[2]]);
            }
            Call::Watch => {
                let id = self.cap(regs.x9, Kind::Agent, Rights::WATCH)?.object;
                self.agents.get_mut(&id).unwrap().watch = x[0];
            }
            Call::PageMap => return self.map(regs.x9, x[0], x[1], x[2]),
            Call::PageUnmap => {
                let index = SlotHandle(regs.x9 as u32).index();
                assert_eq!(self.window.take(), Some(index));
                self.slots.get_mut(&index).unwrap().1.mapped = None;
            }
            Call::Notify => {
                let cap = self.cap(regs.x9, Kind::Notification, Rights::SEND)?;
                self.notified.push((cap.object, x[0]));
            }
            Call::IpcSend => return self.send(regs),
            Call::FaultReply => self.judged.push((regs.x9, x[0])),
            Call::PowerControl => {
                self.cap(regs.x9, Kind::Power, Rights::WRITE)?;
                self.power = Some(x[0]);
                return Err(Error::Firmware);
            }
            Call::Inspect => {
                self.cap(regs.x9, Kind::Observe, Rights::READ)?;
                if x[0] == Table::Agents as u64 {
                    let first = self.agents.range(x[1]..).next().map(|(&id, sim)| (id, sim.suspended));
                    (regs.x[0], regs.x[1]) = (0, 0);
                    if let Some((id, suspended)) = first {
                        let to = core::ptr::with_exposed_provenance_mut::<AgentRecord>(regs.x11 as usize);
                        // SAFETY: the caller gave a buffer of at least one record.
                        unsafe { to.write(AgentRecord { id, state: u64::from(suspended) << 8 | 2, ..AgentRecord::default() }) };
                        (regs.x[0], regs.x[1]) = (1, self.agents.range(id + 1..).next().map_or(0, |(&next, _)| next));
                    }
                    return Ok(());
                }
                assert_eq!((x[0], regs.x10), (2, 96));
                let found = if x[2] == INIT.0 {
                    self.slots.range(x[1] as u16..).next().map(|(&index, &(generation, cap))| (index, generation, cap))
                } else {
                    self.agents[&x[2]].slots.range(x[1] as u16..).next().map(|(&index, &cap)| (index, 1, cap))
                };
                regs.x[0] = 0;
                if let Some((index, generation, cap)) = found {
                    let handle = SlotHandle::new(index, generation).0.into();
                    let record = SlotRecord { handle, node: cap.node, parent: cap.parent, ..SlotRecord::default() };
                    let to = core::ptr::with_exposed_provenance_mut::<SlotRecord>(regs.x11 as usize);
                    // SAFETY: the caller gave a buffer of one record.
                    unsafe { to.write(record) };
                    regs.x[0] = 1;
                }
                regs.x[1] = 0;
            }
            Call::TimeNow => regs.x[0] = self.now_ns,
            other => std::panic!("init must not call {}", other.name()),
        }
        Ok(())
    }

    fn control(&mut self, regs: &mut Regs) -> Result<(), Error> {
        let x = regs.x;
        let operation = AgentOp::from_number(x[0]).unwrap();
        let right = match operation {
            AgentOp::Kill => Rights::KILL,
            AgentOp::Migrate => Rights::SCHEDULE,
            _ => Rights::CONTROL,
        };
        let id = self.cap(regs.x9, Kind::Agent, right)?.object;
        let slow = self.slow;
        if operation == AgentOp::Supervise {
            let service = self.cap(x[1], Kind::Service, Rights::NONE)?;
            assert_eq!(service.object, INIT.0);
        }
        let sim = self.agents.get_mut(&id).unwrap();
        if sim.doing == Doing::Gone {
            return Err(Error::PeerDied);
        }
        match operation {
            AgentOp::Name => {
                let bytes = [x[1].to_le_bytes(), x[2].to_le_bytes()].concat();
                sim.name = super::text(&bytes).trim_end_matches('\0').into();
            }
            AgentOp::Migrate if x[1] >= CORES => return Err(Error::NoSuchCore),
            AgentOp::Migrate if sim.class.is_some_and(|class| class[0] == CLASS_EDF) => return Err(Error::WrongState),
            AgentOp::Migrate => sim.core = x[1],
            AgentOp::Supervise => sim.supervised = true,
            AgentOp::Kill => self.kill(id),
            AgentOp::Restart if sim.doing == Doing::Clearing => return Err(Error::Busy),
            AgentOp::Restart => {
                sim.doing = if slow { Doing::Clearing } else { Doing::New };
                sim.incarnation += 1;
                sim.slots.clear();
                sim.memory.clear();
            }
            AgentOp::Start if sim.doing != Doing::New => return Err(Error::WrongState),
            AgentOp::Start if x[1] < 0x40_0000 => return Err(Error::BadAddress),
            AgentOp::Start => {
                let in_code = sim.memory.iter().any(|(&at, &(pages, access))| access == 5 && (at..at + pages * 4096).contains(&x[1]));
                let top = x[2] - 1;
                let on_stack = sim.memory.iter().any(|(&at, &(pages, access))| access == 3 && (at..at + pages * 4096).contains(&top));
                assert!(in_code && on_stack, "{:x?} in {:x?}", x, sim.memory);
                sim.started = Some([x[1], x[2], x[3], x[4], x[5], x[6]]);
                sim.doing = Doing::Running;
            }
            other => std::panic!("init must not do {other:?}"),
        }
        Ok(())
    }

    /// Everything that init sends are lines for the log.
    fn send(&mut self, regs: &Regs) -> Result<(), Error> {
        if let Some(error) = self.refuse_sends {
            return Err(error);
        }
        let length = SendInfo::decode(regs.x10).unwrap().length as usize;
        let bytes: Vec<u8> = if length <= 64 {
            regs.x.iter().flat_map(|word| word.to_le_bytes()).take(length).collect()
        } else {
            let from = core::ptr::with_exposed_provenance::<u8>(regs.x11 as usize);
            // SAFETY: the caller gave a message of that length.
            unsafe { core::slice::from_raw_parts(from, length) }.to_vec()
        };
        let (_, _, message): (Level, Target<'_>, Message<'_>) = aios_proto::value::decode(&bytes[8..]).unwrap();
        self.log.push(super::text(&message));
        Ok(())
    }
}
