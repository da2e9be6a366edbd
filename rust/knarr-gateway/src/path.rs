//! The grammar of Kubernetes' URLs: which verb on which resource, or a path of its own.
//!
//! ```text
//! /api/v1/... and /apis/GROUP/VERSION/...  then  [watch/] [namespaces/NS/] RESOURCE [/NAME [/SUBRESOURCE [/REST]]]
//! ```
//! Source: apiserver `pkg/endpoints/request/requestinfo.go`.

use std::borrow::Cow;

use http::Method;

/// A request's target, decoded. Borrowed where the path needed no decoding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info<'a> {
    /// `get`, `list`, `watch`, `create` ...; for a path outside the resources the lower-case method.
    pub verb: &'static str,
    pub path: &'a str,
    /// None for a path outside the resources.
    pub resource: Option<ResourcePath<'a>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourcePath<'a> {
    pub group: Cow<'a, str>,
    pub version: Cow<'a, str>,
    /// Also set for `namespaces/x` itself, as authorization wants it.
    pub namespace: Cow<'a, str>,
    pub resource: Cow<'a, str>,
    pub name: Cow<'a, str>,
    pub subresource: Cow<'a, str>,
    /// What follows the subresource (`nodes/x/proxy/REST`), without its leading slash, as sent.
    pub rest: &'a str,
    /// The path named a namespace.
    pub in_namespace: bool,
}

/// `%41` to `A`. Bytes that are not UTF-8 become replacement characters: no object has such a name.
pub fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match hex.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// Query pairs, decoded, in order.
pub fn query_pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode_form(key), decode_form(value))
    })
}

fn decode_form(text: &str) -> Cow<'_, str> {
    if text.contains('+') { Cow::Owned(decode(&text.replace('+', " ")).into_owned()) } else { decode(text) }
}

/// Go's reading of a boolean in a query: anything but `false` and `0` is true.
pub fn is_true(value: &str) -> bool {
    !(value.eq_ignore_ascii_case("false") || value == "0")
}

const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

fn method_verb(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "get",
        "HEAD" => "head",
        "POST" => "post",
        "PUT" => "put",
        "PATCH" => "patch",
        "DELETE" => "delete",
        "OPTIONS" => "options",
        _ => "",
    }
}

/// Reads method, path and query. Never fails: what is not a resource's path is a path of its own.
pub fn parse<'a>(method: &Method, path: &'a str, query: &str) -> Info<'a> {
    let other = Info { verb: method_verb(method), path, resource: None };
    let mut rest = path.trim_matches('/');
    let mut next = || {
        let (head, tail) = rest.split_once('/').unwrap_or((rest, ""));
        rest = tail;
        (head, tail)
    };
    let (prefix, tail) = next();
    let group = match prefix {
        "api" if !tail.is_empty() => Cow::Borrowed(""),
        "apis" if !tail.is_empty() => {
            let (group, tail) = next();
            if tail.is_empty() {
                return other;
            }
            decode(group)
        }
        _ => return other,
    };
    let (version, tail) = next();
    if tail.is_empty() {
        return other;
    }
    let mut found = ResourcePath { group, version: decode(version), ..ResourcePath::default() };
    let (mut part, mut tail) = next();
    let mut watch_prefix = false;
    if part == "watch" && !tail.is_empty() {
        watch_prefix = true;
        (part, tail) = next();
    }
    if part == "namespaces" && !tail.is_empty() {
        let (namespace, after) = next();
        found.namespace = decode(namespace);
        found.in_namespace = true;
        let following = after.split('/').next().unwrap_or_default();
        if after.is_empty() || NAMESPACE_SUBRESOURCES.contains(&following) {
            found.resource = Cow::Borrowed("namespaces");
            found.name = found.namespace.clone();
            found.in_namespace = false;
        } else {
            (part, tail) = next();
            found.resource = decode(part);
            if !tail.is_empty() {
                found.name = decode(next().0);
            }
        }
    } else {
        found.resource = decode(part);
        if !tail.is_empty() {
            found.name = decode(next().0);
        }
    }
    let (subresource, after) = next();
    found.subresource = decode(subresource);
    found.rest = after;
    let named = !found.name.is_empty();
    let verb = match method.as_str() {
        _ if watch_prefix => "watch",
        "GET" | "HEAD" if named => "get",
        "GET" | "HEAD" => {
            let watch = query.contains("watch")
                && query_pairs(query).find(|(key, _)| key == "watch").is_some_and(|(_, value)| is_true(&value));
            if watch { "watch" } else { "list" }
        }
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" if named => "delete",
        "DELETE" => "deletecollection",
        _ => "",
    };
    Info { verb, path, resource: Some(found) }
}

/// The value that the query's field selector requires of a field: `x` of `metadata.name=x,spec.y!=z`.
pub fn field_required(query: &str, field: &str) -> Option<String> {
    if !query.contains("fieldSelector") {
        return None;
    }
    let (_, selector) = query_pairs(query).find(|(key, _)| key == "fieldSelector")?;
    selector_required(&selector, field)
}

/// The value that a field selector's text requires of a field.
pub fn selector_required(selector: &str, field: &str) -> Option<String> {
    selector.split(',').find_map(|term| {
        let value = term.trim().strip_prefix(field)?;
        let value = value.strip_prefix("==").or_else(|| value.strip_prefix('='))?;
        (!value.is_empty()).then(|| value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// verb group/version namespace resource/name/subresource, or the verb and the path alone.
    fn check(method: &str, url: &str, expected: &str) {
        let method: Method = method.parse().expect("a method");
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let info = parse(&method, path, query);
        let got = match &info.resource {
            None => format!("{} {}", info.verb, info.path),
            Some(r) => format!(
                "{} [{}/{}] ns={} {}/{}/{} +{}",
                info.verb, r.group, r.version, r.namespace, r.resource, r.name, r.subresource, r.rest
            ),
        };
        assert_eq!(got, expected, "{method} {url}");
    }

    #[test]
    fn urls_are_read_as_kubernetes_reads_them() {
        check("GET", "/", "get /");
        check("GET", "/api", "get /api");
        check("GET", "/api/v1", "get /api/v1");
        check("GET", "/apis/apps/v1", "get /apis/apps/v1");
        check("GET", "/api/v1/pods", "list [/v1] ns= pods// +");
        check("GET", "/api/v1/pods?watch=1", "watch [/v1] ns= pods// +");
        check("GET", "/api/v1/pods?watch=false", "list [/v1] ns= pods// +");
        check("GET", "/api/v1/pods?watch=", "watch [/v1] ns= pods// +");
        check("GET", "/api/v1/namespaces", "list [/v1] ns= namespaces// +");
        check("GET", "/api/v1/namespaces/a", "get [/v1] ns=a namespaces/a/ +");
        check("PUT", "/api/v1/namespaces/a/finalize", "update [/v1] ns=a namespaces/a/finalize +");
        check("PATCH", "/api/v1/namespaces/a/status", "patch [/v1] ns=a namespaces/a/status +");
        check("POST", "/api/v1/namespaces/a/pods", "create [/v1] ns=a pods// +");
        check("GET", "/api/v1/namespaces/a/pods/p/log", "get [/v1] ns=a pods/p/log +");
        check("DELETE", "/api/v1/namespaces/a/pods", "deletecollection [/v1] ns=a pods// +");
        check("DELETE", "/api/v1/namespaces/a/pods/p", "delete [/v1] ns=a pods/p/ +");
        check("GET", "/apis/apps/v1/namespaces/a/deployments/d/scale", "get [apps/v1] ns=a deployments/d/scale +");
        check("GET", "/api/v1/nodes/n/proxy/logs/x", "get [/v1] ns= nodes/n/proxy +logs/x");
        check("GET", "/api/v1/watch/namespaces/a/pods", "watch [/v1] ns=a pods// +");
        check(
            "GET",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
            "get [rbac.authorization.k8s.io/v1] ns= clusterroles/system:node/ +",
        );
        check("GET", "/healthz/etcd", "get /healthz/etcd");
    }

    #[test]
    fn queries_are_decoded() {
        let pairs: Vec<_> = query_pairs("a=b%3Dc&d+e=&f").map(|(k, v)| format!("{k}|{v}")).collect();
        assert_eq!(pairs, ["a|b=c", "d e|", "f|"]);
        let query = "fieldSelector=spec.nodeName%3Dn1,metadata.name!%3Dx";
        assert_eq!(field_required(query, "spec.nodeName").as_deref(), Some("n1"));
        assert_eq!(field_required(query, "metadata.name"), None);
        assert_eq!(decode("%zz%4"), "%zz%4");
    }
}
