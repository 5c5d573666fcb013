//! Owns a member of a NATS subject (the client protocol, without headers). Knows no socket.
//!
//! ```text
//!             INFO             PONG
//!  AwaitInfo ──────▶ AwaitPong ──────▶ Joined
//!       │ -ERR           │ -ERR          │ -ERR
//!       └────────────────┴─────▶ Over ◀──┘
//! ```
//!
//! A sender hears itself. That a subscription stands is known by the answer to the PING behind it: the server does
//! all in order.

use mynah::protocol::{ClientSession, Command, Context, Decoded, Unsupported};

use crate::wire::{
    MAX_FRAME_BYTES, ROOM, Violation, decode_line, each_frame, tell_joined, tell_lost,
    tell_message, tell_refused,
};

/// One member.
#[derive(Debug)]
pub struct Session {
    name: String,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    AwaitInfo,
    AwaitPong,
    Joined,
    #[default]
    Over,
}

/// Not `verbose`: an OK for everything. `echo`: we hear ourselves.
const CONNECT: &str = r#"{"verbose":false,"pedantic":false,"echo":true,"headers":false,"lang":"rust","version":"0","protocol":1}"#;

impl Session {
    /// Will come in; the server is told no name.
    pub fn new(name: &str) -> Session {
        Session {
            name: name.to_string(),
            state: State::AwaitInfo,
        }
    }

    fn handle_frame(
        &mut self,
        frame: &Frame<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Violation> {
        let out = &mut context.out.stream;
        self.state = match (std::mem::take(&mut self.state), frame) {
            (State::AwaitInfo, Frame::Info) => {
                let lines = format!("CONNECT {CONNECT}\r\nSUB {ROOM} 1\r\nPING\r\n");
                out.extend_from_slice(lines.as_bytes());
                State::AwaitPong
            }
            (State::AwaitPong, Frame::Pong) => {
                tell_joined(&self.name, context);
                State::Joined
            }
            (state @ (State::AwaitPong | State::Joined), Frame::Message { said }) => {
                tell_message(b"", said, context);
                state
            }
            (state @ (State::AwaitPong | State::Joined), Frame::Ping) => {
                out.extend_from_slice(PONG);
                state
            }
            // News of the cluster.
            (state @ (State::AwaitPong | State::Joined), Frame::Info) => state,
            (State::AwaitInfo | State::AwaitPong, Frame::Error { reason }) => {
                tell_refused(reason, context);
                State::Over
            }
            (State::Joined, Frame::Error { reason }) => {
                tell_lost(reason, context);
                State::Over
            }
            (State::AwaitInfo, Frame::Message { .. } | Frame::Ping | Frame::Pong)
            | (State::Joined, Frame::Pong)
            | (State::Over, _) => {
                return Err(Violation::unexpected(format!("{frame:?}").as_bytes()));
            }
        };
        Ok(())
    }
}

impl ClientSession for Session {
    type Violation = Violation;

    /// The server speaks first.
    fn start(&mut self, _context: &mut Context<'_>) {}

    fn handle_bytes(
        &mut self,
        input: &[u8],
        context: &mut Context<'_>,
    ) -> Result<usize, Violation> {
        each_frame(input, |rest| match decode_frame(rest)? {
            Decoded::NeedMore { .. } => Ok(None),
            Decoded::Done { frame, used } => {
                self.handle_frame(&frame, context)?;
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
                let length = said.len();
                let frame = format!("PUB {ROOM} {length}\r\n{said}\r\n");
                context.out.stream.extend_from_slice(frame.as_bytes());
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
        0
    }
}

/// Answers a line in which the server asks whether we are there.
pub fn answer(line: &[u8], out: &mut Vec<u8>) {
    if line == b"PING" {
        out.extend_from_slice(PONG);
    }
}

const PONG: &[u8] = b"PONG\r\n";

/// What a server sends us.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Frame<'a> {
    Info,
    Ping,
    Pong,
    Error { reason: &'a [u8] },
    Message { said: &'a [u8] },
}

fn decode_frame(input: &[u8]) -> Result<Decoded<Frame<'_>>, Violation> {
    let (line, used) = match decode_line(input)? {
        Decoded::NeedMore { needed } => return Ok(Decoded::NeedMore { needed }),
        Decoded::Done { frame, used } => (frame, used),
    };
    let unexpected = || Violation::unexpected(line);
    let mut words = line.split(|&byte| byte == b' ').filter(|w| !w.is_empty());
    let frame = match words.next() {
        Some(b"INFO") => Frame::Info,
        Some(b"PING") => Frame::Ping,
        Some(b"PONG") => Frame::Pong,
        Some(b"-ERR") => Frame::Error {
            reason: line.get(5..).unwrap_or_default(),
        },
        Some(b"MSG") => {
            // subject, number of the subscription, where to answer (if anywhere), length
            let words: Vec<&[u8]> = words.collect();
            let length = match &words[..] {
                [subject, b"1", length] | [subject, b"1", _, length]
                    if *subject == ROOM.as_bytes() =>
                {
                    decimal(length).ok_or_else(unexpected)?
                }
                _ => return Err(unexpected()),
            };
            if length > MAX_FRAME_BYTES {
                return Err(Violation::FrameOverLimit);
            }
            let end = used + length;
            let needed = end + 2;
            return match (input.get(used..end), input.get(end..needed)) {
                (Some(said), Some(b"\r\n")) => Ok(Decoded::Done {
                    frame: Frame::Message { said },
                    used: needed,
                }),
                (Some(_), Some(other)) => Err(Violation::unexpected(other)),
                _ => Ok(Decoded::NeedMore { needed }),
            };
        }
        _ => return Err(unexpected()),
    };
    Ok(Decoded::Done { frame, used })
}

/// A length: digits and nothing else.
fn decimal(digits: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(digits).ok()?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some(())?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use mynah::protocol::Told;

    use super::*;
    use crate::wire::tests::{Client, at_every_split, joined, message};

    const INFO: &str =
        "INFO {\"server_id\":\"NA\",\"version\":\"2.9.10\",\"max_payload\":1048576} \r\n";

    fn member() -> Client<Session> {
        let mut client = Client::new(Session::new("ann"));
        client.receive(INFO.as_bytes()).unwrap();
        client.receive(b"PONG\r\n").unwrap();
        assert_eq!(client.told(), [joined("ann")]);
        client.sent();
        client
    }

    #[test]
    fn a_member_comes_in_hears_and_speaks() {
        let mut client = Client::new(Session::new("ann"));
        assert_eq!(client.sent(), b"");
        client.receive(INFO.as_bytes()).unwrap();
        let sent = String::from_utf8(client.sent()).unwrap();
        assert_eq!(sent, format!("CONNECT {CONNECT}\r\nSUB room 1\r\nPING\r\n"));
        assert!(!client.session.is_joined());

        let mut client = member();
        assert!(client.session.is_joined());
        client.say("hi\r\nyou").unwrap();
        assert_eq!(client.sent(), b"PUB room 7\r\nhi\r\nyou\r\n");
        client
            .receive(b"MSG room 1 7\r\nhi\r\nyou\r\nMSG room 1 answers.to 2\r\nho\r\n")
            .unwrap();
        assert_eq!(client.told(), [message("", "hi\r\nyou"), message("", "ho")]);
    }

    #[test]
    fn however_it_is_split_the_same_is_told() {
        let more = "PONG\r\nMSG room 1 2\r\nhi\r\nPING\r\nMSG room 1 0\r\n\r\nINFO {}\r\nMSG room 1 3\r\nab";
        let all = [INFO, more].concat();
        let client = at_every_split(|| Session::new("ann"), all.as_bytes());
        let told = [joined("ann"), message("", "hi"), message("", "")];
        assert_eq!(client.told, told);
        assert_eq!(client.pending(), b"MSG room 1 3\r\nab");
        assert!(client.out.stream.ends_with(b"PING\r\nPONG\r\n"));
    }

    #[test]
    fn an_error_ends_it() {
        let mut client = Client::new(Session::new("ann"));
        client
            .receive(b"-ERR 'maximum connections exceeded'\r\n")
            .unwrap();
        let reason = "'maximum connections exceeded'".to_string();
        assert_eq!(client.told(), [Told::Refused { reason }]);
        assert!(client.receive(b"PING\r\n").is_err());

        let mut client = member();
        client.receive(b"-ERR 'Slow Consumer'\r\n").unwrap();
        assert!(matches!(client.told()[..], [Told::Lost { .. }]));
        assert!(!client.session.is_joined());
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let table: [&[u8]; 9] = [
            b"\r\n",
            b"+OK\r\n",
            b"PONG\r\n",
            b"HMSG room 1 12 14\r\n",
            b"MSG room 1\r\n",
            b"MSG room 1 -1\r\n",
            b"MSG room 2 1\r\n",
            b"MSG other 1 1\r\n",
            b"MSG room 1 1\r\nabc",
        ];
        for bytes in table {
            let got = member().receive(bytes);
            assert!(
                matches!(got, Err(Violation::Unexpected { .. })),
                "{} gave {got:?}",
                bytes.escape_ascii()
            );
        }
        let got = member().receive(b"MSG room 1 65537\r\n");
        assert_eq!(got, Err(Violation::FrameOverLimit));
        let mut early = Client::new(Session::new("ann"));
        assert!(early.receive(b"PONG\r\n").is_err());
    }
}
