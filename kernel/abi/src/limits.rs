//! Every fixed bound, once.

/// Bytes in a page.
pub const PAGE_SIZE: usize = 4096;
/// Longest message, bytes.
pub const MESSAGE_MAX: usize = 64 * 1024;
/// Longest message that travels in registers, bytes.
pub const MESSAGE_REGISTERS: usize = 64;
/// Capabilities that ride on one message.
pub const MESSAGE_CAPS: usize = 4;
/// Agents that can exist at once. Slot 0 is the kernel's.
pub const AGENTS: usize = 4096;
/// Cores that the kernel drives.
pub const CORES: usize = 16;
/// Capability slots of one page of a table.
pub const SLOTS_PER_PAGE: usize = 64;
/// Pages of a capability table: 4,096 slots.
pub const SLOT_PAGES: usize = 64;
/// Places for derivation nodes in one page; the first of them lists the free ones.
pub const NODES_PER_PAGE: usize = 64;
/// Pages of derivation nodes that one agent can own: what it derived and minted, 4,032 at once.
pub const NODE_PAGES: usize = 64;
/// Deepest derivation; a root has depth 0.
pub const DERIVE_DEPTH: u8 = 16;
/// Calls in a chain (who waits for one that waits for another…) over which an agent's place in the order and its time are lent. Nobody may call, or wait
/// with a fault for, an agent from which a longer chain leads on.
pub const CALL_DEPTH: usize = 64;
/// Pages of a mailbox.
pub const MAILBOX_PAGES: usize = 32;
/// Agent memory (`AgentMemAlloc`) that one agent may have, bytes.
pub const AGENT_MEMORY: u64 = 1 << 30;
/// Regions of agent memory.
pub const REGIONS: usize = 32;
/// Pages of one frame capability made by `FrameAlloc`.
pub const FRAME_PAGES: u64 = 32;
/// Mappings that one agent may have through capabilities that expire.
pub const TIMED_MAPPINGS: usize = 32;
/// Agents that may watch one agent.
pub const WATCHERS: usize = 8;
/// PQC operations that one agent may have open.
pub const PQC_OPERATIONS: usize = 4;
/// Payload of a PQC operation and of its result, bytes.
pub const PQC_PAYLOAD: usize = 56;
/// Interrupt lines: INTIDs below this can be bound.
pub const IRQS: usize = 1024;
/// Length of an epoch, ns.
pub const EPOCH_NS: u64 = 10_000_000;
/// Shortest time slice, ns.
pub const SLICE_MIN_NS: u64 = 250_000;
/// Smallest budget of an EDF reservation, ns: to begin a period costs as much however short it is, and nobody is charged for that. All reservations of a
/// core together begin 3,600 periods a second at most.
pub const BUDGET_MIN_NS: u64 = SLICE_MIN_NS;
/// Largest weight of the fair class.
pub const WEIGHT_MAX: u32 = 1024;
/// Weight that an agent has at first.
pub const WEIGHT_DEFAULT: u32 = 64;

/// First user address of a program.
pub const USER_BASE: u64 = 0x40_0000;
/// End of the addresses that users map: 39 bits, the last GiB kept by the kernel.
pub const USER_END: u64 = (1 << 39) - (1 << 30);
/// Where `AgentMemAlloc` places memory.
pub const AGENT_MEM_BASE: u64 = 0x20_0000_0000;
/// End of the window of `AgentMemAlloc`.
pub const AGENT_MEM_END: u64 = 0x60_0000_0000;
/// The read-only information page of every agent; also in `TPIDRRO_EL0`.
pub const INFO_PAGE: u64 = USER_END;
