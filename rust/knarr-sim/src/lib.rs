//! A seeded world with faults, invariants and replay.
