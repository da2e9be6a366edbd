//! Addresses of endpoints: real ones, and none of the special ranges.

use super::super::Scope;
use crate::error::FieldError;
use crate::formats;
use knarr_value::Value;
use std::net::IpAddr;

/// An address traffic can go to.
pub fn endpoint(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let text = scope.value.as_str().unwrap_or("");
    let path = scope.path.text();
    match formats::parse_ip_sloppy(text) {
        Some(ip) => special(ip, text, &path, errors),
        None => {
            let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            errors.push(FieldError::invalid(path, text, detail));
        }
    }
}

fn special(ip: IpAddr, text: &str, path: &str, errors: &mut Vec<FieldError>) {
    let mut fail = |what: &str| errors.push(FieldError::invalid(path, text, what));
    if ip.is_unspecified() {
        fail(&format!("may not be unspecified ({text})"));
    }
    if ip.is_loopback() {
        fail("may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    let (link_local, link_multicast) = match ip {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(v6) => ((v6.segments()[0] & 0xffc0) == 0xfe80, (v6.segments()[0] & 0xff0f) == 0xff02),
    };
    if link_local {
        fail("may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if link_multicast {
        fail("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

/// At an EndpointSlice: the addresses of each endpoint are of the slice's type.
pub fn slice(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let kind = scope.text("addressType");
    let list = scope.path.field("endpoints");
    for (index, one) in scope.get("endpoints").as_list().unwrap_or(&[]).iter().enumerate() {
        let place = list.index(index);
        let path = place.field("addresses");
        let addresses = one.get("addresses").and_then(Value::as_list).unwrap_or(&[]);
        if addresses.is_empty() {
            errors.push(FieldError::required(path.text(), "must contain at least 1 address"));
        } else if addresses.len() > 100 {
            errors.push(FieldError::too_many(path.text(), addresses.len(), 100));
        }
        for (index, address) in addresses.iter().enumerate() {
            let text = address.as_str().unwrap_or("");
            let place = path.index(index).text();
            match kind {
                "FQDN" => fqdn(text, &place, errors),
                "IPv4" | "IPv6" => {
                    let Some(ip) = formats::parse_ip_sloppy(text) else {
                        let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
                        errors.push(FieldError::invalid(place, text, detail));
                        continue;
                    };
                    if ip.is_ipv4() != (kind == "IPv4") {
                        errors.push(FieldError::invalid(path.text(), text, format!("must be an {kind} address")));
                    }
                    special(ip, text, &place, errors);
                }
                _ => {}
            }
        }
    }
}

fn fqdn(text: &str, path: &str, errors: &mut Vec<FieldError>) {
    if text.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let messages = formats::dns1123_subdomain(name);
    if !messages.is_empty() {
        errors.push(FieldError::invalid(path, text, messages.join(",")));
    } else if name.split('.').count() < 2 {
        let detail = "should be a domain with at least two segments separated by dots";
        errors.push(FieldError::invalid(path, text, detail));
    }
}
