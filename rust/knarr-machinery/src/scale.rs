//! scale: an object's replicas, in the form autoscaling/v1 Scale.
//!
//! A write of the Scale is a write of the object's replicas by that name. An apply is one of the Scale: its owners are those of the
//! object's replicas, shown as the Scale's and brought back afterwards. Source: apiserver `managedfields/scalehandler.go`.

use std::sync::Arc;

use knarr_base::Clock;
use knarr_schema::doc::ScaleDoc;
use knarr_schema::ownership::{self, Manager};
use knarr_value::types::TypeTable;
use knarr_value::{LabelSelector, Map, Str, TypeId, Value, value};

use crate::answer;
use crate::body::{self, WriteOptions};
use crate::machinery::Machinery;
use crate::meta;
use crate::patch;
use crate::registry::KindEntry;
use crate::request::{Encoding, Request, Response, Verb};
use crate::status::{Cause, Status};
use crate::update::{self, Source, Written};

const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";
const SCALE_VERSION: &str = "autoscaling/v1";

/// autoscaling/v1 Scale of an object.
fn scale_of(scale: &ScaleDoc, object: &Value) -> Value {
    let at = |path: &str| object.path(&path.split('.').collect::<Vec<_>>());
    let replicas = |path: &str| at(path).and_then(Value::as_i64).unwrap_or(0);
    let mut metadata = Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object.path(&["metadata", field]) {
            metadata.insert(field, value.clone());
        }
    }
    let mut spec = Map::new();
    let wanted = replicas(&scale.spec_replicas);
    if wanted != 0 {
        spec.insert("replicas", wanted);
    }
    let mut status = Map::new();
    status.insert("replicas", replicas(&scale.status_replicas));
    let selector = at(&scale.selector).and_then(|selector| match selector {
        Value::Map(labels) if scale.labels => Some(LabelSelector::from_labels(labels)),
        selector => LabelSelector::from_value(selector).ok(),
    });
    if let Some(selector) = selector.map(|selector| selector.to_string()).filter(|text| !text.is_empty()) {
        status.insert("selector", selector);
    }
    value!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": (Value::Map(metadata)),
        "spec": (Value::Map(spec)),
        "status": (Value::Map(status)),
    })
}

fn answer_scale(
    machinery: &Machinery,
    request: &Request,
    code: u16,
    scale: &Value,
    warnings: Vec<String>,
) -> Result<Response, Status> {
    if request.accept.encoding == Encoding::Protobuf {
        let message =
            knarr_value::protobuf::encode(&machinery.types, type_id(machinery)?, scale).map_err(Status::internal)?;
        let body = knarr_value::protobuf::wrap(SCALE_VERSION, "Scale", &message);
        return Ok(answer::whole(code, answer::PROTOBUF, body, warnings));
    }
    let body = answer::text(scale, request.accept.encoding, request.options.pretty);
    Ok(answer::whole(code, answer::content_type(request.accept.encoding), body, warnings))
}

pub(crate) async fn get(machinery: &Machinery, request: &Request, scale: &ScaleDoc) -> Result<Response, Status> {
    machinery.barrier().await?;
    let entry = &request.kind;
    let record = machinery
        .get_record(&entry.key(&request.namespace, &request.name))?
        .ok_or_else(|| Status::not_found(entry.name(), &request.name))?;
    answer_scale(machinery, request, 200, &scale_of(scale, &answer::value(entry, &record)?), Vec::new())
}

pub(crate) async fn update(machinery: &Machinery, request: &Request, scale: &ScaleDoc) -> Result<Response, Status> {
    let options = body::write_options(Verb::Update, &request.options, false)?;
    let body = body::decode_typed(machinery, SCALE, "Scale", &request.body, &request.content_type)?;
    meta::check_name(&body, &request.name)?;
    let tracked = Tracked::new(machinery, request, scale)?;
    let change = move |old: &Value| tracked.scaled(old, |_| Ok(body.clone()));
    write(machinery, request, scale, Source::Applied(Box::new(change)), options).await
}

pub(crate) async fn patch(machinery: &Machinery, request: &Request, scale: &ScaleDoc) -> Result<Response, Status> {
    let (patch, options) = patch::parse(request)?;
    let types = Arc::clone(&machinery.types);
    let id = type_id(machinery)?;
    let paths = scale.clone();
    if patch.is_apply() {
        let manager = Manager::new(request.options.manager(), "scale", SCALE_VERSION);
        let (api_version, force) = (request.kind.api_version.clone(), request.options.force.unwrap_or(false));
        let clock = Arc::clone(&machinery.clock);
        let change = move |old: &Value| {
            let mut live = scale_of(&paths, old);
            owned_by_scale(&paths, old, &mut live);
            let applied = patch.apply(&types, id, &live, &manager, force, clock.wall())?;
            let mut new = scaled(&paths, old, &applied)?;
            owned_by_parent(&paths, &api_version, &applied, &mut new);
            Ok(new)
        };
        return write(machinery, request, scale, Source::Applied(Box::new(change)), options).await;
    }
    let tracked = Tracked::new(machinery, request, scale)?;
    let change = move |old: &Value| {
        tracked.scaled(old, |live| {
            let strategic = |doc, patch| knarr_schema::patch::strategic(&types, id, doc, patch);
            Ok(patch.difference(live, strategic)?.0)
        })
    };
    write(machinery, request, scale, Source::Applied(Box::new(change)), options).await
}

/// A write of the Scale that is no apply, with the owners it leaves. Replicas that nobody owned stay so: as with any object that came
/// to be without managedFields, its first owner is one who applies (SkipNonAppliedManager).
struct Tracked {
    types: Arc<TypeTable>,
    id: TypeId,
    paths: ScaleDoc,
    manager: Manager,
    api_version: Str,
    clock: Arc<dyn Clock>,
}

impl Tracked {
    fn new(machinery: &Machinery, request: &Request, paths: &ScaleDoc) -> Result<Self, Status> {
        Ok(Self {
            types: Arc::clone(&machinery.types),
            id: type_id(machinery)?,
            paths: paths.clone(),
            manager: Manager::new(request.options.manager(), "scale", SCALE_VERSION),
            api_version: request.kind.api_version.as_str().into(),
            clock: Arc::clone(&machinery.clock),
        })
    }

    /// The object with the replicas of the Scale that `change` makes of its present one.
    fn scaled(&self, old: &Value, change: impl Fn(&Value) -> Result<Value, Status>) -> Result<Value, Status> {
        let mut live = scale_of(&self.paths, old);
        owned_by_scale(&self.paths, old, &mut live);
        let wanted = change(&live)?;
        let mut new = scaled(&self.paths, old, &wanted)?;
        if live.path(&["metadata", "managedFields"]).is_some() {
            let mut after = live.clone();
            after.set_path(&["spec"], wanted.get("spec").cloned().unwrap_or_default());
            let now = self.clock.wall();
            let after = ownership::update(&self.types, self.id, Some(&live), after, &self.manager, now);
            owned_by_parent(&self.paths, &self.api_version, &after, &mut new);
        }
        Ok(new)
    }
}

/// The object with the replicas (and the precondition) of a Scale.
fn scaled(paths: &ScaleDoc, old: &Value, scale: &Value) -> Result<Value, Status> {
    let name = meta::name(old);
    let replicas = match scale.path(&["spec", "replicas"]) {
        None | Some(Value::Null) => 0,
        Some(Value::Int(replicas)) => *replicas,
        Some(other) => {
            return Err(Status::bad_request(format!(
                "Scale in version \"v1\" cannot be handled as a Scale: json: cannot unmarshal {} into Go struct field \
                 ScaleSpec.spec.replicas of type int32",
                other.type_name()
            )));
        }
    };
    if replicas < 0 {
        let cause = Cause {
            reason: "FieldValueInvalid".to_owned(),
            message: format!("Invalid value: {replicas}: must be greater than or equal to 0"),
            field: "spec.replicas".to_owned(),
        };
        return Err(Status::invalid("autoscaling", "Scale", name, vec![cause]));
    }
    let mut new = old.clone();
    new.set_path(&paths.spec_replicas.split('.').collect::<Vec<_>>(), replicas);
    for field in ["uid", "resourceVersion"] {
        let given = scale.str_at(&["metadata", field]);
        if !given.is_empty() {
            meta::set(&mut new, field, given);
        }
    }
    Ok(new)
}

/// Entries of managedFields that own the replicas, as those of the Scale (ScaleHandler.ToSubresource).
fn owned_by_scale(paths: &ScaleDoc, object: &Value, scale: &mut Value) {
    let at = fields_path(paths);
    let at: Vec<&str> = at.iter().map(String::as_str).collect();
    let entries = object.path(&["metadata", "managedFields"]).and_then(Value::as_list).unwrap_or_default();
    let owners = entries.iter().filter(|entry| entry.path(&at).is_some()).map(|entry| {
        let mut entry = entry.clone();
        entry.set_path(&["apiVersion"], SCALE_VERSION);
        entry.set_path(&["fieldsV1"], value!({ "f:spec": { "f:replicas": {} } }));
        entry
    });
    let owners: Vec<Value> = owners.collect();
    if !owners.is_empty() {
        scale.set_path(&["metadata", "managedFields"], Value::List(owners));
    }
}

/// The reverse (ScaleHandler.ToParent): who owns the Scale's replicas owns the object's, and nobody else does.
fn owned_by_parent(paths: &ScaleDoc, api_version: &str, scale: &Value, object: &mut Value) {
    let at = fields_path(paths);
    let at: Vec<&str> = at.iter().map(String::as_str).collect();
    let owner = |entry: &Value| -> [Str; 3] {
        ["manager", "operation", "subresource"].map(|field| Str::from(entry.str_at(&[field])))
    };
    let of_scale = scale.path(&["metadata", "managedFields"]).and_then(Value::as_list).unwrap_or_default();
    // Who applied `spec: {}` is among them, owns the replicas still, and says zero.
    let mut left: Vec<&Value> = of_scale.iter().collect();
    let mut entries = match object.remove_path(&["metadata", "managedFields"]) {
        Some(Value::List(entries)) => entries,
        _ => Vec::new(),
    };
    entries.retain_mut(|entry| {
        if entry.path(&at).is_none() {
            return true;
        }
        let who = owner(entry);
        let before = left.len();
        left.retain(|other| owner(other) != who);
        if left.len() < before {
            return true;
        }
        for end in (2..=at.len()).rev() {
            if end == at.len() || entry.path(&at[..end]).and_then(Value::as_map).is_some_and(Map::is_empty) {
                entry.remove_path(&at[..end]);
            }
        }
        entry.get("fieldsV1").is_some_and(|fields| !fields.is_empty())
    });
    let has_replicas = |entry: &&Value| entry.path(&["fieldsV1", "f:spec", "f:replicas"]).is_some();
    for entry in left.into_iter().filter(has_replicas) {
        let mut entry = entry.clone();
        let mut owned = Value::Map(Map::new());
        owned.set_path(&at[1..], Value::Map(Map::new()));
        entry.set_path(&["apiVersion"], api_version);
        entry.set_path(&["fieldsV1"], owned);
        entry.remove_path(&["time"]); // lost on the way through the Scale, there as here
        entries.push(entry);
    }
    // Applies come first; within each, the older.
    entries.sort_by(|a, b| {
        let order = |entry: &Value| (entry.str_at(&["operation"]).to_owned(), entry.str_at(&["time"]).to_owned());
        order(a).cmp(&order(b))
    });
    if !entries.is_empty() {
        object.set_path(&["metadata", "managedFields"], Value::List(entries));
    }
}

/// `fieldsV1`, `f:spec`, `f:replicas`.
fn fields_path(paths: &ScaleDoc) -> Vec<String> {
    let fields = paths.spec_replicas.split('.').map(|field| format!("f:{field}"));
    std::iter::once("fieldsV1".to_owned()).chain(fields).collect()
}

fn type_id(machinery: &Machinery) -> Result<TypeId, Status> {
    machinery.types.id(SCALE).ok_or_else(|| Status::internal("Scale is not in the type table"))
}

async fn write(
    machinery: &Machinery,
    request: &Request,
    scale: &ScaleDoc,
    source: Source,
    options: WriteOptions,
) -> Result<Response, Status> {
    let mut warnings = Vec::new();
    let written = update::write(machinery, request, &source, options, &mut warnings).await?;
    let object = object(&request.kind, &written)?;
    answer_scale(machinery, request, 200, &scale_of(scale, &object), warnings)
}

fn object(entry: &KindEntry, written: &Written) -> Result<Value, Status> {
    answer::value_of(entry, &written.stored, written.revision)
}
