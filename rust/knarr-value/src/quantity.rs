//! Kubernetes' quantities (`500m`, `1Gi`, `1e3`), exact: no float is involved.
//!
//! A quantity is a whole number of nanos (10^-9), the smallest unit Kubernetes keeps: i128 holds every value up to 1e28, of which
//! 9.2e18 (Kubernetes' own cap for binary suffixes) is a small part. Beyond that a value saturates. Semantics:
//! apimachinery `pkg/api/resource` 1.34.

use crate::{Error, Result, Str};
use std::cmp::Ordering;

const NANOS: i128 = 1_000_000_000;
/// Kubernetes' cap for numbers with a binary suffix: 2^63 - 1.
const BINARY_MAX: i128 = i64::MAX as i128 * NANOS;
/// Where values saturate here, ten thousand million E; far above what any counter of bytes or cores holds, far enough below i128's end
/// to add.
const NANOS_MAX: i128 = 10i128.pow(37);

/// The family of suffixes a quantity is written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `1Ki`, `1Mi`...
    BinarySi,
    /// `1m`, `1`, `1k`, `1M`...
    DecimalSi,
    /// `1e3`, `1E-3`.
    DecimalExponent,
}

/// An exact amount with the format it is shown in. Equality and order regard the amount only, as Kubernetes' `Cmp`.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

fn wrong() -> Error {
    // apimachinery's ErrFormatWrong.
    Error::Quantity(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'".to_owned(),
    )
}
fn suffix() -> Error {
    Error::Quantity("unable to parse quantity's suffix".to_owned())
}

/// A text taken apart as apimachinery's parseQuantityString does.
struct Parts<'a> {
    positive: bool,
    /// Digits before the point, leading zeros stripped; "0" where there is none left (`m` is 0m, as there).
    num: &'a str,
    denom: &'a str,
    suffix: &'a str,
}

fn take(s: &str, pred: impl Fn(u8) -> bool) -> (&str, &str) {
    s.split_at(s.bytes().position(|b| !pred(b)).unwrap_or(s.len()))
}

fn parts(text: &str) -> Result<Parts<'_>> {
    let (positive, rest) = match text.as_bytes().first() {
        Some(b'-') => (false, &text[1..]),
        Some(b'+') => (true, &text[1..]),
        _ => (true, text),
    };
    let rest = rest.trim_start_matches('0');
    if rest.is_empty() {
        // As there: only zeros (or only a sign, which is then "0").
        return Ok(Parts { positive, num: "0", denom: "", suffix: "" });
    }
    let (num, rest) = take(rest, |b| b.is_ascii_digit());
    let (denom, rest) = match rest.strip_prefix('.') {
        Some(rest) => take(rest, |b| b.is_ascii_digit()),
        None => ("", rest),
    };
    let (_, tail) = take(rest, |b| b"eEinumkKMGTP".contains(&b));
    let tail_sign = usize::from(matches!(tail.as_bytes().first(), Some(b'-' | b'+')));
    let (_, junk) = take(&tail[tail_sign..], |b| b.is_ascii_digit());
    if !junk.is_empty() {
        return Err(wrong());
    }
    Ok(Parts { positive, num: if num.is_empty() { "0" } else { num }, denom, suffix: rest })
}

/// (power of 2, power of 10, format) of a suffix.
fn interpret(s: &str) -> Result<(u32, i32, Format)> {
    use Format::{BinarySi, DecimalExponent, DecimalSi};
    Ok(match s {
        "" => (0, 0, DecimalSi),
        "n" => (0, -9, DecimalSi),
        "u" => (0, -6, DecimalSi),
        "m" => (0, -3, DecimalSi),
        "k" => (0, 3, DecimalSi),
        "M" => (0, 6, DecimalSi),
        "G" => (0, 9, DecimalSi),
        "T" => (0, 12, DecimalSi),
        "P" => (0, 15, DecimalSi),
        "E" => (0, 18, DecimalSi),
        "Ki" => (10, 0, BinarySi),
        "Mi" => (20, 0, BinarySi),
        "Gi" => (30, 0, BinarySi),
        "Ti" => (40, 0, BinarySi),
        "Pi" => (50, 0, BinarySi),
        "Ei" => (60, 0, BinarySi),
        _ => match s.as_bytes() {
            [b'e' | b'E', _, ..] => {
                let exponent = s[1..].parse::<i64>().map_err(|_| suffix())?;
                (0, exponent.clamp(-100_000, 100_000) as i32, DecimalExponent)
            }
            _ => return Err(suffix()),
        },
    })
}

fn saturate(nanos: i128) -> i128 {
    nanos.clamp(-NANOS_MAX, NANOS_MAX)
}

/// `digits` (without sign) times 2^`binary` times 10^`decimal`, in nanos, rounded away from zero, saturating.
fn scale(digits: impl Iterator<Item = u8>, decimal: i64, binary: u32) -> i128 {
    // Digits are consumed until i128 is nearly full: what follows is more than 36 digits in and only moves the exponent, but a
    // non-zero digit there still rounds up.
    let (mut value, mut exponent, mut rest) = (0i128, decimal + 9, false);
    for d in digits {
        if value < 10i128.pow(36) {
            value = value * 10 + i128::from(d);
        } else {
            exponent += 1;
            rest |= d != 0;
        }
    }
    if value == 0 {
        return 0;
    }
    if exponent >= 0 {
        let factor = u32::try_from(exponent).ok().and_then(|e| 10i128.checked_pow(e));
        let scaled = factor.and_then(|f| value.checked_mul(f)).and_then(|v| v.checked_mul(1 << binary));
        return saturate(scaled.unwrap_or(NANOS_MAX));
    }
    // Divide by 10^e and multiply by 2^b: (v div d) * 2^b + ceil((v mod d) * 2^b / d); d and the remainder may be large.
    let Some(divisor) = u32::try_from(-exponent).ok().and_then(|e| 10i128.checked_pow(e)) else { return 1 };
    let (whole, part) = (value / divisor, value % divisor);
    let Some(whole) = whole.checked_mul(1i128 << binary) else { return NANOS_MAX };
    let part = match part.checked_mul(1i128 << binary) {
        Some(p) => p / divisor + i128::from(p % divisor != 0 || rest),
        // 2^binary <= 2^60 and part < 10^38: lose the lowest digits of both, rounding up.
        None => {
            let cut = 10i128.pow(19);
            let (p, d) = (part / cut + 1, divisor / cut);
            p.checked_mul(1i128 << binary).map_or(NANOS_MAX, |p| p / d + i128::from(p % d != 0))
        }
    };
    saturate(whole.saturating_add(part))
}

impl Quantity {
    /// A whole number, shown with decimal suffixes.
    pub fn new(value: i64) -> Self {
        Quantity { nanos: i128::from(value) * NANOS, format: Format::DecimalSi }
    }

    /// Thousandths, shown with decimal suffixes.
    pub fn milli(value: i64) -> Self {
        Quantity { nanos: i128::from(value) * (NANOS / 1000), format: Format::DecimalSi }
    }

    /// A number of bytes, shown with binary suffixes where it is exact.
    pub fn bytes(value: i64) -> Self {
        Quantity { nanos: i128::from(value) * NANOS, format: Format::BinarySi }
    }

    /// Read a quantity. Errors: [`Error::Quantity`] in apimachinery's words. Values finer than nanos are rounded away from zero.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(wrong());
        }
        let p = parts(text)?;
        let (binary, decimal, mut format) = interpret(p.suffix)?;
        if binary >= 50 && !text.bytes().any(|b| b.is_ascii_digit()) {
            // Beyond their fast path, which takes `Ki` for 0Ki, a number is asked for.
            return Err(Error::Quantity("unable to parse numeric part of quantity".to_owned()));
        }
        let digits = p.num.bytes().chain(p.denom.bytes()).map(|b| b - b'0');
        let mut nanos = scale(digits, i64::from(decimal) - p.denom.len() as i64, binary);
        if format == Format::BinarySi {
            nanos = nanos.min(BINARY_MAX);
            if nanos > 0 && nanos < NANOS {
                format = Format::DecimalSi;
            }
        }
        Ok(Quantity { nanos: if p.positive { nanos } else { -nanos }, format })
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// The canonical text: the largest suffix that leaves no fraction.
    pub fn canonical(&self) -> String {
        if self.nanos == 0 {
            return "0".to_owned();
        }
        let exact = self.nanos % NANOS == 0;
        if self.format == Format::BinarySi && exact && (self.nanos / NANOS).unsigned_abs() >= 1024 {
            let (mut value, mut power) = (self.nanos / NANOS, 0);
            while value % 1024 == 0 && value.abs() >= 1024 && power < 6 {
                value /= 1024;
                power += 1;
            }
            return format!("{value}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][power]);
        }
        let (mut value, mut exponent) = (self.nanos, -9i32);
        while value % 1000 == 0 && (self.format == Format::DecimalExponent || exponent < 18) {
            value /= 1000;
            exponent += 3;
        }
        if self.format == Format::DecimalExponent {
            return if exponent == 0 { format!("{value}") } else { format!("{value}e{exponent}") };
        }
        let suffix = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][((exponent + 9) / 3) as usize];
        format!("{value}{suffix}")
    }

    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    pub fn is_negative(&self) -> bool {
        self.nanos < 0
    }

    fn ceil(&self, unit: i128) -> i64 {
        let (whole, part) = (self.nanos / unit, self.nanos % unit);
        let away = whole + part.signum();
        away.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }

    /// Kubernetes' `Value()`: whole units, rounded away from zero, saturating.
    pub fn as_i64_ceil(&self) -> i64 {
        self.ceil(NANOS)
    }

    /// [`Quantity::as_i64_ceil`], for memory.
    pub fn as_bytes_ceil(&self) -> i64 {
        self.ceil(NANOS)
    }

    /// Kubernetes' `MilliValue()`: thousandths, rounded away from zero, saturating.
    pub fn as_milli(&self) -> i64 {
        self.ceil(NANOS / 1000)
    }

    /// The amount in nanos: exact.
    pub fn as_nanos(&self) -> i128 {
        self.nanos
    }

    /// Whether the amount is whole.
    pub fn is_integer(&self) -> bool {
        self.nanos % NANOS == 0
    }

    fn with(&self, other: &Self, nanos: i128) -> Self {
        // A zero takes the other's format, as Kubernetes' Add and Sub do.
        Quantity { nanos: saturate(nanos), format: if self.is_zero() { other.format } else { self.format } }
    }

    pub fn add(&self, other: &Self) -> Self {
        self.with(other, self.nanos + other.nanos)
    }

    pub fn sub(&self, other: &Self) -> Self {
        self.with(other, self.nanos - other.nanos)
    }

    pub fn mul(&self, n: i64) -> Self {
        let product = self.nanos.checked_mul(i128::from(n));
        let saturated = if (self.nanos < 0) == (n < 0) { NANOS_MAX } else { -NANOS_MAX };
        Quantity { nanos: saturate(product.unwrap_or(saturated)), format: self.format }
    }

    pub fn neg(&self) -> Self {
        Quantity { nanos: -self.nanos, format: self.format }
    }
}

/// Read a quantity: [`Quantity::parse`].
pub fn parse(text: &str) -> Result<Quantity> {
    Quantity::parse(text)
}

/// The text an API server answers for a text it was given: canonical, but texts that its fast path takes for canonical (`+1Ki`,
/// `1.500`) stay as they are.
pub fn canonicalize(text: &str) -> Result<Str> {
    let text = text.trim();
    let q = Quantity::parse(text)?;
    let p = parts(text)?;
    let (binary, decimal, format) = interpret(p.suffix)?;
    let length = p.num.len() + p.denom.len();
    let last =
        |n: usize| p.num.bytes().chain(p.denom.bytes()).skip(length.saturating_sub(n)).map(|b| u32::from(b - b'0'));
    let kept = match format {
        // The value's lowest three bits are those of its last three digits.
        Format::BinarySi => {
            p.denom.is_empty()
                && length + (binary as usize) * 3 / 10 < 15
                && last(3).fold(0, |v, d| v * 10 + d) & 7 != 0
        }
        Format::DecimalSi | Format::DecimalExponent => {
            let scale = decimal - p.denom.len() as i32;
            length <= 18
                && scale >= -9
                && scale % 3 == 0
                && !(length >= 3 && last(3).all(|d| d == 0))
                && p.num.as_bytes()[0] != b'0'
        }
    };
    Ok(if kept { text.into() } else { q.canonical().into() })
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}
impl Eq for Quantity {}
impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}
impl std::fmt::Display for Quantity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.canonical())
    }
}
impl std::str::FromStr for Quantity {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        Quantity::parse(s)
    }
}

#[cfg(test)]
mod tests;
