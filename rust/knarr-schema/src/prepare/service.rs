//! A Service before it is validated: its two address fields agree, what was allocated stays, what another type had goes.

use super::put;
use crate::rules::NULL;
use crate::rules::immutable::same;
use knarr_value::Value;

/// What belongs to the old type goes, unless the client changed it.
pub fn changed_type(service: &mut Value, old: Option<&Value>) {
    let Some(old) = old else { return };
    let (was, is) = (old.str_at(&["spec", "type"]), service.str_at(&["spec", "type"]).to_string());
    let unchanged = |service: &Value, field: &str| {
        same(service.path(&["spec", field]).unwrap_or(&NULL), old.path(&["spec", field]).unwrap_or(&NULL))
    };
    let clear = |service: &mut Value, field: &str| put(service, &["spec".into(), field.into()], Value::Null);
    if was != "ExternalName" && is == "ExternalName" {
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            if unchanged(service, field) {
                clear(service, field);
            }
        }
    }
    if was != "ExternalName" && is == "ExternalName" && unchanged(service, "internalTrafficPolicy") {
        clear(service, "internalTrafficPolicy");
    }
    let takes_ports = |kind: &str| kind == "NodePort" || kind == "LoadBalancer";
    if takes_ports(was) && !takes_ports(&is) {
        let olds: Vec<Value> = old.path(&["spec", "ports"]).and_then(Value::as_list).unwrap_or(&[]).to_vec();
        let ports = service.path_mut(&["spec", "ports"]).and_then(Value::as_list_mut);
        for port in ports.into_iter().flatten() {
            let number = port.get("nodePort").cloned();
            if number.is_some()
                && olds.iter().any(|old| old.get("nodePort") == number.as_ref())
                && let Some(port) = port.as_map_mut()
            {
                port.remove("nodePort");
            }
        }
    }
    if was == "LoadBalancer" && is != "LoadBalancer" {
        for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if unchanged(service, field) {
                clear(service, field);
            }
        }
    }
    if !takes_ports(&is) && unchanged(service, "externalTrafficPolicy") {
        let external = service.path(&["spec", "externalIPs"]).and_then(Value::as_list).is_some_and(|l| !l.is_empty());
        if !external {
            clear(service, "externalTrafficPolicy");
        }
    }
    if unchanged(service, "healthCheckNodePort") && is != "LoadBalancer" {
        clear(service, "healthCheckNodePort");
    }
}

fn takes_cluster_ip(kind: &str) -> bool {
    matches!(kind, "ClusterIP" | "NodePort" | "LoadBalancer")
}

/// Clients write one of `clusterIP` and `clusterIPs`; the other follows. On update what was allocated is kept where it is left out.
pub fn cluster_ips(service: &mut Value, old: Option<&Value>) {
    if let Some(old) = old {
        keep_allocated(service, old);
    }
    let ip = |service: &Value| service.str_at(&["spec", "clusterIP"]).to_string();
    let ips = |service: &Value| service.path(&["spec", "clusterIPs"]).unwrap_or(&NULL).clone();
    let list_of = |ip: &str| if ip.is_empty() { Value::Null } else { Value::List(vec![Value::from(ip)]) };
    let path = |field: &str| ["spec".into(), field.into()];
    let now = ip(service);
    let Some(old) = old else {
        if !now.is_empty() && ips(service).is_empty() {
            put(service, &path("clusterIPs"), list_of(&now));
        }
        return;
    };
    let same_list = same(&ips(service), &ips(old));
    if now != ip(old) && same_list {
        put(service, &path("clusterIPs"), list_of(&now));
    } else if now == ip(old) && !same_list {
        let first = ips(service).as_list().and_then(|l| l.first()).cloned();
        if first.is_none() {
            put(service, &path("clusterIP"), Value::Null);
        }
    }
}

fn keep_allocated(service: &mut Value, old: &Value) {
    let kind = |service: &Value| service.str_at(&["spec", "type"]).to_string();
    let (was, is) = (kind(old), kind(service));
    let spec = |field: &str| ["spec".into(), field.into()];
    if takes_cluster_ip(&was) && takes_cluster_ip(&is) && service.str_at(&["spec", "clusterIP"]).is_empty() {
        for field in ["clusterIP", "clusterIPs"] {
            if service.path(&["spec", field]).is_none_or(Value::is_empty) {
                put(service, &spec(field), old.path(&["spec", field]).unwrap_or(&NULL).clone());
            }
        }
    }
    if takes_cluster_ip(&was) && takes_cluster_ip(&is) {
        for field in ["ipFamilies", "ipFamilyPolicy"] {
            if service.path(&["spec", field]).is_none_or(|v| v.is_null() || v.is_empty()) {
                put(service, &spec(field), old.path(&["spec", field]).unwrap_or(&NULL).clone());
            }
        }
    }
    let takes_ports = |kind: &str| kind == "NodePort" || kind == "LoadBalancer";
    if takes_ports(&was) && takes_ports(&is) {
        let olds: Vec<Value> = old.path(&["spec", "ports"]).and_then(Value::as_list).unwrap_or(&[]).to_vec();
        let given: Vec<i64> = ports(service).filter_map(|p| p.get("nodePort")?.as_i64()).collect();
        let list = service.path_mut(&["spec", "ports"]).and_then(Value::as_list_mut);
        for port in list.into_iter().flatten() {
            if port.get("nodePort").and_then(Value::as_i64).unwrap_or(0) != 0 {
                continue;
            }
            let twin =
                olds.iter().find(|o| o.get("port") == port.get("port") && o.get("protocol") == port.get("protocol"));
            let number = twin.and_then(|twin| twin.get("nodePort")).and_then(Value::as_i64);
            if let (Some(number), Some(port)) = (number.filter(|n| !given.contains(n)), port.as_map_mut()) {
                port.insert("nodePort", number);
            }
        }
    }
    let checked = |service: &Value| {
        kind(service) == "LoadBalancer" && service.str_at(&["spec", "externalTrafficPolicy"]) == "Local"
    };
    let unset = service.path(&["spec", "healthCheckNodePort"]).is_none_or(|v| v.is_zero() || v.is_null());
    if checked(old) && checked(service) && unset {
        let number = old.path(&["spec", "healthCheckNodePort"]).unwrap_or(&NULL).clone();
        put(service, &spec("healthCheckNodePort"), number);
    }
}

fn ports(service: &Value) -> impl Iterator<Item = &Value> {
    service.path(&["spec", "ports"]).and_then(Value::as_list).unwrap_or(&[]).iter()
}
