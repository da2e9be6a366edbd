//! What Services are given: cluster addresses and node ports, one key each in the store.
//!
//! A key is taken in the transaction that writes the Service, on condition that it is absent, and given back in the one that
//! stops using it: there is no repair loop, because nothing can come apart. Which one is free is looked up first; if another
//! writer takes it in between, the transaction is stale and the write is tried again with another.
//!
//! ```text
//! alloc/clusterips/10.96.0.1   -> default/kubernetes
//! alloc/nodeports/31000        -> default/web
//! ```

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use knarr_base::Revision;
use knarr_schema::FieldError;
use knarr_store::{Cmp, Compare, Op};
use knarr_value::{Value, value};

use crate::commit::{Extra, invalid};
use crate::machinery::Machinery;
use crate::meta;
use crate::request::Request;
use crate::status::Status;

/// Random draws before the range is searched from its start.
const DRAWS: usize = 32;

/// What a write takes and gives back.
#[derive(Debug, Default)]
pub(crate) struct Allocation {
    owner: String,
    take: BTreeSet<Bytes>,
    release: BTreeSet<Bytes>,
}

impl Allocation {
    pub fn into_extra(self) -> Extra {
        let owner = Bytes::from(self.owner);
        let mut extra = Extra::default();
        for key in self.take {
            extra.compare.push(Compare::ModRevision { key: key.clone(), op: Cmp::Equal, revision: Revision(0) });
            extra.ops.push(Op::Put { key, value: owner.clone(), lease: 0 });
        }
        for key in self.release {
            extra.ops.push(Op::Delete { from: key, to: None });
        }
        extra
    }
}

fn allocates(request: &Request) -> bool {
    !request.kind.compiled.allocations.is_empty()
}

fn ip_key(address: Ipv4Addr) -> Bytes {
    Bytes::from(format!("alloc/clusterips/{address}"))
}

fn port_key(port: i64) -> Bytes {
    Bytes::from(format!("alloc/nodeports/{port}"))
}

fn kind_of(service: &Value) -> &str {
    match service.str_at(&["spec", "type"]) {
        "" => "ClusterIP",
        other => other,
    }
}

fn needs_cluster_ip(service: &Value) -> bool {
    kind_of(service) != "ExternalName"
}

fn needs_node_ports(service: &Value) -> bool {
    match kind_of(service) {
        "NodePort" => true,
        "LoadBalancer" => {
            service.path(&["spec", "allocateLoadBalancerNodePorts"]).and_then(Value::as_bool).unwrap_or(true)
        }
        _ => false,
    }
}

/// Whether a load balancer asks each node, on a port of its own, if it has endpoints.
fn needs_health_check(service: &Value) -> bool {
    kind_of(service) == "LoadBalancer" && service.str_at(&["spec", "externalTrafficPolicy"]) == "Local"
}

fn health_check(service: &Value) -> i64 {
    service.path(&["spec", "healthCheckNodePort"]).and_then(Value::as_i64).unwrap_or(0)
}

fn ports(service: &Value) -> &[Value] {
    service.path(&["spec", "ports"]).and_then(Value::as_list).unwrap_or(&[])
}

fn node_port(port: &Value) -> i64 {
    port.get("nodePort").and_then(Value::as_i64).unwrap_or(0)
}

/// Every key that a Service holds.
fn held(service: &Value) -> BTreeSet<Bytes> {
    let mut keys = BTreeSet::new();
    if let Ok(address) = service.str_at(&["spec", "clusterIP"]).parse::<Ipv4Addr>() {
        keys.insert(ip_key(address));
    }
    let ports = ports(service).iter().map(node_port).chain([health_check(service)]);
    keys.extend(ports.filter(|port| *port != 0).map(port_key));
    keys
}

fn owner(request: &Request, service: &Value) -> String {
    format!("{}/{}", request.namespace, meta::name(service))
}

/// Fills in what a new Service is given.
pub(crate) fn create(machinery: &Machinery, request: &Request, service: &mut Value) -> Result<Allocation, Status> {
    if !allocates(request) {
        return Ok(Allocation::default());
    }
    give(machinery, request, service, BTreeSet::new())
}

/// Carries over what the Service has, fills in what it needs now, gives back what it does not.
pub(crate) fn update(
    machinery: &Machinery,
    request: &Request,
    new: &mut Value,
    old: &Value,
) -> Result<Allocation, Status> {
    if !allocates(request) || !request.subresource.is_empty() {
        return Ok(Allocation::default());
    }
    drop_unneeded(new, old);
    carry_over(new, old);
    let has = held(old);
    let mut allocation = give(machinery, request, new, has.clone())?;
    let keeps = held(new);
    allocation.release = has.difference(&keeps).cloned().collect();
    Ok(allocation)
}

/// What a Service that goes gives back.
pub(crate) fn delete(_machinery: &Machinery, request: &Request, service: &Value) -> Allocation {
    if !allocates(request) {
        return Allocation::default();
    }
    Allocation { release: held(service), ..Allocation::default() }
}

/// A change of type drops what the new type has no use for, if the client left it as it was.
fn drop_unneeded(new: &mut Value, old: &Value) {
    if needs_cluster_ip(old) && !needs_cluster_ip(new) {
        let same = |field: &str| new.path(&["spec", field]) == old.path(&["spec", field]);
        if same("clusterIP") || new.str_at(&["spec", "clusterIP"]).is_empty() {
            for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
                new.remove_path(&["spec", field]);
            }
        }
    }
    if needs_health_check(old) && !needs_health_check(new) && health_check(new) == health_check(old) {
        new.remove_path(&["spec", "healthCheckNodePort"]);
    }
    if needs_node_ports(old) && !needs_node_ports(new) {
        let before: Vec<i64> = ports(old).iter().map(node_port).collect();
        let unchanged = ports(new).iter().map(node_port).all(|port| port == 0 || before.contains(&port));
        if unchanged && let Some(list) = new.path_mut(&["spec", "ports"]).and_then(Value::as_list_mut) {
            for port in list {
                if let Some(map) = port.as_map_mut() {
                    map.remove("nodePort");
                }
            }
        }
        if new.path(&["spec", "externalTrafficPolicy"]) == old.path(&["spec", "externalTrafficPolicy"])
            && ports(new).iter().all(|port| node_port(port) == 0)
        {
            new.remove_path(&["spec", "externalTrafficPolicy"]);
        }
    }
}

/// An update that does not name its address or its ports keeps them (`patchAllocatedValues`).
fn carry_over(new: &mut Value, old: &Value) {
    if needs_cluster_ip(old) && needs_cluster_ip(new) {
        if new.str_at(&["spec", "clusterIP"]).is_empty()
            && let Some(address) = old.path(&["spec", "clusterIP"]).cloned()
        {
            new.set_path(&["spec", "clusterIP"], address);
        }
        let same = new.path(&["spec", "clusterIP"]) == old.path(&["spec", "clusterIP"]);
        for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            if same
                && new.path(&["spec", field]).is_none_or(Value::is_empty)
                && let Some(value) = old.path(&["spec", field]).cloned()
            {
                new.set_path(&["spec", field], value);
            }
        }
    }
    if needs_node_ports(old) && needs_node_ports(new) {
        let before: Vec<Value> = ports(old).to_vec();
        let mut used: Vec<i64> = ports(new).iter().map(node_port).filter(|port| *port != 0).collect();
        if let Some(list) = new.path_mut(&["spec", "ports"]).and_then(Value::as_list_mut) {
            for port in list.iter_mut().filter(|port| node_port(port) == 0) {
                let same = |one: &&Value| {
                    one.get("port") == port.get("port") && one.str_at(&["protocol"]) == port.str_at(&["protocol"])
                };
                let found = before.iter().find(same).map(node_port).unwrap_or(0);
                if found != 0 && !used.contains(&found) {
                    port.set_path(&["nodePort"], found);
                    used.push(found);
                }
            }
        }
    }
}

/// Allocates what is missing; `has` is what the Service holds already.
fn give(
    machinery: &Machinery,
    request: &Request,
    service: &mut Value,
    has: BTreeSet<Bytes>,
) -> Result<Allocation, Status> {
    let mut allocation = Allocation { owner: owner(request, service), ..Allocation::default() };
    if needs_cluster_ip(service) {
        give_address(machinery, request, service, &has, &mut allocation)?;
    }
    if needs_node_ports(service) {
        give_ports(machinery, request, service, &has, &mut allocation)?;
    }
    if needs_health_check(service) {
        give_health_check(machinery, service, &has, &mut allocation)?;
    }
    Ok(allocation)
}

fn give_address(
    machinery: &Machinery,
    request: &Request,
    service: &mut Value,
    has: &BTreeSet<Bytes>,
    allocation: &mut Allocation,
) -> Result<(), Status> {
    let asked = match service.str_at(&["spec", "clusterIP"]) {
        "" => service.path(&["spec", "clusterIPs"]).and_then(|list| list.as_list()?.first()?.as_str()).unwrap_or(""),
        asked => asked,
    };
    let asked = asked.to_owned();
    // A headless Service without a selector may name endpoints of any family (defaultOnWriteFamilies).
    let any = asked == "None" && service.path(&["spec", "selector"]).is_none_or(Value::is_empty);
    if !any {
        single_stack(request, service)?;
    }
    let given = if asked == "None" {
        asked
    } else if asked.is_empty() {
        let address = free_address(machinery)?;
        allocation.take.insert(ip_key(address));
        address.to_string()
    } else {
        // What is no address at all is the rules' to refuse.
        let Ok(address) = asked.parse::<Ipv4Addr>() else { return Ok(()) };
        let key = ip_key(address);
        if !has.contains(&key) {
            let refuse = |why: &str| {
                let error = FieldError::invalid(
                    "spec.clusterIPs",
                    value!([(asked.as_str())]),
                    format!("failed to allocate IP {asked}: {why}"),
                );
                Err(invalid(&request.kind, meta::name(service), &[error]))
            };
            if !in_range(machinery, address) {
                return refuse("the provided network does not match the current range");
            }
            if machinery.get_record(&key)?.is_some() {
                return refuse("provided IP is already allocated");
            }
            allocation.take.insert(key);
        }
        asked
    };
    service.set_path(&["spec", "clusterIP"], given.as_str());
    if service.path(&["spec", "clusterIPs"]).is_none_or(Value::is_empty) {
        service.set_path(&["spec", "clusterIPs"], value!([(given.as_str())]));
    }
    if service.path(&["spec", "ipFamilies"]).is_none_or(Value::is_empty) {
        let families = if any { value!(["IPv4", "IPv6"]) } else { value!(["IPv4"]) };
        service.set_path(&["spec", "ipFamilies"], families);
    }
    if service.str_at(&["spec", "ipFamilyPolicy"]).is_empty() {
        service.set_path(&["spec", "ipFamilyPolicy"], if any { "RequireDualStack" } else { "SingleStack" });
    }
    Ok(())
}

/// Errors: 422 for a Service that asks for the family this cluster has no range of, IPv6.
fn single_stack(request: &Request, service: &Value) -> Result<(), Status> {
    let spec = |field: &str| service.path(&["spec", field]).unwrap_or(&Value::Null);
    let listed = |field| spec(field).as_list().unwrap_or(&[]).iter().map(|one| one.as_str().unwrap_or("")).enumerate();
    let mut errors = Vec::new();
    if spec("ipFamilyPolicy").as_str() == Some("RequireDualStack") {
        let why = "this cluster is not configured for dual-stack services";
        errors.push(FieldError::invalid("spec.ipFamilyPolicy", "RequireDualStack", why));
    }
    for (index, _) in listed("ipFamilies").filter(|(_, family)| *family == "IPv6") {
        errors.push(FieldError::invalid(format!("spec.ipFamilies[{index}]"), "IPv6", "not configured on this cluster"));
    }
    if spec("ipFamilies").is_empty() {
        for (index, _) in listed("clusterIPs").filter(|(_, address)| address.parse::<Ipv6Addr>().is_ok()) {
            let (place, shown) = (format!("spec.clusterIPs[{index}]"), spec("clusterIPs").clone());
            errors.push(FieldError::invalid(place, shown, "IPv6 is not configured on this cluster"));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(invalid(&request.kind, meta::name(service), &errors)) }
}

/// Network address, first offset that is drawn at random, and number of addresses.
fn range(machinery: &Machinery) -> (u32, u32, u32) {
    let (network, prefix) = machinery.settings.service_cidr;
    let size = 1u32.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(u32::MAX);
    let base = u32::from(network) & !(size.wrapping_sub(1));
    // The lower part is left to those who choose their address themselves (min(max(16, size / 16), 256)).
    let reserved = (size / 16).clamp(16, 256).min(size / 2);
    (base, reserved, size)
}

fn in_range(machinery: &Machinery, address: Ipv4Addr) -> bool {
    let (base, _, size) = range(machinery);
    // Neither the network's own address nor its broadcast is a Service's.
    u32::from(address).checked_sub(base).is_some_and(|offset| offset > 0 && offset < size - 1)
}

fn free_address(machinery: &Machinery) -> Result<Ipv4Addr, Status> {
    let (base, reserved, size) = range(machinery);
    let free = |offset: u32| -> Result<Option<Ipv4Addr>, Status> {
        let address = Ipv4Addr::from(base + offset);
        Ok(machinery.get_record(&ip_key(address))?.is_none().then_some(address))
    };
    let span = u64::from(size - 1 - reserved).max(1);
    for _ in 0..DRAWS {
        let offset = reserved + (machinery.random() % span) as u32;
        if let Some(address) = free(offset)? {
            return Ok(address);
        }
    }
    for offset in (reserved..size - 1).chain(1..reserved) {
        if let Some(address) = free(offset)? {
            return Ok(address);
        }
    }
    Err(Status::internal("failed to allocate a serviceIP: range is full"))
}

fn give_ports(
    machinery: &Machinery,
    request: &Request,
    service: &mut Value,
    has: &BTreeSet<Bytes>,
    allocation: &mut Allocation,
) -> Result<(), Status> {
    let (first, last) = machinery.settings.node_ports;
    let name = meta::name(service).to_owned();
    let mut errors = Vec::new();
    let mut listed: Vec<Value> = ports(service).to_vec();
    for (index, port) in listed.iter().enumerate() {
        let asked = node_port(port);
        let key = port_key(asked);
        if asked == 0 || has.contains(&key) || allocation.take.contains(&key) {
            continue;
        }
        let path = format!("spec.ports[{index}].nodePort");
        if asked < i64::from(first) || asked > i64::from(last) {
            let why = format!("provided port is not in the valid range. The range of valid ports is {first}-{last}");
            errors.push(FieldError::invalid(path, asked, why));
        } else if machinery.get_record(&key)?.is_some() {
            errors.push(FieldError::invalid(path, asked, "provided port is already allocated"));
        } else {
            allocation.take.insert(key);
        }
    }
    if !errors.is_empty() {
        return Err(invalid(&request.kind, &name, &errors));
    }
    // Ports of the same number and different protocols share a node port, as they would share an address.
    for index in 0..listed.len() {
        if node_port(&listed[index]) != 0 {
            continue;
        }
        let number = listed[index].get("port").cloned();
        let protocol = listed[index].str_at(&["protocol"]).to_owned();
        let shared = listed
            .iter()
            .find(|other| {
                node_port(other) != 0 && other.get("port") == number.as_ref() && other.str_at(&["protocol"]) != protocol
            })
            .map(node_port);
        let port = match shared {
            Some(port) => port,
            None => {
                let port = free_port(machinery, allocation)?;
                allocation.take.insert(port_key(port));
                port
            }
        };
        listed[index].set_path(&["nodePort"], port);
    }
    if !listed.is_empty() {
        service.set_path(&["spec", "ports"], Value::List(listed));
    }
    Ok(())
}

fn give_health_check(
    machinery: &Machinery,
    service: &mut Value,
    has: &BTreeSet<Bytes>,
    allocation: &mut Allocation,
) -> Result<(), Status> {
    let asked = health_check(service);
    let key = port_key(asked);
    if asked == 0 {
        let port = free_port(machinery, allocation)?;
        allocation.take.insert(port_key(port));
        service.set_path(&["spec", "healthCheckNodePort"], port);
    } else if !has.contains(&key) {
        if allocation.take.contains(&key) || machinery.get_record(&key)?.is_some() {
            return Err(Status::internal(format!(
                "failed to allocate requested HealthCheck NodePort {asked}: provided port is already allocated"
            )));
        }
        allocation.take.insert(key);
    }
    Ok(())
}

fn free_port(machinery: &Machinery, allocation: &Allocation) -> Result<i64, Status> {
    let (first, last) = machinery.settings.node_ports;
    let (first, last) = (i64::from(first), i64::from(last));
    let size = last - first + 1;
    let reserved = (size / 32).clamp(16, 128).min(size / 2);
    let free = |port: i64| -> Result<bool, Status> {
        let key = port_key(port);
        Ok(!allocation.take.contains(&key) && machinery.get_record(&key)?.is_none())
    };
    let span = (size - reserved).max(1) as u64;
    for _ in 0..DRAWS {
        let port = first + reserved + (machinery.random() % span) as i64;
        if free(port)? {
            return Ok(port);
        }
    }
    for port in (first + reserved..=last).chain(first..first + reserved) {
        if free(port)? {
            return Ok(port);
        }
    }
    Err(Status::internal("failed to allocate a nodePort: range is full"))
}
