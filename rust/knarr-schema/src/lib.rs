//! Compiled declarations of kinds: defaults, rules, admission, patches, ownership, tables.
//!
//! A kind is declared in Python (`knarr.declare`), written as one JSON document ([`doc::KindDoc`]; docs/kinds.md describes it) and
//! compiled here, at start or while the server runs, into a [`CompiledKind`]: trees of nodes that are run against values. Everything
//! is a pure function of its arguments; random suffixes and the time are given in.
//!
//! Knows: types (by the table of knarr-value), defaults, rules, admission plugins that are declared, field ownership, tables.
//! Never knows: HTTP, stores, users' connections, Python (a hook is only a bit that machinery acts upon).
//!
//! Start reading at [`compiled`], then [`rules`].

pub mod admission;
pub mod compiled;
pub mod decode;
pub mod defaults;
pub mod doc;
pub mod error;
pub mod formats;
pub mod ownership;
pub mod patch;
pub mod path;
pub mod prepare;
pub mod rules;
pub mod table;
pub mod warnings;

pub use admission::{AdmissionRequest, Denied, Read, Reads};
pub use compiled::{CompiledKind, HookSteps, Subresource, SubresourceInfo};
pub use decode::{DecodeError, Decoded};
pub use doc::{ColumnDoc, KindDoc};
pub use error::{CompileError, FieldError, Reason};
