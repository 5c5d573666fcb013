//! Owns our conversation with a server as the client sees it. Knows no socket, no clock, no terminal.
//!
//! ```text
//!                 1                 371                372
//!  AwaitVerdict ─────▶ AwaitHistory ─────▶ Joined ───────┐
//!       │ 0                                  ▲           │
//!       ▼                                    └───────────┘
//!    Refused
//! ```

use super::frame::{self, Limits, Message, Violation};
use crate::protocol::{ClientSession, Command, Context, Decoded, Told, Unsupported};

/// The client half of one connection.
#[derive(Debug)]
pub struct Session {
    name: String,
    state: State,
    /// Said and not heard back. The server echoes everything, so this is what is on its way.
    unanswered: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    AwaitVerdict,
    AwaitHistory,
    Joined,
    #[default]
    Refused,
}

impl Session {
    /// Will ask to be let in as `name`.
    pub fn new(name: &str) -> Session {
        Session {
            name: name.to_string(),
            state: State::AwaitVerdict,
            unanswered: 0,
        }
    }

    /// Takes one frame; returns its length, or `None` while it is not whole.
    fn handle_frame(
        &mut self,
        input: &[u8],
        told: &mut Vec<Told>,
    ) -> Result<Option<usize>, Violation> {
        match self.state {
            State::AwaitVerdict => match frame::decode_verdict(input)? {
                Decoded::NeedMore { .. } => Ok(None),
                Decoded::Done { frame: true, used } => {
                    self.state = State::AwaitHistory;
                    Ok(Some(used))
                }
                Decoded::Done { frame: false, used } => {
                    self.state = State::Refused;
                    // A zero says no more than that.
                    told.push(Told::Refused {
                        reason: format!(
                            "the name {:?} is taken or not allowed, or there is no room",
                            self.name
                        ),
                    });
                    Ok(Some(used))
                }
            },
            State::AwaitHistory => {
                let Some(()) = self.expect(frame::HISTORY, input)? else {
                    return Ok(None);
                };
                match frame::decode_history(input, &Limits::CLIENT)? {
                    Decoded::NeedMore { .. } => Ok(None),
                    Decoded::Done { frame: lines, used } => {
                        self.state = State::Joined;
                        told.push(Told::Joined {
                            name: self.name.clone(),
                            room: "lobby".to_string(),
                        });
                        told.extend(lines.iter().map(|line| heard(line, true)));
                        Ok(Some(used))
                    }
                }
            }
            State::Joined => {
                let Some(()) = self.expect(frame::SAID, input)? else {
                    return Ok(None);
                };
                match frame::decode_message(input, &Limits::CLIENT)? {
                    Decoded::NeedMore { .. } => Ok(None),
                    Decoded::Done {
                        frame: message,
                        used,
                    } => {
                        if message.username == self.name {
                            self.unanswered = self.unanswered.saturating_sub(1);
                        }
                        told.push(heard(&message, false));
                        Ok(Some(used))
                    }
                }
            }
            State::Refused => Err(Violation::AfterTheEnd),
        }
    }

    /// Judges a frame by its number, before the rest of it is there.
    fn expect(&self, number: i32, input: &[u8]) -> Result<Option<()>, Violation> {
        match frame::decode_number(input) {
            Decoded::NeedMore { .. } => Ok(None),
            Decoded::Done { frame: got, .. } if got == number => Ok(Some(())),
            Decoded::Done { frame: got, .. } => Err(Violation::UnknownNumber { got }),
        }
    }
}

impl ClientSession for Session {
    type Violation = Violation;

    fn start(&mut self, context: &mut Context<'_>) {
        frame::encode_join(&self.name, &mut context.out.stream);
    }

    fn handle_bytes(
        &mut self,
        input: &[u8],
        context: &mut Context<'_>,
    ) -> Result<usize, Violation> {
        let mut used = 0;
        while let Some(rest) = input.get(used..)
            && !rest.is_empty()
            && let Some(length) = self.handle_frame(rest, context.told)?
        {
            used += length;
        }
        Ok(used)
    }

    fn handle_command(
        &mut self,
        command: Command<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Unsupported> {
        match command {
            Command::Say(text) => {
                frame::encode_say(context.time, &self.name, text, &mut context.out.stream);
                self.unanswered += 1;
                Ok(())
            }
            // Leaving is closing the connection.
            Command::Leave => Ok(()),
            Command::Direct { .. }
            | Command::Who
            | Command::Start { .. }
            | Command::Chat { .. }
            | Command::End { .. } => Err(Unsupported),
        }
    }

    fn is_joined(&self) -> bool {
        self.state == State::Joined
    }

    fn unanswered(&self) -> usize {
        self.unanswered
    }
}

fn heard(message: &Message<'_>, history: bool) -> Told {
    Told::Message {
        from: message.username.to_string(),
        text: message.text.to_string(),
        time: Some(message.time.to_string()),
        history,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::chat::{History, TimeOfDay};
    use crate::protocol::tcp_room::server;
    use crate::protocol::{Outbound, Secret, ServerSession, Step, Welcome};

    /// A session and what came of it.
    struct Client {
        session: Session,
        told: Vec<Told>,
        out: Outbound,
    }

    impl Client {
        fn new() -> Client {
            Client {
                session: Session::new("alice"),
                told: Vec::new(),
                out: Outbound::default(),
            }
        }

        fn split(&mut self) -> (&mut Session, Context<'_>) {
            let context = Context {
                now: Instant::now(),
                time: TimeOfDay::MIDNIGHT,
                told: &mut self.told,
                out: &mut self.out,
            };
            (&mut self.session, context)
        }

        fn receive(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
            let (session, mut context) = self.split();
            session.handle_bytes(bytes, &mut context)
        }

        fn command(&mut self, command: Command<'_>) -> Result<(), Unsupported> {
            let (session, mut context) = self.split();
            session.handle_command(command, &mut context)
        }
    }

    fn said(from: &str, text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        frame::encode_said(TimeOfDay::MIDNIGHT, from, &[text], &mut out);
        out
    }

    fn message(from: &str, text: &str, history: bool) -> Told {
        Told::Message {
            from: from.to_string(),
            text: text.to_string(),
            time: Some("00:00:00".to_string()),
            history,
        }
    }

    #[test]
    fn both_halves_talk() {
        let (mut client, mut server) = (Client::new(), server::Session::new());
        let mut to_client = Vec::new();

        let (session, mut context) = client.split();
        session.start(&mut context);
        let to_server = client.out.stream.clone();
        let step = server.handle_bytes(&to_server, &mut Vec::new()).unwrap();
        assert!(matches!(
            step,
            Step::Frame {
                request: Some(_),
                ..
            }
        ));
        let mut history = History::default();
        history.push(TimeOfDay::MIDNIGHT, "bob", "earlier");
        server.handle_verdict(
            Ok(Welcome {
                history: &history,
                members: &(),
                secret: Secret::new([0; 16]),
            }),
            &mut to_client,
        );
        to_client.extend_from_slice(&said("bob", "later"));

        // However it is split, the client is told the same.
        let mut pending = Vec::new();
        for byte in to_client {
            pending.push(byte);
            let used = client.receive(&pending).unwrap();
            pending.drain(..used);
        }
        assert_eq!(
            client.told,
            [
                Told::Joined {
                    name: "alice".to_string(),
                    room: "lobby".to_string()
                },
                message("bob", "earlier", true),
                message("bob", "later", false),
            ]
        );
    }

    fn joined() -> Client {
        let mut client = Client::new();
        let welcome = [1, 0x73, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!(client.receive(&welcome), Ok(9));
        assert!(client.session.is_joined());
        client
    }

    #[test]
    fn what_is_said_is_unanswered_until_it_comes_back() {
        let mut client = joined();
        for text in ["one", "two"] {
            client.command(Command::Say(text)).unwrap();
        }
        assert_eq!(client.session.unanswered(), 2);
        client.receive(&said("bob", "one")).unwrap();
        assert_eq!(client.session.unanswered(), 2, "somebody else's words");
        client.receive(&said("alice", "one")).unwrap();
        client.receive(&said("alice", "two")).unwrap();
        assert_eq!(client.session.unanswered(), 0);
    }

    #[test]
    fn a_refusal_is_told_and_final() {
        let mut client = Client::new();
        assert_eq!(client.receive(&[0]), Ok(1));
        assert!(matches!(client.told[..], [Told::Refused { .. }]));
        assert_eq!(client.receive(&[1]), Err(Violation::AfterTheEnd));
    }

    #[test]
    fn a_server_that_breaks_the_rules_is_named() {
        assert_eq!(
            Client::new().receive(b"H"),
            Err(Violation::NotBool { got: b'H' })
        );
        assert_eq!(
            joined().receive(&[9, 0, 0, 0]),
            Err(Violation::UnknownNumber { got: 9 })
        );
    }

    #[test]
    fn what_the_protocol_has_nothing_for_says_so() {
        let mut client = joined();
        for command in [
            Command::Who,
            Command::Direct {
                to: "bob",
                text: "hi",
            },
        ] {
            assert_eq!(client.command(command), Err(Unsupported));
        }
        assert!(client.out.stream.is_empty());
    }
}
