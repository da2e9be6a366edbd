//! No acknowledged write is lost, and nothing appears that nobody proposed.
//!
//! Source: DESIGN.md, Invariants, 1; Raft (Ongaro and Ousterhout 2014), section 5.4, Leader Completeness.

use knarr_base::Revision;

use super::Verdict;
use crate::model::Model;

/// `recovered`: the store's revision after it came back.
pub fn check(model: &Model, recovered: Revision) -> Verdict {
    if recovered < model.acknowledged {
        return Err(format!("revision {} was acknowledged, {recovered} came back", model.acknowledged));
    }
    if recovered > model.revision() {
        return Err(format!("revision {recovered} came back, only {} was proposed", model.revision()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn can_fail() {
        let mut model = Model::default();
        model.propose(vec![("a".into(), None)]);
        model.acknowledged = Revision(2);
        assert!(check(&model, Revision(1)).is_err());
        assert!(check(&model, Revision(2)).is_ok());
        assert!(check(&model, Revision(3)).is_err());
    }
}
