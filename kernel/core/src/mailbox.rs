//! The mailbox: a bounded ring of bytes in pages that the receiver's pool paid.
//!
//! A record is a header of six words, the words of the capabilities that ride along, then the payload, rounded up to words:
//!
//! | word | meaning                                                                |
//! |------|------------------------------------------------------------------------|
//! | 0    | payload bytes (low 32), capabilities (8), what it is (8)          |
//! | 1    | sender                                                                 |
//! | 2    | badge                                                                  |
//! | 3    | rights                                                                 |
//! | 4    | message id                                                             |
//! | 5    | spare                                                                  |
//!
//! Nothing is dropped: a record that doesn't fit is refused before a byte is written.
//!
//! A long payload may be interrupted while it is copied in. Until it is whole it lies behind the records that wait, where nobody sees it, and the mailbox
//! keeps whose it is: whoever wants to write next brings it to its end first.

use aios_abi::Error;
use aios_abi::id::{AgentId, MessageId};
use aios_abi::limits::{MAILBOX_PAGES, MESSAGE_CAPS, PAGE_SIZE};
use aios_abi::message::Received;

use crate::cap::{SLOT_WORDS, Slot};
use crate::machine::Memory;

const HEADER_WORDS: u32 = 6;

/// A mailbox.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Mailbox {
    pages: [u64; MAILBOX_PAGES],
    count: u8,
    /// Word at which the first record starts.
    head: u32,
    /// Words in use.
    used: u32,
    /// Who has a record behind those that wait that is not whole yet.
    pub draft: Option<Draft>,
}

/// The writer of a record that is not whole yet. It may have ended without a word: then nothing of the record counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Draft {
    /// An agent of this core; its work says how far it came.
    Agent(AgentId),
    /// The job with this index: a message from another core.
    Job(u8),
}

/// The head of a record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Envelope {
    /// Payload, bytes.
    pub length: u32,
    /// Capabilities that ride along.
    pub caps: u8,
    /// Message, call or fault.
    pub kind: Received,
    /// Who sent it.
    pub sender: AgentId,
    /// Badge of the capability that it came through.
    pub badge: u64,
    /// Rights of that capability.
    pub rights: u32,
    /// Its id.
    pub message: MessageId,
}

impl Envelope {
    const fn words(&self) -> u32 {
        HEADER_WORDS + self.caps as u32 * SLOT_WORDS as u32 + self.length.div_ceil(8)
    }
}

impl Mailbox {
    /// No mailbox.
    pub const EMPTY: Self = Self { pages: [0; MAILBOX_PAGES], count: 0, head: 0, used: 0, draft: None };

    /// Adds a page. The caller paid it.
    pub fn add_page(&mut self, address: u64) -> Result<(), Error> {
        let place = self.pages.get_mut(self.count as usize).ok_or(Error::LimitReached)?;
        *place = address;
        self.count += 1;
        Ok(())
    }

    /// Takes a page away from an empty mailbox.
    pub fn take_page(&mut self) -> Option<u64> {
        self.count = self.count.checked_sub(1)?;
        self.used = 0;
        self.head = 0;
        Some(core::mem::take(&mut self.pages[self.count as usize]))
    }

    /// Bytes that wait.
    pub const fn used_bytes(&self) -> u64 {
        self.used as u64 * 8
    }

    /// Bytes that fit.
    pub const fn size_bytes(&self) -> u64 {
        self.words() as u64 * 8
    }

    /// Whether nothing waits.
    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    const fn words(&self) -> u32 {
        self.count as u32 * (PAGE_SIZE as u32 / 8)
    }

    /// Whether a record fits now.
    pub const fn check(&self, envelope: &Envelope) -> Result<(), Error> {
        if envelope.words() > self.words() {
            return Err(Error::MessageTooLong);
        }
        if envelope.words() > self.words() - self.used {
            return Err(Error::QueueFull);
        }
        Ok(())
    }

    /// Physical address of a word of the ring.
    fn address(&self, word: u32) -> u64 {
        let word = if word >= self.words() { word - self.words() } else { word };
        let per_page = PAGE_SIZE as u32 / 8;
        self.pages[(word / per_page) as usize] + (word % per_page) as u64 * 8
    }

    /// The word at which the payload of the next record will go.
    pub const fn payload_at(&self, envelope: &Envelope) -> u32 {
        let at = self.head + self.used + envelope.words() - envelope.length.div_ceil(8);
        if at >= 2 * self.words() {
            at - 2 * self.words()
        } else if at >= self.words() {
            at - self.words()
        } else {
            at
        }
    }

    /// Begins a record: writes head and capabilities, answers the word at which the payload goes. [`check`](Self::check) said that it fits.
    pub fn begin(&self, memory: &mut impl Memory, envelope: &Envelope, slots: &[Slot]) -> u32 {
        let mut at = self.head + self.used;
        if at >= self.words() {
            at -= self.words();
        }
        let head = [
            envelope.length as u64 | (envelope.caps as u64) << 32 | (envelope.kind as u64) << 40,
            envelope.sender.0,
            envelope.badge,
            envelope.rights as u64,
            envelope.message.0,
            0,
        ];
        for word in head.into_iter().chain(slots.iter().flat_map(Slot::to_words)) {
            memory.write(self.address(at), word);
            at += 1;
        }
        if at >= self.words() { at - self.words() } else { at }
    }

    /// Ends a record: from now on it waits.
    pub fn commit(&mut self, envelope: &Envelope) {
        self.used += envelope.words();
    }

    /// Writes one word of a payload.
    pub fn write(&self, memory: &mut impl Memory, start: u32, index: u32, word: u64) {
        memory.write(self.address(start + index), word);
    }

    /// A piece of a payload that lies in one page: physical address and length in bytes, from byte `from` on.
    pub fn piece(&self, start: u32, from: u32) -> (u64, usize) {
        let address = self.address(start + from / 8) + (from % 8) as u64;
        (address, PAGE_SIZE - (address as usize % PAGE_SIZE))
    }

    /// The first record: head, capabilities, and the word at which its payload starts.
    pub fn first(&self, memory: &impl Memory) -> Option<(Envelope, [Option<Slot>; MESSAGE_CAPS], u32)> {
        if self.used == 0 {
            return None;
        }
        let mut at = self.head;
        let mut next = || {
            let word = memory.read(self.address(at));
            at += 1;
            word
        };
        let (head, sender, badge, rights, message, _) = (next(), next(), next(), next(), next(), next());
        let caps = (head >> 32) as u8;
        let mut slots = [None; MESSAGE_CAPS];
        for slot in slots.iter_mut().take(caps as usize) {
            *slot = Some(Slot::from_words(core::array::from_fn(|_| next())));
        }
        let envelope = Envelope {
            length: head as u32,
            caps,
            kind: Received::from_code((head >> 40) as u8),
            sender: AgentId(sender),
            badge,
            rights: rights as u32,
            message: MessageId(message),
        };
        let start = if at >= self.words() { at - self.words() } else { at };
        Some((envelope, slots, start))
    }

    /// Reads one word of a payload.
    pub fn read(&self, memory: &impl Memory, start: u32, index: u32) -> u64 {
        memory.read(self.address(start + index))
    }

    /// Removes the first record.
    pub fn pop(&mut self, envelope: &Envelope) {
        let words = envelope.words();
        self.head += words;
        if self.head >= self.words() {
            self.head -= self.words();
        }
        self.used -= words;
        // What is not whole yet stays where it is.
        if self.used == 0 && self.draft.is_none() {
            self.head = 0;
        }
    }
}
