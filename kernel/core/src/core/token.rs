//! Tokens: capabilities as sealed bytes.
//!
//! | words | content                                                                              |
//! |-------|--------------------------------------------------------------------------------------|
//! | 0     | version 1 (low 16), kind (16), rights (high 32)                                      |
//! | 1     | agent that may admit it                                                              |
//! | 2     | object                                                                               |
//! | 3     | badge, bits or index                                                                 |
//! | 4     | expiry, ns                                                                           |
//! | 5     | derivation node: its place (low 22), and how often the place was used (42)           |
//! | 6     | revocations of that node so far                                                      |
//! | 7     | token id: the start of an HMAC-SHA-256 over `token id` and a number that is never used again, under the same key |
//! | 8–11  | HMAC-SHA-256 (RFC 2104, FIPS 180-4) over words 0–7, under a key that never leaves the kernel |
//!
//! A token makes no capability by itself: admitting it derives one below the node that it names. It is void as soon as that is revoked, and as soon as
//! what was derived from that is: a token counts as derived when it was made, and making one takes the right to derive.
//!
//! A token shows its reader nothing of what others do: places and revocations are counted for the one node, and ids have no order.

use aios_abi::Error;
use aios_abi::call::TOKEN_SIZE;
use aios_abi::id::AgentId;
use aios_abi::rights::{Kind, Rights};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::{Core, Done, Outcome};
use crate::cap::{self, NodeId, Slot};
use crate::machine::Machine;
use crate::space::{self, CopyFault, FaultReason};

/// Bytes of the sealing key.
pub const KEY_SIZE: usize = 32;
const WORDS: usize = TOKEN_SIZE / 8;
const SEALED_WORDS: usize = 8;
const VERSION: u64 = 1;

/// What the hash of a token's id starts with. With the number it is shorter than what is sealed: no id is the start of a seal.
const ID_DOMAIN: &[u8; 8] = b"token id";

fn keyed(key: &[u8; KEY_SIZE]) -> Hmac<Sha256> {
    // The standard pads a short key with zeros to the hash's block, 64 bytes.
    let mut block = [0; 64];
    block[..KEY_SIZE].copy_from_slice(key);
    <Hmac<Sha256> as Mac>::new(&block.into())
}

fn seal(key: &[u8; KEY_SIZE], words: &[u64; WORDS]) -> Hmac<Sha256> {
    let mut mac = keyed(key);
    for word in &words[..SEALED_WORDS] {
        mac.update(&word.to_le_bytes());
    }
    mac
}

/// The little-endian word that bytes start with.
fn first_word(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |word, &byte| word << 8 | byte as u64)
}

/// A token's id: it tells nothing of the number behind it.
fn token_id(key: &[u8; KEY_SIZE], number: u64) -> u64 {
    let mut mac = keyed(key);
    mac.update(ID_DOMAIN);
    mac.update(&number.to_le_bytes());
    first_word(&mac.finalize().into_bytes())
}

fn tag(words: &[u64; WORDS]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(&words[SEALED_WORDS..]) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

impl<M: Machine> Core<M> {
    /// Sets the sealing key, if there is none yet.
    pub fn set_key(&mut self, key: [u8; KEY_SIZE]) -> Result<(), Error> {
        if self.key.is_some() {
            return Err(Error::Busy);
        }
        self.key = Some(key);
        Ok(())
    }

    pub(super) fn seed_set(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        self.capability(machine, me, self.arg(me, 9), Kind::Seed, Rights::WRITE, now)?;
        let mut key = [0; KEY_SIZE];
        for (chunk, word) in key.chunks_exact_mut(8).zip(&self.agents[me].registers.x) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        self.set_key(key)?;
        self.tell_key(machine);
        Ok(Done::Return)
    }

    pub(super) fn cap_export(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let (_, source) = self.any_capability(machine, me, self.arg(me, 9), Rights::GRANT.or(Rights::DERIVE), now)?;
        let slot = Self::narrow(&source, self.arg(me, 1), self.arg(me, 2), now)?;
        let key = self.key.ok_or(Error::NotSeeded)?;
        let epoch = cap::live(machine, slot.node).ok_or(Error::Revoked)?.epoch();
        let mut words = [0; WORDS];
        words[0] = VERSION | (slot.kind as u64) << 16 | (slot.rights.0 as u64) << 32;
        words[1] = self.arg(me, 0);
        words[2] = slot.object;
        words[3] = slot.word;
        words[4] = slot.expiry;
        words[5] = slot.node.word();
        words[6] = epoch as u64;
        words[7] = token_id(&key, machine.stamp());
        let tag = seal(&key, &words).finalize().into_bytes();
        for (word, chunk) in words[SEALED_WORDS..].iter_mut().zip(tag.chunks_exact(8)) {
            *word = first_word(chunk);
        }
        self.write_words(machine, me, self.arg(me, 11), &words)?;
        Ok(Done::Return)
    }

    pub(super) fn cap_admit(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let key = self.key.ok_or(Error::NotSeeded)?;
        let words: [u64; WORDS] = self.read_words(machine, me, self.arg(me, 11))?;
        if words[0] & 0xffff != VERSION {
            return Err(Error::WrongVersion);
        }
        seal(&key, &words).verify_slice(&tag(&words)).map_err(|_| Error::Forged)?;
        if AgentId(words[1]) != self.agents[me].id {
            return Err(Error::WrongAgent);
        }
        let kind = Kind::from_code((words[0] >> 16) as u8).ok_or(Error::Forged)?;
        let expiry = words[4];
        if expiry != 0 && now >= expiry {
            return Err(Error::Expired);
        }
        let id = NodeId::from_word(words[5]);
        let node = cap::live(machine, id).filter(|node| node.epoch() as u64 == words[6]).ok_or(Error::Revoked)?;
        let root = node.root();
        if !cap::is_valid(machine, id, root) {
            return Err(Error::Revoked);
        }
        let root = machine.node(root).ok_or(Error::Revoked)?.id(root);
        let rights = Rights((words[0] >> 32) as u32);
        let mut slot = Slot { kind, rights, object: words[2], word: words[3], expiry, ..Slot::EMPTY };
        self.reserve_slots(machine, me, 1)?;
        self.attach_node(machine, me, Some((id, root)), &mut slot)?;
        // Another core may have revoked meanwhile: then the node is of a later epoch than the token.
        if cap::live(machine, slot.node).is_none_or(|node| node.parent_epoch() as u64 != words[6]) {
            self.release_node(machine, &slot, now);
            return Err(Error::Revoked);
        }
        let handle = self.place(me, slot);
        self.set_arg(me, 0, handle.0 as u64);
        Ok(Done::Return)
    }

    /// Writes words to an agent's memory; pages that are to come on first touch come.
    pub(super) fn write_words(&mut self, machine: &mut M, agent: u16, address: u64, words: &[u64]) -> Result<(), Error> {
        loop {
            match space::write_words(machine, &self.agents[agent].space, address, words) {
                Ok(()) => return Ok(()),
                Err(fault) => self.mend(machine, agent, fault)?,
            }
        }
    }

    fn read_words<const N: usize>(&mut self, machine: &mut M, agent: u16, address: u64) -> Result<[u64; N], Error> {
        let mut words = [0; N];
        loop {
            match space::read_words(machine, &self.agents[agent].space, address, &mut words) {
                Ok(()) => return Ok(words),
                Err(fault) => self.mend(machine, agent, fault)?,
            }
        }
    }

    /// Brings in the page that a copy did not find.
    fn mend(&mut self, machine: &mut M, agent: u16, fault: CopyFault) -> Result<(), Error> {
        match fault.reason {
            FaultReason::Unmapped => self.populate(machine, agent, fault.address),
            FaultReason::Denied => Err(Error::BadAddress),
        }
    }
}
