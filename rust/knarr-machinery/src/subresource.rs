//! Subresources that the core answers: status (the object again), scale (another form of it), binding, finalize.

use knarr_schema::doc::ScaleDoc;
use knarr_value::{LabelSelector, Map, Value, value};

use crate::answer;
use crate::bind;
use crate::body::{self, WriteOptions};
use crate::list;
use crate::machinery::Machinery;
use crate::meta;
use crate::patch;
use crate::registry::KindEntry;
use crate::request::{Encoding, Request, Response, Verb};
use crate::status::{Cause, Status};
use crate::update::{self, Change, Source, Written};

pub(crate) async fn handle(machinery: &Machinery, request: &Request) -> Result<Response, Status> {
    let entry = &request.kind;
    let refused = || Status::method_not_supported(entry.name(), request.verb.as_str());
    let info = entry.compiled.subresource(&request.subresource).ok_or_else(Status::no_such_path)?;
    // Cold subresources are routes of their own; a request for one never gets here unless nobody serves it.
    if info.cold || !info.verbs.iter().any(|verb| verb == request.verb.as_str()) {
        return Err(refused());
    }
    if let Some(scale) = &info.scale {
        return match request.verb {
            Verb::Get => get_scale(machinery, request, scale).await,
            Verb::Update => update_scale(machinery, request, scale).await,
            Verb::Patch => patch_scale(machinery, request, scale).await,
            _ => Err(refused()),
        };
    }
    match (request.subresource.as_str(), request.verb) {
        ("binding", Verb::Create) => bind::create(machinery, request).await,
        ("finalize", Verb::Update) => finalize(machinery, request).await,
        (_, Verb::Get) => list::get(machinery, request).await,
        (_, Verb::Update) => update::update(machinery, request).await,
        (_, Verb::Patch) => patch::patch(machinery, request).await,
        _ => Err(refused()),
    }
}

/// `namespaces/NAME/finalize`: the one way to change spec.finalizers; with the last the namespace goes.
async fn finalize(machinery: &Machinery, request: &Request) -> Result<Response, Status> {
    update::update(machinery, request).await
}

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
    let selector = at(&scale.selector).and_then(|selector| LabelSelector::from_value(selector).ok());
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
        let id = machinery
            .types
            .id("io.k8s.api.autoscaling.v1.Scale")
            .ok_or_else(|| Status::internal("Scale is not in the type table"))?;
        let message = knarr_value::protobuf::encode(&machinery.types, id, scale).map_err(Status::internal)?;
        let body = knarr_value::protobuf::wrap("autoscaling/v1", "Scale", &message);
        return Ok(answer::whole(code, answer::PROTOBUF, body, warnings));
    }
    let body = answer::text(scale, request.accept.encoding, request.options.pretty);
    Ok(answer::whole(code, answer::content_type(request.accept.encoding), body, warnings))
}

async fn get_scale(machinery: &Machinery, request: &Request, scale: &ScaleDoc) -> Result<Response, Status> {
    machinery.barrier().await?;
    let entry = &request.kind;
    let record = machinery
        .get_record(&entry.key(&request.namespace, &request.name))?
        .ok_or_else(|| Status::not_found(entry.name(), &request.name))?;
    answer_scale(machinery, request, 200, &scale_of(scale, &answer::value(entry, &record)?), Vec::new())
}

async fn update_scale(machinery: &Machinery, request: &Request, scale: &ScaleDoc) -> Result<Response, Status> {
    let options = body::write_options(Verb::Update, &request.options, false)?;
    let body = body::decode_typed(
        machinery,
        "io.k8s.api.autoscaling.v1.Scale",
        "Scale",
        &request.body,
        &request.content_type,
    )?;
    meta::check_name(&body, &request.name)?;
    let paths = scale.clone();
    let change = move |old: &Value| scaled(&paths, old, &body);
    write_scale(machinery, request, scale, Box::new(change), options).await
}

async fn patch_scale(machinery: &Machinery, request: &Request, scale: &ScaleDoc) -> Result<Response, Status> {
    let (patch, options) = patch::parse(request)?;
    if patch.is_apply() {
        return Err(Status::unsupported_patch());
    }
    let types = std::sync::Arc::clone(&machinery.types);
    let paths = scale.clone();
    let change = move |old: &Value| {
        let id = types
            .id("io.k8s.api.autoscaling.v1.Scale")
            .ok_or_else(|| Status::internal("Scale is not in the type table"))?;
        let strategic = |doc, patch| knarr_schema::patch::strategic(&types, id, doc, patch);
        let (patched, _) = patch.difference(&scale_of(&paths, old), strategic)?;
        scaled(&paths, old, &patched)
    };
    write_scale(machinery, request, scale, Box::new(change), options).await
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

async fn write_scale(
    machinery: &Machinery,
    request: &Request,
    scale: &ScaleDoc,
    change: Change,
    options: WriteOptions,
) -> Result<Response, Status> {
    let mut warnings = Vec::new();
    let written = update::write(machinery, request, &Source::Change(change), options, &mut warnings).await?;
    let object = object(&request.kind, &written)?;
    answer_scale(machinery, request, 200, &scale_of(scale, &object), warnings)
}

fn object(entry: &KindEntry, written: &Written) -> Result<Value, Status> {
    answer::value_of(entry, &written.stored, written.revision)
}
