//! Recording what a core's scheduler does; see [`aios_abi::trace`].

use core::num::NonZeroUsize;
use core::ptr::NonNull;

use aios_abi::limits::PAGE_SIZE;
use aios_abi::trace::{EVENT_SIZE, Event, HEADER_SIZE, Header, MAGIC, MODE_ONCE, MODE_RING, VERSION};
use aios_abi::{Call, Error};

use crate::Result;
use crate::memory::{Access, allocate_frame, map, unmap};
use crate::slot::{Capability, Frame, Observe, Pool};
use crate::sys::{Regs, syscall};

/// How a frame is filled.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mode {
    /// Once, and then recording stops.
    Once,
    /// As a ring: the oldest events are overwritten.
    Ring,
}

/// Has a core record into a frame. `bits` are raised in the program's own notification word whenever half of it was filled.
pub fn bind(observe: Observe, frame: Frame, core: u64, bits: u64, mode: Mode) -> Result<()> {
    let mode = match mode {
        Mode::Once => MODE_ONCE,
        Mode::Ring => MODE_RING,
    };
    syscall(Call::TraceBind, &mut Regs::at(observe.word()).with([frame.word(), core, bits, mode]))
}

/// Ends the program's recording of a core. What happened before is in the frame.
pub fn end(observe: Observe, core: u64) -> Result<()> {
    syscall(Call::TraceBind, &mut Regs::at(observe.word()).with([0, core]))
}

/// A frame to record into, mapped for reading.
#[derive(Debug)]
pub struct Page {
    frame: Frame,
    words: NonNull<u64>,
    count: NonZeroUsize,
}

impl Page {
    /// Allocates `pages` (1 to 32) pages that `pool` pays for, and maps them at `address`, where nothing is mapped.
    pub fn new(pool: Pool, pages: u64, address: u64) -> Result<Self> {
        let words = NonNull::new(core::ptr::with_exposed_provenance_mut(address as usize)).ok_or(Error::BadAddress)?;
        let count = NonZeroUsize::new(pages as usize * PAGE_SIZE / 8).ok_or(Error::BadArgument)?;
        let frame = allocate_frame(pool, pages)?.frame;
        match map(frame, address, Access::Read) {
            Ok(()) => Ok(Self { frame, words, count }),
            Err(error) => {
                let _ = crate::cap::drop(frame);
                Err(error)
            }
        }
    }

    /// The frame.
    pub const fn frame(&self) -> Frame {
        self.frame
    }

    /// The word at an index; 0 beyond the end.
    fn word(&self, index: usize) -> u64 {
        if index >= self.count.get() {
            return 0;
        }
        // SAFETY: within the frame, which is mapped there as long as this value exists.
        let place = unsafe { self.words.add(index) };
        // SAFETY: the same; the kernel may write it at any time, so it is read once and as a whole.
        unsafe { place.as_ptr().read_volatile() }
    }

    /// The header. `None` if no core has written one.
    pub fn header(&self) -> Option<Header> {
        let header = Header::from_words(core::array::from_fn(|index| self.word(index)));
        // What the header says was there before it did.
        core::sync::atomic::fence(core::sync::atomic::Ordering::Acquire);
        (header.magic == MAGIC && header.version == VERSION).then_some(header)
    }

    /// The event with this number, as words; [`Event::from_words`] understands them.
    pub fn event(&self, number: u64) -> [u64; 4] {
        let capacity = (self.count.get() * 8 - HEADER_SIZE) / EVENT_SIZE;
        let first = HEADER_SIZE / 8 + number as usize % capacity * (EVENT_SIZE / 8);
        core::array::from_fn(|index| self.word(first + index))
    }

    /// The event with this number, if it is one.
    pub fn read(&self, number: u64) -> Option<Event> {
        Event::from_words(self.event(number)).filter(|event| event.number == number as u16)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: nothing outside reads the mapping, and this value is gone.
        let _ = unsafe { unmap(self.frame) };
        let _ = crate::cap::drop(self.frame);
    }
}
