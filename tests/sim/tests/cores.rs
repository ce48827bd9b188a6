//! Several cores: the same calls, wherever caller and target live.

use aios_abi::message::{Fault, FaultCause, Received, RecvInfo, SendInfo};
use aios_abi::record::{AgentRecord, Table};
use aios_abi::rights::Rights;
use aios_abi::{AgentId, Call, Error};
use aios_core::agent::State;
use aios_core::core::Exception;
use aios_sim::Cluster;

const FOREVER: u64 = u64::MAX;

fn info(length: u32) -> u64 {
    SendInfo { length, ..SendInfo::default() }.encode()
}

/// Three cores; a server on core 1, a client on core 2 that holds a capability of it with badge 77.
fn apart() -> (Cluster, AgentId, AgentId, u64) {
    let mut cluster = Cluster::new(3, 3000);
    let init = cluster.init;
    let (_, server) = cluster.spawn_on(init, 200, 1, 1);
    let (_, client) = cluster.spawn_on(init, 200, 1, 2);
    let service = cluster.connect(server, 77, client);
    (cluster, server, client, service)
}

#[test]
fn a_call_and_its_reply_cross_cores() {
    let (mut cluster, server, client, service) = apart();
    for round in 0..3 {
        if round == 1 {
            // The other order: the call waits until the server receives.
            cluster.begin(client.slot(), Call::IpcCall, &[(9, service), (10, info(64)), (0, 11), (7, 99), (12, FOREVER)]);
            cluster.begin(server.slot(), Call::IpcRecv, &[(10, 0), (12, FOREVER)]);
        } else {
            cluster.begin(server.slot(), Call::IpcRecv, &[(10, 0), (12, FOREVER)]);
            cluster.begin(client.slot(), Call::IpcCall, &[(9, service), (10, info(64)), (0, 11), (7, 99), (12, FOREVER)]);
        }
        let got = cluster.finished(server.slot()).expect("received");
        let head = RecvInfo::decode(got[10]);
        assert_eq!((head.kind, head.length, got[11], got[0], got[7]), (Received::Call, 64, 77, 11, 99));
        assert_eq!(AgentId(got[9]), client);
        let reply = cluster.call(server.slot(), Call::IpcReply, &[(9, got[12]), (10, info(8)), (0, 5)]);
        assert!(reply.is_ok());
        assert_eq!(cluster.finished(client.slot()).expect("answered")[0], 5);
        let again = cluster.call(server.slot(), Call::IpcReply, &[(9, got[12]), (10, info(8)), (0, 6)]);
        assert_eq!(again, Err(Error::NoSuchMessage));
    }
}

#[test]
fn reply_and_receive_in_one_crosses_cores() {
    let (mut cluster, server, client, service) = apart();
    cluster.begin(server.slot(), Call::IpcRecv, &[(10, 0), (12, FOREVER)]);
    for i in 0..10 {
        cluster.begin(client.slot(), Call::IpcCall, &[(9, service), (10, info(8)), (0, i), (12, FOREVER)]);
        let got = cluster.finished(server.slot()).expect("received");
        assert_eq!(got[0], i);
        cluster.begin(server.slot(), Call::IpcReplyRecv, &[(9, got[12]), (10, info(8)), (0, i * 2), (12, FOREVER)]);
        assert_eq!(cluster.finished(client.slot()).expect("answered")[0], i * 2);
        // The receive was begun by the same call, made again by the kernel with nothing to reply to.
        let agent = cluster.agent(server.slot()).expect("there");
        if agent.state == State::Ready {
            cluster.begin(server.slot(), Call::IpcReplyRecv, &[(9, 0), (10, info(8)), (12, FOREVER)]);
        }
        assert_eq!(cluster.agent(server.slot()).expect("there").state, State::Receiving);
    }
}

#[test]
fn long_messages_and_capabilities_cross_cores() {
    let (mut cluster, server, client, service) = apart();
    let question: Vec<u8> = (0..9_000u32).map(|i| (i * 7) as u8).collect();
    let from = cluster.memory(client.slot(), &question);
    let to = cluster.memory(server.slot(), &[0; 12_288]);
    let pool = cluster.own_slot(client.slot(), 2);
    let frame = cluster.call(client.slot(), Call::FrameAlloc, &[(9, pool), (0, 1)]).expect("frame")[0];
    let take = SendInfo { take_caps: 1, room: 12_000, ..SendInfo::default() }.encode();
    let send = SendInfo { caps: 1, length: 8_990, ..SendInfo::default() }.encode();
    for waiting in [true, false] {
        let before = cluster.agent(client.slot()).expect("there").pools[0].used;
        if waiting {
            cluster.begin(server.slot(), Call::IpcRecv, &[(10, take), (11, to + 5), (12, FOREVER)]);
        } else {
            // Its mailbox is one page: the message has to wait for a receive.
            let short = SendInfo { caps: 1, length: 100, ..SendInfo::default() }.encode();
            cluster.call(client.slot(), Call::IpcSend, &[(9, service), (10, short), (11, from + 3), (7, frame)]).expect("sent");
            cluster.begin(server.slot(), Call::IpcRecv, &[(10, take), (11, to), (12, FOREVER)]);
            let got = cluster.finished(server.slot()).expect("received");
            assert_eq!(cluster.peek(server.slot(), to, 100), question[3..103]);
            cluster.call(server.slot(), Call::PageMap, &[(9, got[7] & 0xffff_ffff), (0, 0), (1, 0x200_0000), (2, 3)]).expect("mapped");
            continue;
        }
        cluster.call(client.slot(), Call::IpcSend, &[(9, service), (10, send), (11, from + 3), (7, frame)]).expect("sent");
        let got = cluster.finished(server.slot()).expect("received");
        assert_eq!(cluster.peek(server.slot(), to + 5, 8_990), question[3..8_993]);
        assert_eq!(cluster.agent(client.slot()).expect("there").pools[0].used, before, "the cargo's pages are back");
        cluster.call(server.slot(), Call::PageMap, &[(9, got[7] & 0xffff_ffff), (0, 0), (1, 0x100_0000), (2, 3)]).expect("mapped");
    }
    // The owner's death reaches the mappings on the other core.
    let init = cluster.init;
    let handle = cluster.capability_of(init, client);
    cluster.call(init, Call::AgentControl, &[(9, handle), (0, 2)]).expect("killed");
    assert!(cluster.agent(client.slot()).is_none());
    let space = &cluster.agent(server.slot()).expect("there").space;
    assert!(space.translate(&cluster.sim, 0x100_0000).is_none() && space.translate(&cluster.sim, 0x200_0000).is_none());
}

#[test]
fn the_death_of_a_server_is_heard_on_every_core() {
    let (mut cluster, server, client, service) = apart();
    let init = cluster.init;
    cluster.begin(client.slot(), Call::IpcCall, &[(9, service), (10, info(0)), (12, FOREVER)]);
    cluster.call(server.slot(), Call::IpcRecv, &[(10, 0), (12, FOREVER)]).expect("received");
    let handle = cluster.capability_of(init, server);
    cluster.call(init, Call::AgentControl, &[(9, handle), (0, 2)]).expect("killed");
    assert!(cluster.agent(server.slot()).is_none());
    assert_eq!(cluster.finished(client.slot()), Err(Error::PeerDied));
}

#[test]
fn a_family_on_many_cores_dies_with_its_root_and_everything_comes_back() {
    let mut cluster = Cluster::new(4, 4000);
    let init = cluster.init;
    let used = cluster.agent(init).expect("there").pools[0].used;
    for _ in 0..3 {
        let (handle, root) = cluster.spawn_on(init, 1000, 1, 1);
        let (_, child) = cluster.spawn_on(root.slot(), 400, 1, 2);
        let (_, grandchild) = cluster.spawn_on(child.slot(), 150, 1, 3);
        cluster.memory(grandchild.slot(), &[1; 30_000]);
        cluster.call(init, Call::AgentControl, &[(9, handle), (0, 2)]).expect("killed");
        for id in [root, child, grandchild] {
            assert!(cluster.agent(id.slot()).is_none(), "{id:?} is gone");
        }
        cluster.call(init, Call::CapDrop, &[(9, handle)]).expect("dropped");
    }
    let left = cluster.agent(init).expect("there").pools[0].used;
    assert!(left <= used + 2, "{used} pages before, {left} after");
}

#[test]
fn revocation_reaches_other_cores() {
    let mut cluster = Cluster::new(2, 2000);
    let init = cluster.init;
    let (handle, agent) = cluster.spawn_on(init, 200, 1, 1);
    let pool = cluster.own_slot(init, 2);
    let frame = cluster.call(init, Call::FrameAlloc, &[(9, pool), (0, 1)]).expect("frame")[0];
    let all = u32::MAX as u64;
    let given = cluster.call(init, Call::CapGrant, &[(9, handle), (0, frame), (1, all), (2, 0), (3, 2), (4, 0)]).expect("granted")[0];
    cluster.call(agent.slot(), Call::PageMap, &[(9, given), (0, 0), (1, 0x100_0000), (2, 3)]).expect("mapped");
    cluster.call(init, Call::CapRevoke, &[(9, frame), (0, 0)]).expect("revoked");
    assert!(cluster.agent(agent.slot()).expect("there").space.translate(&cluster.sim, 0x100_0000).is_none());
    let check = cluster.call(agent.slot(), Call::CapCheck, &[(9, given), (0, 0)]);
    assert_eq!(check, Err(Error::Revoked));
}

#[test]
fn frames_are_mapped_into_an_agent_on_another_core() {
    let mut cluster = Cluster::new(2, 2000);
    let init = cluster.init;
    let (handle, agent) = cluster.spawn_on(init, 200, 1, 1);
    let pool = cluster.own_slot(init, 2);
    let frame = cluster.call(init, Call::FrameAlloc, &[(9, pool), (0, 2)]).expect("frame")[0];
    cluster.call(init, Call::PageMap, &[(9, frame), (0, handle), (1, 0x100_0000), (2, 1)]).expect("mapped");
    let space = &cluster.agent(agent.slot()).expect("there").space;
    assert!(space.translate(&cluster.sim, 0x100_1000).is_some());
    let twice = cluster.call(init, Call::PageMap, &[(9, frame), (0, handle), (1, 0x100_1000), (2, 1)]);
    assert_eq!(twice, Err(Error::AlreadyMapped));
}

#[test]
fn faults_go_to_a_supervisor_on_another_core_and_are_judged_from_there() {
    let mut cluster = Cluster::new(2, 2000);
    let init = cluster.init;
    let (_, agent) = cluster.spawn_on(init, 200, 1, 1);
    cluster.begin(init, Call::IpcRecv, &[(10, 0), (12, FOREVER)]);
    cluster.settle();
    cluster.sim.core = 1;
    let exception = Exception { cause: FaultCause::Undefined, syndrome: 0x0200_0000, address: 0 };
    assert_eq!(cluster.cores[1].current(), agent.slot());
    cluster.cores[1].fault(&mut cluster.sim, exception, cluster.now);
    cluster.settle();
    let got = cluster.finished(init).expect("told");
    assert_eq!(RecvInfo::decode(got[10]).kind, Received::Fault);
    let words: [u64; 8] = got[..8].try_into().expect("eight words");
    let fault = Fault::decode(words);
    assert_eq!((fault.agent, fault.cause), (agent.0, FaultCause::Undefined as u16));
    cluster.call(init, Call::FaultReply, &[(9, got[12]), (0, 1), (1, 0x40_1000)]).expect("judged");
    let resumed = cluster.agent(agent.slot()).expect("there");
    assert_eq!((resumed.state, resumed.registers.pc), (State::Ready, 0x40_1000));
}

#[test]
fn an_agent_can_move_while_it_waits_and_is_found_where_it_is() {
    let (mut cluster, server, client, service) = apart();
    let init = cluster.init;
    let handle = cluster.capability_of(init, server);
    cluster.begin(server.slot(), Call::IpcRecv, &[(10, 0), (12, FOREVER)]);
    for core in [2, 0, 1] {
        cluster.migrate(init, handle, core).expect("moved");
        assert_eq!(cluster.home(server.slot()), core);
        if cluster.agent(server.slot()).expect("there").state == State::Ready {
            cluster.begin(server.slot(), Call::IpcRecv, &[(10, 0), (12, FOREVER)]);
        }
        cluster.begin(client.slot(), Call::IpcCall, &[(9, service), (10, info(8)), (0, core as u64), (12, FOREVER)]);
        let got = cluster.finished(server.slot()).expect("received");
        assert_eq!(got[0], core as u64);
        cluster.begin(server.slot(), Call::IpcReply, &[(9, got[12]), (10, info(8)), (0, 1)]);
        assert_eq!(cluster.finished(client.slot()).expect("answered")[0], 1);
        cluster.begin(server.slot(), Call::IpcRecv, &[(10, 0), (12, FOREVER)]);
    }
    assert_eq!(cluster.migrate(init, handle, 7), Err(Error::NoSuchCore));
}

#[test]
fn inspection_shows_every_core() {
    let (mut cluster, server, client, _) = apart();
    let init = cluster.init;
    let observe = cluster.own_slot(init, aios_abi::call::init::SLOT_OBSERVE);
    let buffer = cluster.memory(init, &[0; 4096]);
    let mut seen = Vec::new();
    let mut cursor = 0;
    loop {
        let got = cluster
            .call(init, Call::Inspect, &[(9, observe), (0, Table::Agents as u64), (1, cursor), (2, 0), (11, buffer), (10, 4096)])
            .expect("shown");
        let bytes = cluster.peek(init, buffer, got[0] as usize * AgentRecord::WORDS * 8);
        for record in bytes.chunks_exact(AgentRecord::WORDS * 8) {
            let word = |i: usize| u64::from_le_bytes(record[i * 8..i * 8 + 8].try_into().expect("a word"));
            seen.push((word(0), word(4)));
        }
        cursor = got[1];
        if cursor == 0 {
            break;
        }
    }
    let id = cluster.agent(init).expect("there").id.0;
    assert_eq!(seen, [(id, 0), (server.0, 1), (client.0, 2)]);
}

#[test]
fn notifications_and_watches_cross_cores() {
    let (mut cluster, server, client, _) = apart();
    let init = cluster.init;
    let source = cluster.capability_of(init, server);
    let bits = cluster.call(init, Call::CapMint, &[(9, source), (0, 6), (1, Rights::ALL.0 as u64), (2, 0), (3, 1)]).expect("minted")[0];
    let target = cluster.capability_of(init, client);
    let send = Rights::SEND.0 as u64;
    let given = cluster.call(init, Call::CapGrant, &[(9, target), (0, bits), (1, send), (2, 0), (3, 1), (4, 0)]).expect("granted")[0];
    cluster.begin(server.slot(), Call::IpcRecv, &[(10, 0), (12, FOREVER)]);
    cluster.call(client.slot(), Call::Notify, &[(9, given), (0, 3)]).expect("raised");
    assert_eq!(cluster.finished(server.slot()).expect("woken")[0], 2);
    cluster.call(init, Call::Watch, &[(9, target), (0, 1 << 40)]).expect("watched");
    cluster.call(init, Call::AgentControl, &[(9, target), (0, 2)]).expect("killed");
    let got = cluster.call(init, Call::IpcRecv, &[(10, 0), (12, FOREVER)]).expect("told");
    assert_eq!(got[0], 1 << 40);
}
