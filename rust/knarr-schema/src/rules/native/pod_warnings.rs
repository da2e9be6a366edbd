//! What a pod or a pod template says that is allowed and most likely not meant. Nothing is refused here: the lines reach the client
//! as warnings. Source: kubernetes `pkg/api/pod/warnings.go`, `pkg/api/node/util.go`.

use super::super::{NULL, Scope};
use super::{list, text};
use crate::error::FieldError;
use crate::formats;
use crate::path::Path;
use knarr_value::{Quantity, Value};

/// Labels of nodes that have another name now.
const NODE_LABELS: &[(&str, &str)] = &[
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    ("failure-domain.beta.kubernetes.io/zone", "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"),
    ("beta.kubernetes.io/instance-type", "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    ("scheduler.alpha.kubernetes.io/preferAvoidPods", "deprecated since v1.22; use Taints and Tolerations instead"),
    ("node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"),
];

const ANNOTATIONS: &[(&str, &str)] = &[
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    ("security.alpha.kubernetes.io/unsafe-sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
];

const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const SECCOMP: &str = "non-functional in v1.27+; use the \"seccompProfile\" field instead";

/// Field, what Kubernetes calls it here, words.
const VOLUMES: &[(&str, &str, &str)] = &[
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// What is counted in whole bytes.
const WHOLE_BYTES: [&str; 2] = ["memory", "ephemeral-storage"];

type Lines = Vec<FieldError>;

/// A line `path: words`.
fn say(path: String, words: impl Into<String>, lines: &mut Lines) {
    lines.push(FieldError::invalid(path, Value::Null, words));
}

fn has(value: &Value, field: &str) -> bool {
    value.get(field).is_some_and(|value| !value.is_null())
}

fn deprecated_label(key: &str) -> Option<&'static str> {
    NODE_LABELS.iter().find(|(label, _)| *label == key).map(|(_, words)| *words)
}

/// At a Pod: its name becomes its hostname.
pub fn pod_name(scope: &Scope<'_>, lines: &mut Lines) {
    name(scope, "the Pod's hostname", lines);
}

/// At a workload: its name begins its pods' names.
pub fn workload_name(scope: &Scope<'_>, lines: &mut Lines) {
    name(scope, "Pod names and hostnames", lines);
}

fn name(scope: &Scope<'_>, becomes: &str, lines: &mut Lines) {
    let wrong = formats::dns1123_label(text(scope.get("metadata"), "name"));
    if !wrong.is_empty() {
        let words = format!(
            "this is used in {becomes}, which can result in surprising behavior; a DNS label is recommended: [{}]",
            wrong.join(" ")
        );
        say("metadata.name".to_owned(), words, lines);
    }
}

/// At a Pod or a PodTemplateSpec.
pub fn run(scope: &Scope<'_>, lines: &mut Lines) {
    let (spec, spec_path) = (scope.get("spec"), scope.path.field("spec"));
    node_selection(spec, &spec_path, lines);
    let annotations = scope.get("metadata").get("annotations").unwrap_or(&NULL);
    let metadata = scope.path.field("metadata");
    let annotations_path = metadata.field("annotations");
    for (key, words) in ANNOTATIONS.iter().filter(|(key, _)| annotations.get(key).is_some()) {
        say(annotations_path.key(key).text(), *words, lines);
    }
    volumes(spec, &spec_path, lines);
    repeated(spec, &spec_path, ("hostAliases", "ip"), lines);
    repeated(spec, &spec_path, ("imagePullSecrets", "name"), lines);
    let secrets = spec_path.field("imagePullSecrets");
    for (index, _) in
        list(spec, "imagePullSecrets").iter().enumerate().filter(|(_, item)| text(item, "name").is_empty())
    {
        say(secrets.index(index).child("name"), "invalid empty name \"\"", lines);
    }
    for name in WHOLE_BYTES {
        fractional(spec.get("overhead").unwrap_or(&NULL), name, &spec_path.field("overhead"), lines);
    }
    if annotations.get(SECCOMP_POD).is_some() && !has_profile(spec) {
        say(annotations_path.key(SECCOMP_POD).text(), SECCOMP, lines);
    }
    each_container(spec, &spec_path, &mut |container, path| {
        let key = format!("{SECCOMP_CONTAINER}{}", text(container, "name"));
        if annotations.get(&key).is_some() && !has_profile(container) {
            say(annotations_path.key(&key).text(), SECCOMP, lines);
        }
        let (resources, place) = (container.get("resources").unwrap_or(&NULL), path.field("resources"));
        for (name, which) in WHOLE_BYTES.into_iter().flat_map(|name| [(name, "limits"), (name, "requests")]) {
            fractional(resources.get(which).unwrap_or(&NULL), name, &place.field(which), lines);
        }
        hidden_variables(container, path, lines);
    });
    ports(spec, &spec_path, lines);
    if spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64).is_some_and(|seconds| seconds < 0) {
        let words = "must be >= 0; negative values are invalid and will be treated as 1";
        say(spec_path.child("terminationGracePeriodSeconds"), words, lines);
    }
    pod_affinity(spec, &spec_path, lines);
}

fn has_profile(of: &Value) -> bool {
    of.get("securityContext").is_some_and(|context| has(context, "seccompProfile"))
}

/// Init containers, containers, ephemeral ones: the order in which Kubernetes looks at them.
fn each_container(spec: &Value, path: &Path<'_>, see: &mut dyn FnMut(&Value, &Path<'_>)) {
    for field in ["initContainers", "containers", "ephemeralContainers"] {
        let place = path.field(field);
        for (index, container) in list(spec, field).iter().enumerate() {
            see(container, &place.index(index));
        }
    }
}

fn node_selection(spec: &Value, path: &Path<'_>, lines: &mut Lines) {
    let selector = path.field("nodeSelector");
    for (key, _) in spec.get("nodeSelector").and_then(Value::as_map).into_iter().flat_map(|map| map.iter()) {
        if let Some(words) = deprecated_label(key) {
            say(selector.key(key).text(), words, lines);
        }
    }
    let affinity = path.field("affinity");
    let (node, node_path) = (spec.path(&["affinity", "nodeAffinity"]).unwrap_or(&NULL), affinity.field("nodeAffinity"));
    let field = "requiredDuringSchedulingIgnoredDuringExecution";
    let (required, required_path) = (node.get(field).unwrap_or(&NULL), node_path.field(field));
    let terms = required_path.field("nodeSelectorTerms");
    for (index, term) in list(required, "nodeSelectorTerms").iter().enumerate() {
        node_term(term, false, &terms.index(index), lines);
    }
    let field = "preferredDuringSchedulingIgnoredDuringExecution";
    let preferred = node_path.field(field);
    for (index, term) in list(node, field).iter().enumerate() {
        let place = preferred.index(index);
        node_term(term.get("preference").unwrap_or(&NULL), true, &place.field("preference"), lines);
    }
    let constraints = path.field("topologySpreadConstraints");
    for (index, constraint) in list(spec, "topologySpreadConstraints").iter().enumerate() {
        let key = text(constraint, "topologyKey");
        if let Some(words) = deprecated_label(key) {
            say(constraints.index(index).child("topologyKey"), format!("{key} is {words}"), lines);
        }
        null_selector(constraint, &constraints.index(index), lines);
    }
}

fn node_term(term: &Value, values: bool, path: &Path<'_>, lines: &mut Lines) {
    let expressions = path.field("matchExpressions");
    for (index, expression) in list(term, "matchExpressions").iter().enumerate() {
        let (key, place) = (text(expression, "key"), expressions.index(index));
        if let Some(words) = deprecated_label(key) {
            say(place.child("key"), format!("{key} is {words}"), lines);
        }
        if !values {
            continue;
        }
        let place = place.field("values");
        for (index, value) in list(expression, "values").iter().enumerate() {
            let value = value.as_str().unwrap_or("");
            for wrong in formats::label_value(value) {
                say(place.index(index).text(), format!("{value} is invalid, {wrong}"), lines);
            }
        }
    }
}

fn pod_affinity(spec: &Value, path: &Path<'_>, lines: &mut Lines) {
    let affinity = path.field("affinity");
    for kind in ["podAffinity", "podAntiAffinity"] {
        let (terms, place) = (spec.path(&["affinity", kind]).unwrap_or(&NULL), affinity.field(kind));
        let field = "requiredDuringSchedulingIgnoredDuringExecution";
        let required = place.field(field);
        for (index, term) in list(terms, field).iter().enumerate() {
            null_selector(term, &required.index(index), lines);
        }
        let field = "preferredDuringSchedulingIgnoredDuringExecution";
        let preferred = place.field(field);
        for (index, term) in list(terms, field).iter().enumerate() {
            let place = preferred.index(index);
            null_selector(term.get("podAffinityTerm").unwrap_or(&NULL), &place.field("podAffinityTerm"), lines);
        }
    }
}

fn null_selector(of: &Value, path: &Path<'_>, lines: &mut Lines) {
    if !has(of, "labelSelector") {
        say(path.child("labelSelector"), "a null labelSelector results in matching no pod", lines);
    }
}

fn repeated(spec: &Value, path: &Path<'_>, (field, key): (&str, &str), lines: &mut Lines) {
    let (items, place) = (list(spec, field), path.field(field));
    for (index, item) in items.iter().enumerate() {
        let value = text(item, key);
        if items[..index].iter().any(|before| text(before, key) == value) {
            say(place.index(index).child(key), format!("duplicate {key} \"{value}\""), lines);
        }
    }
}

fn fractional(amounts: &Value, name: &str, path: &Path<'_>, lines: &mut Lines) {
    let Some(amount) = amounts.get(name).and_then(Value::as_str) else { return };
    // What is no quantity was refused.
    let Ok(parsed) = Quantity::parse(amount) else { return };
    if parsed.as_milli() % 1000 != 0 {
        let words = format!("fractional byte value \"{}\" is invalid, must be an integer", parsed.canonical());
        say(path.key(name).text(), words, lines);
    }
}

fn hidden_variables(container: &Value, path: &Path<'_>, lines: &mut Lines) {
    let (variables, place) = (list(container, "env"), path.field("env"));
    for (index, variable) in variables.iter().enumerate() {
        let name = text(variable, "name");
        if !variables[..index].iter().any(|before| text(before, "name") == name) {
            continue;
        }
        // A value that is made of the one before, and of more, is meant.
        let (value, reference) = (text(variable, "value"), format!("$({name})"));
        if has(variable, "valueFrom") || value == reference || !value.contains(&reference) {
            let words = format!("hides previous definition of \"{name}\", which may be dropped when using apply");
            say(place.index(index).text(), words, lines);
        }
    }
}

fn ports(spec: &Value, path: &Path<'_>, lines: &mut Lines) {
    let mut all: Vec<(&Value, String)> = Vec::new();
    let mut names = Vec::new();
    for field in ["initContainers", "containers", "ephemeralContainers"] {
        let place = path.field(field);
        for (index, container) in list(spec, field).iter().enumerate() {
            let place = place.index(index);
            let place = place.field("ports");
            for (index, port) in list(container, "ports").iter().enumerate() {
                all.push((port, place.index(index).text()));
            }
        }
    }
    let number = |port: &Value, field: &str| port.get(field).and_then(Value::as_i64).unwrap_or(0);
    for (index, (port, place)) in all.iter().enumerate() {
        let (ip, host) = (text(port, "hostIP"), number(port, "hostPort"));
        if !ip.is_empty() && host == 0 {
            // As Go prints the struct.
            let (name, own, protocol) = (text(port, "name"), number(port, "containerPort"), text(port, "protocol"));
            let shown = format!("{{Name:{name} HostPort:0 ContainerPort:{own} Protocol:{protocol} HostIP:{ip}}}");
            say(place.clone(), format!("hostIP set without hostPort: {shown}"), lines);
        }
        for (other, where_) in &all[..index] {
            if number(other, "containerPort") != number(port, "containerPort")
                || text(other, "protocol") != text(port, "protocol")
            {
                continue;
            }
            let (other_ip, other_host) = (text(other, "hostIP"), number(other, "hostPort"));
            let what = if (ip, host) == (other_ip, other_host) {
                "duplicate"
            } else if host == 0 || other_host == 0 {
                "overlapping"
            } else if host == other_host && ip.is_empty() != other_ip.is_empty() {
                "dangerously ambiguous"
            } else {
                continue;
            };
            say(place.clone(), format!("{what} port definition with {where_}"), lines);
        }
    }
    for (port, place) in &all {
        let name = text(port, "name");
        match names.iter().find(|(known, _)| *known == name) {
            _ if name.is_empty() => {}
            None => names.push((name, place)),
            Some((_, other)) => {
                let words = format!(
                    "duplicate port name \"{name}\" with {other}, services and probes that select ports by name will use {other}"
                );
                say(place.clone(), words, lines);
            }
        }
    }
}

fn volumes(spec: &Value, path: &Path<'_>, lines: &mut Lines) {
    let place = path.field("volumes");
    for (index, volume) in list(spec, "volumes").iter().enumerate() {
        for (_, shown, words) in VOLUMES.iter().filter(|(field, ..)| has(volume, field)) {
            say(place.index(index).child(shown), *words, lines);
        }
    }
    for volume in list(spec, "volumes") {
        overlaps(volume, lines);
    }
}

/// A path in a volume, and what it is of where a volume has several sources.
struct File<'a> {
    path: &'a str,
    source: String,
}

impl std::fmt::Display for File<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.source.is_empty() {
            write!(f, "\"{}\"", self.path)
        } else {
            write!(f, "\"{}\" ({})", self.path, self.source)
        }
    }
}

fn files<'a>(of: &'a Value, source: &str) -> Vec<File<'a>> {
    let file = |item: &'a Value| File { path: text(item, "path").trim_end_matches('/'), source: source.to_owned() };
    list(of, "items").iter().map(file).collect()
}

/// Files of a volume that lie at one path, or one below the other.
fn overlaps(volume: &Value, lines: &mut Lines) {
    let name = text(volume, "name");
    let (what, all) = if let Some(map) = volume.get("configMap") {
        (format!("ConfigMap \"{}\"", text(map, "name")), files(map, ""))
    } else if let Some(secret) = volume.get("secret") {
        (format!("Secret \"{}\"", text(secret, "secretName")), files(secret, ""))
    } else if let Some(fields) = volume.get("downwardAPI") {
        ("DownwardAPI".to_owned(), files(fields, ""))
    } else if let Some(projected) = volume.get("projected") {
        let mut all = Vec::new();
        for source in list(projected, "sources") {
            if source.as_map().is_none_or(|fields| fields.is_empty()) {
                say("<nil>".to_owned(), format!("volume \"{name}\" (Projected) has no sources provided"), lines);
            }
            all.extend(projected_files(source));
        }
        ("Projected".to_owned(), all)
    } else {
        return;
    };
    for (index, file) in all.iter().enumerate().filter(|(_, file)| !file.path.is_empty()) {
        for other in all[..index].iter().filter(|other| !other.path.is_empty()) {
            let below = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
            if file.path == other.path || below(file.path, other.path) || below(other.path, file.path) {
                let words = format!("volume \"{name}\" ({what}): overlapping paths: {file} with {other}");
                say("<nil>".to_owned(), words, lines);
            }
        }
    }
}

fn projected_files(source: &Value) -> Vec<File<'_>> {
    let one = |path, source: String| vec![File { path: str::trim_end_matches(path, '/'), source }];
    if let Some(map) = source.get("configMap") {
        files(map, &format!("ConfigMap \"{}\"", text(map, "name")))
    } else if let Some(secret) = source.get("secret") {
        files(secret, &format!("Secret \"{}\"", text(secret, "name")))
    } else if let Some(fields) = source.get("downwardAPI") {
        files(fields, "DownwardAPI")
    } else if let Some(token) = source.get("serviceAccountToken") {
        one(text(token, "path"), "ServiceAccountToken".to_owned())
    } else if let Some(bundle) = source.get("clusterTrustBundle") {
        let name = if has(bundle, "name") { text(bundle, "name") } else { text(bundle, "signerName") };
        one(text(bundle, "path"), format!("ClusterTrustBundle \"{name}\""))
    } else {
        Vec::new()
    }
}
