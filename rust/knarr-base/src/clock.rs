//! Time as values: a monotonic instant, a wall time, and the trait that yields them.

use std::fmt::Write;
use std::time::Duration;

/// Nanoseconds of a clock that never goes back. Its zero means nothing; only differences do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// Time from `earlier` to here; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Instant {
    type Output = Self;

    /// The instant `wait` later; it stops at the end of the clock (584 years).
    fn add(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(pub i64);

impl WallTime {
    /// `2026-11-23T20:24:18Z`: what `metav1.Time` prints.
    #[must_use]
    pub fn rfc3339(self) -> String {
        let mut text = self.date_and_time();
        text.push('Z');
        text
    }

    /// `2026-11-23T20:24:18.000000Z`: what `metav1.MicroTime` prints, always six digits.
    #[must_use]
    pub fn rfc3339_micros(self) -> String {
        let mut text = self.date_and_time();
        let _ = write!(text, ".{:06}Z", self.0.rem_euclid(1_000_000));
        text
    }

    fn date_and_time(self) -> String {
        let seconds = self.0.div_euclid(1_000_000);
        let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil(day);
        format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
    }
}

/// Year, month and day of a count of days since 1970-01-01. The year is taken to begin on the first of March, so that the leap
/// day is its last and months follow one formula (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468; // days since 0000-03-01
    let era = shifted.div_euclid(146_097); // 400 years each
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, of_year - (153 * march_month + 2) / 5 + 1)
}

/// A source of time. The real one is knarr-io's; a simulation's stands still until it is moved.
pub trait Clock: Send + Sync {
    /// Monotonic; goes on while the machine sleeps, so that a lease is not found young after a pause.
    fn now(&self) -> Instant;
    /// For people and for `creationTimestamp`; may jump.
    fn wall(&self) -> WallTime;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_kubernetes_prints() {
        for (micros, seconds, fine) in [
            (0, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00Z", "2000-02-29T00:00:00.000000Z"),
            (1_795_465_458_000_012, "2026-11-23T20:24:18Z", "2026-11-23T20:24:18.000012Z"),
            (-1, "1969-12-31T23:59:59Z", "1969-12-31T23:59:59.999999Z"),
            (4_107_542_399_999_999, "2100-02-28T23:59:59Z", "2100-02-28T23:59:59.999999Z"),
        ] {
            assert_eq!(WallTime(micros).rfc3339(), seconds);
            assert_eq!(WallTime(micros).rfc3339_micros(), fine);
        }
    }
}
