//! A client certificate's user: the subject's common name, its organizations as groups.

use knarr_base::User;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Who the certificate names and until when (seconds since the epoch) it holds; None when it names nobody.
/// The chain must have been verified already. Source: apiserver `pkg/authentication/request/x509`.
pub fn user(leaf: &[u8]) -> Option<(User, i64)> {
    let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    if name.is_empty() {
        return None;
    }
    let groups = subject.iter_organization().filter_map(|group| group.as_str().ok()).map(str::to_owned).collect();
    let fingerprint = ring::digest::digest(&ring::digest::SHA256, leaf);
    let hex: String = fingerprint.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let extra = vec![("authentication.kubernetes.io/credential-id".to_owned(), vec![format!("X509SHA256={hex}")])];
    Some((User { name, uid: String::new(), groups, extra }, certificate.validity().not_after.timestamp()))
}
