//! What is known of each operation before a packet comes: the table that dispatchers check against and that tracer and shell print from.

use crate::error::ServiceError;
use crate::server::Outgoing;

/// An interface.
#[derive(Clone, Copy, Debug)]
pub struct Interface {
    /// Package and interface, such as `aios:log/log`.
    pub name: &'static str,
    /// Its number in packet headers.
    pub number: u16,
    /// Its major version.
    pub major: u8,
    /// Hash of its wire format, compared in tests.
    pub schema: u64,
    /// Its rights by their names in WIT, as bits of the kernel's word of rights.
    pub rights: &'static [(&'static str, u32)],
    /// Its operations by ascending number.
    pub operations: &'static [OperationInfo],
}

impl Interface {
    /// The operation with this number.
    pub fn operation(&self, number: u16) -> Option<&'static OperationInfo> {
        self.operations.iter().find(|operation| operation.number == number)
    }
}

/// An operation of an interface.
#[derive(Clone, Copy, Debug)]
pub struct OperationInfo {
    /// Its number in packet headers.
    pub number: u16,
    /// Its name in WIT.
    pub name: &'static str,
    /// Longest request, bytes, header included.
    pub max_request: u32,
    /// Longest reply, bytes, header and errors included; 0 for a one-way operation.
    pub max_reply: u32,
    /// Capabilities on the request.
    pub caps_in: u8,
    /// Capabilities on a reply that is no error.
    pub caps_out: u8,
    /// Rights that the caller's capability needs; one of the server's 16, or none.
    pub right: u32,
    /// What the interface says about it.
    pub mark: Mark,
    /// Shapes of the parameters that are bytes.
    #[cfg(any(test, feature = "host"))]
    pub request: &'static [crate::host::Shape],
    /// Shapes of the results that are bytes.
    #[cfg(any(test, feature = "host"))]
    pub reply: &'static [crate::host::Shape],
}

/// What an interface says about an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The server may answer later.
    pub pending: bool,
    /// It is sent, and no reply comes.
    pub oneway: bool,
    /// Doing it twice is doing it once, so that a client may try again when it doesn't know.
    pub idempotent: bool,
}

/// An operation as a type: what its replies are.
pub trait Operation {
    /// The number of its interface.
    const INTERFACE: u16;
    /// The major version of its interface.
    const MAJOR: u8;
    /// What is known of it.
    const INFO: &'static OperationInfo;
    /// What a server answers.
    type Output<'a>;
    /// What a server can refuse.
    type Error: ServiceError;

    /// Writes an answer; `None` if it doesn't fit.
    fn put(output: Self::Output<'_>, out: &mut Outgoing<'_>) -> Option<()>;
}
