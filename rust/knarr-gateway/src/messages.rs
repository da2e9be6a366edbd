//! One-way WebSockets: the body of an answer as messages, for those that cannot read a stream (browsers, mostly).
//!
//! ```text
//!  pods/log    an empty message, then the bytes as they come: binary, or base64 in text where `base64.binary.k8s.io` is asked for
//!  watch       a message an event: text where events are JSON, binary where they are protobuf
//! ```
//! What the client sends means nothing but its leaving. Source: apimachinery `pkg/util/httpstream/wsstream/stream.go`, apiserver
//! `pkg/endpoints/handlers/watch.go`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::Message;

use crate::body::ReplyBody;
use crate::reply::{Reply, text};
use crate::upgrade::{self, Socket};

const BINARY: &str = "binary.k8s.io";
const BASE64: &str = "base64.binary.k8s.io";
/// Bytes of length before each protobuf event of a stream; messages have a length of their own.
const PREFIX_BYTES: usize = 4;

/// How bytes become a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shape {
    Binary,
    Base64,
    Event,
    PrefixedEvent,
}

impl Shape {
    fn message(self, piece: Bytes) -> Message {
        match self {
            Self::Binary => Message::Binary(piece),
            Self::Base64 => Message::Text(STANDARD.encode(&piece).into()),
            // An event in JSON is text by construction; what is not goes as it is.
            Self::Event => match String::from_utf8(piece.into()) {
                Ok(text) => Message::Text(text.into()),
                Err(error) => Message::Binary(error.into_bytes().into()),
            },
            Self::PrefixedEvent => Message::Binary(piece.slice(PREFIX_BYTES.min(piece.len())..)),
        }
    }
}

/// The answer to a request for a log, over a WebSocket if one is wanted and there is a log to show.
pub fn log(headers: &HeaderMap, client: Option<OnUpgrade>, reply: Reply) -> Reply {
    let offers = upgrade::subprotocols(headers);
    let chosen = offers.iter().find_map(|offer| [BINARY, BASE64].into_iter().find(|known| known == offer));
    match (asked(headers, &reply), client, chosen) {
        (true, Some(client), Some(BASE64)) => switched(headers, client, reply, BASE64, Shape::Base64),
        (true, Some(client), Some(protocol)) => switched(headers, client, reply, protocol, Shape::Binary),
        (true, Some(client), None) if offers.is_empty() => switched(headers, client, reply, "", Shape::Binary),
        (true, Some(_), None) => {
            text(403, format!("requested protocol(s) are not supported: {offers:?}; supports [{BINARY} {BASE64}]"))
        }
        _ => reply,
    }
}

/// The answer to a watch, over a WebSocket if one is wanted and the watch has begun.
pub fn watch(headers: &HeaderMap, client: Option<OnUpgrade>, reply: Reply) -> Reply {
    let (true, Some(client)) = (asked(headers, &reply), client) else { return reply };
    let kind = reply.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let shape = if kind.contains("protobuf") { Shape::PrefixedEvent } else { Shape::Event };
    // The framing does not depend on a subprotocol; a client that offers some wants one of them named.
    let protocol = upgrade::subprotocols(headers).first().copied().unwrap_or_default().to_owned();
    switched(headers, client, reply, &protocol, shape)
}

fn asked(headers: &HeaderMap, reply: &Reply) -> bool {
    reply.status() == http::StatusCode::OK
        && upgrade::wanted(headers).is_some_and(|wanted| wanted.eq_ignore_ascii_case("websocket"))
}

fn switched(headers: &HeaderMap, client: OnUpgrade, reply: Reply, protocol: &str, shape: Shape) -> Reply {
    let answer = match upgrade::accept_websocket(headers, protocol) {
        Ok(answer) => answer,
        Err(refused) => return *refused,
    };
    let body = reply.into_body();
    tokio::spawn(async move {
        if let Ok(socket) = upgrade::websocket(client).await {
            carry(socket, body, shape).await;
        }
    });
    answer
}

/// Until the body ends or the client leaves.
async fn carry(socket: Socket, mut body: ReplyBody, shape: Shape) {
    let (mut to_client, mut from_client) = socket.split();
    let downwards = async {
        if matches!(shape, Shape::Binary | Shape::Base64) && to_client.send(shape.message(Bytes::new())).await.is_err()
        {
            return;
        }
        while let Some(piece) = std::future::poll_fn(|cx| body.poll_piece(cx)).await {
            if to_client.send(shape.message(piece)).await.is_err() {
                return;
            }
        }
        // The client may be gone already.
        let _ = to_client.send(upgrade::goodbye()).await;
    };
    let leaving = async {
        while let Some(Ok(message)) = from_client.next().await
            && !message.is_close()
        {}
    };
    tokio::select! {
        () = downwards => {}
        () = leaving => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_the_messages_that_were_asked_for() {
        let bytes = Bytes::from_static(b"\0\0\0\x02ok");
        assert_eq!(Shape::Binary.message(bytes.clone()), Message::Binary(bytes.clone()));
        assert_eq!(Shape::Base64.message(bytes.clone()), Message::Text("AAAAAm9r".into()));
        assert_eq!(Shape::PrefixedEvent.message(bytes), Message::Binary(Bytes::from_static(b"ok")));
        assert_eq!(Shape::Event.message(Bytes::from_static(b"{}\n")), Message::Text("{}\n".into()));
    }
}
