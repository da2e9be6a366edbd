//! update, and what patch and apply have in common with it: a new state of an object that exists, decided on the stored one and
//! written only if that is still the stored one.

use std::sync::Arc;

use bytes::Bytes;
use knarr_base::Revision;
use knarr_schema::admission::Operation;
use knarr_schema::ownership::{self, Manager};
use knarr_schema::{FieldError, HookSteps, Subresource};
use knarr_store::Record;
use knarr_value::Value;

use crate::allocate;
use crate::answer;
use crate::body::{self, WriteOptions};
use crate::commit::{self, Committed, Reads, TRIES, invalid};
use crate::create;
use crate::machinery::Machinery;
use crate::meta;
use crate::patch::Patch;
use crate::request::{Request, Response, Verb};
use crate::status::{Cause, Status};

/// The new state of an object, as a function of the stored one.
pub(crate) type Change = Box<dyn Fn(&Value) -> Result<Value, Status> + Send + Sync>;

/// Where the new state comes from.
pub(crate) enum Source {
    /// The body of an update: decoded and defaulted.
    Body(Value),
    Patch(Patch),
    /// A subresource that is a view (scale): the change it makes to the object, and to who owns what. The function may refuse.
    Applied(Change),
}

pub(crate) async fn update(machinery: &Machinery, request: &Request) -> Result<Response, Status> {
    let options = body::write_options(Verb::Update, &request.options, false)?;
    let entry = &request.kind;
    let object = body::decode(machinery, entry, &request.body, &request.content_type, options.validation)?;
    let mut value = object.value;
    entry.compiled.default(&mut value);
    meta::ensure_namespace(entry, &request.namespace, &mut value)?;
    meta::check_name(&value, &request.name)?;
    let mut warnings = object.warnings;
    warnings.extend(meta::dedup_owners(&mut value));
    let written = write(machinery, request, &Source::Body(value), options, &mut warnings).await?;
    let code = if written.created { 201 } else { 200 };
    answer::written(machinery, request, code, (&written.stored, written.value), written.revision, warnings)
}

/// An object as it is after a write.
pub(crate) struct Written {
    pub stored: Bytes,
    /// What `stored` was made of, where it was made.
    pub value: Option<Value>,
    pub revision: Revision,
    pub created: bool,
}

impl Written {
    fn unchanged(record: &Record) -> Self {
        Self { stored: record.value.clone(), value: None, revision: record.mod_revision, created: false }
    }
}

/// Writes a new state, again and again until what it was decided on is what is stored. A state that names its revision is tried
/// once: its conflict is the client's.
pub(crate) async fn write(
    machinery: &Machinery,
    request: &Request,
    source: &Source,
    options: WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<Written, Status> {
    let entry = &request.kind;
    let key = entry.key(&request.namespace, &request.name);
    let said = warnings.len();
    let mut current = machinery.get_record(&key)?;
    for _ in 0..TRIES {
        warnings.truncate(said);
        let Some(record) = current else {
            match create_instead(machinery, request, source, options, warnings).await {
                // Somebody was faster: then it is an update after all.
                Err(status) if status.reason == "AlreadyExists" && !options.dry_run => {
                    current = machinery.get_record(&key)?;
                    continue;
                }
                result => return result,
            }
        };
        match attempt(machinery, request, source, options, &record, warnings).await? {
            Attempt::Written(written) => return Ok(written),
            Attempt::Changed(now) => current = now,
            Attempt::Stale => current = machinery.get_record(&key)?,
        }
    }
    Err(Status::modified(entry.name(), &request.name))
}

async fn create_instead(
    machinery: &Machinery,
    request: &Request,
    source: &Source,
    options: WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<Written, Status> {
    let entry = &request.kind;
    let missing = || Status::not_found(entry.name(), &request.name);
    if !request.subresource.is_empty() {
        return Err(missing());
    }
    let mut value = match source {
        Source::Body(value) if entry.compiled.create_on_update => {
            let uid = meta::text(value, "uid");
            if !uid.is_empty() {
                return Err(uid_mismatch(request, uid, ""));
            }
            let mut value = value.clone();
            meta::wipe_system_fields(&mut value);
            let manager = Manager::new(request.options.manager(), "", entry.api_version.clone());
            let (types, id) = (&entry.compiled.types, entry.compiled.type_id);
            ownership::update(types, id, None, value, &manager, machinery.clock.wall())
        }
        Source::Patch(patch) if patch.is_apply() => {
            let mut value = patch.applied(machinery, request, &Value::default(), options, warnings)?;
            meta::ensure_namespace(entry, &request.namespace, &mut value)?;
            meta::check_name(&value, &request.name)?;
            let uid = meta::text(&value, "uid");
            if !uid.is_empty() {
                return Err(Status::conflict(
                    entry.name(),
                    &request.name,
                    format_args!(
                        "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                    ),
                ));
            }
            value
        }
        _ => return Err(missing()),
    };
    meta::remove(&mut value, "resourceVersion");
    let created = create::store_new(machinery, request, value, options.dry_run, warnings).await?;
    Ok(Written { stored: created.stored, value: Some(created.value), revision: created.revision, created: true })
}

enum Attempt {
    Written(Written),
    Changed(Option<Arc<Record>>),
    Stale,
}

async fn attempt(
    machinery: &Machinery,
    request: &Request,
    source: &Source,
    options: WriteOptions,
    record: &Record,
    warnings: &mut Vec<String>,
) -> Result<Attempt, Status> {
    let entry = &request.kind;
    let compiled = &entry.compiled;
    let old = answer::value(entry, record)?;
    let (mut new, owned) = match source {
        Source::Body(value) => (value.clone(), false),
        Source::Patch(patch) if patch.is_apply() => (patch.applied(machinery, request, &old, options, warnings)?, true),
        Source::Patch(patch) => (patch.patched(machinery, request, &old, options, warnings)?, false),
        Source::Applied(change) => (change(&old)?, true),
    };
    if matches!(source, Source::Patch(_)) {
        meta::ensure_namespace(entry, &request.namespace, &mut new)?;
        meta::check_name(&new, &request.name)?;
        warnings.extend(meta::dedup_owners(&mut new));
    }
    check_identity(request, source, &mut new, &old, record)?;
    keep_system_fields(request, &mut new, &old)?;
    if !owned {
        let manager = Manager::new(request.options.manager(), request.subresource.clone(), entry.api_version.clone());
        new = ownership::update(&compiled.types, compiled.type_id, Some(&old), new, &manager, machinery.clock.wall());
    }
    let mut reads = Reads::default();
    machinery.admit(request, Operation::Update, &mut new, Some(&old), &mut reads)?;
    let mut errors = machinery.hook(request, HookSteps::MUTATE, Verb::Update, &mut new, Some(&old), warnings).await?;
    warnings.extend(meta::dedup_owners(&mut new));
    let subresource = Subresource::from_name(&request.subresource);
    // The one door through which a namespace's own finalizers change; an ordinary update keeps them.
    let finalizes = (request.subresource == "finalize").then(|| new.path(&["spec", "finalizers"]).cloned());
    compiled.prepare_update(&mut new, &old, subresource.clone());
    match finalizes {
        Some(Some(finalizers)) if !finalizers.is_empty() => new.set_path(&["spec", "finalizers"], finalizers),
        Some(_) => drop(new.remove_path(&["spec", "finalizers"])),
        None => {}
    }
    errors.extend(
        machinery.hook(request, HookSteps::PREPARE_UPDATE, Verb::Update, &mut new, Some(&old), warnings).await?,
    );
    let allocation = allocate::update(machinery, request, &mut new, &old)?;
    ownership::keep_times_if_same(&old, &mut new);
    validate(machinery, request, &mut new, &old, subresource, errors, warnings).await?;
    meta::canonical(&mut new);
    let key = entry.key(&request.namespace, &request.name);
    if commit::goes_with_update(entry, &new, &old) {
        // The client is answered the state it wrote, at the revision it was written on; what is stored is a deletion.
        let stored = machinery.to_stored(entry, &new);
        let released = allocate::delete(machinery, request, &new);
        let written = Written { stored, value: Some(new), revision: record.mod_revision, created: false };
        if options.dry_run {
            return Ok(Attempt::Written(written));
        }
        let done = machinery.commit(&key, record.mod_revision, None, &reads, released.into_extra()).await?;
        return Ok(match done {
            Committed::Done(_) => Attempt::Written(written),
            Committed::Changed(now) => Attempt::Changed(now),
            Committed::Stale => Attempt::Stale,
            Committed::TooLarge => return Err(Status::too_large_for_store()),
        });
    }
    let stored = machinery.to_stored(entry, &new);
    if stored == record.value {
        return Ok(Attempt::Written(Written::unchanged(record)));
    }
    if options.dry_run {
        return Ok(Attempt::Written(Written {
            stored,
            value: Some(new),
            revision: record.mod_revision,
            created: false,
        }));
    }
    let (stored, committed) =
        machinery.put(entry, &key, record.mod_revision, (&mut new, stored), &reads, allocation.into_extra()).await?;
    Ok(match committed {
        Committed::Done(revision) => Attempt::Written(Written { stored, value: Some(new), revision, created: false }),
        Committed::Changed(now) => Attempt::Changed(now),
        Committed::Stale => Attempt::Stale,
        Committed::TooLarge => return Err(Status::too_large_for_store()),
    })
}

/// The new state must mean the stored object: its uid and revision, where it names them.
fn check_identity(
    request: &Request,
    source: &Source,
    new: &mut Value,
    old: &Value,
    record: &Record,
) -> Result<(), Status> {
    let entry = &request.kind;
    let uid = meta::text(new, "uid");
    let stored_uid = meta::text(old, "uid");
    if !uid.is_empty() && uid != stored_uid {
        // An update says by its uid which object it means; a patch is a change of the one that is there.
        if matches!(source, Source::Patch(_)) {
            let error = FieldError::invalid("metadata.uid", uid, "field is immutable");
            return Err(invalid(entry, &request.name, &[error]));
        }
        return Err(uid_mismatch(request, uid, stored_uid));
    }
    let given = meta::text(new, "resourceVersion");
    let revision: u64 = if given.is_empty() {
        0
    } else {
        given.parse().map_err(|_| {
            let quoted = knarr_schema::error::quote(given);
            Status::plain_internal(format!("strconv.ParseUint: parsing {quoted}: invalid syntax"))
        })?
    };
    if revision == 0 {
        if !entry.compiled.unconditional_update {
            let name = entry.name();
            let cause = Cause {
                reason: "FieldValueInvalid".to_owned(),
                message: "Invalid value: 0: must be specified for an update".to_owned(),
                field: "metadata.resourceVersion".to_owned(),
            };
            return Err(Status::invalid(name.group, name.plural, &request.name, vec![cause]));
        }
    } else if revision != record.mod_revision.0 {
        return Err(Status::modified(entry.name(), &request.name));
    }
    meta::set(new, "resourceVersion", record.mod_revision.0.to_string());
    Ok(())
}

fn uid_mismatch(request: &Request, given: &str, stored: &str) -> Status {
    let compiled = &request.kind.compiled;
    let namespace = if request.namespace.is_empty() { String::new() } else { format!("{}/", request.namespace) };
    Status::conflict(
        request.kind.name(),
        &request.name,
        format_args!(
            "StorageError: invalid object, Code: 4, Key: /registry/{}/{namespace}{}, ResourceVersion: 0, \
             AdditionalErrorMsg: Precondition failed: UID in precondition: {given}, UID in object meta: {stored}",
            compiled.plural, request.name
        ),
    )
}

/// What an update cannot change: uid, creation, and whether a deletion has been asked for. The generation is prepare's.
/// Errors: 422 for another time or grace period of a deletion than the object has; to leave them out changes nothing.
fn keep_system_fields(request: &Request, new: &mut Value, old: &Value) -> Result<(), Status> {
    for field in ["uid", "creationTimestamp", "generation"] {
        match old.path(&["metadata", field]) {
            Some(value) => meta::set(new, field, value.clone()),
            None => meta::remove(new, field),
        }
    }
    let mut errors = Vec::new();
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
        let known = old.path(&["metadata", field]);
        match new.path(&["metadata", field]).filter(|given| !given.is_null()) {
            Some(given) if Some(given) != known => {
                errors.push(FieldError::invalid(format!("metadata.{field}"), given.clone(), "field is immutable"));
            }
            Some(_) => {}
            None => match known {
                Some(value) => meta::set(new, field, value.clone()),
                None => meta::remove(new, field),
            },
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(invalid(&request.kind, &request.name, &errors)) }
}

async fn validate(
    machinery: &Machinery,
    request: &Request,
    new: &mut Value,
    old: &Value,
    subresource: Subresource,
    mut errors: Vec<FieldError>,
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    let compiled = &request.kind.compiled;
    let main = subresource == Subresource::None;
    errors.extend(compiled.validate_update(new, old, subresource));
    if errors.is_empty() {
        errors
            .extend(machinery.hook(request, HookSteps::VALIDATE_UPDATE, Verb::Update, new, Some(old), warnings).await?);
    }
    if !errors.is_empty() {
        return Err(invalid(&request.kind, &request.name, &errors));
    }
    machinery.guard(request, new, Some(old))?;
    if main {
        warnings.extend(compiled.warnings(new, Some(old)));
    }
    Ok(())
}
