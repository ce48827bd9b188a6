//! The worlds: who is there, who holds what, and what each may do.

use aios_abi::call::{AgentOp, SLOT_POOL, SLOT_SELF, Transfer};
use aios_abi::id::SlotHandle;
use aios_abi::limits::USER_BASE;
use aios_abi::rights::{Kind, Rights};
use aios_abi::{ABI_VERSION, AgentId, Call};
use aios_core::core::RING;

use crate::deed::{Deed, Verb, act, choices, control_place, harvest};
use crate::digest::{self, Names};
use crate::explore::System;
use crate::machine::CORES;
use crate::rights::Actor;
use crate::state::{INIT, State};
use crate::{Fault, audit, rights};

/// The agents beside init.
pub const A: u16 = 2;
/// The second.
pub const B: u16 = 3;

/// A world.
#[derive(Clone, Debug)]
pub struct World {
    /// What it is called.
    pub name: &'static str,
    /// Who does what: agent and menu.
    pub menus: Vec<(u16, Vec<Verb>)>,
    /// Capabilities that a table holds, in places that the kernel chooses, but for those of agents.
    pub slots: usize,
    /// Times that time may pass.
    pub ticks: u8,
    /// Packets that a ring of requests, of answers, of notices holds.
    pub rings: [usize; 3],
    /// Interrupts stop long work after each step.
    pub busy: bool,
    /// How the machine misbehaves.
    pub fault: Option<Fault>,
    /// How it begins.
    pub begin: fn(&mut State),
}

/// What can happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// An agent makes a call.
    Act(u16, Deed),
    /// A core sees so many of the packets to it, and takes them.
    Deliver(u16, u8),
    /// A core goes on with what it has to do.
    GoOn(u16),
    /// Time passes.
    Tick,
}

impl System for World {
    type State = State;
    type Action = Action;

    fn start(&self) -> State {
        let mut state = State::new(400, None);
        (self.begin)(&mut state);
        state.settle();
        state.greet().expect("everybody is the first of the name");
        state.machine.capacity = self.rings;
        state.machine.busy = self.busy;
        state.machine.fault = self.fault;
        let held = rights::list(&state);
        rights::note(&mut state, &held);
        audit::touch(&mut state).expect("nothing is mapped that must not be");
        state
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let names = Names::new(state);
        let mut deeds = Vec::new();
        for (agent, menu) in &self.menus {
            if !state.can_act(*agent) {
                continue;
            }
            let Some(holder) = state.agent(*agent) else { continue };
            deeds.clear();
            choices(state, *agent, menu, self.slots, |slot| names.slot(state, holder, slot), &mut deeds);
            actions.extend(deeds.iter().map(|&deed| Action::Act(*agent, deed)));
        }
        for core in 0..CORES {
            let count = state.machine.sent[core as usize].len();
            let moves = state.machine.movers[core as usize].is_some();
            actions.extend((1..=count).map(|count| Action::Deliver(core, count as u8)));
            if (count == 0 && moves) || state.can_go_on(core) {
                actions.push(Action::GoOn(core));
            }
        }
        if state.ticks < self.ticks {
            actions.push(Action::Tick);
        }
    }

    fn step(&self, state: &mut State, action: Action) -> Result<(), String> {
        let before = rights::list(state);
        let id = |agent: u16| state.agent(agent).map_or(AgentId::KERNEL, |agent| agent.id);
        let mut actor = None;
        let mut refusal = None;
        match action {
            Action::Act(agent, deed) => {
                let made = state.minds[agent as usize].attempt.map_or(deed, |attempt| attempt.deed);
                actor = Some(Actor { agent: id(agent), call: call_of(made.verb), at: made.at });
                let revoked = state.agent(agent).and_then(|agent| agent.slots.look(made.at)).map(|slot| slot.node);
                let open = state.minds[agent as usize].attempt;
                refusal = act(state, agent, deed)?;
                // A revocation holds from the moment of the call.
                let done = state.agent(agent).is_some_and(|agent| agent.registers.x[8] == 0);
                if made.verb == Verb::Revoke
                    && done
                    && (open.is_some() || deed.verb == Verb::Revoke)
                    && let Some(node) = revoked
                {
                    state.ghosts.revoke(node);
                }
            }
            Action::Deliver(core, count) => state.deliver(core, count.into())?,
            Action::GoOn(core) => state.go_on(core)?,
            Action::Tick => state.pass()?,
        }
        let refused = harvest(state, if let Action::Act(agent, _) = action { agent } else { 0 })?;
        let after = rights::list(state);
        rights::note(state, &after);
        rights::check_gains(&before, &after, actor)?;
        rights::check_void(state, &after)?;
        audit::touch(state)?;
        if let (Some(before), Some(error)) = (refusal, refused)
            && let Action::Act(agent, _) = action
            && state.minds[agent as usize].attempt.is_none()
            && digest::kernel(state, &Names::new(state)) != before
        {
            return Err(format!("P3: a call that was refused with {error:?} has changed something"));
        }
        Ok(())
    }

    fn digest(&self, state: &State) -> u128 {
        digest::digest(state)
    }

    fn judge(&self, state: &State) -> Result<(), String> {
        audit::judge(state)?;
        audit::mappings(state)
    }
}

impl World {
    /// What happens on a trace, step by step, for people.
    pub fn tell(&self, trace: &[Action]) -> String {
        let mut state = self.start();
        let mut story = String::new();
        for &action in trace {
            let stepped = self.step(&mut state, action);
            story += &format!("{action:?}{}\n", stepped.err().map_or(String::new(), |what| format!("  {what}")));
            for agent in state.agents() {
                let core = state.core_of(agent.id.slot()).map_or("-".into(), |core| core.to_string());
                let mind = &state.minds[agent.id.slot() as usize];
                story += &format!(
                    "    {:?} on {core}: {:?}, message {:x}, asks {:?}, work {:?}, mailbox {} bytes, reap {}, {:?}, hands {:x?}\n",
                    agent.id,
                    agent.state,
                    agent.outgoing.message.0,
                    agent.asking,
                    agent.work,
                    agent.mailbox.used_bytes(),
                    agent.reap.phase,
                    mind.attempt.map(|attempt| (attempt.deed.verb, attempt.again)),
                    mind.hands,
                );
            }
            for core in 0..CORES {
                for (_, packet) in &state.machine.sent[core as usize] {
                    let mut packet = format!("{packet:x?}");
                    packet.truncate(160);
                    story += &format!("    to core {core}: {packet}\n");
                }
            }
        }
        story
    }
}

/// The system call of a deed, as far as it can make or pass on capabilities.
const fn call_of(verb: Verb) -> Option<Call> {
    match verb {
        Verb::Frame => Some(Call::FrameAlloc),
        Verb::Spawn(_) => Some(Call::AgentSpawn),
        Verb::MapInto(_) => Some(Call::PageMap),
        _ => None,
    }
}

/// Has init spawn and start an agent on a core, with so many pages of mailbox.
fn spawn(state: &mut State, mailbox: u64, core: u16) -> AgentId {
    let pool = own(state, INIT, SLOT_POOL);
    let made = state.call(INIT, Call::AgentSpawn, &[(9, pool), (0, mailbox), (1, 30), (10, ABI_VERSION as u64)]);
    let (child, id) = (made[0], AgentId(made[1]));
    // Its end is not reported to anybody.
    state.call(INIT, Call::AgentControl, &[(9, child), (0, AgentOp::Supervise as u64)]);
    state.call(INIT, Call::AgentControl, &[(9, child), (0, AgentOp::Start as u64), (1, USER_BASE), (2, 0x8000_0000)]);
    if core != 0 {
        state.call(INIT, Call::AgentControl, &[(9, child), (0, AgentOp::Migrate as u64), (1, core.into())]);
        state.settle();
    }
    id
}

/// The handle of what an agent holds at an index.
fn own(state: &State, agent: u16, index: u16) -> u64 {
    let generation = state.agent(agent).and_then(|agent| agent.slots.look(index)).map_or(0, |slot| slot.generation);
    SlotHandle::new(index, generation).0 as u64
}

/// The handle of the capability that an agent has of another.
fn control_of(state: &State, holder: u16, target: u16) -> u64 {
    let table = &state.agent(holder).expect("the holder is there").slots;
    let found =
        (16..table.end()).find(|&index| table.look(index).is_some_and(|slot| slot.kind == Kind::Agent && slot.agent().slot() == target));
    own(state, holder, found.expect("init has a capability of each agent"))
}

/// Has init give an agent the capability to give to another, and to map into it.
fn introduce(state: &mut State, to: u16, target: u16) {
    let (holder, source) = (control_of(state, INIT, to), control_of(state, INIT, target));
    let rights = Rights::CONTROL.0 as u64;
    let place = control_place(target).into();
    state.call(INIT, Call::CapGrant, &[(9, holder), (0, source), (1, rights), (3, Transfer::Copy as u64), (4, place)]);
}

/// Has init mint a capability of an agent, and give it to another.
fn connect(state: &mut State, client: u16, server: u16, kind: u64, rights: Rights) {
    let source = if server == INIT { own(state, INIT, SLOT_SELF) } else { control_of(state, INIT, server) };
    let both = rights.or(Rights::GRANT);
    let minted = state.call(INIT, Call::CapMint, &[(9, source), (0, 1), (1, both.0 as u64), (3, kind)])[0];
    if client != INIT {
        let holder = control_of(state, INIT, client);
        state.call(INIT, Call::CapGrant, &[(9, holder), (0, minted), (1, rights.0 as u64), (3, Transfer::Move as u64)]);
    }
}

/// An agent makes a frame.
fn frame(state: &mut State, agent: u16) {
    let pool = own(state, agent, SLOT_POOL);
    state.call(agent, Call::FrameAlloc, &[(9, pool), (0, 1)]);
}

const SHARE: Rights = Rights(Rights::READ.0 | Rights::WRITE.0 | Rights::GRANT.0 | Rights::DERIVE.0 | Rights::REVOKE.0);

impl World {
    /// A world in which nobody does anything yet.
    const fn quiet(name: &'static str, begin: fn(&mut State)) -> Self {
        Self { name, menus: Vec::new(), slots: 4, ticks: 0, rings: [RING; 3], busy: false, fault: None, begin }
    }

    /// With what an agent may do.
    fn with(mut self, agent: u16, menu: &[Verb]) -> Self {
        self.menus.push((agent, menu.to_vec()));
        self
    }

    /// The same on a machine that misbehaves.
    pub fn on(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }
}

/// Init and an agent on core 0, an agent on core 1.
fn three(state: &mut State) {
    spawn(state, 1, 0);
    spawn(state, 1, 1);
}

/// The two agents can give to each other, and one has a frame.
fn neighbours(state: &mut State) {
    three(state);
    introduce(state, A, B);
    introduce(state, B, A);
    frame(state, A);
}

/// The agent on core 0 may call the one on core 1.
fn client(state: &mut State) {
    three(state);
    connect(state, A, B, 0, Rights::SEND);
}

/// Each may call the other.
fn equals(state: &mut State) {
    client(state);
    connect(state, B, A, 0, Rights::SEND);
}

/// One frame: derived, given to the other core, derived again, mapped, and revoked at each level.
pub fn shared_frame() -> World {
    World { slots: 2, ..World::quiet("shared frame", neighbours) }
        .with(A, &[Verb::Derive(SHARE), Verb::Grant(B, Transfer::Copy), Verb::Revoke])
        .with(B, &[Verb::Derive(SHARE), Verb::Revoke, Verb::Drop, Verb::Map, Verb::Unmap])
}

/// Frames that come and go, mapped on both cores; their maker may end.
pub fn frame_ends() -> World {
    World { slots: 2, ..World::quiet("frame ends", neighbours) }
        .with(INIT, &[Verb::Kill])
        .with(A, &[Verb::Frame, Verb::MapInto(B), Verb::Map, Verb::Drop, Verb::Stale])
        .with(B, &[Verb::Unmap, Verb::Drop])
}

/// Capabilities move to and fro between cores, mapped or not; what was in their place before is named again.
pub fn moves() -> World {
    World { slots: 2, ..World::quiet("moves", neighbours) }
        .with(A, &[Verb::Grant(B, Transfer::Move), Verb::Derive(SHARE), Verb::Map, Verb::Stale])
        .with(B, &[Verb::Grant(A, Transfer::Move), Verb::Map, Verb::Stale])
}

/// Capabilities that expire, given to the other core and derived there.
pub fn expiry() -> World {
    World { slots: 2, ticks: 1, ..World::quiet("expiry", neighbours) }
        .with(A, &[Verb::DeriveBrief, Verb::Grant(B, Transfer::Derive), Verb::Revoke])
        .with(B, &[Verb::Derive(SHARE), Verb::Map, Verb::Drop])
}

/// A client and a server that is moved between the cores.
pub fn moving_server() -> World {
    World::quiet("moving server", client)
        .with(INIT, &[Verb::Migrate(0), Verb::Migrate(1)])
        .with(A, &[Verb::Call])
        .with(B, &[Verb::Recv, Verb::Reply, Verb::ReplyAgain])
}

/// A client with deadlines and a server, both of which may end.
pub fn ending_server() -> World {
    World { ticks: 1, ..World::quiet("ending server", client) }
        .with(INIT, &[Verb::Kill])
        .with(A, &[Verb::Call, Verb::CallBrief])
        .with(B, &[Verb::Recv, Verb::Reply, Verb::Exit])
}

/// A client and a server without a mailbox (where calls of former lives would gather), both of which may be started over.
pub fn restarted_server() -> World {
    let begin = |state: &mut State| {
        spawn(state, 0, 0);
        spawn(state, 0, 1);
        connect(state, A, B, 0, Rights::SEND);
    };
    World::quiet("restarted server", begin)
        .with(INIT, &[Verb::Restart, Verb::Start])
        .with(A, &[Verb::Call])
        .with(B, &[Verb::Recv, Verb::Reply])
}

/// Two agents that call each other.
pub fn equal_calls() -> World {
    World::quiet("equal calls", equals)
        .with(A, &[Verb::Call, Verb::Recv, Verb::Reply])
        .with(B, &[Verb::Call, Verb::Recv, Verb::ReplyRecv, Verb::ReplyAgain])
}

/// Messages into mailboxes that hold two of them, from the same core and from the other.
pub fn mailboxes() -> World {
    World::quiet("mailboxes", |state| {
        spawn(state, 1, 0);
        spawn(state, 1, 1);
        for agent in [INIT, A, B] {
            state.call(agent, Call::AgentMemAlloc, &[(0, 4096)]);
        }
        connect(state, INIT, A, 0, Rights::SEND);
        connect(state, B, A, 0, Rights::SEND);
    })
    .with(INIT, &[Verb::Send(2000), Verb::Kill])
    .with(A, &[Verb::Recv])
    .with(B, &[Verb::Send(2000), Verb::Call])
}

/// Rings that hold one packet: notifications, calls and capabilities between two cores.
pub fn full_rings() -> World {
    World {
        rings: [1, RING, 1],
        slots: 2,
        ..World::quiet("full rings", |state| {
            equals(state);
            connect(state, A, B, 1, Rights::SEND);
            connect(state, INIT, B, 1, Rights::SEND);
            connect(state, B, INIT, 1, Rights::SEND);
        })
    }
    .with(INIT, &[Verb::Notify, Verb::Kill, Verb::Recv])
    .with(A, &[Verb::Notify, Verb::Call])
    .with(B, &[Verb::Notify, Verb::Recv, Verb::Reply])
}

/// Agents that are made and end, in the same place of the agent table, while others hold capabilities of those that were there before.
pub fn places() -> World {
    World {
        slots: 2,
        ..World::quiet("places", |state| {
            client(state);
            connect(state, INIT, B, 1, Rights::SEND);
        })
    }
    .with(INIT, &[Verb::Kill, Verb::Spawn(10), Verb::Start, Verb::Notify, Verb::Migrate(1)])
    .with(A, &[Verb::Call])
    .with(B, &[Verb::Recv])
}

/// An agent that made a frame ends; in its place, in its pages, another makes frames, while others still hold what the first one gave.
pub fn heirs() -> World {
    let begin = |state: &mut State| {
        neighbours(state);
        let (frame, target) = (own(state, A, 16), own(state, A, control_place(B)));
        state.call(A, Call::PageMap, &[(9, frame), (0, target), (1, 0x1000_0000), (2, Rights::READ.or(Rights::WRITE).0 as u64)]);
    };
    World { slots: 2, ..World::quiet("heirs", begin) }.with(INIT, &[Verb::Kill, Verb::Spawn(12), Verb::Start]).with(A, &[Verb::Frame])
}

/// Long work that interrupts stop after each step: revocations of what is mapped, and ends.
pub fn interrupted() -> World {
    World { slots: 2, busy: true, ..World::quiet("interrupted", neighbours) }
        .with(A, &[Verb::MapInto(B), Verb::Revoke])
        .with(B, &[Verb::Derive(SHARE), Verb::Unmap, Verb::Drop, Verb::Exit])
}

/// Capabilities that ride on messages.
pub fn riding() -> World {
    World {
        slots: 2,
        ..World::quiet("riding", |state| {
            client(state);
            frame(state, A);
            let source = own(state, A, 17);
            state.call(A, Call::CapDerive, &[(9, source), (0, SHARE.0 as u64)]);
        })
    }
    .with(A, &[Verb::SendCap, Verb::Revoke, Verb::Drop])
    .with(B, &[Verb::Recv, Verb::Map, Verb::Drop, Verb::Exit])
}

/// All worlds.
pub fn all() -> Vec<World> {
    vec![
        shared_frame(),
        frame_ends(),
        moves(),
        expiry(),
        moving_server(),
        ending_server(),
        restarted_server(),
        equal_calls(),
        mailboxes(),
        full_rings(),
        places(),
        heirs(),
        interrupted(),
        riding(),
    ]
}
