//! patch: the four ways to say a difference, each brought to a decoded object that `update` goes on with.

use knarr_schema::error::quote;
use knarr_schema::ownership::{self, ApplyError, Manager};
use knarr_schema::patch::{self, PatchError};
use knarr_value::Value;

use crate::answer;
use crate::body::{self, WriteOptions};
use crate::machinery::Machinery;
use crate::request::{FieldValidation, Request, Response, Verb};
use crate::status::{Cause, Details, Status};
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
    answer::object(machinery, request, code, &written.stored, written.revision, warnings)
}

/// Errors: 415 for another media type, 413, 422 for wrong options.
pub(crate) fn parse(request: &Request) -> Result<(Patch, WriteOptions), Status> {
    body::check_size(&request.body)?;
    let media_type = body::media_type(&request.content_type);
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
        request: &Request,
        old: &Value,
        options: WriteOptions,
        warnings: &mut Vec<String>,
    ) -> Result<Value, Status> {
        let compiled = &request.kind.compiled;
        let (value, strict) =
            self.difference(old, |doc, patch| patch::strategic(&compiled.types, compiled.type_id, doc, patch))?;
        let decoded = compiled.decode(value).map_err(|error| match self {
            // The strategic patch is merged and converted; the others are decoded like a body.
            Patch::Strategic { .. } => Status::bad_request(error.to_string()),
            _ => body::cannot_be_handled(&compiled.kind, &request.kind.api_version, &compiled.kind, &error),
        })?;
        if let Patch::Strategic { .. } = self {
            warnings.extend(strict_patch(strict, decoded.unknown, options.validation)?);
        } else {
            warnings.extend(body::strictness(compiled, strict, decoded.unknown, options.validation)?);
        }
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
        let Patch::Apply { config, strict } = self else {
            return Err(Status::internal("not an apply"));
        };
        let manager = Manager::new(
            request.options.field_manager.clone(),
            request.subresource.clone(),
            request.kind.api_version.clone(),
        );
        let merged = ownership::apply(
            &compiled.types,
            compiled.type_id,
            live,
            config,
            &manager,
            request.options.force.unwrap_or(false),
            machinery.clock.wall(),
        )
        .map_err(not_applied)?;
        if !strict.is_empty() {
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
) -> Result<Vec<String>, Status> {
    duplicates.extend(unknown);
    match validation {
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Strict if !duplicates.is_empty() => {
            let errors = duplicates.join(", ");
            let cause = Cause {
                reason: "FieldValueInvalid".to_owned(),
                message: format!("Invalid value: {}: strict decoding error: {errors}", quote("")),
                field: "patch".to_owned(),
            };
            Err(Status::invalid("", "", "", vec![cause]))
        }
        _ => Ok(duplicates),
    }
}

fn refused(error: PatchError) -> Status {
    match &error {
        PatchError::TooLarge(message) => Status::too_large(message),
        PatchError::Unprocessable(_) => {
            let mut status = Status::other(422, "Invalid", error.answer());
            status.details = Some(Box::new(Details {
                causes: vec![Cause {
                    reason: "UnexpectedServerResponse".to_owned(),
                    message: error.detail().to_owned(),
                    field: String::new(),
                }],
                ..Details::default()
            }));
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
