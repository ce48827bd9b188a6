//! Error codes: 1–255 are the kernel's, 256–1023 common to services, 1024 and above belong to one interface.

use core::fmt;

use aios_abi::Error as KernelError;

use crate::types::ErrorCode;
use crate::value::TooLong;

/// Errors that an interface adds to the common ones.
pub trait ServiceError: Sized + fmt::Display {
    /// The number in the packet.
    fn code(&self) -> u16;

    /// Writes what belongs to the error beside its code, for the few that have something. Returns its length; `None` if it doesn't fit.
    fn put_detail(&self, buffer: &mut [u8]) -> Option<usize> {
        let _ = buffer;
        Some(0)
    }

    /// Reads an error; `None` if the interface has no such code, or the detail isn't one.
    fn from_wire(code: u16, detail: &[u8]) -> Option<Self>;
}

/// The errors of an interface that has none of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoError {}

impl fmt::Display for NoError {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl ServiceError for NoError {
    fn code(&self) -> u16 {
        match *self {}
    }

    fn from_wire(_: u16, _: &[u8]) -> Option<Self> {
        None
    }
}

/// Why a server doesn't do what it was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure<E> {
    /// An error of the interface.
    Service(E),
    /// A common error.
    Refused(ErrorCode),
}

impl<E> From<ErrorCode> for Failure<E> {
    fn from(code: ErrorCode) -> Self {
        Self::Refused(code)
    }
}

/// What a call can end with instead of a result. The three ways in which the peer can fail to answer are cases of their own, because a client
/// has to decide what each of them means to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error<E> {
    /// The service did not do it, for a reason of its interface.
    Service(E),
    /// The service is gone for ever. Whether it did what was asked is unknown.
    PeerDied,
    /// The service was restarted (or rolled back) before it answered. What was asked may have been done; asking again is right if the operation is idempotent.
    PeerRestarted,
    /// The deadline passed. What was asked may still be done.
    Timeout,
    /// Refused before the service's own code ran, or with a common code; by the kernel if the code is below 256.
    Refused(u16),
    /// The service's answer is not one that the interface allows.
    BadReply,
    /// The request was not sent: something in it is too long.
    TooLong,
}

impl<E> Error<E> {
    /// The meaning of a status of the kernel.
    pub fn from_kernel(code: u16) -> Self {
        match KernelError::from_code(code) {
            Some(KernelError::PeerDied) => Self::PeerDied,
            Some(KernelError::PeerRestarted | KernelError::RolledBack) => Self::PeerRestarted,
            Some(KernelError::Timeout) => Self::Timeout,
            _ => Self::Refused(code),
        }
    }
}

impl<E> From<TooLong> for Error<E> {
    fn from(_: TooLong) -> Self {
        Self::TooLong
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(error) => error.fmt(f),
            Self::PeerDied => f.write_str("the service ended before it answered"),
            Self::PeerRestarted => f.write_str("the service was restarted before it answered"),
            Self::Timeout => f.write_str("the service did not answer in time"),
            Self::Refused(code) => match (KernelError::from_code(*code), ErrorCode::from_wire(*code, &[])) {
                (Some(error), _) => f.write_str(crate::sentence::of(error)),
                (None, Some(error)) => error.fmt(f),
                (None, None) => write!(f, "the service refused with code {code}, which this system does not know"),
            },
            Self::BadReply => f.write_str("the service's answer makes no sense"),
            Self::TooLong => f.write_str("the request is too long"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for Error<E> {}
