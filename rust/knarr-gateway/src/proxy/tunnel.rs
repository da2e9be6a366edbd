//! pods/portforward: SPDY bytes inside WebSocket messages, carried to the kubelet's own SPDY connection.
//!
//! kubectl speaks SPDY/3.1 over a WebSocket of subprotocol `SPDY/3.1+portforward.k8s.io`; message boundaries mean nothing. Who
//! offers channels instead is answered by `forward.rs`. Source: KEP-4006; apiserver `pkg/util/proxy/tunnelinghandler.go`.

use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use http::header::{HeaderName, HeaderValue};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use knarr_machinery::Status;
use knarr_stream::channel::Protocol;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use super::{Target, forward, locate, raw, upgrade_wanted};
use crate::gateway::Gateway;
use crate::reply::Reply;
use crate::upgrade::{self, Socket};

const SUBPROTOCOL: &str = "SPDY/3.1+portforward.k8s.io";
/// Bytes read from the kubelet for one message.
const READ_BYTES: usize = 64 << 10;

pub async fn answer(gateway: &Gateway, target: Target<'_>, client: Option<OnUpgrade>) -> Result<Reply, Status> {
    let wanted = upgrade_wanted(&target)?;
    let (namespace, name) = (target.info.namespace.as_ref(), target.info.name.as_ref());
    let pod = locate::pod(&gateway.machinery, namespace, name)?;
    let unassigned = || Status::bad_request(format!("pod {name} does not have a host assigned"));
    let node = locate::pod_node(&gateway.machinery, &pod)?.ok_or_else(unassigned)?;
    let client = client.ok_or_else(|| Status::bad_request("Upgrade request required"))?;
    let path = format!("/portForward/{namespace}/{name}");
    if !wanted.eq_ignore_ascii_case("websocket") {
        return raw::pass_upgrade(gateway, target, &node, &path, client).await;
    }
    let offers = upgrade::subprotocols(&target.parts.headers);
    let channels =
        || offers.iter().find_map(|offer| forward::SPOKEN.into_iter().find(|known| known.as_str() == *offer));
    let (subprotocol, channels) = match channels() {
        _ if offers.contains(&SUBPROTOCOL) => (SUBPROTOCOL, None),
        Some(protocol) => (protocol.as_str(), Some((protocol, forward::ports(target.query)?))),
        None => {
            return Err(Status::bad_request(format!(
                "unable to negotiate protocol: client supports [{}], server accepts [{SUBPROTOCOL} {}]",
                offers.join(" "),
                forward::SPOKEN.map(Protocol::as_str).join(" ")
            )));
        }
    };
    let version =
        (HeaderName::from_static("x-stream-protocol-version"), HeaderValue::from_static("portforward.k8s.io"));
    // The kubelet first: if it refuses, the client gets an answer rather than a connection that closes.
    let (backend, _) = gateway.kubelets.upgrade(&node, &path, &[version]).await?;
    let reply = match upgrade::accept_websocket(&target.parts.headers, subprotocol) {
        Ok(reply) => reply,
        Err(refused) => return Ok(*refused),
    };
    tokio::spawn(async move {
        if let Ok(socket) = upgrade::websocket(client).await {
            match channels {
                None => carry(socket, backend).await,
                Some((protocol, ports)) => forward::carry(socket, backend, protocol, &ports).await,
            }
        }
    });
    Ok(reply)
}

/// Writes all of it, through TLS too: what a full socket left in the session's buffer goes out only by a flush.
pub async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

/// Both directions at once, each at its reader's pace; the end of either is the end of both.
async fn carry(socket: Socket, backend: Upgraded) {
    let (mut to_client, mut from_client) = socket.split();
    let (mut from_kubelet, mut to_kubelet) = tokio::io::split(TokioIo::new(backend));
    let upwards = async {
        while let Some(Ok(message)) = from_client.next().await {
            let bytes = match message {
                Message::Binary(bytes) => bytes,
                Message::Close(_) => break,
                _ => continue,
            };
            if write(&mut to_kubelet, &bytes).await.is_err() {
                // What the kubelet sent before is still being read; that direction says when all is over.
                std::future::pending::<()>().await;
            }
        }
    };
    let downwards = async {
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        loop {
            buffer.reserve(READ_BYTES);
            match from_kubelet.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            if to_client.send(Message::Binary(buffer.split().freeze())).await.is_err() {
                break;
            }
        }
        // The client may be gone already.
        let _ = to_client.send(upgrade::goodbye()).await;
    };
    tokio::select! {
        () = upwards => {}
        () = downwards => {}
    }
}
