//! Owns the bytes of TCRP, the half over TCP, in both directions.
//! Knows nothing of sockets, clocks or rooms. Decoding never panics, never reads past the slice it was
//! given, and compares every size with its limit before anybody takes memory for it.
//!
//! A frame is a header, the room's name, and a payload in JSON. There are two forms of the header:
//!
//! ```text
//!            0                1          2      3 .. 31
//!  Long      room_name_size   operation  state  payload_size in 29 bytes, big-endian
//!  Short     room_name_size   operation  state  payload_size in 28 bytes, big-endian
//! ```
//!
//! A request's payload has 1 to 255 bytes, so byte 30 tells them apart: it is 0 in a long header (the last
//! byte but one of the size) and not 0 in a short one (the last).

use std::fmt;

use serde_json::Value;

use crate::chat::{AskedName, NameError, cut};
use crate::protocol::{Decoded, Hidden, Secret};

/// The largest payload of a request, in bytes. The two forms of the header can be told apart up to here.
pub const MAX_REQUEST_PAYLOAD: usize = 255;

/// The largest payload that a client takes from servers that may have more to say than ours.
pub const MAX_ANSWER_PAYLOAD: usize = 64 * 1024;

/// What stands before the digits of every token.
pub const TOKEN_MARK: &str = "token_";

/// Which of the two headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// 32 bytes: what existing programs send.
    Long,
    /// 31 bytes: what the protocol's own description comes to.
    Short,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Join,
}

/// What an answer repeats of its request beside the room's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub form: Form,
    /// As it was sent, whether or not it is one.
    pub operation: u8,
}

/// A request, its names not checked but for their length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    pub form: Form,
    pub operation: Operation,
    pub room: &'a str,
    pub username: AskedName,
}

/// One of the two frames that answer a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes, or no and why.
    Compliance(Result<(), String>),
    /// The token; an empty one is a refusal.
    Complete { token: Hidden<String> },
}

/// Which rule the peer broke, and how it can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What an answer would repeat. `None` where there is nothing to answer.
    pub head: Option<Head>,
    pub rule: Rule,
}

/// The rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Neither 1 nor 2.
    UnknownOperation { got: u8 },
    /// A request has the state 0.
    NotARequest { got: u8 },
    /// A payload above its limit; `got` is `u64::MAX` where it does not fit.
    PayloadOverLimit { got: u64, limit: usize },
    /// A room's name that is no UTF-8.
    RoomNotUtf8,
    /// A payload that is neither a JSON string nor an object with the string `username`.
    NotAUsername,
    /// More than a name may have.
    UsernameTooLong { bytes: usize },
    /// An answer has the state 1, then 2.
    NotAnAnswer { got: u8 },
    /// The payload of an answer that is not what its state announces.
    UnknownAnswer,
    /// Bytes after the only request.
    AfterTheEnd,
}

impl Form {
    /// How long the header is.
    pub const fn header_bytes(self) -> usize {
        match self {
            Form::Long => 32,
            Form::Short => 31,
        }
    }
}

impl Operation {
    /// As it stands in the header.
    pub const fn number(self) -> u8 {
        match self {
            Operation::Create => 1,
            Operation::Join => 2,
        }
    }
}

impl Request<'_> {
    /// What its answers repeat.
    pub fn head(&self) -> Head {
        Head {
            form: self.form,
            operation: self.operation.number(),
        }
    }
}

const REQUEST: u8 = 0;
const COMPLIANCE: u8 = 1;
const COMPLETE: u8 = 2;

/// A client's request. Nothing is judged before there are 31 bytes: from then on the form is known, and so
/// is how to say what is wrong.
///
/// ```
/// use mynah::protocol::Decoded;
/// use mynah::protocol::tcrp::frame::{Form, Operation, decode_request, encode_request};
///
/// let mut bytes = Vec::new();
/// encode_request(Form::Long, Operation::Join, "tea", "alice", &mut bytes);
/// let Ok(Decoded::Done { frame, used }) = decode_request(&bytes) else { panic!() };
/// assert_eq!((frame.room, &*frame.username, used), ("tea", "alice", 32 + 3 + 7));
/// ```
pub fn decode_request(input: &[u8]) -> Result<Decoded<Request<'_>>, Violation> {
    let form = match input.get(30) {
        None => return Ok(Decoded::NeedMore { needed: 31 }),
        Some(0) => Form::Long,
        Some(_) => Form::Short,
    };
    let Some(header) = Header::read(input, form) else {
        let needed = form.header_bytes();
        return Ok(Decoded::NeedMore { needed });
    };
    let head = Head {
        form,
        operation: header.operation,
    };
    let broken = |rule| Violation {
        head: Some(head),
        rule,
    };
    let operation = match header.operation {
        1 => Operation::Create,
        2 => Operation::Join,
        got => return Err(broken(Rule::UnknownOperation { got })),
    };
    if header.state != REQUEST {
        let got = header.state;
        return Err(broken(Rule::NotARequest { got }));
    }
    let parts = header.parts(input, MAX_REQUEST_PAYLOAD).map_err(broken)?;
    let (room, payload) = match parts {
        Ok(parts) => parts,
        Err(needed) => return Ok(Decoded::NeedMore { needed }),
    };
    let room = std::str::from_utf8(room).map_err(|_| broken(Rule::RoomNotUtf8))?;
    let username = username(payload).map_err(broken)?;
    let used = form.header_bytes() + room.len() + payload.len();
    Ok(Decoded::Done {
        frame: Request {
            form,
            operation,
            room,
            username,
        },
        used,
    })
}

/// A server's answer to a request in the form `form`, which is the answer's too: it is not guessed, for an
/// answer may be longer than the length up to which the forms can be told apart.
pub fn decode_answer(input: &[u8], form: Form) -> Result<Decoded<Answer>, Violation> {
    let broken = |rule| Violation { head: None, rule };
    let Some(header) = Header::read(input, form) else {
        let needed = form.header_bytes();
        return Ok(Decoded::NeedMore { needed });
    };
    if !matches!(header.state, COMPLIANCE | COMPLETE) {
        let got = header.state;
        return Err(broken(Rule::NotAnAnswer { got }));
    }
    let (room, payload) = match header.parts(input, MAX_ANSWER_PAYLOAD).map_err(broken)? {
        Ok(parts) => parts,
        Err(needed) => return Ok(Decoded::NeedMore { needed }),
    };
    let frame = answer(header.state, payload).ok_or_else(|| broken(Rule::UnknownAnswer))?;
    let used = form.header_bytes() + room.len() + payload.len();
    Ok(Decoded::Done { frame, used })
}

/// Appends a request. Both names are names, so they fit.
pub fn encode_request(
    form: Form,
    operation: Operation,
    room: &str,
    username: &str,
    out: &mut Vec<u8>,
) {
    let head = Head {
        form,
        operation: operation.number(),
    };
    put_frame(head, REQUEST, room, out, |out| put_json(username, out));
}

/// Appends both answers to a request: compliance, then complete.
pub fn encode_answers(head: Head, room: &str, answer: Result<Secret, &str>, out: &mut Vec<u8>) {
    put_frame(head, COMPLIANCE, room, out, |out| match answer {
        Ok(_) => out.extend_from_slice(br#"{"success":1}"#),
        Err(error) => {
            out.extend_from_slice(br#"{"success":0,"error":"#);
            put_error(error, out);
            out.push(b'}');
        }
    });
    put_frame(head, COMPLETE, room, out, |out| {
        out.extend_from_slice(br#"{"token":""#);
        if let Ok(secret) = answer {
            encode_token(secret, out);
        }
        out.extend_from_slice(br#""}"#);
    });
}

/// Appends a token as it is written everywhere.
pub fn encode_token(secret: Secret, out: &mut Vec<u8>) {
    out.extend_from_slice(TOKEN_MARK.as_bytes());
    secret.encode(out);
}

/// Appends an error as JSON that leaves the payload within what one byte of its size can say.
fn put_error(error: &str, out: &mut Vec<u8>) {
    let start = out.len();
    put_json(cut(error, LONGEST_ERROR), out);
    // Controls are six bytes each in JSON. Our own errors hold none.
    if out.len() - start > 2 * LONGEST_ERROR {
        out.truncate(start);
        put_json("refused", out);
    }
}

/// Even with every quote and backslash of it escaped, this and the words around it are less than
/// [`MAX_REQUEST_PAYLOAD`].
const LONGEST_ERROR: usize = 110;

/// Appends a frame whose payload `encode` appends.
fn put_frame(
    head: Head,
    state: u8,
    room: &str,
    out: &mut Vec<u8>,
    encode: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    let room_bytes = u8::try_from(room.len()).expect("invariant: a room's name fits its byte");
    out.extend_from_slice(&[room_bytes, head.operation, state]);
    out.resize(start + head.form.header_bytes(), 0);
    let size_end = out.len();
    out.extend_from_slice(room.as_bytes());
    let payload_start = out.len();
    encode(out);
    let size = out.len() - payload_start;
    let last = u8::try_from(size).expect("invariant: what we send is short");
    if let Some(place) = out.get_mut(size_end - 1) {
        *place = last;
    }
}

fn put_json(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("invariant: memory takes all");
}

/// The header, once it is there.
struct Header {
    form: Form,
    room_bytes: usize,
    operation: u8,
    state: u8,
    payload_bytes: u64,
}

impl Header {
    fn read(input: &[u8], form: Form) -> Option<Header> {
        let (&[room, operation, state], size) =
            input.get(..form.header_bytes())?.split_first_chunk()?;
        let (high, low) = size.split_last_chunk()?;
        let fits = high.iter().all(|byte| *byte == 0);
        Some(Header {
            form,
            room_bytes: usize::from(room),
            operation,
            state,
            payload_bytes: if fits {
                u64::from_be_bytes(*low)
            } else {
                u64::MAX
            },
        })
    }

    /// The room's name and the payload; or how many bytes there must be for that.
    #[expect(
        clippy::type_complexity,
        reason = "one caller's word each, named nowhere else"
    )]
    fn parts<'a>(
        &self,
        input: &'a [u8],
        limit: usize,
    ) -> Result<Result<(&'a [u8], &'a [u8]), usize>, Rule> {
        let got = self.payload_bytes;
        let payload_bytes = usize::try_from(got)
            .ok()
            .filter(|bytes| *bytes <= limit)
            .ok_or(Rule::PayloadOverLimit { got, limit })?;
        let room_start = self.form.header_bytes();
        let room_end = room_start + self.room_bytes;
        let end = room_end + payload_bytes;
        let parts = input
            .get(room_start..room_end)
            .zip(input.get(room_end..end));
        Ok(parts.ok_or(end))
    }
}

/// `"alice"` or `{"username":"alice"}`.
fn username(payload: &[u8]) -> Result<AskedName, Rule> {
    let value: Value = serde_json::from_slice(payload).map_err(|_| Rule::NotAUsername)?;
    let name = match &value {
        Value::String(name) => Some(name.as_str()),
        Value::Object(fields) => fields.get("username").and_then(Value::as_str),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    };
    AskedName::new(name.ok_or(Rule::NotAUsername)?).map_err(|error| match error {
        NameError::TooLong { bytes } => Rule::UsernameTooLong { bytes },
        NameError::Empty
        | NameError::Forbidden { .. }
        | NameError::MixedScripts
        | NameError::Expands => Rule::NotAUsername,
    })
}

fn answer(state: u8, payload: &[u8]) -> Option<Answer> {
    let value: Value = serde_json::from_slice(payload).ok()?;
    if state == COMPLETE {
        let token = value.get("token")?.as_str()?;
        // A datagram says the token's length in one byte.
        let token = Some(token).filter(|token| token.len() <= usize::from(u8::MAX))?;
        return Some(Answer::Complete {
            token: Hidden(token.to_string()),
        });
    }
    let yes = match value.get("success")? {
        Value::Bool(yes) => *yes,
        Value::Number(number) => number.as_u64()? != 0,
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    Some(Answer::Compliance(if yes {
        Ok(())
    } else {
        let error = value.get("error").and_then(Value::as_str);
        Err(error.unwrap_or("no reason given").to_string())
    }))
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::UnknownOperation { got } => write!(f, "unknown operation {got}"),
            Rule::NotARequest { got } => write!(f, "state {got} instead of a request's {REQUEST}"),
            Rule::PayloadOverLimit {
                got: u64::MAX,
                limit,
            } => write!(f, "enormous payload, the limit is {limit} bytes"),
            Rule::PayloadOverLimit { got, limit } => {
                write!(f, "payload of {got} bytes, the limit is {limit}")
            }
            Rule::RoomNotUtf8 => write!(f, "the room's name is not UTF-8"),
            Rule::NotAUsername => write!(f, "the payload is no username in JSON"),
            Rule::UsernameTooLong { bytes } => NameError::TooLong { bytes: *bytes }.fmt(f),
            Rule::NotAnAnswer { got } => write!(f, "state {got} in an answer"),
            Rule::UnknownAnswer => write!(f, "an answer's payload is not as it should be"),
            Rule::AfterTheEnd => write!(f, "bytes after the end"),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rule.fmt(f)
    }
}

impl std::error::Error for Violation {}

/// The entry for fuzzing: whatever the bytes are, every decoder answers, uses no more than there is,
/// and what it accepts is the same when it comes byte by byte.
#[allow(clippy::panic, reason = "this is how it says what it found")]
pub fn fuzz(input: &[u8]) {
    fn check<'a, T: fmt::Debug + PartialEq>(
        input: &'a [u8],
        decode: impl Fn(&'a [u8]) -> Result<Decoded<T>, Violation>,
    ) {
        if let Ok(Decoded::Done { frame, used }) = decode(input) {
            assert!(used <= input.len(), "used more than there is");
            for length in 0..used {
                let Some(Ok(Decoded::NeedMore { needed })) = input.get(..length).map(&decode)
                else {
                    panic!("an unfinished frame of {length} bytes was taken for more");
                };
                assert!(
                    length < needed && needed <= used,
                    "{needed} of {used} needed"
                );
            }
            let whole = input.get(..used).map(&decode);
            assert_eq!(whole, Some(Ok(Decoded::Done { frame, used })));
        }
    }
    check(input, decode_request);
    check(input, |bytes| decode_answer(bytes, Form::Long));
    check(input, |bytes| decode_answer(bytes, Form::Short));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Hex with blanks between fields; what stands in quotes is text.
    fn bytes(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        for (index, piece) in text.split('\'').enumerate() {
            if index % 2 == 1 {
                out.extend_from_slice(piece.as_bytes());
                continue;
            }
            let digits: Vec<u8> = piece
                .chars()
                .filter_map(|c| c.to_digit(16))
                .map(|digit| digit as u8)
                .collect();
            out.extend(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]));
        }
        out
    }

    /// 27 bytes of a size that are always 0; the rest of it follows.
    const ZEROS: &str = "000000000000000000 000000000000000000 000000000000000000";

    fn frame(text: &str) -> Vec<u8> {
        bytes(&text.replace("<27>", ZEROS))
    }

    fn request(
        form: Form,
        operation: Operation,
        room: &'static str,
        name: &str,
    ) -> Request<'static> {
        Request {
            form,
            operation,
            room,
            username: AskedName::new(name).unwrap(),
        }
    }

    /// Requests; the last column says whether we would write it so.
    fn requests() -> Vec<(Request<'static>, &'static str, bool)> {
        use Form::*;
        use Operation::*;
        vec![
            // room_name_size, operation, state, payload_size, room name, payload
            (
                request(Long, Create, "tea", "alice"),
                r#"03 01 00 <27>0007 'tea' '"alice"'"#,
                true,
            ),
            (
                request(Short, Create, "tea", "alice"),
                r#"03 01 00 <27>07 'tea' '"alice"'"#,
                true,
            ),
            (
                request(Long, Join, "é", "Zoë"),
                r#"02 02 00 <27>0006 'é' '"Zoë"'"#,
                true,
            ),
            (
                request(Short, Join, "lobby", "a"),
                r#"05 02 00 <27>03 'lobby' '"a"'"#,
                true,
            ),
            // As Python's json.dumps writes it.
            (
                request(Long, Join, "tea", "Zoë"),
                r#"03 02 00 <27>000a 'tea' '"Zo\u00eb"'"#,
                false,
            ),
            (
                request(Long, Join, "tea", "alice"),
                r#"03 02 00 <27>0016 'tea' '{"username": "alice"} '"#,
                false,
            ),
            (
                request(Short, Join, "tea", "alice"),
                r#"03 02 00 <27>1c 'tea' '{"x":[1],"username":"alice"}'"#,
                false,
            ),
            // Not a name, but that is for others to say.
            (
                request(Long, Join, "", ""),
                r#"00 02 00 <27>0002 '""'"#,
                true,
            ),
        ]
    }

    #[test]
    fn r03_every_request_of_the_table_in_both_directions_and_at_every_split() {
        for (wanted, text, is_ours) in requests() {
            let whole = frame(text);
            if is_ours {
                let mut out = Vec::new();
                encode_request(
                    wanted.form,
                    wanted.operation,
                    wanted.room,
                    &wanted.username,
                    &mut out,
                );
                assert_eq!(out, whole, "{text}");
            }
            let done = Ok(Decoded::Done {
                frame: wanted,
                used: whole.len(),
            });
            assert_eq!(decode_request(&whole), done, "{text}");
            let mut more = whole.clone();
            more.extend_from_slice(&[0xff; 9]);
            assert_eq!(decode_request(&more), done, "{text} with bytes behind it");
            fuzz(&whole);
        }
    }

    #[test]
    fn broken_requests_are_named_as_soon_as_they_are_broken() {
        use Form::*;
        use Rule::*;
        let over = |got| PayloadOverLimit { got, limit: 255 };
        let table: Vec<(&str, Form, u8, Rule)> = vec![
            ("00 00 00 <27>0001", Long, 0, UnknownOperation { got: 0 }),
            ("00 03 00 <27>0001", Long, 3, UnknownOperation { got: 3 }),
            ("00 ff 00 <27>07", Short, 255, UnknownOperation { got: 255 }),
            ("00 01 01 <27>0001", Long, 1, NotARequest { got: 1 }),
            ("00 02 02 <27>01", Short, 2, NotARequest { got: 2 }),
            // A huge size in a long header has a byte 30 that is not 0, and is read as a short one.
            (
                "00 01 00 000000000000000000 000000000000000000 00000000000000 0fffff",
                Short,
                1,
                over(0x000f_ffff),
            ),
            (
                "00 01 00 000000000000000000 000000000000000000 000000000000 0100000000",
                Long,
                1,
                over(1 << 32),
            ),
            (
                "00 01 00 000000000000000000 000000000000000000 000000 8000000000000000",
                Long,
                1,
                over(1 << 63),
            ),
            (
                "00 01 00 000000000000000000 000000000000000000 0000 010000000000000000",
                Long,
                1,
                over(u64::MAX),
            ),
            ("00 01 00 01 <27>00", Long, 1, over(u64::MAX)),
            (
                "00 01 00 ffffffffffffffffff ffffffffffffffffff ffffffffffffffffff ff",
                Short,
                1,
                over(u64::MAX),
            ),
            (
                "00 01 00 000000000000000000 000000000000000000 0000000000000000 01 01",
                Short,
                1,
                over(257),
            ),
            ("01 01 00 <27>0002 ff '\"\"'", Long, 1, RoomNotUtf8),
            ("00 01 00 <27>0000", Long, 1, NotAUsername),
            ("00 01 00 <27>0005 'alice'", Long, 1, NotAUsername),
            ("00 01 00 <27>0001 '7'", Long, 1, NotAUsername),
            ("00 01 00 <27>0002 '{}'", Long, 1, NotAUsername),
            ("00 01 00 <27>03 22 ff 22", Short, 1, NotAUsername),
            ("00 01 00 <27>0004 '\"\"\"\"'", Long, 1, NotAUsername),
        ];
        for (text, form, operation, rule) in table {
            let whole = frame(text);
            let violation = Violation {
                head: Some(Head { form, operation }),
                rule,
            };
            assert_eq!(decode_request(&whole), Err(violation), "{text}");
            let before = decode_request(&whole[..whole.len() - 1]);
            assert!(
                matches!(before, Ok(Decoded::NeedMore { .. })),
                "{text} one byte before"
            );
            assert!(!violation.to_string().is_empty());
        }
        let mut long = Vec::new();
        encode_request(
            Form::Long,
            Operation::Join,
            "tea",
            &"x".repeat(65),
            &mut long,
        );
        let rule = decode_request(&long).map_err(|violation| violation.rule);
        assert_eq!(rule, Err(UsernameTooLong { bytes: 65 }));
    }

    #[test]
    fn a_payload_may_nest_as_deep_as_it_fits() {
        let mut deep = frame("00 01 00 <27>00ff");
        deep.extend_from_slice(&[b'['; 255]);
        let rule = decode_request(&deep).map_err(|violation| violation.rule);
        assert_eq!(rule, Err(Rule::NotAUsername));
    }

    #[test]
    fn answers_in_both_forms() {
        let secret = Secret::new([0xab; 16]);
        for (form, size) in [(Form::Long, "<27>00"), (Form::Short, "<27>")] {
            let head = Head { form, operation: 2 };
            let mut out = Vec::new();
            encode_answers(head, "tea", Ok(secret), &mut out);
            let token = "token_abababababababababababababababab";
            let wanted = format!(
                r#"03 02 01 {size}0d 'tea' '{{"success":1}}' 03 02 02 {size}32 'tea' '{{"token":"{token}"}}'"#
            );
            assert_eq!(out, frame(&wanted));
            let Ok(Decoded::Done { frame, used }) = decode_answer(&out, form) else {
                panic!("no answer");
            };
            assert_eq!(frame, Answer::Compliance(Ok(())));
            let rest = decode_answer(&out[used..], form);
            let token = Hidden(token.to_string());
            let frame = Answer::Complete { token };
            let used = out.len() - used;
            assert_eq!(rest, Ok(Decoded::Done { frame, used }));

            let mut out = Vec::new();
            encode_answers(head, "", Err("room exists"), &mut out);
            let wanted = format!(
                r#"00 02 01 {size}23 '{{"success":0,"error":"room exists"}}' 00 02 02 {size}0c '{{"token":""}}'"#
            );
            assert_eq!(out, super::tests::frame(&wanted));
        }
    }

    #[test]
    fn answers_of_other_servers() {
        let answer = |state: &str, payload: &str| {
            let size = payload.len();
            let mut whole = frame(&format!("00 01 {state} <27>{size:04x}"));
            whole.extend_from_slice(payload.as_bytes());
            match decode_answer(&whole, Form::Long) {
                Ok(Decoded::Done { frame, .. }) => Ok(frame),
                Ok(Decoded::NeedMore { .. }) => panic!("it is whole"),
                Err(violation) => Err(violation.rule),
            }
        };
        let no = |why: &str| Ok(Answer::Compliance(Err(why.to_string())));
        assert_eq!(
            answer("01", r#"{"success": true}"#),
            Ok(Answer::Compliance(Ok(())))
        );
        assert_eq!(answer("01", r#"{"success":0}"#), no("no reason given"));
        let long = "x".repeat(300);
        let told = format!(r#"{{"success":0,"error":"{long}"}}"#);
        assert_eq!(answer("01", &told), no(&long));
        assert_eq!(answer("01", r#"{"success":"1"}"#), Err(Rule::UnknownAnswer));
        assert_eq!(answer("02", "{}"), Err(Rule::UnknownAnswer));
        let told = format!(r#"{{"token":"{}"}}"#, "x".repeat(256));
        assert_eq!(answer("02", &told), Err(Rule::UnknownAnswer));
        assert_eq!(answer("00", "{}"), Err(Rule::NotAnAnswer { got: 0 }));
        let enormous = frame("00 01 01 ff <27>00");
        assert!(decode_answer(&enormous, Form::Long).is_err());
    }

    #[test]
    fn no_error_is_too_long_to_be_told() {
        let mut out = Vec::new();
        let head = Head {
            form: Form::Long,
            operation: 1,
        };
        for error in ["\"", "\u{1}", "é", "x"] {
            encode_answers(head, "", Err(&error.repeat(500)), &mut out);
        }
        let mut rest = &out[..];
        while let Ok(Decoded::Done { used, .. }) = decode_answer(rest, Form::Long) {
            rest = &rest[used..];
        }
        assert!(rest.is_empty(), "all of them are answers");
    }

    proptest! {
        #[test]
        fn any_bytes_are_borne(input in proptest::collection::vec(any::<u8>(), 0..600)) {
            fuzz(&input);
        }

        #[test]
        fn nearly_right_bytes_are_borne(
            which in 0usize..8,
            flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let mut bytes = frame(requests()[which].1);
            for (at, value) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= value;
            }
            fuzz(&bytes);
        }

        #[test]
        fn what_is_encoded_is_decoded(room in "\\PC{0,16}", name in "\\PC{0,16}", long: bool, create: bool) {
            let form = if long { Form::Long } else { Form::Short };
            let operation = if create { Operation::Create } else { Operation::Join };
            let mut bytes = Vec::new();
            encode_request(form, operation, &room, &name, &mut bytes);
            let username = AskedName::new(&name).unwrap();
            let frame = Request { form, operation, room: &room, username };
            let used = bytes.len();
            prop_assert_eq!(decode_request(&bytes), Ok(Decoded::Done { frame, used }));
        }
    }
}
