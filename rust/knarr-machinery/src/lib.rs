//! Verbs on objects.
