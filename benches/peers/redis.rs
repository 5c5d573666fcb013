//! Owns a member of a Redis channel (RESP3). Knows no socket.
//!
//! ```text
//!              the map of HELLO            >3 subscribe
//!  AwaitHello ──────────────────▶ AwaitChannel ───────▶ Joined
//!       │ error                        │ error
//!       └───────────▶ Over ◀───────────┘
//! ```
//!
//! In RESP2 a connection that is subscribed may not publish; in RESP3 it may, so every member is one connection,
//! as everywhere else, and a sender hears itself. A message is `>3` where RESP2 has `*3`: as many bytes.

use mynah::protocol::{ClientSession, Command, Context, Decoded, Told, Unsupported};

use crate::wire::{
    MAX_FRAME_BYTES, ROOM, Violation, decode_line, each_frame, tell_joined, tell_message,
    tell_refused, text,
};

/// One member.
#[derive(Debug)]
pub struct Session {
    name: String,
    state: State,
    /// Published, and not yet told how many heard it.
    unanswered: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    AwaitHello,
    AwaitChannel,
    Joined,
    #[default]
    Over,
}

impl Session {
    /// Will come in; the server is told no name.
    pub fn new(name: &str) -> Session {
        Session {
            name: name.to_string(),
            state: State::AwaitHello,
            unanswered: 0,
        }
    }

    fn handle_value(
        &mut self,
        value: &Value<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Violation> {
        let is_room = |name: &[u8]| name == ROOM.as_bytes();
        self.state = match (std::mem::take(&mut self.state), value) {
            (State::AwaitHello, Value::Map(_)) => {
                put_command(&[b"SUBSCRIBE", ROOM.as_bytes()], &mut context.out.stream);
                State::AwaitChannel
            }
            (State::AwaitHello | State::AwaitChannel, Value::Error(reason)) => {
                tell_refused(reason, context);
                State::Over
            }
            (State::Joined, Value::Error(reason)) => {
                self.unanswered = self.unanswered.saturating_sub(1);
                context.told.push(Told::Notice { text: text(reason) });
                State::Joined
            }
            (State::Joined, Value::Integer(_)) => {
                self.unanswered = self.unanswered.saturating_sub(1);
                State::Joined
            }
            (state @ (State::AwaitChannel | State::Joined), Value::Push(values)) => {
                match (state, &values[..]) {
                    (
                        _,
                        [
                            Value::String(b"message"),
                            Value::String(room),
                            Value::String(said),
                        ],
                    ) if is_room(room) => {
                        tell_message(b"", said, context);
                        state
                    }
                    (
                        State::AwaitChannel,
                        [
                            Value::String(b"subscribe"),
                            Value::String(room),
                            Value::Integer(_),
                        ],
                    ) if is_room(room) => {
                        tell_joined(&self.name, context);
                        State::Joined
                    }
                    _ => return Err(value.unexpected()),
                }
            }
            (State::AwaitHello | State::AwaitChannel | State::Joined | State::Over, _) => {
                return Err(value.unexpected());
            }
        };
        Ok(())
    }
}

impl ClientSession for Session {
    type Violation = Violation;

    fn start(&mut self, context: &mut Context<'_>) {
        put_command(&[b"HELLO", b"3"], &mut context.out.stream);
    }

    fn handle_bytes(
        &mut self,
        input: &[u8],
        context: &mut Context<'_>,
    ) -> Result<usize, Violation> {
        each_frame(input, |rest| match decode_value(rest)? {
            Decoded::NeedMore { .. } => Ok(None),
            Decoded::Done { frame, used } => {
                self.handle_value(&frame, context)?;
                Ok(Some(used))
            }
        })
    }

    fn handle_command(
        &mut self,
        command: Command<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Unsupported> {
        match command {
            Command::Say(said) => {
                let words = [b"PUBLISH", ROOM.as_bytes(), said.as_bytes()];
                put_command(&words, &mut context.out.stream);
                self.unanswered += 1;
                Ok(())
            }
            // Leaving is closing the connection.
            Command::Leave => Ok(()),
            _ => Err(Unsupported),
        }
    }

    fn is_joined(&self) -> bool {
        self.state == State::Joined
    }

    fn unanswered(&self) -> usize {
        self.unanswered
    }
}

/// A value as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value<'a> {
    /// `$`, `=`, or one line of text (`+`).
    String(&'a [u8]),
    Error(&'a [u8]),
    Integer(i64),
    /// `_`, or the null that RESP2 had.
    Null,
    /// `,`, `#` or `(`, as it stands there.
    Other(&'a [u8]),
    /// `*` or `~`.
    List(Vec<Value<'a>>),
    /// `%`: names and values in turn.
    Map(Vec<Value<'a>>),
    /// `>`: not an answer.
    Push(Vec<Value<'a>>),
}

impl Value<'_> {
    fn unexpected(&self) -> Violation {
        Violation::unexpected(format!("{self:?}").as_bytes())
    }
}

/// Values in one value. HELLO is answered with seven pairs and a list.
const MAX_VALUES: usize = 64;
/// Values in one another.
const MAX_DEPTH: usize = 4;

/// One value, whole.
fn decode_value(input: &[u8]) -> Result<Decoded<Value<'_>>, Violation> {
    let mut reader = Reader { input, at: 0 };
    match reader.value(0) {
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

/// Why reading stopped.
enum Stop {
    /// So many bytes at least are needed.
    Short(usize),
    Broken(Violation),
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value<'a>, Stop> {
        if depth > MAX_DEPTH {
            return Err(Stop::Broken(Violation::TooDeep));
        }
        let line = self.line()?;
        let unexpected = || Stop::Broken(Violation::unexpected(line));
        let (kind, rest) = line.split_first().ok_or_else(unexpected)?;
        let number = || decimal(rest).ok_or_else(unexpected);
        Ok(match kind {
            b'+' => Value::String(rest),
            b'-' => Value::Error(rest),
            b':' => Value::Integer(number()?),
            b'_' => Value::Null,
            b',' | b'#' | b'(' => Value::Other(rest),
            b'$' | b'*' if rest == b"-1" => Value::Null,
            b'$' | b'=' => Value::String(self.bulk(number()?)?),
            b'*' | b'~' => Value::List(self.values(number()?, depth)?),
            b'>' => Value::Push(self.values(number()?, depth)?),
            b'%' => {
                let pairs = number()?;
                Value::Map(self.values(pairs.saturating_mul(2), depth)?)
            }
            _ => return Err(unexpected()),
        })
    }

    fn line(&mut self) -> Result<&'a [u8], Stop> {
        let rest = self.input.get(self.at..).unwrap_or_default();
        match decode_line(rest).map_err(Stop::Broken)? {
            Decoded::NeedMore { needed } => Err(Stop::Short(self.at + needed)),
            Decoded::Done { frame, used } => {
                self.at += used;
                Ok(frame)
            }
        }
    }

    /// Bytes of a known length and the line's end behind them.
    fn bulk(&mut self, length: i64) -> Result<&'a [u8], Stop> {
        let length = within(length, MAX_FRAME_BYTES)?;
        let end = self.at + length;
        let needed = end + 2;
        match (self.input.get(self.at..end), self.input.get(end..needed)) {
            (Some(bytes), Some(b"\r\n")) => {
                self.at = needed;
                Ok(bytes)
            }
            (Some(_), Some(other)) => Err(Stop::Broken(Violation::unexpected(other))),
            _ => Err(Stop::Short(needed)),
        }
    }

    fn values(&mut self, count: i64, depth: usize) -> Result<Vec<Value<'a>>, Stop> {
        let count = within(count, MAX_VALUES)?;
        (0..count).map(|_| self.value(depth + 1)).collect()
    }
}

/// A length or count, compared with its limit.
fn within(got: i64, limit: usize) -> Result<usize, Stop> {
    match usize::try_from(got) {
        Ok(length) if length <= limit => Ok(length),
        Ok(_) => Err(Stop::Broken(Violation::FrameOverLimit)),
        Err(_) => Err(Stop::Broken(Violation::unexpected(
            got.to_string().as_bytes(),
        ))),
    }
}

fn decimal(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// A command, as a list of strings.
fn put_command(words: &[&[u8]], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::{Client, at_every_split, joined, message};

    /// The answer to HELLO as Redis 7.0 gives it.
    const HELLO: &str = "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n\
        $5\r\nproto\r\n:3\r\n$2\r\nid\r\n:3\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n\
        $4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n";
    const SUBSCRIBED: &str = ">3\r\n$9\r\nsubscribe\r\n$4\r\nroom\r\n:1\r\n";

    fn said(text: &str) -> String {
        let length = text.len();
        format!(">3\r\n$7\r\nmessage\r\n$4\r\nroom\r\n${length}\r\n{text}\r\n")
    }

    fn member() -> Client<Session> {
        let mut client = Client::new(Session::new("ann"));
        client.receive(HELLO.as_bytes()).unwrap();
        client.receive(SUBSCRIBED.as_bytes()).unwrap();
        assert_eq!(client.told(), [joined("ann")]);
        client.sent();
        client
    }

    #[test]
    fn a_member_comes_in_hears_and_speaks() {
        let mut client = Client::new(Session::new("ann"));
        assert_eq!(client.sent(), b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n");
        client.receive(HELLO.as_bytes()).unwrap();
        assert_eq!(client.sent(), b"*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\nroom\r\n");
        assert!(!client.session.is_joined());

        let mut client = member();
        assert!(client.session.is_joined());
        client.say("hi\r\nyou").unwrap();
        assert_eq!(
            client.sent(),
            b"*3\r\n$7\r\nPUBLISH\r\n$4\r\nroom\r\n$7\r\nhi\r\nyou\r\n"
        );
        assert_eq!(client.session.unanswered(), 1);
        // Our own message comes before the answer to it.
        client.receive(said("hi\r\nyou").as_bytes()).unwrap();
        assert_eq!(client.session.unanswered(), 1);
        client.receive(b":1\r\n").unwrap();
        assert_eq!(client.session.unanswered(), 0);
        assert_eq!(client.told(), [message("", "hi\r\nyou")]);
    }

    #[test]
    fn however_it_is_split_the_same_is_told() {
        let all = [
            HELLO,
            SUBSCRIBED,
            &said("one"),
            ":2\r\n",
            &said(""),
            ">3\r\n$7\r\nmes",
        ]
        .concat();
        let client = at_every_split(|| Session::new("ann"), all.as_bytes());
        let told = [joined("ann"), message("", "one"), message("", "")];
        assert_eq!(client.told, told);
        assert_eq!(client.pending(), b">3\r\n$7\r\nmes");
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let table: [(&[u8], Value); 10] = [
            (b"+OK\r\n", Value::String(b"OK")),
            (b"-ERR no\r\n", Value::Error(b"ERR no")),
            (b":-12\r\n", Value::Integer(-12)),
            (b"$0\r\n\r\n", Value::String(b"")),
            (b"$-1\r\n", Value::Null),
            (b"_\r\n", Value::Null),
            (b"#t\r\n", Value::Other(b"t")),
            (b"=7\r\ntxt:abc\r\n", Value::String(b"txt:abc")),
            (
                b"*2\r\n:1\r\n~1\r\n_\r\n",
                Value::List(vec![Value::Integer(1), Value::List(vec![Value::Null])]),
            ),
            (
                b"%1\r\n+a\r\n,1.5\r\n",
                Value::Map(vec![Value::String(b"a"), Value::Other(b"1.5")]),
            ),
        ];
        for (bytes, value) in table {
            let used = bytes.len();
            for length in 0..used {
                let got = decode_value(&bytes[..length]);
                let needed = match got {
                    Ok(Decoded::NeedMore { needed }) => needed,
                    other => panic!("{other:?} at {length}"),
                };
                assert!(length < needed && needed <= used);
            }
            let frame = value;
            assert_eq!(decode_value(bytes), Ok(Decoded::Done { frame, used }));
        }
    }

    #[test]
    fn a_server_that_is_too_old_or_wants_a_password_refuses() {
        for bytes in [
            &b"-ERR unknown command 'HELLO'\r\n"[..],
            b"-NOAUTH Authentication required.\r\n",
        ] {
            let mut client = Client::new(Session::new("ann"));
            client.receive(bytes).unwrap();
            assert!(matches!(client.told()[..], [Told::Refused { .. }]));
            assert!(client.receive(HELLO.as_bytes()).is_err());
        }
        let mut client = member();
        client.say("hi").unwrap();
        client.receive(b"-OOM no memory\r\n").unwrap();
        assert!(matches!(client.told()[..], [Told::Notice { .. }]));
        assert_eq!(client.session.unanswered(), 0);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let table: [&[u8]; 9] = [
            b"hello\r\n",
            b"\r\n",
            b":x\r\n",
            b"$-2\r\n",
            b"$2\r\nabcd",
            b"+OK\r\n",
            b">1\r\n+invalidate\r\n",
            b">3\r\n+message\r\n+other\r\n+hi\r\n",
            b">3\r\n+subscribe\r\n+room\r\n:2\r\n",
        ];
        for bytes in table {
            let got = member().receive(bytes);
            assert!(
                matches!(got, Err(Violation::Unexpected { .. })),
                "{} gave {got:?}",
                bytes.escape_ascii()
            );
        }
        assert_eq!(
            member().receive(b"$65537\r\n"),
            Err(Violation::FrameOverLimit)
        );
        assert_eq!(member().receive(b"*65\r\n"), Err(Violation::FrameOverLimit));
        let deep = b"*1\r\n".repeat(6);
        assert_eq!(member().receive(&deep), Err(Violation::TooDeep));
    }
}
