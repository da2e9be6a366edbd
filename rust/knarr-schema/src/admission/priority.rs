//! Priority: the number behind a pod's priority class; the two system classes are built in.

use super::{AdmissionRequest, Denied, Operation, Read, Reads, found};
use knarr_value::Value;
use serde::Deserialize;

/// A class that exists without an object.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BuiltIn {
    name: String,
    value: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Priority {
    #[serde(default)]
    built_in: Vec<BuiltIn>,
    /// PriorityClass objects are served: a class that is not built in is looked up.
    #[serde(default)]
    lookup: bool,
}

const LOWER: &str = "PreemptLowerPriority";

impl Priority {
    fn applies(request: &AdmissionRequest<'_>) -> bool {
        request.subresource.is_empty() && request.operation != Operation::Delete
    }

    pub fn reads(&self, request: &AdmissionRequest<'_>, pod: &Value, reads: &mut Vec<Read>) {
        let class = pod.str_at(&["spec", "priorityClassName"]);
        let known = class.is_empty() || self.built_in.iter().any(|one| one.name == class);
        if self.lookup && !known && Self::applies(request) && request.operation == Operation::Create {
            reads.push(Read::new("scheduling.k8s.io", "priorityclasses", "", class));
        }
    }

    pub fn run(&self, request: &AdmissionRequest<'_>, pod: &mut Value, reads: Reads<'_>) -> Result<(), Denied> {
        if !Self::applies(request) {
            return Ok(());
        }
        if request.operation == Operation::Update {
            for field in ["priority", "preemptionPolicy"] {
                let kept = request.old.and_then(|old| old.path(&["spec", field])).filter(|v| !v.is_null()).cloned();
                if let (None | Some(Value::Null), Some(kept)) = (pod.path(&["spec", field]), kept) {
                    pod.set_path(&["spec", field], kept);
                }
            }
            return Ok(());
        }
        let class = pod.str_at(&["spec", "priorityClassName"]).to_string();
        let (priority, policy) = self
            .resolve(&class, reads)
            .ok_or_else(|| request.forbidden(pod, format!("no PriorityClass with name {class} was found")))?;
        if let Some(given) = pod.path(&["spec", "priority"]).and_then(Value::as_i64)
            && given != priority
        {
            let why = format!(
                "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {priority} from the given PriorityClass name"
            );
            return Err(request.forbidden(pod, why));
        }
        let given = pod.str_at(&["spec", "preemptionPolicy"]).to_string();
        if !given.is_empty() && given != policy {
            let why = format!(
                "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
            );
            return Err(request.forbidden(pod, why));
        }
        pod.set_path(&["spec", "priority"], priority);
        pod.set_path(&["spec", "preemptionPolicy"], policy);
        Ok(())
    }

    /// None: no such class.
    fn resolve(&self, class: &str, reads: Reads<'_>) -> Option<(i64, String)> {
        if class.is_empty() {
            return Some((0, LOWER.into()));
        }
        if let Some(known) = self.built_in.iter().find(|one| one.name == class) {
            return Some((known.value, LOWER.into()));
        }
        let object = found(reads, "priorityclasses", class)?;
        let policy = match object.str_at(&["preemptionPolicy"]) {
            "" => LOWER,
            other => other,
        };
        Some((object.get("value").and_then(Value::as_i64).unwrap_or(0), policy.into()))
    }
}
