//! JSON merge patch (RFC 7386): null removes, objects merge, everything else replaces.

use knarr_value::Value;

use super::PatchError;

/// Apply `patch` to `doc`. A patch that is no object replaces the document, as the RFC says; see [`merge_patch_checked`] for what
/// kube-apiserver lets pass.
pub fn merge_patch(doc: Value, patch: Value) -> Value {
    let Value::Map(patch) = patch else { return patch };
    let mut doc = match doc {
        Value::Map(map) => map,
        _ => Default::default(),
    };
    for (key, change) in patch {
        match change {
            Value::Null => {
                doc.remove(&key);
            }
            Value::Map(_) => {
                // In place, so that the keys of an object keep their order.
                let slot = doc.entry(&key);
                *slot = merge_patch(slot.take(), change);
            }
            other => {
                doc.insert(key, other);
            }
        }
    }
    Value::Map(doc)
}

/// [`merge_patch`] for a request: the patch of an object must be an object.
///
/// Errors: `BadRequest` with the text Go's decoder gives.
pub fn merge_patch_checked(doc: Value, patch: Value) -> Result<Value, PatchError> {
    let kind = match &patch {
        Value::Map(_) => return Ok(merge_patch(doc, patch)),
        Value::Null => return Err(PatchError::BadRequest("Invalid JSON Patch".into())),
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Float(_) => "number",
        Value::Str(_) => "string",
        Value::List(_) => "array",
    };
    Err(PatchError::BadRequest(format!(
        "error decoding patch: json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
    )))
}
