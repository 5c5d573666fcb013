//! Owns the client's loop: what a person types goes to the session and over its transport, and what comes
//! back is shown. Knows no protocol, only [`ClientSession`](crate::protocol::ClientSession).
//!
//! A turn is: wait; take in what signals, the sockets and the person have; let what is due fall due;
//! send out to both sides; let go of what has nothing more to send. Nothing in it blocks, and what one side
//! does not take stops the reading of the other, never the hearing of Ctrl-C.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use chrono::Timelike;

use super::console::{Console, Typed};
use super::failure::{Failure, said_in_passing};
use super::input::{self, Input};
use super::link::{Link, Received};
use super::ports::Ports;
use super::run::SIGNALS;
use super::show::Event;
use super::sockets::Sockets;
use crate::chat::TimeOfDay;
use crate::protocol::{AnySession, Command, Context, Outbound, PeerEvent, Told, Unsupported};
use crate::reactor::{Poller, Signal, Signals};

/// How long a server may take to let us in: more than a session which has patience of its own has.
const JOINING_LIMIT: Duration = Duration::from_secs(40);

/// How long nothing may be sent and nothing confirmed after the input's end, while something should be.
const CONFIRMATION_LIMIT: Duration = Duration::from_secs(5);

/// How long leaving may take: the rest of the output, and then the server's own goodbye.
const LEAVING_LIMIT: Duration = Duration::from_secs(2);

/// Reads from a stream per turn, so that a server which never stops talking leaves room for a person.
const READS_PER_TURN: usize = 8;

/// How many lines of ours are remembered that a server may say back.
const MAX_SHOWN: usize = 64;

/// With so many unconfirmed, nothing more is said by datagrams: those have no other brake, and what is too
/// much for a server is lost.
const MAX_UNANSWERED: usize = 16;

/// One session and one person.
pub struct Conversation {
    session: AnySession,
    sockets: Sockets,
    console: Console,
    /// The protocol's name, for what it has nothing for.
    protocol: &'static str,
    /// Ours, once we are in.
    name: Option<String>,
    /// What we have shown ourselves, latest last: some servers say it back although theirs is a protocol where
    /// none should.
    shown: VecDeque<String>,
    input: Input,
    stage: Stage,
    /// Typed and not looked at, because we are not in yet or must not say so much at once.
    typed: VecDeque<Typed>,
    /// Somebody asked us to go, so nothing may last longer than this any more.
    hurry: Option<Instant>,
}

/// ```text
///            let in      input's end     all answered      FIN, or has left
///   Joining ────────▶ Talking ────▶ Finishing ────▶ Leaving ────▶ Over
///      │                 │              │              ▲           ▲
///      ├─────────────────┴──────────────┴─ Ctrl-C, ────┘           │
///      │                                   /quit                   │
///      └────────────── (from any) lost, refused, closed ───────────┘
/// ```
enum Stage {
    /// The server has not let us in yet.
    Joining { deadline: Instant },
    /// In.
    Talking,
    /// There is no more input. `progress` is how far things were when the deadline was set.
    Finishing {
        deadline: Instant,
        progress: Progress,
    },
    /// The last bytes go out, then our half of the stream closes, then the server's; without one, the session
    /// knows when it has left. `confirm` says whether what is not confirmed by then is a failure.
    Leaving { deadline: Instant, confirm: bool },
    /// Nobody is talked with any more; what is still to be read on standard output is waited for.
    Over { result: Result<(), Failure> },
}

/// Grows as long as a server takes what we send and answers it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Progress {
    sent: u64,
    unanswered: usize,
}

/// What a session put into its [`Context`].
#[derive(Default)]
struct Outcome {
    told: Vec<Told>,
    out: Outbound,
}

impl Outcome {
    fn context(&mut self) -> Context<'_> {
        Context {
            now: Instant::now(),
            time: local_time(),
            told: &mut self.told,
            out: &mut self.out,
        }
    }
}

impl Conversation {
    /// Starts the session: its sockets stand.
    pub fn new(
        session: AnySession,
        sockets: Sockets,
        console: Console,
        protocol: &'static str,
        input: Input,
    ) -> Conversation {
        let mut conversation = Conversation {
            session,
            sockets,
            console,
            protocol,
            name: None,
            shown: VecDeque::new(),
            input,
            stage: Stage::Joining {
                deadline: Instant::now() + JOINING_LIMIT,
            },
            typed: VecDeque::new(),
            hurry: None,
        };
        let mut outcome = Outcome::default();
        conversation.session.start(&mut outcome.context());
        conversation.follow(outcome);
        conversation
    }

    /// Talks until it is over.
    pub fn run(mut self, poller: &mut Poller, signals: &mut Signals) -> Result<(), Failure> {
        self.send_out();
        loop {
            if let Stage::Over { result } = &mut self.stage
                && self.console.is_drained()
            {
                let result = std::mem::replace(result, Ok(()));
                // What was to be shown and could not be is lost, however politely we left.
                let lost = self.console.take_failure().map_or(Ok(()), Err);
                return result.and(lost.map_err(Failure::system("writing standard output")));
            }
            let mut signalled = false;
            let waited = poller.wait(self.timeout(Instant::now()));
            for readiness in waited.map_err(Failure::system("waiting"))? {
                signalled |= readiness.token == SIGNALS;
                self.sockets.handle_readiness(readiness);
            }
            if signalled {
                signals
                    .pending()
                    .for_each(|signal| self.handle_signal(signal));
            }
            self.receive();
            self.receive_datagrams();
            self.receive_from_peers(Instant::now());
            self.take_in();
            self.handle_typed();
            self.fall_due(Instant::now());
            self.send_out();
            self.let_go();
        }
    }

    /// Until when there is nothing to do, unless the poll says so.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        let at_once = (self.wants_sockets() && self.sockets.may_receive())
            || (self.wants_input() && self.console.has_input())
            || (!self.typed.is_empty() && self.may_talk())
            || self.console.can_send_out();
        if at_once {
            return Some(Duration::ZERO);
        }
        let due = match &self.stage {
            Stage::Joining { deadline }
            | Stage::Finishing { deadline, .. }
            | Stage::Leaving { deadline, .. } => Some(*deadline),
            Stage::Talking | Stage::Over { .. } => None,
        };
        let due = due.into_iter().chain(self.hurry);
        let due = due.chain(self.session_deadline());
        let next = due.chain(self.sockets.next_deadline()).min()?;
        Some(next.saturating_duration_since(now))
    }

    /// With too much waiting to be read, nothing more is got: the server will see it by its own means.
    fn wants_sockets(&self) -> bool {
        !matches!(self.stage, Stage::Over { .. }) && !self.console.is_congested()
    }

    /// While nothing is got, no answer is, and the session is not to lose its patience about that.
    fn session_deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Over { .. } => None,
            Stage::Joining { .. }
            | Stage::Talking
            | Stage::Finishing { .. }
            | Stage::Leaving { .. } => {
                let deadline = self.session.next_deadline();
                deadline.filter(|_| !self.console.is_congested())
            }
        }
    }

    /// Keys are always read, for Ctrl-C is one of them. Lines are, when they can be said.
    fn wants_input(&self) -> bool {
        self.console.is_terminal() || (self.typed.is_empty() && self.may_talk())
    }

    /// Whether a line may be said now.
    fn may_talk(&self) -> bool {
        let is_too_much =
            self.sockets.ports.is_some() && self.session.unanswered() >= MAX_UNANSWERED;
        matches!(self.stage, Stage::Talking)
            && !is_too_much
            && !self.sockets.is_congested()
            && !self.console.is_congested()
    }

    fn handle_signal(&mut self, signal: Signal) {
        match signal {
            Signal::Interrupt | Signal::Terminate | Signal::Hangup | Signal::User2 => {
                self.interrupt()
            }
            Signal::WindowChange => self.console.resize(),
        }
    }

    /// Asked politely once, we leave politely; asked twice, at once.
    fn interrupt(&mut self) {
        let now = Instant::now();
        let insisted = self.hurry.is_some();
        self.hurry = Some(if insisted { now } else { now + LEAVING_LIMIT });
        match self.stage {
            Stage::Leaving { .. } if insisted => self.end_left(),
            Stage::Over { .. } => {}
            Stage::Joining { .. }
            | Stage::Talking
            | Stage::Finishing { .. }
            | Stage::Leaving { .. } => self.leave(false),
        }
    }

    fn receive(&mut self) {
        for _ in 0..READS_PER_TURN {
            if !self.wants_sockets() {
                return;
            }
            let Some(link) = self.sockets.link.as_mut().filter(|link| link.may_receive()) else {
                return;
            };
            match link.receive() {
                Ok(Received::Bytes) => self.handle_bytes(),
                Ok(Received::Nothing) => return,
                Ok(Received::End) => self.handle_end(None),
                Err(error) => self.handle_end(Some(&error)),
            }
        }
    }

    fn handle_bytes(&mut self) {
        let Some(link) = &mut self.sockets.link else {
            return;
        };
        let mut outcome = Outcome::default();
        let used = self
            .session
            .handle_bytes(link.input(), &mut outcome.context());
        if let Ok(used) = used {
            link.use_up(used);
        }
        self.follow(outcome);
        if let Err(violation) = used {
            self.lose(&format!("the server broke the protocol: {violation}"));
        }
    }

    fn receive_datagrams(&mut self) {
        let mut datagrams = Vec::new();
        if self.wants_sockets()
            && let Some(ports) = &mut self.sockets.ports
        {
            ports.receive(&mut datagrams);
        }
        for (from, datagram) in datagrams {
            if self.is_over() {
                return;
            }
            let mut outcome = Outcome::default();
            self.session
                .handle_datagram(from, &datagram, &mut outcome.context());
            self.follow(outcome);
        }
    }

    fn receive_from_peers(&mut self, now: Instant) {
        if !self.wants_sockets() {
            return;
        }
        self.sockets.peers.advance(now);
        // First that a stream stands, then what comes over it; that it has ended is told in the next turn.
        while !self.is_over()
            && let Some((link, news)) = self.sockets.peers.next_news()
        {
            let mut outcome = Outcome::default();
            self.session
                .handle_peer(link, news.event(), &mut outcome.context());
            self.follow(outcome);
        }
        for link in self.sockets.peers.readable() {
            for _ in 0..READS_PER_TURN {
                if !self.sockets.peers.receive(link) {
                    break;
                }
                let mut outcome = Outcome::default();
                let bytes = PeerEvent::Bytes(self.sockets.peers.input(link));
                let used = self
                    .session
                    .handle_peer(link, bytes, &mut outcome.context());
                self.sockets.peers.use_up(link, used);
                self.follow(outcome);
                if self.is_over() {
                    return;
                }
            }
        }
    }

    /// Does what the session wants done, and shows what it told.
    fn follow(&mut self, outcome: Outcome) {
        let Outcome { told, mut out } = outcome;
        if let Some(link) = &mut self.sockets.link {
            link.output().append(&mut out.stream);
        }
        if let Some(ports) = &mut self.sockets.ports {
            for (to, bytes) in out.datagrams {
                ports.push(to, bytes);
            }
        }
        for call in out.calls {
            self.sockets.peers.call(call, Instant::now());
        }
        for told in told {
            match told {
                Told::Refused { reason } => {
                    let server = self.sockets.server();
                    return self.fail(Failure::Refused { server, reason });
                }
                Told::Lost { reason } => return self.lose(&reason),
                Told::Closed { reason } => {
                    let closed = Told::Closed {
                        reason: reason.clone(),
                    };
                    self.console.show(&Event::Told(closed));
                    return self.end(Ok(()), reason);
                }
                Told::Message { from, text, .. } if self.was_shown(&from, &text) => {}
                told => {
                    if let Told::Joined { name, .. } = &told {
                        self.name = Some(name.clone());
                    }
                    self.console.show(&Event::Told(told));
                }
            }
        }
        if matches!(self.stage, Stage::Joining { .. }) && self.session.is_joined() {
            self.stage = Stage::Talking;
        }
    }

    /// The server's half of the connection is over.
    fn handle_end(&mut self, error: Option<&io::Error>) {
        let in_the_middle = |link: &Link<_>| !link.input().is_empty();
        let in_the_middle = self.sockets.link.as_ref().is_some_and(in_the_middle);
        let mut outcome = Outcome::default();
        let as_it_should = self.session.handle_stream_end(&mut outcome.context());
        self.follow(outcome);
        if as_it_should {
            self.sockets.link = None;
            return;
        }
        let how = match error {
            None => "the server closed the connection".to_owned(),
            Some(error) => said_in_passing(error),
        };
        match self.stage {
            // It is the answer to our own end, or as good as that. A reset is not: the server had cut us.
            Stage::Leaving { confirm: true, .. } | Stage::Finishing { .. }
                if error.is_none() && self.is_all_answered() =>
            {
                self.end_left();
            }
            Stage::Joining { .. } => self.lose(&format!("{how} before it let us in")),
            Stage::Talking if in_the_middle => {
                self.lose(&format!("{how} in the middle of a message"));
            }
            Stage::Talking
            | Stage::Finishing { .. }
            | Stage::Leaving { .. }
            | Stage::Over { .. } => self.lose(&how),
        }
    }

    fn take_in(&mut self) {
        if !self.wants_input() {
            return;
        }
        let mut typed = Vec::new();
        self.console.take_in(&mut typed);
        for typed in typed {
            match typed {
                // It was hung up: nobody is there to wait for confirmations.
                Typed::End if self.console.is_terminal() => self.leave(false),
                Typed::Leave => self.interrupt(),
                Typed::Line(_) | Typed::End => self.typed.push_back(typed),
            }
        }
    }

    fn handle_typed(&mut self) {
        while self.may_talk()
            && let Some(typed) = self.typed.pop_front()
        {
            match typed {
                Typed::Line(line) => self.handle_line(&line),
                Typed::End | Typed::Leave => self.finish(),
            }
        }
    }

    fn handle_line(&mut self, line: &str) {
        match self.input.read(line) {
            input::Typed::Nothing => {}
            input::Typed::Say(text) => {
                for text in input::messages(text) {
                    self.command(Command::Say(&text), "public messages");
                }
            }
            input::Typed::Direct { to, text } => {
                for text in input::messages(text) {
                    self.command(
                        Command::Direct {
                            to: &to,
                            text: &text,
                        },
                        "/msg",
                    );
                }
            }
            input::Typed::Who => self.command(Command::Who, "/who"),
            input::Typed::Start { to } => self.command(Command::Start { to }, "/start"),
            input::Typed::Chat { to, text } => {
                for text in input::messages(text) {
                    self.command(Command::Chat { to, text: &text }, "/chat");
                }
            }
            input::Typed::End { with } => self.command(Command::End { with }, "/end"),
            input::Typed::Help => {
                let help = self.input.help();
                help.iter().for_each(|line| self.notice(line));
            }
            // A script that ends with it wants to know what became of its lines, a person wants to go.
            input::Typed::Leave if self.console.is_terminal() => self.leave(false),
            input::Typed::Leave => self.finish(),
            input::Typed::Ask { question, and_who } => {
                if and_who {
                    self.command(Command::Who, "/who");
                }
                self.notice(&question);
            }
            input::Typed::Cancelled => self.notice("cancelled"),
            input::Typed::Incomplete { usage } => self.notice(&format!("usage: {usage}")),
            input::Typed::Unknown { word } => {
                let text = format!(
                    "there is no command /{word}: /help lists them, and //{word} says /{word}"
                );
                self.notice(&text);
            }
        }
    }

    fn command(&mut self, command: Command<'_>, what: &str) {
        if let Some(ports) = &mut self.sockets.ports {
            ports.expect_news();
        }
        let mut outcome = Outcome::default();
        let done = self.session.handle_command(command, &mut outcome.context());
        // A session that has something to say to that has not taken it.
        let taken = done.is_ok() && outcome.told.is_empty();
        self.follow(outcome);
        if taken {
            self.show_said(command);
        }
        if let Err(Unsupported) = done {
            self.notice(&format!("{} has nothing for {what}", self.protocol));
        }
    }

    /// Whether that is ours and stands there already: once for each time that we said it.
    fn was_shown(&mut self, from: &str, text: &str) -> bool {
        let is_ours = self.name.as_deref() == Some(from);
        let at = self.shown.iter().position(|shown| shown == text);
        at.filter(|_| is_ours)
            .and_then(|at| self.shown.remove(at))
            .is_some()
    }

    /// What we said and nobody says back to us.
    fn show_said(&mut self, command: Command<'_>) {
        let (to, text) = match command {
            Command::Say(text) => (None, text),
            Command::Direct { to, text } | Command::Chat { to, text } => (Some(to), text),
            Command::Who | Command::Start { .. } | Command::End { .. } | Command::Leave => return,
        };
        if !self.input.echoes()
            && self.console.is_for_a_person()
            && let Some(name) = &self.name
        {
            if to.is_none() {
                if self.shown.len() == MAX_SHOWN {
                    self.shown.pop_front();
                }
                self.shown.push_back(text.to_owned());
            }
            self.console.show(&Event::Said {
                name: name.clone(),
                to: to.map(str::to_owned),
                text: text.to_owned(),
            });
        }
    }

    fn notice(&mut self, text: &str) {
        let text = text.to_owned();
        self.console.show(&Event::Told(Told::Notice { text }));
    }

    fn fall_due(&mut self, now: Instant) {
        let progress = self.progress();
        let answered = self.is_all_answered();
        let congested = self.console.is_congested();
        if let Some(deadline) = self.session_deadline()
            && deadline <= now
        {
            let mut outcome = Outcome::default();
            self.session.handle_timeout(&mut outcome.context());
            self.follow(outcome);
        }
        match &mut self.stage {
            // What keeps us from hearing the answer is our own reader, who may take any time.
            Stage::Joining { deadline } if congested => *deadline = now + JOINING_LIMIT,
            Stage::Joining { deadline } if *deadline <= now => {
                let limit = JOINING_LIMIT.as_secs();
                self.lose(&format!("the server did not let us in within {limit} s"));
            }
            Stage::Finishing {
                deadline,
                progress: last,
            } if congested || *last != progress => {
                *last = progress;
                *deadline = now + CONFIRMATION_LIMIT;
            }
            Stage::Finishing { deadline, .. } if *deadline <= now => self.leave(true),
            Stage::Leaving { deadline, confirm } if *deadline <= now => {
                if *confirm && !answered {
                    self.lose("the server does not answer");
                } else {
                    self.end_left();
                }
            }
            Stage::Joining { .. }
            | Stage::Talking
            | Stage::Finishing { .. }
            | Stage::Leaving { .. }
            | Stage::Over { .. } => {}
        }
        if self.hurry.is_some_and(|hurry| hurry <= now) {
            self.end_left();
            self.console.abandon();
        }
    }

    fn send_out(&mut self) {
        self.sockets.send_out(Instant::now());
        if let Some(text) = self.sockets.ports.as_mut().and_then(Ports::take_news)
            && !self.is_over()
        {
            self.notice(&text);
        }
        self.lose_if_gone(Instant::now());
        self.console.send_out();
    }

    /// What became due by sending out: nothing else would wake us for it.
    fn let_go(&mut self) {
        if self.console.is_gone() && !matches!(self.stage, Stage::Leaving { confirm: false, .. }) {
            self.leave(false);
        }
        if matches!(self.stage, Stage::Finishing { .. }) && self.is_all_answered() {
            self.leave(true);
        }
        let Stage::Leaving { deadline, confirm } = &mut self.stage else {
            return;
        };
        self.sockets.send_out(Instant::now());
        if self.sockets.has_unsent() {
            return;
        }
        match &mut self.sockets.link {
            Some(link) if link.is_finished() => {}
            Some(link) => {
                link.finish();
                *deadline = Instant::now() + LEAVING_LIMIT;
            }
            None if !self.session.has_left() => {}
            None if *confirm && self.session.unanswered() > 0 => {
                self.lose("the server does not answer");
            }
            None => self.end_left(),
        }
    }

    /// There is no more input: what was said is still to be sent and heard back.
    fn finish(&mut self) {
        if let Stage::Talking = self.stage {
            self.stage = Stage::Finishing {
                deadline: Instant::now() + CONFIRMATION_LIMIT,
                progress: self.progress(),
            };
        }
    }

    /// Says goodbye. Does nothing when it is over.
    fn leave(&mut self, confirm: bool) {
        match self.stage {
            Stage::Over { .. } => return,
            Stage::Leaving { .. } => {}
            Stage::Joining { .. } | Stage::Talking | Stage::Finishing { .. } => {
                let mut outcome = Outcome::default();
                // A protocol without a word for it has the end of the connection.
                let _ = self
                    .session
                    .handle_command(Command::Leave, &mut outcome.context());
                self.follow(outcome);
                if self.is_over() {
                    return;
                }
            }
        }
        self.stage = Stage::Leaving {
            deadline: Instant::now() + LEAVING_LIMIT,
            confirm,
        };
    }

    /// While we join, the session has its own patience.
    fn lose_if_gone(&mut self, now: Instant) {
        let gone = self
            .sockets
            .ports
            .as_ref()
            .and_then(|ports| ports.gone(now));
        if let Some(at) = gone
            && !matches!(self.stage, Stage::Joining { .. } | Stage::Over { .. })
        {
            self.lose_because(&format!("nobody listens at {at} any more"));
        }
    }

    fn lose(&mut self, reason: &str) {
        let trouble = self.sockets.ports.as_ref().and_then(Ports::trouble);
        let reason = trouble.unwrap_or(reason).to_owned();
        self.lose_because(&reason);
    }

    fn lose_because(&mut self, reason: &str) {
        let reason = match self.session.unanswered() {
            0 => reason.to_owned(),
            1 => format!("{reason}; 1 message was not confirmed"),
            count => format!("{reason}; {count} messages were not confirmed"),
        };
        let server = self.sockets.place();
        self.fail(Failure::Lost { server, reason });
    }

    /// Who is leaving anyway does not mind how it ends.
    fn fail(&mut self, failure: Failure) {
        match self.stage {
            Stage::Leaving { confirm: false, .. } => self.end_left(),
            Stage::Joining { .. }
            | Stage::Talking
            | Stage::Finishing { .. }
            | Stage::Leaving { confirm: true, .. }
            | Stage::Over { .. } => {
                let reason = failure.reason();
                self.end(Err(failure), reason);
            }
        }
    }

    fn end_left(&mut self) {
        self.end(Ok(()), "left".to_owned());
    }

    /// Nobody is talked with any more. The first result stays.
    fn end(&mut self, result: Result<(), Failure>, reason: String) {
        if self.is_over() {
            return;
        }
        self.console.show(&Event::Closed { reason });
        self.console.end_editing();
        self.stage = Stage::Over { result };
    }

    fn is_all_answered(&self) -> bool {
        !self.sockets.has_unsent() && self.session.unanswered() == 0
    }

    fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over { .. })
    }

    fn progress(&self) -> Progress {
        Progress {
            sent: self.sockets.sent_in_all(),
            unanswered: self.session.unanswered(),
        }
    }
}

fn local_time() -> TimeOfDay {
    let now = chrono::Local::now();
    TimeOfDay::new(now.hour(), now.minute(), now.second()).unwrap_or_default()
}
