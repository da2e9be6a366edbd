//! `timeout` in a query: how long its sender wants to wait, as Go writes durations (`1h2m3.5s`, `300ms`).

use std::time::Duration;

use knarr_machinery::Status;

use crate::path::query_pairs;

/// Nanoseconds of each unit.
const UNITS: [(&str, f64); 8] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 6e10), ("h", 3.6e12)];

/// What a query asks for; None: nothing. A negative one is zero. Errors: 400, for what is no duration.
pub fn timeout(query: &str) -> Result<Option<Duration>, Status> {
    let given = query_pairs(query).find(|(key, value)| key == "timeout" && !value.is_empty());
    let Some((_, text)) = given else { return Ok(None) };
    match parse(&text) {
        Ok(duration) => Ok(Some(duration)),
        Err(words) => Err(Status::bad_request(format!("invalid timeout specified in the request URL - time: {words}"))),
    }
}

/// Errors: Go's words.
fn parse(text: &str) -> Result<Duration, String> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let invalid = || format!("invalid duration \"{text}\"");
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut nanoseconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let letters = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        if unit.is_empty() {
            return Err(format!("missing unit in duration \"{text}\""));
        }
        let known = UNITS.iter().find(|(name, _)| *name == unit);
        let (_, scale) = known.ok_or_else(|| format!("unknown unit \"{unit}\" in duration \"{text}\""))?;
        nanoseconds += number * scale;
        rest = after;
    }
    // Go counts in 64 signed bits.
    if nanoseconds > i64::MAX as f64 {
        return Err(invalid());
    }
    Ok(if negative { Duration::ZERO } else { Duration::from_nanos(nanoseconds as u64) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, milliseconds) in
            [("5s", 5000), ("1h2m3.5s", 3_723_500), ("300ms", 300), ("0", 0), ("-1s", 0), ("+.5s", 500)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for (text, words) in [
            ("invalid", "invalid duration \"invalid\""),
            ("5", "missing unit in duration \"5\""),
            ("5x", "unknown unit \"x\" in duration \"5x\""),
            (".s", "invalid duration \".s\""),
            ("999999999h", "invalid duration \"999999999h\""),
        ] {
            assert_eq!(parse(text), Err(words.to_owned()));
        }
        assert_eq!(timeout("a=b&timeout="), Ok(None));
        assert_eq!(timeout("timeout=1s"), Ok(Some(Duration::from_secs(1))));
        let refused = timeout("timeout=x").expect_err("no duration");
        let words = "invalid timeout specified in the request URL - time: invalid duration \"x\"";
        assert_eq!((refused.code, refused.message.as_str()), (400, words));
    }
}
