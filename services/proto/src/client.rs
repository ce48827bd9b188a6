//! The client's side: calls over a transport.

use aios_abi::SlotHandle;
use aios_abi::message::Header;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ServiceError};
use crate::operation::{Operation, OperationInfo};
use crate::packet::{self, CapList, HEADER, Received};
use crate::types::ErrorCode;
use crate::value::{decode, encode};

/// A status of the kernel that is not "done".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransportError(
    /// The code, 1–255.
    pub u16,
);

impl From<aios_abi::Error> for TransportError {
    fn from(error: aios_abi::Error) -> Self {
        Self(error.code())
    }
}

/// A reply as it came.
#[derive(Clone, Debug, Default)]
pub struct ReplyInfo {
    /// Its length, bytes.
    pub length: usize,
    /// The capabilities that came with it.
    pub caps: Received,
    /// How often the replier was restarted so far.
    pub incarnation: u32,
}

/// A capability to a service, and the means to use it: the kernel's calls, or something that takes their place in tests.
pub trait Transport {
    /// Sends the first `length` bytes of `buffer` and waits for the reply, which comes in `buffer` too (the kernel has one address for both).
    /// At most `take_caps` capabilities may come with it. The deadline is absolute, ns since boot; `u64::MAX` never passes.
    fn call(
        &mut self,
        buffer: &mut [u8],
        length: usize,
        caps: &CapList,
        take_caps: u8,
        deadline_ns: u64,
    ) -> Result<ReplyInfo, TransportError>;

    /// Sends `packet` and does not wait for anything; `QueueFull` when the receiver has no room.
    fn send(&mut self, packet: &[u8], caps: &CapList) -> Result<(), TransportError>;

    /// Empties a slot: for capabilities that came with a reply that is of no use.
    fn drop_capability(&mut self, slot: SlotHandle);
}

impl<T: Transport + ?Sized> Transport for &mut T {
    fn call(
        &mut self,
        buffer: &mut [u8],
        length: usize,
        caps: &CapList,
        take_caps: u8,
        deadline_ns: u64,
    ) -> Result<ReplyInfo, TransportError> {
        (**self).call(buffer, length, caps, take_caps, deadline_ns)
    }

    fn send(&mut self, packet: &[u8], caps: &CapList) -> Result<(), TransportError> {
        (**self).send(packet, caps)
    }

    fn drop_capability(&mut self, slot: SlotHandle) {
        (**self).drop_capability(slot);
    }
}

/// What every generated client is made of: a transport, and a buffer for the longest packet of the interface.
#[derive(Debug)]
pub struct Link<T, const BUFFER: usize> {
    transport: T,
    buffer: [u8; BUFFER],
    incarnation: u32,
}

impl<T: Transport, const BUFFER: usize> Link<T, BUFFER> {
    /// A link over this transport.
    pub const fn new(transport: T) -> Self {
        Self { transport, buffer: [0; BUFFER], incarnation: 0 }
    }

    /// The transport.
    pub fn transport(&mut self) -> &mut T {
        &mut self.transport
    }

    /// How often the service was restarted so far, as its last reply says.
    pub fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// Calls. Returns the results that are bytes, and the capabilities that came, as many as the operation has.
    pub fn call<'a, O: Operation, R: Deserialize<'a>>(
        &'a mut self,
        parameters: &impl Serialize,
        caps: CapList,
        deadline_ns: u64,
    ) -> Result<(R, Received), Error<O::Error>> {
        let header = request_header::<O>();
        let length = self.request(header, O::INFO, parameters, &caps).ok_or(Error::TooLong)?;
        let Self { transport, buffer, incarnation } = self;
        match call(transport, buffer, length, header, O::INFO, &caps, deadline_ns) {
            Ok(reply) => {
                *incarnation = reply.incarnation;
                match decode(buffer.get(HEADER..reply.length).unwrap_or_default()) {
                    Some(results) => Ok((results, reply.caps)),
                    None => {
                        drop_all(transport, &reply.caps);
                        Err(Error::BadReply)
                    }
                }
            }
            Err(Refusal::Kernel(code)) => Err(Error::from_kernel(code)),
            Err(Refusal::BadReply) => Err(Error::BadReply),
            Err(Refusal::Error(code, end)) => {
                let detail = buffer.get(HEADER + 2..end).unwrap_or_default();
                match (ErrorCode::from_wire(code, detail), O::Error::from_wire(code, detail)) {
                    (Some(_), _) => Err(Error::Refused(code)),
                    (None, Some(error)) => Err(Error::Service(error)),
                    (None, None) => Err(Error::BadReply),
                }
            }
        }
    }

    /// Sends a one-way request.
    pub fn send<O: Operation>(&mut self, parameters: &impl Serialize, caps: CapList) -> Result<(), Error<O::Error>> {
        let length = self.request(request_header::<O>(), O::INFO, parameters, &caps).ok_or(Error::TooLong)?;
        let packet = self.buffer.get(..length).unwrap_or_default();
        self.transport.send(packet, &caps).map_err(|error| Error::from_kernel(error.0))
    }

    fn request(&mut self, header: Header, info: &OperationInfo, parameters: &impl Serialize, caps: &CapList) -> Option<usize> {
        let payload = encode(parameters, self.buffer.get_mut(HEADER..)?)?;
        let length = packet::seal(&mut self.buffer, header, payload, caps.slots().len())?;
        (length <= info.max_request as usize).then_some(length)
    }
}

const fn request_header<O: Operation>() -> Header {
    Header { interface: O::INTERFACE, operation: O::INFO.number, major: O::MAJOR, flags: 0, length: 0 }
}

/// A call that brought no result.
enum Refusal {
    /// The kernel's status.
    Kernel(u16),
    /// An error of the service: its code, and the end of its detail in the buffer.
    Error(u16, usize),
    /// Not a reply to this request.
    BadReply,
}

/// The part of a call that is the same for every operation. The length of what it returns is the end of the payload, without padding.
fn call(
    transport: &mut impl Transport,
    buffer: &mut [u8],
    length: usize,
    request: Header,
    info: &OperationInfo,
    caps: &CapList,
    deadline_ns: u64,
) -> Result<ReplyInfo, Refusal> {
    let reply = transport.call(buffer, length, caps, info.caps_out, deadline_ns).map_err(|error| Refusal::Kernel(error.0))?;
    match check_reply(buffer, &reply, request, info) {
        Ok(length) => Ok(ReplyInfo { length, ..reply }),
        Err(refusal) => {
            drop_all(transport, &reply.caps);
            Err(refusal)
        }
    }
}

fn drop_all(transport: &mut impl Transport, caps: &Received) {
    for slot in caps.unkept() {
        transport.drop_capability(slot);
    }
}

fn check_reply(buffer: &[u8], reply: &ReplyInfo, request: Header, info: &OperationInfo) -> Result<usize, Refusal> {
    let packet = buffer.get(..reply.length).ok_or(Refusal::BadReply)?;
    let header = packet::header(packet).ok_or(Refusal::BadReply)?;
    let payload = packet::payload(packet, header, reply.caps.len()).ok_or(Refusal::BadReply)?;
    let end = HEADER + payload.len();
    let same = Header { flags: request.flags, length: request.length, ..header } == request;
    match header.flags {
        Header::REPLY if same && reply.caps.len() == usize::from(info.caps_out) => Ok(end),
        // A dispatcher that could not read the header answers with zeros; its code is still of use.
        flags if flags == Header::REPLY | Header::ERROR && reply.caps.is_empty() => {
            let code = payload.first_chunk().ok_or(Refusal::BadReply)?;
            Err(Refusal::Error(u16::from_le_bytes(*code), end))
        }
        _ => Err(Refusal::BadReply),
    }
}
