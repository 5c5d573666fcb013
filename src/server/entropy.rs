//! Owns where secrets come from: the kernel, or a test's seed.

use std::fmt;

use crate::protocol::Secret;

/// A source of secrets.
pub(super) struct Entropy(Box<dyn FnMut() -> [u8; 16]>);

impl Entropy {
    /// Whatever `draw` gives.
    pub(super) fn new(draw: impl FnMut() -> [u8; 16] + 'static) -> Entropy {
        Entropy(Box::new(draw))
    }

    /// 128 bits that nobody has seen.
    pub(super) fn bits(&mut self) -> [u8; 16] {
        (self.0)()
    }

    /// The same, to be given out.
    pub(super) fn secret(&mut self) -> Secret {
        Secret::new(self.bits())
    }
}

impl Default for Entropy {
    fn default() -> Self {
        Entropy::new(|| {
            let mut bits = [0; 16];
            getrandom::fill(&mut bits)
                .expect("invariant: the kernel has random bits (getrandom(2))");
            bits
        })
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r14_a_million_secrets_are_all_different_and_every_bit_is_a_coin() {
        const DRAWN: usize = 1_000_000;
        let mut entropy = Entropy::default();
        let mut secrets: Vec<u128> = (0..DRAWN).map(|_| entropy.secret().bits()).collect();
        let mut bytes = vec![[0u32; 256]; 16];
        for secret in &secrets {
            for (counts, byte) in bytes.iter_mut().zip(secret.to_be_bytes()) {
                counts[usize::from(byte)] += 1;
            }
        }
        for (place, counts) in bytes.iter().enumerate() {
            // Seven standard deviations each: of 4224 counts none is out once in a hundred million runs.
            for bit in 0..8 {
                let values = counts.iter().zip(0u32..);
                let ones: u32 = values
                    .filter(|(_, value)| value >> bit & 1 == 1)
                    .map(|(count, _)| count)
                    .sum();
                assert!(
                    ones.abs_diff(500_000) <= 3500,
                    "{place} {bit}: {ones} are one"
                );
            }
            for (value, count) in counts.iter().enumerate() {
                assert!(count.abs_diff(3906) <= 437, "{place}: {count} of {value}");
            }
        }
        secrets.sort_unstable();
        assert!(secrets.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
