//! RFC 3339 as `metav1.Time` and `metav1.MicroTime` read and write it: civil-calendar arithmetic only, no clock, no zone data.

use crate::{Error, Result, Str};

/// Seconds since the epoch and nanoseconds within the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    pub seconds: i64,
    pub nanos: u32,
}

/// Days since 1970-01-01 of a civil date (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl Timestamp {
    /// Read RFC 3339: `2024-01-02T03:04:05Z`, `...05.123456+02:00`.
    ///
    /// Errors: [`Error::Time`] in Go's form, `parsing time "..." as "2006-01-02T15:04:05Z07:00": cannot parse "..." as "..."`.
    pub fn parse(text: &str) -> Result<Self> {
        Parser { text, at: 0 }.run()
    }

    /// `2024-01-02T03:04:05Z`: `metav1.Time`. The fraction is cut, as there.
    pub fn rfc3339(&self) -> Str {
        let (year, month, day) = civil(self.seconds.div_euclid(86_400));
        let s = self.seconds.rem_euclid(86_400);
        compact_str::format_compact!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", s / 3600, s / 60 % 60, s % 60)
    }

    /// `2024-01-02T03:04:05.000006Z`: `metav1.MicroTime`.
    pub fn rfc3339_micros(&self) -> Str {
        let mut text = self.rfc3339();
        text.pop();
        text.push_str(&format!(".{:06}Z", self.nanos / 1000));
        text
    }
}

const LAYOUT: &str = "2006-01-02T15:04:05Z07:00";

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn cannot(&self, rest: &str, part: &str) -> Error {
        let q = crate::error::quote;
        Error::Time(format!("parsing time {} as {}: cannot parse {} as {}", q(self.text), q(LAYOUT), q(rest), q(part)))
    }

    fn range(&self, what: &str) -> Error {
        Error::Time(format!("parsing time {}: {what} out of range", crate::error::quote(self.text)))
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn number(&mut self, width: usize, part: &str) -> Result<i64> {
        let digits = self.rest().as_bytes().get(..width).filter(|d| d.iter().all(u8::is_ascii_digit));
        let n = digits.map(|d| d.iter().fold(0, |n, b| n * 10 + i64::from(b - b'0')));
        let n = n.ok_or_else(|| self.cannot(self.rest(), part))?;
        self.at += width;
        Ok(n)
    }

    fn literal(&mut self, c: &str) -> Result<()> {
        if !self.rest().starts_with(c) {
            return Err(self.cannot(self.rest(), c));
        }
        self.at += 1;
        Ok(())
    }

    fn run(mut self) -> Result<Timestamp> {
        let year = self.number(4, "2006")?;
        self.literal("-")?;
        let month = self.number(2, "01")?;
        if !(1..=12).contains(&month) {
            return Err(self.range("month"));
        }
        self.literal("-")?;
        let day = self.number(2, "02")?;
        self.literal("T")?;
        let hour = self.number(2, "15")?;
        self.literal(":")?;
        let minute = self.number(2, "04")?;
        self.literal(":")?;
        let second = self.number(2, "05")?;
        for (bad, what) in [(hour > 23, "hour"), (minute > 59, "minute"), (second > 59, "second")] {
            if bad {
                return Err(self.range(what));
            }
        }
        let mut nanos = 0u32;
        let fraction = self.rest().as_bytes();
        if let [b'.' | b',', b'0'..=b'9', ..] = fraction {
            let n = fraction[1..].iter().take_while(|b| b.is_ascii_digit()).count();
            for i in 0..9 {
                nanos = nanos * 10 + fraction[1..=n].get(i).map_or(0, |b| u32::from(b - b'0'));
            }
            self.at += 1 + n;
        }
        let zone = self.rest().to_owned();
        let mut offset = 0;
        match zone.as_bytes().first() {
            Some(b'Z') => self.at += 1,
            Some(sign @ (b'+' | b'-')) => {
                self.at += 1;
                let layout = "Z07:00";
                let hours = self.number(2, layout).map_err(|_| self.cannot(&zone, layout))?;
                self.literal(":").map_err(|_| self.cannot(&zone, layout))?;
                let minutes = self.number(2, layout).map_err(|_| self.cannot(&zone, layout))?;
                if hours > 24 || minutes >= 60 {
                    return Err(self.range(if hours > 24 {
                        "time zone offset hour"
                    } else {
                        "time zone offset minute"
                    }));
                }
                offset = (hours * 60 + minutes) * 60 * if *sign == b'-' { -1 } else { 1 };
            }
            _ => return Err(self.cannot(&zone, "Z07:00")),
        }
        if !self.rest().is_empty() {
            let q = crate::error::quote;
            return Err(Error::Time(format!("parsing time {}: extra text: {}", q(self.text), q(self.rest()))));
        }
        if day < 1 || day > month_days(year, month) {
            return Err(self.range("day"));
        }
        let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
        Ok(Timestamp { seconds, nanos })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms_are_read_and_written() {
        for (text, seconds, nanos) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("2024-02-29T12:34:56.123456789Z", 1_709_210_096, 123_456_789),
            ("2024-02-29T12:34:56,5+02:00", 1_709_210_096 - 7200, 500_000_000),
            ("0001-01-01T00:00:00Z", -62_135_596_800, 0),
        ] {
            assert_eq!(Timestamp::parse(text), Ok(Timestamp { seconds, nanos }), "of {text}");
        }
        let t = Timestamp { seconds: 1_709_210_096, nanos: 1_999 };
        assert_eq!(t.rfc3339(), "2024-02-29T12:34:56Z");
        assert_eq!(t.rfc3339_micros(), "2024-02-29T12:34:56.000001Z");
    }

    #[test]
    fn errors_have_gos_words() {
        for (text, expected) in [
            ("", r#"parsing time "" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "2006""#),
            (
                "yesterday",
                r#"parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006""#,
            ),
            ("2024-01-02", r#"parsing time "2024-01-02" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T""#),
            ("2024-13-02T00:00:00Z", r#"parsing time "2024-13-02T00:00:00Z": month out of range"#),
            ("2023-02-29T00:00:00Z", r#"parsing time "2023-02-29T00:00:00Z": day out of range"#),
            (
                "2024-01-02T00:00:00",
                r#"parsing time "2024-01-02T00:00:00" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "Z07:00""#,
            ),
            ("2024-01-02T00:00:00Zx", r#"parsing time "2024-01-02T00:00:00Zx": extra text: "x""#),
        ] {
            assert_eq!(Timestamp::parse(text).unwrap_err().to_string(), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(seconds in -62_135_596_800i64..253_402_300_799, micros in 0u32..1_000_000) {
            let t = Timestamp { seconds, nanos: micros * 1000 };
            prop_assert_eq!(Timestamp::parse(&t.rfc3339_micros()), Ok(t));
            prop_assert_eq!(Timestamp::parse(&t.rfc3339()), Ok(Timestamp { seconds, nanos: 0 }));
        }

        #[test]
        fn arbitrary_text_does_not_panic(text in ".*", close in "[0-9TZ:.,+é-]{0,30}") {
            let _ = (Timestamp::parse(&text), Timestamp::parse(&close));
        }
    }
}
