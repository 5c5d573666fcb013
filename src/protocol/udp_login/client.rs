//! Owns our conversation with a server as the client sees it. Knows no socket, no clock, no terminal.
//!
//! ```text
//!        start               PASSWORD, WELCOME           PM D, DM D, PING
//!   New ───────▶ LoggingIn ───────────────────▶ In ──────────┐
//!                 │     ▲          GONE          │ ▲          │
//!                 │     └────────────────────────┤ └──────────┘
//!     denied,     │                              │ EX
//!     no answer   ▼                              ▼
//!                Over ◀──────────────────────── Leaving
//!                        BYE, or three tries
//! ```
//!
//! One request is in flight at a time, repeated with its number until it is answered; the rest waits for its
//! turn. To say something is two requests.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::frame::{self, Asked, Heard, Password, Reply, Wants};
use crate::chat::{Name, Refusal, harmless, is_put_out, split};
use crate::protocol::{ClientSession, Command, Context, Secret, Told, Unsupported};

/// How long an answer is waited for.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// How often a request is repeated before the server counts as not there.
const REPEATS: u32 = 6;

/// How long the answer to the last repeat is waited for: it is as far away as the others were.
const LAST_WAIT: Duration = Duration::from_millis(1500);

/// How often a password is repeated: the server hashes one at a time, slowly, and says nothing meanwhile. Half
/// a minute in all.
const PASS_REPEATS: u32 = 60;

/// How often a leave is repeated: nobody waits long for a farewell.
const EXIT_REPEATS: u32 = 2;

/// How long we may be silent. The server forgets a silent member after five minutes.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// How many lines wait for their turn at the most. Whoever reads them in faster looks at
/// [`unanswered`](ClientSession::unanswered).
const MAX_QUEUED: usize = 4096;

/// What a refusal means that says the same as a wrong password does, where there is no password to be wrong.
const NO_ACCOUNT: &str = "there is no account of that name, so either somebody uses the name \
    or no accounts are made here";

/// The client half of one conversation.
#[derive(Debug)]
pub struct Session {
    name: String,
    /// Kept while a lost session may have to be begun anew, and wiped from memory then.
    password: Passphrase,
    state: State,
    /// The number of the latest request.
    seq: u64,
    flight: Option<Flight>,
    queue: VecDeque<Want>,
}

#[derive(Debug)]
enum State {
    New,
    LoggingIn {
        /// Whether the person was told before that we are in.
        again: bool,
    },
    In {
        sid: Secret,
        /// Whether anything was answered under this id: a server that ends every session at once is not
        /// asked for another for ever.
        answered: bool,
        /// When we say that we are still here.
        ping_at: Instant,
    },
    Leaving {
        sid: Secret,
    },
    Over {
        left: bool,
    },
}

/// The request that waits for its answer.
#[derive(Debug)]
struct Flight {
    seq: u64,
    want: Want,
    /// How often it was sent.
    sent: u32,
    /// When it is sent again.
    next: Instant,
}

/// One request, and what it is for.
#[derive(Debug)]
enum Want {
    Login,
    Pass {
        /// The server knows no account of that name, so this makes one.
        new: bool,
    },
    Ping,
    /// `PM`, and when that is answered `Said`.
    Say {
        text: String,
    },
    Said {
        text: String,
    },
    /// `DM`, and when that is answered `Whispered`.
    Whisper {
        to: String,
        text: String,
    },
    Whispered {
        to: String,
        text: String,
    },
    /// `DM` for the list alone.
    Who,
    Exit,
}

struct Passphrase(Zeroizing<String>);

impl Session {
    /// Will log in as `name`, or register it. A password has 1 to 128 bytes and no line end.
    pub fn new(name: &str, password: String) -> Session {
        Session {
            name: name.to_string(),
            password: Passphrase(Zeroizing::new(password)),
            state: State::New,
            seq: 0,
            flight: None,
            queue: VecDeque::new(),
        }
    }

    fn log_in(&mut self, again: bool, context: &mut Context<'_>) {
        self.state = State::LoggingIn { again };
        self.request(Want::Login, context);
    }

    /// Sends the next request.
    fn request(&mut self, want: Want, context: &mut Context<'_>) {
        self.seq += 1;
        self.flight = Some(Flight {
            seq: self.seq,
            want,
            sent: 1,
            next: context.now + ASK_AGAIN,
        });
        self.send(context);
    }

    /// Sends the request that is in flight.
    fn send(&self, context: &mut Context<'_>) {
        let Some(flight) = &self.flight else {
            return;
        };
        let rest;
        let wants = match &flight.want {
            Want::Login | Want::Pass { .. } => None,
            Want::Ping => Some(Wants::Ping),
            Want::Say { .. } => Some(Wants::Public),
            Want::Whisper { .. } | Want::Who => Some(Wants::Direct),
            Want::Said { text } => Some(Wants::Data { rest: text }),
            Want::Whispered { to, text } => {
                rest = format!("{to} {text}");
                Some(Wants::Data { rest: &rest })
            }
            Want::Exit => Some(Wants::Exit),
        };
        let (seq, name) = (flight.seq, self.name.as_str());
        let asked = match (wants, &flight.want) {
            (Some(wants), _) => Asked::Session {
                seq,
                sid: self.sid(),
                wants,
            },
            (None, Want::Pass { .. }) => Asked::Pass {
                seq,
                name,
                password: Password(&self.password.0),
            },
            (None, _) => Asked::Login { seq, name },
        };
        context
            .out
            .to_server(|out| frame::encode_asked(&asked, out));
    }

    fn sid(&self) -> Option<Secret> {
        match self.state {
            State::In { sid, .. } | State::Leaving { sid } => Some(sid),
            State::New | State::LoggingIn { .. } | State::Over { .. } => None,
        }
    }

    /// Sends what waits longest, if it is its turn.
    fn go_on(&mut self, context: &mut Context<'_>) {
        if matches!(self.state, State::In { .. })
            && self.flight.is_none()
            && let Some(want) = self.queue.pop_front()
        {
            self.request(want, context);
        }
    }

    /// The last thing that the person is told.
    fn end(&mut self, told: Option<Told>, context: &mut Context<'_>) {
        let left = told.is_none();
        context.told.extend(told);
        self.state = State::Over { left };
        self.flight = None;
        self.password = Passphrase(Zeroizing::default());
    }

    fn handle_reply(&mut self, seq: u64, reply: Reply<'_>, context: &mut Context<'_>) {
        // Any other answer is a late one.
        let Some(flight) = self.flight.take_if(|flight| flight.seq == seq) else {
            return;
        };
        match (flight.want, reply) {
            // Deleted meanwhile, or the server has forgotten it: nobody asked us to make another.
            (Want::Login, Reply::Password { exists: false })
                if matches!(self.state, State::LoggingIn { again: true }) =>
            {
                let reason = format!("there is no account {:?} any more", self.name);
                return self.end(Some(Told::Lost { reason }), context);
            }
            (Want::Login, Reply::Password { exists }) => {
                return self.request(Want::Pass { new: !exists }, context);
            }
            (Want::Pass { new }, Reply::Welcome { sid }) => {
                if new {
                    context.told.push(notice("a new account"));
                }
                return self.enter(sid, context);
            }
            // Of any other reason, as a full room, it would not be true.
            (Want::Pass { new: true }, Reply::Denied { text })
                if text == Refusal::Denied.to_string() =>
            {
                let reason = format!("{text}; {NO_ACCOUNT}");
                return self.end(Some(Told::Refused { reason }), context);
            }
            (Want::Login | Want::Pass { .. }, Reply::Denied { text } | Reply::Error { text }) => {
                let reason = text.to_string();
                return self.end(Some(Told::Refused { reason }), context);
            }
            (Want::Exit, Reply::Bye | Reply::Gone) => return self.end(None, context),
            (Want::Say { text }, Reply::Ready) => self.request(Want::Said { text }, context),
            (Want::Whisper { to, text }, Reply::Users { .. }) => {
                self.request(Want::Whispered { to, text }, context);
            }
            (Want::Ping, Reply::Pong)
            | (Want::Said { .. } | Want::Whispered { .. }, Reply::Sent { .. }) => {}
            (Want::Whispered { .. }, Reply::NoUser { name }) => {
                context.told.push(notice(&format!("{name} is not online")));
            }
            (Want::Who, Reply::Users { names, more }) => tell_members(names, more, context),
            (
                want @ (Want::Ping
                | Want::Say { .. }
                | Want::Said { .. }
                | Want::Whisper { .. }
                | Want::Whispered { .. }
                | Want::Who),
                Reply::Gone,
            ) => return self.begin_anew(want, flight.sent, context),
            (want, Reply::Error { text }) => {
                let what = want.told("not done");
                context.told.push(notice(&format!("{what} ({text})")));
            }
            // No answer to this: the right one may come yet.
            (want, _) => {
                self.flight = Some(Flight { want, ..flight });
                return;
            }
        }
        if let State::In {
            answered, ping_at, ..
        } = &mut self.state
        {
            *answered = true;
            *ping_at = context.now + KEEP_ALIVE;
        }
        self.go_on(context);
    }

    fn enter(&mut self, sid: Secret, context: &mut Context<'_>) {
        context.told.push(match self.state {
            State::LoggingIn { again: true } => notice("logged in again"),
            State::New
            | State::LoggingIn { again: false }
            | State::In { .. }
            | State::Leaving { .. }
            | State::Over { .. } => Told::Joined {
                name: self.name.clone(),
                room: "lobby".to_string(),
            },
        });
        self.state = State::In {
            sid,
            answered: false,
            ping_at: context.now + KEEP_ALIVE,
        };
        // It proves our address: before that the server sends us next to nothing.
        self.request(Want::Ping, context);
    }

    /// The server knows our session no more.
    fn begin_anew(&mut self, want: Want, sent: u32, context: &mut Context<'_>) {
        if let State::In {
            answered: false, ..
        } = self.state
        {
            let reason = "the server ends every session at once".to_string();
            return self.end(Some(Told::Lost { reason }), context);
        }
        let text = "the server has ended our session: logging in again";
        context.told.push(notice(text));
        match want {
            // Sent once and answered with that: it was not carried out.
            Want::Said { text } if sent == 1 => self.queue.push_front(Want::Say { text }),
            Want::Whispered { to, text } if sent == 1 => {
                self.queue.push_front(Want::Whisper { to, text });
            }
            // Only the answer may have been lost: said twice would be worse than asked about.
            Want::Said { .. } | Want::Whispered { .. } => {
                context.told.push(notice(&want.told("not heard back")));
            }
            Want::Say { .. } | Want::Whisper { .. } | Want::Who => self.queue.push_front(want),
            Want::Login | Want::Pass { .. } | Want::Ping | Want::Exit => {}
        }
        self.log_in(true, context);
    }

    /// No answer in all that time.
    fn give_up(&mut self, want: &Want, context: &mut Context<'_>) {
        match want {
            Want::Login | Want::Pass { .. } | Want::Ping => {
                let reason = "the server does not answer".to_string();
                self.end(Some(Told::Lost { reason }), context);
            }
            Want::Exit => self.end(None, context),
            Want::Say { .. }
            | Want::Said { .. }
            | Want::Whisper { .. }
            | Want::Whispered { .. }
            | Want::Who => {
                context.told.push(notice(&want.told("not heard back")));
                // Is it there at all?
                self.request(Want::Ping, context);
            }
        }
    }

    /// Takes what the person says, as lines that each fit into a frame.
    fn say(&mut self, to: Option<&str>, text: &str, context: &mut Context<'_>) {
        let space = frame::data_space(to.unwrap_or_default());
        for text in split(&harmless(text), space) {
            let text = text.to_string();
            let want = match to {
                None => Want::Say { text },
                Some(to) => Want::Whisper {
                    to: to.to_string(),
                    text,
                },
            };
            self.enqueue(want, context);
        }
    }

    fn enqueue(&mut self, want: Want, context: &mut Context<'_>) {
        if self.queue.len() >= MAX_QUEUED {
            let what = want.told("not sent, too much is waiting");
            return context.told.push(notice(&what));
        }
        self.queue.push_back(want);
        self.go_on(context);
    }

    fn leave(&mut self, context: &mut Context<'_>) {
        let State::In { sid, .. } = self.state else {
            // There is no session to end, or it is ending.
            if !matches!(self.state, State::Leaving { .. }) {
                self.end(None, context);
            }
            return;
        };
        let flight = self.flight.take().filter(|flight| flight.want.is_asked());
        if let Some(flight) = flight {
            let what = flight.want.told("not heard back");
            context.told.push(notice(&what));
        }
        for want in self.queue.drain(..) {
            context.told.push(notice(&want.told("not sent")));
        }
        self.state = State::Leaving { sid };
        self.request(Want::Exit, context);
    }
}

impl Flight {
    /// How long the answer to what was just sent is waited for.
    fn wait(&self) -> Duration {
        match self.want {
            // Nothing hangs on a farewell.
            Want::Exit => ASK_AGAIN,
            _ if self.sent > self.want.repeats() => LAST_WAIT,
            _ => ASK_AGAIN,
        }
    }
}

impl Want {
    /// Whether the person asked for it, and waits for what becomes of it.
    fn is_asked(&self) -> bool {
        match self {
            Want::Say { .. }
            | Want::Said { .. }
            | Want::Whisper { .. }
            | Want::Whispered { .. }
            | Want::Who => true,
            Want::Login | Want::Pass { .. } | Want::Ping | Want::Exit => false,
        }
    }

    fn repeats(&self) -> u32 {
        match self {
            Want::Pass { .. } => PASS_REPEATS,
            Want::Exit => EXIT_REPEATS,
            Want::Login
            | Want::Ping
            | Want::Say { .. }
            | Want::Said { .. }
            | Want::Whisper { .. }
            | Want::Whispered { .. }
            | Want::Who => REPEATS,
        }
    }

    /// What became of it, for the person.
    fn told(&self, how: &str) -> String {
        match self {
            Want::Say { text }
            | Want::Said { text }
            | Want::Whisper { text, .. }
            | Want::Whispered { text, .. } => format!("{how}: {text}"),
            Want::Who => format!("{how}: who is here"),
            Want::Login | Want::Pass { .. } => format!("{how}: logging in"),
            Want::Ping => format!("{how}: asking whether the server is there"),
            Want::Exit => format!("{how}: leaving"),
        }
    }
}

impl ClientSession for Session {
    /// A datagram that breaks the rules is only dropped: anybody may have sent it.
    type Violation = Infallible;

    fn start(&mut self, context: &mut Context<'_>) {
        self.log_in(false, context);
    }

    fn handle_datagram(&mut self, _: SocketAddr, datagram: &[u8], context: &mut Context<'_>) {
        let Ok(heard) = frame::decode_heard(datagram) else {
            return;
        };
        if matches!(self.state, State::New | State::Over { .. }) {
            return;
        }
        let told = match heard {
            Heard::Reply { seq, reply } => return self.handle_reply(seq, reply, context),
            // Logged in again it would be put out once more; while it leaves it gets what it wants.
            Heard::Message { from, text }
                if is_put_out(from, text) && !matches!(self.state, State::Leaving { .. }) =>
            {
                let reason = text.to_string();
                return self.end(Some(Told::Lost { reason }), context);
            }
            Heard::Message { from, text } => Told::Message {
                from: from.to_string(),
                text: text.to_string(),
                time: None,
                history: false,
            },
            Heard::Direct { from, text } => Told::Direct {
                from: from.to_string(),
                text: text.to_string(),
            },
            Heard::Arrived { name } => Told::Arrived {
                name: name.to_string(),
            },
            Heard::Left { name } => Told::Left {
                name: name.to_string(),
            },
        };
        context.told.push(told);
    }

    fn handle_command(
        &mut self,
        command: Command<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Unsupported> {
        match command {
            Command::Say(text) => self.say(None, text, context),
            // A blank in it would make the rest a part of the text.
            Command::Direct { to, .. } if Name::parse(to).is_err() => {
                context.told.push(notice(&format!("{to:?} is not a name")));
            }
            Command::Direct { to, text } => self.say(Some(to), text, context),
            Command::Who => self.enqueue(Want::Who, context),
            Command::Leave => self.leave(context),
            Command::Start { .. } | Command::Chat { .. } | Command::End { .. } => {
                return Err(Unsupported);
            }
        }
        Ok(())
    }

    fn handle_timeout(&mut self, context: &mut Context<'_>) {
        let now = context.now;
        match &mut self.flight {
            Some(flight) if flight.next > now => {}
            Some(flight) if flight.sent <= flight.want.repeats() => {
                flight.sent += 1;
                flight.next = now + flight.wait();
                self.send(context);
            }
            Some(_) => {
                if let Some(flight) = self.flight.take() {
                    self.give_up(&flight.want, context);
                }
            }
            None => {
                if matches!(self.state, State::In { ping_at, .. } if ping_at <= now) {
                    self.request(Want::Ping, context);
                }
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        match (&self.flight, &self.state) {
            (Some(flight), _) => Some(flight.next),
            (None, State::In { ping_at, .. }) => Some(*ping_at),
            (
                None,
                State::New | State::LoggingIn { .. } | State::Leaving { .. } | State::Over { .. },
            ) => None,
        }
    }

    fn is_joined(&self) -> bool {
        matches!(self.state, State::In { .. })
    }

    fn unanswered(&self) -> usize {
        let flight = self.flight.as_ref().filter(|f| f.want.is_asked());
        self.queue.len() + flight.iter().count()
    }

    fn has_left(&self) -> bool {
        matches!(self.state, State::Over { left: true })
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

fn tell_members(names: &str, more: usize, context: &mut Context<'_>) {
    let names = names.split(' ').filter(|name| !name.is_empty());
    context.told.push(Told::Members {
        names: names.map(str::to_string).collect(),
    });
    if more > 0 {
        context.told.push(notice(&format!("and {more} more")));
    }
}

fn notice(text: &str) -> Told {
    Told::Notice {
        text: text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::properties::{Client, SID, message};
    use super::*;

    #[test]
    fn logging_in_and_the_proof_right_after_it() {
        let mut client = Client::new("momodou", "open sesame");
        client.start();
        assert_eq!(client.sent(), ["C 1 LOGIN momodou"]);
        client.hears("C 1 PASSWORD new");
        assert_eq!(client.sent(), ["C 2 PASS momodou open sesame"]);
        assert!(!client.session.is_joined());
        assert!(client.told().is_empty(), "nothing is made yet");
        client.hears(&format!("C 2 WELCOME {SID}"));
        assert_eq!(client.sent(), [format!("C 3 PING {SID}")]);
        assert!(client.session.is_joined());
        let (name, room) = ("momodou".to_string(), "lobby".to_string());
        assert_eq!(
            client.told(),
            [notice("a new account"), Told::Joined { name, room }]
        );
        client.hears("C 3 PONG");
        assert!(client.told().is_empty() && client.sent().is_empty());
        let shown = format!("{:?}", client.session);
        assert!(!shown.contains("sesame") && !shown.contains(SID), "{shown}");
    }

    #[test]
    fn requests_are_repeated_with_their_number_and_not_for_ever() {
        let mut client = Client::new("momodou", "x");
        client.start();
        client.advance(Duration::from_secs(3));
        assert_eq!(client.sent(), vec!["C 1 LOGIN momodou"; 7]);
        client.advance(Duration::from_secs(10));
        assert!(client.sent().is_empty());
        assert!(matches!(client.told()[..], [Told::Lost { .. }]));
        assert_eq!(client.session.next_deadline(), None);

        // Somebody hashes, and others wait before us.
        let mut client = Client::new("momodou", "x");
        client.start();
        client.hears("C 1 PASSWORD existing");
        client.advance(Duration::from_secs(29));
        assert!(client.told().is_empty());
        client.hears(&format!("C 2 WELCOME {SID}"));
        assert!(client.session.is_joined());
    }

    #[test]
    fn a_refusal_is_told_and_final() {
        for (login, line) in [
            (true, "C 1 ERROR not a name"),
            (false, "C 2 DENIED wrong name or password"),
        ] {
            let mut client = Client::new("momodou", "x");
            client.start();
            if !login {
                client.hears("C 1 PASSWORD existing");
            }
            client.hears(line);
            let reason = line.splitn(4, ' ').last().unwrap().to_string();
            assert_eq!(client.told(), [Told::Refused { reason }]);
            client.hears(&format!("C 2 WELCOME {SID}"));
            assert!(!client.session.is_joined() && client.session.next_deadline().is_none());
        }
    }

    #[test]
    fn a_new_name_that_is_denied_is_explained() {
        let mut client = Client::new("momodou", "x");
        client.start();
        client.hears("C 1 PASSWORD new");
        client.hears("C 2 DENIED wrong name or password");
        let reason = format!("wrong name or password; {NO_ACCOUNT}");
        assert_eq!(client.told(), [Told::Refused { reason }]);
        for text in ["room full", "the server stops soon", "busy, try again"] {
            let mut client = Client::new("momodou", "x");
            client.start();
            client.hears("C 1 PASSWORD new");
            client.hears(&format!("C 2 DENIED {text}"));
            let reason = text.to_string();
            assert_eq!(client.told(), [Told::Refused { reason }]);
        }
    }

    #[test]
    fn to_speak_is_two_steps_and_one_thing_goes_after_the_other() {
        let mut client = Client::joined();
        client.command(Command::Say("hi  there")).unwrap();
        client
            .command(Command::Direct {
                to: "bob",
                text: "psst",
            })
            .unwrap();
        client.command(Command::Who).unwrap();
        assert_eq!(client.session.unanswered(), 3);
        assert_eq!(client.sent(), [format!("C 4 PM {SID}")]);
        client.hears("C 3 READY");
        client.hears("C 4 PONG");
        assert!(client.sent().is_empty(), "no answer to that");
        client.hears("C 4 READY");
        assert_eq!(client.sent(), [format!("D 5 {SID} hi  there")]);
        client.advance(Duration::from_millis(500));
        assert_eq!(client.sent(), [format!("D 5 {SID} hi  there")], "a repeat");
        client.hears("C 5 SENT 3");
        client.hears("C 5 SENT 3");
        assert_eq!(client.session.unanswered(), 2);
        assert_eq!(client.sent(), [format!("C 6 DM {SID}")]);
        client.hears("C 6 USERS momodou bob");
        assert_eq!(client.sent(), [format!("D 7 {SID} bob psst")]);
        assert!(client.told().is_empty());
        client.hears("C 7 NOUSER bob");
        assert_eq!(client.told(), [notice("bob is not online")]);
        assert_eq!(client.sent(), [format!("C 8 DM {SID}")]);
        client.hears("C 8 USERS momodou bob");
        let names = vec!["momodou".to_string(), "bob".to_string()];
        assert_eq!(client.told(), [Told::Members { names }]);
        assert_eq!(client.session.unanswered(), 0);
    }

    #[test]
    fn what_others_say() {
        let mut client = Client::joined();
        client.hears("D PM bob hi  there");
        client.hears("D DM bob psst");
        client.hears("C 0 ARRIVED carol");
        client.hears("C 0 LEFT carol");
        for nonsense in ["", "hello", "D XX bob hi", "C 9 GONE", "C 0 GONE"] {
            client.hears(nonsense);
        }
        let (from, text, name) = ("bob".to_string(), "psst".to_string(), "carol".to_string());
        let told = [
            message("bob", "hi  there"),
            Told::Direct { from, text },
            Told::Arrived { name: name.clone() },
            Told::Left { name },
        ];
        assert_eq!(client.told(), told);
    }

    #[test]
    fn a_line_that_is_not_answered_is_told_and_then_the_server_is_asked() {
        let mut client = Client::joined();
        client.command(Command::Say("one")).unwrap();
        client.hears("C 4 READY");
        client.advance(Duration::from_millis(4499));
        assert!(client.told().is_empty());
        client.advance(Duration::from_millis(1));
        assert_eq!(client.told(), [notice("not heard back: one")]);
        assert_eq!(client.session.unanswered(), 0);
        assert_eq!(client.sent().pop(), Some(format!("C 6 PING {SID}")));
        client.advance(Duration::from_secs(5));
        assert!(matches!(client.told()[..], [Told::Lost { .. }]));
    }

    #[test]
    fn a_silent_session_is_kept() {
        let mut client = Client::joined();
        for seq in 4..7 {
            client.advance(Duration::from_secs(60));
            assert_eq!(client.sent(), [format!("C {seq} PING {SID}")]);
            client.hears(&format!("C {seq} PONG"));
        }
        assert!(client.told().is_empty());
    }

    #[test]
    fn an_ended_session_is_begun_anew_and_nothing_is_said_twice() {
        let mut client = Client::joined();
        client.command(Command::Say("one")).unwrap();
        client.command(Command::Say("two")).unwrap();
        client.hears("C 4 GONE");
        assert_eq!(client.sent().pop().as_deref(), Some("C 5 LOGIN momodou"));
        assert_eq!(client.session.unanswered(), 2);
        client.hears("C 5 PASSWORD existing");
        client.hears(&format!("C 6 WELCOME {SID}"));
        client.hears("C 7 PONG");
        assert_eq!(client.sent().pop(), Some(format!("C 8 PM {SID}")));
        client.hears("C 8 READY");
        client.advance(Duration::from_millis(500));
        client.told();
        // It may have been said, and the answer lost.
        client.hears("C 9 GONE");
        assert!(client.told().contains(&notice("not heard back: one")));
        assert_eq!(client.session.unanswered(), 1);
        // A server that ends what it has just begun is left alone.
        client.hears("C 10 PASSWORD existing");
        client.hears(&format!("C 11 WELCOME {SID}"));
        client.hears("C 12 GONE");
        assert!(matches!(
            client.told()[..],
            [Told::Notice { .. }, Told::Lost { .. }]
        ));
    }

    #[test]
    fn who_is_put_out_does_not_come_back_by_itself() {
        let mut client = Client::joined();
        client.command(Command::Say("one")).unwrap();
        client.sent();
        client.hears("D PM bob kicked: too loud");
        assert_eq!(client.told(), [message("bob", "kicked: too loud")]);
        client.hears("D PM <server> kicked: the account was deleted");
        let reason = "kicked: the account was deleted".to_string();
        assert_eq!(client.told(), [Told::Lost { reason }]);
        client.hears("C 4 GONE");
        client.advance(Duration::from_secs(600));
        assert!(client.sent().is_empty() && client.told().is_empty());
        assert_eq!(client.session.next_deadline(), None);
        assert!(!client.session.has_left());
    }

    #[test]
    fn an_account_that_is_gone_is_not_made_anew() {
        // The datagram that told was lost.
        let mut client = Client::joined();
        client.command(Command::Say("one")).unwrap();
        client.hears("C 4 GONE");
        client.sent();
        client.told();
        client.hears("C 5 PASSWORD new");
        assert!(client.sent().is_empty());
        let reason = "there is no account \"momodou\" any more".to_string();
        assert_eq!(client.told(), [Told::Lost { reason }]);
        assert_eq!(client.session.next_deadline(), None);
    }

    #[test]
    fn leaving_is_answered_or_tried_three_times() {
        let mut client = Client::joined();
        client.command(Command::Say("one")).unwrap();
        client.command(Command::Say("two")).unwrap();
        client.command(Command::Leave).unwrap();
        assert_eq!(
            client.told(),
            [notice("not heard back: one"), notice("not sent: two")]
        );
        assert_eq!(client.sent().pop(), Some(format!("C 5 EX {SID}")));
        assert!(!client.session.has_left());
        client.hears("C 5 BYE");
        assert!(client.session.has_left());

        let mut client = Client::joined();
        client.command(Command::Leave).unwrap();
        client.advance(Duration::from_millis(1499));
        assert!(!client.session.has_left());
        client.advance(Duration::from_millis(1));
        assert!(client.session.has_left());
        assert_eq!(client.sent().len(), 3);

        let mut client = Client::new("momodou", "x");
        client.start();
        client.command(Command::Leave).unwrap();
        assert!(client.session.has_left());
    }

    #[test]
    fn long_lines_and_wrong_names() {
        let mut client = Client::joined();
        client.command(Command::Say(&"é".repeat(2048))).unwrap();
        assert_eq!(client.session.unanswered(), 2);
        client
            .command(Command::Direct {
                to: "b b",
                text: "x",
            })
            .unwrap();
        assert_eq!(client.told(), [notice("\"b b\" is not a name")]);
        assert_eq!(
            client.command(Command::Start { to: "bob" }),
            Err(Unsupported)
        );
    }
}
