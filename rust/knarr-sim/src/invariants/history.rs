//! History names every change after compaction once, in order, with what was there before.
//!
//! Source: DESIGN.md, Invariants, 2; etcd, "Watch API guarantees": ordered, unique, reliable, atomic.

use knarr_base::Revision;
use knarr_store::Change;

use super::Verdict;
use crate::model::Model;

/// `changes`: history from revision `from` to the end.
pub fn check(model: &Model, from: Revision, changes: &[Change]) -> Verdict {
    let mut wanted = (from.0..=model.revision().0).flat_map(|revision| {
        let revision = Revision(revision);
        model.changes(revision).iter().map(move |effect| (revision, effect))
    });
    for change in changes {
        let Some((revision, (key, value))) = wanted.next() else {
            return Err(format!("revision {}: a change that nobody made", change.revision));
        };
        let found = change.record.as_ref().map(|record| record.value.clone());
        if change.revision != revision || change.key != *key || found != *value {
            return Err(format!("revision {revision}: history differs"));
        }
        if found.is_none() && change.previous.is_none() {
            return Err(format!("revision {revision}: a deletion of nothing"));
        }
    }
    match wanted.next() {
        Some((revision, _)) => Err(format!("revision {revision} is missing from history")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn can_fail() {
        let mut model = Model::default();
        assert!(check(&model, Revision(2), &[]).is_ok());
        model.propose(vec![("a".into(), None)]);
        assert!(check(&model, Revision(2), &[]).is_err());
        let stray = Change { revision: Revision(2), key: "b".into(), record: None, previous: None };
        assert!(check(&model, Revision(2), &[stray]).is_err());
    }
}
