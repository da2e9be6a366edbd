//! Cold routes: paths answered by somebody else's code (Python), after authentication, authorization and flow control.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use knarr_base::{BoxFuture, User};
use parking_lot::Mutex;

/// A request as a cold route gets it.
#[derive(Clone, Debug)]
pub struct ColdRequest {
    pub user: Arc<User>,
    pub method: String,
    pub path: String,
    /// The `{name}` parts of the pattern, decoded.
    pub params: Vec<(String, String)>,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

/// A cold route's answer.
#[derive(Clone, Debug)]
pub struct ColdReply {
    pub code: u16,
    pub content_type: String,
    pub body: Bytes,
    pub headers: Vec<(String, String)>,
}

/// What answers. An `Err` is a bug in the handler: it is logged and costs this request only (500).
pub trait ColdHandler: Send + Sync {
    fn call(&self, request: ColdRequest) -> BoxFuture<Result<ColdReply, String>>;
}

/// Headers out of names and values; what is no legal header is left out.
pub fn header_map(headers: &std::collections::BTreeMap<String, String>) -> http::HeaderMap {
    let parsed =
        headers.iter().map(|(name, value)| (http::HeaderName::try_from(name), http::HeaderValue::from_str(value)));
    parsed.filter_map(|(name, value)| Some((name.ok()?, value.ok()?))).collect()
}

/// Names and values of headers, those that are text.
pub fn header_texts(headers: &http::HeaderMap) -> Vec<(String, String)> {
    let texts = headers.iter().map(|(name, value)| (name, value.to_str()));
    texts.filter_map(|(name, value)| Some((name.as_str().to_owned(), value.ok()?.to_owned()))).collect()
}

#[derive(Clone)]
struct Route {
    method: String,
    pattern: Vec<String>,
    handler: Arc<dyn ColdHandler>,
}

/// The named parts of a path, decoded.
pub type Params = Vec<(String, String)>;

/// The table of cold routes, in the order they were added; the first that fits wins.
#[derive(Default)]
pub struct ColdRoutes {
    routes: ArcSwap<Vec<Route>>,
    writing: Mutex<()>,
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.trim_matches('/').split('/')
}

impl ColdRoutes {
    /// Answers `method` at `pattern` with `handler`. In a pattern `{name}` stands for one segment, `{name...}` at the end for the
    /// rest. The same method and pattern again replaces the handler.
    pub fn add(&self, method: &str, pattern: &str, handler: Arc<dyn ColdHandler>) {
        let _writing = self.writing.lock();
        let route =
            Route { method: method.to_owned(), pattern: segments(pattern).map(str::to_owned).collect(), handler };
        let mut routes = Vec::clone(&self.routes.load());
        match routes.iter_mut().find(|known| known.method == route.method && known.pattern == route.pattern) {
            Some(known) => *known = route,
            None => routes.push(route),
        }
        self.routes.store(routes.into());
    }

    /// The handler for a path and its parameters. `Err(true)`: the path is known with other methods only.
    pub fn find(&self, method: &str, path: &str) -> Result<(Arc<dyn ColdHandler>, Params), bool> {
        let mut other_method = false;
        for route in self.routes.load().iter() {
            if let Some(params) = fits(&route.pattern, path) {
                if route.method == method || (method == "HEAD" && route.method == "GET") {
                    return Ok((route.handler.clone(), params));
                }
                other_method = true;
            }
        }
        Err(other_method)
    }
}

fn fits(pattern: &[String], path: &str) -> Option<Vec<(String, String)>> {
    let mut params = Vec::new();
    let mut parts = segments(path);
    for (at, wanted) in pattern.iter().enumerate() {
        let part = parts.next()?;
        match wanted.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) if name.ends_with("...") && at + 1 == pattern.len() => {
                let rest: Vec<&str> = std::iter::once(part).chain(parts).collect();
                params.push((name.trim_end_matches('.').to_owned(), crate::path::decode(&rest.join("/")).into_owned()));
                return Some(params);
            }
            Some(name) if !part.is_empty() => params.push((name.to_owned(), crate::path::decode(part).into_owned())),
            None if wanted == part => {}
            _ => return None,
        }
    }
    parts.next().is_none().then_some(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl ColdHandler for Nothing {
        fn call(&self, _request: ColdRequest) -> BoxFuture<Result<ColdReply, String>> {
            Box::pin(async { Err("unused".to_owned()) })
        }
    }

    #[test]
    fn patterns_name_their_parts() {
        let routes = ColdRoutes::default();
        routes.add("POST", "/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", Arc::new(Nothing));
        routes.add("GET", "/debug/{rest...}", Arc::new(Nothing));
        let find = |method: &str, path: &str| routes.find(method, path).map(|(_, params)| params);
        let named = find("POST", "/api/v1/namespaces/a/serviceaccounts/b%2Dc/token").expect("fits");
        assert_eq!(named, [("namespace".to_owned(), "a".to_owned()), ("name".to_owned(), "b-c".to_owned())]);
        assert_eq!(find("HEAD", "/debug/a/b").expect("fits"), [("rest".to_owned(), "a/b".to_owned())]);
        assert_eq!(find("GET", "/api/v1/namespaces/a/serviceaccounts/b/token"), Err(true));
        assert_eq!(find("POST", "/api/v1/namespaces/a/serviceaccounts/b/token/c"), Err(false));
        assert_eq!(find("POST", "/api/v1/namespaces//serviceaccounts/b/token"), Err(false));
    }
}
