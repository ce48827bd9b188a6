//! Badges that init mints: which manifest entry speaks, and in which run.
//!
//! The low 16 bits are the entry's number and one, servers first, then programs; the bits above count the runs. Towards init itself a badge names
//! one run, so that a message of an earlier one is not taken for its successor's. Towards other servers a server's badge is the same in all of its
//! runs, and each run of a program has its own. Badge 0 is init.

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Badge {
    /// Number of the manifest entry, servers first, then programs.
    pub entry: u16,
    /// Which run of it.
    pub run: u32,
}

impl Badge {
    /// Init's own.
    pub const INIT: u64 = 0;

    /// The badge as the kernel has it.
    pub const fn word(self) -> u64 {
        (self.entry as u64 + 1) | ((self.run as u64) << 16)
    }

    /// Reads a badge; `None` if init did not make it.
    pub const fn from_word(word: u64) -> Option<Self> {
        let entry = word as u16;
        if entry == 0 || word >> 48 != 0 {
            return None;
        }
        Some(Self { entry: entry - 1, run: (word >> 16) as u32 })
    }
}

#[cfg(test)]
mod tests {
    use super::Badge;

    #[test]
    fn badges_lead_back_to_their_entries() {
        for badge in [Badge { entry: 0, run: 0 }, Badge { entry: 63, run: u32::MAX }, Badge { entry: 0xfffe, run: 1 }] {
            assert_eq!(Badge::from_word(badge.word()), Some(badge));
            assert_ne!(badge.word(), Badge::INIT);
        }
        assert_eq!(Badge::from_word(Badge::INIT), None);
        assert_eq!(Badge::from_word(7 << 16), None);
        assert_eq!(Badge::from_word(1 << 48 | 1), None);
    }
}
