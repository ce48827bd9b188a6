//! For programs on a development machine: the shapes of all messages as data, packets made from them at random, and a transport that
//! leads straight into a dispatcher.

use aios_abi::SlotHandle;
use aios_abi::message::{Header, SendInfo};

use crate::client::{ReplyInfo, Transport, TransportError};
use crate::operation::{Interface, OperationInfo};
use crate::packet::{self, CapList, HEADER, Received};
use crate::server::{Caller, Incoming, Outcome, Outgoing, Ticket};

/// A dispatcher with its server.
pub type Dispatcher = fn(&Caller, &Incoming<'_>, &mut Outgoing<'_>) -> Outcome;

/// What the bytes of a value are, all names resolved.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// A byte, 0 or 1.
    Bool,
    /// A byte.
    U8,
    /// A number, seven bits a byte.
    U16,
    /// A number, seven bits a byte.
    U32,
    /// A number, seven bits a byte.
    U64,
    /// A byte, two's complement.
    I8,
    /// A number with its sign in bit 0, seven bits a byte.
    I16,
    /// A number with its sign in bit 0, seven bits a byte.
    I32,
    /// A number with its sign in bit 0, seven bits a byte.
    I64,
    /// Four bytes.
    F32,
    /// Eight bytes.
    F64,
    /// A text of one character.
    Char,
    /// A length of at most this, then as many bytes of UTF-8.
    Text(u32),
    /// A length of at most this, then as many bytes.
    Bytes(u32),
    /// A number of at most this, then as many values.
    List(&'static Shape, u32),
    /// So many values.
    Array(&'static Shape, u32),
    /// A byte, 0 or 1, then a value if it is 1.
    Option(&'static Shape),
    /// One value after the other.
    Record(&'static [Shape]),
    /// The number of a case, then its value.
    Variant(&'static [Option<Shape>]),
    /// So many flags: a byte if they fit, else a number.
    Flags(u32),
}

/// Where arbitrary values come from.
pub trait Choose {
    /// A number up to and including this one.
    fn up_to(&mut self, most: u64) -> u64;

    /// One of these cases.
    fn case(&mut self, cases: &[Option<Shape>]) -> usize {
        self.up_to(cases.len().saturating_sub(1) as u64) as usize
    }
}

/// Random choices: any function from a bound to a number up to it.
impl<F: FnMut(u64) -> u64> Choose for F {
    fn up_to(&mut self, most: u64) -> u64 {
        self(most)
    }
}

/// The choices that make the longest value.
#[derive(Clone, Copy, Default, Debug)]
pub struct Longest;

impl Choose for Longest {
    fn up_to(&mut self, most: u64) -> u64 {
        most
    }

    fn case(&mut self, cases: &[Option<Shape>]) -> usize {
        let length = |case: &Option<Shape>| {
            let mut bytes = Vec::new();
            if let Some(shape) = case {
                shape.write(&mut Self, &mut bytes);
            }
            bytes.len()
        };
        (0..cases.len()).max_by_key(|&place| length(&cases[place])).unwrap_or(0)
    }
}

impl Shape {
    /// Writes an arbitrary value.
    pub fn write(&self, choose: &mut impl Choose, out: &mut Vec<u8>) {
        match *self {
            Self::Bool => out.push(choose.up_to(1) as u8),
            Self::U8 | Self::I8 => out.push(choose.up_to(u8::MAX.into()) as u8),
            Self::U16 | Self::I16 => varint(choose.up_to(u16::MAX.into()), out),
            Self::U32 | Self::I32 => varint(choose.up_to(u32::MAX.into()), out),
            Self::U64 | Self::I64 => varint(choose.up_to(u64::MAX), out),
            Self::F32 => out.extend((choose.up_to(u32::MAX.into()) as u32).to_le_bytes()),
            Self::F64 => out.extend(choose.up_to(u64::MAX).to_le_bytes()),
            Self::Char => text(character(choose).encode_utf8(&mut [0; 4]).as_bytes(), out),
            Self::Text(max) => {
                let length = choose.up_to(max.into()) as usize;
                let mut characters = String::new();
                while characters.len() < length {
                    match character(choose) {
                        next if characters.len() + next.len_utf8() <= length => characters.push(next),
                        _ => characters.push('x'),
                    }
                }
                text(characters.as_bytes(), out);
            }
            Self::Bytes(max) => {
                let length = choose.up_to(max.into());
                varint(length, out);
                out.extend((0..length).map(|_| choose.up_to(u8::MAX.into()) as u8));
            }
            Self::List(item, max) => {
                let length = choose.up_to(max.into());
                varint(length, out);
                (0..length).for_each(|_| item.write(choose, out));
            }
            Self::Array(item, length) => (0..length).for_each(|_| item.write(choose, out)),
            Self::Option(item) => {
                let some = choose.up_to(1);
                out.push(some as u8);
                if some == 1 {
                    item.write(choose, out);
                }
            }
            Self::Record(fields) => fields.iter().for_each(|field| field.write(choose, out)),
            Self::Variant(cases) => {
                let case = choose.case(cases);
                varint(case as u64, out);
                if let Some(Some(shape)) = cases.get(case) {
                    shape.write(choose, out);
                }
            }
            Self::Flags(count) if count <= 8 => out.push(choose.up_to((1 << count) - 1) as u8),
            Self::Flags(count) => varint(choose.up_to((1 << count) - 1), out),
        }
    }
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn text(bytes: &[u8], out: &mut Vec<u8>) {
    varint(bytes.len() as u64, out);
    out.extend(bytes);
}

fn character(choose: &mut impl Choose) -> char {
    char::from_u32(choose.up_to(char::MAX.into()) as u32).unwrap_or('?')
}

/// An arbitrary packet that passes every check of the operation's dispatcher: a request, or a reply if `flags` says so.
pub fn packet(interface: &Interface, operation: &OperationInfo, flags: u8, choose: &mut impl Choose) -> Vec<u8> {
    let reply = flags & Header::REPLY != 0;
    let (shapes, caps) = if reply { (operation.reply, operation.caps_out) } else { (operation.request, operation.caps_in) };
    let mut bytes = vec![0; HEADER];
    Shape::Record(shapes).write(choose, &mut bytes);
    let payload = bytes.len() - HEADER;
    bytes.resize(bytes.len().max(packet::wire_length(bytes.len(), caps.into())), 0);
    let header = Header { interface: interface.number, operation: operation.number, major: interface.major, flags, length: 0 };
    let length = packet::seal(&mut bytes, header, payload, caps.into());
    bytes.truncate(length.unwrap_or(0));
    bytes
}

/// A fuzz target for every dispatcher: the first byte chooses one, the second says what comes with the packet, the rest is the packet.
/// Returns the reply, empty if there is none. Nothing that it is given may make it panic.
pub fn fuzz(data: &[u8]) -> Vec<u8> {
    let [which, with, packet @ ..] = data else { return Vec::new() };
    let Some((_, dispatch)) = crate::DISPATCHERS.get(usize::from(*which) % crate::DISPATCHERS.len()) else { return Vec::new() };
    let slots = [SlotHandle::new(1, 1); 4];
    let caps = Received::new(slots.get(..usize::from(with & 7).min(4)).unwrap_or_default());
    let ticket = (with & 8 == 0).then_some(Ticket { index: 0, generation: 1 });
    let request = Incoming { packet, caps: &caps, call: with & 16 == 0, ticket };
    let caller = Caller { rights: if with & 32 == 0 { u32::MAX } else { 0 }, ..Caller::default() };
    let mut buffer = [0; 4096];
    let mut out = Outgoing::new(&mut buffer);
    let _ = dispatch(&caller, &request, &mut out);
    out.packet().to_vec()
}

/// A transport that hands each request to a dispatcher and has no kernel in between, but is as strict as one.
pub struct Loopback<F> {
    /// What handles the messages.
    pub dispatch: F,
    /// As whom it is called.
    pub caller: Caller,
    /// Capabilities that the client dropped.
    pub dropped: Vec<SlotHandle>,
    /// How often the server was restarted.
    pub incarnation: u32,
}

impl<F: FnMut(&Caller, &Incoming<'_>, &mut Outgoing<'_>) -> Outcome> Loopback<F> {
    /// A transport into this dispatcher, with every right.
    pub fn new(dispatch: F) -> Self {
        let caller = Caller { agent: 1, badge: 0, rights: u32::MAX, now_ns: 0 };
        Self { dispatch, caller, dropped: Vec::new(), incarnation: 0 }
    }

    fn deliver(&mut self, packet: &[u8], caps: &CapList, call: bool) -> Result<(Vec<u8>, CapList), TransportError> {
        let info = SendInfo { length: packet.len() as u32, caps: caps.slots().len() as u8, ..SendInfo::default() };
        if SendInfo::decode(info.encode()) != Some(info) {
            return Err(aios_abi::Error::BadArgument.into());
        }
        let received = Received::new(caps.slots());
        let ticket = call.then_some(Ticket { index: 0, generation: 1 });
        let request = Incoming { packet, caps: &received, call, ticket };
        let mut buffer = vec![0; aios_abi::limits::MESSAGE_MAX];
        let mut out = Outgoing::new(&mut buffer);
        match (self.dispatch)(&self.caller, &request, &mut out) {
            // Nobody is there to answer later.
            Outcome::Pending => Err(aios_abi::Error::Timeout.into()),
            _ => Ok((out.packet().to_vec(), out.caps())),
        }
    }
}

impl<F: FnMut(&Caller, &Incoming<'_>, &mut Outgoing<'_>) -> Outcome> Transport for Loopback<F> {
    fn call(&mut self, buffer: &mut [u8], length: usize, caps: &CapList, take_caps: u8, _: u64) -> Result<ReplyInfo, TransportError> {
        let packet = buffer.get(..length).ok_or(aios_abi::Error::BadArgument)?;
        let (reply, caps) = self.deliver(packet, caps, true)?;
        if caps.slots().len() > take_caps.into() {
            return Err(aios_abi::Error::CapsRefused.into());
        }
        buffer.get_mut(..reply.len()).ok_or(aios_abi::Error::MessageTooLong)?.copy_from_slice(&reply);
        Ok(ReplyInfo { length: reply.len(), caps: Received::new(caps.slots()), incarnation: self.incarnation })
    }

    fn send(&mut self, packet: &[u8], caps: &CapList) -> Result<(), TransportError> {
        match self.deliver(packet, caps, false)? {
            (reply, _) if reply.is_empty() => Ok(()),
            _ => Err(aios_abi::Error::NoSuchMessage.into()),
        }
    }

    fn drop_capability(&mut self, slot: SlotHandle) {
        self.dropped.push(slot);
    }
}
