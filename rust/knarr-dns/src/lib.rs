//! DNS wire format and answers from an index.
