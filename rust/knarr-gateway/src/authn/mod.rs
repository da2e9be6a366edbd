//! Who is asking: a client certificate, a service-account token, or nobody; and acting as somebody else.

pub mod impersonate;
pub mod token;
pub mod x509;

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use knarr_base::User;
use knarr_machinery::Machinery;
use knarr_store::KeySpace;
use knarr_value::stored;
use knarr_value::time::Timestamp;

use crate::listen::{Peer, PeerCertificate};
use crate::upgrade;
use token::{DELETION_LEEWAY_SECONDS, Objects, Tokens};

/// The answer of authentication.
#[derive(Clone, Debug)]
pub enum Identity {
    User(Arc<User>),
    /// No credentials were shown.
    Anonymous,
    /// Credentials were shown and are not good: 401, also where anonymous users may go.
    Refused,
}

/// A valid client certificate wins over a token. `now`: seconds since the epoch.
pub fn authenticate(peer: &Peer, headers: &HeaderMap, tokens: &Tokens, objects: &dyn Objects, now: i64) -> Identity {
    match &peer.certificate {
        PeerCertificate::User { user, not_after } if now <= *not_after => return Identity::User(user.clone()),
        PeerCertificate::User { .. } | PeerCertificate::Invalid => return Identity::Refused,
        PeerCertificate::None => {}
    }
    let in_header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.trim().split_once(' ')?;
        // Other schemes are nobody's here, as in Kubernetes.
        (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then(|| token.trim().to_owned())
    });
    let Some(token) = in_header.or_else(|| upgrade::wanted(headers).and_then(|_| upgrade::bearer(headers))) else {
        return Identity::Anonymous;
    };
    match tokens.authenticate(&token, now, objects) {
        Some(user) => Identity::User(user),
        None => Identity::Refused,
    }
}

/// Bound objects, looked up in the store: the header alone unless the object is being deleted.
pub struct StoredObjects<'a>(pub &'a Machinery);

impl Objects for StoredObjects<'_> {
    fn holds(&self, plural: &str, namespace: &str, name: &str, uid: &str, now: i64) -> bool {
        let registry = self.0.registry();
        let Some(kind) = registry.stored("", plural) else { return false };
        let Ok(Some(record)) = self.0.store().get(KeySpace::Cluster, &kind.key(namespace, name), None) else {
            return false;
        };
        let Ok(found) = stored::decode(&record.value) else { return false };
        if found.uid() != stored::uid_bytes(uid) {
            return false;
        }
        if !found.deleting() {
            return true;
        }
        let Ok(object) = found.to_value(record.mod_revision) else { return false };
        let since = object.str_at(&["metadata", "deletionTimestamp"]);
        Timestamp::parse(since).is_ok_and(|time| time.seconds + DELETION_LEEWAY_SECONDS >= now)
    }
}
