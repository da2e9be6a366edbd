//! Fault points: places in the code that misbehave on purpose, in simulation only.
//!
//! A point is on or off for a whole run and, where it is on, fires by chance (foundationdb `flow/include/flow/Buggify.h`): a fault
//! that fires everywhere a little finds less than one that fires often where it is on at all. The plan is a value that the core
//! is given; outside simulation it is [`Faults::none`], which costs one comparison.

use std::collections::BTreeMap;

use crate::rng::{Rng, SeededRng, mix};

/// Which fault points are on in this run, and the chances they fire with.
#[derive(Clone, Debug)]
pub struct Faults {
    seed: Option<u64>,
    rng: SeededRng,
    fired: BTreeMap<&'static str, u64>,
}

/// Of all points, this share is on in a run.
const POINT_ON: f64 = 0.25;
/// A point that is on fires with this chance.
const POINT_FIRES: f64 = 0.25;

impl Faults {
    /// No point ever fires.
    #[must_use]
    pub fn none() -> Self {
        Self { seed: None, rng: SeededRng::new(0), fired: BTreeMap::new() }
    }

    /// The plan of a seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { seed: Some(seed), rng: SeededRng::new(seed).child("faults"), fired: BTreeMap::new() }
    }

    /// Whether the point `name` misbehaves this time.
    pub fn fires(&mut self, name: &'static str) -> bool {
        let Some(seed) = self.seed else { return false };
        let own = name.bytes().fold(seed, |state, byte| mix(state ^ u64::from(byte)));
        let fires = SeededRng::new(own).chance(POINT_ON) && self.rng.chance(POINT_FIRES);
        if fires {
            *self.fired.entry(name).or_default() += 1;
        }
        fires
    }

    /// How often each point fired.
    #[must_use]
    pub fn fired(&self) -> &BTreeMap<&'static str, u64> {
        &self.fired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_on_for_a_whole_run_or_never() {
        assert!(!Faults::none().fires("a"));
        let fired: Vec<u64> = (0..200)
            .map(|seed| {
                let mut faults = Faults::seeded(seed);
                (0..100).filter(|_| faults.fires("a")).count() as u64
            })
            .collect();
        let on = fired.iter().filter(|count| **count > 0).count();
        assert!((20..90).contains(&on), "on in {on} of 200 runs");
        assert!(fired.iter().all(|count| *count == 0 || *count > 5), "a point that is on fires often: {fired:?}");
    }
}
