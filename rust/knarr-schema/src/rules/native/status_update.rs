//! A pod's status update: what has ended does not begin again unless its restart policy says so; the QoS class stays.

use super::super::{NULL, Scope};
use super::{list, text};
use crate::error::FieldError;
use crate::formats;
use knarr_value::Value;

/// At the pod, on an update of `status`.
pub fn run(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let old = scope.old.unwrap_or(&NULL);
    let path = scope.path.field("status");
    let (now, was) = (scope.get("status"), old.get("status").unwrap_or(&NULL));
    let spec = old.get("spec").unwrap_or(&NULL);
    let node = text(now, "nominatedNodeName");
    if node != text(was, "nominatedNodeName") && !node.is_empty() {
        for message in formats::dns1123_subdomain(node) {
            errors.push(FieldError::invalid(path.child("nominatedNodeName"), node, message));
        }
        if !text(spec, "nodeName").is_empty() {
            let detail = "may not be set on pods that are already bound to a node";
            errors.push(FieldError::forbidden(path.child("nominatedNodeName"), detail));
        }
    }
    if now.get("observedGeneration").and_then(Value::as_i64).is_some_and(|n| n < 0) {
        let value = now.get("observedGeneration").cloned().unwrap_or_default();
        errors.push(FieldError::invalid(path.child("observedGeneration"), value, "must be a non-negative integer"));
    }
    if text(now, "qosClass") != text(was, "qosClass") {
        errors.push(FieldError::invalid(path.child("qosClass"), text(now, "qosClass"), "field is immutable"));
    }
    for (field, kind) in [
        ("containerStatuses", Kind::Main),
        ("initContainerStatuses", Kind::Init),
        ("ephemeralContainerStatuses", Kind::Ephemeral),
    ] {
        let place = path.field(field);
        for (index, was) in list(was, field).iter().enumerate() {
            let Some(ended) = was.path(&["state", "terminated"]) else { continue };
            let code = ended.get("exitCode").and_then(Value::as_i64).unwrap_or(0);
            let name = text(was, "name");
            let next = list(now, field).iter().find(|s| text(s, "name") == name);
            let revived = next.is_some_and(|s| s.path(&["state", "terminated"]).is_none());
            if revived && !may_restart(spec, name, code, kind) {
                let detail = "may not be transitioned to non-terminated state";
                errors.push(FieldError::forbidden(place.index(index).child("state"), detail));
            }
        }
    }
    addresses(now, "podIPs", "podIP", &path, errors);
    addresses(now, "hostIPs", "hostIP", &path, errors);
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Main,
    Init,
    Ephemeral,
}

fn may_restart(spec: &Value, name: &str, code: i64, kind: Kind) -> bool {
    let policy = match text(spec, "restartPolicy") {
        "" => "Always",
        policy => policy,
    };
    let own = ["containers", "initContainers"]
        .iter()
        .flat_map(|field| list(spec, field))
        .find(|c| text(c, "name") == name)
        .map_or("", |c| text(c, "restartPolicy"));
    match (kind, own) {
        (Kind::Ephemeral, _) => false,
        (_, "Always") => true,
        (Kind::Main, "Never") => false,
        (Kind::Main, "OnFailure") => code != 0,
        _ => policy == "Always" || (policy == "OnFailure" && code != 0),
    }
}

/// One address per family, the first being the single one.
fn addresses(
    status: &Value,
    list_field: &str,
    single: &str,
    path: &crate::path::Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    let ips: Vec<&str> = list(status, list_field).iter().map(|ip| text(ip, "ip")).collect();
    let place = path.field(list_field);
    let before = errors.len();
    for (index, ip) in ips.iter().enumerate() {
        if formats::parse_ip_sloppy(ip).is_none() {
            let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            errors.push(FieldError::invalid(place.index(index).text(), *ip, detail));
        }
    }
    if errors.len() > before {
        return;
    }
    let sixes = ips.iter().filter(|ip| ip.contains(':')).count();
    if ips.len() > 2 || (ips.len() == 2 && sixes != 1) {
        let value = status.get(list_field).cloned().unwrap_or_default();
        errors.push(FieldError::invalid(place.text(), value, "may specify no more than one IP for each IP family"));
    }
    if ips.first().is_some_and(|first| *first != text(status, single)) {
        let detail = format!("must be equal to `{single}`");
        errors.push(FieldError::invalid(place.index(0).child("ip"), ips[0], detail));
    }
}
