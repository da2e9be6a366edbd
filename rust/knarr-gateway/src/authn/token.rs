//! Service-account tokens: JSON Web Tokens signed with ES256, bound to a ServiceAccount and perhaps a Pod, checked live.
//!
//! ```text
//! base64url({"alg":"ES256","kid":...}) . base64url({"iss","sub","aud","exp","iat","nbf","jti","kubernetes.io":{...}}) . signature
//! ```
//! A signature is verified once and remembered by the token's hash; time and the bound objects are checked at every use.
//! Source: RFC 7519; kubernetes `pkg/serviceaccount/claims.go`.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use knarr_base::User;
use parking_lot::RwLock;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use rustls_pki_types::pem::PemObject;
use serde_json::Value as Json;

/// Verified tokens remembered: a controller or agent has one or a few.
const VERIFIED_MAX: usize = 16_384;
/// A token's length accepted; Kubernetes' are below 2 kB.
const TOKEN_BYTES_MAX: usize = 16 << 10;
/// Objects deleted longer ago than this no longer vouch for a token (a pod may use its own until it has stopped).
pub const DELETION_LEEWAY_SECONDS: i64 = 60;
/// What a P-256 public key's SubjectPublicKeyInfo begins with; the 65 bytes of the point follow.
const SPKI_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A key that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyError(pub String);

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for KeyError {}

/// Kubernetes' key id: the hash of the SubjectPublicKeyInfo.
fn key_id(point: &[u8]) -> String {
    BASE64.encode(digest(&SHA256, &[&SPKI_HEAD, point].concat()))
}

/// The private key that signs tokens.
pub struct Signer {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    kid: String,
}

impl Signer {
    /// From a PKCS#8 PEM (`BEGIN PRIVATE KEY`) of a P-256 key.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let wrong = |why: &dyn fmt::Display| KeyError(format!("token signing key: {why}"));
        let key = rustls_pki_types::PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|error| wrong(&error))?;
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret_pkcs8_der(), &random)
            .map_err(|error| wrong(&error))?;
        let kid = key_id(pair.public_key().as_ref());
        Ok(Self { pair, random, kid })
    }

    /// The public point, uncompressed, 65 bytes.
    pub fn public_key(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }

    /// The key as a JSON Web Key, for `/openid/v1/jwks`.
    pub fn jwk(&self) -> String {
        let point = self.public_key();
        let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..65]));
        format!(r#"{{"use":"sig","kty":"EC","kid":"{}","crv":"P-256","alg":"ES256","x":"{x}","y":"{y}"}}"#, self.kid)
    }

    /// A token over `claims`, a JSON object. Errors: the system's generator failed.
    pub fn sign(&self, claims: &[u8]) -> Result<String, KeyError> {
        let header = format!(r#"{{"alg":"ES256","kid":"{}"}}"#, self.kid);
        let mut token = BASE64.encode(header);
        token.push('.');
        BASE64.encode_string(claims, &mut token);
        let signature =
            self.pair.sign(&self.random, token.as_bytes()).map_err(|error| KeyError(format!("signing: {error}")))?;
        token.push('.');
        BASE64.encode_string(signature.as_ref(), &mut token);
        Ok(token)
    }
}

/// The public point (65 bytes) of a P-256 key's PEM (`BEGIN PUBLIC KEY`), for [`Tokens::new`].
pub fn public_key_from_pem(pem: &[u8]) -> Result<Vec<u8>, KeyError> {
    let key = rustls_pki_types::SubjectPublicKeyInfoDer::from_pem_slice(pem)
        .map_err(|error| KeyError(format!("token key: {error}")))?;
    match key.as_ref().strip_prefix(&SPKI_HEAD) {
        Some(point) if point.len() == 65 => Ok(point.to_vec()),
        _ => Err(KeyError("token key: not a P-256 public key".to_owned())),
    }
}

/// An object a token is bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    pub name: String,
    pub uid: String,
}

/// What a token says, its signature being good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    pub issuer: String,
    pub subject: String,
    pub audiences: Vec<String>,
    pub expires: i64,
    pub not_before: i64,
    pub id: String,
    pub namespace: String,
    pub account: Bound,
    pub pod: Option<Bound>,
    pub node: Option<Bound>,
}

fn bound(parent: &Json, key: &str) -> Option<Bound> {
    let object = parent.get(key)?;
    let text = |key: &str| object.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
    Some(Bound { name: text("name"), uid: text("uid") })
}

impl Claims {
    fn parse(payload: &[u8]) -> Option<Self> {
        let json: Json = serde_json::from_slice(payload).ok()?;
        let text = |key: &str| json.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
        let audiences = match json.get("aud") {
            Some(Json::String(one)) => vec![one.clone()],
            Some(Json::Array(many)) => many.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        let private = json.get("kubernetes.io")?;
        Some(Self {
            issuer: text("iss"),
            subject: text("sub"),
            audiences,
            expires: json.get("exp")?.as_i64()?,
            not_before: json.get("nbf").and_then(Json::as_i64).unwrap_or(0),
            id: text("jti"),
            namespace: private.get("namespace")?.as_str()?.to_owned(),
            account: bound(private, "serviceaccount")?,
            pod: bound(private, "pod"),
            node: bound(private, "node"),
        })
    }

    /// The user the token stands for.
    pub fn user(&self) -> User {
        let namespace = &self.namespace;
        let mut extra = Vec::new();
        let mut add =
            |key: &str, value: String| extra.push((format!("authentication.kubernetes.io/{key}"), vec![value]));
        if !self.id.is_empty() {
            add("credential-id", format!("JTI={}", self.id));
        }
        if let Some(pod) = &self.pod {
            add("pod-name", pod.name.clone());
            add("pod-uid", pod.uid.clone());
        }
        if let Some(node) = &self.node {
            add("node-name", node.name.clone());
            if !node.uid.is_empty() {
                add("node-uid", node.uid.clone());
            }
        }
        User {
            name: format!("system:serviceaccount:{namespace}:{}", self.account.name),
            uid: self.account.uid.clone(),
            groups: vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")],
            extra,
        }
    }
}

/// Whether the objects a token is bound to are still there.
pub trait Objects: Send + Sync {
    /// Whether `core/PLURAL/NAMESPACE/NAME` has this uid and was not deleted more than [`DELETION_LEEWAY_SECONDS`] before `now`.
    fn holds(&self, plural: &str, namespace: &str, name: &str, uid: &str, now: i64) -> bool;
}

/// A token whose signature is good: what it says, and its user.
type Verified = (Claims, Arc<User>);

/// Verifies tokens.
pub struct Tokens {
    issuer: String,
    audiences: Vec<String>,
    /// Key id and public point.
    keys: Vec<(String, Vec<u8>)>,
    verified: RwLock<HashMap<[u8; 32], Arc<Verified>, RandomState>>,
}

impl Tokens {
    /// `keys`: public points (65 bytes) of every key that may have signed a token still in use.
    pub fn new(issuer: String, audiences: Vec<String>, keys: Vec<Vec<u8>>) -> Self {
        let keys = keys.into_iter().map(|point| (key_id(&point), point)).collect();
        Self { issuer, audiences, keys, verified: RwLock::default() }
    }

    /// The user of a bearer token, for an API server's own audiences. None: not ours, or no longer good.
    /// `now`: seconds since the epoch.
    pub fn authenticate(&self, token: &str, now: i64, objects: &dyn Objects) -> Option<Arc<User>> {
        let (_, user) = &*self.checked(token, &self.audiences, now, objects)?;
        Some(user.clone())
    }

    /// A TokenReview's question: the user, and which of `audiences` (empty: the server's own) the token is for.
    pub fn review(
        &self,
        token: &str,
        audiences: &[String],
        now: i64,
        objects: &dyn Objects,
    ) -> Option<(Arc<User>, Vec<String>)> {
        let wanted = if audiences.is_empty() { &self.audiences } else { audiences };
        let known = self.checked(token, wanted, now, objects)?;
        let matching = wanted.iter().filter(|audience| known.0.audiences.contains(audience)).cloned().collect();
        Some((known.1.clone(), matching))
    }

    fn checked(&self, token: &str, audiences: &[String], now: i64, objects: &dyn Objects) -> Option<Arc<Verified>> {
        let known = self.verify(token)?;
        let claims = &known.0;
        if claims.issuer != self.issuer || now >= claims.expires || now < claims.not_before {
            return None;
        }
        if !claims.audiences.iter().any(|audience| audiences.contains(audience)) {
            return None;
        }
        let there = |plural: &str, namespace: &str, bound: &Bound| {
            objects.holds(plural, namespace, &bound.name, &bound.uid, now)
        };
        let pod = claims.pod.as_ref().is_none_or(|pod| there("pods", &claims.namespace, pod));
        // A token with a pod only tells the node in passing; without one it is bound to the node.
        let node = claims.pod.is_some() || claims.node.as_ref().is_none_or(|node| there("nodes", "", node));
        (pod && node && there("serviceaccounts", &claims.namespace, &claims.account)).then_some(known)
    }

    /// Checks signature and form, or remembers having done so.
    fn verify(&self, token: &str) -> Option<Arc<Verified>> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let hash: [u8; 32] = digest(&SHA256, token.as_bytes()).as_ref().try_into().ok()?;
        if let Some(known) = self.verified.read().get(&hash) {
            return Some(known.clone());
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let header: Json = serde_json::from_slice(&BASE64.decode(header).ok()?).ok()?;
        if header.get("alg").and_then(Json::as_str) != Some("ES256") {
            return None;
        }
        let kid = header.get("kid").and_then(Json::as_str);
        let signature = BASE64.decode(signature).ok()?;
        let candidates = self.keys.iter().filter(|(id, _)| kid.is_none_or(|kid| kid == id));
        let good = candidates.into_iter().any(|(_, point)| {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed.as_bytes(), &signature).is_ok()
        });
        if !good {
            return None;
        }
        let claims = Claims::parse(&BASE64.decode(payload).ok()?)?;
        let mut user = claims.user();
        // The subject must agree with the private claims: both were signed together.
        if claims.subject != user.name {
            return None;
        }
        user.groups.push("system:authenticated".to_owned());
        let known = Arc::new((claims, Arc::new(user)));
        let mut verified = self.verified.write();
        if verified.len() >= VERIFIED_MAX {
            verified.clear();
        }
        verified.insert(hash, known.clone());
        Some(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Uids(Vec<(&'static str, &'static str, &'static str)>);

    impl Objects for Uids {
        fn holds(&self, plural: &str, _namespace: &str, name: &str, uid: &str, _now: i64) -> bool {
            self.0.contains(&(plural, name, uid))
        }
    }

    fn signer() -> Signer {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
        Signer::from_pem(pair.serialize_pem().as_bytes()).expect("a usable key")
    }

    fn claims(change: &str) -> String {
        let base = r#"{"iss":"https://k","sub":"system:serviceaccount:ns:sa","aud":["https://k"],"exp":2000,"nbf":1000,"jti":"j",
            "kubernetes.io":{"namespace":"ns","serviceaccount":{"name":"sa","uid":"u1"},"pod":{"name":"p","uid":"u2"}}}"#;
        match change.split_once("=>") {
            Some((from, to)) => base.replace(from, to),
            None => base.to_owned(),
        }
    }

    #[test]
    fn a_token_is_good_for_its_audience_its_time_and_its_objects() {
        let signer = signer();
        let tokens = Tokens::new("https://k".into(), vec!["https://k".into()], vec![signer.public_key()]);
        let all = Uids(vec![("serviceaccounts", "sa", "u1"), ("pods", "p", "u2")]);
        let token = signer.sign(claims("").as_bytes()).expect("signed");
        let user = tokens.authenticate(&token, 1500, &all).expect("good");
        assert_eq!(user.name, "system:serviceaccount:ns:sa");
        assert_eq!(user.groups, ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"]);
        assert!(user.extra.contains(&("authentication.kubernetes.io/pod-name".to_owned(), vec!["p".to_owned()])));
        // Time.
        assert!(tokens.authenticate(&token, 999, &all).is_none());
        assert!(tokens.authenticate(&token, 2000, &all).is_none());
        // The bound objects, checked live although the signature is remembered.
        assert!(tokens.authenticate(&token, 1500, &Uids(vec![("serviceaccounts", "sa", "u1")])).is_none());
        let reborn = Uids(vec![("serviceaccounts", "sa", "u9"), ("pods", "p", "u2")]);
        assert!(tokens.authenticate(&token, 1500, &reborn).is_none());
        // Audience, issuer, subject.
        for change in [
            r#""aud":["https://k"]=>"aud":["other"]"#,
            r#""iss":"https://k"=>"iss":"x""#,
            "account:ns:sa=>account:ns:root",
        ] {
            let token = signer.sign(claims(change).as_bytes()).expect("signed");
            assert!(tokens.authenticate(&token, 1500, &all).is_none(), "{change}");
        }
        let other = signer.sign(claims(r#"["https://k"]=>["vault","db"]"#).as_bytes()).expect("signed");
        let (_, audiences) = tokens.review(&other, &["db".to_owned()], 1500, &all).expect("good for the database");
        assert_eq!(audiences, ["db"]);
    }

    #[test]
    fn a_changed_or_foreign_token_is_refused() {
        let (ours, theirs) = (signer(), signer());
        let tokens = Tokens::new("https://k".into(), vec!["https://k".into()], vec![ours.public_key()]);
        let all = Uids(vec![("serviceaccounts", "sa", "u1"), ("pods", "p", "u2")]);
        assert!(tokens.authenticate(&theirs.sign(claims("").as_bytes()).expect("signed"), 1500, &all).is_none());
        let token = ours.sign(claims("").as_bytes()).expect("signed");
        let forged = claims("account:ns:sa=>account:ns:sb");
        let parts: Vec<&str> = token.split('.').collect();
        assert!(
            tokens.authenticate(&format!("{}.{}.{}", parts[0], BASE64.encode(forged), parts[2]), 1500, &all).is_none()
        );
        let none = BASE64.encode(r#"{"alg":"none"}"#);
        assert!(tokens.authenticate(&format!("{none}.{}.", parts[1]), 1500, &all).is_none());
        for noise in ["", ".", "..", "a.b.c", "Zm9v.YmFy.YmF6"] {
            assert!(tokens.authenticate(noise, 1500, &all).is_none(), "{noise}");
        }
    }
}
