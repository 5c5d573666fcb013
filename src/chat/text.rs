//! Owns what a text may hold when it reaches other people: the relay rule of all protocols.
//! Knows nothing of frames. What comes out of [`harmless`] moves no cursor, rings no bell and forges
//! no line, whatever the reader's terminal is (CWE-150).

use std::borrow::Cow;

/// The longest text of one message, in bytes of UTF-8, before and after it was made harmless.
pub const MAX_TEXT_BYTES: usize = 4096;

/// The longest text that the server itself says at once, in bytes of UTF-8. It goes to everybody, and all lines of it at
/// once: this is far less than what a member may lag.
pub const MAX_NOTICE_BYTES: usize = 16 * 1024;

/// How a direct message begins in the protocols that have no frame of their own for it.
pub const PRIVATE_MARK: &str = "(private) ";

/// A public text, in pieces, as those protocols are told it: what looks like a direct message and is none
/// has a space before it.
pub fn public(text: &str) -> [&str; 2] {
    let looks_private = text.starts_with(PRIVATE_MARK.trim_end());
    [if looks_private { " " } else { "" }, text]
}

const REPLACEMENT: char = '\u{fffd}';

/// Makes a text harmless to show: CRLF, CR or LF becomes one space; other C0 controls but TAB, DEL,
/// C1 and the bidirectional overrides and isolates become U+FFFD; what is then longer than
/// [`MAX_TEXT_BYTES`] is cut at a code point. Borrows when nothing has to change.
pub fn harmless(text: &str) -> Cow<'_, str> {
    // One pass over the bytes decides the usual case. 0xc2 begins all of C1 and 0xe2 all of the
    // bidirectional controls; both begin much that is harmless too, which the slow way sorts out.
    let suspicious =
        |byte: u8| (byte < 0x20 && byte != b'\t') || matches!(byte, 0x7f | 0xc2 | 0xe2);
    if !text.bytes().any(suspicious) {
        return Cow::Borrowed(cut(text, MAX_TEXT_BYTES));
    }
    let mut out = String::with_capacity(text.len().min(MAX_TEXT_BYTES));
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let shown = match c {
            '\r' => {
                chars.next_if_eq(&'\n');
                ' '
            }
            '\n' => ' ',
            '\t' => '\t',
            c if c.is_control() || is_bidi_control(c) => REPLACEMENT,
            c => c,
        };
        if out.len() + shown.len_utf8() > MAX_TEXT_BYTES {
            break;
        }
        out.push(shown);
    }
    Cow::Owned(out)
}

/// What the server says, as harmless messages: one for each line that is not blank, several for a line that is longer than
/// a message. What is over [`MAX_NOTICE_BYTES`] is cut at a code point.
pub fn notice_lines(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    cut(text, MAX_NOTICE_BYTES)
        .lines()
        .filter(|line| !line.trim().is_empty())
        .flat_map(|line| split(line, MAX_TEXT_BYTES))
        .map(harmless)
}

/// The longest prefix of at most `limit` bytes that ends at a code point.
pub fn cut(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit))
        .unwrap_or_default()
}

/// A text as pieces of at most `limit` bytes each, none of them empty, cut at code points.
///
/// `limit` is at least 4, the longest code point.
pub fn split(text: &str, limit: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let piece = cut(rest, limit.max(4));
        rest = rest.get(piece.len()..).unwrap_or_default();
        (!piece.is_empty()).then_some(piece)
    })
}

fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_text_is_borrowed() {
        for text in ["", "hi", "tab\there", "grüße 🐦", "“quoted” café"] {
            assert_eq!(harmless(text), text);
        }
        assert!(matches!(harmless("hi"), Cow::Borrowed(_)));
    }

    #[test]
    fn line_ends_become_one_space_each() {
        assert_eq!(harmless("a\r\nb\rc\nd"), "a b c d");
        assert_eq!(harmless("a\n\r\nb\n\n"), "a  b  ");
        assert_eq!(harmless("\r"), " ");
    }

    #[test]
    fn controls_become_the_replacement_character() {
        assert_eq!(harmless("\u{1b}]0;x\u{7}"), "\u{fffd}]0;x\u{fffd}");
        assert_eq!(harmless("\u{7f}\u{80}\u{9b}\0"), "\u{fffd}".repeat(4));
        assert_eq!(
            harmless("\u{202a}\u{202e}\u{2066}\u{2069}"),
            "\u{fffd}".repeat(4)
        );
        assert_eq!(harmless("\u{2029}\u{206a}\u{a0}"), "\u{2029}\u{206a}\u{a0}");
    }

    #[test]
    fn a_notice_is_a_message_for_each_line() {
        let lines =
            |text: &str| -> Vec<String> { notice_lines(text).map(Cow::into_owned).collect() };
        assert_eq!(lines("one\r\n\n  \ntwo\x07\r"), ["one", "two\u{fffd} "]);
        assert!(lines(" \n\n").is_empty() && lines("").is_empty());
        let long = format!("{}\nend", "é".repeat(3000));
        let pieces = lines(&long);
        assert_eq!(pieces.len(), 3);
        assert_eq!(pieces.concat(), long.replace('\n', ""));
        let most: usize = lines(&"x\n".repeat(MAX_NOTICE_BYTES)).len();
        assert_eq!(most, MAX_NOTICE_BYTES / 2);
    }

    #[test]
    fn what_grew_over_the_limit_is_cut_at_a_code_point() {
        let grown = "\u{1}".repeat(MAX_TEXT_BYTES);
        let shown = harmless(&grown);
        assert_eq!(shown.len(), MAX_TEXT_BYTES / 3 * 3);
        assert!(shown.chars().all(|c| c == REPLACEMENT));
        assert_eq!(harmless(&"é".repeat(3000)).len(), MAX_TEXT_BYTES);
        assert_eq!(cut("aé", 2), "a");
    }

    proptest! {
        #[test]
        fn r09_harmless_text_is_harmless_short_and_stays_as_it_is(text in "\\PC*|[\\x00-\\x{ff}]{0,5000}") {
            let once = harmless(&text).into_owned();
            prop_assert!(once.len() <= MAX_TEXT_BYTES);
            prop_assert!(once.chars().all(|c| c == '\t' || !(c.is_control() || is_bidi_control(c))));
            prop_assert_eq!(harmless(&once), once.as_str());
        }

        #[test]
        fn pieces_make_up_the_text(text in "\\PC{0,200}", limit in 4usize..40) {
            let pieces: Vec<&str> = split(&text, limit).collect();
            prop_assert_eq!(pieces.concat(), text.as_str());
            prop_assert!(pieces.iter().all(|piece| (1..=limit).contains(&piece.len())));
        }
    }
}
