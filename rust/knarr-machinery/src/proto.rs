//! The few protobuf messages that enclose objects: lists, watch events and Status. They are written around items that are
//! encoded already, so that no item is encoded twice.

use crate::status::Status;

const VARINT: u8 = 0;
const BYTES: u8 = 2;

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn tag(field: u8, wire: u8, out: &mut Vec<u8>) {
    out.push(field << 3 | wire);
}

/// A length-delimited field.
pub(crate) fn bytes(field: u8, bytes: &[u8], out: &mut Vec<u8>) {
    tag(field, BYTES, out);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn integer(field: u8, number: i64, out: &mut Vec<u8>) {
    tag(field, VARINT, out);
    varint(number as u64, out);
}

/// `ListMeta`: every field is written, as gogo/protobuf does for the non-pointers.
pub(crate) fn list_meta(revision: &str, continue_token: &str, remaining: Option<i64>) -> Vec<u8> {
    let mut out = Vec::with_capacity(revision.len() + continue_token.len() + 16);
    bytes(1, b"", &mut out);
    bytes(2, revision.as_bytes(), &mut out);
    bytes(3, continue_token.as_bytes(), &mut out);
    if let Some(remaining) = remaining {
        integer(4, remaining, &mut out);
    }
    out
}

/// One frame of a watch: four bytes of length, then `WatchEvent { type, object: RawExtension { raw } }`; `object` is an
/// enveloped object.
pub(crate) fn watch_frame(kind: &str, object: &[u8]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(object.len() + 8);
    bytes(1, object, &mut raw);
    let mut event = vec![0; 4];
    event.reserve(raw.len() + kind.len() + 16);
    bytes(1, kind.as_bytes(), &mut event);
    bytes(2, &raw, &mut event);
    let length = (event.len() - 4) as u32;
    event[..4].copy_from_slice(&length.to_be_bytes());
    event
}

/// A `Status` in its envelope.
pub(crate) fn status(status: &Status) -> Vec<u8> {
    let mut out = Vec::with_capacity(128 + status.message.len());
    bytes(1, &list_meta("", &status.continue_token, None), &mut out);
    bytes(2, if status.success { b"Success" } else { b"Failure" }, &mut out);
    bytes(3, status.message.as_bytes(), &mut out);
    bytes(4, status.reason.as_bytes(), &mut out);
    if let Some(details) = &status.details {
        let mut inner = Vec::new();
        bytes(1, details.name.as_bytes(), &mut inner);
        bytes(2, details.group.as_bytes(), &mut inner);
        bytes(3, details.kind.as_bytes(), &mut inner);
        for cause in &details.causes {
            let mut one = Vec::new();
            bytes(1, cause.reason.as_bytes(), &mut one);
            bytes(2, cause.message.as_bytes(), &mut one);
            bytes(3, cause.field.as_bytes(), &mut one);
            bytes(4, &one, &mut inner);
        }
        integer(5, i64::from(details.retry_after_seconds), &mut inner);
        bytes(6, details.uid.as_bytes(), &mut inner);
        bytes(5, &inner, &mut out);
    }
    let code = if status.success && status.code == 200 { 0 } else { i64::from(status.code) };
    integer(6, code, &mut out);
    knarr_value::protobuf::wrap("v1", "Status", &out)
}
