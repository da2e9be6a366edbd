//! Admission plugins that are declared and run in Rust: those that touch every Pod, Lease or Event.
//!
//! A plugin says what it reads from the request and the object alone ([`Admission::reads`]); machinery fetches that, compares it in the
//! transaction, and the plugin decides on it ([`Admission::run`]). Random suffixes are given in, so all of it is pure. A plugin here
//! has Kubernetes' name and one file; python/knarr/admission declares which kinds it runs for and with which settings.

#![allow(clippy::result_large_err, reason = "a refusal is rare, and boxing it would be in every plugin's way")]

mod default_toleration_seconds;
mod namespace_lifecycle;
mod node_restriction;
mod priority;
mod service_account;
mod taint_nodes_by_condition;

use crate::doc::AdmissionDoc;
use crate::error::CompileError;
use knarr_base::User;
use knarr_value::{Str, Value};
use std::fmt;
use std::sync::Arc;

/// What is done to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
}

/// The request a plugin judges.
#[derive(Clone, Debug)]
pub struct AdmissionRequest<'a> {
    pub operation: Operation,
    pub group: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
    /// Empty for cluster-scoped objects.
    pub namespace: &'a str,
    /// As in the URL; empty on create.
    pub name: &'a str,
    pub user: &'a User,
    /// The stored object on update and delete.
    pub old: Option<&'a Value>,
    /// Five random letters and digits for generated names (Kubernetes' alphabet `bcdfghjklmnpqrstvwxz2456789`).
    pub suffix: &'a str,
}

/// An object a plugin reads. The transaction compares its revision.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Read {
    pub group: Str,
    pub resource: Str,
    pub namespace: Str,
    pub name: Str,
}

impl Read {
    pub fn new(group: &str, resource: &str, namespace: &str, name: &str) -> Self {
        Self { group: group.into(), resource: resource.into(), namespace: namespace.into(), name: name.into() }
    }
}

/// A refusal, ready for a Status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    pub code: u16,
    /// `Forbidden`, `NotFound` ...
    pub reason: &'static str,
    pub message: String,
    /// Cause type, message and field.
    pub causes: Vec<(String, String, String)>,
    /// Of the details of the Status: group, resource (Kubernetes' `kind` of details) and name.
    pub group: Str,
    pub resource: Str,
    pub name: Str,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Denied {}

impl AdmissionRequest<'_> {
    /// 403 as `admission.NewForbidden` words it.
    pub fn forbidden(&self, value: &Value, why: impl fmt::Display) -> Denied {
        let mut name = self.name;
        if name.is_empty() {
            name = value.str_at(&["metadata", "name"]);
        }
        if name.is_empty() {
            name = value.str_at(&["metadata", "generateName"]);
        }
        if name.is_empty() {
            name = "Unknown";
        }
        let resource = match self.group {
            "" => self.resource.to_string(),
            group => format!("{}.{group}", self.resource),
        };
        Denied {
            code: 403,
            reason: "Forbidden",
            message: format!("{resource} {} is forbidden: {why}", crate::error::quote(name)),
            causes: Vec::new(),
            group: self.group.into(),
            resource: self.resource.into(),
            name: name.into(),
        }
    }
}

/// 404 of an object a plugin needs.
pub(crate) fn not_found(resource: &str, name: &str) -> Denied {
    Denied {
        code: 404,
        reason: "NotFound",
        message: format!("{resource} {} not found", crate::error::quote(name)),
        causes: Vec::new(),
        group: Str::default(),
        resource: resource.into(),
        name: name.into(),
    }
}

/// What was asked for, each with what was found; shared, because many requests read the same Namespace.
pub type Reads<'r> = &'r [(Read, Option<Arc<Value>>)];

/// What was found of an object that was asked for.
pub(crate) fn found<'r>(reads: Reads<'r>, resource: &str, name: &str) -> Option<&'r Value> {
    reads
        .iter()
        .find(|(read, _)| read.resource == resource && read.name == name)
        .and_then(|(_, value)| value.as_deref())
}

#[derive(Debug)]
enum Plugin {
    NamespaceLifecycle(namespace_lifecycle::NamespaceLifecycle),
    ServiceAccount(service_account::ServiceAccount),
    DefaultTolerationSeconds(default_toleration_seconds::DefaultTolerationSeconds),
    Priority(priority::Priority),
    NodeRestriction(node_restriction::NodeRestriction),
    TaintNodesByCondition(taint_nodes_by_condition::TaintNodesByCondition),
}

/// The plugins of a kind, in the order they run.
#[derive(Debug)]
pub struct Admission(Vec<Plugin>);

impl Admission {
    pub fn build(docs: &[AdmissionDoc]) -> Result<Self, CompileError> {
        fn settings<T: serde::de::DeserializeOwned>(doc: &AdmissionDoc) -> Result<T, CompileError> {
            let json = if doc.settings.is_null() { serde_json::json!({}) } else { doc.settings.clone() };
            serde_json::from_value(json)
                .map_err(|e| CompileError::new(format!("admission/{}", doc.plugin), e.to_string()))
        }
        let build = |doc: &AdmissionDoc| {
            Ok(match doc.plugin.as_str() {
                "NamespaceLifecycle" => Plugin::NamespaceLifecycle(settings(doc)?),
                "ServiceAccount" => Plugin::ServiceAccount(settings(doc)?),
                "DefaultTolerationSeconds" => Plugin::DefaultTolerationSeconds(settings(doc)?),
                "Priority" => Plugin::Priority(settings(doc)?),
                "NodeRestriction" => Plugin::NodeRestriction(settings(doc)?),
                "TaintNodesByCondition" => Plugin::TaintNodesByCondition(settings(doc)?),
                other => return Err(CompileError::new("admission", format!("no plugin is called {other}"))),
            })
        };
        docs.iter().map(build).collect::<Result<_, _>>().map(Self)
    }

    pub fn reads(&self, request: &AdmissionRequest<'_>, value: &Value) -> Vec<Read> {
        let mut reads = Vec::new();
        for plugin in &self.0 {
            match plugin {
                Plugin::NamespaceLifecycle(plugin) => plugin.reads(request, &mut reads),
                Plugin::ServiceAccount(plugin) => plugin.reads(request, value, &mut reads),
                Plugin::Priority(plugin) => plugin.reads(request, value, &mut reads),
                Plugin::NodeRestriction(plugin) => plugin.reads(request, value, &mut reads),
                Plugin::DefaultTolerationSeconds(_) | Plugin::TaintNodesByCondition(_) => {}
            }
        }
        reads.dedup();
        reads
    }

    pub fn run(&self, request: &AdmissionRequest<'_>, value: &mut Value, reads: Reads<'_>) -> Result<(), Denied> {
        for plugin in &self.0 {
            match plugin {
                Plugin::NamespaceLifecycle(plugin) => plugin.run(request, value, reads)?,
                Plugin::ServiceAccount(plugin) => plugin.run(request, value, reads)?,
                Plugin::DefaultTolerationSeconds(plugin) => plugin.run(request, value),
                Plugin::Priority(plugin) => plugin.run(request, value, reads)?,
                Plugin::NodeRestriction(plugin) => plugin.run(request, value, reads)?,
                Plugin::TaintNodesByCondition(plugin) => plugin.run(request, value),
            }
        }
        Ok(())
    }
}

/// Append to a list below a struct that exists; the list is made where it is missing.
pub(crate) fn push(value: &mut Value, at: &[&str], list: &str, item: Value) {
    let Some(map) = value.path_mut(at).and_then(Value::as_map_mut) else { return };
    match map.get_mut(list) {
        Some(Value::List(items)) => items.push(item),
        _ => {
            map.insert(list, Value::List(vec![item]));
        }
    }
}
