//! Short words for what most of these tests do.

use aios_abi::call::AgentOp;
use aios_abi::message::{Received, RecvInfo, SendInfo};
use aios_abi::rights::Rights;
use aios_abi::{AgentId, Call, Error};
use aios_core::agent::State;
use aios_sim::World;

pub const FOREVER: u64 = u64::MAX;
pub const ALL: u64 = u32::MAX as u64;
/// An address at which nothing is ever mapped.
pub const NOWHERE: u64 = 0x30_0000_0000;

/// An agent of a test.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    pub slot: u16,
    pub id: AgentId,
    /// Init's capability of it.
    pub handle: u64,
}

pub fn spawn(world: &mut World) -> Peer {
    let (handle, id) = world.spawn(world.init, 300, 2);
    Peer { slot: id.slot(), id, handle }
}

/// A capability of `server` with this badge, for `client`.
pub fn connect(world: &mut World, server: Peer, badge: u64, client: Peer) -> u64 {
    world.connect(server.slot, badge, client.id, client.handle)
}

pub fn length(bytes: u32) -> u64 {
    SendInfo { length: bytes, ..SendInfo::default() }.encode()
}

pub fn room(bytes: u32) -> u64 {
    SendInfo { room: bytes, ..SendInfo::default() }.encode()
}

pub fn take(caps: u8) -> u64 {
    SendInfo { take_caps: caps, ..SendInfo::default() }.encode()
}

pub fn carry(caps: u8, moved: bool) -> u64 {
    SendInfo { caps, move_caps: moved, ..SendInfo::default() }.encode()
}

/// Begins a call of one word.
pub fn call(world: &mut World, client: Peer, service: u64, word: u64, deadline: u64) {
    world.begin(client.slot, Call::IpcCall, &[(9, service), (10, length(8)), (0, word), (12, deadline)]);
}

/// Begins a receive that waits for ever.
pub fn listen(world: &mut World, server: Peer) {
    world.begin(server.slot, Call::IpcRecv, &[(10, 0), (12, FOREVER)]);
}

/// Receives what waits; answers message id and first word.
pub fn receive(world: &mut World, server: Peer) -> (u64, u64) {
    let got = world.call(server.slot, Call::IpcRecv, &[(10, 0), (12, FOREVER)]).expect("something waits");
    (got[12], got[0])
}

pub fn reply(world: &mut World, server: Peer, message: u64, word: u64) -> Result<(), Error> {
    world.call(server.slot, Call::IpcReply, &[(9, message), (10, length(8)), (0, word)]).map(drop)
}

/// Begins `ReplyRecv`.
pub fn answer(world: &mut World, server: Peer, message: u64, word: u64) {
    world.begin(server.slot, Call::IpcReplyRecv, &[(9, message), (10, length(8)), (0, word), (12, FOREVER)]);
}

pub fn control(world: &mut World, by: u16, handle: u64, op: AgentOp, x1: u64) -> Result<(), Error> {
    world.call(by, Call::AgentControl, &[(9, handle), (0, op as u64), (1, x1), (2, 0x8000_0000)]).map(drop)
}

pub fn kill(world: &mut World, peer: Peer) {
    control(world, world.init, peer.handle, AgentOp::Kill, 0).expect("killed");
}

pub fn suspend(world: &mut World, peer: Peer) {
    control(world, world.init, peer.handle, AgentOp::Suspend, 0).expect("suspended");
}

pub fn resume(world: &mut World, peer: Peer) {
    control(world, world.init, peer.handle, AgentOp::Resume, 0).expect("resumed");
}

/// Init gives `to` a capability of its own, with these rights.
pub fn give(world: &mut World, to: Peer, slot: u64, rights: u64) -> u64 {
    world.call(world.init, Call::CapGrant, &[(9, to.handle), (0, slot), (1, rights), (2, 0), (3, 0), (4, 0)]).expect("granted")[0]
}

/// A frame of an agent, paid by its own pool.
pub fn frame(world: &mut World, slot: u16, pages: u64) -> u64 {
    let pool = world.own_slot(slot, 2);
    world.call(slot, Call::FrameAlloc, &[(9, pool), (0, pages)]).expect("a frame")[0]
}

pub fn derive(world: &mut World, agent: u16, slot: u64, rights: u64) -> Result<u64, Error> {
    world.call(agent, Call::CapDerive, &[(9, slot), (0, rights), (1, 0), (2, 0), (3, 0)]).map(|x| x[0])
}

pub fn mint(world: &mut World, agent: u16, badge: u64, rights: Rights) -> u64 {
    let me = world.own_slot(agent, 1);
    world.call(agent, Call::CapMint, &[(9, me), (0, badge), (1, rights.0 as u64), (2, 0), (3, 0)]).expect("minted")[0]
}

pub fn status(world: &mut World, agent: u16, slot: u64) -> Result<(), Error> {
    world.call(agent, Call::CapCheck, &[(9, slot), (0, 0)]).map(drop)
}

pub fn state(world: &World, peer: Peer) -> State {
    world.core.agents[peer.slot].state
}

pub fn kind(registers: &[u64; 31]) -> Received {
    RecvInfo::decode(registers[10]).kind
}

/// Lets time pass until somebody else than `not` runs, or for a second.
pub fn runs_within_a_second(world: &mut World, wanted: Peer) -> bool {
    (0..1000).any(|_| {
        world.pass(1_000_000);
        world.core.current() == wanted.slot
    })
}
