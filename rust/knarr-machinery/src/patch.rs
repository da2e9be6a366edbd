//! patch: the four ways to say a difference, each brought to a decoded object that `update` goes on with.

use knarr_base::WallTime;
use knarr_schema::error::quote;
use knarr_schema::ownership::{self, ApplyError, Manager};
use knarr_schema::patch::{self, PatchError, go_text};
use knarr_value::{Map, TypeId, TypeTable, Value};

use crate::answer;
use crate::body::{self, WriteOptions};
use crate::machinery::Machinery;
use crate::request::{FieldValidation, Request, Response, Verb};
use crate::status::{Cause, Status};
use crate::update::{self, Source};

/// A patch, parsed once; it is tried on as many states of the object as it takes.
pub(crate) enum Patch {
    Json {
        ops: Value,
        strict: Vec<String>,
    },
    Merge {
        patch: Value,
        strict: Vec<String>,
    },
    Strategic {
        patch: Value,
        strict: Vec<String>,
    },
    Apply {
        config: Value,
        strict: Vec<String>,
    },
    /// The bytes are no patch. Kubernetes looks at them only once the object is found, so this is told then.
    Broken(Status),
}

pub(crate) async fn patch(machinery: &Machinery, request: &Request) -> Result<Response, Status> {
    let (patch, options) = parse(request)?;
    let mut warnings = Vec::new();
    let written = update::write(machinery, request, &Source::Patch(patch), options, &mut warnings).await?;
    let code = if written.created { 201 } else { 200 };
    answer::written(machinery, request, code, (&written.stored, written.value), written.revision, warnings)
}

/// Errors: 415 for another media type, 413, 422 for wrong options.
pub(crate) fn parse(request: &Request) -> Result<(Patch, WriteOptions), Status> {
    body::check_size(&request.body)?;
    let media_type = body::media_type(&request.content_type);
    let media_type = media_type.as_str();
    let apply = media_type == "application/apply-patch+yaml";
    if !apply
        && !matches!(
            media_type,
            "application/json-patch+json" | "application/merge-patch+json" | "application/strategic-merge-patch+json"
        )
    {
        return Err(Status::unsupported_patch());
    }
    let options = body::write_options(Verb::Patch, &request.options, apply)?;
    let parsed = if apply {
        let documents = knarr_value::yaml::parse_all(&request.body)
            .map_err(|error| Status::bad_request(format!("error decoding YAML: {error}")));
        match documents {
            Ok(mut documents) if !documents.is_empty() => Ok(documents.swap_remove(0)),
            Ok(_) => Ok(knarr_value::Parsed::default()),
            Err(status) => Err(status),
        }
    } else {
        let decoding = match (media_type, options.validation) {
            (
                "application/json-patch+json" | "application/merge-patch+json",
                FieldValidation::Strict | FieldValidation::Warn,
            ) => "error decoding patch: ",
            _ => "",
        };
        knarr_value::json::parse(&request.body).map_err(|error| Status::bad_request(format!("{decoding}{error}")))
    };
    let parsed = match parsed {
        Ok(parsed) => parsed,
        Err(status) => return Ok((Patch::Broken(status), options)),
    };
    let strict: Vec<String> = parsed.strict_errors().collect();
    let value = parsed.value;
    let expects = |wanted: &str| {
        let go = if wanted == "array" { "[]handlers.jsonPatchOp" } else { "map[string]interface {}" };
        let found = value.type_name();
        Status::bad_request(match media_type {
            "application/strategic-merge-patch+json" => {
                format!("json: cannot unmarshal {found} into Go value of type {go}")
            }
            _ => format!("error decoding patch: json: cannot unmarshal {found} into Go value of type {go}"),
        })
    };
    let patch = match media_type {
        "application/json-patch+json" if value.as_list().is_none() => Patch::Broken(expects("array")),
        "application/json-patch+json" => Patch::Json { ops: value, strict },
        "application/apply-patch+yaml" => Patch::Apply { config: value, strict },
        _ if value.as_map().is_none() => Patch::Broken(expects("object")),
        "application/merge-patch+json" => Patch::Merge { patch: value, strict },
        _ => Patch::Strategic { patch: value, strict },
    };
    Ok((patch, options))
}

impl Patch {
    pub fn is_apply(&self) -> bool {
        matches!(self, Patch::Apply { .. })
    }

    /// The state that the patch makes of `old`: decoded and defaulted, owners not yet brought up to date.
    pub fn patched(
        &self,
        machinery: &Machinery,
        request: &Request,
        old: &Value,
        options: WriteOptions,
        warnings: &mut Vec<String>,
    ) -> Result<Value, Status> {
        let compiled = &request.kind.compiled;
        let (value, strict) =
            self.difference(old, |doc, patch| patch::strategic(&compiled.types, compiled.type_id, doc, patch))?;
        // What is shown with an error: the strategic patch as Go prints it, else the document that the patch made.
        let shown = || match self {
            Patch::Strategic { patch, .. } => go_text(patch),
            _ => document(request, old, self),
        };
        if !matches!(self, Patch::Strategic { .. })
            && let Some(why) = body::foreign_kind(&machinery.registry(), &request.kind, &value)
        {
            return Err(not_decoded(&shown(), &why));
        }
        let decoded = compiled.decode(value).map_err(|error| match self {
            // The strategic patch is merged and converted; the others are decoded like a body.
            Patch::Strategic { .. } => not_decoded(&shown(), error.converter()),
            _ => not_decoded(&shown(), &error.to_string()),
        })?;
        warnings.extend(strict_patch(strict, decoded.unknown, options.validation, shown)?);
        let mut value = decoded.value;
        compiled.default(&mut value);
        Ok(value)
    }

    /// The patched document, and the patch's own strict errors.
    pub fn difference(
        &self,
        old: &Value,
        strategic: impl Fn(Value, Value) -> Result<Value, PatchError>,
    ) -> Result<(Value, Vec<String>), Status> {
        match self {
            Patch::Json { ops, strict } => {
                let strict = strict.iter().map(|error| format!("json patch {error}")).collect();
                Ok((patch::json_patch(old.clone(), ops).map_err(refused)?, strict))
            }
            Patch::Merge { patch, strict } => {
                let merged = patch::merge_patch_checked(old.clone(), patch.clone()).map_err(refused)?;
                Ok((merged, strict.clone()))
            }
            Patch::Strategic { patch, strict } => {
                Ok((strategic(old.clone(), patch.clone()).map_err(refused)?, strict.clone()))
            }
            Patch::Apply { .. } => Err(Status::internal("an apply is no difference")),
            Patch::Broken(status) => Err(status.clone()),
        }
    }

    /// An apply's configuration merged into `live`, with its owners; not decoded.
    pub fn apply(
        &self,
        types: &TypeTable,
        id: TypeId,
        live: &Value,
        manager: &Manager,
        force: bool,
        now: WallTime,
    ) -> Result<Value, Status> {
        match self {
            Patch::Apply { config, .. } => {
                ownership::apply(types, id, live, config, manager, force, now).map_err(not_applied)
            }
            _ => Err(Status::internal("not an apply")),
        }
    }

    /// The state that server-side apply makes of `live` (Null: there is none yet), decoded, defaulted, with its owners.
    pub fn applied(
        &self,
        machinery: &Machinery,
        request: &Request,
        live: &Value,
        options: WriteOptions,
        warnings: &mut Vec<String>,
    ) -> Result<Value, Status> {
        let compiled = &request.kind.compiled;
        let manager = Manager::new(
            request.options.field_manager.clone(),
            request.subresource.clone(),
            request.kind.api_version.clone(),
        );
        let force = request.options.force.unwrap_or(false);
        let now = machinery.clock.wall();
        let merged = self.apply(&compiled.types, compiled.type_id, live, &manager, force, now)?;
        if let Patch::Apply { strict, .. } = self
            && !strict.is_empty()
        {
            let text = format!("error converting YAML to JSON: {}", strict.join(", "));
            match options.validation {
                FieldValidation::Strict => {
                    return Err(Status::bad_request(format!("error strict decoding YAML: {text}")));
                }
                FieldValidation::Warn => warnings.push(text),
                FieldValidation::Ignore => {}
            }
        }
        let decoded = compiled.decode(merged).map_err(|error| {
            body::cannot_be_handled(&compiled.kind, &request.kind.api_version, &compiled.kind, &error)
        })?;
        let mut value = decoded.value;
        compiled.default(&mut value);
        Ok(value)
    }
}

fn strict_patch(
    mut duplicates: Vec<String>,
    unknown: Vec<String>,
    validation: FieldValidation,
    shown: impl Fn() -> String,
) -> Result<Vec<String>, Status> {
    duplicates.extend(unknown);
    match validation {
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Strict if !duplicates.is_empty() => {
            Err(not_decoded(&shown(), &format!("strict decoding error: {}", duplicates.join(", "))))
        }
        _ => Ok(duplicates),
    }
}

/// What the patch made is no object of the kind: said of the patch as a field of the request.
fn not_decoded(shown: &str, why: &str) -> Status {
    let cause = Cause {
        reason: "FieldValueInvalid".to_owned(),
        message: format!("Invalid value: {}: {why}", quote(shown)),
        field: "patch".to_owned(),
    };
    Status::invalid("", "", "", vec![cause])
}

/// The JSON of what a patch makes of `old`, with apiVersion and kind, which are not kept with an object. Made again for an error:
/// the patches that fit need no copy.
fn document(request: &Request, old: &Value, patch: &Patch) -> String {
    let strategic = |doc, _| Ok(doc);
    let value = patch.difference(old, strategic).map(|(value, _)| value).unwrap_or_default();
    let mut whole = Map::new();
    whole.insert("apiVersion", request.kind.api_version.as_str());
    whole.insert("kind", request.kind.compiled.kind.as_str());
    for (name, field) in value.as_map().into_iter().flat_map(Map::iter) {
        whole.insert(name.clone(), field.clone());
    }
    String::from_utf8_lossy(&knarr_value::json::to_vec(&Value::Map(whole))).into_owned()
}

fn refused(error: PatchError) -> Status {
    match &error {
        PatchError::TooLarge(message) => Status::too_large(message),
        PatchError::Unprocessable(_) => {
            let mut status = Status::other(422, "Invalid", error.answer());
            status.details = Some(Box::default());
            status
        }
        _ => Status::other(error.code(), error.reason(), error.answer()),
    }
}

fn not_applied(error: ApplyError) -> Status {
    match error {
        ApplyError::Conflicts { message, causes } => {
            let causes = causes
                .into_iter()
                .map(|conflict| Cause {
                    reason: "FieldManagerConflict".to_owned(),
                    message: conflict.message,
                    field: conflict.field,
                })
                .collect();
            Status::apply_conflict(message, causes)
        }
        ApplyError::BadRequest(message) => Status::bad_request(message),
        ApplyError::Internal(message) => Status::plain_internal(message),
    }
}
