//! What each row needs: who plays which role, and with what.

use aios_abi::call::{SLOT_ANY, Transfer};
use aios_abi::limits::PAGE_SIZE;
use aios_abi::message::SendInfo;
use aios_abi::rights::Rights;
use aios_abi::{Error, SlotHandle};
use aios_proto::Capability as _;
use aios_rt::Result;
use aios_rt::cap;
use aios_rt::memory::{Access, map_into};
use aios_rt::peer::Init;
use aios_rt::slot::{Agent, Device, Irq, Notification};
use aios_rt::time::{Deadline, Expiry};

use super::agents::{BUFFER, BUFFER_PAGES, CODE, Job, Player, SHARED_WORD, Stage, Sum, filled, give, hurry, introduce};
use super::roles::Role;
use super::typed;

/// Does a row.
pub fn perform(name: &str, stage: Stage, init: Init) -> Result<Sum> {
    match name {
        "null_syscall" => null(stage),
        "call_reply_0" => call(stage, Role::Caller0, Role::Server0, 0, None),
        "call_reply_64" => call(stage, Role::Caller64, Role::Server64, 64, None),
        "call_reply_64_fp" => call(stage, Role::CallerFp, Role::ServerFp, 64, None),
        "cross_core_call_64" => call(stage, Role::Caller64, Role::Server64, 64, Some(1)),
        "call_512" => long_call(stage, 512),
        "call_4k" => long_call(stage, 4096),
        "call_64k" => long_call(stage, 65536),
        "notify_switch" => notify(stage),
        "yield_switch" => yielding(stage),
        "mailbox_64" => mailbox(stage),
        "page_map" => page_map(stage),
        "fault_resume" => fault(stage),
        "irq_to_driver" => interrupt(stage, init),
        "spawn_native" => spawn(stage),
        "call_typed_64" => typed::call(stage, init),
        _ => Err(Error::BadArgument),
    }
}

fn badge(stage: &Stage) -> u64 {
    stage.seed.rotate_left(17) ^ 0x5bd1_e995
}

fn info(length: u32, room: u32) -> u64 {
    SendInfo { length, room, ..SendInfo::default() }.encode()
}

fn null(stage: Stage) -> Result<Sum> {
    let [player, other] = [stage.player(0, 0)?, stage.player(1, 0)?];
    let slot = introduce(&player, &other, badge(&stage))?;
    stage.start(&player, Role::Null, Job { slot, ..Job::default() })?;
    stage.finish(&[player, other])
}

fn call(stage: Stage, caller: Role, server: Role, length: u32, core: Option<u64>) -> Result<Sum> {
    let [client, peer] = [stage.player(0, 0)?, stage.player(1, 0)?];
    let badge = badge(&stage);
    let slot = introduce(&client, &peer, badge)?;
    if let Some(core) = core {
        peer.agent.migrate(core)?;
    }
    let info = info(length, 0);
    stage.start(&peer, server, Job { info, peer: client.id.0, badge, ..Job::default() })?;
    stage.start(&client, caller, Job { slot, info, peer: peer.id.0, ..Job::default() })?;
    stage.finish(&[client, peer])
}

fn long_call(stage: Stage, length: u32) -> Result<Sum> {
    let [client, peer] = [stage.player(0, BUFFER_PAGES)?, stage.player(1, BUFFER_PAGES)?];
    let badge = badge(&stage);
    let slot = introduce(&client, &peer, badge)?;
    let job = Job { buffer: BUFFER, more: u64::from(length) / 8, ..Job::default() };
    stage.start(&peer, Role::ServerLong, Job { info: info(8, length), peer: client.id.0, badge, ..job })?;
    stage.start(&client, Role::CallerLong, Job { slot, info: info(length, 0), peer: peer.id.0, ..job })?;
    stage.finish(&[client, peer])
}

/// Gives an agent a way to notify another one.
fn bell(to: &Player, whom: Agent) -> Result<u64> {
    let rights = Rights::SEND.or(Rights::GRANT).or(Rights::DERIVE);
    let bell: Notification = cap::mint_notification(whom, 1, rights, Expiry::NONE)?;
    give(to, bell, Rights::SEND)
}

fn notify(stage: Stage) -> Result<Sum> {
    let [low, high] = [stage.player(0, 0)?, stage.player(1, 0)?];
    hurry(&high)?;
    let slot = bell(&low, high.agent)?;
    stage.start(&high, Role::Waiter, Job::default())?;
    stage.start(&low, Role::Notifier, Job { slot, ..Job::default() })?;
    stage.finish(&[low, high])
}

fn yielding(stage: Stage) -> Result<Sum> {
    let [first, second] = [stage.player(0, 0)?, stage.player(1, 0)?];
    // Each yields half as often.
    let job = Job { buffer: SHARED_WORD, rounds: stage.rounds / 2, ..Job::default() };
    // Both must be there before one begins.
    first.agent.suspend()?;
    second.agent.suspend()?;
    stage.start(&first, Role::YielderFirst, Job { peer: 1, ..job })?;
    stage.start(&second, Role::YielderSecond, Job { peer: 2, ..job })?;
    first.agent.resume()?;
    second.agent.resume()?;
    stage.finish(&[first, second])
}

fn mailbox(stage: Stage) -> Result<Sum> {
    let [sender, taker] = [stage.player(0, 0)?, stage.player(1, 0)?];
    let badge = badge(&stage);
    let slot = introduce(&sender, &taker, badge)?;
    let [there, back] = [bell(&sender, taker.agent)?, bell(&taker, sender.agent)?];
    stage.start(&taker, Role::Taker, Job { slot: back, peer: sender.id.0, badge, ..Job::default() })?;
    stage.start(&sender, Role::Sender, Job { slot, info: info(64, 0), more: there, ..Job::default() })?;
    stage.finish(&[sender, taker])
}

/// A frame with a random word at its start, and the word.
fn marked_frame(stage: &Stage) -> Result<(aios_rt::slot::Frame, u64)> {
    let word = badge(stage);
    Ok((filled(&word.to_le_bytes())?, word))
}

/// Where pages are mapped that are counted: behind one that is always there, so that the table for them is there as well.
const BEHIND: u64 = BUFFER + PAGE_SIZE as u64;

fn page_map(stage: Stage) -> Result<Sum> {
    let player = stage.player(0, 1)?;
    let (frame, word) = marked_frame(&stage)?;
    let slot = give(&player, frame, Rights::READ.or(Rights::WRITE))?;
    stage.start(&player, Role::Mapper, Job { slot, badge: word, buffer: BEHIND, ..Job::default() })?;
    cap::drop(frame)?;
    stage.finish(&[player])
}

fn fault(stage: Stage) -> Result<Sum> {
    let [pager, faulter] = [stage.player(0, 0)?, stage.player(1, 1)?];
    let (frame, word) = marked_frame(&stage)?;
    let slot = give(&pager, frame, Rights::READ.or(Rights::WRITE))?;
    let control = give(&pager, faulter.agent, Rights::CONTROL)?;
    // The badge of the faults is the word that the faulter reads.
    stage.start(&pager, Role::Pager, Job { slot, badge: word, buffer: BEHIND, more: control, ..Job::default() })?;
    // Code, shared frame and buffer have the first places that the kernel chooses.
    let next = SlotHandle::new(SLOT_ANY + 3, 1).0.into();
    stage.start(&faulter, Role::Faulter, Job { badge: word, buffer: BEHIND, more: next, ..Job::default() })?;
    cap::drop(frame)?;
    stage.finish(&[pager, faulter])
}

/// What the manifest calls the clock, and how long the name service may take to answer, ns.
const CLOCK: &str = "arm,pl031";
const ANSWER_NS: u64 = 2_000_000_000;

fn interrupt(stage: Stage, init: Init) -> Result<Sum> {
    let [trigger, driver] = [stage.player(0, 0)?, stage.player(1, 0)?];
    let mut names = init.names();
    let name = aios_proto::names::DeviceName::new(CLOCK).map_err(|_| Error::BadArgument)?;
    let deadline = || Deadline::after(ANSWER_NS).0;
    let (device, _) = names.registers(name, 0, deadline()).map_err(|_| Error::NoServer)?;
    let (line, _) = names.interrupt(name, 0, deadline()).map_err(|_| Error::NoServer)?;
    for player in [&trigger, &driver] {
        map_into(player.agent, Device(device.handle()), BUFFER, Access::ReadWrite)?;
    }
    hurry(&driver)?;
    let slot = cap::grant(driver.agent, Irq(line.handle()), Rights::BIND, Expiry::NONE, Transfer::Copy, None)?;
    let job = Job { slot: slot.0.into(), buffer: BUFFER, more: SHARED_WORD, ..Job::default() };
    stage.start(&driver, Role::Driver, job)?;
    stage.start(&trigger, Role::Trigger, job)?;
    stage.finish(&[trigger, driver])
}

fn spawn(stage: Stage) -> Result<Sum> {
    /// Pages that each new agent may use.
    const EACH: u64 = 24;
    let player = stage.player(0, 0)?;
    // What a new agent runs lies in the first page.
    let all = Rights::READ.or(Rights::EXECUTE).or(Rights::GRANT).or(Rights::DERIVE);
    let page = cap::derive_part(stage.code, all, Expiry::NONE, 0, 1)?;
    let slot = give(&player, page, Rights::READ.or(Rights::EXECUTE))?;
    cap::drop(page)?;
    let job = Job { slot, info: EACH, buffer: CODE, more: Role::Newborn.entry(), ..Job::default() };
    stage.start(&player, Role::Spawner, job)?;
    stage.finish(&[player])
}
