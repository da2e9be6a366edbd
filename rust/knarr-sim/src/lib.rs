//! A seeded world with faults, invariants and replay.
//!
//! Knows: the cores and every way their surroundings may fail. Never knows: real time, threads, disks. [`run`] lives a whole life
//! of a store from one number: writes, snapshots, compaction, power losses at any disk operation, flipped bits. Equal seeds give
//! equal traces. Start reading at `world.rs`; [`SimDisk`] takes the promises of [`knarr_base::disk`] at their word and no further.

mod disk;
pub mod invariants;
mod model;
mod world;

pub use disk::SimDisk;
pub use model::Model;
pub use world::{Bug, Report, run, run_losing_power_at, run_with};
