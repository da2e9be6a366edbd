//! nodes/proxy: any path of a kubelet, and upgrades passed through byte by byte.

use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderValue, Request};
use http_body_util::BodyExt;
use hyper::upgrade::OnUpgrade;
use knarr_machinery::Status;

use super::locate::{self, Address};
use super::{Target, failure};
use crate::body::{BodyError, ReplyBody};
use crate::gateway::Gateway;
use crate::reply::{JSON, Reply, reply};
use crate::serve::Upload;
use crate::upgrade::{self, splice};

/// Headers that belong to one connection, or are ours alone.
const HOP_BY_HOP: [HeaderName; 4] = [CONNECTION, UPGRADE, TRANSFER_ENCODING, CONTENT_LENGTH];

/// `NAME`, `NAME:PORT` or `https:NAME:PORT`.
fn node_and_port(name: &str) -> (&str, Option<u16>) {
    let name = name.strip_prefix("https:").unwrap_or(name);
    match name.rsplit_once(':') {
        Some((node, port)) => (node, port.parse().ok()),
        None => (name, None),
    }
}

pub async fn node_proxy(
    gateway: &Gateway,
    target: Target<'_>,
    body: Upload,
    client: Option<OnUpgrade>,
) -> Result<Reply, Status> {
    let (node, port) = node_and_port(&target.info.name);
    let mut address = locate::address(&gateway.machinery, node)?;
    address.port = port.unwrap_or(address.port);
    let separator = if target.query.is_empty() { "" } else { "?" };
    let path = format!("/{}{separator}{}", target.info.rest, target.query);
    forward(gateway, target, &address, &path, body, client).await
}

async fn forward(
    gateway: &Gateway,
    target: Target<'_>,
    address: &Address,
    path: &str,
    body: Upload,
    client: Option<OnUpgrade>,
) -> Result<Reply, Status> {
    let mut request = Request::builder().method(target.parts.method.clone()).uri(path);
    for (name, value) in &target.parts.headers {
        // Ours to the kubelet is a certificate; the client's token is no business of a node's.
        if *name != AUTHORIZATION
            && *name != HOST
            && !HOP_BY_HOP[..3].contains(name)
            && !name.as_str().starts_with("impersonate-")
        {
            request = request.header(name, value);
        }
    }
    let wanted = upgrade::wanted(&target.parts.headers);
    if let Some(protocol) = wanted {
        request = request.header(CONNECTION, "Upgrade").header(UPGRADE, protocol);
    }
    let request = request.header(HOST, address.to_string()).body(match body {
        Upload::Network(body) => body.boxed(),
        Upload::Memory(bytes) => http_body_util::Full::new(bytes).map_err(|never| match never {}).boxed(),
    });
    let request = request.map_err(|error| failure(400, format!("error proxying: {error}")))?;
    let response = gateway.kubelets.send(address, request).await?;
    let (answered, body) = (response.headers().clone(), response.status());
    let mut answer = match (body, client) {
        (http::StatusCode::SWITCHING_PROTOCOLS, Some(client)) => {
            let backend =
                hyper::upgrade::on(response).await.map_err(|error| failure(502, format!("error proxying: {error}")))?;
            tokio::spawn(splice(client, backend));
            upgrade::switching(wanted.unwrap_or_default())
        }
        (code, _) => {
            let body = response.into_body().map_err(|error| -> BodyError { error.into() });
            reply(code.as_u16(), JSON, ReplyBody::Stream(Box::pin(body)))
        }
    };
    for (name, value) in &answered {
        if !HOP_BY_HOP.contains(name) {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    Ok(answer)
}

/// Passes an upgrade of the client's own (SPDY/3.1) through to the kubelet's path.
pub async fn pass_upgrade(
    gateway: &Gateway,
    target: Target<'_>,
    address: &Address,
    path: &str,
    client: OnUpgrade,
) -> Result<Reply, Status> {
    let version = HeaderName::from_static("x-stream-protocol-version");
    let headers: Vec<(HeaderName, HeaderValue)> =
        target.parts.headers.get_all(&version).iter().map(|value| (version.clone(), value.clone())).collect();
    let (backend, answered) = gateway.kubelets.upgrade(address, path, &headers).await?;
    tokio::spawn(splice(client, backend));
    let mut answer = upgrade::switching("SPDY/3.1");
    for value in answered.get_all(&version) {
        answer.headers_mut().append(&version, value.clone());
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_may_be_named_with_its_port() {
        assert_eq!(node_and_port("n"), ("n", None));
        assert_eq!(node_and_port("n:10250"), ("n", Some(10250)));
        assert_eq!(node_and_port("https:n:443"), ("n", Some(443)));
    }
}
