//! Log, votes and membership of the replicated store.
