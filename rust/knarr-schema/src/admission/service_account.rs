//! ServiceAccount: every pod has an account, and its token where neither of them declines.

use super::{AdmissionRequest, Denied, Operation, Read, Reads, found, push};
use knarr_value::{Map, Value};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceAccount {
    /// Seconds a token is valid; the kubelet renews it long before.
    #[serde(default = "an_hour_and_seven_seconds")]
    expiration_seconds: i64,
}

fn an_hour_and_seven_seconds() -> i64 {
    3607
}

const MIRROR: &str = "kubernetes.io/config.mirror";
const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME: &str = "kube-api-access-";

fn account_name(pod: &Value) -> &str {
    match pod.str_at(&["spec", "serviceAccountName"]) {
        "" => match pod.str_at(&["spec", "serviceAccount"]) {
            "" => "default",
            name => name,
        },
        name => name,
    }
}

fn is_mirror(pod: &Value) -> bool {
    pod.path(&["metadata", "annotations", MIRROR]).is_some()
}

fn list<'v>(value: &'v Value, path: &[&str]) -> &'v [Value] {
    value.path(path).and_then(Value::as_list).unwrap_or(&[])
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or("")
}

impl ServiceAccount {
    fn applies(request: &AdmissionRequest<'_>) -> bool {
        request.operation == Operation::Create && request.subresource.is_empty()
    }

    pub fn reads(&self, request: &AdmissionRequest<'_>, pod: &Value, reads: &mut Vec<Read>) {
        if Self::applies(request) && !is_mirror(pod) {
            reads.push(Read::new("", "serviceaccounts", request.namespace, account_name(pod)));
        }
    }

    pub fn run(&self, request: &AdmissionRequest<'_>, pod: &mut Value, reads: Reads<'_>) -> Result<(), Denied> {
        if !Self::applies(request) {
            return Ok(());
        }
        if is_mirror(pod) {
            return mirror(request, pod);
        }
        let name = account_name(pod).to_string();
        let Some(account) = found(reads, "serviceaccounts", &name) else {
            let why = format!(
                "error looking up service account {}/{name}: serviceaccount {} not found",
                request.namespace,
                crate::error::quote(&name)
            );
            return Err(request.forbidden(pod, why));
        };
        // Both spellings are stored: the second is the deprecated alias.
        pod.set_path(&["spec", "serviceAccountName"], name.as_str());
        pod.set_path(&["spec", "serviceAccount"], name.as_str());
        if automount(account, pod) {
            self.mount_token(pod, request.suffix);
        }
        if list(pod, &["spec", "imagePullSecrets"]).is_empty() {
            let secrets: Vec<Value> = list(account, &["imagePullSecrets"]).to_vec();
            if !secrets.is_empty() {
                pod.set_path(&["spec", "imagePullSecrets"], Value::List(secrets));
            }
        }
        let enforce = account.path(&["metadata", "annotations", ENFORCE]).and_then(Value::as_str).unwrap_or("");
        if matches!(enforce, "1" | "t" | "T" | "true" | "TRUE" | "True") {
            limit_secrets(account, pod).map_err(|why| request.forbidden(pod, why))?;
        }
        Ok(())
    }

    fn mount_token(&self, pod: &mut Value, suffix: &str) {
        let existing = list(pod, &["spec", "volumes"]).iter().map(|v| text(v, "name")).find(|n| n.starts_with(VOLUME));
        let has_volume = existing.is_some();
        let name = existing.map_or_else(|| format!("{VOLUME}{suffix}"), str::to_string);
        let mut mount = Map::new();
        mount.insert("name", name.as_str());
        mount.insert("readOnly", true);
        mount.insert("mountPath", MOUNT_PATH);
        let mount = Value::Map(mount);
        let mut needed = false;
        for field in ["initContainers", "containers"] {
            let containers = pod.path_mut(&["spec", field]).and_then(Value::as_list_mut);
            for container in containers.into_iter().flatten() {
                let mounted = list(container, &["volumeMounts"]).iter().any(|m| text(m, "mountPath") == MOUNT_PATH);
                if !mounted {
                    push(container, &[], "volumeMounts", mount.clone());
                    needed = true;
                }
            }
        }
        if needed && !has_volume {
            push(pod, &["spec"], "volumes", self.volume(&name));
        }
    }

    fn volume(&self, name: &str) -> Value {
        let object = |fields: Vec<(&str, Value)>| {
            let mut map = Map::new();
            for (key, value) in fields {
                map.insert(key, value);
            }
            Value::Map(map)
        };
        let token = object(vec![("expirationSeconds", self.expiration_seconds.into()), ("path", "token".into())]);
        let item = object(vec![("key", "ca.crt".into()), ("path", "ca.crt".into())]);
        let ca = object(vec![("name", "kube-root-ca.crt".into()), ("items", Value::List(vec![item]))]);
        let field = object(vec![("apiVersion", "v1".into()), ("fieldPath", "metadata.namespace".into())]);
        let file = object(vec![("path", "namespace".into()), ("fieldRef", field)]);
        let down = object(vec![("items", Value::List(vec![file]))]);
        let sources = vec![
            object(vec![("serviceAccountToken", token)]),
            object(vec![("configMap", ca)]),
            object(vec![("downwardAPI", down)]),
        ];
        let projected = object(vec![("sources", Value::List(sources)), ("defaultMode", 0o644.into())]);
        object(vec![("name", name.into()), ("projected", projected)])
    }
}

fn automount(account: &Value, pod: &Value) -> bool {
    let of_pod = pod.path(&["spec", "automountServiceAccountToken"]).and_then(Value::as_bool);
    of_pod.or_else(|| account.get("automountServiceAccountToken").and_then(Value::as_bool)).unwrap_or(true)
}

fn mirror(request: &AdmissionRequest<'_>, pod: &Value) -> Result<(), Denied> {
    if !pod.str_at(&["spec", "serviceAccountName"]).is_empty() {
        return Err(request.forbidden(pod, "a mirror pod may not reference service accounts"));
    }
    let volumes = list(pod, &["spec", "volumes"]);
    let secret_env = ["initContainers", "containers"].iter().flat_map(|c| list(pod, &["spec", c])).any(|container| {
        list(container, &["env"]).iter().any(|e| e.path(&["valueFrom", "secretKeyRef"]).is_some())
            || list(container, &["envFrom"]).iter().any(|e| e.get("secretRef").is_some())
    });
    let projects = |key: &str| {
        volumes.iter().any(|v| list(v, &["projected", "sources"]).iter().any(|source| source.get(key).is_some()))
    };
    let pull = !list(pod, &["spec", "imagePullSecrets"]).is_empty();
    if secret_env || pull || projects("secret") || volumes.iter().any(|v| v.get("secret").is_some()) {
        return Err(request.forbidden(pod, "a mirror pod may not reference secrets"));
    }
    if projects("serviceAccountToken") {
        return Err(request.forbidden(pod, "a mirror pod may not use ServiceAccountToken volume projections"));
    }
    Ok(())
}

/// Only the account's own secrets, where its annotation asks for that.
fn limit_secrets(account: &Value, pod: &Value) -> Result<(), String> {
    let account_name = account.str_at(&["metadata", "name"]);
    let allowed = |secret: &str| list(account, &["secrets"]).iter().any(|s| text(s, "name") == secret);
    for volume in list(pod, &["spec", "volumes"]) {
        let Some(secret) = volume.get("secret") else { continue };
        let secret = text(secret, "secretName");
        if !allowed(secret) {
            return Err(format!(
                "volume with secret.secretName=\"{secret}\" is not allowed because service account {account_name} does not reference that secret"
            ));
        }
    }
    for (field, word) in [("initContainers", "init container"), ("containers", "container")] {
        for container in list(pod, &["spec", field]) {
            let name = text(container, "name");
            for env in list(container, &["env"]) {
                let Some(key) = env.path(&["valueFrom", "secretKeyRef"]) else { continue };
                let (secret, env) = (text(key, "name"), text(env, "name"));
                if !allowed(secret) {
                    return Err(format!(
                        "{word} {name} with envVar {env} referencing secret.secretName=\"{secret}\" is not allowed because service account {account_name} does not reference that secret"
                    ));
                }
            }
            for source in list(container, &["envFrom"]) {
                let Some(secret) = source.get("secretRef").map(|s| text(s, "name")) else { continue };
                if !allowed(secret) {
                    return Err(format!(
                        "{word} {name} with envFrom referencing secret.secretName=\"{secret}\" is not allowed because service account {account_name} does not reference that secret"
                    ));
                }
            }
        }
    }
    for (index, secret) in list(pod, &["spec", "imagePullSecrets"]).iter().enumerate() {
        let secret = text(secret, "name");
        if !list(account, &["imagePullSecrets"]).iter().any(|s| text(s, "name") == secret) {
            return Err(format!(
                "imagePullSecrets[{index}].name=\"{secret}\" is not allowed because service account {account_name} does not reference that imagePullSecret"
            ));
        }
    }
    Ok(())
}
