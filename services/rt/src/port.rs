//! What the loop needs of the kernel. The native runtime implements it with system calls, tests with a script.

use aios_abi::message::Fault;
use aios_abi::{MessageId, SlotHandle};
use aios_proto::{CapList, Received, TransportError};

/// Something that a receive returned.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message, in the buffer that was given.
    Message(Message),
    /// Bits of the notification word; they are clear again.
    Notification {
        /// The bits.
        bits: u64,
    },
    /// A fault of an agent that this one supervises.
    Fault {
        /// What to answer with `FaultReply`.
        message: MessageId,
        /// What happened.
        fault: Fault,
        /// Bytes of the text of a panic, in the buffer that was given; 0 of any other fault.
        text: usize,
    },
    /// The deadline passed.
    Timeout,
}

/// A message as the kernel stamped it.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its length, bytes.
    pub length: usize,
    /// Id of the sender.
    pub agent: u64,
    /// Badge of the capability that it came through.
    pub badge: u64,
    /// Rights of that capability.
    pub rights: u32,
    /// What to reply to.
    pub id: MessageId,
    /// Whether the sender waits for a reply.
    pub call: bool,
    /// Capabilities that came with it.
    pub caps: Received,
}

/// The system calls of a server. One receive waits for everything, with a deadline, so timers need no call of their own.
pub trait Port {
    /// Nanoseconds since boot.
    fn now_ns(&mut self) -> u64;

    /// Waits until something comes, or until `deadline_ns` (absolute; `u64::MAX` never passes). A message is written to `buffer`, whole;
    /// one that is longer, or that carries more than `take_caps` capabilities, is refused by the kernel and never seen here. The deadline may
    /// be reported as [`Event::Timeout`] or as the kernel's status `Timeout`.
    fn receive(&mut self, buffer: &mut [u8], take_caps: u8, deadline_ns: u64) -> Result<Event, TransportError>;

    /// Answers a call.
    fn reply(&mut self, to: MessageId, packet: &[u8], caps: &CapList) -> Result<(), TransportError>;

    /// `reply` with the first `length` bytes of `buffer`, then `receive` into `buffer`, as one call: the kernel has one address for both.
    /// That the caller does not wait any more is no error. With the status `Timeout` the reply is sent; with any other neither was done.
    fn reply_receive(
        &mut self,
        to: MessageId,
        buffer: &mut [u8],
        length: usize,
        caps: &CapList,
        take_caps: u8,
        deadline_ns: u64,
    ) -> Result<Event, TransportError>;

    /// Raises bits through a notification capability.
    fn notify(&mut self, slot: SlotHandle, bits: u64) -> Result<(), TransportError>;

    /// Has bits of this agent's notification word raised when an agent dies, or when the last capability with a badge is gone.
    fn watch(&mut self, slot: SlotHandle, bits: u64) -> Result<(), TransportError>;

    /// Empties a slot.
    fn drop_capability(&mut self, slot: SlotHandle);
}
