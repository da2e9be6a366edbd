//! Goal: every name of the specification has its records, every other name of the zone is denied as RFC 2308 says, and no bytes make
//! the server panic. Method: questions encoded and answers decoded by the wire library, one line a check.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use knarr_dns::{Answer, Endpoint, Index, Port, Service, Transport, answer, joined};
use proptest::prelude::*;

const ZONE: &str = "cluster.local";

fn port(name: &str, number: u16) -> Port {
    Port { name: name.into(), protocol: "tcp".into(), number }
}

fn index() -> Index {
    let mut index = Index::default();
    index.put_namespace("empty");
    let addresses = vec!["10.96.0.20".parse().expect("address")];
    index.put("default", "web", Service::Cluster { addresses, ports: vec![port("http", 80)] });
    let addresses = vec!["10.96.0.21".parse().expect("address"), "fd00::21".parse().expect("address")];
    index.put("default", "both", Service::Cluster { addresses, ports: vec![] });
    let endpoint = |address: &str, hostname: &str| Endpoint {
        address: address.parse().expect("address"),
        hostname: hostname.into(),
        ports: vec![port("sql", 5432)],
    };
    let endpoints = vec![endpoint("10.244.0.5", "db-0"), endpoint("10.244.0.6", "")];
    index.put("default", "db", Service::Headless { endpoints });
    index.put("default", "nobody", Service::Headless { endpoints: vec![] });
    index.put("default", "outside", Service::External { name: "example.org".into() });
    index.put("default", "inside", Service::External { name: "web.default.svc.cluster.local".into() });
    index
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).expect("name"), kind));
    message
}

fn ask_over(message: &Message, transport: Transport, spin: u32) -> Message {
    match answer(&index(), ZONE, &message.to_vec().expect("query"), transport, spin) {
        Answer::Reply(bytes) | Answer::Chase { reply: bytes, .. } => Message::from_vec(&bytes).expect("reply"),
        other => panic!("{other:?}"),
    }
}

/// The answer as text: code, then each record's type and data.
fn ask(name: &str, kind: RecordType) -> String {
    let reply = ask_over(&question(name, kind), Transport::Udp, 0);
    assert_eq!(reply.metadata.id, 7);
    assert!(reply.metadata.authoritative && reply.metadata.recursion_available);
    let mut lines = vec![format!("{:?}", reply.metadata.response_code)];
    lines.extend(reply.answers.iter().map(|r| format!("{} {}", r.record_type(), r.data)));
    if reply.answers.is_empty() {
        assert!(
            matches!(reply.authorities[..], [ref soa] if soa.record_type() == RecordType::SOA),
            "negative answers carry the SOA"
        );
    }
    lines.join("; ")
}

fn check(name: &str, kind: RecordType, expected: &str) {
    assert_eq!(ask(name, kind), expected, "{name} {kind}");
}

#[test]
fn services_and_endpoints_have_their_records() {
    check("web.default.svc.cluster.local.", RecordType::A, "NoError; A 10.96.0.20");
    check("WEB.Default.SVC.cluster.local.", RecordType::A, "NoError; A 10.96.0.20");
    check("web.default.svc.cluster.local.", RecordType::AAAA, "NoError");
    check("both.default.svc.cluster.local.", RecordType::AAAA, "NoError; AAAA fd00::21");
    check("db.default.svc.cluster.local.", RecordType::A, "NoError; A 10.244.0.5; A 10.244.0.6");
    check("db-0.db.default.svc.cluster.local.", RecordType::A, "NoError; A 10.244.0.5");
    check("10-244-0-6.db.default.svc.cluster.local.", RecordType::A, "NoError; A 10.244.0.6");
    check("10-244-0-9.empty.pod.cluster.local.", RecordType::A, "NoError; A 10.244.0.9");
    check("dns-version.cluster.local.", RecordType::TXT, "NoError; TXT 1.1.0");
    check("5.0.244.10.in-addr.arpa.", RecordType::PTR, "NoError; PTR db-0.db.default.svc.cluster.local.");
    check("20.0.96.10.in-addr.arpa.", RecordType::PTR, "NoError; PTR web.default.svc.cluster.local.");
}

#[test]
fn ports_have_srv_records_with_the_addresses_of_their_targets() {
    check(
        "_http._tcp.web.default.svc.cluster.local.",
        RecordType::SRV,
        "NoError; SRV 0 100 80 web.default.svc.cluster.local.",
    );
    let reply = ask_over(&question("_sql._tcp.db.default.svc.cluster.local.", RecordType::SRV), Transport::Udp, 0);
    let targets: Vec<String> = reply.answers.iter().map(|r| r.data.to_string()).collect();
    assert_eq!(
        targets,
        ["0 50 5432 db-0.db.default.svc.cluster.local.", "0 50 5432 10-244-0-6.db.default.svc.cluster.local."]
    );
    let addresses: Vec<String> = reply.additionals.iter().map(|r| r.data.to_string()).collect();
    assert_eq!(addresses, ["10.244.0.5", "10.244.0.6"]);
}

#[test]
fn what_is_not_there_is_denied_and_what_has_no_such_record_is_empty() {
    for name in [
        "nothing.default.svc.cluster.local.",
        "web.nowhere.svc.cluster.local.",
        "nobody.default.svc.cluster.local.",
        "_ftp._tcp.web.default.svc.cluster.local.",
        "_http._udp.web.default.svc.cluster.local.",
        "x.web.default.svc.cluster.local.",
        "other.cluster.local.",
        "10-244-0-9.nowhere.pod.cluster.local.",
        "no-address.default.pod.cluster.local.",
    ] {
        check(name, RecordType::A, "NXDomain");
    }
    for name in ["svc.cluster.local.", "default.svc.cluster.local.", "empty.svc.cluster.local.", "cluster.local."] {
        check(name, RecordType::A, "NoError");
    }
}

#[test]
fn other_names_go_upstream() {
    for name in ["example.org.", "local.", "notcluster.local.", "1.1.168.192.in-addr.arpa.", "web."] {
        let query = question(name, RecordType::A).to_vec().expect("query");
        assert_eq!(answer(&index(), ZONE, &query, Transport::Udp, 0), Answer::Forward, "{name}");
    }
}

#[test]
fn aliases_are_followed_inside_and_handed_on_outside() {
    check(
        "inside.default.svc.cluster.local.",
        RecordType::A,
        "NoError; CNAME web.default.svc.cluster.local.; A 10.96.0.20",
    );
    let query = question("outside.default.svc.cluster.local.", RecordType::A).to_vec().expect("query");
    let Answer::Chase { reply, question } = answer(&index(), ZONE, &query, Transport::Udp, 0) else {
        panic!("no chase")
    };
    let asked = Message::from_vec(&question).expect("question");
    assert_eq!(asked.queries[0].name().to_ascii(), "example.org.");
    let mut upstream = Message::response(7, OpCode::Query);
    let data = RData::A(hickory_proto::rr::rdata::A("192.0.2.1".parse().expect("address")));
    upstream.add_answer(hickory_proto::rr::Record::from_rdata(
        Name::from_ascii("example.org.").expect("name"),
        60,
        data,
    ));
    let whole = Message::from_vec(&joined(&reply, &upstream.to_vec().expect("upstream"))).expect("joined");
    let texts: Vec<String> = whole.answers.iter().map(|r| r.data.to_string()).collect();
    assert_eq!(texts, ["example.org.", "192.0.2.1"]);
    assert_eq!(joined(&reply, b"nonsense"), reply);
}

#[test]
fn addresses_take_turns() {
    let first = |spin| {
        ask_over(&question("db.default.svc.cluster.local.", RecordType::A), Transport::Udp, spin).answers[0]
            .data
            .to_string()
    };
    assert_eq!([first(0), first(1), first(2)], ["10.244.0.5", "10.244.0.6", "10.244.0.5"]);
}

#[test]
fn a_datagram_keeps_to_what_the_client_takes() {
    let mut index = Index::default();
    let endpoints = (0..200)
        .map(|n| Endpoint {
            address: format!("10.244.1.{n}").parse().expect("address"),
            hostname: String::new(),
            ports: vec![],
        })
        .collect();
    index.put("d", "many", Service::Headless { endpoints });
    let mut query = question("many.d.svc.cluster.local.", RecordType::A);
    let reply = |query: &Message, transport| match answer(&index, ZONE, &query.to_vec().expect("query"), transport, 0) {
        Answer::Reply(bytes) => (bytes.len(), Message::from_vec(&bytes).expect("reply")),
        other => panic!("{other:?}"),
    };
    let (length, short) = reply(&query, Transport::Udp);
    assert!(length <= 512 && short.metadata.truncation && short.answers.is_empty());
    assert_eq!(reply(&query, Transport::Tcp).1.answers.len(), 200);
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    query.set_edns(edns);
    let (length, longer) = reply(&query, Transport::Udp);
    assert!(length <= 1232 && longer.metadata.truncation && longer.edns.is_some());
}

#[test]
fn what_is_removed_is_gone_in_both_directions() {
    let mut index = index();
    index.remove("default", "db");
    for (name, kind) in
        [("db.default.svc.cluster.local.", RecordType::A), ("db-0.db.default.svc.cluster.local.", RecordType::A)]
    {
        let query = question(name, kind).to_vec().expect("query");
        let Answer::Reply(bytes) = answer(&index, ZONE, &query, Transport::Udp, 0) else { panic!("no reply") };
        assert_eq!(Message::from_vec(&bytes).expect("reply").metadata.response_code, ResponseCode::NXDomain);
    }
    let reverse = question("5.0.244.10.in-addr.arpa.", RecordType::PTR).to_vec().expect("query");
    assert_eq!(answer(&index, ZONE, &reverse, Transport::Udp, 0), Answer::Forward);
}

#[test]
fn only_queries_are_answered() {
    let reply = Message::response(1, OpCode::Query).to_vec().expect("message");
    assert_eq!(answer(&index(), ZONE, &reply, Transport::Udp, 0), Answer::Drop);
    let mut update = question("web.default.svc.cluster.local.", RecordType::A);
    update.metadata.op_code = OpCode::Notify;
    assert_eq!(ask_over(&update, Transport::Udp, 0).metadata.response_code, ResponseCode::NotImp);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        answer(&index(), ZONE, &bytes, Transport::Udp, 1);
        joined(&bytes, &bytes);
    }

    #[test]
    fn no_name_makes_it_panic(labels in prop::collection::vec("[a-z0-9_-]{1,20}", 0..6), suffix in prop::sample::select(vec!["svc.cluster.local.", "pod.cluster.local.", "cluster.local.", "in-addr.arpa.", "ip6.arpa."])) {
        let name = labels.iter().map(|l| format!("{l}.")).collect::<String>() + suffix;
        if let Ok(name) = Name::from_ascii(&name) {
            let mut message = Message::new(1, MessageType::Query, OpCode::Query);
            message.add_query(Query::query(name, RecordType::A));
            if let Ok(query) = message.to_vec() {
                answer(&index(), ZONE, &query, Transport::Udp, 3);
            }
        }
    }
}
