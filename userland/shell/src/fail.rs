//! Why a command failed.

use alloc::string::{String, ToString};
use core::fmt;

use aios_abi::Error as KernelError;
use aios_proto::types::ErrorCode;
use aios_proto::{Error as CallError, NoError, ServiceError as _, console, log, names, sentence, supervisor};
use aios_rt::peer::Failure;
use aios_shell_core::status;

/// Why a command failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fail {
    /// The shell does not hold the capability that it takes.
    NoCapability {
        /// What is missing.
        what: &'static str,
        /// Who says so, in what words.
        why: String,
    },
    /// Ctrl-C.
    Interrupted,
    /// Everything else.
    Other(String),
}

/// Errors that mean that the caller lacks a right or a capability.
pub trait Denial: fmt::Display {
    /// Whether this one does.
    fn denies(&self) -> bool {
        false
    }

    /// What it says, for people: one sentence.
    fn words(&self) -> String {
        self.to_string()
    }
}

impl Denial for NoError {}
impl Denial for console::Error {}
impl Denial for log::Error {}

impl Denial for names::Error {
    fn denies(&self) -> bool {
        match self {
            Self::NotListed | Self::Revoked => true,
            Self::Kernel(code) => lacks(*code),
            Self::NotRunning | Self::NoSuchDevice => false,
        }
    }
}

impl Denial for supervisor::Error {
    fn denies(&self) -> bool {
        match self {
            Self::NotAllowed => true,
            Self::Kernel(code) => lacks(*code),
            _ => false,
        }
    }
}

impl Denial for KernelError {
    fn denies(&self) -> bool {
        lacks(self.code())
    }

    fn words(&self) -> String {
        sentence::of(*self).to_string()
    }
}

/// Whether a code of the kernel or of a dispatcher says that a capability is missing, gone or too weak.
fn lacks(code: u16) -> bool {
    let kernel = [KernelError::NoCapability, KernelError::MissingRight, KernelError::Revoked, KernelError::Expired];
    code == ErrorCode::MissingRight.code() || kernel.iter().any(|error| error.code() == code)
}

impl Fail {
    /// A failure that is told in these words.
    pub fn other(why: impl fmt::Display) -> Self {
        Self::Other(why.to_string())
    }

    /// An error of the kernel or of a service, when `what` was needed.
    pub fn of(what: &'static str, error: impl Denial) -> Self {
        if error.denies() { Self::NoCapability { what, why: error.words() } } else { Self::other(error.words()) }
    }

    /// The end of a call, when `what` was needed.
    pub fn call<E: Denial>(what: &'static str, error: CallError<E>) -> Self {
        match error {
            CallError::Service(error) => Self::of(what, error),
            CallError::Refused(code) if lacks(code) => Self::NoCapability { what, why: error.to_string() },
            error => Self::other(format_args!("{what}: {error}")),
        }
    }

    /// The end of a call to a service that is looked up, which is what was needed.
    pub fn peer<E: Denial>(what: &'static str, failure: Failure<E>) -> Self {
        match failure {
            Failure::Unreachable(CallError::Service(error)) if !error.denies() => Self::other(format_args!("{what}: {error}")),
            Failure::Unreachable(error) => Self::call(what, error),
            Failure::Call(error) => Self::call(what, error),
        }
    }

    /// The status with which the command ends.
    pub const fn status(&self) -> u16 {
        match self {
            Self::NoCapability { .. } => status::NO_CAPABILITY,
            Self::Interrupted => status::INTERRUPTED,
            Self::Other(_) => status::FAILURE,
        }
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCapability { what, why } => write!(f, "no capability: {what} ({why})"),
            Self::Interrupted => f.write_str("interrupted"),
            Self::Other(why) => f.write_str(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_says_that_a_capability_is_missing_is_told_so() {
        let missing = [
            Fail::of("observe", KernelError::Revoked),
            Fail::call("observe", CallError::Service(names::Error::NotListed)),
            Fail::call("control", CallError::Service(supervisor::Error::Kernel(KernelError::MissingRight.code()))),
            Fail::call::<supervisor::Error>("control", CallError::Refused(ErrorCode::MissingRight.code())),
            Fail::peer::<log::Error>("/svc/log", Failure::Unreachable(CallError::Service(names::Error::NotListed))),
        ];
        for fail in missing {
            assert_eq!(fail.status(), status::NO_CAPABILITY);
            assert!(fail.to_string().starts_with("no capability: "), "{fail}");
        }
        let others = [
            Fail::of("control", KernelError::WrongState),
            Fail::call("control", CallError::Service(supervisor::Error::UnknownAgent)),
            Fail::call::<NoError>("control", CallError::Timeout),
            Fail::peer::<log::Error>("/svc/log", Failure::Unreachable(CallError::Service(names::Error::NotRunning))),
        ];
        for fail in others {
            assert_eq!(fail.status(), status::FAILURE, "{fail}");
        }
        let passed_on = Fail::call("spawn", CallError::Service(supervisor::Error::Kernel(KernelError::NotAdmitted.code())));
        assert!(passed_on.to_string().contains("nine tenths"), "{passed_on}");
    }

    #[test]
    fn every_error_of_the_kernel_is_told_in_its_sentence_whichever_way_it_comes() {
        for &error in KernelError::ALL {
            let sentence = sentence::of(error);
            let code = error.code();
            let mut ways = alloc::vec![
                Fail::of("control", error),
                Fail::call("spawn", CallError::Service(supervisor::Error::Kernel(code))),
                Fail::call("observe", CallError::Service(names::Error::Kernel(code))),
                Fail::peer::<log::Error>("/svc/log", Failure::Unreachable(CallError::Service(names::Error::Kernel(code)))),
            ];
            // What ends a call by itself has words of its own there.
            if let refused @ CallError::Refused(_) = CallError::<NoError>::from_kernel(code) {
                ways.push(Fail::call("control", refused));
            }
            for fail in ways {
                assert!(fail.to_string().contains(sentence), "{error:?}: {fail}");
            }
        }
    }
}
