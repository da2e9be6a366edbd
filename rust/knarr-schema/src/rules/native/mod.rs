//! Rules no vocabulary can say: sums, cross-references between containers and volumes, comparisons of whole pods. One file a subject.

mod addresses;
mod containers;
mod data;
mod event;
mod handlers;
mod pod;
mod pod_update;
mod pod_warnings;
mod references;
mod resources;
mod service;
mod small;
mod status_update;
mod volumes;
mod workload;

use super::Scope;
use crate::error::{CompileError, FieldError};
use knarr_value::Value;
use serde_json::Value as Json;

/// A field's text; empty where there is none.
fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or("")
}

/// A field's items; none where there is no list.
fn list<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value.get(field).and_then(Value::as_list).unwrap_or(&[])
}

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
    ("hostNetworkPorts", containers::host_network_ports),
    ("envFrom", containers::env_from),
    ("resizePolicy", containers::resize_policy),
    ("escalationPrivileged", containers::escalation_privileged),
    ("escalationCapabilities", containers::escalation_capabilities),
    ("headerNames", handlers::header_names),
    ("sleepSeconds", handlers::sleep_seconds),
    ("downwardFiles", volumes::downward_files),
    ("projectedPaths", volumes::projected_paths),
    ("searches", pod::searches),
    ("gateName", pod::gate_name),
    ("spreadRepeated", pod::spread_repeated),
    ("affinityNamespaces", pod::affinity_namespaces),
    ("tolerationOperator", pod::toleration_operator),
    ("tolerationEffect", pod::toleration_effect),
    ("tolerationValue", pod::toleration_value),
    ("templateMeta", workload::template_meta),
    ("workloadSelector", workload::selector),
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
    ("templateLabelsOfMap", workload::template_labels_of_map),
    ("dataSize", data::size),
    ("dataImmutable", data::immutable),
    ("podUpdate", pod_update::run),
    ("podStatusUpdate", status_update::run),
    ("serviceAddresses", service::addresses),
    ("serviceAddressesUpdate", service::update),
    ("serviceStatus", service::status),
    ("endpointAddress", addresses::endpoint),
    ("sliceEndpoints", addresses::slice),
    ("trimmed", pod::trimmed),
    ("minDomains", pod::min_domains),
    ("osName", pod::os_name),
    ("nodeTaints", pod::node_taints),
    ("finalizerNames", small::finalizer_names),
    ("finalizerName", small::finalizer_name),
    ("secretType", data::secret_type),
    ("strategyType", workload::strategy_type),
    ("roleRef", small::role_ref),
    ("event", event::legacy),
    ("eventStrict", event::strict),
    ("headlessLoadBalancer", service::headless_load_balancer),
    ("headlessNodePort", service::headless_node_port),
    ("externalName", service::external_name),
    ("servicePortTwice", service::port_twice),
    ("sourceRanges", service::source_ranges),
    ("podWarnings", pod_warnings::run),
    ("podNameWarning", pod_warnings::pod_name),
    ("workloadNameWarning", pod_warnings::workload_name),
    ("serviceWarnings", service::warnings),
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
        let (name, run) =
            found.ok_or_else(|| CompileError::new(at, format!("no native rule is called {}", doc.name)))?;
        Ok(Self { name, run: *run })
    }

    pub fn run(&self, scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
        (self.run)(scope, errors);
    }
}
