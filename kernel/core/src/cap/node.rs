//! Derivation nodes: ids, pages of nodes, validity, revocation. All cores read and write them, without locks.
//!
//! An id is the index of a place (22 bits) and the place's *generation* (42 bits). The generation counts changes of the place: even while the place is
//! free, odd while a node is in it. It goes on when the page goes back and another comes in its stead, and a place whose generations are used up is
//! never used again; so no id ever names two nodes.
//!
//! Place 0 of a page holds no node but the page's list of free places, one bit each. Whoever makes a place free puts it on that list last, when
//! nothing of the old node is needed any more; only the page's owner takes places from it.

use aios_abi::limits::{DERIVE_DEPTH, NODES_PER_PAGE};
use aios_abi::{AgentId, Error};

use crate::machine::Machine;
#[cfg(not(loom))]
use crate::machine::Object;
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};

/// Bits of an id that are the index.
const INDEX_BITS: u32 = 22;
/// Bits of a node's place word that are the depth; the index of the root lies above.
const DEPTH_BITS: u32 = 8;
/// The list of free places of a fresh page: all but place 0.
const ALL_PLACES: u64 = !1;

const _: () = assert!(NODES_PER_PAGE == u64::BITS as usize, "a word lists the free places of a page");
#[cfg(not(loom))]
const _: () = assert!(core::mem::size_of::<Node>() == 64);
/// Mappings made through a frame's tree are counted in the high half of the root's extent word.
const MAPPING: u64 = 1 << 32;

/// Places of nodes that can be named at once.
pub const NODES: usize = 1 << INDEX_BITS;
/// The first generation that no id has room for: such a place is never used again.
pub const GENERATIONS: u64 = 1 << (u64::BITS - INDEX_BITS);

/// Names a derivation node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct NodeId(u64);

impl NodeId {
    /// No node.
    pub const NONE: Self = Self(0);

    const fn new(index: u32, generation: u64) -> Self {
        Self(generation << INDEX_BITS | index as u64)
    }

    /// Place among all nodes.
    #[inline]
    pub const fn index(self) -> u32 {
        (self.0 & ((1 << INDEX_BITS) - 1)) as u32
    }

    /// Generation of the place.
    pub const fn generation(self) -> u64 {
        self.0 >> INDEX_BITS
    }

    /// Whether it names no node.
    pub const fn is_none(self) -> bool {
        self.generation() == 0
    }

    /// The id as one word.
    pub const fn word(self) -> u64 {
        self.0
    }

    /// The id in a word.
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }
}

/// One derivation, as all cores see it.
#[derive(Debug)]
#[repr(C)]
pub struct Node {
    /// Odd while a node is here, even while the place is free.
    generation: AtomicU64,
    /// Counts revocations of what was derived from this node. At its end nothing can be derived from the node any more.
    pub epoch: AtomicU32,
    /// Slots and child nodes that refer to it.
    references: AtomicU32,
    /// The parent's epoch at the derivation.
    parent_epoch: AtomicU32,
    /// Depth (low byte) and index of the root (above).
    place: AtomicU32,
    /// The parent; 0 for a root.
    parent: AtomicU64,
    /// In a root: the word of the tree.
    pub(super) tree: AtomicU64,
    /// Whose derivation it is.
    owner: AtomicU64,
    /// In a frame's root: first page, and the paying pool from bit 48. In a service's node: bits to raise at its owner on last use.
    /// In place 0 of a page: the free places.
    pub payload: AtomicU64,
    /// In a frame's root: pages (low half) and mappings made (high half). In a child pool's node: the pool's number.
    pub extent: AtomicU64,
}

impl Node {
    /// A free place that was never used.
    #[cfg(not(loom))]
    #[expect(clippy::declare_interior_mutable_const, reason = "a pattern to fill pages with; nobody shares it")]
    pub const FREE: Self = Self {
        generation: AtomicU64::new(0),
        epoch: AtomicU32::new(0),
        references: AtomicU32::new(0),
        parent_epoch: AtomicU32::new(0),
        place: AtomicU32::new(0),
        parent: AtomicU64::new(0),
        tree: AtomicU64::new(0),
        owner: AtomicU64::new(0),
        payload: AtomicU64::new(0),
        extent: AtomicU64::new(0),
    };

    /// A free place that was never used; the words of `loom` are not made in constants.
    #[cfg(loom)]
    pub fn fresh() -> Self {
        let (word, half) = (|| AtomicU64::new(0), || AtomicU32::new(0));
        Self {
            generation: word(),
            epoch: half(),
            references: half(),
            parent_epoch: half(),
            place: half(),
            parent: word(),
            tree: word(),
            owner: word(),
            payload: word(),
            extent: word(),
        }
    }

    /// Whose derivation it is.
    pub fn owner(&self) -> AgentId {
        AgentId(self.owner.load(Ordering::Relaxed))
    }

    /// The node it was derived from; none for a root.
    pub fn parent(&self) -> NodeId {
        NodeId::from_word(self.parent.load(Ordering::Relaxed))
    }

    /// Whether somebody uses it.
    pub fn in_use(&self) -> bool {
        self.generation.load(Ordering::Relaxed) & 1 != 0
    }

    /// Whether the generations of the place are used up.
    pub fn is_spent(&self) -> bool {
        self.generation.load(Ordering::Relaxed) >= GENERATIONS
    }

    /// Steps to the root.
    pub fn depth(&self) -> u8 {
        self.place.load(Ordering::Relaxed) as u8
    }

    /// The id by which slots and children name it, if it is in use.
    pub fn id(&self, index: u32) -> NodeId {
        NodeId::new(index, self.generation.load(Ordering::Relaxed))
    }

    /// Slots, messages that wait and derivations that refer to it.
    pub fn references(&self) -> u32 {
        self.references.load(Ordering::Relaxed)
    }

    /// The epoch of its parent in which it was derived.
    pub fn parent_epoch(&self) -> u32 {
        self.parent_epoch.load(Ordering::Relaxed)
    }

    /// Revocations of what was derived from it.
    pub fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Index of the root of its tree.
    pub fn root(&self) -> u32 {
        self.place.load(Ordering::Relaxed) >> DEPTH_BITS
    }

    /// Takes its reference on its parent; none if it has none.
    fn leave_parent(&self) -> NodeId {
        NodeId::from_word(self.parent.swap(0, Ordering::AcqRel))
    }

    /// Makes it free, if it still has this generation; whether it had.
    fn free(&self, generation: u64) -> bool {
        self.generation.compare_exchange(generation, generation + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

impl Clone for Node {
    fn clone(&self) -> Self {
        let word = |a: &AtomicU64| AtomicU64::new(a.load(Ordering::Relaxed));
        let half = |a: &AtomicU32| AtomicU32::new(a.load(Ordering::Relaxed));
        Self {
            generation: word(&self.generation),
            epoch: half(&self.epoch),
            references: half(&self.references),
            parent_epoch: half(&self.parent_epoch),
            place: half(&self.place),
            parent: word(&self.parent),
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

#[cfg(not(loom))]
impl Object for NodePage {
    const EMPTY: Self = Self([Node::FREE; NODES_PER_PAGE]);
}

impl NodePage {
    /// Makes a fresh page usable: its places go on from the generation that the last page of this number [spent](Self::spent), 0 for the first.
    pub fn open(&self, spent: u64) {
        for node in &self.0 {
            node.generation.store(spent, Ordering::Relaxed);
        }
        self.0[0].payload.store(if spent < GENERATIONS { ALL_PLACES } else { 0 }, Ordering::Release);
    }

    /// The generation that no place of the page went beyond. At [`GENERATIONS`] the page's number can't be used again.
    pub fn spent(&self) -> u64 {
        self.0.iter().map(|node| node.generation.load(Ordering::Acquire).next_multiple_of(2)).max().unwrap_or(0)
    }
}

/// A free place of the page with this number.
pub fn free_place<M: Machine>(machine: &M, number: u32) -> Option<u32> {
    let first = number * NODES_PER_PAGE as u32;
    let free = machine.node(first)?.payload.load(Ordering::Acquire);
    (free != 0).then(|| first + free.trailing_zeros())
}

/// The word that lists the free places of a place's page, and the place's bit in it.
fn listed<M: Machine>(machine: &M, index: u32) -> Option<(&AtomicU64, u64)> {
    let place = index % NODES_PER_PAGE as u32;
    Some((&machine.node(index - place)?.payload, 1 << place))
}

/// Whether a place is on its page's list of free ones.
pub fn is_listed<M: Machine>(machine: &M, index: u32) -> bool {
    listed(machine, index).is_some_and(|(free, bit)| free.load(Ordering::Acquire) & bit != 0)
}

/// Walks from a node to the root of its tree: whether every step still holds.
pub fn is_valid<M: Machine>(machine: &M, id: NodeId, root: u32) -> bool {
    let mut at = id;
    for _ in 0..=DERIVE_DEPTH {
        let Some(node) = live(machine, at) else { return false };
        let parent = node.parent();
        if parent.is_none() {
            return at.index() == root;
        }
        let Some(above) = live(machine, parent) else { return false };
        if above.epoch() != node.parent_epoch() {
            return false;
        }
        at = parent;
    }
    false
}

/// The node, if it is still the one that the id names.
pub fn live<M: Machine>(machine: &M, id: NodeId) -> Option<&Node> {
    let node = machine.node(id.index())?;
    (!id.is_none() && node.generation.load(Ordering::Acquire) == id.generation()).then_some(node)
}

/// Fills a free place: a child of a parent in a tree, or a root if that is `None`. It starts without references. Answers the node, its root, and,
/// of a root, the word of its tree. A child is good as long as its parent is: nothing is proved here.
pub fn make<M: Machine>(
    machine: &mut M,
    index: u32,
    parent: Option<(NodeId, NodeId)>,
    owner: AgentId,
) -> Result<(NodeId, NodeId, Option<u64>), Error> {
    let stamp = machine.stamp();
    let node = machine.node(index).ok_or(Error::NoMemory)?;
    let id = NodeId::new(index, node.generation.load(Ordering::Acquire) + 1);
    let (root, depth, parent_word, epoch) = match parent {
        None => (id, 0, 0, 0),
        Some((parent, root)) => {
            let above = live(machine, parent).ok_or(Error::Revoked)?;
            let depth = above.depth() + 1;
            if depth > DERIVE_DEPTH {
                return Err(Error::TooDeep);
            }
            let epoch = above.epoch();
            // Its revocations can't be counted any more: what would be derived now could not be revoked.
            if epoch == u32::MAX {
                return Err(Error::LimitReached);
            }
            above.references.fetch_add(1, Ordering::Relaxed);
            (root, depth, parent.word(), epoch)
        }
    };
    if let Some((free, bit)) = listed(machine, index) {
        free.fetch_and(!bit, Ordering::Relaxed);
    }
    node.epoch.store(0, Ordering::Relaxed);
    node.references.store(0, Ordering::Relaxed);
    node.parent_epoch.store(epoch, Ordering::Relaxed);
    node.place.store(root.index() << DEPTH_BITS | depth as u32, Ordering::Relaxed);
    node.parent.store(parent_word, Ordering::Relaxed);
    node.owner.store(owner.0, Ordering::Relaxed);
    node.payload.store(0, Ordering::Relaxed);
    node.extent.store(0, Ordering::Relaxed);
    node.tree.store(stamp, Ordering::Relaxed);
    node.generation.store(id.generation(), Ordering::Release);
    Ok((id, root, parent.is_none().then_some(stamp)))
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
    /// Its parent; none for a root.
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
    if !node.free(id.generation()) {
        return None;
    }
    let parent = node.leave_parent();
    let payload = (node.payload.load(Ordering::Relaxed), node.extent.swap(0, Ordering::Relaxed));
    // From here on its owner, on whatever core, may put another node here.
    if !node.is_spent()
        && let Some((free, bit)) = listed(machine, id.index())
    {
        free.fetch_or(bit, Ordering::Release);
    }
    Some(Unused { owner, parent, payload })
}

/// Gives a tree a fresh word. Who reads it also sees what was voided for words before it: a plain store would break that off (`tests/explored.rs`).
fn stamp_tree<M: Machine>(machine: &M, root: u32, stamp: u64) {
    if let Some(root) = machine.node(root) {
        root.tree.swap(stamp, Ordering::Release);
    }
}

/// Voids all that was derived from a node, from now on and everywhere.
pub fn revoke<M: Machine>(machine: &mut M, id: NodeId, root: u32) {
    let stamp = machine.stamp();
    let Some(node) = live(machine, id) else { return };
    // At its end the count stays: nothing was ever derived in that epoch, and nothing can be.
    let _ = node.epoch.fetch_update(Ordering::AcqRel, Ordering::Acquire, |epoch| epoch.checked_add(1));
    stamp_tree(machine, root, stamp);
}

/// Voids a node itself, because its maker is gone. It keeps its parent until [`orphan`], and its place is not used again.
pub fn annul<M: Machine>(machine: &mut M, index: u32) {
    let stamp = machine.stamp();
    let Some(node) = machine.node(index) else { return };
    let generation = node.generation.load(Ordering::Acquire);
    let root = node.root();
    if generation & 1 == 0 || !node.free(generation) {
        return;
    }
    stamp_tree(machine, root, stamp);
}

/// Takes the reference that a void node has on its parent, if it still has one: nothing that was mapped through the node is mapped any more.
pub fn orphan<M: Machine>(machine: &M, index: u32) -> Option<NodeId> {
    let parent = machine.node(index)?.leave_parent();
    (!parent.is_none()).then_some(parent)
}

/// Takes what a root paid for out of it: payload and extent, if there is an extent.
pub fn take_payload<M: Machine>(machine: &M, index: u32) -> Option<(u64, u64)> {
    let node = machine.node(index)?;
    let extent = node.extent.swap(0, Ordering::Relaxed);
    (extent != 0).then(|| (node.payload.load(Ordering::Relaxed), extent))
}

/// Counts a mapping that is about to be made through a tree; who makes it proves the capability valid afterwards. Who revokes stamps the tree and then
/// [looks](is_mapped) for mappings; who maps counts and then looks at the stamp. One of them sees the other.
pub fn count_mapping<M: Machine>(machine: &M, root: NodeId) {
    // If the root is gone, its number may be another's by now.
    if let Some(root) = live(machine, root) {
        root.extent.fetch_add(MAPPING, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }
}

/// Forgets a mapping that is gone, or was never made.
pub fn forget_mapping<M: Machine>(machine: &M, root: NodeId) {
    if let Some(root) = live(machine, root) {
        root.extent.fetch_sub(MAPPING, Ordering::Release);
    }
}

/// Whether a mapping exists that was made through the tree of this root. If not, whoever looks sees what was done before each was forgotten.
pub fn is_mapped<M: Machine>(machine: &M, root: u32) -> bool {
    fence(Ordering::SeqCst);
    machine.node(root).is_some_and(|root| root.extent.load(Ordering::Acquire) >= MAPPING)
}
