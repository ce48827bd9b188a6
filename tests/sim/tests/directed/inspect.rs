//! What `Inspect` shows: tables whose rows add up.

use aios_abi::call::init;
use aios_abi::limits::AGENTS;
use aios_abi::record::{AgentRecord, AgentState, CoreRecord, IrqRecord, MemoryRecord, SlotRecord, Table};
use aios_abi::rights::{Kind, Rights};
use aios_abi::{AgentId, Call, Error};
use aios_sim::World;

use crate::support::*;

/// Reads a whole table, in as many calls as it takes.
fn read<const N: usize>(world: &mut World, table: Table, subject: AgentId, room: u64) -> Vec<[u64; N]> {
    let init = world.init;
    let observe = world.own_slot(init, init::SLOT_OBSERVE);
    let buffer = world.memory(init, &[0; 8192]);
    let (mut rows, mut cursor) = (Vec::new(), 0);
    loop {
        let args = [(9, observe), (0, table as u64), (1, cursor), (2, subject.0), (10, room), (11, buffer)];
        let x = world.call(init, Call::Inspect, &args).expect("readable");
        let bytes = world.peek(init, buffer, x[0] as usize * N * 8);
        rows.extend(bytes.chunks_exact(N * 8).map(|row| {
            let words: Vec<u64> = row.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes"))).collect();
            <[u64; N]>::try_from(words).expect("a row")
        }));
        cursor = x[1];
        if cursor == 0 {
            break;
        }
        assert!(cursor < AGENTS as u64);
    }
    world.call(init, Call::AgentMemFree, &[(0, buffer)]).expect("freed");
    rows
}

fn memory(world: &mut World) -> MemoryRecord {
    MemoryRecord::from_words(read(world, Table::Memory, AgentId::KERNEL, 8192)[0])
}

#[test]
fn the_rows_of_memory_add_up_whatever_is_in_use() {
    let mut world = World::new(4000);
    let mut before = None;
    for round in 0..6 {
        let row = memory(&mut world);
        let sum = row.reserved
            + row.kernel
            + row.bundle
            + row.kernel_tables
            + row.objects
            + row.page_tables
            + row.frames
            + row.agent_memory
            + row.free;
        assert_eq!((sum, row.agents), (row.total, round + 1));
        assert!(row.promised <= row.free);
        // The buffer for the answer, with its tables, was in use then.
        assert_eq!(row.free + 4, world.sim.left, "free pages are free in the machine");
        before = Some(row);
        let peer = spawn(&mut world);
        let pages = frame(&mut world, peer.slot, 3 + round);
        world.call(peer.slot, Call::PageMap, &[(9, pages), (0, 0), (1, 0x800_0000), (2, 3)]).expect("mapped");
        world.memory(peer.slot, &[1; 30_000]);
    }
    assert!(before.is_some_and(|row| row.frames == 3 + 4 + 5 + 6 + 7));
}

#[test]
fn time_is_charged_to_somebody_to_the_last_nanosecond() {
    let mut world = World::new(4000);
    let (server, client) = (spawn(&mut world), spawn(&mut world));
    let service = connect(&mut world, server, 1, client);
    listen(&mut world, server);
    call(&mut world, client, service, 1, FOREVER);
    for _ in 0..30 {
        world.pass(3_333_333);
    }
    let gone = spawn(&mut world);
    world.pass(20_000_000);
    kill(&mut world, gone);
    world.pass(11_000_000);
    let core = CoreRecord::from_words(read(&mut world, Table::Cores, AgentId::KERNEL, 8192)[0]);
    assert_eq!(core.idle_ns + core.kernel_ns + core.agents_ns + core.gone_ns, core.up_ns);
    assert!(core.gone_ns > 0 && core.calls > 10 && core.switches > 1);
    let agents: Vec<AgentRecord> =
        read(&mut world, Table::Agents, AgentId::KERNEL, 8192).into_iter().map(AgentRecord::from_words).collect();
    assert_eq!((agents.len() as u64, core.agents), (3, 3));
    assert_eq!(core.running, agents[0].id, "init asks");
}

#[test]
fn agents_are_shown_as_they_are() {
    let mut world = World::new(4000);
    let (server, client) = (spawn(&mut world), spawn(&mut world));
    let service = connect(&mut world, server, 1, client);
    let init = world.init;
    let name = [u64::from_le_bytes(*b"pqc-serv"), u64::from_le_bytes(*b"er\0\0\0\0\0\0")];
    world.call(init, Call::AgentControl, &[(9, server.handle), (0, 7), (1, name[0]), (2, name[1])]).expect("named");
    call(&mut world, client, service, 1, FOREVER);
    suspend(&mut world, server);
    // Rows one by one come to the same.
    let rows: Vec<AgentRecord> = read(&mut world, Table::Agents, AgentId::KERNEL, 192).into_iter().map(AgentRecord::from_words).collect();
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [world.core.agents[init].id, server.id, client.id].map(|id| id.0));
    let (shown, waiting) = (rows[1], rows[2]);
    assert_eq!((shown.name_low, shown.name_high, shown.state), (name[0], name[1], AgentState::Ready as u64 | 1 << 8));
    assert_eq!((waiting.state, waiting.peer), (AgentState::Calling as u64, server.id.0));
    assert_eq!((shown.parent, shown.supervisor, shown.pages_quota, shown.mailbox_size), (rows[0].id, rows[0].id, 300, 8192));
    for row in rows {
        let agent = &world.core.agents[AgentId(row.id).slot()];
        assert_eq!((row.pages_used <= row.pages_quota, row.slots_used), (true, agent.slots.used as u64));
    }
}

#[test]
fn slots_are_shown_with_their_derivation_and_their_status() {
    let mut world = World::new(4000);
    let init = world.init;
    let peer = spawn(&mut world);
    let source = frame(&mut world, init, 4);
    let end = world.now + 1_000_000_000;
    let timed = world.call(init, Call::CapDerive, &[(9, source), (0, ALL), (1, end), (2, 1), (3, 2)]).expect("derived")[0];
    let given = world.call(init, Call::CapGrant, &[(9, peer.handle), (0, timed), (1, 0xf3), (2, 0), (3, 2), (4, 0)]).expect("granted")[0];
    world.call(peer.slot, Call::PageMap, &[(9, given), (0, 0), (1, 0x800_0000), (2, 3)]).expect("mapped");
    let shown = |world: &mut World, of: AgentId, handle: u64| {
        let rows = read(world, Table::Slots, of, 8192).into_iter().map(SlotRecord::from_words);
        rows.into_iter().find(|row| row.handle == handle).expect("the slot is shown")
    };
    let row = shown(&mut world, peer.id, given);
    let init_id = world.core.agents[init].id;
    assert_eq!((row.kind, row.rights, row.word, row.expiry, row.depth), (Kind::Frame as u64, 0xf3, 2, end, 2));
    assert_eq!((row.status, row.mapped, row.deriver), (0, 0x800_0000, init_id.0));
    let parent = shown(&mut world, init_id, timed);
    assert_eq!((row.parent, row.object), (parent.node, parent.object));
    let root = shown(&mut world, init_id, source);
    assert_eq!((root.depth, root.parent, root.object + 1, root.word), (0, 0, parent.object, 4));
    world.pass(2_000_000_000);
    assert_eq!(shown(&mut world, peer.id, given).status, Error::Expired as u64);
    world.call(init, Call::CapRevoke, &[(9, source), (0, 0)]).expect("revoked");
    let row = shown(&mut world, peer.id, given);
    assert!(row.status != 0 && row.mapped == 0);
    let all = read::<{ SlotRecord::WORDS }>(&mut world, Table::Slots, init_id, 8192).len();
    assert_eq!(all as u16, world.core.agents[init].slots.used);
}

#[test]
fn bound_lines_are_shown() {
    let mut world = World::new(3000);
    let peer = spawn(&mut world);
    let lines = world.own_slot(world.init, init::SLOT_IRQS);
    let own = give(&mut world, peer, lines, Rights::BIND.0 as u64);
    for line in [33, 300, 1023] {
        world.call(peer.slot, Call::IrqBind, &[(9, own), (0, line), (1, line)]).expect("bound");
    }
    world.core.interrupt(&mut world.sim, 300, world.now);
    let rows: Vec<IrqRecord> = read(&mut world, Table::Irqs, AgentId::KERNEL, 8192).into_iter().map(IrqRecord::from_words).collect();
    let expected = [(33, 0, 0), (300, 1, 1), (1023, 0, 0)];
    assert_eq!(rows.iter().map(|row| (row.line, row.count, row.masked)).collect::<Vec<_>>(), expected);
    assert!(rows.iter().all(|row| row.agent == peer.id.0 && row.bits == row.line));
}
