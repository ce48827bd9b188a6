//! Who may do what, as naive lists: what everybody holds, and what of it ought to be void.

use aios_abi::Call;
use aios_abi::call::{SLOT_POOL, SLOT_SELF};
use aios_abi::id::AgentId;
use aios_abi::rights::{Kind, Rights};
use aios_core::cap::{self, NodeId, Slot};
use aios_core::core::{Packet, Request};
use aios_core::machine::Machine as _;

use crate::state::State;

/// Where a capability is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// In the table of an agent, at this index.
    Table(AgentId, u16),
    /// On its way to an agent.
    Way(AgentId),
}

/// A capability that somebody holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// Where.
    pub place: Place,
    /// What.
    pub slot: Slot,
}

/// Everything that anybody holds. What is being taken from an agent that ends is nobody's.
pub fn list(state: &State) -> Vec<Held> {
    let mut all = Vec::with_capacity(64);
    for agent in state.agents().filter(|agent| agent.reap.phase == 0) {
        for index in 0..agent.slots.end() {
            if let Some(slot) = agent.slots.look(index).filter(|slot| slot.kind != Kind::Empty) {
                all.push(Held { place: Place::Table(agent.id, index), slot: *slot });
            }
        }
        let mut mailbox = agent.mailbox.clone();
        while let Some((envelope, slots, _)) = mailbox.first(&state.machine) {
            all.extend(slots.iter().flatten().map(|slot| Held { place: Place::Way(agent.id), slot: *slot }));
            mailbox.pop(&envelope);
        }
    }
    for packet in packets(state) {
        match packet {
            Packet::Request { request: Request::Grant { to, slot, .. } | Request::Map { to, slot, .. }, .. } => {
                all.push(Held { place: Place::Way(*to), slot: *slot });
            }
            Packet::Request { request: Request::Message { to, parcel, .. }, .. } => {
                all.extend(riding(state, parcel).map(|slot| Held { place: Place::Way(*to), slot }));
            }
            _ => {}
        }
    }
    all
}

/// Everything that is between the cores.
pub fn packets(state: &State) -> impl Iterator<Item = &Packet> {
    let sent = state.machine.sent.iter().flatten().map(|sent| &sent.1);
    sent.chain(state.cores.iter().filter_map(|core| core.inside().held))
}

/// The capabilities of a message between cores.
pub fn riding<'a>(state: &'a State, parcel: &aios_core::core::Parcel) -> impl Iterator<Item = Slot> + 'a {
    use aios_core::machine::Memory as _;
    let cargo = parcel.cargo;
    (0..u64::from(parcel.info.caps)).filter_map(move |i| {
        let address = cargo?.address + i * size_of::<Slot>() as u64;
        Some(Slot::from_words(core::array::from_fn(|j| state.machine.read(address + j as u64 * 8))))
    })
}

fn earlier(new: u64, old: u64) -> bool {
    old == 0 || (new != 0 && new <= old)
}

/// Whether `new` is no more than `old`.
fn within(new: &Slot, old: &Slot) -> bool {
    let object = if new.is_range() {
        let ((first, count), (base, length)) = (new.range(), old.range());
        first >= base && first + count <= base + length
    } else {
        new.object == old.object && new.word == old.word
    };
    new.kind == old.kind && object && old.rights.contains(new.rights) && earlier(new.expiry, old.expiry)
}

fn is_same(new: &Slot, old: &Slot) -> bool {
    new.kind == old.kind
        && new.generation == old.generation
        && new.node == old.node
        && new.object == old.object
        && new.rights == old.rights
        && new.expiry == old.expiry
}

/// Who acted: by which call, if it can make capabilities or maps, and with the capability at which index of its table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Actor {
    /// Who.
    pub agent: AgentId,
    /// The call.
    pub call: Option<Call>,
    /// The index.
    pub at: u16,
}

/// P1: everything in `after` was there before, was on its way to its holder, was passed on by who acted, or was made by its call.
pub fn check_gains(before: &[Held], after: &[Held], actor: Option<Actor>) -> Result<(), String> {
    for new in after {
        let kept = before.iter().any(|old| {
            old.place == new.place
                && is_same(&new.slot, &old.slot)
                && (matches!(new.place, Place::Table(..)) || old.slot.word == new.slot.word)
        });
        if kept {
            continue;
        }
        let born = match new.place {
            Place::Table(agent, SLOT_SELF) => new.slot.kind == Kind::Agent && new.slot.object == agent.0,
            Place::Table(agent, SLOT_POOL) => new.slot.kind == Kind::Pool && new.slot.object == agent.0,
            _ => false,
        };
        let passed = before.iter().any(|old| within(&new.slot, &old.slot) && may_pass(old, new, actor));
        let made = || match (new.place, actor) {
            (Place::Table(holder, _), Some(Actor { agent, call: Some(call), .. })) => {
                holder == agent && may_make(before, agent, call, &new.slot)
            }
            _ => false,
        };
        if !born && !passed && !made() {
            return Err(format!("P1: a right that nobody gave: {new:x?} after {actor:?}"));
        }
    }
    Ok(())
}

fn may_pass(old: &Held, new: &Held, actor: Option<Actor>) -> bool {
    match (old.place, actor) {
        // It arrived, or it was sent on.
        (Place::Way(to), _) => match new.place {
            Place::Table(holder, _) | Place::Way(holder) => holder == to,
        },
        // Only who acts gives, and only what it names.
        (Place::Table(holder, index), Some(actor)) if actor.agent == holder && actor.at == index => {
            let rights = old.slot.rights;
            match new.place {
                Place::Table(to, _) if to == holder => rights.contains(Rights::DERIVE),
                _ => rights.contains(Rights::GRANT) || actor.call == Some(Call::PageMap),
            }
        }
        (Place::Table(..), _) => false,
    }
}

fn may_make(before: &[Held], actor: AgentId, call: Call, slot: &Slot) -> bool {
    let holds = |kind: Kind, rights: Rights, object: u64| {
        before.iter().any(|old| {
            let here = matches!(old.place, Place::Table(holder, _) if holder == actor);
            here && old.slot.kind == kind && old.slot.rights.contains(rights) && old.slot.object == object
        })
    };
    let pays = holds(Kind::Pool, Rights::SPEND, actor.0);
    match (call, slot.kind) {
        (Call::AgentSpawn, Kind::Agent) => pays && !before.iter().any(|old| old.slot.kind == Kind::Agent && old.slot.object == slot.object),
        (Call::FrameAlloc, Kind::Frame) => pays,
        (Call::AgentPoolAlloc, Kind::Pool) => pays && slot.object == actor.0,
        (Call::CapMint, Kind::Service | Kind::Notification) => holds(Kind::Agent, Rights::MINT, slot.object),
        _ => false,
    }
}

/// What is known of one derivation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Ghost {
    node: NodeId,
    parent: Option<NodeId>,
    owner: AgentId,
    void: bool,
}

/// Every derivation that somebody holds, and whether it ought to be void.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ghosts(Vec<Ghost>);

impl Ghosts {
    fn find(&self, node: NodeId) -> Option<&Ghost> {
        self.0.iter().find(|ghost| ghost.node == node)
    }

    fn descends(&self, mut node: NodeId, from: NodeId) -> bool {
        while let Some(parent) = self.find(node).and_then(|ghost| ghost.parent) {
            if parent == from {
                return true;
            }
            node = parent;
        }
        false
    }

    /// Whether a capability ought to work nowhere.
    pub fn is_void(&self, slot: &Slot, now: u64) -> bool {
        (slot.expiry != 0 && now >= slot.expiry) || self.find(slot.node).is_some_and(|ghost| ghost.void)
    }

    /// Somebody revoked what was derived from this.
    pub fn revoke(&mut self, node: NodeId) {
        let void: Vec<NodeId> = self.0.iter().map(|ghost| ghost.node).filter(|&below| self.descends(below, node)).collect();
        self.0.iter_mut().filter(|ghost| void.contains(&ghost.node)).for_each(|ghost| ghost.void = true);
    }
}

/// Takes note of new derivations and of makers that are gone.
pub fn note(state: &mut State, held: &[Held]) {
    let mut ghosts = std::mem::take(&mut state.ghosts);
    for Held { slot, .. } in held {
        let mut at = slot.node;
        while ghosts.find(at).is_none()
            && let Some(node) = cap::live(&state.machine, at)
        {
            let parent = Some(node.parent()).filter(|parent| !parent.is_none());
            ghosts.0.push(Ghost { node: at, parent, owner: node.owner(), void: false });
            at = parent.unwrap_or_default();
        }
    }
    let gone: Vec<NodeId> = ghosts.0.iter().filter(|ghost| !state.is_there(ghost.owner)).map(|ghost| ghost.node).collect();
    for node in gone {
        ghosts.revoke(node);
        ghosts.0.iter_mut().filter(|ghost| ghost.node == node).for_each(|ghost| ghost.void = true);
    }
    // What nobody holds any more, and is behind nothing that somebody holds, can be forgotten.
    let mut kept: Vec<NodeId> = Vec::with_capacity(ghosts.0.len());
    for Held { slot, .. } in held {
        let mut at = Some(slot.node);
        while let Some(node) = at.filter(|node| !kept.contains(node)) {
            kept.push(node);
            at = ghosts.find(node).and_then(|ghost| ghost.parent);
        }
    }
    ghosts.0.retain(|ghost| kept.contains(&ghost.node));
    state.ghosts = ghosts;
}

/// P2: what ought to be void is, and nothing else.
pub fn check_void(state: &State, held: &[Held]) -> Result<(), String> {
    for Held { place, slot } in held {
        let valid = { *slot }.validate(&state.machine, state.now).is_ok();
        let void = state.ghosts.is_void(slot, state.now);
        if valid && void {
            return Err(format!("P2: a void capability works: {slot:x?} at {place:?}"));
        }
        // Of makers that end, what they made is taken back bit by bit.
        let mut at = Some(slot.node);
        let mut settled = true;
        while let Some(ghost) = at.and_then(|node| state.ghosts.find(node)) {
            settled &= state.is_alive(ghost.owner) && state.machine.home(ghost.owner.slot()).is_some();
            at = ghost.parent;
        }
        if !valid && !void && settled {
            return Err(format!("P2: a capability is void, and nobody revoked it: {slot:x?} at {place:?}"));
        }
    }
    Ok(())
}
