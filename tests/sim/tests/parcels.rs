//! Long messages between cores, with an interrupt after every page; and calls that wait where they come from.

use aios_abi::call::AgentOp;
use aios_abi::message::{RecvInfo, SendInfo};
use aios_abi::{AgentId, Call, Error};
use aios_core::agent::{State, Work};
use aios_sim::Cluster;

const FOREVER: u64 = u64::MAX;
const MAX: u32 = 65_536;

fn info(length: u32) -> u64 {
    SendInfo { length, ..SendInfo::default() }.encode()
}

fn both(length: u32) -> u64 {
    SendInfo { length, room: MAX, ..SendInfo::default() }.encode()
}

fn pattern(length: u32, seed: u8) -> Vec<u8> {
    (0..length).map(|i| (i as u8).wrapping_mul(13).wrapping_add(seed).wrapping_add((i >> 8) as u8)).collect()
}

/// Three cores; a server with this mailbox on core 1, a client on core 2 that holds a capability of it with badge 77.
fn apart(mailbox: u64) -> (Cluster, AgentId, AgentId, u64) {
    let mut cluster = Cluster::new(3, 6000);
    let init = cluster.init;
    let (_, server) = cluster.spawn_on(init, 400, mailbox, 1);
    let (_, client) = cluster.spawn_on(init, 400, 1, 2);
    let service = cluster.connect(server, 77, client);
    (cluster, server, client, service)
}

#[test]
fn the_longest_call_and_reply_cross_cores_with_an_interrupt_after_every_page() {
    let (mut cluster, server, client, service) = apart(1);
    let from = cluster.memory(client.slot(), &pattern(MAX, 1));
    let to = cluster.memory(server.slot(), &vec![0; MAX as usize]);
    let used = cluster.agent(client.slot()).expect("there").pools[0].used;
    cluster.begin(server.slot(), Call::IpcRecv, &[(10, both(0)), (11, to), (12, FOREVER)]);
    cluster.sim.interrupt_every = 1;
    cluster.begin(client.slot(), Call::IpcCall, &[(9, service), (10, both(MAX)), (11, from), (12, FOREVER)]);
    let got = cluster.finished(server.slot()).expect("received");
    assert_eq!(RecvInfo::decode(got[10]).length, MAX);
    assert_eq!(cluster.peek(server.slot(), to, MAX as usize), pattern(MAX, 1));
    cluster.sim.interrupt_every = 0;
    let answer = cluster.memory(server.slot(), &pattern(50_001, 2));
    cluster.sim.interrupt_every = 1;
    cluster.call(server.slot(), Call::IpcReply, &[(9, got[12]), (10, info(50_001)), (11, answer)]).expect("replied");
    let got = cluster.finished(client.slot()).expect("answered");
    assert_eq!(RecvInfo::decode(got[10]).length, 50_001);
    assert_eq!(cluster.peek(client.slot(), from, 50_001), pattern(50_001, 2));
    assert_eq!(cluster.agent(client.slot()).expect("there").pools[0].used, used, "the cargo's pages are back");
}

#[test]
fn messages_from_two_cores_do_not_mix_in_the_mailbox() {
    let (mut cluster, server, client, service) = apart(32);
    let init = cluster.init;
    let (_, near) = cluster.spawn_on(init, 400, 1, 1);
    let close = cluster.connect(server, 78, near);
    let (far, other) = (cluster.memory(client.slot(), &pattern(60_000, 3)), cluster.memory(near.slot(), &pattern(40_000, 4)));
    let to = cluster.memory(server.slot(), &vec![0; MAX as usize]);
    assert_eq!(cluster.call(server.slot(), Call::IpcRecv, &[(10, both(0)), (11, to), (12, 0)]), Err(Error::Timeout));
    cluster.sim.interrupt_every = 1;
    cluster.call(client.slot(), Call::IpcSend, &[(9, service), (10, info(60_000)), (11, far)]).expect("sent");
    cluster.call(near.slot(), Call::IpcSend, &[(9, close), (10, info(40_000)), (11, other)]).expect("sent");
    cluster.call(client.slot(), Call::IpcSend, &[(9, service), (10, info(8)), (0, 9)]).expect("sent");
    for (length, badge, bytes) in [(60_000, 77, Some(pattern(60_000, 3))), (40_000, 78, Some(pattern(40_000, 4))), (8, 77, None)] {
        let got = cluster.call(server.slot(), Call::IpcRecv, &[(10, both(0)), (11, to), (12, 0)]).expect("received");
        assert_eq!((RecvInfo::decode(got[10]).length, got[11]), (length, badge));
        match bytes {
            Some(bytes) => assert_eq!(cluster.peek(server.slot(), to, length as usize), bytes),
            None => assert_eq!(got[0], 9),
        }
    }
}

/// Makes a call once, without the patience to make it again.
fn once(cluster: &mut Cluster, slot: u16, args: &[(usize, u64)]) {
    cluster.call(slot, Call::TimeNow, &[]).expect("it runs");
    let home = cluster.home(slot);
    cluster.sim.core = home;
    let agent = cluster.cores[home as usize].agents.get_mut(slot).expect("it is there");
    agent.registers.x[8] = Call::IpcCall as u64;
    for &(register, value) in args {
        agent.registers.x[register] = value;
    }
    agent.registers.pc += 4;
    cluster.cores[home as usize].syscall(&mut cluster.sim, cluster.now);
}

#[test]
fn a_sender_that_dies_or_restarts_while_its_message_is_loaded_gives_the_pages_back() {
    for op in [AgentOp::Kill, AgentOp::Restart] {
        let (mut cluster, _, client, service) = apart(1);
        let from = cluster.memory(client.slot(), &pattern(60_000, 5));
        once(&mut cluster, client.slot(), &[(9, service), (10, both(60_000)), (11, from), (12, FOREVER)]);
        cluster.sim.interrupt_every = 1;
        let _ = cluster.cores[2].next(&mut cluster.sim, cluster.now);
        let agent = &mut cluster.cores[2].agents[client.slot()];
        assert!(matches!(agent.work, Some(Work::Load { done, .. }) if done != 0), "in the middle");
        cluster.sim.interrupt_every = 0;
        let init = cluster.init;
        let handle = cluster.capability_of(init, client);
        agent_stops(&mut cluster, client);
        let used = cluster.sim.used();
        cluster.call(init, Call::AgentControl, &[(9, handle), (0, op as u64)]).expect("done");
        cluster.settle();
        assert!(cluster.sim.used() <= used - 15, "{} pages of {used} in use", cluster.sim.used());
        if op == AgentOp::Restart {
            // What a fresh agent costs.
            assert!(cluster.agent(client.slot()).expect("there").pools[0].used < 12);
        }
    }
}

fn agent_stops(cluster: &mut Cluster, client: AgentId) {
    cluster.cores[2].agents[client.slot()].suspended = true;
}

#[test]
fn a_call_to_a_busy_server_waits_whatever_the_mailbox_holds() {
    for mailbox in [0, 1] {
        let (mut cluster, server, client, service) = apart(mailbox);
        let from = cluster.memory(client.slot(), &pattern(9000, 6));
        let to = cluster.memory(server.slot(), &vec![0; 9000]);
        for length in [8, 9000] {
            let args = [(9, service), (10, both(length)), (11, from), (0, 3), (12, FOREVER)];
            once(&mut cluster, client.slot(), &args);
            cluster.settle();
            let agent = cluster.agent(client.slot()).expect("there");
            if agent.state == State::Ready {
                assert_eq!(agent.registers.x[8], Call::IpcCall as u64, "not an error: the call is made again");
            } else {
                assert_eq!((mailbox, length), (1, 8), "it waits in the mailbox");
            }
            cluster.begin(server.slot(), Call::IpcRecv, &[(10, both(0)), (11, to), (12, FOREVER)]);
            if cluster.agent(client.slot()).expect("there").state == State::Ready {
                cluster.begin(client.slot(), Call::IpcCall, &args);
            }
            let got = cluster.finished(server.slot()).expect("received");
            assert_eq!(RecvInfo::decode(got[10]).length, length);
            cluster.call(server.slot(), Call::IpcReply, &[(9, got[12]), (10, info(8)), (0, 4)]).expect("replied");
            assert_eq!(cluster.finished(client.slot()).expect("answered")[0], 4);
        }
        // What the server doesn't take when it receives is an error; a one-way message hears at once that it doesn't fit.
        cluster.begin(server.slot(), Call::IpcRecv, &[(10, 0), (12, FOREVER)]);
        let args = [(9, service), (10, both(9000)), (11, from), (12, FOREVER)];
        assert_eq!(cluster.call(client.slot(), Call::IpcCall, &args), Err(Error::MessageTooLong));
        cluster.call(client.slot(), Call::IpcSend, &[(9, service), (10, info(8))]).expect("sent");
        assert_eq!(cluster.call(client.slot(), Call::IpcSend, &args), Err(Error::MessageTooLong));
    }
}
