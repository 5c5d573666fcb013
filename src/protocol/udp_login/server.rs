//! Owns one address's conversation as the server sees it. Knows no socket, no clock, no account.
//!
//! ```text
//!    LOGIN                PASS again
//!   ┌─────┐             ┌───────────┐
//!   │     ▼    PASS     ▼           │   let in          PM DM D PING
//!  Stranger ─────────▶ Hashing ─────┴──────────▶ In ────────┐
//!     ▲                 │   ▲                    │  ▲        │
//!     │         refused ▼   │ PASS, a later seq  │  └────────┘
//!     │                Denied                    │ EX
//!     └──────────────────────────────────────────┘
//! ```
//!
//! What has no session id (`LOGIN`, `PASS`) never moves a session that has one: anybody can forge it. It is
//! answered all the same, whatever its number: who starts again at the same port counts from 1.

use super::frame::{self, Asked, Heard, MAX_PASSWORD_BYTES, Password, Reply, Wants};
use crate::chat::{
    Event, MAX_NAME_BYTES, Name, Refusal, Request, SERVER_NAME, Said, cut, harmless,
};
use crate::protocol::{AfterVerdict, Answer, DatagramSession, Datagrams, Dropped, Secret};

/// The server half for one address.
#[derive(Debug, Default)]
pub struct Session {
    state: State,
    /// The number of the `LOGIN` that is being answered.
    login_seq: u64,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Stranger,
    /// The password is with somebody who takes his time.
    Hashing { seq: u64 },
    /// Kept so that repeats of the same `PASS` are answered without hashing again.
    Denied { seq: u64, refusal: Refusal },
    /// Logged in.
    In(Member),
}

#[derive(Debug)]
struct Member {
    sid: Secret,
    /// Whether a frame came with the right `sid`.
    proven: bool,
    /// What the next `D` is.
    mode: Mode,
    /// The number of the latest request, and what became of it.
    seq: u64,
    latest: Latest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Nothing: `PM` or `DM` comes first.
    Operation,
    /// For all.
    Public,
    /// For one, who is named in it.
    Direct,
}

/// What became of the latest request: asked of the hub, or answered. Answers are kept as what they are made of,
/// which is next to nothing for all that an idle member sends.
#[derive(Debug)]
enum Latest {
    AskedMembers,
    AskedSay,
    AskedDirect {
        to: Box<str>,
    },
    AskedLeave,
    Welcome,
    Ready,
    Pong,
    Sent {
        to: usize,
    },
    NoUser {
        name: Box<str>,
    },
    Users {
        frame: Box<[u8]>,
    },
    ModeFirst,
    /// `ERROR`: it went nowhere.
    TooFast,
    UnknownCommand,
}

impl Session {
    /// For an address that nothing is known of.
    pub fn new() -> Session {
        Session::default()
    }

    /// A `LOGIN` is answered and forgotten, whatever its number: a program that was started again at the same port
    /// counts from 1. While a password is with somebody it waits for the verdict.
    fn handle_login<'a>(
        &mut self,
        seq: u64,
        name: &'a str,
        out: &mut Datagrams,
    ) -> Result<Option<Request<'a>>, Dropped> {
        if let State::Hashing { .. } = self.state {
            return Err(WHILE_HASHING);
        }
        if Name::check(name).is_err() {
            let text = NOT_A_NAME;
            reply(seq, Reply::Error { text }, out);
            return Ok(None);
        }
        self.login_seq = seq;
        Ok(Some(Request::FindAccount { name }))
    }

    fn handle_pass<'a>(
        &mut self,
        seq: u64,
        name: &'a str,
        Password(password): Password<'a>,
        out: &mut Datagrams,
    ) -> Result<Option<Request<'a>>, Dropped> {
        match &self.state {
            State::Stranger => {}
            // A repeat: the answer comes when it is known.
            State::Hashing { seq: pending } if *pending == seq => return Ok(None),
            State::Hashing { .. } => return Err(WHILE_HASHING),
            State::Denied {
                seq: denied,
                refusal,
            } => {
                if seq == *denied {
                    deny(seq, *refusal, out);
                    return Ok(None);
                }
                // A lower number is a program that was started again: an attempt like any other.
            }
            State::In(member) => {
                if seq == member.seq && matches!(member.latest, Latest::Welcome) {
                    member.repeat(out);
                } else {
                    // One session per address, and nothing is hashed to say so.
                    deny(seq, Refusal::Denied, out);
                }
                return Ok(None);
            }
        }
        let wrong = if Name::check(name).is_err() {
            NOT_A_NAME
        } else if password.is_empty() {
            "no password"
        } else if password.len() > MAX_PASSWORD_BYTES {
            "password over 128 bytes"
        } else {
            self.state = State::Hashing { seq };
            return Ok(Some(Request::Authenticate { name, password }));
        };
        reply(seq, Reply::Denied { text: wrong }, out);
        Ok(None)
    }
}

impl Member {
    /// Takes a request that bears the right `sid`.
    fn handle<'a>(
        &mut self,
        seq: u64,
        wants: Wants<'a>,
        out: &mut Datagrams,
    ) -> Result<Option<Request<'a>>, Dropped> {
        self.proven = true;
        if seq < self.seq {
            return Err(OLD);
        }
        if seq == self.seq {
            self.repeat(out);
            return Ok(None);
        }
        let mode = self.mode;
        let (latest, request) = match wants {
            Wants::Public => {
                self.mode = Mode::Public;
                (Latest::Ready, Request::KeepAlive)
            }
            Wants::Direct => {
                self.mode = Mode::Direct;
                (Latest::AskedMembers, Request::Members)
            }
            Wants::Exit => (Latest::AskedLeave, Request::Leave),
            Wants::Ping => (Latest::Pong, Request::KeepAlive),
            Wants::Unknown { .. } => (Latest::UnknownCommand, Request::KeepAlive),
            Wants::Data { rest } => {
                self.mode = Mode::Operation;
                match mode {
                    Mode::Operation => (Latest::ModeFirst, Request::KeepAlive),
                    Mode::Public => {
                        let (text, time, claimed) = (rest, None, None);
                        (
                            Latest::AskedSay,
                            Request::Say {
                                text,
                                time,
                                claimed,
                            },
                        )
                    }
                    Mode::Direct => {
                        let (to, text) = rest.split_once(' ').unwrap_or((rest, ""));
                        let shown = harmless(to);
                        let latest = Latest::AskedDirect {
                            to: cut(&shown, MAX_NAME_BYTES).into(),
                        };
                        (
                            latest,
                            Request::Direct {
                                to,
                                text,
                                claimed: None,
                            },
                        )
                    }
                }
            }
        };
        self.seq = seq;
        self.latest = latest;
        // Nothing, where the hub is asked first.
        self.repeat(out);
        Ok(Some(request))
    }

    /// Takes what became of the request; false where it was none of ours.
    fn handle_answer(&mut self, answer: Answer<'_>) -> bool {
        self.latest = match (std::mem::replace(&mut self.latest, Latest::Pong), answer) {
            (Latest::AskedMembers, Answer::Members(members)) => {
                let mut frame = Vec::new();
                frame::encode_users(self.seq, members, &mut frame);
                Latest::Users {
                    frame: frame.into(),
                }
            }
            (Latest::AskedSay | Latest::AskedDirect { .. }, Answer::Said(Said::ToOthers(to))) => {
                Latest::Sent { to }
            }
            (Latest::AskedDirect { to }, Answer::Said(Said::NobodyThere)) => {
                Latest::NoUser { name: to }
            }
            (Latest::AskedSay | Latest::AskedDirect { .. }, Answer::Said(Said::TooFast)) => {
                Latest::TooFast
            }
            (Latest::AskedSay | Latest::AskedDirect { .. }, Answer::Said(_)) => {
                Latest::Sent { to: 0 }
            }
            (latest, _) => {
                self.latest = latest;
                return false;
            }
        };
        true
    }

    /// Adds the answer to the latest request, if there is one yet.
    fn repeat(&self, out: &mut Datagrams) {
        let answer = match &self.latest {
            Latest::AskedMembers
            | Latest::AskedSay
            | Latest::AskedDirect { .. }
            | Latest::AskedLeave => return,
            Latest::Users { frame } => return out.push(|out| out.extend_from_slice(frame)),
            Latest::Welcome => Reply::Welcome { sid: self.sid },
            Latest::Ready => Reply::Ready,
            Latest::Pong => Reply::Pong,
            Latest::Sent { to } => Reply::Sent { to: *to },
            Latest::NoUser { name } => Reply::NoUser { name },
            Latest::ModeFirst => Reply::Error { text: MODE_FIRST },
            Latest::TooFast => Reply::Error { text: TOO_FAST },
            Latest::UnknownCommand => Reply::Error {
                text: UNKNOWN_COMMAND,
            },
        };
        reply(self.seq, answer, out);
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
        match asked {
            Asked::Login { seq, name } => self.handle_login(seq, name, out),
            Asked::Pass {
                seq,
                name,
                password,
            } => self.handle_pass(seq, name, password, out),
            Asked::Session { seq, sid, wants } => match &mut self.state {
                State::In(member) if sid == Some(member.sid) => member.handle(seq, wants, out),
                State::Stranger | State::Hashing { .. } | State::Denied { .. } | State::In(_) => {
                    gone_within(datagram.len(), seq, out);
                    Ok(None)
                }
            },
        }
    }

    fn handle_answer(&mut self, answer: Answer<'_>, out: &mut Datagrams) -> AfterVerdict {
        match (&mut self.state, answer) {
            (_, Answer::Account { exists }) => {
                reply(self.login_seq, Reply::Password { exists }, out);
                AfterVerdict::Stay
            }
            (State::Hashing { seq }, Answer::Entered(welcome)) => {
                let member = Member {
                    sid: welcome.secret,
                    proven: false,
                    mode: Mode::Operation,
                    seq: *seq,
                    latest: Latest::Welcome,
                };
                member.repeat(out);
                self.state = State::In(member);
                AfterVerdict::Stay
            }
            (State::Hashing { seq }, Answer::Refused(refusal)) => {
                let seq = *seq;
                deny(seq, refusal, out);
                self.state = State::Denied { seq, refusal };
                AfterVerdict::Stay
            }
            (State::In(member), Answer::Gone) => {
                reply(member.seq, Reply::Bye, out);
                self.state = State::Stranger;
                AfterVerdict::Close
            }
            (State::In(member), answer) => {
                let ours = member.handle_answer(answer);
                debug_assert!(ours, "invariant: only what was asked is answered");
                member.repeat(out);
                AfterVerdict::Stay
            }
            (State::Stranger | State::Hashing { .. } | State::Denied { .. }, _) => {
                debug_assert!(false, "invariant: only what was asked is answered");
                AfterVerdict::Stay
            }
        }
    }

    fn is_proven(&self) -> bool {
        match &self.state {
            State::In(member) => member.proven,
            State::Stranger | State::Hashing { .. } | State::Denied { .. } => false,
        }
    }
}

/// Adds an event as a member of this protocol hears it.
pub fn encode_event(event: &Event<'_>, out: &mut Datagrams) {
    let heard = match *event {
        Event::Said { from, text, .. } => Heard::Message { from, text },
        Event::Direct { from, text, .. } => Heard::Direct { from, text },
        Event::Arrived { name, .. } => Heard::Arrived { name },
        Event::Left { name, .. } => Heard::Left { name },
        Event::Notice { text, .. } => Heard::Message {
            from: SERVER_NAME,
            text,
        },
        Event::NameAsked | Event::RoomClosed => return,
    };
    frame::encode_heard(&heard, out);
}

fn reply(seq: u64, reply: Reply<'_>, out: &mut Datagrams) {
    out.push(|out| frame::encode_reply(seq, &reply, out));
}

/// Denies, in so few words that the shortest `PASS` may be answered with them.
fn deny(seq: u64, refusal: Refusal, out: &mut Datagrams) {
    let long;
    let text = match refusal {
        Refusal::NotAName(_) => NOT_A_NAME,
        Refusal::RoomFull { .. } => "room full",
        Refusal::TooManyFromAddress { .. } => "too many from you",
        Refusal::NameTaken
        | Refusal::RoomExists
        | Refusal::NoSuchRoom
        | Refusal::TooManyRooms { .. }
        | Refusal::TooManyRoomsOfAddress { .. }
        | Refusal::Denied
        | Refusal::TryAgain { .. }
        | Refusal::Busy
        | Refusal::NotSaved
        | Refusal::Draining => {
            long = refusal.to_string();
            &long
        }
    };
    reply(seq, Reply::Denied { text }, out);
}

/// Says that there is no such session, if that is not longer than what it answers.
fn gone_within(limit: usize, seq: u64, out: &mut Datagrams) {
    let mut gone = Vec::new();
    frame::encode_reply(seq, &Reply::Gone, &mut gone);
    if gone.len() <= limit {
        out.push(|out| out.extend_from_slice(&gone));
    }
}

/// What somebody reads who speaks faster than it may.
const TOO_FAST: &str = "too fast, not said";

const NOT_A_NAME: &str = "not a name";
const MODE_FIRST: &str = "say PM or DM first";
const UNKNOWN_COMMAND: &str = "unknown command";

const OLD: Dropped = Dropped::out_of_turn("older than the latest request");
const WHILE_HASHING: Dropped = Dropped::out_of_turn("before the verdict on its password");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chat::{Contact, History, TimeOfDay};
    use crate::protocol::Welcome;

    const SID: &str = "07070707070707070707070707070707";
    const NONE: [&str; 0] = [];

    struct Peer {
        session: Session,
    }

    fn lines(out: &Datagrams) -> Vec<String> {
        let text = |line: &[u8]| String::from_utf8(line.to_vec()).unwrap();
        out.iter().map(text).collect()
    }

    fn welcome(history: &History) -> Answer<'_> {
        Answer::Entered(Welcome {
            history,
            members: &(),
            secret: Secret::new([7; 16]),
        })
    }

    impl Peer {
        fn new() -> Peer {
            Peer {
                session: Session::new(),
            }
        }

        /// Let in by request 2.
        fn joined() -> Peer {
            let mut peer = Peer::new();
            peer.asks("C 2 PASS momodou secret");
            let sent = peer.hears(welcome(&History::default()));
            assert_eq!(sent, [format!("C 2 WELCOME {SID}")]);
            peer
        }

        /// What a frame is answered with at once; what it asks for is nothing that is answered later.
        fn says(&mut self, frame: &str) -> Vec<String> {
            let mut out = Datagrams::new();
            let asked = self.session.handle_datagram(frame.as_bytes(), &mut out);
            assert!(
                matches!(asked, Ok(None | Some(Request::KeepAlive))),
                "{asked:?}"
            );
            lines(&out)
        }

        fn asks<'a>(&mut self, frame: &'a str) -> Option<Request<'a>> {
            let mut out = Datagrams::new();
            let asked = self.session.handle_datagram(frame.as_bytes(), &mut out);
            assert!(out.is_empty(), "{frame:?}");
            asked.unwrap()
        }

        fn drops(&mut self, frame: &str) -> bool {
            let mut out = Datagrams::new();
            let asked = self.session.handle_datagram(frame.as_bytes(), &mut out);
            asked.is_err() && out.is_empty()
        }

        fn hears(&mut self, answer: Answer<'_>) -> Vec<String> {
            let mut out = Datagrams::new();
            self.session.handle_answer(answer, &mut out);
            lines(&out)
        }
    }

    fn authenticate<'a>(name: &'a str, password: &'a str) -> Option<Request<'a>> {
        Some(Request::Authenticate { name, password })
    }

    #[test]
    fn a_login_keeps_nothing() {
        let mut peer = Peer::new();
        let name = "momodou";
        for (seq, exists, word) in [(5, true, "existing"), (3, false, "new")] {
            let frame = format!("C {seq} LOGIN momodou");
            assert_eq!(peer.asks(&frame), Some(Request::FindAccount { name }));
            let sent = peer.hears(Answer::Account { exists });
            assert_eq!(sent, [format!("C {seq} PASSWORD {word}")]);
            assert!(matches!(peer.session.state, State::Stranger));
        }
        for frame in ["C 1 LOGIN a b", "C 1 LOGIN", "C 1 LOGIN a:b"] {
            assert_eq!(peer.says(frame), ["C 1 ERROR not a name"]);
        }
    }

    #[test]
    fn a_password_is_hashed_once_however_often_it_comes() {
        let mut peer = Peer::new();
        let pass = "C 2 PASS momodou a b ";
        assert_eq!(peer.asks(pass), authenticate("momodou", "a b "));
        assert_eq!(peer.asks(pass), None, "a repeat");
        assert!(peer.drops("C 3 PASS momodou other"));
        assert!(peer.drops("C 1 LOGIN momodou"));
        let denied = ["C 2 DENIED wrong name or password"];
        assert_eq!(peer.hears(Answer::Refused(Refusal::Denied)), denied);
        assert_eq!(peer.says(pass), denied, "a repeat, not hashed");
        assert!(!peer.session.is_proven());
        // The person tries again.
        let again = "C 4 PASS momodou right";
        assert_eq!(peer.asks(again), authenticate("momodou", "right"));
        let sent = peer.hears(welcome(&History::default()));
        assert_eq!(sent, [format!("C 4 WELCOME {SID}")]);
        assert_eq!(peer.says(again), sent, "a repeat");
    }

    #[test]
    fn a_program_started_again_counts_from_one_and_is_answered() {
        let name = "momodou";
        let find = Some(Request::FindAccount { name });
        let mut denied = Peer::new();
        denied.asks("C 6 PASS momodou wrong");
        denied.hears(Answer::Refused(Refusal::Denied));
        assert_eq!(denied.asks("C 1 LOGIN momodou"), find);
        let known = Answer::Account { exists: true };
        assert_eq!(denied.hears(known), ["C 1 PASSWORD existing"]);
        let again = "C 2 PASS momodou right";
        assert_eq!(denied.asks(again), authenticate(name, "right"));
        let sent = denied.hears(welcome(&History::default()));
        assert_eq!(sent, [format!("C 2 WELCOME {SID}")]);

        let mut inside = Peer::joined();
        assert_eq!(inside.says(&format!("C 3 PING {SID}")), ["C 3 PONG"]);
        for seq in 0..5 {
            let login = format!("C {seq} LOGIN momodou");
            assert_eq!(inside.asks(&login), find);
            let known = Answer::Account { exists: true };
            assert_eq!(inside.hears(known), [format!("C {seq} PASSWORD existing")]);
            let no = [format!("C {seq} DENIED wrong name or password")];
            assert_eq!(inside.says(&format!("C {seq} PASS momodou secret")), no);
        }
        // Neither moved the session.
        let (ping, data) = (format!("C 3 PING {SID}"), format!("C 4 PM {SID}"));
        assert_eq!(inside.says(&ping), ["C 3 PONG"], "a repeat");
        assert_eq!(inside.says(&data), ["C 4 READY"]);
    }

    #[test]
    fn what_no_password_can_be_is_denied_at_once() {
        let long = format!("C 2 PASS momodou {}", "x".repeat(129));
        let table = [
            ("C 2 PASS a:b secret", "not a name"),
            ("C 2 PASS", "not a name"),
            ("C 2 PASS momodou", "no password"),
            (long.as_str(), "password over 128 bytes"),
        ];
        for (frame, text) in table {
            let mut peer = Peer::new();
            assert_eq!(peer.says(frame), [format!("C 2 DENIED {text}")]);
            assert!(matches!(peer.session.state, State::Stranger));
        }
    }

    #[test]
    fn public_messages() {
        let mut peer = Peer::joined();
        assert_eq!(peer.says(&format!("C 3 PM {SID}")), ["C 3 READY"]);
        let data = format!("D 4 {SID} hi  there");
        let (text, time, claimed) = ("hi  there", None, None);
        assert_eq!(
            peer.asks(&data),
            Some(Request::Say {
                text,
                time,
                claimed
            })
        );
        assert_eq!(
            peer.hears(Answer::Said(Said::ToOthers(12))),
            ["C 4 SENT 12"]
        );
        assert_eq!(
            peer.says(&data),
            ["C 4 SENT 12"],
            "a repeat is not said again"
        );
        let first = ["C 5 ERROR say PM or DM first"];
        assert_eq!(peer.says(&format!("D 5 {SID} hi")), first);
        // A keep-alive between the two steps is no harm.
        assert_eq!(peer.says(&format!("C 6 PM {SID}")), ["C 6 READY"]);
        assert_eq!(peer.says(&format!("C 7 PING {SID}")), ["C 7 PONG"]);
        let empty = format!("D 8 {SID} ");
        assert!(peer.asks(&empty).is_some());
        assert_eq!(peer.hears(Answer::Said(Said::Nothing)), ["C 8 SENT 0"]);
    }

    #[test]
    fn direct_messages() {
        let mut peer = Peer::joined();
        let members: &[(&str, Contact)] = &[("momodou", Contact::NONE), ("bob", Contact::NONE)];
        let list = format!("C 3 DM {SID}");
        assert_eq!(peer.asks(&list), Some(Request::Members));
        let users = ["C 3 USERS momodou bob"];
        assert_eq!(peer.hears(Answer::Members(&members)), users);
        assert_eq!(peer.says(&list), users, "a repeat");
        let data = format!("D 4 {SID} bob hi there");
        let (to, text, claimed) = ("bob", "hi there", None);
        assert_eq!(
            peer.asks(&data),
            Some(Request::Direct { to, text, claimed })
        );
        assert_eq!(peer.hears(Answer::Said(Said::ToOthers(1))), ["C 4 SENT 1"]);
        assert_eq!(peer.says(&data), ["C 4 SENT 1"]);

        assert_eq!(peer.asks(&format!("C 5 DM {SID}")), Some(Request::Members));
        peer.hears(Answer::Members(&members));
        let data = format!("D 6 {SID} b\u{7}b");
        let (to, text) = ("b\u{7}b", "");
        assert_eq!(
            peer.asks(&data),
            Some(Request::Direct { to, text, claimed })
        );
        let nobody = ["C 6 NOUSER b\u{fffd}b"];
        assert_eq!(peer.hears(Answer::Said(Said::NobodyThere)), nobody);
        assert_eq!(peer.says(&data), nobody);
    }

    #[test]
    fn leaving_and_what_comes_after() {
        let mut peer = Peer::joined();
        let exit = format!("C 3 EX {SID}");
        assert_eq!(peer.asks(&exit), Some(Request::Leave));
        let mut out = Datagrams::new();
        let after = peer.session.handle_answer(Answer::Gone, &mut out);
        assert_eq!(
            (after, lines(&out)),
            (AfterVerdict::Close, vec!["C 3 BYE".to_string()])
        );
        assert_eq!(peer.says(&exit), ["C 3 GONE"], "the session has ended");
    }

    #[test]
    fn a_wrong_session_id_is_gone_and_changes_nothing() {
        let wrong = "08070707070707070707070707070707";
        for mut peer in [Peer::new(), Peer::joined()] {
            for command in ["PM", "DM", "EX", "PING", "OTHER"] {
                assert_eq!(peer.says(&format!("C 9 {command} {wrong}")), ["C 9 GONE"]);
            }
            assert_eq!(peer.says(&format!("D 9 {wrong} hi")), ["C 9 GONE"]);
            assert_eq!(peer.says("C 9 PING x"), ["C 9 GONE"]);
            assert_eq!(peer.says("D 9 "), NONE, "longer than the frame");
            assert!(peer.drops("C 9 OTHER x"));
            assert!(!peer.session.is_proven());
        }
    }

    #[test]
    fn a_session_is_proven_by_its_id_and_moved_by_nothing_without_it() {
        let mut peer = Peer::joined();
        assert_eq!(
            peer.says("C 9 PASS momodou secret"),
            ["C 9 DENIED wrong name or password"]
        );
        let name = "momodou";
        assert_eq!(
            peer.asks("C 9 LOGIN momodou"),
            Some(Request::FindAccount { name })
        );
        assert_eq!(
            peer.hears(Answer::Account { exists: true }),
            ["C 9 PASSWORD existing"]
        );
        assert!(!peer.session.is_proven());
        assert_eq!(peer.says(&format!("C 3 PING {SID}")), ["C 3 PONG"]);
        assert!(peer.session.is_proven());
        assert_eq!(
            peer.says(&format!("C 4 HELP {SID}")),
            ["C 4 ERROR unknown command"]
        );
        assert!(
            peer.drops(&format!("C 3 PING {SID}")),
            "older than the latest"
        );
        assert_eq!(
            peer.says("C 2 PASS momodou secret"),
            ["C 2 DENIED wrong name or password"]
        );
    }

    #[test]
    fn denials_are_no_longer_than_three_of_the_shortest_frame() {
        let refusals = [
            Refusal::Denied,
            Refusal::NameTaken,
            Refusal::Busy,
            Refusal::NotSaved,
            Refusal::TryAgain { seconds: 300 },
            Refusal::RoomFull { limit: 19_000 },
            Refusal::TooManyFromAddress { limit: 64 },
            Refusal::NotAName(crate::chat::NameError::Empty),
        ];
        for refusal in refusals {
            let mut peer = Peer::new();
            peer.asks("C 2 PASS a b");
            let sent = peer.hears(Answer::Refused(refusal)).concat();
            assert!(
                sent.starts_with("C 2 DENIED ") && sent.len() <= 36,
                "{sent}"
            );
        }
    }

    #[test]
    fn events_as_this_protocol_hears_them() {
        let (from, text, time) = ("bob", "hi there", TimeOfDay::MIDNIGHT);
        let (name, contact) = (from, Contact::NONE);
        let table = [
            (Event::Said { from, text, time }, "D PM bob hi there"),
            (Event::Direct { from, text, time }, "D DM bob hi there"),
            (Event::Arrived { name, contact }, "C 0 ARRIVED bob"),
            (Event::Left { name, contact }, "C 0 LEFT bob"),
        ];
        for (event, line) in table {
            let mut out = Datagrams::new();
            encode_event(&event, &mut out);
            assert_eq!(lines(&out), [line]);
        }
        let mut out = Datagrams::new();
        encode_event(&Event::RoomClosed, &mut out);
        encode_event(&Event::NameAsked, &mut out);
        assert!(out.is_empty());
    }

    #[test]
    fn an_idle_member_is_small() {
        assert!(size_of::<Session>() <= 80, "{}", size_of::<Session>());
    }

    proptest! {
        #[test]
        fn r13_a_stranger_never_gets_more_than_three_times_its_bytes(
            command in "(C [0-9]{1,20} (LOGIN|PASS|PM|EX|XX)|D [0-9]{1,20})?",
            rest in "( [ -~é\u{7}]{0,40})?",
        ) {
            let mut session = Session::new();
            let mut out = Datagrams::new();
            let frame = format!("{command}{rest}");
            match session.handle_datagram(frame.as_bytes(), &mut out) {
                Ok(Some(Request::FindAccount { .. })) => {
                    session.handle_answer(Answer::Account { exists: true }, &mut out);
                }
                Ok(Some(Request::Authenticate { .. })) => {
                    session.handle_answer(Answer::Refused(Refusal::Denied), &mut out);
                }
                Ok(Some(other)) => panic!("a stranger asked for {other:?}"),
                Ok(None) | Err(_) => {}
            }
            prop_assert!(out.total_bytes() <= 3 * frame.len(), "{frame:?}");
        }

        #[test]
        fn any_frames_in_any_order_keep_the_limits(
            frames in proptest::collection::vec(
                ("(C|D)", 0u64..12, "(LOGIN|PASS|PM|DM|EX|PING|XX)", any::<bool>(), "[ -~\u{7}é]{0,40}"),
                0..30,
            ),
        ) {
            let mut session = Session::new();
            let history = History::default();
            let members: &[(&str, Contact)] = &[("bob", Contact::NONE)];
            let mut executed = 0;
            for (kind, seq, command, right, rest) in frames {
                let sid = if right { SID } else { "x" };
                let frame = match (kind.as_str(), command.as_str()) {
                    ("D", _) => format!("D {seq} {sid} {rest}"),
                    (_, "LOGIN" | "PASS") => format!("C {seq} {command} momodou {rest}"),
                    (_, command) => format!("C {seq} {command} {sid}"),
                };
                let mut out = Datagrams::new();
                let asked = session.handle_datagram(frame.as_bytes(), &mut out);
                let answer = match asked {
                    Ok(Some(Request::FindAccount { .. })) => Answer::Account { exists: false },
                    Ok(Some(Request::Authenticate { .. })) => welcome(&history),
                    Ok(Some(Request::Members)) => Answer::Members(&members),
                    Ok(Some(Request::Say { .. } | Request::Direct { .. })) => {
                        executed += 1;
                        Answer::Said(Said::ToOthers(1))
                    }
                    Ok(Some(Request::Leave)) => Answer::Gone,
                    Ok(Some(Request::KeepAlive) | None) | Err(_) => continue,
                    Ok(Some(other)) => panic!("{other:?}"),
                };
                session.handle_answer(answer, &mut out);
                prop_assert_eq!(out.len(), 1);
                prop_assert!(out.total_bytes() <= frame::MAX_FRAME_BYTES);
            }
            prop_assert!(executed <= 30);
        }
    }
}
