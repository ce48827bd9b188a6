//! The agent block: one page that holds everything the kernel keeps for one agent, or owns the pages that do.
//!
//! Agent = protection domain: one address space, one thread, one capability table, one pool, one mailbox, one scheduling context, one
//! notification word. The block and all that hangs on it move as a whole between cores, and go back as a whole at the agent's death.

mod duplicate;

use aios_abi::call::SLOT_ANY;
use aios_abi::id::{AgentId, MessageId, SlotHandle};
use aios_abi::limits::{NODE_PAGES, PQC_OPERATIONS, SLOT_PAGES, SLOTS_PER_PAGE, TIMED_MAPPINGS, WATCHERS};
use aios_abi::message::Received;
use aios_abi::rights::Kind;
use aios_abi::{Error, record};

use crate::cap::{Slot, SlotPage};
use crate::core::{Asking, Cargo};
use crate::machine::{Machine, Object};
use crate::mailbox::Mailbox;
use crate::pool::Pool;
use crate::sched::Sc;
use crate::space::{CopyCursor, DestroyCursor, Regions, Space};
use crate::timers::{KINDS, TimerLinks};

/// Child pools that an agent can make; index 0 is its own pool.
pub const POOLS: usize = 16;

/// General registers, in the order in which the edge's entry code stores them.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[repr(C)]
pub struct Registers {
    /// `x0`–`x30`.
    pub x: [u64; 31],
    /// `SP_EL0`.
    pub sp: u64,
    /// `ELR_EL1`.
    pub pc: u64,
    /// `SPSR_EL1`.
    pub pstate: u64,
    /// `TPIDR_EL0`.
    pub tls: u64,
    /// Keeps the size a multiple of 16.
    pub spare: u64,
}

/// Floating-point registers, switched lazily.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[repr(C, align(16))]
pub struct FpRegisters {
    /// `V0`–`V31`.
    pub v: [u128; 32],
    /// `FPCR`.
    pub control: u64,
    /// `FPSR`.
    pub status: u64,
}

/// What an agent is doing. Blocking calls keep their arguments where the agent left them: in its registers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// Made, not started.
    New,
    /// Runs or could run.
    Ready,
    /// Waits in a receive.
    Receiving,
    /// Waits in the queue of this agent for its call to be received.
    Calling(AgentId),
    /// Waits for this agent's reply.
    Awaiting(AgentId),
    /// Faulted and waits in the queue of this supervisor.
    Faulting(AgentId),
    /// Faulted, and this supervisor knows.
    Faulted(AgentId),
    /// Waits for the answer of another core.
    Remote,
    /// Ended; what it has is being taken back.
    Dying,
}

impl State {
    /// The number that `Inspect` shows.
    pub const fn code(self) -> u64 {
        (match self {
            Self::New => record::AgentState::New,
            Self::Ready => record::AgentState::Ready,
            Self::Receiving => record::AgentState::Receiving,
            Self::Remote => record::AgentState::Remote,
            Self::Calling(_) => record::AgentState::Calling,
            Self::Awaiting(_) => record::AgentState::AwaitingReply,
            Self::Faulting(_) | Self::Faulted(_) => record::AgentState::Faulted,
            Self::Dying => record::AgentState::Dying,
        }) as u64
    }

    /// Whom it waits for.
    pub const fn peer(self) -> Option<AgentId> {
        match self {
            Self::Calling(peer) | Self::Awaiting(peer) | Self::Faulting(peer) | Self::Faulted(peer) => Some(peer),
            _ => None,
        }
    }
}

/// Kernel work that an agent's own time pays for and that an interrupt may interrupt: how far it came.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Work {
    /// Bring pages of a region in, from `next` to `end`.
    Populate {
        /// Start of the region.
        base: u64,
        /// Next address.
        next: u64,
        /// End of the region.
        end: u64,
    },
    /// Take pages of a region back, from `next` to `end`; then finish with this status.
    Vacate {
        /// Next address.
        next: u64,
        /// End of the region.
        end: u64,
        /// Error to report at the end, if any.
        error: Option<Error>,
    },
    /// Remove mappings that a revocation made void: agents from this table index on, slots from this index on.
    Unmap {
        /// Root of the tree.
        root: u32,
        /// Next agent.
        agent: u16,
        /// Next slot of it.
        slot: u16,
        /// The core whose turn it is; the first is this one.
        core: u16,
        /// Bits to raise at the end.
        bits: u64,
    },
    /// Put the long message that the registers name into a mailbox.
    Post {
        /// Whose.
        to: AgentId,
        /// Id, badge and rights of the message.
        outgoing: Outgoing,
        /// Bytes that are there.
        done: u32,
    },
    /// Clear away an agent that this one ended or restarts, so that what it had is there when the call returns.
    Clear {
        /// The agent.
        victim: AgentId,
    },
    /// Load the long message that the registers name into cargo; then the call that sends it is made.
    Load {
        /// Where to.
        cargo: Cargo,
        /// Bytes that are there.
        done: u32,
    },
}

/// A long message on its way into an agent's memory, interrupted: from whom, what, and how far it came. Whatever else reaches the agent voids it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Copy {
    /// Who sends it.
    pub from: AgentId,
    /// The message that waited; or, if the sender's own call brings it, what [`Agent::copying`] is as long as that call is made again.
    pub turn: MessageId,
    /// Where it lies.
    pub source: u64,
    /// Where it goes.
    pub target: u64,
    /// Bytes.
    pub length: u32,
    /// How far it came.
    pub cursor: CopyCursor,
}

/// A place in a doubly linked list of agents, by agent-table slot; 0 is none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Links {
    /// Next agent.
    pub next: u16,
    /// Previous agent.
    pub previous: u16,
}

/// Head and tail of a list of agents.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct List {
    /// First agent.
    pub head: u16,
    /// Last agent.
    pub tail: u16,
}

/// What the kernel remembers of the message that an agent waits with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Outgoing {
    /// Its id.
    pub message: MessageId,
    /// Badge of the capability that it went through.
    pub badge: u64,
    /// Rights of that capability.
    pub rights: u32,
}

/// One PQC operation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Operation {
    /// What the owner calls it; 0 marks a free place.
    pub handle: u64,
    /// The message that carried it.
    pub message: MessageId,
    /// Who serves it.
    pub server: AgentId,
    /// When to give up, ns.
    pub deadline: u64,
    /// Bits to raise at the end.
    pub bits: u64,
    /// The answer, once it is there.
    pub result: Option<Result<(u32, [u64; 7]), Error>>,
}

impl Operation {
    /// A free place.
    pub const FREE: Self = Self { handle: 0, message: MessageId::NONE, server: AgentId::KERNEL, deadline: u64::MAX, bits: 0, result: None };
}

/// A handler that an agent registered for its own faults.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Handler {
    /// Where it starts; 0: none.
    pub entry: u64,
    /// First address of the code that it handles faults of.
    pub first: u64,
    /// Address behind that code.
    pub end: u64,
    /// Its stack.
    pub stack: u64,
    /// Where the registers go.
    pub save: u64,
    /// It runs now.
    pub active: bool,
}

/// Counters for people.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Counters {
    /// Messages received.
    pub received: u64,
    /// Messages sent.
    pub sent: u64,
    /// Faults.
    pub faults: u64,
}

/// A capability table: pages of slots, brought in as they are needed.
pub struct SlotTable<M: Machine> {
    pages: [Option<M::Page<SlotPage>>; SLOT_PAGES],
    /// First of the places that were given back; 0 is none.
    free: u16,
    /// Lowest place that was never used.
    fresh: u16,
    /// Slots in use.
    pub used: u16,
}

impl<M: Machine> SlotTable<M> {
    /// No slots.
    pub const EMPTY: Self = Self { pages: [const { None }; SLOT_PAGES], free: 0, fresh: SLOT_ANY, used: 0 };

    /// The slot at an index, if its page is there.
    #[inline]
    pub fn at(&mut self, index: u16) -> Option<&mut Slot> {
        let page = self.pages.get_mut(index as usize / SLOTS_PER_PAGE)?.as_mut()?;
        Some(&mut page.0[index as usize % SLOTS_PER_PAGE])
    }

    /// The slot at an index, to look at.
    pub fn look(&self, index: u16) -> Option<&Slot> {
        let page = self.pages.get(index as usize / SLOTS_PER_PAGE)?.as_ref()?;
        Some(&page.0[index as usize % SLOTS_PER_PAGE])
    }

    /// The slot that a handle names.
    #[inline]
    pub fn get(&mut self, handle: SlotHandle) -> Result<&mut Slot, Error> {
        let slot = self.at(handle.index()).ok_or(Error::NoCapability)?;
        if slot.generation != handle.generation() || slot.kind == Kind::Empty {
            return Err(Error::NoCapability);
        }
        Ok(slot)
    }

    /// Highest index that was ever in use.
    pub const fn end(&self) -> u16 {
        self.fresh
    }

    /// Makes sure that `count` slots are free, and answers the index of the first. `pool` pays if that takes pages.
    pub fn reserve(&mut self, machine: &mut M, pool: &mut Pool, objects: &mut u64, count: u16) -> Result<u16, Error> {
        let (mut listed, mut at) = (0, self.free);
        while at != 0 && listed < count {
            listed += 1;
            at = self.look(at).map_or(0, |slot| slot.object as u16);
        }
        let wanted = count - listed;
        if wanted != 0 {
            self.back(machine, pool, objects, self.fresh)?;
            self.back(machine, pool, objects, self.fresh + wanted - 1)?;
        }
        Ok(self.next_place())
    }

    /// Makes sure that the slot at `index`, below [`SLOT_ANY`], is free: places that the kernel never chooses by itself.
    pub fn reserve_at(&mut self, machine: &mut M, pool: &mut Pool, objects: &mut u64, index: u16) -> Result<(), Error> {
        if index == 0 || index >= SLOT_ANY {
            return Err(Error::BadArgument);
        }
        match self.look(index) {
            Some(slot) if slot.kind != Kind::Empty => return Err(Error::Busy),
            // Its handles are used up.
            Some(slot) if slot.generation == 0 => return Err(Error::NoSlots),
            _ => {}
        }
        self.back(machine, pool, objects, index)
    }

    /// The place that the next capability goes to.
    pub const fn next_place(&self) -> u16 {
        if self.free != 0 { self.free } else { self.fresh }
    }

    fn back(&mut self, machine: &mut M, pool: &mut Pool, objects: &mut u64, index: u16) -> Result<(), Error> {
        let page = index as usize / SLOTS_PER_PAGE;
        if page >= SLOT_PAGES {
            return Err(Error::NoSlots);
        }
        if self.pages[page].is_none() {
            pool.take(1)?;
            let Some(fresh) = machine.page() else {
                pool.give(1);
                return Err(Error::NoMemory);
            };
            self.pages[page] = Some(fresh);
            *objects = objects.wrapping_add(1);
        }
        Ok(())
    }

    /// Puts a capability into the place that `reserve` or `reserve_at` answered.
    pub fn fill(&mut self, index: u16, mut slot: Slot) -> SlotHandle {
        if index == self.free {
            self.free = self.at(index).map_or(0, |slot| slot.object as u16);
        } else if index == self.fresh {
            self.fresh += 1;
        }
        let Some(place) = self.at(index) else { return SlotHandle::NONE };
        slot.generation = place.generation;
        *place = slot;
        self.used += 1;
        SlotHandle::new(index, slot.generation)
    }

    /// Empties a place. A place whose generation is used up is never used again.
    pub fn clear(&mut self, index: u16) {
        let next = self.free;
        let Some(place) = self.at(index) else { return };
        if place.kind == Kind::Empty {
            return;
        }
        let generation = place.generation;
        *place = Slot::EMPTY;
        if generation < u16::MAX {
            place.generation = generation + 1;
            if index >= SLOT_ANY {
                place.object = next as u64;
                self.free = index;
            }
        } else {
            place.generation = 0;
        }
        self.used -= 1;
    }

    /// Gives every page back; answers how many there were.
    pub fn release(&mut self, machine: &mut M) -> u64 {
        let mut count = 0;
        for page in self.pages.iter_mut().filter_map(Option::take) {
            machine.release(page);
            count += 1;
        }
        *self = Self::EMPTY;
        count
    }
}

/// One agent.
#[repr(C)]
pub struct Agent<M: Machine> {
    /// General registers; first, so that the edge finds them at the block's address.
    pub registers: Registers,
    /// Floating-point registers.
    pub fp: FpRegisters,
    /// Its id; the kernel's for an agent that isn't there.
    pub id: AgentId,
    /// What it is doing.
    pub state: State,
    /// Somebody suspended it.
    pub suspended: bool,
    /// Kernel work before it may go on.
    pub work: Option<Work>,
    /// Its address space.
    pub space: Space,
    /// Pending notification bits.
    pub notifications: u64,
    /// A long message that is on its way into its memory.
    pub copy: Option<Copy>,
    /// Its call, which brings a long message, was interrupted in the middle and is made again: no other has this number.
    pub copying: MessageId,
    /// What it is sending.
    pub outgoing: Outgoing,
    /// Its place in the queue or list of open calls of the agent that it waits for.
    pub links: Links,
    /// Callers that wait to be received.
    pub queue: List,
    /// Callers that were received and wait for a reply.
    pub open: List,
    /// Take from the mailbox before the queue next time.
    pub mailbox_first: bool,
    /// Its scheduling context.
    pub sc: Sc,
    /// A client whose budget ended while this server worked for it; it is debited too.
    pub debit: AgentId,
    /// Its timers.
    pub timers: TimerLinks,
    /// Bits that its timer raises.
    pub timer_bits: u64,
    /// Its capability table.
    pub slots: SlotTable<M>,
    /// Its pools: its own at index 0, then those that it made.
    pub pools: [Pool; POOLS],
    /// Pools that nobody can spend from any more, a bit each: they go back when nothing of them is in use.
    pub closed_pools: u16,
    /// Pages of its derivation nodes, by number plus one.
    pub node_pages: [u32; NODE_PAGES],
    /// Where to look for a free node first.
    pub node_hint: u16,
    /// Messages that wait.
    pub mailbox: Mailbox,
    /// Its memory regions.
    pub regions: Regions,
    /// Handler of its own faults.
    pub handler: Handler,
    /// Its spawner.
    pub parent: AgentId,
    /// The pool of the spawner that its quota came from.
    pub payer: u8,
    /// Agents that it spawned and that are still there.
    pub children: u32,
    /// Its last fault: cause, syndrome, address.
    pub fault: (u16, u64, u64),
    /// Where its faults go, and with which badge.
    pub supervisor: (AgentId, u64),
    /// Who is told of its death, and by which bits.
    pub watchers: [(AgentId, u64); WATCHERS],
    /// Its open PQC operations.
    pub operations: [Operation; PQC_OPERATIONS],
    /// Capabilities that it takes from a message that waits in its mailbox.
    pub takes_caps: u8,
    /// What it asked of another core.
    pub asking: Asking,
    /// The message that it sent to another core, and how many capabilities are in it.
    pub cargo: Option<(Cargo, u8)>,
    /// Cargo with a payload in it, for the call that it is about to make.
    pub loaded: Option<Cargo>,
    /// The capability that it gives to an agent of another core.
    pub granting: Option<Slot>,
    /// Its timers while it moves to another core.
    pub travel_ns: [u64; KINDS],
    /// Bytes of a long message that it takes from its mailbox.
    pub takes_bytes: u32,
    /// Times that it was restarted.
    pub incarnation: u32,
    /// Its name, for people.
    pub name: [u64; 2],
    /// The page at `INFO_PAGE`.
    pub info: u64,
    /// Counters for people.
    pub counters: Counters,
    /// Capabilities that expire and are mapped, by index; 0 is none.
    pub timed: [u16; TIMED_MAPPINGS],
    /// Next agent whose remains are to be cleared away.
    pub reap: Reap,
}

/// How far the clearing away of a dead agent came.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Reap {
    /// Next dying agent.
    pub next: u16,
    /// Previous dying agent.
    pub previous: u16,
    /// What is done already.
    pub phase: u8,
    /// Next index within the phase.
    pub index: u32,
    /// It keeps its id and is started again.
    pub restart: bool,
    /// It waits for other cores or for its children.
    pub parked: bool,
    /// Mappings may exist that were made through what it derived.
    pub mapped: bool,
    /// A child came to another core while the children were looked for: they are looked for again.
    pub again: bool,
    /// The core whose turn it is.
    pub core: u16,
    /// Where the search for void mappings goes on: agent and slot index.
    pub scan: (u16, u16),
    /// What is left of the address space.
    pub space: DestroyCursor,
}

impl<M: Machine> Object for Agent<M> {
    const EMPTY: Self = Self {
        registers: Registers { x: [0; 31], sp: 0, pc: 0, pstate: 0, tls: 0, spare: 0 },
        fp: FpRegisters { v: [0; 32], control: 0, status: 0 },
        id: AgentId::KERNEL,
        state: State::New,
        suspended: false,
        work: None,
        space: Space::NONE,
        notifications: 0,
        copy: None,
        copying: MessageId::NONE,
        outgoing: Outgoing { message: MessageId::NONE, badge: 0, rights: 0 },
        links: Links { next: 0, previous: 0 },
        queue: List { head: 0, tail: 0 },
        open: List { head: 0, tail: 0 },
        mailbox_first: false,
        sc: Sc::EMPTY,
        debit: AgentId::KERNEL,
        timers: TimerLinks::EMPTY,
        timer_bits: 0,
        slots: SlotTable::EMPTY,
        pools: [Pool::NONE; POOLS],
        closed_pools: 0,
        node_pages: [0; NODE_PAGES],
        node_hint: 0,
        mailbox: Mailbox::EMPTY,
        regions: Regions::EMPTY,
        handler: Handler { entry: 0, first: 0, end: 0, stack: 0, save: 0, active: false },
        parent: AgentId::KERNEL,
        payer: 0,
        children: 0,
        fault: (0, 0, 0),
        supervisor: (AgentId::KERNEL, 0),
        watchers: [(AgentId::KERNEL, 0); WATCHERS],
        operations: [Operation::FREE; PQC_OPERATIONS],
        takes_caps: 0,
        takes_bytes: 0,
        asking: Asking::Nothing,
        cargo: None,
        loaded: None,
        granting: None,
        travel_ns: [u64::MAX; KINDS],
        incarnation: 0,
        name: [0; 2],
        info: 0,
        counters: Counters { received: 0, sent: 0, faults: 0 },
        timed: [0; TIMED_MAPPINGS],
        reap: Reap {
            next: 0,
            previous: 0,
            phase: 0,
            index: 0,
            restart: false,
            parked: false,
            mapped: false,
            again: false,
            core: 0,
            scan: (0, 0),
            space: DestroyCursor::START,
        },
    };
}

impl<M: Machine> Agent<M> {
    /// Ends the call in progress: done.
    #[inline]
    pub fn succeed(&mut self) {
        self.registers.x[8] = 0;
    }

    /// Ends the call in progress with an error; nothing else changes.
    pub fn fail(&mut self, error: Error) {
        self.registers.x[8] = error.code() as u64;
        self.forget_copies();
    }

    /// The call that was interrupted in the middle of a long copy is not made again: the next begins at the start.
    pub const fn forget_copies(&mut self) {
        self.copy = None;
        self.copying = MessageId::NONE;
    }

    /// Whether it could run if a processor were free.
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready && !self.suspended
    }

    /// Whether what it has is being taken back, and something can be done for that now.
    pub const fn is_clearing(&self) -> bool {
        self.reap.phase != 0 && !self.reap.parked
    }

    /// Puts pending notification bits into the registers of a receive.
    pub fn take_notifications(&mut self) {
        let bits = core::mem::take(&mut self.notifications);
        self.copy = None;
        let x = &mut self.registers.x;
        x[0] = bits;
        x[8] = 0;
        x[9] = 0;
        x[10] = aios_abi::message::RecvInfo { kind: Received::Notification, ..Default::default() }.encode();
        x[11] = 0;
        x[12] = 0;
    }
}
