//! The port between the kernel's logic and the machine that it runs on.
//!
//! Implementations: the AArch64 edge in `kernel/image`, the simulator in `tests/sim`, which also refuses memory when it is told to, and the machine of
//! the model checker in `tests/model`, which is cheap to copy. Physical addresses are plain `u64`; every one that the core passes in came out of
//! [`Memory::alloc`] or describes a capability that the machine's hand-over granted.

use core::ops::DerefMut;

use aios_abi::AgentId;

use crate::agent::Agent;
use crate::cap::Node;
use crate::core::Packet;

/// Physical memory, page by page.
///
/// Reads and writes are of RAM that the core was given; they are naturally aligned and never cross a page.
pub trait Memory {
    /// Allocates `pages` contiguous zeroed pages. `None` if there is no such run. Accounting happened before: see [`crate::pool`].
    fn alloc(&mut self, pages: u64) -> Option<u64>;
    /// Gives pages back. No core has them mapped any more.
    fn free(&mut self, address: u64, pages: u64);
    /// Reads the word at a physical address.
    fn read(&self, address: u64) -> u64;
    /// Writes the word at a physical address; a table walker that looks later sees it.
    fn write(&mut self, address: u64, word: u64);
    /// Copies `length` bytes; neither side crosses a page, and they don't overlap.
    fn copy(&mut self, to: u64, from: u64, length: usize);
    /// Copies bytes out of a page.
    fn read_bytes(&self, address: u64, bytes: &mut [u8]);
    /// Copies bytes into a page.
    fn write_bytes(&mut self, address: u64, bytes: &[u8]);
    /// Removes cached translations of one page of an address space, on every core.
    fn flush_page(&mut self, asid: u16, address: u64);
    /// Removes cached translations of an address space, on every core.
    fn flush_space(&mut self, asid: u16);
    /// Makes bytes that were written through data accesses visible to instruction fetches of every core.
    fn sync_code(&mut self, address: u64, pages: u64);
    /// Whether an interrupt waits: long work then stores how far it came and lets go.
    fn interrupt_pending(&self) -> bool;
}

/// A value that can live in a page of its own.
pub trait Object: Sized {
    /// What a fresh page holds.
    const EMPTY: Self;
}

/// Rings from one core to another, by what they carry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Lane {
    /// Requests.
    Request,
    /// Answers.
    Answer,
    /// Notices.
    Notice,
}

/// Everything that the core asks of the hardware.
pub trait Machine: Memory + Sized {
    /// An owned page of memory that holds a `T`, at most 4 KiB.
    type Page<T: Object>: DerefMut<Target = T>;

    /// Allocates a page and puts [`Object::EMPTY`] into it.
    fn page<T: Object>(&mut self) -> Option<Self::Page<T>>;
    /// Gives a page back.
    fn release<T: Object>(&mut self, page: Self::Page<T>);

    /// The derivation node with this index, if its page is there. Nodes are the one thing that all cores read.
    fn node(&self, index: u32) -> Option<&Node>;
    /// Adds a page of fresh nodes, [opened](crate::cap::NodePage::open) where the last one of its number ended; answers the number: the page's
    /// nodes are `number * NODES_PER_PAGE`…. A number whose generations are used up is not used again.
    fn add_nodes(&mut self) -> Option<u32>;
    /// Lets no core find the nodes of a page any more. One that has found them before may still look.
    fn hide_nodes(&mut self, number: u32);
    /// Takes a hidden page of nodes away. Every core has been through its kernel's end since it was hidden.
    fn remove_nodes(&mut self, number: u32);
    /// A number that was never returned before on this machine, and never zero.
    fn stamp(&mut self) -> u64;

    /// Claims a free place in the agent table that all cores share; never 0.
    fn claim_agent(&mut self) -> Option<(u16, u32)>;
    /// Gives a place back. The next claim of it gets a higher generation.
    fn release_agent(&mut self, slot: u16);

    /// Cores that run; their numbers are below this.
    fn cores(&self) -> u16;
    /// The core on which the agent at this place of the agent table lives; `None` if the place is free. A claimed place starts on this core.
    fn home(&self, slot: u16) -> Option<u16>;
    /// Says that an agent lives on this core from now on; or on another, to which this one has just sent it, unless somebody has said something newer.
    fn set_home(&mut self, slot: u16, core: u16);
    /// Puts a packet into a ring to another core, and wakes that. False if the ring is full.
    fn post(&mut self, core: u16, lane: Lane, packet: Packet) -> bool;
    /// Takes a packet of this lane that another core has sent to this one; each sender has its turn.
    fn take(&mut self, lane: Lane) -> Option<Packet>;
    /// Whether [`send_agent`](Self::send_agent) to that core would succeed now.
    fn can_send_agent(&self, core: u16) -> bool;
    /// Hands an agent's block to another core, and wakes that. Gives it back if the last one was not taken yet.
    fn send_agent(&mut self, core: u16, agent: Self::Page<Agent<Self>>) -> Result<(), Self::Page<Agent<Self>>>;
    /// Takes an agent that another core has handed to this one.
    fn take_agent(&mut self) -> Option<Self::Page<Agent<Self>>>;

    /// Asks for a timer interrupt at `at_ns`; `u64::MAX` means none. Replaces the former request.
    fn set_timer(&mut self, at_ns: u64);
    /// Enables or disables an interrupt line and, when it enables, routes it to this core.
    fn line(&mut self, line: u32, enable: bool);
    /// Whether none of these physical pages is RAM or belongs to the kernel's own devices.
    fn is_device(&self, first_page: u64, pages: u64) -> bool;
    /// Writes to the early console.
    fn console(&mut self, bytes: &[u8]);
    /// Ends the machine's run: powers off, or resets.
    fn power(&mut self, reset: bool);
    /// Fills the information page at `page` for an agent; see [`aios_abi::info`].
    fn describe(&mut self, page: u64, agent: AgentId, incarnation: u32);
    /// Forgets what the core's registers hold for this agent: floating-point state, and its address space, which is about to go.
    fn forget(&mut self, slot: u16);
    /// Makes sure that the agent block holds the floating-point state of this agent.
    fn save_fp(&mut self, slot: u16);
}
