//! When two states are the same: when all that can be seen or can decide what happens is.
//!
//! Names that are only compared are not part of a state, but what they are equal to is. So a message id is "that of the call in which its sender waits"
//! or an old one; an agent's id is "who is at that place" or somebody gone; a derivation is named by what it is, what is above it and who holds it; a
//! capability's place in its table, a page's address and a stamp don't count. Nor do times that were charged and the order in the scheduler's queues:
//! whoever could run acts next in some successor.

use std::sync::atomic::Ordering;

use aios_abi::id::{AgentId, MessageId};
use aios_abi::limits::NODES_PER_PAGE;
use aios_abi::rights::Kind;
use aios_core::agent::{Agent, State as Doing};
use aios_core::cap::{self, NodeId, Slot};
use aios_core::core::{Asking, Notice, Packet, Parcel, Request, Status};
use aios_core::machine::{Machine as _, Memory as _};
use aios_core::timers::KINDS;

use crate::deed::{Deed, Verb};
use crate::machine::{PLACES, Small};
use crate::rights::riding;
use crate::state::State;

/// A fingerprint in the making.
#[derive(Clone, Copy)]
struct Print(u64, u64);

impl Print {
    const fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15, seed.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }

    fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        self.0 ^= self.0 >> 29;
        self.1 = (self.1.rotate_left(23) ^ word).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.1 ^= self.1 >> 32;
    }

    fn words<const N: usize>(&mut self, words: [u64; N]) {
        for word in words {
            self.word(word);
        }
    }

    fn short(self) -> u64 {
        let mut at = self;
        at.word(0x5bd1_e995);
        at.0 ^ at.1.rotate_left(32)
    }

    fn whole(self) -> u128 {
        let mut at = self;
        at.word(0x5bd1_e995);
        u128::from(at.0) << 64 | u128::from(at.1)
    }
}

/// Names of the derivations of a state.
#[derive(Default)]
pub struct Names(Vec<(NodeId, u64)>);

impl Names {
    /// Names all derivations that are in use.
    pub fn new(state: &State) -> Self {
        let mut nodes: Vec<(NodeId, u64)> = Vec::with_capacity(64);
        for agent in state.agents() {
            for page in agent.node_pages.iter().filter_map(|page| page.checked_sub(1)) {
                for index in page * NODES_PER_PAGE as u32..(page + 1) * NODES_PER_PAGE as u32 {
                    if let Some(node) = state.machine.node(index).filter(|node| node.in_use()) {
                        nodes.push((node.id(index), 0));
                    }
                }
            }
        }
        let mut names = Self(nodes);
        names.refine(state, |_| 0);
        // A second time with who holds what, by the first names.
        let mut holders: Vec<(NodeId, u64)> = Vec::with_capacity(64);
        for agent in state.agents() {
            for index in 0..agent.slots.end() {
                if let Some(slot) = agent.slots.look(index).filter(|slot| slot.kind != Kind::Empty) {
                    let mut print = Print::new(agent.id.slot().into());
                    print.words([names.slot(state, agent, slot), if index < 16 { index.into() } else { 0 }]);
                    holders.push((slot.node, print.short()));
                }
            }
        }
        names.refine(state, |node| holders.iter().filter(|held| held.0 == node).fold(0, |sum, held| held.1.wrapping_add(sum)));
        names
    }

    /// Names each node by itself, its parent's name and something more. Parents come first, by depth.
    fn refine(&mut self, state: &State, more: impl Fn(NodeId) -> u64) {
        let node = |id: NodeId| state.machine.node(id.index()).expect("a node in use is there");
        self.0.sort_by_key(|known| node(known.0).depth());
        for at in 0..self.0.len() {
            let id = self.0[at].0;
            let node = node(id);
            let mut print = Print::new(1);
            let parent = node.parent();
            let above = cap::live(&state.machine, parent);
            print.words([who(state, node.owner()), node.depth().into(), node.references().into(), self.0[at].1]);
            match above {
                Some(_) => print.words([self.of(parent), cap::is_valid(&state.machine, id, node.root()) as u64]),
                None => print.words([!parent.is_none() as u64 + 2, 0]),
            }
            let extent = node.extent.load(Ordering::Relaxed);
            let payload = node.payload.load(Ordering::Relaxed);
            print.words([extent, if extent & 0xffff_ffff == 0 { payload } else { payload >> 48 }]);
            if extent & 0xffff_ffff != 0 {
                let first = (payload & ((1 << 40) - 1)) << 12;
                print.word((state.machine.read(first) != 0) as u64);
            }
            print.word(more(id));
            self.0[at].1 = print.short();
        }
    }

    fn of(&self, id: NodeId) -> u64 {
        self.0.iter().find(|known| known.0 == id).map_or(7, |known| known.1)
    }

    /// Names a capability, whoever holds it.
    pub fn slot(&self, state: &State, holder: &Agent<Small>, slot: &Slot) -> u64 {
        let mut print = self.loose(state, slot);
        if slot.kind == Kind::Frame && slot.word != 0 {
            let leaf = holder.space.translate(&state.machine, slot.word);
            print.words([1, leaf.map_or(9, |leaf| leaf.access as u64)]);
        }
        print.short()
    }

    fn loose(&self, state: &State, slot: &Slot) -> Print {
        let mut print = Print::new(2);
        print.words([slot.kind as u64, slot.rights.0.into(), slot.expiry, self.of(slot.node)]);
        let root = cap::live(&state.machine, slot.root);
        print.word(root.is_some() as u64);
        match slot.kind {
            Kind::Agent | Kind::Service | Kind::Notification | Kind::Pool => print.words([who(state, AgentId(slot.object)), slot.word]),
            Kind::Frame => {
                let base = root.map_or(0, |root| root.payload.load(Ordering::Relaxed) & ((1 << 40) - 1));
                let (first, count) = slot.range();
                print.words([if base == 0 { 0 } else { first - base }, count]);
            }
            _ => print.word(slot.object),
        }
        print
    }
}

/// An agent's id, by what it names now.
fn who(state: &State, id: AgentId) -> u64 {
    if id.is_kernel() {
        return 0;
    }
    let there = state.is_there(id);
    u64::from(id.slot()) << 1 | there as u64
}

/// A message's id, by what it names now.
fn which(state: &State, message: u64) -> u64 {
    let sender = MessageId(message).sender_slot();
    let current = state.agent(sender).is_some_and(|agent| {
        let waits = matches!(agent.state, Doing::Calling(_) | Doing::Awaiting(_) | Doing::Faulting(_) | Doing::Faulted(_) | Doing::Remote);
        waits && agent.outgoing.message.0 == message
    });
    u64::from(sender) << 1 | current as u64
}

fn doing(state: &State, doing: Doing) -> u64 {
    doing.code() << 32 | doing.peer().map_or(0, |peer| who(state, peer) << 1 | matches!(doing, Doing::Faulting(_)) as u64)
}

fn deed(state: &State, names: &Names, agent: &Agent<Small>, deed: Deed) -> u64 {
    let mut print = Print::new(3);
    let (code, argument) = code(deed.verb);
    print.words([code, argument]);
    if let Some(slot) = agent.slots.look(deed.at).filter(|_| deed.at != 0) {
        print.word(names.slot(state, agent, slot));
    }
    print.short()
}

fn code(verb: Verb) -> (u64, u64) {
    match verb {
        Verb::Retry => (0, 0),
        Verb::Derive(rights) => (1, rights.0.into()),
        Verb::DeriveBrief => (2, 0),
        Verb::Grant(to, how) => (3, u64::from(to) << 8 | how as u64),
        Verb::Drop => (4, 0),
        Verb::Revoke => (5, 0),
        Verb::Map => (6, 0),
        Verb::MapInto(to) => (7, to.into()),
        Verb::Unmap => (8, 0),
        Verb::Frame => (9, 0),
        Verb::Call => (10, 0),
        Verb::CallBrief => (11, 0),
        Verb::Send(length) => (12, length.into()),
        Verb::SendCap => (13, 0),
        Verb::Recv => (14, 0),
        Verb::Reply => (15, 0),
        Verb::ReplyRecv => (16, 0),
        Verb::ReplyAgain => (17, 0),
        Verb::Notify => (18, 0),
        Verb::Kill => (19, 0),
        Verb::Suspend => (20, 0),
        Verb::Resume => (21, 0),
        Verb::Restart => (22, 0),
        Verb::Start => (23, 0),
        Verb::Migrate(core) => (24, core.into()),
        Verb::Exit => (25, 0),
        Verb::Spawn(quota) => (26, quota),
        Verb::Stale => (27, 0),
    }
}

fn agent(state: &State, names: &Names, agent: &Agent<Small>) -> u64 {
    let mut print = Print::new(4);
    let home = state.core_of(agent.id.slot());
    let slot = agent.id.slot();
    print.words([slot.into(), home.map_or(9, u64::from), state.home(slot).map_or(9, u64::from), doing(state, agent.state)]);
    print.words([agent.suspended as u64, agent.notifications, agent.mailbox_first as u64, who(state, agent.debit)]);
    if let Some(core) = home {
        print.word(state.cores[core as usize].is_queued(slot) as u64);
    }
    if agent.state.peer().is_some() || agent.state == Doing::Remote {
        print.words([agent.outgoing.badge, agent.outgoing.rights.into(), which(state, agent.outgoing.message.0)]);
    }
    for list in [agent.queue, agent.open] {
        let mut at = list.head;
        while at != 0 {
            print.word(at.into());
            at = state.agent(at).map_or(0, |agent| agent.links.next);
        }
        print.word(99);
    }
    for kind in 0..KINDS as u8 {
        print.words([agent.timers.at(kind).unwrap_or(0), agent.travel_ns[kind as usize]]);
    }
    let mut sum = 0_u64;
    for index in 0..agent.slots.end() {
        let Some(held) = agent.slots.look(index).filter(|held| held.kind != Kind::Empty) else { continue };
        let name = names.slot(state, agent, held);
        if index < 16 {
            print.words([index.into(), name]);
        } else {
            sum = sum.wrapping_add(name);
        }
    }
    print.word(sum);
    for pool in agent.pools.iter().filter(|pool| pool.quota != 0) {
        print.words([pool.quota, pool.used]);
    }
    print.word(match agent.work {
        None => 0,
        Some(aios_core::agent::Work::Unmap { agent, slot, core, .. }) => {
            1 | u64::from(agent) << 8 | u64::from(slot) << 24 | u64::from(core) << 40
        }
        Some(aios_core::agent::Work::Clear { victim }) => 2 | who(state, victim) << 8,
        Some(_) => 3,
    });
    let mut mailbox = agent.mailbox.clone();
    while let Some((envelope, slots, start)) = mailbox.first(&state.machine) {
        print.words([
            envelope.length.into(),
            envelope.kind as u64,
            who(state, envelope.sender),
            envelope.badge,
            which(state, envelope.message.0),
        ]);
        if envelope.length > 0 && envelope.length <= 64 {
            print.word(mailbox.read(&state.machine, start, 0));
        }
        slots.iter().flatten().for_each(|slot| print.word(names.loose(state, slot).short()));
        mailbox.pop(&envelope);
    }
    print.words([who(state, agent.parent), agent.children.into(), who(state, agent.supervisor.0), (agent.incarnation > 1) as u64]);
    for watcher in agent.watchers {
        print.words([who(state, watcher.0), watcher.1]);
    }
    print.words([agent.takes_caps.into(), agent.takes_bytes.into(), asking(state, agent.asking)]);
    if let Some((cargo, caps)) = agent.cargo {
        print.words([cargo.pages, caps.into()]);
    }
    if let Some(slot) = agent.granting {
        print.word(names.loose(state, &slot).short());
    }
    let reap = agent.reap;
    print.words([reap.phase.into(), reap.index.into(), reap.restart as u64, reap.parked as u64, reap.again as u64, reap.core.into()]);
    print.words([reap.scan.0.into(), reap.scan.1.into(), reap.next.into(), reap.mapped as u64, agent.closed_pools.into()]);
    print.short()
}

fn asking(state: &State, asking: Asking) -> u64 {
    match asking {
        Asking::Nothing => 0,
        Asking::Status => 1,
        Asking::Value => 2,
        Asking::Call(to) => 3 | who(state, to) << 8,
        Asking::Send => 4,
        Asking::ReplyThenReceive => 5,
        Asking::Fault(to) => 6 | who(state, to) << 8,
        Asking::Grant { moves, .. } => 7 | (moves as u64) << 8,
        Asking::Mapping => 8,
        Asking::Inspect => 9,
        Asking::Operation(_) => 10,
        Asking::Reap => 11,
        Asking::Work => 12,
        Asking::Gone(error) => 13 | u64::from(error.code()) << 8,
    }
}

fn parcel(state: &State, names: &Names, print: &mut Print, parcel: &Parcel) {
    let Parcel { sender, info, outgoing, words, cargo } = *parcel;
    print.words([who(state, sender), info.encode(), outgoing.badge, outgoing.rights.into(), which(state, outgoing.message.0), words[0]]);
    print.word(cargo.map_or(0, |cargo| cargo.pages));
    riding(state, parcel).for_each(|slot| print.word(names.loose(state, &slot).short()));
}

fn request(state: &State, names: &Names, print: &mut Print, request: &Request) {
    match request {
        Request::Message { to, kind, parcel: message } => {
            print.words([1, who(state, *to), *kind as u64]);
            parcel(state, names, print, message);
        }
        Request::Reply { parcel: message, .. } => {
            print.word(2);
            parcel(state, names, print, message);
        }
        Request::Notify { to, bits } => print.words([3, who(state, *to), *bits]),
        Request::Fault { to, parcel: message } => {
            print.words([4, who(state, *to)]);
            parcel(state, names, print, message);
        }
        Request::Judge { message, from, verdict, .. } => print.words([5, which(state, message.0), who(state, *from), *verdict]),
        Request::Control { to, op, arguments } => print.words([6, who(state, *to), *op as u64, arguments[0]]),
        Request::Supervise { to, supervisor } => print.words([7, who(state, *to), who(state, supervisor.0)]),
        Request::Schedule { to, .. } => print.words([8, who(state, *to)]),
        Request::Watch { to, watcher, bits } => print.words([9, who(state, *to), who(state, *watcher), *bits]),
        Request::Grant { to, slot, .. } => print.words([10, who(state, *to), names.loose(state, slot).short()]),
        Request::Map { to, slot, access } => print.words([11, who(state, *to), names.loose(state, slot).short(), *access as u64]),
        Request::Depart { id, error } => print.words([12, who(state, *id), error.code().into()]),
        Request::Pass => print.word(13),
        Request::Sweep { root } => {
            let known = |root: u32| names.0.iter().find(|known| known.0.index() == root).map_or(7, |known| known.1);
            print.words([14, root.map_or(0, known)]);
        }
        // Nobody records in any world.
        Request::Record { .. } => print.word(16),
        Request::Inspect { cursor, .. } => print.words([15, *cursor]),
    }
}

fn notice(state: &State, print: &mut Print, notice: &Notice) {
    match *notice {
        Notice::Raise { to, bits } => print.words([1, who(state, to), bits]),
        Notice::Credit { to, pool, pages, child } => print.words([2, who(state, to), u64::from(pool) << 1 | child as u64, pages]),
        Notice::Pool { to, .. } => print.words([4, who(state, to)]),
        Notice::Arrived { to } => print.words([3, who(state, to)]),
    }
}

fn packet(state: &State, names: &Names, print: &mut Print, packet: &Packet) {
    match packet {
        Packet::Request { from, request: asked, .. } => {
            print.words([1, who(state, *from)]);
            request(state, names, print, asked);
        }
        Packet::Answer { to, status, .. } => {
            let status = match status {
                Status::Done => 0,
                Status::Again => 1,
                Status::Failed(error) => 2 | u64::from(error.code()) << 8,
            };
            print.words([2, who(state, *to), status]);
        }
        Packet::Notice(said) => {
            print.word(3);
            notice(state, print, said);
        }
        Packet::Key(_) => print.word(4),
        Packet::Server(_) => print.word(5),
    }
}

/// What the kernel has, without what only makes it faster and who happens to run.
pub fn kernel(state: &State, names: &Names) -> u128 {
    let mut print = Print::new(5);
    print.words([state.now, state.ticks.into()]);
    for slot in 1..PLACES {
        if let Some(there) = state.agent(slot) {
            print.word(agent(state, names, there));
        }
    }
    for (number, core) in (0..).zip(&state.cores) {
        let inside = core.inside();
        print.words([number, inside.dying.into(), inside.outstanding.iter().map(|&count| u64::from(count)).sum(), 77]);
        if let Some(held) = inside.held {
            packet(state, names, &mut print, held);
        }
        for said in core.notices() {
            notice(state, &mut print, said);
        }
        for job in core.pending() {
            print.words([job.next.0.into(), job.next.1.into(), job.done.into(), who(state, job.from)]);
            request(state, names, &mut print, &job.request);
        }
        for (_, sent) in &state.machine.sent[number as usize] {
            packet(state, names, &mut print, sent);
        }
        print.words([
            state.machine.movers[number as usize].as_ref().map_or(0, |mover| mover.id.slot().into()),
            state.stalled[number as usize] as u64,
        ]);
    }
    print.whole()
}

/// Whether a capability is known to be valid without a walk.
fn is_proved(state: &State, slot: &Slot) -> bool {
    let mut copy = *slot;
    copy.validate(&state.machine, 0).is_ok() && copy.tree == slot.tree
}

/// All of a state.
pub fn digest(state: &State) -> u128 {
    let names = Names::new(state);
    let mut print = Print::new(6);
    let kernel = kernel(state, &names);
    print.words([kernel as u64, (kernel >> 64) as u64]);
    for core in &state.cores {
        print.words([core.current().into(), core.inside().context.into()]);
    }
    for (slot, mind) in (0..).zip(&state.minds) {
        let Some(there) = state.agent(slot).filter(|agent| agent.id == mind.id) else { continue };
        print.words([slot.into(), mind.parity as u64 | ((mind.answered != 0) as u64) << 1]);
        for hand in &mind.hands {
            print.words([which(state, hand.message), hand.word]);
        }
        if let Some(attempt) = mind.attempt {
            print.words([deed(state, &names, there, attempt.deed), attempt.again as u64, attempt.void as u64, attempt.gone as u64]);
        }
        // Which proofs are remembered.
        let mut proofs = 0_u64;
        for held in (0..there.slots.end()).filter_map(|index| there.slots.look(index)).filter(|held| held.kind != Kind::Empty) {
            let mut print = Print::new(names.slot(state, there, held));
            print.word(is_proved(state, held) as u64);
            proofs = proofs.wrapping_add(print.short());
        }
        print.word(proofs);
    }
    print.whole()
}
