//! Marks: a branch that surprises says its name, and the one test that explains it asserts that it was reached.
//!
//! A mark costs one relaxed load where no test looks (tigerbeetle `src/testing/marks.zig`). [`hit`] stands in the branch,
//! [`Watch`] in the test.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

static WATCHES: AtomicUsize = AtomicUsize::new(0);
static COUNTS: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

/// Counts that the branch `name` was taken, if any test watches.
pub fn hit(name: &'static str) {
    if WATCHES.load(Ordering::Relaxed) > 0 {
        *COUNTS.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
    }
}

/// Counts marks while it lives. Counters are the process's: two tests may watch at once and see each other's hits, so a test
/// asserts "at least once" about a mark of its own.
#[derive(Debug)]
pub struct Watch(());

impl Watch {
    /// Begins to count.
    #[must_use]
    pub fn new() -> Self {
        WATCHES.fetch_add(1, Ordering::Relaxed);
        Self(())
    }

    /// How often the branch `name` was taken.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        COUNTS.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied().unwrap_or(0)
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        WATCHES.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_only_while_watched() {
        hit("base.marks.test");
        let watch = Watch::new();
        assert_eq!(watch.count("base.marks.test"), 0);
        hit("base.marks.test");
        assert_eq!(watch.count("base.marks.test"), 1);
    }
}
