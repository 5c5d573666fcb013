//! Owns the bytes of the protocol between clients and server, in both directions; those between clients are in
//! [`direct`](super::direct).
//! Knows nothing of sockets, clocks or rooms. Decoding never panics, never reads past the slice it was given,
//! and gives up on a line or a length as soon as it is over its limit.
//!
//! Most frames end at the first CRLF. In `BROADCAST` and `ERROR` a length says where the message ends, so it may
//! hold `:` and CRLF: if no CRLF follows after so many bytes, so many code points are tried, for some
//! programs count those. A line that is not as it should be is still a frame, up to its CRLF: whoever sent it is
//! told so, and the conversation goes on.

use std::fmt;
use std::net::IpAddr;

use super::participants::{self, Participant};
use crate::chat::Contact;
#[cfg(test)]
use crate::chat::Roster;
use crate::protocol::Decoded;

/// The longest frame that a server takes, in bytes, its CRLF included. Text and name of a `BROADCAST` are less.
pub const MAX_FROM_CLIENT: usize = 8 * 1024;

/// The longest frame that a client takes: a `LIST` of more members than there are descriptors.
pub const MAX_FROM_SERVER: usize = 4 * 1024 * 1024;

/// What a client sends. Nothing of it is believed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromClient<'a> {
    Register(Participant<'a>),
    Broadcast {
        nickname: &'a str,
        text: &'a str,
    },
    /// A known word in a line that does not fit it.
    Malformed {
        word: &'static str,
    },
    /// A line that begins with no known word.
    Unknown,
}

/// What a server sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromServer<'a> {
    List(Vec<Participant<'a>>),
    Joined(Participant<'a>),
    Left(Participant<'a>),
    Broadcast {
        nickname: &'a str,
        text: &'a str,
    },
    Error {
        text: &'a str,
    },
    /// Any other line.
    Other {
        line: &'a str,
    },
}

/// Which rule the peer broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// No end of the frame within the limit.
    OverLimit { limit: usize },
    /// A length below zero, or of more digits than any length has.
    LengthOutOfRange,
    /// Neither so many bytes nor so many code points before a CRLF.
    LengthFitsNothing { length: usize },
    /// Bytes that are no UTF-8.
    NotUtf8,
    /// A `LIST` that cannot be taken apart.
    MalformedList,
    /// A `LIST` of too many.
    TooManyParticipants { limit: usize },
    /// Bytes after the end.
    AfterTheEnd,
}

/// A frame from a client. `searched` is how many bytes of `input` were there when more were needed, so that nothing is
/// searched twice for the end of a line; 0 is always right.
///
/// ```
/// use mynah::protocol::Decoded;
/// use mynah::protocol::group::frame::{FromClient, decode_from_client};
///
/// let bytes = b"BROADCAST:bob:5:a:b\r\n\r\n";
/// let frame = FromClient::Broadcast { nickname: "bob", text: "a:b\r\n" };
/// assert_eq!(decode_from_client(bytes, 0), Ok(Decoded::Done { frame, used: 23 }));
/// ```
pub fn decode_from_client(
    input: &[u8],
    searched: usize,
) -> Result<Decoded<FromClient<'_>>, Violation> {
    if let Some(counted) = counted(input, "BROADCAST:", true, MAX_FROM_CLIENT)? {
        return Ok(counted.map(|(nickname, text)| FromClient::Broadcast { nickname, text }));
    }
    let line = line(input, searched, MAX_FROM_CLIENT)?;
    Ok(line.map(|line| match line.split_once(':') {
        Some(("REGISTER", rest)) => {
            participants::participant(rest).map_or(MALFORMED_REGISTER, FromClient::Register)
        }
        Some(("BROADCAST", _)) => FromClient::Malformed { word: "BROADCAST" },
        Some(_) | None => FromClient::Unknown,
    }))
}

const MALFORMED_REGISTER: FromClient<'static> = FromClient::Malformed { word: "REGISTER" };

/// A frame from a server; `searched` as in [`decode_from_client`].
pub fn decode_from_server(
    input: &[u8],
    searched: usize,
) -> Result<Decoded<FromServer<'_>>, Violation> {
    if let Some(counted) = counted(input, "BROADCAST:", true, MAX_FROM_SERVER)? {
        return Ok(counted.map(|(nickname, text)| FromServer::Broadcast { nickname, text }));
    }
    if let Some(counted) = counted(input, "ERROR:", false, MAX_FROM_SERVER)? {
        return Ok(counted.map(|(_, text)| FromServer::Error { text }));
    }
    let (line, used) = match line(input, searched, MAX_FROM_SERVER)? {
        Decoded::Done { frame, used } => (frame, used),
        Decoded::NeedMore { needed } => return Ok(Decoded::NeedMore { needed }),
    };
    let update = participants::participant;
    let frame = match line.split_once(':') {
        Some(("LIST", rest)) => Some(FromServer::List(participants::participants(rest)?)),
        Some(("UPDATE", rest)) => match rest.split_once(':') {
            Some(("JOIN", rest)) => update(rest).map(FromServer::Joined),
            Some(("LEAVE", rest)) => update(rest).map(FromServer::Left),
            Some(_) | None => None,
        },
        Some(_) | None => None,
    };
    let frame = frame.unwrap_or(FromServer::Other { line });
    Ok(Decoded::Done { frame, used })
}

/// Appends a `REGISTER`.
pub fn encode_register(nickname: &str, ip: IpAddr, port: u16, out: &mut Vec<u8>) {
    put(out, format_args!("REGISTER:{nickname}:{ip}:{port}\r\n"));
}

/// Appends a `BROADCAST`. The text comes in pieces that are one, so that a mark can stand before it without a
/// copy, and holds no CR or LF: existing clients split at every CRLF.
pub fn encode_broadcast(nickname: &str, text: &[&str], out: &mut Vec<u8>) {
    let length: usize = text.iter().map(|piece| piece.len()).sum();
    put(out, format_args!("BROADCAST:{nickname}:{length}:"));
    for piece in text {
        out.extend_from_slice(piece.as_bytes());
    }
    out.extend_from_slice(CRLF);
}

/// How a `LIST` begins; then come its [participants](encode_participant), at least one, and then its [end](LIST_END).
pub const LIST_BEGIN: &[u8] = b"LIST";

/// See [`LIST_BEGIN`].
pub const LIST_END: &[u8] = CRLF;

/// Appends one of the participants of a `LIST`.
pub fn encode_participant(nickname: &str, contact: Contact, out: &mut Vec<u8>) {
    let Contact { ip, port } = contact;
    put(out, format_args!(":{nickname}:{ip}:{port}"));
}

/// Appends a `LIST` of everybody.
#[cfg(test)]
pub fn encode_list(members: &dyn Roster, out: &mut Vec<u8>) {
    out.extend_from_slice(LIST_BEGIN);
    let nobody = out.len();
    members.tell(&mut |nickname, contact| encode_participant(nickname, contact, out));
    if out.len() == nobody {
        out.push(b':');
    }
    out.extend_from_slice(LIST_END);
}

/// Appends an `UPDATE` about somebody who came.
pub fn encode_joined(nickname: &str, contact: Contact, out: &mut Vec<u8>) {
    let Contact { ip, port } = contact;
    put(out, format_args!("UPDATE:JOIN:{nickname}:{ip}:{port}\r\n"));
}

/// Appends an `UPDATE` about somebody who went.
pub fn encode_left(nickname: &str, contact: Contact, out: &mut Vec<u8>) {
    let Contact { ip, port } = contact;
    put(out, format_args!("UPDATE:LEAVE:{nickname}:{ip}:{port}\r\n"));
}

/// Appends an `ERROR`.
pub fn encode_error(text: &str, out: &mut Vec<u8>) {
    put(out, format_args!("ERROR:{}:{text}\r\n", text.len()));
}

/// Appends formatted text, without a string in between.
pub(super) fn put(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    use std::io::Write;
    out.write_fmt(text).expect("invariant: memory takes all");
}

const CRLF: &[u8] = b"\r\n";

/// Up to the first CRLF.
fn line(input: &[u8], searched: usize, limit: usize) -> Result<Decoded<&str>, Violation> {
    // The last byte that was there may be a CR.
    let from = searched.min(input.len()).saturating_sub(1);
    let unsearched = input.get(from..).unwrap_or_default();
    let end = unsearched.windows(2).position(|pair| pair == CRLF);
    let Some(end) = end.map(|at| from + at).filter(|end| end + 2 <= limit) else {
        return match input.len() {
            there if there < limit => Ok(Decoded::NeedMore { needed: there + 1 }),
            _ => Err(Violation::OverLimit { limit }),
        };
    };
    Ok(Decoded::Done {
        frame: utf8(input.get(..end).unwrap_or_default())?,
        used: end + 2,
    })
}

/// A frame that says its length: `word`, a name and `:` if it `has_name`, a length and `:`, so much text, CRLF.
/// `None` is a line that is not (or not yet) of that form up to its text.
pub(super) fn counted<'a>(
    input: &'a [u8],
    word: &str,
    has_name: bool,
    limit: usize,
) -> Result<Option<Decoded<(&'a str, &'a str)>>, Violation> {
    let Some(rest) = input.strip_prefix(word.as_bytes()) else {
        return Ok(None);
    };
    let mut name = &[][..];
    let mut rest = rest;
    if has_name {
        match field(rest, LONGEST_NICKNAME) {
            Some(parts) => (name, rest) = parts,
            None => return Ok(None),
        }
    }
    if is_out_of_range(rest) {
        return Err(Violation::LengthOutOfRange);
    }
    let Some((digits, rest)) = field(rest, LONGEST_LENGTH) else {
        return Ok(None);
    };
    let length = std::str::from_utf8(digits).ok().and_then(number);
    let Some(length) = length else {
        return Ok(None);
    };
    let name = utf8(name)?;
    let start = input.len() - rest.len();
    let text = text(input, start, length, limit)?;
    Ok(Some(text.map(|text| (name, text))))
}

/// What existing clients may call themselves where ours may not.
const LONGEST_NICKNAME: usize = 256;

/// Digits of a length; so any length and any start can be added up.
pub(super) const LONGEST_LENGTH: usize = 9;

/// Whether a number begins here that is no length. Said as soon as it shows, as of a length over its limit: where
/// such a message ends nobody knows.
fn is_out_of_range(input: &[u8]) -> bool {
    let is_number = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_digit);
    match input {
        [b'-', digit, ..] => digit.is_ascii_digit(),
        _ => input.get(..=LONGEST_LENGTH).is_some_and(is_number),
    }
}

/// Up to the next `:`, which is on the same line and not further than `limit`; and what follows.
fn field(input: &[u8], limit: usize) -> Option<(&[u8], &[u8])> {
    let is_end = |byte: &u8| matches!(byte, b':' | b'\r' | b'\n');
    let end = input.iter().take(limit + 1).position(is_end)?;
    let (field, rest) = input.split_at_checked(end)?;
    Some((field, rest.strip_prefix(b":")?))
}

/// A number as programs write it: digits, nothing else.
pub(super) fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// The text of `length` bytes, or else code points, that begins at `start`. Each answer but `Done` says at least
/// how many bytes there must be if every code point that is still missing is one byte, so the bytes are walked
/// a logarithmic number of times however they drip.
fn text(
    input: &[u8],
    start: usize,
    length: usize,
    limit: usize,
) -> Result<Decoded<&str>, Violation> {
    let done = |end: usize| {
        let text = utf8(input.get(start..end).unwrap_or_default())?;
        let used = end + CRLF.len();
        Ok(Decoded::Done { frame: text, used })
    };
    // What follows at `end`, when both bytes are there.
    let ends_at = |end: usize| {
        let needed = end + CRLF.len();
        if needed > limit {
            return Err(Violation::OverLimit { limit });
        }
        Ok(input.get(end..needed).map(|bytes| bytes == CRLF))
    };
    match ends_at(start + length)? {
        Some(true) => return done(start + length),
        Some(false) => {}
        None => {
            let needed = start + length + CRLF.len();
            return Ok(Decoded::NeedMore { needed });
        }
    }
    let mut at = start;
    for left in (1..=length).rev() {
        let needed = at + left + CRLF.len();
        if needed > limit {
            return Err(Violation::OverLimit { limit });
        }
        at += match input.get(at) {
            None => return Ok(Decoded::NeedMore { needed }),
            Some(0x00..=0x7f) => 1,
            Some(0xc2..=0xdf) => 2,
            Some(0xe0..=0xef) => 3,
            Some(0xf0..=0xf4) => 4,
            Some(_) => return Err(Violation::NotUtf8),
        };
    }
    match ends_at(at)? {
        Some(true) => done(at),
        Some(false) => Err(Violation::LengthFitsNothing { length }),
        None => {
            let needed = at + CRLF.len();
            Ok(Decoded::NeedMore { needed })
        }
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Violation> {
    std::str::from_utf8(bytes).map_err(|_| Violation::NotUtf8)
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::OverLimit { limit } => write!(f, "no end within {limit} bytes"),
            Violation::LengthOutOfRange => write!(f, "a length that nothing has"),
            Violation::LengthFitsNothing { length } => {
                write!(f, "no line's end after {length} bytes or code points")
            }
            Violation::NotUtf8 => write!(f, "not UTF-8"),
            Violation::MalformedList => write!(f, "a LIST that cannot be taken apart"),
            Violation::TooManyParticipants { limit } => {
                write!(f, "a LIST of more than {limit} participants")
            }
            Violation::AfterTheEnd => write!(f, "bytes after the end"),
        }
    }
}

impl std::error::Error for Violation {}

/// The entry for fuzzing: whatever the bytes are, every decoder answers, uses no more than there is,
/// and what it accepts or refuses is the same when it comes byte by byte (but that a refusal may come earlier
/// when more is there at once: who waits for the bytes that it was told to wait for looks at none before).
pub fn fuzz(input: &[u8]) {
    check(input, decode_from_client);
    check(input, decode_from_server);
}

/// Feeds a decoder the input at once and byte by byte.
pub(super) fn check<'a, T: fmt::Debug + PartialEq, V: fmt::Debug + PartialEq>(
    input: &'a [u8],
    decode: impl Fn(&'a [u8], usize) -> Result<Decoded<T>, V>,
) {
    let whole = decode(input, 0);
    if let Ok(Decoded::Done { used, .. }) = whole {
        assert!(used <= input.len(), "used more than there is");
    }
    let mut wanted = 0;
    let mut searched = 0;
    for length in 0..=input.len() {
        let Some(front) = input.get(..length).filter(|_| length >= wanted) else {
            continue;
        };
        match decode(front, searched) {
            Ok(Decoded::NeedMore { needed }) => {
                assert!(needed > length, "{needed} needed, {length} are there");
                wanted = needed;
                searched = length;
            }
            dripped => {
                assert_eq!(dripped, whole, "dripped, or at once");
                return;
            }
        }
    }
    let refused_early = whole.is_err() && wanted > input.len();
    assert!(
        matches!(whole, Ok(Decoded::NeedMore { .. })) || refused_early,
        "{whole:?} at once, nothing dripped"
    );
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn participant(nickname: &'static str, ip: &str, port: u16) -> Participant<'static> {
        let ip = ip.parse().ok();
        Participant { nickname, ip, port }
    }

    fn from_client() -> Vec<(&'static [u8], FromClient<'static>)> {
        use FromClient::*;
        let broadcast = |nickname, text| Broadcast { nickname, text };
        vec![
            (
                b"REGISTER:bob:10.0.0.7:5000\r\n",
                Register(participant("bob", "10.0.0.7", 5000)),
            ),
            (
                b"REGISTER:bob:fe80::1:5000\r\n",
                Register(participant("bob", "fe80::1", 5000)),
            ),
            (
                b"REGISTER:bob:localhost:0\r\n",
                Register(participant("bob", "", 0)),
            ),
            (b"REGISTER:::1\r\n", Register(participant("", "", 1))),
            (b"BROADCAST:bob:2:hi\r\n", broadcast("bob", "hi")),
            (b"BROADCAST:bob:0:\r\n", broadcast("bob", "")),
            (b"BROADCAST::1::\r\n", broadcast("", ":")),
            (
                b"BROADCAST:bob:007:a:b\r\nc\r\r\n",
                broadcast("bob", "a:b\r\nc\r"),
            ),
            (
                b"BROADCAST:bob:4:\r\n\r\n\r\n",
                broadcast("bob", "\r\n\r\n"),
            ),
            // In bytes, then in code points.
            ("BROADCAST:bob:2:é\r\n".as_bytes(), broadcast("bob", "é")),
            ("BROADCAST:bob:1:é\r\n".as_bytes(), broadcast("bob", "é")),
            (
                "BROADCAST:bob:3:🐦é!\r\n".as_bytes(),
                broadcast("bob", "🐦é!"),
            ),
            (b"BROADCAST:bob\r\n", Malformed { word: "BROADCAST" }),
            (b"BROADCAST:bob:2\r\n", Malformed { word: "BROADCAST" }),
            (b"BROADCAST:bob:-:hi\r\n", Malformed { word: "BROADCAST" }),
            (b"BROADCAST:bob:x:hi\r\n", Malformed { word: "BROADCAST" }),
            (b"REGISTER:bob\r\n", Malformed { word: "REGISTER" }),
            (b"REGISTER:bob:5000\r\n", Malformed { word: "REGISTER" }),
            (
                b"REGISTER:bob:1.2.3.4:65536\r\n",
                Malformed { word: "REGISTER" },
            ),
            (
                b"REGISTER:bob:1.2.3.4:+1\r\n",
                Malformed { word: "REGISTER" },
            ),
            (b"\r\n", Unknown),
            (b"hello\r\n", Unknown),
            (b"broadcast:bob:2:hi\r\n", Unknown),
            (b"GET / HTTP/1.1\r\n", Unknown),
            (b"a\nb\rc\n\r\r\n", Unknown),
        ]
    }

    fn from_server() -> Vec<(&'static [u8], FromServer<'static>)> {
        use FromServer::*;
        let bob = participant("bob", "10.0.0.7", 5000);
        let eve = participant("eve", "0.0.0.0", 0);
        vec![
            (b"LIST:\r\n", List(vec![])),
            (b"LIST:bob:10.0.0.7:5000\r\n", List(vec![bob])),
            (
                b"LIST:bob:10.0.0.7:5000:eve:0.0.0.0:0\r\n",
                List(vec![bob, eve]),
            ),
            (
                b"LIST:joe:localhost:7:eve:0.0.0.0:0\r\n",
                List(vec![participant("joe", "", 7), eve]),
            ),
            (
                b"LIST:joe:::1:7:bob:10.0.0.7:5000\r\n",
                List(vec![participant("joe", "::1", 7), bob]),
            ),
            (
                b"LIST:joe:2001:db8:1:2:3:4:5:6:7:eve:0.0.0.0:0\r\n",
                List(vec![participant("joe", "2001:db8:1:2:3:4:5:6", 7), eve]),
            ),
            (b"UPDATE:JOIN:bob:10.0.0.7:5000\r\n", Joined(bob)),
            (b"UPDATE:LEAVE:eve:0.0.0.0:0\r\n", Left(eve)),
            (
                b"UPDATE:JOIN:joe:::1:7\r\n",
                Joined(participant("joe", "::1", 7)),
            ),
            (
                b"BROADCAST:bob:2:hi\r\n",
                Broadcast {
                    nickname: "bob",
                    text: "hi",
                },
            ),
            (b"ERROR:4:a:\r\n\r\n", Error { text: "a:\r\n" }),
            ("ERROR:1:é\r\n".as_bytes(), Error { text: "é" }),
            (
                b"ERROR:no length\r\n",
                Other {
                    line: "ERROR:no length",
                },
            ),
            (
                b"UPDATE:MOVE:bob:10.0.0.7:5000\r\n",
                Other {
                    line: "UPDATE:MOVE:bob:10.0.0.7:5000",
                },
            ),
            (b"welcome!\r\n", Other { line: "welcome!" }),
        ]
    }

    #[test]
    fn text_in_code_points_that_is_none_may_be_refused_before_all_of_it_is_there() {
        fuzz(b"ERROR:6:RE\x01\xf1\0h\xdf.\x80a");
    }

    #[test]
    fn r03_every_frame_of_the_tables_at_every_split() {
        for (bytes, frame) in from_client() {
            let used = bytes.len();
            let done = Ok(Decoded::Done { frame, used });
            assert_eq!(decode_from_client(bytes, 0), done, "{frame:?}");
            let more = [bytes, b"\xff\r\n"].concat();
            assert_eq!(decode_from_client(&more, 0), done, "with bytes behind it");
            fuzz(bytes);
        }
        for (bytes, frame) in from_server() {
            let used = bytes.len();
            let done = Ok(Decoded::Done { frame, used });
            assert_eq!(decode_from_server(bytes, 0), done);
            let more = [bytes, b"\xff\r\n"].concat();
            assert_eq!(decode_from_server(&more, 0), done, "with bytes behind it");
            fuzz(bytes);
        }
    }

    #[test]
    fn what_we_write() {
        type Encode<'a> = &'a dyn Fn(&mut Vec<u8>);
        let written = |encode: Encode<'_>| {
            let mut out = Vec::new();
            encode(&mut out);
            String::from_utf8(out).unwrap()
        };
        let contact = Contact {
            ip: [10, 0, 0, 7].into(),
            port: 5000,
        };
        let members = &[("bob", contact), ("eve", Contact::NONE)][..];
        let ip = IpAddr::V4(contact.ip);
        let table: [(Encode<'_>, &str); 8] = [
            (
                &|out| encode_register("bob", ip, 5000, out),
                "REGISTER:bob:10.0.0.7:5000\r\n",
            ),
            (
                &|out| encode_broadcast("bob", &["é"], out),
                "BROADCAST:bob:2:é\r\n",
            ),
            (
                &|out| encode_broadcast("bob", &[" ", "hi"], out),
                "BROADCAST:bob:3: hi\r\n",
            ),
            (
                &|out| encode_list(&members, out),
                "LIST:bob:10.0.0.7:5000:eve:0.0.0.0:0\r\n",
            ),
            (&|out| encode_list(&(), out), "LIST:\r\n"),
            (
                &|out| encode_joined("bob", contact, out),
                "UPDATE:JOIN:bob:10.0.0.7:5000\r\n",
            ),
            (
                &|out| encode_left("eve", Contact::NONE, out),
                "UPDATE:LEAVE:eve:0.0.0.0:0\r\n",
            ),
            (&|out| encode_error("no: é", out), "ERROR:6:no: é\r\n"),
        ];
        for (encode, wanted) in table {
            assert_eq!(written(encode), wanted);
        }
    }

    #[test]
    fn broken_frames_are_named() {
        use Violation::*;
        let long = "x".repeat(MAX_FROM_CLIENT);
        let limit = MAX_FROM_CLIENT;
        let table: Vec<(Vec<u8>, Violation)> = vec![
            (b"\xff\r\n".to_vec(), NotUtf8),
            (b"REGISTER:\xff:1.2.3.4:1\r\n".to_vec(), NotUtf8),
            (b"BROADCAST:bob:1:\xff\r\n".to_vec(), NotUtf8),
            (b"BROADCAST:bob:1:\x80..".to_vec(), NotUtf8),
            (b"BROADCAST:\xff:1:".to_vec(), NotUtf8),
            (
                b"BROADCAST:bob:1:hi\r\n".to_vec(),
                LengthFitsNothing { length: 1 },
            ),
            (
                b"BROADCAST:bob:0:hi\r\n".to_vec(),
                LengthFitsNothing { length: 0 },
            ),
            // Before the rest of the line is there.
            (b"BROADCAST:bob:-2".to_vec(), LengthOutOfRange),
            (b"BROADCAST:bob:9999999999".to_vec(), LengthOutOfRange),
            (b"BROADCAST:bob:8192:".to_vec(), OverLimit { limit }),
            (b"BROADCAST:bob:999999999:".to_vec(), OverLimit { limit }),
            (long.clone().into_bytes(), OverLimit { limit }),
            (
                format!("{}\r\n", &long[1..]).into_bytes(),
                OverLimit { limit },
            ),
            (
                format!("BROADCAST:{long}").into_bytes(),
                OverLimit { limit },
            ),
            (
                format!("BROADCAST:bob:4000:{}", "🐦".repeat(4000)).into_bytes(),
                OverLimit { limit },
            ),
        ];
        for (bytes, violation) in table {
            assert_eq!(decode_from_client(&bytes, 0), Err(violation));
            fuzz(&bytes);
            assert!(!violation.to_string().is_empty());
        }
    }

    #[test]
    fn the_longest_frame_is_taken() {
        let line = format!("{}\r\n", "x".repeat(MAX_FROM_CLIENT - 2));
        let used = line.len();
        let frame = FromClient::Unknown;
        assert_eq!(
            decode_from_client(line.as_bytes(), 0),
            Ok(Decoded::Done { frame, used })
        );
        fuzz(line.as_bytes());
    }

    #[test]
    fn a_dripped_text_is_walked_few_times() {
        let frame = format!("BROADCAST:bob:1500:{}\r\n", "🐦".repeat(1500));
        let (mut wanted, mut asked) = (0, 0);
        for length in 0..=frame.len() {
            if length < wanted {
                continue;
            }
            asked += 1;
            match decode_from_client(&frame.as_bytes()[..length], 0).unwrap() {
                Decoded::NeedMore { needed } => wanted = needed,
                Decoded::Done { used, .. } => assert_eq!(used, frame.len()),
            }
        }
        assert!(asked < 19 + 40, "asked {asked} times");
    }

    proptest! {
        #[test]
        fn any_bytes_are_borne(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            fuzz(&input);
        }

        #[test]
        fn nearly_right_lines_are_borne(
            input in "(BROADCAST:|REGISTER:|LIST:|ERROR:|UPDATE:JOIN:|)([a-f0-9]{0,3}[:\r\né🐦]{0,3}){0,8}\r?\n?",
        ) {
            fuzz(input.as_bytes());
        }

        #[test]
        fn what_is_encoded_is_decoded(nickname in "[a-zé🐦]{0,12}", text in "\\PC{0,300}|[:\r\n]{0,9}") {
            let mut bytes = Vec::new();
            encode_broadcast(&nickname, &[&text], &mut bytes);
            let used = bytes.len();
            let frame = FromClient::Broadcast { nickname: &nickname, text: &text };
            prop_assert_eq!(decode_from_client(&bytes, 0), Ok(Decoded::Done { frame, used }));
        }

        #[test]
        fn a_length_in_code_points_is_understood_too(text in "\\PC{0,300}") {
            let bytes = format!("BROADCAST:bob:{}:{text}\r\n", text.chars().count());
            let used = bytes.len();
            let frame = FromClient::Broadcast { nickname: "bob", text: &text };
            prop_assert_eq!(decode_from_client(bytes.as_bytes(), 0), Ok(Decoded::Done { frame, used }));
        }
    }
}
