//! The agent's HTTPS server, on a kubelet's paths and port: mutual TLS here, what the paths mean is the agent's.
//!
//! ```text
//!  request --TLS, client certificate--> allowed user? --> NodeHandler::call
//!     Whole: bytes      Stream: bytes as the handler writes them      Upgrade(URL): passed through to a CRI streaming server
//! ```

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{Request, Uri};
use http_body::Frame;
use http_body_util::{BodyExt, Limited, StreamBody};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use knarr_base::{BoxFuture, User};
use knarr_machinery::Status;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use crate::body::{BodyError, ReplyBody};
use crate::cold::{ColdReply, ColdRequest};
use crate::listen::{self, Peer, PeerCertificate};
use crate::log;
use crate::path;
use crate::reply::{self, JSON, Reply, reply, text};
use crate::tls::ServerTls;
use crate::upgrade::{self, splice};

/// Bytes of a request's body: the paths take none worth speaking of.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Pieces of a stream that wait for the client before its writer waits.
const STREAM_PIECES: usize = 16;
/// Time for streams when the server stops.
const STOP_GRACE: Duration = Duration::from_secs(1);
/// A CRI streaming server is on this machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Answers a node's paths. An `Err` is a bug in the handler and costs that request only.
pub trait NodeHandler: Send + Sync {
    fn call(&self, request: ColdRequest) -> BoxFuture<Result<NodeReply, String>>;
}

/// A handler's answer.
pub enum NodeReply {
    Whole(ColdReply),
    /// Sent as it is written; the answer ends when the writer is dropped or closed.
    Stream {
        code: u16,
        content_type: String,
        body: StreamReader,
    },
    /// The request is an upgrade (exec, attach, portforward): pass it through to this CRI streaming URL.
    Upgrade(String),
}

/// The writing end of a streamed answer.
#[derive(Clone, Debug)]
pub struct StreamWriter(mpsc::Sender<Bytes>);

/// The reading end, for [`NodeReply::Stream`].
#[derive(Debug)]
pub struct StreamReader(mpsc::Receiver<Bytes>);

/// Both ends of a stream.
pub fn stream_pair() -> (StreamWriter, StreamReader) {
    let (sender, receiver) = mpsc::channel(STREAM_PIECES);
    (StreamWriter(sender), StreamReader(receiver))
}

impl StreamWriter {
    /// Writes, waiting while the client reads slowly. False: the client is gone. Not to be called on a runtime's thread.
    pub fn write_blocking(&self, bytes: Bytes) -> bool {
        self.0.blocking_send(bytes).is_ok()
    }

    /// Writes without waiting. None: the client reads too slowly, try again later; Some(false): it is gone.
    pub fn try_write(&self, bytes: Bytes) -> Option<bool> {
        match self.0.try_send(bytes) {
            Ok(()) => Some(true),
            Err(mpsc::error::TrySendError::Full(_)) => None,
            Err(mpsc::error::TrySendError::Closed(_)) => Some(false),
        }
    }

    /// Whether the client has gone.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

/// Who may use the server: members of these groups, and these users.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    pub users: Vec<String>,
    pub groups: Vec<String>,
}

impl Allowed {
    fn allows(&self, user: &User) -> bool {
        self.users.contains(&user.name) || user.groups.iter().any(|group| self.groups.contains(group))
    }
}

/// A node's server.
pub struct NodeServer {
    pub allowed: Allowed,
    pub handler: Arc<dyn NodeHandler>,
}

impl NodeServer {
    /// Serves until `stop` turns true. Run it on a tokio runtime.
    pub async fn serve(
        self: Arc<Self>,
        listener: std::net::TcpListener,
        tls: Arc<ServerTls>,
        stop: watch::Receiver<bool>,
    ) -> std::io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let handler: listen::Handler = Arc::new(move |peer, request| {
            let server = self.clone();
            Box::pin(async move { server.answer(peer, request).await })
        });
        listen::serve(listener, tls, handler, stop, STOP_GRACE).await;
        Ok(())
    }

    async fn answer(&self, peer: Arc<Peer>, request: Request<Incoming>) -> Reply {
        let user = match &peer.certificate {
            PeerCertificate::User { user, .. } => user.clone(),
            PeerCertificate::None | PeerCertificate::Invalid => return text(401, "Unauthorized"),
        };
        if !self.allowed.allows(&user) {
            let verb = path::parse(request.method(), "/", "").verb;
            return text(
                403,
                format!("Forbidden (user={}, verb={verb}, resource=nodes, subresource=proxy)", user.name),
            );
        }
        let (mut parts, body) = request.into_parts();
        let client = parts.extensions.remove::<OnUpgrade>();
        let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(_) => return reply::status(&Status::body_too_large(BODY_BYTES_MAX)),
        };
        let headers = parts.headers.iter();
        let own = |(key, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)| {
            (key.into_owned(), value.into_owned())
        };
        let call = ColdRequest {
            user,
            method: parts.method.as_str().to_owned(),
            path: path::decode(parts.uri.path()).into_owned(),
            params: Vec::new(),
            query: path::query_pairs(parts.uri.query().unwrap_or_default()).map(own).collect(),
            headers: headers
                .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
                .collect(),
            body,
        };
        match self.handler.call(call).await {
            Ok(NodeReply::Whole(answer)) => {
                let content_type = HeaderValue::from_str(&answer.content_type).unwrap_or(JSON);
                let mut reply = reply(answer.code, content_type, ReplyBody::whole(vec![answer.body]));
                for (name, value) in &answer.headers {
                    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value)) {
                        reply.headers_mut().append(name, value);
                    }
                }
                reply
            }
            Ok(NodeReply::Stream { code, content_type, body }) => {
                let content_type = HeaderValue::from_str(&content_type).unwrap_or(reply::TEXT);
                let pieces = stream::unfold(body.0, async |mut pieces| {
                    let bytes = pieces.recv().await?;
                    Some((Ok::<_, BodyError>(Frame::data(bytes)), pieces))
                });
                reply(code, content_type, ReplyBody::Stream(Box::pin(StreamBody::new(pieces))))
            }
            Ok(NodeReply::Upgrade(url)) => match client {
                Some(client) => pass_to(&url, &parts, client).await.unwrap_or_else(|why| text(500, why)),
                None => text(400, "Upgrade request required"),
            },
            Err(error) => {
                log::line("error", "node handler failed", &[("path", &parts.uri.path()), ("error", &error)]);
                text(500, "Internal Server Error\n")
            }
        }
    }
}

/// Sends the client's upgrade to a CRI streaming URL and joins the two connections. An answer other than 101 is passed back.
async fn pass_to(url: &str, parts: &http::request::Parts, client: OnUpgrade) -> Result<Reply, String> {
    let uri: Uri = url.parse().map_err(|error| format!("streaming URL {url}: {error}"))?;
    let authority = uri.authority().ok_or_else(|| format!("streaming URL {url} names no host"))?;
    let address = (authority.host().trim_matches(['[', ']']), authority.port_u16().unwrap_or(80));
    let connecting = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address));
    let failed = |error: &dyn std::fmt::Display| format!("error dialing backend: {error}");
    let tcp = match connecting.await {
        Ok(connected) => connected.map_err(|error| failed(&error))?,
        Err(_) => return Err(failed(&format!("dial tcp {authority}: i/o timeout"))),
    };
    // A connection without TCP_NODELAY only is slower.
    let _ = tcp.set_nodelay(true);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.map_err(|error| failed(&error))?;
    tokio::spawn(async move {
        // Ends with the upgrade or the answer's body; its error shows up there.
        let _ = connection.with_upgrades().await;
    });
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder().method(parts.method.clone()).uri(path);
    for (name, value) in &parts.headers {
        if *name != HOST && *name != CONTENT_LENGTH && *name != TRANSFER_ENCODING {
            request = request.header(name, value);
        }
    }
    let request = request
        .header(HOST, authority.as_str())
        .body(http_body_util::Empty::<Bytes>::new())
        .map_err(|error| failed(&error))?;
    let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
    let (code, headers) = (response.status(), response.headers().clone());
    let mut answer = if code == http::StatusCode::SWITCHING_PROTOCOLS {
        let backend = hyper::upgrade::on(response).await.map_err(|error| failed(&error))?;
        tokio::spawn(splice(client, backend));
        upgrade::switching(upgrade::wanted(&headers).unwrap_or("SPDY/3.1"))
    } else {
        let body = response.into_body().map_err(|error| -> BodyError { error.into() });
        reply(code.as_u16(), reply::TEXT, ReplyBody::Stream(Box::pin(body)))
    };
    for (name, value) in &headers {
        if *name != CONNECTION && *name != CONTENT_LENGTH && *name != TRANSFER_ENCODING {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    Ok(answer)
}
