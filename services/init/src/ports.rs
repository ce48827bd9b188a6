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

#[cfg(test)]
mod tests {
    use super::*;
    use aios_abi::Call;
    use aios_abi::message::{Fault, FaultCause, Received, RecvInfo, SendInfo};
    use aios_rt::sys::{Regs, fake};

    /// A kernel whose mailbox begins with a message of 3,000 bytes and two capabilities; `then` is what comes to whoever has room for it.
    fn kernel(then: impl Fn(&mut Regs) + 'static) -> fake::Installed {
        fake::install(move |call, regs| match call {
            Call::IpcRecv if SendInfo::decode(regs.x10).is_some_and(|info| info.room < 3000) => Err(Error::MessageTooLong),
            Call::IpcRecv => {
                assert_eq!((regs.x12, SendInfo::decode(regs.x10).map(|info| info.take_caps)), (0, Some(4)));
                then(regs);
                Ok(())
            }
            Call::CapDrop => Ok(()),
            other => panic!("{}", other.name()),
        })
    }

    #[test]
    fn a_message_that_is_too_long_does_not_stop_init() {
        let _kernel = kernel(|regs| {
            regs.x10 = RecvInfo { length: 3000, caps: 2, kind: Received::Message, rights: 0 }.encode();
            regs.x[7] = 5 << 16 | 1 | (6 << 16 | 1) << 32;
        });
        assert!(matches!(Mail.receive(&mut [0; 100], 1, u64::MAX), Ok(Event::Timeout)));
    }

    #[test]
    fn what_comes_instead_is_not_lost() {
        let fault = Fault { agent: 9, cause: FaultCause::Panic as u16, syndrome: 1, address: 0, pc: 0, sp: 0, lr: 0, pstate: 0 };
        let _kernel = kernel(move |regs| {
            regs.x = fault.encode();
            regs.x10 = RecvInfo { length: 64 + 3, caps: 0, kind: Received::Fault, rights: 0 }.encode();
            let text = core::ptr::with_exposed_provenance_mut::<[u8; 3]>(regs.x11 as usize);
            // SAFETY: the caller gave a buffer of 64 KiB.
            unsafe { text.write(*b"why") };
        });
        let mut buffer = [0; 100];
        let event = Mail.receive(&mut buffer, 1, u64::MAX);
        assert!(matches!(event, Ok(Event::Fault { text: 3, fault: seen, .. }) if seen == fault), "{event:?}");
        assert_eq!(&buffer[..3], b"why");
    }

    #[test]
    fn other_errors_are_the_loops() {
        let _kernel = fake::install(|_, _| Err(Error::Timeout));
        assert!(matches!(Mail.receive(&mut [0; 100], 1, 7), Err(error) if error == Error::Timeout.into()));
    }
}
