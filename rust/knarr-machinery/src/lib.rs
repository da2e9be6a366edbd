//! Verbs on objects: from a decoded request to one store transaction and an encoded answer.
//!
//! A write is: decode -> default -> field ownership -> declared admission -> hooks -> prepare -> validate -> one transaction that
//! compares the object's revision and everything else the decision read -> encode. A read is: find stored bytes, put the
//! revision into their hole, answer; nothing is parsed unless another form is asked for.
//!
//! Knows: objects, compiled kinds, the trait Store, the hub, every encoding of an answer, every error's words ([`status`]).
//! Never knows: HTTP (a gateway turns requests into [`Request`]), disks, threads, runtimes, Python (hooks are a trait). Pure: the
//! clock and the generator of random bits are given; its futures run on any executor.
//!
//! Start reading at [`machinery`], then `create`, the longest way through.

mod allocate;
mod answer;
mod bind;
mod body;
mod commit;
mod create;
mod delete;
mod encoders;
mod expiry;
pub mod hooks;
mod list;
pub mod machinery;
mod messages;
mod meta;
mod parsed;
mod patch;
mod pieces;
mod proto;
pub mod registry;
pub mod request;
mod scale;
pub mod status;
mod subresource;
mod table;
mod token;
mod update;
mod watch;

pub use bind::Binding;
pub use hooks::{Guard, HookAnswer, HookCall, Hooks, NoHooks};
pub use machinery::{Machinery, Parts, Settings};
pub use registry::{KindEntry, Registry};
pub use request::{Accept, Api, Encoding, FieldValidation, Form, Options, Preconditions, Request, Response, Verb};
pub use status::{Cause, Details, Resource, Status};
