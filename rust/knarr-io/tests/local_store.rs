//! The real store on a real directory: what was acknowledged is there after closing, killing and snapshots; what is damaged is
//! refused by name; a second process is turned away.

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use knarr_base::Revision;
use knarr_io::{LocalStore, Options};
use knarr_store::{Change, KeySpace, Sink, Store, StoreError, put};

/// A directory that goes when the test ends.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("knarr-io-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn small() -> Options {
    Options {
        segment_bytes: 256 << 10,
        snapshot_log_bytes_min: 512 << 10,
        maintenance: Duration::from_millis(20),
        ..Options::default()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

fn dump(store: &LocalStore) -> Vec<(Bytes, Bytes, u64)> {
    let (page, _) = store.range(KeySpace::Cluster, b"", b"", None, 0).unwrap();
    page.records.into_iter().map(|(key, record)| (key, record.value.clone(), record.mod_revision.0)).collect()
}

#[test]
fn all_is_there_after_reopening_across_segments_and_snapshots() {
    let dir = Dir::new("reopen");
    let (before, revision, digest) = {
        let store = LocalStore::open(&dir.0, small()).unwrap();
        runtime().block_on(async {
            for round in 0..2_000u32 {
                let key = format!("core/pods/ns/p{}", round % 100);
                store.txn(put(KeySpace::Cluster, key, vec![round as u8; 1_000])).await.unwrap();
            }
        });
        while store.stats().snapshots == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(store.digest(), store.audit());
        (dump(&store), store.revision(KeySpace::Cluster), store.digest())
    };
    assert_eq!((before.len(), revision), (100, Revision(2_001)));
    let store = LocalStore::open(&dir.0, small()).unwrap();
    assert_eq!(dump(&store), before);
    assert_eq!(store.revision(KeySpace::Cluster), revision);
    assert_ne!(store.digest(), digest, "the new term's entry counts as applied");
    assert_eq!(store.digest(), store.audit());
    // History reaches back over the restart: a watch resumes from a revision of the life before.
    assert_eq!(store.history(KeySpace::Cluster, Revision(2)).unwrap().len(), 2_000);
    let logs = std::fs::read_dir(&dir.0)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("log-"));
    assert!(logs.count() < 8, "segments before the snapshot are gone");
}

#[test]
fn the_state_is_audited_while_writers_go_on() {
    let dir = Dir::new("audit");
    let store = LocalStore::open(&dir.0, Options { audit: Duration::ZERO, ..small() }).unwrap();
    let mut written = 0;
    while store.stats().audits < 8 {
        runtime().block_on(store.txn(put(KeySpace::Cluster, format!("k{}", written % 300), vec![1; 100]))).unwrap();
        written += 1;
    }
    assert_eq!(store.stats().audit_failures, 0);
}

#[test]
fn files_are_closed_to_others_and_the_directory_is_taken_once() {
    let dir = Dir::new("lock");
    let store = LocalStore::open(&dir.0, small()).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir.0), 0o700);
    for entry in std::fs::read_dir(&dir.0).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    let error = LocalStore::open(&dir.0, small()).err().unwrap().to_string();
    assert_eq!(error, format!("{} is in use by another process", dir.0.display()));
    store.close();
    let closed = runtime().block_on(store.txn(put(KeySpace::Cluster, "a", "b")));
    assert_eq!(closed, Err(StoreError::Closed));
    LocalStore::open(&dir.0, small()).unwrap();
}

#[test]
fn a_flipped_bit_is_refused_naming_file_and_offset() {
    let dir = Dir::new("flip");
    {
        let store = LocalStore::open(&dir.0, small()).unwrap();
        runtime().block_on(async {
            for _ in 0..10 {
                store.txn(put(KeySpace::Cluster, "a", vec![7; 700])).await.unwrap();
            }
        });
    }
    let log = dir.0.join("log-00000001.seg");
    let good = std::fs::read(&log).unwrap();
    let end = good.chunks(512).position(|sector| sector.iter().all(|byte| *byte == 0)).unwrap();
    for sector in 0..end {
        let mut bad = good.clone();
        bad[sector * 512 + 100] ^= 0x10;
        std::fs::write(&log, &bad).unwrap();
        let error = LocalStore::open(&dir.0, small()).err().unwrap().to_string();
        let expected =
            format!("log-00000001.seg is damaged at offset {}: a sector's checksum does not match", sector * 512);
        assert!(error.ends_with(&expected), "{error}");
    }
    std::fs::write(&log, &good).unwrap();
    LocalStore::open(&dir.0, small()).unwrap();
}

#[derive(Default)]
struct Seen(Mutex<Vec<u64>>);

impl Sink for Seen {
    fn changes(&self, _: KeySpace, revision: Revision, changes: &[Change]) {
        assert!(changes.iter().all(|change| change.revision == revision));
        self.0.lock().unwrap().push(revision.0);
    }
}

#[test]
fn sinks_see_every_revision_in_order_before_the_writer_is_answered_and_leases_end() {
    let dir = Dir::new("sink");
    let store = LocalStore::open(&dir.0, small()).unwrap();
    let seen = Arc::new(Seen::default());
    store.subscribe(seen.clone());
    runtime().block_on(async {
        let mut tasks = Vec::new();
        for number in 0..200 {
            tasks.push(store.txn(put(KeySpace::Cluster, format!("k{number}"), "v")));
        }
        for task in tasks {
            let revision = task.await.unwrap().revision.0;
            assert!(seen.0.lock().unwrap().contains(&revision));
        }
        assert_eq!(*seen.0.lock().unwrap(), (2..=201).collect::<Vec<u64>>());
        assert!(store.stats().syncs < 100, "many transactions to a sync: {:?}", store.stats());

        store.lease_grant(9, 1).await.unwrap();
        let mut leased = put(KeySpace::Etcd, "leased", "v");
        leased.then = vec![knarr_store::Op::Put { key: "leased".into(), value: "v".into(), lease: 9 }];
        store.txn(leased).await.unwrap();
        assert!(store.get(KeySpace::Etcd, b"leased", None).unwrap().is_some());
        tokio::time::sleep(Duration::from_millis(1_300)).await;
        assert!(store.get(KeySpace::Etcd, b"leased", None).unwrap().is_none());
        assert!(store.lease(9).is_none());
        assert_eq!(store.barrier().await, Ok(Revision(201)));
    });
}
