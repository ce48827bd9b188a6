//! Quantities for people: bytes, times, shares.

use core::fmt;

/// A size in bytes, as `512 B`, `4.0 KiB`, `16 MiB`.
#[derive(Debug, Clone, Copy)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut unit = (self.0.ilog2() / 10 - 1) as usize;
        // What rounds up to 1024 of a unit is one of the next.
        if tenths(self.0, 1 << (10 * (unit + 1))) >= 10_235 && unit + 1 < UNITS.len() {
            unit += 1;
        }
        let tenths = tenths(self.0, 1 << (10 * (unit + 1)));
        if tenths < 1000 {
            write!(f, "{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
        } else {
            write!(f, "{} {}", (tenths + 5) / 10, UNITS[unit])
        }
    }
}

/// `value / unit` in tenths, rounded.
fn tenths(value: u64, unit: u64) -> u64 {
    ((u128::from(value) * 10 + u128::from(unit / 2)) / u128::from(unit)) as u64
}

/// A time in ns, as `850 ns`, `12.3 µs`, `4.56 ms`, `12.3 s`, `3m05s`, `2h03m`, `5d04h`.
#[derive(Debug, Clone, Copy)]
pub struct Nanos(pub u64);

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        const DAY: u64 = 24 * HOUR;
        let seconds = self.0 / 1_000_000_000;
        match self.0 {
            0..1_000 => write!(f, "{} ns", self.0),
            1_000..1_000_000 => hundredths(f, self.0 / 10, "µs"),
            1_000_000..1_000_000_000 => hundredths(f, self.0 / 10_000, "ms"),
            _ if seconds < MINUTE => hundredths(f, self.0 / 10_000_000, "s"),
            _ if seconds < HOUR => write!(f, "{}m{:02}s", seconds / MINUTE, seconds % MINUTE),
            _ if seconds < DAY => write!(f, "{}h{:02}m", seconds / HOUR, seconds % HOUR / MINUTE),
            _ => write!(f, "{}d{:02}h", seconds / DAY, seconds % DAY / HOUR),
        }
    }
}

/// Writes hundredths with three digits of meaning.
fn hundredths(f: &mut fmt::Formatter<'_>, value: u64, unit: &str) -> fmt::Result {
    match value {
        0..1_000 => write!(f, "{}.{:02} {unit}", value / 100, value % 100),
        1_000..10_000 => write!(f, "{}.{} {unit}", value / 100, value % 100 / 10),
        _ => write!(f, "{} {unit}", value / 100),
    }
}

/// A share in thousandths, as `12.3 %`.
#[derive(Debug, Clone, Copy)]
pub struct Permille(pub u64);

impl fmt::Display for Permille {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} %", self.0 / 10, self.0 % 10)
    }
}

/// `part` of `whole` in thousandths, rounded; 0 of nothing.
pub fn permille(part: u64, whole: u64) -> u64 {
    if whole == 0 {
        return 0;
    }
    u64::try_from((u128::from(part) * 1000 + u128::from(whole / 2)) / u128::from(whole)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn bytes_read_well() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (4096, "4.0 KiB"),
            (102_297, "99.9 KiB"),
            (102_349, "100 KiB"),
            (102_400, "100 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (16 << 20, "16.0 MiB"),
            (128 << 20, "128 MiB"),
            (2 << 30, "2.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn times_read_well() {
        for (ns, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (12_345, "12.3 µs"),
            (999_999, "999 µs"),
            (4_560_000, "4.56 ms"),
            (12_340_000_000, "12.3 s"),
            (59_990_000_000, "59.9 s"),
            (185_000_000_000, "3m05s"),
            (7_380_000_000_000, "2h03m"),
            (446_400_000_000_000, "5d04h"),
        ] {
            assert_eq!(Nanos(ns).to_string(), text);
        }
        assert!(Nanos(u64::MAX).to_string().ends_with('h'));
    }

    #[test]
    fn shares_round() {
        assert_eq!((permille(1, 3), permille(2, 3), permille(5, 0)), (333, 667, 0));
        assert_eq!(Permille(permille(u64::MAX, u64::MAX)).to_string(), "100.0 %");
        assert_eq!(permille(u64::MAX, 1), u64::MAX);
    }
}
