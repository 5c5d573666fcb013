//! Owns one peer's request over TCP as the server sees it. Knows no socket, no clock, no other peer.
//!
//! ```text
//!                 create, join
//!  AwaitRequest ───────────────▶ AwaitVerdict
//!       │                             │ both answers
//!       │ violation                   ▼
//!       └──────────────────────────▶ Closed
//! ```

use super::frame::{self, Head, Operation, Rule, Violation};
use crate::chat::{Choice, Refusal, Request};
use crate::protocol::{AfterVerdict, Deadline, Decoded, Patience, ServerSession, Step, Welcome};

/// The server half of one connection.
#[derive(Debug, Default)]
pub struct Session {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    AwaitRequest,
    /// Boxed, for it lasts a moment and every connection has room for its session.
    AwaitVerdict(Box<Repeated>),
    #[default]
    Closed,
}

/// What the answers repeat.
#[derive(Debug)]
struct Repeated {
    head: Head,
    room: Box<str>,
}

impl Session {
    /// For a connection just accepted.
    pub fn new() -> Session {
        Session {
            state: State::AwaitRequest,
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
        match std::mem::take(&mut self.state) {
            State::AwaitRequest => match frame::decode_request(input)? {
                Decoded::NeedMore { needed } => {
                    self.state = State::AwaitRequest;
                    Ok(Step::NeedMore { needed })
                }
                Decoded::Done { frame, used } => {
                    self.state = State::AwaitVerdict(Box::new(Repeated {
                        head: frame.head(),
                        room: frame.room.into(),
                    }));
                    let choice = match frame.operation {
                        Operation::Create => Choice::Create(frame.room),
                        Operation::Join => Choice::Join(frame.room),
                    };
                    let name = frame.username;
                    Ok(Step::Frame {
                        used,
                        request: Some(Request::Reserve { choice, name }),
                    })
                }
            },
            State::AwaitVerdict(_) | State::Closed => Err(Violation {
                head: None,
                rule: Rule::AfterTheEnd,
            }),
        }
    }

    fn handle_verdict(
        &mut self,
        verdict: Result<Welcome<'_>, Refusal>,
        out: &mut Vec<u8>,
    ) -> AfterVerdict {
        match std::mem::take(&mut self.state) {
            State::AwaitVerdict(repeated) => match verdict {
                Ok(welcome) => {
                    frame::encode_answers(repeated.head, &repeated.room, Ok(welcome.secret), out);
                }
                Err(refusal) => {
                    let error = refusal.to_string();
                    frame::encode_answers(repeated.head, &repeated.room, Err(&error), out);
                }
            },
            State::AwaitRequest | State::Closed => {
                debug_assert!(false, "invariant: asked for");
            }
        }
        AfterVerdict::Close
    }

    fn farewell(violation: &Violation, out: &mut Vec<u8>) {
        // Without the room's name: it may be what is broken, or may not be there.
        if let Some(head) = violation.head {
            frame::encode_answers(head, "", Err(&violation.to_string()), out);
        }
    }

    fn patience(&self, _: usize) -> Patience {
        match self.state {
            // Clients of this protocol have asked their person for everything before they connect.
            State::AwaitRequest => Patience::Limited(Deadline::FirstFrame),
            State::AwaitVerdict(_) | State::Closed => Patience::ForEver,
        }
    }
}

/// What a connection is told that there is no room for at all: nothing, for before its request there is
/// nothing to answer.
pub const NO_ROOM: &[u8] = &[];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{AskedName, History, NameError};
    use crate::protocol::tcrp::frame::{Answer, Form};
    use crate::protocol::{Hidden, Secret};

    fn request(form: Form, operation: Operation) -> Vec<u8> {
        let mut out = Vec::new();
        frame::encode_request(form, operation, "tea", "alice", &mut out);
        out
    }

    fn answers(bytes: &[u8], form: Form) -> Vec<Answer> {
        let mut rest = bytes;
        let mut answers = Vec::new();
        while let Ok(Decoded::Done { frame, used }) = frame::decode_answer(rest, form) {
            answers.push(frame);
            rest = &rest[used..];
        }
        assert!(rest.is_empty(), "bytes that are no answer");
        answers
    }

    fn asked(session: &mut Session, bytes: &[u8]) {
        let step = session.handle_bytes(bytes, &mut Vec::new());
        assert!(matches!(step, Ok(Step::Frame { .. })), "{step:?}");
    }

    #[test]
    fn a_request_byte_by_byte_and_its_token() {
        for form in [Form::Long, Form::Short] {
            let mut session = Session::new();
            let bytes = request(form, Operation::Create);
            for length in 0..bytes.len() {
                let step = session.handle_bytes(&bytes[..length], &mut Vec::new());
                assert!(matches!(step, Ok(Step::NeedMore { needed }) if needed > length));
            }
            assert_eq!(
                session.handle_bytes(&bytes, &mut Vec::new()),
                Ok(Step::Frame {
                    used: bytes.len(),
                    request: Some(Request::Reserve {
                        choice: Choice::Create("tea"),
                        name: AskedName::new("alice").unwrap(),
                    }),
                })
            );
            let mut out = Vec::new();
            let history = History::default();
            let after = session.handle_verdict(
                Ok(Welcome {
                    history: &history,
                    members: &(),
                    secret: Secret::new([1; 16]),
                }),
                &mut out,
            );
            assert_eq!(after, AfterVerdict::Close);
            assert_eq!(out[..3], [3, 1, 1], "room_name_size, operation, compliance");
            let token = format!("token_{}", "01".repeat(16));
            let wanted = [
                Answer::Compliance(Ok(())),
                Answer::Complete {
                    token: Hidden(token),
                },
            ];
            assert_eq!(answers(&out, form), wanted);
        }
    }

    #[test]
    fn refusals_have_a_reason_and_no_token() {
        for refusal in [
            Refusal::NameTaken,
            Refusal::RoomExists,
            Refusal::NoSuchRoom,
            Refusal::NotAName(NameError::Forbidden {
                character: '\u{202e}',
            }),
            Refusal::TooManyFromAddress { limit: 16 },
            Refusal::TooManyRooms { limit: 4096 },
            Refusal::TooManyRoomsOfAddress { limit: 64 },
        ] {
            let mut session = Session::new();
            asked(&mut session, &request(Form::Long, Operation::Join));
            let mut out = Vec::new();
            let after = session.handle_verdict(Err(refusal), &mut out);
            assert_eq!(after, AfterVerdict::Close);
            let token = String::new();
            let why = Err(refusal.to_string());
            let wanted = [
                Answer::Compliance(why),
                Answer::Complete {
                    token: Hidden(token),
                },
            ];
            assert_eq!(answers(&out, Form::Long), wanted);
        }
    }

    #[test]
    fn violations_are_answered_in_the_form_of_the_request() {
        let mut bytes = request(Form::Short, Operation::Join);
        bytes[1] = 9;
        let violation = Session::new()
            .handle_bytes(&bytes, &mut Vec::new())
            .unwrap_err();
        let mut out = Vec::new();
        Session::farewell(&violation, &mut out);
        assert_eq!(out[..3], [0, 9, 1]);
        let why = Err("unknown operation 9".to_string());
        assert_eq!(answers(&out, Form::Short)[0], Answer::Compliance(why));
    }

    #[test]
    fn there_is_one_request() {
        let mut session = Session::new();
        let bytes = request(Form::Long, Operation::Join);
        asked(&mut session, &bytes);
        session.handle_verdict(Err(Refusal::NoSuchRoom), &mut Vec::new());
        let violation = session.handle_bytes(&bytes, &mut Vec::new()).unwrap_err();
        assert_eq!(violation.rule, Rule::AfterTheEnd);
        let mut out = Vec::new();
        Session::farewell(&violation, &mut out);
        assert!(out.is_empty());
    }

    #[test]
    fn a_request_has_one_deadline_in_all() {
        let mut session = Session::new();
        let before = session.patience(0);
        assert_eq!(before, Patience::Limited(Deadline::FirstFrame));
        assert_eq!(session.patience(31), before, "more bytes are no more time");
        asked(&mut session, &request(Form::Long, Operation::Join));
        assert_eq!(session.patience(0), Patience::ForEver);
    }

    #[test]
    fn a_session_is_small() {
        assert!(size_of::<Session>() <= 16);
    }
}
