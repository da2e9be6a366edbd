//! What must hold, one file each. Each names its source, is a function of values so that checkers of real clusters can use it,
//! and has a test that it can fail.

pub mod acknowledged;
pub mod damage;
pub mod history;
pub mod reads;

/// A broken invariant, in words.
pub type Verdict = Result<(), String>;
