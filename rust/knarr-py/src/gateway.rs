//! `Gateway`: the API server's outer half, composed from Python; cold routes are called on one Python thread of its own.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use bytes::Bytes;
use knarr_authz::{Attributes, Decision, RoleRef, Rule, Target};
use knarr_base::{BoxFuture, User};
use knarr_gateway::authn::StoredObjects;
use knarr_gateway::authn::token::{Signer, public_key_from_pem};
use knarr_gateway::cold::{ColdHandler, ColdReply, ColdRequest};
use knarr_gateway::flow::FlowLimits;
use knarr_gateway::gateway::{BODY_BYTES_MAX, REQUEST_TIMEOUT, anonymous_paths};
use knarr_gateway::proxy::Kubelets;
use knarr_gateway::statics::Document;
use knarr_gateway::tls::{ServerTls, client_config};
use knarr_gateway::{Config, Gateway as Core, listen};
use knarr_io::SystemClock;
use parking_lot::Mutex;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use tokio::sync::{oneshot, watch};

use crate::machinery::PyMachinery;
use crate::runtime::runtime;

/// Cold requests that wait for the Python thread; beyond it they fail at once rather than pile up.
const COLD_QUEUE: usize = 1_024;

/// Whom a request speaks for.
#[pyclass(frozen, module = "knarr._core", name = "User")]
pub(crate) struct PyUser(Arc<User>);

#[pymethods]
impl PyUser {
    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    #[getter]
    fn uid(&self) -> &str {
        &self.0.uid
    }

    #[getter]
    fn groups(&self) -> Vec<String> {
        self.0.groups.clone()
    }

    #[getter]
    fn extra(&self) -> BTreeMap<String, Vec<String>> {
        self.0.extra.iter().cloned().collect()
    }

    fn __repr__(&self) -> String {
        format!("User({:?}, groups={:?})", self.0.name, self.0.groups)
    }
}

/// Reads any object with the attributes name, uid, groups and extra.
fn user_of(object: &Bound<'_, PyAny>) -> PyResult<User> {
    if let Ok(user) = object.cast::<PyUser>() {
        return Ok(User::clone(&user.get().0));
    }
    let mut groups = Vec::new();
    for group in object.getattr("groups")?.try_iter()? {
        groups.push(group?.extract()?);
    }
    let mut extra = Vec::new();
    for item in object.getattr("extra")?.call_method0("items")?.try_iter()? {
        let (key, values): (String, Bound<'_, PyAny>) = item?.extract()?;
        let values: PyResult<Vec<String>> = values.try_iter()?.map(|value| value?.extract()).collect();
        extra.push((key, values?));
    }
    Ok(User { name: object.getattr("name")?.extract()?, uid: object.getattr("uid")?.extract()?, groups, extra })
}

/// A request of a cold route or of a node's path.
#[pyclass(frozen, module = "knarr._core", name = "ColdRequest")]
pub(crate) struct PyColdRequest(pub(crate) ColdRequest);

#[pymethods]
impl PyColdRequest {
    #[getter]
    fn user(&self) -> PyUser {
        PyUser(self.0.user.clone())
    }

    #[getter]
    fn method(&self) -> &str {
        &self.0.method
    }

    #[getter]
    fn path(&self) -> &str {
        &self.0.path
    }

    /// The parts of the path that the pattern names.
    #[getter]
    fn params(&self) -> BTreeMap<String, String> {
        self.0.params.iter().cloned().collect()
    }

    /// Query pairs in order, decoded.
    #[getter]
    fn query(&self) -> Vec<(String, String)> {
        self.0.query.clone()
    }

    /// Headers, names in lower case, without credentials.
    #[getter]
    fn headers(&self) -> BTreeMap<String, String> {
        self.0.headers.iter().cloned().collect()
    }

    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.body)
    }
}

/// Code, content type, body and headers of a request of this process.
type InProcessAnswer<'py> = (u16, String, Bound<'py, PyBytes>, BTreeMap<String, String>);

type Answer = oneshot::Sender<Result<ColdReply, String>>;

/// One call for the Python thread.
struct Job {
    handler: Arc<Py<PyAny>>,
    request: ColdRequest,
    answer: Answer,
}

/// A Python callable as a cold route: `handler(request) -> (code, content_type, body[, headers])`.
struct PyRoute {
    handler: Arc<Py<PyAny>>,
    jobs: SyncSender<Job>,
}

impl ColdHandler for PyRoute {
    fn call(&self, request: ColdRequest) -> BoxFuture<Result<ColdReply, String>> {
        let (answer, answered) = oneshot::channel();
        let job = Job { handler: self.handler.clone(), request, answer };
        let refused = match self.jobs.try_send(job) {
            Ok(()) => None,
            Err(TrySendError::Full(_)) => Some("too many requests wait for Python"),
            Err(TrySendError::Disconnected(_)) => Some("the Python thread has ended"),
        };
        Box::pin(async move {
            match refused {
                Some(why) => Err(why.to_owned()),
                None => answered.await.unwrap_or_else(|_| Err("the handler's thread dropped the request".to_owned())),
            }
        })
    }
}

fn run_job(py: Python<'_>, handler: &Py<PyAny>, request: ColdRequest) -> PyResult<ColdReply> {
    let answer = handler.bind(py).call1((PyColdRequest(request),))?;
    let code: u16 = answer.get_item(0)?.extract()?;
    let content_type: String = answer.get_item(1)?.extract()?;
    let body: Vec<u8> = answer.get_item(2)?.extract()?;
    let headers = match answer.len()? {
        0..=3 => Vec::new(),
        _ => answer.get_item(3)?.extract::<BTreeMap<String, String>>()?.into_iter().collect(),
    };
    Ok(ColdReply { code, content_type, body: Bytes::from(body), headers })
}

/// An exception with its traceback, for the log.
pub(crate) fn describe(py: Python<'_>, error: &PyErr) -> String {
    let trace = error.traceback(py).and_then(|trace| trace.format().ok()).unwrap_or_default();
    format!("{trace}{error}")
}

/// The thread that calls handlers, one at a time, until the last sender is gone.
fn start_thread() -> std::io::Result<SyncSender<Job>> {
    let (jobs, queue) = sync_channel::<Job>(COLD_QUEUE);
    std::thread::Builder::new().name("knarr-python".to_owned()).spawn(move || {
        while let Ok(Job { handler, request, answer }) = queue.recv() {
            let result = Python::attach(|py| run_job(py, &handler, request).map_err(|error| describe(py, &error)));
            // The client may have gone; then nobody waits for the answer.
            let _ = answer.send(result);
        }
    })?;
    Ok(jobs)
}

/// A listener's TLS and the files it was read from.
struct Listener {
    tls: Arc<ServerTls>,
    certificate: PathBuf,
    key: PathBuf,
}

/// Gateway(machinery, *, client_ca, ca, token_signing_key, token_keys, issuer, audiences, kubelet_client_cert, kubelet_client_key,
/// audit_log, anonymous_paths): authentication, authorization, flow control and routes before a Machinery. All keys and
/// certificates are PEM bytes.
#[pyclass(frozen, module = "knarr._core")]
pub(crate) struct Gateway {
    core: Arc<Core>,
    client_ca: Vec<u8>,
    jobs: SyncSender<Job>,
    stop: watch::Sender<bool>,
    listeners: Mutex<Vec<Listener>>,
    serving: Mutex<Vec<tokio::task::JoinHandle<std::io::Result<()>>>>,
    texts: Arc<Mutex<BTreeMap<String, String>>>,
}

fn value_error(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

fn attribute(attributes: &Bound<'_, PyDict>, key: &str) -> PyResult<String> {
    match attributes.get_item(key)? {
        Some(value) if !value.is_none() => value.extract(),
        _ => Ok(String::new()),
    }
}

fn rules_of(rules: &Bound<'_, PyAny>) -> PyResult<Vec<Rule>> {
    let list = |rule: &Bound<'_, PyAny>, key: &str| -> PyResult<Vec<String>> {
        let found = rule.call_method1("get", (key,))?;
        if found.is_none() { Ok(Vec::new()) } else { found.extract() }
    };
    let mut out = Vec::new();
    for rule in rules.try_iter()? {
        let rule = rule?;
        out.push(Rule {
            verbs: list(&rule, "verbs")?,
            groups: list(&rule, "apiGroups")?,
            resources: list(&rule, "resources")?,
            names: list(&rule, "resourceNames")?,
            urls: list(&rule, "nonResourceURLs")?,
        });
    }
    Ok(out)
}

#[pymethods]
impl Gateway {
    /// Raises ValueError for keys and certificates that cannot be used, OSError for an audit log or thread that cannot be opened.
    #[new]
    #[pyo3(signature = (machinery, *, client_ca, ca, token_signing_key, kubelet_client_cert, kubelet_client_key,
        issuer="https://kubernetes.default.svc.cluster.local".to_owned(), audiences=None, token_keys=Vec::new(), audit_log=None,
        anonymous=None))]
    #[allow(clippy::too_many_arguments)] // Keyword arguments of a Python constructor.
    fn new(
        machinery: PyRef<'_, PyMachinery>,
        client_ca: Vec<u8>,
        ca: Vec<u8>,
        token_signing_key: Vec<u8>,
        kubelet_client_cert: Vec<u8>,
        kubelet_client_key: Vec<u8>,
        issuer: String,
        audiences: Option<Vec<String>>,
        token_keys: Vec<Vec<u8>>,
        audit_log: Option<PathBuf>,
        anonymous: Option<Vec<String>>,
    ) -> PyResult<Self> {
        let older_keys: Result<Vec<_>, _> = token_keys.iter().map(|pem| public_key_from_pem(pem)).collect();
        let kubelets =
            Kubelets { tls: client_config(&ca, &kubelet_client_cert, &kubelet_client_key).map_err(value_error)? };
        let config = Config {
            audiences: audiences.unwrap_or_else(|| vec![issuer.clone()]),
            issuer,
            signer: Signer::from_pem(&token_signing_key).map_err(value_error)?,
            older_keys: older_keys.map_err(value_error)?,
            kubelets,
            flow: FlowLimits::default(),
            anonymous_paths: anonymous.unwrap_or_else(anonymous_paths),
            body_bytes_max: BODY_BYTES_MAX,
            request_timeout: REQUEST_TIMEOUT,
            audit_log,
        };
        let core = Core::new(machinery.shared(), Arc::new(SystemClock), config)
            .map_err(|error| PyOSError::new_err(error.to_string()))?;
        let texts: Arc<Mutex<BTreeMap<String, String>>> = Arc::default();
        let shown = texts.clone();
        core.metrics.add_source(Box::new(move |out| shown.lock().values().for_each(|text| out.push_str(text))));
        Ok(Self {
            core,
            client_ca,
            jobs: start_thread()?,
            stop: watch::Sender::new(false),
            listeners: Mutex::default(),
            serving: Mutex::default(),
            texts,
        })
    }

    /// Answer `method` at `pattern` (`/a/{name}/b`, `{rest...}` at the end) by `handler(request) -> (code, content_type, body
    /// [, headers])`, on the gateway's one Python thread. What it raises costs that request: 500, and the log.
    fn add_route(&self, method: &str, pattern: &str, handler: Py<PyAny>) {
        let route = PyRoute { handler: Arc::new(handler), jobs: self.jobs.clone() };
        self.core.cold.add(method, pattern, Arc::new(route));
    }

    /// Serve [(content_type, body)] at `path`; the first is answered where the client has no preference. immutable: a URL with
    /// `?hash=ETAG` may be cached for good.
    #[pyo3(signature = (path, documents, etag="", *, immutable=false))]
    fn set_static(&self, path: &str, documents: Vec<(String, Vec<u8>)>, etag: &str, immutable: bool) -> PyResult<()> {
        let documents: PyResult<Vec<Document>> = documents
            .into_iter()
            .map(|(content_type, body)| {
                let content_type = content_type.parse().map_err(value_error)?;
                Ok(Document { content_type, body: body.into(), etag: etag.to_owned(), immutable })
            })
            .collect();
        for document in documents? {
            self.core.statics.set(path, document);
        }
        Ok(())
    }

    fn remove_static(&self, path: &str) {
        self.core.statics.remove(path);
    }

    /// Listen and serve; call it once a listener. port 0: any. Answers the port. Raises OSError (port in use), ValueError
    /// (certificate).
    fn serve(&self, py: Python<'_>, host: &str, port: u16, cert_path: PathBuf, key_path: PathBuf) -> PyResult<u16> {
        let host: IpAddr = host.parse().map_err(value_error)?;
        let alpn: [&[u8]; 2] = [b"h2", b"http/1.1"];
        let (certificate, key) = (std::fs::read(&cert_path)?, std::fs::read(&key_path)?);
        let tls = Arc::new(ServerTls::new(&certificate, &key, &self.client_ca, &alpn).map_err(value_error)?);
        let listener = py.detach(|| listen::bind(SocketAddr::new(host, port)))?;
        let bound = listener.local_addr()?.port();
        let serving = runtime()?.spawn(self.core.clone().serve(listener, tls.clone(), self.stop.subscribe()));
        self.serving.lock().push(serving);
        self.listeners.lock().push(Listener { tls, certificate: cert_path, key: key_path });
        Ok(bound)
    }

    /// Read the serving certificates' files again; new connections are shown the new ones. Raises OSError, ValueError: then the
    /// old ones stay.
    fn reload_certificates(&self) -> PyResult<()> {
        for listener in self.listeners.lock().iter() {
            let (certificate, key) = (std::fs::read(&listener.certificate)?, std::fs::read(&listener.key)?);
            listener.tls.certificate.reload(&certificate, &key).map_err(value_error)?;
        }
        Ok(())
    }

    /// Set a named check of /readyz.
    fn set_ready(&self, name: &str, passed: bool) {
        self.core.health.set(name, passed);
    }

    /// Show `text` (Prometheus' format) at /metrics, in place of what was set under this name before.
    fn set_metrics(&self, name: String, text: String) {
        self.texts.lock().insert(name, text);
    }

    /// Sign the claims (a JSON object) as a service-account token, ES256.
    fn sign_token(&self, claims: &[u8]) -> PyResult<String> {
        self.core.signer.sign(claims).map_err(|error| PyRuntimeError::new_err(error.to_string()))
    }

    /// The public keys of tokens as a JSON Web Key Set.
    fn jwks(&self) -> String {
        format!("{{\"keys\":[{}]}}", self.core.signer.jwk())
    }

    /// A TokenReview's question: (user, matching audiences), or None for a token that is not good.
    #[pyo3(signature = (token, audiences=Vec::new()))]
    fn review_token(&self, py: Python<'_>, token: &str, audiences: Vec<String>) -> Option<(PyUser, Vec<String>)> {
        let core = &self.core;
        let objects = StoredObjects(&core.machinery);
        let reviewed = py.detach(|| core.tokens.review(token, &audiences, core.now(), &objects));
        reviewed.map(|(user, audiences)| (PyUser(user), audiences))
    }

    /// May `user` (an object with name, uid, groups, extra) do this? attributes: verb, and either path or group, resource,
    /// subresource, namespace, name. Answers (allowed, reason).
    fn authorize(&self, user: &Bound<'_, PyAny>, attributes: &Bound<'_, PyDict>) -> PyResult<(bool, String)> {
        let user = user_of(user)?;
        let get = |key: &str| attribute(attributes, key);
        let (verb, path, group, resource) = (get("verb")?, get("path")?, get("group")?, get("resource")?);
        let (subresource, namespace, name) = (get("subresource")?, get("namespace")?, get("name")?);
        let target = if path.is_empty() {
            Target::Resource {
                group: &group,
                resource: &resource,
                subresource: &subresource,
                namespace: &namespace,
                name: &name,
                node_name: None,
            }
        } else {
            Target::Path(&path)
        };
        let attributes = Attributes { verb: &verb, target };
        Ok(match self.core.authorizer.authorize(&user, &attributes) {
            Decision::Allowed => (true, self.core.authorizer.explain(&user, &attributes).unwrap_or_default()),
            Decision::Denied(reason) => (false, reason),
        })
    }

    /// The rules that RBAC gives `user` in `namespace`, as PolicyRule objects.
    fn rules_for<'py>(
        &self,
        py: Python<'py>,
        user: &Bound<'py, PyAny>,
        namespace: &str,
    ) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let rules = self.core.authorizer.rules_for(&user_of(user)?, namespace);
        let shown = rules.into_iter().map(|rule| {
            let dict = PyDict::new(py);
            let fields = [
                ("verbs", rule.verbs),
                ("apiGroups", rule.groups),
                ("resources", rule.resources),
                ("resourceNames", rule.names),
                ("nonResourceURLs", rule.urls),
            ];
            for (key, texts) in fields {
                if !texts.is_empty() {
                    dict.set_item(key, texts)?;
                }
            }
            Ok(dict)
        });
        shown.collect()
    }

    /// Why `user` may not write a role with these rules (PolicyRule dicts); None if it may. namespace empty: a ClusterRole.
    fn check_role(
        &self,
        user: &Bound<'_, PyAny>,
        namespace: &str,
        name: &str,
        rules: &Bound<'_, PyAny>,
    ) -> PyResult<Option<String>> {
        let checked = self.core.authorizer.check_role(&user_of(user)?, namespace, name, &rules_of(rules)?);
        Ok(checked.err().map(|error| error.to_string()))
    }

    /// Why `user` may not bind the role in `namespace` (empty: everywhere); None if it may. cluster: a ClusterRole.
    fn check_binding(
        &self,
        user: &Bound<'_, PyAny>,
        namespace: &str,
        cluster: bool,
        role: String,
    ) -> PyResult<Option<String>> {
        let role = RoleRef { cluster, name: role };
        let checked = self.core.authorizer.check_binding(&user_of(user)?, namespace, &role);
        Ok(checked.err().map(|error| error.to_string()))
    }

    /// A request of this process, made as `user`, through authorization, flow control and routes: (code, content_type, body,
    /// headers). uri: path and query. Raises ValueError for what is no URI, or a watch.
    #[pyo3(signature = (user, method, uri, body=Vec::new(), headers=BTreeMap::new()))]
    fn call<'py>(
        &self,
        py: Python<'py>,
        user: &Bound<'py, PyAny>,
        method: &str,
        uri: &str,
        body: Vec<u8>,
        headers: BTreeMap<String, String>,
    ) -> PyResult<InProcessAnswer<'py>> {
        let user = Arc::new(user_of(user)?);
        let runtime = runtime()?;
        let answer = py.detach(|| {
            let headers = knarr_gateway::cold::header_map(&headers);
            runtime.block_on(self.core.clone().call_in_process(user, method, uri, headers, body.into()))
        });
        let answer = answer.map_err(|status| PyValueError::new_err(status.message))?;
        let headers: BTreeMap<String, String> =
            knarr_gateway::cold::header_texts(answer.headers()).into_iter().collect();
        let content_type = headers.get("content-type").cloned().unwrap_or_default();
        Ok((answer.status().as_u16(), content_type, PyBytes::new(py, answer.body()), headers))
    }

    /// Stop listening and serving; returns when requests in work have ended, after two seconds at the latest.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        self.stop.send_replace(true);
        let serving = std::mem::take(&mut *self.serving.lock());
        let runtime = runtime()?;
        py.detach(|| {
            for task in serving {
                // A task that panicked has stopped too.
                let _ = runtime.block_on(task);
            }
        });
        Ok(())
    }
}

impl Gateway {
    /// For other parts of the core that send requests in process.
    #[allow(dead_code)] // The scheduler's driver is composed later.
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Gateway>()?;
    m.add_class::<PyUser>()?;
    m.add_class::<PyColdRequest>()
}
