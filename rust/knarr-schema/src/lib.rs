//! Compiled declarations of kinds: defaults, rules, patches, ownership, tables.
