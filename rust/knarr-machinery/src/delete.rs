//! delete and deletecollection: at once, gracefully (pods), behind finalizers, or (namespaces) by way of a phase.
//!
//! ```text
//!   delete ---> refused (precondition, options)
//!     |-------> gone: nothing holds it                                -> Status Success, or the object for some kinds
//!     |-------> deletionTimestamp, finalizers for the garbage collector -> the object, as it is now
//!     '-------> already going, and nothing new was said               -> the object, as it is
//! ```

use std::sync::Arc;

use bytes::Bytes;
use knarr_base::{Revision, WallTime};
use knarr_schema::FieldError;
use knarr_schema::admission::Operation;
use knarr_schema::doc::Dependents;
use knarr_store::Record;
use knarr_value::Value;

use crate::allocate;
use crate::answer;
use crate::body;
use crate::commit::{self, Committed, Extra, Reads, TRIES};
use crate::list::{self, Selection};
use crate::machinery::Machinery;
use crate::meta;
use crate::request::{Options, Preconditions, Request, Response, Verb};
use crate::status::{Resource, Status};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";
/// 9999-12-31T23:59:59Z, the last second that a deletionTimestamp can say; a grace period may be any number.
const CALENDAR_END: WallTime = WallTime(253_402_300_799_000_000);
/// Objects that one deletecollection deletes side by side.
const SIDE_BY_SIDE: usize = 64;

/// DeleteOptions, checked.
#[derive(Clone, Debug, Default)]
struct DeleteOptions {
    dry_run: bool,
    grace_period_seconds: Option<i64>,
    preconditions: Preconditions,
    orphan_dependents: Option<bool>,
    propagation_policy: Option<String>,
}

pub(crate) async fn delete(machinery: &Machinery, request: &Request) -> Result<Response, Status> {
    let options = options(machinery, request)?;
    let outcome = one(machinery, request, &request.namespace, &request.name, &options).await?;
    let entry = &request.kind;
    if !outcome.gone {
        // 202 tells a client that asked for its dependents to go first that this is going on.
        let code = if options.orphan_dependents == Some(false) { 202 } else { 200 };
        return answer::object(machinery, request, code, &outcome.stored, outcome.revision, Vec::new());
    }
    if returns_object(entry.name()) {
        return answer::object(machinery, request, 200, &outcome.stored, outcome.revision, Vec::new());
    }
    let value = answer::value_of(entry, &outcome.stored, outcome.revision)?;
    let status = Status::deleted(entry.name(), &request.name, meta::text(&value, "uid"));
    Ok(answer::status(&status, request.accept, request.options.pretty, Vec::new()))
}

/// The kinds whose deletion answers the object, as their registries in kube-apiserver say (`ReturnDeletedObject`).
fn returns_object(name: Resource<'_>) -> bool {
    match name.group {
        "" => matches!(
            name.plural,
            "pods"
                | "services"
                | "namespaces"
                | "serviceaccounts"
                | "persistentvolumes"
                | "persistentvolumeclaims"
                | "resourcequotas"
                | "podtemplates"
        ),
        "storage.k8s.io" => true,
        "resource.k8s.io" => true,
        _ => false,
    }
}

/// Reads DeleteOptions: from the body if there is one, else from the query.
fn options(machinery: &Machinery, request: &Request) -> Result<DeleteOptions, Status> {
    let query = &request.options;
    let mut dry_run = query.dry_run.clone();
    let mut options = DeleteOptions {
        dry_run: false,
        grace_period_seconds: query.grace_period_seconds,
        preconditions: query.preconditions.clone().unwrap_or_default(),
        orphan_dependents: query.orphan_dependents,
        propagation_policy: query.propagation_policy.as_ref().map(ToString::to_string),
    };
    if !request.body.is_empty() {
        const TYPE: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
        let body = body::decode_typed(machinery, TYPE, "DeleteOptions", &request.body, &request.content_type)?;
        let text = |path: &[&str]| body.path(path).and_then(Value::as_str).map(Into::into);
        let given = |field: &str| body.get(field).filter(|value| !value.is_null());
        // The body stands for the whole: what it does not say, the query does not add (but a dry run is never lost).
        options.grace_period_seconds = given("gracePeriodSeconds").and_then(Value::as_i64);
        options.orphan_dependents = given("orphanDependents").and_then(Value::as_bool);
        options.propagation_policy = given("propagationPolicy").and_then(Value::as_str).map(str::to_owned);
        options.preconditions = Preconditions {
            uid: text(&["preconditions", "uid"]),
            resource_version: text(&["preconditions", "resourceVersion"]),
        };
        if let Some(given) = given("dryRun").and_then(Value::as_list) {
            dry_run.extend(given.iter().filter_map(Value::as_str).map(Into::into));
        }
    }
    let mut errors = Vec::new();
    if let Some(policy) = &options.propagation_policy {
        if !matches!(policy.as_str(), "Foreground" | "Background" | "Orphan") {
            errors.push(FieldError::not_supported(
                "propagationPolicy",
                policy.as_str(),
                &["Foreground", "Background", "Orphan", "nil"],
            ));
        }
        if options.orphan_dependents.is_some() {
            errors.insert(
                0,
                FieldError::invalid(
                    "propagationPolicy",
                    policy.as_str(),
                    "orphanDependents and deletionPropagation cannot be both set",
                ),
            );
        }
    }
    if !errors.is_empty() {
        return Err(Status::invalid("meta.k8s.io", "DeleteOptions", "", body::causes(&errors)));
    }
    let checked = body::write_options(Verb::Delete, &Options { dry_run, ..Options::default() }, false)?;
    options.dry_run = checked.dry_run;
    Ok(options)
}

/// What became of an object.
struct Outcome {
    /// The object: its last state if it is gone.
    stored: Bytes,
    revision: Revision,
    gone: bool,
}

/// What to do with an object, decided on one state of it.
enum Plan {
    /// Nothing: it is on its way already.
    Leave,
    Remove,
    /// Mark it; and if nothing holds it after that, remove it.
    Mark(Value),
}

async fn one(
    machinery: &Machinery,
    request: &Request,
    namespace: &str,
    name: &str,
    options: &DeleteOptions,
) -> Result<Outcome, Status> {
    let entry = &request.kind;
    let key = entry.key(namespace, name);
    let mut current = machinery.get_record(&key)?;
    for _ in 0..TRIES {
        let record = current.ok_or_else(|| Status::not_found(entry.name(), name))?;
        let old = answer::value(entry, &record)?;
        check_preconditions(request, name, &old, &record, options)?;
        let mut reads = Reads::default();
        // Admission of a deletion looks and refuses; it changes nothing.
        let mut looked_at = old.clone();
        let mut asked = request.clone();
        asked.name = name.into();
        asked.namespace = namespace.into();
        machinery.admit(&asked, Operation::Delete, &mut looked_at, Some(&old), &mut reads)?;
        let (stored, revision) = (record.value.clone(), record.mod_revision);
        let result = match plan(request, &old, options, machinery.clock.wall()) {
            Plan::Leave => return Ok(Outcome { stored, revision, gone: false }),
            Plan::Remove => {
                let outcome = Outcome { stored, revision, gone: true };
                if options.dry_run {
                    return Ok(outcome);
                }
                let extra = allocate::delete(machinery, request, &old).into_extra();
                match machinery.commit(&key, revision, None, &reads, extra).await? {
                    // The answer shows the revision at which it went.
                    Committed::Done(revision) => return Ok(Outcome { revision, ..outcome }),
                    other => other,
                }
            }
            Plan::Mark(mut new) => {
                meta::canonical(&mut new);
                let stored = machinery.to_stored(entry, &new);
                let outcome = Outcome { stored: stored.clone(), revision, gone: false };
                if options.dry_run || stored == record.value {
                    return Ok(outcome);
                }
                match machinery.commit(&key, revision, Some(stored), &reads, Extra::default()).await? {
                    Committed::Done(revision) => return Ok(Outcome { revision, ..outcome }),
                    other => other,
                }
            }
        };
        current = match result {
            Committed::Changed(now) => now,
            Committed::TooLarge => return Err(Status::too_large_for_store()),
            _ => machinery.get_record(&key)?,
        };
    }
    Err(Status::modified(entry.name(), name))
}

fn check_preconditions(
    request: &Request,
    name: &str,
    old: &Value,
    record: &Record,
    options: &DeleteOptions,
) -> Result<(), Status> {
    let compiled = &request.kind.compiled;
    // Kubernetes names the kind, not the resource, in these two (and the resource for namespaces).
    let namespaces = commit::is_namespace(&request.kind);
    let named =
        if namespaces { request.kind.name() } else { Resource { group: &compiled.group, plural: &compiled.kind } };
    let uid = meta::text(old, "uid");
    if let Some(wanted) = options.preconditions.uid.as_deref().filter(|wanted| *wanted != uid) {
        return Err(if namespaces {
            let why = format_args!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid}");
            Status::conflict(named, name, why)
        } else {
            Status::conflict(
                named,
                name,
                format_args!(
                    "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might have \
                     been deleted and then recreated"
                ),
            )
        });
    }
    let revision = record.mod_revision.to_string();
    if let Some(wanted) = options.preconditions.resource_version.as_deref().filter(|wanted| *wanted != revision) {
        return Err(if namespaces {
            let why = format_args!(
                "Precondition failed: ResourceVersion in precondition: {wanted}, ResourceVersion in object meta: {revision}"
            );
            Status::conflict(named, name, why)
        } else {
            Status::conflict(
                named,
                name,
                format_args!(
                    "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record \
                     ({revision}). The object might have been modified"
                ),
            )
        });
    }
    Ok(())
}

fn plan(request: &Request, old: &Value, options: &DeleteOptions, now: WallTime) -> Plan {
    let entry = &request.kind;
    if commit::is_namespace(entry) {
        return plan_namespace(old, options, now);
    }
    let mut new = old.clone();
    let mut graceful = None;
    if entry.compiled.graceful {
        match grace(old, options, now) {
            Grace::Pending => return Plan::Leave,
            Grace::None => {}
            Grace::Period { seconds, until } => {
                meta::set(&mut new, "deletionTimestamp", meta::timestamp(until));
                meta::set(&mut new, "deletionGracePeriodSeconds", seconds);
                let generation = meta::generation(old);
                if !meta::deleting(old) && generation > 0 {
                    meta::set(&mut new, "generation", generation + 1);
                }
                graceful = Some(seconds);
            }
        }
    }
    let finalizers = collector_finalizers(entry, old, options);
    if let Some(finalizers) = &finalizers {
        set_finalizers(&mut new, finalizers);
    }
    let held = meta::has_finalizers(&new);
    if graceful.is_some_and(|seconds| seconds > 0) || (graceful.is_some() && held) {
        return Plan::Mark(new);
    }
    if !held {
        return Plan::Remove;
    }
    if meta::deleting(old) && finalizers.is_none() && meta::grace_period(old) == Some(0) {
        return Plan::Leave;
    }
    let generation = meta::generation(&new);
    if !meta::deleting(old) && generation > 0 {
        meta::set(&mut new, "generation", generation + 1);
    }
    if !meta::deleting(old) || meta::text(old, "deletionTimestamp") > meta::timestamp(now).as_str() {
        meta::set(&mut new, "deletionTimestamp", meta::timestamp(now));
    }
    meta::set(&mut new, "deletionGracePeriodSeconds", 0);
    Plan::Mark(new)
}

enum Grace {
    /// No grace: the deletion was due already.
    None,
    /// It is going, and was not told to go sooner.
    Pending,
    Period {
        seconds: i64,
        until: WallTime,
    },
}

/// rest.BeforeDelete and the pod strategy's CheckGracefulDelete.
fn grace(old: &Value, options: &DeleteOptions, now: WallTime) -> Grace {
    let asked = options.grace_period_seconds.map(|seconds| if seconds < 0 { 1 } else { seconds });
    let after = |at: WallTime, seconds: i64| {
        WallTime(at.0.saturating_add(seconds.saturating_mul(1_000_000)).min(CALENDAR_END.0))
    };
    if meta::deleting(old) {
        let Some(running) = meta::grace_period(old).filter(|seconds| *seconds != 0) else { return Grace::None };
        let Some(seconds) = asked.filter(|seconds| *seconds < running) else { return Grace::Pending };
        // The deadline moves by the difference; never into the past.
        let due = knarr_value::time::Timestamp::parse(meta::text(old, "deletionTimestamp"))
            .map_or(now.0, |at| at.seconds * 1_000_000);
        let until = after(WallTime(due), seconds - running);
        if until < now {
            return Grace::Period { seconds: if seconds == 0 { 0 } else { 1 }, until: now };
        }
        return Grace::Period { seconds, until };
    }
    let mut seconds = asked
        .unwrap_or_else(|| old.path(&["spec", "terminationGracePeriodSeconds"]).and_then(Value::as_i64).unwrap_or(0));
    let unscheduled = old.str_at(&["spec", "nodeName"]).is_empty();
    let ended = matches!(old.str_at(&["status", "phase"]), "Failed" | "Succeeded");
    if unscheduled || ended {
        seconds = 0;
    }
    if seconds < 0 {
        seconds = 1;
    }
    Grace::Period { seconds, until: after(now, seconds) }
}

/// The finalizers with which the garbage collector is told what to do with dependents; `None` if they stay as they are.
fn collector_finalizers(entry: &crate::KindEntry, old: &Value, options: &DeleteOptions) -> Option<Vec<String>> {
    let policy = entry.compiled.dependents;
    let has = |finalizer: &str| meta::finalizers(old).any(|one| one == finalizer);
    let (orphan, foreground) = match (options.orphan_dependents, options.propagation_policy.as_deref()) {
        _ if policy == Dependents::None => (false, false),
        (Some(orphan), _) => (orphan, false),
        (None, Some(policy)) => (policy == "Orphan", policy == "Foreground"),
        // A finalizer that the object has says more than its kind.
        (None, None) if has(ORPHAN) || has(FOREGROUND) => (has(ORPHAN), !has(ORPHAN)),
        (None, None) => (policy == Dependents::Orphan, false),
    };
    let before: Vec<&str> = meta::finalizers(old).collect();
    let mut after: Vec<String> =
        before.iter().filter(|one| **one != ORPHAN && **one != FOREGROUND).map(|one| (*one).to_owned()).collect();
    if orphan {
        after.push(ORPHAN.to_owned());
    }
    if foreground {
        after.push(FOREGROUND.to_owned());
    }
    let same = before.len() == after.len() && before.iter().all(|one| after.iter().any(|other| other == one));
    (!same).then_some(after)
}

fn set_finalizers(value: &mut Value, finalizers: &[String]) {
    if finalizers.is_empty() {
        meta::remove(value, "finalizers");
    } else {
        let list: Value = finalizers.iter().map(String::as_str).collect();
        meta::set(value, "finalizers", list);
    }
}

/// A namespace first becomes Terminating; it goes when its finalizers (`spec.finalizers` too) have been removed.
fn plan_namespace(old: &Value, options: &DeleteOptions, now: WallTime) -> Plan {
    if meta::deleting(old) {
        let held = old.path(&["spec", "finalizers"]).and_then(Value::as_list).is_some_and(|list| !list.is_empty());
        return if held || meta::has_finalizers(old) { Plan::Leave } else { Plan::Remove };
    }
    let mut new = old.clone();
    meta::set(&mut new, "deletionTimestamp", meta::timestamp(now));
    new.set_path(&["status", "phase"], "Terminating");
    let wants = |finalizer: &str, policy: &str| match (options.orphan_dependents, options.propagation_policy.as_deref())
    {
        (Some(orphan), _) => orphan == (finalizer == ORPHAN) && finalizer == ORPHAN,
        (None, Some(given)) => given == policy,
        (None, None) => meta::finalizers(old).any(|one| one == finalizer),
    };
    let mut finalizers: Vec<String> =
        meta::finalizers(old).filter(|one| *one != ORPHAN && *one != FOREGROUND).map(str::to_owned).collect();
    for (finalizer, policy) in [(ORPHAN, "Orphan"), (FOREGROUND, "Foreground")] {
        if wants(finalizer, policy) {
            finalizers.push(finalizer.to_owned());
        }
    }
    set_finalizers(&mut new, &finalizers);
    Plan::Mark(new)
}

/// Deletes what a list selects, some side by side. Not atomic, as in Kubernetes; the answer is the list as it was.
pub(crate) async fn collection(machinery: &Machinery, request: &Request) -> Result<Response, Status> {
    list::check_options(&request.options, false)?;
    let selection = Selection::parse(request)?;
    let options = options(machinery, request)?;
    let listed = list::find(machinery, request, &selection).await?;
    for some in listed.records.chunks(SIDE_BY_SIDE) {
        let deletions: Vec<_> = some
            .iter()
            .map(|(key, record)| {
                let (namespace, name) = request.kind.split_key(key);
                delete_listed(machinery, request, namespace, name, record, &options)
            })
            .collect();
        for result in join(deletions).await {
            result?;
        }
    }
    answer::list(machinery, request, &listed.records, &listed.meta)
}

async fn delete_listed(
    machinery: &Machinery,
    request: &Request,
    namespace: &str,
    name: &str,
    _listed: &Arc<Record>,
    options: &DeleteOptions,
) -> Result<(), Status> {
    match one(machinery, request, namespace, name, options).await {
        Ok(_) => Ok(()),
        // Somebody else deleted it: that is what was asked for.
        Err(status) if status.reason == "NotFound" => Ok(()),
        Err(status) => Err(status),
    }
}

/// As `commit::join_all`, for futures that borrow.
async fn join<F: Future<Output = T>, T>(futures: Vec<F>) -> Vec<T> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (Some(Box::pin(future)), None)).collect();
    std::future::poll_fn(move |cx| {
        for (future, result) in &mut running {
            if let Some(one) = future
                && let std::task::Poll::Ready(value) = one.as_mut().poll(cx)
            {
                *result = Some(value);
                *future = None;
            }
        }
        if running.iter().any(|(future, _)| future.is_some()) {
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(running.drain(..).filter_map(|(_, result)| result).collect())
    })
    .await
}
