//! Owns the frames of the udp-login protocol in both directions.
//! Knows nothing of sockets, clocks, rooms or accounts. Decoding never panics and copies nothing; encoding
//! never makes a datagram of more than [`MAX_FRAME_BYTES`]; no password and no session id is shown by `Debug`.

use std::fmt;

use crate::chat::{MAX_NAME_BYTES, Roster, cut, split};
use crate::protocol::{Datagrams, Secret};

/// The longest frame in either direction.
pub const MAX_FRAME_BYTES: usize = 4096;

/// The longest password, in bytes of UTF-8.
pub const MAX_PASSWORD_BYTES: usize = 128;

/// What a client asks, as it stands in the frame: nothing of it is believed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// `C seq LOGIN username`
    Login { seq: u64, name: &'a str },
    /// `C seq PASS username password`
    Pass {
        seq: u64,
        name: &'a str,
        password: Password<'a>,
    },
    /// Everything that bears a session id.
    Session {
        seq: u64,
        /// `None` where it has not the form of one: then it is a wrong one.
        sid: Option<Secret>,
        wants: Wants<'a>,
    },
}

/// What is wanted in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants<'a> {
    /// `C seq PM sid`
    Public,
    /// `C seq DM sid`
    Direct,
    /// `C seq EX sid`
    Exit,
    /// `C seq PING sid`
    Ping,
    /// `D seq sid text`, or `D seq sid target text`: which one is known from what was wanted before.
    Data { rest: &'a str },
    /// Any other command; what stands behind the session id is not read.
    Unknown { command: &'a str },
}

/// A password, which is not for logs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Password<'a>(pub &'a str);

/// What a server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// The answer to the request of that number.
    Reply { seq: u64, reply: Reply<'a> },
    /// `D PM from text`
    Message { from: &'a str, text: &'a str },
    /// `D DM from text`
    Direct { from: &'a str, text: &'a str },
    /// `C 0 ARRIVED name`
    Arrived { name: &'a str },
    /// `C 0 LEFT name`
    Left { name: &'a str },
}

/// What a request is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// `PASSWORD existing`, or `new`: that name has no account yet.
    Password { exists: bool },
    /// `ERROR text`
    Error { text: &'a str },
    /// `WELCOME sid`
    Welcome { sid: Secret },
    /// `DENIED text`
    Denied { text: &'a str },
    /// `READY`
    Ready,
    /// `SENT n`: to how many members.
    Sent { to: usize },
    /// `USERS name name …`, and how many more there are. Written by [`encode_users`].
    Users { names: &'a str, more: usize },
    /// `NOUSER target`
    NoUser { name: &'a str },
    /// `BYE`
    Bye,
    /// `PONG`
    Pong,
    /// `GONE`
    Gone,
}

/// Why a frame is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// More than [`MAX_FRAME_BYTES`].
    TooLong { got: usize },
    /// Bytes that are no UTF-8.
    NotUtf8,
    /// Neither `C` nor `D` and a space.
    NotAFrame,
    /// A sequence number that is no decimal number of 64 bits.
    NotANumber,
    /// A command that there is not, without the form of a session id behind it; or a reply that
    /// there is not.
    UnknownCommand,
}

/// Reads what a client asks.
///
/// ```
/// use mynah::protocol::udp_login::frame::{Asked, decode_asked};
///
/// let asked = decode_asked(b"C 1 LOGIN momodou\n");
/// assert_eq!(asked, Ok(Asked::Login { seq: 1, name: "momodou" }));
/// ```
pub fn decode_asked(frame: &[u8]) -> Result<Asked<'_>, Violation> {
    let (kind, rest) = kind(frame)?;
    let (seq, rest) = field(rest);
    let seq = number(seq)?;
    let session = |sid: &str, wants| Asked::Session {
        seq,
        sid: Secret::from_hex(sid.as_bytes()),
        wants,
    };
    if kind == Kind::Data {
        let (sid, rest) = field(rest);
        return Ok(session(sid, Wants::Data { rest }));
    }
    let (command, rest) = field(rest);
    Ok(match command {
        "LOGIN" => Asked::Login { seq, name: rest },
        "PASS" => {
            let (name, password) = field(rest);
            let password = Password(password);
            Asked::Pass {
                seq,
                name,
                password,
            }
        }
        "PM" => session(rest, Wants::Public),
        "DM" => session(rest, Wants::Direct),
        "EX" => session(rest, Wants::Exit),
        "PING" => session(rest, Wants::Ping),
        command => {
            let (sid, _) = field(rest);
            if Secret::from_hex(sid.as_bytes()).is_none() {
                return Err(Violation::UnknownCommand);
            }
            session(sid, Wants::Unknown { command })
        }
    })
}

/// Whether there may be a password in a client's frame, a faulty one included.
pub fn may_hold_password(frame: &[u8]) -> bool {
    let mut fields = frame.splitn(3, |byte| *byte == b' ');
    fields.next() == Some(b"C") && fields.nth(1).is_some_and(|rest| rest.starts_with(b"PASS"))
}

/// Appends what a client asks; without a session id, nothing that needs one. The text is short enough
/// for one frame: see [`data_space`].
pub fn encode_asked(asked: &Asked<'_>, out: &mut Vec<u8>) {
    match *asked {
        Asked::Login { seq, name } => {
            put_command(seq, out);
            put(&["LOGIN ", name], out);
        }
        Asked::Pass {
            seq,
            name,
            password,
        } => {
            put_command(seq, out);
            put(&["PASS ", name, " ", password.0], out);
        }
        Asked::Session { sid: None, .. } => {}
        Asked::Session {
            seq,
            sid: Some(sid),
            wants: Wants::Data { rest },
        } => {
            put(&["D "], out);
            put_number(seq, out);
            put(&[" "], out);
            sid.encode(out);
            put(&[" ", rest], out);
        }
        Asked::Session {
            seq,
            sid: Some(sid),
            wants,
        } => {
            let command = match wants {
                Wants::Public => "PM",
                Wants::Direct => "DM",
                Wants::Exit => "EX",
                Wants::Ping => "PING",
                Wants::Unknown { command } => command,
                Wants::Data { .. } => return,
            };
            put_command(seq, out);
            put(&[command, " "], out);
            sid.encode(out);
        }
    }
}

/// How long the text of a `D` may be so that it goes on to others in one frame too, in bytes.
pub fn data_space(target: &str) -> usize {
    // What stands before a text is 56 bytes long on the way to the server and 70 on the way from it.
    MAX_FRAME_BYTES.saturating_sub(80 + target.len())
}

/// Reads what a server sends.
pub fn decode_heard(frame: &[u8]) -> Result<Heard<'_>, Violation> {
    let (kind, rest) = kind(frame)?;
    let (first, rest) = field(rest);
    if kind == Kind::Data {
        let (from, text) = field(rest);
        return match first {
            "PM" => Ok(Heard::Message { from, text }),
            "DM" => Ok(Heard::Direct { from, text }),
            _ => Err(Violation::UnknownCommand),
        };
    }
    let seq = number(first)?;
    let (command, rest) = field(rest);
    let reply = match (command, rest) {
        ("ARRIVED", name) => return Ok(Heard::Arrived { name }),
        ("LEFT", name) => return Ok(Heard::Left { name }),
        ("PASSWORD", "new") => Reply::Password { exists: false },
        ("PASSWORD", "existing") => Reply::Password { exists: true },
        ("ERROR", text) => Reply::Error { text },
        ("WELCOME", sid) => Reply::Welcome {
            sid: Secret::from_hex(sid.as_bytes()).ok_or(Violation::UnknownCommand)?,
        },
        ("DENIED", text) => Reply::Denied { text },
        ("READY", _) => Reply::Ready,
        ("SENT", to) => Reply::Sent {
            to: usize::try_from(number(to)?).map_err(|_| Violation::NotANumber)?,
        },
        ("USERS", names) => users(names, frame.len()),
        ("NOUSER", name) => Reply::NoUser { name },
        ("BYE", _) => Reply::Bye,
        ("PONG", _) => Reply::Pong,
        ("GONE", _) => Reply::Gone,
        _ => return Err(Violation::UnknownCommand),
    };
    Ok(Heard::Reply { seq, reply })
}

/// Adds what a server sends: several frames, each with its beginning, where what somebody says is too
/// long for one. Names are at most [`MAX_NAME_BYTES`] long, longer ones are cut.
pub fn encode_heard(heard: &Heard<'_>, out: &mut Datagrams) {
    match *heard {
        Heard::Reply { seq, reply } => out.push(|out| encode_reply(seq, &reply, out)),
        Heard::Message { from, text } => data("D PM ", from, text, out),
        Heard::Direct { from, text } => data("D DM ", from, text, out),
        Heard::Arrived { name } => {
            out.push(|out| put(&["C 0 ARRIVED ", cut(name, MAX_NAME_BYTES)], out));
        }
        Heard::Left { name } => out.push(|out| put(&["C 0 LEFT ", cut(name, MAX_NAME_BYTES)], out)),
    }
}

/// Appends the answer to a request.
pub fn encode_reply(seq: u64, reply: &Reply<'_>, out: &mut Vec<u8>) {
    put_command(seq, out);
    match *reply {
        Reply::Password { exists: false } => put(&["PASSWORD new"], out),
        Reply::Password { exists: true } => put(&["PASSWORD existing"], out),
        Reply::Error { text } => put(&["ERROR ", cut(text, SHORT)], out),
        Reply::Welcome { sid } => {
            put(&["WELCOME "], out);
            sid.encode(out);
        }
        Reply::Denied { text } => put(&["DENIED ", cut(text, SHORT)], out),
        Reply::Ready => put(&["READY"], out),
        Reply::Sent { to } => {
            put(&["SENT "], out);
            put_number(to as u64, out);
        }
        Reply::Users { names, more } => {
            put(&["USERS ", cut(names, MAX_FRAME_BYTES - 64)], out);
            put_more(more, out);
        }
        Reply::NoUser { name } => put(&["NOUSER ", cut(name, MAX_NAME_BYTES)], out),
        Reply::Bye => put(&["BYE"], out),
        Reply::Pong => put(&["PONG"], out),
        Reply::Gone => put(&["GONE"], out),
    }
}

/// Appends the `USERS` of a room: all of them, or as many as there is space for and how many more there are.
pub fn encode_users(seq: u64, members: &dyn Roster, out: &mut Vec<u8>) {
    let begin = out.len();
    put_command(seq, out);
    put(&["USERS"], out);
    let mut needed = out.len() - begin;
    members.tell(&mut |name, _| needed = needed.saturating_add(1 + name.len()));
    let space = match needed <= MAX_FRAME_BYTES {
        true => MAX_FRAME_BYTES,
        false => MAX_FRAME_BYTES - MORE_BYTES,
    };
    let mut more = 0;
    members.tell(&mut |name, _| {
        if more == 0 && out.len() - begin + 1 + name.len() <= space {
            put(&[" ", name], out);
        } else {
            more += 1;
        }
    });
    put_more(more, out);
}

/// The texts of errors and denials are ours and shorter than this.
const SHORT: usize = 128;

/// A space, a `+` and a number of members.
const MORE_BYTES: usize = 12;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Command,
    Data,
}

fn kind(frame: &[u8]) -> Result<(Kind, &str), Violation> {
    if frame.len() > MAX_FRAME_BYTES {
        return Err(Violation::TooLong { got: frame.len() });
    }
    let kind = match frame {
        [b'C', b' ', ..] => Kind::Command,
        [b'D', b' ', ..] => Kind::Data,
        _ => return Err(Violation::NotAFrame),
    };
    let line = std::str::from_utf8(frame).map_err(|_| Violation::NotUtf8)?;
    let line = line.strip_suffix('\n').unwrap_or(line);
    let line = line.strip_suffix('\r').unwrap_or(line);
    Ok((kind, line.get(2..).unwrap_or_default()))
}

/// Up to the first space, and what stands behind it: the last field may hold spaces.
fn field(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}

fn number(text: &str) -> Result<u64, Violation> {
    // `parse` would take a sign.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Violation::NotANumber);
    }
    text.parse().map_err(|_| Violation::NotANumber)
}

/// `+5` is a name too: a last field of that form is a count only where the frame is so full that names had
/// to be left out.
fn users(names: &str, frame_bytes: usize) -> Reply<'_> {
    let full = frame_bytes + MORE_BYTES + MAX_NAME_BYTES > MAX_FRAME_BYTES;
    let counted = names.rsplit_once(' ').and_then(|(names, last)| {
        let more = usize::try_from(number(last.strip_prefix('+')?).ok()?).ok()?;
        Some((names, more))
    });
    match counted {
        Some((names, more)) if full => Reply::Users { names, more },
        Some(_) | None => Reply::Users { names, more: 0 },
    }
}

fn data(beginning: &str, from: &str, text: &str, out: &mut Datagrams) {
    let from = cut(from, MAX_NAME_BYTES);
    let space = MAX_FRAME_BYTES - beginning.len() - from.len() - 1;
    for piece in split(text, space) {
        out.push(|out| put(&[beginning, from, " ", piece], out));
    }
}

fn put_command(seq: u64, out: &mut Vec<u8>) {
    put(&["C "], out);
    put_number(seq, out);
    put(&[" "], out);
}

fn put_more(more: usize, out: &mut Vec<u8>) {
    if more > 0 {
        put(&[" +"], out);
        put_number(more as u64, out);
    }
}

fn put_number(mut number: u64, out: &mut Vec<u8>) {
    let begin = out.len();
    loop {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(begin..) {
        digits.reverse();
    }
}

fn put(pieces: &[&str], out: &mut Vec<u8>) {
    for piece in pieces {
        out.extend_from_slice(piece.as_bytes());
    }
}

impl fmt::Debug for Password<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

impl Violation {
    /// The rule that was broken, for the log.
    pub fn why(&self) -> &'static str {
        match self {
            Violation::TooLong { .. } => "longer than 4096 bytes",
            Violation::NotUtf8 => "not UTF-8",
            Violation::NotAFrame => "neither C nor D",
            Violation::NotANumber => "not a sequence number",
            Violation::UnknownCommand => "unknown command",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why())
    }
}

impl std::error::Error for Violation {}

/// The entry for fuzzing: whatever the bytes are, both decoders answer, and what they understood is the same
/// when it is written and read again.
pub fn fuzz(input: &[u8]) {
    let readable = |bytes: &[u8]| {
        bytes.len() <= MAX_FRAME_BYTES && !matches!(bytes.last(), Some(b'\r' | b'\n'))
    };
    if let Ok(asked) = decode_asked(input) {
        let mut bytes = Vec::new();
        encode_asked(&asked, &mut bytes);
        if !bytes.is_empty() && readable(&bytes) {
            assert_eq!(decode_asked(&bytes), Ok(asked));
        }
    }
    if let Ok(heard) = decode_heard(input) {
        let mut out = Datagrams::new();
        encode_heard(&heard, &mut out);
        for datagram in out.iter() {
            assert!(datagram.len() <= MAX_FRAME_BYTES);
            assert!(!readable(datagram) || decode_heard(datagram).is_ok());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chat::Contact;

    const SID: &str = "000102030405060708090a0b0c0d0eff";

    fn sid() -> Option<Secret> {
        Secret::from_hex(SID.as_bytes())
    }

    /// What a client asks, and as what it is understood. Those marked `true` are as our client writes them.
    fn asked() -> Vec<(String, bool, Asked<'static>)> {
        let session = |seq, sid, wants| Asked::Session { seq, sid, wants };
        let pass = |seq, name, password| Asked::Pass {
            seq,
            name,
            password: Password(password),
        };
        let login = |seq, name| Asked::Login { seq, name };
        let data = |rest| Wants::Data { rest };
        let unknown = |command| Wants::Unknown { command };
        let max = u64::MAX;
        vec![
            ("C 1 LOGIN momodou".into(), true, login(1, "momodou")),
            (
                "C 1 LOGIN two words\r\n".into(),
                false,
                login(1, "two words"),
            ),
            ("C 0 LOGIN ".into(), true, login(0, "")),
            ("C 0 LOGIN".into(), false, login(0, "")),
            ("C 007 LOGIN a".into(), false, login(7, "a")),
            (format!("C {max} LOGIN a"), true, login(max, "a")),
            (
                "C 2 PASS momodou a b  c ".into(),
                true,
                pass(2, "momodou", "a b  c "),
            ),
            ("C 2 PASS momodou ".into(), true, pass(2, "momodou", "")),
            ("C 2 PASS momodou".into(), false, pass(2, "momodou", "")),
            (
                format!("C 3 PM {SID}"),
                true,
                session(3, sid(), Wants::Public),
            ),
            (
                format!("C 3 DM {SID}\n"),
                false,
                session(3, sid(), Wants::Direct),
            ),
            (
                format!("C 3 EX {SID}"),
                true,
                session(3, sid(), Wants::Exit),
            ),
            (
                format!("C 3 PING {SID}"),
                true,
                session(3, sid(), Wants::Ping),
            ),
            ("C 3 PING x".into(), false, session(3, None, Wants::Ping)),
            ("C 3 EX".into(), false, session(3, None, Wants::Exit)),
            (
                format!("C 3 EX {SID} "),
                false,
                session(3, None, Wants::Exit),
            ),
            (
                format!("D 4 {SID} a b"),
                true,
                session(4, sid(), data("a b")),
            ),
            (format!("D 4 {SID}"), false, session(4, sid(), data(""))),
            ("D 4 a b".into(), false, session(4, None, data("b"))),
            (
                format!("C 5 X {SID}"),
                true,
                session(5, sid(), unknown("X")),
            ),
            (
                format!("C 5 pm {SID} x"),
                false,
                session(5, sid(), unknown("pm")),
            ),
        ]
    }

    fn heard() -> Vec<(String, Heard<'static>)> {
        let reply = |seq, reply| Heard::Reply { seq, reply };
        let users = |names| Reply::Users { names, more: 0 };
        let sid = sid().unwrap();
        vec![
            (
                "C 1 PASSWORD new".into(),
                reply(1, Reply::Password { exists: false }),
            ),
            (
                "C 1 PASSWORD existing".into(),
                reply(1, Reply::Password { exists: true }),
            ),
            (
                "C 1 ERROR not a name".into(),
                reply(1, Reply::Error { text: "not a name" }),
            ),
            (
                format!("C 2 WELCOME {SID}"),
                reply(2, Reply::Welcome { sid }),
            ),
            (
                "C 2 DENIED no no".into(),
                reply(2, Reply::Denied { text: "no no" }),
            ),
            ("C 3 READY".into(), reply(3, Reply::Ready)),
            ("C 4 SENT 12".into(), reply(4, Reply::Sent { to: 12 })),
            ("C 4 SENT 0".into(), reply(4, Reply::Sent { to: 0 })),
            ("C 5 USERS a b +5".into(), reply(5, users("a b +5"))),
            (
                "C 6 NOUSER bob".into(),
                reply(6, Reply::NoUser { name: "bob" }),
            ),
            ("C 7 BYE".into(), reply(7, Reply::Bye)),
            ("C 8 PONG".into(), reply(8, Reply::Pong)),
            (format!("C {} GONE", u64::MAX), reply(u64::MAX, Reply::Gone)),
            ("C 0 ARRIVED bob".into(), Heard::Arrived { name: "bob" }),
            ("C 0 LEFT bob".into(), Heard::Left { name: "bob" }),
            (
                "D PM bob hi  there ".into(),
                Heard::Message {
                    from: "bob",
                    text: "hi  there ",
                },
            ),
            (
                "D DM bob PM".into(),
                Heard::Direct {
                    from: "bob",
                    text: "PM",
                },
            ),
        ]
    }

    fn frames(heard: &Heard<'_>) -> Vec<String> {
        let mut out = Datagrams::new();
        encode_heard(heard, &mut out);
        assert!(out.iter().all(|frame| frame.len() <= MAX_FRAME_BYTES));
        let text = |frame: &[u8]| std::str::from_utf8(frame).unwrap().to_string();
        out.iter().map(text).collect()
    }

    #[test]
    fn what_a_client_asks_is_read_and_written() {
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
    fn r18_a_frame_that_may_hold_a_password_is_known() {
        for (line, _, asked) in asked() {
            let holds = matches!(asked, Asked::Pass { .. });
            assert_eq!(may_hold_password(line.as_bytes()), holds, "{line:?}");
        }
        // Refused, but whoever sent it may have meant it.
        for faulty in [
            "C x PASS a b",
            "C 1 PASS a \u{7}",
            "C 1 PASSa b",
            "C  PASS a b",
        ] {
            assert!(may_hold_password(faulty.as_bytes()), "{faulty:?}");
        }
    }

    #[test]
    fn what_a_server_sends_is_read_and_written() {
        for (line, expected) in heard() {
            assert_eq!(decode_heard(line.as_bytes()), Ok(expected), "{line:?}");
            assert_eq!(frames(&expected), [line.as_str()]);
            fuzz(line.as_bytes());
        }
    }

    #[test]
    fn what_is_no_frame_is_named() {
        use Violation::*;
        let long = [&b"C 1 LOGIN "[..], &[b'x'; MAX_FRAME_BYTES]].concat();
        let table: Vec<(&[u8], Violation)> = vec![
            (&long, TooLong { got: 4106 }),
            (b"", NotAFrame),
            (b"C", NotAFrame),
            (b"CC 1 LOGIN a", NotAFrame),
            (b"c 1 LOGIN a", NotAFrame),
            (b"hello", NotAFrame),
            (b"\xffC 1 LOGIN a", NotAFrame),
            (b"C 1 LOGIN \xff", NotUtf8),
            (b"C  LOGIN a", NotANumber),
            (b"C LOGIN a", NotANumber),
            (b"C -1 LOGIN a", NotANumber),
            (b"C +1 LOGIN a", NotANumber),
            (b"C 1.0 LOGIN a", NotANumber),
            (b"C 18446744073709551616 LOGIN a", NotANumber),
            (b"C \xd9\xa1 LOGIN a", NotANumber),
            (b"D x y", NotANumber),
            (b"C 1", UnknownCommand),
            (b"C 1 ", UnknownCommand),
            (b"C 1 login a", UnknownCommand),
            (b"C 1 HELLO there", UnknownCommand),
        ];
        for (frame, violation) in table {
            assert_eq!(decode_asked(frame), Err(violation), "{frame:?}");
            assert!(!violation.to_string().is_empty());
        }
        let table: Vec<(&[u8], Violation)> = vec![
            (b"C 1 WELCOME 123", UnknownCommand),
            (b"C 1 PASSWORD maybe", UnknownCommand),
            (b"C 1 SENT many", NotANumber),
            (b"C 1 SENT", NotANumber),
            (b"D XM bob hi", UnknownCommand),
            (b"C x READY", NotANumber),
            (b"D PM bob \xff", NotUtf8),
        ];
        for (frame, violation) in table {
            assert_eq!(decode_heard(frame), Err(violation), "{frame:?}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let frame = format!("D 1 {SID} x");
        let shown = [
            format!(
                "{:?}",
                decode_asked(b"C 2 PASS momodou opensesame").unwrap()
            ),
            format!("{:?}", decode_asked(frame.as_bytes()).unwrap()),
        ];
        assert!(
            !shown[0].contains("opensesame") && !shown[1].contains("0102"),
            "{shown:?}"
        );
    }

    fn users_of(names: &[String]) -> Vec<u8> {
        let members: Vec<(&str, Contact)> = names
            .iter()
            .map(|name| (name.as_str(), Contact::NONE))
            .collect();
        let mut out = b"before".to_vec();
        encode_users(9, &members.as_slice(), &mut out);
        out.split_off(6)
    }

    #[test]
    fn a_list_of_users_is_whole_or_says_how_many_are_missing() {
        let some = ["a".to_string(), "b".to_string()];
        assert_eq!(users_of(&some), b"C 9 USERS a b");
        let none = decode_heard(b"C 9 USERS");
        let names = "";
        assert_eq!(
            none,
            Ok(Heard::Reply {
                seq: 9,
                reply: Reply::Users { names, more: 0 }
            })
        );

        for count in [60, 62, 63, 64, 65, 100, 19_000] {
            let names: Vec<String> = (0..count).map(|n| format!("{n:0>64}")).collect();
            let frame = users_of(&names);
            assert!(frame.len() <= MAX_FRAME_BYTES);
            let Ok(Heard::Reply {
                reply: Reply::Users { names, more },
                ..
            }) = decode_heard(&frame)
            else {
                panic!("{count}");
            };
            assert_eq!(names.split(' ').count() + more, count);
            assert_eq!(more == 0, count <= 62, "{count}: {more} missing");
        }
    }

    #[test]
    fn a_long_text_goes_as_several_frames_each_with_its_beginning() {
        let text = "é".repeat(2048);
        let sent = frames(&Heard::Message {
            from: "momodou",
            text: &text,
        });
        assert_eq!(sent.len(), 2);
        let pieces: Vec<&str> = sent
            .iter()
            .map(|frame| frame.strip_prefix("D PM momodou ").unwrap())
            .collect();
        assert_eq!(pieces.concat(), text);
    }

    #[test]
    fn a_text_of_the_space_that_is_told_goes_in_one_frame_both_ways() {
        let name = "n".repeat(MAX_NAME_BYTES);
        let text = "x".repeat(data_space(""));
        let wants = Wants::Data { rest: &text };
        let mut out = Vec::new();
        encode_asked(
            &Asked::Session {
                seq: u64::MAX,
                sid: sid(),
                wants,
            },
            &mut out,
        );
        assert!(out.len() <= MAX_FRAME_BYTES);
        assert_eq!(
            frames(&Heard::Direct {
                from: &name,
                text: &text
            })
            .len(),
            1
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_borne(
            kind in "(C [0-9]{1,3} |D )?",
            input in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            fuzz(&[kind.as_bytes(), &input].concat());
        }

        #[test]
        fn nearly_right_frames_are_borne(
            which in any::<prop::sample::Index>(),
            flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let lines: Vec<String> = asked()
                .into_iter()
                .map(|row| row.0)
                .chain(heard().into_iter().map(|row| row.0))
                .collect();
            let mut bytes = which.get(&lines).as_bytes().to_vec();
            for (at, value) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= value;
            }
            fuzz(&bytes);
        }

        #[test]
        fn what_is_asked_is_understood(
            seq in any::<u64>(),
            name in "[!-~é]{1,40}",
            last in "[ -~é]{0,200}",
            bits in any::<[u8; 16]>(),
            which in 0usize..3,
        ) {
            let asked = match which {
                0 => Asked::Login { seq, name: &last },
                1 => Asked::Pass { seq, name: &name, password: Password(&last) },
                _ => Asked::Session {
                    seq,
                    sid: Some(Secret::new(bits)),
                    wants: Wants::Data { rest: &last },
                },
            };
            let mut bytes = Vec::new();
            encode_asked(&asked, &mut bytes);
            prop_assert_eq!(decode_asked(&bytes), Ok(asked));
        }

        #[test]
        fn what_is_said_is_heard_whole(from in "[!-~é]{1,20}", text in "[ -~é🐦]{1,9000}") {
            let mut whole = String::new();
            for frame in frames(&Heard::Message { from: &from, text: &text }) {
                let Ok(Heard::Message { from: got, text }) = decode_heard(frame.as_bytes()) else {
                    panic!("{frame:?}");
                };
                prop_assert_eq!(got, &from);
                whole += text;
            }
            prop_assert_eq!(whole, text);
        }
    }
}
