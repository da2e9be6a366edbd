//! Watch frames: the functions that the hub calls once per event, kind of event and encoding.

use std::hash::BuildHasher;
use std::sync::Arc;

use bytes::Bytes;
use knarr_base::{Clock, Revision};
use knarr_value::{Value, protobuf};
use knarr_watch::{Encoder, EncodingId, HubEvent, Kind};

use crate::answer::{self, ListMeta};
use crate::machinery::Machinery;
use crate::proto;
use crate::registry::KindEntry;
use crate::request::{Accept, Encoding, Form};
use crate::status::Status;
use crate::table::{self, Include};

/// How one watcher's frames look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Look {
    accept: Accept,
    include: Include,
    /// A Table's column definitions stand in the first frame of a stream only.
    definitions: bool,
}

/// The encoding of a watch, and another for its first frame where that differs.
pub(crate) fn register(
    machinery: &Machinery,
    entry: &Arc<KindEntry>,
    accept: Accept,
    include: Include,
) -> (EncodingId, Option<EncodingId>) {
    let one = |definitions: bool| {
        let look = Look { accept, include, definitions };
        machinery.hub.encoding(entry.resource, identity(entry, look), || {
            encoder(Arc::clone(entry), look, Arc::clone(&machinery.clock))
        })
    };
    let first = matches!(accept.form, Form::Table { .. }).then(|| one(true));
    (one(false), first)
}

/// Two encodings of a resource are the same when the same form of the same kind is shown the same way.
fn identity(entry: &KindEntry, look: Look) -> u64 {
    let fixed = foldhash::fast::FixedState::with_seed(0);
    fixed.hash_one((entry.serial, entry.compiled.version.as_str(), entry.compiled.group.as_str(), look))
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Added => "ADDED",
        Kind::Modified => "MODIFIED",
        Kind::Deleted => "DELETED",
        Kind::Bookmark | Kind::InitialEventsEnd => "BOOKMARK",
        Kind::Expired => "ERROR",
    }
}

fn encoder(entry: Arc<KindEntry>, look: Look, clock: Arc<dyn Clock>) -> Encoder {
    Arc::new(move |event| {
        // An object that cannot be encoded is an error event of its own: the stream goes on with the next.
        frame(&entry, look, &*clock, event).unwrap_or_else(|status| error_frame(look, &status))
    })
}

fn frame(entry: &KindEntry, look: Look, clock: &dyn Clock, event: &HubEvent<'_>) -> Result<Bytes, Status> {
    match event.kind {
        Kind::Added | Kind::Modified | Kind::Deleted => {}
        Kind::Bookmark => return bookmark(entry, look, clock, event.revision, false),
        Kind::InitialEventsEnd => return bookmark(entry, look, clock, event.revision, true),
        Kind::Expired => return Ok(error_frame(look, &Status::too_old(event.revision.0, event.oldest.0))),
    }
    let record = event.object().ok_or_else(|| Status::internal("an event without an object"))?;
    let (stored, revision) = (&record.value, event.revision);
    if look.accept.encoding == Encoding::Protobuf && !matches!(look.accept.form, Form::Table { .. }) {
        let value = answer::value_of(entry, stored, revision)?;
        return protobuf_frame(entry, look, word(event.kind), &value);
    }
    let mut out = Vec::with_capacity(stored.len() + 192);
    begin(event.kind, &mut out);
    match look.accept.form {
        Form::Object => answer::append_json(entry, true, stored, revision, &mut out)?,
        Form::PartialObjectMetadata { version } => answer::append_partial(version, true, stored, revision, &mut out)?,
        Form::Table { version } => {
            let meta = ListMeta { revision, ..ListMeta::default() };
            table::open(entry, version, &meta, look.definitions, &mut out);
            table::row(entry, version, look.include, stored, revision, clock.wall(), &mut out)?;
            out.extend_from_slice(b"]}");
        }
    }
    Ok(end(out))
}

fn begin(kind: Kind, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(word(kind).as_bytes());
    out.extend_from_slice(b"\",\"object\":");
}

fn end(mut out: Vec<u8>) -> Bytes {
    out.extend_from_slice(b"}\n");
    Bytes::from(out)
}

fn error_frame(look: Look, status: &Status) -> Bytes {
    if look.accept.encoding == Encoding::Protobuf && !matches!(look.accept.form, Form::Table { .. }) {
        return Bytes::from(proto::watch_frame("ERROR", &proto::status(status)));
    }
    let mut out = Vec::with_capacity(256);
    begin(Kind::Expired, &mut out);
    out.extend_from_slice(&status.to_json());
    end(out)
}

fn protobuf_frame(entry: &KindEntry, look: Look, word: &str, value: &Value) -> Result<Bytes, Status> {
    let object = match look.accept.form {
        Form::PartialObjectMetadata { version } => {
            let message = answer::partial_message(entry, value)?;
            protobuf::wrap(&format!("meta.k8s.io/{version}"), "PartialObjectMetadata", &message)
        }
        _ => {
            let message = answer::protobuf_message(entry, value)?;
            protobuf::wrap(&entry.api_version, &entry.compiled.kind, &message)
        }
    };
    Ok(Bytes::from(proto::watch_frame(word, &object)))
}

/// An empty object of the kind with nothing but a revision, as Kubernetes' bookmarks are.
fn bookmark(
    entry: &KindEntry,
    look: Look,
    clock: &dyn Clock,
    revision: Revision,
    initial: bool,
) -> Result<Bytes, Status> {
    let mut value = Value::default();
    value.set_path(&["kind"], entry.compiled.kind.clone());
    value.set_path(&["apiVersion"], entry.api_version.clone());
    value.set_path(&["metadata", "resourceVersion"], revision.0.to_string());
    if initial {
        value.set_path(&["metadata", "annotations", "k8s.io/initial-events-end"], "true");
    }
    if look.accept.encoding == Encoding::Protobuf && !matches!(look.accept.form, Form::Table { .. }) {
        return protobuf_frame(entry, look, word(Kind::Bookmark), &value);
    }
    let mut out = Vec::with_capacity(256);
    begin(Kind::Bookmark, &mut out);
    match look.accept.form {
        Form::Object => {
            // What Go writes even when it is empty (a Pod's `spec.containers: null`).
            let zero = entry.compiled.types.zero_struct(entry.compiled.type_id);
            if let Some(map) = value.as_map_mut() {
                for (name, field) in zero {
                    if !matches!(&*name, "kind" | "apiVersion" | "metadata") {
                        map.insert(name, field);
                    }
                }
            }
            knarr_value::json::write(&value, &mut out);
        }
        Form::PartialObjectMetadata { version } => {
            value.set_path(&["kind"], "PartialObjectMetadata");
            value.set_path(&["apiVersion"], format!("meta.k8s.io/{version}"));
            knarr_value::json::write(&value, &mut out);
        }
        Form::Table { version } => {
            let meta = ListMeta { revision, ..ListMeta::default() };
            table::open(entry, version, &meta, look.definitions, &mut out);
            table::cells(entry, &value, clock.wall(), &mut out);
            if look.include == Include::Metadata {
                value.set_path(&["kind"], "PartialObjectMetadata");
                value.set_path(&["apiVersion"], format!("meta.k8s.io/{version}"));
            }
            match look.include {
                Include::None => out.extend_from_slice(b"null"),
                _ => knarr_value::json::write(&value, &mut out),
            }
            out.extend_from_slice(b"}]}");
        }
    }
    Ok(end(out))
}
