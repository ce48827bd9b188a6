//! Names of things: small numbers with a generation, so that a stale one is detected and never mistaken for its successor.

/// An agent: node 16 | slot 16 | generation 32, from the most significant bit. Zero is the kernel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct AgentId(pub u64);

impl AgentId {
    /// The kernel itself: the sender of fault messages.
    pub const KERNEL: Self = Self(0);

    /// Builds an id on this node (node 0).
    pub const fn new(slot: u16, generation: u32) -> Self {
        Self(((slot as u64) << 32) | generation as u64)
    }

    /// The agent's place in the agent table; also its address-space identifier (ASID).
    pub const fn slot(self) -> u16 {
        (self.0 >> 32) as u16
    }

    /// Counts the users of the slot; never zero for an agent.
    pub const fn generation(self) -> u32 {
        self.0 as u32
    }

    /// The machine on which the agent lives; zero is this one.
    pub const fn node(self) -> u16 {
        (self.0 >> 48) as u16
    }

    /// Whether this names the kernel.
    pub const fn is_kernel(self) -> bool {
        self.0 == 0
    }
}

impl core::fmt::Debug for AgentId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{}", self.slot(), self.generation())
    }
}

/// A place in the caller's capability table: index 16 | generation 16, from the most significant bit.
///
/// Index 0 is never used, so that a zeroed register names nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct SlotHandle(pub u32);

impl SlotHandle {
    /// The handle that names nothing.
    pub const NONE: Self = Self(0);

    /// Builds a handle.
    pub const fn new(index: u16, generation: u16) -> Self {
        Self(((index as u32) << 16) | generation as u32)
    }

    /// The place in the table.
    pub const fn index(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// Counts the users of the place.
    pub const fn generation(self) -> u16 {
        self.0 as u16
    }
}

impl core::fmt::Debug for SlotHandle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{}", self.index(), self.generation())
    }
}

/// A message: the sender's agent slot 16 | counter 48. Unique for one boot; zero is none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[repr(transparent)]
pub struct MessageId(pub u64);

impl MessageId {
    /// No message.
    pub const NONE: Self = Self(0);

    /// Builds an id from the sender's slot and a counter below 2^48.
    pub const fn new(slot: u16, counter: u64) -> Self {
        Self(((slot as u64) << 48) | (counter & 0xffff_ffff_ffff))
    }

    /// The agent-table slot of the sender.
    pub const fn sender_slot(self) -> u16 {
        (self.0 >> 48) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_take_apart_what_they_put_together() {
        let id = AgentId::new(0xabcd, 0x1234_5678);
        assert_eq!((id.node(), id.slot(), id.generation()), (0, 0xabcd, 0x1234_5678));
        let handle = SlotHandle::new(7, 9);
        assert_eq!((handle.index(), handle.generation()), (7, 9));
        let message = MessageId::new(0xffff, 0xffff_ffff_ffff);
        assert_eq!(message.sender_slot(), 0xffff);
    }
}
