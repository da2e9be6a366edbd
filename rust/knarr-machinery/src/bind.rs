//! Binding: a pod is given its node. One at a time for `pods/binding`, many side by side for a scheduler in the same process.

use std::collections::BTreeMap;
use std::sync::Arc;

use knarr_base::{BoxFuture, User, WallTime};
use knarr_value::{Map, Str, TypeTable, Value, value};

use crate::answer;
use crate::body;
use crate::commit::{self, Committed, Extra, Reads, TRIES};
use crate::machinery::Machinery;
use crate::meta;
use crate::registry::KindEntry;
use crate::request::{Request, Response, Verb};
use crate::status::{Resource, Status};

/// A pod and the node it is to run on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Binding {
    pub namespace: Str,
    pub name: Str,
    /// The pod that was decided on; empty: whichever has the name.
    pub uid: Str,
    /// The revision that was decided on; empty: any.
    pub resource_version: Str,
    pub node: Str,
    /// Copied onto the pod. (A Binding's labels are not, by default: PodTopologyLabelsAdmission is alpha in 1.34.)
    pub annotations: BTreeMap<String, String>,
}

const POD_SPEC: &str = "io.k8s.api.core.v1.PodSpec";
const POD_STATUS: &str = "io.k8s.api.core.v1.PodStatus";
const POD_BINDING: Resource<'static> = Resource { group: "", plural: "pods/binding" };

impl Machinery {
    /// Binds many pods. All transactions are under way together, so they share an entry of the log and its fsync; each stands
    /// for itself, and each has a revision of its own, so that a watch can be resumed between any two of them.
    /// Results come in the order given. `user` is for audit; who calls this is trusted to bind.
    pub fn bind_many(self: &Arc<Self>, _user: Arc<User>, bindings: Vec<Binding>) -> BoxFuture<Vec<Result<(), Status>>> {
        let machinery = Arc::clone(self);
        Box::pin(async move {
            let Some(pods) = machinery.registry().stored("", "pods").cloned() else {
                return bindings.iter().map(|_| Err(Status::no_such_path())).collect();
            };
            let all = bindings
                .into_iter()
                .map(|binding| {
                    let (machinery, pods) = (Arc::clone(&machinery), Arc::clone(&pods));
                    let one: BoxFuture<Result<(), Status>> =
                        Box::pin(async move { machinery.bind(&pods, &binding, false).await });
                    one
                })
                .collect();
            commit::join_all(all).await
        })
    }

    /// Errors: 404; 409 for a pod that is bound, going, gated, or another than was decided on.
    pub(crate) async fn bind(&self, pods: &KindEntry, binding: &Binding, dry_run: bool) -> Result<(), Status> {
        let key = pods.key(&binding.namespace, &binding.name);
        for _ in 0..TRIES {
            let record = self.get_record(&key)?.ok_or_else(|| Status::not_found(pods.name(), &binding.name))?;
            let mut pod = answer::value(pods, &record)?;
            bound(&self.types, &mut pod, binding, self.clock.wall())?;
            if dry_run {
                return Ok(());
            }
            meta::canonical(&mut pod);
            let stored = self.to_stored(pods, &pod);
            let done =
                self.commit(&key, record.mod_revision, Some(stored), &Reads::default(), Extra::default()).await?;
            if let Committed::Done(_) = done {
                return Ok(());
            }
        }
        Err(Status::modified(pods.name(), &binding.name))
    }
}

/// The pod as it is when bound: its node, the Binding's annotations, and PodScheduled (BindingREST.setPodNodeAndMetadata). The
/// nominated node stays, and managedFields too: a binding is the system's own write.
fn bound(types: &TypeTable, pod: &mut Value, binding: &Binding, now: WallTime) -> Result<(), Status> {
    let name = meta::name(pod).to_owned();
    let refuse = |why: String| Err(Status::conflict(POD_BINDING, &binding.name, why));
    for (field, in_error, given) in
        [("uid", "UID", &binding.uid), ("resourceVersion", "ResourceVersion", &binding.resource_version)]
    {
        let stored = meta::text(pod, field);
        if !given.is_empty() && *given != stored {
            return Err(Status::conflict(
                Resource { group: "", plural: "pods" },
                &binding.name,
                format_args!(
                    "StorageError: invalid object, Code: 4, Key: /registry/pods/{}/{name}, ResourceVersion: 0, \
                     AdditionalErrorMsg: Precondition failed: {in_error} in precondition: {given}, {in_error} in object \
                     meta: {stored}",
                    binding.namespace
                ),
            ));
        }
    }
    if meta::deleting(pod) {
        return refuse(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let node = pod.str_at(&["spec", "nodeName"]);
    if !node.is_empty() {
        let node = knarr_schema::error::quote(node);
        return refuse(format!("pod {name} is already assigned to node {node}"));
    }
    if pod.path(&["spec", "schedulingGates"]).is_some_and(|gates| !gates.is_empty()) {
        return refuse(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    meta::insert_in_order(types, POD_SPEC, pod.make_map().entry("spec").make_map(), "nodeName", binding.node.clone());
    for (key, value) in &binding.annotations {
        pod.set_path(&["metadata", "annotations", key], value.as_str());
    }
    scheduled(types, pod.make_map().entry("status").make_map(), now);
    Ok(())
}

/// Sets the condition PodScheduled to True. One that says so already keeps its time of transition, and loses all else.
fn scheduled(types: &TypeTable, status: &mut Map, now: WallTime) {
    let mut conditions = match status.remove("conditions") {
        Some(Value::List(conditions)) => conditions,
        _ => Vec::new(),
    };
    let old = conditions.iter_mut().find(|condition| condition.str_at(&["type"]) == "PodScheduled");
    let since = old
        .as_ref()
        .filter(|condition| condition.str_at(&["status"]) == "True")
        .and_then(|condition| condition.get("lastTransitionTime").cloned());
    let condition = value!({
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": null,
        "lastTransitionTime": (since.unwrap_or_else(|| Value::from(meta::timestamp(now)))),
    });
    match old {
        Some(old) => *old = condition,
        None => conditions.push(condition),
    }
    meta::insert_in_order(types, POD_STATUS, status, "conditions", Value::List(conditions));
}

/// `pods/NAME/binding`, and a Binding created in its collection: the body is a Binding.
pub(crate) async fn create(machinery: &Machinery, request: &Request) -> Result<Response, Status> {
    let options = body::write_options(Verb::Create, &request.options, false)?;
    let body =
        body::decode_typed(machinery, "io.k8s.api.core.v1.Binding", "Binding", &request.body, &request.content_type)?;
    let name = meta::name(&body);
    if request.kind.compiled.plural != "pods" && name.is_empty() {
        return Err(Status::bad_request("Name parameter required."));
    }
    if request.kind.compiled.plural == "pods" && name != request.name {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    let namespace = meta::text(&body, "namespace");
    if !namespace.is_empty() && namespace != request.namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let kind = body.str_at(&["target", "kind"]);
    if !matches!(kind, "" | "Node") {
        let kind = knarr_schema::error::quote(kind);
        return Err(Status::plain_internal(format!(
            "target.kind: Unsupported value: {kind}: supported values: \"Node\", \"<empty>\""
        )));
    }
    let node = body.str_at(&["target", "name"]);
    if node.is_empty() {
        return Err(Status::plain_internal("target.name: Required value"));
    }
    let annotations = body.path(&["metadata", "annotations"]).and_then(Value::as_map);
    let binding = Binding {
        namespace: request.namespace.clone(),
        name: name.into(),
        uid: meta::text(&body, "uid").into(),
        resource_version: meta::text(&body, "resourceVersion").into(),
        node: node.into(),
        annotations: annotations
            .into_iter()
            .flat_map(|map| map.iter())
            .filter_map(|(key, value)| Some((key.to_string(), value.as_str()?.to_owned())))
            .collect(),
    };
    let registry = machinery.registry();
    let pods = registry.stored("", "pods").ok_or_else(Status::no_such_path)?;
    machinery.bind(pods, &binding, options.dry_run).await?;
    Ok(answer::status(&Status::created(), request.accept, request.options.pretty, Vec::new()))
}
