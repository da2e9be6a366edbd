//! Tables: what `kubectl get` prints. Columns and cells come from the compiled kind; this writes them.

use knarr_base::{Revision, WallTime};
use knarr_schema::table;
use knarr_value::{Value, json};

use crate::answer::{self, ListMeta};
use crate::registry::KindEntry;
use crate::status::Status;

/// What each row carries of its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Include {
    None,
    Metadata,
    Object,
}

impl Include {
    /// Errors: 400 for an unknown word.
    pub fn parse(word: &str) -> Result<Self, Status> {
        match word {
            "None" => Ok(Include::None),
            "" | "Metadata" => Ok(Include::Metadata),
            "Object" => Ok(Include::Object),
            other => Err(Status::bad_request(format!("unrecognized includeObject value: {other:?}"))),
        }
    }
}

/// Everything up to the opening bracket of `rows`. `definitions`: with the columns (all but later events of a watch).
pub(crate) fn open(entry: &KindEntry, version: &str, meta: &ListMeta, definitions: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/");
    out.extend_from_slice(version.as_bytes());
    out.extend_from_slice(b"\",\"metadata\":{");
    meta.write(out);
    out.extend_from_slice(b"},\"columnDefinitions\":");
    if definitions {
        json::write(&table::columns(&entry.compiled), out);
    } else {
        out.extend_from_slice(b"null");
    }
    out.extend_from_slice(b",\"rows\":[");
}

/// One row of a stored object.
pub(crate) fn row(
    entry: &KindEntry,
    version: &str,
    include: Include,
    bytes: &[u8],
    revision: Revision,
    now: WallTime,
    out: &mut Vec<u8>,
) -> Result<(), Status> {
    // Cells are said of the stored form, whichever is asked for.
    let value = match entry.compiled.storage {
        None => answer::value_of(entry, bytes, revision)?,
        Some(_) => answer::stored_value(bytes, revision)?,
    };
    cells(entry, &value, now, out);
    match include {
        Include::None => out.extend_from_slice(b"null"),
        Include::Metadata => answer::append_partial(version, true, bytes, revision, out)?,
        Include::Object => answer::append_json(entry, true, bytes, revision, out)?,
    }
    out.push(b'}');
    Ok(())
}

/// `{"cells":[...],"object":`
pub(crate) fn cells(entry: &KindEntry, value: &Value, now: WallTime, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"cells\":");
    json::write(&Value::List(table::row_cells(&entry.compiled, value, now)), out);
    out.extend_from_slice(b",\"object\":");
}
