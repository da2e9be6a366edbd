//! The seam to imperative rules: what no declaration can say is asked of a [`Hooks`], in batches.

use std::sync::Arc;

use knarr_base::{BoxFuture, User};
use knarr_schema::{CompiledKind, FieldError, HookSteps};
use knarr_value::{Str, Value};

use crate::registry::KindEntry;
use crate::request::Verb;
use crate::status::Status;

/// One question to one hook: a pure function of these.
#[derive(Clone, Debug)]
pub struct HookCall {
    pub kind: Arc<KindEntry>,
    /// Exactly one step.
    pub step: HookSteps,
    pub operation: Verb,
    pub namespace: Str,
    pub name: Str,
    pub subresource: Str,
    pub user: Arc<User>,
    pub new: Value,
    pub old: Option<Value>,
    pub dry_run: bool,
}

/// What a hook answers. The steps that prepare or mutate give an object, those that validate give errors; any may warn.
#[derive(Clone, Debug, Default)]
pub struct HookAnswer {
    /// `None`: unchanged.
    pub object: Option<Value>,
    pub errors: Vec<FieldError>,
    pub warnings: Vec<String>,
}

/// Whoever runs hooks. Answers come in the order of the batch; a failure of one call is the failure of that one only.
pub trait Hooks: Send + Sync {
    fn call(&self, batch: Vec<HookCall>) -> BoxFuture<Vec<Result<HookAnswer, Status>>>;
}

/// Who refuses a write whose form is right and whose verb is allowed, for what it would grant: asked last, about the object as it
/// would be stored. It decides from what it holds, at once.
pub trait Guard: Send + Sync {
    fn may_write(&self, user: &User, kind: &CompiledKind, new: &Value, old: Option<&Value>) -> Result<(), Status>;
}

/// No hooks at all: a kind that declares one cannot be served with it.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHooks;

impl Hooks for NoHooks {
    fn call(&self, batch: Vec<HookCall>) -> BoxFuture<Vec<Result<HookAnswer, Status>>> {
        let answers = batch
            .iter()
            .map(|call| {
                Err(Status::internal(format_args!(
                    "{} declares the hook {} and this server runs none",
                    call.kind.compiled.kind,
                    call.step.names().join(", ")
                )))
            })
            .collect();
        Box::pin(std::future::ready(answers))
    }
}
