//! Rules no vocabulary can say: sums, cross-references between containers and volumes, comparisons of whole pods. One file a subject.

mod addresses;
mod containers;
mod data;
mod pod_update;
mod references;
mod resources;
mod service;
mod status_update;
mod volumes;
mod workload;

use super::Scope;
use crate::error::{CompileError, FieldError};
use serde_json::Value as Json;

type Run = fn(&Scope<'_>, &mut Vec<FieldError>);

/// A rule by its name.
pub struct Native {
    name: &'static str,
    run: Run,
}

impl std::fmt::Debug for Native {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Native({})", self.name)
    }
}

/// Name and function; docs/kinds.md says where each is applied.
pub const ALL: &[(&str, Run)] = &[
    ("containerResources", resources::container),
    ("podResources", resources::pod),
    ("resourceAmounts", resources::amounts),
    ("hostPorts", containers::host_ports),
    ("initNames", containers::init_names),
    ("mounts", volumes::mounts),
    ("devices", volumes::devices),
    ("envFieldRef", references::env_field),
    ("volumeFieldRef", references::volume_field),
    ("envResourceRef", references::env_resource),
    ("volumeResourceRef", references::volume_resource),
    ("portNumberOrName", references::port),
    ("intOrPercent", workload::int_or_percent),
    ("rollingUpdate", workload::rolling_update),
    ("templateLabels", workload::template_labels),
    ("dataSize", data::size),
    ("dataImmutable", data::immutable),
    ("jsonField", data::json_field),
    ("podUpdate", pod_update::run),
    ("podStatusUpdate", status_update::run),
    ("serviceAddresses", service::addresses),
    ("serviceAddressesUpdate", service::update),
    ("endpointAddress", addresses::endpoint),
    ("sliceAddresses", addresses::slice),
];

impl Native {
    pub fn build(at: &str, doc: &Json) -> Result<Self, CompileError> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Doc {
            name: String,
        }
        let doc: Doc = super::read(at, doc)?;
        let found = ALL.iter().find(|(name, _)| *name == doc.name);
        let (name, run) = found.ok_or_else(|| CompileError::new(at, format!("no native rule is called {}", doc.name)))?;
        Ok(Self { name, run: *run })
    }

    pub fn run(&self, scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
        (self.run)(scope, errors);
    }
}
