//! The watch hub.
//!
//! Everything that watches a cluster hangs here: [`Hub`] takes the store's changes in order and keeps, for each resource, a
//! bounded ring of them; a [`Watcher`] is a cursor into it. An event is encoded once per encoding and shared; a change finds
//! the watchers it concerns by index; an idle watch costs a few hundred bytes and no task, timer or buffer.
//!
//! Knows: keys, revisions, the header of stored objects, selectors. Never knows: kinds, encodings (they are functions given to
//! it), HTTP, threads, timers (somebody calls [`Hub::tick`] once a second). Pure: it reads the clock that it is given.
//!
//! The promise (invariant 2 of the design): to each watcher every event that concerns its selection, once, in revision order,
//! also across a reconnect from a revision it was told, or a 410. A watcher that reads slowly loses nothing: it is resumed from
//! the ring, then from the store's history. Writers keep the one rule this rests on: a transaction changes at most one
//! object of a resource, since a client that resumes from a revision says it has seen all of it.
//!
//! Start reading at [`hub`], then `watcher`.

mod class;
mod event;
mod hub;
mod ring;
mod watcher;

pub use event::{Encoder, EncodingId, HubEvent, Kind};
pub use hub::{Hub, Limits, ResourceId};
pub use watcher::{Initial, WatchItem, WatchSpec, Watcher};
