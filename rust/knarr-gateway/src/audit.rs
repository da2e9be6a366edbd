//! The audit log: one JSON line a request, written by a thread of its own so that no request waits for a disk.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

/// Lines waiting for the disk; beyond it lines are dropped and counted, since requests must not wait.
const QUEUE: usize = 16_384;

/// What is written of a request.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    pub id: &'a str,
    pub time: &'a str,
    pub user: &'a str,
    pub verb: &'a str,
    pub uri: &'a str,
    pub source: std::net::IpAddr,
    pub agent: &'a str,
    pub code: u16,
    pub microseconds: u64,
}

pub struct Audit {
    lines: SyncSender<String>,
    dropped: AtomicU64,
}

impl Audit {
    /// Appends to `path`, made with mode 0600. Errors: it cannot be opened, or no thread can be started.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let (lines, queue) = sync_channel::<String>(QUEUE);
        std::thread::Builder::new().name("knarr-audit".to_owned()).spawn(move || {
            let mut file = std::io::BufWriter::new(file);
            while let Ok(line) = queue.recv() {
                let mut failed = file.write_all(line.as_bytes()).is_err();
                for line in queue.try_iter() {
                    failed |= file.write_all(line.as_bytes()).is_err();
                }
                if failed | file.flush().is_err() {
                    crate::log::line("error", "audit log cannot be written", &[]);
                }
            }
        })?;
        Ok(Self { lines, dropped: AtomicU64::new(0) })
    }

    pub fn write(&self, event: &Event<'_>) {
        let line = serde_json::json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "stage": "ResponseComplete",
            "auditID": event.id, "requestReceivedTimestamp": event.time, "verb": event.verb, "requestURI": event.uri,
            "user": {"username": event.user}, "sourceIPs": [event.source.to_string()], "userAgent": event.agent,
            "responseStatus": {"code": event.code}, "microseconds": event.microseconds,
        });
        if self.lines.try_send(format!("{line}\n")).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines that found the queue full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}
