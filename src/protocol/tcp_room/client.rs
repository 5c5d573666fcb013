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
use crate::chat::TimeOfDay;
use crate::protocol::{ClientSession, Command, Decoded, Told, Unsupported};

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
                    told.push(Told::Refused {
                        reason: format!("the name {:?} is taken or not allowed", self.name),
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

    fn start(&mut self, out: &mut Vec<u8>) {
        frame::encode_join(&self.name, out);
    }

    fn handle_bytes(&mut self, input: &[u8], told: &mut Vec<Told>) -> Result<usize, Violation> {
        let mut used = 0;
        while let Some(rest) = input.get(used..)
            && !rest.is_empty()
            && let Some(length) = self.handle_frame(rest, told)?
        {
            used += length;
        }
        Ok(used)
    }

    fn handle_command(
        &mut self,
        command: Command<'_>,
        now: TimeOfDay,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsupported> {
        match command {
            Command::Say(text) => {
                frame::encode_say(now, &self.name, text, out);
                self.unanswered += 1;
                Ok(())
            }
            // Leaving is closing the connection.
            Command::Leave => Ok(()),
            Command::Direct { .. } | Command::Who => Err(Unsupported),
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
    use super::*;
    use crate::chat::History;
    use crate::protocol::tcp_room::server;
    use crate::protocol::{Secret, ServerSession, Step, Welcome};

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
        let (mut client, mut server) = (Session::new("alice"), server::Session::new());
        let (mut to_server, mut to_client, mut told) = (Vec::new(), Vec::new(), Vec::new());

        client.start(&mut to_server);
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
            let used = client.handle_bytes(&pending, &mut told).unwrap();
            pending.drain(..used);
        }
        assert_eq!(
            told,
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

    fn joined() -> Session {
        let mut session = Session::new("alice");
        let welcome = [1, 0x73, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!(session.handle_bytes(&welcome, &mut Vec::new()), Ok(9));
        assert!(session.is_joined());
        session
    }

    #[test]
    fn what_is_said_is_unanswered_until_it_comes_back() {
        let (mut session, mut out, mut told) = (joined(), Vec::new(), Vec::new());
        for text in ["one", "two"] {
            session
                .handle_command(Command::Say(text), TimeOfDay::MIDNIGHT, &mut out)
                .unwrap();
        }
        assert_eq!(session.unanswered(), 2);
        session
            .handle_bytes(&said("bob", "one"), &mut told)
            .unwrap();
        assert_eq!(session.unanswered(), 2, "somebody else's words");
        session
            .handle_bytes(&said("alice", "one"), &mut told)
            .unwrap();
        session
            .handle_bytes(&said("alice", "two"), &mut told)
            .unwrap();
        assert_eq!(session.unanswered(), 0);
    }

    #[test]
    fn a_refusal_is_told_and_final() {
        let (mut session, mut told) = (Session::new("alice"), Vec::new());
        assert_eq!(session.handle_bytes(&[0], &mut told), Ok(1));
        assert!(matches!(told[..], [Told::Refused { .. }]));
        assert_eq!(
            session.handle_bytes(&[1], &mut told),
            Err(Violation::AfterTheEnd)
        );
    }

    #[test]
    fn a_server_that_breaks_the_rules_is_named() {
        assert_eq!(
            Session::new("a").handle_bytes(b"H", &mut Vec::new()),
            Err(Violation::NotBool { got: b'H' })
        );
        assert_eq!(
            joined().handle_bytes(&[9, 0, 0, 0], &mut Vec::new()),
            Err(Violation::UnknownNumber { got: 9 })
        );
    }

    #[test]
    fn what_the_protocol_has_nothing_for_says_so() {
        let (mut session, mut out) = (joined(), Vec::new());
        for command in [
            Command::Who,
            Command::Direct {
                to: "bob",
                text: "hi",
            },
        ] {
            assert_eq!(
                session.handle_command(command, TimeOfDay::MIDNIGHT, &mut out),
                Err(Unsupported)
            );
        }
        assert!(out.is_empty());
    }
}
