//! The computed cells of a Pod. One pass over the container statuses yields ready count, status and restarts together, as
//! `printPod` of kube-apiserver 1.34 does.

use knarr_value::Value;

use super::{Row, since};

struct Summary {
    ready: usize,
    total: usize,
    reason: String,
    restarts: i64,
    last_restart: String,
}

fn list<'a>(object: &'a Value, path: &[&str]) -> &'a [Value] {
    object.path(path).and_then(Value::as_list).unwrap_or_default()
}

fn number(value: &Value, path: &[&str]) -> i64 {
    value.path(path).and_then(Value::as_i64).unwrap_or_default()
}

fn flag(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or_default()
}

fn has_condition(object: &Value, name: &str) -> bool {
    let status = list(object, &["status", "conditions"]).iter().find(|c| c.str_at(&["type"]) == name);
    status.is_some_and(|c| c.str_at(&["status"]) == "True")
}

/// The state of a container that ended without a reason.
fn exit(prefix: &str, terminated: &Value) -> String {
    match number(terminated, &["signal"]) {
        0 => format!("{prefix}ExitCode:{}", number(terminated, &["exitCode"])),
        signal => format!("{prefix}Signal:{signal}"),
    }
}

fn summarize(pod: &Value) -> Summary {
    let phase = pod.str_at(&["status", "phase"]);
    let own_reason = pod.str_at(&["status", "reason"]);
    let mut reason = if own_reason.is_empty() { phase } else { own_reason }.to_owned();
    let gated = |c: &&Value| c.str_at(&["type"]) == "PodScheduled" && c.str_at(&["reason"]) == "SchedulingGated";
    if list(pod, &["status", "conditions"]).iter().any(|c| gated(&c)) {
        reason = "SchedulingGated".into();
    }
    let inits = list(pod, &["spec", "initContainers"]);
    let restartable =
        |name: &str| inits.iter().any(|c| c.str_at(&["name"]) == name && c.str_at(&["restartPolicy"]) == "Always");
    let total = list(pod, &["spec", "containers"]).len()
        + inits.iter().filter(|c| c.str_at(&["restartPolicy"]) == "Always").count();
    let (mut ready, mut restarts, mut sidecar_restarts) = (0, 0, 0);
    // RFC 3339 in UTC with whole seconds orders as text.
    let (mut last, mut sidecar_last) = (String::new(), String::new());
    let mut initializing = false;
    for (i, status) in list(pod, &["status", "initContainerStatuses"]).iter().enumerate() {
        let sidecar = restartable(status.str_at(&["name"]));
        let count = number(status, &["restartCount"]);
        let finished = status.str_at(&["lastState", "terminated", "finishedAt"]);
        restarts += count;
        later(&mut last, finished);
        if sidecar {
            sidecar_restarts += count;
            later(&mut sidecar_last, finished);
        }
        let terminated = status.path(&["state", "terminated"]);
        if terminated.is_some_and(|t| number(t, &["exitCode"]) == 0) {
            continue;
        }
        if sidecar && flag(status, "started") {
            ready += usize::from(flag(status, "ready"));
            continue;
        }
        let waiting = status.str_at(&["state", "waiting", "reason"]);
        reason = match terminated {
            Some(t) if t.str_at(&["reason"]).is_empty() => exit("Init:", t),
            Some(t) => format!("Init:{}", t.str_at(&["reason"])),
            None if !waiting.is_empty() && waiting != "PodInitializing" => format!("Init:{waiting}"),
            None => format!("Init:{i}/{}", inits.len()),
        };
        initializing = true;
        break;
    }
    if !initializing || has_condition(pod, "Initialized") {
        (restarts, last) = (sidecar_restarts, sidecar_last);
        let mut running = false;
        for status in list(pod, &["status", "containerStatuses"]).iter().rev() {
            restarts += number(status, &["restartCount"]);
            later(&mut last, status.str_at(&["lastState", "terminated", "finishedAt"]));
            let waiting = status.str_at(&["state", "waiting", "reason"]);
            if !waiting.is_empty() {
                reason = waiting.to_owned();
            } else if let Some(t) = status.path(&["state", "terminated"]) {
                let why = t.str_at(&["reason"]);
                reason = if why.is_empty() { exit("", t) } else { why.to_owned() };
            } else if flag(status, "ready") && status.path(&["state", "running"]).is_some() {
                running = true;
                ready += 1;
            }
        }
        if reason == "Completed" && running {
            reason = if has_condition(pod, "Ready") { "Running" } else { "NotReady" }.into();
        }
    }
    if !pod.str_at(&["metadata", "deletionTimestamp"]).is_empty() {
        if own_reason == "NodeLost" {
            reason = "Unknown".into();
        } else if phase != "Succeeded" && phase != "Failed" {
            reason = "Terminating".into();
        }
    }
    Summary { ready, total, reason, restarts, last_restart: last }
}

fn later(last: &mut String, at: &str) {
    if at > last.as_str() {
        *last = at.to_owned();
    }
}

pub(super) fn ready(row: &Row<'_>) -> Value {
    let s = summarize(row.object);
    format!("{}/{}", s.ready, s.total).into()
}

pub(super) fn status(row: &Row<'_>) -> Value {
    summarize(row.object).reason.into()
}

pub(super) fn restarts(row: &Row<'_>) -> Value {
    let s = summarize(row.object);
    if s.restarts != 0 && !s.last_restart.is_empty() {
        let ago = since(Some(&Value::from(s.last_restart)), row.now);
        return format!("{} ({ago} ago)", s.restarts).into();
    }
    s.restarts.to_string().into()
}

pub(super) fn ip(row: &Row<'_>) -> Value {
    let first = list(row.object, &["status", "podIPs"]).first().map(|p| p.str_at(&["ip"])).unwrap_or_default();
    if first.is_empty() { "<none>" } else { first }.into()
}

pub(super) fn readiness_gates(row: &Row<'_>) -> Value {
    let gates = list(row.object, &["spec", "readinessGates"]);
    if gates.is_empty() {
        return "<none>".into();
    }
    let met = gates.iter().filter(|g| has_condition(row.object, g.str_at(&["conditionType"]))).count();
    format!("{met}/{}", gates.len()).into()
}
