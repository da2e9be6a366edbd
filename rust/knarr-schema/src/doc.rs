//! The JSON document that a Python `Kind` declaration becomes; docs/kinds.md describes every field and every rule.
//!
//! Rules, defaults and conditions stay JSON here: each node type reads its own form (see [`crate::rules`], [`crate::defaults`]).

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// One kind, whole: nothing outside of the document but the type table is needed to compile it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KindDoc {
    /// Empty for the core group.
    #[serde(default)]
    pub group: String,
    pub version: String,
    pub kind: String,
    pub plural: String,
    pub singular: String,
    #[serde(default)]
    pub short: Vec<String>,
    #[serde(default)]
    pub categories: Vec<String>,
    pub namespaced: bool,
    pub verbs: Vec<String>,
    /// The name of its type in the table: `io.k8s.api.core.v1.Pod`.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Set where objects are stored in the form of another kind (events.k8s.io/v1 over core v1).
    #[serde(default)]
    pub storage: Option<StorageDoc>,
    #[serde(default)]
    pub subresources: Vec<SubresourceDoc>,
    /// Type name to its defaults, applied wherever the type occurs, parents first.
    #[serde(default)]
    pub defaults: BTreeMap<String, Vec<Json>>,
    /// Rule groups by name; `apply` calls them.
    #[serde(default)]
    pub rules: BTreeMap<String, Vec<Json>>,
    /// Rules of an object that is created.
    #[serde(default)]
    pub create: Vec<Json>,
    /// Rules of a new object beside its old one (a subresource has its own in [`SubresourceDoc`]).
    #[serde(default)]
    pub update: Vec<Json>,
    #[serde(default)]
    pub warnings: Vec<Json>,
    #[serde(default)]
    pub prepare: PrepareDoc,
    #[serde(default)]
    pub selectable: Vec<SelectableDoc>,
    #[serde(default)]
    pub columns: Vec<ColumnDoc>,
    /// Admission plugins in the order they run.
    #[serde(default)]
    pub admission: Vec<AdmissionDoc>,
    /// What machinery allocates in the transaction of a write.
    #[serde(default)]
    pub allocations: Vec<AllocationDoc>,
    /// Steps for which a Python hook is registered: `prepareCreate`, `prepareUpdate`, `mutate`, `validateCreate`, `validateUpdate`.
    #[serde(default)]
    pub hooks: Vec<String>,
    /// Whether an update may create the object (Lease, Event, Endpoints ...).
    #[serde(default)]
    pub create_on_update: bool,
    /// Whether an update without a resourceVersion is accepted.
    #[serde(default)]
    pub unconditional_update: bool,
    /// Default grace period of a deletion: only pods have one (`spec.terminationGracePeriodSeconds`).
    #[serde(default)]
    pub graceful: bool,
    #[serde(default)]
    pub dependents: Dependents,
    /// Create-only kinds answered by a cold route; nothing is stored.
    #[serde(default)]
    pub virtual_kind: bool,
    #[serde(default)]
    pub description: String,
}

/// A view of another kind's storage: the field of this form on the left, that of the stored form on the right.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StorageDoc {
    pub group: String,
    pub version: String,
    pub plural: String,
    pub kind: String,
    /// Top-level fields that have another name in the stored form; the rest is the same.
    #[serde(default)]
    pub fields: Vec<(String, String)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubresourceDoc {
    pub name: String,
    pub verbs: Vec<String>,
    /// Group, version and kind of its body where that is not the parent's (Scale, Binding, TokenRequest).
    #[serde(default)]
    pub group: Option<String>,
    #[serde(default)]
    pub version: Option<String>,
    #[serde(default)]
    pub kind: Option<String>,
    /// Rules on update through this subresource.
    #[serde(default)]
    pub update: Vec<Json>,
    /// Answered by a Python route, not by the core.
    #[serde(default)]
    pub cold: bool,
    /// For scale: the paths of replicas, of the selector and of the observed replicas.
    #[serde(default)]
    pub scale: Option<ScaleDoc>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScaleDoc {
    pub spec_replicas: String,
    pub status_replicas: String,
    /// A LabelSelector, answered as text.
    pub selector: String,
    /// The selector is a map of labels.
    #[serde(default)]
    pub labels: bool,
}

/// What becomes of an object's dependents when its deletion does not say (rest.GarbageCollectionPolicy).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Dependents {
    /// They go with their owner.
    #[default]
    Delete,
    /// They stay, without it: kinds older than garbage collection.
    Orphan,
    /// There are none, whatever the deletion says.
    None,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrepareDoc {
    /// `status` is emptied on create, kept from the old object on update and the one thing a status update changes.
    #[serde(default)]
    pub status: bool,
    /// `metadata.generation` starts at 1 and grows when one of these top-level fields changes.
    #[serde(default)]
    pub generation: Vec<String>,
    /// Nodes of [`crate::prepare`] run on create, on update, and on a status update.
    #[serde(default)]
    pub create: Vec<Json>,
    #[serde(default)]
    pub update: Vec<Json>,
    #[serde(default)]
    pub status_update: Vec<Json>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SelectableDoc {
    /// As clients write it in `--field-selector`.
    pub field: String,
    /// Where it is found; the first path that is set counts. Empty: the same as `field`.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Answered where no path is set.
    #[serde(default)]
    pub default: String,
}

/// One printer column. Exactly one of `path` and `cell` is set.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ColumnDoc {
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    #[serde(rename = "type")]
    pub column_type: String,
    #[serde(default)]
    pub format: String,
    #[serde(default)]
    pub description: String,
    /// 0 is shown always, 1 with `-o wide`.
    #[serde(default)]
    pub priority: i32,
    /// A dotted path; the cell is its value, as text for type string. A missing value gives `default`.
    #[serde(default)]
    pub path: String,
    /// A named cell function of table.rs (`age`, `pod.ready` ...).
    #[serde(default)]
    pub cell: String,
    /// Shown for a missing value of `path` (Kubernetes uses `<none>`, `<unknown>`, `<unset>`, or an empty cell).
    #[serde(default)]
    pub default: String,
}

/// A declared admission plugin: Kubernetes' name of it and its settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AdmissionDoc {
    pub plugin: String,
    #[serde(default)]
    pub settings: Json,
}

/// Something scarce that a write takes: machinery owns the allocators and their keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllocationDoc {
    /// `clusterIPs` or `nodePorts`.
    pub allocator: String,
    /// The field that holds what was allocated.
    pub field: String,
}
