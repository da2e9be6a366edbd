//! Continue tokens of paged lists: the form of apiserver's `pkg/storage/continue.go`, which clients may not look into but tests
//! and tools do: base64url of `{"v":"meta.k8s.io/v1","rv":7,"start":"default/x\u0000"}`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use knarr_value::{Value, value};

use crate::status::Status;

/// Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Continue {
    /// The revision of the first page; negative for a list that goes on at whatever is there now.
    pub revision: i64,
    /// The first key not yet answered, without the resource's prefix: `namespace/name\0`.
    pub start: String,
    /// Objects from there on, where they have been counted: this server's own addition.
    pub left: Option<i64>,
}

impl Continue {
    pub fn encode(&self) -> String {
        let mut token = value!({"v": "meta.k8s.io/v1", "rv": (self.revision), "start": (self.start.as_str())});
        if let Some(left) = self.left {
            token.set_path(&["left"], left);
        }
        URL_SAFE_NO_PAD.encode(knarr_value::json::to_vec(&token))
    }

    /// Errors: 400 in Kubernetes' words for a token that this server did not make.
    pub fn decode(token: &str) -> Result<Self, Status> {
        let invalid =
            |why: &str| Status::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|error| {
            let at = match error {
                base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
                _ => token.len(),
            };
            invalid(&format!("illegal base64 data at input byte {at}"))
        })?;
        let parsed = knarr_value::json::parse(&bytes).map_err(|error| invalid(&error.to_string()))?.value;
        let version = parsed.str_at(&["v"]);
        if version != "meta.k8s.io/v1" {
            return Err(invalid(&format!("server does not recognize this encoded version {version}")));
        }
        let revision = parsed.get("rv").and_then(Value::as_i64).unwrap_or(0);
        if revision == 0 {
            return Err(invalid("incorrect encoded start resourceVersion (version meta.k8s.io/v1)"));
        }
        let start = parsed.str_at(&["start"]);
        if start.is_empty() {
            return Err(invalid("encoded start key empty (version meta.k8s.io/v1)"));
        }
        // A key is namespace and name; anything that a path could climb with was not made here.
        if start.split('/').any(|part| part == "." || part == "..") {
            return Err(invalid(start));
        }
        let left = parsed.get("left").and_then(Value::as_i64).filter(|left| *left > 0);
        Ok(Self { revision, start: start.to_owned(), left })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip_and_foreign_ones_are_refused() {
        let token = Continue { revision: 7, start: "default/x\0".to_owned(), left: Some(3) };
        assert_eq!(Continue::decode(&token.encode()).expect("own token"), token);
        let refused = |token: &str| Continue::decode(token).expect_err("refused").message;
        assert!(refused("abc").starts_with("invalid continue token: continue key is not valid: "));
        assert!(refused("???").contains("illegal base64 data at input byte 0"));
        let climbing = Continue { revision: 7, start: "../x".to_owned(), left: None };
        assert!(refused(&climbing.encode()).ends_with("../x"));
    }
}
