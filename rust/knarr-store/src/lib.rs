//! Key spaces, revisions, transactions, leases and snapshots.
