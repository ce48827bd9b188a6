//! When the timer has to go off, in counter values.

use aios_abi::info::Clock;

/// Bits of fraction in [`Timebase::inverse`].
const SHIFT: u32 = 60;

/// Bits of fraction in every clock's multiplier. A constant, because a shift of 128 bits by a variable number is a dozen instructions at every kernel entry.
const CLOCK_SHIFT: u32 = 32;
const _: () = assert!(Clock::new(0, 1).shift == CLOCK_SHIFT, "the ABI's clock");

/// The clock and its inverse.
///
/// Error: a time read is short by at most 1 ns plus 2^-32 ns a tick (under 6e-12 of the time since boot at 24 MHz), the same for kernel and programs,
/// which use the same formula. A deadline converted is never early and at most three ticks late.
#[derive(Clone, Copy, Debug)]
pub struct Timebase {
    /// Counter values to nanoseconds.
    pub clock: Clock,
    /// Ticks a nanosecond, times 2^60.
    inverse: u64,
}

impl Timebase {
    /// Time stands still.
    pub const STOPPED: Self = Self { clock: Clock { origin: 0, multiplier: 0, shift: 0 }, inverse: 0 };

    /// For a counter of `frequency` Hz that showed `origin` at boot.
    #[must_use]
    pub fn new(origin: u64, frequency: u64) -> Self {
        let clock = Clock::new(origin, frequency);
        let inverse = (1u128 << (SHIFT + CLOCK_SHIFT)).checked_div(clock.multiplier.into()).unwrap_or(0);
        Self { clock, inverse: u64::try_from(inverse).unwrap_or(u64::MAX) }
    }

    /// Nanoseconds since boot when the counter shows `ticks`: the clock's formula.
    #[inline(always)]
    #[must_use]
    pub const fn nanoseconds(&self, ticks: u64) -> u64 {
        ((ticks.wrapping_sub(self.clock.origin) as u128 * self.clock.multiplier as u128) >> CLOCK_SHIFT) as u64
    }

    /// The counter value at which `at_ns` has come, seen from now: the counter shows `ticks`, which is `now_ns`.
    ///
    /// Counting from now needs one multiplication of 64 by 64 bits where the exact inverse of the clock needs a division of 128 bits.
    #[must_use]
    pub fn deadline(&self, ticks: u64, now_ns: u64, at_ns: u64) -> u64 {
        let ahead = (u128::from(at_ns.saturating_sub(now_ns)) * u128::from(self.inverse)) >> SHIFT;
        // Both factors were rounded down, and `now_ns` as well.
        ticks.saturating_add(u64::try_from(ahead).unwrap_or(u64::MAX)).saturating_add(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_early_and_at_most_three_ticks_late() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        const YEAR: u64 = 365 * 24 * 3600 * 1_000_000_000;
        for frequency in [1_000_000, 19_200_000, 24_000_000, 54_000_000, 62_500_000, 1_000_000_000] {
            let origin = random.u64(..1 << 50);
            let time = Timebase::new(origin, frequency);
            for _ in 0..20_000 {
                let ticks = origin + random.u64(..frequency * 1_000_000);
                let now = time.nanoseconds(ticks);
                assert_eq!(now, time.clock.nanoseconds(ticks));
                let span = 1u64 << random.u32(0..54);
                let at = now + random.u64(..span.min(YEAR));
                let deadline = time.deadline(ticks, now, at);
                assert!(time.clock.nanoseconds(deadline) >= at, "{frequency} Hz: {now} to {at} is early");
                assert!(deadline <= time.clock.ticks(at).max(ticks) + 3, "{frequency} Hz: {now} to {at} is late");
            }
            assert_eq!(time.deadline(origin + 5, 5_000, 0), origin + 7, "what has passed comes at once");
        }
        assert_eq!(Timebase::new(0, 1_000_000_000).deadline(1, 0, u64::MAX), u64::MAX);
    }
}
