//! A packet on the wire: its header, its length, the capabilities beside it.

use core::cell::Cell;

use aios_abi::SlotHandle;
use aios_abi::limits::{MESSAGE_CAPS, MESSAGE_MAX, MESSAGE_REGISTERS};
use aios_abi::message::{Header, register_payload};

/// Bytes of the header.
pub const HEADER: usize = 8;

/// Reads the header; `None` if the packet is too short to have one.
pub fn header(packet: &[u8]) -> Option<Header> {
    Some(Header::decode(u64::from_le_bytes(*packet.first_chunk()?)))
}

/// The length of the message that carries a packet of this length.
///
/// Handles of capabilities take the place of the last payload registers, so a packet that would just have fitted into registers is padded
/// with zeros until it is one that goes through memory.
pub const fn wire_length(length: usize, caps: usize) -> usize {
    if length <= MESSAGE_REGISTERS && length > register_payload(caps as u8) as usize { MESSAGE_REGISTERS + 1 } else { length }
}

/// Writes the header in front of a payload of `payload` bytes, and the padding behind it.
/// Returns the length of the message; `None` if the buffer or a message does not hold that much.
pub fn seal(buffer: &mut [u8], mut header: Header, payload: usize, caps: usize) -> Option<usize> {
    let length = HEADER.checked_add(payload)?;
    let wire = wire_length(length, caps);
    if wire > MESSAGE_MAX {
        return None;
    }
    buffer.get_mut(length..wire)?.fill(0);
    // Only the longest packet of all has a length that the field doesn't hold; 0 says so.
    header.length = u16::try_from(length).unwrap_or(0);
    *buffer.first_chunk_mut()? = header.encode().to_le_bytes();
    Some(wire)
}

/// The payload of a packet with this header, if the message's length is the one that the header and the capabilities make.
pub fn payload(packet: &[u8], header: Header, caps: usize) -> Option<&[u8]> {
    let length = match header.length {
        0 => MESSAGE_MAX,
        length => usize::from(length),
    };
    if packet.len() != wire_length(length, caps) || packet.get(length..)?.iter().any(|&byte| byte != 0) {
        return None;
    }
    packet.get(HEADER..length)
}

/// Capabilities to send: at most [`MESSAGE_CAPS`], all of them moved or all of them copied.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CapList {
    slots: [SlotHandle; MESSAGE_CAPS],
    count: u8,
    moved: bool,
}

impl CapList {
    /// No capabilities.
    pub const NONE: Self = Self { slots: [SlotHandle::NONE; MESSAGE_CAPS], count: 0, moved: false };

    /// Adds one. `false` if there is no room, or if the others go the other way.
    #[must_use]
    pub fn push(&mut self, slot: SlotHandle, moved: bool) -> bool {
        if self.count != 0 && self.moved != moved {
            return false;
        }
        let Some(place) = self.slots.get_mut(usize::from(self.count)) else { return false };
        *place = slot;
        self.count += 1;
        self.moved = moved;
        true
    }

    /// The slots, in order.
    pub fn slots(&self) -> &[SlotHandle] {
        self.slots.get(..usize::from(self.count)).unwrap_or_default()
    }

    /// Whether the sender's own go; else copies of them do.
    pub fn moved(&self) -> bool {
        self.moved
    }
}

/// Capabilities that came with a message, in slots of the receiver.
///
/// Whoever handles the message takes what it wants to keep; the rest is dropped by the loop that received it, so that a hostile sender
/// can't fill the receiver's table.
#[derive(Clone, Default, Debug)]
pub struct Received {
    slots: [SlotHandle; MESSAGE_CAPS],
    count: u8,
    kept: Cell<u8>,
}

impl Received {
    /// No capabilities.
    pub const fn none() -> Self {
        Self { slots: [SlotHandle::NONE; MESSAGE_CAPS], count: 0, kept: Cell::new(0) }
    }

    /// These capabilities; more than a message carries are ignored.
    pub fn new(slots: &[SlotHandle]) -> Self {
        let mut this = Self::none();
        for (place, slot) in this.slots.iter_mut().zip(slots) {
            *place = *slot;
            this.count += 1;
        }
        this
    }

    /// How many came.
    pub fn len(&self) -> usize {
        self.count.into()
    }

    /// Whether none came.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// One of them, without keeping it; [`SlotHandle::NONE`] if it isn't there.
    pub fn slot(&self, place: usize) -> SlotHandle {
        if place < self.len() { self.slots.get(place).copied().unwrap_or_default() } else { SlotHandle::NONE }
    }

    /// One of them, to stay in its slot.
    pub fn keep(&self, place: usize) -> SlotHandle {
        if place < self.len() {
            self.kept.set(self.kept.get() | 1 << place);
        }
        self.slot(place)
    }

    /// Those that nobody kept.
    pub fn unkept(&self) -> impl Iterator<Item = SlotHandle> + '_ {
        (0..self.len()).filter(|place| self.kept.get() & 1 << place == 0).map(|place| self.slot(place))
    }
}
