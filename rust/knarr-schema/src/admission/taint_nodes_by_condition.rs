//! TaintNodesByCondition: a new node takes no pods until it has been seen ready; the node lifecycle controller removes the taint.

use super::{AdmissionRequest, Operation, push};
use knarr_value::{Value, value};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaintNodesByCondition {
    /// Key of the taint, whose effect is NoSchedule.
    not_ready: String,
}

impl TaintNodesByCondition {
    pub fn run(&self, request: &AdmissionRequest<'_>, node: &mut Value) {
        if request.operation != Operation::Create || !request.subresource.is_empty() {
            return;
        }
        let taints = node.path(&["spec", "taints"]).and_then(Value::as_list).unwrap_or_default();
        let same =
            |taint: &Value| taint.str_at(&["key"]) == self.not_ready && taint.str_at(&["effect"]) == "NoSchedule";
        if !taints.iter().any(same) {
            push(node, &["spec"], "taints", value!({ "key": (self.not_ready.as_str()), "effect": "NoSchedule" }));
        }
    }
}
