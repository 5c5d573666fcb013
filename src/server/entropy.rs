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
