//! Objects that admission reads again and again, parsed once a revision: a thousand pods of one namespace read one Namespace and
//! one ServiceAccount.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use knarr_base::Revision;
use knarr_base::limits::PARSED_READS_BYTES_MAX;
use knarr_store::Record;
use knarr_value::Value;
use parking_lot::Mutex;

use crate::answer;
use crate::registry::KindEntry;
use crate::status::Status;

/// An object as it was at a revision, in the form of the kind with this serial.
#[derive(Debug)]
struct Known {
    serial: u64,
    revision: Revision,
    value: Arc<Value>,
}

#[derive(Debug, Default)]
struct Objects {
    known: HashMap<Bytes, Known>,
    /// Stored bytes of what is known: the parsed form is some times as large.
    bytes: usize,
}

/// The objects by key. When they are too many all are forgotten: what is read often is soon back.
#[derive(Debug, Default)]
pub(crate) struct Parsed(Mutex<Objects>);

impl Parsed {
    /// The whole object of a record. Errors: the record is damaged.
    pub fn get(&self, entry: &KindEntry, key: &Bytes, record: &Record) -> Result<Arc<Value>, Status> {
        if let Some(known) = self.0.lock().known.get(key)
            && known.revision == record.mod_revision
            && known.serial == entry.serial
        {
            return Ok(Arc::clone(&known.value));
        }
        // Not under the lock: it takes microseconds.
        let value = Arc::new(answer::value(entry, record)?);
        let known = Known { serial: entry.serial, revision: record.mod_revision, value: Arc::clone(&value) };
        let mut objects = self.0.lock();
        objects.bytes += record.value.len();
        if objects.bytes > PARSED_READS_BYTES_MAX {
            objects.known.clear();
            objects.bytes = record.value.len();
        }
        objects.known.insert(key.clone(), known);
        Ok(value)
    }
}
