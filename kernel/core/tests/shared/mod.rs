//! As much of a machine as derivation nodes need: a few of them, which several cores share, and stamps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aios_abi::AgentId;
use aios_core::agent::Agent;
use aios_core::cap::Node;
use aios_core::core::Packet;
use aios_core::machine::{Lane, Machine, Memory, Object};

/// Places of nodes, the list of free ones at 0 included.
const NODES: usize = 5;

/// One core's view of what is shared.
#[derive(Clone)]
pub struct Side {
    nodes: Arc<Vec<Node>>,
    /// Every thread gets another one, in whatever order; that they are asked for is no access that another core could see half of.
    stamps: Arc<AtomicU64>,
}

/// Two views of fresh nodes, which are all free.
pub fn others() -> (Side, Side) {
    let nodes: Vec<Node> = (0..NODES).map(|_| Node::fresh()).collect();
    nodes[0].payload.store((1 << NODES) - 2, Ordering::Relaxed);
    let side = Side { nodes: Arc::new(nodes), stamps: Arc::default() };
    (side.clone(), side)
}

/// What nodes never ask for.
fn nobody_asks() -> ! {
    panic!("nodes need no more of a machine than nodes and stamps")
}

impl Memory for Side {
    fn alloc(&mut self, _: u64) -> Option<u64> {
        nobody_asks()
    }
    fn free(&mut self, _: u64, _: u64) {
        nobody_asks()
    }
    fn read(&self, _: u64) -> u64 {
        nobody_asks()
    }
    fn write(&mut self, _: u64, _: u64) {
        nobody_asks()
    }
    fn copy(&mut self, _: u64, _: u64, _: usize) {
        nobody_asks()
    }
    fn read_bytes(&self, _: u64, _: &mut [u8]) {
        nobody_asks()
    }
    fn write_bytes(&mut self, _: u64, _: &[u8]) {
        nobody_asks()
    }
    fn flush_page(&mut self, _: u16, _: u64) {
        nobody_asks()
    }
    fn flush_space(&mut self, _: u16) {
        nobody_asks()
    }
    fn sync_code(&mut self, _: u64, _: u64) {
        nobody_asks()
    }
    fn interrupt_pending(&self) -> bool {
        nobody_asks()
    }
}

impl Machine for Side {
    type Page<T: Object> = Box<T>;

    fn node(&self, index: u32) -> Option<&Node> {
        self.nodes.get(index as usize)
    }
    fn stamp(&mut self) -> u64 {
        self.stamps.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn page<T: Object>(&mut self) -> Option<Box<T>> {
        nobody_asks()
    }
    fn release<T: Object>(&mut self, _: Box<T>) {
        nobody_asks()
    }
    fn add_nodes(&mut self) -> Option<u32> {
        nobody_asks()
    }
    fn hide_nodes(&mut self, _: u32) {
        nobody_asks()
    }
    fn remove_nodes(&mut self, _: u32) {
        nobody_asks()
    }
    fn claim_agent(&mut self) -> Option<(u16, u32)> {
        nobody_asks()
    }
    fn release_agent(&mut self, _: u16) {
        nobody_asks()
    }
    fn cores(&self) -> u16 {
        nobody_asks()
    }
    fn home(&self, _: u16) -> Option<u16> {
        nobody_asks()
    }
    fn set_home(&mut self, _: u16, _: u16) {
        nobody_asks()
    }
    fn post(&mut self, _: u16, _: Lane, _: Packet) -> bool {
        nobody_asks()
    }
    fn take(&mut self, _: Lane) -> Option<Packet> {
        nobody_asks()
    }
    fn can_send_agent(&self, _: u16) -> bool {
        nobody_asks()
    }
    fn send_agent(&mut self, _: u16, _: Box<Agent<Self>>) -> Result<(), Box<Agent<Self>>> {
        nobody_asks()
    }
    fn take_agent(&mut self) -> Option<Box<Agent<Self>>> {
        nobody_asks()
    }
    fn set_timer(&mut self, _: u64) {
        nobody_asks()
    }
    fn line(&mut self, _: u32, _: bool) {
        nobody_asks()
    }
    fn is_device(&self, _: u64, _: u64) -> bool {
        nobody_asks()
    }
    fn console(&mut self, _: &[u8]) {
        nobody_asks()
    }
    fn power(&mut self, _: bool) {
        nobody_asks()
    }
    fn describe(&mut self, _: u64, _: AgentId, _: u32) {
        nobody_asks()
    }
    fn forget(&mut self, _: u16) {
        nobody_asks()
    }
    fn save_fp(&mut self, _: u16) {
        nobody_asks()
    }
}
