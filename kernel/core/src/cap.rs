//! Capabilities: slots, rights, derivation, revocation.
//!
//! A *slot* belongs to the agent that holds it. A *node* stands for one derivation and belongs to the agent that made it: whoever derives can
//! revoke, pays for the node, and what it derived ends with it. Copies of a capability share a node.
//!
//! ```text
//!   root ──────────┬─ node (derived by A) ─┬─ node (derived by B)
//!   tree = stamp   │  parent_epoch = 0     │  parent_epoch = 3
//!                  └─ slots …              └─ slots …
//! ```
//!
//! Each tree has one word, in its root, that gets a fresh stamp at every revocation in it. A slot caches the word at which it was last
//! proved valid: equal → still valid (one load, one compare); different → walk to the root, at most 16 steps, and cache again or fail.
//! Revoking counts the *epoch* of one node up and stamps the tree: what was derived from the node in an earlier epoch is void from then on,
//! on every core. Stamps never repeat, and neither do ids of nodes: neither a reused root nor a reused node can be mistaken for its predecessor.

mod node;

use aios_abi::limits::{PAGE_SIZE, SLOTS_PER_PAGE};
use aios_abi::rights::{Kind, Rights};
use aios_abi::{AgentId, Error};

pub use node::{
    GENERATIONS, NODES, Node, NodeId, NodePage, Unused, annul, count_mapping, forget_mapping, free_place, is_listed, is_mapped, is_valid,
    live, orphan, refer, release, revoke, take_payload,
};

use crate::machine::{Machine, Object};
use crate::sync::Ordering;

/// One capability, as its holder's table keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(C)]
pub struct Slot {
    /// What it names.
    pub kind: Kind,
    /// Counts the users of this place; part of the handle.
    pub generation: u16,
    /// What it allows.
    pub rights: Rights,
    /// Agent and service: the agent. Frame, device: first page | pages << 40. Irq: first line | lines << 32. Pool: the owner.
    /// Of an empty slot: the next free index.
    pub object: u64,
    /// Service: badge. Notification: bits. Pool: index at the owner. Frame, device: the address at which the holder has it mapped, or 0.
    pub word: u64,
    /// When it ends, ns; 0 for never.
    pub expiry: u64,
    /// Its derivation.
    pub node: NodeId,
    /// Root of its tree.
    pub root: NodeId,
    /// Word of the tree when it was last proved valid.
    pub tree: u64,
}

const _: () = assert!(core::mem::size_of::<Slot>() <= 64);
const _: () = assert!(core::mem::size_of::<[Slot; SLOTS_PER_PAGE]>() <= PAGE_SIZE);

/// Words of a slot on its way.
pub const SLOT_WORDS: usize = 7;

/// A page of a capability table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SlotPage(pub [Slot; SLOTS_PER_PAGE]);

impl Object for SlotPage {
    const EMPTY: Self = Self([Slot::EMPTY; SLOTS_PER_PAGE]);
}

impl Slot {
    /// What no tree's word ever is, not even one in a page that nobody has used yet.
    const UNPROVED: u64 = u64::MAX;

    /// An empty slot that was never used.
    pub const EMPTY: Self = Self {
        kind: Kind::Empty,
        generation: 1,
        rights: Rights::NONE,
        object: 0,
        word: 0,
        expiry: 0,
        node: NodeId::NONE,
        root: NodeId::NONE,
        tree: Self::UNPROVED,
    };

    /// The agent that an agent, service or notification capability names.
    pub const fn agent(&self) -> AgentId {
        AgentId(self.object)
    }

    /// First page and number of pages of a frame or device capability, first line and number of lines of an interrupt capability.
    pub const fn range(&self) -> (u64, u64) {
        match self.kind {
            Kind::Irq => (self.object & 0xffff_ffff, self.object >> 32),
            _ => (self.object & ((1 << 40) - 1), self.object >> 40),
        }
    }

    /// Puts a range into `object`, as the kind wants it.
    pub const fn pack_range(kind: Kind, first: u64, count: u64) -> u64 {
        match kind {
            Kind::Irq => first | count << 32,
            _ => first | count << 40,
        }
    }

    /// Whether objects of this kind are ranges from which a part can be derived.
    pub const fn is_range(&self) -> bool {
        matches!(self.kind, Kind::Frame | Kind::Device | Kind::Irq)
    }

    /// Whether it is a frame or device capability that its holder has mapped.
    pub const fn is_mapped(&self) -> bool {
        matches!(self.kind, Kind::Frame | Kind::Device) && self.word != 0
    }

    /// Proves that the capability is valid at `now`; remembers the proof.
    #[inline]
    pub fn validate<M: Machine>(&mut self, machine: &M, now: u64) -> Result<(), Error> {
        if self.expiry != 0 && now >= self.expiry {
            return Err(Error::Expired);
        }
        let Some(root) = machine.node(self.root.index()) else { return Err(Error::Revoked) };
        let tree = root.tree.load(Ordering::Acquire);
        if tree == self.tree {
            return Ok(());
        }
        self.walk(machine, tree)
    }

    /// Whether the capability is valid at `now` and was proved so since the last revocation in its tree.
    #[inline(always)]
    pub fn is_known_valid<M: Machine>(&self, machine: &M, now: u64) -> bool {
        (self.expiry == 0 || now < self.expiry) && self.is_as_proved(machine)
    }

    /// Whether nothing was revoked in its tree since the capability was last proved valid.
    #[inline(always)]
    pub fn is_as_proved<M: Machine>(&self, machine: &M) -> bool {
        machine.node(self.root.index()).is_some_and(|root| root.tree.load(Ordering::Acquire) == self.tree)
    }

    /// The slow half of [`validate`](Self::validate): from the node to the root.
    #[cold]
    fn walk<M: Machine>(&mut self, machine: &M, tree: u64) -> Result<(), Error> {
        if !is_valid(machine, self.node, self.root.index()) {
            return Err(Error::Revoked);
        }
        self.tree = tree;
        Ok(())
    }

    /// Fills the free place `index` with a node of `owner` and hangs it into the slot, which counts as its reference: a child of a parent (node and
    /// root), or a root. The proof that a slot brings along stays as it is: between it and this, another core may have revoked.
    pub fn hang<M: Machine>(&mut self, machine: &mut M, index: u32, parent: Option<(NodeId, NodeId)>, owner: AgentId) -> Result<(), Error> {
        let (node, root, tree) = node::make(machine, index, parent, owner)?;
        refer(machine, node);
        (self.node, self.root, self.tree) = (node, root, tree.unwrap_or(self.tree));
        Ok(())
    }

    /// The slot as words, for a message that waits in a mailbox.
    pub const fn to_words(&self) -> [u64; SLOT_WORDS] {
        [
            self.kind as u64 | (self.rights.0 as u64) << 32,
            self.object,
            self.word,
            self.expiry,
            self.node.word(),
            self.root.word(),
            self.tree,
        ]
    }

    /// A slot from words. The generation is the receiving place's.
    pub const fn from_words(words: [u64; SLOT_WORDS]) -> Self {
        let [head, object, word, expiry, node, root, tree] = words;
        let kind = match Kind::from_code(head as u8) {
            Some(kind) => kind,
            None => Kind::Empty,
        };
        Self {
            kind,
            generation: 0,
            rights: Rights((head >> 32) as u32),
            object,
            word,
            expiry,
            node: NodeId::from_word(node),
            root: NodeId::from_word(root),
            tree,
        }
    }
}
