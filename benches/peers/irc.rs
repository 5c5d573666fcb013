//! Owns a member of an IRC channel (RFC 1459 and 2812). Knows no socket.
//!
//! ```text
//!                001                 366 of our channel
//!  AwaitWelcome ─────▶ AwaitNames ─────────────────────▶ Joined
//!       │                  │ 4xx or 5xx, ERROR             │ ERROR
//!       └──────────────────┴──────────────▶ Over ◀─────────┘
//! ```
//!
//! A sender does not hear itself. The joins of others are taken and dropped: what they cost the server and us is
//! the price of this protocol's coming in.

use mynah::protocol::{ClientSession, Command, Context, Decoded, Told, Unsupported};

use crate::wire::{
    ROOM, Violation, decode_line, each_frame, is_one_line, tell_joined, tell_lost, tell_message,
    tell_refused, text,
};

/// A line has 512 bytes, with its end, who says it and where.
pub const LONGEST_TEXT: usize = 350;

/// One member.
#[derive(Debug)]
pub struct Session {
    name: String,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    AwaitWelcome,
    AwaitNames,
    Joined,
    #[default]
    Over,
}

impl Session {
    /// Will ask to be let in as `name`.
    pub fn new(name: &str) -> Session {
        Session {
            name: name.to_string(),
            state: State::AwaitWelcome,
        }
    }

    fn handle_line(&mut self, line: &[u8], context: &mut Context<'_>) -> Result<(), Violation> {
        if line.is_empty() {
            return Ok(());
        }
        let message = Message::parse(line).ok_or_else(|| Violation::unexpected(line))?;
        let is_room = |name: &[u8]| name.strip_prefix(b"#") == Some(ROOM.as_bytes());
        self.state = match (std::mem::take(&mut self.state), message.kind()) {
            (State::Over, _) => return Err(Violation::unexpected(line)),
            (state, Kind::Ping) => {
                put_pong(message.last, &mut context.out.stream);
                state
            }
            (State::AwaitWelcome, Kind::Numeric(1)) => {
                let join = format!("JOIN #{ROOM}\r\n");
                context.out.stream.extend_from_slice(join.as_bytes());
                State::AwaitNames
            }
            (State::AwaitNames, Kind::Numeric(366)) if is_room(message.second) => {
                tell_joined(&self.name, context);
                State::Joined
            }
            // There is no message of the day: no more than a notice.
            (state, Kind::Numeric(422)) => state,
            (State::AwaitWelcome | State::AwaitNames, Kind::Numeric(400..=599) | Kind::Error) => {
                tell_refused(message.last, context);
                State::Over
            }
            (State::Joined, Kind::Error) => {
                tell_lost(message.last, context);
                State::Over
            }
            (State::Joined, Kind::Numeric(400..=599)) => {
                context.told.push(Told::Notice {
                    text: text(message.last),
                });
                State::Joined
            }
            (state @ (State::AwaitNames | State::Joined), Kind::Said) if is_room(message.first) => {
                tell_message(message.nickname, message.last, context);
                state
            }
            // Joins, modes, notices, lists.
            (
                state @ (State::AwaitWelcome | State::AwaitNames | State::Joined),
                Kind::Numeric(_) | Kind::Said | Kind::Other,
            ) => state,
        };
        Ok(())
    }
}

impl ClientSession for Session {
    type Violation = Violation;

    fn start(&mut self, context: &mut Context<'_>) {
        let name = &self.name;
        let lines = format!("NICK {name}\r\nUSER {name} 0 * :{name}\r\n");
        context.out.stream.extend_from_slice(lines.as_bytes());
    }

    fn handle_bytes(
        &mut self,
        input: &[u8],
        context: &mut Context<'_>,
    ) -> Result<usize, Violation> {
        each_frame(input, |rest| match decode_line(rest)? {
            Decoded::NeedMore { .. } => Ok(None),
            Decoded::Done { frame, used } => {
                self.handle_line(frame, context)?;
                Ok(Some(used))
            }
        })
    }

    fn handle_command(
        &mut self,
        command: Command<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Unsupported> {
        let line = match command {
            Command::Say(said) if is_one_line(said) => format!("PRIVMSG #{ROOM} :{said}\r\n"),
            Command::Leave => "QUIT\r\n".to_string(),
            _ => return Err(Unsupported),
        };
        context.out.stream.extend_from_slice(line.as_bytes());
        Ok(())
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
    if let Some(message) = Message::parse(line)
        && message.kind() == Kind::Ping
    {
        put_pong(message.last, out);
    }
}

fn put_pong(token: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"PONG :");
    out.extend_from_slice(token);
    out.extend_from_slice(b"\r\n");
}

/// What matters of a line: `[@tags] [:nickname[!...]] command [first] [second] ... [[:]last]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Message<'a> {
    nickname: &'a [u8],
    command: &'a [u8],
    first: &'a [u8],
    second: &'a [u8],
    /// The last parameter, which is the first or the second where there are no more.
    last: &'a [u8],
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ping,
    Error,
    Said,
    Numeric(u16),
    Other,
}

impl<'a> Message<'a> {
    /// `None` without a command.
    fn parse(line: &'a [u8]) -> Option<Message<'a>> {
        let mut rest = line;
        if rest.starts_with(b"@") {
            word(&mut rest);
        }
        let mut message = Message::default();
        if let Some(after) = rest.strip_prefix(b":") {
            rest = after;
            let prefix = word(&mut rest);
            message.nickname = prefix.split(|&byte| byte == b'!').next().unwrap_or(prefix);
        }
        message.command = word(&mut rest);
        if message.command.is_empty() {
            return None;
        }
        for number in 0.. {
            if rest.is_empty() {
                break;
            }
            message.last = match rest.strip_prefix(b":") {
                Some(trailing) => {
                    rest = &[];
                    trailing
                }
                None => word(&mut rest),
            };
            match number {
                0 => message.first = message.last,
                1 => message.second = message.last,
                _ => {}
            }
        }
        Some(message)
    }

    fn kind(&self) -> Kind {
        match self.command {
            b"PING" => Kind::Ping,
            b"ERROR" => Kind::Error,
            b"PRIVMSG" => Kind::Said,
            [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
                let digits = [a, b, c];
                let number = digits.iter().fold(0, |n, d| n * 10 + u16::from(**d - b'0'));
                Kind::Numeric(number)
            }
            _ => Kind::Other,
        }
    }
}

/// Takes a word and the blanks behind it.
fn word<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.iter().position(|&byte| byte == b' ');
    let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
    let blanks = behind.iter().take_while(|&&byte| byte == b' ').count();
    *rest = behind.get(blanks..).unwrap_or_default();
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::{Client, at_every_split, joined, message};

    /// What a server says to somebody who comes in, as seen from ngircd.
    const WELCOME: &str = ":irc.example.net 001 ann :Welcome to the Internet Relay Network ann!~ann@localhost\r\n\
        :irc.example.net 422 ann :MOTD file is missing\r\n\
        :ann!~ann@localhost JOIN :#room\r\n\
        :irc.example.net 353 ann = #room :ann @bob\r\n\
        :irc.example.net 366 ann #room :End of NAMES list\r\n";

    fn member() -> Client<Session> {
        let mut client = Client::new(Session::new("ann"));
        client.receive(WELCOME.as_bytes()).unwrap();
        assert_eq!(client.told(), [joined("ann")]);
        client.sent();
        client
    }

    #[test]
    fn a_member_comes_in_hears_and_speaks() {
        let mut client = Client::new(Session::new("ann"));
        assert_eq!(client.sent(), b"NICK ann\r\nUSER ann 0 * :ann\r\n");
        let welcome = WELCOME.split_inclusive('\n').next().unwrap();
        client.receive(welcome.as_bytes()).unwrap();
        assert_eq!(client.sent(), b"JOIN #room\r\n");
        assert!(!client.session.is_joined());

        let mut client = member();
        assert!(client.session.is_joined());
        client.say("hello all").unwrap();
        assert_eq!(client.sent(), b"PRIVMSG #room :hello all\r\n");
        client
            .receive(b":bob!b@localhost PRIVMSG #room :hi: there\r\n")
            .unwrap();
        assert_eq!(client.told(), [message("bob", "hi: there")]);
        assert_eq!(client.say("two\r\nlines"), Err(Unsupported));
    }

    #[test]
    fn however_it_is_split_the_same_is_told() {
        let more =
            ":bob!b@h JOIN #room\r\nPING :x\r\n@time=1 :bob!b@h PRIVMSG #room :hi\r\n:bob!b@h PRIV";
        let all = [WELCOME, more].concat();
        let client = at_every_split(|| Session::new("ann"), all.as_bytes());
        assert_eq!(client.told, [joined("ann"), message("bob", "hi")]);
        assert_eq!(client.pending(), b":bob!b@h PRIV");
        assert!(client.out.stream.ends_with(b"JOIN #room\r\nPONG :x\r\n"));
    }

    #[test]
    fn a_ping_is_answered_in_every_state() {
        let mut client = Client::new(Session::new("ann"));
        client.sent();
        client.receive(b"PING :12345\r\n").unwrap();
        assert_eq!(client.sent(), b"PONG :12345\r\n");
        let mut client = member();
        client.receive(b":irc.example.net PING irc\r\n").unwrap();
        assert_eq!(client.sent(), b"PONG :irc\r\n");
        let mut out = Vec::new();
        answer(b"PING :a b", &mut out);
        answer(b"PINGED :c", &mut out);
        assert_eq!(out, b"PONG :a b\r\n");
    }

    #[test]
    fn a_name_that_is_taken_and_a_full_channel_are_refusals() {
        for line in [
            "433 * ann :Nickname already in use",
            "ERROR :Too many clones",
        ] {
            let mut client = Client::new(Session::new("ann"));
            client.receive(line.as_bytes()).unwrap();
            client.receive(b"\r\n").unwrap();
            assert!(
                matches!(&client.told[..], [Told::Refused { .. }]),
                "{line:?}"
            );
            assert!(client.receive(b":h 001 ann :hi\r\n").is_err());
        }
    }

    #[test]
    fn what_is_for_others_or_goes_wrong_later_is_no_message() {
        let mut client = member();
        client
            .receive(b":bob!b@h PRIVMSG ann :psst\r\n:bob!b@h PRIVMSG #other :hi\r\n\r\n")
            .unwrap();
        assert_eq!(client.told(), []);
        client
            .receive(b":h 404 ann #room :Cannot send\r\n")
            .unwrap();
        assert!(matches!(&client.told()[..], [Told::Notice { .. }]));
        client.receive(b"ERROR :Ping timeout\r\n").unwrap();
        assert!(matches!(&client.told()[..], [Told::Lost { .. }]));
        assert!(!client.session.is_joined());
    }

    #[test]
    fn a_line_without_a_command_is_not_understood() {
        for line in [&b":only.a.prefix\r\n"[..], b"@only=tags\r\n", b" \r\n"] {
            assert!(Client::new(Session::new("ann")).receive(line).is_err());
        }
    }
}
