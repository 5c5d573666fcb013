//! Owns the bytes of the tcp-room protocol in both directions.
//! Knows nothing of sockets, clocks or rooms. Decoding never panics, never reads past the slice it was
//! given, and takes no memory for a length before it was compared with its limit.

use std::fmt;

use byteorder::{ByteOrder, LittleEndian};

use crate::chat::{Line, MAX_NAME_BYTES, MAX_TEXT_BYTES, TimeOfDay, public};
use crate::protocol::Decoded;

/// A client asks to be let in; its name follows.
pub const JOIN: i32 = 471;
/// A client says something.
pub const SAY: i32 = 472;
/// The server tells what was said before.
pub const HISTORY: i32 = 371;
/// The server tells what somebody says.
pub const SAID: i32 = 372;

/// One time, name and text, as they stand on the wire: nothing of them is believed yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message<'a> {
    pub time: &'a str,
    pub username: &'a str,
    pub text: &'a str,
}

/// How long the strings of a message may be, in bytes. The name of a join has its own limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub time: usize,
    pub username: usize,
    pub text: usize,
    /// Lines of a history.
    pub lines: usize,
}

impl Limits {
    /// What a server takes. Time and name are replaced by its own when they are not as they should
    /// be, so they may be somewhat longer than they should.
    pub const SERVER: Limits = Limits {
        time: 256,
        username: 256,
        text: MAX_TEXT_BYTES,
        lines: 0,
    };

    /// What a client takes from servers that may be less strict than ours.
    pub const CLIENT: Limits = Limits {
        time: 256,
        username: 4096,
        text: 64 * 1024,
        lines: 256,
    };
}

/// Which part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Name,
    Time,
    Username,
    Text,
    Lines,
}

/// Which rule the peer broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Something else than 471 came first.
    NotJoin { got: i32 },
    /// A second 471.
    JoinedTwice,
    /// Not a number that this side takes now.
    UnknownNumber { got: i32 },
    /// A verdict that is neither 0 nor 1.
    NotBool { got: u8 },
    /// A length or count below zero.
    NegativeLength { field: Field, got: i32 },
    /// A length or count above its limit.
    LengthOverLimit {
        field: Field,
        got: i32,
        limit: usize,
    },
    /// A list that is not time, name and text.
    NotThreeStrings { got: i32 },
    /// Bytes that are no UTF-8.
    NotUtf8 { field: Field },
    /// Bytes after the end: the server refused us and went on talking, or our session is over.
    AfterTheEnd,
}

/// The number that begins a frame, once its four bytes are there.
pub fn decode_number(input: &[u8]) -> Decoded<i32> {
    let mut reader = Reader { input, at: 0 };
    match reader.int() {
        Ok(frame) => Decoded::Done {
            frame,
            used: reader.at,
        },
        Err(needed) => Decoded::NeedMore { needed },
    }
}

/// The verdict on a join: one byte.
pub fn decode_verdict(input: &[u8]) -> Result<Decoded<bool>, Violation> {
    let Some(&byte) = input.first() else {
        return Ok(Decoded::NeedMore { needed: 1 });
    };
    let frame = match byte {
        0 => false,
        1 => true,
        got => return Err(Violation::NotBool { got }),
    };
    Ok(Decoded::Done { frame, used: 1 })
}

/// A join, its number included: the name that is asked for, not checked but for its length.
///
/// ```
/// use mynah::protocol::Decoded;
/// use mynah::protocol::tcp_room::frame::{decode_join, encode_join};
///
/// let mut bytes = Vec::new();
/// encode_join("alice", &mut bytes);
/// assert_eq!(decode_join(&bytes[..9]), Ok(Decoded::NeedMore { needed: 13 }));
/// assert_eq!(decode_join(&bytes), Ok(Decoded::Done { frame: "alice", used: 13 }));
/// ```
pub fn decode_join(input: &[u8]) -> Result<Decoded<&str>, Violation> {
    decode(input, |reader| reader.string(Field::Name, MAX_NAME_BYTES))
}

/// Something said or heard, its number included.
pub fn decode_message<'a>(
    input: &'a [u8],
    limits: &Limits,
) -> Result<Decoded<Message<'a>>, Violation> {
    decode(input, |reader| reader.message(limits))
}

/// A history, its number included.
pub fn decode_history<'a>(
    input: &'a [u8],
    limits: &Limits,
) -> Result<Decoded<Vec<Message<'a>>>, Violation> {
    decode(input, |reader| {
        let lines = reader.length(Field::Lines, limits.lines)?;
        // Not `with_capacity`: the count is the peer's word, the lines are what it sent.
        (0..lines).map(|_| reader.message(limits)).collect()
    })
}

/// Appends 471 and the name.
pub fn encode_join(name: &str, out: &mut Vec<u8>) {
    put_int(JOIN, out);
    put_string(&[name], out);
}

/// Appends the byte of a verdict.
pub fn encode_verdict(welcome: bool, out: &mut Vec<u8>) {
    out.push(u8::from(welcome));
}

/// Appends 371 and the lines, oldest first: public texts all, and told as such.
pub fn encode_history<'a>(lines: impl ExactSizeIterator<Item = &'a Line>, out: &mut Vec<u8>) {
    put_int(HISTORY, out);
    put_length(lines.len(), out);
    for line in lines {
        put_message(line.time, &line.from, &public(&line.text), out);
    }
}

/// Appends 472 and the message, as a client sends it.
pub fn encode_say(time: TimeOfDay, username: &str, text: &str, out: &mut Vec<u8>) {
    put_int(SAY, out);
    put_message(time, username, &[text], out);
}

/// Appends 372 and the message, as everybody hears it. The text comes in pieces that are one, so
/// that a mark can stand before it without a copy.
pub fn encode_said(time: TimeOfDay, username: &str, text: &[&str], out: &mut Vec<u8>) {
    put_int(SAID, out);
    put_message(time, username, text, out);
}

fn put_message(time: TimeOfDay, username: &str, text: &[&str], out: &mut Vec<u8>) {
    put_int(3, out);
    put_int(8, out);
    out.extend_from_slice(&time.to_ascii());
    put_string(&[username], out);
    put_string(text, out);
}

fn put_string(pieces: &[&str], out: &mut Vec<u8>) {
    put_length(pieces.iter().map(|piece| piece.len()).sum(), out);
    for piece in pieces {
        out.extend_from_slice(piece.as_bytes());
    }
}

fn put_length(length: usize, out: &mut Vec<u8>) {
    put_int(
        i32::try_from(length).expect("invariant: what we send keeps the limits"),
        out,
    );
}

fn put_int(value: i32, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Why reading stopped: bytes are missing (that many are needed in all), or a rule is broken.
enum Stop {
    Short(usize),
    Broken(Violation),
}

impl From<usize> for Stop {
    fn from(needed: usize) -> Stop {
        Stop::Short(needed)
    }
}

/// Reads a number and what `read` wants behind it.
fn decode<'a, T>(
    input: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Stop>,
) -> Result<Decoded<T>, Violation> {
    let mut reader = Reader { input, at: 0 };
    match reader
        .int()
        .map_err(Stop::from)
        .and_then(|_| read(&mut reader))
    {
        Ok(frame) => Ok(Decoded::Done {
            frame,
            used: reader.at,
        }),
        Err(Stop::Short(needed)) => Ok(Decoded::NeedMore { needed }),
        Err(Stop::Broken(violation)) => Err(violation),
    }
}

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], usize> {
        let end = self.at + length;
        let bytes = self.input.get(self.at..end).ok_or(end)?;
        self.at = end;
        Ok(bytes)
    }

    fn int(&mut self) -> Result<i32, usize> {
        self.take(4).map(LittleEndian::read_i32)
    }

    /// A length or count, compared with its limit as soon as it is there.
    fn length(&mut self, field: Field, limit: usize) -> Result<usize, Stop> {
        let got = self.int()?;
        match usize::try_from(got) {
            Err(_) => Err(Stop::Broken(Violation::NegativeLength { field, got })),
            Ok(length) if length > limit => Err(Stop::Broken(Violation::LengthOverLimit {
                field,
                got,
                limit,
            })),
            Ok(length) => Ok(length),
        }
    }

    fn string(&mut self, field: Field, limit: usize) -> Result<&'a str, Stop> {
        let length = self.length(field, limit)?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| Stop::Broken(Violation::NotUtf8 { field }))
    }

    fn message(&mut self, limits: &Limits) -> Result<Message<'a>, Stop> {
        let got = self.int()?;
        if got != 3 {
            return Err(Stop::Broken(Violation::NotThreeStrings { got }));
        }
        Ok(Message {
            time: self.string(Field::Time, limits.time)?,
            username: self.string(Field::Username, limits.username)?,
            text: self.string(Field::Text, limits.text)?,
        })
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Name => "name",
            Field::Time => "time",
            Field::Username => "username",
            Field::Text => "text",
            Field::Lines => "number of lines",
        })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::NotJoin { got } => write!(f, "began with {got} instead of {JOIN}"),
            Violation::JoinedTwice => write!(f, "a second {JOIN}"),
            Violation::UnknownNumber { got } => write!(f, "unexpected number {got}"),
            Violation::NotBool { got } => write!(f, "verdict {got} is neither 0 nor 1"),
            Violation::NegativeLength { field, got } => write!(f, "{field} of length {got}"),
            Violation::LengthOverLimit { field, got, limit } => {
                write!(f, "{field} of length {got}, the limit is {limit}")
            }
            Violation::NotThreeStrings { got } => write!(f, "a list of {got} instead of 3 strings"),
            Violation::NotUtf8 { field } => write!(f, "{field} is not UTF-8"),
            Violation::AfterTheEnd => write!(f, "bytes after the end"),
        }
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
                    panic!(
                        "an unfinished frame of {length} bytes was taken for a whole or broken one"
                    );
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
    check(input, |bytes| Ok(decode_number(bytes)));
    check(input, decode_verdict);
    check(input, decode_join);
    check(input, |bytes| decode_message(bytes, &Limits::SERVER));
    check(input, |bytes| decode_message(bytes, &Limits::CLIENT));
    check(input, |bytes| decode_history(bytes, &Limits::CLIENT));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Hex with blanks between fields, as the protocol's page writes it.
    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text
            .bytes()
            .filter(u8::is_ascii_hexdigit)
            .map(|digit| (digit as char).to_digit(16).unwrap() as u8)
            .collect();
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()
    }

    /// One frame of the table: what it is, and its bytes.
    enum Frame {
        Join(&'static str),
        Say(Message<'static>),
        Said(Message<'static>),
        History(Vec<Message<'static>>),
    }

    fn message(time: &'static str, username: &'static str, text: &'static str) -> Message<'static> {
        Message {
            time,
            username,
            text,
        }
    }

    fn good() -> Vec<(Frame, &'static str)> {
        let hi = message("12:00:00", "alice", "hi");
        vec![
            // number, length, name
            (Frame::Join("alice"), "d7010000 05000000 616c696365"),
            (Frame::Join("é"), "d7010000 02000000 c3a9"),
            (Frame::Join(""), "d7010000 00000000"),
            // number, list of 3, time, name, text
            (
                Frame::Say(hi),
                "d8010000 03000000 08000000 31323a30303a3030 05000000 616c696365 02000000 6869",
            ),
            (
                Frame::Said(hi),
                "74010000 03000000 08000000 31323a30303a3030 05000000 616c696365 02000000 6869",
            ),
            (
                Frame::Say(message("23:59:59", "b", "")),
                "d8010000 03000000 08000000 32333a35393a3539 01000000 62 00000000",
            ),
            // number, count
            (Frame::History(vec![]), "73010000 00000000"),
            (
                Frame::History(vec![hi, message("00:00:00", "b", "\u{1f426}")]),
                "73010000 02000000 \
                 03000000 08000000 31323a30303a3030 05000000 616c696365 02000000 6869 \
                 03000000 08000000 30303a30303a3030 01000000 62 04000000 f09f90a6",
            ),
        ]
    }

    /// Decodes a frame of the kind that `frame` is, and says whether it is that frame.
    fn decode_as(frame: &Frame, input: &[u8]) -> Result<Decoded<bool>, Violation> {
        Ok(match frame {
            Frame::Join(name) => decode_join(input)?.map(|got| got == *name),
            Frame::Say(message) => {
                decode_message(input, &Limits::SERVER)?.map(|got| got == *message)
            }
            Frame::Said(message) => {
                decode_message(input, &Limits::CLIENT)?.map(|got| got == *message)
            }
            Frame::History(lines) => {
                decode_history(input, &Limits::CLIENT)?.map(|got| got == *lines)
            }
        })
    }

    fn encode(frame: &Frame) -> Vec<u8> {
        let mut out = Vec::new();
        let time = |message: &Message<'_>| TimeOfDay::parse(message.time).unwrap();
        match frame {
            Frame::Join(name) => encode_join(name, &mut out),
            Frame::Say(m) => encode_say(time(m), m.username, m.text, &mut out),
            Frame::Said(m) => encode_said(time(m), m.username, &[m.text], &mut out),
            Frame::History(lines) => {
                let lines: Vec<Line> = lines
                    .iter()
                    .map(|m| Line {
                        time: time(m),
                        from: m.username.to_string(),
                        text: m.text.to_string(),
                    })
                    .collect();
                encode_history(lines.iter(), &mut out);
            }
        }
        out
    }

    #[test]
    fn r03_every_frame_of_the_table_in_both_directions_and_at_every_split() {
        for (frame, bytes) in good() {
            let whole = hex(bytes);
            assert_eq!(encode(&frame), whole, "{bytes}");
            for length in 0..whole.len() {
                match decode_as(&frame, &whole[..length]).unwrap() {
                    Decoded::NeedMore { needed } => {
                        assert!(
                            length < needed && needed <= whole.len(),
                            "{bytes} at {length}"
                        );
                    }
                    Decoded::Done { .. } => panic!("{bytes} is not whole at {length}"),
                }
            }
            let done = Ok(Decoded::Done {
                frame: true,
                used: whole.len(),
            });
            assert_eq!(decode_as(&frame, &whole), done, "{bytes}");
            let mut more = whole.clone();
            more.extend_from_slice(&[0xff; 9]);
            assert_eq!(
                decode_as(&frame, &more),
                done,
                "{bytes} with bytes behind it"
            );
        }
    }

    #[test]
    fn broken_frames_are_named_as_soon_as_they_are_broken() {
        use Field::*;
        use Violation::*;
        let join = Frame::Join("");
        let say = Frame::Say(Message::default());
        let history = Frame::History(vec![]);
        let table: Vec<(&Frame, &str, Violation)> = vec![
            (
                &join,
                "d7010000 ffffffff",
                NegativeLength {
                    field: Name,
                    got: -1,
                },
            ),
            (
                &join,
                "d7010000 00000080",
                NegativeLength {
                    field: Name,
                    got: i32::MIN,
                },
            ),
            (
                &join,
                "d7010000 41000000",
                LengthOverLimit {
                    field: Name,
                    got: 65,
                    limit: 64,
                },
            ),
            (
                &join,
                "d7010000 ffffff7f",
                LengthOverLimit {
                    field: Name,
                    got: i32::MAX,
                    limit: 64,
                },
            ),
            (&join, "d7010000 02000000 c328", NotUtf8 { field: Name }),
            (&join, "d7010000 01000000 ff", NotUtf8 { field: Name }),
            (&say, "d8010000 02000000", NotThreeStrings { got: 2 }),
            (&say, "d8010000 ffffffff", NotThreeStrings { got: -1 }),
            (&say, "d8010000 00000000", NotThreeStrings { got: 0 }),
            (
                &say,
                "d8010000 03000000 01010000",
                LengthOverLimit {
                    field: Time,
                    got: 257,
                    limit: 256,
                },
            ),
            (
                &say,
                "d8010000 03000000 00000000 feffffff",
                NegativeLength {
                    field: Username,
                    got: -2,
                },
            ),
            (
                &say,
                "d8010000 03000000 00000000 00000000 01100000",
                LengthOverLimit {
                    field: Text,
                    got: 4097,
                    limit: 4096,
                },
            ),
            (
                &say,
                "d8010000 03000000 00000000 00000000 01000000 80",
                NotUtf8 { field: Text },
            ),
            (
                &history,
                "73010000 ffffffff",
                NegativeLength {
                    field: Lines,
                    got: -1,
                },
            ),
            (
                &history,
                "73010000 01010000",
                LengthOverLimit {
                    field: Lines,
                    got: 257,
                    limit: 256,
                },
            ),
            (
                &history,
                "73010000 01000000 04000000",
                NotThreeStrings { got: 4 },
            ),
        ];
        for (kind, bytes, violation) in table {
            let whole = hex(bytes);
            assert_eq!(decode_as(kind, &whole), Err(violation), "{bytes}");
            let before = decode_as(kind, &whole[..whole.len() - 1]);
            assert!(
                matches!(before, Ok(Decoded::NeedMore { .. })),
                "{bytes} one byte before"
            );
            assert!(!violation.to_string().is_empty());
        }
        assert_eq!(decode_verdict(&[2]), Err(NotBool { got: 2 }));
    }

    #[test]
    fn verdicts_are_one_byte() {
        assert_eq!(decode_verdict(&[]), Ok(Decoded::NeedMore { needed: 1 }));
        assert_eq!(
            decode_verdict(&[0, 9]),
            Ok(Decoded::Done {
                frame: false,
                used: 1
            })
        );
        assert_eq!(
            decode_verdict(&[1]),
            Ok(Decoded::Done {
                frame: true,
                used: 1
            })
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_borne(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            fuzz(&input);
        }

        #[test]
        fn nearly_right_bytes_are_borne(
            which in 0usize..8,
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
        fn what_is_encoded_is_decoded(name in "\\PC{0,20}", text in "\\PC{0,300}", seconds in 0u32..86400) {
            let time = TimeOfDay::new(seconds / 3600, seconds / 60 % 60, seconds % 60).unwrap();
            let mut bytes = Vec::new();
            encode_said(time, &name, &["(private) ", &text], &mut bytes);
            let used = bytes.len();
            let text = format!("(private) {text}");
            let time = time.to_string();
            let frame = Message { time: &time, username: &name, text: &text };
            prop_assert_eq!(
                decode_message(&bytes, &Limits::CLIENT),
                Ok(Decoded::Done { frame, used })
            );
        }
    }
}
