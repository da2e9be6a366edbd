//! Tables: what `kubectl get` prints, computed on the server as kube-apiserver does (`pkg/printers/internalversion/printers.go`).
//!
//! A column is declared with its kind: a dotted path, or one of the named functions of this module where a path cannot say it. Knows:
//! values and the time given in. Never knows: requests, encodings. Columns of a kind without any are Name and Created At.

mod cells;
mod pod;
#[cfg(test)]
mod tests;

use knarr_base::WallTime;
use knarr_value::{Map, Value, time::Timestamp};

use crate::compiled::CompiledKind;
use crate::doc::ColumnDoc;

/// What a cell function sees.
pub struct Row<'a> {
    pub object: &'a Value,
    pub now: WallTime,
    /// The column's path, empty where it has none.
    pub path: &'a str,
}

/// A named cell.
pub type Cell = fn(&Row<'_>) -> Value;

/// The function of that name; the declaration's compiler refuses a name that is not here.
pub fn cell(name: &str) -> Option<Cell> {
    Some(match name {
        "age" => cells::age,
        "since" => cells::since,
        "integer" => cells::integer,
        "count" => cells::count,
        "pod.ready" => pod::ready,
        "pod.status" => pod::status,
        "pod.restarts" => pod::restarts,
        "pod.ip" => pod::ip,
        "pod.node" => |row| cells::text_or(row, &["spec", "nodeName"], "<none>"),
        "pod.nominatedNode" => |row| cells::text_or(row, &["status", "nominatedNodeName"], "<none>"),
        "pod.readinessGates" => pod::readiness_gates,
        "node.status" => cells::node_status,
        "node.roles" => cells::node_roles,
        "node.internalIP" => |row| cells::node_address(row, "InternalIP"),
        "node.externalIP" => |row| cells::node_address(row, "ExternalIP"),
        "node.containerRuntime" => {
            |row| cells::text_or(row, &["status", "nodeInfo", "containerRuntimeVersion"], "<unknown>")
        }
        "service.clusterIP" => cells::service_cluster_ip,
        "service.externalIP" => cells::service_external_ip,
        "service.ports" => cells::service_ports,
        "selector.labels" => cells::selector_labels,
        "deployment.ready" => cells::deployment_ready,
        "workload.containers" => |row| cells::containers(row, "name"),
        "workload.images" => |row| cells::containers(row, "image"),
        "workload.selector" => cells::workload_selector,
        "configmap.data" => cells::config_map_data,
        "event.lastSeen" => cells::event_last_seen,
        "event.firstSeen" => cells::event_first_seen,
        "event.object" => cells::event_object,
        "event.source" => cells::event_source,
        "event.count" => cells::event_count,
        "event.message" => cells::event_message,
        "endpoints.endpoints" => cells::endpoints,
        "endpointslice.ports" => cells::slice_ports,
        "endpointslice.endpoints" => cells::slice_endpoints,
        "role.ref" => cells::role_ref,
        "rolebinding.users" => |row| cells::subjects(row, "User"),
        "rolebinding.groups" => |row| cells::subjects(row, "Group"),
        "rolebinding.serviceAccounts" => |row| cells::subjects(row, "ServiceAccount"),
        _ => return None,
    })
}

/// `columnDefinitions` of a Table.
pub fn columns(kind: &CompiledKind) -> Value {
    Value::List(columns_of(&kind.columns))
}

/// The cells of one row, in the order of the columns.
pub fn row_cells(kind: &CompiledKind, object: &Value, now: WallTime) -> Vec<Value> {
    cells_of(&kind.columns, object, now)
}

const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a \
                    client to request the generation of an appropriate name automatically. Name is primarily intended for creation \
                    idempotence and configuration definition. Cannot be updated. More info: \
                    https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
const CREATED: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not \
                       guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It \
                       is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More \
                       info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

pub(crate) fn columns_of(columns: &[ColumnDoc]) -> Vec<Value> {
    let definition = |name: &str, kind: &str, format: &str, description: &str, priority: i32| {
        let mut map = Map::with_capacity(5);
        map.insert("name", name);
        map.insert("type", kind);
        map.insert("format", format);
        map.insert("description", description);
        map.insert("priority", i64::from(priority));
        Value::Map(map)
    };
    if columns.is_empty() {
        return vec![definition("Name", "string", "name", NAME, 0), definition("Created At", "date", "", CREATED, 0)];
    }
    columns.iter().map(|c| definition(&c.name, &c.column_type, &c.format, &c.description, c.priority)).collect()
}

pub(crate) fn cells_of(columns: &[ColumnDoc], object: &Value, now: WallTime) -> Vec<Value> {
    if columns.is_empty() {
        let at = |path: &[&str]| object.path(path).cloned().unwrap_or_default();
        return vec![at(&["metadata", "name"]), at(&["metadata", "creationTimestamp"])];
    }
    columns
        .iter()
        .map(|column| {
            let row = Row { object, now, path: &column.path };
            match cell(&column.cell) {
                Some(cell) => cell(&row),
                None => plain(column, object),
            }
        })
        .collect()
}

/// A cell that is the value at a path: as it is for numbers and booleans, as text for strings and dates.
fn plain(column: &ColumnDoc, object: &Value) -> Value {
    let value = column.path.split('.').filter(|p| !p.is_empty()).try_fold(object, |at, part| at.get(part));
    let missing = || {
        if column.column_type == "string" || !column.default.is_empty() {
            Value::from(column.default.as_str())
        } else {
            Value::Null
        }
    };
    match value {
        None | Some(Value::Null) => missing(),
        Some(Value::Str(s)) if s.is_empty() => missing(),
        Some(value @ (Value::Int(_) | Value::Float(_) | Value::Bool(_))) if column.column_type == "string" => {
            Value::from(value.to_string())
        }
        Some(value) => value.clone(),
    }
}

/// Kubernetes' `duration.HumanDuration`: two or three significant figures.
///
/// | below   | form            |
/// | ---     | ---             |
/// | 2 m     | `119s`          |
/// | 10 m    | `9m59s`         |
/// | 3 h     | `179m`          |
/// | 8 h     | `7h59m`         |
/// | 48 h    | `47h`           |
/// | 8 d     | `7d23h`         |
/// | 2 y     | `729d`          |
/// | 8 y     | `7y364d`        |
pub fn human_duration(seconds: i64) -> String {
    let pair = |big: i64, unit: char, small: i64, small_unit: char| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{small_unit}") }
    };
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        // Clocks differ a little: what is almost now is now.
        _ if seconds < -1 => "<invalid>".into(),
        _ if seconds < 0 => "0s".into(),
        _ if seconds < 120 => format!("{seconds}s"),
        _ if minutes < 10 => pair(minutes, 'm', seconds % 60, 's'),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => pair(hours, 'h', minutes % 60, 'm'),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 24 * 8 => pair(days, 'd', hours % 24, 'h'),
        _ if hours < 24 * 365 * 2 => format!("{days}d"),
        _ if hours < 24 * 365 * 8 => pair(days / 365, 'y', days % 365, 'd'),
        _ => format!("{}y", days / 365),
    }
}

/// The time since `timestamp`, or `<unknown>` without one.
pub(crate) fn since(timestamp: Option<&Value>, now: WallTime) -> String {
    match timestamp.and_then(Value::as_str).filter(|s| !s.is_empty()).map(Timestamp::parse) {
        Some(Ok(at)) => {
            let micros = now.0 - (at.seconds * 1_000_000 + i64::from(at.nanos / 1000));
            // Towards zero, as Go converts.
            human_duration(micros / 1_000_000)
        }
        _ => "<unknown>".into(),
    }
}
