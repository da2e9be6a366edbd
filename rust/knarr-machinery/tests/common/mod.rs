//! A machinery over a store in memory, with the few kinds of testdata/kinds.json, and requests by a line of text.
#![allow(dead_code)]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use knarr_base::{Clock, Instant, SeededRng, User, WallTime};
use knarr_machinery::{Accept, Hooks, Machinery, NoHooks, Options, Parts, Request, Response, Settings, Verb};
use knarr_schema::CompiledKind;
use knarr_store::{MemoryStore, Store};
use knarr_value::{TypeTable, Value, json};
use knarr_watch::{Hub, Limits, WatchItem, Watcher};

/// 2026-11-23T20:00:00Z, moved by hand.
pub struct Hand(pub AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Instant {
        Instant(self.0.load(Ordering::Relaxed) as u64 * 1000)
    }
    fn wall(&self) -> WallTime {
        WallTime(1_795_464_000_000_000 + self.0.load(Ordering::Relaxed))
    }
}

pub struct World {
    pub store: Arc<MemoryStore>,
    pub clock: Arc<Hand>,
    pub machinery: Arc<Machinery>,
    pub types: Arc<TypeTable>,
}

pub fn types() -> Arc<TypeTable> {
    let table = include_bytes!("../../../../python/knarr/api/_tables/types.json.zz");
    Arc::new(TypeTable::load(table).expect("the committed table"))
}

pub fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a store in memory never waits"),
    }
}

impl World {
    pub fn new() -> Self {
        Self::with(Arc::new(NoHooks))
    }

    pub fn with(hooks: Arc<dyn Hooks>) -> Self {
        let store = MemoryStore::new();
        let clock = Arc::new(Hand(AtomicI64::new(0)));
        let dynamic = Arc::clone(&clock) as Arc<dyn Clock>;
        let hub = Arc::new(Hub::new(Arc::clone(&store) as Arc<dyn Store>, Arc::clone(&dynamic), Limits::default()));
        let types = types();
        let machinery = Machinery::new(Parts {
            store: Arc::clone(&store) as Arc<dyn Store>,
            hub,
            clock: dynamic,
            rng: Box::new(SeededRng::new(7)),
            hooks,
            types: Arc::clone(&types),
            settings: Settings::default(),
        });
        let world = Self { store, clock, machinery, types };
        let kinds = json::from_slice(include_bytes!("../../testdata/kinds.json")).expect("kinds");
        for kind in kinds.as_list().expect("a list") {
            world.add(kind);
        }
        world.ok("POST namespaces", r#"{"metadata":{"name":"default"}}"#);
        world
    }

    pub fn add(&self, kind: &Value) {
        let compiled = CompiledKind::compile(&json::to_vec(kind), &self.types).expect("a kind");
        self.machinery.add_kind(compiled);
    }

    /// `METHOD [NAMESPACE:]PLURAL[.GROUP][/NAME[/SUBRESOURCE]][?QUERY]`; the namespace is `default` for namespaced kinds, `*` is
    /// all of them.
    pub fn request(&self, line: &str, body: &str, content_type: &str) -> Request {
        let (method, path) = line.split_once(' ').expect("METHOD PATH");
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let (namespace, path) = path.split_once(':').unwrap_or(("default", path));
        let mut parts = path.splitn(3, '/');
        let resource = parts.next().unwrap_or("");
        let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
        let registry = self.machinery.registry();
        let kind = registry
            .iter()
            .find(|kind| kind.compiled.plural == plural && kind.compiled.group == group)
            .unwrap_or_else(|| panic!("{resource} is no kind"));
        let name = parts.next().unwrap_or("");
        let mut options = Options { user_agent: "curl/8".into(), ..Options::default() };
        let mut watch = false;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            watch |= key == "watch";
            options.set(key, &value.replace("%3D", "=")).expect("a query");
        }
        let verb = match (method, name.is_empty(), watch) {
            ("GET", _, true) => Verb::Watch,
            ("GET", true, _) => Verb::List,
            ("GET", false, _) => Verb::Get,
            ("POST", ..) => Verb::Create,
            ("PUT", ..) => Verb::Update,
            ("PATCH", ..) => Verb::Patch,
            ("DELETE", true, _) => Verb::DeleteCollection,
            ("DELETE", false, _) => Verb::Delete,
            _ => panic!("{method}"),
        };
        let namespace = match namespace {
            _ if !kind.compiled.namespaced => "",
            "*" => "",
            one => one,
        };
        Request {
            verb,
            kind: Arc::clone(kind),
            namespace: namespace.into(),
            name: name.into(),
            subresource: parts.next().unwrap_or("").into(),
            user: Arc::new(User { name: "admin".into(), ..User::default() }),
            body: Bytes::from(body.to_owned()),
            content_type: content_type.into(),
            accept: Accept::default(),
            options,
        }
    }

    pub fn send(&self, request: Request) -> Response {
        run(self.machinery.handle(request))
    }

    /// Code and body.
    pub fn call(&self, line: &str, body: &str) -> (u16, Value) {
        let patch = line.starts_with("PATCH");
        let content_type = if patch { "application/merge-patch+json" } else { "application/json" };
        self.typed(line, body, content_type)
    }

    pub fn typed(&self, line: &str, body: &str, content_type: &str) -> (u16, Value) {
        let response = self.send(self.request(line, body, content_type));
        let text = response.body();
        let value = json::from_slice(&text)
            .unwrap_or_else(|error| panic!("{line}: {error}: {}", String::from_utf8_lossy(&text)));
        (response.code(), value)
    }

    /// The object of a request that must succeed.
    pub fn ok(&self, line: &str, body: &str) -> Value {
        let (code, value) = self.call(line, body);
        assert!(code < 300, "{line}: {code} {value}");
        value
    }

    /// `CODE REASON: MESSAGE` of a request that must fail.
    pub fn fails(&self, line: &str, body: &str) -> String {
        let (code, status) = self.call(line, body);
        assert!(code >= 400, "{line}: {code} {status}");
        assert_eq!(status.get("code").and_then(Value::as_i64), Some(i64::from(code)), "{status}");
        format!("{code} {}: {}", status.str_at(&["reason"]), status.str_at(&["message"]))
    }

    pub fn watch(&self, line: &str) -> Watcher {
        match self.send(self.request(line, "", "")) {
            Response::Watch { watcher, .. } => watcher,
            whole => panic!("{line}: {}", String::from_utf8_lossy(&whole.body())),
        }
    }
}

/// The frames there are now, parsed.
pub fn frames(watcher: &mut Watcher) -> Vec<Value> {
    let mut out = Vec::new();
    while let Poll::Ready(Some(item)) = watcher.poll_next(&mut Context::from_waker(Waker::noop())) {
        let (WatchItem::Frame(bytes) | WatchItem::End(bytes)) = item;
        assert_eq!(bytes.last(), Some(&b'\n'));
        out.push(json::from_slice(&bytes).expect("a frame"));
    }
    out
}

/// `TYPE NAME@REVISION`
pub fn brief(frame: &Value) -> String {
    let metadata = |field: &str| frame.str_at(&["object", "metadata", field]).to_owned();
    format!("{} {}@{}", frame.str_at(&["type"]), metadata("name"), metadata("resourceVersion"))
}
