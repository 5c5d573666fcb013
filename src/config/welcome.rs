//! Owns what a welcome text may be. Knows nothing of who is told it.

use std::fmt;

use crate::chat::harmless;

/// More than anybody reads, and less than a datagram holds.
const MAX_BYTES: usize = 1024;

/// Each may be a message of its own, and all of them stand on a terminal at once.
const MAX_LINES: usize = 10;

/// What a welcome text may not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WelcomeError {
    TooLong { bytes: usize },
    TooManyLines { lines: usize },
    Harmful { line: usize },
}

/// The text with one kind of line end, and none behind the last line, where `"""` puts one.
pub(super) fn read(text: &str) -> Result<String, WelcomeError> {
    let text = text.replace("\r\n", "\n");
    let text = text.trim_end_matches('\n');
    if text.len() > MAX_BYTES {
        return Err(WelcomeError::TooLong { bytes: text.len() });
    }
    let lines = text.split('\n');
    let count = lines.clone().count();
    if count > MAX_LINES {
        return Err(WelcomeError::TooManyLines { lines: count });
    }
    match lines.clone().position(|line| harmless(line) != line) {
        Some(number) => Err(WelcomeError::Harmful { line: number + 1 }),
        None => Ok(text.to_owned()),
    }
}

impl fmt::Display for WelcomeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WelcomeError::TooLong { bytes } => {
                write!(
                    f,
                    "it has {MAX_BYTES} bytes at the most, and this one {bytes}"
                )
            }
            WelcomeError::TooManyLines { lines } => {
                write!(
                    f,
                    "it has {MAX_LINES} lines at the most, and this one {lines}"
                )
            }
            WelcomeError::Harmful { line } => {
                write!(f, "there are control characters in its line {line}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_welcome_is_short_and_harmless() {
        assert_eq!(read("").unwrap(), "");
        assert_eq!(read("hello\n").unwrap(), "hello");
        assert_eq!(read("a\r\n\r\nb\tc é\n").unwrap(), "a\n\nb\tc é");
        assert!(read(&"x".repeat(1024)).is_ok());
        let long = read(&"x".repeat(1025));
        assert_eq!(long, Err(WelcomeError::TooLong { bytes: 1025 }));
        assert!(read(&["x"; 10].join("\n")).is_ok());
        let many = read(&["x"; 11].join("\n"));
        assert_eq!(many, Err(WelcomeError::TooManyLines { lines: 11 }));
        for harm in ["\u{1b}[2J", "a\rb", "\u{202e}", "\0", "\u{7}"] {
            let text = format!("fine\n{harm}");
            assert_eq!(
                read(&text),
                Err(WelcomeError::Harmful { line: 2 }),
                "{harm:?}"
            );
        }
    }
}
