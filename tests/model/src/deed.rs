//! What agents do: each deed is one system call, and says what may come of it.

use aios_abi::call::{AgentOp, SLOT_ANY, SLOT_POOL, Transfer};
use aios_abi::id::SlotHandle;
use aios_abi::message::{Received, RecvInfo, SendInfo};
use aios_abi::rights::{Kind, Rights};
use aios_abi::{ABI_VERSION, Call, Error};
use aios_core::agent::State as Doing;
use aios_core::cap::Slot;
use aios_core::core::Quick;

use crate::digest::{self, Names};
use crate::machine::PLACES;
use crate::state::{Attempt, Hand, LEAP, State};

/// Where agents map frames: a place for each slot.
const MAPS: u64 = 0x1000_0000;
/// Where a sender's long message lies, and a receiver wants it.
pub const BUFFER: u64 = aios_abi::limits::AGENT_MEM_BASE;
/// What a reply adds to what was asked.
const ANSWER: u64 = 0x100;

/// A kind of deed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// Make the call in progress again.
    Retry,
    /// Derive with these rights, of those that there are.
    Derive(Rights),
    /// Derive what ends at the next leap of time.
    DeriveBrief,
    /// Give to the agent at this place of the agent table.
    Grant(u16, Transfer),
    /// Drop.
    Drop,
    /// Revoke what was derived.
    Revoke,
    /// Map, to be written.
    Map,
    /// Map into the agent at this place of the agent table, to be written.
    MapInto(u16),
    /// Unmap.
    Unmap,
    /// Make a frame of one page.
    Frame,
    /// Call.
    Call,
    /// Call until the next leap of time.
    CallBrief,
    /// Send this many bytes.
    Send(u32),
    /// Send a capability through the first service.
    SendCap,
    /// Receive.
    Recv,
    /// Answer the call that was received first.
    Reply,
    /// Answer it and receive.
    ReplyRecv,
    /// Answer a call that was answered.
    ReplyAgain,
    /// Notify.
    Notify,
    /// Kill.
    Kill,
    /// Suspend.
    Suspend,
    /// Resume.
    Resume,
    /// Start over.
    Restart,
    /// Start.
    Start,
    /// Move to a core.
    Migrate(u16),
    /// End.
    Exit,
    /// Spawn an agent with this quota.
    Spawn(u64),
    /// Use a handle of what was in a place before.
    Stale,
}

/// One call of an agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deed {
    /// What it does.
    pub verb: Verb,
    /// With the capability at this index of its table; 0 for none.
    pub at: u16,
}

impl Verb {
    /// Whether this can be done with such a capability; `None` as capability: whether it can be done without.
    fn fits(self, slot: Option<&Slot>) -> bool {
        let Some(slot) = slot else {
            return matches!(
                self,
                Self::Frame | Self::Recv | Self::Reply | Self::ReplyRecv | Self::ReplyAgain | Self::Exit | Self::Spawn(_)
            );
        };
        let passed_on = matches!(slot.kind, Kind::Frame | Kind::Service | Kind::Notification);
        match self {
            Self::Derive(_) | Self::DeriveBrief | Self::Grant(..) | Self::Drop | Self::Revoke | Self::Stale | Self::SendCap => passed_on,
            Self::Map | Self::MapInto(_) => slot.kind == Kind::Frame && slot.word == 0,
            Self::Unmap => slot.kind == Kind::Frame && slot.word != 0,
            Self::Call | Self::CallBrief | Self::Send(_) => slot.kind == Kind::Service,
            Self::Notify => slot.kind == Kind::Notification,
            Self::Kill | Self::Suspend | Self::Resume | Self::Restart | Self::Start | Self::Migrate(_) => slot.kind == Kind::Agent,
            _ => false,
        }
    }

    /// Whether it adds a capability to the agent's own table.
    const fn fills(self) -> bool {
        matches!(self, Self::Derive(_) | Self::DeriveBrief | Self::Frame | Self::Spawn(_))
    }
}

/// Index under which an agent keeps the capability to control another, given when the world is made.
pub const fn control_place(of: u16) -> u16 {
    3 + of
}

fn handle(state: &State, agent: u16, index: u16) -> u64 {
    let slot = state.agent(agent).and_then(|agent| agent.slots.look(index));
    slot.map_or(0, |slot| SlotHandle::new(index, slot.generation).0 as u64)
}

/// Capabilities in the places that the kernel chooses.
fn free_places(state: &State, agent: u16) -> impl Iterator<Item = (u16, &Slot)> {
    let table = state.agent(agent).map(|agent| &agent.slots);
    table.into_iter().flat_map(|table| {
        (SLOT_ANY..table.end()).filter_map(|index| Some((index, table.look(index)?))).filter(|(_, slot)| slot.kind != Kind::Empty)
    })
}

/// Lists what an agent may do of a menu. `bound` is how many capabilities a table holds beside those that it began with.
pub fn choices(state: &State, agent: u16, menu: &[Verb], bound: usize, name: impl Fn(&Slot) -> u64, deeds: &mut Vec<Deed>) {
    let mind = &state.minds[agent as usize];
    if mind.attempt.is_some() || state.agent(agent).is_some_and(|agent| agent.work.is_some()) {
        deeds.push(Deed { verb: Verb::Retry, at: 0 });
        return;
    }
    let is_full = |agent: u16| free_places(state, agent).filter(|(_, slot)| slot.kind != Kind::Agent).count() >= bound;
    for &verb in menu {
        let ready = match verb {
            Verb::Reply | Verb::ReplyRecv => !mind.hands.is_empty(),
            Verb::ReplyAgain => mind.answered != 0,
            // A message may bring one.
            Verb::Recv => !is_full(agent),
            Verb::Grant(to, _) | Verb::MapInto(to) => !is_full(to),
            // Two messages wait at most.
            Verb::SendCap => state.agents().all(|agent| agent.mailbox.used_bytes() < 200),
            // Three agents at a time, and two in the places of others.
            Verb::Spawn(_) => {
                let made = free_places(state, agent).filter(|(_, slot)| slot.kind == Kind::Agent).count();
                state.agents().count() < 3 && made < 4
            }
            _ => true,
        };
        if !ready || (verb.fills() && is_full(agent)) {
            continue;
        }
        if verb.fits(None) {
            deeds.push(Deed { verb, at: 0 });
        }
        let mut known = Vec::new();
        for (index, slot) in free_places(state, agent).filter(|(_, slot)| verb.fits(Some(slot))) {
            // What is done with one of two equal capabilities needs not be done with the other.
            let same = (name(slot), slot.word != 0, slot.rights.0);
            if !known.contains(&same) && (verb != Verb::Stale || slot.generation > 1) {
                known.push(same);
                deeds.push(Deed { verb, at: index });
            }
        }
    }
}

/// The registers of a deed.
fn registers(state: &State, agent: u16, deed: Deed) -> (Call, Vec<(usize, u64)>) {
    let own = |index: u16| handle(state, agent, index);
    let mind = &state.minds[agent as usize];
    let at = own(deed.at);
    let slot = state.agent(agent).and_then(|agent| agent.slots.look(deed.at)).copied().unwrap_or(Slot::EMPTY);
    let info = |info: SendInfo| info.encode();
    let words = |length: u32| SendInfo { length, ..SendInfo::default() };
    let asked = u64::from(agent) << 1 | mind.parity as u64;
    let brief = (state.now / LEAP + 1) * LEAP;
    let receive = SendInfo { take_caps: 1, room: 4096, ..SendInfo::default() };
    let control = |op: AgentOp, argument: u64| (Call::AgentControl, vec![(9, at), (0, op as u64), (1, argument)]);
    match deed.verb {
        Verb::Retry => (Call::Yield, Vec::new()),
        Verb::Derive(rights) => (Call::CapDerive, vec![(9, at), (0, slot.rights.and(rights).0 as u64)]),
        Verb::DeriveBrief => (Call::CapDerive, vec![(9, at), (0, slot.rights.0 as u64), (1, brief)]),
        Verb::Grant(to, how) => (Call::CapGrant, vec![(9, own(control_place(to))), (0, at), (1, slot.rights.0 as u64), (3, how as u64)]),
        Verb::Drop => (Call::CapDrop, vec![(9, at)]),
        Verb::Revoke => (Call::CapRevoke, vec![(9, at), (0, 0x10)]),
        Verb::Map => (Call::PageMap, vec![(9, at), (1, MAPS + 0x1000 * u64::from(deed.at)), (2, Rights::READ.or(Rights::WRITE).0 as u64)]),
        Verb::MapInto(to) => {
            let place = state.agent(to).map_or(0, |agent| agent.slots.next_place());
            let target = MAPS + 0x1000 * u64::from(place);
            (Call::PageMap, vec![(9, at), (0, own(control_place(to))), (1, target), (2, Rights::READ.or(Rights::WRITE).0 as u64)])
        }
        Verb::Unmap => (Call::PageUnmap, vec![(9, at)]),
        Verb::Frame => (Call::FrameAlloc, vec![(9, own(SLOT_POOL)), (0, 1)]),
        Verb::Call => (Call::IpcCall, vec![(9, at), (10, info(words(8))), (12, u64::MAX), (0, asked)]),
        Verb::CallBrief => (Call::IpcCall, vec![(9, at), (10, info(words(8))), (12, brief), (0, asked)]),
        Verb::Send(length) => (Call::IpcSend, vec![(9, at), (10, info(words(length))), (11, BUFFER)]),
        Verb::SendCap => {
            let through = free_places(state, agent).find(|(_, slot)| slot.kind == Kind::Service).map_or(0, |(index, _)| own(index));
            (Call::IpcSend, vec![(9, through), (10, info(SendInfo { caps: 1, ..SendInfo::default() })), (7, at)])
        }
        Verb::Recv => (Call::IpcRecv, vec![(10, info(receive)), (11, BUFFER), (12, u64::MAX)]),
        Verb::Reply | Verb::ReplyRecv => {
            let Hand { message, word } = mind.hands[0];
            let call = if deed.verb == Verb::Reply { Call::IpcReply } else { Call::IpcReplyRecv };
            (call, vec![(9, message), (10, info(SendInfo { length: 8, ..receive })), (11, BUFFER), (12, u64::MAX), (0, word | ANSWER)])
        }
        Verb::ReplyAgain => (Call::IpcReply, vec![(9, mind.answered), (10, info(words(8))), (0, 0xbad)]),
        Verb::Notify => (Call::Notify, vec![(9, at), (0, 1)]),
        Verb::Kill => control(AgentOp::Kill, 0),
        Verb::Suspend => control(AgentOp::Suspend, 0),
        Verb::Resume => control(AgentOp::Resume, 0),
        Verb::Restart => control(AgentOp::Restart, 0),
        Verb::Start => {
            let (call, mut arguments) = control(AgentOp::Start, aios_abi::limits::USER_BASE);
            arguments.push((2, 0x8000_0000));
            (call, arguments)
        }
        Verb::Migrate(core) => control(AgentOp::Migrate, core.into()),
        Verb::Exit => (Call::Exit, Vec::new()),
        Verb::Spawn(quota) => (Call::AgentSpawn, vec![(9, own(SLOT_POOL)), (1, quota), (10, ABI_VERSION as u64)]),
        Verb::Stale => {
            let old = SlotHandle::new(deed.at, slot.generation - 1).0 as u64;
            (Call::CapCheck, vec![(9, old)])
        }
    }
}

/// Has an agent do something; answers the kernel's digest just before its call.
pub fn act(state: &mut State, agent: u16, deed: Deed) -> Result<Option<u128>, String> {
    let core = state.core_of(agent).ok_or("who acts lives somewhere")?;
    if !state.switch_to(agent)? {
        return state.run(core).map(|()| None);
    }
    let before = (deed.verb != Verb::Retry && !state.is_clearing_any()).then(|| digest::kernel(state, &Names::new(state)));
    let now = state.now;
    let known = state.minds[agent as usize].attempt;
    if deed.verb == Verb::Retry && known.is_none() {
        // Long work was all that was left to do.
        return state.run(core).map(|()| None);
    }
    let (deed, fresh) = match known {
        Some(attempt) => (attempt.deed, None),
        None => (deed, Some(registers(state, agent, deed))),
    };
    let named =
        state.agent(agent).and_then(|agent| agent.slots.look(deed.at)).copied().filter(|slot| deed.at != 0 && slot.kind != Kind::Empty);
    let void = named.is_some_and(|slot| state.ghosts.is_void(&slot, now));
    let names_agent = named.is_some_and(|slot| matches!(slot.kind, Kind::Agent | Kind::Service | Kind::Notification));
    let gone = names_agent && named.is_some_and(|slot| !state.is_there(slot.agent()));
    let (inside, machine) = state.parts(core);
    let registers = &mut inside.agents[agent].registers;
    if let Some((call, arguments)) = fresh {
        registers.x[8] = call as u64;
        for (register, value) in arguments {
            registers.x[register] = value;
        }
    }
    registers.pc += 4;
    let pc = registers.pc;
    // As the edge does: the short way first.
    if inside.quick(machine, now) == Quick::No {
        inside.syscall(machine, now);
    }
    state.minds[agent as usize].attempt = Some(Attempt { deed, pc, void, gone, again: false });
    state.run(core)?;
    Ok(before)
}

/// Looks which calls have ended, judges how, and lets the agents take note. Answers why the call of one agent was refused, if it was.
pub fn harvest(state: &mut State, actor: u16) -> Result<Option<Error>, String> {
    state.greet()?;
    let mut refused = None;
    for slot in 1..PLACES {
        let Some(agent) = state.agent(slot) else { continue };
        if agent.state != Doing::Ready || agent.reap.phase != 0 || state.core_of(slot).is_none() {
            if agent.reap.phase != 0 || matches!(agent.state, Doing::New | Doing::Dying) {
                let id = agent.id;
                state.minds[slot as usize] = crate::state::Mind { id, ..Default::default() };
            }
            continue;
        }
        let (x, pc) = (agent.registers.x, agent.registers.pc);
        let Some(attempt) = state.minds[slot as usize].attempt else {
            if x.iter().any(|&word| word != 0) {
                return Err(format!("P3: agent {slot} asked for nothing and got {x:x?}"));
            }
            continue;
        };
        if pc != attempt.pc {
            if pc != attempt.pc - 4 {
                return Err(format!("P3: agent {slot} goes on at {pc:#x} instead of {:#x}", attempt.pc));
            }
            // The kernel set it back. A reply that was delivered is not repeated: what is left is to receive.
            let mind = &mut state.minds[slot as usize];
            if attempt.deed.verb == Verb::ReplyRecv && x[9] == 0 {
                mind.note_answered();
                mind.attempt = Some(Attempt { deed: Deed { verb: Verb::Recv, at: 0 }, pc, again: true, ..attempt });
            } else {
                mind.attempt = Some(Attempt { pc, again: true, ..attempt });
            }
            continue;
        }
        if attempt.again {
            // Not made again yet.
            continue;
        }
        state.minds[slot as usize].attempt = None;
        state.agent_mut(slot).registers.x = [0; 31];
        let error = if x[8] == 0 { None } else { Some(Error::from_code(x[8] as u16).ok_or("an error that there isn't")?) };
        judge(state, slot, attempt, error, &x)?;
        refused = error.filter(|_| slot == actor).or(refused);
    }
    Ok(refused)
}

impl crate::state::Mind {
    fn note_answered(&mut self) {
        if !self.hands.is_empty() {
            self.answered = self.hands.remove(0).message;
        }
    }
}

/// Judges how a call ended.
fn judge(state: &mut State, agent: u16, attempt: Attempt, error: Option<Error>, x: &[u64; 31]) -> Result<(), String> {
    let verb = attempt.deed.verb;
    let done = error.is_none();
    if attempt.void && done && !matches!(verb, Verb::Drop | Verb::Unmap) {
        return Err(format!("P2: {verb:?} of agent {agent} through a void capability is done"));
    }
    if attempt.gone && done && matches!(verb, Verb::Call | Verb::CallBrief | Verb::Send(_) | Verb::Notify | Verb::Kill | Verb::Migrate(_)) {
        return Err(format!("P6: {verb:?} of agent {agent} reached somebody in the place of who is gone"));
    }
    let asked = u64::from(agent) << 1 | state.minds[agent as usize].parity as u64;
    match verb {
        Verb::Call | Verb::CallBrief => {
            let kind = RecvInfo::decode(x[10]).kind;
            if done && (kind != Received::Reply || x[0] != asked | ANSWER) {
                return Err(format!("P3: agent {agent} asked {asked:#x} and was answered {:#x}, {kind:?}", x[0]));
            }
            state.minds[agent as usize].parity ^= true;
        }
        Verb::Recv | Verb::ReplyRecv => {
            let mind = &mut state.minds[agent as usize];
            if verb == Verb::ReplyRecv {
                mind.note_answered();
            }
            if done && RecvInfo::decode(x[10]).kind == Received::Call {
                if mind.hands.iter().any(|hand| hand.message == x[12]) {
                    return Err(format!("P3: agent {agent} received a call twice"));
                }
                mind.hands.push(Hand { message: x[12], word: x[0] });
            }
        }
        Verb::Reply => state.minds[agent as usize].note_answered(),
        Verb::ReplyAgain if done => return Err(format!("P3: agent {agent} answered a call twice")),
        Verb::Stale if error != Some(Error::NoCapability) => {
            return Err(format!("P6: a handle of agent {agent} names what came in its place: {error:?}"));
        }
        _ => {}
    }
    Ok(())
}
