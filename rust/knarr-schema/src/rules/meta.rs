//! `meta`: ObjectMeta, on create (names and everything else), on update (what may not change), or of a template (labels, annotations).

use super::immutable::same;
use super::{NULL, Scope, selector};
use crate::error::{CompileError, FieldError, quote};
use crate::formats::{self, Format};
use crate::path::Path;
use knarr_value::Value;
use serde::Deserialize;
use serde_json::Value as Json;

/// All keys and values of annotations together, in bytes.
const ANNOTATIONS_MAX: usize = 256 * 1024;

#[derive(Debug)]
pub enum Meta {
    Create {
        name: Format,
        namespaced: bool,
    },
    Update,
    /// Labels and annotations only.
    Template,
}

impl Meta {
    pub fn build(at: &str, doc: &Json) -> Result<Self, CompileError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Doc {
            step: String,
            #[serde(default)]
            name: String,
            #[serde(default)]
            namespaced: bool,
        }
        let mut plain = doc.clone();
        if let Some(map) = plain.as_object_mut() {
            map.remove("rule");
        }
        let doc: Doc = serde_json::from_value(plain).map_err(|e| CompileError::new(at, e.to_string()))?;
        Ok(match doc.step.as_str() {
            "create" => Meta::Create {
                name: formats::by_name(&doc.name)
                    .ok_or_else(|| CompileError::new(at, format!("no format is called {:?}", doc.name)))?,
                namespaced: doc.namespaced,
            },
            "update" => Meta::Update,
            "template" => Meta::Template,
            other => return Err(CompileError::new(at, format!("meta has no step {other:?}"))),
        })
    }

    pub fn run(&self, scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
        match self {
            Meta::Create { name, namespaced } => create(*name, *namespaced, scope, errors),
            Meta::Update => update(scope, errors),
            Meta::Template => {
                selector::labels(scope.get("labels"), &scope.path.field("labels"), errors);
                annotations(scope.get("annotations"), &scope.path.field("annotations"), errors);
            }
        }
    }
}

fn create(format: Format, namespaced: bool, scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let generate = scope.text("generateName");
    if !generate.is_empty() {
        for message in format(&formats::mask_trailing_dash(generate)) {
            errors.push(FieldError::invalid(scope.path.child("generateName"), generate, message));
        }
    }
    let name = scope.text("name");
    if name.is_empty() {
        errors.push(FieldError::required(scope.path.child("name"), "name or generateName is required"));
    } else {
        for message in format(name) {
            errors.push(FieldError::invalid(scope.path.child("name"), name, message));
        }
    }
    let namespace = scope.text("namespace");
    if namespaced && namespace.is_empty() {
        errors.push(FieldError::required(scope.path.child("namespace"), ""));
    } else if namespaced {
        for message in formats::dns1123_label(namespace) {
            errors.push(FieldError::invalid(scope.path.child("namespace"), namespace, message));
        }
    } else if !namespace.is_empty() {
        errors.push(FieldError::forbidden(scope.path.child("namespace"), "not allowed on this type"));
    }
    let generation = scope.get("generation").as_i64().unwrap_or(0);
    if generation < 0 {
        let path = scope.path.child("generation");
        errors.push(FieldError::invalid(path, Value::Int(generation), "must be greater than or equal to 0"));
    }
    common(scope, errors);
    finalizers(scope.get("finalizers"), &scope.path.field("finalizers"), errors);
}

fn common(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    selector::labels(scope.get("labels"), &scope.path.field("labels"), errors);
    annotations(scope.get("annotations"), &scope.path.field("annotations"), errors);
    owners(scope.get("ownerReferences"), &scope.path.field("ownerReferences"), errors);
}

/// Keys are checked in lower case; only their sum is bounded.
fn annotations(value: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let mut size = 0;
    for (key, value) in value.as_map().into_iter().flat_map(|map| map.iter()) {
        for message in formats::qualified_name(&key.to_lowercase()) {
            errors.push(FieldError::invalid(path.text(), &key[..], message));
        }
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS_MAX {
        errors.push(FieldError::too_long(path.text(), ANNOTATIONS_MAX));
    }
}

fn owners(value: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let mut controller: Option<String> = None;
    for owner in value.as_list().unwrap_or(&[]) {
        // Kubernetes names the list here, not its item.
        let place = *path;
        let text = |name: &str| owner.get(name).and_then(Value::as_str).unwrap_or("");
        let api_version = text("apiVersion");
        // A group without a slash is a version; more than one slash is neither.
        if api_version.is_empty() || api_version.ends_with('/') || api_version.matches('/').count() > 1 {
            errors.push(FieldError::invalid(place.child("apiVersion"), api_version, "version must not be empty"));
        }
        for field in ["kind", "name", "uid"] {
            if text(field).is_empty() {
                errors.push(FieldError::invalid(place.child(field), "", "must not be empty"));
            }
        }
        if api_version == "v1" && text("kind") == "Event" {
            let detail = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(FieldError::invalid(place.text(), owner.clone(), detail));
        }
        if owner.get("controller").and_then(Value::as_bool) == Some(true) {
            let name = format!("{}/{}", text("kind"), text("name"));
            match &controller {
                None => controller = Some(name),
                Some(first) => errors.push(FieldError::invalid(
                    path.text(),
                    value.clone(),
                    format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}"
                    ),
                )),
            }
        }
    }
}

fn finalizers(value: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let list = value.as_list().unwrap_or(&[]);
    for finalizer in list {
        let text = finalizer.as_str().unwrap_or("");
        for message in formats::qualified_name(text) {
            errors.push(FieldError::invalid(path.text(), text, message));
        }
    }
    standard(list, path, errors);
    let has = |name: &str| list.iter().any(|f| f.as_str() == Some(name));
    if has("orphan") && has("foregroundDeletion") {
        let detail = "finalizer foregroundDeletion and orphan cannot be both set";
        errors.push(FieldError::invalid(path.text(), value.clone(), detail));
    }
}

/// A finalizer without a domain is one of Kubernetes' own.
fn standard(list: &[Value], path: &Path<'_>, errors: &mut Vec<FieldError>) {
    for (index, finalizer) in list.iter().enumerate() {
        let text = finalizer.as_str().unwrap_or("");
        if !text.contains('/') && !matches!(text, "kubernetes" | "orphan" | "foregroundDeletion") {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(path.index(index).text(), text, detail));
        }
    }
}

fn update(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let old = |name: &str| scope.old.and_then(|old| old.get(name)).unwrap_or(&NULL);
    if !old("deletionTimestamp").is_null() {
        let known = old("finalizers").as_list().unwrap_or(&[]);
        let mut new: Vec<String> = scope
            .get("finalizers")
            .as_list()
            .unwrap_or(&[])
            .iter()
            .filter(|f| !known.contains(f))
            .map(|f| quote(f.as_str().unwrap_or("")))
            .collect();
        new.sort();
        new.dedup();
        if !new.is_empty() {
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                new.join(", ")
            );
            errors.push(FieldError::forbidden(scope.path.child("finalizers"), detail));
        }
    }
    if scope.text("resourceVersion").is_empty() && !old("resourceVersion").is_empty() {
        errors.push(FieldError::invalid(scope.path.child("resourceVersion"), "", "must be specified for an update"));
    }
    let generation = scope.get("generation").as_i64().unwrap_or(0);
    if generation < old("generation").as_i64().unwrap_or(0) {
        errors.push(FieldError::invalid(
            scope.path.child("generation"),
            Value::Int(generation),
            "must not be decremented",
        ));
    }
    let fixed = ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"];
    for field in fixed {
        let value = scope.get(field);
        if same(value, old(field)) {
            continue;
        }
        let shown = match (value, field) {
            (Value::Null, "name" | "namespace" | "uid") => Value::from(""),
            (value, _) => value.clone(),
        };
        errors.push(FieldError::invalid(scope.path.child(field), shown, "field is immutable"));
    }
    common(scope, errors);
    standard(scope.get("finalizers").as_list().unwrap_or(&[]), &scope.path.field("finalizers"), errors);
}
