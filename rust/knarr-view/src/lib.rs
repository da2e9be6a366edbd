//! Projected, indexed caches that controllers and agents read.
