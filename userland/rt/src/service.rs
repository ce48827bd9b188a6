//! What the service crates stand on, over real system calls.

use aios_abi::{Error, SlotHandle};
use aios_proto::{CapList, Received, ReplyInfo, Transport, TransportError};

use crate::ipc::{self, Caps, Message, Room};
use crate::slot::{Service, Slot};
use crate::time::Deadline;

/// A service to be called by a generated client: `Client::new(Remote(service))`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remote(
    /// The capability to it.
    pub Service,
);

/// A packet and its capabilities as a message.
pub(crate) fn message(packet: &[u8], caps: &CapList) -> crate::Result<Message> {
    let message = Message::bytes(packet)?;
    let slots = Caps::new(caps.slots()).ok_or(Error::BadArgument)?;
    Ok(if caps.moved() { message.moving(slots) } else { message.copying(slots) })
}

impl Transport for Remote {
    fn call(
        &mut self,
        buffer: &mut [u8],
        length: usize,
        caps: &CapList,
        take_caps: u8,
        deadline_ns: u64,
    ) -> Result<ReplyInfo, TransportError> {
        let message = message(buffer.get(..length).ok_or(Error::BadArgument)?, caps)?;
        let reply = ipc::call(self.0, &message, Room { buffer, caps: take_caps }, Deadline(deadline_ns))?;
        let info = ReplyInfo { length: reply.body.len(), caps: Received::new(reply.body.caps.handles()), incarnation: reply.incarnation };
        if let Some(short) = reply.body.in_registers() {
            match buffer.get_mut(..short.len()) {
                Some(place) => place.copy_from_slice(short.bytes()),
                None => {
                    info.caps.unkept().for_each(|slot| self.drop_capability(slot));
                    return Err(Error::MessageTooLong.into());
                }
            }
        }
        Ok(info)
    }

    fn send(&mut self, packet: &[u8], caps: &CapList) -> Result<(), TransportError> {
        Ok(ipc::send(self.0, &message(packet, caps)?, packet)?)
    }

    fn drop_capability(&mut self, slot: SlotHandle) {
        // A slot that is empty already is as good.
        let _ = crate::cap::drop(Slot(slot));
    }
}
