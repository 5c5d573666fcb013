//! Owns one peer's conversation as the server sees it. Knows no socket, no clock, no other peer.
//!
//! ```text
//!              471 name                 let in               472
//!  AwaitJoin ───────────▶ AwaitVerdict ────────▶ Joined ───────┐
//!      │                       │                   │  ▲        │
//!      │ violation             │ refused           │  └────────┘
//!      ▼                       ▼                   ▼ violation
//!    Closed ◀──────────────────┴───────────────────┘
//! ```

use super::frame::{self, Field, Limits, Violation};
use crate::chat::{
    Choice, Contact, Event, PRIVATE_MARK, Refusal, Request, SERVER_NAME, TimeOfDay, public,
};
use crate::protocol::{AfterVerdict, Deadline, Decoded, Patience, ServerSession, Step, Welcome};

/// The server half of one connection.
#[derive(Debug, Default)]
pub struct Session {
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    AwaitJoin,
    AwaitVerdict,
    Joined,
    #[default]
    Closed,
}

impl Session {
    /// For a connection just accepted.
    pub fn new() -> Session {
        Session {
            state: State::AwaitJoin,
        }
    }

    /// Takes one frame of the kind that `number` announces.
    fn handle_frame<'a>(&mut self, number: i32, input: &'a [u8]) -> Result<Step<'a>, Violation> {
        match (std::mem::take(&mut self.state), number) {
            (State::AwaitJoin, frame::JOIN) => {
                let decoded = frame::decode_join(input)?;
                self.state = match decoded {
                    Decoded::Done { .. } => State::AwaitVerdict,
                    Decoded::NeedMore { .. } => State::AwaitJoin,
                };
                Ok(step(decoded, |name| Request::Enter {
                    choice: Choice::Lobby,
                    name,
                    contact: Contact::NONE,
                }))
            }
            (State::AwaitJoin, got) => Err(Violation::NotJoin { got }),
            (State::Joined, frame::SAY) => {
                let decoded = frame::decode_message(input, &Limits::SERVER)?;
                self.state = State::Joined;
                Ok(step(decoded, |message| Request::Say {
                    text: message.text,
                    time: TimeOfDay::parse(message.time),
                    claimed: Some(message.username),
                }))
            }
            (State::Joined, frame::JOIN) => Err(Violation::JoinedTwice),
            (State::Joined, got) => Err(Violation::UnknownNumber { got }),
            (State::AwaitVerdict | State::Closed, _) => Err(Violation::AfterTheEnd),
        }
    }
}

impl ServerSession for Session {
    type Violation = Violation;

    fn handle_bytes<'a>(
        &mut self,
        input: &'a [u8],
        _: &mut Vec<u8>,
    ) -> Result<Step<'a>, Violation> {
        match frame::decode_number(input) {
            Decoded::NeedMore { needed } => Ok(Step::NeedMore { needed }),
            Decoded::Done { frame: number, .. } => self.handle_frame(number, input),
        }
    }

    fn handle_verdict(
        &mut self,
        verdict: Result<Welcome<'_>, Refusal>,
        out: &mut Vec<u8>,
    ) -> AfterVerdict {
        debug_assert_eq!(self.state, State::AwaitVerdict, "invariant: asked for");
        frame::encode_verdict(verdict.is_ok(), out);
        match verdict {
            Ok(welcome) => {
                frame::encode_history(welcome.history.lines(), out);
                self.state = State::Joined;
                AfterVerdict::Stay
            }
            Err(_) => {
                self.state = State::Closed;
                AfterVerdict::Close
            }
        }
    }

    fn farewell(violation: &Violation, out: &mut Vec<u8>) {
        match violation {
            // A name that breaks the rules is refused as a taken one is.
            Violation::NegativeLength {
                field: Field::Name, ..
            }
            | Violation::LengthOverLimit {
                field: Field::Name, ..
            }
            | Violation::NotUtf8 { field: Field::Name } => frame::encode_verdict(false, out),
            // For the rest the protocol has no words.
            Violation::NotJoin { .. }
            | Violation::JoinedTwice
            | Violation::UnknownNumber { .. }
            | Violation::NotBool { .. }
            | Violation::NegativeLength { .. }
            | Violation::LengthOverLimit { .. }
            | Violation::NotThreeStrings { .. }
            | Violation::NotUtf8 { .. }
            | Violation::AfterTheEnd => {}
        }
    }

    fn patience(&self, partial: usize) -> Patience {
        match (self.state, partial) {
            // Clients of this protocol connect first and ask their person for a name then.
            (State::AwaitJoin, 0) => Patience::Limited(Deadline::FirstWords),
            // Just the number: the person is typing.
            (State::AwaitJoin, 4) => Patience::Limited(Deadline::Name),
            (State::Joined, 0) | (State::AwaitVerdict | State::Closed, _) => Patience::ForEver,
            (State::AwaitJoin | State::Joined, _) => Patience::Limited(Deadline::Frame),
        }
    }
}

/// Appends an event as a member of this protocol hears it; most it does not hear of at all.
pub fn encode_event(event: &Event<'_>, out: &mut Vec<u8>) {
    match event {
        Event::Said { from, text, time } => frame::encode_said(*time, from, &public(text), out),
        Event::Direct { from, text, time } => {
            frame::encode_said(*time, from, &[PRIVATE_MARK, text], out);
        }
        Event::Notice { text, time } => frame::encode_said(*time, SERVER_NAME, &[text], out),
        Event::Arrived { .. } | Event::Left { .. } | Event::NameAsked | Event::RoomClosed => {}
    }
}

/// What a connection is told that there is no room for at all: it is refused like a taken name.
pub const NO_ROOM: &[u8] = &[0];

fn step<'a, T>(decoded: Decoded<T>, request: impl FnOnce(T) -> Request<'a>) -> Step<'a> {
    match decoded {
        Decoded::NeedMore { needed } => Step::NeedMore { needed },
        Decoded::Done { frame, used } => Step::Frame {
            used,
            request: Some(request(frame)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::History;
    use crate::protocol::Secret;

    fn join(name: &str) -> Vec<u8> {
        let mut out = Vec::new();
        frame::encode_join(name, &mut out);
        out
    }

    fn say(time: &str, text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        frame::encode_say(TimeOfDay::parse(time).unwrap(), "x", text, &mut out);
        out
    }

    fn welcome(history: &History) -> Welcome<'_> {
        Welcome {
            history,
            members: &(),
            secret: Secret::new([0; 16]),
        }
    }

    fn joined() -> Session {
        let mut session = Session::new();
        session
            .handle_bytes(&join("alice"), &mut Vec::new())
            .unwrap();
        let history = History::default();
        session.handle_verdict(Ok(welcome(&history)), &mut Vec::new());
        session
    }

    #[test]
    fn join_verdict_say() {
        let mut session = Session::new();
        assert_eq!(
            session.handle_bytes(&join("alice"), &mut Vec::new()),
            Ok(Step::Frame {
                used: 13,
                request: Some(Request::Enter {
                    choice: Choice::Lobby,
                    name: "alice",
                    contact: Contact::NONE,
                })
            })
        );
        let mut history = History::default();
        history.push(TimeOfDay::MIDNIGHT, "bob", "hi");
        let mut out = Vec::new();
        let stay = session.handle_verdict(Ok(welcome(&history)), &mut out);
        assert_eq!(stay, AfterVerdict::Stay);
        assert_eq!(out[..9], [1, 0x73, 1, 0, 0, 1, 0, 0, 0]);
        let bytes = say("12:00:00", "hi");
        let Ok(Step::Frame {
            request:
                Some(Request::Say {
                    text,
                    time,
                    claimed: Some("x"),
                }),
            ..
        }) = session.handle_bytes(&bytes, &mut Vec::new())
        else {
            panic!("not taken as something said");
        };
        assert_eq!((text, time), ("hi", TimeOfDay::parse("12:00:00")));
    }

    #[test]
    fn a_history_cannot_forge_a_direct_message_either() {
        let mut history = History::default();
        history.push(TimeOfDay::MIDNIGHT, "bob", "(private) forged");
        let mut session = Session::new();
        session
            .handle_bytes(&join("alice"), &mut Vec::new())
            .unwrap();
        let mut out = Vec::new();
        session.handle_verdict(Ok(welcome(&history)), &mut out);
        assert!(out.ends_with(b"\x11\0\0\0 (private) forged"));
    }

    #[test]
    fn a_refused_name_is_told_and_closed() {
        let mut session = Session::new();
        session
            .handle_bytes(&join("alice"), &mut Vec::new())
            .unwrap();
        let mut out = Vec::new();
        let after = session.handle_verdict(Err(Refusal::NameTaken), &mut out);
        assert_eq!((after, out), (AfterVerdict::Close, vec![0]));
        assert_eq!(
            session.handle_bytes(&join("bob"), &mut Vec::new()),
            Err(Violation::AfterTheEnd)
        );
    }

    #[test]
    fn violations_end_it_and_only_broken_names_are_answered() {
        let farewell = |violation: Violation| {
            let mut out = Vec::new();
            Session::farewell(&violation, &mut out);
            out
        };
        let mut session = Session::new();
        let violation = session
            .handle_bytes(&say("00:00:00", "hi"), &mut Vec::new())
            .unwrap_err();
        assert_eq!(violation, Violation::NotJoin { got: 472 });
        assert!(farewell(violation).is_empty());
        assert_eq!(
            session.handle_bytes(&join("a"), &mut Vec::new()),
            Err(Violation::AfterTheEnd)
        );

        let violation = Session::new()
            .handle_bytes(&join(&"x".repeat(65)), &mut Vec::new())
            .unwrap_err();
        assert_eq!(farewell(violation), [0]);
        let violation = joined()
            .handle_bytes(&join("alice"), &mut Vec::new())
            .unwrap_err();
        assert_eq!(
            (violation, farewell(violation)),
            (Violation::JoinedTwice, vec![])
        );
        let violation = joined()
            .handle_bytes(&[9, 0, 0, 0], &mut Vec::new())
            .unwrap_err();
        assert_eq!(violation, Violation::UnknownNumber { got: 9 });
    }

    #[test]
    fn a_wrong_number_is_a_violation_before_its_frame_is_whole() {
        assert_eq!(
            Session::new().handle_bytes(b"GET ", &mut Vec::new()),
            Err(Violation::NotJoin { got: 0x2054_4547 })
        );
    }

    #[test]
    fn patience_knows_people_from_attacks() {
        let limited = Patience::Limited;
        let fresh = Session::new();
        assert_eq!(fresh.patience(0), limited(Deadline::FirstWords));
        assert_eq!(fresh.patience(4), limited(Deadline::Name));
        for partial in [1, 5, 40] {
            assert_eq!(fresh.patience(partial), limited(Deadline::Frame));
        }
        let joined = joined();
        assert_eq!(joined.patience(0), Patience::ForEver);
        for partial in [1, 4] {
            assert_eq!(joined.patience(partial), limited(Deadline::Frame));
        }
    }

    #[test]
    fn events_as_this_protocol_hears_them() {
        let heard = |event: Event<'_>| {
            let mut out = Vec::new();
            encode_event(&event, &mut out);
            String::from_utf8_lossy(out.get(31..).unwrap_or_default()).into_owned()
        };
        let (from, time) = ("bob", TimeOfDay::MIDNIGHT);
        assert_eq!(
            heard(Event::Said {
                from,
                text: "hi",
                time
            }),
            "hi"
        );
        assert_eq!(
            heard(Event::Direct {
                from,
                text: "hi",
                time
            }),
            "(private) hi"
        );
        assert_eq!(
            heard(Event::Said {
                from,
                text: "(private) hi",
                time
            }),
            " (private) hi"
        );
        assert_eq!(
            heard(Event::Said {
                from,
                text: "(private)",
                time
            }),
            " (private)"
        );
        assert_eq!(
            heard(Event::Arrived {
                name: "bob",
                contact: Contact::NONE
            }),
            ""
        );
        assert_eq!(
            heard(Event::Left {
                name: "bob",
                contact: Contact::NONE
            }),
            ""
        );
    }
}
