//! Init's mailbox: the runtime's, with one thing more. A message that is longer than any packet of init's interfaces stays first in the mailbox and
//! fails every receive; for whoever sent it that must not be a way to stop init, so it is taken out and thrown away.

use aios_abi::limits::{MESSAGE_CAPS, MESSAGE_MAX};
use aios_abi::{Error, MessageId, SlotHandle};
use aios_proto::{CapList, TransportError};
use aios_rt::service::Mailbox;
use aios_service::{Event, Port};

/// The mailbox. Only messages that were sent, not called with, wait in it: a call that doesn't fit is refused by the kernel.
pub struct Mail;

impl Mail {
    /// Takes out what doesn't fit, and what else comes meanwhile.
    fn recover(&mut self, error: TransportError, buffer: &mut [u8]) -> Result<Event, TransportError> {
        if error != Error::MessageTooLong.into() && error != Error::CapsRefused.into() {
            return Err(error);
        }
        let mut large = alloc::vec![0; MESSAGE_MAX];
        let event = Mailbox.receive(&mut large, MESSAGE_CAPS as u8, 0)?;
        let Event::Message(message) = &event else {
            // The text of a fault is shorter than any buffer of a loop.
            let length = buffer.len().min(large.len());
            buffer[..length].copy_from_slice(&large[..length]);
            return Ok(event);
        };
        message.caps.unkept().for_each(|slot| self.drop_capability(slot));
        // As if nothing had come: the loop waits again.
        Ok(Event::Timeout)
    }
}

impl Port for Mail {
    fn now_ns(&mut self) -> u64 {
        Mailbox.now_ns()
    }

    fn receive(&mut self, buffer: &mut [u8], take_caps: u8, deadline_ns: u64) -> Result<Event, TransportError> {
        Mailbox.receive(buffer, take_caps, deadline_ns).or_else(|error| self.recover(error, buffer))
    }

    fn reply(&mut self, to: MessageId, packet: &[u8], caps: &CapList) -> Result<(), TransportError> {
        Mailbox.reply(to, packet, caps)
    }

    fn reply_receive(
        &mut self,
        to: MessageId,
        buffer: &mut [u8],
        length: usize,
        caps: &CapList,
        take_caps: u8,
        deadline_ns: u64,
    ) -> Result<Event, TransportError> {
        // A reply is never refused for what `recover` is for, so it is sent when that is the error.
        Mailbox.reply_receive(to, buffer, length, caps, take_caps, deadline_ns).or_else(|error| self.recover(error, buffer))
    }

    fn notify(&mut self, slot: SlotHandle, bits: u64) -> Result<(), TransportError> {
        Mailbox.notify(slot, bits)
    }

    fn watch(&mut self, slot: SlotHandle, bits: u64) -> Result<(), TransportError> {
        Mailbox.watch(slot, bits)
    }

    fn drop_capability(&mut self, slot: SlotHandle) {
        Mailbox.drop_capability(slot);
    }
}
