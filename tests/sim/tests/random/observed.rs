//! What agents could see of the kernel's state, as fingerprints: two moments are compared by them.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use aios_abi::rights::Kind;
use aios_core::cap;
use aios_sim::World;

/// What the parts of an agent's fingerprint are.
pub const PARTS: [&str; 12] = [
    "state",
    "registers",
    "notifications",
    "lists",
    "timers",
    "slots",
    "pools",
    "mailbox",
    "regions",
    "family",
    "operations",
    "parameters",
];

fn fingerprint(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Fingerprints of every agent. `actor`'s status register, which tells the error, is left out.
pub fn observe(world: &World, actor: u16) -> BTreeMap<u16, [u64; PARTS.len()]> {
    world.slots().map(|slot| (slot, agent(world, slot, actor))).collect()
}

fn agent(world: &World, slot: u16, actor: u16) -> [u64; PARTS.len()] {
    let agent = &world.core.agents[slot];
    let mut x = agent.registers.x;
    let registers = &agent.registers;
    let mut pc = registers.pc;
    if slot == actor {
        // The status says why, and the call instruction was executed.
        (x[8], pc) = (0, 0);
    }
    let slots: Vec<_> = (0..agent.slots.end())
        .filter_map(|index| Some((index, agent.slots.look(index).filter(|slot| slot.kind != Kind::Empty)?)))
        .map(|(index, slot)| {
            let valid = cap::is_valid(&world.sim, slot.node, slot.root.index());
            (index, slot.kind, slot.generation, slot.rights, slot.object, slot.word, slot.expiry, slot.node, valid)
        })
        .collect();
    let quotas: Vec<u64> = agent.pools.iter().map(|pool| pool.quota).collect();
    [
        fingerprint((agent.id, agent.state, agent.suspended, agent.work, agent.reap.phase)),
        fingerprint((x, registers.sp, pc, registers.pstate, registers.tls)),
        fingerprint((agent.notifications, agent.timer_bits)),
        fingerprint((agent.queue, agent.open, agent.links, agent.outgoing)),
        fingerprint([0, 1, 2].map(|kind| agent.timers.at(kind))),
        fingerprint(slots),
        fingerprint(quotas),
        fingerprint(&agent.mailbox),
        fingerprint(&agent.regions),
        fingerprint((agent.parent, agent.payer, agent.children, agent.supervisor, agent.watchers, agent.incarnation, agent.name)),
        fingerprint((agent.operations, agent.handler)),
        fingerprint((agent.sc.class(), agent.sc.weight_or_budget(), agent.sc.period_ns())),
    ]
}

/// What differs, apart from what `excused` says.
pub fn differences(
    before: &BTreeMap<u16, [u64; PARTS.len()]>,
    after: &BTreeMap<u16, [u64; PARTS.len()]>,
    excused: impl Fn(u16, &str) -> bool,
) -> Vec<String> {
    let mut found = Vec::new();
    for (&slot, parts) in before {
        let Some(now) = after.get(&slot) else {
            found.push(format!("agent {slot} is gone"));
            continue;
        };
        for (i, part) in PARTS.iter().enumerate().filter(|&(i, part)| parts[i] != now[i] && !excused(slot, part)) {
            found.push(format!("{part} of agent {slot} ({i})"));
        }
    }
    found
}
