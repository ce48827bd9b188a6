//! Programs that behave badly: they loop, flood, and eat.

use core::hint::black_box;
use core::num::NonZeroUsize;
use core::ptr::NonNull;

use aios_abi::limits::PAGE_SIZE;
use aios_assist::status;
use aios_rt::ipc::{self, Message};
use aios_rt::memory::{Backing, allocate};
use aios_rt::peer::Init;
use aios_rt::{Error, Result};

use super::{Trouble, resolve};

/// Bytes of the longer messages of a flood.
const LONG: usize = 1024;

/// Loops without a system call.
pub fn spin() -> ! {
    let mut turns = 0u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Sends to a service as fast as it can, short messages and long ones, and goes on when the mailbox is full or the service is gone for a while.
pub fn flood(init: Init, name: &str) -> core::result::Result<u64, Trouble> {
    let service = if name.is_empty() { init.0 } else { resolve(init, name)? };
    let long = [0xa5; LONG];
    let mut count = 0u64;
    loop {
        let result = match count % 8 {
            0 => ipc::send(service, &Message::bytes(&long)?, &long),
            _ => ipc::send(service, &Message::words([0, count]), &[]),
        };
        match result {
            Ok(()) | Err(Error::QueueFull | Error::PeerDied | Error::PeerRestarted | Error::MessageTooLong) => {
                count = count.wrapping_add(1)
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Allocates until the pool is used up, checks that this is an error and that memory comes zeroed, and then touches what was to come at first
/// touch, which must be a fault.
pub fn eat_memory() -> Result<u64> {
    const PROMISED: usize = 16 * PAGE_SIZE;
    let promised = region(PROMISED, Backing::OnTouch)?;
    let mut bytes = 1 << 28;
    while bytes >= PAGE_SIZE {
        match region(bytes, Backing::Now) {
            Ok(start) => {
                if !touch(start, bytes) {
                    return Ok(1);
                }
            }
            Err(Error::NoMemory) => bytes /= 2,
            Err(error) => return Err(error),
        }
    }
    touch(promised, PROMISED);
    Ok(status::SURVIVED)
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
