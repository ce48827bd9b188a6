//! What `Inspect` returns: records of 64-bit words, the same for kernel, shell and the reader of a dead machine's memory.

macro_rules! record {
    ($(#[doc = $doc:literal])+ $name:ident [$words:literal] { $($(#[doc = $field_doc:literal])+ $field:ident,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
        #[repr(C)]
        pub struct $name {
            $($(#[doc = $field_doc])+ pub $field: u64,)+
        }

        impl $name {
            /// Words in a record.
            pub const WORDS: usize = $words;

            /// The record as words.
            pub const fn to_words(self) -> [u64; $words] {
                [$(self.$field,)+]
            }

            /// A record from words.
            pub const fn from_words(words: [u64; $words]) -> Self {
                let [$($field,)+] = words;
                Self { $($field,)+ }
            }
        }
    };
}

/// Which table `Inspect` reads.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u16)]
pub enum Table {
    /// [`AgentRecord`]s.
    Agents = 1,
    /// [`SlotRecord`]s of the agent in `x2`.
    Slots = 2,
    /// One [`MemoryRecord`].
    Memory = 3,
    /// [`CoreRecord`]s.
    Cores = 4,
    /// [`IrqRecord`]s of bound lines.
    Irqs = 5,
}

impl Table {
    /// The table with this number.
    pub const fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            1 => Self::Agents,
            2 => Self::Slots,
            3 => Self::Memory,
            4 => Self::Cores,
            5 => Self::Irqs,
            _ => return None,
        })
    }
}

/// What an agent is doing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum AgentState {
    /// Made, not started.
    New = 0,
    /// Runs or could run.
    Ready = 1,
    /// Waits in a receive.
    Receiving = 2,
    /// Waits to be received by the agent it calls.
    Calling = 3,
    /// Waits for a reply.
    AwaitingReply = 4,
    /// Faulted; waits for its supervisor.
    Faulted = 5,
    /// Ended; its memory is being taken back.
    Dying = 6,
    /// Waits for the answer of another core.
    Remote = 7,
}

impl AgentState {
    /// The state with this number.
    pub const fn from_code(code: u64) -> Option<Self> {
        Some(match code {
            0 => Self::New,
            1 => Self::Ready,
            2 => Self::Receiving,
            3 => Self::Calling,
            4 => Self::AwaitingReply,
            5 => Self::Faulted,
            6 => Self::Dying,
            7 => Self::Remote,
            _ => return None,
        })
    }

    /// The word for it that people see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Ready => "ready",
            Self::Receiving => "receiving",
            Self::Calling => "calling",
            Self::AwaitingReply => "awaiting",
            Self::Faulted => "faulted",
            Self::Dying => "dying",
            Self::Remote => "remote",
        }
    }
}

record! {
    /// One agent.
    AgentRecord [24] {
        /// Its id.
        id,
        /// First eight bytes of its name.
        name_low,
        /// Last eight bytes of its name.
        name_high,
        /// [`AgentState`]; bit 8 is set while it is suspended.
        state,
        /// Core on which it lives.
        core,
        /// 0 fair, 1 EDF.
        class,
        /// Weight, or budget in ns.
        weight,
        /// Period in ns.
        period_ns,
        /// CPU time charged to it, ns.
        cpu_ns,
        /// Pages used of its own pool.
        pages_used,
        /// Pages of its own pool.
        pages_quota,
        /// Messages received.
        received,
        /// Messages sent, calls included.
        sent,
        /// How often it was restarted.
        incarnation,
        /// Its spawner.
        parent,
        /// Where its faults go.
        supervisor,
        /// Bytes that wait in its mailbox.
        mailbox_used,
        /// Bytes that its mailbox holds.
        mailbox_size,
        /// Slots in use.
        slots_used,
        /// EDF deadlines missed.
        missed,
        /// Faults.
        faults,
        /// Program counter when last seen in the kernel.
        pc,
        /// Whom it waits for, if it calls.
        peer,
        /// Pending notification bits.
        notifications,
    }
}

record! {
    /// One capability slot.
    SlotRecord [12] {
        /// Slot handle.
        handle,
        /// [`Kind`](crate::rights::Kind) by number.
        kind,
        /// Rights.
        rights,
        /// Object: agent id, first page or first line.
        object,
        /// Badge, bits, or number of pages or lines.
        word,
        /// Expiry in ns, or 0.
        expiry,
        /// Derivation node.
        node,
        /// The node it was derived from, 0 for a root.
        parent,
        /// Agent whose derivation made it.
        deriver,
        /// Depth of the derivation.
        depth,
        /// 0 valid, else the [`Error`](crate::Error) that a use would get.
        status,
        /// Address at which a frame is mapped, 0 if it isn't.
        mapped,
    }
}

record! {
    /// Where the RAM is, in pages; the rows after `total` sum to it.
    MemoryRecord [12] {
        /// All RAM of the machine.
        total,
        /// Reserved by firmware and device tree, or too small to use.
        reserved,
        /// Kernel image and stage0.
        kernel,
        /// Boot bundle and device tree.
        bundle,
        /// Page tables of the kernel and per-core memory.
        kernel_tables,
        /// Objects that the kernel keeps for agents: agent blocks, slots, nodes, mailboxes.
        objects,
        /// Page tables of agents.
        page_tables,
        /// Frames with capabilities.
        frames,
        /// Agent memory.
        agent_memory,
        /// Free.
        free,
        /// Pages promised to pools and not used yet (a part of `free`).
        promised,
        /// Agents alive.
        agents,
    }
}

record! {
    /// One core.
    CoreRecord [16] {
        /// Its number.
        core,
        /// `MPIDR_EL1`.
        mpidr,
        /// `MIDR_EL1`.
        midr,
        /// Time since it came up, ns.
        up_ns,
        /// Time it had nothing to run, ns.
        idle_ns,
        /// Time in the kernel on behalf of nobody, ns.
        kernel_ns,
        /// Agents that live on it.
        agents,
        /// Switches from one agent to another.
        switches,
        /// Calls served.
        calls,
        /// Interrupts taken.
        interrupts,
        /// Epochs begun.
        epochs,
        /// EDF utilisation admitted, in 1/65536.
        admitted,
        /// Messages from other cores.
        ring_messages,
        /// Agent that runs.
        running,
        /// CPU time charged to agents, ns.
        agents_ns,
        /// CPU time charged to agents that are gone, ns.
        gone_ns,
    }
}

record! {
    /// One bound interrupt line.
    IrqRecord [6] {
        /// INTID.
        line,
        /// Agent that gets it.
        agent,
        /// Notification bits.
        bits,
        /// Times it fired.
        count,
        /// 1 while it waits for `IrqAck`.
        masked,
        /// Core to which it is routed.
        core,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_round_trip() {
        let mut words = [0; AgentRecord::WORDS];
        for (i, word) in words.iter_mut().enumerate() {
            *word = i as u64 + 1;
        }
        assert_eq!(AgentRecord::from_words(words).to_words(), words);
        assert_eq!(core::mem::size_of::<AgentRecord>(), AgentRecord::WORDS * 8);
        assert_eq!(core::mem::size_of::<CoreRecord>(), CoreRecord::WORDS * 8);
    }
}
