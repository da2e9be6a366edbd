//! Figures of the store on this disk: latency of one writer, throughput and CPU of many.
//!
//! `cargo run --release -p knarr-io --example bench_store -- [directory]`

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use knarr_io::{LocalStore, Options};
use knarr_store::{KeySpace, Store, put};

fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn main() {
    let dir = std::env::args().nth(1).map_or_else(|| std::env::temp_dir().join("knarr-bench-store"), PathBuf::from);
    let _ = std::fs::remove_dir_all(&dir);
    let store =
        LocalStore::open(&dir, Options { maintenance: Duration::from_millis(500), ..Options::default() }).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for clients in [1usize, 8, 64, 512] {
        let total = if clients == 1 { 3_000 } else { 60_000 };
        let (started, cpu_before, before) = (Instant::now(), cpu(), store.stats());
        runtime.block_on(async {
            let local = tokio::task::LocalSet::new();
            for client in 0..clients {
                let store: Arc<LocalStore> = store.clone();
                local.spawn_local(async move {
                    for round in 0..total / clients {
                        let key = format!("core/pods/default/pod-{client:04}-{:05}", round % 1_000);
                        store.txn(put(KeySpace::Cluster, key, vec![b'x'; 2_048])).await.unwrap();
                    }
                });
            }
            local.await;
        });
        let (took, cpu, after) = (started.elapsed(), cpu() - cpu_before, store.stats());
        let done = (after.proposals - before.proposals) as f64;
        println!(
            "{clients:4} clients: {:8.0} txn/s of 2 kB, {:6.1} us a txn, {:5.1} us CPU a txn, {:5.1} txn a sync",
            done / took.as_secs_f64(),
            took.as_secs_f64() * 1e6 * clients as f64 / done,
            cpu.as_secs_f64() * 1e6 / done,
            done / (after.syncs - before.syncs) as f64,
        );
    }
    let usage = store.stats().usage[0];
    println!(
        "{} keys, {} kB live, {} kB history, {} kB resident",
        usage.keys,
        usage.live_bytes >> 10,
        usage.history_bytes >> 10,
        resident_kb()
    );
    drop(store);
    let started = Instant::now();
    let store = LocalStore::open(&dir, Options::default()).unwrap();
    println!(
        "reopened at revision {} in {:.0} ms",
        store.revision(KeySpace::Cluster),
        started.elapsed().as_secs_f64() * 1e3
    );
    drop(store);
    let _ = std::fs::remove_dir_all(&dir);
}
