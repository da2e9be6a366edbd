//! A client's WebSocket channels on one side, a kubelet's SPDY streams on the other: what exec and port-forward have in common.
//!
//! The two directions run side by side: a command that writes while it is fed must not stop either.

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use knarr_stream::channel::{Input, Output, Protocol};
use knarr_stream::spdy::{Event, Session, StreamId};
use parking_lot::Mutex;
use tokio::io::AsyncReadExt;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Message;

use super::tunnel::write;
use crate::upgrade::{self, Socket};

/// Bytes read from the kubelet at once.
const READ_BYTES: usize = 64 << 10;

/// Which stream is which channel, as one use of them has it.
pub trait Channels {
    /// Hands what the client sent to the kubelet's streams.
    fn feed(&self, session: &mut Session, input: Input);
    /// What the client is told of a stream's bytes; None where they are kept.
    fn say(&self, stream: StreamId, data: &[u8]) -> Option<Output>;
    /// What the client is told when all is over.
    fn last(&self) -> Option<Output> {
        None
    }
}

pub fn message(output: Output) -> Message {
    match output {
        Output::Binary(bytes) => Message::Binary(bytes),
        Output::Text(text) => Message::Text(text.into()),
    }
}

/// Carries until the kubelet has closed all of `writing`, or either side is gone.
///
/// session: the kubelet's, its streams opened. greeting: what the client is told first.
pub async fn carry(
    (socket, protocol): (Socket, Protocol),
    (backend, session): (Upgraded, Session),
    channels: &(impl Channels + Sync),
    greeting: Vec<Output>,
    mut writing: Vec<StreamId>,
) {
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
                    Some(Ok(Message::Text(text))) => protocol.decode(&Bytes::from(text)),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                    Some(Ok(_)) => None,
                },
            };
            let output = {
                let mut session = session.lock();
                if let Some(input) = input {
                    channels.feed(&mut session, input);
                }
                session.output()
            };
            if !output.is_empty() && write(&mut to_kubelet, &output).await.is_err() {
                // What the kubelet sent before is still being read, and that direction says when all is over.
                std::future::pending::<()>().await;
            }
        }
    };
    let downwards = async {
        for output in greeting {
            if to_client.send(message(output)).await.is_err() {
                return;
            }
        }
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
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
                        let Some(output) = channels.say(stream, &data) else { continue };
                        if to_client.send(message(output)).await.is_err() {
                            break 'read;
                        }
                    }
                    Event::Fin { stream } | Event::Reset { stream, .. } => writing.retain(|open| *open != stream),
                    _ => {}
                }
            }
        }
        // The client may be gone already.
        if let Some(output) = channels.last() {
            let _ = to_client.send(message(output)).await;
        }
        let _ = to_client.send(upgrade::goodbye()).await;
    };
    tokio::select! {
        () = upwards => {}
        () = downwards => {}
    }
}
