//! Owns the datagrams of the udp-mesh protocol in both directions: what a dict of the wire means, and how
//! long a datagram may be.
//! Knows nothing of sockets, clocks or rooms. Decoding never panics, and what it gives keeps the rules for
//! names; what a datagram is too short for is divided or cut at code points.

use std::fmt;

use super::pickle::{self, Dict, Message};
use crate::chat::{HISTORY_LINES, Line, Name, NameError, TimeOfDay, cut, split};

/// The UDP port of every peer.
pub const PORT: u16 = 5238;

/// The longest datagram. Existing peers read no more.
pub const MAX_DATAGRAM_BYTES: usize = 4096;

/// The name is taken.
pub const TAKEN: i64 = 370;
/// Welcome, with what the sender remembers.
pub const WELCOME: i64 = 371;
/// A new peer asks.
pub const JOIN: i64 = 471;
/// A new line.
pub const SAY: i64 = 472;

/// One datagram. Names keep the rules of [`Name`]; texts are as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// 471: may I be `username`?
    Join { username: &'a str },
    /// 370: you may not.
    NameTaken,
    /// 371: `username` remembers these lines, oldest first; [`HistoryLine::parse`] reads them.
    Welcome {
        username: &'a str,
        lines: Vec<&'a str>,
    },
    /// 472: `username` says something.
    Say { username: &'a str, text: &'a str },
}

/// A line of a 371, as it stands there: `> HH:MM:SS name: text`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLine<'a> {
    pub time: TimeOfDay,
    pub name: &'a str,
    pub text: &'a str,
}

/// Which rule the peer broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Longer than a datagram of this protocol.
    TooLong { got: usize },
    /// No pickle of the dict.
    Pickle(pickle::Violation),
    /// A number that this protocol does not have.
    UnknownNumber { got: i64 },
    /// A list where the number wants a text.
    NotText { number: i64 },
    /// A text where the number wants a list.
    NotLines { number: i64 },
    /// A name that breaks the rules. In a 471 it is answered with 370.
    NotAName { number: i64, error: NameError },
}

/// Reads a whole datagram.
///
/// ```
/// use mynah::protocol::udp_mesh::frame::{Frame, decode, encode_join};
///
/// let mut datagram = Vec::new();
/// encode_join("alice", &mut datagram);
/// assert_eq!(decode(&datagram), Ok(Frame::Join { username: "alice" }));
/// ```
pub fn decode(datagram: &[u8]) -> Result<Frame<'_>, Violation> {
    if datagram.len() > MAX_DATAGRAM_BYTES {
        return Err(Violation::TooLong {
            got: datagram.len(),
        });
    }
    let dict = pickle::decode(datagram).map_err(Violation::Pickle)?;
    let (number, username) = (dict.protocol_num, dict.username);
    let named = || match Name::parse(username) {
        Ok(_) => Ok(username),
        Err(error) => Err(Violation::NotAName { number, error }),
    };
    match (number, dict.message) {
        (JOIN, Message::Text(_)) => Ok(Frame::Join { username: named()? }),
        // Existing peers differ in whose name this carries, if any.
        (TAKEN, Message::Text(_)) => Ok(Frame::NameTaken),
        (WELCOME, Message::Lines(lines)) => Ok(Frame::Welcome {
            username: named()?,
            lines,
        }),
        (SAY, Message::Text(text)) => Ok(Frame::Say {
            username: named()?,
            text,
        }),
        (JOIN | TAKEN | SAY, Message::Lines(_)) => Err(Violation::NotText { number }),
        (WELCOME, Message::Text(_)) => Err(Violation::NotLines { number }),
        (got, _) => Err(Violation::UnknownNumber { got }),
    }
}

/// Appends a 471.
pub fn encode_join(username: &str, out: &mut Vec<u8>) {
    encode(JOIN, username, Message::Text(""), out);
}

/// Appends a 370.
pub fn encode_taken(out: &mut Vec<u8>) {
    encode(TAKEN, "", Message::Text(""), out);
}

/// Appends a 371 with the last of these lines, which come oldest first and are harmless already. The oldest
/// that do not fit are left out; if not even the newest does, its end is.
pub fn encode_welcome<'a>(
    username: &str,
    lines: impl IntoIterator<Item = &'a Line>,
    out: &mut Vec<u8>,
) {
    let mut lines: Vec<String> = lines
        .into_iter()
        .map(|line| HistoryLine::from(line).to_string())
        .collect();
    lines.drain(..lines.len().saturating_sub(HISTORY_LINES));
    let start = out.len();
    loop {
        out.truncate(start);
        let borrowed = lines.iter().map(String::as_str).collect();
        encode(WELCOME, username, Message::Lines(borrowed), out);
        let excess = (out.len() - start).saturating_sub(MAX_DATAGRAM_BYTES);
        match lines.as_mut_slice() {
            _ if excess == 0 => return,
            [only] if !only.is_empty() => {
                only.truncate(cut(only, only.len().saturating_sub(excess)).len())
            }
            [_, _, ..] => drop(lines.remove(0)),
            _ => return,
        }
    }
}

/// Gives `send` the 472s that say a text: one, or several where it does not fit into one; none for an empty
/// text.
pub fn encode_say(username: &str, text: &str, mut send: impl FnMut(&[u8])) {
    let mut datagram = Vec::new();
    for piece in pieces(username, text) {
        datagram.clear();
        encode(SAY, username, Message::Text(piece), &mut datagram);
        send(&datagram);
    }
}

/// A text as [`encode_say`] divides it.
pub fn pieces<'t>(username: &str, text: &'t str) -> impl Iterator<Item = &'t str> {
    // What stands around a long text is measured once, on one.
    const LONG: &str = match std::str::from_utf8(&[b'x'; 256]) {
        Ok(text) => text,
        Err(_) => "",
    };
    let mut sample = Vec::new();
    encode(SAY, username, Message::Text(LONG), &mut sample);
    let around = sample.len() - LONG.len();
    split(text, MAX_DATAGRAM_BYTES.saturating_sub(around))
}

fn encode(number: i64, username: &str, message: Message<'_>, out: &mut Vec<u8>) {
    let dict = Dict {
        protocol_num: number,
        username,
        message,
    };
    pickle::encode(&dict, out);
}

impl<'a> HistoryLine<'a> {
    /// Takes a line apart; `None` for one of another form, or under a name that breaks the rules.
    pub fn parse(line: &'a str) -> Option<HistoryLine<'a>> {
        let (time, rest) = line.strip_prefix("> ")?.split_once(' ')?;
        // A name has no colon, so the first one ends it.
        let (name, text) = rest.split_once(": ")?;
        Name::parse(name).ok()?;
        Some(HistoryLine {
            time: TimeOfDay::parse(time)?,
            name,
            text,
        })
    }
}

impl<'a> From<&'a Line> for HistoryLine<'a> {
    fn from(line: &'a Line) -> HistoryLine<'a> {
        HistoryLine {
            time: line.time,
            name: &line.from,
            text: &line.text,
        }
    }
}

impl fmt::Display for HistoryLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "> {} {}: {}", self.time, self.name, self.text)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::TooLong { got } => write!(
                f,
                "a datagram of {got} bytes, the limit is {MAX_DATAGRAM_BYTES}"
            ),
            Violation::Pickle(violation) => violation.fmt(f),
            Violation::UnknownNumber { got } => write!(f, "unexpected number {got}"),
            Violation::NotText { number } => write!(f, "{number} with a list"),
            Violation::NotLines { number } => write!(f, "{number} without a list"),
            Violation::NotAName { number, error } => write!(f, "{number}: {error}"),
        }
    }
}

impl std::error::Error for Violation {}

/// The entry for fuzzing: whatever the bytes are, the decoder answers; what it accepts is borrowed and no
/// longer than what came, cut short or with more behind it is accepted no more, and encodes to what is
/// decoded as the same.
pub fn fuzz(input: &[u8]) {
    if let Ok(dict) = pickle::decode(input) {
        let bytes: usize = match &dict.message {
            Message::Text(text) => text.len(),
            Message::Lines(lines) => lines.iter().map(|line| line.len()).sum(),
        };
        assert!(bytes <= input.len(), "longer than what came");
        for length in 0..input.len() {
            let cut = input.get(..length).unwrap_or_default();
            assert!(pickle::decode(cut).is_err(), "whole after {length} bytes");
        }
        let mut more = input.to_vec();
        more.push(b'.');
        assert!(pickle::decode(&more).is_err(), "bytes behind the end");
        let mut again = Vec::new();
        pickle::encode(&dict, &mut again);
        assert_eq!(pickle::decode(&again), Ok(dict));
    }
    if let Ok(Frame::Welcome { lines, .. }) = decode(input) {
        for line in lines {
            if let Some(parsed) = HistoryLine::parse(line) {
                assert_eq!(parsed.to_string(), line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::hex::hex;
    use super::*;

    fn line(seconds: u32, from: &str, text: &str) -> Line {
        Line {
            time: TimeOfDay::new(12, seconds / 60, seconds % 60).unwrap(),
            from: from.to_string(),
            text: text.to_string(),
        }
    }

    fn say(username: &str, text: &str) -> Vec<Vec<u8>> {
        let mut datagrams = Vec::new();
        encode_say(username, text, |datagram| datagrams.push(datagram.to_vec()));
        datagrams
    }

    fn welcome(username: &str, lines: &[Line]) -> Vec<u8> {
        let mut out = Vec::new();
        encode_welcome(username, lines, &mut out);
        out
    }

    fn encoded(frame: &Frame<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        match frame {
            Frame::Join { username } => encode_join(username, &mut out),
            Frame::NameTaken => encode_taken(&mut out),
            Frame::Welcome { username, lines } => {
                let lines: Vec<Line> = lines
                    .iter()
                    .map(|line| {
                        let HistoryLine { time, name, text } = HistoryLine::parse(line).unwrap();
                        Line {
                            time,
                            from: name.to_string(),
                            text: text.to_string(),
                        }
                    })
                    .collect();
                out = welcome(username, &lines);
            }
            Frame::Say { username, text } => out = say(username, text).concat(),
        }
        out
    }

    /// PROTO, FRAME and EMPTY_DICT, the number, the name, the message, SETITEMS and STOP.
    fn good() -> Vec<(Frame<'static>, &'static str)> {
        vec![
            (
                Frame::Join { username: "alice" },
                "8005 953700000000000000 7d9428 8c0c70726f746f636f6c5f6e756d94 4dd701 \
                 8c08757365726e616d6594 8c05616c69636594 8c076d65737361676594 8c0094 752e",
            ),
            (
                Frame::NameTaken,
                "8005 953100000000000000 7d9428 8c0c70726f746f636f6c5f6e756d94 4d7201 \
                 8c08757365726e616d6594 8c0094 8c076d65737361676594 6803 752e",
            ),
            (
                Frame::Welcome {
                    username: "bob",
                    lines: vec![],
                },
                "8005 953400000000000000 7d9428 8c0c70726f746f636f6c5f6e756d94 4d7301 \
                 8c08757365726e616d6594 8c03626f6294 8c076d65737361676594 5d94 752e",
            ),
            (
                Frame::Welcome {
                    username: "bob",
                    lines: vec!["> 12:00:01 al: hi"],
                },
                "8005 954900000000000000 7d9428 8c0c70726f746f636f6c5f6e756d94 4d7301 \
                 8c08757365726e616d6594 8c03626f6294 8c076d65737361676594 \
                 5d94 8c113e2031323a30303a303120616c3a20686994 61 752e",
            ),
            (
                Frame::Say {
                    username: "alice",
                    text: "hi",
                },
                "8005 953900000000000000 7d9428 8c0c70726f746f636f6c5f6e756d94 4dd801 \
                 8c08757365726e616d6594 8c05616c69636594 8c076d65737361676594 8c02686994 752e",
            ),
            // A name and a text of one character, which Python keeps once.
            (
                Frame::Say {
                    username: "x",
                    text: "x",
                },
                "8005 953200000000000000 7d9428 8c0c70726f746f636f6c5f6e756d94 4dd801 \
                 8c08757365726e616d6594 8c017894 8c076d65737361676594 6803 752e",
            ),
        ]
    }

    #[test]
    fn every_frame_of_the_table_in_both_directions() {
        for (frame, bytes) in good() {
            let whole = hex(bytes);
            assert_eq!(encoded(&frame), whole, "{bytes}");
            assert_eq!(decode(&whole), Ok(frame), "{bytes}");
            fuzz(&whole);
        }
    }

    #[test]
    fn broken_frames_are_named() {
        let with = |number: i64, username: &str, message: Message<'_>| {
            let mut out = Vec::new();
            encode(number, username, message, &mut out);
            out
        };
        let text = || Message::Text("hi");
        let list = || Message::Lines(vec!["hi"]);
        let not_a_name = |number, error| Violation::NotAName { number, error };
        let table = [
            (
                with(372, "a", text()),
                Violation::UnknownNumber { got: 372 },
            ),
            (
                with(-471, "a", text()),
                Violation::UnknownNumber { got: -471 },
            ),
            // 471 in its lower bytes only.
            (
                with((1 << 32) + JOIN, "a", list()),
                Violation::UnknownNumber {
                    got: (1 << 32) + JOIN,
                },
            ),
            (with(JOIN, "a", list()), Violation::NotText { number: 471 }),
            (with(TAKEN, "", list()), Violation::NotText { number: 370 }),
            (with(SAY, "a", list()), Violation::NotText { number: 472 }),
            (
                with(WELCOME, "a", text()),
                Violation::NotLines { number: 371 },
            ),
            (with(JOIN, "", text()), not_a_name(471, NameError::Empty)),
            (
                with(SAY, "a b", text()),
                not_a_name(472, NameError::Forbidden { character: ' ' }),
            ),
            (
                with(WELCOME, &"x".repeat(65), list()),
                not_a_name(371, NameError::TooLong { bytes: 65 }),
            ),
            (
                with(SAY, "a", Message::Text(&"x".repeat(4096))),
                Violation::TooLong { got: 4161 },
            ),
            (
                b"hello".to_vec(),
                Violation::Pickle(pickle::Violation::NoProtocol),
            ),
        ];
        for (datagram, violation) in table {
            assert_eq!(decode(&datagram), Err(violation));
            assert!(!violation.to_string().is_empty());
        }
    }

    #[test]
    fn a_number_may_carry_what_it_has_no_use_for() {
        for (number, username, frame) in [
            (JOIN, "a", Frame::Join { username: "a" }),
            (TAKEN, "whoever it was", Frame::NameTaken),
        ] {
            let mut out = Vec::new();
            encode(number, username, Message::Text("hello"), &mut out);
            assert_eq!(decode(&out), Ok(frame));
        }
    }

    #[test]
    fn a_long_text_goes_as_several_full_datagrams() {
        assert!(say("alice", "").is_empty());
        let text = "é🐦".repeat(1500);
        let datagrams = say("alice", &text);
        assert_eq!(datagrams.len(), 3);
        let mut heard = String::new();
        for datagram in &datagrams {
            let Ok(Frame::Say { username, text }) = decode(datagram) else {
                panic!("a 472");
            };
            assert_eq!(username, "alice");
            heard.push_str(text);
        }
        assert_eq!(heard, text);
        assert!(datagrams[0].len() > MAX_DATAGRAM_BYTES - 4);
        // To the byte.
        let longest = say("alice", &"x".repeat(9000))[0].len();
        assert_eq!(longest, MAX_DATAGRAM_BYTES);
        assert_eq!(pieces("alice", &text).count(), 3);
    }

    #[test]
    fn a_history_that_does_not_fit_loses_its_oldest_lines() {
        let lines: Vec<Line> = (0..12)
            .map(|n| line(n, "bob", &format!("{n} {}", "é".repeat(250))))
            .collect();
        let datagram = welcome("alice", &lines);
        let Ok(Frame::Welcome { lines: heard, .. }) = decode(&datagram) else {
            panic!("a 371");
        };
        let wanted: Vec<String> = lines[5..]
            .iter()
            .map(|line| HistoryLine::from(line).to_string())
            .collect();
        assert_eq!(heard, wanted);
        assert!(datagram.len() > MAX_DATAGRAM_BYTES - 550);

        // Of those that fit, the last ten.
        let lines: Vec<Line> = (0..12).map(|n| line(n, "bob", "hi")).collect();
        let datagram = welcome("alice", &lines);
        let Ok(Frame::Welcome { lines: heard, .. }) = decode(&datagram) else {
            panic!("a 371");
        };
        assert_eq!(heard.len(), HISTORY_LINES);
    }

    #[test]
    fn a_last_line_that_does_not_fit_loses_its_end() {
        for text in ["x".repeat(4096), "🐦".repeat(1024)] {
            let lines = [line(1, "bob", "before"), line(2, "bob", &text)];
            let datagram = welcome("alice", &lines);
            assert!(datagram.len() <= MAX_DATAGRAM_BYTES);
            assert!(datagram.len() > MAX_DATAGRAM_BYTES - 4);
            let Ok(Frame::Welcome { lines, .. }) = decode(&datagram) else {
                panic!("a 371");
            };
            assert_eq!(lines.len(), 1);
            let shown = HistoryLine::parse(lines[0]).unwrap().text;
            assert!(text.starts_with(shown) && shown.len() > 3900);
        }
    }

    #[test]
    fn a_history_line_is_put_together_and_taken_apart() {
        let parse = |line: &'static str| {
            HistoryLine::parse(line).map(|line| (line.time.to_string(), line.name, line.text))
        };
        let noon = || "12:00:00".to_string();
        for (line, wanted) in [
            ("> 12:00:00 bob: hi", (noon(), "bob", "hi")),
            ("> 12:00:00 bob: ", (noon(), "bob", "")),
            ("> 12:00:00 bob: al: > x: y", (noon(), "bob", "al: > x: y")),
            ("> 12:00:00 Zoë: \u{1b}c", (noon(), "Zoë", "\u{1b}c")),
        ] {
            assert_eq!(parse(line), Some(wanted));
            assert_eq!(HistoryLine::parse(line).unwrap().to_string(), line);
        }
        for line in [
            "",
            ">",
            "> ",
            "12:00:00 bob: hi",
            ">12:00:00 bob: hi",
            "> 24:00:00 bob: hi",
            "> 12:00 bob: hi",
            ">  12:00:00 bob: hi",
            "> 12:00:00 bob:hi",
            "> 12:00:00 : hi",
            "> 12:00:00 b b: hi",
            "> 12:00:00  bob: hi",
            "> 12:00:00 hi",
        ] {
            assert_eq!(parse(line), None, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_borne(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            fuzz(&input);
        }

        #[test]
        fn any_instructions_are_borne(
            // The instructions that are read, with short arguments, and as often the words that they need.
            body in proptest::collection::vec(
                prop_oneof![
                    proptest::sample::select(b"}](tuea.s\x94h\0q\0K\x01M\x01\0".to_vec())
                        .prop_map(|byte| vec![byte]),
                    Just(b"\x8c\x0cprotocol_num".to_vec()),
                    Just(b"\x8c\x08username".to_vec()),
                    Just(b"\x8c\x07message".to_vec()),
                    Just(b"\x8c\x01a".to_vec()),
                ],
                0..40,
            ),
        ) {
            let input = [b"\x80\x04}(".to_vec(), body.concat()].concat();
            fuzz(&input);
        }

        #[test]
        fn nearly_right_bytes_are_borne(
            which in 0usize..6,
            flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let mut bytes = hex(good()[which].1);
            for (at, value) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= value;
            }
            fuzz(&bytes);
        }

        #[test]
        fn what_is_said_is_heard(text in "\\PC{0,3000}") {
            let datagrams = say("alice", &text);
            let mut heard = String::new();
            for datagram in &datagrams {
                prop_assert!(datagram.len() <= MAX_DATAGRAM_BYTES);
                match decode(datagram) {
                    Ok(Frame::Say { username: "alice", text }) => heard.push_str(text),
                    other => panic!("{other:?}"),
                }
            }
            prop_assert_eq!(heard, text);
        }

        #[test]
        fn what_is_remembered_fits_and_is_the_end_of_it(
            texts in proptest::collection::vec("\\PC{0,40}|\\PC{0,1400}", 0..14),
        ) {
            let lines: Vec<Line> = (0..).zip(&texts).map(|(n, text)| line(n, "bob", text)).collect();
            let datagram = welcome("alice", &lines);
            prop_assert!(datagram.len() <= MAX_DATAGRAM_BYTES);
            let Ok(Frame::Welcome { username: "alice", lines: heard }) = decode(&datagram) else {
                panic!("a 371");
            };
            prop_assert!(heard.len() <= HISTORY_LINES);
            prop_assert!(!heard.is_empty() || texts.is_empty());
            for (heard, line) in heard.iter().rev().zip(lines.iter().rev()) {
                let whole = HistoryLine::from(line).to_string();
                prop_assert!(whole.starts_with(heard));
                prop_assert!(whole == *heard || lines.len() == 1 || heard.len() > 3900);
            }
        }
    }
}
