//! Owns the datagrams of the udp-room protocol in both directions.
//! Knows nothing of sockets, clocks or rooms. Decoding never panics, copies nothing, and takes any
//! bytes for what they may be; encoding never makes a datagram of more than [`MAX_DATAGRAM_BYTES`].

use std::fmt;

use crate::chat::{MAX_NAME_BYTES, Name, cut, split};
use crate::protocol::Datagrams;

/// The longest datagram in either direction: existing clients read no more.
pub const MAX_DATAGRAM_BYTES: usize = 1024;

/// What a client says, as it stands in the datagram: nothing of it is believed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// `UN| name`
    Join { name: &'a str },
    /// `PM| name: text`
    Say {
        /// Whom the datagram says it is from. Without a name that keeps the rules before the first `: `
        /// there is none, and all of it is text.
        claimed: Option<&'a str>,
        text: &'a str,
    },
    /// `DM| name> receiver: text`
    Direct {
        /// Whom the datagram says it is from: what stands before the first `>`.
        claimed: Option<&'a str>,
        to: &'a str,
        text: &'a str,
    },
    /// `DM|` without a receiver before a `:`. No public message: it was not meant for all.
    DirectToNobody,
    /// `EX|` and anything
    Leave,
    /// Anything else: a public message, whole.
    Plain { text: &'a str },
}

/// What a server says: plain text for people to read, in which programs find what they know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// `name: text`
    Message { from: &'a str, text: &'a str },
    /// `[DM] name: text`
    Direct { from: &'a str, text: &'a str },
    /// `[DM to receiver] text`
    DirectSent { to: &'a str, text: &'a str },
    /// `[name joined the server]`
    Joined { name: &'a str },
    /// `[name left the server]`
    Left { name: &'a str },
    /// `[name is taken]`
    Taken { name: &'a str },
    /// `[receiver is not online]`
    NotOnline { name: &'a str },
    /// `[you are name]`
    YouAre { name: &'a str },
    /// `[not a name]`
    NotAName,
    /// `[somebody asks for your name]`
    NameAsked,
    /// `[join first: UN| name]`
    JoinFirst,
    /// Any other line, whole, with its brackets if it has any.
    Other { text: &'a str },
}

/// Why a datagram is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// More than [`MAX_DATAGRAM_BYTES`].
    TooLong { got: usize },
    /// Bytes that are no UTF-8.
    NotUtf8,
}

const JOINED: &str = " joined the server";
const LEFT: &str = " left the server";
const TAKEN: &str = " is taken";
const NOT_ONLINE: &str = " is not online";
const YOU_ARE: &str = "you are ";
const NOT_A_NAME: &str = "[not a name]";
const NAME_ASKED: &str = "[somebody asks for your name]";
/// What a server says to an address that has not joined.
pub const JOIN_FIRST: &str = "[join first: UN| name]";
const DIRECT: &str = "[DM] ";
const DIRECT_TO: &str = "[DM to ";

/// Reads what a client says.
///
/// ```
/// use mynah::protocol::udp_room::frame::{Asked, decode_asked};
///
/// let asked = decode_asked(b"PM| alice: see: this\r\n");
/// assert_eq!(asked, Ok(Asked::Say { claimed: Some("alice"), text: "see: this" }));
/// ```
pub fn decode_asked(datagram: &[u8]) -> Result<Asked<'_>, Violation> {
    let line = decode_line(datagram)?;
    let Some((tag, rest)) = line.split_once('|') else {
        return Ok(Asked::Plain { text: line });
    };
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    let is = |name: &str| tag.eq_ignore_ascii_case(name);
    Ok(if is("UN") {
        Asked::Join { name: rest }
    } else if is("PM") {
        say(rest)
    } else if is("DM") {
        direct(rest)
    } else if is("EX") {
        Asked::Leave
    } else {
        Asked::Plain { text: line }
    })
}

/// Appends what a client says. The text is short enough for one datagram: see [`say_space`] and
/// [`direct_space`].
pub fn encode_asked(asked: &Asked<'_>, out: &mut Vec<u8>) {
    let pieces: &[&str] = match asked {
        Asked::Join { name } => &["UN| ", name],
        Asked::Say {
            claimed: Some(name),
            text,
        } => &["PM| ", name, ": ", text],
        Asked::Say {
            claimed: None,
            text,
        } => &["PM| ", text],
        Asked::Direct {
            claimed: Some(name),
            to,
            text,
        } => &["DM| ", name, "> ", to, ": ", text],
        Asked::Direct {
            claimed: None,
            to,
            text,
        } => &["DM| ", to, ": ", text],
        Asked::DirectToNobody => &["DM| "],
        Asked::Leave => &["EX| bye"],
        Asked::Plain { text } => &[text],
    };
    put(pieces, out);
}

/// How long a text may be that `name` says in one datagram, in bytes.
pub fn say_space(name: &str) -> usize {
    space("PM| ".len() + name.len() + ": ".len())
}

/// How long a text may be that `name` says to `to` alone in one datagram, in bytes.
pub fn direct_space(name: &str, to: &str) -> usize {
    space("DM| ".len() + name.len() + "> ".len() + to.len() + ": ".len())
}

/// Reads what a server says. Any line is something.
///
/// A name holds no white space, so no text can pass for another kind of line: what stands before the first
/// `: ` of a message is a name, and of no other line.
pub fn decode_heard(datagram: &[u8]) -> Result<Heard<'_>, Violation> {
    let line = decode_line(datagram)?;
    if let Some((from, text)) = message(line) {
        return Ok(Heard::Message { from, text });
    }
    if let Some((from, text)) = line.strip_prefix(DIRECT).and_then(message) {
        return Ok(Heard::Direct { from, text });
    }
    if let Some(rest) = line.strip_prefix(DIRECT_TO)
        && let Some((to, text)) = rest.split_once("] ")
        && is_word(to)
    {
        return Ok(Heard::DirectSent { to, text });
    }
    let named = |before: &str, after: &str| {
        let name = line.strip_prefix('[')?.strip_prefix(before)?;
        let name = name.strip_suffix(']')?.strip_suffix(after)?;
        is_word(name).then_some(name)
    };
    Ok(if let Some(name) = named("", JOINED) {
        Heard::Joined { name }
    } else if let Some(name) = named("", LEFT) {
        Heard::Left { name }
    } else if let Some(name) = named("", TAKEN) {
        Heard::Taken { name }
    } else if let Some(name) = named("", NOT_ONLINE) {
        Heard::NotOnline { name }
    } else if let Some(name) = named(YOU_ARE, "") {
        Heard::YouAre { name }
    } else {
        match line {
            NOT_A_NAME => Heard::NotAName,
            NAME_ASKED => Heard::NameAsked,
            JOIN_FIRST => Heard::JoinFirst,
            text => Heard::Other { text },
        }
    })
}

/// Adds what a server says: several datagrams, each with its beginning, where the text is too long for
/// one; none where there is no text. Names are at most [`MAX_NAME_BYTES`] long, longer ones are cut.
pub fn encode_heard(heard: &Heard<'_>, out: &mut Datagrams) {
    let name = |name| cut(name, MAX_NAME_BYTES);
    let mut one = |pieces: &[&str]| out.push(|out| put(pieces, out));
    match *heard {
        Heard::Message { from, text } => lines(&[name(from), ": "], text, out),
        Heard::Direct { from, text } => lines(&[DIRECT, name(from), ": "], text, out),
        Heard::DirectSent { to, text } => lines(&[DIRECT_TO, name(to), "] "], text, out),
        Heard::Joined { name: who } => one(&["[", name(who), JOINED, "]"]),
        Heard::Left { name: who } => one(&["[", name(who), LEFT, "]"]),
        Heard::Taken { name: who } => one(&["[", name(who), TAKEN, "]"]),
        Heard::NotOnline { name: who } => one(&["[", name(who), NOT_ONLINE, "]"]),
        Heard::YouAre { name: who } => one(&["[", YOU_ARE, name(who), "]"]),
        Heard::NotAName => one(&[NOT_A_NAME]),
        Heard::NameAsked => one(&[NAME_ASKED]),
        Heard::JoinFirst => one(&[JOIN_FIRST]),
        Heard::Other { text } => lines(&[], text, out),
    }
}

/// The text of a datagram, without the line end that some programs send with it.
pub fn decode_line(datagram: &[u8]) -> Result<&str, Violation> {
    if datagram.len() > MAX_DATAGRAM_BYTES {
        return Err(Violation::TooLong {
            got: datagram.len(),
        });
    }
    let line = std::str::from_utf8(datagram).map_err(|_| Violation::NotUtf8)?;
    let line = line.strip_suffix('\n').unwrap_or(line);
    Ok(line.strip_suffix('\r').unwrap_or(line))
}

/// `name: text`, where the name may be missing: then a `: ` in the text is only that. A name and nothing
/// behind its `:` is what is left of an empty line.
fn say(rest: &str) -> Asked<'_> {
    let claim = rest
        .split_once(": ")
        .or_else(|| Some((rest.strip_suffix(':')?, "")));
    match claim {
        Some((name, text)) if Name::check(name).is_ok() => Asked::Say {
            claimed: Some(name),
            text,
        },
        Some(_) | None => Asked::Say {
            claimed: None,
            text: rest,
        },
    }
}

/// `name> receiver: text`; neither name holds `>`, `:` or white space.
fn direct(rest: &str) -> Asked<'_> {
    let Some((names, text)) = rest.split_once(':') else {
        return Asked::DirectToNobody;
    };
    let (claimed, to) = match names.split_once('>') {
        Some((claimed, to)) => (Some(claimed), to.trim()),
        None => (None, names.trim()),
    };
    if to.is_empty() {
        return Asked::DirectToNobody;
    }
    let text = text.strip_prefix(' ').unwrap_or(text);
    Asked::Direct { claimed, to, text }
}

fn message(line: &str) -> Option<(&str, &str)> {
    line.split_once(": ").filter(|(from, _)| is_word(from))
}

/// What may be a name; servers less strict than ours may allow more than [`Name`] does.
fn is_word(name: &str) -> bool {
    !name.is_empty() && !name.contains(char::is_whitespace)
}

fn space(taken: usize) -> usize {
    MAX_DATAGRAM_BYTES.saturating_sub(taken)
}

fn lines(beginning: &[&str], text: &str, out: &mut Datagrams) {
    let taken = beginning.iter().map(|piece| piece.len()).sum();
    for piece in split(text, space(taken)) {
        out.push(|out| {
            put(beginning, out);
            put(&[piece], out);
        });
    }
}

fn put(pieces: &[&str], out: &mut Vec<u8>) {
    for piece in pieces {
        out.extend_from_slice(piece.as_bytes());
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why())
    }
}

impl Violation {
    /// The rule that was broken, for the log.
    pub fn why(&self) -> &'static str {
        match self {
            Violation::TooLong { .. } => "longer than 1024 bytes",
            Violation::NotUtf8 => "not UTF-8",
        }
    }
}

impl std::error::Error for Violation {}

/// The entry for fuzzing: whatever the bytes are, both decoders answer, and what they understood is the same
/// when it is written and read again.
pub fn fuzz(input: &[u8]) {
    if let Ok(asked) = decode_asked(input) {
        let mut bytes = Vec::new();
        encode_asked(&asked, &mut bytes);
        // The forms with every blank may be a little longer than what came.
        if bytes.len() <= MAX_DATAGRAM_BYTES && has_no_line_end(&bytes) {
            assert_eq!(decode_asked(&bytes), Ok(asked));
        }
    }
    if let Ok(heard) = decode_heard(input) {
        let mut out = Datagrams::new();
        encode_heard(&heard, &mut out);
        for datagram in out.iter() {
            assert!(datagram.len() <= MAX_DATAGRAM_BYTES);
            assert!(std::str::from_utf8(datagram).is_ok());
        }
    }
}

fn has_no_line_end(bytes: &[u8]) -> bool {
    !matches!(bytes.last(), Some(b'\r' | b'\n'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a client says, and as what it is understood. Those marked `true` are as our client writes them.
    fn asked() -> Vec<(&'static str, bool, Asked<'static>)> {
        let plain = |text| Asked::Plain { text };
        let say = |claimed, text| Asked::Say { claimed, text };
        let direct = |claimed, to, text| Asked::Direct { claimed, to, text };
        vec![
            ("UN| alice", true, Asked::Join { name: "alice" }),
            ("UN|alice", false, Asked::Join { name: "alice" }),
            ("un| alice\r\n", false, Asked::Join { name: "alice" }),
            ("UN|  alice", false, Asked::Join { name: " alice" }),
            ("UN|", false, Asked::Join { name: "" }),
            ("PM| alice: hi", true, say(Some("alice"), "hi")),
            ("pm|alice: hi\n", false, say(Some("alice"), "hi")),
            ("PM| alice: a: b", true, say(Some("alice"), "a: b")),
            ("PM| alice:", false, say(Some("alice"), "")),
            ("PM| no name: here", true, say(None, "no name: here")),
            ("PM| http://x", true, say(None, "http://x")),
            ("PM| : hi", true, say(None, ": hi")),
            ("PM|", false, say(None, "")),
            (
                "DM| alice> bob: hi",
                true,
                direct(Some("alice"), "bob", "hi"),
            ),
            ("dm|alice>bob:hi", false, direct(Some("alice"), "bob", "hi")),
            (
                "DM| bob: hi > there",
                true,
                direct(None, "bob", "hi > there"),
            ),
            (
                "DM| alice>  bob : hi",
                false,
                direct(Some("alice"), "bob", "hi"),
            ),
            ("DM| alice> : hi", false, Asked::DirectToNobody),
            ("DM| : hi", false, Asked::DirectToNobody),
            ("DM| alice> bob", false, Asked::DirectToNobody),
            ("DM|", false, Asked::DirectToNobody),
            ("EX| bye", true, Asked::Leave),
            ("ex|", false, Asked::Leave),
            ("hello", true, plain("hello")),
            ("XX| hello", true, plain("XX| hello")),
            (" UN| alice", true, plain(" UN| alice")),
            ("UN alice", true, plain("UN alice")),
            ("a\r\r\n", false, plain("a\r")),
            ("\r\n", false, plain("")),
            ("", true, plain("")),
        ]
    }

    fn heard() -> Vec<(&'static str, Heard<'static>)> {
        let other = |text| Heard::Other { text };
        let message = |from, text| Heard::Message { from, text };
        vec![
            ("alice: hi", message("alice", "hi")),
            (
                "alice: [bob left the server]",
                message("alice", "[bob left the server]"),
            ),
            ("[DM]: hi", message("[DM]", "hi")),
            (
                "[x: y joined the server]",
                message("[x", "y joined the server]"),
            ),
            (
                "[DM] bob: hi: ho",
                Heard::Direct {
                    from: "bob",
                    text: "hi: ho",
                },
            ),
            (
                "[DM to bob] hi: ho",
                Heard::DirectSent {
                    to: "bob",
                    text: "hi: ho",
                },
            ),
            ("[DM to ] ] hi", other("[DM to ] ] hi")),
            ("[bob joined the server]", Heard::Joined { name: "bob" }),
            ("[bob left the server]", Heard::Left { name: "bob" }),
            ("[ left the server]", other("[ left the server]")),
            (
                "[all of us left the server]",
                other("[all of us left the server]"),
            ),
            ("[bob is taken]", Heard::Taken { name: "bob" }),
            ("[bob is not online]", Heard::NotOnline { name: "bob" }),
            ("[you are bob]", Heard::YouAre { name: "bob" }),
            ("[not a name]", Heard::NotAName),
            ("[somebody asks for your name]", Heard::NameAsked),
            ("[join first: UN| name]", Heard::JoinFirst),
            ("[busy, try again]", other("[busy, try again]")),
            ("two words: hi", other("two words: hi")),
            ("hello", other("hello")),
        ]
    }

    fn datagrams(heard: &Heard<'_>) -> Vec<String> {
        let mut out = Datagrams::new();
        encode_heard(heard, &mut out);
        assert!(
            out.iter()
                .all(|datagram| datagram.len() <= MAX_DATAGRAM_BYTES)
        );
        let text = |datagram: &[u8]| std::str::from_utf8(datagram).unwrap().to_string();
        out.iter().map(text).collect()
    }

    #[test]
    fn what_a_client_says_is_read_and_written() {
        for (line, canonical, expected) in asked() {
            assert_eq!(decode_asked(line.as_bytes()), Ok(expected), "{line:?}");
            if canonical {
                let mut bytes = Vec::new();
                encode_asked(&expected, &mut bytes);
                assert_eq!(String::from_utf8(bytes).unwrap(), line);
            }
            fuzz(line.as_bytes());
        }
    }

    #[test]
    fn what_a_server_says_is_read_and_written() {
        for (line, expected) in heard() {
            assert_eq!(decode_heard(line.as_bytes()), Ok(expected), "{line:?}");
            assert_eq!(datagrams(&expected), [line]);
            fuzz(line.as_bytes());
        }
        assert!(
            datagrams(&Heard::Message {
                from: "a",
                text: ""
            })
            .is_empty()
        );
    }

    #[test]
    fn what_is_no_line_is_named() {
        let limit = [b'x'; MAX_DATAGRAM_BYTES + 1];
        let table: [(&[u8], Violation); 5] = [
            (&limit, Violation::TooLong { got: 1025 }),
            (b"PM| alice: \xff", Violation::NotUtf8),
            (b"\xc3", Violation::NotUtf8),
            (b"\xed\xa0\x80", Violation::NotUtf8),
            (b"UN| \xc0\x80", Violation::NotUtf8),
        ];
        for (datagram, violation) in table {
            assert_eq!(decode_asked(datagram), Err(violation));
            assert_eq!(decode_heard(datagram), Err(violation));
            assert!(!violation.to_string().is_empty());
        }
        assert!(decode_asked(&limit[1..]).is_ok());
    }

    #[test]
    fn a_long_text_goes_as_several_datagrams_each_with_its_beginning() {
        let text = "é".repeat(1500);
        let message = datagrams(&Heard::Message {
            from: "alice",
            text: &text,
        });
        assert_eq!(message.len(), 3);
        let pieces: Vec<&str> = message
            .iter()
            .map(|line| line.strip_prefix("alice: ").unwrap())
            .collect();
        assert_eq!(pieces.concat(), text);
        let sent = datagrams(&Heard::DirectSent {
            to: "bob",
            text: &text,
        });
        assert!(sent.iter().all(|line| line.starts_with("[DM to bob] é")));
    }

    #[test]
    fn the_space_that_is_told_is_the_space_that_there_is() {
        let (name, to) = ("alice", "bob");
        let mut out = Vec::new();
        let text = "x".repeat(say_space(name));
        encode_asked(
            &Asked::Say {
                claimed: Some(name),
                text: &text,
            },
            &mut out,
        );
        assert_eq!(out.len(), MAX_DATAGRAM_BYTES);
        out.clear();
        let text = "x".repeat(direct_space(name, to));
        encode_asked(
            &Asked::Direct {
                claimed: Some(name),
                to,
                text: &text,
            },
            &mut out,
        );
        assert_eq!(out.len(), MAX_DATAGRAM_BYTES);
    }

    proptest! {
        #[test]
        fn any_bytes_are_borne(input in proptest::collection::vec(any::<u8>(), 0..1100)) {
            fuzz(&input);
        }

        #[test]
        fn nearly_right_lines_are_borne(
            which in any::<prop::sample::Index>(),
            flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let lines: Vec<&str> = asked()
                .iter()
                .map(|row| row.0)
                .chain(heard().iter().map(|row| row.0))
                .filter(|line| !line.is_empty())
                .collect();
            let mut bytes = which.get(&lines).as_bytes().to_vec();
            for (at, value) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= value;
            }
            fuzz(&bytes);
        }

        #[test]
        fn what_is_said_is_heard_whole(
            from in "[a-z\\[\\]é]{1,20}",
            text in "[\\PC&&[^\\r\\n]]{1,3000}",
            direct in any::<bool>(),
        ) {
            let (from, mut whole) = (from.as_str(), String::new());
            let said = match direct {
                true => Heard::Direct { from, text: &text },
                false => Heard::Message { from, text: &text },
            };
            for datagram in datagrams(&said) {
                match decode_heard(datagram.as_bytes()) {
                    Ok(Heard::Direct { from: got, text }) if direct && got == from => whole += text,
                    Ok(Heard::Message { from: got, text }) if !direct && got == from => whole += text,
                    other => panic!("{datagram:?} was read as {other:?}"),
                }
            }
            prop_assert_eq!(whole, text);
        }
    }
}
