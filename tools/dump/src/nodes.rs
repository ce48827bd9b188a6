//! Derivation nodes: whether a capability still holds.

use aios_abi::Error as Refusal;
use aios_abi::limits::{DERIVE_DEPTH, NODES_PER_PAGE};
use aios_core::cap::{NodeId, Slot};

use crate::value::Value;
use crate::{Error, Kernel};

/// One node.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    generation: u64,
    epoch: u32,
    parent_epoch: u32,
    tree: u64,
    /// The node it was derived from.
    pub parent: NodeId,
    /// Whose derivation it is.
    pub owner: u64,
    /// Steps to the root.
    pub depth: u64,
}

/// All nodes: the pages by number.
pub struct Nodes<'a> {
    kernel: &'a Kernel<'a>,
    directory: Value<'a>,
    count: u64,
}

/// In the directory, the mark of a number whose page isn't there.
const LINK: u64 = 1;
/// What the addresses in the directory lead to.
const PAGE: &str = "aios_core::cap::node::NodePage";

impl<'a> Nodes<'a> {
    /// The nodes that a core sees.
    pub fn of(kernel: &'a Kernel<'a>, machine: Value<'a>) -> Result<Self, Error> {
        let directory = machine.field("nodes")?.field("pages")?;
        let count = directory.number_of("length")?;
        Ok(Self { kernel, directory, count })
    }

    /// The node at an index, if its page is there.
    pub fn get(&self, index: u32) -> Result<Option<Node>, Error> {
        let (number, place) = (u64::from(index) / NODES_PER_PAGE as u64, u64::from(index) % NODES_PER_PAGE as u64);
        if number >= self.count {
            return Ok(None);
        }
        let entry = self.directory.at(number)?.number()?;
        if entry & LINK != 0 {
            return Ok(None);
        }
        let node = self.kernel.at(PAGE, entry)?.at(place)?;
        let number = |name: &str| node.number_of(name);
        let place = number("place")?;
        Ok(Some(Node {
            generation: number("generation")?,
            epoch: number("epoch")? as u32,
            parent_epoch: number("parent_epoch")? as u32,
            tree: number("tree")?,
            parent: NodeId::from_word(number("parent")?),
            owner: number("owner")?,
            depth: place & 0xff,
        }))
    }

    /// The node that an id names, unless it is gone.
    pub fn live(&self, id: NodeId) -> Result<Option<Node>, Error> {
        Ok(self.get(id.index())?.filter(|node| !id.is_none() && node.generation == id.generation()))
    }

    /// What a use of the capability would get: 0, or an error's code.
    pub fn status(&self, slot: &Slot, now_ns: u64) -> Result<u64, Error> {
        let revoked = u64::from(Refusal::Revoked.code());
        if slot.expiry != 0 && now_ns >= slot.expiry {
            return Ok(u64::from(Refusal::Expired.code()));
        }
        let Some(root) = self.get(slot.root.index())? else { return Ok(revoked) };
        if root.tree == slot.tree {
            return Ok(0);
        }
        let mut at = slot.node;
        for _ in 0..=DERIVE_DEPTH {
            let Some(node) = self.live(at)? else { return Ok(revoked) };
            if node.parent.is_none() {
                return Ok(if at.index() == slot.root.index() { 0 } else { revoked });
            }
            match self.live(node.parent)? {
                Some(above) if above.epoch == node.parent_epoch => at = node.parent,
                _ => return Ok(revoked),
            }
        }
        Ok(revoked)
    }
}
