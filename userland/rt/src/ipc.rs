//! Messages between agents.
//!
//! A message of at most 64 bytes travels in registers; a longer one, of at most 64 KiB, is copied from and to a buffer. [`Message`] holds the
//! words of a short one and only the length of a long one, whose bytes are the first ones of the buffer given beside it; the same buffer takes
//! a long reply, because the kernel has one address for both.

use core::fmt;

use aios_abi::limits::{MESSAGE_CAPS, MESSAGE_MAX, MESSAGE_REGISTERS};
use aios_abi::message::{self, Fault, RecvInfo, SendInfo, register_payload};
use aios_abi::rights::Rights;
use aios_abi::{AgentId, Call, Error, MessageId, SlotHandle};

use crate::Result;
use crate::slot::{Capability, Notification, Service, Slot, handle};
use crate::sys::{Regs, syscall};
use crate::time::Deadline;

/// Capabilities that ride on a message: at most four.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Caps {
    handles: [SlotHandle; MESSAGE_CAPS],
    count: u8,
}

impl Caps {
    /// None.
    pub const NONE: Self = Self { handles: [SlotHandle::NONE; MESSAGE_CAPS], count: 0 };

    /// One.
    pub fn one(slot: impl Capability) -> Self {
        let mut caps = Self { count: 1, ..Self::NONE };
        caps.handles[0] = slot.handle();
        caps
    }

    /// These; `None` if they are more than a message carries.
    pub fn new(handles: &[SlotHandle]) -> Option<Self> {
        let mut caps = Self { count: handles.len() as u8, ..Self::NONE };
        caps.handles.get_mut(..handles.len())?.copy_from_slice(handles);
        Some(caps)
    }

    /// The handles, in order.
    pub fn handles(&self) -> &[SlotHandle] {
        &self.handles[..usize::from(self.count).min(MESSAGE_CAPS)]
    }

    /// The capability at a place, if there is one.
    pub fn get(&self, place: usize) -> Option<Slot> {
        self.handles().get(place).copied().map(Slot)
    }

    /// How many.
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Puts the handles where a message carries them: the first two in `x7`, the others in `x6`.
    #[inline(always)]
    fn store(&self, words: &mut [u64; 8]) {
        let [first, second, third, fourth] = self.handles.map(|handle| handle.0 as u64);
        if self.count > 0 {
            words[7] = first | second << 32;
        }
        if self.count > 2 {
            words[6] = third | fourth << 32;
        }
    }

    /// Takes `count` handles from where a message carries them.
    #[inline(always)]
    fn load(words: &[u64; 8], count: u8) -> Self {
        let mut caps = Self { count: count.min(MESSAGE_CAPS as u8), ..Self::NONE };
        let all = [words[7], words[7] >> 32, words[6], words[6] >> 32];
        for (place, word) in caps.handles.iter_mut().zip(all).take(usize::from(count)) {
            *place = handle(word & 0xffff_ffff);
        }
        caps
    }
}

impl fmt::Debug for Caps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.handles()).finish()
    }
}

/// A message to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message {
    words: [u64; 8],
    length: u32,
    caps: Caps,
    moves: bool,
}

impl Message {
    /// No bytes and no capabilities.
    pub const EMPTY: Self = Self { words: [0; 8], length: 0, caps: Caps::NONE, moves: false };

    /// A message of whole words, in registers.
    #[inline(always)]
    pub fn words<const N: usize>(words: [u64; N]) -> Self {
        const { assert!(N <= 8, "registers hold eight words") };
        let mut message = Self { length: N as u32 * 8, ..Self::EMPTY };
        message.words[..N].copy_from_slice(&words);
        message
    }

    /// A message of these bytes. If they are more than registers hold, the same bytes must be at the start of the buffer beside it.
    /// `MessageTooLong` beyond 64 KiB.
    #[inline]
    pub fn bytes(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MESSAGE_MAX {
            return Err(Error::MessageTooLong);
        }
        let words = if bytes.len() <= MESSAGE_REGISTERS { pack(bytes) } else { [0; 8] };
        Ok(Self { words, length: bytes.len() as u32, ..Self::EMPTY })
    }

    /// The same with copies of these capabilities. Their handles take the last payload registers: with one or two, 56 bytes are left, with more 48;
    /// longer messages that fit no buffer either, 57 (49) to 64 bytes, are refused with `BadArgument` as they are sent, and need padding.
    #[must_use]
    pub const fn copying(mut self, caps: Caps) -> Self {
        self.caps = caps;
        self.moves = false;
        self
    }

    /// The same, but the capabilities leave the sender.
    #[must_use]
    pub const fn moving(mut self, caps: Caps) -> Self {
        self.caps = caps;
        self.moves = caps.count > 0;
        self
    }

    /// Its length, bytes.
    pub const fn len(&self) -> usize {
        self.length as usize
    }

    /// Whether it has no bytes.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The registers that it takes, and what `x10` says of it. `buffer` bytes are at hand for a long one.
    #[inline(always)]
    fn store(&self, regs: &mut Regs, buffer: usize) -> Result<SendInfo> {
        if self.length > MESSAGE_REGISTERS as u32 {
            if buffer < self.length as usize {
                return Err(Error::BadArgument);
            }
        } else {
            if self.length > register_payload(self.caps.count) {
                return Err(Error::BadArgument);
            }
            regs.x = self.words;
        }
        self.caps.store(&mut regs.x);
        Ok(SendInfo { length: self.length, caps: self.caps.count, move_caps: self.moves, ..SendInfo::default() })
    }
}

/// What came: the bytes and capabilities of a message.
#[derive(Clone, Copy)]
pub struct Body<'a> {
    words: [u64; 8],
    length: u32,
    memory: &'a [u8],
    /// The capabilities that came with it, now in slots of the receiver.
    pub caps: Caps,
}

impl<'a> Body<'a> {
    #[inline(always)]
    fn load(mut words: [u64; 8], info: RecvInfo, buffer: &'a [u8]) -> Result<Self> {
        let caps = Caps::load(&words, info.caps);
        let memory =
            if info.length > MESSAGE_REGISTERS as u32 { buffer.get(..info.length as usize).ok_or(Error::MessageTooLong)? } else { &[] };
        // Handles are no payload.
        if info.caps > 0 {
            words[7] = 0;
        }
        if info.caps > 2 {
            words[6] = 0;
        }
        Ok(Self { words, length: info.length, memory, caps })
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        if self.length > MESSAGE_REGISTERS as u32 {
            return self.memory;
        }
        const { assert!(cfg!(target_endian = "little"), "words are stored as the wire has them") };
        // SAFETY: eight words are 64 bytes, any byte is a `u8`, and the length is at most that.
        unsafe { core::slice::from_raw_parts(self.words.as_ptr().cast(), self.length as usize) }
    }

    /// The same without the buffer, if it came in registers.
    pub fn in_registers(&self) -> Option<Body<'static>> {
        let short = self.length <= MESSAGE_REGISTERS as u32;
        short.then_some(Body { words: self.words, length: self.length, memory: &[], caps: self.caps })
    }

    /// The words of a message that came in registers, zeros behind its end; of a longer one, zeros.
    pub const fn words(&self) -> [u64; 8] {
        self.words
    }

    /// Length in bytes.
    pub const fn len(&self) -> usize {
        self.length as usize
    }

    /// Whether there are no bytes.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, {:?}", self.length, self.caps)
    }
}

/// A message from another agent, with what the kernel vouches for.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Bytes and capabilities.
    pub body: Body<'a>,
    /// Who sent it.
    pub sender: AgentId,
    /// Badge of the capability that it came through.
    pub badge: u64,
    /// Rights of that capability.
    pub rights: Rights,
    /// Its id; what a reply to a call names.
    pub id: MessageId,
}

/// What a receive brought.
#[derive(Clone, Copy, Debug)]
pub enum Received<'a> {
    /// A message that wants no reply.
    Message(Incoming<'a>),
    /// A call, which waits for a reply.
    Call(Incoming<'a>),
    /// Bits that were set in the program's notification word, and no longer are.
    Notification(u64),
    /// A supervised agent faulted; [`fault::reply`](crate::fault::reply) with this id decides what becomes of it. The bytes are the text of a
    /// panic, as much of it as the buffer had room for; of any other fault there is none.
    Fault(Fault, MessageId, &'a [u8]),
}

/// The reply to a call.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// Bytes and capabilities.
    pub body: Body<'a>,
    /// Who replied.
    pub replier: AgentId,
    /// How often the replier was restarted.
    pub incarnation: u32,
}

/// What a receive is ready to take beside short messages without capabilities.
#[derive(Debug, Default)]
pub struct Room<'a> {
    /// Place for a long message, of which 64 KiB at most are used.
    pub buffer: &'a mut [u8],
    /// How many capabilities are taken, at most four; messages with more are refused.
    pub caps: u8,
}

impl<'a> Room<'a> {
    /// Short messages without capabilities only.
    pub fn none() -> Self {
        Self::default()
    }

    /// Long messages without capabilities.
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, caps: 0 }
    }

    /// The same, and this many capabilities.
    #[must_use]
    pub fn caps(self, caps: u8) -> Self {
        Self { caps, ..self }
    }

    /// The buffer as the kernel is told of it.
    #[inline(always)]
    fn store(&mut self, regs: &mut Regs, info: SendInfo) {
        let room = self.buffer.len().min(MESSAGE_MAX) as u32;
        regs.x10 = SendInfo { take_caps: self.caps, room, ..info }.encode();
        if room > 0 {
            regs.x11 = self.buffer.as_mut_ptr().expose_provenance() as u64;
        }
    }
}

/// Sends into the mailbox of a service and doesn't wait; `QueueFull` when it has no room. `buffer` begins with the bytes of a long message.
#[inline]
pub fn send(service: Service, message: &Message, buffer: &[u8]) -> Result<()> {
    one_way(Call::IpcSend, service.word(), message, buffer)
}

/// Answers a call. `buffer` begins with the bytes of a long message.
#[inline]
pub fn reply(id: MessageId, message: &Message, buffer: &[u8]) -> Result<()> {
    one_way(Call::IpcReply, id.0, message, buffer)
}

#[inline(always)]
fn one_way(call: Call, to: u64, message: &Message, buffer: &[u8]) -> Result<()> {
    let mut regs = Regs::at(to);
    regs.x10 = message.store(&mut regs, buffer.len())?.encode();
    if message.length > MESSAGE_REGISTERS as u32 {
        regs.x11 = buffer.as_ptr().expose_provenance() as u64;
    }
    syscall(call, &mut regs)
}

/// Sends and waits for the reply. The room's buffer begins with the bytes of a long message, and takes a long reply.
#[inline]
pub fn call<'a>(service: Service, message: &Message, mut room: Room<'a>, deadline: Deadline) -> Result<Reply<'a>> {
    let mut regs = Regs { x12: deadline.0, ..Regs::at(service.word()) };
    let info = message.store(&mut regs, room.buffer.len())?;
    room.store(&mut regs, info);
    syscall(Call::IpcCall, &mut regs)?;
    let info = RecvInfo::decode(regs.x10);
    let body = Body::load(regs.x, info, room.buffer)?;
    Ok(Reply { body, replier: AgentId(regs.x9), incarnation: info.rights })
}

/// Waits for whatever comes next: a message, a call, a notification, a fault.
#[inline]
pub fn receive<'a>(mut room: Room<'a>, deadline: Deadline) -> Result<Received<'a>> {
    let mut regs = Regs { x12: deadline.0, ..Regs::default() };
    room.store(&mut regs, SendInfo::default());
    syscall(Call::IpcRecv, &mut regs)?;
    received(&regs, room.buffer)
}

/// Waits for notification bits only; messages stay in the mailbox.
#[inline]
pub fn wait(deadline: Deadline) -> Result<u64> {
    let info = SendInfo { notifications_only: true, ..SendInfo::default() };
    let mut regs = Regs { x10: info.encode(), x12: deadline.0, ..Regs::default() };
    syscall(Call::IpcRecv, &mut regs)?;
    match received(&regs, &[])? {
        Received::Notification(bits) => Ok(bits),
        _ => Err(Error::WrongVersion),
    }
}

/// Answers a call and waits for whatever comes next, in one. The room's buffer begins with the bytes of a long reply, and takes the next message.
/// A reply that nobody waits for any more is no error.
#[inline]
pub fn reply_receive<'a>(id: MessageId, message: &Message, mut room: Room<'a>, deadline: Deadline) -> Result<Received<'a>> {
    let mut regs = Regs { x12: deadline.0, ..Regs::at(id.0) };
    let info = message.store(&mut regs, room.buffer.len())?;
    room.store(&mut regs, info);
    syscall(Call::IpcReplyRecv, &mut regs)?;
    received(&regs, room.buffer)
}

/// Raises bits in an agent's notification word, of those that the capability allows.
#[inline]
pub fn notify(notification: Notification, bits: u64) -> Result<()> {
    syscall(Call::Notify, &mut Regs::at(notification.word()).with([bits]))
}

#[inline(always)]
fn received<'a>(regs: &Regs, buffer: &'a [u8]) -> Result<Received<'a>> {
    let info = RecvInfo::decode(regs.x10);
    let incoming = || {
        let body = Body::load(regs.x, info, buffer)?;
        Ok(Incoming { body, sender: AgentId(regs.x9), badge: regs.x11, rights: Rights(info.rights), id: MessageId(regs.x12) })
    };
    match info.kind {
        message::Received::Message => incoming().map(Received::Message),
        message::Received::Call => incoming().map(Received::Call),
        message::Received::Notification => Ok(Received::Notification(regs.x[0])),
        message::Received::Fault => {
            // The words of the fault are counted as well.
            let text = (info.length as usize).saturating_sub(MESSAGE_REGISTERS);
            let text = buffer.get(..text).ok_or(Error::MessageTooLong)?;
            Ok(Received::Fault(Fault::decode(regs.x), MessageId(regs.x12), text))
        }
        // A receive of this ABI version brings neither.
        message::Received::Nothing | message::Received::Reply => Err(Error::WrongVersion),
    }
}

/// At most 64 bytes as the words of a message, zeros behind them.
#[inline]
pub(crate) fn pack(bytes: &[u8]) -> [u64; 8] {
    let mut full = [0; MESSAGE_REGISTERS];
    let length = bytes.len().min(MESSAGE_REGISTERS);
    full[..length].copy_from_slice(&bytes[..length]);
    let mut words = [0; 8];
    for (word, chunk) in words.iter_mut().zip(full.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*chunk);
    }
    words
}
