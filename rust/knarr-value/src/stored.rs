//! The stored form of an object: a header that selectors and indexes read in place, then canonical JSON with a hole.
//!
//! ```text
//! offset  0        1      2..6     6..10   10..14     14..18     18..34  34..                                json_at..
//!         version  flags  json_at  hole    fields_at  owners_at  uid     labels, then fields, then owners    {"metadata":{...
//! ```
//!
//! Numbers are little-endian u32. Labels and fields are pairs of LEB128 length + bytes; owners are 16 bytes each. `hole` counts from
//! `json_at`: the revision is not known before the write is committed and would be the only thing that changes in a no-op, so the text
//! has `"resourceVersion":""` and an answer is head + part before the hole + revision + part after it. The JSON begins with
//! `{"metadata":{` and has neither kind nor apiVersion: an answer's head says them in the version asked for.

use crate::{Error, Result, Str, Value, json, selector::Labels};
use std::fmt::Display;

const VERSION: u8 = 1;
const FIXED: usize = 34;
const DELETING: u8 = 1;
const FINALIZERS: u8 = 2;

/// What is known of an object without reading its JSON. Its name and namespace are in its key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Header {
    /// See [`uid_bytes`].
    pub uid: [u8; 16],
    pub labels: Vec<(Str, Str)>,
    pub owners: Vec<[u8; 16]>,
    /// Selectable fields beyond metadata.name and metadata.namespace.
    pub fields: Vec<(Str, Str)>,
    /// Offset of the revision inside the JSON part.
    pub hole: u32,
    /// metadata.deletionTimestamp is set.
    pub deleting: bool,
    /// metadata.finalizers is not empty.
    pub finalizers: bool,
}

/// 16 bytes for a uid: those of a UUID in canonical text; a hash (stable over processes) for what owners may call theirs otherwise.
pub fn uid_bytes(text: &str) -> [u8; 16] {
    fn uuid(text: &[u8]) -> Option<[u8; 16]> {
        let mut out = [0; 16];
        let (mut n, mut at) = (0, 0);
        while at < text.len() {
            if matches!(at, 8 | 13 | 18 | 23) {
                if text[at] != b'-' {
                    return None;
                }
                at += 1;
                continue;
            }
            let digit = |b: &u8| match b {
                b'0'..=b'9' => Some(b - b'0'),
                b'a'..=b'f' => Some(b - b'a' + 10),
                _ => None,
            };
            *out.get_mut(n)? = digit(text.get(at)?)? << 4 | digit(text.get(at + 1)?)?;
            n += 1;
            at += 2;
        }
        (n == 16).then_some(out)
    }
    uuid(text.as_bytes()).unwrap_or_else(|| {
        // FNV-1a, 128 bits: stable, and fit for what nobody attacks (an owner's uid is chosen by who may write the object anyway).
        let hash = text.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58du128, |h, b| {
            (h ^ u128::from(b)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        });
        hash.to_le_bytes()
    })
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let mut n = text.len();
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
    out.extend_from_slice(text.as_bytes());
}

fn position(n: usize) -> [u8; 4] {
    // Bodies are bounded far below 4 GiB (a request is refused beyond 3 MiB).
    u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes()
}

/// Put header and JSON part together.
pub fn encode(header: &Header, json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(FIXED + 64 * (header.labels.len() + header.fields.len()) + json.len());
    out.resize(FIXED, 0);
    out[0] = VERSION;
    out[1] = if header.deleting { DELETING } else { 0 } | if header.finalizers { FINALIZERS } else { 0 };
    out[6..10].copy_from_slice(&header.hole.to_le_bytes());
    out[18..34].copy_from_slice(&header.uid);
    for (k, v) in &header.labels {
        put_text(&mut out, k);
        put_text(&mut out, v);
    }
    let at = out.len();
    out[10..14].copy_from_slice(&position(at));
    for (k, v) in &header.fields {
        put_text(&mut out, k);
        put_text(&mut out, v);
    }
    let at = out.len();
    out[14..18].copy_from_slice(&position(at));
    for owner in &header.owners {
        out.extend_from_slice(owner);
    }
    let at = out.len();
    out[2..6].copy_from_slice(&position(at));
    out.extend_from_slice(json);
    out
}

/// Borrowed access to a record; copying it copies a pointer.
#[derive(Clone, Copy, Debug)]
pub struct StoredRef<'a> {
    bytes: &'a [u8],
    fields_at: usize,
    owners_at: usize,
    json_at: usize,
    hole_at: usize,
}

/// Look at a record. Constant time; allocates nothing. Errors: [`Error::Stored`] where it is not one.
pub fn decode(bytes: &[u8]) -> Result<StoredRef<'_>> {
    let number = |at: usize| -> Result<usize> {
        let raw: [u8; 4] = bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).ok_or(Error::Stored("too short"))?;
        Ok(u32::from_le_bytes(raw) as usize)
    };
    if bytes.first() != Some(&VERSION) {
        return Err(Error::Stored("unknown version"));
    }
    let (json_at, hole, fields_at, owners_at) = (number(2)?, number(6)?, number(10)?, number(14)?);
    let hole_at = json_at.saturating_add(hole);
    if !(FIXED <= fields_at && fields_at <= owners_at && owners_at <= json_at && json_at <= hole_at) {
        return Err(Error::Stored("positions out of order"));
    }
    if hole_at > bytes.len() || !(json_at - owners_at).is_multiple_of(16) {
        return Err(Error::Stored("positions beyond the end"));
    }
    Ok(StoredRef { bytes, fields_at, owners_at, json_at, hole_at })
}

/// Pairs of texts, read as they are asked for. Ends early where bytes are damaged (the log's checksums come before that).
#[derive(Clone, Debug)]
pub struct Pairs<'a>(&'a [u8]);

impl<'a> Pairs<'a> {
    fn text(&mut self) -> Option<&'a str> {
        let (mut n, mut shift) = (0usize, 0);
        loop {
            let (&b, rest) = self.0.split_first()?;
            self.0 = rest;
            n |= ((b & 0x7f) as usize) << shift;
            if b < 0x80 {
                break;
            }
            shift += 7;
            if shift > 28 {
                return None;
            }
        }
        let (text, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a str);
    fn next(&mut self) -> Option<Self::Item> {
        Some((self.text()?, self.text()?))
    }
}

impl<'a> StoredRef<'a> {
    pub fn uid(&self) -> [u8; 16] {
        let mut uid = [0; 16];
        uid.copy_from_slice(&self.bytes[18..34]);
        uid
    }

    pub fn deleting(&self) -> bool {
        self.bytes[1] & DELETING != 0
    }

    pub fn finalizers(&self) -> bool {
        self.bytes[1] & FINALIZERS != 0
    }

    pub fn labels(&self) -> Pairs<'a> {
        Pairs(&self.bytes[FIXED..self.fields_at])
    }

    pub fn label(&self, key: &str) -> Option<&'a str> {
        self.labels().find(|(k, _)| *k == key).map(|(_, v)| v)
    }

    pub fn fields(&self) -> Pairs<'a> {
        Pairs(&self.bytes[self.fields_at..self.owners_at])
    }

    pub fn field(&self, name: &str) -> Option<&'a str> {
        self.fields().find(|(k, _)| *k == name).map(|(_, v)| v)
    }

    pub fn owners(&self) -> impl ExactSizeIterator<Item = [u8; 16]> + 'a {
        let (owners, _) = self.bytes[self.owners_at..self.json_at].as_chunks::<16>();
        owners.iter().copied()
    }

    /// `{"metadata":{...,"resourceVersion":"`
    pub fn json_before_hole(&self) -> &'a [u8] {
        &self.bytes[self.json_at..self.hole_at]
    }

    /// `",...}...}`
    pub fn json_after_hole(&self) -> &'a [u8] {
        &self.bytes[self.hole_at..]
    }

    /// The JSON part with the hole left empty: equal for two records exactly when the objects' texts are.
    pub fn json(&self) -> &'a [u8] {
        &self.bytes[self.json_at..]
    }

    /// Length of the JSON part, for limits.
    pub fn json_len(&self) -> usize {
        self.bytes.len() - self.json_at
    }

    /// The object with its revision, as text; without kind and apiVersion.
    pub fn to_json(&self, revision: impl Display) -> Vec<u8> {
        let revision = compact_str::format_compact!("{revision}");
        [self.json_before_hole(), revision.as_bytes(), self.json_after_hole()].concat()
    }

    /// [`to_value`].
    pub fn to_value(&self, revision: impl Display) -> Result<Value> {
        json::from_slice(&self.to_json(revision)).map_err(|_| Error::Stored("not JSON"))
    }
}

impl Labels for StoredRef<'_> {
    fn label(&self, key: &str) -> Option<&str> {
        StoredRef::label(self, key)
    }
}

/// Write the object's JSON part; answers where the hole is.
fn write_json(value: &Value, out: &mut Vec<u8>) -> u32 {
    const HOLE: &[u8] = b"\"resourceVersion\":\"";
    let start = out.len();
    let mut hole = 0;
    let empty = crate::Map::new();
    let metadata = value.get("metadata").and_then(Value::as_map).unwrap_or(&empty);
    // metav1.ObjectMeta's order: what comes before resourceVersion.
    let before = |k: &str| matches!(k, "name" | "generateName" | "namespace" | "selfLink" | "uid");
    let after_last = metadata.keys().rposition(|k| before(k)).map_or(0, |p| p + 1);
    out.extend_from_slice(b"{\"metadata\":{");
    let mut first = true;
    let mut comma = |out: &mut Vec<u8>| {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
    };
    for (i, (k, v)) in metadata.iter().enumerate() {
        if i == after_last {
            comma(out);
            out.extend_from_slice(HOLE);
            hole = out.len() - start;
            out.push(b'"');
        }
        if k != "resourceVersion" {
            comma(out);
            json::write_str(k, out);
            out.push(b':');
            json::write(v, out);
        }
    }
    if after_last == metadata.len() {
        comma(out);
        out.extend_from_slice(HOLE);
        hole = out.len() - start;
        out.push(b'"');
    }
    out.push(b'}');
    for (k, v) in value.as_map().unwrap_or(&empty) {
        if !matches!(k.as_str(), "metadata" | "kind" | "apiVersion") {
            out.push(b',');
            json::write_str(k, out);
            out.push(b':');
            json::write(v, out);
        }
    }
    out.push(b'}');
    hole as u32
}

/// The record of an object in canonical order. Its kind, apiVersion and resourceVersion are left out.
pub fn of_value(value: &Value, selectable: &[(Str, Str)]) -> Vec<u8> {
    let mut text = Vec::with_capacity(2048);
    let hole = write_json(value, &mut text);
    let list = |path: &[&str]| value.path(path).and_then(Value::as_list).unwrap_or(&[]);
    let labels = value.path(&["metadata", "labels"]).and_then(Value::as_map);
    let label = |(k, v): (&Str, &Value)| Some((k.clone(), Str::from(v.as_str()?)));
    let header = Header {
        uid: uid_bytes(value.str_at(&["metadata", "uid"])),
        labels: labels.into_iter().flatten().filter_map(label).collect(),
        owners: list(&["metadata", "ownerReferences"]).iter().map(|o| uid_bytes(o.str_at(&["uid"]))).collect(),
        fields: selectable.to_vec(),
        hole,
        deleting: !value.path(&["metadata", "deletionTimestamp"]).is_none_or(Value::is_null),
        finalizers: !list(&["metadata", "finalizers"]).is_empty(),
    };
    encode(&header, &text)
}

/// The object of a record, with its revision; without kind and apiVersion.
pub fn to_value(bytes: &[u8], revision: impl Display) -> Result<Value> {
    decode(bytes)?.to_value(revision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{selector::LabelSelector, value};
    use proptest::prelude::*;

    fn pod() -> Value {
        value!({
            "kind": "Pod", "apiVersion": "v1",
            "metadata": {
                "name": "a", "namespace": "default", "uid": "00112233-4455-6677-8899-aabbccddeeff", "generation": 1,
                "labels": {"app": "web", "tier": ""}, "finalizers": ["x/y"],
                "ownerReferences": [{"uid": "ffeeddcc-bbaa-9988-7766-554433221100"}, {"uid": "made-by-hand"}]
            },
            "spec": {"nodeName": "n<1>"}
        })
    }

    #[test]
    fn a_record_is_read_in_place() {
        let bytes = of_value(&pod(), &[("spec.nodeName".into(), "n<1>".into())]);
        let r = decode(&bytes).unwrap();
        assert_eq!(
            r.uid(),
            [0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]
        );
        assert_eq!(r.labels().collect::<Vec<_>>(), [("app", "web"), ("tier", "")]);
        assert_eq!((r.label("app"), r.label("nope")), (Some("web"), None));
        assert_eq!(r.field("spec.nodeName"), Some("n<1>"));
        assert_eq!(r.owners().len(), 2);
        assert_eq!(r.owners().next().unwrap()[0], 0xff);
        assert!(r.finalizers() && !r.deleting());
        assert!(LabelSelector::parse("app=web,!zone").unwrap().matches(&r));
        let text = String::from_utf8(r.to_json(42)).unwrap();
        assert!(text.starts_with(
            r#"{"metadata":{"name":"a","namespace":"default","uid":"00112233-4455-6677-8899-aabbccddeeff","resourceVersion":"42","generation":1,"#
        ));
        assert!(text.ends_with(r#""spec":{"nodeName":"n\u003c1\u003e"}}"#));
    }

    #[test]
    fn the_hole_stands_in_go_order_wherever_the_revision_was() {
        for (metadata, expected) in [
            (value!({}), r#"{"metadata":{"resourceVersion":"7"}}"#),
            (value!({"labels": {}}), r#"{"metadata":{"resourceVersion":"7","labels":{}}}"#),
            (value!({"name": "a"}), r#"{"metadata":{"name":"a","resourceVersion":"7"}}"#),
            (
                value!({"name": "a", "resourceVersion": "3", "uid": "u"}),
                r#"{"metadata":{"name":"a","uid":"u","resourceVersion":"7"}}"#,
            ),
            (
                value!({"resourceVersion": "3", "generation": 1}),
                r#"{"metadata":{"resourceVersion":"7","generation":1}}"#,
            ),
        ] {
            let bytes = of_value(&value!({"metadata": metadata}), &[]);
            assert_eq!(String::from_utf8(decode(&bytes).unwrap().to_json(7)).unwrap(), expected);
        }
    }

    #[test]
    fn values_come_back() {
        let mut expected = pod();
        expected.remove_path(&["kind"]);
        expected.remove_path(&["apiVersion"]);
        expected.set_path(&["metadata", "resourceVersion"], "9");
        assert_eq!(to_value(&of_value(&pod(), &[]), 9), Ok(expected));
    }

    #[test]
    fn uids_that_are_no_uuids_are_hashed() {
        assert_eq!(uid_bytes("a"), uid_bytes("a"));
        assert_ne!(uid_bytes("a"), uid_bytes("b"));
        assert_ne!(
            uid_bytes("00112233-4455-6677-8899-AABBCCDDEEFF"),
            uid_bytes("00112233-4455-6677-8899-aabbccddeeff")
        );
    }

    proptest! {
        #[test]
        fn headers_come_back(
            labels in proptest::collection::vec((".{0,200}", ".*"), 0..5), fields in proptest::collection::vec((".*", ".*"), 0..4),
            owners in proptest::collection::vec(any::<[u8; 16]>(), 0..4), uid: [u8; 16], deleting: bool, finalizers: bool,
            json in proptest::collection::vec(any::<u8>(), 10..60), hole in 0u32..10,
        ) {
            let own = |pairs: Vec<(String, String)>| pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect::<Vec<(Str, Str)>>();
            let h = Header { uid, labels: own(labels), owners, fields: own(fields), hole, deleting, finalizers };
            let bytes = encode(&h, &json);
            let r = decode(&bytes).unwrap();
            let owned = |p: Pairs<'_>| p.map(|(k, v)| (k.into(), v.into())).collect::<Vec<(Str, Str)>>();
            let back = Header {
                uid: r.uid(), labels: owned(r.labels()), owners: r.owners().collect(), fields: owned(r.fields()),
                hole: r.json_before_hole().len() as u32, deleting: r.deleting(), finalizers: r.finalizers(),
            };
            prop_assert_eq!(back, h);
            prop_assert_eq!(r.json(), &json[..]);
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), cut in 0usize..300) {
            let mut bytes = bytes;
            for candidate in [{ if let Some(b) = bytes.first_mut() { *b = VERSION; } bytes }, {
                let mut whole = of_value(&pod(), &[]); whole.truncate(cut); whole
            }] {
                if let Ok(r) = decode(&candidate) {
                    let _ = (r.labels().count(), r.fields().count(), r.owners().len(), r.to_value(1));
                }
            }
        }
    }
}
