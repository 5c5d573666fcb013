//! Owns what a typed line means. Knows no protocol: whether there is such a thing as a direct message
//! is for the session to say.

use crate::chat;

/// A typed line, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed<'a> {
    /// An empty line.
    Nothing,
    /// Say this to all.
    Say(&'a str),
    /// `/msg NAME TEXT`.
    Direct { to: &'a str, text: &'a str },
    /// `/who`.
    Who,
    /// `/help`.
    Help,
    /// `/quit`.
    Leave,
    /// A command that lacks something.
    Incomplete { usage: &'static str },
    /// No command of ours.
    Unknown { word: &'a str },
}

/// What `/help` says, a line each.
pub const HELP: [&str; 5] = [
    "a line is said to everybody; // at its beginning says a line that begins with /",
    "/who tells who is here, where the protocol can",
    "/msg NAME TEXT says something to one member alone, where the protocol can",
    "/quit leaves, as do Ctrl-C and Ctrl-D",
    "/help is this",
];

/// Reads one line, without its end. Commands are read in either case; only a line's first character
/// makes it one.
pub fn parse(line: &str) -> Typed<'_> {
    let Some(command) = line.strip_prefix('/') else {
        return match line {
            "" => Typed::Nothing,
            line => Typed::Say(line),
        };
    };
    if command.starts_with('/') {
        return Typed::Say(command);
    }
    let (word, rest) = first_word(command);
    match word.to_ascii_lowercase().as_str() {
        "quit" => Typed::Leave,
        "who" => Typed::Who,
        "help" => Typed::Help,
        "msg" => match first_word(rest) {
            ("", _) | (_, "") => Typed::Incomplete {
                usage: "/msg NAME TEXT",
            },
            (to, text) => Typed::Direct { to, text },
        },
        _ => Typed::Unknown { word },
    }
}

/// The messages that a text becomes: harmless, of at most [`chat::MAX_TEXT_BYTES`] each, and all of it.
///
/// Servers make texts harmless too, but what grows over the limit by that is cut off there. So it grows
/// here, where it can go on in the next message.
pub fn messages(text: &str) -> Vec<String> {
    // No code point is more than three times its size once it is harmless.
    let harmless: String = chat::split(text, chat::MAX_TEXT_BYTES / 3)
        .map(chat::harmless)
        .collect();
    chat::split(&harmless, chat::MAX_TEXT_BYTES)
        .map(str::to_owned)
        .collect()
}

/// Up to the first white space, and what stands behind all of that white space.
fn first_word(text: &str) -> (&str, &str) {
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_commands() {
        let table = [
            ("", Typed::Nothing),
            ("hi", Typed::Say("hi")),
            (" /quit", Typed::Say(" /quit")),
            ("//etc", Typed::Say("/etc")),
            ("//", Typed::Say("/")),
            ("/quit", Typed::Leave),
            ("/Quit ", Typed::Leave),
            ("/who", Typed::Who),
            ("/help me", Typed::Help),
            (
                "/msg bob hi  there ",
                Typed::Direct {
                    to: "bob",
                    text: "hi  there ",
                },
            ),
            (
                "/MSG  bob\thi",
                Typed::Direct {
                    to: "bob",
                    text: "hi",
                },
            ),
            (
                "/msg bob ",
                Typed::Incomplete {
                    usage: "/msg NAME TEXT",
                },
            ),
            (
                "/msg",
                Typed::Incomplete {
                    usage: "/msg NAME TEXT",
                },
            ),
            ("/", Typed::Unknown { word: "" }),
            ("/me waves", Typed::Unknown { word: "me" }),
        ];
        for (line, expected) in table {
            assert_eq!(parse(line), expected, "{line:?}");
        }
    }

    #[test]
    fn a_long_text_goes_as_several_and_nothing_is_lost() {
        assert_eq!(messages("hi"), ["hi"]);
        let long = "é".repeat(5000);
        let pieces = messages(&long);
        assert_eq!(pieces.len(), 3);
        assert!(
            pieces
                .iter()
                .all(|piece| piece.len() <= chat::MAX_TEXT_BYTES)
        );
        assert_eq!(pieces.concat(), long);
    }

    #[test]
    fn a_text_that_grows_by_becoming_harmless_loses_nothing() {
        let pieces = messages(&"\u{1}".repeat(4096));
        assert_eq!(pieces.concat().chars().count(), 4096);
        assert!(
            pieces
                .iter()
                .all(|piece| chat::harmless(piece) == piece.as_str())
        );
    }
}
