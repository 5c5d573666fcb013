//! Owns our conversation with a server as the client sees it. Knows no socket, no clock, no terminal.
//!
//! ```text
//!        start           [name joined the server]          PM| DM|
//!   New ───────▶ Asking ─────────────────────────▶ Joined ─────────┐
//!                 │  ▲      [join first: UN| name], │  ▲           │
//!                 │  │      or a line not heard back │  │           │
//!    UN| every    │  └──────────────────────────────┘  └───────────┘
//!    500 ms       │ refused, no answer               │ EX|
//!                 ▼                                  ▼
//!                Over ◀──────────────────────────── Over
//! ```
//!
//! Only `UN|` is repeated: the rest has no number, so the server could not tell a repeat from a second
//! line. What is said goes once; its echo is the confirmation. Without one the server is asked to let us in once
//! more, which it answers whether it still knows us or not: so a server that is gone is noticed.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::frame::{self, Asked, Heard};
use crate::chat::{Name, harmless, is_put_out, split};
use crate::protocol::{ClientSession, Command, Context, Told, Unsupported};

/// How long an answer to `UN|` is waited for.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// How often `UN|` is sent before the server counts as not there.
const ASKS: u32 = 20;

/// How long an echo is waited for.
const ECHO_TIME: Duration = Duration::from_secs(2);

/// How many lines may be on their way at once: the kernel's buffers are small, and what does not fit
/// there is lost.
const WINDOW: usize = 8;

/// How many lines wait for their turn at the most. Whoever reads them in faster looks at
/// [`unanswered`](ClientSession::unanswered).
const MAX_HELD: usize = 4096;

/// The client half of one conversation.
#[derive(Debug)]
pub struct Session {
    name: String,
    state: State,
    /// Sent and not heard back, oldest first.
    waiting: VecDeque<Waiting>,
    /// Not sent yet.
    held: VecDeque<Line>,
    /// How many lines were not heard back since the server was last heard.
    missed: usize,
}

#[derive(Debug)]
enum State {
    New,
    Asking(Asking),
    Joined,
    Over { left: bool },
}

#[derive(Debug)]
struct Asking {
    /// How often we asked.
    asked: u32,
    /// When we ask again.
    next: Instant,
    why: Why,
    /// What the server said instead of letting us in.
    instead: Option<String>,
}

/// Why we ask to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// We have just come.
    First,
    /// The server has forgotten us, and the person was told before that we are in.
    Forgotten,
    /// A line was not heard back: whether the server is there at all.
    Unheard,
}

/// One datagram's worth of what the person says.
#[derive(Debug)]
struct Line {
    /// To one member alone.
    to: Option<String>,
    text: String,
}

#[derive(Debug)]
struct Waiting {
    line: Line,
    until: Instant,
}

impl Session {
    /// Will ask to be let in as `name`.
    pub fn new(name: &str) -> Session {
        Session {
            name: name.to_string(),
            state: State::New,
            waiting: VecDeque::new(),
            held: VecDeque::new(),
            missed: 0,
        }
    }

    fn ask(&mut self, why: Why, context: &mut Context<'_>) {
        self.state = State::Asking(Asking {
            asked: 1,
            next: context.now + ASK_AGAIN,
            why,
            instead: None,
        });
        self.send(&Asked::Join { name: &self.name }, context);
    }

    fn ask_again(&mut self, context: &mut Context<'_>) {
        let State::Asking(asking) = &mut self.state else {
            return;
        };
        if asking.asked < ASKS {
            asking.asked += 1;
            asking.next = context.now + ASK_AGAIN;
            return self.send(&Asked::Join { name: &self.name }, context);
        }
        let reason = match asking.why {
            Why::First => "the server does not answer",
            Why::Forgotten | Why::Unheard => "the server does not answer any more",
        };
        let told = match asking.instead.take() {
            Some(reason) => Told::Refused { reason },
            None => Told::Lost {
                reason: reason.to_string(),
            },
        };
        self.end(told, context);
    }

    fn send(&self, asked: &Asked<'_>, context: &mut Context<'_>) {
        context.out.to_server(|out| frame::encode_asked(asked, out));
    }

    fn end(&mut self, told: Told, context: &mut Context<'_>) {
        self.state = State::Over { left: false };
        context.told.push(told);
    }

    /// Takes an answer to `UN|`, which everything may be; false where it is none.
    fn handle_verdict(&mut self, heard: &Heard<'_>, line: &str, context: &mut Context<'_>) -> bool {
        let name = self.name.as_str();
        let State::Asking(asking) = &mut self.state else {
            return false;
        };
        match *heard {
            Heard::Joined { name: who } | Heard::YouAre { name: who } if is_same(name, who) => {
                context.told.extend(match asking.why {
                    Why::First => Some(Told::Joined {
                        name: who.to_string(),
                        room: "lobby".to_string(),
                    }),
                    Why::Forgotten => Some(notice("joined again")),
                    // Whether it had forgotten us cannot be told from that.
                    Why::Unheard => None,
                });
                self.state = State::Joined;
                self.send_held(context);
            }
            // It is there. Should it know us no more, it says so when the next line comes.
            Heard::Taken { name: who } if asking.why == Why::Unheard && is_same(name, who) => {
                self.state = State::Joined;
                self.send_held(context);
            }
            Heard::Other { .. } if asking.why == Why::Unheard => return false,
            Heard::YouAre { name: other } => {
                let reason = format!("this port has joined as {other:?} already");
                self.end(Told::Refused { reason }, context);
            }
            Heard::Taken { name: who } if is_same(name, who) => {
                let reason = format!("the name {who:?} is taken");
                self.end(Told::Refused { reason }, context);
            }
            Heard::NotAName => {
                let reason = format!("{name:?} is not a name");
                self.end(Told::Refused { reason }, context);
            }
            // An answer to what went before.
            Heard::JoinFirst => {}
            // Too many members, say. Perhaps there is room a moment later: we ask on.
            Heard::Other { .. } if line.starts_with('[') => {
                let instead = line.trim_matches(['[', ']']);
                if asking.instead.as_deref() != Some(instead) {
                    asking.instead = Some(instead.to_string());
                    context.told.push(notice(line));
                }
            }
            Heard::Joined { .. }
            | Heard::Message { .. }
            | Heard::Direct { .. }
            | Heard::DirectSent { .. }
            | Heard::Left { .. }
            | Heard::Taken { .. }
            | Heard::NotOnline { .. }
            | Heard::NameAsked
            | Heard::Other { .. } => return false,
        }
        true
    }

    /// Takes whatever else the server says.
    fn handle_heard(&mut self, heard: &Heard<'_>, line: &str, context: &mut Context<'_>) {
        if matches!(&self.state, State::Asking(asking) if asking.why == Why::Unheard) {
            // Anything answers whether it is there.
            self.state = State::Joined;
        }
        let told = match *heard {
            // Asked to let us in again it might do so, and nobody would notice.
            Heard::Message { from, text } if is_put_out(from, text) => {
                let reason = text.to_string();
                return self.end(Told::Lost { reason }, context);
            }
            Heard::Message { from, text } => {
                if is_same(&self.name, from) {
                    self.confirm(|line| line.to.is_none() && line.text == text);
                }
                Told::Message {
                    from: from.to_string(),
                    text: text.to_string(),
                    time: None,
                    history: false,
                }
            }
            Heard::Direct { from, text } => Told::Direct {
                from: from.to_string(),
                text: text.to_string(),
            },
            // A late answer to one of our repeats.
            Heard::Joined { name } if is_same(&self.name, name) => return,
            Heard::Joined { name } => Told::Arrived {
                name: name.to_string(),
            },
            Heard::Left { name } => Told::Left {
                name: name.to_string(),
            },
            Heard::JoinFirst => {
                context.told.push(notice(
                    "the server does not know us any more: joining again",
                ));
                return self.ask(Why::Forgotten, context);
            }
            Heard::DirectSent { to, text } => {
                self.confirm(|line| line.is_to(to) && line.text == text);
                notice(line)
            }
            Heard::NotOnline { name } => {
                self.confirm(|line| line.is_to(name));
                notice(line)
            }
            Heard::Taken { .. }
            | Heard::YouAre { .. }
            | Heard::NotAName
            | Heard::NameAsked
            | Heard::Other { .. } => notice(line),
        };
        context.told.push(told);
        self.send_held(context);
    }

    fn confirm(&mut self, is_it: impl Fn(&Line) -> bool) {
        if let Some(at) = self.waiting.iter().position(|waiting| is_it(&waiting.line)) {
            self.waiting.remove(at);
        }
    }

    /// Takes what the person says, as lines that each fit into a datagram.
    fn say(&mut self, to: Option<&str>, text: &str, context: &mut Context<'_>) {
        let space = match to {
            None => frame::say_space(&self.name),
            Some(to) => frame::direct_space(&self.name, to),
        };
        // As the server will make it, so that its echo is known again.
        for text in split(&harmless(text), space) {
            if self.held.len() >= MAX_HELD {
                let text = format!("not sent, too much is waiting: {text}");
                context.told.push(Told::Notice { text });
                continue;
            }
            self.held.push_back(Line {
                to: to.map(str::to_string),
                text: text.to_string(),
            });
        }
        self.send_held(context);
    }

    /// Sends of what is held as much as may be on its way.
    fn send_held(&mut self, context: &mut Context<'_>) {
        if !self.is_joined() {
            return;
        }
        while self.waiting.len() < WINDOW
            && let Some(line) = self.held.pop_front()
        {
            let claimed = Some(self.name.as_str());
            let text = line.text.as_str();
            let asked = match &line.to {
                None => Asked::Say { claimed, text },
                Some(to) => Asked::Direct { claimed, to, text },
            };
            self.send(&asked, context);
            let until = context.now + ECHO_TIME;
            self.waiting.push_back(Waiting { line, until });
        }
    }
}

impl ClientSession for Session {
    /// A datagram that breaks the rules is only dropped: anybody may have sent it.
    type Violation = Infallible;

    fn start(&mut self, context: &mut Context<'_>) {
        self.ask(Why::First, context);
    }

    fn handle_datagram(&mut self, _: SocketAddr, datagram: &[u8], context: &mut Context<'_>) {
        let (Ok(line), Ok(heard)) = (frame::decode_line(datagram), frame::decode_heard(datagram))
        else {
            return;
        };
        if matches!(self.state, State::New | State::Over { .. }) || line.is_empty() {
            return;
        }
        self.missed = 0;
        if !self.handle_verdict(&heard, line, context) {
            self.handle_heard(&heard, line, context);
        }
    }

    fn handle_command(
        &mut self,
        command: Command<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Unsupported> {
        match command {
            Command::Say(text) => self.say(None, text, context),
            // Anything else would be read as another receiver.
            Command::Direct { to, .. } if Name::parse(to).is_err() => {
                context.told.push(notice(&format!("{to:?} is not a name")));
            }
            Command::Direct { to, text } => self.say(Some(to), text, context),
            Command::Leave => {
                if matches!(self.state, State::Asking(_) | State::Joined) {
                    self.send(&Asked::Leave, context);
                }
                self.state = State::Over { left: true };
            }
            Command::Who | Command::Start { .. } | Command::Chat { .. } | Command::End { .. } => {
                return Err(Unsupported);
            }
        }
        Ok(())
    }

    fn handle_timeout(&mut self, context: &mut Context<'_>) {
        if matches!(&self.state, State::Asking(asking) if asking.next <= context.now) {
            self.ask_again(context);
        }
        let now = context.now;
        let is_late = |waiting: &Waiting| waiting.until <= now;
        while self.waiting.front().is_some_and(is_late)
            && let Some(late) = self.waiting.pop_front()
        {
            let text = format!("not heard back: {}", late.line.text);
            context.told.push(Told::Notice { text });
            self.missed += 1;
            if self.is_joined() {
                self.ask(Why::Unheard, context);
            }
        }
        self.send_held(context);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let ask = match &self.state {
            State::Asking(asking) => Some(asking.next),
            State::New | State::Joined => None,
            State::Over { .. } => return None,
        };
        let late = self.waiting.front().map(|waiting| waiting.until);
        ask.into_iter().chain(late).min()
    }

    fn is_joined(&self) -> bool {
        matches!(self.state, State::Joined)
    }

    fn unanswered(&self) -> usize {
        self.waiting.len() + self.held.len() + self.missed
    }

    /// Nothing answers an `EX|`.
    fn has_left(&self) -> bool {
        matches!(self.state, State::Over { left: true })
    }
}

impl Line {
    fn is_to(&self, name: &str) -> bool {
        self.to.as_deref().is_some_and(|to| is_same(to, name))
    }
}

fn notice(text: &str) -> Told {
    Told::Notice {
        text: text.to_string(),
    }
}

fn is_same(name: &str, other: &str) -> bool {
    name == other || Name::parse(name).is_ok_and(|name| name.same_as(other))
}

#[cfg(test)]
mod tests {
    use super::super::properties::{Client, message};
    use super::*;

    #[test]
    fn asking_is_repeated_until_it_is_answered_and_not_for_ever() {
        let mut client = Client::new("alice");
        client.start();
        client.advance(Duration::from_millis(1700));
        assert_eq!(client.sent().len(), 4);
        assert!(client.told().is_empty() && !client.session.is_joined());
        client.advance(Duration::from_secs(60));
        assert_eq!(client.sent().len(), 16);
        assert!(matches!(client.told()[..], [Told::Lost { .. }]));
        assert_eq!(client.session.next_deadline(), None);
    }

    #[test]
    fn a_refusal_is_told_and_final() {
        for line in ["[alice is taken]", "[not a name]", "[you are bob]"] {
            let mut client = Client::new("alice");
            client.start();
            client.hears(line);
            assert!(
                matches!(client.told()[..], [Told::Refused { .. }]),
                "{line}"
            );
            client.hears("[alice joined the server]");
            assert!(client.told().is_empty() && !client.session.is_joined());
        }
        // What only may be one is believed when nothing better comes.
        let mut client = Client::new("alice");
        client.start();
        for _ in 0..25 {
            client.hears("[busy, try again]");
            client.advance(Duration::from_millis(500));
        }
        let reason = "busy, try again".to_string();
        assert_eq!(
            client.told(),
            [notice("[busy, try again]"), Told::Refused { reason }]
        );
    }

    #[test]
    fn what_is_said_is_unanswered_until_it_comes_back() {
        let mut client = Client::joined();
        client.command(Command::Say("one")).unwrap();
        client
            .command(Command::Direct {
                to: "bob",
                text: "two",
            })
            .unwrap();
        assert_eq!(client.sent(), ["PM| alice: one", "DM| alice> bob: two"]);
        assert_eq!(client.session.unanswered(), 2);
        client.hears("bob: one");
        client.hears("[DM] bob: two");
        assert_eq!(client.session.unanswered(), 2, "somebody else's words");
        client.hears("alice: one");
        client.hears("[DM to bob] two");
        assert_eq!(client.session.unanswered(), 0);
        let (from, text) = ("bob".to_string(), "two".to_string());
        let told = [
            message("bob", "one"),
            Told::Direct { from, text },
            message("alice", "one"),
            notice("[DM to bob] two"),
        ];
        assert_eq!(client.told(), told);

        client
            .command(Command::Direct {
                to: "Bob",
                text: "x",
            })
            .unwrap();
        client.hears("[bob is not online]");
        assert_eq!(client.session.unanswered(), 0);
    }

    #[test]
    fn what_is_not_heard_back_is_told_and_not_sent_again() {
        let mut client = Client::joined();
        client.command(Command::Say("lost")).unwrap();
        client.advance(Duration::from_millis(1999));
        assert_eq!(client.session.unanswered(), 1);
        client.advance(Duration::from_millis(1));
        assert_eq!(client.told(), [notice("not heard back: lost")]);
        assert_eq!(client.sent(), ["PM| alice: lost", "UN| alice"]);
        assert_eq!(client.session.unanswered(), 1, "until the server is heard");
        client.command(Command::Say("next")).unwrap();
        assert!(client.sent().is_empty());
        client.hears("[alice joined the server]");
        assert!(client.told().is_empty() && client.session.is_joined());
        assert_eq!(client.session.unanswered(), 1);
        assert_eq!(client.sent(), ["PM| alice: next"]);
        // Whatever else it says shows as well that it is there.
        for line in ["bob: hi", "[busy, try again]", "[alice is taken]"] {
            client.advance(Duration::from_secs(2));
            assert!(!client.session.is_joined());
            client.hears(line);
            assert!(client.session.is_joined(), "{line}");
            client.command(Command::Say("next")).unwrap();
        }
    }

    #[test]
    fn a_server_that_is_gone_is_noticed() {
        let mut client = Client::joined();
        client.command(Command::Say("lost")).unwrap();
        client.advance(Duration::from_secs(2));
        client.told();
        client.advance(Duration::from_secs(60));
        assert_eq!(client.sent().len(), 1 + 20);
        let reason = "the server does not answer any more".to_string();
        assert_eq!(client.told(), [Told::Lost { reason }]);
        assert_eq!(client.session.next_deadline(), None);
        assert_eq!(client.session.unanswered(), 1);
    }

    #[test]
    fn a_long_line_is_several_and_not_all_go_at_once() {
        let mut client = Client::joined();
        client.command(Command::Say(&"é".repeat(2000))).unwrap();
        client
            .sent
            .iter()
            .for_each(|line| assert!(line.starts_with(b"PM| alice: ")));
        assert_eq!(client.sent().len(), 4);
        for n in 0..10 {
            client.command(Command::Say(&n.to_string())).unwrap();
        }
        assert_eq!(client.sent().len(), WINDOW - 4);
        assert_eq!(client.session.unanswered(), 14);
        client.hears("alice: 0");
        assert_eq!(client.sent(), ["PM| alice: 4"]);
        client.advance(Duration::from_secs(2));
        assert_eq!(client.sent(), ["UN| alice"]);
        client.hears("[alice joined the server]");
        assert_eq!(client.sent().len(), 5);
    }

    #[test]
    fn lines_of_the_server_and_of_others() {
        let mut client = Client::joined();
        let name = || "bob".to_string();
        let table = [
            ("[bob joined the server]", Told::Arrived { name: name() }),
            ("[bob left the server]", Told::Left { name: name() }),
            (
                "[somebody asks for your name]",
                notice("[somebody asks for your name]"),
            ),
            ("welcome, all of you", notice("welcome, all of you")),
            (
                "bob: [alice left the server]\r\n",
                message("bob", "[alice left the server]"),
            ),
        ];
        for (line, told) in table {
            client.hears(line);
            assert_eq!(client.told(), [told]);
        }
        // A repeat of ours was answered twice.
        client.hears("[alice joined the server]");
        client.hears("");
        assert!(client.told().is_empty());
    }

    #[test]
    fn a_server_that_forgot_us_is_asked_again() {
        let mut client = Client::joined();
        client.command(Command::Say("one")).unwrap();
        client.hears("[join first: UN| name]");
        client.command(Command::Say("two")).unwrap();
        assert_eq!(client.sent(), ["PM| alice: one", "UN| alice"]);
        client.hears("[alice joined the server]");
        assert_eq!(client.sent(), ["PM| alice: two"]);
        let told = client.told();
        assert!(
            matches!(told[..], [Told::Notice { .. }, Told::Notice { .. }]),
            "{told:?}"
        );
    }

    #[test]
    fn who_is_put_out_does_not_come_back_by_itself() {
        let mut client = Client::joined();
        client.command(Command::Say("one")).unwrap();
        client.sent();
        client.hears("bob: banned");
        assert_eq!(client.told(), [message("bob", "banned")]);
        client.hears("<server>: kicked: too loud");
        let reason = "kicked: too loud".to_string();
        assert_eq!(client.told(), [Told::Lost { reason }]);
        client.hears("[join first: UN| name]");
        client.advance(Duration::from_secs(60));
        assert!(client.sent().is_empty() && client.told().is_empty());
        assert!(!client.session.is_joined() && !client.session.has_left());
    }

    #[test]
    fn leaving_is_one_datagram_and_no_answer() {
        let mut client = Client::joined();
        assert_eq!(client.command(Command::Who), Err(Unsupported));
        client
            .command(Command::Direct {
                to: "b:c",
                text: "x",
            })
            .unwrap();
        assert_eq!(client.told(), [notice("\"b:c\" is not a name")]);
        client.command(Command::Leave).unwrap();
        assert_eq!(client.sent(), ["EX| bye"]);
        assert!(client.session.has_left());
        assert_eq!(client.session.next_deadline(), None);
    }
}
