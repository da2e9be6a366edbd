//! What Kubernetes' registry strategies do before validation: status apart from spec, generations, what clients may not set.

pub mod qos;
mod service;

use crate::compiled::Subresource;
use crate::defaults::{parent_of, test};
use crate::doc::PrepareDoc;
use crate::error::CompileError;
use crate::rules::condition::Condition;
use crate::rules::immutable::same;
use crate::rules::{NULL, constant, read};
use knarr_value::types::{TypeId, TypeTable};
use knarr_value::{Map, Str, Value, value};
use serde::Deserialize;
use serde_json::Value as Json;

#[derive(Debug)]
pub struct Prepare {
    status: bool,
    generation: Vec<Vec<Str>>,
    create: Vec<Step>,
    update: Vec<Step>,
    status_update: Vec<Step>,
}

/// One change. `keep` takes the old object's value.
#[derive(Debug)]
enum Step {
    Set { path: Vec<Str>, value: Value, when: Option<Condition> },
    Clear { path: Vec<Str>, when: Option<Condition> },
    Keep { path: Vec<Str>, when: Option<Condition> },
    Native(Native),
}

/// Steps no declaration can say.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Native {
    /// Pod: phase Pending, the QoS class, the condition of a gated pod.
    PodStatus,
    /// Pod, status update: the QoS class is never the kubelet's to change.
    PodStatusUpdate,
    /// Service: what belongs to another type goes when the type changes.
    ServiceType,
    /// Service: `clusterIP` and `clusterIPs` follow each other, and what was allocated is kept where it is left out.
    ServiceClusterIPs,
    /// Namespace: the finalizer that its controller removes when all is gone.
    NamespaceFinalizer,
}

impl Step {
    fn build(at: &str, doc: &Json) -> Result<Self, CompileError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Form {
            #[serde(default)]
            path: String,
            #[serde(default)]
            value: Json,
            #[serde(default)]
            when: Option<Json>,
            #[serde(default)]
            name: Option<Native>,
        }
        let what = doc.get("step").and_then(Json::as_str).unwrap_or("");
        let form: Form = read(at, doc)?;
        let path: Vec<Str> = form.path.split('.').map(Str::from).collect();
        let when = form.when.as_ref().map(|when| Condition::build(at, when)).transpose()?;
        Ok(match (what, form.name) {
            ("set", _) => Step::Set { path, value: constant(&form.value), when },
            ("clear", _) => Step::Clear { path, when },
            ("keep", _) => Step::Keep { path, when },
            ("native", Some(native)) => Step::Native(native),
            (other, _) => return Err(CompileError::new(at, format!("no step is called {other:?}"))),
        })
    }

    fn run(&self, value: &mut Value, old: Option<&Value>) {
        match self {
            Step::Set { path, value: constant, when } => {
                if when.as_ref().is_none_or(|c| test(c, value, old)) {
                    put(value, path, constant.clone());
                }
            }
            Step::Clear { path, when } => {
                if when.as_ref().is_none_or(|c| test(c, value, old)) {
                    put(value, path, Value::Null);
                }
            }
            Step::Keep { path, when } => {
                if when.as_ref().is_none_or(|c| test(c, value, old)) {
                    let kept = old.and_then(|old| path.iter().try_fold(old, |v, s| v.get(s))).unwrap_or(&NULL).clone();
                    put(value, path, kept);
                }
            }
            Step::Native(Native::PodStatus) => pod_status(value),
            Step::Native(Native::PodStatusUpdate) => pod_status_update(value, old),
            Step::Native(Native::ServiceType) => service::changed_type(value, old),
            Step::Native(Native::ServiceClusterIPs) => service::cluster_ips(value, old),
            Step::Native(Native::NamespaceFinalizer) => namespace_finalizer(value),
        }
    }
}

/// Set a field, or remove it where the value is null; structs on the way are made.
fn put(value: &mut Value, path: &[Str], new: Value) {
    let make = !new.is_null();
    if let Some((parent, last)) = parent_of(value, path, make) {
        if new.is_null() {
            parent.remove(last);
        } else {
            parent.insert(last.clone(), new);
        }
    }
}

impl Prepare {
    pub fn build(doc: &PrepareDoc) -> Result<Self, CompileError> {
        let steps = |at: &str, docs: &[Json]| -> Result<Vec<Step>, CompileError> {
            docs.iter().map(|doc| Step::build(at, doc)).collect()
        };
        Ok(Self {
            status: doc.status,
            generation: doc.generation.iter().map(|path| path.split('.').map(Str::from).collect()).collect(),
            create: steps("prepare/create", &doc.create)?,
            update: steps("prepare/update", &doc.update)?,
            status_update: steps("prepare/statusUpdate", &doc.status_update)?,
        })
    }

    pub fn create(&self, types: &TypeTable, id: TypeId, value: &mut Value) {
        if self.status {
            reset_status(types, id, value);
        }
        let generation = if self.generation.is_empty() { Value::Null } else { Value::Int(1) };
        put(value, &["metadata".into(), "generation".into()], generation);
        self.create.iter().for_each(|step| step.run(value, None));
        crate::decode::reorder(types, id, value);
    }

    pub fn update(&self, types: &TypeTable, id: TypeId, new: &mut Value, old: &Value, subresource: &Subresource) {
        let steps = match subresource {
            Subresource::Status => {
                keep_all_but_status(new, old);
                &self.status_update
            }
            other => {
                if self.status {
                    put(new, &["status".into()], old.get("status").unwrap_or(&NULL).clone());
                }
                // A subresource such as finalize changes what the main update keeps.
                if *other == Subresource::None { &self.update } else { &Vec::new() }
            }
        };
        steps.iter().for_each(|step| step.run(new, Some(old)));
        let was = old.path(&["metadata", "generation"]).unwrap_or(&NULL).clone();
        // A status may bring annotations of its controller's; they are no new wish.
        let changed = *subresource != Subresource::Status
            && self.generation.iter().any(|path| {
                let find = |value: &Value| path.iter().try_fold(value, |v, s| v.get(s)).unwrap_or(&NULL).clone();
                !same(&find(new), &find(old))
            });
        let now = if changed { Value::Int(was.as_i64().unwrap_or(0) + 1) } else { was };
        put(new, &["metadata".into(), "generation".into()], now);
        crate::decode::reorder(types, id, new);
    }
}

/// The empty status: what Go writes of a zero struct.
fn reset_status(types: &TypeTable, id: TypeId, value: &mut Value) {
    let Some(map) = value.as_map_mut() else { return };
    match types.get(id).field("status") {
        Some(field) if field.always => {
            map.insert("status", types.zero(field));
        }
        _ => {
            map.remove("status");
        }
    }
}

/// A status update changes status and, as far as the steps allow, metadata.
fn keep_all_but_status(new: &mut Value, old: &Value) {
    let (Some(new), Some(old)) = (new.as_map_mut(), old.as_map()) else { return };
    let own = |key: &str| matches!(key, "metadata" | "status" | "apiVersion" | "kind");
    new.retain(|key, _| own(key));
    for (key, value) in old.iter() {
        if !own(key) {
            new.insert(Str::from(&key[..]), value.clone());
        }
    }
}

fn pod_status(pod: &mut Value) {
    let mut status = Map::new();
    status.insert("phase", "Pending");
    let gated = pod.path(&["spec", "schedulingGates"]).and_then(Value::as_list).is_some_and(|gates| !gates.is_empty());
    if gated {
        let mut condition = Map::new();
        condition.insert("type", "PodScheduled");
        condition.insert("status", "False");
        condition.insert("lastProbeTime", Value::Null);
        condition.insert("lastTransitionTime", Value::Null);
        condition.insert("reason", "SchedulingGated");
        condition.insert("message", "Scheduling is blocked due to non-empty scheduling gates");
        status.insert("conditions", Value::List(vec![Value::Map(condition)]));
    }
    status.insert("qosClass", qos::class(pod));
    if let Some(map) = pod.as_map_mut() {
        map.insert("status", Value::Map(status));
    }
}

fn pod_status_update(pod: &mut Value, old: Option<&Value>) {
    let class = old.map_or("", |old| old.str_at(&["status", "qosClass"])).to_string();
    let missing = pod.str_at(&["status", "qosClass"]).is_empty();
    if missing && !class.is_empty() {
        put(pod, &["status".into(), "qosClass".into()], Value::from(class));
    }
    pod_addresses(pod);
}

/// podIP and podIPs say the same: of two that differ podIP counts, of one the other follows (core v1's conversions).
fn pod_addresses(pod: &mut Value) {
    let one = pod.str_at(&["status", "podIP"]).to_string();
    let listed = pod.path(&["status", "podIPs"]).and_then(Value::as_list);
    let first = listed.and_then(<[_]>::first).map_or("", |first| first.str_at(&["ip"])).to_string();
    if one.is_empty() && !first.is_empty() {
        put(pod, &["status".into(), "podIP".into()], Value::from(first));
    } else if !one.is_empty() && one != first {
        put(pod, &["status".into(), "podIPs".into()], value!([{"ip": (one)}]));
    }
}

fn namespace_finalizer(namespace: &mut Value) {
    let list = namespace.path(&["spec", "finalizers"]).and_then(Value::as_list).unwrap_or(&[]);
    if list.iter().any(|f| f.as_str() == Some("kubernetes")) {
        return;
    }
    let mut list = list.to_vec();
    list.push(Value::from("kubernetes"));
    namespace.set_path(&["spec", "finalizers"], Value::List(list));
}
