//! Owns our conversation with a server as the client sees it, over TCP until there is a token and over UDP from
//! then on. Knows no socket, no terminal, and the time only as it is told.
//!
//! ```text
//!                   yes                  a token              /quit
//!  AwaitCompliance ─────▶ AwaitComplete ─────────▶ Joined ───────────▶ Left
//!         │ no                 │ none                │
//!         └───────┬────────────┘                     │ __ROOM_CLOSED__, kicked
//!                 ▼                                  ▼
//!              Refused                             Closed
//! ```

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::datagram::{self, LEAVE, REGISTER, ToMember};
use super::frame::{self, Answer, Form, Operation, Rule, Violation};
use crate::chat::{Choice, is_put_out, split};
use crate::protocol::{ClientSession, Command, Context, Decoded, Hidden, Told, Unsupported};

/// `__REGISTER__` is not answered, and until it has come the server hears nothing else: it goes three times.
const QUICK_REPEATS: u8 = 2;

/// The time between them.
const QUICK_INTERVAL: Duration = Duration::from_millis(500);

/// After that: our port may have changed on the way, and silence would be taken for leaving.
const KEEP_INTERVAL: Duration = Duration::from_secs(30);

/// What the person is told once, since no line will ever be confirmed.
const NOT_CONFIRMED: &str =
    "nobody confirms lines in this protocol: what is lost on the way is not noticed";

/// The client half of one membership.
#[derive(Debug)]
pub struct Session {
    name: String,
    operation: Operation,
    room: String,
    state: State,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    AwaitCompliance,
    AwaitComplete,
    Joined {
        token: Hidden<String>,
        next_register: Instant,
        /// How many more of them come quickly.
        quick: u8,
    },
    Refused,
    #[default]
    Closed,
    Left,
}

impl Session {
    /// Will ask for a room, under `name`. Both names keep the rules for names.
    pub fn new(name: &str, choice: Choice<'_>) -> Session {
        let (operation, room) = match choice {
            Choice::Lobby => (Operation::Join, "lobby"),
            Choice::Join(room) => (Operation::Join, room),
            Choice::Create(room) => (Operation::Create, room),
        };
        Session {
            name: name.to_string(),
            operation,
            room: room.to_string(),
            state: State::AwaitCompliance,
        }
    }

    fn handle_answer(
        &mut self,
        answer: Answer,
        context: &mut Context<'_>,
    ) -> Result<(), Violation> {
        self.state = match (std::mem::take(&mut self.state), answer) {
            (State::AwaitCompliance, Answer::Compliance(Ok(()))) => State::AwaitComplete,
            (State::AwaitCompliance, Answer::Compliance(Err(reason))) => {
                context.told.push(Told::Refused { reason });
                State::Refused
            }
            (State::AwaitComplete, Answer::Complete { token }) if token.is_empty() => {
                let reason = "the server gave no token".to_string();
                context.told.push(Told::Refused { reason });
                State::Refused
            }
            (State::AwaitComplete, Answer::Complete { token }) => {
                context.told.push(Told::Joined {
                    name: self.name.clone(),
                    room: self.room.clone(),
                });
                let text = NOT_CONFIRMED.to_string();
                context.told.push(Told::Notice { text });
                self.send(&token, REGISTER, context);
                State::Joined {
                    token,
                    next_register: context.now + QUICK_INTERVAL,
                    quick: QUICK_REPEATS,
                }
            }
            (State::AwaitCompliance, Answer::Complete { .. })
            | (State::AwaitComplete, Answer::Compliance(_)) => {
                return Err(Violation {
                    head: None,
                    rule: Rule::UnknownAnswer,
                });
            }
            // The token, which is empty, or what else a server says that is done with us.
            (
                state @ (State::Refused | State::Joined { .. } | State::Closed | State::Left),
                Answer::Compliance(_) | Answer::Complete { .. },
            ) => state,
        };
        Ok(())
    }

    fn say(&self, token: &str, text: &str, context: &mut Context<'_>) {
        let room = datagram::text_room(&self.room, token);
        if split(text, room).any(|piece| matches!(piece, REGISTER | LEAVE)) {
            let text = format!("not sent: {REGISTER} and {LEAVE} are commands of the protocol");
            context.told.push(Told::Notice { text });
            return;
        }
        split(text, room).for_each(|piece| self.send(token, piece, context));
    }

    fn send(&self, token: &str, text: &str, context: &mut Context<'_>) {
        let out = &mut context.out;
        out.to_server(|out| datagram::encode_to_server(&self.room, token, text, out));
    }
}

impl ClientSession for Session {
    type Violation = Violation;

    fn start(&mut self, context: &mut Context<'_>) {
        let out = &mut context.out.stream;
        frame::encode_request(Form::Long, self.operation, &self.room, &self.name, out);
    }

    fn handle_bytes(
        &mut self,
        input: &[u8],
        context: &mut Context<'_>,
    ) -> Result<usize, Violation> {
        let mut used = 0;
        while let Some(rest) = input.get(used..) {
            match self.state {
                State::AwaitCompliance | State::AwaitComplete => {}
                // Nothing more is to be learnt over TCP.
                State::Joined { .. } | State::Refused | State::Closed | State::Left => {
                    return Ok(input.len());
                }
            }
            match frame::decode_answer(rest, Form::Long)? {
                Decoded::NeedMore { .. } => break,
                Decoded::Done {
                    frame,
                    used: length,
                } => {
                    used += length;
                    self.handle_answer(frame, context)?;
                }
            }
        }
        Ok(used)
    }

    fn handle_stream_end(&mut self, _: &mut Context<'_>) -> bool {
        match self.state {
            State::Joined { .. } | State::Closed | State::Left => true,
            State::AwaitCompliance | State::AwaitComplete | State::Refused => false,
        }
    }

    fn handle_datagram(&mut self, _: SocketAddr, datagram: &[u8], context: &mut Context<'_>) {
        match (&self.state, datagram::decode_to_member(datagram)) {
            (State::Joined { .. }, Ok(ToMember::Said { sender, text }))
                if is_put_out(sender, text) =>
            {
                let reason = text.to_string();
                context.told.push(Told::Lost { reason });
                self.state = State::Closed;
            }
            (State::Joined { .. }, Ok(ToMember::Said { sender, text })) => {
                context.told.push(Told::Message {
                    from: without_quotes(sender),
                    text: text.to_string(),
                    time: None,
                    history: false,
                });
            }
            (State::Joined { .. }, Ok(ToMember::RoomClosed)) => {
                let reason = "the room was closed: its host has left".to_string();
                context.told.push(Told::Closed { reason });
                self.state = State::Closed;
            }
            (State::Joined { .. }, Err(_))
            | (
                State::AwaitCompliance
                | State::AwaitComplete
                | State::Refused
                | State::Closed
                | State::Left,
                _,
            ) => {}
        }
    }

    fn handle_command(
        &mut self,
        command: Command<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Unsupported> {
        match command {
            Command::Say(text) => {
                if let State::Joined { token, .. } = &self.state {
                    self.say(token, text, context);
                }
                Ok(())
            }
            Command::Leave => {
                if let State::Joined { token, .. } = &self.state {
                    // Twice, for it is not answered, and the second does nothing.
                    self.send(token, LEAVE, context);
                    self.send(token, LEAVE, context);
                }
                self.state = State::Left;
                Ok(())
            }
            Command::Direct { .. }
            | Command::Who
            | Command::Start { .. }
            | Command::Chat { .. }
            | Command::End { .. } => Err(Unsupported),
        }
    }

    fn handle_timeout(&mut self, context: &mut Context<'_>) {
        let now = context.now;
        match std::mem::take(&mut self.state) {
            State::Joined {
                token,
                next_register,
                quick,
            } if next_register <= now => {
                self.send(&token, REGISTER, context);
                let (interval, quick) = match quick.saturating_sub(1) {
                    0 => (KEEP_INTERVAL, 0),
                    left => (QUICK_INTERVAL, left),
                };
                self.state = State::Joined {
                    token,
                    next_register: now + interval,
                    quick,
                };
            }
            state => self.state = state,
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Joined { next_register, .. } => Some(*next_register),
            State::AwaitCompliance
            | State::AwaitComplete
            | State::Refused
            | State::Closed
            | State::Left => None,
        }
    }

    fn is_joined(&self) -> bool {
        matches!(self.state, State::Joined { .. })
    }

    /// Nothing is ever confirmed, so nothing is waited for.
    fn unanswered(&self) -> usize {
        0
    }

    fn has_left(&self) -> bool {
        self.state == State::Left
    }
}

/// Some servers keep a name as the JSON in which it came.
fn without_quotes(sender: &str) -> String {
    if sender.starts_with('"')
        && let Ok(name) = serde_json::from_str(sender)
    {
        return name;
    }
    sender.trim_matches('"').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Event, History, Name, Refusal, Request, TimeOfDay};
    use crate::protocol::tcrp::frame::Head;
    use crate::protocol::tcrp::{member, server};
    use crate::protocol::{
        DatagramSession, Datagrams, Destination, Outbound, Secret, ServerSession, Step, Welcome,
    };

    /// A session, what came of it, and the clock.
    struct Client {
        session: Session,
        told: Vec<Told>,
        out: Outbound,
        now: Instant,
    }

    impl Client {
        fn new(choice: Choice<'_>) -> Client {
            let mut client = Client {
                session: Session::new("alice", choice),
                told: Vec::new(),
                out: Outbound::default(),
                now: Instant::now(),
            };
            client.with(|session, context| session.start(context));
            client
        }

        fn with<T>(&mut self, act: impl FnOnce(&mut Session, &mut Context<'_>) -> T) -> T {
            let mut context = Context {
                now: self.now,
                time: TimeOfDay::MIDNIGHT,
                told: &mut self.told,
                out: &mut self.out,
            };
            act(&mut self.session, &mut context)
        }

        /// The texts of the datagrams sent since this was asked before.
        fn sent(&mut self) -> Vec<String> {
            let datagrams = std::mem::take(&mut self.out.datagrams);
            datagrams
                .iter()
                .map(|(to, datagram)| {
                    assert_eq!(*to, Destination::Server);
                    assert!(datagram.len() <= datagram::MAX_DATAGRAM_BYTES);
                    datagram::decode_to_server(datagram)
                        .unwrap()
                        .text
                        .to_string()
                })
                .collect()
        }

        /// The texts sent by the time it is `seconds` later, with when they were sent.
        fn advance(&mut self, seconds: f64) -> Vec<(f64, String)> {
            let start = self.now;
            let end = start + Duration::from_secs_f64(seconds);
            let mut sent = Vec::new();
            while let Some(due) = self.session.next_deadline().filter(|due| *due <= end) {
                self.now = due;
                self.with(|session, context| session.handle_timeout(context));
                let after = (due - start).as_secs_f64();
                sent.extend(self.sent().into_iter().map(|text| (after, text)));
            }
            self.now = end;
            sent
        }

        fn hear(&mut self, datagram: &[u8]) -> Vec<Told> {
            let from = "127.0.0.1:9091".parse().unwrap();
            self.with(|session, context| session.handle_datagram(from, datagram, context));
            std::mem::take(&mut self.told)
        }
    }

    fn said(from: &str, text: &str) -> Vec<u8> {
        let mut out = Datagrams::new();
        datagram::encode_said(from, text, &mut out);
        out.iter().collect::<Vec<_>>().concat()
    }

    fn answers(answer: Result<Secret, &str>) -> Vec<u8> {
        let mut out = Vec::new();
        let form = Form::Long;
        frame::encode_answers(Head { form, operation: 2 }, "tea", answer, &mut out);
        out
    }

    fn joined() -> Client {
        let mut client = Client::new(Choice::Join("tea"));
        let bytes = answers(Ok(Secret::new([7; 16])));
        let used = client.with(|session, context| session.handle_bytes(&bytes, context));
        assert_eq!(used, Ok(bytes.len()));
        assert!(client.with(|session, context| session.handle_stream_end(context)));
        assert_eq!(client.sent(), [REGISTER]);
        client.told.clear();
        client
    }

    fn message(from: &str, text: &str) -> Told {
        Told::Message {
            from: from.to_string(),
            text: text.to_string(),
            time: None,
            history: false,
        }
    }

    #[test]
    fn both_halves_talk() {
        let mut client = Client::new(Choice::Create("tea"));
        let mut server = server::Session::new();
        let request = client.out.stream.clone();
        let step = server.handle_bytes(&request, &mut Vec::new());
        assert!(matches!(
            step,
            Ok(Step::Frame {
                request: Some(Request::Reserve {
                    choice: Choice::Create("tea"),
                    ..
                }),
                ..
            })
        ));
        let history = History::default();
        let welcome = Welcome {
            history: &history,
            members: &(),
            secret: Secret::new([7; 16]),
        };
        let mut bytes = Vec::new();
        server.handle_verdict(Ok(welcome), &mut bytes);

        // However it is split, the client is told the same.
        let mut pending = Vec::new();
        for byte in bytes {
            pending.push(byte);
            let used = client.with(|session, context| session.handle_bytes(&pending, context));
            pending.drain(..used.unwrap());
        }
        assert!(pending.is_empty() && client.session.is_joined());
        assert_eq!(
            client.told,
            [
                Told::Joined {
                    name: "alice".to_string(),
                    room: "tea".to_string()
                },
                Told::Notice {
                    text: NOT_CONFIRMED.to_string()
                },
            ]
        );
        client.told.clear();

        client
            .with(|session, context| session.handle_command(Command::Say("hi"), context))
            .unwrap();
        let mut member = member::Member::new(&Name::parse("tea").unwrap());
        let mut asked = Vec::new();
        for (_, datagram) in &client.out.datagrams {
            assert_eq!(member::Member::token(datagram), Some(welcome.secret));
            let request = member.handle_datagram(datagram, &mut Datagrams::new());
            asked.push(request.unwrap().unwrap());
            let entered = crate::protocol::Answer::Entered(welcome);
            member.handle_answer(entered, &mut Datagrams::new());
        }
        let say = Request::Say {
            text: "hi",
            time: None,
            claimed: None,
        };
        assert_eq!(asked, [Request::Appear, say]);

        let (from, time) = ("bob", TimeOfDay::MIDNIGHT);
        let text = "(private) x";
        let mut heard = Datagrams::new();
        member::encode_event(&Event::Said { from, text, time }, &mut heard);
        member::encode_event(
            &Event::Direct {
                from,
                text: "y",
                time,
            },
            &mut heard,
        );
        member::encode_event(&Event::RoomClosed, &mut heard);
        let told: Vec<Told> = heard
            .iter()
            .flat_map(|datagram| client.hear(datagram))
            .collect();
        assert_eq!(
            told[..2],
            [
                message("bob", " (private) x"),
                message("bob", "(private) y")
            ]
        );
        assert!(matches!(told[2..], [Told::Closed { .. }]));
        assert_eq!(client.session.next_deadline(), None);
        assert!(client.hear(b"\x03bobhi").is_empty(), "after the end");
    }

    #[test]
    fn registering_goes_three_times_and_then_every_30_seconds() {
        let mut client = joined();
        let sent = client.advance(62.0);
        let times: Vec<f64> = sent.iter().map(|(time, _)| *time).collect();
        assert_eq!(times, [0.5, 1.0, 31.0, 61.0]);
        assert!(sent.iter().all(|(_, text)| text == REGISTER));
    }

    #[test]
    fn who_is_put_out_hears_why_and_that_is_the_end() {
        let mut client = joined();
        assert_eq!(
            client.hear(&said("bob", "kicked")),
            [message("bob", "kicked")]
        );
        let reason = "kicked: too loud".to_string();
        let told = client.hear(&said("<server>", &reason));
        assert_eq!(told, [Told::Lost { reason }]);
        assert!(client.advance(60.0).is_empty());
        assert!(!client.session.has_left());
    }

    #[test]
    fn leaving_goes_twice_and_is_the_end() {
        let mut client = joined();
        assert!(!client.session.has_left());
        client
            .with(|session, context| session.handle_command(Command::Leave, context))
            .unwrap();
        assert_eq!(client.sent(), [LEAVE, LEAVE]);
        assert!(client.session.has_left());
        assert!(client.advance(60.0).is_empty());
        assert!(client.hear(b"\x03bobhi").is_empty());
    }

    #[test]
    fn a_refusal_is_told_and_final() {
        let refusal = Refusal::RoomExists.to_string();
        let mut client = Client::new(Choice::Create("tea"));
        let bytes = answers(Err(&refusal));
        let used = client.with(|session, context| session.handle_bytes(&bytes, context));
        assert_eq!(used, Ok(bytes.len()));
        assert_eq!(client.told, [Told::Refused { reason: refusal }]);
        assert!(!client.session.is_joined());
        assert!(!client.with(|session, context| session.handle_stream_end(context)));
        assert!(client.sent().is_empty());
    }

    #[test]
    fn a_server_that_ends_without_a_token_has_failed_us() {
        let mut client = Client::new(Choice::Lobby);
        assert!(!client.with(|session, context| session.handle_stream_end(context)));
        let bytes = answers(Ok(Secret::new([7; 16])));
        let compliance = bytes.len() - 32 - 3 - 50;
        let complete = &bytes[compliance..];
        let early = client.with(|session, context| session.handle_bytes(complete, context));
        assert!(early.is_err(), "a token before the yes");
    }

    #[test]
    fn names_lose_the_quotes_of_other_servers() {
        let mut client = joined();
        assert_eq!(client.hear(b"\x05\"ada\"hi\n"), [message("ada", "hi")]);
        assert_eq!(client.hear(b"\x0a\"Zo\\u00eb\"hi"), [message("Zoë", "hi")]);
        assert_eq!(client.hear(b"\x04\"adahi"), [message("ada", "hi")]);
        assert!(client.hear(b"\x09bob").is_empty());
    }

    #[test]
    fn long_lines_are_several_datagrams_and_commands_are_none() {
        let mut client = joined();
        let mut say = |text: &str| {
            client
                .with(|session, context| session.handle_command(Command::Say(text), context))
                .unwrap();
            client.sent()
        };
        let text = "é".repeat(4000);
        let sent = say(&text);
        assert_eq!((sent.len(), sent.concat()), (2, text));
        assert!(say(LEAVE).is_empty());
        assert!(matches!(client.told[..], [Told::Notice { .. }]));
        let who = client.with(|session, context| session.handle_command(Command::Who, context));
        assert_eq!(who, Err(Unsupported));
    }
}
