//! Feeds the authorizer from the store: roles and bindings as they change, pods as they are bound to nodes and go.

use std::sync::Arc;

use knarr_authz::{Authorizer, RbacKind, references_of_pod};
use knarr_base::Revision;
use knarr_store::{Change, KeySpace, Record, Sink, Store, StoreError};
use knarr_value::stored;

const PODS: &[u8] = b"core/pods/";
const RBAC: &[u8] = b"rbac.authorization.k8s.io/";
/// Records read at once when starting; the store is never held for longer than a page.
const PAGE: usize = 1_000;

/// The sink, subscribed by [`AuthzFeed::start`].
pub struct AuthzFeed {
    authorizer: Arc<Authorizer>,
}

/// `PLURAL/NAMESPACE/NAME` behind a key's group.
fn parts(key: &[u8]) -> Option<(&str, &str, &str)> {
    let mut parts = std::str::from_utf8(key).ok()?.split('/').skip(1);
    Some((parts.next()?, parts.next()?, parts.next()?))
}

/// `spec.nodeName`, from the header alone.
fn node_of(record: Option<&Arc<Record>>) -> Option<String> {
    let stored = stored::decode(&record?.value).ok()?;
    stored.field("spec.nodeName").filter(|node| !node.is_empty()).map(str::to_owned)
}

impl AuthzFeed {
    /// Subscribes, then reads what is there already. What changes meanwhile is applied twice, which changes nothing for roles;
    /// pods are counted, so this is called before anything is written.
    pub fn start(store: &Arc<dyn Store>, authorizer: Arc<Authorizer>) -> Result<(), StoreError> {
        let feed = Arc::new(Self { authorizer });
        store.subscribe(feed.clone());
        for (from, to) in [(RBAC, b"rbac.authorization.k8s.io0".as_slice()), (PODS, b"core/pods0")] {
            let mut from = from.to_vec();
            loop {
                let (page, _) = store.range(KeySpace::Cluster, &from, to, None, PAGE)?;
                for (key, record) in &page.records {
                    feed.change(key, Some(record), None);
                }
                let Some((last, _)) = page.records.last().filter(|_| page.more) else { break };
                from = [last.as_ref(), b"\0"].concat();
            }
        }
        Ok(())
    }

    fn change(&self, key: &[u8], record: Option<&Arc<Record>>, previous: Option<&Arc<Record>>) {
        if key.starts_with(PODS) {
            self.pod(key, record, previous);
        } else if key.starts_with(RBAC)
            && let Some((plural, namespace, name)) = parts(key)
            && let Some(kind) = RbacKind::from_plural(plural)
        {
            let object = record.and_then(|record| stored::to_value(&record.value, record.mod_revision).ok());
            self.authorizer.apply(kind, namespace, name, object.as_ref());
        }
    }

    /// A pod's references are read when it gets or loses its node, not at each status write: its spec is fixed once it runs.
    fn pod(&self, key: &[u8], record: Option<&Arc<Record>>, previous: Option<&Arc<Record>>) {
        let (before, now) = (node_of(previous), node_of(record));
        if before == now {
            return;
        }
        let Some((_, namespace, _)) = parts(key) else { return };
        let references = |record: Option<&Arc<Record>>| {
            let value = record.and_then(|record| stored::to_value(&record.value, record.mod_revision).ok());
            value.map(|pod| references_of_pod(namespace, &pod)).unwrap_or_default()
        };
        if let Some(node) = before {
            self.authorizer.pod_gone(&node, references(previous));
        }
        if let Some(node) = now {
            self.authorizer.pod_bound(&node, references(record));
        }
    }
}

impl Sink for AuthzFeed {
    fn changes(&self, space: KeySpace, _revision: Revision, changes: &[Change]) {
        if space == KeySpace::Cluster {
            for change in changes {
                self.change(&change.key, change.record.as_ref(), change.previous.as_ref());
            }
        }
    }
}
