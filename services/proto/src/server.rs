//! The server's side: a request as the dispatcher sees it, and replies that come now or later.

use core::fmt;
use core::marker::PhantomData;

use aios_abi::SlotHandle;
use aios_abi::message::Header;
use serde::Serialize;

use crate::error::{Failure, ServiceError};
use crate::operation::{Interface, Operation, OperationInfo};
use crate::packet::{self, CapList, HEADER, Received};
use crate::types::ErrorCode;
use crate::value::encode;

/// Who asks, as the kernel stamped it. Servers decide by badge and rights, never by the agent alone.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Caller {
    /// Id of the sending agent.
    pub agent: u64,
    /// Badge of the capability that it used.
    pub badge: u64,
    /// Rights of that capability.
    pub rights: u32,
    /// When the message was received, ns since boot.
    pub now_ns: u64,
}

/// A message to be dispatched.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Its bytes.
    pub packet: &'a [u8],
    /// What came with it.
    pub caps: &'a Received,
    /// Whether the sender waits for a reply.
    pub call: bool,
    /// Under which name an answer can come later; `None` if no more of them can be kept track of.
    pub ticket: Option<Ticket>,
}

impl<'a> Incoming<'a> {
    /// The header; all zero if the packet is too short.
    pub fn header(&self) -> Header {
        packet::header(self.packet).unwrap_or_default()
    }

    /// The number of the interface that it is for.
    pub fn interface(&self) -> u16 {
        self.header().interface
    }

    /// Everything that can be checked without looking at the payload. Returns what is known of the operation, and the payload.
    pub fn check(&self, interface: &Interface, caller: &Caller) -> Result<(&'static OperationInfo, &'a [u8]), ErrorCode> {
        let header = packet::header(self.packet).ok_or(ErrorCode::BadLength)?;
        if header.interface != interface.number {
            return Err(ErrorCode::BadInterface);
        }
        if header.major != interface.major {
            return Err(ErrorCode::BadVersion);
        }
        if header.flags != 0 {
            return Err(ErrorCode::BadSchema);
        }
        let operation = interface.operation(header.operation).ok_or(ErrorCode::BadOperation)?;
        if operation.mark.oneway == self.call {
            return Err(ErrorCode::WrongWay);
        }
        if caller.rights & operation.right != operation.right {
            return Err(ErrorCode::MissingRight);
        }
        if self.caps.len() != usize::from(operation.caps_in) {
            return Err(ErrorCode::BadCapabilities);
        }
        if self.packet.len() > operation.max_request as usize {
            return Err(ErrorCode::BadLength);
        }
        let payload = packet::payload(self.packet, header, self.caps.len()).ok_or(ErrorCode::BadLength)?;
        if operation.mark.pending && self.ticket.is_none() {
            return Err(ErrorCode::Busy);
        }
        Ok((operation, payload))
    }
}

/// What became of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Outcome {
    /// There is a reply in the buffer.
    Replied,
    /// The reply will come later, under the ticket of the message.
    Pending,
    /// It was one-way, and is done.
    Done,
    /// Its dispatcher refused it; if it was a call, the reply that says so is in the buffer.
    Refused(ErrorCode),
}

/// Where a reply is written: a buffer, and capabilities beside it.
#[derive(Debug)]
pub struct Outgoing<'b> {
    buffer: &'b mut [u8],
    length: usize,
    caps: CapList,
}

impl<'b> Outgoing<'b> {
    /// An empty reply in this buffer.
    pub fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, length: 0, caps: CapList::NONE }
    }

    /// The packet, empty if there is none.
    pub fn packet(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }

    /// The capabilities that go with it.
    pub fn caps(&self) -> CapList {
        self.caps
    }

    /// Adds a capability.
    pub fn grant<C: Capability>(&mut self, grant: Grant<C>) -> Option<()> {
        let (slot, moved) = match grant {
            Grant::Copy(slot) => (slot, false),
            Grant::Move(capability) => (capability.handle(), true),
        };
        self.caps.push(slot, moved).then_some(())
    }

    /// Writes the results. Only generated code calls this, once a reply and after all grants.
    pub fn put<O: Operation, T: Serialize>(&mut self, results: &T) -> Option<()> {
        let header = Header { interface: O::INTERFACE, operation: O::INFO.number, major: O::MAJOR, flags: Header::REPLY, length: 0 };
        let payload = encode(results, self.buffer.get_mut(HEADER..)?)?;
        self.length = packet::seal(self.buffer, header, payload, self.caps.slots().len())?;
        Some(())
    }

    /// Writes an answer: a result, an error, or that the result didn't fit.
    pub fn answer<O: Operation>(&mut self, result: Result<O::Output<'_>, Failure<O::Error>>) {
        let header = Header { interface: O::INTERFACE, operation: O::INFO.number, major: O::MAJOR, flags: 0, length: 0 };
        self.length = 0;
        self.caps = CapList::NONE;
        match result {
            Ok(output) => {
                if O::put(output, self).is_none() {
                    self.error(header, ErrorCode::TooLong.code(), 0);
                }
            }
            Err(Failure::Refused(code)) => self.error(header, code.code(), 0),
            Err(Failure::Service(error)) => {
                let detail = self.buffer.get_mut(HEADER + 2..).and_then(|room| error.put_detail(room));
                match detail {
                    Some(detail) => self.error(header, error.code(), detail),
                    None => self.error(header, ErrorCode::TooLong.code(), 0),
                }
            }
        }
    }

    /// Writes that a message was refused, with the numbers that it came with.
    pub fn refuse(&mut self, request: &Incoming<'_>, code: ErrorCode) -> Outcome {
        self.length = 0;
        self.caps = CapList::NONE;
        if request.call {
            self.error(request.header(), code.code(), 0);
        }
        Outcome::Refused(code)
    }

    /// Writes a common error as the reply to a request with this header.
    pub fn give_up(&mut self, request: Header, code: ErrorCode) {
        self.length = 0;
        self.error(request, code.code(), 0);
    }

    /// An error whose detail, if it has one, is in its place already.
    fn error(&mut self, header: Header, code: u16, detail: usize) {
        self.caps = CapList::NONE;
        let header = Header { flags: Header::REPLY | Header::ERROR, length: 0, ..header };
        let Some(place) = self.buffer.get_mut(HEADER..HEADER + 2) else { return };
        place.copy_from_slice(&code.to_le_bytes());
        self.length = packet::seal(self.buffer, header, 2 + detail, 0).unwrap_or(0);
    }
}

/// Writes the answer to a message whose operation answers at once.
pub fn finish<O: Operation>(result: Result<O::Output<'_>, Failure<O::Error>>, out: &mut Outgoing<'_>) -> Outcome {
    out.answer::<O>(result);
    Outcome::Replied
}

/// Writes the answer to a message whose operation may answer later, if it is there.
pub fn finish_or_wait<O: Operation>(answer: Answer<O::Output<'_>, O::Error>, out: &mut Outgoing<'_>) -> Outcome {
    match answer {
        Answer::Now(result) => finish::<O>(result, out),
        Answer::Later => Outcome::Pending,
    }
}

/// The answer of an operation that may answer later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Answer<T, E> {
    /// This is it.
    Now(Result<T, Failure<E>>),
    /// The server has put the [`Later`] that it got aside and will answer with it.
    Later,
}

impl<T, E> From<Result<T, Failure<E>>> for Answer<T, E> {
    fn from(result: Result<T, Failure<E>>) -> Self {
        Self::Now(result)
    }
}

/// Names a reply that is owed: a place in the loop's table and a count of its users, so that a stale one is noticed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket {
    /// The place.
    pub index: u16,
    /// Which user of the place.
    pub generation: u32,
}

/// A [`Ticket`] that knows which operation it answers.
pub struct Later<O> {
    ticket: Ticket,
    operation: PhantomData<fn() -> O>,
}

impl<O: Operation> Later<O> {
    /// Only dispatchers call this, with the ticket of the message that they dispatch.
    pub const fn new(ticket: Ticket) -> Self {
        Self { ticket, operation: PhantomData }
    }

    /// The ticket, by which the loop speaks of the reply when it is cancelled.
    pub const fn ticket(self) -> Ticket {
        self.ticket
    }
}

// Not derived: that would ask the same of `O`, which is only a name.
impl<O> Clone for Later<O> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<O> Copy for Later<O> {}
impl<O> PartialEq for Later<O> {
    fn eq(&self, other: &Self) -> bool {
        self.ticket == other.ticket
    }
}
impl<O> Eq for Later<O> {}
impl<O> fmt::Debug for Later<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ticket.fmt(f)
    }
}

/// A capability of a known kind, in a slot of this program. Dropping the value does not empty the slot: that takes a system call.
pub trait Capability: Sized {
    /// The capability in this slot. The kernel checks its kind when it is used.
    fn from_handle(slot: SlotHandle) -> Self;

    /// Its slot.
    fn handle(&self) -> SlotHandle;
}

/// A capability that a server gives away with a reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Grant<C> {
    /// A copy of the one in this slot.
    Copy(SlotHandle),
    /// This one.
    Move(C),
}

/// A capability that came with a message. Unless the server keeps it, it is dropped when the message is done.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a, C> {
    caps: &'a Received,
    place: usize,
    kind: PhantomData<fn() -> C>,
}

impl<'a, C: Capability> Arrived<'a, C> {
    /// The capability at this place among those that came.
    pub const fn new(caps: &'a Received, place: usize) -> Self {
        Self { caps, place, kind: PhantomData }
    }

    /// Its slot, for use while the message is handled.
    pub fn handle(&self) -> SlotHandle {
        self.caps.slot(self.place)
    }

    /// Takes it.
    pub fn keep(self) -> C {
        C::from_handle(self.caps.keep(self.place))
    }
}

/// A kind of capability.
macro_rules! capability {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(PartialEq, Eq, Debug)]
        pub struct $name(::aios_abi::SlotHandle);

        impl $crate::Capability for $name {
            fn from_handle(slot: ::aios_abi::SlotHandle) -> Self {
                Self(slot)
            }

            fn handle(&self) -> ::aios_abi::SlotHandle {
                self.0
            }
        }
    };
}
pub(crate) use capability;
