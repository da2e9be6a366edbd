//! A store with a flipped bit in its log or snapshot does not start, and says where.
//!
//! Source: issue 4, "The core": with bit flips in synced data the start is refused, naming file and offset.

use knarr_raft::OpenError;

use super::Verdict;

/// `outcome`: the refusal, None if it started. `sector`: where the flipped bit is; `exact`: the file names sectors, not pages.
pub fn check(outcome: Option<&OpenError>, file: &str, sector: u64, exact: bool) -> Verdict {
    match outcome {
        Some(OpenError::Damaged { file: named, offset, .. })
            if named == file && (*offset == sector || !exact && *offset < sector + 512) =>
        {
            Ok(())
        }
        Some(other) => Err(format!("a bit is flipped in {file} at {sector}, it says: {other}")),
        None => Err(format!("a bit is flipped in {file} at {sector}, and it starts")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn can_fail() {
        let error = OpenError::Damaged { file: "a".into(), offset: 512, what: "" };
        assert!(check(Some(&error), "a", 512, true).is_ok());
        assert!(check(Some(&error), "a", 0, true).is_err());
        assert!(check(Some(&error), "b", 512, true).is_err());
        assert!(check(None, "a", 512, true).is_err());
    }
}
