//! Request ids (Audit-Id): unique, unguessable enough to correlate by, and cheap.

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::quality::RandomState;

/// A counter under two keyed hashes, the keys drawn at start: 122 bits that do not repeat within a server's life.
pub struct RequestIds {
    count: AtomicU64,
    high: RandomState,
    low: RandomState,
}

impl RequestIds {
    pub fn new() -> Self {
        Self { count: AtomicU64::new(0), high: RandomState::default(), low: RandomState::default() }
    }

    /// A UUID of version 4.
    pub fn next(&self) -> String {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let hash = |state: &RandomState| {
            let mut hasher = state.build_hasher();
            hasher.write_u64(count);
            hasher.finish()
        };
        let (high, low) = (hash(&self.high), hash(&self.low));
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            0x8000 | (low >> 48) & 0x3fff,
            low & 0xffff_ffff_ffff
        )
    }
}

impl Default for RequestIds {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_and_differ() {
        let ids = RequestIds::new();
        let mut seen: Vec<String> = (0..1000).map(|_| ids.next()).collect();
        assert!(
            seen.iter()
                .all(|id| id.len() == 36 && id.as_bytes()[14] == b'4' && matches!(id.as_bytes()[19], b'8'..=b'b'))
        );
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 1000);
    }
}
