//! The three ways to change an object by a difference: JSON patch (RFC 6902), JSON merge patch (RFC 7386) and Kubernetes' strategic
//! merge patch.
//!
//! Knows: values, and for the strategic merge patch the types table (merge keys and strategies). Never knows: verbs, HTTP, field
//! owners, validation. What is wrong with a patch is worded as kube-apiserver words it; [`PatchError`] says which answer it is.
//!
//! Sources of behaviour: kube-apiserver 1.34 `endpoints/handlers/patch.go`; evanphx/json-patch v4.12; apimachinery `strategicpatch`.

mod json;
mod merge;
mod strategic;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

pub use json::{json_patch, json_patch_ops};
pub use merge::{merge_patch, merge_patch_checked};
pub use strategic::go_text;
pub use strategic::strategic;
pub(crate) use strategic::{go_name, go_syntax};

/// Operations one JSON patch may hold: each may copy, so their number bounds the work of one request (kube-apiserver's own bound).
pub const JSON_PATCH_OPERATIONS_MAX: usize = 10_000;
/// Bytes all `copy` operations of one JSON patch may add together: the bound of a request body.
pub const JSON_PATCH_COPY_BYTES_MAX: usize = 3 << 20;

/// Why a patch was refused; each variant is one kind of Status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatchError {
    /// 400 BadRequest with this message: the patch itself is malformed.
    BadRequest(String),
    /// 422 Invalid: the patch does not fit the object. Kubernetes answers the fixed message
    /// `the server rejected our request due to an error in our request` (reason Invalid) and gives the text to nobody else.
    Unprocessable(String),
    /// 413 RequestEntityTooLarge; the message is `Request entity too large: ` and this text.
    TooLarge(String),
    /// 500 InternalError whose message is this text: Kubernetes does not classify these.
    Internal(String),
}

impl PatchError {
    /// The HTTP code of the answer.
    pub fn code(&self) -> u16 {
        match self {
            PatchError::BadRequest(_) => 400,
            PatchError::TooLarge(_) => 413,
            PatchError::Unprocessable(_) => 422,
            PatchError::Internal(_) => 500,
        }
    }

    /// The Status reason of the answer; empty where Kubernetes gives none.
    pub fn reason(&self) -> &'static str {
        match self {
            PatchError::BadRequest(_) => "BadRequest",
            PatchError::TooLarge(_) => "RequestEntityTooLarge",
            PatchError::Unprocessable(_) => "Invalid",
            PatchError::Internal(_) => "",
        }
    }

    /// The Status message of the answer.
    pub fn answer(&self) -> Cow<'_, str> {
        match self {
            PatchError::Unprocessable(_) => "the server rejected our request due to an error in our request".into(),
            PatchError::TooLarge(m) => format!("Request entity too large: {m}").into(),
            PatchError::BadRequest(m) | PatchError::Internal(m) => m.into(),
        }
    }

    /// What is wrong with the patch, whether or not the answer says so.
    pub fn detail(&self) -> &str {
        match self {
            PatchError::BadRequest(m)
            | PatchError::TooLarge(m)
            | PatchError::Unprocessable(m)
            | PatchError::Internal(m) => m,
        }
    }
}

impl fmt::Display for PatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail())
    }
}

impl std::error::Error for PatchError {}
