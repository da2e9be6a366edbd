//! Frames as bytes: the eight-byte heads, and header blocks under the session's two zlib contexts.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{CONTROL_FRAME_BYTES_MAX, HEADER_BLOCK_BYTES_MAX};
use crate::dictionary::DICTIONARY;

pub(super) const SYN_STREAM: u16 = 1;
pub(super) const SYN_REPLY: u16 = 2;
pub(super) const RST_STREAM: u16 = 3;
pub(super) const PING: u16 = 6;
pub(super) const GOAWAY: u16 = 7;
pub(super) const HEADERS: u16 = 8;
pub(super) const FLAG_FIN: u8 = 1;
pub(super) const FLAG_UNIDIRECTIONAL: u8 = 2;

const VERSION: u16 = 3;
const HEAD_BYTES: usize = 8;

/// Header names (lower case) and values in the order they were sent; a value with several parts holds NUL between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The first value of `name`, compared without case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Headers {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }
}

/// Why a session cannot go on. Compression is shared by all streams, so each of these ends the whole connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// A control frame of another protocol version.
    Version(u16),
    /// A control frame or header block beyond its bound, in bytes.
    TooLarge(usize),
    /// A control frame shorter than its fields.
    Truncated,
    /// The header block does not inflate, or does not parse once inflated.
    HeaderBlock,
    /// A stream id of the wrong side, zero, or not above the last one.
    StreamId(u32),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "SPDY control frame of version {version}"),
            Self::TooLarge(bytes) => write!(f, "SPDY frame or header block of {bytes} bytes"),
            Self::Truncated => f.write_str("SPDY control frame shorter than its fields"),
            Self::HeaderBlock => f.write_str("SPDY header block cannot be read"),
            Self::StreamId(id) => write!(f, "SPDY stream id {id} out of order"),
        }
    }
}

impl std::error::Error for Error {}

/// One frame's head and, for control frames, its whole payload. A data frame's payload follows as it comes, in parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Control { kind: u16, flags: u8, payload: Bytes },
    Data { stream: u32, fin: bool, part: Bytes },
}

/// Cuts a byte stream into frames.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    buffer: BytesMut,
    /// The data frame being received: stream, FIN flag, bytes still to come.
    data: Option<(u32, bool, usize)>,
}

impl Decoder {
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, or None until more bytes are fed.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Error> {
        if let Some((stream, fin, left)) = self.data {
            if self.buffer.is_empty() && left > 0 {
                return Ok(None);
            }
            let part = self.buffer.split_to(left.min(self.buffer.len())).freeze();
            let left = left - part.len();
            self.data = (left > 0).then_some((stream, fin, left));
            return Ok(Some(Frame::Data { stream, fin: fin && left == 0, part }));
        }
        let Some((mut head, _)) = self.buffer.split_at_checked(HEAD_BYTES) else { return Ok(None) };
        let word = head.get_u32();
        let flags_and_length = head.get_u32();
        let flags = (flags_and_length >> 24) as u8;
        let length = (flags_and_length & 0x00ff_ffff) as usize;
        if word & 0x8000_0000 == 0 {
            self.buffer.advance(HEAD_BYTES);
            self.data = Some((word, flags & FLAG_FIN != 0, length));
            return self.next();
        }
        let version = ((word >> 16) & 0x7fff) as u16;
        if version != VERSION {
            return Err(Error::Version(version));
        }
        if length > CONTROL_FRAME_BYTES_MAX {
            return Err(Error::TooLarge(length));
        }
        if self.buffer.len() < HEAD_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(HEAD_BYTES);
        let payload = self.buffer.split_to(length).freeze();
        Ok(Some(Frame::Control { kind: (word & 0xffff) as u16, flags, payload }))
    }
}

pub(super) fn put_control(out: &mut BytesMut, kind: u16, flags: u8, payload: &[u8]) {
    out.reserve(HEAD_BYTES + payload.len());
    out.put_u16(0x8000 | VERSION);
    out.put_u16(kind);
    put_flags_and_length(out, flags, payload.len());
    out.put_slice(payload);
}

pub(super) fn put_data(out: &mut BytesMut, stream: u32, fin: bool, payload: &[u8]) {
    out.reserve(HEAD_BYTES + payload.len());
    out.put_u32(stream & 0x7fff_ffff);
    put_flags_and_length(out, if fin { FLAG_FIN } else { 0 }, payload.len());
    out.put_slice(payload);
}

fn put_flags_and_length(out: &mut BytesMut, flags: u8, length: usize) {
    debug_assert!(length < 1 << 24, "a frame's length has 24 bits");
    out.put_u32(u32::from(flags) << 24 | (length as u32 & 0x00ff_ffff));
}

/// Reads four bytes, or says that the frame is too short.
pub(super) fn take_u32(payload: &mut Bytes) -> Result<u32, Error> {
    payload.try_get_u32().map_err(|_| Error::Truncated)
}

/// The zlib context of the header blocks that are sent.
pub(super) struct Deflater(Compress);

impl Deflater {
    pub(super) fn new() -> Self {
        let mut zlib = Compress::new(Compression::default(), true);
        // Only a context that has begun refuses a dictionary; this one is new.
        let _adler = zlib.set_dictionary(&DICTIONARY);
        Self(zlib)
    }

    pub(super) fn block(&mut self, headers: &Headers) -> Vec<u8> {
        let mut plain = Vec::with_capacity(64);
        plain.put_u32(headers.0.len() as u32);
        for (name, value) in &headers.0 {
            for text in [name.to_ascii_lowercase().as_bytes(), value.as_bytes()] {
                plain.put_u32(text.len() as u32);
                plain.put_slice(text);
            }
        }
        let mut out = Vec::with_capacity(plain.len() + 64);
        let start = self.0.total_in();
        loop {
            let done = (self.0.total_in() - start) as usize;
            let result = self.0.compress_vec(&plain[done..], &mut out, FlushCompress::Sync);
            let done = (self.0.total_in() - start) as usize;
            // Room left over means that the flush is complete; a full buffer may hide more output.
            if result.is_err() || (done == plain.len() && out.len() < out.capacity()) {
                return out;
            }
            out.reserve(256);
        }
    }
}

/// The zlib context of the header blocks that are received.
pub(super) struct Inflater(Decompress);

impl Inflater {
    pub(super) fn new() -> Self {
        Self(Decompress::new(true))
    }

    pub(super) fn headers(&mut self, block: &[u8]) -> Result<Headers, Error> {
        let plain = self.inflate(block)?;
        let mut rest = plain.as_slice();
        let count = rest.try_get_u32().map_err(|_| Error::HeaderBlock)?;
        let mut headers = Vec::new();
        for _ in 0..count {
            let name = take_text(&mut rest)?.to_ascii_lowercase();
            headers.push((name, take_text(&mut rest)?));
        }
        Ok(Headers(headers))
    }

    fn inflate(&mut self, block: &[u8]) -> Result<Vec<u8>, Error> {
        let mut out = Vec::with_capacity(512);
        let start = self.0.total_in();
        loop {
            let done = (self.0.total_in() - start) as usize;
            let (before_in, before_out) = (done, out.len());
            match self.0.decompress_vec(block.get(done..).unwrap_or_default(), &mut out, FlushDecompress::Sync) {
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0.set_dictionary(&DICTIONARY).map_err(|_| Error::HeaderBlock)?;
                    continue;
                }
                Err(_) | Ok(Status::StreamEnd) => return Err(Error::HeaderBlock),
                Ok(Status::Ok | Status::BufError) => {}
            }
            if out.len() > HEADER_BLOCK_BYTES_MAX {
                return Err(Error::TooLarge(out.len()));
            }
            let done = (self.0.total_in() - start) as usize;
            if done == block.len() && out.len() < out.capacity() {
                return Ok(out);
            }
            if out.len() == out.capacity() {
                out.reserve(1024);
            } else if done == before_in && out.len() == before_out {
                return Err(Error::HeaderBlock);
            }
        }
    }
}

/// One length-prefixed text. Bytes that are not UTF-8 become replacement characters: such a value matches nothing that is looked for.
fn take_text(rest: &mut &[u8]) -> Result<String, Error> {
    let length = rest.try_get_u32().map_err(|_| Error::HeaderBlock)? as usize;
    let (text, tail) = rest.split_at_checked(length).ok_or(Error::HeaderBlock)?;
    *rest = tail;
    Ok(String::from_utf8_lossy(text).into_owned())
}
