//! Who may do what, as a naive list of everything that anybody holds. Between two moments, no right may appear that nobody gave.

use aios_abi::call::{SLOT_POOL, SLOT_SELF};
use aios_abi::rights::{Kind, Rights};
use aios_abi::{AgentId, Call};
use aios_core::cap::{self, Slot};
use aios_sim::World;

/// Where a capability is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Where {
    /// In the table of an agent (id, incarnation) at this index.
    Table(AgentId, u32, u16),
    /// In a message that waits in this agent's mailbox.
    Mail(AgentId),
    /// In a token that this agent may admit.
    Token(AgentId),
}

/// A capability that somebody holds.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub place: Where,
    pub slot: Slot,
    /// It was valid at the time of the list.
    pub valid: bool,
}

/// Everything that anybody holds.
pub fn list(world: &World) -> Vec<Held> {
    let mut all = Vec::new();
    let valid = |slot: &Slot| cap::is_valid(&world.sim, slot.node, slot.root.index()) && (slot.expiry == 0 || world.now < slot.expiry);
    // What is being taken from an agent that ends or starts anew is nobody's.
    for agent in world.slots().map(|slot| &world.core.agents[slot]).filter(|agent| agent.reap.phase == 0) {
        for index in 0..agent.slots.end() {
            if let Some(slot) = agent.slots.look(index).filter(|slot| slot.kind != Kind::Empty) {
                all.push(Held { place: Where::Table(agent.id, agent.incarnation, index), slot: *slot, valid: valid(slot) });
            }
        }
        let mut mailbox = agent.mailbox.clone();
        while let Some((envelope, slots, _)) = mailbox.first(&world.sim) {
            all.extend(slots.iter().flatten().map(|slot| Held { place: Where::Mail(agent.id), slot: *slot, valid: valid(slot) }));
            mailbox.pop(&envelope);
        }
    }
    all
}

fn earlier(new: u64, old: u64) -> bool {
    old == 0 || (new != 0 && new <= old)
}

/// Whether `new` is no more than `old`: the same object or a part of it, no right beyond, no later end.
fn within(new: &Slot, old: &Slot) -> bool {
    let object = if new.is_range() {
        let ((first, count), (base, length)) = (new.range(), old.range());
        first >= base && first + count <= base + length
    } else {
        new.object == old.object && new.word == old.word
    };
    new.kind == old.kind && object && old.rights.contains(new.rights) && earlier(new.expiry, old.expiry)
}

/// Checks that everything in `after` was there before, comes from something that was there, or was made by the call of `actor`.
pub fn check(before: &[Held], after: &[Held], actor: Option<(AgentId, Call)>) {
    for new in after {
        let Where::Table(agent, incarnation, index) = new.place else { continue };
        let unchanged = before.iter().any(|old| {
            old.place == new.place
                && old.slot.generation == new.slot.generation
                && old.slot.node == new.slot.node
                && old.slot.kind == new.slot.kind
                && old.slot.object == new.slot.object
                && old.slot.rights == new.slot.rights
                && old.slot.expiry == new.slot.expiry
                && (old.valid || !new.valid)
        });
        let born = !before.iter().any(|old| matches!(old.place, Where::Table(id, count, _) if id == agent && count == incarnation));
        let own = new.slot.object == agent.0 && matches!((index, new.slot.kind), (SLOT_SELF, Kind::Agent) | (SLOT_POOL, Kind::Pool));
        let passed = || before.iter().any(|old| (old.valid || !new.valid) && may_pass(old, agent, actor) && within(&new.slot, &old.slot));
        let made = || actor.is_some_and(|(id, call)| id == agent && may_make(before, id, call, &new.slot));
        assert!(unchanged || (born && own) || passed() || made(), "a right that nobody gave: {new:?} after {actor:?}");
    }
}

/// Whether what `old` allows can come to `agent`: it passed it on itself, or who held it could.
fn may_pass(old: &Held, agent: AgentId, actor: Option<(AgentId, Call)>) -> bool {
    match old.place {
        Where::Mail(holder) | Where::Token(holder) => holder == agent,
        Where::Table(holder, ..) if holder == agent => old.slot.rights.contains(Rights::DERIVE) || old.slot.rights.contains(Rights::GRANT),
        // PageMap gives another agent what it maps there.
        Where::Table(holder, ..) => old.slot.rights.contains(Rights::GRANT) || actor == Some((holder, Call::PageMap)),
    }
}

fn may_make(before: &[Held], actor: AgentId, call: Call, slot: &Slot) -> bool {
    let holds = |kind: Kind, rights: Rights, object: u64| {
        before.iter().any(|old| {
            let here = matches!(old.place, Where::Table(holder, ..) if holder == actor);
            here && old.valid && old.slot.kind == kind && old.slot.rights.contains(rights) && old.slot.object == object
        })
    };
    let pays = holds(Kind::Pool, Rights::SPEND, actor.0);
    match (call, slot.kind) {
        (Call::AgentSpawn, Kind::Agent) => pays && !before.iter().any(|old| old.slot.kind == Kind::Agent && old.slot.object == slot.object),
        (Call::FrameAlloc, Kind::Frame) => {
            let (first, count) = slot.range();
            let overlaps = |old: &Held| {
                let (base, length) = old.slot.range();
                old.slot.kind == Kind::Frame && old.valid && first < base + length && base < first + count
            };
            pays && !before.iter().any(overlaps)
        }
        (Call::AgentPoolAlloc, Kind::Pool) => pays && slot.object == actor.0,
        (Call::CapMint, Kind::Service | Kind::Notification) => holds(Kind::Agent, Rights::MINT, slot.object),
        _ => false,
    }
}
