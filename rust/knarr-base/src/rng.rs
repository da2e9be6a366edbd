//! Randomness as a value: a trait, and a small seeded generator whose children are independent of each other.

/// A source of random numbers.
pub trait Rng: Send {
    /// The next 64 random bits.
    fn next_u64(&mut self) -> u64;

    /// A number below `n`, 0 when `n` is 0. The bias of the multiplication is below n / 2^64.
    fn below(&mut self, n: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(n);
        (wide >> 64) as u64
    }

    /// True with probability `p` (0 never, 1 always).
    fn chance(&mut self, p: f64) -> bool {
        // 53 bits fill a double exactly; 1.0 is above all of them.
        ((self.next_u64() >> 11) as f64) < p * (1u64 << 53) as f64
    }

    /// Fills `bytes` with random ones.
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let random = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&random[..chunk.len()]);
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): one word of state, equal seeds give equal numbers on every machine. Not for keys.
#[derive(Clone, Debug)]
pub struct SeededRng {
    state: u64,
}

impl SeededRng {
    /// A generator that starts at `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A generator of its own for the part `name`. It depends on the seed and the name, not on what was drawn before or what
    /// other children there are: adding a part to a simulation leaves the others' numbers alone.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        let mut state = self.state ^ 0x6b6e_6172_7200_0000;
        for byte in name.bytes() {
            state = mix(state ^ u64::from(byte));
        }
        Self { state }
    }
}

/// A bijection of 64 bits in which every input bit reaches every output bit.
#[must_use]
pub fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng for SeededRng {
    fn next_u64(&mut self) -> u64 {
        let next = mix(self.state);
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_numbers_and_children_stand_alone() {
        let (mut a, mut b) = (SeededRng::new(7), SeededRng::new(7));
        assert_eq!((a.next_u64(), a.below(10)), (b.next_u64(), b.below(10)));
        let fresh = SeededRng::new(7);
        assert_eq!(fresh.child("disk").next_u64(), fresh.child("disk").next_u64());
        assert_ne!(fresh.child("disk").next_u64(), fresh.child("net").next_u64());
        assert!((0..1000).all(|_| a.below(3) < 3 && a.chance(1.0) && !a.chance(0.0)));
    }
}
