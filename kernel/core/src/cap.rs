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
//! on every core. Stamps never repeat, so neither a reused root nor a reused node can be mistaken for its predecessor.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use aios_abi::limits::{DERIVE_DEPTH, NODES_PER_PAGE, PAGE_SIZE, SLOTS_PER_PAGE};
use aios_abi::rights::{Kind, Rights};
use aios_abi::{AgentId, Error};

use crate::machine::{Machine, Object};

/// Names a derivation node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct NodeId {
    /// Place among all nodes.
    pub index: u32,
    /// Counts the users of the place.
    pub generation: u32,
}

impl NodeId {
    /// The id as one word.
    pub const fn word(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    /// The id in a word.
    pub const fn from_word(word: u64) -> Self {
        Self { index: word as u32, generation: (word >> 32) as u32 }
    }
}

/// One derivation, as all cores see it. A free node has generation 0.
#[derive(Debug)]
#[repr(C)]
pub struct Node {
    generation: AtomicU32,
    /// Counts revocations of what was derived from this node.
    epoch: AtomicU32,
    /// Slots and child nodes that refer to it.
    references: AtomicU32,
    /// The parent's epoch at the derivation.
    parent_epoch: AtomicU32,
    /// The parent; 0 for a root.
    parent: AtomicU64,
    /// Depth (low byte) and index of the root (high half).
    place: AtomicU64,
    /// In a root: the word of the tree.
    tree: AtomicU64,
    /// Whose derivation it is.
    owner: AtomicU64,
    /// In a frame's root: first page. In a service's node: bits to raise at its owner on last use.
    pub payload: AtomicU64,
    /// In a frame's root: pages (low half) and mappings made (high half).
    pub extent: AtomicU64,
}

impl Node {
    /// A free node.
    #[expect(clippy::declare_interior_mutable_const, reason = "a pattern to fill pages with; nobody shares it")]
    pub const FREE: Self = Self {
        generation: AtomicU32::new(0),
        epoch: AtomicU32::new(0),
        references: AtomicU32::new(0),
        parent_epoch: AtomicU32::new(0),
        parent: AtomicU64::new(0),
        place: AtomicU64::new(0),
        tree: AtomicU64::new(0),
        owner: AtomicU64::new(0),
        payload: AtomicU64::new(0),
        extent: AtomicU64::new(0),
    };

    /// Whose derivation it is.
    pub fn owner(&self) -> AgentId {
        AgentId(self.owner.load(Ordering::Relaxed))
    }

    /// The node it was derived from; index and generation 0 for a root.
    pub fn parent(&self) -> NodeId {
        NodeId::from_word(self.parent.load(Ordering::Relaxed))
    }

    /// Whether somebody uses it.
    pub fn in_use(&self) -> bool {
        self.generation.load(Ordering::Relaxed) != 0
    }

    /// Steps to the root.
    pub fn depth(&self) -> u8 {
        self.place.load(Ordering::Relaxed) as u8
    }

    /// The id by which slots and children name it.
    pub fn id(&self, index: u32) -> NodeId {
        NodeId { index, generation: self.generation.load(Ordering::Relaxed) }
    }

    /// Slots, messages that wait and derivations that refer to it.
    pub fn references(&self) -> u32 {
        self.references.load(Ordering::Relaxed)
    }

    /// Revocations of what was derived from it.
    pub fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Index of the root of its tree.
    pub fn root(&self) -> u32 {
        (self.place.load(Ordering::Relaxed) >> 32) as u32
    }

    /// Takes its reference on its parent; generation 0 if it has none.
    fn leave_parent(&self) -> NodeId {
        NodeId::from_word(self.parent.swap(0, Ordering::AcqRel))
    }

    /// Makes it free, if it still has this generation; whether it had.
    fn free(&self, generation: u32) -> bool {
        self.generation.compare_exchange(generation, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

impl Clone for Node {
    fn clone(&self) -> Self {
        let word = |a: &AtomicU64| AtomicU64::new(a.load(Ordering::Relaxed));
        let half = |a: &AtomicU32| AtomicU32::new(a.load(Ordering::Relaxed));
        Self {
            generation: half(&self.generation),
            epoch: half(&self.epoch),
            references: half(&self.references),
            parent_epoch: half(&self.parent_epoch),
            parent: word(&self.parent),
            place: word(&self.place),
            tree: word(&self.tree),
            owner: word(&self.owner),
            payload: word(&self.payload),
            extent: word(&self.extent),
        }
    }
}

/// A page of nodes.
#[derive(Debug, Clone)]
pub struct NodePage(pub [Node; NODES_PER_PAGE]);

impl Object for NodePage {
    const EMPTY: Self = Self([Node::FREE; NODES_PER_PAGE]);
}

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
    pub root: u32,
    /// Generation of that root: whether it is still the same.
    pub root_generation: u32,
    /// Word of the tree when it was last proved valid.
    pub tree: u64,
}

const _: () = assert!(core::mem::size_of::<Slot>() <= 64);
const _: () = assert!(core::mem::size_of::<Node>() == 64);
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
    /// An empty slot that was never used.
    pub const EMPTY: Self = Self {
        kind: Kind::Empty,
        generation: 1,
        rights: Rights::NONE,
        object: 0,
        word: 0,
        expiry: 0,
        node: NodeId { index: 0, generation: 0 },
        root: 0,
        root_generation: 0,
        tree: 0,
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

    /// Proves that the capability is valid at `now`; remembers the proof.
    #[inline]
    pub fn validate<M: Machine>(&mut self, machine: &M, now: u64) -> Result<(), Error> {
        if self.expiry != 0 && now >= self.expiry {
            return Err(Error::Expired);
        }
        let Some(root) = machine.node(self.root) else { return Err(Error::Revoked) };
        let tree = root.tree.load(Ordering::Acquire);
        if tree == self.tree {
            return Ok(());
        }
        self.walk(machine, tree)
    }

    /// The slow half of [`validate`](Self::validate): from the node to the root.
    #[cold]
    fn walk<M: Machine>(&mut self, machine: &M, tree: u64) -> Result<(), Error> {
        if !is_valid(machine, self.node, self.root) {
            return Err(Error::Revoked);
        }
        self.tree = tree;
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
            self.root as u64 | (self.root_generation as u64) << 32,
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
            root: root as u32,
            root_generation: (root >> 32) as u32,
            tree,
        }
    }
}

/// Walks from a node to the root of its tree: whether every step still holds.
pub fn is_valid<M: Machine>(machine: &M, id: NodeId, root: u32) -> bool {
    let mut at = id;
    for _ in 0..=DERIVE_DEPTH {
        let Some(node) = live(machine, at) else { return false };
        let parent = node.parent();
        if parent.generation == 0 {
            return at.index == root;
        }
        let Some(above) = live(machine, parent) else { return false };
        if above.epoch.load(Ordering::Acquire) != node.parent_epoch.load(Ordering::Relaxed) {
            return false;
        }
        at = parent;
    }
    false
}

/// The node, if it is still the one that the id names.
pub fn live<M: Machine>(machine: &M, id: NodeId) -> Option<&Node> {
    let node = machine.node(id.index)?;
    (id.generation != 0 && node.generation.load(Ordering::Acquire) == id.generation).then_some(node)
}

/// Fills a free node at `index`: a child of `parent`, or a root if that is `None`. It starts without references.
pub fn make<M: Machine>(machine: &mut M, index: u32, parent: Option<(NodeId, u32)>, owner: AgentId) -> Result<(NodeId, u32, u64), Error> {
    let stamp = machine.stamp();
    // Zero would mean "free"; stamps start at one and this skips the one value in 2^32 that truncates to it.
    let generation = if stamp as u32 == 0 { machine.stamp() as u32 } else { stamp as u32 };
    let (root, depth, parent_word, epoch) = match parent {
        None => (index, 0, 0, 0),
        Some((id, root)) => {
            let above = live(machine, id).ok_or(Error::Revoked)?;
            let depth = above.depth() + 1;
            if depth > DERIVE_DEPTH {
                return Err(Error::TooDeep);
            }
            above.references.fetch_add(1, Ordering::Relaxed);
            (root, depth, id.word(), above.epoch.load(Ordering::Acquire))
        }
    };
    let node = machine.node(index).ok_or(Error::NoMemory)?;
    node.epoch.store(0, Ordering::Relaxed);
    node.references.store(0, Ordering::Relaxed);
    node.parent_epoch.store(epoch, Ordering::Relaxed);
    node.parent.store(parent_word, Ordering::Relaxed);
    node.place.store((root as u64) << 32 | depth as u64, Ordering::Relaxed);
    node.owner.store(owner.0, Ordering::Relaxed);
    node.payload.store(0, Ordering::Relaxed);
    node.extent.store(0, Ordering::Relaxed);
    node.tree.store(stamp, Ordering::Relaxed);
    node.generation.store(generation, Ordering::Release);
    let tree = machine.node(root).map_or(0, |root| root.tree.load(Ordering::Acquire));
    Ok((NodeId { index, generation }, root, tree))
}

/// Adds a reference by a slot.
pub fn refer<M: Machine>(machine: &M, id: NodeId) {
    if let Some(node) = live(machine, id) {
        node.references.fetch_add(1, Ordering::Relaxed);
    }
}

/// What is left to do for a node that nobody refers to any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unused {
    /// Who made it.
    pub owner: AgentId,
    /// Its parent; 0 for a root.
    pub parent: NodeId,
    /// Its payload words.
    pub payload: (u64, u64),
}

/// Takes a reference away. When it was the last, the node becomes free and is handed to the caller, who goes on with the parent.
pub fn release<M: Machine>(machine: &M, id: NodeId) -> Option<Unused> {
    let node = live(machine, id)?;
    if node.references.fetch_sub(1, Ordering::AcqRel) != 1 {
        return None;
    }
    let owner = node.owner();
    // Its maker may be dying on another core: only one of both makes it free.
    node.free(id.generation).then(|| Unused {
        owner,
        parent: node.leave_parent(),
        payload: (node.payload.load(Ordering::Relaxed), node.extent.swap(0, Ordering::Relaxed)),
    })
}

/// Voids all that was derived from a node, from now on and everywhere.
pub fn revoke<M: Machine>(machine: &mut M, id: NodeId, root: u32) {
    let stamp = machine.stamp();
    let Some(node) = live(machine, id) else { return };
    node.epoch.fetch_add(1, Ordering::AcqRel);
    if let Some(root) = machine.node(root) {
        root.tree.store(stamp, Ordering::Release);
    }
}

/// Voids a node itself, because its maker is gone. It keeps its parent until [`orphan`].
pub fn annul<M: Machine>(machine: &mut M, index: u32) {
    let stamp = machine.stamp();
    let Some(node) = machine.node(index) else { return };
    let generation = node.generation.load(Ordering::Acquire);
    let root = node.root();
    if generation == 0 || !node.free(generation) {
        return;
    }
    if let Some(root) = machine.node(root) {
        root.tree.store(stamp, Ordering::Release);
    }
}

/// Takes the reference that a void node has on its parent, if it still has one: nothing that was mapped through the node is mapped any more.
pub fn orphan<M: Machine>(machine: &M, index: u32) -> Option<NodeId> {
    let parent = machine.node(index)?.leave_parent();
    (parent.generation != 0).then_some(parent)
}

/// Takes what a root paid for out of it: payload and extent, if there is an extent.
pub fn take_payload<M: Machine>(machine: &M, index: u32) -> Option<(u64, u64)> {
    let node = machine.node(index)?;
    let extent = node.extent.swap(0, Ordering::Relaxed);
    (extent != 0).then(|| (node.payload.load(Ordering::Relaxed), extent))
}
