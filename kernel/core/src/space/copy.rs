//! Copies from and to user memory: the tables are walked in software and the bytes reached through their physical addresses.
//!
//! A user address is a claim until it was walked: each page is looked up with the access that the direction needs, right before its bytes
//! move, and nothing crosses a page on either side. Device registers are refused. A fault says which address, so that the caller can bring
//! in a demand page and go on with the same [`CopyCursor`]; the bytes before that address are copied, none from it on.

use super::table::{Descriptor, PAGE, entry, span};
use super::{Progress, Space};
use crate::machine::Memory;

/// Words that are converted at once.
const WORDS: usize = 8;

/// The side of a copy that is at fault.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// Where the bytes come from.
    Source,
    /// Where they go.
    Destination,
}

/// Why a page can't be used.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FaultReason {
    /// Nothing is mapped there; it may be a demand page that was not touched yet, or no address of an agent at all.
    Unmapped,
    /// It is mapped, but the agent may not write it, or it is device memory.
    Denied,
}

/// Where a copy ended early.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CopyFault {
    /// Whose memory.
    pub side: Side,
    /// The first address that could not be read or written.
    pub address: u64,
    /// Why.
    pub reason: FaultReason,
}

/// How far a copy came.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct CopyCursor {
    done: usize,
}

impl CopyCursor {
    /// The start.
    pub const START: Self = Self { done: 0 };

    /// Bytes copied.
    pub const fn done(self) -> usize {
        self.done
    }

    /// Counts bytes that were copied.
    pub(crate) const fn advance(&mut self, bytes: usize) {
        self.done += bytes;
    }
}

/// Where user bytes move, and in which direction: remembers the last-level table that it was in, so that a run of pages costs one
/// table read each. Tables don't change while it lives: it borrows the space, and whoever changes a space needs it alone.
struct Window<'a> {
    space: &'a Space,
    side: Side,
    /// Number of the 2 MiB that `table` covers.
    block: u64,
    table: u64,
}

impl<'a> Window<'a> {
    const fn new(space: &'a Space, side: Side) -> Self {
        // No address has this block number.
        Self { space, side, block: u64::MAX, table: 0 }
    }

    /// Physical address of the byte at `va`, if its page may be used.
    #[inline]
    fn locate<M: Memory>(&mut self, memory: &M, va: u64) -> Result<u64, CopyFault> {
        let block = va / span(2);
        if block != self.block {
            self.table = self.space.last_table(memory, va).ok_or_else(|| self.fault(va, FaultReason::Unmapped))?;
            self.block = block;
        }
        let descriptor = Descriptor(memory.read(entry(self.table, va, 3)));
        let usable = match self.side {
            Side::Source => descriptor.is_readable(),
            Side::Destination => descriptor.is_writable(),
        };
        if usable {
            Ok(descriptor.address() + va % PAGE)
        } else {
            Err(self.fault(va, if descriptor.is_present() { FaultReason::Denied } else { FaultReason::Unmapped }))
        }
    }

    #[cold]
    fn fault(&self, address: u64, reason: FaultReason) -> CopyFault {
        CopyFault { side: self.side, address, reason }
    }
}

/// Bytes from this address to the end of its page.
const fn page_rest(va: u64) -> usize {
    (PAGE - va % PAGE) as usize
}

/// Copies `length` bytes between address spaces, from where the cursor stands; `More` when an interrupt waits.
///
/// The same memory may be mapped on both sides: each piece that lies within one page on both sides then arrives as it was before that piece.
pub fn copy_between<M: Memory>(
    memory: &mut M,
    from: &Space,
    from_va: u64,
    to: &Space,
    to_va: u64,
    cursor: &mut CopyCursor,
    length: usize,
) -> Result<Progress, CopyFault> {
    let mut source = Window::new(from, Side::Source);
    let mut destination = Window::new(to, Side::Destination);
    while cursor.done < length {
        // Can't wrap into another page: everything from 2³⁹ on faults, and what was done did not.
        let (from_va, to_va) = (from_va.wrapping_add(cursor.done as u64), to_va.wrapping_add(cursor.done as u64));
        let from = source.locate(memory, from_va)?;
        let to = destination.locate(memory, to_va)?;
        let piece = (length - cursor.done).min(page_rest(from_va)).min(page_rest(to_va));
        if from.abs_diff(to) >= piece as u64 {
            memory.copy(to, from, piece);
        } else {
            copy_overlapping(memory, to, from, piece);
        }
        cursor.done += piece;
        if cursor.done < length && memory.interrupt_pending() {
            return Ok(Progress::More);
        }
    }
    Ok(Progress::Done)
}

/// Copies within a page: through a buffer, and from the end that is overwritten last.
#[cold]
fn copy_overlapping<M: Memory>(memory: &mut M, to: u64, from: u64, length: usize) {
    let mut buffer = [0; 64];
    let mut done = 0;
    while done < length {
        let piece = buffer.len().min(length - done);
        let offset = (if to < from { done } else { length - done - piece }) as u64;
        memory.read_bytes(from + offset, &mut buffer[..piece]);
        memory.write_bytes(to + offset, &buffer[..piece]);
        done += piece;
    }
}

/// Reads user memory into a buffer of the kernel, which is short: there is no preemption point.
pub fn read_user<M: Memory>(memory: &M, space: &Space, va: u64, bytes: &mut [u8]) -> Result<(), CopyFault> {
    let mut window = Window::new(space, Side::Source);
    let mut done = 0;
    while done < bytes.len() {
        let va = va.wrapping_add(done as u64);
        let pa = window.locate(memory, va)?;
        let piece = page_rest(va).min(bytes.len() - done);
        memory.read_bytes(pa, &mut bytes[done..done + piece]);
        done += piece;
    }
    Ok(())
}

/// Writes a short buffer of the kernel to user memory.
pub fn write_user<M: Memory>(memory: &mut M, space: &Space, va: u64, bytes: &[u8]) -> Result<(), CopyFault> {
    let mut window = Window::new(space, Side::Destination);
    let mut done = 0;
    while done < bytes.len() {
        let va = va.wrapping_add(done as u64);
        let pa = window.locate(memory, va)?;
        let piece = page_rest(va).min(bytes.len() - done);
        memory.write_bytes(pa, &bytes[done..done + piece]);
        done += piece;
    }
    Ok(())
}

/// Reads words, such as registers, from user memory; `va` need not be aligned.
pub fn read_words<M: Memory>(memory: &M, space: &Space, va: u64, words: &mut [u64]) -> Result<(), CopyFault> {
    for (index, chunk) in words.chunks_mut(WORDS).enumerate() {
        let va = va.wrapping_add((index * WORDS * 8) as u64);
        let mut buffer = [0; WORDS * 8];
        let bytes = &mut buffer[..chunk.len() * 8];
        read_user(memory, space, va, bytes)?;
        for (word, bytes) in chunk.iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
    }
    Ok(())
}

/// Writes words to user memory; `va` need not be aligned.
pub fn write_words<M: Memory>(memory: &mut M, space: &Space, va: u64, words: &[u64]) -> Result<(), CopyFault> {
    for (index, chunk) in words.chunks(WORDS).enumerate() {
        let va = va.wrapping_add((index * WORDS * 8) as u64);
        let mut buffer = [0; WORDS * 8];
        let bytes = &mut buffer[..chunk.len() * 8];
        for (word, bytes) in chunk.iter().zip(bytes.as_chunks_mut().0) {
            *bytes = word.to_le_bytes();
        }
        write_user(memory, space, va, bytes)?;
    }
    Ok(())
}
