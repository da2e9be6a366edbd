//! The body of a write: from bytes and a Content-Type to a decoded object, with Kubernetes' words for what is wrong with it.

use knarr_schema::error::quote;
use knarr_schema::{CompiledKind, FieldError};
use knarr_value::types::TypeId;
use knarr_value::{Parsed, Str, Value};

use crate::machinery::Machinery;
use crate::registry::{KindEntry, Registry};
use crate::request::{Encoding, FieldValidation, Options, Verb};
use crate::status::{Cause, Status};

/// Longest body of a request, in bytes: 3 MiB, as kube-apiserver's MaxRequestBodyBytes.
pub(crate) const BODY_BYTES_MAX: usize = knarr_base::limits::REQUEST_BODY_BYTES_MAX;

/// Media types of a body that is an object.
pub(crate) const OBJECT_TYPES: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// What a write asks of field validation, dry run and field management, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteOptions {
    pub dry_run: bool,
    pub validation: FieldValidation,
}

/// A decoded body.
pub(crate) struct Object {
    pub value: Value,
    pub warnings: Vec<String>,
}

pub(crate) fn causes(errors: &[FieldError]) -> Vec<Cause> {
    errors
        .iter()
        .map(|error| Cause {
            reason: error.reason.cause().to_owned(),
            message: error.message(),
            field: error.path.clone(),
        })
        .collect()
}

/// Checks CreateOptions, UpdateOptions, PatchOptions or DeleteOptions. `apply` says whether a patch is one.
pub(crate) fn write_options(verb: Verb, options: &Options, apply: bool) -> Result<WriteOptions, Status> {
    let kind = match verb {
        Verb::Create => "CreateOptions",
        Verb::Update => "UpdateOptions",
        Verb::Patch => "PatchOptions",
        _ => "DeleteOptions",
    };
    let mut errors = Vec::new();
    if kind == "PatchOptions" {
        if apply && options.field_manager.is_empty() {
            errors.push(FieldError::required("fieldManager", "is required for apply patch"));
        }
        if !apply && options.force.is_some() {
            errors.push(FieldError::forbidden("force", "may not be specified for non-apply patch"));
        }
    }
    if kind != "DeleteOptions" {
        if options.field_manager.len() > 128 {
            errors.push(FieldError::too_long("fieldManager", 128));
        }
        if let Some(at) = options.field_manager.char_indices().find(|(_, c)| c.is_control()) {
            errors.push(FieldError::invalid(
                "fieldManager",
                options.field_manager.as_str(),
                format!("invalid character U+{:04X} (at position {})", at.1 as u32, at.0),
            ));
        }
    }
    if !options.dry_run.is_empty() && options.dry_run.iter().any(|value| value != "All") {
        let given: Value = options.dry_run.iter().map(Str::as_str).collect();
        errors.push(FieldError::not_supported("dryRun", given, &["All"]));
    }
    let validation = match options.field_validation.as_str() {
        "" | "Warn" => FieldValidation::Warn,
        "Ignore" => FieldValidation::Ignore,
        "Strict" => FieldValidation::Strict,
        other => {
            if kind != "DeleteOptions" {
                errors.push(FieldError::not_supported("fieldValidation", other, &["", "Ignore", "Strict", "Warn"]));
            }
            FieldValidation::Warn
        }
    };
    if !errors.is_empty() {
        return Err(Status::invalid("meta.k8s.io", kind, "", causes(&errors)));
    }
    Ok(WriteOptions { dry_run: !options.dry_run.is_empty(), validation })
}

/// The media type of a header Content-Type, in lower case, without parameters.
pub(crate) fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// The encoding of an object's body. No Content-Type means JSON, as in Kubernetes.
pub(crate) fn encoding(content_type: &str) -> Result<Encoding, Status> {
    match media_type(content_type).as_str() {
        "" | "application/json" => Ok(Encoding::Json),
        "application/yaml" => Ok(Encoding::Yaml),
        "application/vnd.kubernetes.protobuf" => Ok(Encoding::Protobuf),
        _ => Err(Status::unsupported_media_type(OBJECT_TYPES)),
    }
}

pub(crate) fn check_size(body: &[u8]) -> Result<(), Status> {
    if body.len() > BODY_BYTES_MAX { Err(Status::body_too_large(BODY_BYTES_MAX)) } else { Ok(()) }
}

/// Decodes the object of a create or an update. `expected` is the kind of the path.
///
/// Errors: 413, 415, and 400 for what is no object of that kind; under Strict for unknown and duplicate fields too.
pub(crate) fn decode(
    machinery: &Machinery,
    expected: &KindEntry,
    body: &[u8],
    content_type: &str,
    validation: FieldValidation,
) -> Result<Object, Status> {
    check_size(body)?;
    let encoding = encoding(content_type)?;
    let compiled = &expected.compiled;
    if encoding == Encoding::Protobuf {
        let value = decode_protobuf(machinery, expected, compiled.type_id, body)?;
        return compiled
            .decode(value)
            .map(|decoded| Object { value: decoded.value, warnings: Vec::new() })
            .map_err(|error| cannot_be_handled(&compiled.kind, &expected.api_version, &compiled.kind, &error));
    }
    let parsed = parse_text(body, encoding, &compiled.kind)?;
    let strict: Vec<String> = parsed.strict_errors().collect();
    let registry = machinery.registry();
    check_kind(&registry, expected, &parsed.value)?;
    let decoded = compiled
        .decode(parsed.value)
        .map_err(|error| cannot_be_handled(&compiled.kind, &expected.api_version, &compiled.kind, &error))?;
    let warnings = strictness(compiled, strict, decoded.unknown, validation)?;
    Ok(Object { value: decoded.value, warnings })
}

/// What to do about fields that are unknown or come twice: nothing, a warning each, or one error.
pub(crate) fn strictness(
    compiled: &CompiledKind,
    mut duplicates: Vec<String>,
    unknown: Vec<String>,
    validation: FieldValidation,
) -> Result<Vec<String>, Status> {
    duplicates.extend(unknown);
    match validation {
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Warn => Ok(duplicates),
        FieldValidation::Strict if duplicates.is_empty() => Ok(duplicates),
        FieldValidation::Strict => {
            let kind = &compiled.kind;
            let version = quote(&compiled.version);
            Err(Status::bad_request(format!(
                "{kind} in version {version} cannot be handled as a {kind}: strict decoding error: {}",
                duplicates.join(", ")
            )))
        }
    }
}

/// How JSON that does not parse is refused; YAML is so by its own parser's words.
const NO_KIND: &str = "couldn't get version/kind; json parse error: ";

/// Reads JSON or YAML. Errors: 400 as the handlers word bytes that have no apiVersion and kind.
pub(crate) fn parse_text(body: &[u8], encoding: Encoding, kind: &str) -> Result<Parsed, Status> {
    let unrecognized = |why: String| {
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): {why} ({})",
            summary(body)
        ))
    };
    let parsed = match encoding {
        Encoding::Yaml => {
            let mut documents = knarr_value::yaml::parse_all(body).map_err(|error| unrecognized(error.to_string()))?;
            if documents.is_empty() { Parsed::default() } else { documents.swap_remove(0) }
        }
        _ => knarr_value::json::parse(body).map_err(|error| unrecognized(format!("{NO_KIND}{error}")))?,
    };
    match parsed.value {
        Value::Map(_) | Value::Null => Ok(parsed),
        ref other => Err(unrecognized(format!(
            "{NO_KIND}json: cannot unmarshal {} into Go value of type struct {{ APIVersion string \
             \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}",
            other.type_name()
        ))),
    }
}

/// The first bytes of a body, as kube-apiserver shows them: text that is JSON in quotes-free form, hex otherwise.
fn summary(body: &[u8]) -> String {
    const SHOWN: usize = 30;
    if body.is_empty() {
        return "<empty>".to_owned();
    }
    if body.first() == Some(&b'{') {
        let shown = &body[..body.len().min(SHOWN)];
        let text = String::from_utf8_lossy(shown);
        return if body.len() > SHOWN { format!("{text} ...") } else { text.into_owned() };
    }
    let shown = &body[..body.len().min(SHOWN)];
    let hex: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
    if body.len() > SHOWN { format!("{hex} ...") } else { hex }
}

pub(crate) fn cannot_be_handled(kind: &str, api_version: &str, expected: &str, why: &dyn std::fmt::Display) -> Status {
    let version = api_version.rsplit('/').next().unwrap_or("");
    Status::bad_request(format!("{kind} in version {} cannot be handled as a {expected}: {why}", quote(version)))
}

/// The body's apiVersion and kind, if given, must be the path's.
fn check_kind(registry: &Registry, expected: &KindEntry, value: &Value) -> Result<(), Status> {
    let Some(why) = foreign_kind(registry, expected, value) else { return Ok(()) };
    let (kind, api_version) = named_kind(expected, value);
    let (group, version) = split_api_version(api_version);
    let wanted = &expected.compiled;
    if kind == wanted.kind && group == wanted.group && registry.by_kind(group, version, kind).is_some() {
        return Err(Status::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({})",
            expected.api_version
        )));
    }
    Err(cannot_be_handled(kind, api_version, &wanted.kind, &why))
}

/// Kind and apiVersion as an object gives them; `expected`'s where it gives none.
fn named_kind<'v>(expected: &'v KindEntry, value: &'v Value) -> (&'v str, &'v str) {
    let of = |key: &str| value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    (of("kind").unwrap_or(&expected.compiled.kind), of("apiVersion").unwrap_or(&expected.api_version))
}

/// Why an object that says what it is cannot become one of the `expected` kind; None: it can.
pub(crate) fn foreign_kind(registry: &Registry, expected: &KindEntry, value: &Value) -> Option<String> {
    let (kind, api_version) = named_kind(expected, value);
    let wanted = &expected.compiled;
    if kind == wanted.kind && api_version == expected.api_version {
        return None;
    }
    let (group, version) = split_api_version(api_version);
    if registry.by_kind(group, version, kind).is_none() {
        let (kind, version) = (quote(kind), quote(api_version));
        return Some(format!(
            "no kind {kind} is registered for version {version} in scheme \"pkg/runtime/scheme.go:110\""
        ));
    }
    let package = wanted.group.split('.').next().filter(|group| !group.is_empty()).unwrap_or("core");
    Some(format!("converting ({version}.{kind}) to ({package}.{}): unknown conversion", wanted.kind))
}

/// `apps/v1` -> (`apps`, `v1`); `v1` -> (``, `v1`).
pub(crate) fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

fn decode_protobuf(machinery: &Machinery, expected: &KindEntry, type_id: TypeId, body: &[u8]) -> Result<Value, Status> {
    let compiled = &expected.compiled;
    let unknown = knarr_value::protobuf::unwrap(body).map_err(|error| {
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): {error} ({})",
            compiled.kind,
            summary(body)
        ))
    })?;
    let mut head = Value::default();
    head.set_path(&["apiVersion"], unknown.api_version.to_string());
    head.set_path(&["kind"], unknown.kind.to_string());
    check_kind(&machinery.registry(), expected, &head)?;
    knarr_value::protobuf::decode(&compiled.types, type_id, unknown.raw)
        .map_err(|error| cannot_be_handled(&compiled.kind, &expected.api_version, &compiled.kind, &error))
}

/// Decodes a body of a fixed type of the table that is no kind of its own (DeleteOptions, Binding, Scale).
pub(crate) fn decode_typed(
    machinery: &Machinery,
    type_name: &str,
    kind: &str,
    body: &[u8],
    content_type: &str,
) -> Result<Value, Status> {
    check_size(body)?;
    match encoding(content_type)? {
        Encoding::Protobuf => {
            let unknown = knarr_value::protobuf::unwrap(body)
                .map_err(|error| Status::bad_request(format!("{error} ({})", summary(body))))?;
            let type_id = machinery
                .types
                .id(type_name)
                .ok_or_else(|| Status::internal(format_args!("{type_name} is not in the type table")))?;
            knarr_value::protobuf::decode(&machinery.types, type_id, unknown.raw)
                .map_err(|error| Status::bad_request(error.to_string()))
        }
        text => Ok(parse_text(body, text, kind)?.value),
    }
}
