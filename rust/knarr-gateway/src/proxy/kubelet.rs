//! One HTTPS connection to a kubelet: mutual TLS, HTTP/1.1, one request, perhaps an upgrade.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderName, HeaderValue, UPGRADE};
use http::{Method, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use knarr_machinery::Status;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::failure;
use super::locate::Address;

/// How long a kubelet may take to accept a connection, and to begin its answer to an upgrade.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes read of an error's text.
const ERROR_BYTES_MAX: usize = 50_000;

/// How kubelets are reached.
#[derive(Clone)]
pub struct Kubelets {
    /// Our certificate towards them, and the CA of theirs.
    pub tls: Arc<ClientConfig>,
}

pub type Outgoing = BoxBody<Bytes, hyper::Error>;

impl Kubelets {
    /// Sends one request on a connection of its own. Errors: the kubelet cannot be reached, in Go's words as far as they matter.
    pub async fn send(&self, to: &Address, request: Request<Outgoing>) -> Result<Response<Incoming>, Status> {
        let unreachable = |why: &dyn std::fmt::Display| failure(500, format!("error dialing backend: {why}"));
        let dial = async {
            let tcp = TcpStream::connect((to.host.as_str(), to.port)).await.map_err(|error| {
                let why = if error.kind() == std::io::ErrorKind::ConnectionRefused {
                    "connection refused".to_owned()
                } else {
                    error.to_string()
                };
                unreachable(&format!("dial tcp {to}: connect: {why}"))
            })?;
            // A connection without TCP_NODELAY only is slower.
            let _ = tcp.set_nodelay(true);
            let name = ServerName::try_from(to.host.clone()).map_err(|error| unreachable(&error))?;
            TlsConnector::from(self.tls.clone())
                .connect(name, tcp)
                .await
                .map_err(|error| unreachable(&format!("tls: {error}")))
        };
        let stream = match tokio::time::timeout(CONNECT_TIMEOUT, dial).await {
            Ok(stream) => stream?,
            Err(_) => return Err(unreachable(&format!("dial tcp {to}: i/o timeout"))),
        };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(&error))?;
        // Ends with the response body or the upgrade; its error shows up there.
        tokio::spawn(async move {
            let _ = connection.with_upgrades().await;
        });
        sender.send_request(request).await.map_err(|error| unreachable(&error))
    }

    /// Asks a kubelet to change to SPDY/3.1. Errors: any answer but 101, with the kubelet's own text.
    pub async fn upgrade(
        &self,
        to: &Address,
        path: &str,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<(hyper::upgrade::Upgraded, http::HeaderMap), Status> {
        let mut request = request(Method::POST, to, path)?;
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        request.headers_mut().insert(UPGRADE, HeaderValue::from_static("SPDY/3.1"));
        for (name, value) in headers {
            request.headers_mut().append(name, value.clone());
        }
        let response = match tokio::time::timeout(CONNECT_TIMEOUT, self.send(to, request)).await {
            Ok(response) => response?,
            Err(_) => return Err(failure(504, format!("error dialing backend: {to} did not answer"))),
        };
        if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
            let code = response.status().as_u16();
            let text = text_of(response).await;
            return Err(failure(code, format!("unable to upgrade connection: {text}")));
        }
        let answered = response.headers().clone();
        let upgraded = hyper::upgrade::on(response)
            .await
            .map_err(|error| failure(500, format!("unable to upgrade connection: {error}")))?;
        Ok((upgraded, answered))
    }
}

/// A request without a body.
pub fn request(method: Method, to: &Address, path: &str) -> Result<Request<Outgoing>, Status> {
    let empty = Empty::new().map_err(|never| match never {}).boxed();
    let built = Request::builder().method(method).uri(path).header(HOST, to.to_string()).body(empty);
    built.map_err(|error| failure(500, format!("error dialing backend: {error}")))
}

/// The text of a kubelet's error.
pub async fn text_of(response: Response<Incoming>) -> String {
    let body = http_body_util::Limited::new(response.into_body(), ERROR_BYTES_MAX);
    match body.collect().await {
        Ok(collected) => String::from_utf8_lossy(&collected.to_bytes()).trim_end().to_owned(),
        Err(_) => "unknown".to_owned(),
    }
}

/// `name=value` pairs as a query.
pub fn query(pairs: &[(String, String)]) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        for (text, after) in [(name, "="), (value, "")] {
            escape(text, &mut out);
            out.push_str(after);
        }
    }
    out
}

/// Percent-encodes what is not unreserved (RFC 3986).
pub fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_escaped() {
        let pairs = [("command".to_owned(), "sh -c 'a&b=é'".to_owned()), ("tty".to_owned(), "1".to_owned())];
        assert_eq!(query(&pairs), "command=sh%20-c%20%27a%26b%3D%C3%A9%27&tty=1");
    }
}
