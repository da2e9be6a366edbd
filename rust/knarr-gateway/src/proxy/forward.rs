//! pods/portforward for clients that speak channels instead of SPDY (Python's among them): two channels a port on the client's side,
//! two SPDY streams on the kubelet's.
//!
//! ```text
//!  ?ports=80,443        channel 0: port 80, data      channel 1: port 80, errors      channel 2: port 443, data ...
//! ```
//! Each channel begins with its port, two bytes, little-endian. Source: kubelet
//! `pkg/kubelet/cri/streaming/portforward/websocket.go`.

use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use knarr_machinery::Status;
use knarr_stream::channel::{CHANNELS_MAX, Input, Output, Protocol};
use knarr_stream::spdy::{Event, Headers, Role, Session, StreamId};
use parking_lot::Mutex;
use tokio::io::AsyncReadExt;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Message;

use super::tunnel::write;
use crate::path::query_pairs;
use crate::upgrade::{self, Socket};

/// The subprotocols spoken here.
pub const SPOKEN: [Protocol; 2] = [Protocol::V4, Protocol::V4Base64];
/// Ports of one request: each has two channels.
const PORTS_MAX: usize = CHANNELS_MAX as usize / 2;
/// Bytes read from the kubelet at once.
const READ_BYTES: usize = 64 << 10;

/// The ports that a query names. Errors: 400, in a kubelet's words.
pub fn ports(query: &str) -> Result<Vec<u16>, Status> {
    let mut ports = Vec::new();
    for (_, value) in query_pairs(query).filter(|(key, _)| key == "ports") {
        for text in value.split(',') {
            let port: u16 =
                text.parse().map_err(|_| Status::bad_request(format!("unable to parse \"{text}\" as a port")))?;
            if port == 0 {
                return Err(Status::bad_request("port \"0\" must be > 0"));
            }
            ports.push(port);
        }
    }
    match ports.len() {
        0 => Err(Status::bad_request("query parameter \"port\" is required")),
        1..=PORTS_MAX => Ok(ports),
        _ => Err(Status::bad_request(format!("at most {PORTS_MAX} ports can be forwarded at once"))),
    }
}

/// A port's two streams; its channels are twice its place, and the next.
struct Pair {
    data: StreamId,
    error: StreamId,
    port: u16,
}

fn opened(session: &mut Session, ports: &[u16]) -> Vec<Pair> {
    let mut pairs = Vec::with_capacity(ports.len());
    for (request, port) in ports.iter().enumerate() {
        let (port_text, request) = (port.to_string(), request.to_string());
        let mut open = |kind| {
            session.open(&Headers::from([("streamtype", kind), ("port", port_text.as_str()), ("requestid", &request)]))
        };
        // The error stream first: a kubelet waits for both, and takes them in this order.
        if let (Some(error), Some(data)) = (open("error"), open("data")) {
            pairs.push(Pair { data, error, port: *port });
        }
    }
    pairs
}

/// The channel of a stream.
fn channel(pairs: &[Pair], stream: StreamId) -> Option<u8> {
    let (place, pair) = pairs.iter().enumerate().find(|(_, pair)| pair.data == stream || pair.error == stream)?;
    u8::try_from(2 * place + usize::from(pair.error == stream)).ok()
}

fn message(output: Output) -> Message {
    match output {
        Output::Binary(bytes) => Message::Binary(bytes),
        Output::Text(text) => Message::Text(text.into()),
    }
}

/// Carries until the kubelet has closed every port's data, or either side is gone.
pub async fn carry(socket: Socket, backend: Upgraded, protocol: Protocol, ports: &[u16]) {
    let mut session = Session::new(Role::Client);
    let pairs = opened(&mut session, ports);
    for pair in &pairs {
        // Nothing is sent on it from here.
        session.finish(pair.error);
    }
    let session = Mutex::new(session);
    let owed = Notify::new();
    owed.notify_one();
    let (mut to_client, mut from_client) = socket.split();
    let (mut from_kubelet, mut to_kubelet) = tokio::io::split(TokioIo::new(backend));

    let upwards = async {
        loop {
            let input = tokio::select! {
                // What the session owes the kubelet by itself: stream openings at first, answers to pings later.
                () = owed.notified() => None,
                next = from_client.next() => match next {
                    Some(Ok(Message::Binary(bytes))) => protocol.decode(&bytes),
                    Some(Ok(Message::Text(text))) => protocol.decode(&bytes::Bytes::from(text)),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                    Some(Ok(_)) => None,
                },
            };
            let output = {
                let mut session = session.lock();
                if let Some(Input::Data(channel, data)) = input
                    && channel % 2 == 0
                    && let Some(pair) = pairs.get(usize::from(channel / 2))
                {
                    session.data(pair.data, &data);
                }
                session.output()
            };
            if !output.is_empty() && write(&mut to_kubelet, &output).await.is_err() {
                // What the kubelet sent before is still being read; that direction says when all is over.
                std::future::pending::<()>().await;
            }
        }
    };
    let downwards = async {
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        let mut writing: Vec<StreamId> = pairs.iter().map(|pair| pair.data).collect();
        for pair in &pairs {
            for stream in [pair.data, pair.error] {
                let Some(channel) = channel(&pairs, stream) else { continue };
                let begin = protocol.encode(channel, &pair.port.to_le_bytes());
                if to_client.send(message(begin)).await.is_err() {
                    return;
                }
            }
        }
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
                        let Some(channel) = channel(&pairs, stream) else { continue };
                        if to_client.send(message(protocol.encode(channel, &data))).await.is_err() {
                            break 'read;
                        }
                    }
                    Event::Fin { stream } | Event::Reset { stream, .. } => writing.retain(|open| *open != stream),
                    _ => {}
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_from_the_query() {
        let words = |query: &str| ports(query).map_err(|status| status.message);
        assert_eq!(words("ports=80&ports=443,8080"), Ok(vec![80, 443, 8080]));
        assert_eq!(words("ports=0"), Err("port \"0\" must be > 0".to_owned()));
        assert_eq!(words("ports=http"), Err("unable to parse \"http\" as a port".to_owned()));
        assert_eq!(words("ports=70000"), Err("unable to parse \"70000\" as a port".to_owned()));
        assert_eq!(words("a=b"), Err("query parameter \"port\" is required".to_owned()));
        let many = vec!["1"; PORTS_MAX + 1].join(",");
        assert!(words(&format!("ports={many}")).is_err());
    }
}
