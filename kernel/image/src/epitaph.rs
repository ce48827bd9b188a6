//! What a kernel panic leaves in memory, for whoever reads a dump.
//!
//! The program keeps one [`Epitaph`] in the symbol `AIOS_EPITAPH`. It is all zero until the first panic, which fills it and sets `magic` last.

use core::fmt;

/// `"AIOSDEAD"` read as a little-endian number.
pub const MAGIC: u64 = u64::from_le_bytes(*b"AIOSDEAD");
/// Version of this layout.
pub const VERSION: u32 = 1;
/// Bytes of the message.
pub const MESSAGE: usize = 448;

/// [`Epitaph::cause`]: the kernel's own code gave up; the syndrome registers are those of the last exception from EL0.
pub const CAUSE_PANIC: u64 = 0;
/// [`Epitaph::cause`]: an exception in the kernel; the number of its vector (0 to 15) is added.
pub const CAUSE_EXCEPTION: u64 = 0x100;

/// The last words of a core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Epitaph {
    /// [`MAGIC`], once everything else is there.
    pub magic: u64,
    /// [`VERSION`].
    pub version: u32,
    /// Number of the core.
    pub core: u32,
    /// [`CAUSE_PANIC`] or [`CAUSE_EXCEPTION`] + vector.
    pub cause: u64,
    /// `ESR_EL1`.
    pub esr: u64,
    /// `FAR_EL1`.
    pub far: u64,
    /// `ELR_EL1`.
    pub elr: u64,
    /// `x30`: for a panic, where the panic handler was called from.
    pub lr: u64,
    /// Stack pointer.
    pub sp: u64,
    /// `CNTVCT_EL0`.
    pub counter: u64,
    /// Agent that ran, or for which the kernel worked: its table slot, 0 if none.
    pub agent: u64,
    /// Bytes of `message`.
    pub length: u64,
    /// Text.
    pub message: [u8; MESSAGE],
}

impl Epitaph {
    /// Nobody died.
    pub const EMPTY: Self = Self {
        magic: 0,
        version: 0,
        core: 0,
        cause: 0,
        esr: 0,
        far: 0,
        elr: 0,
        lr: 0,
        sp: 0,
        counter: 0,
        agent: 0,
        length: 0,
        message: [0; MESSAGE],
    };

    /// The message.
    #[must_use]
    pub fn text(&self) -> &str {
        let bytes = self.message.get(..self.length as usize).unwrap_or(&self.message);
        match core::str::from_utf8(bytes) {
            Ok(text) => text,
            // A message that was cut off within a character.
            Err(error) => bytes.get(..error.valid_up_to()).and_then(|valid| core::str::from_utf8(valid).ok()).unwrap_or(""),
        }
    }
}

/// Appends to the message; what doesn't fit is left out.
impl fmt::Write for Epitaph {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.message.get_mut(self.length as usize..).unwrap_or_default();
        let taken = text.len().min(room.len());
        room[..taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.length += taken as u64;
        Ok(())
    }
}

const _: () = assert!(size_of::<Epitaph>() == 80 + 8 + MESSAGE, "no padding: a dump is read by offsets");

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    #[test]
    fn messages_are_cut_at_the_end_of_the_space() {
        let mut epitaph = Epitaph::EMPTY;
        assert_eq!(epitaph.text(), "");
        for _ in 0..MESSAGE / 2 {
            write!(epitaph, "é").unwrap();
        }
        assert_eq!(epitaph.text().chars().count(), MESSAGE / 2);
        write!(epitaph, "more").unwrap();
        assert_eq!((epitaph.length as usize, epitaph.text().len()), (MESSAGE, MESSAGE));
        let mut odd = Epitaph::EMPTY;
        write!(odd, "x").unwrap();
        for _ in 0..MESSAGE / 2 {
            write!(odd, "é").unwrap();
        }
        assert_eq!(odd.text().len(), MESSAGE - 1, "half a character is not shown");
    }
}
