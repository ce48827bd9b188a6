//! Memory: frames and devices that are mapped, pools, and memory of the program itself.

use core::num::NonZeroUsize;
use core::ptr::NonNull;

use aios_abi::rights::Rights;
use aios_abi::{Call, Error};

use crate::Result;
use crate::slot::{Agent, Capability, Device, Frame, Pool, handle};
use crate::sys::{Regs, syscall};

/// What a mapping allows. Writable code can't be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Access {
    /// Reading.
    Read,
    /// Reading and writing.
    ReadWrite,
    /// Reading and executing.
    ReadExecute,
}

impl Access {
    /// The rights that the kernel is asked for.
    pub const fn rights(self) -> Rights {
        match self {
            Self::Read => Rights::READ,
            Self::ReadWrite => Rights::READ.or(Rights::WRITE),
            Self::ReadExecute => Rights::READ.or(Rights::EXECUTE),
        }
    }
}

/// What can be mapped.
pub trait Mappable: Capability {}

impl Mappable for Frame {}
impl Mappable for Device {}

/// Pages that were allocated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allocated {
    /// The capability to them.
    pub frame: Frame,
    /// Where they are in physical memory, for devices.
    pub physical: u64,
}

/// Allocates zeroed, contiguous pages, at most 32, that `pool` pays for.
#[inline]
pub fn allocate_frame(pool: Pool, pages: u64) -> Result<Allocated> {
    let mut regs = Regs::at(pool.word()).with([pages]);
    syscall(Call::FrameAlloc, &mut regs)?;
    Ok(Allocated { frame: Frame(handle(regs.x[0])), physical: regs.x[1] })
}

/// Makes a child pool of `pages` pages.
pub fn allocate_pool(pool: Pool, pages: u64) -> Result<Pool> {
    let mut regs = Regs::at(pool.word()).with([pages]);
    syscall(Call::AgentPoolAlloc, &mut regs)?;
    Ok(Pool(handle(regs.x[0])))
}

/// Maps a frame or device into the program's own address space. The kernel refuses a range in which something is mapped already.
#[inline]
pub fn map(what: impl Mappable, address: u64, access: Access) -> Result<()> {
    syscall(Call::PageMap, &mut Regs::at(what.word()).with([0, address, access.rights().0 as u64]))
}

/// Maps a frame or device into another agent's address space.
#[inline]
pub fn map_into(agent: Agent, what: impl Mappable, address: u64, access: Access) -> Result<()> {
    syscall(Call::PageMap, &mut Regs::at(what.word()).with([agent.word(), address, access.rights().0 as u64]))
}

/// Removes the mapping that was made with a capability.
///
/// # Safety
/// If it is a mapping of this program, nothing of it may be used any more.
#[inline]
pub unsafe fn unmap(what: impl Mappable) -> Result<()> {
    syscall(Call::PageUnmap, &mut Regs::at(what.word()))
}

/// When the pages of agent memory come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Backing {
    /// At once: the call fails if the pool can't pay.
    Now,
    /// At first touch: a touch that the pool can't pay is a fault.
    OnTouch,
}

/// Adds zeroed memory: `bytes` rounded up to whole pages, readable and writable.
#[inline]
pub fn allocate(bytes: NonZeroUsize, backing: Backing) -> Result<NonNull<u8>> {
    let mut regs = Regs::default().with([bytes.get() as u64, (backing == Backing::OnTouch) as u64]);
    syscall(Call::AgentMemAlloc, &mut regs)?;
    NonNull::new(core::ptr::with_exposed_provenance_mut(regs.x[0] as usize)).ok_or(Error::WrongVersion)
}

/// Gives memory back.
///
/// # Safety
/// `start` is what [`allocate`] answered, and nothing of that memory is used any more.
#[inline]
pub unsafe fn free(start: NonNull<u8>) -> Result<()> {
    syscall(Call::AgentMemFree, &mut Regs::default().with([start.as_ptr().expose_provenance() as u64]))
}
