//! The `Status` object: every error (and the `Success` of a delete) that a client may be answered, in Kubernetes' words.
//!
//! Wording stands here once for the whole core; Python's `errors.py` mirrors it. The constructors follow
//! `k8s.io/apimachinery/pkg/api/errors/errors.go` one by one, so that a client that matches on `reason`, `details` or, as
//! many scripts do, on the text, finds what it would find with kube-apiserver.

use std::fmt;

/// One entry of `details.causes`: what is wrong with which field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// `FieldValueInvalid`, `FieldManagerConflict`, `NamespaceTerminating` ...; may be empty.
    pub reason: String,
    pub message: String,
    /// A path such as `spec.containers[0].image`; may be empty.
    pub field: String,
}

/// `details` of a Status. `name` and `kind` (for most errors the *resource*, a lower-case plural) may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    pub name: String,
    pub group: String,
    pub kind: String,
    pub uid: String,
    pub causes: Vec<Cause>,
    pub retry_after_seconds: u32,
}

/// A Status object. `code` is the HTTP code that it is sent with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub code: u16,
    /// `Failure` or, of an answered delete, `Success`.
    pub success: bool,
    pub reason: &'static str,
    pub message: String,
    pub details: Option<Box<Details>>,
    /// `metadata.continue`: how to go on after an expired list; empty for all others.
    pub continue_token: String,
}

/// A resource as errors name it: `pods`, `deployments.apps`.
#[derive(Clone, Copy, Debug)]
pub struct Resource<'a> {
    pub group: &'a str,
    pub plural: &'a str,
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.plural)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        Ok(())
    }
}

impl Status {
    fn failure(code: u16, reason: &'static str, message: String, details: Option<Details>) -> Self {
        Self { code, success: false, reason, message, details: details.map(Box::new), continue_token: String::new() }
    }

    fn of(code: u16, reason: &'static str, resource: Resource<'_>, name: &str, message: String) -> Self {
        let details = Details {
            name: name.to_owned(),
            group: resource.group.to_owned(),
            kind: resource.plural.to_owned(),
            ..Details::default()
        };
        Self::failure(code, reason, message, Some(details))
    }

    /// The answer of a delete that removed the object: `Status` `Success` with the object's name and uid.
    pub fn deleted(resource: Resource<'_>, name: &str, uid: &str) -> Self {
        let details = Details {
            name: name.to_owned(),
            group: resource.group.to_owned(),
            kind: resource.plural.to_owned(),
            uid: uid.to_owned(),
            ..Details::default()
        };
        Self {
            code: 200,
            success: true,
            reason: "",
            message: String::new(),
            details: Some(Box::new(details)),
            continue_token: String::new(),
        }
    }

    /// A `Success` without details: what `pods/binding` and a create of a Binding answer (201).
    pub fn created() -> Self {
        Self {
            code: 201,
            success: true,
            reason: "",
            message: String::new(),
            details: None,
            continue_token: String::new(),
        }
    }

    pub fn not_found(resource: Resource<'_>, name: &str) -> Self {
        Self::of(404, "NotFound", resource, name, format!("{resource} \"{name}\" not found"))
    }

    /// A path that leads nowhere: Go's text for an unknown resource.
    pub fn no_such_path() -> Self {
        Self::failure(
            404,
            "NotFound",
            "the server could not find the requested resource".to_owned(),
            Some(Details::default()),
        )
    }

    /// A method that a known path does not have.
    pub fn no_such_method() -> Self {
        let message = "the server does not allow this method on the requested resource".to_owned();
        Self::failure(405, "MethodNotAllowed", message, Some(Details::default()))
    }

    /// No media type that the client accepts is known. `available`: those that are, by commas.
    pub fn no_such_representation(available: &str) -> Self {
        let message = format!("406: Not Acceptable\n\nAvailable representations: {available}");
        Self::failure(406, "NotAcceptable", message, Some(Details::default()))
    }

    pub fn already_exists(resource: Resource<'_>, name: &str) -> Self {
        Self::of(409, "AlreadyExists", resource, name, format!("{resource} \"{name}\" already exists"))
    }

    /// All tries of generateName collided.
    pub fn generate_name_conflict(resource: Resource<'_>, name: &str) -> Self {
        let mut status = Self::of(
            409,
            "AlreadyExists",
            resource,
            name,
            format!(
                "{resource} \"{name}\" already exists, the server was not able to generate a unique name for the object"
            ),
        );
        status.retry_after(1);
        status
    }

    pub fn unauthorized() -> Self {
        Self::failure(401, "Unauthorized", "Unauthorized".to_owned(), None)
    }

    /// `why` follows ` is forbidden: `.
    pub fn forbidden(resource: Resource<'_>, name: &str, why: impl fmt::Display) -> Self {
        let message = if resource.plural.is_empty() {
            format!("forbidden: {why}")
        } else if name.is_empty() {
            format!("{resource} is forbidden: {why}")
        } else {
            format!("{resource} \"{name}\" is forbidden: {why}")
        };
        Self::of(403, "Forbidden", resource, name, message)
    }

    /// A conflict with the stored object. `why` follows `Operation cannot be fulfilled on pods "x": `.
    pub fn conflict(resource: Resource<'_>, name: &str, why: impl fmt::Display) -> Self {
        Self::of(
            409,
            "Conflict",
            resource,
            name,
            format!("Operation cannot be fulfilled on {resource} \"{name}\": {why}"),
        )
    }

    /// The conflict of optimistic concurrency.
    pub fn modified(resource: Resource<'_>, name: &str) -> Self {
        Self::conflict(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// Server-side apply met fields of other managers.
    pub fn apply_conflict(message: String, causes: Vec<Cause>) -> Self {
        Self::failure(409, "Conflict", message, Some(Details { causes, ..Details::default() }))
    }

    pub fn gone(message: impl Into<String>) -> Self {
        Self::failure(410, "Gone", message.into(), None)
    }

    pub fn expired(message: impl Into<String>) -> Self {
        Self::failure(410, "Expired", message.into(), None)
    }

    /// A watch or list revision that history no longer holds; `oldest` is the oldest that it does.
    pub fn too_old(asked: u64, oldest: u64) -> Self {
        Self::expired(format!("too old resource version: {asked} ({oldest})"))
    }

    /// A revision from the future.
    pub fn too_large_revision(asked: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
        let cause = Cause {
            reason: "ResourceVersionTooLarge".to_owned(),
            message: "Too large resource version".to_owned(),
            field: String::new(),
        };
        Self::failure(
            504,
            "Timeout",
            message,
            Some(Details { causes: vec![cause], retry_after_seconds: 1, ..Details::default() }),
        )
    }

    /// `kind` and `group` name the *kind* (`Pod`, not `pods`). The message counts the causes as Go's aggregate does: one
    /// stands alone, several in brackets, equal ones once.
    pub fn invalid(group: &str, kind: &str, name: &str, causes: Vec<Cause>) -> Self {
        let mut texts: Vec<String> = Vec::with_capacity(causes.len());
        for cause in &causes {
            let text = if cause.field.is_empty() {
                cause.message.clone()
            } else {
                format!("{}: {}", cause.field, cause.message)
            };
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let kind_name = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let message = match texts.as_slice() {
            [] => format!("{kind_name} \"{name}\" is invalid"),
            [one] => format!("{kind_name} \"{name}\" is invalid: {one}"),
            many => format!("{kind_name} \"{name}\" is invalid: [{}]", many.join(", ")),
        };
        let details = Details {
            name: name.to_owned(),
            group: group.to_owned(),
            kind: kind.to_owned(),
            causes,
            ..Details::default()
        };
        Self::failure(422, "Invalid", message, Some(details))
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::failure(400, "BadRequest", message.into(), None)
    }

    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::failure(
            429,
            "TooManyRequests",
            message.into(),
            Some(Details { retry_after_seconds, ..Details::default() }),
        )
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::failure(503, "ServiceUnavailable", message.into(), None)
    }

    pub fn method_not_supported(resource: Resource<'_>, action: &str) -> Self {
        let details =
            Details { group: resource.group.to_owned(), kind: resource.plural.to_owned(), ..Details::default() };
        Self::failure(
            405,
            "MethodNotAllowed",
            format!("{action} is not supported on resources of kind \"{resource}\""),
            Some(details),
        )
    }

    pub fn server_timeout(resource: Resource<'_>, operation: &str, retry_after_seconds: u32) -> Self {
        let details = Details {
            name: operation.to_owned(),
            group: resource.group.to_owned(),
            kind: resource.plural.to_owned(),
            retry_after_seconds,
            ..Details::default()
        };
        Self::failure(
            500,
            "ServerTimeout",
            format!(
                "The {operation} operation against {resource} could not be completed at this time, please try again."
            ),
            Some(details),
        )
    }

    pub fn internal(why: impl fmt::Display) -> Self {
        let why = why.to_string();
        let message = format!("Internal error occurred: {why}");
        let cause = Cause { message: why, ..Cause::default() };
        Self::failure(500, "InternalError", message, Some(Details { causes: vec![cause], ..Details::default() }))
    }

    /// A 500 that Kubernetes does not classify: no reason, and the bare text.
    pub fn plain_internal(message: impl Into<String>) -> Self {
        Self::failure(500, "", message.into(), None)
    }

    /// The store takes no value of this size, or no transaction; etcd's words, as Kubernetes passes them on.
    pub fn too_large_for_store() -> Self {
        Self::plain_internal("etcdserver: request is too large")
    }

    /// A 422 or the like of a patch or an admission plugin that brings its own code, reason and words.
    pub fn other(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self::failure(code, reason, message.into(), None)
    }

    /// A patch of an unknown media type.
    pub fn unsupported_patch() -> Self {
        let details = Some(Details::default());
        Self::failure(415, "UnsupportedMediaType", "415: Unsupported Media Type".to_owned(), details)
    }

    pub fn timeout(message: impl fmt::Display) -> Self {
        Self::failure(504, "Timeout", format!("Timeout: {message}"), Some(Details::default()))
    }

    pub fn too_large(message: impl fmt::Display) -> Self {
        Self::failure(413, "RequestEntityTooLarge", format!("Request entity too large: {message}"), None)
    }

    /// The body is longer than `limit` bytes.
    pub fn body_too_large(limit: usize) -> Self {
        Self::too_large(format_args!("limit is {limit}"))
    }

    pub fn unsupported_media_type(accepted: &str) -> Self {
        Self::failure(
            415,
            "UnsupportedMediaType",
            format!("the body of the request was in an unknown format - accepted media types include: {accepted}"),
            None,
        )
    }

    pub fn not_acceptable(accepted: &str) -> Self {
        Self::failure(406, "NotAcceptable", format!("only the following media types are accepted: {accepted}"), None)
    }

    /// Sets `details.retryAfterSeconds` (the gateway sends it as the header Retry-After too).
    pub fn retry_after(&mut self, seconds: u32) {
        self.details.get_or_insert_default().retry_after_seconds = seconds;
    }

    /// Adds a cause, as `NamespaceTerminating` to a 403.
    pub fn with_cause(mut self, reason: &str, message: impl Into<String>, field: &str) -> Self {
        let cause = Cause { reason: reason.to_owned(), message: message.into(), field: field.to_owned() };
        self.details.get_or_insert_default().causes.push(cause);
        self
    }

    /// The JSON text, fields in Go's order. `pretty` indents by two spaces as kube-apiserver does for `?pretty=true`.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = String::with_capacity(256 + self.message.len());
        out.push_str("{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{");
        if !self.continue_token.is_empty() {
            out.push_str("\"continue\":");
            json_string(&self.continue_token, &mut out);
        }
        out.push_str("},\"status\":");
        out.push_str(if self.success { "\"Success\"" } else { "\"Failure\"" });
        if !self.message.is_empty() {
            out.push_str(",\"message\":");
            json_string(&self.message, &mut out);
        }
        if !self.reason.is_empty() {
            out.push_str(",\"reason\":");
            json_string(self.reason, &mut out);
        }
        if let Some(details) = &self.details {
            out.push_str(",\"details\":");
            details.write(&mut out);
        }
        // Go answers a deletion's Success without a code and every failure (and a created Binding) with one.
        if !self.success || self.code != 200 {
            out.push_str(",\"code\":");
            out.push_str(&self.code.to_string());
        }
        out.push('}');
        out.into_bytes()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

impl Details {
    fn write(&self, out: &mut String) {
        out.push('{');
        let mut first = true;
        let mut key = |out: &mut String, name: &str| {
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            out.push('"');
            out.push_str(name);
            out.push_str("\":");
        };
        for (name, text) in [("name", &self.name), ("group", &self.group), ("kind", &self.kind), ("uid", &self.uid)] {
            if !text.is_empty() {
                key(out, name);
                json_string(text, out);
            }
        }
        if !self.causes.is_empty() {
            key(out, "causes");
            out.push('[');
            for (index, cause) in self.causes.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                cause.write(out);
            }
            out.push(']');
        }
        if self.retry_after_seconds > 0 {
            key(out, "retryAfterSeconds");
            out.push_str(&self.retry_after_seconds.to_string());
        }
        out.push('}');
    }
}

impl Cause {
    fn write(&self, out: &mut String) {
        out.push('{');
        let mut first = true;
        for (name, text) in [("reason", &self.reason), ("message", &self.message), ("field", &self.field)] {
            if !text.is_empty() {
                if !std::mem::take(&mut first) {
                    out.push(',');
                }
                out.push('"');
                out.push_str(name);
                out.push_str("\":");
                json_string(text, out);
            }
        }
        out.push('}');
    }
}

/// Writes a JSON string, escaped as Go's encoder does (`<`, `>`, `&`, U+2028 and U+2029 too).
pub(crate) fn json_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    const PODS: Resource<'static> = Resource { group: "", plural: "pods" };

    /// Goal: the texts and shapes that clients match on. Method: compare whole documents with what kube-apiserver sent.
    #[test]
    fn documents_are_kubernetes() {
        let check = |status: Status, expected: &str| {
            assert_eq!(String::from_utf8_lossy(&status.to_json()), expected);
        };
        check(
            Status::not_found(PODS, "x"),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods \"x\" not found","reason":"NotFound","details":{"name":"x","kind":"pods"},"code":404}"#,
        );
        check(
            Status::modified(Resource { group: "apps", plural: "deployments" }, "d"),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Operation cannot be fulfilled on deployments.apps \"d\": the object has been modified; please apply your changes to the latest version and try again","reason":"Conflict","details":{"name":"d","group":"apps","kind":"deployments"},"code":409}"#,
        );
        check(
            Status::deleted(PODS, "x", "u"),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","details":{"name":"x","kind":"pods","uid":"u"}}"#,
        );
        check(
            Status::too_old(1, 5),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version: 1 (5)","reason":"Expired","code":410}"#,
        );
    }

    #[test]
    fn invalid_joins_causes_as_gos_aggregate() {
        let cause = |field: &str| Cause {
            reason: "FieldValueRequired".to_owned(),
            message: "Required value".to_owned(),
            field: field.to_owned(),
        };
        let one = Status::invalid("", "Pod", "x", vec![cause("spec.a")]);
        assert_eq!(one.message, "Pod \"x\" is invalid: spec.a: Required value");
        let two = Status::invalid("apps", "Deployment", "x", vec![cause("spec.a"), cause("spec.b"), cause("spec.a")]);
        assert_eq!(two.message, "Deployment.apps \"x\" is invalid: [spec.a: Required value, spec.b: Required value]");
    }
}
