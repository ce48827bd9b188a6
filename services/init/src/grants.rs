//! What init gave to whom.
//!
//! For each thing that an agent asked for, init keeps a capability of its own and one derived from it; the agent gets copies of the second. So asking
//! again gives the same node again, and revoking the first takes away every copy, wherever it went.
//!
//! Bounded by the manifest: an agent gets only what its entry lists, each thing once.

use alloc::vec::Vec;

use aios_abi::rights::Rights;
use aios_abi::{Error, SlotHandle};
use aios_rt::slot::{Capability, Slot};
use aios_rt::time::Expiry;
use aios_rt::{Result, cap};

/// Rights that every capability that init keeps has.
pub const KEPT: Rights = Rights::GRANT.or(Rights::DERIVE).or(Rights::REVOKE);

/// What was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    /// Init's own interfaces.
    Init,
    /// The server with this number, with these of its own rights: a server may answer several names, to which an entry may have different rights.
    Server(usize, u16),
    /// A region of a device's registers.
    Registers(usize, usize),
    /// An interrupt of a device.
    Interrupt(usize, usize),
    /// Reading the kernel's state.
    Observe,
    /// Power and reset.
    Power,
    /// Delivering the seed.
    Seed,
    /// Control of the agent with this id.
    Agent(u64),
}

struct Grant {
    /// Badge of the agent that has it.
    holder: u64,
    key: Key,
    /// What init keeps.
    kept: Slot,
    /// What the agent has copies of; none if it was taken away.
    given: Option<Slot>,
}

/// Why a capability is not given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// It was taken away.
    Revoked,
    /// The kernel refused.
    Kernel(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Kernel(error)
    }
}

/// All grants.
#[derive(Default)]
pub struct Grants {
    list: Vec<Grant>,
}

impl Grants {
    /// The capability that `holder` has for `key`, to be copied to it. `make` makes the one that init keeps, with [`KEPT`] beside `rights`.
    pub fn give<C: Capability>(
        &mut self,
        holder: u64,
        key: Key,
        rights: Rights,
        make: impl FnOnce(Rights) -> Result<C>,
    ) -> core::result::Result<SlotHandle, Refusal> {
        if let Some(grant) = self.list.iter().find(|grant| grant.holder == holder && grant.key == key) {
            return grant.given.map(Capability::handle).ok_or(Refusal::Revoked);
        }
        let kept = make(rights.or(KEPT))?;
        match cap::derive(kept, rights.or(Rights::GRANT), Expiry::NONE) {
            Ok(given) => {
                self.list.push(Grant { holder, key, kept: kept.slot(), given: Some(given.slot()) });
                Ok(given.handle())
            }
            Err(error) => {
                discard(kept.slot());
                Err(error.into())
            }
        }
    }

    /// Takes away what was given from the capability of init's that `is_source` finds. `None` if there is none.
    pub fn take_away(&mut self, holder: u64, mut is_source: impl FnMut(Slot) -> bool) -> Option<Result<()>> {
        let grant = self.list.iter_mut().find(|grant| grant.holder == holder && grant.given.is_some() && is_source(grant.kept))?;
        if let Err(error) = cap::revoke(grant.kept, 0) {
            return Some(Err(error));
        }
        grant.given.take().into_iter().for_each(discard);
        Some(Ok(()))
    }

    /// Empties the slots of everything that a holder got, whose copies are gone with it. What starts in its place may ask for all of it again.
    pub fn forget_holder(&mut self, holder: u64) {
        self.remove(|grant| grant.holder == holder);
    }

    /// Empties the slots of capabilities to a server that is gone.
    pub fn forget_server(&mut self, server: usize) {
        self.remove(|grant| matches!(grant.key, Key::Server(other, _) if other == server));
    }

    /// Empties the slots of capabilities to something that is gone.
    pub fn forget(&mut self, key: Key) {
        self.remove(|grant| grant.key == key);
    }

    fn remove(&mut self, which: impl Fn(&Grant) -> bool) {
        self.list.retain(|grant| {
            let goes = which(grant);
            if goes {
                discard(grant.kept);
                grant.given.into_iter().for_each(discard);
            }
            !goes
        });
    }
}

/// Empties a slot.
fn discard(slot: Slot) {
    // A slot that is empty already is as good.
    let _ = cap::drop(slot);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::kernel;
    use aios_abi::call::init::SLOT_OBSERVE;

    fn observe(grants: &mut Grants, holder: u64) -> core::result::Result<SlotHandle, Refusal> {
        let source: Slot = Slot::first(SLOT_OBSERVE);
        grants.give(holder, Key::Observe, Rights::READ, |rights| cap::derive(source, rights, Expiry::NONE))
    }

    #[test]
    fn asking_again_gives_the_same_until_it_is_taken_away() {
        let kernel = kernel::boot();
        let mut grants = Grants::default();
        let first = observe(&mut grants, 1).unwrap();
        assert_eq!(observe(&mut grants, 1), Ok(first));
        assert_ne!(observe(&mut grants, 2), Ok(first));
        assert_eq!(kernel.slots_made(), 4);
        assert_eq!(grants.take_away(3, |_| true), None);
        let mut asked = Vec::new();
        assert_eq!(
            grants.take_away(1, |kept| {
                asked.push(kept);
                true
            }),
            Some(Ok(()))
        );
        assert_eq!(asked.len(), 1);
        assert_eq!(observe(&mut grants, 1), Err(Refusal::Revoked));
        assert_eq!(grants.take_away(1, |_| true), None);
        grants.forget_holder(1);
        assert!(observe(&mut grants, 1).is_ok());
        grants.forget(Key::Observe);
        assert_eq!(kernel.slots_made(), 0, "every slot is given back");
    }
}
