//! The system calls.
//!
//! `x8` holds the call number on the way in and the status on the way out: 0, or an [`Error`](crate::Error) code. Registers that a call
//! does not name as a result keep their value; `x13`–`x30`, `SP`, `V0`–`V31`, `FPCR` and `FPSR` always do. A call that fails changes `x8` only.
//!
//! Words: *slot* is a [`SlotHandle`](crate::SlotHandle) of the caller's table; `ns` are nanoseconds since boot; a *deadline* is absolute,
//! 0 polls and `u64::MAX` never passes. *info* is [`SendInfo`](crate::message::SendInfo) on the way in and
//! [`RecvInfo`](crate::message::RecvInfo) on the way out.

macro_rules! calls {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal;)+) => {
        /// A call by its number in `x8`.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u16)]
        pub enum Call {
            $($(#[doc = $doc])+ $name = $number,)+
        }

        impl Call {
            /// Every call, for tables and tests.
            pub const ALL: &'static [Call] = &[$(Call::$name,)+];

            /// The call with this number.
            #[inline]
            pub const fn from_number(number: u64) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// Its name, for the tracer and the shell.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }
        }
    };
}

calls! {
    /// Asynchronous send into the receiver's mailbox. In: `x9` service slot, `x10` info, `x0`–`x7`/`x11` message. Out: `x12` message id.
    /// `QueueFull` when the mailbox has no room; `MessageTooLong` and `CapsRefused` when it takes more than the receiver's last receive did. Needs `SEND`.
    IpcSend = 1;
    /// Waits for a message, notification, timer or interrupt. In: `x10` info, `x11` buffer, `x12` deadline.
    /// Out: `x0`–`x7`/`x11` message, `x9` sender, `x10` info, `x11` badge, `x12` message id. Notifications come as `x0` = bits that were set, which are then clear.
    IpcRecv = 2;
    /// Sends and waits for the one reply or error. In: `x9` service slot, `x10` info, `x0`–`x7`/`x11` message, `x11` also the reply's buffer, `x12` deadline.
    /// Out: `x0`–`x7`/`x11` reply, `x9` replier, `x10` info. `Deadlock` if the server waits for the caller, over however many others; `LimitReached` if more
    /// than 64 wait for each other from the server on. Needs `SEND`.
    IpcCall = 3;
    /// Answers a call. In: `x9` message id, `x10` info, `x0`–`x7`/`x11` reply.
    IpcReply = 4;
    /// `IpcReply`, then `IpcRecv`, in one. In: as both, `x9` message id (0: only receive). A reply that can't be delivered is not an error here:
    /// the caller is gone or has got its error already. Once the reply is made, `x9` may be 0, even if the receive then fails.
    IpcReplyRecv = 5;
    /// Sets bits in an agent's notification word. In: `x9` notification slot, `x0` bits (of those the capability allows). Needs `SEND`.
    Notify = 6;
    /// Lets others run.
    Yield = 7;
    /// Ends the caller. In: `x0` status; `x1` 1 if the status reports a panic, then `x2` address and `x3` length (at most 256) of a text for the log.
    Exit = 8;
    /// Sets the caller's timer. In: `x0` time in ns (`u64::MAX`: off), `x1` bits to raise in the caller's own notification word.
    TimerSet = 9;
    /// Out: `x0` ns since boot.
    TimeNow = 10;

    /// Makes an agent, not started, with the caller as its supervisor. In: `x9` pool slot that pays (needs `SPEND`), `x0` mailbox pages, `x1` pages of
    /// the new agent's own quota (taken from that pool), `x10` [`ABI_VERSION`](crate::ABI_VERSION).
    /// Out: `x0` slot of the agent capability, `x1` agent id. The new agent's table holds itself in slot index 1 and its pool in slot index 2.
    AgentSpawn = 16;
    /// Controls an agent. In: `x9` agent slot, `x0` [`AgentOp`], `x1`… its arguments.
    AgentControl = 17;
    /// Sets scheduling parameters. In: `x9` agent slot (needs `SCHEDULE`), `x0` class (0 fair, 1 EDF), `x1` weight or budget in ns, `x2` period in ns.
    /// `NotAdmitted` when the core could not keep every promise.
    SchedSet = 18;
    /// Asks to be told. In: `x9` agent slot (needs `WATCH`): its death; or a service slot that the caller minted: last use of its badge.
    /// `x0` bits to raise in the caller's notification word.
    Watch = 19;
    /// Registers the caller's own handler for data aborts and undefined instructions of a code range. In: `x0` handler PC (0: none),
    /// `x1` first and `x2` last+1 address of the code range, `x3` stack for the handler, `x4` address where the faulting registers
    /// (`x0`–`x30`, SP, PC, PSTATE, ESR, FAR: 36 words) are stored.
    FaultHandlerSet = 20;
    /// Answers a fault. In: `x9` message id, `x0` 0 resume, 1 resume at `x1`, 2 kill. A handler registered with `FaultHandlerSet` uses message id 0:
    /// all registers are taken from where they were stored.
    FaultReply = 21;

    /// Allocates zeroed, contiguous pages. In: `x9` slot of the caller's own pool (needs `SPEND`), `x0` pages, at most 32. Out: `x0` frame slot, `x1` physical address (for DMA).
    FrameAlloc = 32;
    /// Maps a frame or device, at most 128 pages. In: `x9` frame or device slot, `x0` agent slot (0: the caller; else needs `CONTROL`), `x1` page-aligned
    /// address, `x2` access as [`Rights`](crate::rights::Rights) `READ`/`WRITE`/`EXECUTE`. The caller maps a capability once; another agent gets, with
    /// each mapping, a copy in its own table that allows nothing but this access. Device memory is never RAM.
    /// A mapping ends with the capability's expiry; an agent has at most [`TIMED_MAPPINGS`](crate::limits::TIMED_MAPPINGS) that end so.
    PageMap = 33;
    /// Removes the mapping of a frame or device capability. In: `x9` slot.
    PageUnmap = 34;
    /// Makes a child pool. In: `x9` pool slot (needs `SPEND`), `x0` pages. Out: `x0` pool slot. Its pages go back when the last capability to it is gone,
    /// revoked ones included, and nothing of it is in use.
    AgentPoolAlloc = 35;
    /// Adds zeroed memory to the caller, mapped read-write. In: `x0` bytes (rounded up to pages), `x1` 1: pages come on first touch, 0: at once.
    /// Out: `x0` address.
    AgentMemAlloc = 36;
    /// Gives memory back. In: `x0` address as `AgentMemAlloc` returned it.
    AgentMemFree = 37;

    /// Makes a service capability (`x3` 0) or a notification capability (`x3` 1) of an agent: the caller itself, or one that it spawned, whose clients then
    /// keep their capabilities when it is restarted. In: `x9` agent slot (needs `MINT`), `x0` badge or allowed bits, `x1` rights, `x2` expiry in ns (0: that of `x9`; no
    /// later one). Out: `x0` slot.
    CapMint = 48;
    /// Derives a narrower capability. In: `x9` slot (needs `DERIVE`), `x0` rights, `x1` expiry in ns (0: the source's), `x2` and `x3` first page and number
    /// of pages (or first and number of interrupt lines) within the source (`x3` 0: all of it). Out: `x0` slot.
    CapDerive = 49;
    /// Gives a capability to another agent. In: `x9` agent slot (needs `CONTROL`), `x0` slot (needs `GRANT`), `x1` rights, `x2` expiry in ns (0: the source's),
    /// `x3` [`Transfer`], `x4` wanted index in the target's table, below [`SLOT_ANY`] (0: any). Out: `x0` slot handle in the target's table.
    CapGrant = 50;
    /// Empties a slot. In: `x9` slot. What was derived from it stays.
    CapDrop = 51;
    /// Ends every capability derived from this one, at once and on every core; mappings made through them go before the completion. In: `x9` slot (needs `REVOKE`),
    /// `x0` bits to raise in the caller's notification word when the last mapping is gone (0: don't).
    CapRevoke = 52;
    /// Writes a capability as a sealed token. In: `x9` slot (needs `GRANT` and `DERIVE`), `x0` id of the agent that may admit it, `x1` rights, `x2` expiry in ns,
    /// `x11` buffer of [`TOKEN_SIZE`] bytes.
    CapExport = 53;
    /// Fills a slot from a token. In: `x11` token. Out: `x0` slot.
    CapAdmit = 54;
    /// Checks a capability. In: `x9` slot, `x0` rights. Out: `x0` kind, `x1` rights, `x2` expiry.
    CapCheck = 55;

    /// Has an interrupt line raise bits in the caller's notification word. In: `x9` interrupt slot (needs `BIND`), `x0` line within it, `x1` bits.
    IrqBind = 64;
    /// Lets the line interrupt again. In: `x9` interrupt slot (needs `BIND`), `x0` line within it. `WrongState` if the caller has not bound it.
    IrqAck = 65;

    /// Registers the server behind a kernel call. In: `x9` service slot of the caller's own mailbox, `x0` which: 1 = PQC.
    /// Replaces the former one. `x1` seed slot (needs `WRITE`): only who may deliver the system's key may be its PQC server.
    ServiceRegister = 80;
    /// Hands an operation to the PQC server and returns at once. In: `x0`–`x6` payload, `x10` info (at most 56 bytes, at most one capability, in `x7`),
    /// `x12` deadline, `x13` bits to raise in the caller's notification word at the end. Out: `x0` handle.
    PqcOperation = 81;
    /// Asks for the result. In: `x9` handle. Out: `x0`–`x6` result, `x10` info. `Pending` until it is there; the handle ends with the answer.
    PqcPoll = 82;
    /// Gives an operation up. In: `x9` handle.
    PqcCancel = 83;

    /// Reads kernel state. In: `x9` observe slot (needs `READ`), `x0` [`Table`](crate::record::Table), `x1` cursor (0 at first), `x2` agent id for tables
    /// of one agent, `x11` buffer, `x10` its length in bytes. Out: `x0` records written, `x1` next cursor (0: that was all).
    Inspect = 96;
    /// Ends the machine's run. In: `x9` power slot, `x0` 0 power off, 1 reset.
    PowerControl = 97;
    /// Delivers the sealing key, once. In: `x9` seed slot, `x0`–`x3` 32 bytes.
    SeedSet = 98;
    /// Writes to the kernel's early console. In: `x9` console slot, `x10` length (at most 64), `x0`–`x7` bytes.
    ConsoleWrite = 99;
    /// Has a core record what its scheduler does; see [`trace`](crate::trace). In: `x9` observe slot (needs `READ`), `x0` frame slot (needs `WRITE`), `x1` core,
    /// `x2` bits to raise in the caller's notification word whenever half of the frame was filled (0: none), `x3` [`MODE_ONCE`](crate::trace::MODE_ONCE) or
    /// [`MODE_RING`](crate::trace::MODE_RING). `x0` 0 ends the caller's recording: what happened before is in the frame then. It ends by itself with
    /// either capability, with the frame's owner and with the caller. `Busy` if the core records for somebody, `WrongState` if there is nothing to
    /// end, `LimitReached` above [`AGENTS_MAX`](crate::trace::AGENTS_MAX) agents on the core.
    TraceBind = 100;
}

/// What `AgentControl` does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u16)]
pub enum AgentOp {
    /// Starts it. `x1` entry, `x2` stack pointer, `x3`–`x6` become its `x0`–`x3`. Needs `CONTROL`.
    Start = 1,
    /// Ends it and all that it spawned, for ever. Needs `KILL`.
    Kill = 2,
    /// Stops it until `Resume`. Needs `SUSPEND`.
    Suspend = 3,
    /// Lets it go on. Needs `RESUME`.
    Resume = 4,
    /// Empties its address space and table, keeps its id, mailbox and pool, counts its incarnation up and leaves it not started;
    /// calls that it had not answered end with `PeerRestarted`. Needs `CONTROL`.
    Restart = 5,
    /// Moves it to core `x1`. Needs `SCHEDULE`.
    Migrate = 6,
    /// Names it, for people: `x1`, `x2` 16 bytes of text. Needs `CONTROL`.
    Name = 7,
    /// Registers `x1`, a service slot of the caller's own mailbox or 0, as where its faults go. Needs `CONTROL`.
    Supervise = 8,
}

impl AgentOp {
    /// The operation with this number.
    pub const fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            1 => Self::Start,
            2 => Self::Kill,
            3 => Self::Suspend,
            4 => Self::Resume,
            5 => Self::Restart,
            6 => Self::Migrate,
            7 => Self::Name,
            8 => Self::Supervise,
            _ => return None,
        })
    }
}

/// How a capability gets into another table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u16)]
pub enum Transfer {
    /// A copy beside the original: whoever could revoke that can revoke this.
    Copy = 0,
    /// The original moves.
    Move = 1,
    /// A derived one, which the giver can revoke; takes `DERIVE`.
    Derive = 2,
}

impl Transfer {
    /// The transfer with this number.
    pub const fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::Copy,
            1 => Self::Move,
            2 => Self::Derive,
            _ => return None,
        })
    }
}

/// Scheduling class in `SchedSet`: weighted fair share.
pub const CLASS_FAIR: u64 = 0;
/// Scheduling class in `SchedSet`: earliest deadline first, with budget and period.
pub const CLASS_EDF: u64 = 1;

/// Bytes of a sealed token, as little-endian words: version, kind and rights; agent; object; badge, bits or index; expiry; derivation node; revocations
/// of that node; token id; four words of MAC. Only the kernel reads them.
pub const TOKEN_SIZE: usize = 96;

/// Index of the slot in which every agent finds the capability to itself.
pub const SLOT_SELF: u16 = 1;
/// Index of the slot in which every agent finds its pool.
pub const SLOT_POOL: u16 = 2;
/// First index that a spawner may fill.
pub const SLOT_FIRST: u16 = 3;
/// First index that the kernel chooses by itself; those below are filled only by who names them.
pub const SLOT_ANY: u16 = 16;

/// What the first program, init, finds in its table beside itself and the root pool.
pub mod init {
    /// All device memory: every physical page that is not RAM.
    pub const SLOT_DEVICES: u16 = 3;
    /// All interrupt lines.
    pub const SLOT_IRQS: u16 = 4;
    /// Power.
    pub const SLOT_POWER: u16 = 5;
    /// Observe.
    pub const SLOT_OBSERVE: u16 = 6;
    /// Seed.
    pub const SLOT_SEED: u16 = 7;
    /// Early console.
    pub const SLOT_CONSOLE: u16 = 8;
    /// The boot bundle, read-only and executable. Init finds it mapped: `x0` is its address, `x1` its length in bytes.
    pub const SLOT_BUNDLE: u16 = 9;
    /// The device tree, read-only. Init finds it mapped: `x2` is its address, `x3` its length in bytes.
    pub const SLOT_DEVICE_TREE: u16 = 10;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_back_to_their_calls() {
        for &call in Call::ALL {
            assert_eq!(Call::from_number(call as u64), Some(call));
        }
        assert_eq!(Call::from_number(0), None);
        assert_eq!(Call::from_number(u64::MAX), None);
    }
}
