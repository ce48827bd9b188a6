//! Programs that behave badly: they loop, flood, and eat.

use core::hint::black_box;
use core::num::NonZeroUsize;
use core::ptr::NonNull;

use aios_abi::call::SLOT_FIRST;
use aios_abi::limits::PAGE_SIZE;
use aios_assist::status;
use aios_rt::ipc::{self, Message};
use aios_rt::memory::{Backing, allocate};
use aios_rt::slot::{Service, Slot};
use aios_rt::{Error, Result, SlotHandle};

use super::setup;

/// Loops without a system call.
pub fn spin() -> ! {
    let mut turns = 0u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Sends to a service as fast as it can, and goes on when the mailbox is full.
pub fn flood(slot: u64) -> u64 {
    let service = match u32::try_from(slot) {
        Ok(0) => Slot::first(SLOT_FIRST).cast(),
        Ok(handle) => Service(SlotHandle(handle)),
        Err(_) => return status::SETUP,
    };
    let mut count = 0u64;
    loop {
        match ipc::send(service, &Message::words([0, count]), &[]) {
            Ok(()) => count += 1,
            Err(Error::QueueFull) => {}
            Err(error) => return setup(error),
        }
    }
}

/// Allocates until the pool is used up, checks that this is an error and that memory comes zeroed, and then touches what was to come at first
/// touch, which must be a fault.
pub fn eat_memory() -> u64 {
    const PROMISED: usize = 16 * PAGE_SIZE;
    let promised = match region(PROMISED, Backing::OnTouch) {
        Ok(start) => start,
        Err(error) => return setup(error),
    };
    let mut bytes = 1 << 28;
    while bytes >= PAGE_SIZE {
        match region(bytes, Backing::Now) {
            Ok(start) => {
                if !touch(start, bytes) {
                    return 1;
                }
            }
            Err(Error::NoMemory) => bytes /= 2,
            Err(error) => return setup(error),
        }
    }
    touch(promised, PROMISED);
    status::SURVIVED
}

fn region(bytes: usize, backing: Backing) -> Result<NonNull<u8>> {
    allocate(NonZeroUsize::new(bytes).ok_or(Error::BadArgument)?, backing)
}

/// Writes to every page, and tells whether all were zero before.
fn touch(start: NonNull<u8>, bytes: usize) -> bool {
    let mut zero = true;
    for offset in (0..bytes).step_by(PAGE_SIZE) {
        let word = start.as_ptr().wrapping_add(offset).cast::<u64>();
        // SAFETY: within a region of this size that was just allocated, and aligned.
        zero &= unsafe { word.read_volatile() } == 0;
        // SAFETY: the same.
        unsafe { word.write_volatile(u64::MAX) };
    }
    zero
}
