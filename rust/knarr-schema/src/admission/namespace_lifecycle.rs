//! NamespaceLifecycle: nothing new in a namespace that is missing or dying; three namespaces never go.

use super::{AdmissionRequest, Denied, Operation, Read, Reads, found, not_found};
use knarr_value::Value;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceLifecycle {
    #[serde(default)]
    immortal: Vec<String>,
}

impl NamespaceLifecycle {
    fn about_namespaces(request: &AdmissionRequest<'_>) -> bool {
        request.group.is_empty() && request.resource == "namespaces"
    }

    pub fn reads(&self, request: &AdmissionRequest<'_>, reads: &mut Vec<Read>) {
        let inside = !request.namespace.is_empty() && !Self::about_namespaces(request);
        if inside && request.operation != Operation::Delete {
            reads.push(Read::new("", "namespaces", "", request.namespace));
        }
    }

    pub fn run(&self, request: &AdmissionRequest<'_>, value: &Value, reads: Reads<'_>) -> Result<(), Denied> {
        if Self::about_namespaces(request) {
            let immortal = self.immortal.iter().any(|name| name == request.name);
            if request.operation == Operation::Delete && immortal {
                return Err(request.forbidden(value, "this namespace may not be deleted"));
            }
            return Ok(());
        }
        if request.namespace.is_empty() || request.operation == Operation::Delete {
            return Ok(());
        }
        let Some(namespace) = found(reads, "namespaces", request.namespace) else {
            return Err(not_found("namespaces", request.namespace));
        };
        if request.operation != Operation::Create || namespace.str_at(&["status", "phase"]) != "Terminating" {
            return Ok(());
        }
        let name = request.namespace;
        let why = format!("unable to create new content in namespace {name} because it is being terminated");
        let mut denied = request.forbidden(value, why);
        denied.causes.push((
            "NamespaceTerminating".into(),
            format!("namespace {name} is being terminated"),
            "metadata.namespace".into(),
        ));
        Err(denied)
    }
}
