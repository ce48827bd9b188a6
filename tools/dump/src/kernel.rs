//! The kernel in a memory image: that it is this one, where it lies, and what its addresses mean.

use aios_abi::info;
use aios_handoff::layout::{DIRECT_MAP_BASE, KERNEL_ALIGN, KERNEL_BASE, KERNEL_MAX, PAGE_SIZE, direct_pa};

use crate::value::{Memory, Value};
use crate::{Error, Image, Program};

/// A kernel whose memory can be read.
pub struct Kernel<'a> {
    image: &'a mut Image,
    program: &'a Program,
    /// Physical address of the kernel image.
    base: u64,
}

/// The boot core's state, and the table of which its hardware part knows the physical address.
const BOOT_CPU: &str = "aios_kernel::cpu::BOOT_CPU";
const NOTHING: &str = "aios_kernel::boot::NOTHING";

impl<'a> Kernel<'a> {
    /// Finds the program in the memory: all its code and constants, unchanged.
    pub fn find(image: &'a mut Image, program: &'a Program) -> Result<Self, Error> {
        if !is_described(program) {
            return Err(Error::NoTypes);
        }
        let base = locate(image, program)?;
        let mut kernel = Self { image, program, base };
        kernel.find_base()?;
        Ok(kernel)
    }

    /// Lets an image that doesn't know its addresses have them from the kernel, which does.
    fn find_base(&mut self) -> Result<(), Error> {
        let Some(part) = self.image.parts().first().copied().filter(|_| !self.image.knows_addresses()) else { return Ok(()) };
        let nothing = self.program.types().named(NOTHING)?.address - KERNEL_BASE;
        let known = self.named(BOOT_CPU)?.field("__0")?.field("machine")?.field("board")?.number_of("nothing")?;
        // A kernel that died before it set this up has said nothing yet: the usual machine's address stays.
        let from_start = self.base - part.base;
        if let Some(base) = known.checked_sub(nothing).and_then(|kernel| kernel.checked_sub(from_start))
            && known != 0
        {
            if !base.is_multiple_of(PAGE_SIZE) {
                return Err(Error::Broken(format!("the kernel says that it lies at {:#x}", base + from_start)));
            }
            self.image.set_base(base);
            self.base = base + from_start;
        }
        Ok(())
    }

    /// The program.
    pub fn program(&self) -> &'a Program {
        self.program
    }

    /// The ranges of memory that there are.
    pub fn image(&self) -> &Image {
        self.image
    }

    /// Physical address of the kernel image.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// A static variable of the kernel.
    pub fn named(&self, path: &str) -> Result<Value<'_>, Error> {
        Value::of_static(self, self.program.types(), path)
    }

    /// A structure of the kernel at an address.
    pub fn at(&self, path: &str, address: u64) -> Result<Value<'_>, Error> {
        Value::of_type(self, self.program.types(), path, address)
    }

    /// A word at a physical address.
    pub fn word(&self, physical: u64) -> Result<u64, Error> {
        let mut bytes = [0; 8];
        self.image.read(physical, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

/// Whether a kernel's file describes its types: one that was built as usual has line tables only.
pub fn is_described(program: &Program) -> bool {
    program.types().named(BOOT_CPU).is_ok()
}

/// What the kernel maps: its own image, and all other memory one to one.
impl Memory for Kernel<'_> {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Error> {
        let end = self.program.segments().last().map_or(KERNEL_BASE, |last| last.address.saturating_add(last.size));
        if address >= KERNEL_BASE && address < end {
            return self.image.read(self.base + (address - KERNEL_BASE), into);
        }
        let physical = direct_pa(address).filter(|_| address >= DIRECT_MAP_BASE).ok_or(Error::Unmapped(address))?;
        self.image.read(physical, into)
    }
}

/// The physical address at which all of the program's code and constants are.
fn locate(image: &Image, program: &Program) -> Result<u64, Error> {
    /// Bytes by which a kernel of this system is known, whichever build it is: its first instructions.
    const HEAD: usize = 64;
    let Some(head) = program.segments().first().and_then(|segment| segment.bytes.get(..HEAD)) else {
        return Err(Error::NotKernel("it has no code".to_owned()));
    };
    let mut other = None;
    for part in image.parts() {
        let mut at = part.base.next_multiple_of(KERNEL_ALIGN);
        while at.saturating_add(PAGE_SIZE) <= part.base.saturating_add(part.length) {
            let mut there = [0; HEAD];
            image.read(at, &mut there)?;
            if there == head {
                match difference(image, program, at)? {
                    None => return Ok(at),
                    Some(differs_at) => other = Some(Error::OtherBuild { place: at, differs_at }),
                }
            }
            at += KERNEL_ALIGN;
        }
    }
    match other {
        Some(error) => Err(error),
        None if has_information_page(image)? => Err(Error::OtherKernel),
        None => Err(Error::NoKernel),
    }
}

/// The first address at which what the kernel never changes differs from the file.
fn difference(image: &Image, program: &Program, base: u64) -> Result<Option<u64>, Error> {
    for segment in program.segments().iter().filter(|segment| !segment.writable) {
        let from_start = segment.address - KERNEL_BASE;
        if from_start.saturating_add(segment.size) > KERNEL_MAX {
            return Err(Error::NotKernel("it is larger than a kernel can be".to_owned()));
        }
        let mut there = vec![0; segment.bytes.len()];
        if image.read(base + from_start, &mut there).is_err() {
            return Ok(Some(segment.address));
        }
        if let Some(index) = there.iter().zip(&segment.bytes).position(|(there, file)| there != file) {
            return Ok(Some(segment.address + index as u64));
        }
    }
    Ok(None)
}

/// Whether there is an information page, which every agent of every kernel has.
fn has_information_page(image: &Image) -> Result<bool, Error> {
    for part in image.parts() {
        let mut at = part.base.next_multiple_of(PAGE_SIZE);
        while at.saturating_add(PAGE_SIZE) <= part.base.saturating_add(part.length) {
            let mut word = [0; 8];
            image.read(at, &mut word)?;
            if u64::from_le_bytes(word) == info::MAGIC {
                return Ok(true);
            }
            at += PAGE_SIZE;
        }
    }
    Ok(false)
}
