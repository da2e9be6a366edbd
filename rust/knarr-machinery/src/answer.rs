//! Answers: stored objects in every form and encoding that a client may ask for.
//!
//! The common case, JSON of whole objects, copies: head, stored part, revision, stored part. Everything else (Tables, YAML,
//! protobuf, another form of the same storage) goes by way of a `Value`.

use std::sync::Arc;

use bytes::Bytes;
use knarr_base::Revision;
use knarr_store::Record;
use knarr_value::stored::{self, StoredRef};
use knarr_value::{Map, Value, protobuf};

use crate::machinery::Machinery;
use crate::proto;
use crate::registry::KindEntry;
use crate::request::{Accept, Encoding, Form, Request, Response};
use crate::status::Status;
use crate::table;

/// A list is answered in pieces of at most this many bytes (but for larger items): what allocators keep at hand, and caches hold until
/// it is encrypted. A piece of 256 KiB was mapped anew each time, and its pages cleared.
const CHUNK_BYTES: usize = 64 * 1024;

/// What ends a list in JSON.
const LIST_END: &[u8] = b"]}";

pub(crate) const JSON: &str = "application/json";
pub(crate) const YAML: &str = "application/yaml";
pub(crate) const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// A stored record that cannot be read: the store is damaged, or a bug wrote it.
fn damaged(error: impl std::fmt::Display) -> Status {
    Status::internal(format_args!("a stored object cannot be read: {error}"))
}

pub(crate) fn read(bytes: &[u8]) -> Result<StoredRef<'_>, Status> {
    stored::decode(bytes).map_err(damaged)
}

/// The object of a record, whole, in the form of `entry`.
pub(crate) fn value(entry: &KindEntry, record: &Record) -> Result<Value, Status> {
    value_of(entry, &record.value, record.mod_revision)
}

pub(crate) fn value_of(entry: &KindEntry, bytes: &[u8], revision: Revision) -> Result<Value, Status> {
    let stored = stored::to_value(bytes, revision).map_err(damaged)?;
    let mut whole = Map::with_capacity(8);
    whole.insert("kind", entry.compiled.kind.clone());
    whole.insert("apiVersion", entry.api_version.clone());
    if let Value::Map(fields) = stored {
        let fields = match entry.compiled.storage {
            None => fields,
            Some(_) => {
                let renamed = fields.into_iter().map(|(name, field)| (entry.field_from_stored(&name), field));
                KindEntry::shaped(&entry.compiled, renamed.collect())
            }
        };
        for (name, field) in fields {
            whole.insert(name, field);
        }
    }
    let mut whole = Value::Map(whole);
    if revision.0 == 0 {
        // A dry run of a create: there is no revision to show.
        whole.remove_path(&["metadata", "resourceVersion"]);
    }
    Ok(whole)
}

/// The object of a record in the form it is stored in, without kind and apiVersion.
pub(crate) fn stored_value(bytes: &[u8], revision: Revision) -> Result<Value, Status> {
    stored::to_value(bytes, revision).map_err(damaged)
}

/// Appends an object as JSON; without `head`, as an item of a list (kind and apiVersion are not repeated there).
pub(crate) fn append_json(
    entry: &KindEntry,
    with_head: bool,
    bytes: &[u8],
    revision: Revision,
    out: &mut Vec<u8>,
) -> Result<(), Status> {
    if entry.compiled.storage.is_some() {
        let mut value = value_of(entry, bytes, revision)?;
        if !with_head && let Some(map) = value.as_map_mut() {
            map.remove("kind");
            map.remove("apiVersion");
        }
        knarr_value::json::write(&value, out);
        return Ok(());
    }
    let stored = read(bytes)?;
    let before = stored.json_before_hole();
    if with_head {
        out.extend_from_slice(entry.head.as_bytes());
        out.extend_from_slice(&before[1..]);
    } else {
        out.extend_from_slice(before);
    }
    append_revision(revision, out);
    out.extend_from_slice(stored.json_after_hole());
    Ok(())
}

fn append_revision(revision: Revision, out: &mut Vec<u8>) {
    // No formatting machinery for the one number of every object.
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut left = revision.0;
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends `{"kind":"PartialObjectMetadata",...,"metadata":{...}}` without parsing: the stored part begins with the metadata.
pub(crate) fn append_partial(
    version: &str,
    with_head: bool,
    bytes: &[u8],
    revision: Revision,
    out: &mut Vec<u8>,
) -> Result<(), Status> {
    let stored = read(bytes)?;
    let (before, after) = (stored.json_before_hole(), stored.json_after_hole());
    if with_head {
        out.extend_from_slice(b"{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/");
        out.extend_from_slice(version.as_bytes());
        out.extend_from_slice(b"\",");
        out.extend_from_slice(&before[1..]);
    } else {
        out.extend_from_slice(before);
    }
    append_revision(revision, out);
    // `before` has opened the object and its metadata and stands within a string: `after` begins with its closing quote.
    let end = end_of_metadata(after).ok_or_else(|| damaged("metadata does not end"))?;
    out.extend_from_slice(&after[..end]);
    out.push(b'}');
    Ok(())
}

/// The length of `after` up to and including the brace that closes metadata.
fn end_of_metadata(after: &[u8]) -> Option<usize> {
    let mut depth = 1;
    let mut in_string = after.first() == Some(&b'"');
    let mut at = usize::from(in_string);
    // The hole stands inside quotes; skip the quote that ends it.
    in_string = false;
    while let Some(byte) = after.get(at) {
        match byte {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// The protobuf message of an object, without its envelope.
pub(crate) fn protobuf_message(entry: &KindEntry, value: &Value) -> Result<Vec<u8>, Status> {
    protobuf::encode(&entry.compiled.types, entry.compiled.type_id, value).map_err(damaged)
}

/// The protobuf message PartialObjectMetadata: field 1 is the metadata.
pub(crate) fn partial_message(entry: &KindEntry, value: &Value) -> Result<Vec<u8>, Status> {
    let types = &entry.compiled.types;
    let id = types
        .id("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
        .ok_or_else(|| damaged("ObjectMeta is not in the type table"))?;
    let metadata = value.get("metadata").cloned().unwrap_or_default();
    let inner = protobuf::encode(types, id, &metadata).map_err(damaged)?;
    let mut out = Vec::with_capacity(inner.len() + 8);
    proto::bytes(1, &inner, &mut out);
    Ok(out)
}

/// A `Value` in a text encoding.
pub(crate) fn text(value: &Value, encoding: Encoding, pretty: bool) -> Vec<u8> {
    match encoding {
        Encoding::Yaml => {
            let mut out = String::new();
            knarr_value::yaml::write(value, &mut out);
            out.into_bytes()
        }
        _ if pretty => {
            let mut out = Vec::with_capacity(1024);
            knarr_value::json::write_pretty(value, 2, &mut out);
            out
        }
        _ => knarr_value::json::to_vec(value),
    }
}

pub(crate) fn content_type(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Json => JSON,
        Encoding::Yaml => YAML,
        Encoding::Protobuf => PROTOBUF,
    }
}

pub(crate) fn whole(code: u16, content_type: &'static str, body: Vec<u8>, warnings: Vec<String>) -> Response {
    Response::Whole { code, content_type, chunks: vec![Bytes::from(body)], warnings, retry_after: 0 }
}

/// A Status, as the client wants it encoded.
pub(crate) fn status(status: &Status, accept: Accept, pretty: bool, warnings: Vec<String>) -> Response {
    let body = match accept.encoding {
        Encoding::Protobuf => proto::status(status),
        Encoding::Json if !pretty => status.to_json(),
        encoding => match knarr_value::json::from_slice(&status.to_json()) {
            Ok(value) => text(&value, encoding, pretty),
            Err(_) => status.to_json(),
        },
    };
    let retry_after = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    Response::Whole {
        code: status.code,
        content_type: content_type(accept.encoding),
        chunks: vec![Bytes::from(body)],
        warnings,
        retry_after,
    }
}

/// One object in the form that the request accepts.
pub(crate) fn object(
    machinery: &Machinery,
    request: &Request,
    code: u16,
    bytes: &[u8],
    revision: Revision,
    warnings: Vec<String>,
) -> Result<Response, Status> {
    let entry = &request.kind;
    let accept = request.accept;
    let pretty = request.options.pretty;
    match (accept.form, accept.encoding) {
        (Form::Object, Encoding::Json) if !pretty && revision.0 > 0 => {
            let mut out = Vec::with_capacity(bytes.len() + 128);
            append_json(entry, true, bytes, revision, &mut out)?;
            Ok(whole(code, JSON, out, warnings))
        }
        (Form::Object, Encoding::Protobuf) => {
            let message = protobuf_message(entry, &value_of(entry, bytes, revision)?)?;
            Ok(whole(code, PROTOBUF, protobuf::wrap(&entry.api_version, &entry.compiled.kind, &message), warnings))
        }
        (Form::Object, encoding) => {
            let value = value_of(entry, bytes, revision)?;
            Ok(whole(code, content_type(encoding), text(&value, encoding, pretty), warnings))
        }
        (Form::PartialObjectMetadata { version }, Encoding::Protobuf) => {
            let message = partial_message(entry, &value_of(entry, bytes, revision)?)?;
            let api_version = format!("meta.k8s.io/{version}");
            Ok(whole(code, PROTOBUF, protobuf::wrap(&api_version, "PartialObjectMetadata", &message), warnings))
        }
        (Form::PartialObjectMetadata { version }, encoding) if revision.0 == 0 => {
            let value = value_of(entry, bytes, revision)?;
            let mut partial = Map::new();
            partial.insert("kind", "PartialObjectMetadata");
            partial.insert("apiVersion", format!("meta.k8s.io/{version}"));
            partial.insert("metadata", value.get("metadata").cloned().unwrap_or_default());
            Ok(whole(code, content_type(encoding), text(&Value::Map(partial), encoding, pretty), warnings))
        }
        (Form::PartialObjectMetadata { version }, encoding) => {
            let mut out = Vec::with_capacity(bytes.len() + 128);
            append_partial(version, true, bytes, revision, &mut out)?;
            Ok(whole(code, content_type(encoding), reencode(out, encoding, pretty), warnings))
        }
        (Form::Table { version }, encoding) => {
            let include = table::Include::parse(&request.options.include_object)?;
            let mut out = Vec::with_capacity(bytes.len() + 1024);
            let meta = ListMeta { revision, ..ListMeta::default() };
            table::open(entry, version, &meta, true, &mut out);
            table::row(entry, version, include, bytes, revision, machinery.clock.wall(), &mut out)?;
            out.extend_from_slice(b"]}");
            let encoding = if encoding == Encoding::Yaml { encoding } else { Encoding::Json };
            Ok(whole(code, content_type(encoding), reencode(out, encoding, pretty), warnings))
        }
    }
}

/// An object that was just written, as [`object`] shows it. value: what `bytes` were made of, where it is at hand: protobuf is
/// encoded from it, and the text is not parsed again.
pub(crate) fn written(
    machinery: &Machinery,
    request: &Request,
    code: u16,
    (bytes, value): (&[u8], Option<Value>),
    revision: Revision,
    warnings: Vec<String>,
) -> Result<Response, Status> {
    let entry = &request.kind;
    match (value, request.accept.form, request.accept.encoding) {
        (Some(mut value), Form::Object, Encoding::Protobuf) if entry.compiled.storage.is_none() => {
            if revision.0 > 0 {
                value.set_path(&["metadata", "resourceVersion"], revision.0.to_string());
            } else {
                value.remove_path(&["metadata", "resourceVersion"]);
            }
            let message = protobuf_message(entry, &value)?;
            Ok(whole(code, PROTOBUF, protobuf::wrap(&entry.api_version, &entry.compiled.kind, &message), warnings))
        }
        _ => object(machinery, request, code, bytes, revision, warnings),
    }
}

/// JSON text as the client wants it: the same bytes, indented, or YAML.
fn reencode(json: Vec<u8>, encoding: Encoding, pretty: bool) -> Vec<u8> {
    if encoding != Encoding::Yaml && !pretty {
        return json;
    }
    match knarr_value::json::from_slice(&json) {
        Ok(value) => text(&value, encoding, pretty),
        Err(_) => json,
    }
}

/// What stands above the items of a list.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListMeta {
    pub revision: Revision,
    pub continue_token: String,
    pub remaining: Option<i64>,
}

impl ListMeta {
    /// The members of the JSON object, without braces.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"resourceVersion\":\"");
        append_revision(self.revision, out);
        out.push(b'"');
        if !self.continue_token.is_empty() {
            out.extend_from_slice(b",\"continue\":");
            knarr_value::json::write_str(&self.continue_token, out);
        }
        if let Some(remaining) = self.remaining {
            out.extend_from_slice(format!(",\"remainingItemCount\":{remaining}").as_bytes());
        }
    }
}

/// A list in the form that the request accepts.
pub(crate) fn list(
    machinery: &Machinery,
    request: &Request,
    records: &[(Bytes, Arc<Record>)],
    meta: &ListMeta,
) -> Result<Response, Status> {
    let now = machinery.clock.wall();
    let entry = &*request.kind;
    let accept = request.accept;
    let pretty = request.options.pretty;
    let (chunks, encoding) = match (accept.form, accept.encoding) {
        (Form::Object, Encoding::Protobuf) => (list_protobuf(machinery, entry, records, meta)?, Encoding::Protobuf),
        (Form::PartialObjectMetadata { version }, Encoding::Protobuf) => {
            (list_partial_protobuf(entry, version, records, meta)?, Encoding::Protobuf)
        }
        (Form::Table { version }, encoding) => {
            let include = table::Include::parse(&request.options.include_object)?;
            let encoding = if encoding == Encoding::Yaml { encoding } else { Encoding::Json };
            let mut chunks = Chunks::default();
            table::open(entry, version, meta, true, &mut chunks.open);
            for (index, (_, record)) in records.iter().enumerate() {
                chunks.separate(index, record.value.len() + 256);
                table::row(entry, version, include, &record.value, record.mod_revision, now, &mut chunks.open)?;
            }
            (chunks.finish(b"]}"), encoding)
        }
        (form, encoding) => (list_json(entry, form, records, meta)?, encoding),
    };
    let chunks = if encoding == Encoding::Yaml || (pretty && encoding == Encoding::Json) {
        vec![Bytes::from(reencode(chunks.concat(), encoding, pretty))]
    } else {
        chunks
    };
    Ok(Response::Whole {
        code: 200,
        content_type: content_type(encoding),
        chunks,
        warnings: Vec::new(),
        retry_after: 0,
    })
}

/// A body that grows by pieces.
#[derive(Default)]
struct Chunks {
    closed: Vec<Bytes>,
    open: Vec<u8>,
}

impl Chunks {
    /// Before the item at `index`, of about `bytes`.
    fn separate(&mut self, index: usize, bytes: usize) {
        if index > 0 {
            self.open.push(b',');
        }
        // A piece grows once, from what a short list needs to its full size, and is never copied again.
        if self.open.capacity() == 0 {
            self.open.reserve(bytes + 64);
        } else if self.open.len() + bytes > CHUNK_BYTES {
            let full = std::mem::replace(&mut self.open, Vec::with_capacity(CHUNK_BYTES.max(bytes + 64)));
            self.closed.push(Bytes::from(full));
        } else if self.open.len() + bytes > self.open.capacity() {
            self.open.reserve(CHUNK_BYTES - self.open.len());
        }
    }

    fn finish(mut self, tail: &[u8]) -> Vec<Bytes> {
        self.open.extend_from_slice(tail);
        self.closed.push(Bytes::from(self.open));
        self.closed
    }
}

/// A list's items in the forms that only copy, written as they are found. What stands before them is known when all are.
pub(crate) struct Items<'a> {
    entry: &'a KindEntry,
    /// PartialObjectMetadata of this version of meta.k8s.io, or whole objects.
    partial: Option<&'static str>,
    chunks: Chunks,
    count: usize,
}

impl<'a> Items<'a> {
    /// None when the request accepts a form that takes more than copying.
    pub fn of(request: &'a Request) -> Option<Self> {
        let copies = request.accept.encoding == Encoding::Json && !request.options.pretty;
        match request.accept.form {
            Form::Object if copies && request.kind.compiled.storage.is_none() => Some(Self::new(&request.kind, None)),
            Form::PartialObjectMetadata { version } if copies => Some(Self::new(&request.kind, Some(version))),
            _ => None,
        }
    }

    fn new(entry: &'a KindEntry, partial: Option<&'static str>) -> Self {
        Self { entry, partial, chunks: Chunks::default(), count: 0 }
    }

    /// Whether the items are whole objects.
    pub fn whole(&self) -> bool {
        self.partial.is_none()
    }

    pub fn push(&mut self, record: &Record) -> Result<(), Status> {
        self.chunks.separate(self.count, record.value.len() + 32);
        self.count += 1;
        let (bytes, revision, out) = (&record.value, record.mod_revision, &mut self.chunks.open);
        match self.partial {
            Some(version) => append_partial(version, true, bytes, revision, out),
            None => append_json(self.entry, false, bytes, revision, out),
        }
    }

    fn head(&self, meta: &ListMeta) -> Bytes {
        let (kind, api_version) = match self.partial {
            Some(version) => ("PartialObjectMetadata", format!("meta.k8s.io/{version}")),
            None => (self.entry.compiled.kind.as_str(), self.entry.api_version.to_string()),
        };
        let mut head =
            format!("{{\"kind\":\"{kind}List\",\"apiVersion\":\"{api_version}\",\"metadata\":{{").into_bytes();
        meta.write(&mut head);
        head.extend_from_slice(b"},\"items\":[");
        Bytes::from(head)
    }

    fn chunks(self, meta: &ListMeta) -> Vec<Bytes> {
        let mut chunks = vec![self.head(meta)];
        chunks.extend(self.chunks.finish(LIST_END));
        chunks
    }

    pub fn finish(self, meta: &ListMeta) -> Response {
        Self::respond(self.chunks(meta))
    }

    /// The same with items that were written before, instead of its own.
    pub fn finish_with(&self, meta: &ListMeta, kept: Vec<Bytes>) -> Response {
        let mut chunks = Vec::with_capacity(kept.len() + 2);
        chunks.push(self.head(meta));
        chunks.extend(kept);
        chunks.push(Bytes::from_static(LIST_END));
        Self::respond(chunks)
    }

    fn respond(chunks: Vec<Bytes>) -> Response {
        Response::Whole { code: 200, content_type: JSON, chunks, warnings: Vec::new(), retry_after: 0 }
    }
}

fn list_json(
    entry: &KindEntry,
    form: Form,
    records: &[(Bytes, Arc<Record>)],
    meta: &ListMeta,
) -> Result<Vec<Bytes>, Status> {
    let partial = match form {
        Form::PartialObjectMetadata { version } => Some(version),
        _ => None,
    };
    let mut items = Items::new(entry, partial);
    for (_, record) in records {
        items.push(record)?;
    }
    Ok(items.chunks(meta))
}

fn list_protobuf(
    machinery: &Machinery,
    entry: &KindEntry,
    records: &[(Bytes, Arc<Record>)],
    meta: &ListMeta,
) -> Result<Vec<Bytes>, Status> {
    let kind = format!("{}List", entry.compiled.kind);
    enclose(&entry.api_version, &kind, records, meta, |key, record| {
        machinery.messages.get(entry, key, record, || protobuf_message(entry, &value(entry, record)?))
    })
}

fn list_partial_protobuf(
    entry: &KindEntry,
    version: &str,
    records: &[(Bytes, Arc<Record>)],
    meta: &ListMeta,
) -> Result<Vec<Bytes>, Status> {
    let api_version = format!("meta.k8s.io/{version}");
    enclose(&api_version, "PartialObjectMetadataList", records, meta, |_, record| {
        partial_message(entry, &value(entry, record)?).map(Bytes::from)
    })
}

/// `List { metadata = 1, items = 2 }` in an envelope.
fn enclose(
    api_version: &str,
    kind: &str,
    records: &[(Bytes, Arc<Record>)],
    meta: &ListMeta,
    message: impl Fn(&Bytes, &Record) -> Result<Bytes, Status>,
) -> Result<Vec<Bytes>, Status> {
    let mut out = Vec::with_capacity(records.len().saturating_mul(1024).min(1 << 26));
    let list_meta = proto::list_meta(&meta.revision.0.to_string(), &meta.continue_token, meta.remaining);
    proto::bytes(1, &list_meta, &mut out);
    for (key, record) in records {
        proto::bytes(2, &message(key, record)?, &mut out);
    }
    Ok(vec![Bytes::from(protobuf::wrap(api_version, kind, &out))])
}
