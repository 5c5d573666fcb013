//! Owns one address's conversation as the server sees it. Knows no socket, no clock, no other address.
//!
//! ```text
//!            UN| name                 let in             PM| DM| text
//!  Stranger ──────────▶ AwaitVerdict ────────▶ Joined ────────┐
//!     ▲                      │                  │  ▲          │
//!     │       refused        │      EX|         │  └──────────┘
//!     └──────────────────────┴──────────────────┘
//! ```

use super::frame::{self, Asked, Heard};
use crate::chat::{
    Choice, Contact, Event, Name, Refusal, Request, SERVER_NAME, Said, cut, harmless,
};
use crate::protocol::{AfterVerdict, Answer, DatagramSession, Datagrams, Dropped};

/// A refused stranger is sent at most this many times the bytes that it sent: its address may be forged.
const AMPLIFICATION: usize = 3;

/// What somebody reads whose `DM|` names no receiver. It went to nobody.
const DIRECT_USAGE: &str = "[not sent: DM| name> receiver: text]";

/// What somebody reads who speaks faster than it may.
const TOO_FAST: &str = "[too fast, not said]";

/// The server half for one address.
#[derive(Debug, Default)]
pub struct Session {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Stranger,
    AwaitVerdict {
        name: Name,
        /// What it may be sent if it is refused.
        allowance: usize,
    },
    Joined {
        name: Name,
        /// The direct message that the hub has just been given: it is repeated to its sender.
        direct: Option<Box<Direct>>,
    },
}

/// Who was to be told what, already harmless.
#[derive(Debug)]
struct Direct {
    to: String,
    text: String,
}

impl Session {
    /// For an address that nothing is known of.
    pub fn new() -> Session {
        Session::default()
    }

    fn handle_stranger<'a>(
        &mut self,
        length: usize,
        asked: Asked<'a>,
        out: &mut Datagrams,
    ) -> Result<Option<Request<'a>>, Dropped> {
        let allowance = length.saturating_mul(AMPLIFICATION);
        match asked {
            Asked::Join { name } => match Name::parse(name) {
                Ok(parsed) => {
                    self.state = State::AwaitVerdict {
                        name: parsed,
                        allowance,
                    };
                    Ok(Some(Request::Enter {
                        choice: Choice::Lobby,
                        name,
                        contact: Contact::NONE,
                    }))
                }
                Err(_) => {
                    answer_within(allowance, &Heard::NotAName, out);
                    Ok(None)
                }
            },
            Asked::Leave => Ok(None),
            // As a server of this protocol answers: were it answered, two of them would go on for ever.
            Asked::Plain { text } if text.starts_with('[') => Err(Dropped::forged(
                "from a stranger, and like an answer of a server's",
            )),
            Asked::Say { .. }
            | Asked::Direct { .. }
            | Asked::DirectToNobody
            | Asked::Plain { .. } => {
                answer_within(length, &Heard::JoinFirst, out);
                Ok(None)
            }
        }
    }
}

impl DatagramSession for Session {
    fn handle_datagram<'a>(
        &mut self,
        datagram: &'a [u8],
        out: &mut Datagrams,
    ) -> Result<Option<Request<'a>>, Dropped> {
        let asked = frame::decode_asked(datagram)
            .map_err(|violation| Dropped::malformed(violation.why()))?;
        let (name, direct) = match &mut self.state {
            State::Stranger => return self.handle_stranger(datagram.len(), asked, out),
            State::AwaitVerdict { .. } => {
                return Err(Dropped::out_of_turn("before the verdict on its name"));
            }
            State::Joined { name, direct } => (name, direct),
        };
        match asked {
            Asked::Join { name: wanted } => {
                let name = name.as_str();
                let answer = match Name::parse(wanted) {
                    Ok(wanted) if wanted.same_as(name) => Heard::Joined { name },
                    Ok(_) => Heard::YouAre { name },
                    Err(_) => Heard::NotAName,
                };
                frame::encode_heard(&answer, out);
                Ok(None)
            }
            Asked::Say { text: "", .. } | Asked::Plain { text: "" } => Ok(None),
            // A server's answer to one it does not know: somebody has joined in its name. It would answer whatever it
            // is sent, for ever.
            Asked::Plain { text } if text == frame::JOIN_FIRST => Ok(Some(Request::Leave)),
            Asked::Say { claimed, text } => Ok(Some(Request::Say {
                text,
                time: None,
                claimed,
            })),
            Asked::Plain { text } => Ok(Some(Request::Say {
                text,
                time: None,
                claimed: None,
            })),
            Asked::Direct { text: "", .. } => Ok(None),
            Asked::Direct { claimed, to, text } => {
                *direct = Some(Box::new(Direct {
                    to: harmless(to).into_owned(),
                    text: harmless(text).into_owned(),
                }));
                Ok(Some(Request::Direct { to, text, claimed }))
            }
            Asked::DirectToNobody => {
                frame::encode_heard(&Heard::Other { text: DIRECT_USAGE }, out);
                Ok(None)
            }
            Asked::Leave => Ok(Some(Request::Leave)),
        }
    }

    fn handle_answer(&mut self, answer: Answer<'_>, out: &mut Datagrams) -> AfterVerdict {
        match (std::mem::take(&mut self.state), answer) {
            (State::AwaitVerdict { name, .. }, Answer::Entered(_)) => {
                // The others were told by the hub.
                let joined = Heard::Joined {
                    name: name.as_str(),
                };
                frame::encode_heard(&joined, out);
                self.state = State::Joined { name, direct: None };
                AfterVerdict::Stay
            }
            (State::AwaitVerdict { name, allowance }, Answer::Refused(refusal)) => {
                refuse(refusal, name.as_str(), allowance, out);
                AfterVerdict::Close
            }
            (State::Joined { name, direct }, Answer::Said(said)) => {
                match (said, direct) {
                    (Said::TooFast, _) => {
                        frame::encode_heard(&Heard::Other { text: TOO_FAST }, out);
                    }
                    (said, Some(direct)) => confirm(said, &direct, out),
                    // The echo confirms it.
                    (_, None) => {}
                }
                self.state = State::Joined { name, direct: None };
                AfterVerdict::Stay
            }
            (State::Joined { .. }, Answer::Gone) => AfterVerdict::Close,
            // Not an answer to anything that was asked in this state.
            (state, _) => {
                debug_assert!(false, "invariant: only what was asked is answered");
                self.state = state;
                AfterVerdict::Stay
            }
        }
    }

    /// There is no proof in this protocol; the pace at which an address is sent to stands for it.
    fn is_proven(&self) -> bool {
        true
    }
}

/// Adds an event as a member of this protocol hears it.
pub fn encode_event(event: &Event<'_>, out: &mut Datagrams) {
    let heard = match *event {
        Event::Said { from, text, .. } => Heard::Message { from, text },
        Event::Direct { from, text, .. } => Heard::Direct { from, text },
        Event::Arrived { name, .. } => Heard::Joined { name },
        Event::Left { name, .. } => Heard::Left { name },
        Event::NameAsked => Heard::NameAsked,
        // No line in brackets: of those a member can forge some, who is called `[note` and says `this]`.
        Event::Notice { text, .. } => Heard::Message {
            from: SERVER_NAME,
            text,
        },
        Event::RoomClosed => return,
    };
    frame::encode_heard(&heard, out);
}

fn refuse(refusal: Refusal, name: &str, allowance: usize, out: &mut Datagrams) {
    let text;
    let heard = match refusal {
        Refusal::NameTaken => Heard::Taken { name },
        Refusal::NotAName(_) => Heard::NotAName,
        // So short that whoever asks for a name of one letter may be told.
        Refusal::Draining => Heard::Other {
            text: "[stopping soon]",
        },
        Refusal::RoomExists
        | Refusal::NoSuchRoom
        | Refusal::RoomFull { .. }
        | Refusal::TooManyRooms { .. }
        | Refusal::TooManyRoomsOfAddress { .. }
        | Refusal::Denied
        | Refusal::TryAgain { .. }
        | Refusal::Busy
        | Refusal::NotSaved
        | Refusal::TooManyFromAddress { .. } => {
            text = format!("[{refusal}]");
            Heard::Other { text: &text }
        }
    };
    answer_within(allowance, &heard, out);
}

fn confirm(said: Said, direct: &Direct, out: &mut Datagrams) {
    let to = cut(&direct.to, crate::chat::MAX_NAME_BYTES);
    let heard = match said {
        Said::ToOthers(_) => Heard::DirectSent {
            to,
            text: &direct.text,
        },
        Said::NobodyThere => Heard::NotOnline { name: to },
        Said::Nothing | Said::TooFast => return,
    };
    frame::encode_heard(&heard, out);
}

/// Answers, if the answer is no longer than this.
fn answer_within(limit: usize, heard: &Heard<'_>, out: &mut Datagrams) {
    let mut answer = Datagrams::new();
    frame::encode_heard(heard, &mut answer);
    if answer.total_bytes() <= limit {
        answer
            .iter()
            .for_each(|line| out.push(|out| out.extend_from_slice(line)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chat::{History, NameError, TimeOfDay};
    use crate::protocol::{Secret, Welcome};

    /// A session, and how one talks with it: each step answers with what was sent.
    struct Peer {
        session: Session,
    }

    fn lines(out: &Datagrams) -> Vec<String> {
        let text = |line: &[u8]| String::from_utf8(line.to_vec()).unwrap();
        out.iter().map(text).collect()
    }

    impl Peer {
        fn new() -> Peer {
            Peer {
                session: Session::new(),
            }
        }

        fn joined() -> Peer {
            let mut peer = Peer::new();
            assert_eq!(peer.says("UN| Alice"), Vec::<String>::new());
            assert_eq!(peer.let_in(), ["[Alice joined the server]"]);
            peer
        }

        /// What a datagram is answered with at once.
        fn says(&mut self, datagram: &str) -> Vec<String> {
            let mut out = Datagrams::new();
            let _ = self.session.handle_datagram(datagram.as_bytes(), &mut out);
            lines(&out)
        }

        fn asks<'a>(&mut self, datagram: &'a str) -> Option<Request<'a>> {
            let mut out = Datagrams::new();
            let asked = self.session.handle_datagram(datagram.as_bytes(), &mut out);
            assert!(out.is_empty(), "{datagram:?}");
            asked.unwrap()
        }

        fn hears(&mut self, answer: Answer<'_>) -> Vec<String> {
            let mut out = Datagrams::new();
            self.session.handle_answer(answer, &mut out);
            lines(&out)
        }

        fn let_in(&mut self) -> Vec<String> {
            self.hears(Answer::Entered(Welcome {
                history: &History::default(),
                members: &(),
                secret: Secret::new([0; 16]),
            }))
        }
    }

    const NONE: [&str; 0] = [];

    fn say<'a>(claimed: Option<&'a str>, text: &'a str) -> Option<Request<'a>> {
        let time = None;
        Some(Request::Say {
            text,
            time,
            claimed,
        })
    }

    #[test]
    fn join_speak_leave() {
        let mut peer = Peer::new();
        assert_eq!(
            peer.asks("UN| Alice"),
            Some(Request::Enter {
                choice: Choice::Lobby,
                name: "Alice",
                contact: Contact::NONE
            })
        );
        assert_eq!(peer.let_in(), ["[Alice joined the server]"]);
        assert_eq!(peer.asks("PM| Alice: hi"), say(Some("Alice"), "hi"));
        assert_eq!(peer.hears(Answer::Said(Said::ToOthers(3))), NONE);
        assert_eq!(peer.asks("EX| bye"), Some(Request::Leave));
        let mut out = Datagrams::new();
        let after = peer.session.handle_answer(Answer::Gone, &mut out);
        assert_eq!((after, out.len()), (AfterVerdict::Close, 0));
        assert_eq!(peer.says("EX| bye"), NONE, "a stranger again");
    }

    #[test]
    fn asked_again_it_is_answered_to_the_asker_alone() {
        let mut peer = Peer::joined();
        assert_eq!(peer.says("UN| alice"), ["[Alice joined the server]"]);
        assert_eq!(peer.says("UN| bob"), ["[you are Alice]"]);
        assert_eq!(peer.says("UN| a b"), ["[not a name]"]);
    }

    #[test]
    fn a_forged_name_is_not_believed_and_plain_text_is_said() {
        let mut peer = Peer::joined();
        let table = [
            ("PM| bob: hi", Some("bob"), "hi"),
            ("pm|hi", None, "hi"),
            ("PM| no name: hi", None, "no name: hi"),
            ("hello", None, "hello"),
            ("XY| hello\r\n", None, "XY| hello"),
            ("[bob left the server]", None, "[bob left the server]"),
        ];
        for (datagram, claimed, text) in table {
            assert_eq!(peer.asks(datagram), say(claimed, text), "{datagram:?}");
            assert_eq!(peer.hears(Answer::Said(Said::ToOthers(1))), NONE);
        }
        for nothing in ["", "\r\n", "PM| Alice: ", "PM|", "DM| Alice> bob: "] {
            assert_eq!(peer.asks(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn direct_messages_are_confirmed() {
        let mut peer = Peer::joined();
        let (to, text) = ("bob", "h\u{7}i");
        let claimed = Some("Alice");
        let direct = Some(Request::Direct { to, text, claimed });
        assert_eq!(peer.asks("DM| Alice> bob: h\u{7}i"), direct);
        let sent = peer.hears(Answer::Said(Said::ToOthers(1)));
        assert_eq!(sent, ["[DM to bob] h\u{fffd}i"]);
        assert_eq!(peer.asks("DM| Alice> bob: h\u{7}i"), direct);
        let gone = peer.hears(Answer::Said(Said::NobodyThere));
        assert_eq!(gone, ["[bob is not online]"]);
        // Nothing is kept of it.
        assert_eq!(peer.asks("hello"), say(None, "hello"));
        assert_eq!(peer.hears(Answer::Said(Said::ToOthers(1))), NONE);
        // What was meant for one never goes to all.
        assert_eq!(peer.says("DM| bob hi"), [DIRECT_USAGE]);
    }

    #[test]
    fn two_servers_do_not_talk_with_each_other_for_ever() {
        let mut out = Datagrams::new();
        let first = Session::new().handle_datagram(b"anything that is long enough", &mut out);
        assert_eq!(first, Ok(None));
        let answer = out.iter().next().unwrap().to_vec();
        out.clear();
        assert!(Session::new().handle_datagram(&answer, &mut out).is_err());
        assert!(out.is_empty());
    }

    #[test]
    fn a_stranger_is_told_little_and_never_much_more_than_it_said() {
        let table: [(&str, &[&str]); 8] = [
            ("hello", &[]),
            ("a text of 22 bytes ...", &["[join first: UN| name]"]),
            ("PM| alice: 22 bytes it", &["[join first: UN| name]"]),
            ("EX| anything as long as it likes", &[]),
            ("UN| a b", &["[not a name]"]),
            ("UN|:", &["[not a name]"]),
            ("UN|", &[]),
            ("", &[]),
        ];
        for (datagram, answer) in table {
            let mut peer = Peer::new();
            assert_eq!(peer.says(datagram), answer, "{datagram:?}");
            assert!(matches!(peer.session.state, State::Stranger));
        }
    }

    #[test]
    fn refusals_have_their_words() {
        let table = [
            (Refusal::NameTaken, "[alice is taken]"),
            (Refusal::NotAName(NameError::Empty), "[not a name]"),
            (Refusal::Busy, "[busy, try again]"),
            (Refusal::TryAgain { seconds: 1 }, "[try again in 1 s]"),
        ];
        for (refusal, line) in table {
            let mut peer = Peer::new();
            peer.says("UN| alice");
            assert_eq!(peer.hears(Answer::Refused(refusal)), [line]);
            assert!(matches!(peer.session.state, State::Stranger));
        }
        let mut peer = Peer::new();
        peer.says("UN| a");
        let limit = 5;
        let refused = peer.hears(Answer::Refused(Refusal::TooManyFromAddress { limit }));
        assert_eq!(refused, NONE, "more than three times what it sent");
    }

    #[test]
    fn what_cannot_be_read_is_dropped() {
        for (mut peer, length) in [(Peer::new(), 1025), (Peer::joined(), 2000)] {
            let mut out = Datagrams::new();
            let long = vec![b'x'; length];
            assert!(peer.session.handle_datagram(&long, &mut out).is_err());
            assert!(peer.session.handle_datagram(b"\xff", &mut out).is_err());
            assert!(out.is_empty());
        }
    }

    #[test]
    fn events_as_this_protocol_hears_them() {
        let (from, text, time) = ("bob", "hi", TimeOfDay::MIDNIGHT);
        let (name, contact) = (from, Contact::NONE);
        let table = [
            (Event::Said { from, text, time }, "bob: hi"),
            (Event::Direct { from, text, time }, "[DM] bob: hi"),
            (Event::Arrived { name, contact }, "[bob joined the server]"),
            (Event::Left { name, contact }, "[bob left the server]"),
            (Event::NameAsked, "[somebody asks for your name]"),
        ];
        for (event, line) in table {
            let mut out = Datagrams::new();
            encode_event(&event, &mut out);
            assert_eq!(lines(&out), [line]);
        }
        let mut out = Datagrams::new();
        encode_event(&Event::RoomClosed, &mut out);
        assert!(out.is_empty());
    }

    #[test]
    fn an_idle_member_is_small() {
        assert!(size_of::<Session>() <= 40, "{}", size_of::<Session>());
    }

    proptest! {
        #[test]
        fn r13_a_stranger_never_gets_more_than_three_times_its_bytes(
            datagram in "(UN\\||PM\\||DM\\||EX\\|| )?[ -~é\u{7}]{0,80}",
            refused in 0usize..4,
        ) {
            let mut session = Session::new();
            let mut out = Datagrams::new();
            if let Ok(Some(_)) = session.handle_datagram(datagram.as_bytes(), &mut out) {
                let refusal = [
                    Refusal::NameTaken,
                    Refusal::RoomFull { limit: 19_000 },
                    Refusal::TooManyFromAddress { limit: 64 },
                    Refusal::Busy,
                ][refused];
                session.handle_answer(Answer::Refused(refusal), &mut out);
            }
            prop_assert!(out.total_bytes() <= 3 * datagram.len());
        }

        #[test]
        fn whatever_a_member_sends_its_answers_keep_the_limit_and_are_harmless(
            datagrams in proptest::collection::vec("(UN\\||PM\\||DM\\|(a>)? ?b: ?)?[\\x00-\\x{ff}]{0,500}", 0..8),
            online in any::<bool>(),
        ) {
            let mut peer = Peer::joined();
            let mut out = Datagrams::new();
            for datagram in &datagrams {
                let said = if online { Said::ToOthers(1) } else { Said::NobodyThere };
                let asked = peer.session.handle_datagram(datagram.as_bytes(), &mut out);
                if let Ok(Some(Request::Say { .. } | Request::Direct { .. })) = asked {
                    peer.session.handle_answer(Answer::Said(said), &mut out);
                }
            }
            for line in out.iter() {
                prop_assert!(line.len() <= frame::MAX_DATAGRAM_BYTES);
                let line = std::str::from_utf8(line).unwrap();
                prop_assert_eq!(harmless(line), line);
            }
        }
    }
}
