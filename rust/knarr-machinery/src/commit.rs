//! What every write shares: admission and hooks on the way in, one transaction at the end.

use std::sync::Arc;

use bytes::Bytes;
use knarr_base::Revision;
use knarr_schema::admission::Operation;
use knarr_schema::{AdmissionRequest, Denied, FieldError, HookSteps, Read};
use knarr_store::{Cmp, Compare, KeySpace, Op, OpResult, Record, StoreError, Txn};
use knarr_value::{Map, Str, Value, stored};

use crate::body;
use crate::hooks::HookCall;
use crate::machinery::Machinery;
use crate::meta;
use crate::registry::KindEntry;
use crate::request::{Request, Verb};
use crate::status::{Cause, Status};

/// Times a write is tried again because what it had read changed, before the client is asked to (apiserver's patch: 5).
pub(crate) const TRIES: usize = 5;

/// What a decision has read, as the transaction compares it: key and revision, 0 for an absent one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads(pub Vec<(Bytes, Revision)>);

/// Extra keys that a write takes or gives back (allocations).
#[derive(Clone, Debug, Default)]
pub(crate) struct Extra {
    pub compare: Vec<Compare>,
    pub ops: Vec<Op>,
}

/// How a transaction ended.
pub(crate) enum Committed {
    Done(Revision),
    /// The object is not what it was taken for; here is what it is.
    Changed(Option<Arc<Record>>),
    /// The object is, but something else that the decision read is not.
    Stale,
    /// The store takes no value of this size; nothing has been written.
    TooLarge,
}

impl Machinery {
    /// Puts (or, with `value` None, deletes) an object, if it and everything read is as it was.
    pub(crate) async fn commit(
        &self,
        key: &Bytes,
        expected: Revision,
        value: Option<Bytes>,
        reads: &Reads,
        extra: Extra,
    ) -> Result<Committed, Status> {
        let same =
            |key: &Bytes, revision: Revision| Compare::ModRevision { key: key.clone(), op: Cmp::Equal, revision };
        let mut compare = Vec::with_capacity(1 + reads.0.len() + extra.compare.len());
        compare.push(same(key, expected));
        compare.extend(reads.0.iter().map(|(key, revision)| same(key, *revision)));
        compare.extend(extra.compare);
        let mut then = Vec::with_capacity(1 + extra.ops.len());
        then.push(match value {
            Some(value) => Op::Put { key: key.clone(), value, lease: 0 },
            None => Op::Delete { from: key.clone(), to: None },
        });
        then.extend(extra.ops);
        let otherwise = vec![Op::Range { from: key.clone(), to: None, limit: 1 }];
        let outcome = match self.store.txn(Txn { space: KeySpace::Cluster, compare, then, otherwise }).await {
            Err(StoreError::TooLarge { .. }) => return Ok(Committed::TooLarge),
            outcome => outcome.map_err(|error| self.store_status(&error))?,
        };
        if outcome.succeeded {
            return Ok(Committed::Done(outcome.revision));
        }
        let current = match outcome.results.into_iter().next() {
            Some(OpResult::Range(page)) => page.records.into_iter().next().map(|(_, record)| record),
            _ => None,
        };
        let revision = current.as_ref().map_or(Revision(0), |record| record.mod_revision);
        Ok(if revision == expected { Committed::Stale } else { Committed::Changed(current) })
    }

    /// Puts an object, without its managedFields if it is too large with them (finisher of apiserver's create, update and patch):
    /// they are what grows by itself. `stored` is the object's stored form; answers the one that was written.
    pub(crate) async fn put(
        &self,
        entry: &KindEntry,
        key: &Bytes,
        expected: Revision,
        (object, stored): (&mut Value, Bytes),
        reads: &Reads,
        extra: Extra,
    ) -> Result<(Bytes, Committed), Status> {
        let committed = self.commit(key, expected, Some(stored.clone()), reads, extra.clone()).await?;
        if !matches!(committed, Committed::TooLarge) || object.remove_path(&["metadata", "managedFields"]).is_none() {
            return Ok((stored, committed));
        }
        let stored = self.to_stored(entry, object);
        let committed = self.commit(key, expected, Some(stored.clone()), reads, extra).await?;
        Ok((stored, committed))
    }

    /// The stored form of an object. `entry` says which form the value has.
    pub(crate) fn to_stored(&self, entry: &KindEntry, value: &Value) -> Bytes {
        Bytes::from(match &entry.compiled.storage {
            None => stored::of_value(value, &selectable(entry, value)),
            Some(storage) => {
                let renamed: Map = value
                    .as_map()
                    .map(|map| map.iter().map(|(name, field)| (entry.field_to_stored(name), field.clone())).collect())
                    .unwrap_or_default();
                let registry = self.registry();
                match registry.stored(&storage.group, &storage.plural) {
                    Some(stored) => {
                        let value = Value::Map(KindEntry::shaped(&stored.compiled, renamed));
                        stored::of_value(&value, &selectable(stored, &value))
                    }
                    None => stored::of_value(&Value::Map(renamed), &[]),
                }
            }
        })
    }

    /// Runs the declared admission plugins on `value`; adds what they read to `reads`.
    pub(crate) fn admit(
        &self,
        request: &Request,
        operation: Operation,
        value: &mut Value,
        old: Option<&Value>,
        reads: &mut Reads,
    ) -> Result<(), Status> {
        let compiled = &request.kind.compiled;
        let suffix = meta::generated_name(self, "");
        // A Namespace's own namespace is itself, as in Kubernetes.
        let admission = AdmissionRequest {
            operation,
            group: &compiled.group,
            resource: &compiled.plural,
            subresource: &request.subresource,
            namespace: &request.namespace,
            name: &request.name,
            user: &request.user,
            old,
            suffix: &suffix,
        };
        let wanted = compiled.admission_reads(&admission, value);
        let mut found: Vec<(Read, Option<Arc<Value>>)> = Vec::with_capacity(wanted.len());
        let registry = self.registry();
        for read in wanted {
            let Some(entry) = registry.stored(&read.group, &read.resource) else {
                found.push((read, None));
                continue;
            };
            let key = entry.key(&read.namespace, &read.name);
            let record = self.get_record(&key)?;
            let object = record.as_ref().map(|record| self.parsed.get(entry, &key, record)).transpose()?;
            reads.0.push((key, record.map_or(Revision(0), |record| record.mod_revision)));
            found.push((read, object));
        }
        compiled.admit(&admission, value, &found).map_err(denied)
    }

    /// Asks the hook of a step, if the kind has one. Warnings and a changed object are taken over; errors are answered.
    pub(crate) async fn hook(
        &self,
        request: &Request,
        step: HookSteps,
        operation: Verb,
        value: &mut Value,
        old: Option<&Value>,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<FieldError>, Status> {
        if !request.kind.compiled.hooks.contains(step) {
            return Ok(Vec::new());
        }
        let call = HookCall {
            kind: Arc::clone(&request.kind),
            step,
            operation,
            namespace: request.namespace.clone(),
            name: Str::from(meta::name(value)),
            subresource: request.subresource.clone(),
            user: Arc::clone(&request.user),
            new: value.clone(),
            old: old.cloned(),
            dry_run: !request.options.dry_run.is_empty(),
        };
        let answer = self
            .hooks
            .call(vec![call])
            .await
            .pop()
            .unwrap_or_else(|| Err(Status::internal("a hook gave no answer")))?;
        warnings.extend(answer.warnings);
        if let Some(object) = answer.object {
            // Whatever Python built is brought into the kind's form again: wrong types are its bug, told as such.
            *value = request
                .kind
                .compiled
                .decode(object)
                .map_err(|error| {
                    Status::internal(format_args!(
                        "the hook {} gave no object of its kind: {error}",
                        step.names().join(",")
                    ))
                })?
                .value;
        }
        Ok(answer.errors)
    }
}

fn selectable(entry: &KindEntry, value: &Value) -> Vec<(Str, Str)> {
    let mut fields = entry.compiled.selectable(value);
    fields.retain(|(field, _)| !field.starts_with("metadata."));
    fields
}

pub(crate) fn invalid(entry: &KindEntry, name: &str, errors: &[FieldError]) -> Status {
    let (group, kind) = entry.stored_kind();
    Status::invalid(group, kind, name, body::causes(errors))
}

fn denied(denied: Denied) -> Status {
    let mut status = Status::other(denied.code, denied.reason, denied.message);
    let details = status.details.get_or_insert_default();
    details.name = denied.name.to_string();
    details.group = denied.group.to_string();
    details.kind = denied.resource.to_string();
    details.causes =
        denied.causes.into_iter().map(|(reason, message, field)| Cause { reason, message, field }).collect();
    status
}

/// Whether an object that was asked to go, goes with this update: nothing holds it any more.
pub(crate) fn goes_with_update(entry: &KindEntry, new: &Value, old: &Value) -> bool {
    let free = !meta::has_finalizers(new) && meta::deleting(old) && meta::grace_period(old).unwrap_or(0) == 0;
    free && (!is_namespace(entry)
        || new.path(&["spec", "finalizers"]).and_then(Value::as_list).is_none_or(<[Value]>::is_empty))
}

pub(crate) fn is_namespace(entry: &KindEntry) -> bool {
    entry.compiled.group.is_empty() && entry.compiled.plural == "namespaces"
}

/// Waits for all, side by side: writes that are under way together share an fsync.
pub(crate) async fn join_all<T>(futures: Vec<knarr_base::BoxFuture<T>>) -> Vec<T> {
    let mut slots: Vec<(Option<knarr_base::BoxFuture<T>>, Option<T>)> =
        futures.into_iter().map(|future| (Some(future), None)).collect();
    std::future::poll_fn(move |cx| {
        let mut waiting = false;
        for (future, result) in &mut slots {
            if let Some(running) = future {
                match running.as_mut().poll(cx) {
                    std::task::Poll::Ready(value) => {
                        *result = Some(value);
                        *future = None;
                    }
                    std::task::Poll::Pending => waiting = true,
                }
            }
        }
        if waiting {
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(slots.drain(..).filter_map(|(_, result)| result).collect())
    })
    .await
}
