//! Newtypes, limits and the seams to the outside world.
//!
//! Knows: ids and positions as types of their own ([`Revision`], [`Term`], [`LogIndex`], [`MemberId`]), every bound of the system
//! with its reason ([`limits`]), and the traits through which a pure core reaches a clock, randomness, a disk and a network. Never
//! knows: a socket, a file, a thread, Kubernetes. Start reading at [`disk`]: it says what a core may believe about storage, and
//! the simulator takes it at its word.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

pub mod clock;
pub mod disk;
pub mod fault;
pub mod limits;
pub mod marks;
pub mod net;
pub mod rng;

pub use clock::{Clock, Instant, WallTime};
pub use disk::{Disk, DiskError, DiskErrorKind, File};
pub use net::Net;
pub use rng::{Rng, SeededRng};

/// A future that can be handed from crate to crate.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

macro_rules! position {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

position! {
    /// A state of one key space: 1 is the empty space, each transaction that changes something makes the next.
    Revision
}
position! {
    /// A term of Raft: at most one leader each.
    Term
}
position! {
    /// A position in Raft's log: 1 is the first entry.
    LogIndex
}
position! {
    /// A member of the Raft group (a node runs pods; a member is in Raft).
    MemberId
}

impl Revision {
    /// The revision after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Whom a request speaks for, as authentication found it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct User {
    /// User name, e.g. `system:node:a`.
    pub name: String,
    /// Unique id; empty when the authenticator has none.
    pub uid: String,
    /// Groups, `system:authenticated` among them.
    pub groups: Vec<String>,
    /// Further attributes, key to values.
    pub extra: Vec<(String, Vec<String>)>,
}
