//! Protobuf messages of stored objects, kept from one list to the next: Go clients list the same pods again and again, and an
//! object that did not change is encoded once.
//!
//! Two halves: what is asked for moves to the young one; when that is full the old one is dropped and the young grows old. So what
//! nobody asks for goes, and no order is kept.

use bytes::Bytes;
use hashbrown::HashMap;
use knarr_base::Revision;
use knarr_base::limits::PROTOBUF_CACHE_BYTES_MAX;
use knarr_store::Record;
use parking_lot::Mutex;

use crate::registry::KindEntry;
use crate::status::Status;

/// Beside key and message: the entry of the map, and the headers of both.
const ENTRY_BYTES: usize = 128;

/// The kind's serial, the object's key and revision: an object of one revision never changes.
type Key = (u64, Revision, Bytes);

#[derive(Debug, Default)]
struct Halves {
    young: HashMap<Key, Bytes>,
    old: HashMap<Key, Bytes>,
    young_bytes: usize,
}

/// The messages.
#[derive(Debug, Default)]
pub(crate) struct Messages(Mutex<Halves>);

impl Messages {
    /// The message of a record, made by `encode` if it is not known.
    pub fn get(
        &self,
        entry: &KindEntry,
        key: &Bytes,
        record: &Record,
        encode: impl FnOnce() -> Result<Vec<u8>, Status>,
    ) -> Result<Bytes, Status> {
        let id: Key = (entry.serial, record.mod_revision, key.clone());
        let known = {
            let mut halves = self.0.lock();
            match halves.young.get(&id) {
                Some(message) => return Ok(message.clone()),
                None => halves.old.remove(&id),
            }
        };
        // Not under the lock: it takes microseconds.
        let message = match known {
            Some(message) => message,
            None => Bytes::from(encode()?),
        };
        let mut halves = self.0.lock();
        let bytes = key.len() + message.len() + ENTRY_BYTES;
        if halves.young_bytes + bytes > PROTOBUF_CACHE_BYTES_MAX / 2 {
            halves.old = std::mem::take(&mut halves.young);
            halves.young_bytes = 0;
        }
        if halves.young.insert(id, message.clone()).is_none() {
            halves.young_bytes += bytes;
        }
        Ok(message)
    }
}
