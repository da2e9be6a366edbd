//! pods/exec and pods/attach: WebSocket channels on the client's side, SPDY streams on the kubelet's.
//!
//! ```text
//!  client --[0 stdin..]--> from_client --Session::data--> to_kubelet      (the writer also sends what the session owes, e.g. pings)
//!  client <--[1 out..]---- to_client  <--Session::receive-- from_kubelet
//! ```
//! Source: apiserver `pkg/util/proxy/streamtranslator.go`; kubelet `pkg/kubelet/cri/streaming/remotecommand`.

use bytes::BytesMut;
use futures_util::SinkExt;
use http::header::{HeaderName, HeaderValue};
use hyper::upgrade::{OnUpgrade, Upgraded};
use knarr_machinery::Status;
use knarr_stream::channel::{self, Input, Output, Protocol};
use knarr_stream::remotecommand::{Streams, failure_status};
use knarr_stream::spdy::{Headers, Role, Session, StreamId};
use parking_lot::Mutex;

use super::channels::{Channels, message};
use super::locate::Address;
use super::{Kubelets, Target, channels, kubelet, locate, raw, upgrade_wanted};
use crate::gateway::Gateway;
use crate::path::{is_true, query_pairs};
use crate::reply::Reply;
use crate::upgrade::{self, Socket};

/// Bytes kept of a kubelet's Status: an exit code or one sentence.
const VERDICT_BYTES_MAX: usize = 16 << 10;

pub async fn answer(gateway: &Gateway, target: Target<'_>, client: Option<OnUpgrade>) -> Result<Reply, Status> {
    let verb = target.info.subresource.as_ref();
    let (streams, command) = options(target.query);
    if !streams.stdin && !streams.stdout && !streams.stderr {
        return Err(Status::bad_request("you must specify at least 1 of stdin, stdout, stderr"));
    }
    if verb == "exec" && command.is_empty() {
        return Err(Status::bad_request("you must specify at least one command for the container"));
    }
    let wanted = upgrade_wanted(&target)?;
    let (namespace, name) = (target.info.namespace.as_ref(), target.info.name.as_ref());
    let pod = locate::pod(&gateway.machinery, namespace, name)?;
    let container = locate::container(&pod, &target.query("container"))?;
    let unassigned = || Status::bad_request(format!("pod {name} does not have a host assigned"));
    let node = locate::pod_node(&gateway.machinery, &pod)?.ok_or_else(unassigned)?;
    let path = format!("/{verb}/{namespace}/{name}/{container}?{}", kubelet_query(streams, &command));
    let client = client.ok_or_else(|| Status::bad_request("Upgrade request required"))?;
    if !wanted.eq_ignore_ascii_case("websocket") {
        return raw::pass_upgrade(gateway, target, &node, &path, client).await;
    }
    let offers = upgrade::subprotocols(&target.parts.headers);
    let Some(protocol) = Protocol::choose(offers.iter().copied()) else {
        return Err(Status::bad_request(format!(
            "unable to negotiate protocol: client supports [{}], server accepts [v5.channel.k8s.io v4.channel.k8s.io]",
            offers.join(" ")
        )));
    };
    let reply = match upgrade::accept_websocket(&target.parts.headers, protocol.as_str()) {
        Ok(reply) => reply,
        Err(refused) => return Ok(*refused),
    };
    let kubelets = gateway.kubelets.clone();
    tokio::spawn(async move {
        if let Ok(socket) = upgrade::websocket(client).await {
            translate(socket, protocol, streams, &kubelets, &node, &path).await;
        }
    });
    Ok(reply)
}

/// What the client's query asks for.
fn options(query: &str) -> (Streams, Vec<String>) {
    let (mut streams, mut command) = (Streams::default(), Vec::new());
    for (key, value) in query_pairs(query) {
        match key.as_ref() {
            "stdin" => streams.stdin = is_true(&value),
            "stdout" => streams.stdout = is_true(&value),
            "stderr" => streams.stderr = is_true(&value),
            "tty" => streams.tty = is_true(&value),
            "command" => command.push(value.into_owned()),
            _ => {}
        }
    }
    (streams, command)
}

fn kubelet_query(streams: Streams, command: &[String]) -> String {
    let flags = [("input", streams.stdin), ("output", streams.stdout), ("error", streams.stderr), ("tty", streams.tty)];
    let flags = flags.into_iter().filter(|(_, on)| *on).map(|(name, _)| (name.to_owned(), "1".to_owned()));
    let words = command.iter().map(|word| ("command".to_owned(), word.clone()));
    kubelet::query(&flags.chain(words).collect::<Vec<_>>())
}

async fn translate(
    mut socket: Socket,
    protocol: Protocol,
    streams: Streams,
    kubelets: &Kubelets,
    node: &Address,
    path: &str,
) {
    let version = (HeaderName::from_static("x-stream-protocol-version"), HeaderValue::from_static("v4.channel.k8s.io"));
    match kubelets.upgrade(node, path, &[version]).await {
        Ok((backend, _)) => carry(socket, backend, protocol, streams).await,
        Err(status) => {
            // The connection is a WebSocket already: the failure goes where the exit code would.
            let words = format!("Internal error occurred: {}", status.message);
            let text = if protocol.has_status() { failure_status(&words) } else { words };
            // The client may be gone already.
            let _ = socket.send(message(protocol.encode(channel::ERROR, text.as_bytes()))).await;
            let _ = socket.send(upgrade::goodbye()).await;
        }
    }
}

/// The kubelet's streams by channel.
struct Opened {
    protocol: Protocol,
    streams: Vec<(u8, StreamId)>,
    /// The kubelet always speaks v4: for a client that does not, its Status is gathered and said in plain words.
    verdict: Mutex<BytesMut>,
}

impl Opened {
    fn stream(&self, channel: u8) -> Option<StreamId> {
        self.streams.iter().find(|(known, _)| *known == channel).map(|(_, stream)| *stream)
    }
}

impl Channels for Opened {
    fn feed(&self, session: &mut Session, input: Input) {
        match input {
            Input::Data(channel, data) if channel == channel::STDIN || channel == channel::RESIZE => {
                if let Some(stream) = self.stream(channel) {
                    session.data(stream, &data);
                }
            }
            Input::Close(channel) => {
                if let Some(stream) = self.stream(channel) {
                    session.finish(stream);
                }
            }
            Input::Data(..) => {}
        }
    }

    fn say(&self, stream: StreamId, data: &[u8]) -> Option<Output> {
        let (channel, _) = *self.streams.iter().find(|(_, known)| *known == stream)?;
        if channel == channel::ERROR && !self.protocol.has_status() {
            let mut verdict = self.verdict.lock();
            let room = VERDICT_BYTES_MAX - verdict.len();
            verdict.extend_from_slice(&data[..data.len().min(room)]);
            return None;
        }
        Some(self.protocol.encode(channel, data))
    }

    fn last(&self) -> Option<Output> {
        let words = plain_words(&self.verdict.lock())?;
        Some(self.protocol.encode(channel::ERROR, words.as_bytes()))
    }
}

async fn carry(socket: Socket, backend: Upgraded, protocol: Protocol, streams: Streams) {
    let mut session = Session::new(Role::Client);
    let mut opened = Opened { protocol, streams: Vec::new(), verdict: Mutex::default() };
    for (kind, channel) in streams.types() {
        if let Some(stream) = session.open(&Headers::from([("streamtype", kind)])) {
            opened.streams.push((channel, stream));
        }
    }
    // Done when the kubelet has closed every stream that it writes to.
    let read = |channel: u8| !matches!(channel, channel::STDIN | channel::RESIZE);
    let writing = opened.streams.iter().filter(|(channel, _)| read(*channel)).map(|(_, stream)| *stream).collect();
    channels::carry((socket, protocol), (backend, session), &opened, Vec::new(), writing).await;
}

/// What protocols before v4 say on the error channel for a Status: nothing for a success, else its words. What is no Status is
/// passed on as it is.
fn plain_words(status: &[u8]) -> Option<String> {
    if status.is_empty() {
        return None;
    }
    let Ok(parsed) = knarr_value::json::parse(status) else {
        return Some(String::from_utf8_lossy(status).into_owned());
    };
    (parsed.value.str_at(&["status"]) != "Success").then(|| parsed.value.str_at(&["message"]).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_protocols_hear_of_failures_only() {
        assert_eq!(plain_words(b""), None);
        assert_eq!(plain_words(knarr_stream::remotecommand::exit_status(0).as_bytes()), None);
        let failed = plain_words(knarr_stream::remotecommand::exit_status(7).as_bytes());
        assert_eq!(failed.as_deref(), Some("command terminated with non-zero exit code: exit status 7"));
        assert_eq!(plain_words(b"no JSON").as_deref(), Some("no JSON"));
    }

    #[test]
    fn the_kubelets_query_has_its_own_names() {
        let (streams, command) =
            options("command=sh&command=-c&command=ls+%2F&stdin=true&stdout=1&stderr=false&container=c");
        assert_eq!(command, ["sh", "-c", "ls /"]);
        assert_eq!(kubelet_query(streams, &command), "input=1&output=1&command=sh&command=-c&command=ls%20%2F");
    }
}
