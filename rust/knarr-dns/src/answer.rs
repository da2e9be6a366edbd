//! One query, one answer.
//!
//! Names of the zone, read from the right:
//!
//! ```text
//!                        NAME.NAMESPACE.svc.ZONE      A/AAAA of a Service; CNAME of an ExternalName
//!                  LABEL.NAME.NAMESPACE.svc.ZONE      A/AAAA of one endpoint of a headless Service
//!       _PORT._PROTOCOL.NAME.NAMESPACE.svc.ZONE       SRV
//!                    A-B-C-D.NAMESPACE.pod.ZONE       A of the address that the name says
//!                               dns-version.ZONE      TXT, the version of the specification
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use crate::index::{Endpoint, Index, Port, Service};

/// Seconds that an answer may be kept. Short, because endpoints come and go.
const TTL: u32 = 5;
/// What a client without EDNS takes in a datagram (RFC 1035, 2.3.4).
const UDP_BYTES: u16 = 512;
/// The largest datagram we send whatever a client offers: it passes every link unfragmented (DNS flag day 2020).
const UDP_BYTES_MAX: u16 = 1232;
/// Aliases of aliases that are followed.
const ALIASES_MAX: usize = 8;
const SPECIFICATION: &str = "1.1.0";

/// How a query came: a datagram has an end, a stream has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
}

/// What to do with a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Reply(Vec<u8>),
    /// An alias of a name that is not ours: ask an upstream `question` and answer with [`joined`]; `reply` alone where it is silent.
    Chase {
        reply: Vec<u8>,
        question: Vec<u8>,
    },
    /// Not a name of ours.
    Forward,
    /// Not a query.
    Drop,
}

/// What stands under a name: it is not there at all, or it is with these records (perhaps none of the type asked for).
enum Found {
    Nothing,
    Records(Vec<Record>, Vec<Record>),
}

/// Answer one query. zone: the cluster domain in lower case without the last dot ("cluster.local").
/// spin: any number that differs from query to query; addresses are rotated by it, so that clients that take the first spread.
pub fn answer(index: &Index, zone: &str, query: &[u8], transport: Transport, spin: u32) -> Answer {
    let Ok(request) = Message::from_vec(query) else { return malformed(query) };
    if request.metadata.message_type != MessageType::Query {
        return Answer::Drop;
    }
    let mut reply = Message::response(request.metadata.id, request.metadata.op_code);
    reply.metadata.recursion_desired = request.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    if request.metadata.op_code != OpCode::Query {
        return finish(reply, ResponseCode::NotImp, &request, transport);
    }
    let [question] = &request.queries[..] else { return finish(reply, ResponseCode::FormErr, &request, transport) };
    let name = question.name().to_lowercase();
    let class = question.query_class();
    let kind = question.query_type();
    let text = name.to_ascii();
    let labels: Vec<&str> = text.trim_end_matches('.').split('.').collect();
    let zone_labels: Vec<&str> = zone.split('.').collect();
    let reverse = reverse_address(&labels);
    let ours = labels.len() >= zone_labels.len() && labels[labels.len() - zone_labels.len()..] == zone_labels[..];
    let found = if let Some(address) = reverse {
        let Some(owner) = index.owner(address) else { return Answer::Forward };
        let (namespace, service, label) = owner;
        let dot = if label.is_empty() { "" } else { "." };
        records(&name, [named(&format!("{label}{dot}{service}.{namespace}.svc.{zone}.")).map(|n| RData::PTR(PTR(n)))])
    } else if ours && (class == DNSClass::IN || class == DNSClass::ANY) {
        let within = &labels[..labels.len() - zone_labels.len()];
        look_up(index, zone, &name, within, spin)
    } else {
        return Answer::Forward;
    };
    let found = follow(index, zone, found, kind, spin);
    reply.add_query(question.clone());
    reply.metadata.authoritative = true;
    let soa = start_of_authority(zone);
    let code = match found {
        Found::Nothing => {
            reply.authorities.extend(soa);
            ResponseCode::NXDomain
        }
        Found::Records(all, additional) => {
            let wanted =
                |r: &Record| kind == RecordType::ANY || r.record_type() == kind || r.record_type() == RecordType::CNAME;
            reply.answers = all.into_iter().filter(wanted).collect();
            if reply.answers.is_empty() {
                reply.authorities.extend(soa);
            } else {
                reply.additionals = additional;
            }
            ResponseCode::NoError
        }
    };
    let outside = dangling_alias(&reply.answers, kind).filter(|target| !below(target, zone));
    match (finish(reply, code, &request, transport), outside) {
        (Answer::Reply(reply), Some(target)) => {
            let mut further = Message::new(request.metadata.id, MessageType::Query, OpCode::Query);
            further.metadata.recursion_desired = true;
            further.add_query(Query::query(target, kind));
            further.to_vec().map_or(Answer::Reply(reply.clone()), |question| Answer::Chase { reply, question })
        }
        (answer, _) => answer,
    }
}

/// `reply`, an alias, together with what an upstream answered about the alias's target; `reply` where that is of no use.
pub fn joined(reply: &[u8], upstream: &[u8]) -> Vec<u8> {
    let (Ok(mut whole), Ok(more)) = (Message::from_vec(reply), Message::from_vec(upstream)) else {
        return reply.to_vec();
    };
    if more.metadata.message_type != MessageType::Response || more.metadata.response_code != ResponseCode::NoError {
        return reply.to_vec();
    }
    whole.answers.extend(more.answers);
    whole.to_vec().ok().filter(|joined| joined.len() <= usize::from(UDP_BYTES)).unwrap_or_else(|| reply.to_vec())
}

/// An alias within the zone together with what its target stands for, a few steps far.
fn follow(index: &Index, zone: &str, found: Found, kind: RecordType, spin: u32) -> Found {
    let Found::Records(mut all, additional) = found else { return found };
    for _ in 0..ALIASES_MAX {
        let Some(target) = dangling_alias(&all, kind).filter(|target| below(target, zone)) else { break };
        let text = target.to_lowercase().to_ascii();
        let inner = text.trim_end_matches('.').strip_suffix(zone).unwrap_or_default().trim_end_matches('.').to_owned();
        let within: Vec<&str> = inner.split('.').collect();
        let Found::Records(more, _) = look_up(index, zone, &target, &within, spin) else { break };
        if more.is_empty() {
            break;
        }
        all.extend(more);
    }
    Found::Records(all, additional)
}

/// The target of a last alias that nothing follows, where something other than the alias was asked for.
fn dangling_alias(answers: &[Record], kind: RecordType) -> Option<Name> {
    match answers.last().map(|record| &record.data) {
        Some(RData::CNAME(CNAME(target))) if kind != RecordType::CNAME => Some(target.clone()),
        _ => None,
    }
}

fn below(name: &Name, zone: &str) -> bool {
    named(&format!("{zone}.")).is_some_and(|zone| zone.zone_of(name))
}

/// What stands under `within`.ZONE.
fn look_up(index: &Index, zone: &str, name: &Name, within: &[&str], spin: u32) -> Found {
    match within {
        [] => records(name, start_of_authority(zone).map(|soa| Some(soa.data))),
        ["svc" | "pod"] => Found::Records(Vec::new(), Vec::new()),
        ["dns-version"] => records(name, [Some(RData::TXT(TXT::new(vec![SPECIFICATION.into()])))]),
        [namespace, "svc" | "pod"] if index.has_namespace(namespace) => Found::Records(Vec::new(), Vec::new()),
        [dashed, namespace, "pod"] if index.has_namespace(namespace) => match dashed_address(dashed) {
            Some(address) => records(name, [Some(address_data(address))]),
            None => Found::Nothing,
        },
        [rest @ .., service, namespace, "svc"] => match index.get(namespace, service) {
            Some(found) => under_service(found, name, rest, &format!("{service}.{namespace}.svc.{zone}."), spin),
            None => Found::Nothing,
        },
        _ => Found::Nothing,
    }
}

/// What stands under `rest`.SERVICE: the Service itself, an endpoint, or a port.
fn under_service(service: &Service, name: &Name, rest: &[&str], service_name: &str, spin: u32) -> Found {
    match (service, rest) {
        (Service::External { name: target }, []) => {
            records(name, [named(&format!("{}.", target.trim_end_matches('.'))).map(|n| RData::CNAME(CNAME(n)))])
        }
        (Service::External { .. }, _) => Found::Nothing,
        (Service::Cluster { addresses, .. }, []) => {
            records(name, rotated(addresses, spin).map(|address| Some(address_data(*address))))
        }
        (Service::Headless { endpoints }, []) if endpoints.is_empty() => Found::Nothing,
        (Service::Headless { endpoints }, []) => {
            let addresses: Vec<IpAddr> = unique(endpoints.iter().map(|each| each.address));
            records(name, rotated(&addresses, spin).map(|address| Some(address_data(*address))))
        }
        (Service::Headless { endpoints }, [label]) if !label.starts_with('_') => {
            let matching: Vec<IpAddr> =
                unique(endpoints.iter().filter(|each| each.label() == *label).map(|each| each.address));
            if matching.is_empty() {
                Found::Nothing
            } else {
                records(name, matching.into_iter().map(|a| Some(address_data(a))))
            }
        }
        (_, [port, protocol]) if port.starts_with('_') && protocol.starts_with('_') => {
            services(service, name, &port[1..], &protocol[1..], service_name)
        }
        _ => Found::Nothing,
    }
}

/// The SRV records of a named port, and the addresses of their targets.
fn services(service: &Service, name: &Name, port: &str, protocol: &str, service_name: &str) -> Found {
    let matching = |ports: &[Port]| ports.iter().find(|p| p.name == port && p.protocol == protocol).map(|p| p.number);
    let mut targets: Vec<(String, u16, IpAddr)> = Vec::new();
    match service {
        Service::Cluster { addresses, ports } => {
            let number = matching(ports);
            targets.extend(number.iter().flat_map(|n| addresses.iter().map(|a| (service_name.to_owned(), *n, *a))));
        }
        Service::Headless { endpoints } => {
            let each =
                |e: &Endpoint| matching(&e.ports).map(|n| (format!("{}.{service_name}", e.label()), n, e.address));
            targets.extend(endpoints.iter().filter_map(each));
        }
        Service::External { .. } => {}
    }
    if targets.is_empty() {
        return Found::Nothing;
    }
    let distinct = unique(targets.iter().map(|(target, number, _)| (target.clone(), *number)));
    let weight = (100 / distinct.len() as u16).max(1);
    let srv =
        distinct.into_iter().map(|(target, number)| named(&target).map(|t| RData::SRV(SRV::new(0, weight, number, t))));
    let extra = targets
        .iter()
        .filter_map(|(target, _, address)| Some(Record::from_rdata(named(target)?, TTL, address_data(*address))))
        .collect();
    match records(name, srv) {
        Found::Records(answers, _) => Found::Records(answers, extra),
        nothing => nothing,
    }
}

fn records(name: &Name, data: impl IntoIterator<Item = Option<RData>>) -> Found {
    let made = data.into_iter().flatten().map(|each| Record::from_rdata(name.clone(), TTL, each));
    Found::Records(made.collect(), Vec::new())
}

fn start_of_authority(zone: &str) -> Option<Record> {
    let origin = named(&format!("{zone}."))?;
    let soa =
        SOA::new(named(&format!("ns.dns.{zone}."))?, named(&format!("hostmaster.{zone}."))?, 1, 7200, 1800, 86400, TTL);
    Some(Record::from_rdata(origin, TTL, RData::SOA(soa)))
}

/// Encode within what the client takes; a datagram that would be too long says so and carries no record.
fn finish(mut reply: Message, code: ResponseCode, request: &Message, transport: Transport) -> Answer {
    reply.metadata.response_code = code;
    if let Some(theirs) = &request.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_BYTES_MAX);
        edns.set_version(0);
        if theirs.version() > 0 {
            reply.metadata.response_code = ResponseCode::BADVERS;
        }
        reply.set_edns(edns);
    }
    let Ok(whole) = reply.to_vec() else { return Answer::Drop };
    let room = request.edns.as_ref().map_or(UDP_BYTES, |edns| edns.max_payload().clamp(UDP_BYTES, UDP_BYTES_MAX));
    if transport == Transport::Tcp || whole.len() <= usize::from(room) {
        return Answer::Reply(whole);
    }
    reply.additionals.clear();
    if let Ok(shorter) = reply.to_vec()
        && shorter.len() <= usize::from(room)
    {
        return Answer::Reply(shorter);
    }
    reply.metadata.truncation = true;
    reply.answers.clear();
    reply.authorities.clear();
    reply.to_vec().map_or(Answer::Drop, Answer::Reply)
}

/// FORMERR to what has at least a header and asks; nothing to anything else.
fn malformed(query: &[u8]) -> Answer {
    let [a, b, flags, ..] = query else { return Answer::Drop };
    if query.len() < 12 || flags & 0x80 != 0 {
        return Answer::Drop;
    }
    let reply = Message::error_msg(u16::from_be_bytes([*a, *b]), OpCode::Query, ResponseCode::FormErr);
    reply.to_vec().map_or(Answer::Drop, Answer::Reply)
}

fn named(text: &str) -> Option<Name> {
    Name::from_ascii(text).ok()
}

fn address_data(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    }
}

fn unique<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut found: Vec<T> = Vec::new();
    for each in all {
        if !found.contains(&each) {
            found.push(each);
        }
    }
    found
}

fn rotated(addresses: &[IpAddr], spin: u32) -> impl Iterator<Item = &IpAddr> {
    let by = if addresses.is_empty() { 0 } else { spin as usize % addresses.len() };
    addresses[by..].iter().chain(&addresses[..by])
}

/// `10-244-0-7` or `fd00--7` as an address.
fn dashed_address(label: &str) -> Option<IpAddr> {
    if label.bytes().filter(|b| *b == b'-').count() == 3
        && let Ok(v4) = label.replace('-', ".").parse::<Ipv4Addr>()
    {
        return Some(IpAddr::V4(v4));
    }
    label.replace('-', ":").parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

/// The address that a name below in-addr.arpa or ip6.arpa asks about.
fn reverse_address(labels: &[&str]) -> Option<IpAddr> {
    match labels {
        [d, c, b, a, "in-addr", "arpa"] => format!("{a}.{b}.{c}.{d}").parse().ok().map(IpAddr::V4),
        [nibbles @ .., "ip6", "arpa"] if nibbles.len() == 32 => {
            let mut value: u128 = 0;
            for nibble in nibbles.iter().rev() {
                value = value << 4 | u128::from(u8::from_str_radix(nibble, 16).ok().filter(|_| nibble.len() == 1)?);
            }
            Some(IpAddr::V6(value.into()))
        }
        _ => None,
    }
}
