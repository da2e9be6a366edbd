//! CPU of each hot operation inside machinery, schema, hub and an in-memory store, single-threaded: what is left of the budgets
//! of DESIGN.md when the network and the log are taken away. `cargo run --release -p knarr-machinery --example bench`.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::task::{Context, Poll, Waker};
use std::time::Instant;

use common::World;
use knarr_watch::Watcher;

fn measure(name: &str, count: usize, mut work: impl FnMut(usize)) {
    let start = Instant::now();
    (0..count).for_each(&mut work);
    println!("{name:<44} {:>9.2} us", start.elapsed().as_secs_f64() * 1e6 / count as f64);
}

/// A pod as kload and most charts make it: about 2.2 kB when it is stored.
fn pod(n: usize) -> String {
    format!(
        r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"p{n}","labels":{{"app":"load","n":"{n}"}},"annotations":{{"note":"{}"}}}},"spec":{{"containers":[{{"name":"c","image":"registry.example/app:1.2.3","command":["/bin/app","--flag"],"env":[{{"name":"A","value":"1"}},{{"name":"B","value":"2"}}],"ports":[{{"containerPort":8080,"protocol":"TCP"}}],"resources":{{"requests":{{"cpu":"100m","memory":"128Mi"}},"limits":{{"cpu":"1","memory":"256Mi"}}}},"volumeMounts":[{{"name":"v","mountPath":"/v"}}]}}],"volumes":[{{"name":"v","emptyDir":{{}}}}],"restartPolicy":"Always","schedulerName":"default-scheduler"}}}}"#,
        "x".repeat(400)
    )
}

fn drain(watcher: &mut Watcher) -> usize {
    let mut count = 0;
    while let Poll::Ready(Some(_)) = watcher.poll_next(&mut Context::from_waker(Waker::noop())) {
        count += 1;
    }
    count
}

fn main() {
    let world = World::new();
    const N: usize = 5000;
    let send = |request| {
        let code = world.send(request).code();
        assert!(code < 300, "{code}");
    };
    measure("create pod, JSON", N, |n| send(world.request("POST pods", &pod(n), "application/json")));
    let get = world.request("GET pods/p7", "", "");
    measure("get pod", 200_000, |_| send(get.clone()));
    let list = world.request("GET pods", "", "");
    let start = Instant::now();
    for _ in 0..20 {
        send(list.clone());
    }
    println!("{:<44} {:>9.2} us", "list, per item", start.elapsed().as_secs_f64() * 1e6 / (20 * N) as f64);
    let merge = "application/strategic-merge-patch+json";
    measure("status patch (strategic)", N, |n| {
        let body = format!(
            r#"{{"status":{{"phase":"Running","podIP":"10.0.0.{}","conditions":[{{"type":"Ready","status":"True"}}]}}}}"#,
            n % 250
        );
        send(world.request(&format!("PATCH pods/p{n}/status"), &body, merge));
    });
    let mut lease =
        world.ok("PUT leases.coordination.k8s.io/x", r#"{"metadata":{"name":"x"},"spec":{"holderIdentity":"n"}}"#);
    measure("lease update", 20_000, |n| {
        lease.set_path(&["spec", "renewTime"], format!("2026-11-23T20:00:00.{:06}Z", n + 1));
        let mut request = world.request("PUT leases.coordination.k8s.io/x", "", "application/json");
        request.body = knarr_value::json::to_vec(&lease).into();
        lease = knarr_value::json::from_slice(&world.send(request).body()).unwrap();
        assert_eq!(lease.str_at(&["kind"]), "Lease");
    });
    for watchers in [200, 1000] {
        let mut all: Vec<_> = (0..watchers).map(|_| world.watch("GET configmaps?watch=1")).collect();
        for watcher in &mut all {
            let _ = drain(watcher);
        }
        let events = 200;
        for n in 0..events {
            world.ok(
                "POST configmaps",
                &format!(r#"{{"metadata":{{"name":"w{watchers}-{n}"}},"data":{{"k":"{}"}}}}"#, "y".repeat(2000)),
            );
        }
        let start = Instant::now();
        let delivered: usize = all.iter_mut().map(drain).sum();
        assert_eq!(delivered, events * watchers);
        println!(
            "{:<44} {:>9.3} us",
            format!("watch, per event delivered, {watchers} watchers"),
            start.elapsed().as_secs_f64() * 1e6 / delivered as f64
        );
    }
    let before = resident();
    const IDLE: usize = 50_000;
    let idle: Vec<_> = (0..IDLE)
        .map(|n| {
            let mut watcher = world
                .watch(&format!("GET pods?watch=1&resourceVersion=9999999&fieldSelector=spec.nodeName%3Dnode-{n}"));
            assert_eq!(drain(&mut watcher), 0);
            watcher
        })
        .collect();
    println!("{:<44} {:>9} bytes", "idle watch of its own class", (resident() - before) / IDLE);
    drop(idle);
}

/// Resident bytes of this process.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
