//! Capabilities: making, narrowing, passing on, ending.

use aios_abi::call::{TOKEN_SIZE, Transfer};
use aios_abi::rights::{Kind, Rights};
use aios_abi::{AgentId, Call, Error};

use crate::Result;
use crate::slot::{Agent, Capability, Notification, Service, Slot, handle};
use crate::sys::{Regs, syscall};
use crate::time::Expiry;

/// A capability outside of any table, sealed by the kernel for one agent.
pub type Token = [u8; TOKEN_SIZE];

/// Makes a capability to send to the program's own mailbox. The badge and the rights come with every message that is sent through it.
#[inline]
pub fn mint_service(own: Agent, badge: u64, rights: Rights, expiry: Expiry) -> Result<Service> {
    mint(own, badge, rights, expiry, 0).map(Service)
}

/// Makes a capability to raise `bits` of the program's own notification word.
#[inline]
pub fn mint_notification(own: Agent, bits: u64, rights: Rights, expiry: Expiry) -> Result<Notification> {
    mint(own, bits, rights, expiry, 1).map(Notification)
}

#[inline(always)]
fn mint(own: Agent, word: u64, rights: Rights, expiry: Expiry, kind: u64) -> Result<aios_abi::SlotHandle> {
    let mut regs = Regs::at(own.word()).with([word, rights.0 as u64, expiry.0, kind]);
    syscall(Call::CapMint, &mut regs)?;
    Ok(handle(regs.x[0]))
}

/// Derives a narrower capability, which ends with its source.
#[inline]
pub fn derive<C: Capability>(source: C, rights: Rights, expiry: Expiry) -> Result<C> {
    derive_words(source, rights, expiry, 0, 0)
}

/// Derives a capability to a part of a frame, a device or interrupt lines: `count` pages or lines from `first`, counted within the source.
/// A count of 0 is refused.
pub fn derive_part<C: Capability>(source: C, rights: Rights, expiry: Expiry, first: u64, count: u64) -> Result<C> {
    if count == 0 {
        return Err(Error::BadArgument);
    }
    derive_words(source, rights, expiry, first, count)
}

#[inline(always)]
fn derive_words<C: Capability>(source: C, rights: Rights, expiry: Expiry, first: u64, count: u64) -> Result<C> {
    let mut regs = Regs::at(source.word()).with([rights.0 as u64, expiry.0, first, count]);
    syscall(Call::CapDerive, &mut regs)?;
    Ok(C::from_handle(handle(regs.x[0])))
}

/// Gives a capability to another agent, at `index` of its table (`None`: anywhere). Answers the handle in that table.
pub fn grant(
    to: Agent,
    what: impl Capability,
    rights: Rights,
    expiry: Expiry,
    transfer: Transfer,
    index: Option<u16>,
) -> Result<aios_abi::SlotHandle> {
    let index = index.unwrap_or(0) as u64;
    let mut regs = Regs::at(to.word()).with([what.word(), rights.0 as u64, expiry.0, transfer as u64, index]);
    syscall(Call::CapGrant, &mut regs)?;
    Ok(handle(regs.x[0]))
}

/// Empties a slot. What was derived from it stays.
#[inline]
pub fn drop(what: impl Capability) -> Result<()> {
    syscall(Call::CapDrop, &mut Regs::at(what.word()))
}

/// Ends everything that was derived from this capability. `bits` are raised in the program's own notification word when the last mapping made
/// through them is gone; 0 asks for nothing.
#[inline]
pub fn revoke(what: impl Capability, bits: u64) -> Result<()> {
    syscall(Call::CapRevoke, &mut Regs::at(what.word()).with([bits]))
}

/// Writes a capability as a token that only `holder` can admit.
pub fn export(what: impl Capability, holder: AgentId, rights: Rights, expiry: Expiry) -> Result<Token> {
    let mut token = [0; TOKEN_SIZE];
    let mut regs = Regs::at(what.word()).with([holder.0, rights.0 as u64, expiry.0]);
    regs.x11 = token.as_mut_ptr().expose_provenance() as u64;
    syscall(Call::CapExport, &mut regs)?;
    Ok(token)
}

/// Fills a slot from a token.
pub fn admit(token: &Token) -> Result<Slot> {
    let mut regs = Regs { x11: token.as_ptr().expose_provenance() as u64, ..Regs::default() };
    syscall(Call::CapAdmit, &mut regs)?;
    Ok(Slot(handle(regs.x[0])))
}

/// What a slot holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Description {
    /// Its kind.
    pub kind: Kind,
    /// Its rights.
    pub rights: Rights,
    /// When it ends.
    pub expiry: Expiry,
}

/// Checks that a capability is valid and has all of these rights, and tells what it is.
#[inline]
pub fn check(what: impl Capability, rights: Rights) -> Result<Description> {
    let mut regs = Regs::at(what.word()).with([rights.0 as u64]);
    syscall(Call::CapCheck, &mut regs)?;
    let [kind, rights, expiry, ..] = regs.x;
    let kind = u8::try_from(kind).ok().and_then(Kind::from_code).ok_or(Error::WrongVersion)?;
    Ok(Description { kind, rights: Rights(rights as u32), expiry: Expiry(expiry) })
}
