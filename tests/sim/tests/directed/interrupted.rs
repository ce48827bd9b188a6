//! Long copies that an interrupt stops after every page: in and out of the mailbox, and what may come between.

use aios_abi::call::AgentOp;
use aios_abi::message::RecvInfo;
use aios_abi::{Call, Error};
use aios_core::agent::State;
use aios_core::core::Next;
use aios_sim::World;

use crate::support::*;

const LONG: u32 = 60_000;

fn pattern(length: u32, seed: u8) -> Vec<u8> {
    (0..length).map(|i| (i as u8).wrapping_mul(29).wrapping_add(seed).wrapping_add((i >> 8) as u8)).collect()
}

fn order(world: &mut World, handle: u64, op: AgentOp, x1: u64) -> Result<(), Error> {
    let init = world.init;
    control(world, init, handle, op, x1)
}

struct Stage {
    world: World,
    server: Peer,
    /// Each with a capability of the server and a message of `LONG` bytes: where it lies.
    clients: Vec<(Peer, u64, u64)>,
    /// Where the server has room.
    buffer: u64,
}

/// A server with a mailbox of 32 pages that takes anything, and clients.
fn stage(clients: u8) -> Stage {
    let mut world = World::new(9000);
    let (handle, id) = world.spawn(world.init, 600, 32);
    let server = Peer { slot: id.slot(), id, handle };
    let buffer = world.call(server.slot, Call::AgentMemAlloc, &[(0, 16 << 12), (1, 1)]).expect("a region")[0];
    assert_eq!(world.call(server.slot, Call::IpcRecv, &[(10, room(65_536)), (12, 0)]), Err(Error::Timeout), "says how much it takes");
    let clients = (0..clients)
        .map(|number| {
            let client = spawn(&mut world);
            let service = connect(&mut world, server, number as u64 + 1, client);
            let source = world.memory(client.slot, &pattern(LONG, number));
            (client, service, source)
        })
        .collect();
    Stage { world, server, clients, buffer }
}

impl Stage {
    /// Has a client begin a send that is interrupted after its first page.
    fn begin_send(&mut self, client: usize) {
        let (peer, service, source) = self.clients[client];
        self.world.switch_to(peer.slot);
        self.world.sim.interrupt_every = 1;
        let x = &mut self.world.core.agents[peer.slot].registers.x;
        (x[8], x[9], x[10], x[11], x[12]) = (Call::IpcSend as u64, service, length(LONG), source, 0);
        self.world.execute(peer.slot);
        self.world.sim.interrupt_every = 0;
        assert!(self.world.core.agents[peer.slot].work.is_some(), "in the middle");
    }

    fn receive_long(&mut self, from: usize) {
        let got =
            self.world.call(self.server.slot, Call::IpcRecv, &[(10, room(65_536)), (11, self.buffer), (12, FOREVER)]).expect("received");
        assert_eq!((RecvInfo::decode(got[10]).length, got[11]), (LONG, from as u64 + 1));
        assert_eq!(self.world.peek(self.server.slot, self.buffer, LONG as usize), pattern(LONG, from as u8));
    }
}

#[test]
fn a_message_on_its_way_into_the_mailbox_lets_interrupts_through() {
    let mut stage = stage(1);
    stage.begin_send(0);
    let client = stage.clients[0].0;
    stage.world.sim.interrupt_every = 1;
    let steps = (0..100).take_while(|_| stage.world.core.next(&mut stage.world.sim, stage.world.now) == Next::Interrupted).count();
    stage.world.sim.interrupt_every = 0;
    assert!(steps >= LONG as usize / 4096 - 2, "{steps} pauses in 60,000 bytes");
    stage.world.finished(client.slot).expect("sent");
    stage.receive_long(0);
}

#[test]
fn a_message_on_its_way_out_of_the_mailbox_lets_interrupts_through_and_goes_on_where_it_was() {
    let mut stage = stage(1);
    let (client, service, source) = stage.clients[0];
    stage.world.call(client.slot, Call::IpcSend, &[(9, service), (10, length(LONG)), (11, source)]).expect("sent");
    stage.world.switch_to(stage.server.slot);
    let x = &mut stage.world.core.agents[stage.server.slot].registers.x;
    (x[8], x[10], x[11], x[12]) = (Call::IpcRecv as u64, room(65_536), stage.buffer, FOREVER);
    stage.world.sim.interrupt_every = 1;
    stage.world.execute(stage.server.slot);
    let mut pauses = 0;
    while stage.world.core.current() == stage.server.slot && stage.world.rewound(stage.server.slot) {
        pauses += 1;
        stage.world.execute(stage.server.slot);
    }
    stage.world.sim.interrupt_every = 0;
    assert!(pauses >= LONG / 4096 - 2, "{pauses} pauses in 60,000 bytes");
    stage.world.settle();
    let got = stage.world.finished(stage.server.slot).expect("received");
    assert_eq!(RecvInfo::decode(got[10]).length, LONG);
    assert_eq!(stage.world.peek(stage.server.slot, stage.buffer, LONG as usize), pattern(LONG, 0));
}

#[test]
fn whoever_sends_next_brings_a_half_written_message_to_its_end_first() {
    let mut stage = stage(2);
    stage.begin_send(0);
    let (second, service, source) = stage.clients[1];
    suspend_now(&mut stage, 0);
    for (bytes, word) in [(8, 5), (LONG, 0)] {
        stage.world.call(second.slot, Call::IpcSend, &[(9, service), (10, length(bytes)), (11, source), (0, word)]).expect("sent");
    }
    let first = stage.clients[0].0;
    assert!(stage.world.core.agents[first.slot].work.is_none(), "it is sent");
    stage.receive_long(0);
    let got =
        stage.world.call(stage.server.slot, Call::IpcRecv, &[(10, room(65_536)), (11, stage.buffer), (12, FOREVER)]).expect("received");
    assert_eq!(got[0], 5);
    stage.receive_long(1);
    resume(&mut stage.world, first);
    stage.world.switch_to(first.slot);
    stage.world.finished(first.slot).expect("the sender hears that it was sent");
}

fn suspend_now(stage: &mut Stage, client: usize) {
    stage.world.core.agents[stage.clients[client].0.slot].suspended = true;
    stage.world.pass(30_000_000);
}

#[test]
fn a_sender_that_dies_or_restarts_in_the_middle_leaves_nothing_in_the_mailbox() {
    for op in [AgentOp::Kill, AgentOp::Restart] {
        let mut stage = stage(2);
        stage.begin_send(0);
        let first = stage.clients[0].0;
        suspend_now(&mut stage, 0);
        order(&mut stage.world, first.handle, op, 0).expect("done");
        let (second, service, _) = stage.clients[1];
        stage.world.call(second.slot, Call::IpcSend, &[(9, service), (10, length(8)), (0, 7)]).expect("sent");
        let got = stage.world.call(stage.server.slot, Call::IpcRecv, &[(10, 0), (12, FOREVER)]).expect("received");
        assert_eq!((got[0], got[11]), (7, 2));
        let empty = stage.world.call(stage.server.slot, Call::IpcRecv, &[(10, 0), (12, 0)]);
        assert_eq!(empty, Err(Error::Timeout));
    }
}

#[test]
fn a_receiver_that_dies_in_the_middle_ends_the_send_with_an_error() {
    let mut stage = stage(1);
    stage.begin_send(0);
    let first = stage.clients[0].0;
    suspend_now(&mut stage, 0);
    kill(&mut stage.world, stage.server);
    resume(&mut stage.world, first);
    stage.world.switch_to(first.slot);
    assert_eq!(stage.world.finished(first.slot), Err(Error::PeerDied));
}

#[test]
fn a_receiver_that_waits_when_a_message_becomes_whole_gets_it() {
    let mut stage = stage(1);
    stage.begin_send(0);
    let first = stage.clients[0].0;
    suspend_now(&mut stage, 0);
    let args = [(10, room(65_536)), (11, stage.buffer), (12, FOREVER)];
    stage.world.begin(stage.server.slot, Call::IpcRecv, &args);
    assert_eq!(state(&stage.world, stage.server), State::Receiving);
    resume(&mut stage.world, first);
    stage.world.switch_to(first.slot);
    stage.world.finished(first.slot).expect("sent");
    stage.world.switch_to(stage.server.slot);
    stage.world.finished(stage.server.slot).expect("received");
    assert_eq!(stage.world.peek(stage.server.slot, stage.buffer, LONG as usize), pattern(LONG, 0));
}

#[test]
fn a_hole_in_the_middle_of_a_send_leaves_nothing_in_the_mailbox() {
    let mut stage = stage(1);
    let (client, service, source) = stage.clients[0];
    let refused = stage.world.call(client.slot, Call::IpcSend, &[(9, service), (10, length(LONG)), (11, source + 8192)]);
    assert_eq!(refused, Err(Error::BadAddress));
    let empty = stage.world.call(stage.server.slot, Call::IpcRecv, &[(10, room(65_536)), (11, stage.buffer), (12, 0)]);
    assert_eq!(empty, Err(Error::Timeout));
}

/// The client's call to a waiting server is interrupted after its first page.
fn begin_call(stage: &mut Stage) {
    let args = [(10, room(65_536)), (11, stage.buffer), (12, FOREVER)];
    stage.world.begin(stage.server.slot, Call::IpcRecv, &args);
    again(stage);
    assert_eq!(state(&stage.world, stage.clients[0].0), State::Ready, "in the middle");
}

fn again(stage: &mut Stage) {
    let (client, service, source) = stage.clients[0];
    stage.world.switch_to(client.slot);
    stage.world.sim.interrupt_every = 1;
    let x = &mut stage.world.core.agents[client.slot].registers.x;
    (x[8], x[9], x[10], x[11], x[12]) = (Call::IpcCall as u64, service, length(LONG), source, FOREVER);
    stage.world.execute(client.slot);
    stage.world.sim.interrupt_every = 0;
}

#[test]
fn a_restarted_sender_does_not_go_on_with_the_copy_of_its_former_self() {
    let mut stage = stage(1);
    begin_call(&mut stage);
    let (client, _, source) = stage.clients[0];
    suspend_now(&mut stage, 0);
    order(&mut stage.world, client.handle, AgentOp::Restart, 0).expect("restarted");
    order(&mut stage.world, client.handle, AgentOp::Start, 0x40_0000).expect("started");
    // The same call from the same address, with other bytes there.
    let init = stage.world.init;
    let minted = stage.world.call(init, Call::CapMint, &[(9, stage.server.handle), (0, 1), (1, ALL), (2, 0), (3, 0)]).expect("minted")[0];
    let service = give(&mut stage.world, client, minted, ALL);
    assert_eq!(stage.world.memory(client.slot, &pattern(LONG, 99)), source, "the same place");
    stage.clients[0].1 = service;
    again(&mut stage);
    stage.world.settle();
    stage.world.finished(stage.server.slot).expect("received");
    assert_eq!(stage.world.peek(stage.server.slot, stage.buffer, LONG as usize), pattern(LONG, 99));
}

#[test]
fn a_call_that_fails_when_it_is_made_again_does_not_leave_half_a_copy_for_the_next() {
    let mut stage = stage(1);
    begin_call(&mut stage);
    let (client, _, source) = stage.clients[0];
    // Made again, it has lost its capability; then the bytes change, and the same call is made through another.
    stage.world.core.agents[client.slot].registers.x[9] = 0;
    stage.world.settle();
    assert_eq!(stage.world.finished(client.slot), Err(Error::NoCapability));
    for page in 0..LONG as u64 / 4096 {
        let leaf = stage.world.core.agents[client.slot].space.translate(&stage.world.sim, source + page * 4096).expect("mapped");
        aios_core::machine::Memory::write_bytes(&mut stage.world.sim, leaf.pa, &[0xee; 4096]);
    }
    again(&mut stage);
    stage.world.settle();
    stage.world.finished(stage.server.slot).expect("received");
    let bytes = stage.world.peek(stage.server.slot, stage.buffer, 4096);
    assert_eq!(bytes, vec![0xee; 4096], "all of it is new");
}
