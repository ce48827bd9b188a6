//! What can be wrong with the files, and with what is in them.

use std::fmt;

/// Why something can't be read.
#[derive(Debug)]
pub enum Error {
    /// The file can't be read at all.
    File(std::io::Error),
    /// The file is no memory image, for this reason.
    NotMemory(String),
    /// The file is no kernel, for this reason.
    NotKernel(String),
    /// The kernel's file has no description of its types.
    NoTypes,
    /// The memory holds the kernel of another build: where it lies, and the first address at which it differs.
    OtherBuild {
        /// Where it lies, a physical address or, while that isn't known, an offset in the file.
        place: u64,
        /// The first address, in the kernel's own terms, at which memory and file differ.
        differs_at: u64,
    },
    /// The memory holds an AIOS system, but not this kernel.
    OtherKernel,
    /// There is no AIOS system in the memory.
    NoKernel,
    /// The memory image has no byte at this physical address.
    OutsideImage(u64),
    /// The kernel maps nothing at this address.
    Unmapped(u64),
    /// The kernel's data isn't as this reader knows it.
    Layout(String),
    /// The kernel's data contradicts itself.
    Broken(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::NotMemory(why) => write!(f, "not a memory image: {why}"),
            Self::NotKernel(why) => write!(f, "not a kernel of this system: {why}"),
            Self::NoTypes => f.write_str("the kernel's file doesn't describe its types (build it with `-C debuginfo=2`)"),
            Self::OtherBuild { place, differs_at } => {
                write!(f, "the memory holds another build of the kernel: at {place:#x}, and it differs from the file at {differs_at:#x}")
            }
            Self::OtherKernel => f.write_str("the memory holds an AIOS system, but not this kernel"),
            Self::NoKernel => f.write_str("there is no AIOS kernel in the memory"),
            Self::OutsideImage(address) => write!(f, "physical address {address:#x} is not in the memory image"),
            Self::Unmapped(address) => write!(f, "{address:#x} is no address of the kernel's data"),
            Self::Layout(what) => write!(f, "this reader doesn't know this kernel: {what}"),
            Self::Broken(what) => f.write_str(what),
        }
    }
}

// The text says the cause already: there is no other source.
impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::File(error)
    }
}

impl From<gimli::Error> for Error {
    fn from(error: gimli::Error) -> Self {
        Self::NotKernel(format!("its debug information can't be read: {error}"))
    }
}
