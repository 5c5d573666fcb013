//! Owns a password while it is in memory: checked, never printed, wiped when it goes.
//! Knows nothing of how passwords are hashed.

use std::fmt;

use zeroize::Zeroize;

/// The longest password, in bytes of UTF-8: a frame of the login protocol has room for it beside the
/// longest name, and no person types more.
pub const MAX_PASSWORD_BYTES: usize = 128;

/// A password of 1 to 128 bytes. What it holds is overwritten when it is dropped, and `Debug` shows
/// nothing of it, so that it cannot get into a log by accident.
#[derive(Clone)]
pub struct Password(Box<str>);

/// Why a text is not a password. Says nothing of the text but its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordError {
    /// Nothing at all.
    Empty,
    /// More than [`MAX_PASSWORD_BYTES`].
    TooLong { bytes: usize },
}

impl Password {
    /// Checks the length and copies the text once.
    pub fn new(text: &str) -> Result<Password, PasswordError> {
        match text.len() {
            0 => Err(PasswordError::Empty),
            1..=MAX_PASSWORD_BYTES => Ok(Password(text.into())),
            bytes => Err(PasswordError::TooLong { bytes }),
        }
    }

    /// The password itself, for whoever has to say it to a server. Whatever it is copied to is to be wiped, too.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// For the hash alone.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether both are one, in a time that does not tell how much of them is.
    pub(super) fn same_as(&self, other: &Password) -> bool {
        let (mut one, mut two) = ([0u8; MAX_PASSWORD_BYTES], [0u8; MAX_PASSWORD_BYTES]);
        for (to, from) in one.iter_mut().zip(self.as_bytes()) {
            *to = *from;
        }
        for (to, from) in two.iter_mut().zip(other.as_bytes()) {
            *to = *from;
        }
        let lengths_differ = usize::from(self.0.len() != other.0.len());
        let differ = one.iter().zip(&two).fold(lengths_differ, |differ, (a, b)| {
            std::hint::black_box(differ | usize::from(a ^ b))
        });
        one.zeroize();
        two.zeroize();
        differ == 0
    }
}

impl Drop for Password {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl fmt::Display for PasswordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PasswordError::Empty => write!(f, "a password has at least one character"),
            PasswordError::TooLong { bytes } => write!(
                f,
                "a password has at most {MAX_PASSWORD_BYTES} bytes of UTF-8, this one has {bytes}"
            ),
        }
    }
}

impl std::error::Error for PasswordError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_1_to_128_bytes() {
        assert_eq!(Password::new("").unwrap_err(), PasswordError::Empty);
        assert!(Password::new(&"x".repeat(128)).is_ok());
        assert_eq!(
            Password::new(&"é".repeat(65)).unwrap_err(),
            PasswordError::TooLong { bytes: 130 }
        );
    }

    #[test]
    fn nothing_of_it_is_printed() {
        let password = Password::new("correct horse").unwrap();
        assert_eq!(format!("{password:?}"), "Password(…)");
    }

    #[test]
    fn the_same_and_no_other() {
        let password = |text| Password::new(text).unwrap();
        assert!(password("secret").same_as(&password("secret")));
        for other in ["secre", "secret\0", "Secret", "s", "secret secret"] {
            assert!(!password("secret").same_as(&password(other)), "{other:?}");
        }
    }
}
