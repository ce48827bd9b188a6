//! Capabilities by kind: a slot handle that says what it should name.
//!
//! Having one proves nothing: the kernel checks every use. The types only keep a program from mixing them up.

use aios_abi::SlotHandle;
use aios_abi::call::{SLOT_POOL, SLOT_SELF};
use aios_abi::rights::Kind;

/// A capability of a certain kind.
pub trait Capability: Copy {
    /// Its kind; [`Kind::Empty`] if it may be any.
    const KIND: Kind;

    /// Takes a slot as one that holds this kind.
    fn from_handle(handle: SlotHandle) -> Self;

    /// The slot.
    fn handle(self) -> SlotHandle;

    /// The slot as a register has it.
    #[inline(always)]
    fn word(self) -> u64 {
        self.handle().0 as u64
    }

    /// The slot, whatever it holds.
    #[inline(always)]
    fn slot(self) -> Slot {
        Slot(self.handle())
    }
}

macro_rules! capabilities {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:ident;)+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(transparent)]
        pub struct $name(pub SlotHandle);

        impl Capability for $name {
            const KIND: Kind = Kind::$kind;

            #[inline(always)]
            fn from_handle(handle: SlotHandle) -> Self {
                Self(handle)
            }

            #[inline(always)]
            fn handle(self) -> SlotHandle {
                self.0
            }
        }
    )+};
}

capabilities! {
    /// A slot of any kind.
    Slot: Empty;
    /// An agent, to be controlled.
    Agent: Agent;
    /// A service: a mailbox to send to, with a badge.
    Service: Service;
    /// Memory pages.
    Frame: Frame;
    /// A memory pool.
    Pool: Pool;
    /// Interrupt lines.
    Irq: Irq;
    /// Bits of an agent's notification word.
    Notification: Notification;
    /// Device memory.
    Device: Device;
    /// Power and reset.
    Power: Power;
    /// Reading the kernel's state.
    Observe: Observe;
    /// Delivering the sealing key's seed.
    Seed: Seed;
    /// The kernel's early console.
    Console: Console;
}

impl Slot {
    /// The place with this index in a table in which it was filled once and never emptied: what a program is started with.
    pub const fn first(index: u16) -> Self {
        Self(SlotHandle::new(index, 1))
    }

    /// The slot as one that holds `C`.
    pub fn cast<C: Capability>(self) -> C {
        C::from_handle(self.0)
    }
}

impl Agent {
    /// The capability of every agent to itself.
    pub const OWN: Self = Self(SlotHandle::new(SLOT_SELF, 1));
}

impl Pool {
    /// The pool of every agent.
    pub const OWN: Self = Self(SlotHandle::new(SLOT_POOL, 1));
}

/// The slot whose handle a register has; a register that has more than a handle names nothing.
#[inline(always)]
pub(crate) fn handle(word: u64) -> SlotHandle {
    SlotHandle(u32::try_from(word).unwrap_or(0))
}
