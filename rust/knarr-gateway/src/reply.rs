//! Answers: a code, headers and a body, and how a Status becomes one.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WARNING};
use http::{Response, StatusCode};
use knarr_machinery::Status;

use crate::body::ReplyBody;

pub type Reply = Response<ReplyBody>;

pub const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
pub static AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// An answer with the headers that all have.
pub fn reply(code: u16, content_type: HeaderValue, body: ReplyBody) -> Reply {
    let length = body.len();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.reserve(8);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    headers.insert(CONTENT_TYPE, content_type);
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

pub fn text(code: u16, text: impl Into<Bytes>) -> Reply {
    let mut reply = reply(code, TEXT, ReplyBody::whole(vec![text.into()]));
    reply.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    reply
}

/// What Kubernetes answers to a path that nobody serves: text, not a Status, unless it is below a group and version that are served.
pub fn not_found(below_served: bool) -> Reply {
    if below_served { status(&Status::no_such_path()) } else { text(404, "404 page not found\n") }
}

/// A known resource without this method.
pub fn method_not_allowed() -> Reply {
    status(&Status::no_such_method())
}

/// A Status as JSON. (Kubernetes would use the encoding asked for; every client reads a JSON Status by its content type.)
pub fn status(status: &Status) -> Reply {
    let mut reply = reply(status.code, JSON, ReplyBody::whole(vec![Bytes::from(status.to_json())]));
    let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    retry_after(&mut reply, seconds);
    reply
}

pub fn retry_after(reply: &mut Reply, seconds: u32) {
    if seconds > 0 {
        reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
}

/// `Warning: 299 - "text"`, one header each. Control characters become spaces, since a header cannot hold them.
pub fn warnings(reply: &mut Reply, warnings: &[String]) {
    for warning in warnings {
        let text: String = warning.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()) {
            reply.headers_mut().append(WARNING, value);
        }
    }
}
