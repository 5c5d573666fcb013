//! Owns one peer's conversation as the server sees it. Knows no socket, no clock, no other peer.
//!
//! ```text
//!          another frame                    REGISTER               let in
//!  Fresh ────────────────▶ AwaitRegister ───────────▶ AwaitVerdict ──────▶ Joined ──┐
//!    │ REGISTER                  ▲                      ▲   │               ▲       │ BROADCAST
//!    └───────────────────────────┼──────────────────────┘   │ refused       └───────┘
//!                                └──────────────────────────┘
//!                      violation
//!  (from any but Closed) ───────▶ Closed
//! ```

use std::net::{IpAddr, Ipv4Addr};

use super::frame::{self, FromClient, Violation};
use crate::chat::{
    Choice, Contact, Event, MAX_TEXT_BYTES, PRIVATE_MARK, Refusal, Request, SERVER_NAME, public,
};
use crate::protocol::{
    AfterVerdict, Deadline, Decoded, Patience, RollCall, ServerSession, Step, Welcome,
};

/// The server half of one connection.
#[derive(Debug, Default)]
pub struct Session {
    state: State,
    /// How much of the next frame was there when it was not whole: it holds no line's end.
    searched: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Not one frame yet.
    Fresh,
    /// Something came, but nobody is in yet.
    AwaitRegister,
    AwaitVerdict,
    Joined,
    #[default]
    Closed,
}

impl Session {
    /// For a connection just accepted.
    pub fn new() -> Session {
        Session {
            state: State::Fresh,
            searched: 0,
        }
    }

    /// What a frame asks for; or the error that its sender is told, and nothing comes of it.
    fn handle_frame<'a>(
        &mut self,
        frame: FromClient<'a>,
    ) -> Result<Option<Request<'a>>, &'static str> {
        match (self.state, frame) {
            (State::Fresh | State::AwaitRegister, FromClient::Register(participant)) => {
                self.state = State::AwaitVerdict;
                let ip = match participant.ip {
                    Some(IpAddr::V4(ip)) => ip,
                    Some(IpAddr::V6(_)) | None => Ipv4Addr::UNSPECIFIED,
                };
                Ok(Some(Request::Enter {
                    choice: Choice::Lobby,
                    name: participant.nickname,
                    contact: Contact {
                        ip,
                        port: participant.port,
                    },
                }))
            }
            (State::Joined, FromClient::Register(_)) => Err("registered already"),
            (State::Joined, FromClient::Broadcast { text, .. }) if text.len() > MAX_TEXT_BYTES => {
                Err("too long a text, the limit is 4096 bytes")
            }
            (State::Joined, FromClient::Broadcast { text: "", .. }) => Ok(None),
            (State::Joined, FromClient::Broadcast { nickname, text }) => Ok(Some(Request::Say {
                text,
                time: None,
                claimed: Some(nickname),
            })),
            (State::Fresh | State::AwaitRegister, FromClient::Broadcast { .. }) => {
                Err("REGISTER first")
            }
            (
                State::Fresh | State::AwaitRegister | State::Joined,
                FromClient::Malformed { word: "REGISTER" },
            ) => Err("malformed, this is REGISTER:Nickname:IP-Address:UDP-Port"),
            (State::Fresh | State::AwaitRegister | State::Joined, FromClient::Malformed { .. }) => {
                Err("malformed, this is BROADCAST:Nickname:Length:Message")
            }
            (State::Fresh | State::AwaitRegister | State::Joined, FromClient::Unknown) => {
                Err("unknown command")
            }
            (State::AwaitVerdict | State::Closed, _) => Ok(None),
        }
    }
}

impl ServerSession for Session {
    type Violation = Violation;

    fn handle_bytes<'a>(
        &mut self,
        input: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<Step<'a>, Violation> {
        match self.state {
            State::Fresh | State::AwaitRegister | State::Joined => {}
            State::AwaitVerdict | State::Closed => return Err(Violation::AfterTheEnd),
        }
        let searched = usize::from(std::mem::take(&mut self.searched));
        let decoded = frame::decode_from_client(input, searched);
        let decoded = decoded.inspect_err(|_| self.state = State::Closed)?;
        let (frame, used) = match decoded {
            Decoded::Done { frame, used } => (frame, used),
            Decoded::NeedMore { needed } => {
                self.searched = u16::try_from(input.len()).unwrap_or(u16::MAX);
                return Ok(Step::NeedMore { needed });
            }
        };
        let request = self.handle_frame(frame).unwrap_or_else(|error| {
            frame::encode_error(error, out);
            None
        });
        if self.state == State::Fresh {
            self.state = State::AwaitRegister;
        }
        Ok(Step::Frame { used, request })
    }

    fn handle_verdict(
        &mut self,
        verdict: Result<Welcome<'_>, Refusal>,
        out: &mut Vec<u8>,
    ) -> AfterVerdict {
        debug_assert_eq!(self.state, State::AwaitVerdict, "invariant: asked for");
        match verdict {
            // All that it is told is who is in.
            Ok(_) => self.state = State::Joined,
            Err(refusal) => {
                frame::encode_error(&refusal.to_string(), out);
                self.state = State::AwaitRegister;
            }
        }
        AfterVerdict::Stay
    }

    fn handle_too_fast(&mut self, out: &mut Vec<u8>) {
        frame::encode_error("too fast, not said", out);
    }

    fn farewell(violation: &Violation, out: &mut Vec<u8>) {
        frame::encode_error(&violation.to_string(), out);
    }

    fn patience(&self, partial: usize) -> Patience {
        match (self.state, partial) {
            // Clients of this protocol have asked their person for a name before they connect.
            (State::Fresh, _) => Patience::Limited(Deadline::FirstFrame),
            // Who was refused may ask its person for another name.
            (State::AwaitRegister, 0) => Patience::Limited(Deadline::Joining),
            (State::Joined, 0) | (State::AwaitVerdict | State::Closed, _) => Patience::ForEver,
            (State::AwaitRegister | State::Joined, _) => Patience::Limited(Deadline::Frame),
        }
    }
}

/// Appends an event as a member of this protocol hears it.
pub fn encode_event(event: &Event<'_>, out: &mut Vec<u8>) {
    if let Event::Said { text, .. } | Event::Direct { text, .. } | Event::Notice { text, .. } =
        event
    {
        // Existing clients split at every CRLF, whatever the length says.
        debug_assert!(!text.contains(['\r', '\n']), "invariant: made harmless");
    }
    match event {
        Event::Said { from, text, .. } => frame::encode_broadcast(from, &public(text), out),
        Event::Direct { from, text, .. } => {
            frame::encode_broadcast(from, &[PRIVATE_MARK, text], out);
        }
        Event::Arrived { name, contact } => frame::encode_joined(name, *contact, out),
        Event::Left { name, contact } => frame::encode_left(name, *contact, out),
        Event::Notice { text, .. } => frame::encode_broadcast(SERVER_NAME, &[text], out),
        Event::NameAsked | Event::RoomClosed => {}
    }
}

/// `LIST`: all that a newcomer is told.
pub const ROLL_CALL: RollCall = RollCall {
    begin: frame::LIST_BEGIN,
    encode: frame::encode_participant,
    end: frame::LIST_END,
};

/// What a connection is told that there is no room for at all.
pub const NO_ROOM: &[u8] = b"ERROR:18:the server is full\r\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{History, NameError, TimeOfDay};
    use crate::protocol::Secret;

    const BOB: Contact = Contact {
        ip: Ipv4Addr::new(10, 0, 0, 7),
        port: 5000,
    };

    /// Feeds one frame; its request, and what the peer is told at once.
    fn feed<'a>(session: &mut Session, frame: &'a [u8]) -> (Option<Request<'a>>, String) {
        let mut out = Vec::new();
        let Ok(Step::Frame { used, request }) = session.handle_bytes(frame, &mut out) else {
            panic!("not one frame");
        };
        assert_eq!(used, frame.len());
        (request, String::from_utf8(out).unwrap())
    }

    fn told(error: &str) -> (Option<Request<'static>>, String) {
        (None, format!("ERROR:{}:{error}\r\n", error.len()))
    }

    fn let_in(session: &mut Session) -> String {
        let history = History::default();
        let members = &[("amy", Contact::NONE), ("bob", BOB)][..];
        let welcome = Welcome {
            history: &history,
            members: &members,
            secret: Secret::new([0; 16]),
        };
        let mut out = Vec::new();
        let after = session.handle_verdict(Ok(welcome), &mut out);
        assert_eq!(after, AfterVerdict::Stay);
        String::from_utf8(out).unwrap()
    }

    fn joined() -> Session {
        let mut session = Session::new();
        feed(&mut session, b"REGISTER:bob:10.0.0.7:5000\r\n");
        let_in(&mut session);
        session
    }

    #[test]
    fn register_list_broadcast() {
        let mut session = Session::new();
        let (request, out) = feed(&mut session, b"REGISTER:bob:10.0.0.7:5000\r\n");
        let enter = Request::Enter {
            choice: Choice::Lobby,
            name: "bob",
            contact: BOB,
        };
        assert_eq!((request, out.as_str()), (Some(enter), ""));
        assert_eq!(let_in(&mut session), "", "the roll call is everybody's");
        // A forged name is a claim and no more.
        let (request, out) = feed(&mut session, b"BROADCAST:amy:4:hi\r\n\r\n");
        let text = "hi\r\n";
        let (time, claimed) = (None, Some("amy"));
        let say = Request::Say {
            text,
            time,
            claimed,
        };
        assert_eq!(request, Some(say));
        assert_eq!(out, "");
        assert_eq!(
            feed(&mut session, b"BROADCAST:bob:0:\r\n"),
            (None, String::new())
        );
    }

    #[test]
    fn an_address_that_is_none_is_nowhere() {
        for line in [
            &b"REGISTER:bob:fe80::1:5000\r\n"[..],
            b"REGISTER:bob:here:5000\r\n",
        ] {
            let (request, _) = feed(&mut Session::new(), line);
            let Some(Request::Enter { contact, .. }) = request else {
                panic!("not a wish to enter");
            };
            assert_eq!((contact.ip, contact.port), (Ipv4Addr::UNSPECIFIED, 5000));
        }
    }

    #[test]
    fn a_refused_name_may_be_followed_by_another() {
        let mut session = Session::new();
        for refusal in [Refusal::NameTaken, Refusal::NotAName(NameError::Empty)] {
            let (request, _) = feed(&mut session, b"REGISTER:bob:10.0.0.7:5000\r\n");
            assert!(request.is_some());
            let mut out = Vec::new();
            let after = session.handle_verdict(Err(refusal), &mut out);
            assert_eq!(after, AfterVerdict::Stay);
            assert_eq!(
                String::from_utf8(out).unwrap(),
                told(&refusal.to_string()).1
            );
        }
        feed(&mut session, b"REGISTER:rob:10.0.0.7:5000\r\n");
        let_in(&mut session);
        let (request, _) = feed(&mut session, b"BROADCAST:rob:2:hi\r\n");
        assert!(request.is_some());
    }

    #[test]
    fn mistakes_are_told_and_the_connection_stays() {
        let mut session = Session::new();
        let early = feed(&mut session, b"BROADCAST:bob:2:hi\r\n");
        assert_eq!(early, told("REGISTER first"));
        assert_eq!(feed(&mut session, b"HELLO\r\n"), told("unknown command"));
        let (_, out) = feed(&mut session, b"REGISTER:bob\r\n");
        assert!(out.contains("malformed, this is REGISTER:"));

        let mut session = joined();
        let twice = feed(&mut session, b"REGISTER:rob:10.0.0.7:5000\r\n");
        assert_eq!(twice, told("registered already"));
        let long = format!("BROADCAST:bob:4097:{}\r\n", "x".repeat(4097));
        let (request, out) = feed(&mut session, long.as_bytes());
        assert!(request.is_none() && out.contains("too long a text"));
        let (_, out) = feed(&mut session, b"BROADCAST:bob:hi\r\n");
        assert!(out.contains("malformed, this is BROADCAST:"));
        let (request, _) = feed(&mut session, b"BROADCAST:bob:2:hi\r\n");
        assert!(request.is_some(), "after all that");
    }

    #[test]
    fn a_line_without_end_is_the_end() {
        let mut session = joined();
        let line = [b'x'; frame::MAX_FROM_CLIENT];
        let mut out = Vec::new();
        for length in 1..line.len() {
            let step = session.handle_bytes(&line[..length], &mut out);
            assert_eq!(step, Ok(Step::NeedMore { needed: length + 1 }));
        }
        let violation = session.handle_bytes(&line, &mut out).unwrap_err();
        assert_eq!(violation, Violation::OverLimit { limit: 8192 });
        assert!(out.is_empty());
        Session::farewell(&violation, &mut out);
        assert_eq!(out, b"ERROR:24:no end within 8192 bytes\r\n");
        assert_eq!(
            session.handle_bytes(b"\r\n", &mut out),
            Err(Violation::AfterTheEnd)
        );
    }

    #[test]
    fn patience_knows_people_from_attacks() {
        let limited = Patience::Limited;
        let mut session = Session::new();
        let fresh = [0, 1, 40].map(|n| session.patience(n));
        assert_eq!(fresh, [limited(Deadline::FirstFrame); 3]);
        feed(&mut session, b"HELLO\r\n");
        assert_eq!(session.patience(0), limited(Deadline::Joining));
        assert_eq!(session.patience(1), limited(Deadline::Frame));
        let session = joined();
        assert_eq!(session.patience(0), Patience::ForEver);
        assert_eq!(session.patience(1), limited(Deadline::Frame));
    }

    #[test]
    fn events_as_this_protocol_hears_them() {
        let heard = |event: Event<'_>| {
            let mut out = Vec::new();
            encode_event(&event, &mut out);
            String::from_utf8(out).unwrap()
        };
        let (from, time) = ("bob", TimeOfDay::MIDNIGHT);
        let said = |text| heard(Event::Said { from, text, time });
        assert_eq!(said("hi"), "BROADCAST:bob:2:hi\r\n");
        assert_eq!(said("(private) hi"), "BROADCAST:bob:13: (private) hi\r\n");
        let text = "é";
        assert_eq!(
            heard(Event::Direct { from, text, time }),
            "BROADCAST:bob:12:(private) é\r\n"
        );
        let (name, contact) = ("bob", BOB);
        assert_eq!(
            heard(Event::Arrived { name, contact }),
            "UPDATE:JOIN:bob:10.0.0.7:5000\r\n"
        );
        let contact = Contact::NONE;
        assert_eq!(
            heard(Event::Left { name, contact }),
            "UPDATE:LEAVE:bob:0.0.0.0:0\r\n"
        );
        assert_eq!(heard(Event::NameAsked) + &heard(Event::RoomClosed), "");
    }

    #[test]
    fn the_roll_call_is_a_list() {
        let members = [("amy", Contact::NONE), ("bob", BOB)];
        let RollCall { begin, encode, end } = ROLL_CALL;
        let mut called = begin.to_vec();
        for (nickname, contact) in members {
            encode(nickname, contact, &mut called);
        }
        called.extend_from_slice(end);
        assert_eq!(called, b"LIST:amy:0.0.0.0:0:bob:10.0.0.7:5000\r\n");
        let mut list = Vec::new();
        frame::encode_list(&&members[..], &mut list);
        assert_eq!(called, list);
    }

    #[test]
    fn who_finds_no_room_is_told_in_a_frame() {
        let frame = frame::FromServer::Error {
            text: "the server is full",
        };
        let used = NO_ROOM.len();
        assert_eq!(
            frame::decode_from_server(NO_ROOM, 0),
            Ok(Decoded::Done { frame, used })
        );
    }

    #[test]
    fn a_session_is_small() {
        assert!(size_of::<Session>() <= 16);
    }
}
