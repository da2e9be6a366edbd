//! create: the whole way of a new object, from its body to its first revision.

use bytes::Bytes;
use knarr_base::Revision;
use knarr_schema::admission::Operation;
use knarr_schema::ownership::{self, Manager};
use knarr_schema::{FieldError, HookSteps};
use knarr_value::Value;

use crate::allocate::{self, Allocation};
use crate::answer;
use crate::body;
use crate::commit::{Committed, Reads, TRIES, invalid};
use crate::machinery::Machinery;
use crate::meta;
use crate::request::{Request, Response, Verb};
use crate::status::Status;

/// Names tried for one generateName before the client is told to try again (apiserver's maxNameGenerationCreateAttempts).
const NAME_TRIES: usize = 8;

pub(crate) async fn create(machinery: &Machinery, request: &Request) -> Result<Response, Status> {
    let options = body::write_options(Verb::Create, &request.options, false)?;
    let entry = &request.kind;
    let object = body::decode(machinery, entry, &request.body, &request.content_type, options.validation)?;
    let (mut value, mut warnings) = (object.value, object.warnings);
    entry.compiled.default(&mut value);
    if meta::text(&value, "resourceVersion").parse::<u64>().is_ok_and(|revision| revision != 0) {
        return Err(Status::plain_internal("resourceVersion should not be set on objects to be created"));
    }
    meta::wipe_system_fields(&mut value);
    meta::ensure_namespace(entry, &request.namespace, &mut value)?;
    warnings.extend(meta::dedup_owners(&mut value));
    let value = ownership::update(
        &entry.compiled.types,
        entry.compiled.type_id,
        None,
        value,
        &Manager::new(request.options.manager(), "", entry.api_version.clone()),
        machinery.clock.wall(),
    );
    let created = store_new(machinery, request, value, options.dry_run, &mut warnings).await?;
    answer::written(machinery, request, 201, (&created.stored, Some(created.value)), created.revision, warnings)
}

/// An object as it was stored.
pub(crate) struct Stored {
    pub stored: Bytes,
    /// What `stored` was made of.
    pub value: Value,
    /// 0 in a dry run: there is none.
    pub revision: Revision,
}

/// Admits, completes, validates and stores an object that is decoded, defaulted and owned. Used by create, apply and an update
/// that may create.
///
/// Errors: 409 AlreadyExists; whatever admission, hooks and rules refuse.
pub(crate) async fn store_new(
    machinery: &Machinery,
    request: &Request,
    value: Value,
    dry_run: bool,
    warnings: &mut Vec<String>,
) -> Result<Stored, Status> {
    let entry = &request.kind;
    let generates = meta::name(&value).is_empty() && !meta::text(&value, "generateName").is_empty();
    let mut stale = 0;
    let mut names = 0;
    let said = warnings.len();
    loop {
        warnings.truncate(said);
        let mut reads = Reads::default();
        let mut new = value.clone();
        let allocation = complete(machinery, request, &mut new, &mut reads, warnings).await?;
        meta::canonical(&mut new);
        let name = meta::name(&new).to_owned();
        let key = entry.key(&request.namespace, &name);
        let stored = machinery.to_stored(entry, &new);
        if dry_run {
            if let Some(existing) = machinery.get_record(&key)? {
                return Err(exists(request, &name, &existing.value, generates));
            }
            return Ok(Stored { stored, value: new, revision: Revision(0) });
        }
        let (stored, committed) =
            machinery.put(entry, &key, Revision(0), (&mut new, stored), &reads, allocation.into_extra()).await?;
        match committed {
            Committed::Done(revision) => return Ok(Stored { stored, value: new, revision }),
            Committed::Changed(existing) => {
                names += 1;
                if !generates || names == NAME_TRIES {
                    let existing = existing.map(|record| record.value.clone()).unwrap_or_default();
                    return Err(exists(request, &name, &existing, generates));
                }
            }
            Committed::TooLarge => return Err(Status::too_large_for_store()),
            Committed::Stale => {
                stale += 1;
                if stale == TRIES {
                    return Err(Status::server_timeout(entry.name(), "create", 1));
                }
            }
        }
    }
}

fn exists(request: &Request, name: &str, existing: &[u8], generated: bool) -> Status {
    let mut status = if generated {
        Status::generate_name_conflict(request.kind.name(), name)
    } else {
        Status::already_exists(request.kind.name(), name)
    };
    if answer::read(existing).is_ok_and(|stored| stored.deleting()) {
        status.message = format!("object is being deleted: {}", status.message);
    }
    status
}

/// From a decoded object to one that may be stored.
async fn complete(
    machinery: &Machinery,
    request: &Request,
    value: &mut Value,
    reads: &mut Reads,
    warnings: &mut Vec<String>,
) -> Result<Allocation, Status> {
    let compiled = &request.kind.compiled;
    machinery.admit(request, Operation::Create, value, None, reads)?;
    let mut errors = machinery.hook(request, HookSteps::MUTATE, Verb::Create, value, None, warnings).await?;
    warnings.extend(meta::dedup_owners(value));
    meta::fill_system_fields(machinery, value, machinery.clock.wall());
    if meta::name(value).is_empty() {
        let prefix = meta::text(value, "generateName").to_owned();
        if !prefix.is_empty() {
            let name = meta::generated_name(machinery, &prefix);
            meta::set(value, "name", name);
        }
    }
    compiled.prepare_create(value);
    errors.extend(machinery.hook(request, HookSteps::PREPARE_CREATE, Verb::Create, value, None, warnings).await?);
    let allocation = allocate::create(machinery, request, value)?;
    validate(machinery, request, value, errors, warnings).await?;
    Ok(allocation)
}

async fn validate(
    machinery: &Machinery,
    request: &Request,
    value: &mut Value,
    mut errors: Vec<FieldError>,
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    let compiled = &request.kind.compiled;
    errors.extend(compiled.validate_create(value));
    if errors.is_empty() {
        errors.extend(machinery.hook(request, HookSteps::VALIDATE_CREATE, Verb::Create, value, None, warnings).await?);
    }
    if !errors.is_empty() {
        return Err(invalid(&request.kind, meta::name(value), &errors));
    }
    machinery.guard(request, value, None)?;
    warnings.extend(compiled.warnings(value, None));
    Ok(())
}
