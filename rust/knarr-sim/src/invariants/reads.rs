//! A read at a revision is what the writes up to it made, whatever came after.
//!
//! Source: etcd, "KV API guarantees", Consistency: reads at a revision are of that point in the order of transactions.

use knarr_base::Revision;
use knarr_store::{KeySpace, Machine};

use super::Verdict;
use crate::model::Model;

/// Reads everything at `at`.
pub fn check(model: &Model, machine: &Machine, at: Revision) -> Verdict {
    let (page, _) = machine.range(KeySpace::Cluster, b"", b"", Some(at), 0).map_err(|error| error.to_string())?;
    let found: Vec<_> = page.records.iter().map(|(key, record)| (key.clone(), record.value.clone())).collect();
    let wanted: Vec<_> = model.at(at).into_iter().collect();
    if found == wanted {
        Ok(())
    } else {
        Err(format!("at revision {at}: {} keys, {} expected, or other values", found.len(), wanted.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use knarr_store::{MemoryStore, put};

    #[test]
    fn can_fail() {
        let store = MemoryStore::new();
        store.txn_now(put(KeySpace::Cluster, "a", "1")).expect("a write");
        let mut model = Model::default();
        model.propose(vec![("a".into(), Some("2".into()))]);
        assert!(check(&model, store.machine(), Revision(1)).is_ok());
        assert!(check(&model, store.machine(), Revision(2)).is_err());
    }
}
