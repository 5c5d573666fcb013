//! Owns the conversation of one token's holder over UDP as the server sees it. Knows no socket, no clock, no other
//! member, and neither the token nor the addresses: whoever calls it has looked those up.
//!
//! ```text
//!         __REGISTER__, let in
//!  Silent ────────────────────▶ Registered ──┐ text, __REGISTER__ again
//!     │                             │  ▲      │
//!     │ __LEAVE__                   │  └──────┘
//!     ▼                             ▼ __LEAVE__
//!   (gone: whoever holds it drops it)
//! ```

use super::datagram::{self, LEAVE, REGISTER, ROOM_CLOSED, ToServer};
use crate::chat::{Event, MAX_TEXT_BYTES, Name, Request, SERVER_NAME};
use crate::protocol::{AfterVerdict, Answer, DatagramSession, Datagrams, Dropped, Secret};

/// The server half of one token's conversation.
#[derive(Debug)]
pub struct Member {
    room: Name,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Silent,
    Registered,
}

impl Member {
    /// For a token just given out for a room of that name.
    pub fn new(room: &Name) -> Member {
        Member {
            room: room.clone(),
            state: State::Silent,
        }
    }

    /// Whose a datagram claims to be. `None` is nobody's: drop it.
    pub fn token(datagram: &[u8]) -> Option<Secret> {
        datagram::claimed_token(datagram)
    }
}

impl DatagramSession for Member {
    fn handle_datagram<'a>(
        &mut self,
        datagram: &'a [u8],
        _: &mut Datagrams,
    ) -> Result<Option<Request<'a>>, Dropped> {
        let ToServer { room, text, .. } = datagram::decode_to_server(datagram)?;
        if !self.room.same_as(room) {
            return Err(Dropped::forged("a token of another room"));
        }
        match (self.state, text) {
            (State::Silent | State::Registered, REGISTER) => Ok(Some(Request::Appear)),
            (State::Silent | State::Registered, LEAVE) => Ok(Some(Request::Leave)),
            (State::Silent, _) => Err(Dropped::out_of_turn("text before __REGISTER__")),
            (State::Registered, "") => Ok(None),
            (State::Registered, text) if text.len() > MAX_TEXT_BYTES => {
                Err(Dropped::malformed("too long a text"))
            }
            (State::Registered, text) => Ok(Some(Request::Say {
                text,
                time: None,
                claimed: None,
            })),
        }
    }

    /// Nothing is ever answered: over UDP a member hears only what is said.
    fn handle_answer(&mut self, answer: Answer<'_>, _: &mut Datagrams) -> AfterVerdict {
        match answer {
            Answer::Entered(_) => {
                self.state = State::Registered;
                AfterVerdict::Stay
            }
            Answer::Gone => AfterVerdict::Close,
            // A refused __REGISTER__ came from where the token may not be used: that changes nothing for its owner.
            Answer::Refused(_) | Answer::Account { .. } | Answer::Members(_) | Answer::Said(_) => {
                AfterVerdict::Stay
            }
        }
    }

    /// The token was given over TCP to the IP that it is used from, so who knows it receives there.
    fn is_proven(&self) -> bool {
        self.state == State::Registered
    }
}

/// Adds an event as a member of this protocol hears it; most it does not hear of at all.
pub fn encode_event(event: &Event<'_>, out: &mut Datagrams) {
    match event {
        Event::Said { from, text, .. } => datagram::encode_said(from, text, out),
        Event::Direct { from, text, .. } => datagram::encode_direct(from, text, out),
        Event::Notice { text, .. } => datagram::encode_said(SERVER_NAME, text, out),
        Event::RoomClosed => out.push(|out| out.extend_from_slice(ROOM_CLOSED)),
        Event::Arrived { .. } | Event::Left { .. } | Event::NameAsked => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Contact, History, Refusal, TimeOfDay};
    use crate::protocol::Welcome;

    const TOKEN: &str = "token_00000000000000000000000000000000";

    fn datagram(room: &str, text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        datagram::encode_to_server(room, TOKEN, text, &mut out);
        out
    }

    fn member() -> Member {
        Member::new(&Name::parse("Tea").unwrap())
    }

    fn answer(member: &mut Member, answer: Answer<'_>) -> AfterVerdict {
        let mut out = Datagrams::new();
        let after = member.handle_answer(answer, &mut out);
        assert!(out.is_empty(), "nothing is answered over UDP");
        after
    }

    /// What a datagram to the room asks for.
    fn asks(member: &mut Member, datagram: &[u8], wanted: Result<Option<Request<'_>>, &str>) {
        let mut out = Datagrams::new();
        let got = member.handle_datagram(datagram, &mut out);
        assert_eq!(got.map_err(|dropped| dropped.why), wanted);
        assert!(out.is_empty(), "nothing is answered over UDP");
    }

    fn registered() -> Member {
        let mut member = member();
        asks(
            &mut member,
            &datagram("tea", REGISTER),
            Ok(Some(Request::Appear)),
        );
        let history = History::default();
        let welcome = Welcome {
            history: &history,
            members: &(),
            secret: Secret::new([0; 16]),
        };
        assert_eq!(
            answer(&mut member, Answer::Entered(welcome)),
            AfterVerdict::Stay
        );
        member
    }

    #[test]
    fn register_talk_register_again_leave() {
        let mut member = registered();
        assert!(member.is_proven());
        let say = Request::Say {
            text: "hi",
            time: None,
            claimed: None,
        };
        asks(&mut member, &datagram("TEA", "hi\r\n"), Ok(Some(say)));
        asks(
            &mut member,
            &datagram("tea", "__REGISTER__\n"),
            Ok(Some(Request::Appear)),
        );
        asks(
            &mut member,
            &datagram("tea", LEAVE),
            Ok(Some(Request::Leave)),
        );
        assert_eq!(answer(&mut member, Answer::Gone), AfterVerdict::Close);
    }

    #[test]
    fn before_registering_only_leaving_is_heard() {
        let mut member = member();
        assert!(!member.is_proven());
        asks(
            &mut member,
            &datagram("tea", "hi"),
            Err("text before __REGISTER__"),
        );
        // A __REGISTER__ from where the token may not be used leaves things as they are.
        asks(
            &mut member,
            &datagram("tea", REGISTER),
            Ok(Some(Request::Appear)),
        );
        assert_eq!(
            answer(&mut member, Answer::Refused(Refusal::Denied)),
            AfterVerdict::Stay
        );
        assert!(!member.is_proven());
        asks(
            &mut member,
            &datagram("tea", "hi"),
            Err("text before __REGISTER__"),
        );
        asks(
            &mut member,
            &datagram("tea", LEAVE),
            Ok(Some(Request::Leave)),
        );
    }

    #[test]
    fn what_is_wrong_is_dropped() {
        let mut member = registered();
        let other = datagram("coffee", "hi");
        asks(&mut member, &other, Err("a token of another room"));
        asks(
            &mut member,
            &datagram("coffee", LEAVE),
            Err("a token of another room"),
        );
        asks(&mut member, &datagram("tea", ""), Ok(None));
        asks(&mut member, &datagram("tea", "\r\n"), Ok(None));
        let long = datagram("tea", &"x".repeat(MAX_TEXT_BYTES + 1));
        asks(&mut member, &long, Err("too long a text"));
        let mut broken = datagram("tea", "hi");
        broken.push(0xff);
        asks(&mut member, &broken, Err("not UTF-8"));
        asks(&mut member, &broken[..9], Err("shorter than its lengths"));
    }

    #[test]
    fn a_token_is_found_in_a_datagram() {
        assert!(Member::token(&datagram("tea", "hi")).is_some());
        assert!(Member::token(b"\x03\x00teahi").is_none());
    }

    #[test]
    fn events_as_this_protocol_hears_them() {
        let mut out = Datagrams::new();
        let (from, time) = ("bob", TimeOfDay::MIDNIGHT);
        let text = "hi";
        encode_event(&Event::Said { from, text, time }, &mut out);
        encode_event(&Event::Direct { from, text, time }, &mut out);
        let (name, contact) = ("bob", Contact::NONE);
        encode_event(&Event::Arrived { name, contact }, &mut out);
        encode_event(&Event::Left { name, contact }, &mut out);
        encode_event(&Event::NameAsked, &mut out);
        encode_event(&Event::RoomClosed, &mut out);
        let wanted = [
            &b"\x03bobhi"[..],
            b"\x03bob(private) hi",
            b"__ROOM_CLOSED__",
        ];
        assert_eq!(out.iter().collect::<Vec<_>>(), wanted);
    }
}
