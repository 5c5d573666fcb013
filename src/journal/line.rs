//! Owns what a message may do to the line it stands in: nothing. Knows neither time nor level.

use std::fmt::{self, Write};

/// A line of the log with everything in it is not longer: a peer that makes us log what it sends
/// must not fill the disk.
pub const MAX_LINE_BYTES: usize = 1024;

/// The message's part of it. The rest is for the time and the level, the module's name, and the
/// end of the line.
const MAX_MESSAGE_BYTES: usize = MAX_LINE_BYTES - 128;

/// Ends a message that was cut.
const CUT: &str = "…";

/// The message on one line that does what it looks like: control characters are escaped (they would
/// begin a line of their own, or command the administrator's terminal), and so are those that turn
/// the direction of writing around. Longer than its part of the line it is cut, between characters.
pub(super) fn harmless(message: fmt::Arguments<'_>) -> String {
    escaped(message, MAX_MESSAGE_BYTES)
}

/// The same of what no peer can cause, which is as long as it is.
pub(super) fn harmless_and_whole(message: fmt::Arguments<'_>) -> String {
    escaped(message, usize::MAX)
}

fn escaped(message: fmt::Arguments<'_>, most: usize) -> String {
    let mut line = Line {
        text: String::new(),
        most,
    };
    if line.write_fmt(message).is_err() {
        line.text.push_str(CUT);
    }
    line.text
}

struct Line {
    text: String,
    /// Bytes of it.
    most: usize,
}

impl Write for Line {
    /// Fails where the line ends, so that a long message is not even formatted to its end.
    fn write_str(&mut self, part: &str) -> fmt::Result {
        part.chars().try_for_each(|c| self.write_char(c))
    }

    fn write_char(&mut self, c: char) -> fmt::Result {
        let before = self.text.len();
        if is_harmless(c) {
            self.text.push(c);
        } else {
            self.text.extend(escape(c));
        }
        if self.text.len() > self.most - CUT.len() {
            self.text.truncate(before);
            return Err(fmt::Error);
        }
        Ok(())
    }
}

fn is_harmless(c: char) -> bool {
    !c.is_control() && !turns_direction(c) && !matches!(c, '\u{2028}' | '\u{2029}')
}

/// The characters with the property Bidi_Control (UAX 9).
fn turns_direction(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// `\n`, `\r`, `\t`, else `\u{1b}`.
fn escape(c: char) -> impl Iterator<Item = char> {
    let short = matches!(c, '\n' | '\r' | '\t').then(|| c.escape_default());
    let long = short.is_none().then(|| c.escape_unicode());
    short
        .into_iter()
        .flatten()
        .chain(long.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r09_what_is_escaped_and_what_is_not() {
        let table = [
            ("ada says hello", "ada says hello"),
            ("one\ntwo\r\n", r"one\ntwo\r\n"),
            ("tab\there", r"tab\there"),
            ("\u{1b}[31mred", r"\u{1b}[31mred"),
            ("\0\u{7}\u{7f}", r"\u{0}\u{7}\u{7f}"),
            // C1: the one-character form of ESC [, and "next line".
            ("\u{9b}2J \u{85}", r"\u{9b}2J \u{85}"),
            ("\u{202e}gnp.exe", r"\u{202e}gnp.exe"),
            (
                "\u{2066}\u{2069}\u{200e}\u{200f}\u{61c}",
                r"\u{2066}\u{2069}\u{200e}\u{200f}\u{61c}",
            ),
            ("\u{2028}\u{2029}", r"\u{2028}\u{2029}"),
            ("grüße 你好 👋🏽 שלום", "grüße 你好 👋🏽 שלום"),
            (r"a backslash \n stays", r"a backslash \n stays"),
        ];
        for (message, expected) in table {
            assert_eq!(harmless(format_args!("{message}")), expected);
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        for filler in ["x", "ü", "好", "👋", "\n", "\u{202e}"] {
            for offset in 0..8 {
                let message = "x".repeat(offset) + &filler.repeat(MAX_LINE_BYTES);
                let cut = harmless(format_args!("{message}"));
                assert!(cut.len() <= MAX_MESSAGE_BYTES);
                assert!(
                    cut.len() > MAX_MESSAGE_BYTES - CUT.len() - 8,
                    "{}",
                    cut.len()
                );
                let kept = cut.strip_suffix(CUT).unwrap();
                let escaped = harmless(format_args!("{filler}"));
                assert!(
                    kept[offset..].len().is_multiple_of(escaped.len()),
                    "an escape is cut"
                );
            }
        }
    }

    #[test]
    fn a_message_that_just_fits_is_whole() {
        let message = "x".repeat(MAX_MESSAGE_BYTES - CUT.len());
        assert_eq!(harmless(format_args!("{message}")), message);
        assert!(harmless(format_args!("{message}x")).ends_with(CUT));
        let long = message.repeat(2) + "\n";
        let whole = harmless_and_whole(format_args!("{long}"));
        assert_eq!(whole, message.repeat(2) + "\\n");
    }
}
