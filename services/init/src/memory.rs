//! The memory of a program: capabilities to its pages, which stay with init, so that a restart needs no new memory.

use alloc::vec::Vec;

use aios_abi::Error;
use aios_abi::limits::{FRAME_PAGES, PAGE_SIZE};
use aios_rt::memory::{Access, allocate_frame, map, map_into, unmap};
use aios_rt::slot::{Agent, Frame, Pool};
use aios_rt::time::Expiry;
use aios_rt::{Result, cap};

use crate::layout::{Arguments, Content, Layout, Piece, STACK_PAGES, STACK_TOP};

const PAGE: u64 = PAGE_SIZE as u64;
/// Where init maps a frame to fill it. Nothing else of init lies there.
const WINDOW: u64 = 0x1e_0000_0000;

const _: () = assert!(STACK_PAGES <= FRAME_PAGES);

/// A piece of memory with the capability to it.
struct Part<'a> {
    frame: Frame,
    piece: Piece<'a>,
}

/// A program's memory. Its capabilities go with it.
pub struct Memory<'a> {
    entry: u64,
    parts: Vec<Part<'a>>,
    stack: Option<Frame>,
    /// A program has run in it.
    used: bool,
}

impl<'a> Memory<'a> {
    /// Pages that `pool` pays for a program of this layout.
    pub fn cost(layout: &Layout<'_>) -> u64 {
        layout.own_pages() + STACK_PAGES
    }

    /// Gets everything that the program needs.
    pub fn reserve(layout: Layout<'a>, bundle: Frame, pool: Pool) -> Result<Self> {
        let mut memory = Self { entry: layout.entry, parts: Vec::with_capacity(layout.pieces.len()), stack: None, used: false };
        for piece in layout.pieces {
            let frame = match piece.content {
                Content::Bundle { first } => cap::derive_part(bundle, piece.access.rights(), Expiry::NONE, first, piece.pages)?,
                Content::Own { .. } => allocate_frame(pool, piece.pages)?.frame,
            };
            memory.parts.push(Part { frame, piece });
        }
        memory.stack = Some(allocate_frame(pool, STACK_PAGES)?.frame);
        Ok(memory)
    }

    /// Fills the memory and maps it into a new agent. Answers where the program starts, and its arguments.
    pub fn install(&mut self, agent: Agent, arguments: &str) -> Result<(u64, Arguments)> {
        let wipe = core::mem::replace(&mut self.used, true);
        for Part { frame, piece } in &self.parts {
            if let Content::Own { offset, data } = piece.content {
                fill(*frame, piece.pages, wipe, offset, data)?;
            }
            map_into(agent, *frame, piece.address, piece.access)?;
        }
        let stack = self.stack.ok_or(Error::WrongState)?;
        let bottom = STACK_TOP - STACK_PAGES * PAGE;
        let placed = Arguments::place(arguments);
        if placed.address < bottom {
            return Err(Error::BadArgument);
        }
        if wipe || !arguments.is_empty() {
            fill(stack, STACK_PAGES, wipe, placed.address - bottom, arguments.as_bytes())?;
        }
        map_into(agent, stack, bottom, Access::ReadWrite)?;
        Ok((self.entry, placed))
    }
}

impl Drop for Memory<'_> {
    fn drop(&mut self) {
        for frame in self.parts.iter().map(|part| part.frame).chain(self.stack) {
            // A slot that is empty already is as good.
            let _ = cap::drop(frame);
        }
    }
}

/// Writes into a frame that is mapped nowhere, through a mapping of init's own that is gone afterwards.
fn fill(frame: Frame, pages: u64, wipe: bool, offset: u64, data: &[u8]) -> Result<()> {
    if !wipe && data.is_empty() {
        // A new frame is zero.
        return Ok(());
    }
    if offset.checked_add(data.len() as u64).is_none_or(|end| end > pages * PAGE) {
        return Err(Error::BadArgument);
    }
    map(frame, WINDOW, Access::ReadWrite)?;
    write(pages, wipe, offset, data);
    // SAFETY: `write` was the only user of the window, and keeps no reference to it.
    unsafe { unmap(frame) }
}

#[cfg(target_os = "none")]
fn write(pages: u64, wipe: bool, offset: u64, data: &[u8]) {
    let window = core::ptr::with_exposed_provenance_mut::<u8>(WINDOW as usize);
    if wipe {
        // SAFETY: `fill` has just mapped that many pages there, writable, and nothing else of init is there.
        unsafe { window.write_bytes(0, (pages * PAGE) as usize) };
    }
    // SAFETY: the same; `fill` has checked that the bytes end within the pages, and they are init's or the bundle's, never the window's.
    unsafe { core::ptr::copy_nonoverlapping(data.as_ptr(), window.wrapping_add(offset as usize), data.len()) };
}

/// On a development machine there is no memory behind the window.
#[cfg(not(target_os = "none"))]
fn write(_: u64, _: bool, _: u64, _: &[u8]) {}
