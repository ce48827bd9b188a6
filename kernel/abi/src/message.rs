//! Messages: the information word in `x10`, the packet header, and the kernel's own messages.

use crate::limits::{MESSAGE_CAPS, MESSAGE_MAX};

/// `x10` on the way in.
///
/// | bits  | meaning                                                      |
/// |-------|--------------------------------------------------------------|
/// | 0–16  | length of the message that is sent, bytes, at most 65,536    |
/// | 17–19 | capabilities that ride on it, at most 4                      |
/// | 20–22 | capabilities that are taken from the message received        |
/// | 23    | capabilities are moved rather than copied                    |
/// | 24–40 | room at `x11` for the message received, bytes                |
/// | 41    | receive notifications only, no messages                      |
/// | 42–63 | reserved, zero                                               |
///
/// A message of at most 64 bytes is in `x0`–`x7`; a longer one is in memory at `x11`, whole. The handles of capabilities that ride along
/// are in `x7` (first low, second high) and `x6` (third, fourth), which then are no payload: at most 56 or 48 bytes are left in registers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct SendInfo {
    /// Bytes to send.
    pub length: u32,
    /// Capabilities to send.
    pub caps: u8,
    /// Capabilities to take.
    pub take_caps: u8,
    /// Move rather than copy.
    pub move_caps: bool,
    /// Room for a long message at `x11`, bytes.
    pub room: u32,
    /// Wait for notifications only.
    pub notifications_only: bool,
}

impl SendInfo {
    /// Reads the word; `None` if a field is out of range or a reserved bit is set.
    pub const fn decode(word: u64) -> Option<Self> {
        let info = Self {
            length: (word & 0x1_ffff) as u32,
            caps: ((word >> 17) & 7) as u8,
            take_caps: ((word >> 20) & 7) as u8,
            move_caps: word & (1 << 23) != 0,
            room: ((word >> 24) & 0x1_ffff) as u32,
            notifications_only: word & (1 << 41) != 0,
        };
        let max = MESSAGE_MAX as u32;
        let caps = MESSAGE_CAPS as u8;
        if word >> 42 != 0 || info.length > max || info.room > max || info.caps > caps || info.take_caps > caps {
            return None;
        }
        if info.length <= 64 && info.length > register_payload(info.caps) {
            return None;
        }
        Some(info)
    }

    /// Packs the word.
    pub const fn encode(self) -> u64 {
        self.length as u64
            | (self.caps as u64) << 17
            | (self.take_caps as u64) << 20
            | (self.move_caps as u64) << 23
            | (self.room as u64) << 24
            | (self.notifications_only as u64) << 41
    }
}

/// Bytes of payload that registers hold beside `caps` capability handles.
pub const fn register_payload(caps: u8) -> u32 {
    match caps {
        0 => 64,
        1 | 2 => 56,
        _ => 48,
    }
}

/// What `IPCRecv` returned.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum Received {
    /// Nothing.
    #[default]
    Nothing = 0,
    /// A message that wants no reply.
    Message = 1,
    /// A call: reply with the message id in `x12`.
    Call = 2,
    /// The reply to a call.
    Reply = 3,
    /// Notification bits, in `x0`.
    Notification = 4,
    /// A fault of a supervised agent; answer with `FaultReply`.
    Fault = 5,
}

impl Received {
    /// The kind with this number; [`Nothing`](Self::Nothing) for one that there isn't.
    pub const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Message,
            2 => Self::Call,
            3 => Self::Reply,
            4 => Self::Notification,
            5 => Self::Fault,
            _ => Self::Nothing,
        }
    }
}

/// `x10` on the way out.
///
/// | bits  | meaning                                                                    |
/// |-------|----------------------------------------------------------------------------|
/// | 0–16  | length of the message, bytes                                               |
/// | 17–19 | capabilities that came with it; their handles are in `x7`, `x6`            |
/// | 20–22 | [`Received`]                                                               |
/// | 32–63 | rights of the capability it came through; for a reply the replier's incarnation |
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct RecvInfo {
    /// Bytes received.
    pub length: u32,
    /// Capabilities received.
    pub caps: u8,
    /// What it is.
    pub kind: Received,
    /// Rights of the capability it came through, or the replier's incarnation.
    pub rights: u32,
}

impl RecvInfo {
    /// Packs the word.
    pub const fn encode(self) -> u64 {
        self.length as u64 | (self.caps as u64) << 17 | (self.kind as u64) << 20 | (self.rights as u64) << 32
    }

    /// Reads the word.
    pub const fn decode(word: u64) -> Self {
        let kind = Received::from_code((word >> 20) as u8 & 7);
        Self { length: (word & 0x1_ffff) as u32, caps: ((word >> 17) & 7) as u8, kind, rights: (word >> 32) as u32 }
    }
}

/// Word 0 of every packet; the kernel ignores it.
///
/// interface 16 | operation 16 | major 8 | flags 8 | length 16, from the least significant bit; length 0 means "see `x10`".
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Header {
    /// Which interface.
    pub interface: u16,
    /// Which operation of it.
    pub operation: u16,
    /// Major version of the interface.
    pub major: u8,
    /// Flags of the interface's encoding.
    pub flags: u8,
    /// Length of the whole packet in bytes, or 0.
    pub length: u16,
}

impl Header {
    /// Flag: the packet is a reply.
    pub const REPLY: u8 = 1;
    /// Flag: the reply is an error.
    pub const ERROR: u8 = 2;

    /// Packs the word.
    pub const fn encode(self) -> u64 {
        self.interface as u64
            | (self.operation as u64) << 16
            | (self.major as u64) << 32
            | (self.flags as u64) << 40
            | (self.length as u64) << 48
    }

    /// Reads the word.
    pub const fn decode(word: u64) -> Self {
        Self {
            interface: word as u16,
            operation: (word >> 16) as u16,
            major: (word >> 32) as u8,
            flags: (word >> 40) as u8,
            length: (word >> 48) as u16,
        }
    }
}

/// Why an agent faulted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u16)]
pub enum FaultCause {
    /// A data access to an address that is not mapped. The kernel's half of the address space never is, whatever is there.
    DataUnmapped = 1,
    /// A data access that the mapping forbids.
    DataPermission = 2,
    /// An instruction fetch from an address that is not mapped.
    FetchUnmapped = 3,
    /// An instruction fetch that the mapping forbids.
    FetchPermission = 4,
    /// An undefined instruction, or one that EL0 may not execute.
    Undefined = 5,
    /// A misaligned access, PC or SP.
    Alignment = 6,
    /// A breakpoint, watchpoint or single step.
    Debug = 7,
    /// A trapped system register or instruction (`WFI`, `MSR` …).
    Trapped = 8,
    /// A floating-point exception.
    FloatingPoint = 9,
    /// A demand page that the agent's pool could not pay.
    OutOfMemory = 10,
    /// An external abort or a system error that hit while the agent ran.
    External = 11,
    /// The program panicked and said so (`Exit` with a panic flag).
    Panic = 12,
    /// Any other exception class.
    Other = 13,
    /// The program ended; the syndrome is its status.
    Exit = 14,
}

impl FaultCause {
    /// The cause with this number.
    pub const fn from_code(code: u16) -> Option<Self> {
        const ALL: [FaultCause; 14] = [
            FaultCause::DataUnmapped,
            FaultCause::DataPermission,
            FaultCause::FetchUnmapped,
            FaultCause::FetchPermission,
            FaultCause::Undefined,
            FaultCause::Alignment,
            FaultCause::Debug,
            FaultCause::Trapped,
            FaultCause::FloatingPoint,
            FaultCause::OutOfMemory,
            FaultCause::External,
            FaultCause::Panic,
            FaultCause::Other,
            FaultCause::Exit,
        ];
        if code >= 1 && (code as usize) <= ALL.len() { Some(ALL[code as usize - 1]) } else { None }
    }

    /// One short phrase for people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::DataUnmapped => "access to unmapped memory",
            Self::DataPermission => "access that the mapping forbids",
            Self::FetchUnmapped => "jump to unmapped memory",
            Self::FetchPermission => "jump to memory that is not code",
            Self::Undefined => "undefined or privileged instruction",
            Self::Alignment => "misaligned access",
            Self::Debug => "debug event",
            Self::Trapped => "trapped instruction",
            Self::FloatingPoint => "floating-point exception",
            Self::OutOfMemory => "out of pool memory",
            Self::External => "external abort",
            Self::Panic => "panic",
            Self::Other => "unknown exception",
            Self::Exit => "exit",
        }
    }
}

/// A fault as the supervisor gets it: the eight payload words of a message from agent 0 of kind [`Received::Fault`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fault {
    /// Who faulted.
    pub agent: u64,
    /// A [`FaultCause`] by number.
    pub cause: u16,
    /// `ESR_EL1` (Arm ARM D17.2.37), without what it says of the kernel's own tables; or the status of `Exit`.
    pub syndrome: u64,
    /// `FAR_EL1`: the address concerned, if there is one.
    pub address: u64,
    /// The instruction.
    pub pc: u64,
    /// Stack pointer.
    pub sp: u64,
    /// Link register `x30`.
    pub lr: u64,
    /// `SPSR_EL1`.
    pub pstate: u64,
}

impl Fault {
    /// The words in `x0`–`x7`.
    pub const fn encode(self) -> [u64; 8] {
        [self.agent, self.cause as u64, self.syndrome, self.address, self.pc, self.sp, self.lr, self.pstate]
    }

    /// Reads the words.
    pub const fn decode(words: [u64; 8]) -> Self {
        let [agent, cause, syndrome, address, pc, sp, lr, pstate] = words;
        Self { agent, cause: cause as u16, syndrome, address, pc, sp, lr, pstate }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_words_round_trip_and_refuse_what_is_reserved() {
        let info = SendInfo { length: 56, caps: 2, take_caps: 4, move_caps: true, room: 65536, notifications_only: false };
        assert_eq!(SendInfo::decode(info.encode()), Some(info));
        assert_eq!(SendInfo::decode(1 << 42), None);
        assert_eq!(SendInfo::decode(SendInfo { length: 57, caps: 1, ..Default::default() }.encode()), None);
        assert_eq!(SendInfo::decode(SendInfo { length: 65537, ..Default::default() }.encode()), None);
        assert_eq!(SendInfo::decode(5 << 17), None);
        let out = RecvInfo { length: 65536, caps: 4, kind: Received::Fault, rights: 0xdead_beef };
        assert_eq!(RecvInfo::decode(out.encode()), out);
        let header = Header { interface: 3, operation: 9, major: 1, flags: 3, length: 64 };
        assert_eq!(Header::decode(header.encode()), header);
    }

    #[test]
    fn fault_causes_lead_back_from_their_numbers() {
        for code in 1..=14 {
            assert_eq!(FaultCause::from_code(code).map(|cause| cause as u16), Some(code));
        }
        assert_eq!(FaultCause::from_code(0), None);
        assert_eq!(FaultCause::from_code(15), None);
    }
}
