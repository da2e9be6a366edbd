//! Object changes in, columns, assignments and reasons out.
