//! A whole gateway on loopback over a store in memory: its PKI, a few kinds, and plain hyper clients. Shared by the integration tests
//! and the example `serve`.

#![allow(dead_code, clippy::expect_used, clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use knarr_base::{Clock, Instant, SeededRng, WallTime};
use knarr_gateway::authn::token::Signer;
use knarr_gateway::flow::FlowLimits;
use knarr_gateway::gateway::{BODY_BYTES_MAX, REQUEST_TIMEOUT, anonymous_paths};
use knarr_gateway::proxy::Kubelets;
use knarr_gateway::tls::{ServerTls, client_config};
use knarr_gateway::{Config, Gateway, listen};
use knarr_machinery::{Machinery, NoHooks, Parts, Settings};
use knarr_schema::CompiledKind;
use knarr_store::{MemoryStore, Store};
use knarr_value::types::TypeTable;
use knarr_watch::{Hub, Limits};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

const TYPES: &[u8] = include_bytes!("../../../../python/knarr/api/_tables/types.json.zz");

/// The machine's clock.
pub struct RealClock(std::time::Instant);

impl RealClock {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(std::time::Instant::now()))
    }
}

impl Clock for RealClock {
    fn now(&self) -> Instant {
        Instant(self.0.elapsed().as_nanos() as u64)
    }

    fn wall(&self) -> WallTime {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        WallTime(since.as_micros() as i64)
    }
}

/// A certificate and its key, PEM.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

/// A CA that issues what tests need.
pub struct Pki {
    pub ca: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test-ca");
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let ca = params.self_signed(&key).expect("a CA").pem();
        Self { ca, issuer: Issuer::new(params, key) }
    }

    fn issue(&self, names: &[&str], common: &str, groups: &[&str], usage: ExtendedKeyUsagePurpose, days: i64) -> Pair {
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).expect("names");
        params.distinguished_name.push(DnType::CommonName, common);
        for group in groups {
            params.distinguished_name.push(DnType::OrganizationName, *group);
        }
        params.extended_key_usages = vec![usage];
        if days < 0 {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2020, 1, 2);
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed").pem();
        Pair { certificate, key: key.serialize_pem() }
    }

    pub fn server(&self) -> Pair {
        self.issue(&["localhost", "127.0.0.1"], "server", &[], ExtendedKeyUsagePurpose::ServerAuth, 1)
    }

    pub fn client(&self, name: &str, groups: &[&str]) -> Pair {
        self.issue(&[], name, groups, ExtendedKeyUsagePurpose::ClientAuth, 1)
    }

    pub fn expired(&self, name: &str) -> Pair {
        self.issue(&[], name, &["system:masters"], ExtendedKeyUsagePurpose::ClientAuth, -1)
    }

    pub fn server_tls(&self) -> Arc<ServerTls> {
        let pair = self.server();
        let alpn: [&[u8]; 2] = [b"h2", b"http/1.1"];
        Arc::new(
            ServerTls::new(pair.certificate.as_bytes(), pair.key.as_bytes(), self.ca.as_bytes(), &alpn).expect("TLS"),
        )
    }
}

fn kind(group: &str, kind: &str, plural: &str, namespaced: bool, extra: serde_json::Value) -> Vec<u8> {
    let package = match group {
        "" => "core".to_owned(),
        "rbac.authorization.k8s.io" => "rbac".to_owned(),
        other => other.split('.').next().expect("a word").to_owned(),
    };
    let mut doc = serde_json::json!({
        "group": group, "version": "v1", "kind": kind, "plural": plural, "singular": kind.to_lowercase(), "namespaced": namespaced,
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        "type": format!("io.k8s.api.{package}.v1.{kind}"),
    });
    for (key, value) in extra.as_object().expect("an object") {
        doc[key] = value.clone();
    }
    serde_json::to_vec(&doc).expect("JSON")
}

/// A few kinds without rules: enough for routes, authorization and watches.
pub fn kinds() -> Vec<Vec<u8>> {
    let none = serde_json::json!({});
    let rbac = "rbac.authorization.k8s.io";
    let pod = serde_json::json!({
        "selectable": [{"field": "spec.nodeName", "paths": ["spec.nodeName"]}],
        "subresources": [
            {"name": "status", "verbs": ["get", "patch", "update"]},
            {"name": "log", "verbs": ["get"], "cold": true},
            {"name": "exec", "verbs": ["create", "get"], "cold": true},
        ],
    });
    vec![
        kind("", "ConfigMap", "configmaps", true, none.clone()),
        kind("", "Secret", "secrets", true, none.clone()),
        kind("", "ServiceAccount", "serviceaccounts", true, none.clone()),
        kind("", "Namespace", "namespaces", false, none.clone()),
        kind("", "Node", "nodes", false, none.clone()),
        kind("", "Pod", "pods", true, pod),
        kind(rbac, "Role", "roles", true, none.clone()),
        kind(rbac, "RoleBinding", "rolebindings", true, none.clone()),
        kind(rbac, "ClusterRole", "clusterroles", false, none.clone()),
        kind(rbac, "ClusterRoleBinding", "clusterrolebindings", false, none),
    ]
}

/// A gateway that serves.
pub struct World {
    pub pki: Pki,
    pub gateway: Arc<Gateway>,
    pub address: SocketAddr,
    pub tls: Arc<ServerTls>,
    stop: watch::Sender<bool>,
}

impl World {
    pub fn start(address: &str, flow: FlowLimits) -> Self {
        let pki = Pki::new();
        let store: Arc<dyn Store> = MemoryStore::new();
        let clock = RealClock::new();
        let hub = Arc::new(Hub::new(store.clone(), clock.clone(), Limits::default()));
        let types = Arc::new(TypeTable::load(TYPES).expect("the committed table"));
        let machinery = Machinery::new(Parts {
            store,
            hub,
            clock: clock.clone(),
            rng: Box::new(SeededRng::new(1)),
            hooks: Arc::new(NoHooks),
            types: types.clone(),
            settings: Settings::default(),
        });
        for doc in kinds() {
            machinery.add_kind(CompiledKind::compile(&doc, &types).expect("a kind"));
        }
        let kubelet_client = pki.client("kube-apiserver-kubelet-client", &["system:masters"]);
        let kubelets = Kubelets {
            tls: client_config(pki.ca.as_bytes(), kubelet_client.certificate.as_bytes(), kubelet_client.key.as_bytes())
                .expect("TLS"),
        };
        let signing = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let issuer = "https://kubernetes.default.svc.cluster.local".to_owned();
        let config = Config {
            audiences: vec![issuer.clone()],
            issuer,
            signer: Signer::from_pem(signing.serialize_pem().as_bytes()).expect("a key"),
            older_keys: Vec::new(),
            kubelets,
            flow,
            anonymous_paths: anonymous_paths(),
            body_bytes_max: BODY_BYTES_MAX,
            request_timeout: REQUEST_TIMEOUT,
            audit_log: None,
        };
        let gateway = Gateway::new(machinery.clone(), clock, config).expect("a gateway");
        let listener = listen::bind(address.parse().expect("an address")).expect("a port");
        let address = listener.local_addr().expect("bound");
        let tls = pki.server_tls();
        let (stop, stopped) = watch::channel(false);
        let serving = gateway.clone();
        let server_tls = tls.clone();
        tokio::spawn(async move { serving.serve(listener, server_tls, stopped).await.expect("serving") });
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                machinery.tick().await;
            }
        });
        Self { pki, gateway, address, tls, stop }
    }

    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub fn admin(&self) -> Client {
        self.client(Some(&self.pki.client("kubernetes-admin", &["system:masters"])))
    }

    pub fn client(&self, pair: Option<&Pair>) -> Client {
        Client { address: self.address, tls: client_tls(&self.pki.ca, pair), bearer: None }
    }
}

fn client_tls(ca: &str, pair: Option<&Pair>) -> rustls::ClientConfig {
    use rustls_pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls_pki_types::CertificateDer::from_pem_slice(ca.as_bytes()).expect("PEM")).expect("a CA");
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    match pair {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let chain =
                vec![rustls_pki_types::CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("PEM")];
            let key = rustls_pki_types::PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("PEM");
            builder.with_client_auth_cert(chain, key).expect("a client certificate")
        }
    }
}

/// Makes connections as one user.
#[derive(Clone)]
pub struct Client {
    pub address: SocketAddr,
    tls: rustls::ClientConfig,
    pub bearer: Option<String>,
}

pub type Body = Full<Bytes>;

impl Client {
    pub async fn tls(&self, alpn: &[u8]) -> tokio_rustls::client::TlsStream<TcpStream> {
        let mut config = self.tls.clone();
        config.alpn_protocols = vec![alpn.to_vec()];
        let tcp = TcpStream::connect(self.address).await.expect("connected");
        let name = rustls_pki_types::ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await.expect("TLS")
    }

    pub async fn h1(&self) -> hyper::client::conn::http1::SendRequest<Body> {
        let io = TokioIo::new(self.tls(b"http/1.1").await);
        let (sender, connection) = hyper::client::conn::http1::handshake(io).await.expect("HTTP/1.1");
        tokio::spawn(connection.with_upgrades());
        sender
    }

    pub async fn h2(&self) -> hyper::client::conn::http2::SendRequest<Body> {
        let io = TokioIo::new(self.tls(b"h2").await);
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
        tokio::spawn(connection);
        sender
    }

    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Request<Body> {
        let mut request =
            Request::builder().method(method).uri(format!("https://localhost{path}")).header("host", "localhost");
        if let Some(token) = &self.bearer {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).expect("a request")
    }

    /// One request on a connection of its own: code and body.
    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let response = self.response(method, path, headers, body).await;
        let code = response.status().as_u16();
        (code, text(response).await)
    }

    pub async fn response(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response<Incoming> {
        self.h1().await.send_request(self.request(method, path, headers, body)).await.expect("an answer")
    }
}

pub async fn text(response: Response<Incoming>) -> String {
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// The next piece of a streamed body, as text.
pub async fn next_piece(response: &mut Response<Incoming>) -> String {
    let frame = tokio::time::timeout(Duration::from_secs(5), response.body_mut().frame()).await.expect("in time");
    let data = frame.expect("not the end").expect("no error").into_data().expect("data");
    String::from_utf8(data.to_vec()).expect("text")
}
