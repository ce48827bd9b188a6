//! Deriving, revoking, expiry, tokens; the PQC server that is not there.

use alloc::format;

use aios_abi::rights::Rights;
use aios_abi::{AgentId, Error};
use aios_rt::slot::{Agent, Notification};
use aios_rt::time::{Deadline, Expiry, now};
use aios_rt::{cap, ipc, pqc};

use super::{Verdict, check, must, refused};
use crate::fail::Fail;
use crate::shell::Shell;
use crate::system::own_id;

/// Notification bits of the checks.
const BITS: u64 = 3 << 41;
/// Longest chain that is derived.
const DEPTH: usize = 16;

fn all() -> Rights {
    Rights::SEND.or(Rights::GRANT).or(Rights::DERIVE).or(Rights::REVOKE)
}

/// A capability to play with.
fn source() -> Result<Notification, Fail> {
    must("minting", cap::mint_notification(Agent::OWN, BITS, all(), Expiry::NONE))
}

/// Whether a capability is good for nothing but this error. The bits that it would raise are of no use to anybody.
fn dead(what: &str, notification: Notification, error: Error) -> Result<(), Fail> {
    refused(what, ipc::notify(notification, BITS), error)
}

/// What is derived is never more than what it came from.
pub fn derive(_: &mut Shell) -> Verdict {
    let source = source()?;
    let weaker = must("deriving", cap::derive(source, Rights::DERIVE, Expiry::NONE))?;
    let held = must("looking", cap::check(weaker, Rights::DERIVE))?;
    check(held.rights == Rights::DERIVE, format_args!("rights {:#x} where fewer were asked for", held.rights.0))?;
    dead("raising without the right", weaker, Error::MissingRight)?;
    refused("deriving more rights", cap::derive(weaker, all(), Expiry::NONE), Error::NotNarrower)?;
    let mut chain = alloc::vec![source];
    let deepest = loop {
        let last = chain.last().copied().unwrap_or(source);
        match cap::derive(last, all(), Expiry::NONE) {
            Ok(next) if chain.len() <= DEPTH => chain.push(next),
            Ok(next) => {
                chain.push(next);
                break Err(Fail::other(format_args!("a derivation of depth {}", chain.len() - 1)));
            }
            Err(error) => break refused::<()>("deriving too deep", Err(error), Error::TooDeep),
        }
    };
    let depth = chain.len() - 1;
    chain.push(weaker);
    for slot in chain {
        must("dropping", cap::drop(slot))?;
    }
    deepest?;
    Ok(format!("fewer rights only, {depth} deep"))
}

/// Revoking ends everything that was derived, and nothing else.
pub fn revoke(_: &mut Shell) -> Verdict {
    let source = source()?;
    let child = must("deriving", cap::derive(source, all(), Expiry::NONE))?;
    let grandchild = must("deriving", cap::derive(child, all(), Expiry::NONE))?;
    let sibling = must("deriving", cap::derive(source, all(), Expiry::NONE))?;
    must("revoking", cap::revoke(child, 0))?;
    dead("what was derived from it", grandchild, Error::Revoked)?;
    must("the capability itself", cap::check(child, all()))?;
    must("the one beside it", cap::check(sibling, all()))?;
    must("revoking", cap::revoke(source, 0))?;
    dead("a child", child, Error::Revoked)?;
    dead("the other child", sibling, Error::Revoked)?;
    for slot in [grandchild, sibling, child, source] {
        must("dropping", cap::drop(slot))?;
    }
    refused("an empty slot", cap::check(source, Rights::NONE), Error::NoCapability)?;
    Ok("what was derived ends at once, the rest stays".into())
}

/// A capability ends when its time is over.
pub fn expiry(shell: &mut Shell) -> Verdict {
    let source = source()?;
    let until = now() + 20_000_000;
    let child = must("deriving", cap::derive(source, all(), Expiry(until)))?;
    must("before its time is over", cap::check(child, all()))?;
    refused("outliving its source", cap::derive(child, all(), Expiry(until + 1)), Error::NotNarrower)?;
    shell.sleep_until(Deadline(until + 1_000_000))?;
    dead("after its time is over", child, Error::Expired)?;
    must("dropping", cap::drop(child))?;
    must("dropping", cap::drop(source))?;
    Ok("a capability of 20 ms ended".into())
}

/// A token leads back to the capability, for its holder only, and unchanged only.
pub fn token(_: &mut Shell) -> Verdict {
    let source = source()?;
    let result = tokens(source);
    must("dropping", cap::drop(source))?;
    result
}

fn tokens(source: Notification) -> Verdict {
    let token = match cap::export(source, own_id(), Rights::SEND, Expiry::NONE) {
        // A machine without a seed seals nothing, which is as it should be.
        Err(Error::NotSeeded) => return Ok("no sealing key yet, nothing is sealed".into()),
        other => must("exporting", other)?,
    };
    let admitted = must("admitting", cap::admit(&token))?;
    let held = must("looking", cap::check(admitted, Rights::SEND))?;
    must("dropping", cap::drop(admitted))?;
    check(held.rights == Rights::SEND, format_args!("rights {:#x} from a token of fewer", held.rights.0))?;
    let mut forged = token;
    for place in [0, 20, 40, 95] {
        forged[place] ^= 1;
        check(cap::admit(&forged).is_err(), format_args!("a token changed at byte {place} was admitted"))?;
        forged[place] ^= 1;
    }
    forged[95] ^= 1;
    refused("a forged token", cap::admit(&forged), Error::Forged)?;
    let other = must("exporting", cap::export(source, AgentId::new(1, 1), Rights::SEND, Expiry::NONE))?;
    refused("a token for another agent", cap::admit(&other), Error::WrongAgent)?;
    let child = must("deriving", cap::derive(source, all(), Expiry::NONE))?;
    let late = must("exporting", cap::export(child, own_id(), Rights::SEND, Expiry::NONE))?;
    must("revoking", cap::revoke(source, 0))?;
    let result = cap::admit(&late);
    must("dropping", cap::drop(child))?;
    refused("a token of what was revoked", result, Error::Revoked)?;
    Ok("admitted once sealed; forged, foreign and revoked ones refused".into())
}

/// Without a PQC server, an operation is refused at once.
pub fn pqc(_: &mut Shell) -> Verdict {
    match pqc::start(b"selftest", None, Deadline::after(1_000_000_000), 0) {
        Err(Error::NoServer) => Ok("no server, and the kernel says so".into()),
        Err(error) => Err(Fail::other(format_args!("`{error}` where `{}` was due", Error::NoServer))),
        Ok(operation) => {
            must("giving an operation up", pqc::cancel(operation))?;
            refused("polling what was given up", pqc::poll(operation), Error::NoSuchOperation)?;
            Ok("a server is there, and an operation can be given up".into())
        }
    }
}
