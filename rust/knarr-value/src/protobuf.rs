//! Protobuf as Kubernetes' generated Go code reads and writes it, driven by the types table.
//!
//! Rules of gogo's marshallers (k8s.io/api `generated.pb.go`): fields in order of number; what is not a pointer is always written, zero
//! or not; pointers, byte strings, lists and maps when they are set; lists are never packed (both forms are read); map entries in order
//! of key with both halves; a list inside a map or of a named type is a message with `items = 1`. Inlined structs are messages.
//!
//! An object travels in an envelope, `k8s\0` + runtime.Unknown, see [`wrap`] and [`unwrap`]; a watch stream's frames hold
//! a bare WatchEvent whose object is in an envelope, see [`watch_event`].

mod read;
mod wire;
mod write;

use crate::{Error, Result, TypeId, TypeTable, Value};
use wire::Reader;

/// What the envelope begins with.
pub const MAGIC: &[u8] = b"k8s\0";

/// What to do with a field number that the table does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownFields {
    /// An error: what was not read would be lost.
    Refuse,
    /// Passed over, as Go does: for bodies of clients that are newer than the table.
    Skip,
}

/// The protobuf form of a value of a type. Its `kind` and `apiVersion` belong to the envelope.
///
/// Errors: [`Error::Protobuf`] with the path of what does not fit its shape; fields that the type does not have are not looked at.
pub fn encode(types: &TypeTable, id: TypeId, value: &Value) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(1024);
    write::message(types, id, value, &mut out)?;
    Ok(out)
}

/// The canonical value of a message: fields in table order, zeros as Go's JSON has them; without `kind` and `apiVersion`.
///
/// Errors: [`Error::Protobuf`] with the path; unknown fields are errors. [`Error::TooDeep`].
pub fn decode(types: &TypeTable, id: TypeId, bytes: &[u8]) -> Result<Value> {
    decode_with(types, id, bytes, UnknownFields::Refuse)
}

/// [`decode`], with a choice for unknown fields.
pub fn decode_with(types: &TypeTable, id: TypeId, bytes: &[u8], unknown: UnknownFields) -> Result<Value> {
    read::message(types, id, bytes, unknown)
}

/// `runtime.Unknown`, borrowed: what the envelope says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown<'a> {
    pub api_version: &'a str,
    pub kind: &'a str,
    pub raw: &'a [u8],
    pub content_encoding: &'a str,
    pub content_type: &'a str,
}

/// Look into an envelope. Errors: [`Error::Protobuf`] where it is none.
pub fn unwrap(bytes: &[u8]) -> Result<Unknown<'_>> {
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| wire::bad("the message does not begin with k8s\\0"))?;
    let mut unknown = Unknown { api_version: "", kind: "", raw: &[], content_encoding: "", content_type: "" };
    let mut r = Reader::new(rest);
    while let Some((number, kind)) = r.tag()? {
        match number {
            1 => {
                let mut meta = Reader::new(r.bytes(kind)?);
                while let Some((number, kind)) = meta.tag()? {
                    match number {
                        1 => unknown.api_version = meta.text(kind)?,
                        2 => unknown.kind = meta.text(kind)?,
                        _ => meta.skip(kind)?,
                    }
                }
            }
            2 => unknown.raw = r.bytes(kind)?,
            3 => unknown.content_encoding = r.text(kind)?,
            4 => unknown.content_type = r.text(kind)?,
            _ => r.skip(kind)?,
        }
    }
    Ok(unknown)
}

/// The envelope around a message of a known length: what comes before and after its bytes, so that a list need not be copied together.
pub fn envelope(api_version: &str, kind: &str, raw_len: usize) -> (Vec<u8>, &'static [u8]) {
    let mut meta = Vec::with_capacity(48);
    wire::put_bytes(&mut meta, 1, api_version.as_bytes());
    wire::put_bytes(&mut meta, 2, kind.as_bytes());
    let mut head = Vec::with_capacity(64);
    head.extend_from_slice(MAGIC);
    wire::put_bytes(&mut head, 1, &meta);
    wire::put_tag(&mut head, 2, wire::LENGTH);
    wire::put_varint(&mut head, raw_len as u64);
    // contentEncoding and contentType are not pointers: written though empty.
    (head, &[0x1a, 0, 0x22, 0])
}

/// A message in its envelope.
pub fn wrap(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let (mut out, tail) = envelope(api_version, kind, raw.len());
    out.extend_from_slice(raw);
    out.extend_from_slice(tail);
    out
}

/// The beginning of any List message: its ListMeta. `meta`: `{"resourceVersion": .., "continue": .., "remainingItemCount": ..}`.
///
/// Errors: as [`encode`]; [`Error::Table`] where the table has no ListMeta.
pub fn list_head(types: &TypeTable, meta: &Value) -> Result<Vec<u8>> {
    const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
    let id = types.id(LIST_META).ok_or_else(|| Error::Table(format!("no type {LIST_META}")))?;
    let mut out = Vec::with_capacity(32);
    wire::put_bytes(&mut out, 1, &encode(types, id, meta)?);
    Ok(out)
}

/// What stands before the bytes of an item of a List message: append this, then the encoded object as it is.
pub fn item_head(item_len: usize, out: &mut Vec<u8>) {
    wire::put_tag(out, 2, wire::LENGTH);
    wire::put_varint(out, item_len as u64);
}

/// A frame of a watch stream: length (4 bytes, big-endian) and WatchEvent. `kind`: `ADDED`; `object`: in its envelope.
pub fn watch_event(kind: &str, object: &[u8]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(object.len() + 8);
    wire::put_bytes(&mut raw, 1, object);
    let mut out = vec![0; 4];
    out.reserve(raw.len() + 24);
    wire::put_bytes(&mut out, 1, kind.as_bytes());
    wire::put_bytes(&mut out, 2, &raw);
    let length = u32::try_from(out.len() - 4).unwrap_or(u32::MAX);
    out[..4].copy_from_slice(&length.to_be_bytes());
    out
}

#[cfg(test)]
mod tests;
