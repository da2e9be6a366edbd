//! Events and their frames: what a change looks like to a watcher, and the bytes it becomes, made once per encoding.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use knarr_base::Revision;
use knarr_store::Record;

/// What a change is to one watcher. The same change may be `Added` to a watcher whose selection the object enters,
/// `Modified` to one that saw it before and `Deleted` to one whose selection it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Added,
    Modified,
    Deleted,
    /// No object: everything up to `revision` was delivered.
    Bookmark,
    /// As `Bookmark`, with the annotation `k8s.io/initial-events-end`.
    InitialEventsEnd,
    /// The watcher fell behind what history holds: a Status 410. `revision` is what it needed, `oldest` what there is.
    Expired,
}

/// What an encoder is given.
#[derive(Clone, Copy, Debug)]
pub struct HubEvent<'a> {
    pub kind: Kind,
    /// The store key; empty for `Bookmark` and its like.
    pub key: &'a [u8],
    pub record: Option<&'a Arc<Record>>,
    pub previous: Option<&'a Arc<Record>>,
    /// The change's revision: the resourceVersion to answer, for a deletion too.
    pub revision: Revision,
    /// `Expired` only.
    pub oldest: Revision,
}

impl<'a> HubEvent<'a> {
    /// The object to show: the last state for `Deleted` (as kube-apiserver's cacher: the state *before* the change, also when
    /// the object only left the selection), the new one otherwise.
    pub fn object(&self) -> Option<&'a Arc<Record>> {
        if self.kind == Kind::Deleted { self.previous.or(self.record) } else { self.record }
    }
}

/// Makes one event's frame. Pure; called at most once per (event, kind, encoding).
pub type Encoder = Arc<dyn Fn(&HubEvent<'_>) -> Bytes + Send + Sync>;

/// An encoding of one resource, as given by `Hub::encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EncodingId(pub(crate) u16);

/// A change in the ring, with the frames made of it so far.
#[derive(Debug)]
pub(crate) struct Entry {
    pub revision: Revision,
    pub key: Bytes,
    pub record: Option<Arc<Record>>,
    pub previous: Option<Arc<Record>>,
    /// Nanoseconds of the hub's clock when it arrived.
    pub at: u64,
    frames: OnceLock<Box<Frame>>,
}

/// One frame in a list that only grows. Reading takes no lock: under 1,000 watchers an event is read 1,000 times and made
/// once, and most resources have one or two encodings in use.
#[derive(Debug)]
struct Frame {
    encoding: EncodingId,
    kind: Kind,
    bytes: Bytes,
    next: OnceLock<Box<Frame>>,
}

impl Entry {
    pub fn new(
        revision: Revision,
        key: Bytes,
        record: Option<Arc<Record>>,
        previous: Option<Arc<Record>>,
        at: u64,
    ) -> Self {
        Self { revision, key, record, previous, at, frames: OnceLock::new() }
    }

    /// The bytes this entry keeps alive, as far as they are known when it arrives. A frame is about as long as its object.
    pub fn weight(&self) -> usize {
        let size = |record: &Option<Arc<Record>>| record.as_ref().map_or(0, |record| record.value.len());
        size(&self.record) * 2 + size(&self.previous) + self.key.len() + size_of::<Self>()
    }

    /// The frame of this change for one encoding, made on first demand.
    pub fn frame(&self, kind: Kind, encoding: EncodingId, encoder: &Encoder) -> Bytes {
        let mut cell = &self.frames;
        loop {
            // `get_or_init` blocks a second caller until the first has encoded: never twice.
            let frame = cell.get_or_init(|| {
                let event = HubEvent {
                    kind,
                    key: &self.key,
                    record: self.record.as_ref(),
                    previous: self.previous.as_ref(),
                    revision: self.revision,
                    oldest: Revision(0),
                };
                Box::new(Frame { encoding, kind, bytes: encoder(&event), next: OnceLock::new() })
            });
            if frame.encoding == encoding && frame.kind == kind {
                return frame.bytes.clone();
            }
            cell = &frame.next;
        }
    }
}
