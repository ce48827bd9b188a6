//! Messages that wait: in mailboxes, and those of callers that wait to be received.

use aios_abi::limits::PAGE_SIZE;
use aios_abi::message::{Received, SendInfo};
use aios_core::cap::SLOT_WORDS;

use crate::value::Value;
use crate::{Error, Kernel};

/// A message that nobody has received yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Letter {
    /// Whose it will be.
    pub receiver: u64,
    /// Who sent it.
    pub sender: u64,
    /// What it is.
    pub kind: Received,
    /// The sender waits with it; else it lies in the mailbox.
    pub sender_waits: bool,
    /// Payload, bytes.
    pub length: u64,
    /// Capabilities that ride along.
    pub caps: u64,
    /// Badge of the capability that it came through.
    pub badge: u64,
    /// Its id.
    pub message: u64,
    /// First word of the payload: by convention the packet's header; of a fault its cause.
    pub head: Option<u64>,
}

const WORDS_PER_PAGE: u64 = PAGE_SIZE as u64 / 8;
/// Words in front of the capabilities: see the table in `aios_core::mailbox`.
const HEADER_WORDS: u64 = 6;

/// The ring of one mailbox.
struct Ring<F> {
    /// Reads a word of memory.
    read: F,
    /// Physical addresses of its pages.
    pages: Vec<u64>,
    /// Word at which the first record starts.
    head: u64,
    /// Words in use.
    used: u64,
}

impl<F: Fn(u64) -> Result<u64, Error>> Ring<F> {
    fn word(&self, index: u64) -> Result<u64, Error> {
        let index = index % (self.pages.len() as u64 * WORDS_PER_PAGE);
        let page = self.pages.get((index / WORDS_PER_PAGE) as usize).copied().unwrap_or(0);
        (self.read)(page.saturating_add(index % WORDS_PER_PAGE * 8))
    }

    /// What is in it, the oldest first.
    fn letters(&self, receiver: u64) -> Result<Vec<Letter>, Error> {
        let size = self.pages.len() as u64 * WORDS_PER_PAGE;
        let (head, used) = (self.head, self.used);
        if used > size || (used != 0 && head >= size) {
            return Err(Error::Broken(format!("mailbox: {used} words in use from word {head} on, of {size}")));
        }
        let (mut letters, mut at) = (Vec::new(), 0);
        while at < used {
            let word = |index| self.word(head + at + index);
            let first = word(0)?;
            let (length, caps) = (first & 0xffff_ffff, first >> 32 & 0xff);
            let front = HEADER_WORDS + caps * SLOT_WORDS as u64;
            let words = front + length.div_ceil(8);
            if words > used - at {
                return Err(Error::Broken(format!("mailbox: a record of {words} words where {} are in use", used - at)));
            }
            letters.push(Letter {
                receiver,
                sender: word(1)?,
                kind: Received::from_code((first >> 40) as u8),
                sender_waits: false,
                length,
                caps,
                badge: word(2)?,
                message: word(4)?,
                head: if length >= 8 { Some(word(front)?) } else { None },
            });
            at += words;
        }
        Ok(letters)
    }
}

/// Bytes that wait in a mailbox, and bytes that it holds.
pub fn fill(mailbox: Value<'_>) -> Result<(u64, u64), Error> {
    Ok((mailbox.number_of("used")?.saturating_mul(8), mailbox.number_of("count")?.saturating_mul(PAGE_SIZE as u64)))
}

/// What waits in a mailbox, the oldest first.
pub fn letters<'a>(kernel: &'a Kernel<'a>, mailbox: Value<'a>, receiver: u64) -> Result<Vec<Letter>, Error> {
    let (count, head, used) = (mailbox.number_of("count")?, mailbox.number_of("head")?, mailbox.number_of("used")?);
    let pages = mailbox.field("pages")?.elements()?.take(count as usize).map(|page| page.number()).collect::<Result<Vec<u64>, _>>()?;
    Ring { read: |address| kernel.word(address), pages, head, used }.letters(receiver)
}

/// The message with which an agent waits in the queue of `receiver`.
pub fn caller(agent: Value<'_>, sender: u64, receiver: u64) -> Result<Letter, Error> {
    let (x, outgoing) = (agent.field("registers")?.field("x")?, agent.field("outgoing")?);
    let info = SendInfo::decode(x.at(10)?.number()?).unwrap_or_default();
    // A long message is in the caller's memory; a short one in its registers.
    let in_registers = (8..=64).contains(&info.length);
    Ok(Letter {
        receiver,
        sender,
        kind: Received::Call,
        sender_waits: true,
        length: info.length.into(),
        caps: info.caps.into(),
        badge: outgoing.number_of("badge")?,
        message: outgoing.number_of("message")?,
        head: if in_registers { Some(x.at(0)?.number()?) } else { None },
    })
}

/// The fault with which an agent waits in the queue of its supervisor.
pub fn fault(agent: Value<'_>, sender: u64, receiver: u64) -> Result<Letter, Error> {
    let (cause, outgoing) = (agent.field("fault")?.number_of("__0")?, agent.field("outgoing")?);
    Ok(Letter {
        receiver,
        sender,
        kind: Received::Fault,
        sender_waits: true,
        length: 64,
        caps: 0,
        badge: agent.field("supervisor")?.number_of("__1")?,
        message: outgoing.number_of("message")?,
        head: Some(cause),
    })
}

#[cfg(test)]
mod tests;
