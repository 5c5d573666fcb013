//! Owns the secrets that stand for a member where an address does not: session ids and tokens.
//! Knows no source of randomness: it is given the bits.

use std::fmt;
use std::ops::Deref;

use subtle::ConstantTimeEq;

/// 128 random bits. Compared in constant time, and never printed by `Debug`.
#[derive(Clone, Copy)]
pub struct Secret([u8; 16]);

impl Secret {
    /// Made of bits that nobody can guess.
    pub const fn new(bits: [u8; 16]) -> Secret {
        Secret(bits)
    }

    /// From the 32 lower-case hexadecimal digits that we once gave out; anything else is none of ours.
    pub fn from_hex(text: &[u8]) -> Option<Secret> {
        let digits: &[u8; 32] = text.try_into().ok()?;
        let mut bits = [0; 16];
        for (bits, pair) in bits.iter_mut().zip(digits.chunks_exact(2)) {
            *bits = match pair {
                [high, low] => digit(*high)? << 4 | digit(*low)?,
                _ => return None,
            };
        }
        Some(Secret(bits))
    }

    /// The bits, as a key of a table whose hash is keyed.
    pub fn bits(self) -> u128 {
        u128::from_be_bytes(self.0)
    }

    /// Appends its 32 digits.
    pub fn encode(self, out: &mut Vec<u8>) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let nibbles = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        out.extend(nibbles.filter_map(|nibble| DIGITS.get(usize::from(nibble))));
    }
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A secret as the wire has it, when it may be any text: it is what it holds, but never printed by `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hidden<T>(pub T);

impl<T> Deref for Hidden<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Hidden<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_back() {
        let secret = Secret::new([0, 1, 2, 0xfe, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff]);
        let mut digits = Vec::new();
        secret.encode(&mut digits);
        assert_eq!(digits, b"000102fe0405060708090a0b0c0d0eff");
        assert_eq!(Secret::from_hex(&digits), Some(secret));
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert_eq!(format!("{:?}", Hidden("token")), "Hidden(..)");
    }

    #[test]
    fn what_was_never_given_out_is_no_secret() {
        let good = [b'a'; 32];
        assert!(Secret::from_hex(&good).is_some());
        assert_eq!(Secret::from_hex(&[b'A'; 32]), None);
        assert_eq!(Secret::from_hex(&good[1..]), None);
        assert_eq!(Secret::from_hex(&[b'a'; 33]), None);
        assert_eq!(Secret::from_hex(&[b'g'; 32]), None);
        assert_ne!(Secret::from_hex(&good), Some(Secret::new([0; 16])));
    }
}
