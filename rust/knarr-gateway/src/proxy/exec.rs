//! pods/exec and pods/attach: WebSocket channels on the client's side, SPDY streams on the kubelet's.
//!
//! ```text
//!  client --[0 stdin..]--> from_client --Session::data--> to_kubelet      (the writer also sends what the session owes, e.g. pings)
//!  client <--[1 out..]---- to_client  <--Session::receive-- from_kubelet
//! ```
//! The two directions run side by side: a command that writes while it is fed must not stop either. Source: apiserver
//! `pkg/util/proxy/streamtranslator.go`; kubelet `pkg/kubelet/cri/streaming/remotecommand`.

use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use http::header::{HeaderName, HeaderValue};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use knarr_machinery::Status;
use knarr_stream::channel::{self, Input, Output, Protocol};
use knarr_stream::remotecommand::{Streams, failure_status};
use knarr_stream::spdy::{Event, Headers, Role, Session, StreamId};
use parking_lot::Mutex;
use tokio::io::AsyncReadExt;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Message;

use super::locate::Address;
use super::tunnel::write;
use super::{Kubelets, Target, kubelet, locate, raw, upgrade_wanted};
use crate::gateway::Gateway;
use crate::path::{is_true, query_pairs};
use crate::reply::Reply;
use crate::upgrade::{self, Socket};

/// Bytes read from the kubelet at once.
const READ_BYTES: usize = 64 << 10;
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

fn message(output: Output) -> Message {
    match output {
        Output::Binary(bytes) => Message::Binary(bytes),
        Output::Text(text) => Message::Text(text.into()),
    }
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
struct Opened(Vec<(u8, StreamId)>);

impl Opened {
    fn stream(&self, channel: u8) -> Option<StreamId> {
        self.0.iter().find(|(known, _)| *known == channel).map(|(_, stream)| *stream)
    }

    fn channel(&self, stream: StreamId) -> Option<u8> {
        self.0.iter().find(|(_, known)| *known == stream).map(|(channel, _)| *channel)
    }
}

async fn carry(socket: Socket, backend: Upgraded, protocol: Protocol, streams: Streams) {
    let mut session = Session::new(Role::Client);
    let mut opened = Opened(Vec::new());
    for (kind, channel) in streams.types() {
        if let Some(stream) = session.open(&Headers::from([("streamtype", kind)])) {
            opened.0.push((channel, stream));
        }
    }
    let session = Mutex::new(session);
    let owed = Notify::new();
    owed.notify_one();
    let (mut to_client, mut from_client) = socket.split();
    let (mut from_kubelet, mut to_kubelet) = tokio::io::split(TokioIo::new(backend));

    let upwards = async {
        loop {
            tokio::select! {
                // What the session owes the kubelet by itself: stream openings at first, answers to pings later.
                () = owed.notified() => {}
                next = from_client.next() => match next {
                    Some(Ok(Message::Binary(bytes))) => feed(&session, &opened, protocol.decode(&bytes)),
                    Some(Ok(Message::Text(text))) => feed(&session, &opened, protocol.decode(&bytes::Bytes::from(text))),
                    Some(Ok(Message::Close(_))) | Some(Err(_)) | None => break,
                    Some(Ok(_)) => {}
                },
            }
            let output = session.lock().output();
            if !output.is_empty() && write(&mut to_kubelet, &output).await.is_err() {
                // The command has ended; what it wrote is still being read, and that direction says when all is over.
                std::future::pending::<()>().await;
            }
        }
    };
    let downwards = async {
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        // The kubelet always speaks v4: for a client that does not, its Status is gathered and said in plain words.
        let mut verdict = BytesMut::new();
        // Done when the kubelet has closed every stream that it writes to.
        let mut writing: Vec<u8> = opened
            .0
            .iter()
            .map(|(channel, _)| *channel)
            .filter(|c| !matches!(*c, channel::STDIN | channel::RESIZE))
            .collect();
        'read: while !writing.is_empty() {
            buffer.clear();
            match from_kubelet.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            let (events, owing) = {
                let mut session = session.lock();
                let events = session.receive(&buffer);
                (events, session.output_len() > 0)
            };
            if owing {
                owed.notify_one();
            }
            let Ok(events) = events else { break };
            for event in events {
                match event {
                    Event::Data { stream, data } => {
                        let Some(channel) = opened.channel(stream) else { continue };
                        if channel == channel::ERROR && !protocol.has_status() {
                            verdict.extend_from_slice(&data[..data.len().min(VERDICT_BYTES_MAX - verdict.len())]);
                            continue;
                        }
                        if to_client.send(message(protocol.encode(channel, &data))).await.is_err() {
                            break 'read;
                        }
                    }
                    Event::Fin { stream } | Event::Reset { stream, .. } => {
                        writing.retain(|channel| Some(*channel) != opened.channel(stream));
                    }
                    _ => {}
                }
            }
        }
        // The client may be gone already.
        if let Some(words) = plain_words(&verdict) {
            let _ = to_client.send(message(protocol.encode(channel::ERROR, words.as_bytes()))).await;
        }
        let _ = to_client.send(upgrade::goodbye()).await;
    };
    tokio::select! {
        () = upwards => {}
        () = downwards => {}
    }
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

/// Hands a client's message to the session.
fn feed(session: &Mutex<Session>, opened: &Opened, input: Option<Input>) {
    match input {
        Some(Input::Data(channel @ (channel::STDIN | channel::RESIZE), bytes)) => {
            if let Some(stream) = opened.stream(channel) {
                session.lock().data(stream, &bytes);
            }
        }
        Some(Input::Close(channel)) => {
            if let Some(stream) = opened.stream(channel) {
                session.lock().finish(stream);
            }
        }
        Some(Input::Data(..)) | None => {}
    }
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
