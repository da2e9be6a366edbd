//! DefaultTolerationSeconds: a pod stays 300 s on a node that is not ready or unreachable, unless it says otherwise.

use super::{AdmissionRequest, Operation};
use knarr_value::{Map, Value};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DefaultTolerationSeconds {
    #[serde(default = "five_minutes")]
    not_ready_seconds: i64,
    #[serde(default = "five_minutes")]
    unreachable_seconds: i64,
}

fn five_minutes() -> i64 {
    300
}

impl DefaultTolerationSeconds {
    pub fn run(&self, request: &AdmissionRequest<'_>, pod: &mut Value) {
        if !request.subresource.is_empty() || request.operation == Operation::Delete {
            return;
        }
        let taints = [
            ("node.kubernetes.io/not-ready", self.not_ready_seconds),
            ("node.kubernetes.io/unreachable", self.unreachable_seconds),
        ];
        let tolerates = |pod: &Value, taint: &str| {
            let list = pod.path(&["spec", "tolerations"]).and_then(Value::as_list).unwrap_or(&[]);
            list.iter().any(|one| {
                let text = |name: &str| one.get(name).and_then(Value::as_str).unwrap_or("");
                (text("key") == taint || text("key").is_empty())
                    && (text("effect") == "NoExecute" || text("effect").is_empty())
            })
        };
        let missing = taints.map(|(taint, seconds)| (!tolerates(pod, taint)).then_some((taint, seconds)));
        for (taint, seconds) in missing.into_iter().flatten() {
            let mut toleration = Map::new();
            toleration.insert("key", taint);
            toleration.insert("operator", "Exists");
            toleration.insert("effect", "NoExecute");
            toleration.insert("tolerationSeconds", seconds);
            super::push(pod, &["spec"], "tolerations", Value::Map(toleration));
        }
    }
}
