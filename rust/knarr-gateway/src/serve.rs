//! The way of one request: authentication, audit, authorization, flow control, route.
//!
//! ```text
//!  path and verb -> who (401) -> acting as whom (403) -> may they (403) -> a place (429) -> in time (504)
//!     -> object of a served kind: machinery      -> pods/log, exec ...: the node
//!     -> static document                         -> cold route (Python)          -> health, metrics      -> 404
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use http::request::Parts;
use http::{Method, Request};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use knarr_authz::{Attributes, Target};
use knarr_base::User;
use knarr_machinery::{self as machinery, KindEntry, Options, Response, Status, Verb};

use crate::authn::{Identity, StoredObjects, authenticate, impersonate::impersonate};
use crate::body::{ReplyBody, WatchBody};
use crate::cold::ColdRequest;
use crate::duration;
use crate::flow::Flow;
use crate::gateway::Gateway;
use crate::listen::Peer;
use crate::log;
use crate::messages;
use crate::metrics::Labels;
use crate::negotiate;
use crate::path::{self, Info, ResourcePath};
use crate::proxy;
use crate::reply::{self, AUDIT_ID, JSON, Reply, reply};
use crate::upgrade;

/// Subresources that stream: no time limit, no place among the requests in work.
const LONG_RUNNING: [&str; 5] = ["log", "exec", "attach", "portforward", "proxy"];

/// Bytes of a refused body that are still read, and for how long.
const DRAINED_BYTES_MAX: usize = 64 << 20;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

fn header<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// A request's body: from a connection, or at hand already.
pub enum Upload {
    Network(Incoming),
    Memory(Bytes),
}

/// One request on its way, with what was found out about it.
struct Call<'a> {
    parts: &'a Parts,
    info: &'a Info<'a>,
    query: &'a str,
    user: Arc<User>,
}

impl Gateway {
    /// Answers one request; never fails, since every failure is an answer.
    pub(crate) async fn answer(self: Arc<Self>, peer: Arc<Peer>, request: Request<Incoming>) -> Reply {
        let started = Instant::now();
        let (mut parts, body) = request.into_parts();
        let body = Upload::Network(body);
        let client = parts.extensions.remove::<hyper::upgrade::OnUpgrade>();
        let uri = parts.uri.clone();
        let query = uri.query().unwrap_or_default();
        let info = path::parse(&parts.method, uri.path(), query);
        let audit_id = match parts.headers.get(&AUDIT_ID) {
            Some(given) if given.len() <= 64 => given.clone(),
            _ => HeaderValue::from_str(&self.request_ids.next()).unwrap_or(HeaderValue::from_static("unknown")),
        };
        let mut who = None;
        let admitted = self.admit(&peer, &parts, &info, query);
        upgrade::forget_bearer(&mut parts.headers);
        let mut answer = match admitted {
            Err(refused) => *refused,
            Ok(user) => {
                who = Some(user.clone());
                let call = Call { parts: &parts, info: &info, query, user };
                self.within_bounds(&call, body, client).await
            }
        };
        answer.headers_mut().insert(&AUDIT_ID, audit_id.clone());
        if parts.method == Method::HEAD {
            *answer.body_mut() = ReplyBody::Empty;
        }
        let took = started.elapsed();
        self.count(&parts.method, &info, answer.status().as_u16(), took);
        if let Some(audit) = &self.audit {
            audit.write(&crate::audit::Event {
                id: audit_id.to_str().unwrap_or_default(),
                time: &self.clock.wall().rfc3339_micros(),
                user: who.as_ref().map_or("", |user| user.name.as_str()),
                verb: info.verb,
                uri: uri.path_and_query().map_or("", |text| text.as_str()),
                source: peer.address.ip(),
                agent: header(&parts.headers, &USER_AGENT),
                code: answer.status().as_u16(),
                microseconds: took.as_micros() as u64,
            });
        }
        answer
    }

    fn count(&self, method: &Method, info: &Info<'_>, code: u16, took: Duration) {
        let nothing = ResourcePath::default();
        let found = info.resource.as_ref().unwrap_or(&nothing);
        // A resource that nobody serves is a client's guess: it gets no series of its own.
        let known =
            code != 404 || self.machinery.registry().find(&found.group, &found.version, &found.resource).is_some();
        let found = if known { found } else { &nothing };
        let verb = match info.verb {
            "list" => "LIST",
            "watch" => "WATCH",
            "deletecollection" => "DELETECOLLECTION",
            _ => method.as_str(),
        };
        let scope = match (info.resource.is_some(), found.name.is_empty(), found.namespace.is_empty()) {
            (false, _, _) => "",
            (_, false, _) => "resource",
            (_, true, false) => "namespace",
            (_, true, true) => "cluster",
        };
        let labels = Labels {
            verb,
            group: &found.group,
            version: &found.version,
            resource: &found.resource,
            subresource: &found.subresource,
            scope,
            code,
        };
        self.metrics.request(labels, took);
    }

    /// Authentication, impersonation, authorization: the user the request is made as, or the refusal.
    fn admit(&self, peer: &Peer, parts: &Parts, info: &Info<'_>, query: &str) -> Result<Arc<User>, Box<Reply>> {
        let refuse = |status: &Status| Box::new(reply::status(status));
        let identity = authenticate(peer, &parts.headers, &self.tokens, &StoredObjects(&self.machinery), self.now());
        let below = |open: &String| {
            info.path.strip_prefix(open.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let open =
            info.resource.is_none() && matches!(info.verb, "get" | "head") && self.anonymous_paths.iter().any(below);
        let user = match identity {
            Identity::User(user) => user,
            Identity::Anonymous if open => Arc::new(User {
                name: "system:anonymous".to_owned(),
                groups: vec!["system:unauthenticated".to_owned()],
                ..User::default()
            }),
            Identity::Anonymous | Identity::Refused => return Err(refuse(&Status::unauthorized())),
        };
        if open {
            return Ok(user);
        }
        self.permitted(user, parts, info, query).map_err(|status| refuse(&status))
    }

    /// Impersonation and authorization of a known user.
    fn permitted(&self, user: Arc<User>, parts: &Parts, info: &Info<'_>, query: &str) -> Result<Arc<User>, Status> {
        let user = impersonate(user, &parts.headers, &self.authorizer)?;
        let selected = |field: &str| path::field_required(query, field);
        let (mut by_name, mut by_node) = (None, None);
        if matches!(info.verb, "list" | "watch") {
            (by_name, by_node) = (selected("metadata.name"), selected("spec.nodeName"));
        }
        let target = match &info.resource {
            None => Target::Path(info.path),
            Some(found) => Target::Resource {
                group: &found.group,
                resource: &found.resource,
                subresource: &found.subresource,
                namespace: &found.namespace,
                name: if found.name.is_empty() { by_name.as_deref().unwrap_or_default() } else { &found.name },
                node_name: by_node.as_deref(),
            },
        };
        self.authorize(&user, &Attributes { verb: info.verb, target })?;
        Ok(user)
    }

    /// A request of this process's own, made as `user`: no TLS, HTTP or authentication, all the rest. `uri`: path and query.
    /// Answers code, content type, headers and body. Errors: 400 for what is no URI or streams without end.
    pub async fn call_in_process(
        self: Arc<Self>,
        user: Arc<User>,
        method: &str,
        uri: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<http::Response<Bytes>, Status> {
        let bad = |error: &dyn std::fmt::Display| Status::bad_request(format!("{method} {uri}: {error}"));
        let request = Request::builder().method(method).uri(uri).body(()).map_err(|error| bad(&error))?;
        let (mut parts, ()) = request.into_parts();
        parts.headers = headers;
        let uri = parts.uri.clone();
        let query = uri.query().unwrap_or_default();
        let info = path::parse(&parts.method, uri.path(), query);
        if info.verb == "watch" {
            return Err(bad(&"a watch does not end"));
        }
        let started = Instant::now();
        let answer = match self.permitted(user, &parts, &info, query) {
            Err(status) => reply::status(&status),
            Ok(user) => {
                let call = Call { parts: &parts, info: &info, query, user };
                self.within_bounds(&call, Upload::Memory(body), None).await
            }
        };
        self.count(&parts.method, &info, answer.status().as_u16(), started.elapsed());
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|error| bad(&error))?.to_bytes();
        Ok(http::Response::from_parts(head, body))
    }

    /// Flow control and the time limit around the route.
    async fn within_bounds(
        self: &Arc<Self>,
        call: &Call<'_>,
        body: Upload,
        upgrade: Option<hyper::upgrade::OnUpgrade>,
    ) -> Reply {
        let info = call.info;
        let long_running = info.verb == "watch"
            || info.resource.as_ref().is_some_and(|found| LONG_RUNNING.contains(&found.subresource.as_ref()));
        let mutating = !matches!(*call.parts.method.as_str().as_bytes(), [b'G', ..] | [b'H', ..] | [b'O', ..]);
        let _permit = match self.flow.enter(Flow::class(&call.user, mutating, long_running)).await {
            Ok(permit) => permit,
            Err(status) => return reply::status(&status),
        };
        if long_running {
            return self.route(call, body, upgrade).await;
        }
        let limit = match duration::timeout(call.query) {
            // Zero, and more than is granted, mean what everybody has.
            Ok(Some(asked)) if !asked.is_zero() => asked.min(self.request_timeout),
            Ok(_) => self.request_timeout,
            Err(status) => return reply::status(&status),
        };
        match tokio::time::timeout(limit, self.route(call, body, upgrade)).await {
            Ok(reply) => reply,
            Err(_) => reply::status(&Status::timeout("request did not complete within the allotted timeout")),
        }
    }

    async fn route(
        self: &Arc<Self>,
        call: &Call<'_>,
        body: Upload,
        upgrade: Option<hyper::upgrade::OnUpgrade>,
    ) -> Reply {
        if let Some(found) = &call.info.resource {
            let registry = self.machinery.registry();
            if let Some(kind) = registry.find(&found.group, &found.version, &found.resource) {
                match self.place(kind, found, call) {
                    Place::Object => {
                        let reply = self.object(call, kind.clone(), found, body).await;
                        let watching = call.info.verb == "watch";
                        return if watching { messages::watch(&call.parts.headers, upgrade, reply) } else { reply };
                    }
                    Place::Node => {
                        let target =
                            proxy::Target { info: found, query: call.query, parts: call.parts, user: &call.user };
                        return proxy::answer(self, target, body, upgrade).await;
                    }
                    Place::WrongMethod => return reply::method_not_allowed(),
                    Place::Elsewhere => {}
                }
            }
        }
        let path = call.info.path;
        if matches!(call.info.verb, "get" | "head" | "list") {
            if let Some(reply) = self.statics.answer(path, call.query, &call.parts.headers) {
                return reply;
            }
            if let Some(reply) = self.health.answer(path, call.query) {
                return reply;
            }
            if path == "/metrics" {
                let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                return reply(200, content_type, ReplyBody::whole(vec![self.metrics_text().into()]));
            }
        }
        match self.cold.find(call.parts.method.as_str(), path) {
            Ok((handler, params)) => self.cold(call, handler, params, body).await,
            Err(true) => reply::method_not_allowed(),
            Err(false) => {
                let served = |found: &ResourcePath<'_>| {
                    let registry = self.machinery.registry();
                    registry.iter().any(|kind| {
                        kind.compiled.group == found.group.as_ref() && kind.compiled.version == found.version.as_ref()
                    })
                };
                reply::not_found(call.info.resource.as_ref().is_some_and(served))
            }
        }
    }

    /// What a resource's path leads to.
    fn place(&self, kind: &KindEntry, found: &ResourcePath<'_>, call: &Call<'_>) -> Place {
        let compiled = &kind.compiled;
        let named = !found.name.is_empty();
        let is_namespace = found.group.is_empty() && found.resource == "namespaces";
        let creating = call.info.verb == "create";
        if compiled.namespaced != found.in_namespace && !is_namespace {
            // All namespaces can be listed, watched; one object lives in one.
            let everywhere = compiled.namespaced && !named;
            if !everywhere {
                return Place::Elsewhere;
            }
            if !matches!(call.info.verb, "list" | "watch") && !compiled.virtual_kind {
                return Place::WrongMethod;
            }
        }
        if !found.subresource.is_empty() {
            let proxied = match found.resource.as_ref() {
                "pods" => matches!(found.subresource.as_ref(), "log" | "exec" | "attach" | "portforward"),
                "nodes" => found.subresource == "proxy",
                _ => false,
            };
            if found.group.is_empty() && proxied {
                return Place::Node;
            }
            let known = compiled.subresources.iter().find(|known| known.name == found.subresource);
            return match known {
                Some(known) if !known.cold && found.rest.is_empty() => Place::Object,
                _ => Place::Elsewhere,
            };
        }
        match call.parts.method.as_str() {
            _ if compiled.virtual_kind => Place::Elsewhere,
            _ if !compiled.verbs.iter().any(|verb| verb == call.info.verb) => Place::WrongMethod,
            "GET" | "HEAD" | "DELETE" => Place::Object,
            "POST" if creating && !named => Place::Object,
            "PUT" | "PATCH" if named => Place::Object,
            _ => Place::WrongMethod,
        }
    }

    /// Reads the body. Errors: 413 beyond the bound, 400 when it breaks off.
    async fn body(&self, body: Upload) -> Result<Bytes, Status> {
        let body = match body {
            Upload::Memory(bytes) if bytes.len() > self.body_bytes_max => {
                return Err(Status::body_too_large(self.body_bytes_max));
            }
            Upload::Memory(bytes) => return Ok(bytes),
            Upload::Network(body) => body,
        };
        if http_body::Body::is_end_stream(&body) {
            return Ok(Bytes::new());
        }
        match read_body(body, self.body_bytes_max).await {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(Status::body_too_large(self.body_bytes_max)),
            Err(error) => Err(Status::bad_request(format!("reading the body: {error}"))),
        }
    }

    async fn object(&self, call: &Call<'_>, kind: Arc<KindEntry>, found: &ResourcePath<'_>, body: Upload) -> Reply {
        match self.object_request(call, kind, found, body).await {
            Ok(request) => self.respond(self.machinery.handle(request).await),
            Err(status) => reply::status(&status),
        }
    }

    async fn object_request(
        &self,
        call: &Call<'_>,
        kind: Arc<KindEntry>,
        found: &ResourcePath<'_>,
        body: Upload,
    ) -> Result<machinery::Request, Status> {
        let headers = &call.parts.headers;
        let verb =
            Verb::parse(call.info.verb).ok_or_else(|| Status::method_not_supported(kind.name(), call.info.verb))?;
        let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
        let accept = negotiate::accept(accept, verb)?;
        let agent = header(headers, &USER_AGENT);
        let mut options = Options { user_agent: agent.into(), ..Options::default() };
        // People at a terminal get indented JSON, as from kube-apiserver; `pretty` in the query decides if it is there.
        options.pretty = ["curl", "Wget", "Mozilla/5.0"].iter().any(|prefix| agent.starts_with(prefix));
        for (name, value) in path::query_pairs(call.query) {
            options.set(&name, &value)?;
        }
        Ok(machinery::Request {
            verb,
            namespace: if kind.compiled.namespaced { found.namespace.as_ref().into() } else { "".into() },
            name: found.name.as_ref().into(),
            subresource: found.subresource.as_ref().into(),
            user: call.user.clone(),
            body: self.body(body).await?,
            content_type: header(headers, &CONTENT_TYPE).into(),
            accept,
            options,
            kind,
        })
    }

    /// The machinery's answer as HTTP.
    fn respond(&self, response: Response) -> Reply {
        match response {
            Response::Whole { code, content_type, chunks, warnings, retry_after } => {
                let mut reply = reply(code, HeaderValue::from_static(content_type), ReplyBody::whole(chunks));
                reply::warnings(&mut reply, &warnings);
                reply::retry_after(&mut reply, retry_after);
                reply
            }
            Response::Watch { content_type, watcher, warnings, .. } => {
                let body = ReplyBody::Watch(Box::new(WatchBody::new(watcher, self.watches.clone())));
                let mut reply = reply(200, HeaderValue::from_static(content_type), body);
                reply::warnings(&mut reply, &warnings);
                reply
            }
        }
    }

    async fn cold(
        &self,
        call: &Call<'_>,
        handler: Arc<dyn crate::cold::ColdHandler>,
        params: Vec<(String, String)>,
        body: Upload,
    ) -> Reply {
        let body = match self.body(body).await {
            Ok(body) => body,
            Err(status) => return reply::status(&status),
        };
        let own = |(key, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)| {
            (key.into_owned(), value.into_owned())
        };
        // Credentials end here: a handler has the user.
        let headers = call.parts.headers.iter().filter(|(name, _)| **name != AUTHORIZATION);
        let request = ColdRequest {
            user: call.user.clone(),
            method: call.parts.method.as_str().to_owned(),
            path: call.info.path.to_owned(),
            params,
            query: path::query_pairs(call.query).map(own).collect(),
            headers: headers
                .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
                .collect(),
            body,
        };
        match handler.call(request).await {
            Ok(answer) => {
                let content_type = HeaderValue::from_str(&answer.content_type).unwrap_or(JSON);
                let mut reply = reply(answer.code, content_type, ReplyBody::whole(vec![answer.body]));
                for (name, value) in &answer.headers {
                    if let (Ok(name), Ok(value)) =
                        (http::HeaderName::try_from(name.as_str()), HeaderValue::from_str(value))
                    {
                        reply.headers_mut().append(name, value);
                    }
                }
                reply
            }
            Err(error) => {
                log::line("error", "cold route failed", &[("path", &call.info.path), ("error", &error)]);
                reply::status(&Status::internal("the handler of this path failed; see the server's log"))
            }
        }
    }
}

/// The body, or None when it is larger than `max`. What is too large is read to its end, within bounds, and thrown away: a client
/// that is still writing when the connection closes does not see why.
async fn read_body(mut body: Incoming, max: usize) -> Result<Option<Bytes>, hyper::Error> {
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if first.len() + joined.len() + data.len() > max {
            let drain = async {
                let mut left = DRAINED_BYTES_MAX;
                while let Some(Ok(frame)) = body.frame().await {
                    left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
                    if left == 0 {
                        break;
                    }
                }
            };
            // Whether it ended in time makes no difference to the answer.
            let _ = tokio::time::timeout(DRAIN_TIMEOUT, drain).await;
            return Ok(None);
        }
        if first.is_empty() && joined.is_empty() {
            // Most bodies are one frame, and that is handed on as it is.
            first = data;
        } else {
            joined.extend_from_slice(&std::mem::take(&mut first));
            joined.extend_from_slice(&data);
        }
    }
    Ok(Some(if joined.is_empty() { first } else { joined.freeze() }))
}

/// Where a resource's path leads.
enum Place {
    /// To the machinery.
    Object,
    /// To the pod's or the node's kubelet.
    Node,
    WrongMethod,
    /// To no object of the kind; perhaps to a document or cold route.
    Elsewhere,
}
