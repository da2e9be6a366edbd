//! The whole way to a container and back on loopback: a client's WebSocket, the gateway, a node's server over mutual TLS, and a CRI
//! streaming server (here: a SPDY echo made of the same codec).

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use knarr_base::BoxFuture;
use knarr_gateway::cold::{ColdReply, ColdRequest};
use knarr_gateway::flow::FlowLimits;
use knarr_gateway::listen;
use knarr_gateway::node_server::{Allowed, NodeHandler, NodeReply, NodeServer, stream_pair};
use knarr_stream::remotecommand::exit_status;
use knarr_stream::spdy::{Event, Headers, Role, Session};
use support::{Client, World, next_piece, text};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role as SocketRole;

/// Answers as an agent would; `cri` is where exec and port-forward go.
struct Node {
    cri: String,
}

impl NodeHandler for Node {
    fn call(&self, request: ColdRequest) -> BoxFuture<Result<NodeReply, String>> {
        let cri = self.cri.clone();
        Box::pin(async move {
            let whole = |code: u16, body: String| {
                let reply =
                    ColdReply { code, content_type: "text/plain".to_owned(), body: body.into(), headers: Vec::new() };
                Ok(NodeReply::Whole(reply))
            };
            let query = |name: &str| request.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
            match request.path.split('/').nth(1).unwrap_or_default() {
                "containerLogs" if query("previous").is_some() => {
                    whole(400, "previous terminated container \"c\" in pod \"p\" not found".to_owned())
                }
                "containerLogs" => {
                    let (writer, body) = stream_pair();
                    let first = format!("{} {:?}\n", request.path, query("tailLines"));
                    tokio::task::spawn_blocking(move || {
                        for line in [first, "second\n".to_owned()] {
                            writer.write_blocking(line.into());
                            std::thread::sleep(std::time::Duration::from_millis(50));
                        }
                    });
                    Ok(NodeReply::Stream { code: 200, content_type: "text/plain".to_owned(), body })
                }
                "exec" if request.query.contains(&("command".to_owned(), "missing".to_owned())) => {
                    whole(500, "container not found (\"c\")".to_owned())
                }
                "exec" | "portForward" => Ok(NodeReply::Upgrade(format!("{cri}{}", request.path))),
                "fail" => Err("a bug".to_owned()),
                _ => whole(200, format!("{} {} {}", request.user.name, request.method, request.path)),
            }
        })
    }
}

/// Reads an upgrade's request head, answers 101, and hands the connection over.
async fn accept_upgrade(listener: &TcpListener) -> (TcpStream, String) {
    let (mut tcp, _) = listener.accept().await.expect("a connection");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.expect("a head"));
    }
    let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n";
    tcp.write_all(answer.as_bytes()).await.expect("written");
    (tcp, String::from_utf8(head).expect("text"))
}

/// A command that echoes stdin to stdout until its end, and exits with 7.
async fn cri_exec(listener: TcpListener) {
    let (mut tcp, head) = accept_upgrade(&listener).await;
    assert!(head.starts_with("POST /exec/default/p/c HTTP/1.1"), "{head}");
    let mut session = Session::new(Role::Server);
    let mut streams = std::collections::BTreeMap::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = tcp.read(&mut buffer).await.expect("read");
        if read == 0 {
            return;
        }
        for event in session.receive(&buffer[..read]).expect("valid SPDY") {
            match event {
                Event::Open { stream, headers } => {
                    session.reply(stream, &Headers::default());
                    streams.insert(headers.get("streamtype").expect("a type").to_owned(), stream);
                    session.ping();
                }
                Event::Data { data, .. } => {
                    session.data(streams["stdout"], &data);
                }
                Event::Fin { .. } => {
                    session.data(streams["error"], exit_status(7).as_bytes());
                    streams.values().copied().for_each(|stream| session.finish(stream));
                }
                _ => {}
            }
        }
        tcp.write_all(&session.output()).await.expect("written");
    }
}

/// A node `n` with a pod `p`, its server, and a listener in place of its CRI runtime.
async fn node_world() -> (World, TcpListener) {
    let world = World::start("127.0.0.1:0", FlowLimits::default());
    let cri = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let handler = Arc::new(Node { cri: format!("http://{}", cri.local_addr().expect("bound")) });
    let allowed = Allowed { users: vec!["kube-apiserver-kubelet-client".to_owned()], groups: Vec::new() };
    let listener = listen::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let tls = world.pki.server_tls();
    tokio::spawn(async move {
        let _stop = stop;
        Arc::new(NodeServer { allowed, handler }).serve(listener, tls, stopped).await.expect("serving");
    });
    let admin = world.admin();
    let node = format!(
        r#"{{"apiVersion":"v1","kind":"Node","metadata":{{"name":"n"}},"status":{{"addresses":[{{"type":"InternalIP","address":"127.0.0.1"}}],
            "daemonEndpoints":{{"kubeletEndpoint":{{"Port":{port}}}}}}}}}"#
    );
    let json = [("content-type", "application/json")];
    assert_eq!(admin.ask("POST", "/api/v1/nodes", &json, &node).await.0, 201);
    for (name, node) in [("p", r#""nodeName":"n","#), ("q", "")] {
        let pod = format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}"}},"spec":{{{node}"containers":[{{"name":"c","image":"i"}}]}}}}"#
        );
        assert_eq!(admin.ask("POST", "/api/v1/namespaces/default/pods", &json, &pod).await.0, 201);
    }
    (world, cri)
}

const POD: &str = "/api/v1/namespaces/default/pods/p";

async fn websocket(
    client: &Client,
    path: &str,
    protocol: &str,
) -> Result<WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>, (u16, String)> {
    let headers = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", protocol),
    ];
    let response = client.response("GET", path, &headers, "").await;
    if response.status() != 101 {
        return Err((response.status().as_u16(), text(response).await));
    }
    let chosen = response.headers()["sec-websocket-protocol"].to_str().expect("text").to_owned();
    assert!(protocol.split(',').any(|offer| offer.trim() == chosen));
    let upgraded = hyper::upgrade::on(response).await.expect("upgraded");
    Ok(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), SocketRole::Client, None).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_stream_and_errors_keep_the_kubelets_words() {
    let (world, _cri) = node_world().await;
    let admin = world.admin();
    let mut response = admin.response("GET", &format!("{POD}/log?follow=true&tailLines=3"), &[], "").await;
    assert_eq!(response.status(), 200);
    assert_eq!(next_piece(&mut response).await, "/containerLogs/default/p/c Some(\"3\")\n");
    assert_eq!(next_piece(&mut response).await, "second\n");
    let (code, body) = admin.ask("GET", &format!("{POD}/log?previous=true"), &[], "").await;
    assert!(
        code == 400
            && body.contains(r#"previous terminated container \"c\" in pod \"p\" not found","reason":"BadRequest""#),
        "{body}"
    );
    let (code, body) = admin.ask("GET", &format!("{POD}/log?container=x"), &[], "").await;
    assert!(code == 400 && body.contains("container x is not valid for pod p"), "{body}");
    assert_eq!(admin.ask("GET", "/api/v1/namespaces/default/pods/q/log", &[], "").await, (200, String::new()));
    let (code, body) = admin.ask("GET", "/api/v1/namespaces/default/pods/none/log", &[], "").await;
    assert!(code == 404 && body.contains(r#"pods \"none\" not found"#), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_and_watches_come_as_messages_to_those_who_ask() {
    let (world, _cri) = node_world().await;
    let admin = world.admin();
    let next = async |socket: &mut WebSocketStream<_>| socket.next().await.expect("a message").expect("whole");

    let mut socket = websocket(&admin, &format!("{POD}/log"), "x, binary.k8s.io").await.expect("upgraded");
    assert_eq!(next(&mut socket).await, Message::Binary(Bytes::new()));
    assert_eq!(next(&mut socket).await, Message::Binary("/containerLogs/default/p/c None\n".into()));
    assert_eq!(next(&mut socket).await, Message::Binary("second\n".into()));
    assert!(matches!(next(&mut socket).await, Message::Close(Some(frame)) if u16::from(frame.code) == 1000));
    let mut socket = websocket(&admin, &format!("{POD}/log"), "base64.binary.k8s.io").await.expect("upgraded");
    assert_eq!(next(&mut socket).await, Message::Text("".into()));
    assert_eq!(next(&mut socket).await, Message::Text("L2NvbnRhaW5lckxvZ3MvZGVmYXVsdC9wL2MgTm9uZQo=".into()));
    assert_eq!(websocket(&admin, &format!("{POD}/log"), "x").await.expect_err("no such protocol").0, 403);
    assert_eq!(websocket(&admin, &format!("{POD}/log?previous=1"), "binary.k8s.io").await.expect_err("none").0, 400);

    let path = "/api/v1/namespaces/default/pods?watch=1&resourceVersion=0";
    let mut socket = websocket(&admin, path, "base64.binary.k8s.io").await.expect("upgraded");
    for name in ["p", "q"] {
        let Message::Text(event) = next(&mut socket).await else { panic!("an event is text") };
        assert!(event.starts_with(r#"{"type":"ADDED","object":"#) && event.matches("\"type\"").count() == 1, "{event}");
        assert!(event.contains(&format!(r#""name":"{name}""#)), "{event}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_carries_streams_and_the_exit_code() {
    for (protocol, closes) in [("v5.channel.k8s.io,v4.channel.k8s.io", true), ("v4.channel.k8s.io", false)] {
        let (world, cri) = node_world().await;
        tokio::spawn(cri_exec(cri));
        let path = format!("{POD}/exec?command=cat&stdin=true&stdout=true&stderr=true");
        let socket = websocket(&world.admin(), &path, protocol).await.expect("upgraded");
        // More than any buffer on the way holds, both ways at once.
        let sent: Vec<u8> = (0..30_000_000u32).map(|at| (at % 251) as u8).collect();
        let (mut writer, mut reader) = socket.split();
        let feeding = sent.clone();
        let feeder = tokio::spawn(async move {
            for part in feeding.chunks(30_000) {
                let message = [&[0u8], part].concat();
                writer.send(Message::Binary(message.into())).await.expect("sent");
            }
            if closes {
                writer.send(Message::Binary(Bytes::from_static(&[255, 0]))).await.expect("sent");
            }
            writer
        });
        let (mut output, mut status, mut end) = (Vec::new(), String::new(), None);
        while let Some(Ok(message)) = reader.next().await {
            let bytes = match message {
                Message::Binary(bytes) => bytes,
                Message::Close(frame) => {
                    end = frame.map(|frame| u16::from(frame.code));
                    continue;
                }
                other => panic!("{other:?}"),
            };
            match bytes[0] {
                1 => output.extend_from_slice(&bytes[1..]),
                3 => status.push_str(std::str::from_utf8(&bytes[1..]).expect("text")),
                other => panic!("channel {other}"),
            }
            if !closes && output.len() == sent.len() {
                break;
            }
        }
        let writer = feeder.await.expect("fed");
        assert!(output == sent, "{} bytes of {}", output.len(), sent.len());
        if closes {
            assert_eq!(status, exit_status(7));
            assert_eq!(end, Some(1000), "Go's clients take any other end for a failure");
        }
        drop((writer, reader));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_exec_says_why() {
    let (world, _cri) = node_world().await;
    let admin = world.admin();
    let mut socket = websocket(&admin, &format!("{POD}/exec?command=missing&stdout=1"), "v5.channel.k8s.io")
        .await
        .expect("upgraded");
    let Some(Ok(Message::Binary(bytes))) = socket.next().await else { panic!("no status") };
    let status = std::str::from_utf8(&bytes[1..]).expect("text");
    assert!(
        bytes[0] == 3 && status.contains(r#"unable to upgrade connection: container not found (\"c\")"#),
        "{status}"
    );
    for (path, words) in [
        (format!("{POD}/exec?command=x"), "you must specify at least 1 of stdin, stdout, stderr"),
        (format!("{POD}/exec?stdout=1"), "you must specify at least one command for the container"),
        ("/api/v1/namespaces/default/pods/q/exec?command=x&stdout=1".to_owned(), "pod q does not have a host assigned"),
    ] {
        let (code, body) = websocket(&admin, &path, "v5.channel.k8s.io").await.expect_err("refused");
        assert!(code == 400 && body.contains(words), "{path}: {code} {body}");
    }
    assert_eq!(websocket(&admin, &format!("{POD}/exec?command=x&stdout=1"), "chat").await.expect_err("refused").0, 400);
    assert_eq!(admin.ask("GET", &format!("{POD}/exec?command=x&stdout=1"), &[], "").await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_forward_is_a_tunnel() {
    let (world, cri) = node_world().await;
    tokio::spawn(async move {
        let (mut tcp, head) = accept_upgrade(&cri).await;
        assert!(head.to_lowercase().contains("x-stream-protocol-version: portforward.k8s.io"), "{head}");
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = tcp.read(&mut buffer).await {
            tcp.write_all(&buffer[..read]).await.expect("written");
        }
    });
    let mut socket = websocket(&world.admin(), &format!("{POD}/portforward?ports=80"), "SPDY/3.1+portforward.k8s.io")
        .await
        .expect("upgraded");
    socket.send(Message::Binary(Bytes::from_static(b"any bytes"))).await.expect("sent");
    let mut back = Vec::new();
    while back.len() < 9 {
        let Some(Ok(message)) = socket.next().await else { panic!("the tunnel closed") };
        back.extend_from_slice(&message.into_data());
    }
    assert_eq!(back, b"any bytes");
}

/// The ports 80 and 81 of a pod: the first echoes until it reads `end`, at the second nobody listens.
async fn cri_forward(listener: TcpListener) {
    let (mut tcp, head) = accept_upgrade(&listener).await;
    assert!(head.starts_with("POST /portForward/default/p HTTP/1.1"), "{head}");
    let mut session = Session::new(Role::Server);
    let mut streams = std::collections::BTreeMap::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = tcp.read(&mut buffer).await.expect("read");
        if read == 0 {
            return;
        }
        for event in session.receive(&buffer[..read]).expect("valid SPDY") {
            match event {
                Event::Open { stream, headers } => {
                    session.reply(stream, &Headers::default());
                    let text = |name| headers.get(name).expect("a header").to_owned();
                    streams.insert((text("port"), text("streamtype")), stream);
                    if (text("port"), text("streamtype")) == ("81".to_owned(), "data".to_owned()) {
                        session.data(streams[&("81".to_owned(), "error".to_owned())], b"nobody listens");
                        session.finish(stream);
                    }
                }
                Event::Data { stream, data } => {
                    session.data(stream, &data);
                    if data.ends_with(b"end") {
                        session.finish(stream);
                    }
                }
                _ => {}
            }
        }
        tcp.write_all(&session.output()).await.expect("written");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_are_forwarded_over_channels_too() {
    use base64::Engine;
    let base64 = base64::engine::general_purpose::STANDARD;
    // Python's client offers v5 too, which no kubelet speaks here.
    for protocol in ["v5.channel.k8s.io,v4.channel.k8s.io", "v4.base64.channel.k8s.io"] {
        let text = protocol.contains("base64");
        let (world, cri) = node_world().await;
        tokio::spawn(cri_forward(cri));
        let path = format!("{POD}/portforward?ports=80&ports=81");
        let mut socket = websocket(&world.admin(), &path, protocol).await.expect("upgraded");
        let message = |bytes: &[u8]| match text {
            true => Message::Text(format!("0{}", base64.encode(bytes)).into()),
            false => Message::Binary([&[0], bytes].concat().into()),
        };
        socket.send(message(b"any ")).await.expect("sent");
        socket.send(message(b"end")).await.expect("sent");
        let mut said = vec![Vec::new(); 4];
        let mut end = None;
        while let Some(Ok(message)) = socket.next().await {
            match message {
                Message::Binary(bytes) if !text => said[usize::from(bytes[0])].extend_from_slice(&bytes[1..]),
                Message::Text(bytes) if text => {
                    let bytes = bytes.as_bytes();
                    said[usize::from(bytes[0] - b'0')].extend(base64.decode(&bytes[1..]).expect("base64"));
                }
                Message::Close(frame) => end = frame.map(|frame| u16::from(frame.code)),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(said, [&b"P\0any end"[..], b"P\0", b"Q\0", b"Q\0nobody listens"], "{protocol}");
        assert_eq!(end, Some(1000));
    }
    let (world, _cri) = node_world().await;
    let refused =
        websocket(&world.admin(), &format!("{POD}/portforward"), "v4.channel.k8s.io").await.expect_err("refused");
    assert!(refused.0 == 400 && refused.1.contains("query parameter \\\"port\\\" is required"), "{refused:?}");
    let refused = websocket(&world.admin(), &format!("{POD}/portforward?ports=1"), "chat").await.expect_err("refused");
    assert!(refused.0 == 400 && refused.1.contains("unable to negotiate protocol"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nodes_paths_are_for_the_api_server_only() {
    let (world, _cri) = node_world().await;
    let admin = world.admin();
    let (code, body) = admin.ask("GET", "/api/v1/nodes/n/proxy/metrics", &[], "").await;
    assert_eq!((code, body.as_str()), (200, "kube-apiserver-kubelet-client GET /metrics"));
    assert_eq!(admin.ask("GET", "/api/v1/nodes/n/proxy/fail", &[], "").await.0, 500);
    let (_, node) = admin.ask("GET", "/api/v1/nodes/n", &[], "").await;
    let node: serde_json::Value = serde_json::from_str(&node).expect("JSON");
    let port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64().expect("a port");
    let direct = |pair: Option<&support::Pair>| {
        let mut client = world.client(pair);
        client.address.set_port(port as u16);
        client
    };
    assert_eq!(direct(None).ask("GET", "/pods", &[], "").await.0, 401);
    let (code, body) = direct(Some(&world.pki.client("bob", &["dev"]))).ask("GET", "/pods", &[], "").await;
    assert_eq!((code, body.as_str()), (403, "Forbidden (user=bob, verb=get, resource=nodes, subresource=proxy)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_node_is_named() {
    let (world, _cri) = node_world().await;
    let admin = world.admin();
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    let (code, body) = admin.ask("GET", &format!("/api/v1/nodes/n:{free}/proxy/metrics"), &[], "").await;
    let words = format!("error dialing backend: dial tcp 127.0.0.1:{free}: connect: connection refused");
    assert!(code == 500 && body.contains(&words), "{code} {body}");
}
