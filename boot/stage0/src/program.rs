//! Where the kernel and init go.

use aios_elf::{Elf, Segment};
use aios_handoff::layout::{KERNEL_ALIGN, KERNEL_BASE, KERNEL_MAX, PAGE_SIZE, USER_END};
use aios_handoff::{ImageSegment, InitImage, MAX_SEGMENTS, Range};

use crate::{Failure, Memory};

/// The kernel executable and its place.
#[derive(Clone, Copy, Debug)]
pub struct KernelPlan<'k> {
    /// The executable.
    pub elf: Elf<'k>,
    /// Its memory: `range.base` appears at [`KERNEL_BASE`].
    pub range: Range,
}

impl<'k> KernelPlan<'k> {
    /// Checks the executable `file` and takes memory for it.
    ///
    /// # Errors
    /// When it is no kernel, or there is no memory.
    pub fn new(file: &'k [u8], memory: &mut Memory) -> Result<Self, Failure<'static>> {
        let elf = Elf::parse(file).map_err(Failure::Kernel)?;
        let (start, end) = elf.span();
        if start < KERNEL_BASE || end - KERNEL_BASE > KERNEL_MAX {
            return Err(Failure::KernelAddress(start, end));
        }
        let range = memory.take(end - KERNEL_BASE, KERNEL_ALIGN, "the kernel")?;
        Ok(Self { elf, range })
    }

    /// The pages of a segment of the image.
    #[must_use]
    pub const fn segment_range(&self, segment: &Segment<'_>) -> Range {
        Range::new(segment.page_start() - KERNEL_BASE + self.range.base, segment.pages() * PAGE_SIZE)
    }
}

/// The init executable and its places.
#[derive(Clone, Copy, Debug)]
pub struct InitPlan<'i> {
    /// The executable.
    pub elf: Elf<'i>,
    /// What the kernel is told: segment n of `elf` lies in segment n of this.
    pub image: InitImage,
}

impl<'i> InitPlan<'i> {
    /// Checks the executable `file` and takes memory for its segments.
    ///
    /// # Errors
    /// When it is no user program, or there is no memory.
    pub fn new(file: &'i [u8], memory: &mut Memory) -> Result<Self, Failure<'static>> {
        let elf = Elf::parse(file).map_err(Failure::Init)?;
        let abi_version = elf.abi_version().ok_or(Failure::InitAbi)?;
        let mut image = InitImage { entry: elf.entry(), abi_version, ..InitImage::default() };
        let (start, end) = elf.span();
        // Page 0 is never mapped.
        if start < PAGE_SIZE || end > USER_END || elf.segments().count() > MAX_SEGMENTS {
            return Err(Failure::InitAddress);
        }
        for (place, segment) in image.segments.iter_mut().zip(elf.segments()) {
            let frames = memory.take(segment.pages() * PAGE_SIZE, PAGE_SIZE, "init")?;
            *place = ImageSegment {
                va: segment.page_start(),
                pa: frames.base,
                pages: segment.pages(),
                perms: segment.flags.bits(),
                reserved: 0,
            };
            image.segment_count += 1;
        }
        Ok(Self { elf, image })
    }
}

#[cfg(test)]
mod tests;
