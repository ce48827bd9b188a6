//! The naive model of capabilities: a derivation is an edge in a plain list, a revocation walks over all of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aios_abi::rights::Kind;
use aios_abi::{AgentId, Error};
use aios_core::cap;

pub struct Node {
    pub parent: Option<usize>,
    /// Who made it.
    pub owner: AgentId,
    /// Its maker is gone, or what it was derived from was revoked.
    pub dead: bool,
    /// Its maker is gone, and with it the derivation itself.
    pub gone: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capability {
    pub kind: Kind,
    pub object: u64,
    /// Pages or lines within an object that has them; else 0.
    pub part: (u64, u64),
    pub word: u64,
    pub rights: u32,
    pub expiry: u64,
    pub node: usize,
}

/// A capability as bytes.
#[derive(Clone, Debug)]
pub struct Token {
    pub of: Capability,
    /// Who may admit it.
    pub to: AgentId,
    pub bytes: Vec<u8>,
    /// What it was made from was revoked since, or nobody holds that any more.
    pub void: bool,
}

pub type Key = (u16, u64);

#[derive(Default)]
pub struct Model {
    pub nodes: Vec<Node>,
    pub tables: BTreeMap<Key, Capability>,
    pub mail: BTreeMap<u16, VecDeque<Vec<Capability>>>,
    pub tokens: Vec<Token>,
}

impl Model {
    pub fn node(&mut self, parent: Option<usize>, owner: AgentId) -> usize {
        self.nodes.push(Node { parent, owner, dead: false, gone: false });
        self.nodes.len() - 1
    }

    pub fn depth(&self, node: usize) -> u32 {
        self.nodes[node].parent.map_or(0, |parent| self.depth(parent) + 1)
    }

    pub fn descends(&self, node: usize, from: usize) -> bool {
        self.nodes[node].parent.is_some_and(|parent| parent == from || self.descends(parent, from))
    }

    /// Whether who holds `node` keeps `above` in being: a derivation that is gone holds nothing.
    pub fn keeps(&self, node: usize, above: usize) -> bool {
        !self.nodes[node].gone && (node == above || self.nodes[node].parent.is_some_and(|parent| self.keeps(parent, above)))
    }

    pub fn is_void(&self, node: usize) -> bool {
        self.nodes[node].dead || self.nodes[node].parent.is_some_and(|parent| self.is_void(parent))
    }

    pub fn status(&self, capability: &Capability, now: u64) -> Option<Error> {
        if capability.expiry != 0 && now >= capability.expiry {
            Some(Error::Expired)
        } else if self.is_void(capability.node) {
            Some(Error::Revoked)
        } else {
            None
        }
    }

    pub fn revoke(&mut self, from: usize) {
        let all: Vec<usize> = (0..self.nodes.len()).filter(|&node| self.descends(node, from)).collect();
        all.into_iter().for_each(|node| self.nodes[node].dead = true);
        // Tokens were made from the node itself, and are as good as derived from it.
        for place in 0..self.tokens.len() {
            let node = self.tokens[place].of.node;
            self.tokens[place].void |= node == from || self.descends(node, from);
        }
    }

    /// What nobody holds any more takes its tokens along.
    pub fn collect(&mut self) {
        let held: BTreeSet<usize> =
            self.tables.values().map(|held| held.node).chain(self.mail.values().flatten().flatten().map(|held| held.node)).collect();
        for place in 0..self.tokens.len() {
            let node = self.tokens[place].of.node;
            self.tokens[place].void |= !held.iter().any(|&other| self.keeps(other, node));
        }
    }

    /// An agent is gone, or starts anew.
    pub fn bury(&mut self, id: AgentId) {
        self.nodes.iter_mut().filter(|node| node.owner == id).for_each(|node| (node.dead, node.gone) = (true, true));
        self.tables.retain(|key, _| key.0 != id.slot());
    }
}

/// A slot of the kernel as the model says it.
pub fn described(held: &cap::Slot, node: usize) -> Capability {
    let ranged = held.is_range();
    let word = if matches!(held.kind, Kind::Frame | Kind::Device) { 0 } else { held.word };
    Capability {
        kind: held.kind,
        object: if ranged { 0 } else { held.object },
        part: if ranged { held.range() } else { (0, 0) },
        word,
        rights: held.rights.0,
        expiry: held.expiry,
        node,
    }
}
