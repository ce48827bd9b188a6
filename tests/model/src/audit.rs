//! What must hold in every state, judged from outside the kernel: open calls, pages, page tables.

use std::sync::atomic::Ordering;

use aios_abi::limits::{NODES_PER_PAGE, PAGE_SIZE, SLOT_PAGES, SLOTS_PER_PAGE};
use aios_abi::message::Received;
use aios_abi::rights::Kind;
use aios_core::agent::{Agent, POOLS, State as Doing};
use aios_core::cap;
use aios_core::core::{Asking, Notice, Packet, Request};
use aios_core::machine::{Machine as _, Memory as _};

use crate::machine::{Cached, PLACES, Small};
use crate::rights::packets;
use crate::state::State;

const PAGE: u64 = PAGE_SIZE as u64;
/// Pages of the boot image.
const BOOT: u64 = 3;

/// Uses what is mapped: translations are cached, and writable frames are marked with the tree that they are of. Finds old contents (P5).
pub fn touch(state: &mut State) -> Result<(), String> {
    if let Some(complaint) = state.machine.complaint {
        return Err(complaint.into());
    }
    let mut touched = Vec::new();
    for agent in state.agents() {
        for slot in
            (0..agent.slots.end()).filter_map(|index| agent.slots.look(index)).filter(|slot| slot.kind == Kind::Frame && slot.word != 0)
        {
            let Some(leaf) = agent.space.translate(&state.machine, slot.word) else { continue };
            let writable = leaf.access == aios_core::space::Access::ReadWrite;
            touched.push((Cached { asid: agent.id.slot(), va: slot.word, pa: leaf.pa, writable }, slot.root, agent.parent.is_kernel()));
        }
    }
    if let Some(old) = state.machine.cached.iter().find(|old| !touched.iter().any(|new| new.0 == **old)) {
        return Err(format!("P5: a translation stays after its mapping went: {old:x?}"));
    }
    for (entry, root, first) in touched {
        state.machine.cache(entry);
        if first || cap::live(&state.machine, root).is_none() {
            continue;
        }
        let found = state.machine.read(entry.pa);
        if found != 0 && found != root.word() {
            return Err(format!("P5: what somebody wrote is in a frame of {root:?}: {entry:x?}"));
        }
        if entry.writable && found == 0 {
            state.machine.write(entry.pa, root.word());
        }
    }
    Ok(())
}

/// All of it.
pub fn judge(state: &State) -> Result<(), String> {
    calls(state)?;
    pages(state)
}

/// P3: every open call is in exactly one place from which an answer or an error comes.
fn calls(state: &State) -> Result<(), String> {
    let jobs: Vec<_> = state.cores.iter().flat_map(|core| core.pending()).collect();
    for agent in state.agents().filter(|agent| agent.state != Doing::Dying && agent.reap.phase == 0) {
        let slot = agent.id.slot();
        if agent.asking != Asking::Nothing {
            let sent = packets(state).filter(|packet| match packet {
                Packet::Request { from, .. } => *from == agent.id,
                Packet::Answer { to, .. } => *to == agent.id,
                _ => false,
            });
            let count = sent.count() + jobs.iter().filter(|job| job.from == agent.id).count();
            if count != 1 {
                return Err(format!("P3: agent {slot} waits for another core ({:?}), and {count} answers come", agent.asking));
            }
        }
        let message = agent.outgoing.message;
        let (Doing::Calling(peer) | Doing::Awaiting(peer)) = agent.state else { continue };
        let server = state.agent(peer.slot()).filter(|server| server.id == peer);
        let Some(server) = server.filter(|server| server.state != Doing::Dying && server.reap.phase == 0) else {
            let told = |request: &Request| matches!(request, Request::Depart { id, .. } if *id == peer);
            let known = server.is_some()
                || jobs.iter().any(|job| told(&job.request))
                || packets(state).any(|packet| matches!(packet, Packet::Request { request, .. } if told(request)));
            if !known {
                return Err(format!("P3: agent {slot} waits for {peer:?}, who is gone"));
            }
            continue;
        };
        let mind = &state.minds[peer.slot() as usize];
        let places = if matches!(agent.state, Doing::Calling(_)) {
            let (mut at, mut count) = (server.queue.head, 0);
            while at != 0 {
                count += (at == slot) as usize;
                at = state.agent(at).map_or(0, |agent| agent.links.next);
            }
            count
        } else {
            let mut count = if mind.id == peer { mind.hands.iter().filter(|hand| hand.message == message.0).count() } else { 0 };
            let mut mailbox = server.mailbox.clone();
            while let Some((envelope, ..)) = mailbox.first(&state.machine) {
                count += (envelope.kind == Received::Call && envelope.message == message) as usize;
                mailbox.pop(&envelope);
            }
            count
        };
        if places != 1 {
            return Err(format!("P3: the call of agent {slot} to {peer:?} is in {places} places"));
        }
    }
    Ok(())
}

/// What an agent's page tables hold.
#[derive(Default)]
struct Tables {
    tables: u64,
    private: u64,
}

/// P4 and P5: every page is paid by the one who has it, for one thing.
fn pages(state: &State) -> Result<(), String> {
    let mut total = BOOT;
    let mut settled = true;
    let mut private: Vec<u64> = Vec::new();
    let credits: Vec<&Notice> = packets(state)
        .filter_map(|packet| if let Packet::Notice(notice) = packet { Some(notice) } else { None })
        .chain(state.cores.iter().flat_map(|core| core.notices()))
        .collect();
    for agent in state.agents() {
        let mut tables = Tables::default();
        if agent.space.root() != 0 {
            walk(state, agent, agent.space.root(), 1, 0, &mut tables, &mut private)?;
        }
        let slot_pages = (0..SLOT_PAGES).filter(|page| agent.slots.look((page * SLOTS_PER_PAGE) as u16).is_some()).count() as u64;
        let numbers: Vec<u32> = agent.node_pages.iter().filter_map(|page| page.checked_sub(1)).collect();
        let mut frames = [0; POOLS];
        for node in numbers.iter().flat_map(|page| {
            (page * NODES_PER_PAGE as u32 + 1..(page + 1) * NODES_PER_PAGE as u32).filter_map(|index| state.machine.node(index))
        }) {
            let extent = node.extent.load(Ordering::Relaxed) & 0xffff_ffff;
            if node.parent().is_none() && extent != 0 && node.in_use() {
                frames[(node.payload.load(Ordering::Relaxed) >> 48) as usize % POOLS] += extent;
            }
        }
        let cargo = agent.cargo.map_or(0, |cargo| cargo.0.pages) + agent.loaded.map_or(0, |cargo| cargo.pages);
        let own = 1 + slot_pages + numbers.len() as u64 + agent.mailbox.size_bytes() / PAGE + tables.tables + tables.private + cargo;
        total += own + frames.iter().sum::<u64>();
        if agent.state == Doing::Dying || agent.reap.phase != 0 {
            settled = false;
            continue;
        }
        let mut promised = [0; POOLS];
        for child in state.agents().filter(|child| child.parent == agent.id) {
            promised[child.payer as usize % POOLS] += child.pools[0].quota;
        }
        for notice in &credits {
            if let Notice::Credit { to, pool, pages, .. } = **notice
                && to == agent.id
            {
                promised[pool as usize % POOLS] += pages;
            }
        }
        let made: u64 = agent.pools[1..].iter().map(|pool| pool.quota).sum();
        for (index, pool) in agent.pools.iter().enumerate() {
            let used = frames[index] + promised[index] + if index == 0 { own + made } else { 0 };
            if used != pool.used || used > pool.quota {
                return Err(format!(
                    "P4: pool {index} of agent {} says {} of {} pages, and paid {used}",
                    agent.id.slot(),
                    pool.used,
                    pool.quota
                ));
            }
        }
    }
    if settled && total != state.machine.used() {
        return Err(format!("P4: {} pages are in use, and {total} are accounted for", state.machine.used()));
    }
    private.sort_unstable();
    if private.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("P5: a private page of two agents".into());
    }
    Ok(())
}

/// Reads page tables as the hardware would.
fn walk(
    state: &State,
    agent: &Agent<Small>,
    table: u64,
    level: u32,
    base: u64,
    found: &mut Tables,
    private: &mut Vec<u64>,
) -> Result<(), String> {
    found.tables += 1;
    let slot = agent.id.slot();
    let span = 1u64 << (39 - 9 * level);
    for index in 0..512 {
        let entry = state.machine.read(table + index * 8);
        if entry & 1 == 0 {
            continue;
        }
        let (address, va) = (entry & 0xffff_ffff_f000, base + index * span);
        if level < 3 {
            walk(state, agent, address, level + 1, va, found, private)?;
            continue;
        }
        let writable = entry >> 7 & 1 == 0;
        if entry >> 55 & 1 == 1 {
            found.private += 1;
            private.push(address);
            continue;
        }
        if agent.parent.is_kernel() {
            // What the first stage mapped for init.
            continue;
        }
        let allowed = (0..agent.slots.end()).filter_map(|index| agent.slots.look(index)).any(|held| {
            let (first, count) = held.range();
            let here = held.kind == Kind::Frame && held.word != 0 && va >= held.word && (va - held.word) / PAGE < count;
            here && (first + (va - held.word) / PAGE) * PAGE == address
                && (!writable || held.rights.contains(aios_abi::rights::Rights::WRITE))
        });
        if !allowed {
            return Err(format!("P5: agent {slot} reaches {address:#x} at {va:#x} without a capability"));
        }
    }
    Ok(())
}

/// P2: when no revocation is under way, nothing is mapped through what is void.
pub fn mappings(state: &State) -> Result<(), String> {
    let busy = state.agents().any(|agent| agent.work.is_some() || agent.reap.phase != 0 || agent.asking != Asking::Nothing);
    let travels = state.machine.movers.iter().any(Option::is_some);
    if busy || travels || (0..crate::machine::CORES).any(|core| state.has_post(core) || state.can_go_on(core)) {
        return Ok(());
    }
    for slot in 1..PLACES {
        let Some(agent) = state.agent(slot) else { continue };
        for held in
            (0..agent.slots.end()).filter_map(|index| agent.slots.look(index)).filter(|held| held.kind == Kind::Frame && held.word != 0)
        {
            if state.ghosts.is_void(held, state.now) {
                return Err(format!("P2: agent {slot} has a frame mapped through a void capability: {held:x?}"));
            }
        }
    }
    Ok(())
}
