//! The wire format: varints, tags, lengths.

use crate::{Error, Result};

pub(super) const VARINT: u8 = 0;
pub(super) const FIXED64: u8 = 1;
pub(super) const LENGTH: u8 = 2;
const FIXED32: u8 = 5;

pub(super) fn bad(message: impl Into<String>) -> Error {
    Error::Protobuf { path: String::new(), message: message.into() }
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

pub(super) fn put_tag(out: &mut Vec<u8>, number: u32, kind: u8) {
    put_varint(out, u64::from(number) << 3 | u64::from(kind));
}

pub(super) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_tag(out, number, LENGTH);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Write a message in place: room for a length of one byte is left; a longer length moves the message, which is rare for small ones
/// and cheap (a memmove) for large ones.
pub(super) fn put_message<E>(
    out: &mut Vec<u8>,
    number: u32,
    body: impl FnOnce(&mut Vec<u8>) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    put_tag(out, number, LENGTH);
    let at = out.len();
    out.push(0);
    body(out)?;
    let length = out.len() - at - 1;
    if length < 0x80 {
        out[at] = length as u8;
    } else {
        let mut varint = Vec::with_capacity(5);
        put_varint(&mut varint, length as u64);
        out.splice(at..=at, varint);
    }
    Ok(())
}

pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn varint(&mut self) -> Result<u64> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let (&b, rest) = self.rest.split_first().ok_or_else(|| bad("unexpected EOF"))?;
            self.rest = rest;
            n |= u64::from(b & 0x7f) << shift;
            if b < 0x80 {
                return Ok(n);
            }
        }
        Err(bad("integer overflow"))
    }

    /// Field number and wire type; None at the end.
    pub(super) fn tag(&mut self) -> Result<Option<(u32, u8)>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        match u32::try_from(tag >> 3) {
            Ok(number) if number > 0 => Ok(Some((number, (tag & 7) as u8))),
            _ => Err(bad(format!("illegal tag {}", tag >> 3))),
        }
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(n).ok_or_else(|| bad("unexpected EOF"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn expect(kind: u8, expected: u8) -> Result<()> {
        if kind == expected { Ok(()) } else { Err(bad(format!("wrong wire type {kind}, expected {expected}"))) }
    }

    pub(super) fn integer(&mut self, kind: u8) -> Result<i64> {
        Self::expect(kind, VARINT)?;
        Ok(self.varint()? as i64)
    }

    pub(super) fn double(&mut self, kind: u8) -> Result<f64> {
        Self::expect(kind, FIXED64)?;
        let raw = self.take(8)?;
        let mut eight = [0; 8];
        eight.copy_from_slice(raw);
        Ok(f64::from_le_bytes(eight))
    }

    pub(super) fn bytes(&mut self, kind: u8) -> Result<&'a [u8]> {
        Self::expect(kind, LENGTH)?;
        let n = self.varint()?;
        self.take(usize::try_from(n).map_err(|_| bad("unexpected EOF"))?)
    }

    pub(super) fn text(&mut self, kind: u8) -> Result<&'a str> {
        std::str::from_utf8(self.bytes(kind)?).map_err(|_| bad("a string that is not UTF-8"))
    }

    pub(super) fn skip(&mut self, kind: u8) -> Result<()> {
        match kind {
            VARINT => self.varint().map(|_| ()),
            FIXED64 => self.take(8).map(|_| ()),
            LENGTH => self.bytes(kind).map(|_| ()),
            FIXED32 => self.take(4).map(|_| ()),
            _ => Err(bad(format!("wire type {kind} is not known"))),
        }
    }
}
