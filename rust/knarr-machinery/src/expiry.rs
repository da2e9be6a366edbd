//! Events go after an hour. No event is parsed to know its age: once a minute the store's revision is noted, and what was last
//! written at a revision that was current an hour ago is an hour old.
//!
//! After a restart the notes are gone and events live up to an hour longer; that is harmless, and cheaper than a lease each.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use knarr_base::Revision;
use knarr_store::KeySpace;

use crate::commit::{Extra, Reads};
use crate::machinery::Machinery;

/// Seconds between two notes, and between two sweeps.
const SWEEP_SECONDS: u64 = 60;
/// Events looked at under one read.
const PAGE: usize = 512;

/// The revisions of the past: seconds of the clock, and the revision that was current then.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    taken: VecDeque<(u64, Revision)>,
}

impl Notes {
    /// Notes the revision if a minute has passed, and answers the newest revision that is at least `ttl` seconds old.
    fn note(&mut self, second: u64, revision: Revision, ttl: u64) -> Option<Revision> {
        if self.taken.back().is_some_and(|(at, _)| second < at + SWEEP_SECONDS) {
            return None;
        }
        self.taken.push_back((second, revision));
        let mut due = None;
        while let Some((at, revision)) = self.taken.front().copied() {
            if at + ttl > second {
                break;
            }
            due = Some(revision);
            self.taken.pop_front();
        }
        due
    }
}

/// Removes the events whose time is over, if it is time to look.
pub(crate) async fn sweep(machinery: &Arc<Machinery>) {
    let second = machinery.second();
    let revision = machinery.store.revision(KeySpace::Cluster);
    let due = machinery.notes.lock().note(second, revision, machinery.settings.event_ttl_seconds);
    let Some(due) = due else { return };
    let registry = machinery.registry();
    let Some(entry) = registry.stored("", "events") else { return };
    let (mut from, to) = entry.range("");
    loop {
        let Ok((page, _)) = machinery.store.range(KeySpace::Cluster, &from, &to, None, PAGE) else { return };
        let Some((last, _)) = page.records.last() else { return };
        let mut next = last.to_vec();
        next.push(0);
        from = Bytes::from(next);
        let more = page.more;
        let deletions = page
            .records
            .into_iter()
            .filter(|(_, record)| record.mod_revision <= due)
            .map(|(key, record)| {
                let machinery = Arc::clone(machinery);
                let deletion: knarr_base::BoxFuture<()> = Box::pin(async move {
                    // An event that was written meanwhile has another hour; a store that refuses is asked again in a minute.
                    let _ =
                        machinery.commit(&key, record.mod_revision, None, &Reads::default(), Extra::default()).await;
                });
                deletion
            })
            .collect();
        crate::commit::join_all(deletions).await;
        if !more {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_hour_old_is_due_and_nothing_younger() {
        let mut notes = Notes::default();
        assert_eq!(notes.note(0, Revision(10), 3600), None);
        assert_eq!(notes.note(30, Revision(11), 3600), None, "not yet a minute");
        for minute in 1..60 {
            assert_eq!(notes.note(minute * 60, Revision(10 + minute), 3600), None);
        }
        assert_eq!(notes.note(3600, Revision(100), 3600), Some(Revision(10)));
        assert_eq!(notes.note(3660, Revision(101), 3600), Some(Revision(11)));
    }
}
