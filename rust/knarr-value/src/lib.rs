//! The value every object is while it is worked on, and what reads and writes it.
//!
//! Knows: [`Value`] and [`Map`], the codecs JSON, YAML and protobuf, Kubernetes' quantities and times, label and field selectors,
//! the types table that drives protobuf and canonical order, and the stored form of an object (header + JSON with a hole).
//! Never knows: kinds, defaults, validation, verbs, HTTP, disks, clocks. No kind is named in this crate: what is special about a
//! type stands in the table that is given to it. Pure: same input, same output.
//!
//! Start reading at [`value`](Value), then [`json`], then [`types`] and [`protobuf`].

#![forbid(unsafe_code)]

mod error;
pub mod json;
mod map;
pub mod protobuf;
pub mod quantity;
pub mod selector;
pub mod stored;
pub mod time;
pub mod types;
mod value;
pub mod yaml;

pub use error::{Error, quote};
pub use json::Parsed;
pub use map::Map;
pub use quantity::Quantity;
pub use selector::{FieldSelector, LabelSelector};
pub use types::{Field, Shape, Type, TypeId, TypeTable};
pub use value::Value;

/// The string of keys and values: up to 24 bytes are kept in place, as most Kubernetes keys and many values are.
pub type Str = compact_str::CompactString;

pub type Result<T> = std::result::Result<T, Error>;
