//! A port that follows a script and writes down what the loop does, stricter than a kernel: it refuses replies to messages that it did not
//! deliver or that were answered, and says so.

use std::collections::{BTreeSet, VecDeque};

use aios_abi::message::{Fault, SendInfo};
use aios_abi::{Error, MessageId, SlotHandle};
use aios_proto::{CapList, Received, TransportError};

use crate::port::{Event, Message, Port};

/// Something that the loop did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Done {
    /// Answered a message, alone or together with a receive.
    Reply {
        /// Which message.
        to: MessageId,
        /// With what.
        packet: Vec<u8>,
        /// And which capabilities.
        caps: CapList,
        /// Whether in one call with a receive.
        fused: bool,
    },
    /// Waited until this deadline.
    Receive {
        /// Absolute, ns.
        deadline_ns: u64,
    },
    /// Raised bits.
    Notify {
        /// Through this capability.
        slot: SlotHandle,
        /// These.
        bits: u64,
    },
    /// Asked to be told of an end.
    Watch {
        /// With this capability.
        slot: SlotHandle,
        /// By these bits.
        bits: u64,
    },
    /// Emptied a slot.
    Drop {
        /// This one.
        slot: SlotHandle,
    },
}

/// The port. Events come in the order of the script; when that is at its end, receives time out at their deadline, and those that have none
/// time out once and then fail.
#[derive(Debug, Default)]
pub struct FakePort {
    /// The time; a receive that times out moves it on.
    pub now_ns: u64,
    /// What the loop did.
    pub done: Vec<Done>,
    /// Whether the script is at its end and nothing more will happen.
    pub ended: bool,
    /// The status that the next call that can fail gets.
    pub fail_next: Option<Error>,
    script: VecDeque<(u64, Vec<u8>, Event)>,
    open: BTreeSet<MessageId>,
    next: u64,
}

impl FakePort {
    /// Puts an event into the script, at this time.
    pub fn event(&mut self, now_ns: u64, event: Event) {
        self.script.push_back((now_ns, Vec::new(), event));
    }

    /// Puts a fault into the script, with the text of a panic.
    pub fn fault(&mut self, now_ns: u64, fault: Fault, text: &[u8]) {
        self.next += 1;
        let event = Event::Fault { message: MessageId::new(fault.agent as u16, self.next), fault, text: text.len() };
        self.script.push_back((now_ns, text.to_vec(), event));
    }

    /// Puts a message into the script and returns its id.
    pub fn message(&mut self, now_ns: u64, agent: u64, call: bool, packet: &[u8], caps: &[SlotHandle]) -> MessageId {
        self.next += 1;
        let id = MessageId::new(agent as u16, self.next);
        let (length, caps) = (packet.len(), Received::new(caps));
        let message = Message { length, agent, badge: agent + 1000, rights: u32::MAX, id, call, caps };
        self.script.push_back((now_ns, packet.to_vec(), Event::Message(message)));
        id
    }

    /// The reply to a message, if it was sent.
    pub fn reply_to(&self, id: MessageId) -> Option<&[u8]> {
        self.done.iter().find_map(|done| match done {
            Done::Reply { to, packet, .. } if *to == id => Some(packet.as_slice()),
            _ => None,
        })
    }

    /// A caller stops waiting.
    pub fn leave(&mut self, id: MessageId) {
        self.open.remove(&id);
    }

    fn fail(&mut self) -> Result<(), TransportError> {
        self.fail_next.take().map_or(Ok(()), |error| Err(error.into()))
    }

    fn answer(&mut self, to: MessageId, packet: &[u8], caps: &CapList, fused: bool) -> bool {
        let info = SendInfo { length: packet.len() as u32, caps: caps.slots().len() as u8, ..SendInfo::default() };
        assert_eq!(SendInfo::decode(info.encode()), Some(info), "a reply of {} bytes can't be sent", packet.len());
        let waits = self.open.remove(&to);
        if waits {
            self.done.push(Done::Reply { to, packet: packet.to_vec(), caps: *caps, fused });
        }
        waits
    }

    fn wait(&mut self, buffer: &mut [u8], deadline_ns: u64) -> Result<Event, TransportError> {
        self.done.push(Done::Receive { deadline_ns });
        if self.script.front().is_none_or(|(now_ns, ..)| *now_ns > deadline_ns) {
            if deadline_ns != u64::MAX {
                self.now_ns = self.now_ns.max(deadline_ns);
            } else if core::mem::replace(&mut self.ended, true) {
                return Err(Error::Deadlock.into());
            }
            return Ok(Event::Timeout);
        }
        let (now_ns, packet, event) = self.script.pop_front().ok_or(Error::Deadlock)?;
        self.now_ns = self.now_ns.max(now_ns);
        let length = packet.len().min(buffer.len());
        buffer[..length].copy_from_slice(&packet[..length]);
        if let Event::Message(message) = &event
            && message.call
        {
            self.open.insert(message.id);
        }
        Ok(event)
    }
}

impl Port for FakePort {
    fn now_ns(&mut self) -> u64 {
        self.now_ns
    }

    fn receive(&mut self, buffer: &mut [u8], _: u8, deadline_ns: u64) -> Result<Event, TransportError> {
        self.fail()?;
        self.wait(buffer, deadline_ns)
    }

    fn reply(&mut self, to: MessageId, packet: &[u8], caps: &CapList) -> Result<(), TransportError> {
        self.fail()?;
        if self.answer(to, packet, caps, false) { Ok(()) } else { Err(Error::NoSuchMessage.into()) }
    }

    fn reply_receive(
        &mut self,
        to: MessageId,
        buffer: &mut [u8],
        length: usize,
        caps: &CapList,
        _: u8,
        deadline_ns: u64,
    ) -> Result<Event, TransportError> {
        self.fail()?;
        let packet = buffer[..length].to_vec();
        self.answer(to, &packet, caps, true);
        self.wait(buffer, deadline_ns)
    }

    fn notify(&mut self, slot: SlotHandle, bits: u64) -> Result<(), TransportError> {
        self.fail()?;
        self.done.push(Done::Notify { slot, bits });
        Ok(())
    }

    fn watch(&mut self, slot: SlotHandle, bits: u64) -> Result<(), TransportError> {
        self.fail()?;
        self.done.push(Done::Watch { slot, bits });
        Ok(())
    }

    fn drop_capability(&mut self, slot: SlotHandle) {
        self.done.push(Done::Drop { slot });
    }
}
