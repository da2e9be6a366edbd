//! Randomness from the kernel.

use knarr_base::{Rng, SeededRng};

/// A generator seeded by the kernel. For jitter and ids of no worth to an attacker; keys are made elsewhere.
#[derive(Clone, Debug)]
pub struct SystemRng(SeededRng);

impl SystemRng {
    /// Draws a seed.
    #[must_use]
    pub fn new() -> Self {
        use std::hash::{BuildHasher, RandomState};
        Self(SeededRng::new(RandomState::new().hash_one(0)))
    }
}

impl Default for SystemRng {
    fn default() -> Self {
        Self::new()
    }
}

impl Rng for SystemRng {
    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
}
