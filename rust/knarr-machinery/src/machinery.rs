//! [`Machinery`]: what answers requests about objects. This file holds it together; each verb is a file of its own.

use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use knarr_base::{BoxFuture, Clock, Revision, Rng};
use knarr_schema::CompiledKind;
use knarr_store::{KeySpace, Record, Store, StoreError};
use knarr_value::types::TypeTable;
use knarr_value::{Str, Value};
use knarr_watch::Hub;
use parking_lot::Mutex;

use crate::hooks::{Guard, Hooks};
use crate::registry::{KindEntry, Registry};
use crate::request::{Api, Request, Response, Verb};
use crate::status::Status;
use crate::{answer, bind, create, delete, list, patch, subresource, update, watch};

/// What a cluster is configured with, as far as the machinery cares.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where Services get their addresses: network and prefix length.
    pub service_cidr: (Ipv4Addr, u8),
    /// First and last NodePort.
    pub node_ports: (u16, u16),
    /// Seconds after which an Event is removed.
    pub event_ttl_seconds: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { service_cidr: (Ipv4Addr::new(10, 96, 0, 0), 16), node_ports: (30000, 32767), event_ttl_seconds: 3600 }
    }
}

/// What a [`Machinery`] works with.
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub hub: Arc<Hub>,
    pub clock: Arc<dyn Clock>,
    pub rng: Box<dyn Rng>,
    pub hooks: Arc<dyn Hooks>,
    pub types: Arc<TypeTable>,
    pub settings: Settings,
}

/// Verbs on objects. Shared by all requests; it holds no lock while it works but the generator's, for a few draws.
pub struct Machinery {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) hooks: Arc<dyn Hooks>,
    pub(crate) types: Arc<TypeTable>,
    pub(crate) settings: Settings,
    guard: OnceLock<Arc<dyn Guard>>,
    rng: Mutex<Box<dyn Rng>>,
    registry: ArcSwap<Registry>,
    pub(crate) notes: Mutex<crate::expiry::Notes>,
    pub(crate) messages: crate::messages::Messages,
    pub(crate) parsed: crate::parsed::Parsed,
    pub(crate) lists: crate::pieces::Lists,
    /// Serializes writers of the registry; readers never wait.
    adding: Mutex<()>,
}

impl Machinery {
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            store: parts.store,
            hub: parts.hub,
            clock: parts.clock,
            hooks: parts.hooks,
            types: parts.types,
            settings: parts.settings,
            guard: OnceLock::new(),
            rng: Mutex::new(parts.rng),
            registry: ArcSwap::from_pointee(Registry::default()),
            notes: Mutex::default(),
            messages: crate::messages::Messages::default(),
            parsed: crate::parsed::Parsed::default(),
            lists: crate::pieces::Lists::default(),
            adding: Mutex::new(()),
        })
    }

    /// Serves a kind from now on, or another form of one already served: swapped in in one step, while requests run.
    pub fn add_kind(&self, compiled: CompiledKind) -> Arc<KindEntry> {
        let _adding = self.adding.lock();
        let prefix = KindEntry::prefix_of(&compiled);
        // What watchers of many are told apart by; the rest of the selectable fields is compared, not looked up.
        let indexed: Vec<Str> = compiled
            .selectable_names()
            .filter(|name| !name.starts_with("metadata."))
            .map(|name| KindEntry::selector_to_stored(&compiled, name))
            .collect();
        let indexed: Vec<&str> = indexed.iter().map(Str::as_str).collect();
        let resource = self.hub.register(prefix.clone(), &indexed);
        let current = self.registry.load();
        let entry = Arc::new(KindEntry::new(compiled, resource, prefix, current.generation()));
        self.registry.store(Arc::new(current.with(Arc::clone(&entry))));
        entry
    }

    /// Sets who is asked last about every write. Only the first is taken; before it, and without one, nothing is refused.
    pub fn set_guard(&self, guard: Arc<dyn Guard>) {
        self.guard.get_or_init(|| guard);
    }

    /// What the guard says of a write, which is validated.
    pub(crate) fn guard(&self, request: &Request, new: &Value, old: Option<&Value>) -> Result<(), Status> {
        self.guard.get().map_or(Ok(()), |guard| guard.may_write(&request.user, &request.kind.compiled, new, old))
    }

    /// The kinds served now.
    pub fn registry(&self) -> Arc<Registry> {
        self.registry.load_full()
    }

    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub fn types(&self) -> &Arc<TypeTable> {
        &self.types
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Answers one request. The future needs no runtime of its own.
    pub async fn handle(&self, request: Request) -> Response {
        let accept = request.accept;
        let pretty = request.options.pretty;
        let answered = match self.route(&request).await {
            Ok(response) => return response,
            Err(status) => status,
        };
        answer::status(&answered, accept, pretty, Vec::new())
    }

    async fn route(&self, request: &Request) -> Result<Response, Status> {
        let compiled = &request.kind.compiled;
        if compiled.virtual_kind {
            return Err(Status::method_not_supported(request.kind.name(), request.verb.as_str()));
        }
        if (compiled.group.as_str(), compiled.plural.as_str(), request.verb) == ("", "bindings", Verb::Create) {
            return bind::create(self, request).await;
        }
        if !request.subresource.is_empty() {
            return subresource::handle(self, request).await;
        }
        if !compiled.verbs.iter().any(|verb| verb == request.verb.as_str()) {
            return Err(Status::method_not_supported(request.kind.name(), request.verb.as_str()));
        }
        match request.verb {
            Verb::Get => list::get(self, request).await,
            Verb::List => list::list(self, request).await,
            Verb::Watch => watch::watch(self, request).await,
            Verb::Create => create::create(self, request).await,
            Verb::Update => update::update(self, request).await,
            Verb::Patch => patch::patch(self, request).await,
            Verb::Delete => delete::delete(self, request).await,
            Verb::DeleteCollection => delete::collection(self, request).await,
        }
    }

    /// An object as it is now, whole (apiVersion, kind and resourceVersion included), by group and plural.
    /// Serves what must be looked up in passing (authentication of bound tokens, node addresses); it never waits.
    pub fn read(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        let registry = self.registry.load();
        let entry = registry.stored(group, plural)?;
        let record = self.store.get(KeySpace::Cluster, &entry.key(namespace, name), None).ok()??;
        answer::value(entry, &record).ok()
    }

    /// The state that a request sees at least: everything acknowledged before it came.
    pub(crate) async fn barrier(&self) -> Result<Revision, Status> {
        self.store.barrier().await.map_err(|error| self.store_status(&error))
    }

    pub(crate) fn get_record(&self, key: &[u8]) -> Result<Option<Arc<Record>>, Status> {
        self.store.get(KeySpace::Cluster, key, None).map_err(|error| self.store_status(&error))
    }

    /// A store's failure as a client is told.
    pub(crate) fn store_status(&self, error: &StoreError) -> Status {
        match error {
            StoreError::Compacted { .. } => {
                let oldest = self.store.compacted(KeySpace::Cluster).0;
                Status::expired(format!(
                    "The provided resource version is too old: the oldest that can be read is {oldest}"
                ))
            }
            StoreError::TooLarge { .. } => Status::too_large_for_store(),
            StoreError::NoLeader => Status::unavailable("etcdserver: no leader"),
            other => Status::internal(other),
        }
    }

    /// Whole seconds of the clock.
    pub(crate) fn second(&self) -> u64 {
        self.clock.now().0 / 1_000_000_000
    }

    /// Random bits, from the one generator that was given.
    pub(crate) fn random(&self) -> u64 {
        self.rng.lock().next_u64()
    }

    /// The timer of everything timed here: call it once a second. Ends and bookmarks watches, forgets lists that nobody asks for
    /// any more, and removes Events whose time is over.
    pub fn tick(self: &Arc<Self>) -> BoxFuture<()> {
        self.hub.tick();
        self.lists.tick(self.second());
        let machinery = Arc::clone(self);
        Box::pin(async move { crate::expiry::sweep(&machinery).await })
    }
}

impl Api for Arc<Machinery> {
    fn call(&self, request: Request) -> BoxFuture<Response> {
        let machinery = Arc::clone(self);
        Box::pin(async move { machinery.handle(request).await })
    }
}
