//! Capabilities against the naive model: what has to happen is known before each call, every error that would be right included.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aios_abi::call::{AgentOp, SLOT_POOL, SLOT_SELF, TOKEN_SIZE};
use aios_abi::id::SlotHandle;
use aios_abi::message::{RecvInfo, SendInfo};
use aios_abi::rights::{Kind, Rights};
use aios_abi::{ABI_VERSION, AgentId, Call, Error};
use aios_core::cap;
use aios_core::machine::Memory;
use aios_sim::World;

use crate::naive::{Capability, Model, Token, described};
use crate::seeds;

struct Run {
    world: World,
    rng: fastrand::Rng,
    model: Model,
    ids: BTreeMap<u16, AgentId>,
    controls: BTreeMap<u16, u64>,
    services: BTreeMap<(u16, u16), u64>,
    buffers: BTreeMap<u16, u64>,
    /// Handles that were given out, by agent and incarnation.
    handles: BTreeSet<(AgentId, u32, u64)>,
}

/// What has to happen: every error that would be right, none for success.
type Expected = Vec<Error>;

impl Run {
    fn new(seed: u64) -> Self {
        let mut world = World::new(60_000);
        world.checking = false;
        world.core.set_key([9; 32]).expect("seeded");
        let mut run = Self {
            world,
            rng: fastrand::Rng::with_seed(seed),
            model: Model::default(),
            ids: BTreeMap::new(),
            controls: BTreeMap::new(),
            services: BTreeMap::new(),
            buffers: BTreeMap::new(),
            handles: BTreeSet::new(),
        };
        let init = run.world.init;
        let id = run.world.core.agents[init].id;
        run.adopt(init, id);
        for _ in 0..4 {
            run.spawn();
        }
        run
    }

    /// Takes an agent's table as it is into the model: everything in it is a root of its own.
    fn adopt(&mut self, slot: u16, id: AgentId) {
        self.ids.insert(slot, id);
        let table = &self.world.core.agents[slot].slots;
        let held: Vec<_> =
            (0..table.end()).filter_map(|index| Some((index, *table.look(index)?))).filter(|(_, slot)| slot.kind != Kind::Empty).collect();
        for (index, held) in held {
            let node = self.model.node(None, id);
            self.put(slot, SlotHandle::new(index, held.generation).0 as u64, described(&held, node));
        }
        self.buffers.insert(slot, self.world.memory(slot, &[0; 4096]));
        self.model.mail.entry(slot).or_default();
        // From now on it takes capabilities out of its mailbox.
        let take = SendInfo { take_caps: 4, ..SendInfo::default() }.encode();
        let empty = self.model.mail[&slot].is_empty();
        if empty {
            assert_eq!(self.world.call(slot, Call::IpcRecv, &[(10, take), (12, 0)]).map(drop), Err(Error::Timeout));
        } else {
            self.receive(slot);
        }
    }

    fn put(&mut self, slot: u16, handle: u64, capability: Capability) {
        let agent = &self.world.core.agents[slot];
        assert!(self.handles.insert((agent.id, agent.incarnation, handle)), "a handle is never given out twice");
        assert!(self.model.tables.insert((slot, handle), capability).is_none());
    }

    fn spawn(&mut self) {
        let init = self.world.init;
        let pool = self.world.own_slot(init, SLOT_POOL);
        let made = self.world.call(init, Call::AgentSpawn, &[(9, pool), (0, 2), (1, 3000), (10, ABI_VERSION as u64)]).expect("spawned");
        let id = AgentId(made[1]);
        let node = self.model.node(None, self.ids[&init]);
        let index = SlotHandle(made[0] as u32).index();
        let held = *self.world.core.agents[init].slots.look(index).expect("filled");
        self.put(init, made[0], described(&held, node));
        self.controls.insert(id.slot(), made[0]);
        self.start(id.slot());
        self.model.mail.insert(id.slot(), VecDeque::new());
        self.adopt(id.slot(), id);
        let others: Vec<u16> = self.ids.keys().copied().collect();
        for other in others {
            for (holder, target) in [(other, id.slot()), (id.slot(), other)] {
                self.connect(holder, target);
            }
        }
    }

    fn start(&mut self, slot: u16) {
        let handle = self.controls[&slot];
        let args = [(9, handle), (0, AgentOp::Start as u64), (1, 0x40_0000), (2, 0x8000_0000)];
        self.world.call(self.world.init, Call::AgentControl, &args).expect("started");
    }

    /// Init mints a service of `target` for `holder`, outside of what is random.
    fn connect(&mut self, holder: u16, target: u16) {
        let init = self.world.init;
        if target == init {
            return;
        }
        let mint = [(9, self.controls[&target]), (0, 5), (1, Rights::SEND.or(Rights::GRANT).0 as u64), (2, 0), (3, 0)];
        let minted = self.world.call(init, Call::CapMint, &mint).expect("minted")[0];
        let source = self.model.tables[&(init, self.controls[&target])];
        let node = self.model.node(Some(source.node), self.ids[&init]);
        let service = Capability { kind: Kind::Service, object: self.ids[&target].0, part: (0, 0), word: 5, rights: 0x18, expiry: 0, node };
        self.put(init, minted, service);
        if holder == init {
            self.services.insert((holder, target), minted);
            return;
        }
        let grant = [(9, self.controls[&holder]), (0, minted), (1, 0x18), (2, 0), (3, 1), (4, 0)];
        let given = self.world.call(init, Call::CapGrant, &grant).expect("granted")[0];
        self.model.tables.remove(&(init, minted));
        self.put(holder, given, service);
        self.services.insert((holder, target), given);
    }

    fn any_agent(&mut self) -> u16 {
        let all: Vec<u16> = self.ids.keys().copied().collect();
        all[self.rng.usize(0..all.len())]
    }

    /// A handle: mostly one that it has, sometimes one that it had, or none at all. What the test itself needs is left out.
    fn handle(&mut self, agent: u16) -> u64 {
        let kept: Vec<u64> = self.services.iter().filter(|(key, _)| key.0 == agent).map(|(_, &handle)| handle).collect();
        let init = agent == self.world.init;
        let base = |handle: u64| init && SlotHandle(handle as u32).index() <= SLOT_POOL;
        let kept = |handle: u64| {
            kept.contains(&handle) || base(handle) || (agent == self.world.init && self.controls.values().any(|&control| control == handle))
        };
        let id = (self.ids[&agent], self.world.core.agents[agent].incarnation);
        let held: Vec<u64> = self.model.tables.keys().filter(|key| key.0 == agent && !kept(key.1)).map(|key| key.1).collect();
        let had: Vec<u64> = self.handles.iter().filter(|given| (given.0, given.1) == id && !kept(given.2)).map(|given| given.2).collect();
        match self.rng.u32(0..20) {
            0 => self.rng.u64(0..1 << 33),
            1 | 2 if !had.is_empty() => had[self.rng.usize(0..had.len())],
            _ if !held.is_empty() => held[self.rng.usize(0..held.len())],
            _ => 0,
        }
    }

    /// Why a use of this handle would be refused.
    fn faults(&self, agent: u16, handle: u64, kind: Option<Kind>, rights: u32) -> Expected {
        let Some(capability) = self.model.tables.get(&(agent, handle)) else { return vec![Error::NoCapability] };
        let mut faults: Expected = self.model.status(capability, self.world.now + 100).into_iter().collect();
        if kind.is_some_and(|kind| kind != capability.kind) {
            faults.push(Error::WrongKind);
        }
        if capability.rights & rights != rights {
            faults.push(Error::MissingRight);
        }
        faults
    }

    fn narrowed(&self, source: &Capability, rights: u32, expiry: u64) -> (Capability, Expected) {
        let mut faults = Vec::new();
        if source.rights & rights != rights || (expiry != 0 && source.expiry != 0 && expiry > source.expiry) {
            faults.push(Error::NotNarrower);
        }
        let expiry = if expiry == 0 { source.expiry } else { expiry };
        if expiry != 0 && expiry <= self.world.now + 100 {
            faults.push(Error::BadArgument);
        }
        let word = if matches!(source.kind, Kind::Frame | Kind::Device) { 0 } else { source.word };
        (Capability { rights, expiry, word, ..*source }, faults)
    }

    fn rights_and_expiry(&mut self, agent: u16, handle: u64) -> (u32, u64) {
        let held = self.model.tables.get(&(agent, handle)).map_or(0, |capability| capability.rights);
        let rights = match self.rng.u32(0..8) {
            0 => self.rng.u32(..),
            1..4 => held,
            _ => held & (self.rng.u32(..) | 0x70),
        };
        let expiry = if self.rng.u32(0..4) == 0 { self.world.now + self.rng.u64(1..80_000_000) } else { 0 };
        (rights, expiry)
    }

    /// Makes a call, whose end is one of those expected; whether it succeeded, with its registers.
    fn make(&mut self, agent: u16, call: Call, args: &[(usize, u64)], expected: &Expected) -> Option<[u64; 31]> {
        self.world.switch_to(agent);
        let result = self.world.call(agent, call, args);
        match result {
            Ok(x) => {
                assert!(expected.is_empty(), "{call:?} {args:x?} of agent {agent} should have failed: {expected:?}");
                Some(x)
            }
            Err(error) => {
                assert!(expected.contains(&error), "{call:?} {args:x?} of agent {agent}: {error:?}, but expected {expected:?}");
                None
            }
        }
    }

    fn step(&mut self) {
        if self.rng.u32(0..12) == 0 {
            let ns = self.rng.u64(1..20_000_000);
            self.world.pass(ns);
        }
        let agent = self.any_agent();
        // Time stands still between what is expected and what happens.
        self.world.switch_to(agent);
        match self.rng.u32(0..100) {
            0..20 => self.derive(agent),
            20..38 => self.grant(agent),
            38..48 => self.drop_one(agent),
            48..58 => self.revoke(agent),
            58..64 => self.mint(agent),
            64..72 => self.send(agent),
            72..80 => self.receive(agent),
            80..86 => self.export(agent),
            86..92 => self.admit(),
            92..96 => self.frame(agent),
            96 => self.kill(agent),
            97 => self.restart(agent),
            _ => {
                let handle = self.handle(agent);
                let expected = self.faults(agent, handle, None, 0);
                self.make(agent, Call::CapCheck, &[(9, handle), (0, 0)], &expected);
            }
        }
        self.compare();
    }

    fn derive(&mut self, agent: u16) {
        let handle = self.handle(agent);
        let (rights, expiry) = self.rights_and_expiry(agent, handle);
        let (first, count) = if self.rng.u32(0..5) == 0 { (self.rng.u64(0..3), self.rng.u64(1..3)) } else { (0, 0) };
        let mut expected = self.faults(agent, handle, None, Rights::DERIVE.0);
        let mut made = None;
        if let Some(source) = self.model.tables.get(&(agent, handle)).copied() {
            let (mut narrow, faults) = self.narrowed(&source, rights, expiry);
            expected.extend(faults);
            let ranged = source.part.1 != 0;
            if count != 0 {
                if !ranged {
                    expected.push(Error::WrongKind);
                } else if first + count > source.part.1 {
                    expected.push(Error::NotNarrower);
                }
                narrow.part = (source.part.0 + first, count);
            }
            if self.model.depth(source.node) == 16 {
                expected.push(Error::TooDeep);
            }
            made = Some((source.node, narrow));
        }
        let args = [(9, handle), (0, rights as u64), (1, expiry), (2, first), (3, count)];
        if let (Some(x), Some((parent, mut narrow))) = (self.make(agent, Call::CapDerive, &args, &expected), made) {
            narrow.node = self.model.node(Some(parent), self.ids[&agent]);
            self.put(agent, x[0], narrow);
        }
    }

    fn grant(&mut self, agent: u16) {
        // The target is named by any agent capability; init has one of everybody.
        let target = self.any_agent();
        let control = match self.controls.get(&target) {
            Some(&control) if agent == self.world.init => control,
            _ => self.handle(agent),
        };
        let handle = self.handle(agent);
        let (rights, expiry) = self.rights_and_expiry(agent, handle);
        let transfer = self.rng.u64(0..4);
        let mut expected = self.faults(agent, control, Some(Kind::Agent), Rights::CONTROL.0);
        expected.extend(self.faults(agent, handle, None, Rights::GRANT.0));
        let own = SlotHandle(handle as u32).index() == SLOT_SELF;
        let to = self.model.tables.get(&(agent, control)).map_or(AgentId(0), |capability| AgentId(capability.object));
        let alive = self.ids.get(&to.slot()) == Some(&to);
        if transfer > 2 || (transfer == 1 && (own || to == self.ids[&agent])) {
            expected.push(Error::BadArgument);
        }
        if !alive {
            expected.push(Error::PeerDied);
        }
        let mut made = None;
        if let Some(source) = self.model.tables.get(&(agent, handle)).copied() {
            let (narrow, faults) = self.narrowed(&source, rights, expiry);
            expected.extend(faults);
            if transfer == 2 {
                if source.rights & Rights::DERIVE.0 == 0 {
                    expected.push(Error::MissingRight);
                }
                if self.model.depth(source.node) == 16 {
                    expected.push(Error::TooDeep);
                }
            }
            made = Some((source.node, narrow));
        }
        let args = [(9, control), (0, handle), (1, rights as u64), (2, expiry), (3, transfer), (4, 0)];
        if let (Some(x), Some((parent, mut narrow))) = (self.make(agent, Call::CapGrant, &args, &expected), made) {
            match transfer {
                1 => drop(self.model.tables.remove(&(agent, handle))),
                2 => narrow.node = self.model.node(Some(parent), self.ids[&agent]),
                _ => {}
            }
            self.put(to.slot(), x[0], narrow);
        }
    }

    fn drop_one(&mut self, agent: u16) {
        let handle = self.handle(agent);
        let mut expected = Vec::new();
        match self.model.tables.contains_key(&(agent, handle)) {
            false => expected.push(Error::NoCapability),
            true if SlotHandle(handle as u32).index() == SLOT_SELF => expected.push(Error::BadArgument),
            true if SlotHandle(handle as u32).index() == SLOT_POOL => return,
            true => {}
        }
        if self.make(agent, Call::CapDrop, &[(9, handle)], &expected).is_some() {
            self.model.tables.remove(&(agent, handle));
            self.model.collect();
        }
    }

    fn revoke(&mut self, agent: u16) {
        let handle = self.handle(agent);
        // Without its own capabilities an agent can do little in this test.
        if self.rng.u32(0..3) != 0 && SlotHandle(handle as u32).index() <= SLOT_POOL {
            return;
        }
        let expected = self.faults(agent, handle, None, Rights::REVOKE.0);
        if self.make(agent, Call::CapRevoke, &[(9, handle), (0, 0)], &expected).is_some() {
            let node = self.model.tables[&(agent, handle)].node;
            self.model.revoke(node);
        }
    }

    fn mint(&mut self, agent: u16) {
        let handle = match self.rng.u32(0..3) {
            0 => self.handle(agent),
            _ => self.world.own_slot(agent, SLOT_SELF),
        };
        let (rights, expiry) = (self.rng.u32(..) | 0x78, if self.rng.bool() { 0 } else { self.world.now + self.rng.u64(1..50_000_000) });
        let (word, kind) = (self.rng.u64(0..4), self.rng.u64(0..3));
        let mut expected = self.faults(agent, handle, Some(Kind::Agent), Rights::MINT.0);
        if kind > 1 || (kind == 1 && word == 0) || (expiry != 0 && expiry <= self.world.now + 100) {
            expected.push(Error::BadArgument);
        }
        let source = self.model.tables.get(&(agent, handle)).copied();
        let end = source.map_or(0, |source| source.expiry);
        if end != 0 && expiry > end {
            expected.push(Error::NotNarrower);
        }
        if source.is_some_and(|source| self.model.depth(source.node) == 16) {
            expected.push(Error::TooDeep);
        }
        let args = [(9, handle), (0, word), (1, rights as u64), (2, expiry), (3, kind)];
        if let (Some(x), Some(source)) = (self.make(agent, Call::CapMint, &args, &expected), source) {
            let kind = if kind == 0 { Kind::Service } else { Kind::Notification };
            let node = self.model.node(Some(source.node), self.ids[&agent]);
            let expiry = if expiry == 0 { end } else { expiry };
            self.put(agent, x[0], Capability { kind, object: source.object, part: (0, 0), word, rights, expiry, node });
        }
    }

    fn send(&mut self, agent: u16) {
        let to = self.any_agent();
        let Some(&service) = self.services.get(&(agent, to)) else { return };
        if self.model.mail[&to].len() >= 10 {
            return;
        }
        let (one, two, moved) = (self.handle(agent), self.handle(agent), self.rng.bool());
        // Handles on messages have 32 bits.
        let (one, two) = (one & 0xffff_ffff, two & 0xffff_ffff);
        let mut expected = self.faults(agent, service, Some(Kind::Service), Rights::SEND.0);
        for handle in [one, two] {
            expected.extend(self.faults(agent, handle, None, Rights::GRANT.0));
            if moved && SlotHandle(handle as u32).index() == SLOT_SELF {
                expected.push(Error::BadArgument);
            }
        }
        if one == two {
            expected.push(Error::BadArgument);
        }
        let info = SendInfo { caps: 2, move_caps: moved, ..SendInfo::default() }.encode();
        if self.make(agent, Call::IpcSend, &[(9, service), (10, info), (7, one | two << 32)], &expected).is_some() {
            let mut carried = Vec::new();
            for handle in [one, two] {
                let mut capability = self.model.tables[&(agent, handle)];
                if matches!(capability.kind, Kind::Frame | Kind::Device) {
                    capability.word = 0;
                }
                carried.push(capability);
                if moved {
                    self.model.tables.remove(&(agent, handle));
                }
            }
            self.model.mail.get_mut(&to).expect("it has a mailbox").push_back(carried);
        }
    }

    fn receive(&mut self, agent: u16) {
        let take = SendInfo { take_caps: 4, ..SendInfo::default() }.encode();
        let carried = self.model.mail.get_mut(&agent).and_then(VecDeque::pop_front);
        let expected = if carried.is_some() { Vec::new() } else { vec![Error::Timeout] };
        if let (Some(x), Some(carried)) = (self.make(agent, Call::IpcRecv, &[(10, take), (12, 0)], &expected), carried) {
            assert_eq!(RecvInfo::decode(x[10]).caps as usize, carried.len());
            for (handle, capability) in [x[7] & 0xffff_ffff, x[7] >> 32].into_iter().zip(carried) {
                self.put(agent, handle, capability);
            }
        }
    }

    fn export(&mut self, agent: u16) {
        let handle = self.handle(agent);
        let (rights, expiry) = self.rights_and_expiry(agent, handle);
        let to = self.any_agent();
        let (to, buffer) = (self.ids[&to], self.buffers[&agent]);
        let mut expected = self.faults(agent, handle, None, Rights::GRANT.or(Rights::DERIVE).0);
        let mut made = None;
        if let Some(source) = self.model.tables.get(&(agent, handle)) {
            let (narrow, faults) = self.narrowed(source, rights, expiry);
            expected.extend(faults);
            made = Some(narrow);
        }
        let args = [(9, handle), (0, to.0), (1, rights as u64), (2, expiry), (11, buffer)];
        if let (Some(_), Some(made)) = (self.make(agent, Call::CapExport, &args, &expected), made) {
            let bytes = self.world.peek(agent, buffer, TOKEN_SIZE);
            self.model.tokens.push(Token { of: made, to, bytes, void: false });
        }
    }

    /// Somebody gets hold of a token: the one for whom it is, or another.
    fn admit(&mut self) {
        if self.model.tokens.is_empty() {
            return;
        }
        let Token { of: token, to, mut bytes, void } = self.model.tokens[self.rng.usize(0..self.model.tokens.len())].clone();
        let agent = match self.ids.get(&to.slot()) == Some(&to) && self.rng.u32(0..4) != 0 {
            true => to.slot(),
            false => self.any_agent(),
        };
        let mut expected = Vec::new();
        if self.rng.u32(0..5) == 0 {
            let bit = self.rng.usize(16..TOKEN_SIZE * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            expected.push(Error::Forged);
        }
        let buffer = self.buffers[&agent];
        let page = self.world.core.agents[agent].space.translate(&self.world.sim, buffer).expect("mapped");
        self.world.sim.write_bytes(page.pa, &bytes);
        self.world.switch_to(agent);
        if self.ids[&agent] != to {
            expected.push(Error::WrongAgent);
        }
        expected.extend(self.model.status(&token, self.world.now + 100));
        if void {
            expected.push(Error::Revoked);
        }
        if self.model.depth(token.node) == 16 {
            expected.push(Error::TooDeep);
        }
        if let Some(x) = self.make(agent, Call::CapAdmit, &[(11, buffer)], &expected) {
            let node = self.model.node(Some(token.node), self.ids[&agent]);
            self.put(agent, x[0], Capability { node, ..token });
        }
    }

    fn frame(&mut self, agent: u16) {
        let pool = self.world.own_slot(agent, SLOT_POOL);
        let expected = self.faults(agent, pool, Some(Kind::Pool), Rights::SPEND.0);
        let pages = self.rng.u64(1..4);
        if let Some(x) = self.make(agent, Call::FrameAlloc, &[(9, pool), (0, pages)], &expected) {
            let node = self.model.node(None, self.ids[&agent]);
            let part = (x[1] >> 12, pages);
            self.put(agent, x[0], Capability { kind: Kind::Frame, object: 0, part, word: 0, rights: u32::MAX, expiry: 0, node });
        }
    }

    fn kill(&mut self, agent: u16) {
        let init = self.world.init;
        if agent == init {
            return;
        }
        let (control, id) = (self.controls[&agent], self.ids[&agent]);
        self.world.call(init, Call::AgentControl, &[(9, control), (0, AgentOp::Kill as u64)]).expect("killed");
        self.model.bury(id);
        self.ids.remove(&agent);
        self.controls.remove(&agent);
        self.model.mail.remove(&agent);
        self.services.retain(|key, _| key.0 != agent && key.1 != agent);
        self.model.collect();
        self.spawn();
    }

    fn restart(&mut self, agent: u16) {
        let init = self.world.init;
        if agent == init {
            return;
        }
        let (control, id) = (self.controls[&agent], self.ids[&agent]);
        self.world.call(init, Call::AgentControl, &[(9, control), (0, AgentOp::Restart as u64)]).expect("restarted");
        self.model.bury(id);
        self.model.collect();
        self.services.retain(|key, _| key.0 != agent);
        self.start(agent);
        self.adopt(agent, id);
        let others: Vec<u16> = self.ids.keys().copied().filter(|&other| other != agent).collect();
        others.into_iter().for_each(|other| self.connect(agent, other));
    }

    /// Every table of the kernel says what the model says, and nothing else.
    fn compare(&mut self) {
        let mut count = 0;
        for (&slot, &id) in &self.ids {
            let agent = &self.world.core.agents[slot];
            assert_eq!(agent.id, id);
            for index in 0..agent.slots.end() {
                let Some(held) = agent.slots.look(index).filter(|held| held.kind != Kind::Empty) else { continue };
                let handle = SlotHandle::new(index, held.generation).0 as u64;
                let Some(capability) = self.model.tables.get(&(slot, handle)) else { panic!("agent {slot} has {held:?} beyond the model") };
                assert_eq!(described(held, capability.node), *capability, "agent {slot}, index {index}");
                let valid = cap::is_valid(&self.world.sim, held.node, held.root.index());
                assert_eq!(valid, !self.model.is_void(capability.node), "agent {slot}, index {index}: {held:?}");
                count += 1;
            }
        }
        assert_eq!(count, self.model.tables.len(), "the model has more than the kernel");
        if let Err(violation) = self.world.core.check(&self.world.sim) {
            panic!("{violation}");
        }
    }
}

#[test]
fn derivation_revocation_and_expiry_are_what_the_model_says() {
    seeds::each(12, |seed| {
        let mut run = Run::new(seed);
        for _ in 0..700 {
            run.step();
        }
    });
}
