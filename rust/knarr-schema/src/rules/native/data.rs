//! ConfigMap and Secret: sizes, keys in two maps, and what `immutable` freezes.

use super::super::immutable::same;
use super::super::{NULL, Scope};
use crate::error::FieldError;
use knarr_value::Value;

/// All values together, in bytes.
const DATA_MAX: usize = 1024 * 1024;

fn base64_len(text: &str) -> usize {
    let padding = text.bytes().rev().take_while(|b| *b == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

/// At the object. A Secret's `data` is base64, a ConfigMap's text; `binaryData` is base64 always.
pub fn size(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let secret = scope.value.get("type").is_some();
    let mut total = 0;
    for (field, encoded) in [("data", secret), ("binaryData", true)] {
        for (_, value) in scope.get(field).as_map().into_iter().flat_map(|map| map.iter()) {
            let text = value.as_str().unwrap_or("");
            total += if encoded { base64_len(text) } else { text.len() };
        }
    }
    if !secret {
        for (key, _) in scope.get("binaryData").as_map().into_iter().flat_map(|map| map.iter()) {
            if scope.get("data").get(key).is_some() {
                let path = scope.path.field("data");
                let detail = "duplicate of key present in binaryData";
                errors.push(FieldError::invalid(path.key(key).text(), &key[..], detail));
            }
        }
    }
    if total > DATA_MAX {
        // Kubernetes names the whole ConfigMap, which its paths spell so, but a Secret's data.
        let path = if secret { scope.path.child("data") } else { "[]".into() };
        errors.push(FieldError::too_long(path, DATA_MAX));
    }
}

/// At the object, on update: what was immutable stays so, with its data.
pub fn immutable(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let old = scope.old.unwrap_or(&NULL);
    if old.get("immutable").and_then(Value::as_bool) != Some(true) {
        return;
    }
    let detail = "field is immutable when `immutable` is set";
    if scope.get("immutable").as_bool() != Some(true) {
        errors.push(FieldError::forbidden(scope.path.child("immutable"), detail));
    }
    for field in ["data", "binaryData"] {
        if !same(scope.get(field), old.get(field).unwrap_or(&NULL)) {
            errors.push(FieldError::forbidden(scope.path.child(field), detail));
        }
    }
}

/// At a Secret: the keys its type asks for.
pub fn secret_type(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    use base64::Engine;
    let path = scope.path.field("data");
    let value = |key: &str| scope.get("data").get(key).and_then(Value::as_str);
    let mut need = |key: &str| errors.push(FieldError::required(path.key(key).text(), ""));
    match scope.text("type") {
        "kubernetes.io/service-account-token" => {
            const NAME: &str = "kubernetes.io/service-account.name";
            if scope.value.path(&["metadata", "annotations", NAME]).and_then(Value::as_str).unwrap_or("").is_empty() {
                let metadata = scope.path.field("metadata");
                let path = metadata.field("annotations");
                errors.push(FieldError::required(path.key(NAME).text(), ""));
            }
        }
        "kubernetes.io/basic-auth" if value("username").is_none() && value("password").is_none() => {
            need("username");
            need("password");
        }
        "kubernetes.io/ssh-auth" if value("ssh-privatekey").unwrap_or("").is_empty() => need("ssh-privatekey"),
        "kubernetes.io/tls" => {
            for key in ["tls.crt", "tls.key"] {
                if value(key).is_none() {
                    need(key);
                }
            }
        }
        kind @ ("kubernetes.io/dockercfg" | "kubernetes.io/dockerconfigjson") => {
            let key = if kind.ends_with("json") { ".dockerconfigjson" } else { ".dockercfg" };
            let Some(text) = value(key) else { return need(key) };
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
            let detail = match knarr_value::json::parse(&bytes) {
                Ok(parsed) if parsed.value.as_map().is_some() => return,
                Ok(_) => "json: cannot unmarshal into Go value of type map[string]interface {}".to_string(),
                Err(error) => error.to_string(),
            };
            errors.push(FieldError::invalid(path.key(key).text(), "<secret contents redacted>", detail));
        }
        _ => {}
    }
}
