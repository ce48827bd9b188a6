//! Status codes. They never get a new meaning and are never renumbered.

macro_rules! errors {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $text:literal;)+) => {
        /// Why the kernel refused or ended a call. `x8` carries the code; 0 there means done.
        ///
        /// Codes 1–255 belong to the kernel, 256–1023 are common to servers, 1024 and above belong to one interface each.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u16)]
        pub enum Error {
            $($(#[doc = $doc])+ $name = $code,)+
        }

        impl Error {
            /// Every error, for tables and tests.
            pub const ALL: &'static [Error] = &[$(Error::$name,)+];

            /// The error with this code, if the kernel has one.
            pub const fn from_code(code: u16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// One short phrase for people.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

errors! {
    /// `x8` holds no call number that this kernel knows.
    UnknownCall = 1, "unknown call number";
    /// A slot names nothing: empty, out of range, or a former user's handle.
    NoCapability = 2, "no capability";
    /// The slot holds a capability of another kind than the call needs.
    WrongKind = 3, "capability of the wrong kind";
    /// The capability lacks a right that the call needs.
    MissingRight = 4, "capability lacks the right";
    /// The capability's time is over.
    Expired = 5, "capability expired";
    /// The capability, or one that it was derived from, was revoked.
    Revoked = 6, "capability revoked";
    /// An argument is out of its range, misaligned, or has reserved bits set.
    BadArgument = 7, "bad argument";
    /// A user address range is not mapped with the access that the call needs.
    BadAddress = 8, "bad address";
    /// The paying pool has no memory left.
    NoMemory = 9, "out of pool memory";
    /// The capability table is full.
    NoSlots = 10, "capability table full";
    /// The receiver's mailbox is full.
    QueueFull = 11, "mailbox full";
    /// A message is longer than the receiver takes, or than 64 KiB.
    MessageTooLong = 12, "message too long";
    /// The deadline passed (a poll that found nothing included).
    Timeout = 13, "deadline passed";
    /// The peer died before it answered, or is not there any more.
    PeerDied = 14, "peer died";
    /// The peer was restarted before it answered.
    PeerRestarted = 15, "peer restarted";
    /// The peer was rolled back before it answered.
    RolledBack = 16, "rolled back";
    /// No call with this message id waits for a reply from the caller.
    NoSuchMessage = 17, "no such message to reply to";
    /// The message carries more capabilities than the receiver takes.
    CapsRefused = 18, "capabilities refused";
    /// A derivation would be deeper than 16.
    TooDeep = 19, "derivation too deep";
    /// A derivation asks for more than its source has.
    NotNarrower = 20, "not narrower than its source";
    /// The range overlaps something mapped.
    AlreadyMapped = 21, "already mapped";
    /// Nothing is mapped there.
    NotMapped = 22, "not mapped";
    /// The object is in use: bound, started or mapped already.
    Busy = 23, "busy";
    /// A mapping would be writable and executable.
    WritableCode = 24, "writable and executable";
    /// Admission control refuses the scheduling parameters.
    NotAdmitted = 25, "not admitted by the scheduler";
    /// The kernel has no sealing key yet.
    NotSeeded = 26, "no sealing key yet";
    /// A token's seal doesn't match.
    Forged = 27, "token forged";
    /// A token was made for another agent.
    WrongAgent = 28, "token for another agent";
    /// The agent is in a state in which the operation makes no sense.
    WrongState = 29, "agent in the wrong state";
    /// A fixed bound of the system is reached.
    LimitReached = 30, "limit reached";
    /// The image or the caller is built for another ABI version.
    WrongVersion = 31, "wrong ABI version";
    /// A handle of an asynchronous operation names nothing.
    NoSuchOperation = 32, "no such operation";
    /// The operation isn't finished.
    Pending = 33, "still pending";
    /// The call was cancelled.
    Cancelled = 34, "cancelled";
    /// No server is registered for this.
    NoServer = 35, "no server registered";
    /// The firmware refused.
    Firmware = 36, "firmware refused";
    /// The core is not online.
    NoSuchCore = 37, "no such core";
    /// Rejected because caller and callee would wait for each other.
    Deadlock = 38, "calls would wait for each other";
}

impl Error {
    /// The code that goes into `x8`.
    pub const fn code(self) -> u16 {
        self as u16
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_lead_back_to_their_errors() {
        for (i, &error) in Error::ALL.iter().enumerate() {
            assert_eq!(error.code() as usize, i + 1);
            assert_eq!(Error::from_code(error.code()), Some(error));
        }
        assert_eq!(Error::from_code(0), None);
        assert_eq!(Error::from_code(256), None);
    }
}
