//! The read-only information page of every agent, at [`INFO_PAGE`](crate::limits::INFO_PAGE) and in `TPIDRRO_EL0`.
//!
//! An array of 64-bit words; those that [`Word`] does not name are zero. All but [`Word::Incarnation`] and [`Word::Cores`] stay as they are
//! while the agent lives.

/// First word of the page: `AIOSINFO` in ASCII.
pub const MAGIC: u64 = u64::from_le_bytes(*b"AIOSINFO");

/// What each word of the page says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(usize)]
pub enum Word {
    /// [`MAGIC`].
    Magic = 0,
    /// [`ABI_VERSION`](crate::ABI_VERSION) of the kernel.
    AbiVersion = 1,
    /// The agent's own id.
    Agent = 2,
    /// How often the agent was restarted, rolled back or cloned; whoever keeps random state draws it anew when this changes.
    Incarnation = 3,
    /// Ticks of `CNTVCT_EL0` in a second.
    Frequency = 4,
    /// [`Clock::origin`].
    ClockOrigin = 5,
    /// [`Clock::multiplier`].
    ClockMultiplier = 6,
    /// [`Clock::shift`].
    ClockShift = 7,
    /// What every core of the machine can do: bits of [`features`].
    Features = 8,
    /// Cores that are online.
    Cores = 9,
    /// Bytes in a page.
    PageSize = 10,
}

impl Word {
    /// Its distance from the start of the page, bytes.
    pub const fn offset(self) -> usize {
        self as usize * 8
    }
}

/// Bits of [`Word::Features`]: instructions beyond Armv8.0 that every core of the machine executes.
pub mod features {
    /// Atomic instructions (FEAT_LSE).
    pub const LSE: u64 = 1 << 0;
    /// CRC32 instructions (FEAT_CRC32).
    pub const CRC32: u64 = 1 << 1;
    /// AES instructions (FEAT_AES).
    pub const AES: u64 = 1 << 2;
    /// 64-bit polynomial multiplication (FEAT_PMULL).
    pub const PMULL: u64 = 1 << 3;
    /// SHA-1 instructions (FEAT_SHA1).
    pub const SHA1: u64 = 1 << 4;
    /// SHA-256 instructions (FEAT_SHA256).
    pub const SHA256: u64 = 1 << 5;
    /// SHA-512 instructions (FEAT_SHA512).
    pub const SHA512: u64 = 1 << 6;
    /// SHA-3 instructions (FEAT_SHA3).
    pub const SHA3: u64 = 1 << 7;
    /// 8-bit integer dot products (FEAT_DotProd).
    pub const DOT_PRODUCT: u64 = 1 << 8;
    /// Half-precision arithmetic (FEAT_FP16).
    pub const FP16: u64 = 1 << 9;
    /// Random numbers by instruction (FEAT_RNG).
    pub const RNG: u64 = 1 << 10;
}

/// How ticks of the counter become nanoseconds since boot. Kernel and runtime use the same formula, so that both see the same time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Clock {
    /// Counter value at which time is 0.
    pub origin: u64,
    /// Nanoseconds a tick, times 2^`shift`.
    pub multiplier: u64,
    /// Bits of fraction in `multiplier`, at most 63.
    pub shift: u32,
}

impl Clock {
    /// The clock for a counter of `frequency` Hz that showed `origin` at boot. A frequency of 0 gives a clock that stands still.
    pub const fn new(origin: u64, frequency: u64) -> Self {
        let shift = 32;
        let multiplier = match (1_000_000_000u64 << shift).checked_div(frequency) {
            Some(quotient) => quotient,
            None => 0,
        };
        Self { origin, multiplier, shift }
    }

    /// Nanoseconds since boot when the counter shows `ticks`.
    #[inline]
    pub const fn nanoseconds(self, ticks: u64) -> u64 {
        ((ticks.wrapping_sub(self.origin) as u128 * self.multiplier as u128) >> (self.shift & 63)) as u64
    }

    /// The first counter value at which `nanoseconds` have passed; `u64::MAX` if there is none.
    pub const fn ticks(self, nanoseconds: u64) -> u64 {
        if self.multiplier == 0 {
            return u64::MAX;
        }
        let scaled = (nanoseconds as u128) << (self.shift & 63);
        let ticks = scaled.div_ceil(self.multiplier as u128) + self.origin as u128;
        if ticks > u64::MAX as u128 { u64::MAX } else { ticks as u64 }
    }
}

/// The page as values, to be written by the kernel and read by tools.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Info {
    /// [`Word::Agent`].
    pub agent: u64,
    /// [`Word::Incarnation`].
    pub incarnation: u64,
    /// [`Word::Frequency`].
    pub frequency: u64,
    /// [`Word::ClockOrigin`], [`Word::ClockMultiplier`], [`Word::ClockShift`].
    pub clock: Clock,
    /// [`Word::Features`].
    pub features: u64,
    /// [`Word::Cores`].
    pub cores: u64,
}

impl Info {
    /// Words that the page has.
    pub const WORDS: usize = 11;

    /// The page's first words.
    pub const fn to_words(self) -> [u64; Self::WORDS] {
        [
            MAGIC,
            crate::ABI_VERSION as u64,
            self.agent,
            self.incarnation,
            self.frequency,
            self.clock.origin,
            self.clock.multiplier,
            self.clock.shift as u64,
            self.features,
            self.cores,
            crate::limits::PAGE_SIZE as u64,
        ]
    }

    /// Reads the page's first words; `None` if they are no such page, or one of another ABI version.
    pub const fn from_words(words: [u64; Self::WORDS]) -> Option<Self> {
        let [magic, version, agent, incarnation, frequency, origin, multiplier, shift, features, cores, page_size] = words;
        if magic != MAGIC || version != crate::ABI_VERSION as u64 || shift > 63 || page_size != crate::limits::PAGE_SIZE as u64 {
            return None;
        }
        Some(Self { agent, incarnation, frequency, clock: Clock { origin, multiplier, shift: shift as u32 }, features, cores })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lead_back_to_the_values() {
        let info = Info {
            agent: 7,
            incarnation: 2,
            frequency: 24_000_000,
            clock: Clock::new(5, 24_000_000),
            features: features::LSE | features::SHA256,
            cores: 8,
        };
        let words = info.to_words();
        assert_eq!(Info::from_words(words), Some(info));
        assert_eq!(words[Word::Cores as usize], 8);
        assert_eq!(Word::PageSize.offset(), (Info::WORDS - 1) * 8);
        for word in [Word::Magic, Word::AbiVersion, Word::ClockShift, Word::PageSize] {
            let mut bad = words;
            bad[word as usize] = 64;
            assert_eq!(Info::from_words(bad), None);
        }
    }

    #[test]
    fn the_clock_is_exact_enough_for_years() {
        let year = 365 * 24 * 3600;
        for frequency in [1_000_000, 19_200_000, 24_000_000, 54_000_000, 62_500_000, 1_000_000_000] {
            let clock = Clock::new(1000, frequency);
            assert_eq!(clock.nanoseconds(1000), 0);
            let true_ns = year * 1_000_000_000;
            let shown = clock.nanoseconds(1000 + year * frequency);
            assert!(true_ns - shown < 1_000_000_000 / 100, "{frequency}: {shown}");
            for ns in [0, 1, 999, 1_000_000_007, true_ns] {
                let ticks = clock.ticks(ns);
                assert!(clock.nanoseconds(ticks) >= ns && (ticks == 1000 || clock.nanoseconds(ticks - 1) < ns), "{frequency} {ns}");
            }
        }
        assert_eq!(Clock::new(0, 0).nanoseconds(u64::MAX), 0);
        assert_eq!(Clock::new(0, 0).ticks(1), u64::MAX);
        assert_eq!(Clock::new(0, 1).ticks(u64::MAX), 18_446_744_074);
    }
}
