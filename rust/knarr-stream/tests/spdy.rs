//! SPDY sessions against the recorded bytes of a real peer, against each other, and against noise.
//!
//! Goal: what Go's spdystream wrote is read as it was meant, what is written here is read back by the other role whatever way the
//! bytes are cut, and no input panics or makes a session grow without bound.

use bytes::Bytes;
use knarr_stream::spdy::{Error, Event, HEADER_BLOCK_BYTES_MAX, Headers, RESET_CANCEL, Role, Session};
use proptest::prelude::*;

const TRANSCRIPT: &str = include_str!("../testdata/spdystream.txt");

/// The bytes one end wrote, all turns joined.
fn written_by(end: &str) -> Vec<u8> {
    let hex: String =
        TRANSCRIPT.lines().filter_map(|line| line.strip_prefix(end)?.strip_prefix(' ')).collect::<Vec<_>>().concat();
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("testdata is hexadecimal"))
        .collect()
}

/// Feeds `bytes` in pieces of `step` and joins the data of each stream, as its reader would.
fn receive(session: &mut Session, bytes: &[u8], step: usize) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    for piece in bytes.chunks(step) {
        for event in session.receive(piece).expect("valid frames") {
            match (events.last_mut(), event) {
                (Some(Event::Data { stream: last, data: before }), Event::Data { stream, data }) if *last == stream => {
                    *before = [before.as_ref(), data.as_ref()].concat().into();
                }
                (_, event) => events.push(event),
            }
        }
    }
    events
}

#[test]
fn a_server_reads_what_spdystream_wrote() {
    for step in [1, 7, 4096] {
        let mut server = Session::new(Role::Server);
        let events = receive(&mut server, &written_by("client"), step);
        let headers = |kind: &str, id: &str| Headers::from([("streamtype", kind), ("requestid", id)]);
        let text = |text: &'static str| Bytes::from_static(text.as_bytes());
        let sorted = |headers: Headers| {
            let mut pairs = headers.0;
            pairs.sort_unstable();
            pairs
        };
        let mut opened = Vec::new();
        let rest: Vec<Event> = events
            .into_iter()
            .filter_map(|event| match event {
                Event::Open { stream, headers } => {
                    opened.push((stream, sorted(headers)));
                    None
                }
                other => Some(other),
            })
            .collect();
        let expected =
            [(1, headers("error", "0")), (3, headers("stdin", "1")), (5, Headers::from([("streamtype", "data")]))];
        assert_eq!(opened, expected.map(|(stream, headers)| (stream, sorted(headers))));
        assert_eq!(
            rest,
            [
                Event::Data { stream: 1, data: text("hello error") },
                Event::Fin { stream: 1 },
                Event::Data { stream: 3, data: text("hello stdin") },
                Event::Fin { stream: 3 },
                Event::Reset { stream: 5, status: RESET_CANCEL },
                Event::GoAway { last: 0, status: 0 },
            ]
        );
        // The client's ping is answered with its own bytes.
        assert_eq!(server.output().as_ref(), [0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1]);
    }
}

#[test]
fn a_client_reads_what_spdystream_answered() {
    let mut client = Session::new(Role::Client);
    for kind in ["error", "stdin", "data"] {
        client.open(&Headers::from([("streamtype", kind)])).expect("ids are left");
    }
    client.reset(5, RESET_CANCEL);
    let events = receive(&mut client, &written_by("server"), 5);
    let replies = events.iter().filter(|event| matches!(event, Event::Reply { .. })).count();
    // The third stream's reply came after its reset: it is not announced.
    assert_eq!(replies, 2);
    assert!(events.contains(&Event::Data { stream: 3, data: Bytes::from_static(b"echo:hello stdin") }));
    assert!(events.contains(&Event::Pong { id: 1 }));
}

#[test]
fn halves_close_one_by_one() {
    let (mut client, mut server) = (Session::new(Role::Client), Session::new(Role::Server));
    let stream = client.open(&Headers::from([("streamtype", "stdin")])).expect("ids are left");
    assert!(client.data(stream, b"input"));
    client.finish(stream);
    assert!(!client.data(stream, b"late"), "nothing is sent after FIN");
    let events = server.receive(&client.output()).expect("valid frames");
    assert!(matches!(events.as_slice(), [Event::Open { .. }, Event::Data { .. }, Event::Fin { .. }]));
    assert!(server.data(stream, b"output"), "the other half is still open");
    server.finish(stream);
    assert_eq!(server.open_streams(), 0);
    let events = client.receive(&server.output()).expect("valid frames");
    assert_eq!(events, [Event::Data { stream, data: Bytes::from_static(b"output") }, Event::Fin { stream }]);
    assert_eq!(client.open_streams(), 0);
}

#[test]
fn ids_of_the_wrong_side_end_the_session() {
    let mut first = Session::new(Role::Client);
    first.open(&Headers::default());
    let bytes = first.output();
    assert_eq!(Session::new(Role::Client).receive(&bytes), Err(Error::StreamId(1)));
    let mut server = Session::new(Role::Server);
    assert!(server.receive(&bytes).is_ok());
}

#[test]
fn a_header_block_may_not_unfold_into_much_memory() {
    let mut client = Session::new(Role::Client);
    client.open(&Headers(vec![("streamtype".to_owned(), "x".repeat(HEADER_BLOCK_BYTES_MAX * 4))]));
    let bytes = client.output();
    assert!(bytes.len() < HEADER_BLOCK_BYTES_MAX, "the bomb is small on the wire: {}", bytes.len());
    assert!(matches!(Session::new(Role::Server).receive(&bytes), Err(Error::TooLarge(_))));
}

#[test]
fn a_large_control_frame_is_refused_by_its_head() {
    let head = [0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff];
    assert_eq!(Session::new(Role::Server).receive(&head), Err(Error::TooLarge(0x00ff_ffff)));
    assert_eq!(Session::new(Role::Server).receive(&[0x80, 2, 0, 1, 0, 0, 0, 4]), Err(Error::Version(2)));
}

proptest! {
    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..512), step in 1usize..64) {
        for role in [Role::Client, Role::Server] {
            let mut session = Session::new(role);
            for piece in bytes.chunks(step) {
                if session.receive(piece).is_err() {
                    break;
                }
            }
        }
    }

    #[test]
    fn a_flipped_transcript_never_panics(at in 0usize..400, bit in 0u8..8) {
        let mut bytes = written_by("client");
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let _ = Session::new(Role::Server).receive(&bytes);
    }

    #[test]
    fn both_roles_understand_each_other(
        headers in proptest::collection::vec(("[a-z]{1,12}", "[ -~]{0,40}"), 0..6),
        payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..70_000), 1..4),
        step in 1usize..10_000,
    ) {
        let headers = Headers(headers);
        let (mut client, mut server) = (Session::new(Role::Client), Session::new(Role::Server));
        for payload in &payloads {
            let stream = client.open(&headers).expect("ids are left");
            client.data(stream, payload);
            client.finish(stream);
        }
        let events = receive(&mut server, &client.output(), step);
        let data: Vec<Bytes> = events.iter().filter_map(|event| match event {
            Event::Data { data, .. } => Some(data.clone()),
            _ => None,
        }).collect();
        prop_assert_eq!(data, payloads.iter().map(|payload| Bytes::from(payload.clone())).collect::<Vec<_>>());
        for event in &events {
            if let Event::Open { headers: got, .. } = event {
                prop_assert_eq!(got, &headers);
            }
        }
    }
}
