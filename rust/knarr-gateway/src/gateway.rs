//! [`Gateway`]: what the parts are and how they are held together. The way of one request is in `serve`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use knarr_authz::{Attributes, Authorizer, Decision, Target, forbidden_message};
use knarr_base::{BoxFuture, Clock, User};
use knarr_machinery::{Api, Machinery, Request, Resource, Response, Status};
use knarr_store::{KeySpace, StoreError};
use knarr_value::stored;
use tokio::sync::watch;

use crate::audit::Audit;
use crate::authn::token::{Signer, Tokens};
use crate::body::WatchFigures;
use crate::cold::ColdRoutes;
use crate::escalation::EscalationGuard;
use crate::feed::AuthzFeed;
use crate::flow::{Flow, FlowLimits};
use crate::health::Health;
use crate::listen;
use crate::metrics::{Metrics, head};
use crate::proxy::Kubelets;
use crate::statics::Statics;
use crate::tls::ServerTls;

/// What a server is configured with.
pub struct Config {
    /// `iss` of its tokens, and the audiences that reach it.
    pub issuer: String,
    pub audiences: Vec<String>,
    pub signer: Signer,
    /// Public points (65 bytes) of older signing keys whose tokens are still accepted.
    pub older_keys: Vec<Vec<u8>>,
    /// How kubelets are reached.
    pub kubelets: Kubelets,
    pub flow: FlowLimits,
    /// Paths (and what lies below them) open to anybody; everything else answers 401 to anonymous users.
    pub anonymous_paths: Vec<String>,
    /// Bytes of one request's body; etcd's and so Kubernetes' bound.
    pub body_bytes_max: usize,
    /// A request that is no watch, log or stream is cut off after this.
    pub request_timeout: Duration,
    /// Where the audit log goes; none is written without it.
    pub audit_log: Option<PathBuf>,
}

/// Bytes of a body: 3 MiB, as kube-apiserver has it.
pub const BODY_BYTES_MAX: usize = 3 << 20;
/// As kube-apiserver's `--request-timeout`.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Time for requests in work when the server stops.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Health, version and the CA: all that strangers are answered.
pub fn anonymous_paths() -> Vec<String> {
    ["/healthz", "/livez", "/readyz", "/version", "/ca.crt"].map(str::to_owned).to_vec()
}

/// A server could not be set up.
#[derive(Debug)]
pub enum SetupError {
    Audit(PathBuf, std::io::Error),
    Store(StoreError),
}

impl std::fmt::Display for SetupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Audit(path, error) => write!(f, "audit log {}: {error}", path.display()),
            Self::Store(error) => write!(f, "reading roles and pods: {error}"),
        }
    }
}

impl std::error::Error for SetupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Audit(_, error) => Some(error),
            Self::Store(error) => Some(error),
        }
    }
}

/// The API server's outer half. Shared by all connections; its tables change while it serves.
pub struct Gateway {
    pub machinery: Arc<Machinery>,
    pub authorizer: Arc<Authorizer>,
    pub tokens: Tokens,
    pub signer: Signer,
    pub metrics: Metrics,
    pub statics: Statics,
    pub cold: ColdRoutes,
    pub health: Health,
    pub(crate) flow: Arc<Flow>,
    pub(crate) watches: Arc<WatchFigures>,
    pub(crate) kubelets: Kubelets,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) audit: Option<Audit>,
    pub(crate) anonymous_paths: Vec<String>,
    pub(crate) body_bytes_max: usize,
    pub(crate) request_timeout: Duration,
    pub(crate) request_ids: crate::ids::RequestIds,
}

impl Gateway {
    /// Subscribes authorization to the store and reads what is there; call it before anything is written.
    pub fn new(machinery: Arc<Machinery>, clock: Arc<dyn Clock>, config: Config) -> Result<Arc<Self>, SetupError> {
        let pods = machinery.clone();
        let pod_node = move |namespace: &str, name: &str| {
            let key = format!("core/pods/{namespace}/{name}");
            let record = pods.store().get(KeySpace::Cluster, key.as_bytes(), None).ok()??;
            Some(stored::decode(&record.value).ok()?.field("spec.nodeName")?.to_owned())
        };
        let authorizer = Arc::new(Authorizer::new(Box::new(pod_node)));
        AuthzFeed::start(machinery.store(), authorizer.clone()).map_err(SetupError::Store)?;
        machinery.set_guard(Arc::new(EscalationGuard(authorizer.clone())));
        let mut keys = vec![config.signer.public_key()];
        keys.extend(config.older_keys);
        let audit = match config.audit_log {
            Some(path) => Some(Audit::open(&path).map_err(|error| SetupError::Audit(path, error))?),
            None => None,
        };
        Ok(Arc::new(Self {
            machinery,
            authorizer,
            tokens: Tokens::new(config.issuer, config.audiences, keys),
            signer: config.signer,
            metrics: Metrics::default(),
            statics: Statics::default(),
            cold: ColdRoutes::default(),
            health: Health::default(),
            flow: Arc::new(Flow::new(config.flow)),
            watches: Arc::default(),
            kubelets: config.kubelets,
            clock,
            audit,
            anonymous_paths: config.anonymous_paths,
            body_bytes_max: config.body_bytes_max,
            request_timeout: config.request_timeout,
            request_ids: crate::ids::RequestIds::new(),
        }))
    }

    /// Serves on `listener` until `stop` turns true. Run it on a tokio runtime; whoever made the machinery calls its `tick`.
    pub async fn serve(
        self: Arc<Self>,
        listener: std::net::TcpListener,
        tls: Arc<ServerTls>,
        stop: watch::Receiver<bool>,
    ) -> std::io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let gateway = self;
        let handler: listen::Handler = Arc::new(move |peer, request| {
            let gateway = gateway.clone();
            Box::pin(async move { gateway.answer(peer, request).await })
        });
        listen::serve(listener, tls, handler, stop, STOP_GRACE).await;
        Ok(())
    }

    /// Seconds since the epoch.
    pub fn now(&self) -> i64 {
        self.clock.wall().0.div_euclid(1_000_000)
    }

    /// May `user` do this? Errors: 403 in Kubernetes' words.
    pub fn authorize(&self, user: &User, attributes: &Attributes<'_>) -> Result<(), Status> {
        let Decision::Denied(reason) = self.authorizer.authorize(user, attributes) else { return Ok(()) };
        let mut why = forbidden_message(user, attributes);
        if !reason.is_empty() {
            why.push_str(": ");
            why.push_str(&reason);
        }
        let (resource, name) = match attributes.target {
            Target::Resource { group, resource, name, .. } => (Resource { group, plural: resource }, name),
            Target::Path(_) => (Resource { group: "", plural: "" }, ""),
        };
        Err(Status::forbidden(resource, name, why))
    }

    /// The text of /metrics.
    pub(crate) fn metrics_text(&self) -> String {
        use std::fmt::Write as _;
        use std::sync::atomic::Ordering::Relaxed;
        let mut out = self.metrics.render();
        let (reads, writes, system, rejected) = self.flow.figures();
        head(&mut out, "apiserver_current_inflight_requests", "gauge", "Requests in work.");
        // Writing to a String cannot fail.
        for (kind, count) in [("readOnly", reads), ("mutating", writes), ("system", system)] {
            let _ = writeln!(out, "apiserver_current_inflight_requests{{request_kind=\"{kind}\"}} {count}");
        }
        head(&mut out, "apiserver_flowcontrol_rejected_requests_total", "counter", "Requests answered 429.");
        let _ = writeln!(out, "apiserver_flowcontrol_rejected_requests_total {rejected}");
        head(&mut out, "apiserver_longrunning_requests", "gauge", "Open watches.");
        let _ = writeln!(out, "apiserver_longrunning_requests{{verb=\"WATCH\"}} {}", self.watches.open.load(Relaxed));
        head(&mut out, "apiserver_watch_events_total", "counter", "Watch frames sent.");
        let _ = writeln!(out, "apiserver_watch_events_total {}", self.watches.frames.load(Relaxed));
        if let Some(audit) = &self.audit {
            head(&mut out, "apiserver_audit_dropped_total", "counter", "Audit lines lost to a full queue.");
            let _ = writeln!(out, "apiserver_audit_dropped_total {}", audit.dropped());
        }
        out
    }
}

/// The in-process path: authorization and flow control as for a request from outside, without TLS and HTTP.
impl Api for Gateway {
    fn call(&self, request: Request) -> BoxFuture<Response> {
        let kind = request.kind.clone();
        let user = request.user.clone();
        let by_node = node_selected(&request.options.field_selector);
        let attributes = Attributes {
            verb: request.verb.as_str(),
            target: Target::Resource {
                group: &kind.compiled.group,
                resource: &kind.compiled.plural,
                subresource: &request.subresource,
                namespace: &request.namespace,
                name: &request.name,
                node_name: by_node.as_deref(),
            },
        };
        let allowed = self.authorize(&user, &attributes);
        let verb = request.verb;
        let class = Flow::class(&user, verb.mutates(), verb == knarr_machinery::Verb::Watch);
        let (flow, machinery) = (self.flow.clone(), self.machinery.clone());
        Box::pin(async move {
            if let Err(status) = allowed {
                return refusal(&status);
            }
            match flow.enter(class).await {
                Ok(_permit) => machinery.handle(request).await,
                Err(status) => refusal(&status),
            }
        })
    }
}

/// The node that `fieldSelector` names, as the node authorizer asks for it.
fn node_selected(selector: &str) -> Option<String> {
    crate::path::selector_required(selector, "spec.nodeName")
}

fn refusal(status: &Status) -> Response {
    let retry_after = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    Response::Whole {
        code: status.code,
        content_type: "application/json",
        chunks: vec![status.to_json().into()],
        warnings: Vec::new(),
        retry_after,
    }
}
