//! Messages against a naive model: queues are lists of what was said, and a wait is a note of what would end it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aios_abi::call::AgentOp;
use aios_abi::message::{Received, RecvInfo, SendInfo};
use aios_abi::rights::Rights;
use aios_abi::{AgentId, Call, Error};
use aios_core::core::Next;
use aios_sim::World;

use crate::seeds;

/// Messages of one word that fit into a mailbox of one page: records of seven words.
const MAIL: usize = 512 / 7;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Said {
    from: u16,
    badge: u64,
    word: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wait {
    Receiving { deadline: u64 },
    Calling { to: u16, deadline: u64 },
    Awaiting { to: u16, deadline: u64 },
}

impl Wait {
    const fn deadline(self) -> u64 {
        match self {
            Self::Receiving { deadline } | Self::Calling { deadline, .. } | Self::Awaiting { deadline, .. } => deadline,
        }
    }
}

/// How a call of an agent has to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Done,
    Failed(Error),
    Message(Said),
    Call(Said),
    Reply { from: u16, word: u64 },
    Bits(u64),
}

#[derive(Default, Debug)]
struct Agent {
    mail: VecDeque<Said>,
    calls: VecDeque<Said>,
    /// Callers that were received, with the kernel's ids of their messages.
    open: Vec<(u16, u64)>,
    wait: Option<Wait>,
    outcome: Option<Outcome>,
    bits: u64,
    mail_first: bool,
    suspended: bool,
    /// Ids of messages whose answer is not possible any more.
    stale: Vec<u64>,
}

#[derive(Default)]
struct Model {
    agents: BTreeMap<u16, Agent>,
}

impl Model {
    fn at(&mut self, slot: u16) -> &mut Agent {
        self.agents.get_mut(&slot).expect("an agent of the model")
    }

    fn end(&mut self, slot: u16, outcome: Outcome) {
        let agent = self.at(slot);
        assert!(agent.outcome.replace(outcome).is_none(), "one end for each call");
        agent.wait = None;
    }

    fn listens(&mut self, slot: u16) -> bool {
        let agent = self.at(slot);
        !agent.suspended && matches!(agent.wait, Some(Wait::Receiving { .. }))
    }

    fn send(&mut self, to: u16, said: Said) {
        let outcome = if to != said.from && self.listens(to) {
            self.end(to, Outcome::Message(said));
            Outcome::Done
        } else if self.at(to).mail.len() < MAIL {
            self.at(to).mail.push_back(said);
            Outcome::Done
        } else {
            Outcome::Failed(Error::QueueFull)
        };
        self.end(said.from, outcome);
    }

    fn leads_to(&self, from: u16, to: u16) -> bool {
        from == to
            || match self.agents[&from].wait {
                Some(Wait::Calling { to: next, .. } | Wait::Awaiting { to: next, .. }) => self.leads_to(next, to),
                _ => false,
            }
    }

    fn call(&mut self, to: u16, said: Said, deadline: u64, now: u64) {
        if deadline <= now {
            self.end(said.from, Outcome::Failed(Error::Timeout));
        } else if self.leads_to(to, said.from) {
            self.end(said.from, Outcome::Failed(Error::Deadlock));
        } else if self.listens(to) {
            self.end(to, Outcome::Call(said));
            self.at(said.from).wait = Some(Wait::Awaiting { to, deadline });
        } else {
            self.at(to).calls.push_back(said);
            self.at(said.from).wait = Some(Wait::Calling { to, deadline });
        }
    }

    fn receive(&mut self, me: u16, deadline: u64, now: u64) {
        let agent = self.at(me);
        if agent.bits != 0 {
            let bits = std::mem::take(&mut agent.bits);
            return self.end(me, Outcome::Bits(bits));
        }
        let from_mail = agent.calls.is_empty() || agent.mail_first;
        if from_mail && !agent.mail.is_empty() {
            agent.mail_first = false;
            let said = agent.mail.pop_front().expect("not empty");
            return self.end(me, Outcome::Message(said));
        }
        if let Some(said) = agent.calls.pop_front() {
            agent.mail_first = true;
            let waited = self.at(said.from).wait.expect("a caller in a queue waits");
            self.at(said.from).wait = Some(Wait::Awaiting { to: me, deadline: waited.deadline() });
            return self.end(me, Outcome::Call(said));
        }
        if deadline <= now {
            self.end(me, Outcome::Failed(Error::Timeout));
        } else {
            self.at(me).wait = Some(Wait::Receiving { deadline });
        }
    }

    /// Whether somebody waits for this reply; who gets it then.
    fn reply(&mut self, me: u16, message: u64, word: u64) -> bool {
        let agent = self.at(me);
        let Some(place) = agent.open.iter().position(|open| open.1 == message) else { return false };
        let (caller, _) = agent.open.remove(place);
        agent.stale.push(message);
        self.end(caller, Outcome::Reply { from: me, word });
        true
    }

    fn notify(&mut self, to: u16, bits: u64) {
        let agent = self.at(to);
        agent.bits |= bits;
        if matches!(agent.wait, Some(Wait::Receiving { .. })) {
            let bits = std::mem::take(&mut agent.bits);
            self.end(to, Outcome::Bits(bits));
        }
    }

    fn pass(&mut self, now: u64) {
        let late: Vec<u16> =
            self.agents.iter().filter(|(_, agent)| agent.wait.is_some_and(|wait| wait.deadline() <= now)).map(|(&slot, _)| slot).collect();
        for slot in late {
            self.forget_call(slot);
            self.end(slot, Outcome::Failed(Error::Timeout));
        }
    }

    /// A caller waits no longer: nobody can receive or answer its call.
    fn forget_call(&mut self, slot: u16) {
        match self.at(slot).wait {
            Some(Wait::Calling { to, .. }) => self.at(to).calls.retain(|said| said.from != slot),
            Some(Wait::Awaiting { to, .. }) => {
                let server = self.at(to);
                let gone: Vec<u64> = server.open.iter().filter(|open| open.0 == slot).map(|open| open.1).collect();
                server.open.retain(|open| open.0 != slot);
                server.stale.extend(gone);
            }
            _ => {}
        }
    }
}

struct Run {
    world: World,
    rng: fastrand::Rng,
    model: Model,
    ids: BTreeMap<u16, AgentId>,
    /// Capabilities: services and notifications, by holder and target.
    services: BTreeMap<(u16, u16), u64>,
    notifications: BTreeMap<(u16, u16), u64>,
    handles: BTreeMap<u16, u64>,
    seen: BTreeSet<u64>,
    words: u64,
    /// Calls that were made and have not been looked at since.
    under_way: BTreeSet<u16>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut world = World::new(3000);
        world.checking = false;
        let init = world.init;
        let made: Vec<(u64, AgentId)> = (0..5).map(|_| world.spawn(init, 200, 1)).collect();
        let mut run = Self {
            rng: fastrand::Rng::with_seed(seed),
            model: Model::default(),
            ids: made.iter().map(|made| (made.1.slot(), made.1)).collect(),
            services: BTreeMap::new(),
            notifications: BTreeMap::new(),
            handles: made.iter().map(|made| (made.1.slot(), made.0)).collect(),
            seen: BTreeSet::new(),
            words: 0,
            under_way: BTreeSet::new(),
            world,
        };
        let rights = Rights::SEND.or(Rights::GRANT).0 as u64;
        for &(to, target) in &made {
            run.model.agents.insert(target.slot(), Agent::default());
            for &(holder, id) in &made {
                for kind in [0, 1] {
                    let badge = if kind == 0 { badge(id.slot(), target.slot()) } else { 0xff };
                    let mint = [(9, to), (0, badge), (1, rights), (2, 0), (3, kind)];
                    let minted = run.world.call(init, Call::CapMint, &mint).expect("minted")[0];
                    let grant = [(9, holder), (0, minted), (1, rights), (2, 0), (3, 1), (4, 0)];
                    let given = run.world.call(init, Call::CapGrant, &grant).expect("granted")[0];
                    let list = if kind == 0 { &mut run.services } else { &mut run.notifications };
                    list.insert((id.slot(), target.slot()), given);
                }
            }
        }
        // Init only wakes to suspend and resume, which the test does in its place.
        run
    }

    fn other(&mut self) -> u16 {
        let slots: Vec<u16> = self.ids.keys().copied().collect();
        slots[self.rng.usize(0..slots.len())]
    }

    fn step(&mut self) {
        let span = if self.rng.u32(0..20) == 0 { 5_000_000 } else { 3000 };
        self.world.now += self.rng.u64(1..span);
        let now = self.world.now;
        let nearest = self.model.agents.values().filter_map(|agent| agent.wait).map(Wait::deadline).min().unwrap_or(u64::MAX);
        if self.world.sim.timer <= now {
            self.world.core.tick(&mut self.world.sim, now);
            self.model.pass(now);
        } else {
            assert!(nearest > now, "a deadline passed without the timer");
        }
        match self.world.core.next(&mut self.world.sim, now) {
            Next::Run(slot) if slot == self.world.init => self.govern(),
            Next::Run(slot) if self.world.rewound(slot) => {
                let deadline = self.world.core.agents[slot].registers.x[12];
                self.world.execute(slot);
                self.model.receive(slot, deadline, now);
            }
            Next::Run(slot) => self.act(slot),
            Next::Idle => self.world.now = self.world.sim.timer.min(now + 1_000_000),
            Next::Interrupted => {}
            Next::Halt => panic!("init is gone"),
        }
        // Before anybody runs again, the kernel sets its timer.
        let _ = self.world.core.next(&mut self.world.sim, now);
        if let Err(violation) = self.world.core.check(&self.world.sim) {
            panic!("{violation}");
        }
    }

    /// Init suspends or resumes somebody, or waits a little.
    fn govern(&mut self) {
        let init = self.world.init;
        let target = self.other();
        let suspended = self.model.at(target).suspended;
        let op = match (suspended, self.rng.u32(0..10)) {
            (true, _) => Some(AgentOp::Resume),
            (false, 0) => Some(AgentOp::Suspend),
            _ => None,
        };
        let x = &mut self.world.core.agents[init].registers.x;
        match op {
            Some(op) => {
                (x[8], x[9], x[0]) = (Call::AgentControl as u64, self.handles[&target], op as u64);
                let agent = self.model.at(target);
                agent.suspended = op == AgentOp::Suspend;
                // A receive is made again when its agent runs.
                if !agent.suspended && matches!(agent.wait, Some(Wait::Receiving { .. })) {
                    agent.wait = None;
                }
            }
            None => (x[8], x[10], x[12]) = (Call::IpcRecv as u64, 0, self.world.now + 300_000),
        }
        self.world.execute(init);
    }

    /// An agent runs: the call that it made has ended as the model says, and it makes another.
    fn act(&mut self, slot: u16) {
        assert!(!self.model.at(slot).suspended, "a suspended agent runs");
        if self.under_way.remove(&slot) {
            self.judge(slot);
        }
        let x = &mut self.world.core.agents[slot].registers.x;
        self.words += 1;
        let word = self.words;
        x[0] = word;
        x[10] = SendInfo { length: 8, ..SendInfo::default() }.encode();
        let to = self.other();
        let said = Said { from: slot, badge: badge(slot, to), word };
        let now = self.world.now;
        let deadline = match self.rng.u32(0..6) {
            0 => 0,
            1 if self.rng.u32(0..5) == 0 => u64::MAX,
            _ => now + self.rng.u64(1..8_000_000),
        };
        let agent = self.model.at(slot);
        let open = agent.open.last().map(|open| open.1);
        let stale = agent.stale.last().copied();
        let choice = self.rng.u32(0..100);
        let message = if choice.is_multiple_of(7) { stale } else { open };
        self.under_way.insert(slot);
        let registers = &mut self.world.core.agents[slot].registers.x;
        registers[12] = deadline;
        match (choice, message) {
            (0..35, Some(message)) => {
                let both = choice.is_multiple_of(2);
                registers[8] = if both { Call::IpcReplyRecv as u64 } else { Call::IpcReply as u64 };
                registers[9] = message;
                self.world.execute(slot);
                let known = self.model.reply(slot, message, word);
                match (both, known) {
                    (true, _) => self.model.receive(slot, deadline, now),
                    (false, true) => self.model.end(slot, Outcome::Done),
                    (false, false) => self.model.end(slot, Outcome::Failed(Error::NoSuchMessage)),
                }
            }
            (0..55, _) => {
                registers[8] = Call::IpcRecv as u64;
                self.world.execute(slot);
                self.model.receive(slot, deadline, now);
            }
            (55..75, _) => {
                (registers[8], registers[9]) = (Call::IpcCall as u64, self.services[&(slot, to)]);
                self.world.execute(slot);
                self.model.call(to, said, deadline, now);
            }
            (75..92, _) => {
                (registers[8], registers[9]) = (Call::IpcSend as u64, self.services[&(slot, to)]);
                self.world.execute(slot);
                self.model.send(to, said);
            }
            _ => {
                let bits = 1 << (word % 8);
                (registers[8], registers[9], registers[0]) = (Call::Notify as u64, self.notifications[&(slot, to)], bits);
                self.world.execute(slot);
                self.model.end(slot, Outcome::Done);
                self.model.notify(to, bits);
            }
        }
    }

    fn judge(&mut self, slot: u16) {
        let x = self.world.core.agents[slot].registers.x;
        let outcome = self.model.at(slot).outcome.take();
        let outcome = outcome.unwrap_or_else(|| panic!("agent {slot} goes on, and nothing ended its call: {:?}", self.model.agents[&slot]));
        let head = RecvInfo::decode(x[10]);
        let said = Said { from: AgentId(x[9]).slot(), badge: x[11], word: x[0] };
        let status = Error::from_code(x[8] as u16);
        match outcome {
            Outcome::Failed(error) => assert_eq!(status, Some(error)),
            _ => assert_eq!(status, None, "{outcome:?}"),
        }
        match outcome {
            Outcome::Done | Outcome::Failed(_) => {}
            Outcome::Message(expected) => {
                assert_eq!((head.kind, said), (Received::Message, expected));
                assert!(self.seen.insert(x[12]), "a message comes once");
            }
            Outcome::Call(expected) => {
                assert_eq!((head.kind, said), (Received::Call, expected));
                assert!(self.seen.insert(x[12]), "a call is received once");
                // The caller may have given up meanwhile.
                let waits = matches!(self.model.at(expected.from).wait, Some(Wait::Awaiting { to, .. }) if to == slot);
                let current = self.world.core.agents[expected.from].outgoing.message.0 == x[12];
                let agent = self.model.at(slot);
                if waits && current { agent.open.push((expected.from, x[12])) } else { agent.stale.push(x[12]) }
            }
            Outcome::Reply { from, word } => {
                assert_eq!((head.kind, AgentId(x[9]).slot(), x[0]), (Received::Reply, from, word));
            }
            Outcome::Bits(bits) => assert_eq!((head.kind, x[0]), (Received::Notification, bits)),
        }
    }
}

/// A badge that says who holds a capability of whom.
fn badge(holder: u16, target: u16) -> u64 {
    (holder as u64) << 32 | target as u64
}

#[test]
fn messages_come_in_order_and_calls_end_as_the_model_says() {
    seeds::each(16, |seed| {
        let mut run = Run::new(seed);
        for _ in 0..4000 {
            run.step();
        }
        assert!(run.seen.len() > 100, "{} messages", run.seen.len());
    });
}
