//! Projected, indexed caches that controllers and agents read.
//!
//! Knows: JSON text of lists and watch events as a server sends them, field paths, owners, labels, selectors. Never knows: HTTP,
//! Python, a particular kind, a clock.
//!
//! ```text
//!   bytes of LIST / WATCH --> Projection::parse_* --> Batch (ranges into the bytes, nothing copied)   no lock held
//!                                                       |
//!   View::apply <---------------------------------------+    interned, indexed; changed keys go to the subscriptions
//!     |  get, by_uid, owned_by, in_namespace, selected, with_field --> Record (one atom per declared field)
//!     +-> take(subscription) --> keys, each once
//! ```
//!
//! A field is kept as the interned JSON text at its path. Pods of one ReplicaSet share the text of their labels, owners, phase,
//! node and images, so a projected pod costs its name, its uid, four bytes a field and its index entries: about 300 bytes
//! (`examples/memory.rs` measures it). Start reading at `view.rs`.

mod path;
mod pool;
mod record;
pub mod scan;
mod selector;
mod subscription;
mod view;

pub use path::{Batch, Change, Draft, Kind, Page, Projection};
pub use pool::{Atom, Labels, Owner, Pool};
pub use record::{Record, Uid};
pub use selector::Selector;
pub use subscription::{Mapping, SubscriptionId};
pub use view::View;

/// What can be wrong with a declaration or with bytes from a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A declared path is not one: the path, and why.
    Path { path: String, why: &'static str },
    /// The text is not JSON in the expected shape. offset: bytes into the fed text.
    Json { offset: usize, why: &'static str },
    /// A watch answered with an ERROR event; the JSON text of its Status.
    Status(Box<str>),
    /// An object without the metadata every object has.
    Metadata { missing: &'static str },
    /// An index was asked for a field that is not indexed.
    NotIndexed { field: String },
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path { path, why } => write!(f, "{path:?} is not a field path: {why}"),
            Self::Json { offset, why } => write!(f, "not the JSON of a list or watch at byte {offset}: {why}"),
            Self::Status(status) => write!(f, "the watch ended with {status}"),
            Self::Metadata { missing } => write!(f, "an object has no metadata.{missing}"),
            Self::NotIndexed { field } => write!(f, "{field:?} is not indexed"),
        }
    }
}

impl std::error::Error for Error {}
