//! pods/portforward for clients that speak channels instead of SPDY (Python's among them): two channels a port on the client's side,
//! two SPDY streams on the kubelet's.
//!
//! ```text
//!  ?ports=80,443        channel 0: port 80, data      channel 1: port 80, errors      channel 2: port 443, data ...
//! ```
//! Each channel begins with its port, two bytes, little-endian. Source: kubelet
//! `pkg/kubelet/cri/streaming/portforward/websocket.go`.

use hyper::upgrade::Upgraded;
use knarr_machinery::Status;
use knarr_stream::channel::{CHANNELS_MAX, Input, Output, Protocol};
use knarr_stream::spdy::{Headers, Role, Session, StreamId};

use super::channels::{self, Channels};
use crate::path::query_pairs;
use crate::upgrade::Socket;

/// The subprotocols spoken here.
pub const SPOKEN: [Protocol; 2] = [Protocol::V4, Protocol::V4Base64];
/// Ports of one request: each has two channels.
const PORTS_MAX: usize = CHANNELS_MAX as usize / 2;

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

/// A port's two streams.
struct Pair {
    data: StreamId,
    error: StreamId,
    port: u16,
}

/// A pair's channels are twice its place, and the next.
struct Pairs {
    protocol: Protocol,
    pairs: Vec<Pair>,
}

impl Pairs {
    fn open(session: &mut Session, protocol: Protocol, ports: &[u16]) -> Self {
        let mut pairs = Vec::with_capacity(ports.len());
        for (request, port) in ports.iter().enumerate() {
            let (port_text, request) = (port.to_string(), request.to_string());
            let mut open = |kind| {
                let port = ("port", port_text.as_str());
                session.open(&Headers::from([("streamtype", kind), port, ("requestid", &request)]))
            };
            // The error stream first: a kubelet waits for both, and takes them in this order.
            if let (Some(error), Some(data)) = (open("error"), open("data")) {
                // Nothing is sent on it from here.
                session.finish(error);
                pairs.push(Pair { data, error, port: *port });
            }
        }
        Self { protocol, pairs }
    }

    /// What each channel begins with.
    fn greeting(&self) -> Vec<Output> {
        let streams = self.pairs.iter().flat_map(|pair| [(pair.data, pair.port), (pair.error, pair.port)]);
        streams.filter_map(|(stream, port)| self.say(stream, &port.to_le_bytes())).collect()
    }
}

impl Channels for Pairs {
    fn feed(&self, session: &mut Session, input: Input) {
        if let Input::Data(channel, data) = input
            && channel % 2 == 0
            && let Some(pair) = self.pairs.get(usize::from(channel / 2))
        {
            session.data(pair.data, &data);
        }
    }

    fn say(&self, stream: StreamId, data: &[u8]) -> Option<Output> {
        let mut places = self.pairs.iter().enumerate();
        let (place, pair) = places.find(|(_, pair)| pair.data == stream || pair.error == stream)?;
        let channel = u8::try_from(2 * place + usize::from(pair.error == stream)).ok()?;
        Some(self.protocol.encode(channel, data))
    }
}

/// Carries until the kubelet has closed every port's data, or either side is gone.
pub async fn carry(socket: Socket, backend: Upgraded, protocol: Protocol, ports: &[u16]) {
    let mut session = Session::new(Role::Client);
    let pairs = Pairs::open(&mut session, protocol, ports);
    let writing = pairs.pairs.iter().map(|pair| pair.data).collect();
    channels::carry((socket, protocol), (backend, session), &pairs, pairs.greeting(), writing).await;
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
