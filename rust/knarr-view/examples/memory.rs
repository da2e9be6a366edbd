//! What a projected pod costs: resident bytes each, as /proc/self/status says, of pods as a Deployment makes them.
//! usage: memory [PODS]

// A measuring program has a clock and reads /proc; the crate does neither.
#![allow(clippy::disallowed_methods)]

use knarr_view::View;

const FIELDS: [&str; 12] = [
    "metadata.deletionTimestamp",
    "metadata.creationTimestamp",
    "metadata.finalizers",
    "metadata.annotations['controller.kubernetes.io/pod-deletion-cost']",
    "spec.nodeName",
    "spec.hostname",
    "status.phase",
    "status.podIPs",
    "status.conditions[type=Ready].status",
    "status.conditions[type=Ready].lastTransitionTime",
    "spec.containers",
    "spec.tolerations",
];

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn main() {
    let pods: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(200_000);
    let mut view = View::new(&FIELDS, true, &["spec.nodeName"]).expect("a declaration");
    let before = resident();
    let (mut bytes, started) = (0, std::time::Instant::now());
    for n in 0..pods {
        let set = n / 100;
        let line = format!(
            r#"{{"type":"ADDED","object":{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"web-{set:010x}-{n:05x}","generateName":"web-{set:010x}-","namespace":"team-{}","uid":"{:08x}-1111-4222-8333-{:012x}","resourceVersion":"{}","creationTimestamp":"2026-01-01T00:{:02}:{:02}Z","labels":{{"app":"web-{set}","pod-template-hash":"{set:010x}"}},"ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-{set:010x}","uid":"{:08x}-0000-4222-8333-000000000000","controller":true,"blockOwnerDeletion":true}}]}},"spec":{{"containers":[{{"name":"c","image":"web:{set}","ports":[{{"name":"http","containerPort":80,"protocol":"TCP"}}]}}],"nodeName":"node-{}","tolerations":[{{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}}]}},"status":{{"phase":"Running","podIPs":[{{"ip":"10.{}.{}.{}"}}],"conditions":[{{"type":"Ready","status":"True","lastTransitionTime":"2026-01-01T00:{:02}:{:02}Z"}}]}}}}}}"#,
            set % 500,
            n * 2_654_435_761 % (1 << 32),
            n,
            n + 1,
            n / 60 % 60,
            n % 60,
            set,
            n % 5000,
            n >> 16 & 255,
            n >> 8 & 255,
            n & 255,
            n / 60 % 60,
            n % 60,
        );
        bytes += line.len();
        let batch = view.projection().parse_watch(line.as_bytes()).expect("an event");
        view.apply(batch);
    }
    let (seconds, used) = (started.elapsed().as_secs_f64(), resident() - before);
    println!(
        "{} pods of {} bytes: {} bytes each resident, {} texts, {:.1} us each to read and enter",
        view.len(),
        bytes as u64 / pods,
        used / pods,
        view.pool().len(),
        seconds * 1e6 / pods as f64
    );
}
