//! What the store ought to hold: every revision's changes, and nothing clever.

use std::collections::BTreeMap;

use bytes::Bytes;
use knarr_base::Revision;

/// A change as a client knows it: key and new value, None for a deletion.
pub type Effect = (Bytes, Option<Bytes>);

/// The changes of every revision, first that of revision 2.
#[derive(Clone, Debug, Default)]
pub struct Model {
    revisions: Vec<Vec<Effect>>,
    /// The last revision whose writer was told so.
    pub acknowledged: Revision,
}

impl Model {
    /// The last revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        Revision(self.revisions.len() as u64 + 1)
    }

    /// A transaction was proposed that makes these changes; without any it makes no revision.
    pub fn propose(&mut self, effects: Vec<Effect>) {
        if !effects.is_empty() {
            self.revisions.push(effects);
        }
    }

    /// What came after `revision` never happened.
    pub fn truncate(&mut self, revision: Revision) {
        self.revisions.truncate(revision.0.saturating_sub(1) as usize);
    }

    /// The changes of a revision.
    #[must_use]
    pub fn changes(&self, revision: Revision) -> &[Effect] {
        revision.0.checked_sub(2).and_then(|index| self.revisions.get(index as usize)).map_or(&[], Vec::as_slice)
    }

    /// All keys as of a revision.
    #[must_use]
    pub fn at(&self, revision: Revision) -> BTreeMap<Bytes, Bytes> {
        let mut state = BTreeMap::new();
        for (key, value) in self.revisions.iter().take(revision.0.saturating_sub(1) as usize).flatten() {
            match value {
                Some(value) => state.insert(key.clone(), value.clone()),
                None => state.remove(key),
            };
        }
        state
    }
}
