//! JSON patch as evanphx/json-patch v4 does it, which differs from RFC 6902 in what it lets pass: `replace` of a missing key of an
//! object adds it, negative indices count from the end, an absent key and an explicit null are the same to `test`.

use knarr_value::{Value, json};

use super::{JSON_PATCH_COPY_BYTES_MAX, JSON_PATCH_OPERATIONS_MAX, PatchError};

/// What is wrong with one operation: the texts of the library, joined as `github.com/pkg/errors` joins them.
type Fault = String;

const MISSING: &str = "missing value";
const TEST_FAILED: &str = "test failed";
const INVALID_INDEX: &str = "invalid index referenced";

/// Apply `patch` (a list of operations) to `doc`. All or nothing: an error leaves no half-patched document behind.
///
/// Errors: `BadRequest` for what is no patch, `TooLarge` beyond [`JSON_PATCH_OPERATIONS_MAX`], `Unprocessable` for an operation
/// that does not apply. Source: evanphx/json-patch v4.12 `patch.go`.
pub fn json_patch(doc: Value, patch: &Value) -> Result<Value, PatchError> {
    let ops = json_patch_ops(patch)?;
    let mut doc = doc;
    let mut copied = 0usize;
    for op in ops {
        apply(&mut doc, op, &mut copied).map_err(PatchError::Unprocessable)?;
    }
    Ok(doc)
}

/// The operations of a patch, checked for shape and number but not applied.
pub fn json_patch_ops(patch: &Value) -> Result<&[Value], PatchError> {
    let bad = |v: &Value, into: &str| {
        PatchError::BadRequest(format!(
            "error decoding patch: json: cannot unmarshal {} into Go value of type {into}",
            go_kind(v)
        ))
    };
    let ops = match patch {
        Value::List(ops) => ops.as_slice(),
        Value::Null => &[],
        other => return Err(bad(other, "[]handlers.jsonPatchOp")),
    };
    for op in ops {
        let Some(map) = op.as_map() else {
            if op.is_null() {
                continue;
            }
            return Err(bad(op, "handlers.jsonPatchOp"));
        };
        for field in ["op", "path", "from"] {
            match map.get(field) {
                None | Some(Value::Null | Value::Str(_)) => {}
                Some(other) => {
                    return Err(PatchError::BadRequest(format!(
                        "error decoding patch: json: cannot unmarshal {} into Go struct field jsonPatchOp.{field} of type string",
                        go_kind(other)
                    )));
                }
            }
        }
    }
    if ops.len() > JSON_PATCH_OPERATIONS_MAX {
        return Err(PatchError::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {JSON_PATCH_OPERATIONS_MAX}, got {}",
            ops.len()
        )));
    }
    Ok(ops)
}

fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Float(_) => "number",
        Value::Str(_) => "string",
        Value::List(_) => "array",
        Value::Map(_) => "object",
    }
}

fn apply(doc: &mut Value, op: &Value, copied: &mut usize) -> Result<(), Fault> {
    let text = |name: &str| op.get(name).and_then(Value::as_str);
    let path = text("path");
    let kind = text("op").unwrap_or("unknown");
    // A missing "path" is worded once by the accessor and once more by the operation that asked.
    let need_path = || {
        path.ok_or_else(|| format!("{kind} operation failed to decode path: operation missing path field: {MISSING}"))
    };
    let need_path_short = || path.ok_or_else(|| format!("{kind} operation failed to decode path: {MISSING}"));
    let need_from = || {
        text("from")
            .ok_or_else(|| format!("{kind} operation failed to decode from: operation, missing from field: {MISSING}"))
    };
    match kind {
        "add" => {
            let path = need_path_short()?;
            let missing = || format!("add operation does not apply: doc is missing path: \"{path}\": {MISSING}");
            let (parent, key) = find(doc, path).ok_or_else(missing)?;
            let value = op.get("value").cloned().unwrap_or_default();
            add(parent, &key, value, path).map_err(|e| format!("error in add for path: '{path}': {e}"))
        }
        "remove" => {
            let path = need_path_short()?;
            let missing = || format!("remove operation does not apply: doc is missing path: \"{path}\": {MISSING}");
            let (parent, key) = find(doc, path).ok_or_else(missing)?;
            remove(parent, &key).map(drop).map_err(|e| format!("error in remove for path: '{path}': {e}"))
        }
        "replace" => {
            let path = need_path()?;
            let value = op.get("value").cloned().unwrap_or_default();
            if path.is_empty() {
                if !matches!(value, Value::Map(_) | Value::List(_)) {
                    return Err("replace operation value must be object or array".into());
                }
                *doc = value;
                return Ok(());
            }
            let missing =
                |what: &str| format!("replace operation does not apply: doc is missing {what}: {path}: {MISSING}");
            let (parent, key) = find(doc, path).ok_or_else(|| missing("path"))?;
            check_depth(path, &value).map_err(|e| format!("error in replace for path: '{path}': {e}"))?;
            if let Value::List(items) = parent {
                let at = existing_index(items.len(), &key).map_err(|_| missing("key"))?;
                items[at] = value;
            } else if let Value::Map(map) = parent {
                map.insert(key, value);
            }
            Ok(())
        }
        "move" => {
            let from = need_from()?;
            let missing = || format!("move operation does not apply: doc is missing from path: {from}: {MISSING}");
            let (parent, key) = find(doc, from).ok_or_else(missing)?;
            let taken = remove(parent, &key).map_err(|e| format!("error in move for path: '{key}': {e}"))?;
            let path = need_path()?;
            let missing =
                || format!("move operation does not apply: doc is missing destination path: {path}: {MISSING}");
            let (parent, key) = find(doc, path).ok_or_else(missing)?;
            add(parent, &key, taken, path).map_err(|e| format!("error in move for path: '{path}': {e}"))
        }
        "copy" => {
            let from = need_from()?;
            let missing = || format!("copy operation does not apply: doc is missing from path: {from}: {MISSING}");
            let (parent, key) = find(doc, from).ok_or_else(missing)?;
            let taken = get(parent, &key).map_err(|e| format!("error in copy for from: '{from}': {e}"))?.cloned();
            let path = need_path_short()?;
            let missing =
                || format!("copy operation does not apply: doc is missing destination path: {path}: {MISSING}");
            let (parent, key) = find(doc, path).ok_or_else(missing)?;
            let value = taken.unwrap_or_default();
            if !value.is_null() {
                *copied += json::to_vec(&value).len();
            }
            if *copied > JSON_PATCH_COPY_BYTES_MAX {
                return Err(format!(
                    "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the limit \
                     {JSON_PATCH_COPY_BYTES_MAX}"
                ));
            }
            add(parent, &key, value, path).map_err(|e| format!("error while adding value during copy: {e}"))
        }
        "test" => {
            let path = need_path()?;
            let failed = || Err(format!("testing value {path} failed: {TEST_FAILED}"));
            let want = op.get("value").unwrap_or(&Value::Null);
            if path.is_empty() {
                return if doc == want { Ok(()) } else { failed() };
            }
            let missing = || format!("test operation does not apply: is missing path: {path}: {MISSING}");
            let (parent, key) = find(doc, path).ok_or_else(missing)?;
            let have = get(parent, &key).map_err(|e| format!("error in test for path: '{path}': {e}"))?;
            if have.unwrap_or(&Value::Null) == want { Ok(()) } else { failed() }
        }
        other => Err(format!("Unexpected kind: {other}")),
    }
}

/// The container that holds the last part of `path`, and that part decoded. `None`: a part on the way is absent or no container.
fn find<'a>(doc: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let mut parts = path.split('/');
    parts.next();
    let mut parts: Vec<&str> = parts.collect();
    let last = parts.pop()?;
    let mut at = doc;
    for part in parts {
        let key = decode(part);
        at = match at {
            Value::Map(map) => map.get_mut(&key)?,
            Value::List(items) => {
                let index = existing_index(items.len(), &key).ok()?;
                &mut items[index]
            }
            _ => return None,
        };
    }
    matches!(at, Value::Map(_) | Value::List(_)).then(|| (at, decode(last)))
}

/// `~1` is `/` and `~0` is `~`, replaced in one pass from the left, so that `~01` is `~1`.
fn decode(part: &str) -> String {
    if !part.contains('~') {
        return part.to_owned();
    }
    let mut out = String::with_capacity(part.len());
    let mut rest = part;
    while let Some(at) = rest.find('~') {
        out.push_str(&rest[..at]);
        let (plain, skip) = match rest.as_bytes().get(at + 1) {
            Some(b'1') => ('/', 2),
            Some(b'0') => ('~', 2),
            _ => ('~', 1),
        };
        out.push(plain);
        rest = &rest[at + skip..];
    }
    out.push_str(rest);
    out
}

fn atoi(key: &str) -> Result<i64, Fault> {
    let digits = key.strip_prefix(['-', '+']).unwrap_or(key);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("strconv.Atoi: parsing {}: invalid syntax", crate::error::quote(key)));
    }
    key.parse().map_err(|_| format!("strconv.Atoi: parsing {}: value out of range", crate::error::quote(key)))
}

fn invalid_index(index: i64) -> Fault {
    format!("Unable to access invalid index: {index}: {INVALID_INDEX}")
}

/// The position `key` names among `len` elements; negative ones count from the end.
fn existing_index(len: usize, key: &str) -> Result<usize, Fault> {
    let index = atoi(key)?;
    let len = len as i64;
    if index >= len || index < -len {
        return Err(invalid_index(index));
    }
    Ok(if index < 0 { index + len } else { index } as usize)
}

fn get<'a>(parent: &'a Value, key: &str) -> Result<Option<&'a Value>, Fault> {
    match parent {
        Value::List(items) => existing_index(items.len(), key).map(|i| items.get(i)),
        other => Ok(other.get(key)),
    }
}

/// A document that operations made nests no deeper than one that was read: what follows it down has no bound of its own.
fn check_depth(path: &str, value: &Value) -> Result<(), Fault> {
    fn fits(value: &Value, levels: usize) -> bool {
        match value {
            Value::List(items) => levels > 0 && items.iter().all(|item| fits(item, levels - 1)),
            Value::Map(map) => levels > 0 && map.values().all(|item| fits(item, levels - 1)),
            _ => true,
        }
    }
    let levels = json::DEPTH_MAX.saturating_sub(path.matches('/').count());
    if fits(value, levels) { Ok(()) } else { Err(knarr_value::Error::TooDeep.to_string()) }
}

/// `path` is that of `key` in `parent`.
fn add(parent: &mut Value, key: &str, value: Value, path: &str) -> Result<(), Fault> {
    check_depth(path, &value)?;
    match parent {
        Value::List(items) if key == "-" => items.push(value),
        Value::List(items) => {
            let index = atoi(key).map_err(|e| format!("value was not a proper array index: '{key}': {e}"))?;
            let size = items.len() as i64 + 1;
            if index >= size || index < -size {
                return Err(invalid_index(index));
            }
            items.insert(if index < 0 { index + size } else { index } as usize, value);
        }
        Value::Map(map) => {
            map.insert(key, value);
        }
        _ => {}
    }
    Ok(())
}

fn remove(parent: &mut Value, key: &str) -> Result<Value, Fault> {
    match parent {
        Value::List(items) => {
            let index = existing_index(items.len(), key)?;
            Ok(items.remove(index))
        }
        Value::Map(map) => map.remove(key).ok_or_else(|| format!("Unable to remove nonexistent key: {key}: {MISSING}")),
        _ => Err(format!("Unable to remove nonexistent key: {key}: {MISSING}")),
    }
}
