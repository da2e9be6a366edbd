//! Upgrades: what the headers ask for, WebSocket's handshake, and carrying bytes between two upgraded connections.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderMap;
use http::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional_with_sizes;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use crate::body::ReplyBody;
use crate::reply::{Reply, text};

/// A client's WebSocket.
pub type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Bytes of one message accepted; clients send 32 kB at a time.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Bytes carried at once in each direction.
const COPY_BYTES: usize = 64 << 10;
/// What RFC 6455 adds to a client's key before hashing.
const WEBSOCKET_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a subprotocol that is a token begins with; the rest is the token in base64url.
const BEARER: &str = "base64url.bearer.authorization.k8s.io.";

fn texts(headers: &HeaderMap, name: http::HeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// The protocol that a request asks to change to (`websocket`, `SPDY/3.1`), if it does.
pub fn wanted(headers: &HeaderMap) -> Option<&str> {
    texts(headers, CONNECTION)
        .any(|token| token.eq_ignore_ascii_case("upgrade"))
        .then(|| texts(headers, UPGRADE).next())?
}

/// A bearer token among the subprotocols, which is where a browser can put one.
pub fn bearer(headers: &HeaderMap) -> Option<String> {
    let encoded = texts(headers, SEC_WEBSOCKET_PROTOCOL).find_map(|offer| offer.strip_prefix(BEARER))?;
    String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()
}

/// Takes tokens out of the subprotocols: nobody behind authentication is shown one.
pub fn forget_bearer(headers: &mut HeaderMap) {
    if bearer(headers).is_none() {
        return;
    }
    let rest: Vec<&str> = subprotocols(headers).into_iter().filter(|offer| !offer.starts_with(BEARER)).collect();
    let rest = HeaderValue::from_str(&rest.join(", ")).ok().filter(|rest| !rest.is_empty());
    headers.remove(SEC_WEBSOCKET_PROTOCOL);
    if let Some(rest) = rest {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, rest);
    }
}

/// The WebSocket subprotocols offered, in order.
pub fn subprotocols(headers: &HeaderMap) -> Vec<&str> {
    texts(headers, SEC_WEBSOCKET_PROTOCOL).collect()
}

/// The 101 that completes a WebSocket's handshake; `subprotocol` may be empty. Errors: 400 when the request lacks its key.
pub fn accept_websocket(headers: &HeaderMap, subprotocol: &str) -> Result<Reply, Box<Reply>> {
    let Some(key) = headers.get(SEC_WEBSOCKET_KEY) else {
        return Err(Box::new(text(400, "websocket: the header Sec-WebSocket-Key is missing")));
    };
    let mut sha1 = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    sha1.update(key.as_bytes());
    sha1.update(WEBSOCKET_GUID);
    let accept = STANDARD.encode(sha1.finish());
    let mut reply = switching("websocket");
    let headers = reply.headers_mut();
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(subprotocol) = HeaderValue::from_str(subprotocol).ok().filter(|text| !text.is_empty()) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    Ok(reply)
}

/// A 101 to `protocol`.
pub fn switching(protocol: &str) -> Reply {
    let mut reply = Reply::new(ReplyBody::Empty);
    *reply.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(protocol) = HeaderValue::from_str(protocol) {
        reply.headers_mut().insert(UPGRADE, protocol);
    }
    reply
}

/// The client's side once it has read the 101.
pub async fn websocket(upgrade: OnUpgrade) -> Result<Socket, hyper::Error> {
    let config =
        WebSocketConfig::default().max_message_size(Some(MESSAGE_BYTES_MAX)).max_frame_size(Some(MESSAGE_BYTES_MAX));
    Ok(WebSocketStream::from_raw_socket(TokioIo::new(upgrade.await?), Role::Server, Some(config)).await)
}

/// The message that ends a WebSocket as it should: Go's clients take an end without code 1000 for a failure.
pub fn goodbye() -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }))
}

/// Carries bytes both ways until both ends have closed or one has failed.
pub async fn splice(client: OnUpgrade, backend: Upgraded) {
    let Ok(client) = client.await else { return };
    let (mut client, mut backend) = (TokioIo::new(client), TokioIo::new(backend));
    // Either end may go at any time; the other then sees its connection close.
    let _ = copy_bidirectional_with_sizes(&mut client, &mut backend, COPY_BYTES, COPY_BYTES).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handshake_is_that_of_the_rfc() {
        let mut headers = HeaderMap::new();
        assert!(accept_websocket(&headers, "v5.channel.k8s.io").is_err());
        headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        headers.insert(CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        let reply = accept_websocket(&headers, "v5.channel.k8s.io").expect("a key");
        assert_eq!(reply.headers()[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(wanted(&headers), Some("websocket"));
        headers.remove(CONNECTION);
        assert_eq!(wanted(&headers), None);
    }

    #[test]
    fn a_token_among_the_subprotocols_is_read_and_then_gone() {
        let mut headers = HeaderMap::new();
        assert_eq!(bearer(&headers), None);
        let offers = "base64url.bearer.authorization.k8s.io.YS5iLmM, base64.binary.k8s.io";
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(offers));
        assert_eq!(bearer(&headers).as_deref(), Some("a.b.c"));
        forget_bearer(&mut headers);
        assert_eq!(subprotocols(&headers), ["base64.binary.k8s.io"]);
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("base64url.bearer.authorization.k8s.io.YQ"));
        forget_bearer(&mut headers);
        assert!(!headers.contains_key(SEC_WEBSOCKET_PROTOCOL));
    }
}
