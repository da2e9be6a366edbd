//! The addresses of a Service: clusterIP and clusterIPs agree, families are distinct, and once given they stay.

use super::super::{NULL, Scope};
use super::text;
use crate::error::FieldError;
use crate::formats;
use knarr_value::Value;

fn texts<'v>(value: &'v Value, field: &str) -> Vec<&'v str> {
    let list = value.get(field).and_then(Value::as_list).unwrap_or(&[]);
    list.iter().map(|v| v.as_str().unwrap_or("")).collect()
}

fn headless(ips: &[&str]) -> bool {
    ips == ["None"]
}

/// At `spec`.
pub fn addresses(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let spec = scope.value;
    if text(spec, "type") == "ExternalName" {
        return;
    }
    let (ips, families) = (texts(spec, "clusterIPs"), texts(spec, "ipFamilies"));
    let shown = spec.get("clusterIPs").cloned().unwrap_or_default();
    let list = scope.path.field("clusterIPs");
    let single = text(spec, "clusterIP");
    match (single.is_empty(), ips.first()) {
        (false, None) => errors.push(FieldError::required(list.text(), "")),
        (false, Some(first)) if *first != single => {
            errors.push(FieldError::invalid(list.text(), shown.clone(), "first value must match `clusterIP`"));
        }
        (true, Some(_)) => {
            let detail = "must be empty when `clusterIP` is not specified";
            errors.push(FieldError::invalid(list.text(), shown.clone(), detail));
        }
        _ => {}
    }
    let family_path = scope.path.field("ipFamilies");
    for (index, family) in families.iter().enumerate() {
        let place = family_path.index(index).text();
        if !matches!(*family, "IPv4" | "IPv6") {
            errors.push(FieldError::not_supported(place.clone(), *family, &["IPv4", "IPv6"]));
        }
        if families[..index].contains(family) {
            errors.push(FieldError::duplicate(place, *family));
        }
    }
    let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    if let Some(policy) = spec.get("ipFamilyPolicy").and_then(Value::as_str)
        && !policies.contains(&policy)
    {
        errors.push(FieldError::not_supported(scope.path.child("ipFamilyPolicy"), policy, &policies));
    }
    let known = texts(scope.old.unwrap_or(&NULL), "clusterIPs");
    let mut bad = false;
    for (index, ip) in ips.iter().enumerate() {
        if index == 0 && *ip == "None" {
            if ips.len() > 1 {
                bad = true;
                errors.push(FieldError::invalid(list.text(), shown.clone(), "'None' must be the first and only value"));
            }
            continue;
        }
        if !known.contains(ip) && formats::parse_ip_sloppy(ip).is_none() {
            bad = true;
            let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            errors.push(FieldError::invalid(list.index(index).text(), *ip, detail));
        }
    }
    if ips.len() > 2 {
        errors.push(FieldError::invalid(list.text(), shown.clone(), "may only hold up to 2 values"));
    }
    if bad {
        return;
    }
    let sixes = ips.iter().filter(|ip| ip.contains(':')).count();
    if ips.len() > 1 && !(ips.len() == 2 && sixes == 1) {
        let detail = "may specify no more than one IP for each IP family";
        errors.push(FieldError::invalid(list.text(), shown, detail));
    }
    if headless(&ips) {
        return;
    }
    for (index, (ip, family)) in ips.iter().zip(&families).enumerate() {
        if (*family == "IPv4") == ip.contains(':') {
            let detail = format!("expected an {family} value as indicated by `ipFamilies[{index}]`");
            errors.push(FieldError::invalid(list.index(index).text(), *ip, detail));
        }
    }
}

/// At `spec`, on update: addresses and families are added or released at the end only.
pub fn update(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let (new, old) = (scope.value, scope.old.unwrap_or(&NULL));
    if text(new, "type") == "ExternalName" || text(old, "type") == "ExternalName" {
        return;
    }
    let (new_ips, old_ips) = (texts(new, "clusterIPs"), texts(old, "clusterIPs"));
    let was_headless = headless(&old_ips);
    if !(was_headless && headless(&new_ips)) {
        kept(scope, "clusterIPs", &new_ips, &old_ips, "clusterIP", errors);
    }
    if was_headless == headless(&new_ips) && !was_headless {
        kept(scope, "ipFamilies", &texts(new, "ipFamilies"), &texts(old, "ipFamilies"), "ipFamily", errors);
    }
    let class = |spec: &Value| spec.get("loadBalancerClass").cloned().unwrap_or_default();
    let balanced = text(new, "type") == "LoadBalancer" && text(old, "type") == "LoadBalancer";
    if balanced && class(new) != class(old) {
        let path = scope.path.child("loadBalancerClass");
        errors.push(FieldError::invalid(path, class(new), "may not change once set"));
    }
    let checked = |spec: &Value| text(spec, "externalTrafficPolicy") == "Local";
    if balanced && checked(new) && checked(old) && new.get("healthCheckNodePort") != old.get("healthCheckNodePort") {
        errors.push(FieldError::forbidden(scope.path.child("healthCheckNodePort"), "field is immutable"));
    }
}

/// At the Service, on an update of its status: where a load balancer answers (ValidateLoadBalancerStatus).
pub fn status(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let points = scope.value.path(&["status", "loadBalancer", "ingress"]).and_then(Value::as_list).unwrap_or(&[]);
    let status = scope.path.field("status");
    let balancer = status.field("loadBalancer");
    let path = balancer.field("ingress");
    if !points.is_empty() && scope.value.str_at(&["spec", "type"]) != "LoadBalancer" {
        errors.push(FieldError::forbidden(path.text(), "may only be used when `spec.type` is 'LoadBalancer'"));
        return;
    }
    for (index, point) in points.iter().enumerate() {
        let place = path.index(index);
        let (ip, mode, host) = (text(point, "ip"), text(point, "ipMode"), text(point, "hostname"));
        if !ip.is_empty() && formats::parse_ip_sloppy(ip).is_none() {
            let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            errors.push(FieldError::invalid(place.child("ip"), ip, detail));
        }
        if !mode.is_empty() && ip.is_empty() {
            errors.push(FieldError::forbidden(place.child("ipMode"), "may not be specified when `ip` is not set"));
        } else if !matches!(mode, "" | "Proxy" | "VIP") {
            errors.push(FieldError::not_supported(place.child("ipMode"), mode, &["Proxy", "VIP"]));
        }
        if host.is_empty() {
            continue;
        }
        for message in formats::dns1123_subdomain(host) {
            errors.push(FieldError::invalid(place.child("hostname"), host, message));
        }
        if formats::parse_ip_sloppy(host).is_some() {
            let detail = "must be a DNS name, not an IP address";
            errors.push(FieldError::invalid(place.child("hostname"), host, detail));
        }
    }
}

fn kept(scope: &Scope<'_>, field: &str, new: &[&str], old: &[&str], word: &str, errors: &mut Vec<FieldError>) {
    let path = scope.path.field(field);
    let shown = scope.value.get(field).cloned().unwrap_or(Value::List(Vec::new()));
    let mut fail = |index: usize, detail: String| {
        errors.push(FieldError::invalid(path.index(index).text(), shown.clone(), detail));
    };
    if new.len() == old.len() {
        for index in (0..old.len()).filter(|i| old[*i] != new[*i]) {
            // For families Kubernetes always names the first.
            fail(if field == "ipFamilies" { 0 } else { index }, "may not change once set".into());
        }
        return;
    }
    if new.is_empty() {
        fail(0, format!("primary {word} can not be unset"));
    } else if old.first().is_some_and(|first| *first != new[0]) {
        fail(0, "may not change once set".into());
    }
    if new.len() == 1 && old.len() > 1 && text(scope.value, "ipFamilyPolicy") != "SingleStack" {
        let value = scope.value.get("ipFamilyPolicy").cloned().unwrap_or_default();
        let detail = format!("must be set to 'SingleStack' when releasing the secondary {word}");
        errors.push(FieldError::invalid(scope.path.child("ipFamilyPolicy"), value, detail));
    }
}

fn headless_with(scope: &Scope<'_>, word: &str, errors: &mut Vec<FieldError>) {
    let path = scope.path.field("clusterIPs");
    let detail = format!("may not be set to 'None' for {word} services");
    errors.push(FieldError::invalid(path.index(0).text(), "None", detail));
}

pub fn headless_load_balancer(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    headless_with(scope, "LoadBalancer", errors);
}

pub fn headless_node_port(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    headless_with(scope, "NodePort", errors);
}

/// A CNAME, which may end in a dot.
pub fn external_name(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let name = scope.value.as_str().unwrap_or("");
    let name = name.strip_suffix('.').unwrap_or(name);
    for message in formats::dns1123_subdomain(name) {
        errors.push(FieldError::invalid(scope.path.text(), name, message));
    }
}

/// At the ports: no two with the same protocol and number. Shown as Go's internal struct, of which only the key is set.
pub fn port_twice(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let ports = scope.value.as_list().unwrap_or(&[]);
    let key =
        |port: &Value| (text(port, "protocol").to_string(), port.get("port").and_then(Value::as_i64).unwrap_or(0));
    for (index, port) in ports.iter().enumerate() {
        if !ports[..index].iter().any(|other| key(other) == key(port)) {
            continue;
        }
        let (protocol, number) = key(port);
        let mut shown = knarr_value::Map::new();
        shown.insert("Name", "");
        shown.insert("Protocol", protocol);
        shown.insert("AppProtocol", Value::Null);
        shown.insert("Port", number);
        shown.insert("TargetPort", 0i64);
        shown.insert("NodePort", 0i64);
        errors.push(FieldError::duplicate(scope.path.index(index).text(), Value::Map(shown)));
    }
}

/// At `spec`; Kubernetes writes the field with a capital letter here. Spaces around a range are part of the API.
pub fn source_ranges(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let path = scope.path.field("LoadBalancerSourceRanges");
    for (index, range) in texts(scope.value, "loadBalancerSourceRanges").iter().enumerate() {
        let range = range.trim();
        for message in formats::by_name("cidr").map(|f| f(range)).unwrap_or_default() {
            errors.push(FieldError::invalid(path.index(index).text(), range, message));
        }
    }
}

/// At a Service: what it says to no effect. Source: kubernetes `pkg/api/service/warnings.go`.
pub fn warnings(scope: &Scope<'_>, lines: &mut Vec<FieldError>) {
    const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
    let spec = scope.get("spec");
    let external = spec.get("externalIPs").is_some_and(|list| !crate::rules::is_unset(list));
    let mut say = |words: String| lines.push(FieldError::invalid("<nil>", Value::Null, words));
    if scope.value.path(&["metadata", "annotations", HINTS]).is_some() {
        say(format!("annotation {HINTS} is deprecated, please use service.kubernetes.io/topology-mode instead"));
    }
    if text(spec, "type") == "ClusterIP" && text(spec, "clusterIP") == "None" {
        for (said, field) in [
            (!text(spec, "loadBalancerIP").is_empty(), "loadBalancerIP"),
            (external, "externalIPs"),
            (text(spec, "sessionAffinity") != "None", "SessionAffinity"),
        ] {
            if said {
                say(format!("spec.{field} is ignored for headless services"));
            }
        }
    }
    let named = text(spec, "type") == "ExternalName";
    if named && external {
        say("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if !named && !text(spec, "externalName").is_empty() {
        say("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
}
