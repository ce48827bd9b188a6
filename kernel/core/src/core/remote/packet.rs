//! What travels between cores.

use aios_abi::Error;
use aios_abi::call::AgentOp;
use aios_abi::id::{AgentId, MessageId};
use aios_abi::limits::MESSAGE_REGISTERS;
use aios_abi::message::{Received, SendInfo};
use aios_abi::record::{AgentRecord, Table};

use super::super::pools::ChildPool;
use super::super::token::KEY_SIZE;
use crate::agent::Outgoing;
use crate::cap::Slot;
use crate::sched::Params;
use crate::space::Access;

/// Words of an answer: the longest record, its length, and the next cursor.
pub const ANSWER_WORDS: usize = AgentRecord::WORDS + 2;
/// Pages that hold capabilities and payload of a message between cores.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Cargo {
    /// Physical address of the first page.
    pub address: u64,
    /// How many there are.
    pub pages: u64,
}

/// A message on its way to another core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parcel {
    /// Who sends it.
    pub sender: AgentId,
    /// Its length and capabilities.
    pub info: SendInfo,
    /// Its id, and the badge and rights of the capability that it went through.
    pub outgoing: Outgoing,
    /// The payload, if registers hold it.
    pub words: [u64; 8],
    /// Where capabilities and a longer payload are.
    pub cargo: Option<Cargo>,
}

impl Parcel {
    /// A message of register words.
    pub(in crate::core) const fn of_words(sender: AgentId, info: SendInfo, outgoing: Outgoing, words: [u64; 8]) -> Self {
        Self { sender, info, outgoing, words, cargo: None }
    }

    /// Whether the payload is in cargo.
    pub(super) const fn is_long(&self) -> bool {
        self.info.length as usize > MESSAGE_REGISTERS
    }
}

/// What an agent asks of another core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// Deliver a message or a call.
    Message {
        /// The receiver.
        to: AgentId,
        /// Message or call.
        kind: Received,
        /// The message.
        parcel: Parcel,
    },
    /// Deliver the reply to a call.
    Reply {
        /// The replier's incarnation.
        incarnation: u32,
        /// The reply; its message id is the call's.
        parcel: Parcel,
    },
    /// Raise notification bits.
    Notify {
        /// Whose.
        to: AgentId,
        /// Which.
        bits: u64,
    },
    /// Tell a supervisor of a fault.
    Fault {
        /// The supervisor.
        to: AgentId,
        /// The fault; its words are [`aios_abi::message::Fault`].
        parcel: Parcel,
    },
    /// Answer a fault.
    Judge {
        /// The fault's message.
        message: MessageId,
        /// The supervisor.
        from: AgentId,
        /// 0 resume, 1 resume at `pc`, 2 kill.
        verdict: u64,
        /// Where to resume.
        pc: u64,
    },
    /// `AgentControl`.
    Control {
        /// The agent.
        to: AgentId,
        /// What to do.
        op: AgentOp,
        /// `x1`–`x6`.
        arguments: [u64; 6],
    },
    /// Set an agent's supervisor: agent and badge.
    Supervise {
        /// The agent.
        to: AgentId,
        /// Its supervisor.
        supervisor: (AgentId, u64),
    },
    /// `SchedSet`.
    Schedule {
        /// The agent.
        to: AgentId,
        /// Its parameters.
        params: Params,
    },
    /// `Watch` on an agent.
    Watch {
        /// The agent.
        to: AgentId,
        /// Who watches.
        watcher: AgentId,
        /// Bits to raise at its death.
        bits: u64,
    },
    /// Put a capability into a table.
    Grant {
        /// Whose.
        to: AgentId,
        /// The capability; the reference on its node goes along.
        slot: Slot,
        /// Index, or 0.
        wanted: u16,
    },
    /// Map a frame or device into an agent, which gets the capability too.
    Map {
        /// Into whose space.
        to: AgentId,
        /// The capability, its word the address; the reference on its node goes along.
        slot: Slot,
        /// How.
        access: Access,
    },
    /// An agent is gone (or starts anew): end waits for it, and kill its children.
    Depart {
        /// The agent.
        id: AgentId,
        /// What those hear that wait for it.
        error: Error,
    },
    /// Nothing: the answer says that the core has been through its kernel's end since.
    Pass,
    /// Remove mappings that were made through capabilities that are void.
    Sweep {
        /// Root of their tree; of any tree, if there is none.
        root: Option<u32>,
    },
    /// Record the scheduler.
    Record {
        /// For whom.
        to: AgentId,
        /// The observe capability that allows it.
        observe: Slot,
        /// Where to: a frame, the reference on its node goes along. Empty: no more.
        frame: Slot,
        /// Bits to raise when half of it was filled.
        bits: u64,
        /// How it is filled.
        mode: u64,
    },
    /// One record.
    Inspect {
        /// Of which table.
        table: Table,
        /// Cursor.
        cursor: u64,
        /// Agent, for tables of one agent.
        subject: AgentId,
    },
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Done.
    Done,
    /// Refused.
    Failed(Error),
    /// Not now: the call starts over.
    Again,
}

/// What travels between cores.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packet {
    /// A request.
    Request {
        /// The core that wants the answer.
        core: u16,
        /// The agent that waits for it.
        from: AgentId,
        /// What it asks.
        request: Request,
    },
    /// The answer to a request.
    Answer {
        /// The core that answers.
        core: u16,
        /// The agent that waits for it.
        to: AgentId,
        /// How it ended.
        status: Status,
        /// What it brings.
        values: [u64; ANSWER_WORDS],
    },
    /// Something for an agent that needs no answer.
    Notice(Notice),
    /// The sealing key was delivered.
    Key([u8; KEY_SIZE]),
    /// A server was registered.
    Server(Registration),
}

/// The server that takes PQC operations.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Registration {
    /// The agent; the kernel's id if there is none.
    pub server: AgentId,
    /// Badge of the capability that it was registered with.
    pub badge: u64,
    /// Rights of that capability.
    pub rights: u32,
    /// Orders registrations: the highest counts.
    pub stamp: u64,
}

impl Registration {
    /// Nobody is registered.
    pub const NONE: Self = Self { server: AgentId::KERNEL, badge: 0, rights: 0, stamp: 0 };
}

/// Something for an agent that needs no answer. It follows the agent wherever that moves.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Notice {
    /// Raise notification bits.
    Raise {
        /// Whose.
        to: AgentId,
        /// Which.
        bits: u64,
    },
    /// Give pages back to a pool.
    Credit {
        /// Whose pool.
        to: AgentId,
        /// Which.
        pool: u8,
        /// Pages.
        pages: u64,
        /// A child's quota: the child is gone.
        child: bool,
    },
    /// The last capability to a child pool is gone.
    Pool {
        /// Whose pool.
        to: AgentId,
        /// Which.
        pool: ChildPool,
    },
    /// A child of this agent came to live on another core.
    Arrived {
        /// The parent.
        to: AgentId,
    },
}

impl Notice {
    /// Whom it is for.
    pub const fn to(&self) -> AgentId {
        match *self {
            Self::Raise { to, .. } | Self::Credit { to, .. } | Self::Pool { to, .. } | Self::Arrived { to } => to,
        }
    }
}

/// What an agent does when its answer comes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Asking {
    /// It asks nothing.
    #[default]
    Nothing,
    /// The call ends with the answer's status.
    Status,
    /// The same, and `x0` is the first value.
    Value,
    /// A call: it waits for the reply until the deadline.
    Call(AgentId),
    /// A call to an agent that came to this core and ended here before the answer was taken: received or not, the call ends with this.
    Gone(Error),
    /// A one-way message: `x12` is its id.
    Send,
    /// A reply, and then a receive.
    ReplyThenReceive,
    /// A fault: the agent stays stopped.
    Fault(AgentId),
    /// A grant of the capability in this slot index; a move is completed when it is done.
    Grant {
        /// Index in the asker's table.
        index: u16,
        /// Move.
        moves: bool,
    },
    /// A mapping into another agent.
    Mapping,
    /// Records go to the asker's buffer.
    Inspect,
    /// A PQC operation.
    Operation(MessageId),
    /// The reaper goes on.
    Reap,
    /// The work goes on with the next core.
    Work,
}
