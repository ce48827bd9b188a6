//! Servers that come to the core of who called them before that core has taken the answer that their call was received: a core takes a bounded number
//! of packets at once, but agents that arrive always.

use std::collections::VecDeque;

use aios_abi::call::AgentOp;
use aios_abi::message::SendInfo;
use aios_abi::rights::Rights;
use aios_abi::{AgentId, Call, Error};
use aios_core::agent::State;
use aios_core::core::Packet;
use aios_core::machine::Lane;
use aios_sim::{Args, Cluster};

const FOREVER: u64 = u64::MAX;

/// Has an agent that runs make a call once; nobody else does anything.
fn once(cluster: &mut Cluster, slot: u16, call: Call, args: Args<'_>) {
    let home = cluster.home(slot);
    assert_eq!(cluster.turn(home).1, Some(slot), "it runs");
    let agent = cluster.cores[home as usize].agents.get_mut(slot).expect("it is there");
    agent.registers.x[8] = call as u64;
    for &(register, value) in args {
        agent.registers.x[register] = value;
    }
    agent.registers.pc += 4;
    cluster.cores[home as usize].syscall(&mut cluster.sim, cluster.now);
}

/// A client on core 0 has called a server, whose mailbox on core 1 took the call. The server has come to core 0, and the answer that it was received has not been
/// taken there.
struct Scene {
    cluster: Cluster,
    client: AgentId,
    server: AgentId,
    /// Init's capability of the server.
    handle: u64,
    answers: VecDeque<Packet>,
}

impl Scene {
    fn new() -> Self {
        let mut cluster = Cluster::new(2, 2000);
        let init = cluster.init;
        let (handle, server) = cluster.spawn_on(init, 300, 1, 1);
        let client = cluster.spawn_on(init, 200, 1, 0).1;
        let service = cluster.connect(server, 7, client);
        let word = SendInfo { length: 8, ..SendInfo::default() }.encode();
        cluster.call(client.slot(), Call::TimeNow, &[]).expect("it runs");
        once(&mut cluster, client.slot(), Call::IpcCall, &[(9, service), (10, word), (12, FOREVER)]);
        Self::meet(cluster, client, server, handle)
    }

    /// What `client` has sent is received; then the server comes.
    fn meet(mut cluster: Cluster, client: AgentId, server: AgentId, handle: u64) -> Self {
        cluster.turn(1);
        let lane = (0, 1, Lane::Answer as u8);
        let answers = cluster.sim.rings.remove(&lane).filter(|ring| !ring.is_empty()).expect("an answer is on its way");
        let init = cluster.init;
        cluster.migrate(init, handle, 0).expect("the server moves");
        assert_eq!((cluster.home(server.slot()), cluster.agent(client.slot()).map(|agent| agent.state)), (0, Some(State::Remote)));
        Self { cluster, client, server, handle, answers }
    }

    fn take_answers(&mut self) {
        self.cluster.sim.rings.insert((0, 1, Lane::Answer as u8), std::mem::take(&mut self.answers));
        self.cluster.settle();
    }
}

#[test]
fn a_reply_waits_until_the_caller_knows_that_its_call_was_received() {
    for call in [Call::IpcReply, Call::IpcReplyRecv] {
        let mut scene = Scene::new();
        let word = SendInfo { length: 8, ..SendInfo::default() }.encode();
        let server = scene.server.slot();
        let got = scene.cluster.call(server, Call::IpcRecv, &[(10, 0), (12, FOREVER)]).expect("the call is in its mailbox");
        let reply = [(9, got[12]), (10, word), (0, 42), (12, FOREVER)];
        let before = scene.cluster.agent(server).expect("it is there").registers.pc;
        once(&mut scene.cluster, server, call, &reply);
        assert_eq!(scene.cluster.agent(server).map(|agent| agent.registers.pc), Some(before), "the reply is made again");
        scene.take_answers();
        scene.cluster.begin(server, call, &reply);
        assert_eq!(scene.cluster.finished(scene.client.slot()).map(|x| x[0]), Ok(42));
    }
}

#[test]
fn a_call_ends_with_the_server_that_came() {
    for (op, error) in [(AgentOp::Kill, Error::PeerDied), (AgentOp::Restart, Error::PeerRestarted)] {
        let mut scene = Scene::new();
        let init = scene.cluster.init;
        scene.cluster.call(init, Call::AgentControl, &[(9, scene.handle), (0, op as u64)]).expect("the server ends");
        scene.take_answers();
        assert_eq!(scene.cluster.finished(scene.client.slot()), Err(error));
    }
}

/// A supervisor on core 1 watches over an agent on core 0, which exits; the supervisor comes to core 0 before the answer is taken that it was told.
fn faulted() -> Scene {
    let mut cluster = Cluster::new(2, 2000);
    let init = cluster.init;
    let (handle, supervisor) = cluster.spawn_on(init, 600, 1, 1);
    let (child, agent) = cluster.spawn_on(init, 100, 1, 0);
    let rights = Rights::CONTROL.0 as u64;
    let given = cluster.call(init, Call::CapGrant, &[(9, handle), (0, child), (1, rights), (2, 0), (3, 0), (4, 0)]).expect("given")[0];
    let own = cluster.own_slot(supervisor.slot(), 1);
    let mint = [(9, own), (0, 1), (1, Rights::SEND.0 as u64), (2, 0), (3, 0)];
    let service = cluster.call(supervisor.slot(), Call::CapMint, &mint).expect("minted")[0];
    let supervise = [(9, given), (0, AgentOp::Supervise as u64), (1, service)];
    cluster.call(supervisor.slot(), Call::AgentControl, &supervise).expect("it supervises");
    cluster.call(agent.slot(), Call::TimeNow, &[]).expect("it runs");
    once(&mut cluster, agent.slot(), Call::Exit, &[]);
    Scene::meet(cluster, agent, supervisor, handle)
}

#[test]
fn a_verdict_waits_until_it_is_known_that_the_fault_was_received() {
    let mut scene = faulted();
    let supervisor = scene.server.slot();
    let got = scene.cluster.call(supervisor, Call::IpcRecv, &[(10, 0), (12, FOREVER)]).expect("the fault is in its mailbox");
    let verdict = [(9, got[12]), (0, 0)];
    let before = scene.cluster.agent(supervisor).expect("it is there").registers.pc;
    once(&mut scene.cluster, supervisor, Call::FaultReply, &verdict);
    assert_eq!(scene.cluster.agent(supervisor).map(|agent| agent.registers.pc), Some(before), "the verdict is given again");
    scene.take_answers();
    scene.cluster.call(supervisor, Call::FaultReply, &verdict).expect("resumed");
    assert_eq!(scene.cluster.agent(scene.client.slot()).map(|agent| agent.state), Some(State::Ready));
}

#[test]
fn who_faulted_ends_with_the_supervisor_that_came() {
    let mut scene = faulted();
    let init = scene.cluster.init;
    scene.cluster.call(init, Call::AgentControl, &[(9, scene.handle), (0, AgentOp::Kill as u64)]).expect("the supervisor ends");
    scene.take_answers();
    assert!(scene.cluster.agent(scene.client.slot()).is_none(), "nobody waits for a supervisor that is gone");
}
